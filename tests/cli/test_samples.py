"""The sample photos: the same every time, different from each other, and where the demo expects them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch import samples
from birdsearch.photos import decode
from birdsearch.records import Photo


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


def test_draw_writes_a_folder_for_each_species(tmp_path: Path) -> None:
    paths = samples.draw(tmp_path / "new" / "photos", species=["Snowy Owl", "Blue Tit"], per_species=2)
    assert [str(p.relative_to(tmp_path / "new" / "photos")) for p in paths] == [
        "Snowy Owl/Snowy Owl 1.jpg",
        "Snowy Owl/Snowy Owl 2.jpg",
        "Blue Tit/Blue Tit 1.jpg",
        "Blue Tit/Blue Tit 2.jpg",
    ]
    for path in paths:
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (640, 480))


def test_the_same_photos_are_drawn_everywhere(tmp_path: Path) -> None:
    first = [p.read_bytes() for p in samples.draw(tmp_path / "a", species=["European Robin"], per_species=2)]
    second = [p.read_bytes() for p in samples.draw(tmp_path / "b", species=["European Robin"], per_species=2)]
    assert first == second
    assert first[0] != first[1]


def test_drawing_again_touches_no_photo(tmp_path: Path) -> None:
    (path,) = samples.draw(tmp_path, species=["European Robin"], per_species=1)
    before = path.stat().st_mtime_ns
    assert samples.draw(tmp_path, species=["European Robin"], per_species=1) == [path]
    assert path.stat().st_mtime_ns == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_samples_carry_a_time_a_camera_and_a_place(tmp_path: Path) -> None:
    for path in samples.draw(tmp_path, per_species=1):
        photo = decode.decode(path.read_bytes(), Photo(id=None, path=str(path)), (224, 224)).photo
        assert photo.taken_at is not None
        assert photo.taken_at.startswith("2024-")
        assert photo.camera == "birdsearch paintbrush"
        assert photo.latitude is not None
        assert photo.longitude is not None
        north, east = samples._PLACES[path.parent.name]
        assert abs(photo.latitude - north) <= 0.051
        assert abs(photo.longitude - east) <= 0.051
