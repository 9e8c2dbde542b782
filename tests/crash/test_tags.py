"""A kill at any call of `write_tags` and of its undo, and any one call that fails: no file is broken or lost."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cleanup_faults import Worker, worker
from tests.support.exiftool import needs_exiftool
from tests.support.tag_faults import TagTrial

pytestmark = needs_exiftool


@pytest.fixture(scope="module")
def waiting() -> Iterator[Worker]:
    with worker() as made:
        yield made


@pytest.mark.parametrize("error", ["", "ENOSPC"])
@pytest.mark.parametrize("phase", ["tags", "undo"])
@pytest.mark.parametrize(("into", "lacking"), [("auto", ()), ("file", ()), ("file", ("renames",))])
def test_a_fault_at_any_call(
    into: str, lacking: tuple[str, ...], phase: str, error: str, waiting: Worker, tmp_path: Path
) -> None:
    chance = random.Random(into + phase + error)
    trial = TagTrial(tmp_path / "library", into, phase, lacking)
    at = chance.randint(0, 8)
    while trial.try_at(waiting, at, error):
        assert not trial.breaches
        at += chance.randint(6, 20)
    assert not trial.breaches
    assert at > 5
