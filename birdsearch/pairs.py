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


@dataclass(frozen=True, slots=True)
class HashPairs:
    """Pairs of close hashes, each once."""

    ids: Ids  # (m, 2), the lower id first
    distances: npt.NDArray[np.uint8]  # (m,) bits that differ in the best of eight orientations


# Vectors ------------------------------------------------------------------------------------------------------------


def near_pairs(vectors: Vectors, min_score: float = 0.9, *, ids: Ids | None = None, k: int = 20) -> NearPairs:
    """All pairs of unit rows (n, dim) whose cosine reaches `min_score`; `ids` (n,) name the rows, else 0 to n - 1.

    Up to 20,000 rows are compared exactly, more by an approximate engine. Each row is asked for its `k` nearest, and
    for more, up to 640, while all of them are near enough; `cut` counts the rows for which that was not enough. Of more
    than eight equal rows only the first is compared with others, and all are paired with it: 10,000 copies are 9,999
    pairs.
    """
    from birdsearch import vectors as engines

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

    found = list(near_blocks(blocks, engines.build(rows, ids=names), min_score, k=k))
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

EXACT_UP_TO = 30_000  # different hashes; so few are compared one by one
NEAREST = 32  # pairs per hash: of pictures that all look alike (sky, fog) thousands are close
_BANDS = 96  # how often more hashes are sorted into buckets; each finds some of the pairs
_BUCKET = 64  # hashes of one bucket that a hash is compared with
_ODD_COLUMNS = np.uint64(0x5555555555555555)
_ODD_ROWS = np.uint64(0x00FF00FF00FF00FF)


def reach(count: int) -> int:
    """How many bits may differ among so many hashes before chance proposes more pairs than anyone can look at."""
    return 14 if count <= EXACT_UP_TO else 12 if count <= 250_000 else 10


def orientations(hashes: Hashes) -> Hashes:
    """The hashes (8, n) of the same pictures mirrored and turned by quarters; the first row is as they are.

    A pHash tells which of 8 x 8 cosine coefficients lie above their median, which is about 0. Mirroring changes the
    sign of every odd column (or row), so their bits flip; transposing the picture transposes the bits.
    """
    turned = np.stack([hashes, _transposed(hashes)])
    masks = np.array([0, _ODD_COLUMNS, _ODD_ROWS, _ODD_COLUMNS ^ _ODD_ROWS], dtype=np.uint64)
    return np.asarray(turned[:, None] ^ masks[None, :, None]).reshape(8, -1)


def _transposed(hashes: Hashes) -> Hashes:
    """8 x 8 bits with rows and columns exchanged, by three exchanges of ever larger squares."""
    bits = hashes
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        step = np.uint64(shift)
        swap = (bits ^ (bits >> step)) & np.uint64(mask)
        bits = bits ^ swap ^ (swap << step)
    return bits


def hash_pairs(hashes: Hashes, ids: Ids, within: int | None = None) -> HashPairs:
    """Photos whose pHash (n,), in any of eight orientations, differs in at most `within` bits (`reach` where None).

    Up to 30,000 different hashes are compared exactly, more in buckets of equal bits. Each hash keeps its 32 nearest
    partners, and photos of very common hashes are paired with some of each other, so that pairs grow as photos do.
    """
    unique, group = np.unique(np.asarray(hashes, dtype=np.uint64), return_inverse=True)
    order = np.lexsort((ids, group))
    members = np.asarray(ids, dtype=np.int64)[order]
    starts = np.searchsorted(group[order], np.arange(len(unique) + 1))
    limit = reach(len(unique)) if within is None else within
    packed = (_compared if len(unique) <= EXACT_UP_TO else _bucketed)(unique, limit)
    a, b, distance = _nearest(packed)
    inside = _inside(members, starts)
    between = _between(members, starts, a, b)
    pairs = np.sort(np.concatenate([inside, between[0]]), axis=1)
    bits = np.concatenate([np.zeros(len(inside), dtype=np.uint8), distance[between[1]]])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return HashPairs(pairs[order], bits[order])


def _compared(unique: Hashes, within: int) -> Hashes:
    """All pairs of different hashes, packed."""
    parts = []
    for start in range(0, len(unique), 32):
        for turned in orientations(unique[start : start + 32]):
            distance = np.bitwise_count(turned[:, None] ^ unique[None, start:])
            row, other = np.nonzero(distance <= within)
            later = other > row
            row, other = row[later], other[later]
            parts.append(_packed(row + start, other + start, distance[row, other]))
        if start % 1024 == 0:
            parts = [_distinct(parts)]
    return _distinct(parts)


