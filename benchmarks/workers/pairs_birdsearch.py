"""birdsearch's candidates for duplicates: builds the engine, or finds near vectors or near hashes with it."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairs import MIN_SCORE, recall
from benchmarks.workers.searching import peak_mb
from birdsearch.duplicates import hashes as hashes_module
from birdsearch.records import Ids, Vectors
from birdsearch.search import engine as engines
from birdsearch.search import pairs, tuning
from birdsearch.search.local import LocalEngine


def build(data: Path) -> dict[str, Any]:
    """Build and save the engine."""
    started = time.perf_counter()
    made = tuning.build(np.load(data / "vectors.npy", mmap_mode="r"))
    assert isinstance(made, LocalEngine)
    with (data / "engine").open("wb") as file:
        made.write(file)
    (data / "engine.json").write_text(json.dumps([made.kind, made.settings.as_json()]), encoding="utf-8")
    return {"engine": made.kind, "build_seconds": time.perf_counter() - started}


def near(data: Path) -> dict[str, Any]:
    """Pairs of vectors through the engine, the rows read in blocks."""
    kind, settings = json.loads((data / "engine.json").read_text(encoding="utf-8"))
    engine = engines.load(data / "engine", kind, settings, mapped=False)
    dim, before = engine.dim, peak_mb()

    def blocks() -> Iterator[tuple[Ids, Vectors]]:
        # Read and not mapped: pages of a mapped file would count as memory.
        with (data / "vectors.npy").open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            for start in range(0, len(engine), pairs.BLOCK):
                rows = np.fromfile(file, dtype=np.float32, count=pairs.BLOCK * dim).reshape(-1, dim)
                yield np.arange(start, start + len(rows)), rows

    started = time.perf_counter()
    parts = list(pairs.near_blocks(blocks, engine, MIN_SCORE))
    seconds = time.perf_counter() - started
    found = np.unique(np.concatenate([part.ids for part in parts]), axis=0)
    copies = np.load(data / "copies.npy")
    tied = np.unique(found[np.isin(found, copies).all(axis=1)])  # the copies are paired with the first of them
    return {
        "pairs": len(found),
        "recall": min(recall(found, np.load(data / "near.npy")), len(tied) / len(copies)),
        "asked": len(engine),
        "seconds": seconds,
        "beyond_mb": peak_mb() - before,
    }


def hashed(data: Path) -> dict[str, Any]:
    """Pairs of hashes."""
    hashes = np.load(data / "hashes.npy")
    before = peak_mb()
    started = time.perf_counter()
    found = hashes_module.hash_pairs(hashes, np.arange(len(hashes)))
    return {
        "pairs": len(found),
        "recall": recall(found, np.load(data / "hashed.npy")),
        "asked": len(hashes),
        "seconds": time.perf_counter() - started,
        "beyond_mb": peak_mb() - before,
    }


WORK = {"build": build, "near": near, "hash": hashed}
print(json.dumps(WORK[sys.argv[1]](Path(sys.argv[2])) | {"peak_mb": peak_mb()}))
