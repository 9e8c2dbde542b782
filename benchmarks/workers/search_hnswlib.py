"""hnswlib: graph of 32 links, batches on two threads."""

from pathlib import Path

import hnswlib  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from benchmarks.workers.searching import THREADS, Ids, Rows, main

DIM = 512


class Hnswlib:
    """The graph index that most vector databases began with."""

    packages = ("hnswlib",)
    how = "M=32, ef_construction=200; batch"
    knob = "ef"
    ladder = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
    filters = False  # only through a Python function called for every node

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        index = hnswlib.Index(space="ip", dim=DIM)
        index.init_index(max_elements=len(vectors), M=32, ef_construction=200)
        index.set_num_threads(THREADS)
        index.add_items(vectors)
        index.save_index(str(folder / "index.bin"))

    def open(self, folder: Path) -> None:
        self.index = hnswlib.Index(space="ip", dim=DIM)
        self.index.load_index(str(folder / "index.bin"))
        self.index.set_num_threads(THREADS)

    def turn(self, value: int) -> None:
        self.index.set_ef(value)

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        ids, _ = self.index.knn_query(queries, k=k)
        return np.asarray(ids, dtype=np.int64)


main(Hnswlib())
