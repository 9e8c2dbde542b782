"""A file that was right is read once; that is believed only while the file, and the cache, are as they were."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from birdsearch import cache
from birdsearch.cache import cache_folder, file_problem
from birdsearch.files import sha256_of


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was read whole, with an empty cache, ten seconds after everything was written."""
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 10**10)
    seen: list[str] = []
    digest = hashlib.file_digest

    def counted(file, name):  # type: ignore[no-untyped-def]
        seen.append(name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return seen


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Some file."""
    (tmp_path / "file").write_bytes(b"what was written")
    return tmp_path / "file"


def test_a_file_is_read_once_until_it_changes(file: Path, reads: list[str]) -> None:
    sha256 = sha256_of(file)
    reads.clear()
    assert [file_problem(file, sha256) for _ in range(3)] == [None] * 3
    assert len(reads) == 1
    os.utime(file, ns=(1, 1))
    assert [file_problem(file, sha256) for _ in range(3)] == [None] * 3
    assert len(reads) == 2
    assert file_problem(file, sha256, anew=True) is None
    assert len(reads) == 3


def test_one_other_bit_is_noticed_though_size_and_time_are_the_same(file: Path, reads: list[str]) -> None:
    sha256, info = sha256_of(file), file.stat()
    assert file_problem(file, sha256) is None
    file.write_bytes(b"what was wRitten")
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert "does not have the checksum" in str(file_problem(file, sha256))


def test_a_file_of_this_moment_is_not_taken_for_settled(
    file: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(file.parent / "cache"))
    assert file_problem(file, sha256_of(file)) is None
    assert not (cache_folder() / "checked").exists()


def test_what_the_disk_lost_is_found_anew_and_then_not_believed(
    file: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256, info = sha256_of(file), file.stat()
    assert file_problem(file, sha256) is None
    file.write_bytes(b"what was wRitten")
    monkeypatch.setattr(os, "fstat", lambda handle: info)  # the file seems to be as it was
    assert file_problem(file, sha256) is None
    assert "does not have the checksum" in str(file_problem(file, sha256, anew=True))
    assert "does not have the checksum" in str(file_problem(file, sha256))


def test_what_cannot_be_read_is_named(tmp_path: Path, reads: list[str]) -> None:
    assert str(file_problem(tmp_path / "away", "0" * 64)).endswith("away is missing")
    assert "cannot be read" in str(file_problem(tmp_path, "0" * 64))
    os.mkfifo(tmp_path / "pipe")
    assert str(file_problem(tmp_path / "pipe", "0" * 64)).endswith("pipe is not a file")


@pytest.mark.skipif(os.name == "nt", reason="folders have no mode there")
def test_a_cache_that_others_may_write_is_not_believed(file: Path, reads: list[str]) -> None:
    sha256 = sha256_of(file)
    assert file_problem(file, sha256) is None
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    assert (cache_folder() / "checked").stat().st_mode & 0o777 == 0o600
    cache_folder().chmod(0o777)
    reads.clear()
    assert [file_problem(file, sha256) for _ in range(2)] == [None] * 2
    assert len(reads) == 2


def test_a_damaged_memory_or_none_costs_only_time(
    file: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = sha256_of(file)
    for damage in (b"\xff\x00 nonsense", b"", b"x" * 2_000_000):
        cache.make_private(cache_folder())
        (cache_folder() / "checked").write_bytes(damage)
        assert [file_problem(file, sha256) for _ in range(2)] == [None] * 2
    assert (cache_folder() / "checked").stat().st_size < 1000
    (file.parent / "no folder").write_bytes(b"")
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(file.parent / "no folder"))
    assert file_problem(file, sha256) is None


def test_what_depends_on_files_and_facts_has_another_stamp_when_one_changes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("1")
    other.write_text("2")
    before = cache.stamp_of([one, other], ["numpy 2"])
    assert cache.stamp_of(iter([other, one]), ["numpy 2"]) == before
    assert cache.stamp_of([one, other], ["numpy 3"]) != before
    other.write_text("3")
    assert cache.stamp_of([one, other], ["numpy 2"]) != before
    assert len(before) == 16


def test_a_stamped_file_takes_the_place_of_those_of_other_stamps(reads: list[str]) -> None:
    older = cache.stamped_file("names", ".json", "a")
    assert older is not None
    older.write_text("{}")
    assert cache.stamped_file("names", ".json", "a") == older
    assert older.exists()
    assert cache.stamped_file("names", ".json", "b") == older.with_name("names-b.json")
    assert not older.exists()
    cache_folder().chmod(0o777)
    assert cache.stamped_file("names", ".json", "b") is None
