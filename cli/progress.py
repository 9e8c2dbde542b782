"""Progress on standard error: bars on a terminal, a plain line now and then elsewhere."""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from birdsearch.records import Progress

SECONDS_BETWEEN_LINES = 30.0
SILENT_SECONDS = 1.0  # before a sign of life: shorter jobs need none
SAID_AFTER = 8.0  # the same off a terminal
BYTES_STAGES = ("download",)
# What a stage counts that counts no photos.
THINGS = {"compare": "pairs", "bytes": "files", "copy": "files", "verify": "files", "fit": "folds", "cluster": "tries"}
MAKING_PAGE = "Making the page"


def collect_often() -> None:
    """For work on many photos: at the threshold of `main`, which suits short commands, their pixels stay as garbage."""
    gc.set_threshold(2_000)


@contextmanager
def progress() -> "Iterator[Progress]":
    """A callback for the library that shows the progress of a job, which may take long."""
    collect_often()
    if not sys.stderr.isatty():
        lines = _PlainLines()
        with _said_once(lambda: lines.stage or "working"):
            yield lines
        return
    with _bars() as bars:
        yield _Bars(bars)


@contextmanager
def working(words: str) -> "Iterator[None]":
    """A sign of life while a job runs that cannot say how far it is, and prints nothing itself."""
    if not sys.stderr.isatty():
        with _said_once(lambda: words):
            yield
        return
    with ExitStack() as shown:

        def show() -> None:
            from rich.live import Live
            from rich.spinner import Spinner

            # What goes to standard output is the answer, which may go into a file.
            live = Live(Spinner("dots", f"{words} …"), console=_console(), transient=True, redirect_stdout=False)
            shown.enter_context(live)

        with _after(SILENT_SECONDS, show):
            yield


def _said_once(what: Callable[[], str]) -> AbstractContextManager[None]:
    """A line for logs about a job that takes long."""
    return _after(SAID_AFTER, lambda: typer.echo(f"{what()} …", err=True))


@contextmanager
def _after(seconds: float, act: Callable[[], None]) -> "Iterator[None]":
    """Act once, in another thread, where a job takes longer than this; the act has ended where the job goes on."""
    later = threading.Timer(seconds, act)
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()


class _PlainLines:
    """For logs: silent for short jobs."""

    def __init__(self) -> None:
        self.stage = ""
        self.spoke = time.monotonic()
        self.first = (0, self.spoke)  # done and time at the first report: what came from a cache has no pace

    def __call__(self, stage: str, done: int, total: int | None, path: str) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.first = stage, (done, now)
        if now - self.spoke < SECONDS_BETWEEN_LINES:
            return
        self.spoke = now
        rate = (done - self.first[0]) / max(now - self.first[1], 1e-9)
        pace = f", {rate:.0f} {THINGS.get(stage, 'photos')}/s" if rate else ""
        left = f", {duration((total - done) / rate)} left" if total and rate else ""
        typer.echo(f"{stage}: {done:,}{f' of {total:,}' if total else ''}{pace}{left}", err=True)


class _Bars:
    """For terminals: a bar for the stage at work."""

    def __init__(self, bars: "Bars") -> None:
        self.bars = bars
        self.stage = "starting"  # until the job can say how far it is
        self.task: TaskID = bars.add_task(self.stage, total=None, in_bytes=False, things="photos", pace=0.0)
        self.first = (0, 0.0)  # done and time when the first results were there: loading a network does not count

    def __call__(self, stage: str, done: int, total: int | None, path: str) -> None:
        now = time.monotonic()
        if stage != self.stage:
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
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Amount(ProgressColumn):
        """1,200 of 1,500, or megabytes."""

        def render(self, task: Task) -> Text:
            unit, name = (1e6, " MB") if task.fields["in_bytes"] else (1.0, "")
            total = f" of {task.total / unit:,.0f}" if task.total else ""
            return Text(f"{task.completed / unit:,.0f}{total}{name}" if task.completed or total else "")

    class Pace(ProgressColumn):
        """Photos (or megabytes) a second, and the time that is left."""

        def render(self, task: Task) -> Text:
            pace, known = task.fields["pace"], task.total is not None
            if not pace:
                return Text("")
            words = f"{pace / 1e6:.1f} MB/s" if task.fields["in_bytes"] else f"{pace:,.0f} {task.fields['things']}/s"
            return Text(words + (f", {duration(((task.total or 0) - task.completed) / pace)} left" if known else ""))

    columns = TextColumn("{task.description}", markup=False), BarColumn(20), Amount(), Pace()
    return Bars(*columns, console=_console(), transient=True, redirect_stdout=False)


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stderr, markup=False, highlight=False)


def duration(seconds: float) -> str:
    """A time in a few letters: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
