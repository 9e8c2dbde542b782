"""Runs: what a run on a cluster keeps beside the index until it is committed, and what those left that were stopped."""

import json
import logging
import secrets
import shutil
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from birdsearch.cluster import results
from birdsearch.cluster.results import Result
from birdsearch.errors import IndexLockedError, os_error_text
from birdsearch.files import FileState, atomic_write
from birdsearch.photos.overlap import REMOTE_WORKERS
from birdsearch.storage.folder import RUN, Folder
from birdsearch.storage.place import LocalPlace, Place

logger = logging.getLogger("birdsearch")
_FACTS = "facts.json"
_CARELESS = 2  # attempts that note no files
_OPEN = 8  # files of results that are kept in memory: those of neighbours in the list lie together
_UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)
_opened = lru_cache(_OPEN)(results.read)


class Run:
    """One run: `listings` of what is to be read, and the `results`, where all hosts reach them.

    Its lock ends with its process.
    """

    def __init__(self, folder: Folder, place: Place, name: str) -> None:
        self.place = place.below(name)
        self.listings = self.place.below("listings")
        self.results = self.place.below("results")
        self._own = folder.path / name  # where its lock may lie
        self._lock = folder.lock_of(name)
        self._held = ExitStack()

    @classmethod
    def new(cls, folder: Folder, place: Place, facts: Mapping[str, Any]) -> "Run":
        """A new one in a place of an index. Results are of use to another run as long as the facts are the same."""
        run = cls._made(folder, place)
        while not run.take():  # another process has found it before, and taken it for one that was left behind
            run = cls._made(folder, place)
        with atomic_write(run.place.path / _FACTS) as file:
            file.write(json.dumps(facts).encode())
        run.place.publish(_FACTS)
        return run

    @classmethod
    def _made(cls, folder: Folder, place: Place) -> "Run":
        run = cls(folder, place, f"{RUN}{secrets.token_hex(4)}")
        for each in (run.place, run.listings, run.results):
            each.make()
        run._own.mkdir(parents=True, exist_ok=True)
        return run

    def take(self) -> bool:
        """Keep other processes from it; False where one has it."""
        try:
            self._held.enter_context(self._lock.held())
        except (IndexLockedError, OSError):
            return False
        return True

    def facts(self) -> Any:
        """What it was made with; None where that cannot be read."""
        with suppress(*_UNREADABLE):
            return json.loads(self.place.here(_FACTS).read_text())
        return None

    def come(self, known: Container[Path] = (), after: str = "") -> list[Path]:
        """The files of results that are there, but those that are known, and those whose names come before `after`."""
        names = [name for name in self.results.names(after) if name.endswith(results.SUFFIX)]
        new = [name for name in sorted(names) if self.results.path / name not in known]
        with ThreadPoolExecutor(REMOTE_WORKERS) as pool:
            return list(pool.map(self.results.here, new))

    def release(self) -> None:
        """Let others have it; where it has no result, nobody needs it."""
        with self._held, suppress(OSError):  # what cannot be looked at now is left
            if not any(name.endswith(results.SUFFIX) for name in self.results.names()):
                self.remove()

    def remove(self) -> None:
        """All of it."""
        try:
            for place in (self.place, self.results, self.listings):
                place.drop(".*")
        except OSError as error:
            logger.warning(
                "%s is needed no more and could not be removed (%s): the next run with --cluster tries again",
                self.place.where(""), os_error_text(error),
            )  # fmt: skip
            return
        for folder in (self.place.path, self._own):
            shutil.rmtree(folder, ignore_errors=True)


def left_behind(folder: Folder) -> list[Run]:
    """The runs on an index that no process is at any more, taken: those for hosts, and those of this computer."""
    places = dict.fromkeys((folder.place, LocalPlace(folder.path)))
    found = [(place, name) for place in places for name in sorted(place.folders()) if name.startswith(RUN)]
    return [run for place, name in found if (run := Run(folder, place, name)).take()]


class Attempts:
    """How often processes have begun a piece of work and not come to its end, and with which file they died.

    Ray tries again without end. What was begun twice is gone through file by file, each of them noted before. A file
    that was noted last twice kills whoever takes it.
    """

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()
        self._noted: dict[str, int] = {}
        self._deaths: dict[str, Counter[int]] = {}

    def begin(self, work: str) -> "Begun":
        """A process begins with this work; what is known of those that did before."""
        deaths = self._deaths.setdefault(work, Counter())
        if (last := self._noted.pop(work, None)) is not None:
            deaths[last] += 1
        self._begun[work] += 1
        return Begun(self._begun[work] - 1, frozenset(place for place, count in deaths.items() if count > 1))

    def note(self, work: str, place: int) -> None:
        """The file at this place in the list is the next one."""
        self._noted[work] = place

    def end(self, work: str) -> None:
        """It is done."""
        for each in (self._begun, self._noted, self._deaths):
            each.pop(work, None)


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of a piece of work when a process begins with it."""

    before: int  # how often it was begun
    kills: frozenset[int]  # the places of files that kill

    @property
    def careful(self) -> bool:
        """Whether to go file by file; hosts come and go, so that once says nothing."""
        return self.before >= _CARELESS


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
        for path in run.come():
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
        self._after = ""

    def look(self, run: Run, *, again: bool = False) -> bool:
        """Take in what has come since; whether anything has. Old ones are looked through `again` at the end."""
        new = run.come(self._numbers, "" if again else self._after)
        for path in new:
            for row, (place, _, _) in enumerate(results.read_files(path)):
                self.put(place, path, row)
        if new:
            self._after = max(self._after, results.before_all_to_come(new[-1].name))
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
