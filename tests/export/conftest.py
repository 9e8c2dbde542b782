"""Indexes to export: one of strange photos, one of nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import birdsearch
from birdsearch import Filter, Index
from tests.support.drawing import bird, camera_exif, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos with all that can be strange in their names and tags, and eleven plain ones."""
    folder = tmp_path / "photos"
    write(folder / "Wren" / "camera.jpg", bird(1, 800, 600), exif=camera_exif())
    write(folder / "Wren" / "undecodable \udcff.jpg", bird(2, 80, 60))
    write(folder / "Zaunkönig" / "new\nline.jpg", bird(3, 80, 60))
    write(folder / "no label.jpg", bird(4, 80, 60))
    write(folder / "carriage\rreturn.jpg", bird(5, 80, 60))
    for number in range(11):
        write(folder / "Robin" / f"{number}.jpg", bird(10 + number, 80, 60))
    return folder


@pytest.fixture
def index(tmp_path: Path, folder: Path, fake: FakeBackbone) -> Iterator[Index]:
    """An index of them, labelled by folder; as one photo has left it, ids are not places."""
    write(folder / "first.jpg", bird(99, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as made:
        made.add(folder / "first.jpg")
        made.add(folder, labels="folder")
        made.remove(Filter(under=str(folder / "first.jpg")))
        assert len(made) == 16
        yield made


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Index]:
    """An index of nothing."""
    with birdsearch.create(tmp_path / "empty", backbone=FakeBackbone()) as made:
        yield made
