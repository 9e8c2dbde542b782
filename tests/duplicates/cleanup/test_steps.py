"""A photo that goes takes its RAW along: nothing is separated, and no kept photo is left without one."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from birdsearch.records import Plan
from tests.support import card
from tests.support.photo_library import Library, contents, copy, files, indexed


@pytest.fixture
def pairs(tmp_path: Path) -> Library:
    """Four photos with a copy of each, which is a pair with a RAW.

    The kept photos: one without a RAW, one with the same, one with another, and one that is called otherwise.
    """
    photos = tmp_path / "photos"
    for n in range(4):
        taken_at = f"2024:05:17 06:07:0{n}"
        kept = card.front(photos / f"Wren/{'other' if n == 3 else n}.jpg", n, taken_at)
        copy(photos, str(kept.relative_to(photos)), f"copies/{n}.jpg")
        card.raw_header(photos / f"copies/{n}.CR2", taken_at)
        (photos / f"copies/{n}.xmp").write_text(f"edits {n}")
    shutil.copy(photos / "copies/1.CR2", photos / "Wren/1.CR2")
    converted = card.raw_header(photos / "Wren/2.CR2", "2024:05:17 06:07:02")
    converted.write_bytes(converted.read_bytes() + b"converted")
    return indexed(tmp_path)


PAIRS = [(f"Wren/{'other' if n == 3 else n}.jpg", f"copies/{n}.jpg") for n in range(4)]


@pytest.mark.parametrize("word", ["trash", "move"])
def test_a_raw_goes_with_its_jpeg(word: str, pairs: Library, tmp_path: Path) -> None:
    before, rows, had = files(pairs.photos), pairs.rows(), contents(pairs.photos)
    away = tmp_path / "away" if word == "move" else pairs.photos
    report = pairs.apply(pairs.plan(*PAIRS), "trash" if word == "trash" else f"move:{away}")
    assert (report.done, report.skipped) == (4, ())
    assert os.listdir(pairs.photos / "copies") == []
    assert contents(pairs.photos, away) >= had
    beside = sorted(path.name for path in (pairs.photos / "Wren").iterdir() if path.suffix != ".jpg")
    assert beside == ["0.CR2", "0.xmp", "1.CR2", "2.CR2", "other.CR2", "other.xmp"]
    gone = sorted(Path(path).name for path in files(away) if "Wren" not in path and os.path.isfile(path))
    assert gone == ["0.jpg", "1.CR2", "1.jpg", "1.xmp", "2.CR2", "2.jpg", "2.xmp", "3.jpg"]
    with pairs.open() as index:
        index.add(pairs.photos)
        assert index.verify().problems == ()
        assert [photo.companions for photo in index.photos() if photo.path.endswith("0.jpg")] != [()]
    assert pairs.undo().skipped == ()
    assert files(pairs.photos) == before
    with pairs.open() as index:
        index.add(pairs.photos)
    assert pairs.rows()["companions"] == rows["companions"]


def test_undo_brings_the_rows_of_companions_back(pairs: Library) -> None:
    rows = pairs.rows()
    pairs.apply(pairs.plan(*PAIRS))
    assert len(pairs.rows()["companions"]) < len(rows["companions"])
    pairs.undo()
    assert pairs.rows() == rows


def test_a_pair_stays_where_the_kept_photo_would_be_left_without_a_raw(pairs: Library) -> None:
    """Its folder is protected, so that the RAW cannot come."""
    before = files(pairs.photos)
    plan = pairs.plan(PAIRS[0])
    report = pairs.apply(plan, protect=(str(pairs.photos / "Wren"),))
    assert report.done == 0
    assert "0.CR2 belongs to it and cannot go: the kept photo" in report.skipped[0][1]
    assert files(pairs.photos) == before


def test_of_a_burst_the_raw_files_go_too(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for n in range(2):
        card.pair(photos, str(n), n, f"2024:05:17 06:07:0{n}")
    library = indexed(tmp_path)
    plan = library.plan(("0.JPG", "1.JPG"), relation="burst")
    steps = tuple(replace(step, do="remove") if step.relation else replace(step, do="keep") for step in plan.steps)
    assert library.apply(Plan(steps), relations=("burst",)).done == 1
    assert sorted(path.name for path in photos.glob("*.*") if path.is_file()) == ["0.CR2", "0.JPG"]
    library.undo()
    assert len(list(photos.glob("*.*"))) == 4


@pytest.mark.parametrize(("taken_at", "goes"), [("2024:05:17 06:07:01", True), ("2024:06:01 00:00:00", False)])
def test_a_raw_that_changed_goes_along_only_where_it_is_that_exposure_still(
    taken_at: str, goes: bool, pairs: Library
) -> None:
    changed = card.raw_header(pairs.photos / "copies/1.CR2", taken_at)
    changed.write_bytes(changed.read_bytes() + b"more")
    assert pairs.apply(pairs.plan(PAIRS[1])).done == 1
    assert (pairs.photos / "copies/1.CR2").exists() is not goes
