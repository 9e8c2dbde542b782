"""An index whose photos have boxes, for tests of what regions do and what they must not touch."""

from pathlib import Path

from PIL import Image

import birdsearch
from birdsearch import AddReport, Index
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone

SPECIES = ("Wren", "Robin", "Heron")


def photos(folder: Path, count: int = 4) -> Path:
    """Drawn photos, `count` of each of three species, in folders of their names."""
    for number, species in enumerate(SPECIES):
        for n in range(count):
            picture = bird(10 * number, 320, 240).rotate(3 * n, resample=Image.Resampling.BILINEAR)
            write(folder / species / f"{n}.jpg", picture)
    return folder


def index_of(folder: Path, count: int = 4) -> Index:
    """The index of such photos, in folder/index; the photos are in folder/photos."""
    index = birdsearch.create(folder / "index", backbone=FakeBackbone())
    index.add(photos(folder / "photos", count), labels="folder")
    return index


def csv(path: Path, *lines: str) -> Path:
    """A CSV of boxes."""
    path.write_text("\n".join(["path,x,y,width,height,category,confidence", *lines, ""]), encoding="utf-8")
    return path


def add_boxes(index: Index, folder: Path, *lines: str, **options: object) -> AddReport:
    """Give the photos of folder/photos these boxes."""
    return index.add(folder / "photos", regions=csv(folder / "boxes.csv", *lines), **options)  # type: ignore[arg-type]


def everywhere(folder: Path) -> list[str]:
    """Two boxes in each photo, as lines of such a CSV."""
    names = sorted(path.relative_to(folder) for path in (folder / "photos").rglob("*.jpg"))
    return [f"{name},{x},0.1,0.3,0.3,bird,0.9" for name in names for x in ("0.0", "0.6")]
