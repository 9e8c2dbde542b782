"""FAISS by hand, as its guide begins: HNSW32 or IVF with flat lists; the first argument says which."""

import sys
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.workers.searching import THREADS, Ids, Rows, main


class Faiss:
    """One line of the FAISS index factory."""

    packages: tuple[str, ...] = ("faiss-gpu",) if sys.platform == "linux" else ("faiss-cpu",)
    filters = False

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.knob = {"hnsw": "efSearch", "ivf": "nprobe"}[kind]
        self.how = {"hnsw": "HNSW32 as it comes; batch", "ivf": "IVF with sqrt(n) lists, Flat; batch"}[kind]
        self.ladder = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        faiss.omp_set_num_threads(THREADS)
        settings = "HNSW32" if self.kind == "hnsw" else f"IVF{int(len(vectors) ** 0.5)},Flat"
        index = faiss.index_factory(vectors.shape[1], settings, faiss.METRIC_INNER_PRODUCT)
        rows = np.ascontiguousarray(vectors)
        index.train(rows)
        index.add(rows)
        faiss.write_index(index, str(folder / "index.faiss"))

    def open(self, folder: Path) -> None:
        faiss.omp_set_num_threads(THREADS)
        self.index = faiss.read_index(str(folder / "index.faiss"))

    def turn(self, value: int) -> None:
        faiss.ParameterSpace().set_index_parameter(self.index, self.knob, value)

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        return np.asarray(self.index.search(queries, k)[1], dtype=np.int64)


main(Faiss(sys.argv.pop(1)))
