"""Runs: what a run on a cluster keeps beside the index until it is committed, and what those left that were stopped."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa

from birdsearch.cluster import results
from birdsearch.cluster.results import Result
from birdsearch.photos.scan import FoundFile
from birdsearch.storage.folder import RUN

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
        run = cls(folder / f"{RUN}{secrets.token_hex(4)}")
        for each in (run.path, run.listings, run.results):
            each.mkdir()
        run.take()
        (run.path / "facts.json").write_text(json.dumps(facts))
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
        """Let others have it."""
        self._lock.release()

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.path, ignore_errors=True)


def left_behind(folder: Path) -> list[Run]:
    """The runs that no process is at any more, taken."""
    return [run for path in sorted(folder.glob(f"{RUN}*")) if (run := Run(path)).take()]


class Inbox:
    """The results that have come for the files of a list, by their places in it."""

    def __init__(self, files: Sequence[FoundFile]) -> None:
        self._files = files
        self._paths: list[Path] = []
        self._seen: set[str] = set()
        self._where = np.full((len(files), 2), -1, np.int32)  # which of the paths, and which row

    def waiting(self) -> list[int]:
        """The places without a result."""
        return np.flatnonzero(self._where[:, 0] < 0).tolist()

    def take_over(self, run: Run) -> None:
        """What a run left of files that are as they were then."""
        places = {file.path: place for place, file in enumerate(self._files)}
        for path in run.results.glob(f"*{results.SUFFIX}"):
            with suppress(*_UNREADABLE):
                for row, (_, then, holds) in enumerate(results.read_files(path)):
                    place = places.get(then.path)
                    if holds and place is not None and self._files[place].state.is_same(then.state):
                        self._note(place, path, row)

    def look(self, run: Run) -> bool:
        """Take in what has come since; whether anything has."""
        new = [entry.name for entry in os.scandir(run.results) if entry.name.endswith(results.SUFFIX)]
        new = [name for name in new if name not in self._seen]
        for name in new:
            for row, (place, _, _) in enumerate(results.read_files(run.results / name)):
                self._note(place, run.results / name, row)
        self._seen.update(new)
        return bool(new)

    def result(self, place: int) -> Result | None:
        """What became of the file at a place, once that is known."""
        number, row = self._where[place].tolist()
        return None if number < 0 else _opened(self._paths[number])[row]

    def _note(self, place: int, path: Path, row: int) -> None:
        if not self._paths or self._paths[-1] != path:
            self._paths.append(path)
        self._where[place] = len(self._paths) - 1, row
