"""Which photos might be the same picture: close vectors, and close hashes in any of eight orientations.

Nothing here is n by n. Candidates are proposed, never decided: two photos of one species may score 0.95.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from birdsearch.records import Ids, Neighbours, Vectors

Hashes = npt.NDArray[np.uint64]  # (n,), photos.decode's `phash` read as a hexadecimal number
Rows = npt.NDArray[np.int64]  # numbers of rows, 0 to n - 1
Blocks = Callable[[], Iterable[tuple[Ids, Vectors]]]  # ids (b,) and unit rows (b, dim), from the beginning at each call

BLOCK = 4096  # rows asked at a time
MOST = 640  # answers that one row is asked for at the very most
EQUAL = 8  # of more rows that are equal only the first is compared with others


class Searching(Protocol):
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
    cut: int = 0  # rows that have more close rows than were asked for


# Vectors ------------------------------------------------------------------------------------------------------------


def near_pairs(vectors: Vectors, min_score: float = 0.9, *, ids: Ids | None = None, k: int = 20) -> NearPairs:
    """All pairs of unit rows (n, dim) whose cosine reaches `min_score`; `ids` (n,) name the rows, else 0 to n - 1.

    Up to 20,000 rows are compared exactly, more by an approximate engine. Each row is asked for its `k` nearest, and
    for more, up to 640, while all of them are near enough; `cut` counts the rows for which that was not enough. Of more
    than eight equal rows only the first is compared with others, and all are paired with it: 10,000 copies are 9,999
    pairs.
    """
    from birdsearch.search import engine as engines
    from birdsearch.search import tuning

    rows = engines.checked(vectors)
    names = engines.checked_ids(np.arange(len(rows)) if ids is None else ids, len(rows))
    lengths = np.einsum("nd,nd->n", rows, rows)
    if len(rows) and np.abs(lengths - 1).max() > 1e-3:
        worst = int(np.abs(lengths - 1).argmax())
        raise ValueError(f"vectors must have length 1, row {worst} has {np.sqrt(lengths[worst]):.3g}")
    if len(rows) < 2:
        return _no_near()

    def blocks() -> Iterator[tuple[Ids, Vectors]]:
        for start in range(0, len(rows), BLOCK):
            yield names[start : start + BLOCK], rows[start : start + BLOCK]

    found = list(near_blocks(blocks, tuning.build(rows, ids=names), min_score, k=k))
    pairs = np.concatenate([_no_near().ids, *(part.ids for part in found)])
    scores = np.concatenate([_no_near().scores, *(part.scores for part in found)])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return NearPairs(pairs[order], scores[order], sum(part.cut for part in found))


def near_blocks(
    blocks: Blocks, engine: Searching, min_score: float = 0.9, *, k: int = 20, wide: float | None = None
) -> Iterator[NearPairs]:
    """The same from an engine that holds the rows: pairs block by block, none of them twice.

    A row is asked for more than its `k` nearest while all of them score at least `wide` (else `min_score`). Beside the
    engine and one block this keeps 8 bytes for every pair that a later row may find again. `k` must be at least 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    known = np.sort(engine.ids)
    first = _firsts(blocks, known)
    is_first = first == np.arange(len(known))
    copies = np.flatnonzero(~is_first)
    for start in range(0, len(copies), BLOCK):
        part = copies[start : start + BLOCK]
        ids = np.sort(np.stack([known[first[part]], known[part]], axis=1), axis=1)
        yield NearPairs(ids, np.ones(len(part), dtype=np.float32))
    links = _Links(len(known))
    only = known[is_first] if len(copies) else None
    for ids, vectors in blocks():
        asked = is_first[np.searchsorted(known, ids)]
        if not asked.any():
            continue
        who, whom, scores, cut = _asked(engine, ids[asked], vectors[asked], (min_score, wide), k, only)
        place, other = np.searchsorted(known, who), np.searchsorted(known, whom)
        fresh = links.fresh(np.searchsorted(known, ids[asked]), place, other)
        yield NearPairs(np.sort(np.stack([who[fresh], whom[fresh]], axis=1), axis=1), scores[fresh], cut)


