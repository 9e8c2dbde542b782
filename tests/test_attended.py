"""Whoever waits for a long question hears how far it is, and ends it at once."""

import threading
from contextvars import ContextVar

import pytest

from birdsearch import Cancelled, attended
from birdsearch.attended import attended as asked
from birdsearch.records import Progress


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attended, "TICK", 0.005)


def test_the_caller_hears_the_stage_and_then_what_is_told() -> None:
    told: list[tuple[str, int, int | None, str]] = []
    heard, here = threading.Event(), threading.current_thread()

    def work(tell: Progress) -> int:
        heard.wait(60)
        tell("count", 3, 4, "a")
        return 7

    def progress(*step: object) -> None:
        assert threading.current_thread() is here
        told.append(step)  # type: ignore[arg-type]
        heard.set()

    assert asked("wait", work, progress) == 7
    assert told[0] == ("wait", 0, None, "")
    assert told[-1] == ("count", 3, 4, "a")


def test_a_step_that_takes_long_does_not_hold_the_caller_up() -> None:
    go, ended = threading.Event(), threading.Event()

    def work(tell: Progress) -> None:
        go.wait(60)
        try:
            tell("count", 1, None, "")
        except Cancelled:
            ended.set()

    def stop(*step: object) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        asked("wait", work, stop)
    go.set()
    assert ended.wait(60)  # what was left behind ends by itself


def test_errors_of_the_work_are_raised_and_without_progress_no_thread_is_made() -> None:
    threads: list[threading.Thread] = []

    def fail(tell: Progress) -> None:
        threads.append(threading.current_thread())
        tell("count", 1, None, "")
        raise ValueError("no")

    for progress in (None, lambda *_: None):
        with pytest.raises(ValueError, match="no"):
            asked("wait", fail, progress)
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threads[0]


def test_the_work_finds_the_context_of_its_caller() -> None:
    variable = ContextVar("variable", default="lost")
    token = variable.set("kept")
    try:
        assert asked("wait", lambda _: variable.get(), lambda *_: None) == "kept"
    finally:
        variable.reset(token)
