"""LanceDB: the first argument is the index type; an ordered index on the attribute that filters use."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import lancedb  # type: ignore[import-not-found]
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lancedb.index import BTree  # type: ignore[import-not-found]

from benchmarks.workers.searching import Ids, Rows, main, padded

CHUNK = 50_000
FLYING = 8  # questions in flight: asked so it answers most a second, its own batches and two threads give less
KINDS = {"hnsw": "IVF_HNSW_SQ", "pq": "IVF_PQ", "rq": "IVF_RQ"}


class Lancedb:
    """The knob opens partitions and re-ranks that many times k from the full vectors."""

    packages = ("lancedb",)
    filters = True

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.how = f"{KINDS[kind]} as it comes; async client, 8 questions in flight"
        self.knob = "nprobes"
        self.ladder = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        dim = vectors.shape[1]

        def batch(start: int) -> pa.RecordBatch:
            rows = np.ascontiguousarray(vectors[start : start + CHUNK])
            flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), dim)
            ids = pa.array(np.arange(start, start + len(rows)))
            return pa.record_batch({"id": ids, "bucket": pa.array(buckets[start : start + len(rows)]), "vector": flat})

        first = batch(0)
        table = lancedb.connect(str(folder)).create_table("photo", pa.Table.from_batches([first]))
        for start in range(CHUNK, len(vectors), CHUNK):
            table.add(pa.Table.from_batches([batch(start)]))
        table.optimize()
        table.create_index(metric="dot", index_type=KINDS[self.kind])
        table.create_index("bucket", config=BTree())

    def open(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.table = self.loop.run_until_complete(self._open(folder))

    async def _open(self, folder: Path) -> Any:
        return await (await lancedb.connect_async(str(folder))).open_table("photo")

    def turn(self, value: int) -> None:
        self.value = value

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        return padded(self.loop.run_until_complete(self._all(queries, k, below)), len(queries), k)

    async def _all(self, queries: Rows, k: int, below: int | None) -> list[list[int]]:
        free = asyncio.Semaphore(FLYING)

        async def ask(query: Rows) -> list[int]:
            async with free:
                return await self._ask(query, k, below)

        return await asyncio.gather(*map(ask, queries))

    async def _ask(self, query: Rows, k: int, below: int | None) -> list[int]:
        ask = self.table.query().nearest_to(query).select(["id", "_distance"]).limit(k).nprobes(self.value)
        ask = ask.refine_factor(10) if self.kind != "hnsw" else ask.refine_factor(2).ef(max(20, 4 * self.value))
        if below is not None:
            ask = ask.where(f"bucket < {below}")
        found: list[int] = (await ask.to_arrow())["id"].to_pylist()
        return found


main(Lancedb(sys.argv.pop(1)))
