"""Reading needs no room and no right to write, not even where a writer was killed."""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch.errors import IndexUnwritableError
from tests.support.disks import call_where_disks_mount
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone

pytestmark = pytest.mark.slow


def answers(path: Path) -> list[object]:
    """What an index says."""
    with birdsearch.open(path, backbone=FakeBackbone()) as index:
        info = {name: value for name, value in index.info().items() if name not in ("path", "bytes")}
        found = index.search_vectors(np.ones((1, FakeBackbone.dim), dtype=np.float32), 3)
        return [index.photos(), found, info, index.failures(), index.duplicates().groups, index.vectors([1, 2])]


def make(folder: Path) -> Path:
    """An index of five photos."""
    for seed in range(5):
        write(folder / f"photos/{seed}.jpg", bird(seed, 60, 40))
    with birdsearch.create(folder / "index", backbone=FakeBackbone()) as index:
        index.add(folder / "photos")
    return folder / "index"


def kill_a_writer(index: Path, *, keep_shared: bool) -> None:
    """Leave what a writer leaves that was killed after a commit."""
    if os.fork() == 0:
        database = sqlite3.connect(index / "catalog.sqlite")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.execute("UPDATE photos SET rating = 3")
        database.commit()
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    assert (index / "catalog.sqlite-wal").stat().st_size
    if not keep_shared:
        (index / "catalog.sqlite-shm").unlink()


def fill(disk: Path) -> None:
    """Take the last byte."""
    with (disk / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def full_disk(folder: Path) -> None:
    _ask_all(folder, fill)


def read_only_disk(folder: Path) -> None:
    _ask_all(folder, lambda disk: subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True))


def _ask_all(folder: Path, close: Callable[[Path], object]) -> None:
    index = make(folder)
    for killed in (None, False, True):
        if killed is not None:
            kill_a_writer(index, keep_shared=killed)
        disk = folder / f"disk {killed}"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
        shutil.copytree(index, disk / "index")
        close(disk)
        asked = answers(disk / "index")
        assert asked[0][0].rating == (None if killed is None else 3)  # type: ignore[index]
        with pytest.raises(IndexUnwritableError), birdsearch.open(disk / "index", backbone=FakeBackbone()) as opened:
            opened.label({1: "Wren"})
        shutil.copytree(disk / "index", folder / f"copy {killed}")
        assert repr(answers(folder / f"copy {killed}")) == repr(asked)


@pytest.mark.parametrize("check", [full_disk, read_only_disk])
def test_a_disk_that_takes_nothing_answers(tmp_path: Path, check: Callable[[Path], None]) -> None:
    call_where_disks_mount(check, tmp_path)


def test_what_a_killed_writer_left_is_read_from_a_copy_that_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, place = make(tmp_path), tmp_path / "temporary"
    kill_a_writer(index, keep_shared=False)
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with birdsearch.open(index, backbone=FakeBackbone()) as opened:
        assert opened.photo(1).rating == 3
        assert opened.photo(1).rating == 3
    assert list(place.iterdir()) == []
