"""Listing: what is gone through again and again, as the files that a run is to read; on disk where it is much."""

import pickle
import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Generic, TypeVar

from birdsearch.photos.scan import FoundFile
from birdsearch.storage.catalog.catalog import KnownFile

_IN_MEMORY = 4 << 20  # bytes, of some ten thousand files
_TOGETHER = 1000  # things

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that is to be read, and what the catalog knew of it when it was found."""

    file: FoundFile
    known: KnownFile | None


class Listing(Generic[T]):
    """Things in the order in which they were added; may be gone through again and again."""

    def __init__(self, things: Iterable[T] = ()) -> None:
        self._new: list[T] = []  # that are not in the file yet
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (it lives as long as the listing)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()  # the hosts of a cluster are handed files while their outcomes are taken
        self._stored = 0
        self.add(things)

    def add(self, things: Iterable[T]) -> None:
        """Take in more of them; not while it is gone through."""
        for one in things:
            self._new.append(one)
            if len(self._new) == _TOGETHER:
                self._file.seek(0, 2)
                pickle.dump(self._new, self._file)
                self._stored += len(self._new)
                self._new = []

    def __len__(self) -> int:
        return self._stored + len(self._new)

    def __iter__(self) -> Iterator[T]:
        at = 0
        for _ in range(0, self._stored, _TOGETHER):
            with self._lock:
                self._file.seek(at)
                block = pickle.load(self._file)  # what this process has written into a file without a name
                at = self._file.tell()
            yield from block
        yield from self._new
