"""FAISS by hand; the first argument says which: HNSW32, IVF with flat lists, or short codes set by its AutoTune."""

import json
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.workers.searching import THREADS, Ids, K, Rows, main

HELD_OUT = 1000  # rows that AutoTune asks for, and that are not in the index meanwhile
EXPERIMENTS = 60  # of AutoTune


class Faiss:
    """One line of the FAISS index factory."""

    packages: tuple[str, ...] = ("faiss-gpu",) if sys.platform == "linux" else ("faiss-cpu",)
    filters = False

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.knob = {"hnsw": "efSearch", "ivf": "nprobe", "auto": "AutoTune's operating point for (1/1000)"}[kind]
        self.how = {
            "hnsw": "HNSW32 as it comes; batch",
            "ivf": "IVF with sqrt(n) lists, Flat; batch",
            "auto": "PCA256,IVF with 4 sqrt(n) lists,SQ8,Refine(SQfp16), AutoTune on rows held out; batch",
        }[kind]
        steps = 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048
        self.ladder = (950, 960, 970, 980, 990, 995, 1000) if kind == "auto" else steps

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        faiss.omp_set_num_threads(THREADS)
        cells = int(len(vectors) ** 0.5)
        settings = {
            "hnsw": "HNSW32",
            "ivf": f"IVF{cells},Flat",
            "auto": f"PCA256,IVF{min(4 * cells, len(vectors) // 40)},SQ8,Refine(SQfp16)",
        }[self.kind]
        # Of unit rows both rank alike, and PCA moves the origin, which only distances survive.
        metric = faiss.METRIC_L2 if self.kind == "auto" else faiss.METRIC_INNER_PRODUCT
        index = faiss.index_factory(vectors.shape[1], settings, metric)
        rows = np.ascontiguousarray(vectors)
        asked, rows = (rows[:HELD_OUT], rows[HELD_OUT:]) if self.kind == "auto" else (rows[:0], rows)
        index.train(rows)
        index.add(rows)
        if self.kind == "auto":
            tuned = _operating_points(index, asked, rows)
            index.add(asked)  # rows that were asked for come last: see `search`
            (folder / "points.json").write_text(json.dumps(tuned), encoding="utf-8")
        faiss.write_index(index, str(folder / "index.faiss"))

    def open(self, folder: Path) -> None:
        self.folder = folder
        faiss.omp_set_num_threads(THREADS)
        self.index = faiss.read_index(str(folder / "index.faiss"))

    def turn(self, value: int) -> None:
        space = faiss.ParameterSpace()
        if self.kind != "auto":
            space.set_index_parameter(self.index, self.knob, value)
            return
        points = json.loads((self.folder / "points.json").read_text(encoding="utf-8"))
        reached = [settings for recall, settings in points if recall >= value / 1000]
        space.set_index_parameters(self.index, (reached or [points[-1][1]])[0])

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        found = np.asarray(self.index.search(queries, k)[1], dtype=np.int64)
        return np.where(found < 0, -1, (found + HELD_OUT) % self.index.ntotal) if self.kind == "auto" else found


def _operating_points(index: Any, queries: Rows, rows: Rows) -> list[tuple[float, str]]:
    """Recall of the ten nearest and settings of the points that AutoTune finds best, fastest first."""
    criterion: Any = faiss.IntersectionCriterion(len(queries), K)  # faiss's Python hides the signatures of C++
    criterion.set_groundtruth(*faiss.knn(queries, rows, K, metric=faiss.METRIC_INNER_PRODUCT))
    criterion.nnn = K
    space: Any = faiss.ParameterSpace()
    space.initialize(index)
    space.verbose, space.n_experiments = 0, EXPERIMENTS
    explored = space.explore(index, queries, criterion)
    points = [explored.optimal_pts.at(number) for number in range(explored.optimal_pts.size())]
    return sorted((point.perf, point.key) for point in points if point.key)


main(Faiss(sys.argv.pop(1)))
