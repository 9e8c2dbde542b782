"""The sample photos: painted the same every time, different from each other, and copied by the demo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch.cli import demo
from birdsearch.photos import decode
from birdsearch.records import Photo
from tests.support import ROOT
from tests.support.painting import samples

SHIPPED = ROOT / "cli" / "samples"


def test_a_picture_is_the_same_every_time() -> None:
    first, second = samples.picture("Mallard", 2), samples.picture("Mallard", 2)
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)


def test_every_photo_of_the_demo_differs_from_every_other() -> None:
    pictures = [samples.picture(species, variant) for species in samples.SPECIES for variant in range(8)]
    small = [p[::8, ::8].astype(float) for p in pictures]
    for n, one in enumerate(small):
        assert one.std() > 15
        assert all(np.abs(one - other).mean() > 4 for other in small[n + 1 :])


def test_an_unknown_sample_bird_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"'Dodo', only European Robin, .*Snowy Owl"):
        samples.picture("Dodo")


def test_the_shipped_photos_are_the_painted_ones(tmp_path: Path) -> None:
    painted = samples.draw(tmp_path)
    assert {p.relative_to(tmp_path) for p in painted} == {p.relative_to(SHIPPED) for p in SHIPPED.rglob("*.jpg")}
    for path in painted:
        with Image.open(path) as image, Image.open(SHIPPED / path.relative_to(tmp_path)) as shipped:
            assert (shipped.format, shipped.size) == ("JPEG", (640, 480))
            difference = np.abs(np.asarray(image).astype(float) - np.asarray(shipped))
            # 0 where they were made; another processor or JPEG library rounds a few pixels otherwise.
            assert difference.mean() < 0.05


def test_the_pictures_that_exports_are_checked_on_are_the_painted_ones() -> None:
    pictures = ROOT / "birdsearch" / "backbones" / "pictures"
    names = {f"{species} {variant + 1}.webp" for species in samples.SPECIES for variant in range(3)}
    assert {path.name for path in pictures.iterdir()} == names
    for species in samples.SPECIES:
        with Image.open(pictures / f"{species} 1.webp") as shipped:
            difference = np.abs(samples.picture(species).astype(float) - np.asarray(shipped))
            assert difference.mean() < 0.05  # 0 where they were made


def test_the_demo_copies_a_folder_for_each_species(tmp_path: Path) -> None:
    demo.copy_samples(tmp_path / "new" / "photos")
    copied = {p.relative_to(tmp_path / "new" / "photos"): p.read_bytes() for p in tmp_path.rglob("*.jpg")}
    assert copied == {p.relative_to(SHIPPED): p.read_bytes() for p in SHIPPED.rglob("*.jpg")}
    assert len(copied) == 48
    assert {p.parent.name for p in copied} == set(samples.SPECIES)
    assert len(set(copied.values())) == 48


def test_copying_again_touches_no_photo(tmp_path: Path) -> None:
    demo.copy_samples(tmp_path)
    path = tmp_path / "European Robin" / "European Robin 1.jpg"
    path.write_bytes(b"mine")
    before = path.stat().st_mtime_ns
    demo.copy_samples(tmp_path)
    assert path.stat().st_mtime_ns == before
    assert path.read_bytes() == b"mine"
    assert len(list(path.parent.iterdir())) == 8


def test_samples_carry_a_time_a_camera_and_a_place() -> None:
    for path in SHIPPED.rglob("*.jpg"):
        photo = decode.decode(path.read_bytes(), Photo(id=None, path=str(path)), (224, 224)).photo
        assert photo.taken_at is not None
        assert photo.taken_at.startswith("2024-")
        assert photo.camera == "birdsearch paintbrush"
        assert photo.latitude is not None
        assert photo.longitude is not None
        north, east = samples.PLACES[path.parent.name]
        assert abs(photo.latitude - north) <= 0.051
        assert abs(photo.longitude - east) <= 0.051
