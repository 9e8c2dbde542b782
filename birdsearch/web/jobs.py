"""Jobs: what takes long runs on one of two threads, one that writes and one that reads; short writes go in between."""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from birdsearch.errors import BirdsearchError, Cancelled
from birdsearch.records import Progress
from birdsearch.web.turns import CORES

logger = logging.getLogger("birdsearch")

T = TypeVar("T")

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
_KEPT = 100  # jobs that have ended
_QUEUED_AT_MOST = 50
_PATIENCE = 20.0  # seconds that a short write waits for a commit
_RATE_AFTER = 1.0  # seconds of a stage before its rate is said


class BusyError(BirdsearchError):
    """The server has too much to do to do this now."""


class JobUnknownError(BirdsearchError):
    """The server has no job of this number."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands."""

    id: int
    do: str  # its kind: "add", "duplicates"...
    title: str  # for people: "Add photos of 2026"
    state: str  # "queued", "running", "done", "failed" or "cancelled"
    stage: str  # of its progress: "scan", "embed"...; empty before the first
    done: int  # things of this stage
    total: int | None  # None where it is not known
    rate: float | None  # things a second
    left: float | None  # seconds of this stage
    seconds: float  # since it began; of one that has ended those it took
    created: str  # ISO 8601, UTC
    ended: str | None
    can_cancel: bool


@dataclass
class _Entry:
    """What is known of a job inside."""

    id: int
    do: str
    title: str
    work: Callable[[Progress], Any]
    writes: bool
    key: str
    state: str = QUEUED
    stage: str = ""
    done: int = 0
    total: int | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float | None = None  # by time.monotonic
    stage_began: tuple[float, int] = (0.0, 0)  # when, and what was done by then
    took: float = 0.0
    ended: datetime | None = None
    to_be_cancelled: bool = False
    result: Any = None
    error: Exception | None = None
    change: int = 0  # the number of its last change among those of all jobs

    def job(self) -> Job:
        """The job as it stands now."""
        now = time.monotonic()
        since, before = self.stage_began
        measured = self.state == RUNNING and self.done > before and now - since > _RATE_AFTER
        rate = (self.done - before) / (now - since) if measured else None
        left = (self.total - self.done) / rate if rate and self.total is not None else None
        seconds = now - self.began if self.state == RUNNING and self.began is not None else self.took
        return Job(
            self.id, self.do, self.title, self.state, self.stage, self.done, self.total,
            None if rate is None else round(rate, 2), None if left is None else round(left, 1), round(seconds, 2),
            _iso(self.created), _iso(self.ended), self.state in (QUEUED, RUNNING) and not self.to_be_cancelled,
        )  # fmt: skip


def _iso(moment: datetime | None) -> Any:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


