"""Caller: whom a run of `add` or `reembed` tells how far it is, and lets change the index between its commits."""

import time
from collections.abc import Callable

from birdsearch.records import Progress
from birdsearch.storage.store import Store

LET_IN_SECONDS = 2.0  # without a commit, after which the caller may change the index all the same


class Caller:
    """Who waits for a run; `between_commits` is called in the thread of the run, which holds the lock."""

    def __init__(
        self, store: Store, progress: Progress | None = None, between_commits: Callable[[], None] | None = None
    ) -> None:
        self._store, self._progress, self._between_commits = store, progress, between_commits
        self._told: tuple[str, int, int | None, str] | None = None
        self._let_in = time.monotonic()

    def tell(self, stage: str, done: int, total: int | None, path: str = "") -> None:
        """Say how far the run is. What the caller raises to end it is passed on, as the next method does."""
        self._told = stage, done, total, path
        self.tell_again()

    def tell_again(self) -> None:
        """Say the same once more, while nothing is done but waiting."""
        if self._progress is not None and self._told is not None:
            self._progress(*self._told)

    @property
    def attends(self) -> Callable[[], None] | None:
        """`tell_again` for steps that take long; None where nobody listens."""
        return None if self._progress is None else self.tell_again

    def is_due(self, *, committed: bool = False) -> bool:
        """Whether it is time to let the caller change the index, given whether a commit was made."""
        return self._between_commits is not None and (committed or time.monotonic() - self._let_in > LET_IN_SECONDS)

    def let_in(self) -> None:
        """Let the caller change the index, where it asked for that. No commit may be under way."""
        if self._between_commits is not None:
            self._store.let_in(self._between_commits)
            self._let_in = time.monotonic()

    def idle(self) -> None:
        """For runs that commit in their own thread: while nothing is done but waiting."""
        self.tell_again()
        if self.is_due():
            self.let_in()
