"""Perceptual hashes: which photos have nearly the same, in any of eight orientations."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from birdsearch.records import Ids, blocks
from birdsearch.search.hamming import near_hashes
from birdsearch.search.pairs import Hashes, Rows

EXACT_UP_TO = 30_000  # different hashes; so few are all compared
_BLOCK = 256  # hashes whose pairs are in memory together, in eight orientations
NEAREST = 32  # pairs per hash: of pictures that all look alike (sky, fog) thousands are close
_BANDS = 96  # how often more hashes are sorted into buckets; each finds a part of the pairs
_BUCKET = 64  # hashes of one bucket that a hash is compared with
_QUERIES = 2**15  # hashes that are compared with their buckets together
_ODD_COLUMNS = np.uint64(0x5555555555555555)
_ODD_ROWS = np.uint64(0x00FF00FF00FF00FF)


def reach(count: int) -> int:
    """How many bits may differ among so many hashes before chance proposes more pairs than can be verified."""
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


def hash_pairs(hashes: Hashes, ids: Ids, within: int | None = None) -> Ids:
    """Pairs of photos (m, 2) whose pHash (n,), in any of eight orientations, differs in at most `within` bits.

    Each pair comes once, the lower id first; `within` is `reach` where it is None. Up to 30,000 different hashes are
    compared exactly, more in buckets of equal bits. Each hash keeps its 32 nearest partners, and photos of very common
    hashes are paired with a few of each other, so that pairs grow as photos do.
    """
    unique, group = np.unique(np.asarray(hashes, dtype=np.uint64), return_inverse=True)
    order = np.lexsort((ids, group))
    members = np.asarray(ids, dtype=np.int64)[order]
    starts = np.searchsorted(group[order], np.arange(len(unique) + 1))
    limit = reach(len(unique)) if within is None else within
    packed = (_compared if len(unique) <= EXACT_UP_TO else _bucketed)(unique, limit)
    pairs = np.concatenate([_inside(members, starts), _between(members, starts, *_nearest(packed))])
    pairs = np.sort(pairs, axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _compared(unique: Hashes, within: int) -> Hashes:
    """All pairs of different hashes, packed."""
    parts = []
    for block in blocks(len(unique), _BLOCK):
        turned = orientations(unique[block])
        row, other, distance = near_hashes(turned.ravel(), unique[block.start :], within)
        row %= turned.shape[1]
        later = other > row
        parts.append(_distinct([_packed(row[later] + block.start, other[later] + block.start, distance[later])]))
    return _distinct(parts)


def _bucketed(unique: Hashes, within: int) -> Hashes:
    """Pairs of different hashes that agree in one of many random choices of bits, packed.

    faiss.IndexBinaryMultiHash is slower (measured in one process): on 200,000 hashes (12 bits) 4 times as slow where it
    finds less (4 hashes of 16 bits, 1 flip: recall 0.976 of planted pairs, here 0.986), 11 times where it finds as much
    (3 of 20, 2 flips); on a million (10 bits) 32 and 113 times.
    """
    random = np.random.default_rng(8)
    width = len(unique).bit_length()  # as many buckets as hashes, or twice as many
    turned, parts = orientations(unique), [np.empty(0, dtype=np.uint64)]
    for _ in range(_BANDS):
        mask = np.bitwise_or.reduce(np.uint64(1) << random.choice(64, width, replace=False).astype(np.uint64))
        odd = random.integers(1 << 63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        bucket = ((unique & mask) * odd) >> np.uint64(64 - width)
        order = np.argsort(bucket, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(bucket.astype(np.int64), minlength=1 << width))])
        for number, queries in enumerate(turned):
            own = (((queries & mask) * odd) >> np.uint64(64 - width)).astype(np.int64)
            low, count = starts[own], starts[own + 1] - starts[own]
            # Where a bucket is too full each choice of bits looks at another part of it.
            low = low + (np.maximum(0, count - _BUCKET) * random.random()).astype(np.int64)
            buckets = order, low, np.minimum(count, _BUCKET)
            parts += _near_in(queries, unique, buckets, within, both=number >= 4)
        if sum(map(len, parts)) > 2 * len(parts[0]) + 1_000_000:
            parts = [_distinct(parts)]
    return _distinct(parts)


def _near_in(
    queries: Hashes, unique: Hashes, buckets: tuple[npt.NDArray[np.int32], Rows, Rows], within: int, *, both: bool
) -> Iterator[Hashes]:
    """Packed pairs of each query (n,) with the hashes of its bucket.

    `buckets` are the rows of `unique` by bucket, where among them that of each query begins (n,), and its length (n,).
    """
    order, low, count = buckets
    for block in blocks(len(queries), _QUERIES):
        sizes = count[block]
        row = np.repeat(np.arange(block.start, block.stop, dtype=np.int32), sizes)
        inside = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        other = order[np.repeat(low[block], sizes) + inside]
        # A mirrored hash agrees with another one in the same bits as that one, mirrored, with it: once is enough.
        kept = np.flatnonzero(row != other if both else row < other)
        row, other = row[kept], other[kept]
        distance = np.bitwise_count(queries[row] ^ unique[other])
        near = distance <= within
        row, other = row[near], other[near]
        yield _packed(np.minimum(row, other), np.maximum(row, other), distance[near])


def _packed(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer], distance: npt.NDArray[np.uint8]) -> Hashes:
    """Pairs of rows below 2**28 and their distance as numbers that sort by pair, then distance."""
    high = (a.astype(np.uint64) << np.uint64(36)) | (b.astype(np.uint64) << np.uint64(8))
    return np.asarray(high | distance.astype(np.uint64), dtype=np.uint64)


def _distinct(parts: list[Hashes]) -> Hashes:
    """Each pair once, with its lowest distance."""
    packed = np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)
    pair = packed >> np.uint64(8)
    return packed[np.concatenate([[True], pair[1:] != pair[:-1]])] if len(packed) else packed


def _nearest(packed: Hashes) -> tuple[Rows, Rows]:
    """Rows a (m,) and b (m,) of the pairs that are among the nearest of either."""
    a = (packed >> np.uint64(36)).astype(np.int64)
    b = ((packed >> np.uint64(8)) & np.uint64((1 << 28) - 1)).astype(np.int64)
    distance = (packed & np.uint64(255)).astype(np.uint8)
    kept = np.zeros(len(packed), dtype=bool)
    for row in (a, b):
        order = np.lexsort((distance, row))
        begins = np.searchsorted(row[order], row[order])
        kept[order[np.arange(len(order)) - begins < NEAREST]] = True
    return a[kept], b[kept]


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


def _between(members: Ids, starts: Rows, a: Rows, b: Rows) -> Ids:
    """Pairs (m, 2) of photos of two close hashes: all with all where they are few, else each with one of the others."""
    sizes = np.diff(starts)
    product, longer = sizes[a] * sizes[b], np.maximum(sizes[a], sizes[b])
    count = np.where(product <= NEAREST, product, longer)
    pair = np.repeat(np.arange(len(a)), count)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    # All with all counts through one side while the other stands still; else both run, the shorter one over and over.
    whole = (product <= NEAREST)[pair]
    one, other = sizes[a][pair], sizes[b][pair]
    left = np.where(whole, place // other, place % one)
    return np.stack([members[starts[a[pair]] + left], members[starts[b[pair]] + place % other]], axis=1)
