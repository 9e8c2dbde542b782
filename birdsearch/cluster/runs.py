"""Runs: what a run on a cluster keeps beside the index until it is committed, and what those left that were stopped."""

import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa

from birdsearch.cluster import results
from birdsearch.cluster.results import Result
from birdsearch.files import FileState
from birdsearch.storage.folder import RUN

_BEGUN, _CARELESS = "begun", 2  # a mark, and how many attempts note no files: hosts come and go
_OPEN = 8  # files of results that are kept in memory: those of neighbours in the list lie together
_UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)
_opened = lru_cache(_OPEN)(results.read)


class Run:
    """The folder of one run: `listings` of what is to be read, and the `results`. Its lock ends with its process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listings = path / "listings"
        self.results = path / "results"
        self._lock = filelock.FileLock(path / "lock")

    @classmethod
    def new(cls, folder: Path, facts: Mapping[str, Any]) -> "Run":
        """A new one in the folder of an index. Results are of use to another run as long as the facts are the same."""
        run = cls._made(folder)
        while not run.take():  # another process has found it before, and taken it for one that was left behind
            run = cls._made(folder)
        (run.path / "facts.json").write_text(json.dumps(facts))
        return run

    @classmethod
    def _made(cls, folder: Path) -> "Run":
        run = cls(folder / f"{RUN}{secrets.token_hex(4)}")
        for each in (run.path, run.listings, run.results):
            each.mkdir()
        return run

    def take(self) -> bool:
        """Keep other processes from it; False where one has it."""
        try:
            self._lock.acquire(timeout=0)
        except (filelock.Timeout, OSError):
            return False
        return True

    def facts(self) -> Any:
        """What it was made with; None where that cannot be read."""
        with suppress(*_UNREADABLE):
            return json.loads((self.path / "facts.json").read_text())
        return None

    def release(self) -> None:
        """Let others have it; where it has no result, nobody needs it."""
        if not any(self.results.glob(f"*{results.SUFFIX}")):
            self.remove()
        self._lock.release()

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.path, ignore_errors=True)


def left_behind(folder: Path) -> list[Run]:
    """The runs that no process is at any more, taken."""
    return [run for path in sorted(folder.glob(f"{RUN}*")) if (run := Run(path)).take()]


class Attempts:
    """How often a process has begun with a listing, and with which file it died: Ray tries again without end.

    What began twice and never came to its end is gone through file by file, each of them noted before. A file that is
    noted last twice kills whoever decodes it.
    """

    def __init__(self, listing: Path) -> None:
        self._path = listing.with_suffix(".tried")
        with self._path.open("a+", encoding="ascii") as file:
            file.seek(0)
            noted = [*file.read().split(), _BEGUN]
            file.write(f"{_BEGUN}\n")
        self._last = Counter(one for one, then in pairwise(noted) if then == _BEGUN)
        self.careful = noted.count(_BEGUN) > _CARELESS

    def kills(self, place: int) -> bool:
        """Whether the file at a place in the list is known to kill."""
        return self._last[str(place)] > 1

    def note(self, place: int) -> None:
        """The file at this place is the next one."""
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{place}\n")


@dataclass(frozen=True, slots=True)
class Left:
    """A result that an earlier run has left: where it lies, and for what."""

    path: Path
    row: int
    state: FileState  # of its file when that was read


def left_results(runs: Iterable[Run]) -> dict[bytes, Left]:
    """What runs have left that holds for a later one, by the path of the file."""
    found: dict[bytes, Left] = {}
    for run in runs:
        for path in run.results.glob(f"*{results.SUFFIX}"):
            with suppress(*_UNREADABLE):
                rows = enumerate(results.read_files(path))
                found |= {file.path: Left(path, row, file.state) for row, (_, file, holds) in rows if holds}
    return found


class Inbox:
    """The results that have come for a list of so many files, by their places in it."""

    def __init__(self, count: int) -> None:
        self._paths: list[Path] = []
        self._numbers: dict[Path, int] = {}
        self._where = np.full((count, 2), -1, np.int32)  # which of the paths, and which row

    def look(self, run: Run) -> bool:
        """Take in what has come since; whether anything has."""
        with os.scandir(run.results) as entries:
            paths = [run.results / entry.name for entry in entries if entry.name.endswith(results.SUFFIX)]
        new = [path for path in paths if path not in self._numbers]
        for path in new:
            for row, (place, _, _) in enumerate(results.read_files(path)):
                self.put(place, path, row)
        return bool(new)

    def put(self, place: int, path: Path, row: int) -> None:
        """The result of the file at a place lies in this row of that file."""
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
        self._where[place] = self._numbers[path], row

    def result(self, place: int) -> Result | None:
        """What became of the file at a place, once that is known."""
        number, row = self._where[place].tolist()
        return None if number < 0 else _opened(self._paths[number])[row]
