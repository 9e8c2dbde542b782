"""Hashes of 64 bits: which are near, by FAISS or, among few, by numpy."""

import numpy as np
import numpy.typing as npt

from birdsearch.records import blocks
from birdsearch.search.exact import faiss_module
from birdsearch.search.pairs import Hashes, Rows

FEW = 4_000  # hashes that numpy compares sooner than FAISS, with its 170 MB, is loaded
_BLOCK = 256  # queries that numpy compares together


def near_hashes(queries: Hashes, hashes: Hashes, within: int) -> tuple[Rows, Rows, npt.NDArray[np.uint8]]:
    """All pairs of a query (q,) and a hash (n,) that differ in at most `within` bits.

    Returned are rows of queries (m,), rows of hashes (m,) and bits that differ (m,). The search is exhaustive.
    """
    if not len(queries) or not len(hashes):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    if len(hashes) <= FEW:
        return _by_numpy(queries, hashes, within)
    index = faiss_module().IndexBinaryFlat(64)
    index.add(_as_bytes(hashes))
    limits, bits, others = index.range_search(_as_bytes(queries), within + 1)  # FAISS excludes the radius itself
    ends = limits.astype(np.int64)
    rows = np.repeat(np.arange(len(queries)), ends[1:] - ends[:-1])
    return rows, others, bits.astype(np.uint8)


def _by_numpy(queries: Hashes, hashes: Hashes, within: int) -> tuple[Rows, Rows, npt.NDArray[np.uint8]]:
    parts = []
    for block in blocks(len(queries), _BLOCK):
        bits = np.bitwise_count(queries[block, None] ^ hashes[None])
        rows, others = np.nonzero(bits <= within)
        parts.append((rows + block.start, others, bits[rows, others]))
    rows, others, near = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, others, near


def _as_bytes(hashes: Hashes) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint8).reshape(-1, 8)