class Jobs:
    """The jobs of a server, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ids, self._changes = itertools.count(1), itertools.count(1)
        self._entries: dict[int, _Entry] = {}
        self._queues: dict[bool, deque[_Entry]] = {True: deque(), False: deque()}
        self._short: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads: dict[bool, threading.Thread] = {}
        self._closed = False

    # Long work

    def start(self, do: str, title: str, work: Callable[[Progress], Any], *, writes: bool, key: str = "") -> Job:
        """Have a job done, after those of its thread that were asked for before.

        `work` gets a callback for its progress, which ends it where it is cancelled. `key` says what was asked, so that
        `newest` finds its answer. Raises BusyError where too many wait.
        """
        with self._changed:
            if self._closed or len(self._queues[writes]) >= _QUEUED_AT_MOST:
                raise BusyError("too many jobs wait already: cancel some, or ask again later.")
            entry = _Entry(next(self._ids), do, title, work, writes, key)
            self._entries[entry.id] = entry
            self._queues[writes].append(entry)
            self._forget_old()
            self._note(entry)
            self._run(writes)
            return entry.job()

    def cancel(self, job_id: int) -> Job:
        """End a job at the next commit; what was committed stays."""
        with self._changed:
            entry = self._entry(job_id)
            if entry.state == QUEUED:
                self._queues[entry.writes].remove(entry)
                self._end(entry, CANCELLED)
            elif entry.state == RUNNING:
                entry.to_be_cancelled = True
                self._note(entry)
            return entry.job()

    # Short writes

    def write(self, function: Callable[[], T]) -> T:
        """What a short change of the index returns. It is made on the writing thread, between commits of a job there.

        Raises BusyError where the job does not come to a commit for too long: then nothing was changed.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise BusyError("the server is ending.")
            self._short.append((future, function))
            self._run(True)
        try:
            return future.result(_PATIENCE)
        except TimeoutError:
            if not future.cancel():
                return future.result()  # it has begun meanwhile
            running = next((one for one in self._entries.values() if one.state == RUNNING and one.writes), None)
            what = f"“{running.title}” is writing" if running else "another change is being made"
            raise BusyError(f"{what} and lets nothing in between yet: try again in a moment.") from None

    def write_waiting(self) -> None:
        """Make the short changes that wait: a long job on the writing thread calls this between its commits."""
        while self._short:
            future, function = self._short.popleft()
            if not future.set_running_or_notify_cancel():
                continue  # who asked has given up
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

    # Looking

    def all(self) -> list[Job]:
        """Every job that is known, the newest first."""
        with self._changed:
            return [entry.job() for entry in reversed(self._entries.values())]

    def get(self, job_id: int) -> Job:
        """One job. Raises JobUnknownError."""
        with self._changed:
            return self._entry(job_id).job()

    def outcome(self, job_id: int) -> tuple[Any, Exception | None]:
        """The result of a job and the error that ended it, None where there is none."""
        with self._changed:
            entry = self._entry(job_id)
            return entry.result, entry.error

    def newest(self, key: str, *states: str) -> Job | None:
        """The last job of those that were asked this and are in one of these states."""
        with self._changed:
            found = (one for one in reversed(self._entries.values()) if one.key == key and one.state in states)
            return next((one.job() for one in found), None)

    def changed_since(self, change: int) -> tuple[int, list[Job]]:
        """The number of the last change of any job, and the jobs that have changed after another one."""
        with self._changed:
            late = sorted((one for one in self._entries.values() if one.change > change), key=lambda one: one.change)
            return (late[-1].change if late else change), [one.job() for one in late]

    def close(self, patience: float = 10.0) -> None:
        """Cancel everything and wait so many seconds for it to end."""
        with self._changed:
            self._closed = True
            for entry in self._entries.values():
                entry.to_be_cancelled = True
            self._changed.notify_all()
        until = time.monotonic() + patience
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))

    # Inside

    def _entry(self, job_id: int) -> _Entry:
        if job_id not in self._entries:
            raise JobUnknownError(f"there is no job {job_id} any more: the jobs of a server end with it.")
        return self._entries[job_id]

    def _forget_old(self) -> None:
        ended = [one.id for one in self._entries.values() if one.ended is not None]
        for job_id in ended[: max(0, len(ended) - _KEPT)]:
            del self._entries[job_id]

    def _note(self, entry: _Entry) -> None:
        entry.change = next(self._changes)

    def _run(self, writes: bool) -> None:
        """Start the thread, where it does not run yet, and wake it."""
        if writes not in self._threads:
            name = "birdsearch writer" if writes else "birdsearch reader"
            self._threads[writes] = threading.Thread(target=self._serve, args=(writes,), name=name, daemon=True)
            self._threads[writes].start()
        self._changed.notify_all()

    def _serve(self, writes: bool) -> None:
        """What a thread does until the server ends."""
        queue = self._queues[writes]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or queue or (writes and self._short))
                if self._closed:
                    break
                entry = queue.popleft() if queue and not (writes and self._short) else None
                if entry is not None:
                    entry.state, entry.began = RUNNING, time.monotonic()
                    self._note(entry)
            if entry is None:
                self.write_waiting()
            else:
                self._carry_out(entry)
        if writes:
            self.write_waiting()  # nothing that somebody waits for is left undone

    def _carry_out(self, entry: _Entry) -> None:
        state = DONE
        try:
            with threadpool_limits(CORES, "openmp"):  # of this thread: an engine is built with all cores
                entry.result = entry.work(self._progress(entry))
        except Cancelled:
            state = CANCELLED
        except Exception as error:
            state, entry.error = FAILED, error
            if not isinstance(error, BirdsearchError | ValueError):
                logger.exception("the job %d, %s, failed", entry.id, entry.do)
        with self._changed:
            self._end(entry, state)

    def _end(self, entry: _Entry, state: str) -> None:
        entry.state, entry.ended = state, datetime.now(UTC)
        entry.took = time.monotonic() - entry.began if entry.began is not None else 0.0
        self._note(entry)

    def _progress(self, entry: _Entry) -> Progress:
        def progress(stage: str, done: int, total: int | None, path: str) -> None:
            with self._changed:
                if entry.to_be_cancelled:
                    raise Cancelled(f"{entry.title}: cancelled")
                if stage != entry.stage:
                    entry.stage_began = time.monotonic(), done
                entry.stage, entry.done, entry.total = stage, done, total
                self._note(entry)

        return progress