def _asked(
    engine: Searching, ids: Ids, vectors: Vectors, scores: tuple[float, float | None], k: int, only: Ids | None
) -> tuple[Ids, Ids, Vectors, int]:
    """Who (m,) is near whom (m,), the scores (m,), and how many rows have more near ones than were asked for."""
    lowest, wide = scores[0], scores[0] if scores[1] is None else scores[1]
    available = len(engine) if only is None else len(only)
    parts: list[tuple[Ids, Ids, Vectors]] = []
    deep, rows = min(k + 1, available), np.arange(len(ids))  # one more: a row finds itself
    while True:
        found = engine.search(vectors[rows], deep, only=only)
        # A row whose last answer is that good has more of them; it is asked anew, and deeper.
        full = found.scores[:, -1] >= max(wide, lowest)
        ends = deep >= min(MOST, available)
        done = np.ones(len(rows), dtype=bool) if ends else ~full
        who = np.broadcast_to(ids[rows][:, None], found.ids.shape)
        good = (found.ids >= 0) & (found.ids != who) & (found.scores >= lowest) & done[:, None]
        parts.append((who[good], found.ids[good], found.scores[good]))
        if done.all():
            many, near, close = (np.concatenate(column) for column in zip(*parts, strict=True))
            return many, near, close, int(full.sum()) if deep < available else 0
        rows, deep = rows[~done], min(2 * deep, MOST, available)


class _Links:
    """Which pairs came already: each is found from either of its rows, and often from both."""

    def __init__(self, count: int) -> None:
        self._turn = np.full(count, -1)  # as the how-manyth a row was asked
        self._asked = 0
        self._waiting = np.empty(0, dtype=np.uint64)  # turn of the row that found, and the row found; ascending

    def fresh(self, asked: Rows, who: Rows, whom: Rows) -> Rows:
        """Places among the pairs (who, whom) found by the rows `asked` that are new, each pair once."""
        before = self._turn[whom]
        self._turn[asked] = np.arange(self._asked, self._asked + len(asked))
        self._asked += len(asked)
        known = np.zeros(len(who), dtype=bool)
        known[before >= 0] = _among(_key(before[before >= 0], who[before >= 0]), self._waiting)
        later = self._turn[whom] < 0
        self._waiting = np.concatenate([self._waiting, np.sort(_key(self._turn[who[later]], whom[later]))])
        new = np.flatnonzero(~known)
        both = _key(np.minimum(who[new], whom[new]), np.maximum(who[new], whom[new]))
        return new[np.sort(np.unique(both, return_index=True)[1])]


def _key(high: Rows, low: Rows) -> Hashes:
    """Two numbers below 2**32 as one."""
    return (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)


def _among(keys: Hashes, ascending: Hashes) -> npt.NDArray[np.bool_]:
    """Which of the keys are in the other array."""
    if not len(ascending):
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    return np.asarray(ascending[places] == keys)


def _firsts(blocks: Blocks, known: Ids) -> Rows:
    """For every row (n,) the first of those equal to it, or itself where they are few."""
    digests, came = np.zeros(len(known), dtype=np.uint64), np.zeros(len(known), dtype=bool)
    factors = np.random.default_rng(4).integers(1 << 63, size=(1 << 16), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    for ids, vectors in blocks():
        # Sums of words times random odd numbers: two different rows in a million meet once in a hundred thousand runs.
        words = np.ascontiguousarray(vectors, dtype=np.float32).view(np.uint32)
        for start in range(0, len(ids), 1024):
            some = words[start : start + 1024].astype(np.uint64)
            places = np.searchsorted(known, ids[start : start + 1024])
            digests[places], came[places] = some @ factors[: words.shape[1]], True
    _, first, group, sizes = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    return np.where((sizes[group] > EQUAL) & came & came[first[group]], first[group], np.arange(len(known)))


def _no_near() -> NearPairs:
    return NearPairs(np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.float32))


# Hashes -------------------------------------------------------------------------------------------------------------
