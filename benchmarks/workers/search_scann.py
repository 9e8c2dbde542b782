"""ScaNN: tree, anisotropic hashing and exact re-ranking, as its guide lays out for a million vectors."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import scann  # type: ignore[import-not-found]

from benchmarks.workers.searching import THREADS, Ids, Rows, main


class Scann:
    """The knob opens leaves of the tree and re-ranks in proportion."""

    packages = ("scann",)
    how = "tree of sqrt(n) leaves, score_ah(2, 0.2), reorder; search_batched_parallel on two threads"
    knob = "leaves_to_search"
    ladder = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1000)
    filters = False

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        leaves = int(len(vectors) ** 0.5)
        searcher = (
            scann.scann_ops_pybind.builder(np.asarray(vectors), 10, "dot_product")
            .tree(num_leaves=leaves, num_leaves_to_search=leaves // 10, training_sample_size=min(len(vectors), 250_000))
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(200)
            .set_n_training_threads(THREADS)
            .build()
        )
        searcher.serialize(str(folder))

    def open(self, folder: Path) -> None:
        self.searcher = scann.scann_ops_pybind.load_searcher(str(folder))
        self.searcher.set_num_threads(THREADS)

    def turn(self, value: int) -> None:
        self.leaves = value
        self.reordered = min(1000, 50 + 4 * value)

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        settings = {
            "final_num_neighbors": k,
            "leaves_to_search": self.leaves,
            "pre_reorder_num_neighbors": self.reordered,
        }
        if len(queries) == 1:
            return np.asarray(self.searcher.search(queries[0], **settings)[0], dtype=np.int64)[None]
        return np.asarray(self.searcher.search_batched_parallel(queries, **settings)[0], dtype=np.int64)


main(Scann())
