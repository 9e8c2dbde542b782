"""Sidecars beside photos that are indexed: what they say fills what the photos lack, and costs no embedding."""

import json
import shutil
from pathlib import Path

import pytest

from birdsearch import Index
from birdsearch.photos import sidecar_facts
from birdsearch.records import Photo, as_json
from tests.support.drawing import bird, camera_exif, exif, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.sidecar_shapes import SHAPES

TAKEOUT = {"photoTakenTime": {"timestamp": "1715925908"}, "geoData": {"latitude": 52.5, "longitude": 13.25}}
STARS = SHAPES["f-stop"]  # five of them


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two photos."""
    for seed, name in enumerate("ab"):
        write(tmp_path / "photos" / f"{name}.jpg", bird(seed, 80, 60))
    return tmp_path / "photos"


def test_sidecars_of_every_name_fill_what_the_photos_lack(tmp_path: Path, index: Index) -> None:
    folder = tmp_path / "photos"
    for seed, name in enumerate(["a", "b", "c", "d"]):
        write(folder / f"{name}.jpg", bird(seed, 80, 60), **({"exif": camera_exif()} if name == "d" else {}))
    (folder / "a.jpg.xmp").write_text(STARS)
    (folder / "b.xmp").write_text(SHAPES["aphotomanager"])
    (folder / "c.jpg.supplemental-metad.json").write_text(json.dumps(TAKEOUT))
    (folder / "d.jpg.xmp").write_text(STARS)
    index.add(folder)
    assert index.find(folder / "a.jpg").rating == 5
    assert index.find(folder / "b.jpg").notes == "two of them\nat the lake"
    google = index.find(folder / "c.jpg")
    assert (google.taken_at, google.taken_offset, google.latitude) == ("2024-05-17T06:05:08", "+00:00", 52.5)
    assert index.find(folder / "d.jpg").rating == 4


def test_a_sidecar_that_comes_changes_and_goes_costs_no_embedding(
    photos: Path, index: Index, fake: FakeBackbone
) -> None:
    def known() -> tuple[int | None, tuple[str, ...] | None, str | None]:
        photo = index.find(photos / "a.jpg")
        return photo.rating, photo.keywords, photo.notes

    before = index.add(photos) and index.find(photos / "a.jpg")
    sidecar = photos / "a.jpg.xmp"
    sidecar.write_text(STARS)
    report = index.add(photos)
    assert (report.unchanged, report.paired) == (2, 1)
    assert known() == (5, ("House Sparrow", "balcony"), None)
    sidecar.write_text(SHAPES["aphotomanager"])
    index.add(photos)
    assert known() == (2, ("Great Crested Grebe",), "two of them\nat the lake")
    sidecar.unlink()
    index.add(photos)
    assert index.find(photos / "a.jpg") == before
    assert fake.embedded == 2


def test_sidecars_that_are_as_they_were_are_not_read_again(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "a.jpg.xmp").write_text(STARS)
    index.add(photos)
    moved = photos.rename(photos.parent / "moved")
    monkeypatch.setattr(sidecar_facts, "_read", None)
    assert index.add(moved).moved == 2
    index.add(moved)
    assert index.find(moved / "a.jpg").rating == 5


def test_a_photo_that_changes_keeps_what_its_sidecar_says(photos: Path, index: Index) -> None:
    (photos / "a.jpg.xmp").write_text(STARS)
    index.add(photos)
    write(photos / "a.jpg", bird(7, 80, 60), exif=exif({0x013B: "Ana"}))
    assert index.add(photos).changed == 1
    photo = index.find(photos / "a.jpg")
    assert (photo.rating, photo.photographer) == (5, "Ana")
    index.add(photos, reread=True)
    assert index.find(photos / "a.jpg").rating == 5


def test_a_copy_has_what_lies_beside_it_and_not_what_lies_beside_the_other(photos: Path, index: Index) -> None:
    (photos / "a.jpg.xmp").write_text(STARS)
    index.add(photos)
    shutil.copy(photos / "a.jpg", photos / "copy.jpg")
    assert index.add(photos).added == 1
    copy = index.find(photos / "copy.jpg")
    assert (copy.rating, copy.keywords) == (None, ())


def test_what_a_user_gave_stays_when_a_sidecar_comes(photos: Path, index: Index) -> None:
    index.add(photos)
    index.add_vectors([1], index.vectors([1]), {"rating": [3]})
    (photos / "a.jpg.xmp").write_text(SHAPES["aphotomanager"])
    index.add(photos)
    photo = index.find(photos / "a.jpg")
    assert (photo.rating, photo.notes) == (3, "two of them\nat the lake")


def test_the_sidecar_of_the_raw_is_that_of_the_pair(tmp_path: Path) -> None:
    beside = [str(tmp_path / name) for name in ("a.CR2", "a.CR2.xmp", "a.xmp")]
    Path(beside[1]).write_text(STARS)
    Path(beside[2]).write_text(SHAPES["lightroom"])  # which says that it is that of the CR2
    photo = sidecar_facts.filled(Photo(None, str(tmp_path / "a.jpg")), beside)
    assert (photo.rating, photo.photographer) == (5, "Ana Núñez")


def test_the_keywords_of_a_photo_come_with_its_json(photos: Path, index: Index) -> None:
    (photos / "a.jpg.xmp").write_text(STARS)
    index.add(photos)
    written = json.dumps(as_json(index.find(photos / "a.jpg")))
    assert json.loads(written)["keywords"] == ["House Sparrow", "balcony"]
