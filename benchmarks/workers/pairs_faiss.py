"""A plain FAISS range search of some rows among all, as its guide shows it; the time for all rows is worked out."""

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks.pairs import MIN_SCORE, recall
from benchmarks.workers.searching import THREADS, peak_mb

ASKED = 4096


def main(data: Path) -> None:
    """Ask for rows that planted pairs begin with, among others."""
    faiss.omp_set_num_threads(THREADS)
    vectors = np.load(data / "vectors.npy")
    truth = np.load(data / "near.npy")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    first = np.unique(truth[:, 0])
    asked = np.unique(np.concatenate([first, np.arange(0, len(vectors), -(-len(vectors) // ASKED))]))[:ASKED]
    before = peak_mb()
    started = time.perf_counter()
    limits, _, found = index.range_search(vectors[asked], MIN_SCORE)
    seconds = time.perf_counter() - started
    pairs = np.stack([np.repeat(asked, np.diff(limits.astype(np.int64))), found], axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    figures = {
        "pairs": len(pairs),
        "recall": recall(np.sort(pairs, axis=1), truth[np.isin(truth[:, 0], asked)]),
        "asked": len(asked),
        "seconds": seconds * len(vectors) / len(asked),
        "beyond_mb": peak_mb() - before,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(figures))


main(Path(sys.argv[1]))
