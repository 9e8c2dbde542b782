"""Work in threads: results in order, and a caller that is asked while it waits."""

import threading

import pytest

from birdsearch.photos import overlap
from birdsearch.photos.overlap import overlapped


def test_while_no_result_comes_the_caller_is_asked_and_may_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(overlap, "LEAVE_SECONDS", 0.01)
    go, asked = threading.Event(), 0

    def idle() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            go.set()

    def slow(number: int) -> int:
        go.wait(60)
        return number

    assert list(overlapped(range(4), slow, ahead=2, idle=idle)) == [0, 1, 2, 3]
    assert asked >= 3
    go.clear()

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(overlapped(range(4), slow, ahead=2, idle=stop))
    go.set()


def test_a_time_out_of_the_work_itself_is_its_result() -> None:
    def late(_: int) -> int:
        raise TimeoutError("the disk of the network")

    with pytest.raises(TimeoutError, match="the disk"):
        list(overlapped(range(1), late, ahead=1, idle=lambda: None))
