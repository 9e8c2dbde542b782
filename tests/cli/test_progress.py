"""Progress, on a terminal and off it."""

import io
import sys
import time

import pytest


def test_progress_is_silent_off_a_terminal_for_short_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    from birdsearch.cli.progress import progress

    with progress() as callback:
        callback("embed", 1, 10, "a.jpg")
        callback("embed", 10, 10, "b.jpg")
    assert capsys.readouterr().err == ""


def test_progress_bars_show_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsearch.cli import progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for calls in (
        [("scan", 3, None), ("embed", 0, 2000), ("embed", 1000, 2000), ("embed", 2000, 2000)],
        [("download", 1_000_000, 10_000_000), ("download", 5_000_000, 10_000_000)],
    ):
        with progress.progress() as callback:
            for stage, done, total in calls:
                callback(stage, done, total, "")
                time.sleep(0.01)  # a rate needs some time to have passed
    text = terminal.getvalue()
    assert "2,000 of 2,000" in text
    assert "5 of 10 MB" in text
    assert "photos/s, 0 s left" in text
    assert "MB/s" in text


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "7 s"), (100, "2 min"), (12000, "3 h 20 min")])
def testdurations(seconds: float, words: str) -> None:
    from birdsearch.cli.progress import duration

    assert duration(seconds) == words