def _bucketed(unique: Hashes, within: int) -> Hashes:
    """Pairs of different hashes that agree in one of many random choices of bits, packed."""
    random = np.random.default_rng(8)
    width = len(unique).bit_length()  # as many buckets as hashes, or twice as many
    turned, parts = orientations(unique), [np.empty(0, dtype=np.uint64)]
    for _ in range(_BANDS):
        mask = np.bitwise_or.reduce(np.uint64(1) << random.choice(64, width, replace=False).astype(np.uint64))
        odd = random.integers(1 << 63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        bucket = ((unique & mask) * odd) >> np.uint64(64 - width)
        order = np.argsort(bucket, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(bucket.astype(np.int64), minlength=1 << width))])
        for number, asked in enumerate(turned):
            own = (((asked & mask) * odd) >> np.uint64(64 - width)).astype(np.int64)
            low, count = starts[own], starts[own + 1] - starts[own]
            # Where a bucket is too full each choice of bits looks at another part of it.
            low = low + (np.maximum(0, count - _BUCKET) * random.random()).astype(np.int64)
            parts += _near_in(asked, unique, order, low, np.minimum(count, _BUCKET), within, both=number >= 4)
        if sum(map(len, parts)) > 2 * len(parts[0]) + 1_000_000:
            parts = [_distinct(parts)]
    return _distinct(parts)


def _near_in(
    asked: Hashes,
    unique: Hashes,
    order: npt.NDArray[np.int32],
    low: Rows,
    count: Rows,
    within: int,
    *,
    both: bool,
) -> Iterator[Hashes]:
    """Packed pairs of each hash asked (n,) with the `count` (n,) hashes of its bucket that begin at `low` (n,)."""
    ends = np.cumsum(count)
    start = 0
    while start < len(asked):
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + 2_000_000)))
        some = count[start:stop]
        row = np.repeat(np.arange(start, stop, dtype=np.int32), some)
        inside = np.arange(len(row)) - np.repeat(ends[start:stop] - some, some) + (ends[start - 1] if start else 0)
        other = order[np.repeat(low[start:stop], some) + inside]
        # A mirrored hash agrees with another one in the same bits as that one, mirrored, with it: once is enough.
        kept = np.flatnonzero(row != other if both else row < other)
        row, other = row[kept], other[kept]
        distance = np.bitwise_count(asked[row] ^ unique[other])
        near = distance <= within
        row, other = row[near], other[near]
        yield _packed(np.minimum(row, other), np.maximum(row, other), distance[near])
        start = stop


def _packed(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer], distance: npt.NDArray[np.uint8]) -> Hashes:
    """Pairs of rows below 2**28 and their distance as numbers that sort by pair, then distance."""
    high = (a.astype(np.uint64) << np.uint64(36)) | (b.astype(np.uint64) << np.uint64(8))
    return np.asarray(high | distance.astype(np.uint64), dtype=np.uint64)


def _distinct(parts: list[Hashes]) -> Hashes:
    """Each pair once, with its lowest distance."""
    packed = np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)
    pair = packed >> np.uint64(8)
    return packed[np.concatenate([[True], pair[1:] != pair[:-1]])] if len(packed) else packed


def _nearest(packed: Hashes) -> tuple[Rows, Rows, npt.NDArray[np.uint8]]:
    """Rows a and b and their distances, of those that are among the nearest of either."""
    a = (packed >> np.uint64(36)).astype(np.int64)
    b = ((packed >> np.uint64(8)) & np.uint64((1 << 28) - 1)).astype(np.int64)
    distance = (packed & np.uint64(255)).astype(np.uint8)
    kept = np.zeros(len(packed), dtype=bool)
    for row in (a, b):
        order = np.lexsort((distance, row))
        begins = np.searchsorted(row[order], row[order])
        kept[order[np.arange(len(order)) - begins < NEAREST]] = True
    return a[kept], b[kept], distance[kept]


def _inside(members: Ids, starts: Rows) -> Ids:
    """Pairs (m, 2) of photos with the same hash: each with the next ones and with the first."""
    last = np.repeat(starts[1:], np.diff(starts))  # of each photo, where its group ends
    first = np.repeat(starts[:-1], np.diff(starts))
    here = np.arange(len(members))
    parts = []
    for step in range(1, NEAREST + 1):
        fit = here[here + step < last]
        parts.append(np.stack([members[fit], members[fit + step]], axis=1))
        if not len(fit):
            break
    far = here[here - first > NEAREST]
    return np.concatenate([*parts, np.stack([members[first[far]], members[far]], axis=1)])


def _between(members: Ids, starts: Rows, a: Rows, b: Rows) -> tuple[Ids, Rows]:
    """Pairs (m, 2) of photos of two close hashes, and which of the close hashes (m,) each comes from.

    All with all where they are few, else each with one of the others.
    """
    sizes = np.diff(starts)
    product, longer = sizes[a] * sizes[b], np.maximum(sizes[a], sizes[b])
    count = np.where(product <= NEAREST, product, longer)
    pair = np.repeat(np.arange(len(a)), count)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    # All with all counts through one side while the other stands still; else both run, the shorter one over and over.
    whole = (product <= NEAREST)[pair]
    one, other = sizes[a][pair], sizes[b][pair]
    left = np.where(whole, place // other, place % one)
    return np.stack([members[starts[a[pair]] + left], members[starts[b[pair]] + place % other]], axis=1), pair
