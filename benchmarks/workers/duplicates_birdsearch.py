"""birdsearch: index the folder, then look for duplicates; the vectors are handed on for the cosine alone."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import birdsearch
from benchmarks.workers.searching import peak_mb
from birdsearch.cache import cache_folder


def main(folder: Path, out: Path) -> None:
    """Write pairs (files, a, b, scores) and vectors (files, vectors), and print what was counted."""
    with (
        tempfile.TemporaryDirectory(dir=out.parent) as temporary,
        birdsearch.create(Path(temporary) / "index") as index,
    ):
        started = time.perf_counter()
        index.add(folder)
        reading = time.perf_counter() - started
        for kept in cache_folder().glob("compared-*"):  # of an earlier run, which had the same files
            kept.unlink()
        started = time.perf_counter()
        report = index.duplicates(relations=("identical", "pixels", "variant"))
        comparing = time.perf_counter() - started
        photos = index.photos()
        ids = [photo.id for photo in photos if photo.id is not None]
        vectors = index.vectors(ids)
    files = [os.path.relpath(photo.path, folder) for photo in photos]
    started = time.perf_counter()
    _ = vectors @ vectors.T
    cosine = time.perf_counter() - started
    a, b = (np.searchsorted(ids, [getattr(pair, end) for pair in report.pairs]) for end in "ab")
    np.savez(out, files=files, a=a, b=b, scores=np.ones(len(a), dtype=np.float32))
    np.savez(out.with_name("cosine.npz"), files=files, vectors=vectors)
    figures = {"reading": reading, "comparing": comparing, "cosine": cosine, "counts": report.counts}
    print(json.dumps(figures | {"peak_mb": peak_mb()}))


main(Path(sys.argv[1]), Path(sys.argv[2]))
