"""Pairs of near hashes: numpy among few and FAISS among many find the same ones, all of them."""

import numpy as np
import pytest

from birdsearch.search import hamming
from birdsearch.search.hamming import near_hashes


def near(queries: np.ndarray, hashes: np.ndarray, within: int) -> set[tuple[int, int, int]]:
    return set(zip(*(column.tolist() for column in near_hashes(queries, hashes, within)), strict=True))


@pytest.mark.parametrize("within", [0, 6, 24])
def test_few_and_many_are_compared_alike(within: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    hashes = random.integers(1 << 63, size=700, dtype=np.uint64)
    queries = hashes[:600] ^ (np.uint64(1) << random.integers(64, size=600).astype(np.uint64))
    by_numpy = near(queries, hashes, within)
    monkeypatch.setattr(hamming, "FEW", 0)
    assert near(queries, hashes, within) == by_numpy
    expected = {
        (row, other, bits)
        for row, query in enumerate(queries.tolist())
        for other, value in enumerate(hashes.tolist())
        if (bits := (query ^ value).bit_count()) <= within
    }
    assert by_numpy == expected
    assert bool(expected) == (within > 0)


def test_nothing_is_near_nothing() -> None:
    none = np.empty(0, dtype=np.uint64)
    assert near(none, none, 64) == near(none, np.ones(1, dtype=np.uint64), 64) == set()
