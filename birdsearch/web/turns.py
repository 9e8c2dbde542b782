"""Turns: how many requests compute at once, and how many may wait for that."""

import os
import threading
from types import TracebackType

from birdsearch.errors import BirdsearchError

CORES = os.cpu_count() or 1


class TooManyError(BirdsearchError):
    """Too many questions wait for an answer."""


class Turns:
    """As many at once as there are cores; with `waiting` no more than so many for each core wait, the others are told.

    >>> with turns:
    ...     answer = compute()
    """

    def __init__(self, waiting: int | None = None) -> None:
        self._running = threading.Semaphore(CORES)
        self._room = threading.Semaphore(CORES * (1 + waiting)) if waiting is not None else None

    def __enter__(self) -> None:
        if self._room is not None and not self._room.acquire(blocking=False):
            raise TooManyError("too many questions wait for an answer already: ask again in a moment.")
        self._running.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.release()
        if self._room is not None:
            self._room.release()
