"""Pixels are asked once; what they said is believed of the same bytes, by the same arithmetic, from the user alone."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

import birdsearch
from birdsearch import Index
from birdsearch.cache import cache_folder
from birdsearch.duplicates import alignment, compared, verification
from birdsearch.duplicates.compared import UNKNOWN, Compared, Finding
from birdsearch.photos import memory
from birdsearch.records import DuplicateReport
from tests.support import drawing
from tests.support.fake_backbone import FakeBackbone
from tests.support.painting import samples

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def painted(path: Path, number: int) -> Path:
    picture = Image.fromarray(samples.cached_picture(samples.SPECIES[number % 6], number // 6))
    return drawing.write(path, picture, quality=92)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three pictures; the first one also mirrored, reduced and without loss."""
    folder = tmp_path / "photos"
    for number in range(3):
        painted(folder / f"{number}.jpg", number)
    with Image.open(folder / "0.jpg") as first:
        ImageOps.mirror(first).save(folder / "mirrored.jpg")
        first.resize((300, 225)).save(folder / "small.jpg")
        first.save(folder / "lossless.png")
    return folder


@pytest.fixture
def index(place: Path) -> Iterator[Index]:
    with birdsearch.create(place.parent / "index", backbone=FakeBackbone()) as made:
        made.add(place)
        yield made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each picture that is decoded."""
    seen: list[int] = []
    room = memory.room

    def counted(*of):  # type: ignore[no-untyped-def]
        seen.append(1)
        return room(*of)

    monkeypatch.setattr(memory, "room", counted)
    return seen


def found(index: Index) -> DuplicateReport:
    return replace(index.duplicates(), seconds=0.0)


def test_a_second_run_decodes_nothing_and_says_the_same(index: Index, decoded: list[int]) -> None:
    first = found(index)
    assert {pair.relation for pair in first.pairs} >= {"pixels", "variant"}
    assert len(decoded) >= len(index)
    decoded.clear()
    assert found(index) == first
    assert not decoded


def test_a_new_photo_is_compared_and_no_other_pair(
    index: Index, place: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found(index)
    with Image.open(place / "1.jpg") as picture:
        picture.resize((320, 240)).save(place / "new.jpg")
    assert index.add(place).added == 1
    pairs: list[tuple[object, object]] = []

    def counted(*pair):  # type: ignore[no-untyped-def]
        pairs.append(pair)
        return alignment.register(*pair)

    monkeypatch.setattr(verification, "register", counted)
    report = found(index)
    assert 0 < len(pairs) <= len(index) - 1
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(place.parent / "another cache"))
    assert report == found(index)


def test_a_card_is_compared_once(index: Index, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = place.parent / "card"
    painted(card / "new.jpg", 9)
    with Image.open(place / "2.jpg") as picture:
        picture.resize((300, 225)).save(card / "small 2.jpg")
    first = index.compare_folder(card)
    monkeypatch.setattr(verification, "register", lambda *_: pytest.fail("compared again"))
    again = index.compare_folder(card)
    assert replace(again, seconds=0.0) == replace(first, seconds=0.0)
    assert len(again.known) == len(again.new) == 1


def test_nothing_is_kept_of_a_file_that_changed_unseen(index: Index, place: Path) -> None:
    """Of the same size and time as its record: only its bytes tell that it is another picture."""
    file, whole = place / "1.jpg", (place / "1.jpg").read_bytes()
    info, other = file.stat(), (place / "small.jpg").read_bytes()
    file.write_bytes(other + bytes(len(whole) - len(other)))
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    changed = {photo.id for photo in index.photos() if photo.path == str(file)}
    assert any(pair.a in changed or pair.b in changed for pair in found(index).pairs)
    file.write_bytes(whole)
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert not any(pair.a in changed or pair.b in changed for pair in found(index).pairs)


def test_a_file_that_is_away_is_unreadable_whatever_was_kept(index: Index, place: Path) -> None:
    first = found(index)
    shutil.move(place / "small.jpg", place.parent / "away.jpg")
    without = found(index)
    assert without.counts["unreadable"] == 1
    assert len(without.pairs) < len(first.pairs)
    shutil.move(place.parent / "away.jpg", place / "small.jpg")
    assert found(index) == first


def test_an_index_without_a_cache_answers_too(index: Index, decoded: list[int], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    first = found(index)
    decoded.clear()
    assert found(index) == first
    assert decoded


@pytest.mark.skipif(os.name == "nt", reason="modes do not say it there")
def test_what_others_may_have_written_is_not_believed(index: Index, decoded: list[int]) -> None:
    first = found(index)
    cache_folder().chmod(0o777)
    decoded.clear()
    assert found(index) == first
    assert len(decoded) >= len(index)


def test_a_damaged_file_is_made_anew(index: Index, decoded: list[int]) -> None:
    first = found(index)
    (file,) = cache_folder().glob("compared-*")
    file.write_bytes(b"\0" * file.stat().st_size)
    assert found(index) == first
    assert found(index) == first  # in a new one
    decoded.clear()
    assert found(index) == first
    assert not decoded


def test_another_arithmetic_finds_anew(index: Index, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    found(index)
    monkeypatch.setattr(compared, "arithmetic", lambda: "another")
    decoded.clear()
    found(index)
    assert len(decoded) >= len(index)
    assert [file.name for file in cache_folder().glob("compared-*")] == ["compared-another.sqlite"]


def test_the_order_of_two_contents_and_the_question_count() -> None:
    table = Compared()
    table.keep("q", [Finding((A, B), {"x": 1.5}), Finding((A, C), None)])
    assert table.ask("q", [(A, B), (A, C), (B, A), (B, C)]) == [{"x": 1.5}, None, UNKNOWN, UNKNOWN]
    assert table.ask("other", [(A, B)]) == [UNKNOWN]


def test_a_full_table_keeps_what_it_has_and_is_begun_anew() -> None:
    table = Compared(largest=1 << 16)
    table.keep("q", [Finding((A, B), "first")])
    table.keep("q", [Finding((A, f"{number:064}"), "x" * 1000) for number in range(100)])
    table.close()
    assert Compared().ask("q", [(A, B)]) == ["first"]
    (file,) = cache_folder().glob("compared-*")
    assert Compared(largest=file.stat().st_size).ask("q", [(A, B)]) == [UNKNOWN]


def test_another_process_that_writes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsearch.cache.PATIENCE", 0.0)
    table = Compared()
    assert table.ask("q", [(A, B)]) == [UNKNOWN]
    (file,) = cache_folder().glob("compared-*")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    table.keep("q", [Finding((A, B), 1)])
    other.execute("ROLLBACK")
    assert table.ask("q", [(A, B)]) == [UNKNOWN]
    table.keep("q", [Finding((A, B), 1)])
    assert table.ask("q", [(A, B)]) == [1]
