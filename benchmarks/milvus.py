"""Milvus and the engine in a file, in one run: `python -m benchmarks.milvus`.

Bird-like vectors of `benchmarks.synthetic`, asked in batches of 100 and one by one, all of them and those that a filter
keeps. Milvus Lite and, where the wheel `milvus` (the server 2.3.5) can be had and a network namespace be made, a real
server; each with the least effort of those tried that reaches a recall of 0.95 at 10. The engine in a file is given the
ids that a filter keeps, Milvus the filter. Scores of both are compared where they compare every row.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import command_line, note, publish, table, versions
from benchmarks.synthetic import Synthetic, load
from birdsearch import Filter
from birdsearch.cluster.milvus import Milvus, MilvusEngine
from birdsearch.records import Ids, Vectors
from birdsearch.search import tuning
from birdsearch.storage.served import EFFORTS
from tests.support import ROOT, milvus_server

ROWS = 100_000
RECALL = 0.95
KEPT = (100, 50, 10, 1)  # per cent that a filter keeps
BATCH = 100
SECONDS = 3.0  # that a speed is measured for
ROUNDS = 2
Search = Callable[[Vectors, int], Ids]  # queries, per cent that are kept -> ids


@dataclass(frozen=True, slots=True)
class Contestant:
    """One engine, ready to be asked."""

    name: str
    settings: str
    seconds: float  # to fill it
    search: Search


def main() -> None:
    options = command_line("milvus", __doc__)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--without-server", action="store_true", help="Milvus Lite alone")
    options.add_argument("--inside", action="store_true", help="in the namespace of the server")
    given = options.parse_args()
    data = load(given.rows)
    reason = "" if given.inside else "not asked for" if given.without_server else milvus_server.why_not()
    if not given.inside and not reason:
        words = milvus_server.command("benchmarks.milvus", "--rows", str(given.rows), "--inside")
        sys.exit(subprocess.run(words, cwd=ROOT, check=False).returncode)
    if reason:
        note(f"no server: {reason}")
    with tempfile.TemporaryDirectory() as place:
        server = milvus_server.Server(Path(place) / "server") if given.inside else None
        try:
            contestants = [in_a_file(data), in_milvus(data, "Milvus Lite", f"milvus://{place}/birds.db")]
            if server is not None:
                server.start()
                contestants.append(in_milvus(data, f"Milvus {milvus_server.VERSION}", server.address))
            rows = measured(data, contestants)
        finally:
            if server is not None:
                server.kill()
    head = (
        "engine",
        "settings",
        "to fill, s",
        "a filter keeps",
        "recall@10",
        "queries/s, batches of 100",
        "one by one",
    )
    load_average = f"The load of the machine was {os.getloadavg()[0]:.0f}: compare what stands in one column."
    body = f"{versions('faiss-cpu', 'pymilvus', 'milvus-lite')}. {load_average}\n\n{table(head, rows)}"
    title = f"Milvus, {given.rows:,} vectors"
    publish(title, body, command="python -m benchmarks.milvus", keep=given.rows == ROWS and server is not None)


def in_a_file(data: Synthetic) -> Contestant:
    """The engine that birdsearch would choose for a folder."""
    began = time.perf_counter()
    engine = tuning.build(np.asarray(data.vectors), recall=RECALL)

    def search(queries: Vectors, kept: int) -> Ids:
        only = None if kept == 100 else np.flatnonzero(data.bucket < kept)
        return engine.search(queries, 10, only=only).ids

    return Contestant(f"birdsearch {engine.kind}", "tuned", time.perf_counter() - began, search)


def in_milvus(data: Synthetic, name: str, address: str) -> Contestant:
    """An engine on a server, whose effort is the least that does."""
    began = time.perf_counter()
    server, ids = Milvus(address), np.arange(len(data.vectors))
    engine = server.create("birds_benchmark", data.vectors.shape[1], exact=False)
    for start in range(0, len(ids), 10_000):
        block = ids[start : start + 10_000]
        facets = {"photo": block.tolist(), "width": (1 + data.bucket[block]).tolist()}
        engine.add(np.asarray(data.vectors[block]), block, facets)
    engine.settle()
    seconds = time.perf_counter() - began
    for effort in EFFORTS:
        engine.effort = effort
        if recall(data, filtered(engine), 100) >= RECALL:
            break
    return Contestant(name, f"HNSW M=32, ef {engine.effort}", seconds, filtered(engine))


def filtered(engine: MilvusEngine) -> Search:
    """Searches of an engine by the facet `width`, which is the bucket and one more."""

    def search(queries: Vectors, kept: int) -> Ids:
        where = None if kept == 100 else ~Filter(min_width=kept + 1)
        return engine.search(queries, 10, where=where, share=kept / 100).ids

    return search


def recall(data: Synthetic, search: Search, kept: int) -> float:
    """Of the ten nearest of 300 questions."""
    truth = (data.truth if kept == 100 else data.filtered[kept])[:300, :10]
    found = search(data.queries[:300], kept)
    return float(np.mean([np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]))


def measured(data: Synthetic, contestants: list[Contestant]) -> list[list[object]]:
    """A row for each engine and each filter; the speeds are measured by turns, and the best counts."""
    best: dict[tuple[str, int, int], float] = {}
    for _ in range(ROUNDS):
        for one in contestants:
            for kept in KEPT:
                for batch in (BATCH, 1):
                    key = (one.name, kept, batch)
                    best[key] = max(best.get(key, 0.0), speed(data, one.search, kept, batch))
    note(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB at most")
    return [
        [
            *((one.name, one.settings, round(one.seconds)) if kept == 100 else ("", "", "")),
            f"{kept} %", round(recall(data, one.search, kept), 3),
            *(round(best[one.name, kept, batch]) for batch in (BATCH, 1)),
        ]
        for one in contestants
        for kept in KEPT
    ]  # fmt: skip


def speed(data: Synthetic, search: Search, kept: int, batch: int) -> float:
    """Questions a second."""
    asked, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < SECONDS:
        start = asked % (len(data.queries) - batch)
        search(data.queries[start : start + batch], kept)
        asked += batch
    return asked / took


if __name__ == "__main__":
    main()
