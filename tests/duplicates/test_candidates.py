"""Pairs come back each once and in order, from memory as from files, and no file stays."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from birdsearch.duplicates.candidates import Proposals
from birdsearch.errors import IndexUnwritableError


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 400, size=(count, 2))


def expected(pairs: np.ndarray) -> list[tuple[int, int]]:
    return sorted({(min(a, b), max(a, b)) for a, b in pairs.tolist() if a != b})


@pytest.mark.parametrize("held", [10, 1_000, 1_000_000])
def test_every_pair_comes_once_and_in_order(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsearch.duplicates.candidates._ROW_GROUP", 7)
    pairs = drawn(3_000)
    with Proposals(held) as proposed:
        for some in np.array_split(pairs, 30):
            proposed.add(some)
        blocks = list(proposed.blocks())
        told = [(a, b) for block in blocks for a, b in block.tolist()]
        assert told == expected(pairs)
        assert len(proposed) == len(told)
        # The same again, and nothing is forgotten by asking.
        asked = drawn(500, seed=1)
        asked = np.sort(asked, axis=1)
        known = set(told)
        assert proposed.holds(asked).tolist() == [(a, b) in known for a, b in asked.tolist()]
    if held == 1_000:
        # Row groups of 7 tell where blocks may begin: none may hold much more than was allowed in memory.
        assert max(map(len, blocks)) < 1_500


def test_no_pairs() -> None:
    with Proposals() as proposed:
        proposed.add(np.empty((0, 2), dtype=np.int64))
        assert len(proposed) == 0
        assert not proposed.holds(np.array([[1, 2]])).any()


def test_files_go_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Proposals(10) as proposed:
        proposed.add(drawn(100))
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_no_room_for_many_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "away"))
    with Proposals(10) as proposed, pytest.raises(IndexUnwritableError, match="TMPDIR"):
        proposed.add(drawn(100))
