"""Pairs come back each once and in order, from memory as from a file, and no file stays."""

from pathlib import Path

import numpy as np
import pytest

from birdsearch.duplicates.candidates import Proposals
from birdsearch.errors import IndexUnwritableError


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 400, size=(count, 2))


def expected(pairs: np.ndarray) -> list[tuple[int, int]]:
    return sorted({(min(a, b), max(a, b)) for a, b in pairs.tolist() if a != b})


@pytest.mark.parametrize("block", [10, 1_000, 1_000_000])
def test_every_pair_comes_once_and_in_order(block: int) -> None:
    pairs = drawn(3_000)
    with Proposals(block) as proposed:
        for part in np.array_split(pairs, 30):
            proposed.add(part)
        blocks = list(proposed.blocks())
        listed = [(a, b) for each in blocks for a, b in each.tolist()]
        assert listed == expected(pairs)
        assert len(proposed) == len(listed)
        assert max(map(len, blocks)) <= block
        # The same again: a question changes nothing.
        queries = np.sort(drawn(500, seed=1), axis=1)
        known = set(listed)
        assert proposed.holds(queries).tolist() == [(a, b) in known for a, b in queries.tolist()]


def test_no_pairs() -> None:
    with Proposals() as proposed:
        proposed.add(np.empty((0, 2), dtype=np.int64))
        assert len(proposed) == 0
        assert not proposed.holds(np.array([[1, 2]])).any()


def test_many_pairs_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    with Proposals(cache_kb=0) as proposed:
        proposed.add(drawn(50_000))
        assert len(proposed) == len(expected(drawn(50_000)))
    assert not list(tmp_path.iterdir())


def test_no_room_for_many_pairs_names_tmpdir() -> None:
    with Proposals(max_pages=3) as proposed, pytest.raises(IndexUnwritableError, match="TMPDIR"):
        proposed.add(drawn(50_000))
