"""sqlite-vec: exact, one question at a time, two connections."""

import threading
from pathlib import Path

import apsw  # type: ignore[import-not-found]  # many Pythons are built without loadable extensions
import numpy as np
import numpy.typing as npt
import sqlite_vec  # type: ignore[import-not-found]

from benchmarks.workers.searching import Ids, Rows, main, one_by_one

DIM = 512


class SqliteVec:
    """It compares every row, so it has no knob."""

    packages = ("sqlite-vec", "apsw")
    how = "exact; one question at a time from two threads"
    knob = "none"
    ladder = (0,)
    filters = True

    def _connect(self, folder: Path) -> apsw.Connection:
        connection = apsw.Connection(str(folder / "vectors.db"))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        return connection

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        connection = self._connect(folder)
        connection.execute(f"create virtual table photo using vec0(vector float[{DIM}], bucket integer)")
        with connection:
            connection.executemany(
                "insert into photo(rowid, vector, bucket) values (?, ?, ?)",
                ((row, vectors[row].tobytes(), int(buckets[row])) for row in range(len(vectors))),
            )
        connection.close()

    def open(self, folder: Path) -> None:
        self.folder = folder
        self.local = threading.local()

    def turn(self, value: int) -> None:
        pass

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        return one_by_one(lambda query: self._ask(query, k, below), queries, k)

    def _ask(self, query: Rows, k: int, below: int | None) -> list[int]:
        if not hasattr(self.local, "connection"):
            self.local.connection = self._connect(self.folder)
        where, values = ("", []) if below is None else (" and bucket < ?", [below])
        rows = self.local.connection.execute(
            f"select rowid from photo where vector match ? and k = ?{where} order by distance",
            [query.tobytes(), k, *values],
        )
        return [row for (row,) in rows]


main(SqliteVec())
