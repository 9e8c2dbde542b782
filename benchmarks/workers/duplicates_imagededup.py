"""One of imagededup's hash methods: its encoding of the folder, and its own search within 10 bits, its default."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from imagededup import methods  # type: ignore[import-not-found]

from benchmarks.workers.searching import THREADS, peak_mb


def main(folder: Path, out: Path, name: str) -> None:
    """Write hashes (files, hashes); files it cannot read are not among them."""
    method = getattr(methods, name)(verbose=False)
    started = time.perf_counter()
    encodings = method.encode_images(folder, recursive=True, num_enc_workers=THREADS)
    reading = time.perf_counter() - started
    started = time.perf_counter()
    method.find_duplicates(encoding_map=encodings, max_distance_threshold=10, num_dist_workers=THREADS)
    comparing = time.perf_counter() - started
    hashes = np.array([int(value, 16) for value in encodings.values()], dtype=np.uint64)
    np.savez(out, files=list(encodings), hashes=hashes)
    print(json.dumps({"reading": reading, "comparing": comparing, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
