"""Labels and boxes that leave for other programs, and come back into another index of the same photos."""

from pathlib import Path

import pytest

import birdsearch
from tests.support.fake_backbone import FakeBackbone
from tests.support.placed_photos import KAKAPO, photo

BOXES = """path,x,y,width,height,category,confidence
Kakapo/1.jpg,0.1,0.2,0.3,0.333333333333,bird,0.9
American Robin/1.jpg,0.1,0.2,0.3,0.3,bird,0.9
American Robin/1.jpg,0.6,0.2,0.3,0.3,bird,0.8
"""
LABELS = {  # of the folders, and what comes back
    "Kakapo/1.jpg": "Strigops habroptilus",
    "American Robin/1.jpg": "Turdus migratorius",
    "American Robin/a, \"q\" ü.jpg": "Turdus migratorius",
    "Parus major newtoni/1.jpg": "Parus major newtoni",
    "Laridae/1.jpg": "Laridae",
    "Blurry/1.jpg": None,
    "none.jpg": None,
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos in folders of their labels, and boxes of some."""
    for name in LABELS:
        photo(tmp_path / "photos" / name, KAKAPO if "Kakapo" in name else (52.5, 13.4))
    (tmp_path / "boxes.csv").write_text(BOXES)
    return tmp_path / "photos"


@pytest.mark.parametrize(("to", "name"), [("camtrap-dp", "out/datapackage.json"), ("coco-ct", "out.json")])
def test_labels_come_back(photos: Path, tmp_path: Path, to: str, name: str) -> None:
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(photos, labels="folder", regions=tmp_path / "boxes.csv")
        assert index.export(tmp_path / name.partition("/")[0], format=to).written == len(LABELS)
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as index:
        index.add(photos, labels=tmp_path / name)
        assert {str(Path(one.path).relative_to(photos)): one.label for one in index.photos()} == LABELS
