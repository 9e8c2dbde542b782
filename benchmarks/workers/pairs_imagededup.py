"""imagededup's own search among the same hashes: what its PHash does after encoding, within 8 bits."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from imagededup.methods import PHash  # type: ignore[import-not-found]

from benchmarks.pairs import recall
from benchmarks.workers.searching import THREADS, peak_mb


def main(data: Path) -> None:
    """Find duplicates among all hashes; the names are row numbers."""
    hashes = np.load(data / "hashes.npy")
    encodings = {str(row): f"{value:016x}" for row, value in enumerate(hashes.tolist())}
    before = peak_mb()
    started = time.perf_counter()
    found = PHash(verbose=False).find_duplicates(
        encoding_map=encodings, max_distance_threshold=8, num_dist_workers=THREADS
    )
    seconds = time.perf_counter() - started
    pairs = np.array([(int(a), int(b)) for a, near in found.items() for b in near], dtype=np.int64).reshape(-1, 2)
    figures = {
        "pairs": len(np.unique(np.sort(pairs, axis=1), axis=0)),
        "recall": recall(np.sort(pairs, axis=1), np.load(data / "hashed.npy")),
        "asked": len(hashes),
        "seconds": seconds,
        "beyond_mb": peak_mb() - before,
    }
    print(json.dumps(figures | {"peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
