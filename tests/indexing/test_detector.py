"""What a file is against the catalog: told by size and time, then by content."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdsearch.files import FileState
from birdsearch.indexing.detector import ChangeDetector, Moved, Unchanged
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Failure, Photo
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import Batch, Entry, PartRow
from tests.support.catalogs import new_catalog

SHA = "ab" * 32


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog of one photo, whose file is there, and of one failure."""
    made = new_catalog(tmp_path)
    made.ensure_root(os.fsencode(tmp_path))
    (tmp_path / "wren.jpg").write_bytes(b"wren")
    photo = Photo(1, str(tmp_path / "wren.jpg"), sha256=SHA, size=4, mtime_ns=7)
    failure = Failure(str(tmp_path / "broken.jpg"), "decode", "truncated")
    made.commit(Batch([Entry(photo, False, 1)], PartRow(1, 1, "", "test"), failed=[(FileState(9, 9), failure)]))
    yield made
    made.close()


@pytest.fixture
def detector(catalog: Catalog, tmp_path: Path) -> ChangeDetector:
    return ChangeDetector.of(catalog, [os.fsencode(tmp_path)])


def file(tmp_path: Path, name: str, size: int, mtime_ns: int) -> FoundFile:
    return FoundFile(os.fsencode(tmp_path / name), FileState(size, mtime_ns))


def test_size_and_time_decide_whether_a_file_is_read(detector: ChangeDetector, tmp_path: Path) -> None:
    assert detector.by_state(file(tmp_path, "wren.jpg", 4, 7)) == Unchanged(1)
    assert detector.by_state(file(tmp_path, "wren.jpg", 4, 8)) is None
    assert detector.by_state(file(tmp_path, "new.jpg", 4, 7)) is None
    failed = detector.by_state(file(tmp_path, "broken.jpg", 9, 9))
    assert isinstance(failed, Failure)
    assert failed.reason == "truncated"


def test_a_ctime_or_inode_that_changed_is_a_reason_to_read_where_both_are_known() -> None:
    before = FileState(4, 7, 8, 9)
    assert FileState(4, 7, 8, 9).is_same(before)
    assert not FileState(4, 7, 9, 9).is_same(before)
    assert not FileState(4, 7, 8, 10).is_same(before)
    assert FileState(4, 7, 8, None).is_same(before)
    assert FileState(4, 7, 9, 10).is_same(FileState(4, 7))


def test_an_index_of_before_learns_the_state_of_a_file_without_a_look_inside(
    detector: ChangeDetector, tmp_path: Path
) -> None:
    state = FileState(4, 7, 8, 9)
    assert detector.by_state(FoundFile(os.fsencode(tmp_path / "wren.jpg"), state)) == Unchanged(1, state=state)


def test_content_tells_a_touched_file_from_a_copy(detector: ChangeDetector, tmp_path: Path) -> None:
    assert not detector.is_known("cd" * 32)
    assert detector.is_known(SHA)
    touched = Photo(None, str(tmp_path / "wren.jpg"), sha256=SHA)
    copy = Photo(None, str(tmp_path / "copy.jpg"), sha256=SHA)
    assert detector.by_content(touched) == Unchanged(1)
    assert detector.by_content(copy) is None


def test_a_file_that_is_gone_has_moved_once(detector: ChangeDetector, tmp_path: Path) -> None:
    old = tmp_path / "wren.jpg"
    old.rename(tmp_path / "elsewhere.jpg")
    first = Photo(None, str(tmp_path / "elsewhere.jpg"), sha256=SHA)
    second = Photo(None, str(tmp_path / "copy.jpg"), sha256=SHA)
    assert detector.by_content(first) == Moved(1, os.fsencode(old))
    assert detector.by_content(second) is None
    assert list(detector.missing([]).ids) == []


def test_what_was_not_met_is_missing_unless_its_folder_could_not_be_read(
    detector: ChangeDetector, tmp_path: Path
) -> None:
    assert list(detector.missing([]).ids) == [1]
    assert detector.resolved_failures([]) == [str(tmp_path / "broken.jpg")]
    assert list(detector.missing([os.fsencode(tmp_path)]).ids) == []
    assert detector.resolved_failures([os.fsencode(tmp_path)]) == []
    detector.mark_found(os.fsencode(tmp_path / "wren.jpg"))
    detector.mark_found(os.fsencode(tmp_path / "broken.jpg"), failed=True)
    assert list(detector.missing([]).ids) == []
    assert detector.resolved_failures([]) == []


def test_a_content_that_could_not_be_embedded_is_new_again(detector: ChangeDetector) -> None:
    detector.add_content("cd" * 32)
    assert detector.is_known("cd" * 32)
    detector.drop_content("cd" * 32)
    assert not detector.is_known("cd" * 32)
