"""usearch: graph of 32 links over half-precision vectors; the first argument is the number type.

bf16, its default, is the fastest, but its scores are too rough for a recall of 0.99 on such data; f16 reaches it.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from usearch.index import Index  # type: ignore[import-not-found]

from benchmarks.workers.searching import THREADS, Ids, Rows, main

DIM = 512


class Usearch:
    """The graph index with the smallest file and half-precision storage."""

    packages = ("usearch",)
    knob = "expansion_search"
    ladder = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
    filters = False

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.how = f"{dtype}, connectivity=32, expansion_add=200; batch"

    def _empty(self) -> Index:
        return Index(ndim=DIM, metric="ip", dtype=self.dtype, connectivity=32, expansion_add=200)

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        index = self._empty()
        index.add(np.arange(len(vectors)), np.ascontiguousarray(vectors), threads=THREADS)
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path) -> None:
        self.index = self._empty()
        self.index.load(str(folder / "index.usearch"))

    def turn(self, value: int) -> None:
        self.index.expansion_search = value

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        return np.asarray(self.index.search(queries, k, threads=THREADS).keys, dtype=np.int64)


main(Usearch(sys.argv.pop(1)))
