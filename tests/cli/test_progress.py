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


def test_a_long_job_says_once_off_a_terminal_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from birdsearch.cli import progress

    monkeypatch.setattr(progress, "SAID_AFTER", 0.05)
    with progress.working("Clustering"):
        time.sleep(0.3)
    assert capsys.readouterr().err == "Clustering …\n"
    with progress.progress() as callback:
        callback("map", 0, 10, "")
        time.sleep(0.3)
    assert capsys.readouterr().err == "map …\n"
    with progress.working("Clustering"):
        pass
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What standard error shows from now on, as if it were a terminal."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return shown


def wait_for(words: str, terminal: Terminal) -> None:
    for _ in range(1000):
        if words in terminal.getvalue():
            return
        time.sleep(0.01)
    pytest.fail(f"{words} was never shown")


def test_progress_bars_show_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsearch.cli import progress

    terminal = on_terminal(monkeypatch)
    for calls in (
        [("scan", 3, None), ("embed", 0, 2000), ("embed", 1000, 2000), ("embed", 2000, 2000)],
        [("download", 1_000_000, 10_000_000), ("download", 5_000_000, 10_000_000)],
        [("compare", 1, 20), ("compare", 11, 20)],
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
    assert "pairs/s" in text


def test_a_job_is_seen_before_it_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsearch.cli import progress

    terminal = on_terminal(monkeypatch)
    with progress.progress():
        pass
    assert "starting" in terminal.getvalue()


def test_a_job_without_a_count_shows_words_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsearch.cli import progress

    terminal = on_terminal(monkeypatch)
    with progress.working("Clustering"):
        pass
    assert terminal.getvalue() == ""
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.0)
    with progress.working("Clustering"):
        wait_for("Clustering …", terminal)
    assert sys.stderr is terminal


def test_what_can_be_piped_stays_apart_from_the_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from birdsearch.cli import progress

    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.0)
    with progress.working("Clustering"):
        wait_for("Clustering …", terminal)
        print("an answer")
    assert capsys.readouterr().out == "an answer\n"
    assert "an answer" not in terminal.getvalue()


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "7 s"), (100, "2 min"), (12000, "3 h 20 min")])
def testdurations(seconds: float, words: str) -> None:
    from birdsearch.cli.progress import duration

    assert duration(seconds) == words


def test_what_came_from_a_cache_has_no_rate_off_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from birdsearch.cli import progress

    clock = iter([0.0, 100.0, 140.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock, 140.0))
    with progress.progress() as callback:
        callback("compare", 1024, 2000, "")
        callback("compare", 1424, 2000, "")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "compare: 1,024 of 2,000"
    assert second.startswith("compare: 1,424 of 2,000, 10 ")
