"""RAW files beside their JPEGs, sidecars, movies and sounds: each file in one count, each with its photo."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

import birdsearch
from birdsearch import AddReport, Filter, Index
from birdsearch.records import Box, Photo
from tests.support.card import MOVIE, SOUND, front, pair, raw, raw_front, raw_header
from tests.support.catalogs import catalog_at
from tests.support.fake_backbone import FakeBackbone


def counts(report: AddReport) -> dict[str, int]:
    """The counts that are not zero."""
    every = {name: getattr(report, name) for name in ("added", "changed", "unchanged", "moved", "paired", "missing")}
    every |= {"ignored": sum(report.ignored.values()), "failed": len(report.failed)}
    return {name: count for name, count in every.items() if count}


def beside(index: Index) -> dict[str, list[str]]:
    """Photo -> its companions, by their names."""
    return {Path(photo.path).name: [Path(path).name for path in photo.companions] for photo in index.photos()}


def photo_of(index: Index, name: str) -> Photo:
    """The photo of this name."""
    (photo,) = (photo for photo in index.photos() if Path(photo.path).name == name)
    return photo


def test_what_a_camera_writes_of_one_exposure_is_one_photo(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    for n in range(3):
        pair(card, f"IMG_{n}", n, f"2024:05:17 06:07:0{n}")
    (card / "IMG_0.WAV").write_bytes(SOUND)
    (card / "IMG_1.MOV").write_bytes(MOVIE)
    (card / "IMG_1.xmp").write_text("<x/>")
    (card / "IMG_1.CR2.xmp").write_text("<x/>")
    (card / "notes.txt").write_text("of no photo")
    (card / "NKSC_PARAM").mkdir()
    (card / "NKSC_PARAM/IMG_2.CR2.nksc").write_text("of the RAW of a photo")
    assert counts(index.add(card)) == {"added": 3, "paired": 8, "ignored": 1}
    assert beside(index) == {
        "IMG_0.JPG": ["IMG_0.CR2", "IMG_0.WAV"],
        "IMG_1.JPG": ["IMG_1.CR2", "IMG_1.CR2.xmp", "IMG_1.MOV", "IMG_1.xmp"],
        "IMG_2.JPG": ["IMG_2.CR2", "IMG_2.CR2.nksc"],
    }
    assert counts(index.add(card)) == {"unchanged": 3, "paired": 8, "ignored": 1}
    assert (len(index), index.info()["companions"]) == (3, 8)
    assert index.photo(1).companions[0] == str(card / "IMG_0.CR2")


def test_known_companions_are_not_opened_again(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "card"
    pair(card, "IMG_1", 1)
    (card / "IMG_1.xmp").write_text("<x/>")
    first = index.add(card)
    generation = index.generation
    with monkeypatch.context() as closed:
        closed.setattr("birdsearch.indexing.pipeline.scan.read", lambda file: pytest.fail(f"{file.path} was read"))
        closed.setattr("birdsearch.photos.pairs.written", lambda path: pytest.fail(f"{path} was read"))
        assert index.add(card).paired == first.paired == 2
    assert index.generation == generation
    (card / "IMG_1.xmp").write_text("<x>changed</x>")
    assert counts(index.add(card)) == {"unchanged": 1, "paired": 2}


@pytest.mark.parametrize("count", [10, pytest.param(250, marks=pytest.mark.slow)])
def test_a_card_with_all_that_happens_to_cards(count: int, tmp_path: Path, index: Index) -> None:
    """Rollover into a second folder, edits, a missing half, two files of one stem, one name at two times."""
    card = tmp_path / "DCIM"
    for n in range(1, count + 1):
        pair(card / "100CANON", f"IMG_{n:04}", n, f"2024:05:17 06:{n // 60:02}:{n % 60:02}")
        pair(card / "101CANON", f"IMG_{n:04}", 1000 + n, f"2024:05:18 06:{n // 60:02}:{n % 60:02}")
    first = card / "100CANON"
    front(first / "IMG_0001-edited.jpg", 41, "2024:05:17 06:00:01")
    front(first / "IMG_E0002.JPG", 42, "2024:05:17 06:00:02")
    (first / "IMG_0003.CR2").unlink()
    raw_header(first / "IMG_0004.DNG", "2024:05:17 06:00:04")  # which of the two RAW files belongs to the JPEG?
    raw_header(first / "IMG_0005.CR2", "2023:01:01 00:00:00")  # of an older card
    report = index.add(card)
    assert counts(report) == {"added": 2 * count + 2, "paired": 2 * count - 3, "failed": 3}
    by_folder = {photo.path.removeprefix(f"{card}/"): photo.companions for photo in index.photos()}
    assert [name for name, companions in by_folder.items() if not companions] == [
        "100CANON/IMG_0001-edited.jpg", "100CANON/IMG_0003.JPG", "100CANON/IMG_0004.JPG", "100CANON/IMG_0005.JPG",
        "100CANON/IMG_E0002.JPG",
    ]  # fmt: skip
    for path, companions in by_folder.items():
        assert companions in ((), (str(card / path.replace("JPG", "CR2")),))


def test_a_pair_that_is_moved_or_renamed_stays_one(tmp_path: Path, index: Index) -> None:
    card, library = tmp_path / "photos/card", tmp_path / "photos/2024"
    for n in range(3):
        pair(card, f"IMG_{n}", n, f"2024:05:17 06:07:0{n}")
    (card / "IMG_0.xmp").write_text("<x/>")
    index.add(card.parent)
    index.label({photo.id: "Wren" for photo in index.photos() if photo.id is not None})
    shutil.move(card, library)
    assert counts(index.add(card.parent)) == {"moved": 3, "paired": 4}
    for path in library.glob("IMG_1.*"):
        path.rename(path.with_stem("2024-05-17 wren"))
    assert counts(index.add(card.parent)) == {"unchanged": 2, "moved": 1, "paired": 4}
    assert beside(index) == {
        "IMG_0.JPG": ["IMG_0.CR2", "IMG_0.xmp"],
        "2024-05-17 wren.JPG": ["2024-05-17 wren.CR2"],
        "IMG_2.JPG": ["IMG_2.CR2"],
    }
    assert {photo.label for photo in index.photos()} == {"Wren"}
    assert index.verify().problems == ()


def test_a_companion_that_goes_is_named_by_verify_and_forgotten_by_index(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    jpeg, raw = pair(card, "IMG_1", 1)
    pair(card, "IMG_2", 2, "2024:05:17 06:07:09")
    index.add(card)
    raw.unlink()
    assert [str(raw) in problem and str(jpeg) in problem for problem in index.verify().problems] == [True]
    assert counts(index.add(card)) == {"unchanged": 2, "paired": 1}
    assert index.verify().ok
    shutil.rmtree(card)  # photos that are gone lack nothing
    assert index.verify().ok


def test_a_sidecar_whose_photo_goes_is_an_ignored_file_again(tmp_path: Path, index: Index) -> None:
    jpeg = front(tmp_path / "card/IMG_1.JPG", 1)
    front(tmp_path / "card/IMG_2.JPG", 2)
    for name in ("IMG_1.xmp", "IMG_2.xmp"):
        (tmp_path / "card" / name).write_text("<x/>")
    index.add(tmp_path / "card")
    jpeg.unlink()
    report = index.add(tmp_path / "card")
    assert (counts(report), report.ignored) == (
        {"unchanged": 1, "paired": 1, "missing": 1, "ignored": 1},
        {"not an image (text)": 1},
    )


def test_a_photo_is_nobodys_sidecar(tmp_path: Path, index: Index) -> None:
    """Content decides what a file is, not its name."""
    front(tmp_path / "card/IMG_1.JPG", 1)
    front(tmp_path / "card/other.jpg", 2).rename(tmp_path / "card/IMG_1.txt")
    assert counts(index.add(tmp_path / "card")) == {"added": 2}
    assert counts(index.add(tmp_path / "card")) == {"unchanged": 2}
    assert beside(index) == {"IMG_1.JPG": [], "IMG_1.txt": []}


def test_a_sidecar_of_two_photos_is_one_file(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    front(card / "IMG_1.JPG", 1)
    front(card / "IMG_1.JPEG", 2)
    (card / "IMG_1.xmp").write_text("<x/>")
    assert counts(index.add(card)) == {"added": 2, "paired": 1}
    assert beside(index) == {"IMG_1.JPEG": ["IMG_1.xmp"], "IMG_1.JPG": ["IMG_1.xmp"]}
    assert index.info()["companions"] == 1


def test_what_is_left_out_goes_with_no_photo(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    pair(card, "IMG_1", 1)
    (card / "IMG_1.xmp").write_text("<x/>")
    index.add(card)
    report = index.add(card, exclude=["*.CR2", "*.xmp"])
    assert counts(report) == {"unchanged": 1, "ignored": 2}
    assert beside(index) == {"IMG_1.JPG": []}


def test_a_jpeg_that_fails_leaves_its_raw_to_itself(tmp_path: Path, index: Index) -> None:
    jpeg, _ = pair(tmp_path / "card", "IMG_1", 1)
    jpeg.write_bytes(b"\xff\xd8\xff broken")
    report = index.add(tmp_path / "card")
    assert report.paired == 0
    assert sum(counts(report).values()) == 2


@pytest.mark.parametrize("named", ["IMG_1.JPG", "IMG_1.CR2", "IMG_1.xmp"])
def test_a_file_that_is_named_by_itself_takes_nothing_away(named: str, tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    for n in (1, 2):
        pair(card, f"IMG_{n}", n, f"2024:05:17 06:07:0{n}")
        (card / f"IMG_{n}.xmp").write_text("<x/>")
    index.add(card)
    known = beside(index)
    assert sum(counts(index.add(card / named)).values()) == 1
    assert beside(index) == known
    assert counts(index.add(card)) == {"unchanged": 2, "paired": 4}


def test_a_photo_that_is_named_by_itself_has_its_companions(tmp_path: Path, index: Index) -> None:
    jpeg, _ = pair(tmp_path / "card", "IMG_1", 1)
    (tmp_path / "card/IMG_1.xmp").write_text("<x/>")
    assert counts(index.add(jpeg)) == {"added": 1}
    assert beside(index) == {"IMG_1.JPG": ["IMG_1.CR2", "IMG_1.xmp"]}


def test_a_folder_above_takes_the_companions_along(tmp_path: Path, index: Index) -> None:
    pair(tmp_path / "photos/card", "IMG_1", 1)
    index.add(tmp_path / "photos/card")
    index.add(tmp_path / "photos")
    assert photo_of(index, "IMG_1.JPG").companions == (str(tmp_path / "photos/card/IMG_1.CR2"),)
    assert index.verify().ok


def test_names_that_are_no_text(tmp_path: Path, index: Index) -> None:
    jpeg, raw = pair(tmp_path / "card", "IMG_1", 1)
    name = os.path.join(os.fsencode(tmp_path / "card"), b"Z\xe9ro")
    os.rename(jpeg, name + b".JPG")
    os.rename(raw, name + b".CR2")
    assert counts(index.add(tmp_path / "card")) == {"added": 1, "paired": 1}
    assert os.path.exists(index.photo(1).companions[0])
    assert index.photos(Filter(ids=[1]))[0].companions == index.photo(1).companions


def test_raw_is_one_of_three_words(tmp_path: Path, index: Index) -> None:
    with pytest.raises(ValueError, match="raw must be one of pair, separate, ignore"):
        index.add(tmp_path, raw="both")
    assert index.info()["raw"] == "pair"


# A RAW that is a photo, and its JPEG


def is_whole(index: Index, folder: Path, report: AddReport) -> None:
    """Each file is in one count, and the index is what it promises to be."""
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    assert sum(count for name, count in counts(report).items() if name != "missing") == files
    assert index.verify().problems == ()


def test_a_raw_whose_jpeg_comes_hands_it_what_was_said(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    raw(card / "IMG_1.DNG", 1)
    raw(card / "IMG_2.DNG", 2, "2024:05:17 06:07:09")
    assert counts(index.add(card)) == {"added": 2}
    index.label({1: "Wren"}, author="Ana")
    index.not_duplicates(1, 2)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"path,x,y,width,height,category\n{card / 'IMG_1.DNG'},0.1,0.2,0.3,0.4,bird\n")
    index.regions_from(boxes)
    raw_front(card / "IMG_1.JPG", 1)
    report = index.add(card)
    assert counts(report) == {"added": 1, "unchanged": 1, "paired": 1}
    is_whole(index, card, report)
    photo = photo_of(index, "IMG_1.JPG")
    assert (photo.label, photo.companions, photo.rendered) == ("Wren", (str(card / "IMG_1.DNG"),), "file")
    assert photo.id is not None
    assert [label.author for label in index.labels(Filter(ids=[photo.id]))] == ["Ana"]
    (region,) = index.regions(ids=[photo.id])
    assert (region.box, region.source, region.embedded) == (Box(0.1, 0.2, 0.3, 0.4), "correction", True)
    with closing(catalog_at(tmp_path / "index")) as catalog:
        assert catalog.not_duplicates() == {(2, photo.id)}
    assert counts(index.add(card)) == {"unchanged": 2, "paired": 1}


def test_a_raw_whose_jpeg_goes_is_a_photo_with_its_label(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    jpeg = raw_front(card / "IMG_1.JPG", 1)
    raw(card / "IMG_1.DNG", 1)
    assert counts(index.add(card)) == {"added": 1, "paired": 1}
    index.label({1: "Wren"}, author="Ana")
    content = jpeg.read_bytes()
    jpeg.unlink()
    report = index.add(card)
    assert counts(report) == {"added": 1, "missing": 1}
    is_whole(index, card, report)
    (photo,) = index.photos()
    assert (photo.format, photo.label, photo.companions) == ("DNG", "Wren", ())
    index.label({photo.id or 0: "Robin"})
    jpeg.write_bytes(content)  # and comes back
    report = index.add(card)
    assert counts(report) == {"unchanged": 1, "paired": 1}
    is_whole(index, card, report)
    assert [(photo.id, photo.label) for photo in index.photos()] == [(1, "Robin")]


def test_a_raw_that_moves_to_its_jpeg_brings_what_was_said(tmp_path: Path, index: Index) -> None:
    """The RAW was a photo in a folder of its own."""
    photos = tmp_path / "photos"
    path = raw(photos / "raw/IMG_1.DNG", 1)
    raw(photos / "raw/IMG_2.DNG", 2, "2024:05:17 06:07:09")
    index.add(photos)
    index.label({1: "Wren"})
    jpeg = raw_front(photos / "jpeg/IMG_1.JPG", 1)
    path.rename(jpeg.with_suffix(".DNG"))
    report = index.add(photos)
    assert counts(report) == {"added": 1, "unchanged": 1, "paired": 1}
    is_whole(index, photos, report)
    assert (photo_of(index, "IMG_1.JPG").label, len(index)) == ("Wren", 2)


def test_a_raw_as_long_as_one_that_has_gone_brings_nothing_of_that(tmp_path: Path, index: Index) -> None:
    photos = tmp_path / "photos"
    gone = raw(photos / "raw/IMG_1.DNG", 1)
    index.add(photos)
    index.label({1: "Wren"})
    jpeg = raw_front(photos / "jpeg/IMG_2.JPG", 2, "2024:05:17 06:07:09")
    other = raw(jpeg.with_suffix(".DNG"), 2, "2024:05:17 06:07:09")
    length = gone.stat().st_size
    other.write_bytes(other.read_bytes()[:length].ljust(length, b"\0"))
    gone.unlink()
    assert counts(index.add(photos)) == {"added": 1, "paired": 1, "missing": 1}
    assert photo_of(index, "IMG_2.JPG").label is None


def test_a_raw_that_failed_is_no_failure_once_its_jpeg_comes(tmp_path: Path, index: Index) -> None:
    raw_header(tmp_path / "card/IMG_1.CR2")
    assert counts(index.add(tmp_path / "card")) == {"failed": 1}
    front(tmp_path / "card/IMG_1.JPG", 1)
    assert counts(index.add(tmp_path / "card")) == {"added": 1, "paired": 1}
    assert index.failures() == []


def test_both_stay_photos_where_the_user_wants_it(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    raw_front(card / "IMG_1.JPG", 1)
    raw(card / "IMG_1.DNG", 1)
    (card / "IMG_1.xmp").write_text("<x/>")
    (card / "IMG_1.DNG.xmp").write_text("<x/>")
    assert counts(index.add(card)) == {"added": 1, "paired": 3}
    index.label({1: "Wren"})
    assert counts(index.add(card, raw="separate")) == {"added": 1, "unchanged": 1, "paired": 2}
    assert counts(index.add(card)) == {"unchanged": 2, "paired": 2}
    assert {photo.label for photo in index.photos()} == {"Wren"}
    assert beside(index) == {"IMG_1.JPG": ["IMG_1.xmp"], "IMG_1.DNG": ["IMG_1.DNG.xmp", "IMG_1.xmp"]}
    report = index.add(card, raw="pair")
    assert counts(report) == {"unchanged": 1, "paired": 3}
    is_whole(index, card, report)


def test_raw_files_are_left_out_where_the_user_wants_none(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "card"
    raw_front(card / "IMG_1.JPG", 1)
    raw(card / "IMG_1.DNG", 1)
    raw(card / "IMG_2.DNG", 2)
    index.add(card)
    index.label({photo_of(index, "IMG_2.DNG").id or 0: "Wren"})
    report = index.add(card, raw="ignore")
    assert (counts(report), report.ignored) == (
        {"unchanged": 1, "ignored": 2, "missing": 1},
        {"camera RAW": 2},
    )
    assert beside(index) == {"IMG_1.JPG": []}
    monkeypatch.chdir(card)
    assert counts(index.add(sorted(os.listdir()))) == {"unchanged": 1, "ignored": 2, "missing": 1}
    assert counts(index.add(card, raw="pair")) == {"unchanged": 2, "paired": 1}
    assert photo_of(index, "IMG_2.DNG").label == "Wren"


def test_a_jpeg_that_breaks_gives_its_raw_free(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    jpeg = raw_front(card / "IMG_1.JPG", 1)
    raw(card / "IMG_1.DNG", 1)
    index.add(card)
    index.label({1: "Wren"})
    jpeg.write_bytes(b"\xff\xd8\xff broken")
    report = index.add(card)
    assert counts(report) == {"added": 1, "failed": 1}
    is_whole(index, card, report)
    assert [(photo.format, photo.label) for photo in index.photos()] == [("DNG", "Wren")]


def test_a_raw_is_no_longer_one_exposure_with_what_became_another_picture(tmp_path: Path, index: Index) -> None:
    card = tmp_path / "card"
    raw_front(card / "IMG_1.JPG", 1)
    raw(card / "IMG_1.DNG", 1)
    assert index.add(card).paired == 1
    raw_front(card / "IMG_1.JPG", 2, "2024:06:01 00:00:00")
    assert counts(index.add(card)) == {"changed": 1, "added": 1}
    raw(card / "IMG_1.DNG", 2, "2024:06:01 00:00:00")
    assert counts(index.add(card)) == {"unchanged": 1, "paired": 1}


def test_a_second_front_is_noticed(tmp_path: Path, index: Index) -> None:
    """What was a pair is none where a third file could be one of them, and is one again when that goes."""
    card = tmp_path / "card"
    raw_front(card / "IMG_1.JPG", 1)
    raw(card / "IMG_1.DNG", 1)
    index.add(card)
    third = raw_front(card / "IMG_1.jpeg", 3)
    assert counts(index.add(card)) == {"added": 2, "unchanged": 1}
    third.unlink()
    assert counts(index.add(card)) == {"unchanged": 1, "paired": 1, "missing": 1}


@pytest.mark.slow
def test_a_run_that_is_stopped_anywhere_loses_no_file(tmp_path: Path) -> None:
    """After Ctrl-C at each step of a run, the next one counts each file once and separates nothing."""
    for at in range(40):
        card, place = tmp_path / f"card{at}", tmp_path / f"index{at}"
        raw(card / "IMG_1.DNG", 1)
        raw_front(card / "IMG_2.JPG", 2)
        with birdsearch.create(place, backbone=FakeBackbone()) as index:
            index.add(card)
            index.label({photo.id or 0: "Wren" for photo in index.photos()})
            raw_front(card / "IMG_1.JPG", 1)
            (card / "IMG_2.JPG").rename(card / "IMG_3.JPG")
            raw(card / "IMG_3.DNG", 2)
            (card / "IMG_3.xmp").write_text("<x/>")
            stopped = stopping_after(index, card, at)
            report = index.add(card)
            assert sum(count for name, count in counts(report).items() if name != "missing") == 5
            assert beside(index) == {"IMG_1.JPG": ["IMG_1.DNG"], "IMG_3.JPG": ["IMG_3.DNG", "IMG_3.xmp"]}
            assert {photo.label for photo in index.photos()} == {"Wren"}
            assert index.verify().problems == ()
        if not stopped:
            break
    assert at > 3


def stopping_after(index: Index, card: Path, steps: int) -> bool:
    """Index a folder, and stop at a step; False where there are not so many."""
    left = [steps]

    def progress(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise birdsearch.Cancelled

    try:
        index.add(card, progress=progress, between_commits=progress)
    except birdsearch.Cancelled:
        return True
    return False
