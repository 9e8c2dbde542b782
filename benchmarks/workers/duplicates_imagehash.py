"""ImageHash's pHash of every file, and the distances of all pairs; it has no search of its own."""

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import pillow_heif
from PIL import Image

from benchmarks.edits import read_truth
from benchmarks.workers.searching import THREADS, peak_mb

pillow_heif.register_heif_opener()


def hashed(path: Path) -> int:
    """The pHash of one file."""
    with Image.open(path) as image:
        return int(str(imagehash.phash(image)), 16)


def main(folder: Path, out: Path) -> None:
    """Write hashes (files, hashes)."""
    files = [row.file for row in read_truth(folder)]
    started = time.perf_counter()
    with ProcessPoolExecutor(THREADS) as pool:
        hashes = np.array(list(pool.map(hashed, [folder / file for file in files], chunksize=50)), dtype=np.uint64)
    reading = time.perf_counter() - started
    started = time.perf_counter()
    for row in range(len(hashes)):
        np.bitwise_count(hashes[row] ^ hashes[row + 1 :])
    comparing = time.perf_counter() - started
    np.savez(out, files=files, hashes=hashes)
    print(json.dumps({"reading": reading, "comparing": comparing, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
