"""Progress on standard error: bars on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from birdsearch.records import Progress

SECONDS_BETWEEN_LINES = 30.0
BYTES_STAGES = ("download",)
THINGS = {"compare": "pairs"}  # what a stage counts that counts no photos


@contextmanager
def progress() -> "Iterator[Progress]":
    """A callback for the library that shows the progress of a job."""
    if not sys.stderr.isatty():
        yield _PlainLines()
        return
    with _bars() as bars:
        yield _Bars(bars)


@contextmanager
def working(words: str) -> "Iterator[None]":
    """A sign of life on a terminal while a job runs that cannot say how far it is."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(file=sys.stderr, markup=False, highlight=False).status(words):
        yield


class _PlainLines:
    """For logs: silent for short jobs."""

    def __init__(self) -> None:
        self.stage = ""
        self.began = self.spoke = time.monotonic()

    def __call__(self, stage: str, done: int, total: int | None, path: str) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.began = stage, now
        if now - self.spoke < SECONDS_BETWEEN_LINES:
            return
        self.spoke = now
        rate = done / max(now - self.began, 1e-9)
        left = f", {duration((total - done) / rate)} left" if total and rate else ""
        typer.echo(
            f"{stage}: {done:,}{f' of {total:,}' if total else ''}, {rate:.0f} {THINGS.get(stage, 'photos')}/s{left}",
            err=True,
        )


class _Bars:
    """For terminals: a bar for the stage at work."""

    def __init__(self, bars: "Bars") -> None:
        self.bars = bars
        self.stage = ""
        self.task: TaskID | None = None
        self.first = (0, 0.0)  # done and time when the first results were there: loading a network does not count

    def __call__(self, stage: str, done: int, total: int | None, path: str) -> None:
        now = time.monotonic()
        if self.task is None or stage != self.stage:
            if self.task is not None:
                self.bars.remove_task(self.task)
            self.stage, self.first = stage, (0, now)
            self.task = self.bars.add_task(
                stage, total=total, in_bytes=stage in BYTES_STAGES, things=THINGS.get(stage, "photos"), pace=0.0
            )
        if self.first[0] == 0:
            self.first = (done, now)
        # Photos are reported by the batch, so the pace is that of the last report and not of this moment.
        pace = (done - self.first[0]) / max(now - self.first[1], 1e-9)
        self.bars.update(self.task, completed=done, total=total, pace=pace)


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Amount(ProgressColumn):
        """1,200 of 1,500, or megabytes."""

        def render(self, task: Task) -> Text:
            unit, name = (1e6, " MB") if task.fields["in_bytes"] else (1.0, "")
            total = f" of {task.total / unit:,.0f}" if task.total else ""
            return Text(f"{task.completed / unit:,.0f}{total}{name}")

    class Pace(ProgressColumn):
        """Photos (or megabytes) a second, and the time that is left."""

        def render(self, task: Task) -> Text:
            pace, known = task.fields["pace"], task.total is not None
            if not pace:
                return Text("")
            words = f"{pace / 1e6:.1f} MB/s" if task.fields["in_bytes"] else f"{pace:,.0f} {task.fields['things']}/s"
            return Text(words + (f", {duration(((task.total or 0) - task.completed) / pace)} left" if known else ""))

    console = Console(file=sys.stderr, markup=False, highlight=False)
    return Bars(
        TextColumn("{task.description}", markup=False), BarColumn(20), Amount(), Pace(), console=console, transient=True
    )


def duration(seconds: float) -> str:
    """A time in a few letters: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
