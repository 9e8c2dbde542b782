"""Chroma: its graph index in a local folder, batches through its client."""

from pathlib import Path

import chromadb  # type: ignore[import-not-found]
import numpy as np
import numpy.typing as npt

from benchmarks.workers.searching import THREADS, Ids, Rows, main, padded

CHUNK = 5_000
BATCH = 100


class Chroma:
    """A database of documents that keeps vectors in hnswlib."""

    packages = ("chromadb",)
    how = "max_neighbors=32, ef_construction=200; batches of 100"
    knob = "ef_search"
    ladder = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
    filters = True

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        collection = chromadb.PersistentClient(str(folder)).create_collection(
            "photos",
            embedding_function=None,
            configuration={
                "hnsw": {"space": "ip", "max_neighbors": 32, "ef_construction": 200, "num_threads": THREADS}
            },
        )
        for start in range(0, len(vectors), CHUNK):
            rows = np.array(vectors[start : start + CHUNK])
            collection.add(
                ids=[str(start + place) for place in range(len(rows))],
                embeddings=rows,
                metadatas=[{"bucket": int(bucket)} for bucket in buckets[start : start + len(rows)]],
            )

    def open(self, folder: Path) -> None:
        self.folder = folder
        self.collection = chromadb.PersistentClient(str(folder)).get_collection("photos", embedding_function=None)

    def turn(self, value: int) -> None:
        self.collection.modify(configuration={"hnsw": {"ef_search": value}})
        # The open collection keeps the setting it was opened with.
        chromadb.api.shared_system_client.SharedSystemClient.clear_system_cache()
        self.open(self.folder)

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        answers: list[list[int]] = []
        for start in range(0, len(queries), BATCH):
            found = self.collection.query(
                query_embeddings=np.array(queries[start : start + BATCH]),
                n_results=k,
                where=None if below is None else {"bucket": {"$lt": below}},
                include=[],
            )
            answers += [[int(name) for name in names] for names in found["ids"]]
        return padded(answers, len(queries), k)


main(Chroma())
