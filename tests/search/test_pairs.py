"""Near pairs are those of brute force, whatever the blocks."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest

from birdsearch.records import Ids, Vectors
from birdsearch.search import pairs as pairs_module
from birdsearch.search import tuning
from birdsearch.search.pairs import near_blocks, near_pairs


def unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def clustered(clusters: int, each: int, *, spread: float = 0.05, dim: int = 16, seed: int = 0) -> Vectors:
    """Unit rows (clusters * each, dim) in tight clusters, shuffled."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.standard_normal((clusters, dim)), each, axis=0)
    rows = centres + spread * random.standard_normal(centres.shape)
    return unit(rows[random.permutation(len(rows))].astype(np.float32))


def as_set(ids: Ids) -> set[tuple[int, int]]:
    """The pairs, of which none may come twice or the wrong way round."""
    pairs = [(int(a), int(b)) for a, b in ids]
    assert len(set(pairs)) == len(pairs)
    assert all(a < b for a, b in pairs)
    return set(pairs)


def brute_force(rows: Vectors, min_score: float) -> set[tuple[int, int]]:
    close = np.argwhere(np.triu(rows @ rows.T >= min_score, 1))
    return {(int(a), int(b)) for a, b in close}


def test_near_pairs_are_those_of_brute_force() -> None:
    rows = clustered(60, 5)
    found = near_pairs(rows, 0.95)
    assert as_set(found.ids) == brute_force(rows, 0.95) != set()
    assert found.truncated == 0
    a, b = found.ids.T
    np.testing.assert_allclose(found.scores, np.einsum("nd,nd->n", rows[a], rows[b]), atol=1e-6)


def test_near_pairs_name_the_rows_by_their_ids() -> None:
    rows = clustered(30, 3)
    names = np.random.default_rng(1).permutation(10**10 + np.arange(len(rows)) * 7)
    expected = {tuple(sorted((int(names[a]), int(names[b])))) for a, b in brute_force(rows, 0.95)}
    assert as_set(near_pairs(rows, 0.95, ids=names).ids) == expected


def test_near_pairs_keep_cliques_that_are_larger_than_k_whole() -> None:
    rows = clustered(3, 100, spread=0.001)
    found = near_pairs(rows, 0.99, k=4)
    assert as_set(found.ids) == brute_force(rows, 0.99)
    assert len(found.ids) == 3 * 100 * 99 // 2
    assert found.truncated == 0


def test_near_pairs_say_how_many_rows_have_more_than_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "MAX_NEIGHBOURS", 50)
    found = near_pairs(clustered(1, 200, spread=0.001), 0.99)
    assert found.truncated == 200
    assert 200 * 49 / 2 <= len(as_set(found.ids)) < 200 * 199 / 2


def test_near_pairs_of_ten_thousand_equal_rows_are_as_many() -> None:
    others = clustered(20, 3, dim=32)
    rows = np.concatenate([np.repeat(others[:1], 10_000, axis=0), others[1:]])
    pairs = as_set(near_pairs(rows, 0.95).ids)
    assert {(0, copy) for copy in range(1, 10_000)} <= pairs
    assert len(pairs) == 9_999 + len(brute_force(others, 0.95))


def test_near_pairs_of_a_few_equal_rows_are_all_of_them() -> None:
    rows = np.repeat(clustered(4, 1), 5, axis=0)
    assert as_set(near_pairs(rows, 0.999).ids) == brute_force(rows, 0.999)


def test_near_pairs_of_0_1_and_2_rows() -> None:
    rows = np.ones((2, 1), dtype=np.float32)
    assert near_pairs(rows[:0], 0.9).ids.shape == near_pairs(rows[:1], 0.9).ids.shape == (0, 2)
    assert as_set(near_pairs(rows, 0.9).ids) == {(0, 1)}
    assert as_set(near_pairs(unit(np.eye(2, dtype=np.float32)), 0.9).ids) == set()


def test_near_pairs_refuse_what_they_cannot_compare() -> None:
    with pytest.raises(ValueError, match=r"length 1, row 1 has 2"):
        near_pairs(np.array([[1.0], [2.0]], dtype=np.float32), 0.9)
    with pytest.raises(ValueError, match="some come twice"):
        near_pairs(np.ones((2, 1), dtype=np.float32), 0.9, ids=np.array([4, 4]))
    with pytest.raises(ValueError, match="k must be at least 1"):
        near_pairs(np.ones((2, 1), dtype=np.float32), 0.9, k=0)


def test_blocks_of_any_order_and_size_give_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "BLOCK", 7)
    rows = np.concatenate([clustered(40, 6), np.repeat(clustered(1, 1, seed=9), 30, axis=0)])
    ids = np.random.default_rng(2).permutation(5 * len(rows))[: len(rows)]
    order = np.random.default_rng(3).permutation(len(rows))

    def blocks() -> Iterator[tuple[Ids, Vectors]]:
        for start in range(0, len(rows), 11):
            some = order[start : start + 11]
            yield ids[some], rows[some]

    parts = list(near_blocks(blocks, tuning.build(rows, ids=ids), 0.95, k=3))
    pairs = set().union(*(as_set(part.ids) for part in parts))
    copies = [int(one) for one in ids[-30:]]
    brute = {tuple(sorted((int(ids[a]), int(ids[b])))) for a, b in brute_force(rows, 0.95)}
    assert pairs - set(combinations(sorted(copies), 2)) == brute - set(combinations(sorted(copies), 2))
    hubs = [one for one in copies if sum(one in pair for pair in pairs) >= 29]
    assert len(hubs) == 1
    assert sum(set(pair) <= set(copies) for pair in pairs) == 29


def test_only_the_rows_of_the_blocks_ask() -> None:
    rows = clustered(40, 4)
    new = np.arange(100, 160)
    parts = list(near_blocks(lambda: [(new, rows[new])], tuning.build(rows), 0.95))
    expected = {pair for pair in brute_force(rows, 0.95) if pair[1] >= 100}
    assert as_set(np.unique(np.concatenate([part.ids for part in parts]), axis=0)) == expected


def test_rows_are_asked_for_more_only_while_all_answers_are_wide_enough() -> None:
    rows = clustered(1, 100, spread=0.3)  # all score above 0.5, few above 0.99
    few = list(near_blocks(lambda: [(np.arange(100), rows)], tuning.build(rows), 0.5, k=5, wide=0.99))
    assert 250 <= len(as_set(few[0].ids)) <= 500
    assert few[0].truncated == 0
