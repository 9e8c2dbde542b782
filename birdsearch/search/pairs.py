"""Which vectors lie so close that their photos might be the same picture.

Nothing here is n by n. Pairs are candidates, not decisions: two photos of one species may score 0.95.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from birdsearch.records import Ids, Vectors
from birdsearch.search import tuning
from birdsearch.search.exact import Neighbours
from birdsearch.search.local import checked, checked_ids

Hashes = npt.NDArray[np.uint64]  # (n,), photos.decode's `phash` read as a hexadecimal number
Rows = npt.NDArray[np.int64]  # numbers of rows, 0 to n - 1
Blocks = Callable[[], Iterable[tuple[Ids, Vectors]]]  # ids (b,) and unit rows (b, dim), from the beginning at each call

BLOCK = 4096  # rows searched at a time
MAX_NEIGHBOURS = 640  # that one row is searched for at the very most
MAX_EQUAL = 8  # of more rows that are equal only the first is compared with others


class SearchIndex(Protocol):
    """What finds the nearest of rows: an engine, or what stands before one."""

    @property
    def ids(self) -> Ids: ...
    def __len__(self) -> int: ...
    def search(self, vectors: Vectors, k: int, *, only: Ids | None = None) -> Neighbours: ...


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Pairs of close vectors, each once."""

    ids: Ids  # (m, 2), the lower id first
    scores: Vectors  # (m,) cosine similarities
    truncated: int = 0  # rows that have more close rows than were searched for


def near_pairs(vectors: Vectors, min_score: float = 0.9, *, ids: Ids | None = None, k: int = 20) -> NearPairs:
    """All pairs of unit rows (n, dim) whose cosine reaches `min_score`; `ids` (n,) name the rows, else 0 to n - 1.

    Up to 20,000 rows are compared exactly, more by an approximate engine. Each row is searched for its `k` nearest, and
    for more, up to 640, while all of them are near enough; `truncated` counts the rows for which that was not enough.
    Of more than eight equal rows only the first is compared with others, and all are paired with it: 10,000 copies are
    9,999 pairs.

    >>> pairs = birdsearch.near_pairs(index.vectors([4, 5, 6]), 0.95)
    """
    rows = checked(vectors)
    names = checked_ids(np.arange(len(rows)) if ids is None else ids, len(rows))
    lengths = np.einsum("nd,nd->n", rows, rows)
    if len(rows) and np.abs(lengths - 1).max() > 1e-3:
        worst = int(np.abs(lengths - 1).argmax())
        raise ValueError(f"vectors must have length 1, row {worst} has {np.sqrt(lengths[worst]):.3g}")
    if len(rows) < 2:
        return _distinct([], [], 0)

    def blocks() -> Iterator[tuple[Ids, Vectors]]:
        for start in range(0, len(rows), BLOCK):
            yield names[start : start + BLOCK], rows[start : start + BLOCK]

    parts = list(near_blocks(blocks, tuning.build(rows, ids=names), min_score, k=k))
    truncated = sum(part.truncated for part in parts)
    return _distinct([part.ids for part in parts], [part.scores for part in parts], truncated)


def near_blocks(
    blocks: Blocks, engine: SearchIndex, min_score: float = 0.9, *, k: int = 20, wide: float | None = None
) -> Iterator[NearPairs]:
    """The same from an engine that holds the rows: pairs block by block, each at most once for either of its rows.

    A row is searched for more than its `k` nearest while all of them score at least `wide` (else `min_score`). `k` must
    be at least 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    known = np.sort(engine.ids)
    first = first_of_equal_rows(blocks, known)
    is_first = first == np.arange(len(known))
    copies = np.flatnonzero(~is_first)
    for start in range(0, len(copies), BLOCK):
        part = copies[start : start + BLOCK]
        ids = np.stack([known[first[part]], known[part]], axis=1)
        yield _distinct([ids], [np.ones(len(part), dtype=np.float32)], 0)
    only = known[is_first] if len(copies) else None
    for ids, vectors in blocks():
        queries = is_first[np.searchsorted(known, ids)]
        if queries.any():
            yield _near(engine, ids[queries], vectors[queries], (min_score, wide), k, only)


def _near(
    engine: SearchIndex, ids: Ids, vectors: Vectors, scores: tuple[float, float | None], k: int, only: Ids | None
) -> NearPairs:
    """The pairs of these rows with any others."""
    lowest, wide = scores[0], scores[0] if scores[1] is None else scores[1]
    available = len(engine) if only is None else len(only)
    pairs: list[Ids] = []
    values: list[Vectors] = []
    depth, rows = min(k + 1, available), np.arange(len(ids))  # one more: a row finds itself
    while True:
        nearest = engine.search(vectors[rows], depth, only=only)
        # A row whose last neighbour is that good has more of them; it is searched again, and deeper.
        full = nearest.scores[:, -1] >= max(wide, lowest)
        ends = depth >= min(MAX_NEIGHBOURS, available)
        done = np.ones(len(rows), dtype=bool) if ends else ~full
        queries = np.broadcast_to(ids[rows][:, None], nearest.ids.shape)
        good = (nearest.ids >= 0) & (nearest.ids != queries) & (nearest.scores >= lowest) & done[:, None]
        pairs.append(np.stack([queries[good], nearest.ids[good]], axis=1))
        values.append(nearest.scores[good])
        if done.all():
            return _distinct(pairs, values, int(full.sum()) if depth < available else 0)
        rows, depth = rows[~done], min(2 * depth, MAX_NEIGHBOURS, available)


def first_of_equal_rows(blocks: Blocks, known: Ids) -> Rows:
    """For every row (n,) of the ascending ids `known` the first of those equal to it, or itself where they are few."""
    digests, present = np.zeros(len(known), dtype=np.int64), np.zeros(len(known), dtype=bool)
    for ids, vectors in blocks():
        positions = np.searchsorted(known, ids)
        # 64 bits: two different rows of a million meet once in ten million runs.
        digests[positions] = [hash(row.tobytes()) for row in np.asarray(vectors, dtype=np.float32)]
        present[positions] = True
    _, first, group, sizes = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    return np.where((sizes[group] > MAX_EQUAL) & present & present[first[group]], first[group], np.arange(len(known)))


def _distinct(pairs: list[Ids], scores: list[Vectors], truncated: int) -> NearPairs:
    """Pairs (m, 2) ascending, each once, the lower id first."""
    ids = np.sort(np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]), axis=1)
    values = np.concatenate([np.empty(0, dtype=np.float32), *scores])
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    ids, values = ids[order], values[order]
    new = np.ones(len(ids), dtype=bool)
    new[1:] = (np.diff(ids, axis=0) != 0).any(axis=1)
    return NearPairs(ids[new], values[new], truncated)
