"""SIGKILL at any step of apply and undo: undo brings back every byte, mode, time and row, and nothing is ever lost.

Some steps are tried, by chance; with LINES=all in the environment every step is.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from birdsearch.duplicates.cleanup.plan import write_plan
from birdsearch.errors import PlanError
from tests.support import ROOT
from tests.support.photo_library import SMALL, Library, contents, files, small

KILLED = -signal.SIGKILL

Job = Callable[..., int]


@pytest.fixture(scope="module")
def job() -> Iterator[Job]:
    """Runs one job in a child of a waiting process; returns its exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.cleanup_worker"],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    source, sink = process.stdin, process.stdout
    assert source is not None
    assert sink is not None

    def run(**what: object) -> int:
        source.write(json.dumps(what) + "\n")
        source.flush()
        return int(sink.readline())

    yield run
    process.communicate()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three photos with copies, one of which has a sidecar."""
    (tmp_path / "photos/copies").mkdir(parents=True)
    (tmp_path / "photos/copies/1.xmp").write_text("<x/>")
    made = small(tmp_path)
    write_plan(made.plan(*SMALL), tmp_path / "plan.csv")
    return made


def action_of(word: str, folder: Path) -> str:
    return f"move:{folder / 'away'}" if word == "move" else word


def undone(library: Library) -> int | None:
    """Undo until there is nothing left to undo; how many photos the first run brought back."""
    first = None
    while True:
        try:
            report = library.undo()
        except PlanError:
            return first
        assert report.skipped == ()
        first = report.done if first is None else first


@pytest.mark.parametrize("word", ["trash", "move", "hardlink"])
def test_kill_at_any_step_of_apply(word: str, library: Library, job: Job, tmp_path: Path) -> None:
    away = tmp_path / "away"
    before, rows, had = files(library.photos), library.rows(), contents(library.photos)
    what = {"photos": str(library.photos), "index": str(library.index), "plan": str(tmp_path / "plan.csv")}
    what |= {"call": "apply", "action": action_of(word, tmp_path)}
    at = killed = 0
    chance = random.Random(word)
    while job(**what, at=at) == KILLED:
        killed += 1
        assert contents(library.photos, away) >= had, at
        gone = sum(name.endswith(".jpg") for name in map(str, before.keys() - files(library.photos).keys()))
        again = chance.random() < 0.3
        if again:  # the plan again, over what the killed run has left
            library.apply(library.plan(), "trash")
        brought = undone(library)
        if brought is not None and word != "hardlink" and not again:
            assert brought - gone in (0, 1), at  # 1: it was killed between the two names of a move
        assert files(library.photos) == before, at
        assert not away.exists() or not files(away), at
        assert library.rows() == rows, at
        at += 1 if os.environ.get("LINES") == "all" else chance.randint(1, 5)
    assert killed >= 4
    undone(library)
    assert files(library.photos) == before
    assert library.rows() == rows


@pytest.mark.parametrize("word", ["trash", "move", "hardlink"])
def test_kill_at_any_step_of_undo(word: str, library: Library, job: Job, tmp_path: Path) -> None:
    away = tmp_path / "away"
    before, rows, had = files(library.photos), library.rows(), contents(library.photos)
    plan = library.plan(*SMALL)
    what = {"photos": str(library.photos), "index": str(library.index), "call": "undo"}
    at = killed = 0
    chance = random.Random(word)
    library.apply(plan, action_of(word, tmp_path))
    while job(**what, at=at) == KILLED:
        killed += 1
        assert contents(library.photos, away) >= had, at
        undone(library)
        assert files(library.photos) == before, at
        assert library.rows() == rows, at
        assert library.apply(plan, action_of(word, tmp_path)).done == 3
        at += 1 if os.environ.get("LINES") == "all" else chance.randint(1, 5)
    assert killed >= 3
    assert files(library.photos) == before
    assert library.rows() == rows
