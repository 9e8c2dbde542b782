"""Work on many photos in threads that can be left behind, should one file never answer."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

WORKERS = max(2, os.cpu_count() or 2)  # threads: Pillow lets others run while it decodes, and reading waits
REMOTE_WORKERS = max(16, WORKERS)  # the same for what comes from a store of objects, which takes its time to answer
LEAVE_SECONDS = 1.0  # that a thread may take to end
IDLE_SECONDS = 1.0  # without a result, from one call of `idle` to the next

T = TypeVar("T")
R = TypeVar("R")


def overlapped(
    items: Iterable[T],
    work: Callable[[T], R],
    *,
    ahead: int,
    idle: Callable[[], None] | None = None,
    workers: int | None = None,
) -> Generator[R, None, None]:
    """Do the work in threads, at most `ahead` results in advance, and give the results in the order of the items.

    There are WORKERS threads unless another number is given.

    While no result comes `idle` is called each second: what it raises ends the work. Where it ends early it does not
    wait for what is under way: one file that never answers would hold up Ctrl-C.
    """
    tasks: SimpleQueue[tuple[Future[R], T] | None] = SimpleQueue()
    threads = [
        Thread(target=_serve, args=(tasks, work), name="birdsearch-decode", daemon=True)
        for _ in range(workers or WORKERS)
    ]
    for thread in threads:
        thread.start()
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(Future())
            tasks.put((waiting[-1], item))
            if len(waiting) >= ahead:
                yield _result(waiting.popleft(), idle)
        while waiting:
            yield _result(waiting.popleft(), idle)
    finally:
        for future in waiting:
            future.cancel()
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join(LEAVE_SECONDS)


def _result(future: Future[R], idle: Callable[[], None] | None) -> R:
    while idle is not None and not future.done() and not wait([future], IDLE_SECONDS).done:
        idle()
    return future.result()


def _serve(tasks: "SimpleQueue[tuple[Future[R], T] | None]", work: Callable[[T], R]) -> None:
    """Runs in a thread: task after task, until there is None."""
    while (task := tasks.get()) is not None:
        future, item = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)
