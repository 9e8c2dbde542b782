"""A kill at any step of apply and undo, and any one call that fails: nothing is lost, and undo brings everything back.

Some calls are tried, by chance; `python -m benchmarks.injection` tries every one.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cleanup_faults import ACTIONS, LACKING, PHASES, Trial, Worker, worker
from tests.support.disks import other_disk


@pytest.fixture(scope="module")
def waiting() -> Iterator[Worker]:
    with worker() as made:
        yield made


@pytest.mark.parametrize("error", ["", "EIO", "ENOSPC", "EACCES"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_fault_at_any_call(action: str, phase: str, error: str, waiting: Worker, tmp_path: Path) -> None:
    chance = random.Random(action + phase + error)
    with other_disk(tmp_path) as disk:
        away = disk / "away" if action == "other disk" else tmp_path / "away"
        trial = Trial(tmp_path / "library", away, action, phase, chance.choice([*LACKING]))
        at = chance.randint(0, 9)
        while trial.try_at(waiting, at, error):
            assert not trial.breaches
            at += chance.randint(5, 25)
        assert not trial.breaches
    assert at > 10
