"""Work in a thread of its own, so that whoever waits for it hears how far it is, and can end it at once."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from threading import Event, Thread
from typing import Any, TypeVar

from birdsearch.errors import Cancelled
from birdsearch.records import Progress

TICK = 0.25  # seconds between two calls of `progress`

T = TypeVar("T")


def attended(stage: str, work: Callable[[Progress], T], progress: Progress | None) -> T:
    """What `work` gives; meanwhile this thread passes on what it told last, over and over, at first the stage alone.

    What `progress` raises here, as Ctrl-C does, ends the wait at once: no step of the numerics is too long for it. The
    thread is left behind, and ends where it tells something next: so `work` must change nothing that others see. A
    snapshot of a catalog is of one thread: it is taken in `work` or not at all.
    """
    if progress is None:
        return work(lambda *_: None)
    told: tuple[str, int, int | None, str] = (stage, 0, None, "")
    ended = Event()

    def tell(*step: Any) -> None:
        nonlocal told
        if ended.is_set():
            raise Cancelled
        told = step

    try:
        result = waited(lambda: work(tell), lambda: progress(*told))
        progress(*told)
    except BaseException:
        ended.set()
        raise
    return result


def waited(work: Callable[[], T], idle: Callable[[], None] | None) -> T:
    """What `work` gives, where this thread calls `idle` while it waits; what that raises ends the wait.

    The work finds the context variables of this thread as they are now.
    """
    if idle is None:
        return work()
    future: Future[T] = Future()
    Thread(target=copy_context().run, args=(_run, future, work), name="birdsearch-attended", daemon=True).start()
    while not wait([future], TICK).done:
        idle()
    return future.result()


def _run(future: "Future[T]", work: Callable[[], T]) -> None:
    """Runs in the thread."""
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
