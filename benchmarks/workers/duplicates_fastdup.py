"""fastdup as a whole, its exact search and 30 neighbours of each photo; its similarity file is the answer."""

import csv
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import fastdup  # type: ignore[import-not-found]
import numpy as np

THREADS = 2  # as for everyone
NEIGHBOURS = 30  # more than the files of one picture
LOWEST = 0.3  # similarity below which it keeps nothing


def table(path: Path) -> "list[dict[str, str]]":
    """The rows of one of its files."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main(folder: Path, out: Path) -> None:
    """Write pairs (files, a, b, scores)."""
    with tempfile.TemporaryDirectory(dir=out.parent) as work:
        started = time.perf_counter()
        status = fastdup.run(
            str(folder),
            work_dir=work,
            num_threads=THREADS,
            threshold=LOWEST,
            nearest_neighbors_k=NEIGHBOURS,
            nnf_mode="Flat",
            turi_param="run_stats=0,run_cc=0",  # only the pairs are wanted
        )
        seconds = time.perf_counter() - started
        if status:
            sys.exit(f"fastdup ended with {status}")
        names = [row["filename"] for row in table(Path(work) / "atrain_features.dat.csv")]
        near = table(Path(work) / "similarity.csv")
    places = {name: place for place, name in enumerate(names)}
    np.savez(
        out,
        files=[os.path.relpath(name, folder) for name in names],
        a=[places[row["from"]] for row in near],
        b=[places[row["to"]] for row in near],
        scores=np.array([float(row["distance"]) for row in near], dtype=np.float32),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"reading": seconds, "comparing": None, "peak_mb": peak}))


main(Path(sys.argv[1]), Path(sys.argv[2]))
