"""Labels and boxes that leave for other programs, and come back into another index of the same photos."""

from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Index
from birdsearch.export.sightings import DatasetOptions
from tests.support.fake_backbone import FakeBackbone, classifying
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


def boxes(index: Index) -> dict[str, list[tuple[float, float, float, float]]]:
    """Path of each photo -> its boxes."""
    found = {}
    for one in index.photos():
        held = [region.box for region in index.regions(ids=[one.id or 0])]
        found[one.path] = sorted((round(b.x, 9), round(b.y, 9), round(b.width, 9), round(b.height, 9)) for b in held)
    return found


@pytest.mark.parametrize(("to", "name"), [("camtrap-dp", "out/datapackage.json"), ("coco-ct", "out.json")])
def test_labels_and_boxes_come_back(photos: Path, tmp_path: Path, to: str, name: str) -> None:
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(photos, labels="folder", regions=tmp_path / "boxes.csv")
        assert index.export(tmp_path / name.partition("/")[0], format=to).written == len(LABELS)
        before = boxes(index)
        assert sum(map(len, before.values())) == 3
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as index:
        index.add(photos, labels=tmp_path / name, regions=tmp_path / name)
        assert {str(Path(one.path).relative_to(photos)): one.label for one in index.photos()} == LABELS
        assert boxes(index) == before


@pytest.mark.parametrize(("to", "name"), [("camtrap-dp", "out/datapackage.json"), ("coco-ct", "out.json")])
def test_a_guess_comes_back_as_no_label(tmp_path: Path, to: str, name: str) -> None:
    photo(tmp_path / "photos/1.jpg")
    bias = np.array([5, 0], np.float32)
    network = classifying(("Parus major", "Pica pica"), np.zeros((2, FakeBackbone.dim), np.float32), bias)
    with birdsearch.create(tmp_path / "index", backbone=network) as index:
        index.add(tmp_path / "photos")
        index.export(tmp_path / name.partition("/")[0], format=to, options=DatasetOptions(predictions=True))
    told = tmp_path / name if to == "coco-ct" else tmp_path / "out/observations.csv"
    assert "Parus major" in told.read_text(encoding="utf-8")
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos", labels=tmp_path / name)
        assert [one.label for one in index.photos()] == [None]
