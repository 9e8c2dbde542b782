"""Pairs that are worth verifying, each once, in a temporary table; and the vectors of an index that propose them."""

import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from typing import Self

import numpy as np
import numpy.typing as npt

from birdsearch.errors import IndexUnwritableError
from birdsearch.records import Filter, Ids, Vectors, blocks, shown
from birdsearch.search import pairs
from birdsearch.search.exact import Neighbours
from birdsearch.storage.store import Store

BLOCK = 65_536  # pairs that are read together
CACHE_KB = 64_000  # of the table that SQLite keeps in memory; beyond it the table is a file


class Proposals:
    """A set of pairs of ids, the lower id first; it is gone when it is closed."""

    def __init__(self, block: int = BLOCK, *, cache_kb: int = CACHE_KB, max_pages: int | None = None) -> None:
        self._block = block
        self._settings = [f"cache_size = -{cache_kb}", "journal_mode = OFF", "synchronous = OFF"]
        if max_pages is not None:  # of 4 kB, as if the disk were full then
            self._settings.append(f"max_page_count = {max_pages}")

    def __enter__(self) -> Self:
        # "" is a database of its own: a temporary file, made when the cache is full and unlinked at once.
        self._table = sqlite3.connect("", isolation_level=None)
        for setting in self._settings:
            self._table.execute(f"PRAGMA {setting}")
        self._table.execute("CREATE TABLE pairs (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID")
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()

    def __len__(self) -> int:
        return int(self._table.execute("SELECT count(*) FROM pairs").fetchone()[0])

    def add(self, pairs: Ids) -> None:
        """Take in pairs (m, 2) in any order; a pair of a photo with itself is left out."""
        ascending = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
        try:
            self._table.execute("BEGIN")
            self._table.executemany("INSERT OR IGNORE INTO pairs VALUES (?, ?)", ascending.tolist())
            self._table.execute("COMMIT")
        except sqlite3.Error as error:
            raise IndexUnwritableError(
                f"the pairs to verify cannot be kept in {shown(tempfile.gettempdir())} ({error}): make room, "
                "or set TMPDIR to a folder that has room."
            ) from error

    def blocks(self) -> Iterator[Ids]:
        """All pairs (m, 2), ascending, in blocks."""
        table = self._table.execute("SELECT a, b FROM pairs ORDER BY a, b")
        while block := table.fetchmany(self._block):
            yield np.array(block, dtype=np.int64)

    def holds(self, pairs: Ids) -> npt.NDArray[np.bool_]:
        """Which of the pairs (m, 2), the lower id first, are among them."""
        ask = "SELECT EXISTS (SELECT 1 FROM pairs WHERE a = ? AND b = ?)"
        return np.array([self._table.execute(ask, pair).fetchone()[0] for pair in pairs.tolist()], dtype=bool)


class LiveVectors:
    """The vectors of an index's photos, deleted ones and `without` left out, as `search.pairs` takes them."""

    def __init__(self, store: Store, where: Filter | None, without: Collection[int] = ()) -> None:
        self._catalog, self._vectors = store.catalog, store.vectors
        self.ids, self.photos = self._catalog.frames(where)  # (n,) of regions, ascending; (n,) their photos
        if without:
            kept = ~np.isin(self.photos, list(without))
            self.ids, self.photos = self.ids[kept], self.photos[kept]
        # The store answers with visible photos only, but with all their regions.
        everything = where is None and not without and not self._catalog.counts()["boxes"]
        self._only = None if everything else self.ids
        self.done = 0  # vectors whose blocks were handed out

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, vectors: Vectors, k: int, *, only: Ids | None = None) -> Neighbours:
        """The k best vectors for each query (q, dim)."""
        return self._vectors.search(vectors, k, self._only if only is None else only)

    def photos_of(self, regions: Ids) -> Ids:
        """The photos of regions, in the same shape."""
        return self.photos[np.searchsorted(self.ids, regions)]

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Ids (b,) of regions and their raw unit vectors (b, dim)."""
        for ids, vectors in self._vectors.blocks():
            places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            kept = np.flatnonzero(self.ids[places] == ids) if len(self.ids) else np.empty(0, dtype=np.int64)
            for block in (kept[each] for each in blocks(len(kept), pairs.BLOCK)):
                self.done = self.done % len(self) + len(block)
                yield ids[block], vectors[block]
