"""Hashes of 64 bits: which are near, by FAISS."""

import numpy as np
import numpy.typing as npt

from birdsearch.search.pairs import Hashes, Rows


def near_hashes(queries: Hashes, hashes: Hashes, within: int) -> tuple[Rows, Rows, npt.NDArray[np.uint8]]:
    """All pairs of a query (q,) and a hash (n,) that differ in at most `within` bits.

    Returned are rows of queries (m,), rows of hashes (m,) and bits that differ (m,). The search is exhaustive.
    """
    import faiss

    if not len(queries) or not len(hashes):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    index = faiss.IndexBinaryFlat(64)
    index.add(_as_bytes(hashes))
    limits, bits, others = index.range_search(_as_bytes(queries), within + 1)  # FAISS excludes the radius itself
    ends = limits.astype(np.int64)
    rows = np.repeat(np.arange(len(queries)), ends[1:] - ends[:-1])
    return rows, others, bits.astype(np.uint8)


def _as_bytes(hashes: Hashes) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint8).reshape(-1, 8)
