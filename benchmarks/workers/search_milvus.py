"""Milvus Lite: its graph index over a local file, batches through its client."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pymilvus import DataType, MilvusClient

from benchmarks.workers.searching import Ids, Rows, main, padded

CHUNK = 2_000  # rows in one request
BATCH = 100  # questions in one request


class Milvus:
    """A database server in a library."""

    packages = ("pymilvus", "milvus-lite")
    how = "HNSW M=32, efConstruction=200; batches of 100"
    knob = "ef"
    ladder = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
    filters = True

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        client = MilvusClient(str(folder / "photos.db"))
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("bucket", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        index = client.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 32, "efConstruction": 200})
        client.create_collection("photos", schema=schema, index_params=index)
        for start in range(0, len(vectors), CHUNK):
            rows = np.array(vectors[start : start + CHUNK])
            client.insert(
                "photos",
                [
                    {"id": start + place, "bucket": int(buckets[start + place]), "vector": row}
                    for place, row in enumerate(rows)
                ],
            )
        client.flush("photos")
        client.load_collection("photos")
        client.close()

    def open(self, folder: Path) -> None:
        self.client = MilvusClient(str(folder / "photos.db"))
        self.client.load_collection("photos")

    def turn(self, value: int) -> None:
        self.value = value

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        answers: list[list[int]] = []
        for start in range(0, len(queries), BATCH):
            found = self.client.search(
                "photos",
                data=list(queries[start : start + BATCH]),
                limit=k,
                filter="" if below is None else f"bucket < {below}",
                search_params={"metric_type": "IP", "params": {"ef": self.value}},
            )
            answers += [[match["id"] for match in matches] for matches in found]
        return padded(answers, len(queries), k)


main(Milvus())
