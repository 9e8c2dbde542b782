"""Pairs that are worth a look, each once: in memory while they are few, in sorted Parquet files when they are many."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.records import Filter, Ids, Neighbours, Vectors
from birdsearch.search import pairs
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.vectors import Retrieval

if TYPE_CHECKING:
    pass

import tempfile
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from birdsearch.errors import IndexUnwritableError, os_error_text
from birdsearch.records import shown

HELD = 1_000_000  # pairs in memory; beside them one more block of about as many is made when they are read
_ROW_GROUP = 65_536  # pairs; one is the least that is read of a file


class Proposals:
    """A set of pairs of ids, the lower id first; its files go when it is closed."""

    def __init__(self, held: int = HELD) -> None:
        self._held = held
        self._waiting: list[Ids] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def __len__(self) -> int:
        return sum(map(len, self.blocks()))

    def add(self, pairs: Ids) -> None:
        """Take in pairs (m, 2) in any order; a pair of a photo with itself is none."""
        self._waiting.append(_distinct(pairs))
        if sum(map(len, self._waiting)) > self._held:
            self._spill()

    def blocks(self) -> Iterator[Ids]:
        """All pairs, ascending, some (m, 2) at a time."""
        if not self._files:
            if len(self._waiting) != 1:  # each alone is distinct and ascending
                self._waiting = [_distinct(_joined(self._waiting))]
            if len(self._waiting[0]):
                yield self._waiting[0]
            return
        if self._waiting:
            self._spill()
        for low, high in pairwise([*self._edges(), np.iinfo(np.int64).max]):
            within = [("a", ">=", low), ("a", "<", high)]
            parts = [pq.read_table(file, filters=within) for file in self._files]
            yield _distinct(_joined([np.stack([part["a"], part["b"]], axis=1) for part in parts if len(part)]))

    def holds(self, pairs: Ids) -> npt.NDArray[np.bool_]:
        """Which of the pairs (m, 2), the lower id first, are among them."""
        found = np.zeros(len(pairs), dtype=bool)
        for block in self.blocks():
            near = np.flatnonzero((pairs[:, 0] >= block[0, 0]) & (pairs[:, 0] <= block[-1, 0]))
            if len(near):
                found[near] |= np.isin(_keys(pairs[near]), _keys(block))
        return found

    def _spill(self) -> None:
        pairs = _distinct(_joined(self._waiting))
        self._waiting = []
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="birdsearch-")
            file = Path(self._folder.name, f"{len(self._files):06}.parquet")
            pq.write_table(pa.table({"a": pairs[:, 0], "b": pairs[:, 1]}), file, row_group_size=_ROW_GROUP)
        except OSError as error:
            raise IndexUnwritableError(
                f"the pairs to look at cannot be kept in {shown(tempfile.gettempdir())} ({os_error_text(error)}): "
                "make room, or set TMPDIR to a folder that has room."
            ) from error
        self._files.append(file)

    def _edges(self) -> list[int]:
        """Lower ids at which blocks begin, so that each has about as many pairs as are held."""
        starts = []
        for file in self._files:
            about = pq.read_metadata(file)
            groups = (about.row_group(number) for number in range(about.num_row_groups))
            starts += [group.column(0).statistics.min for group in groups]
        return [int(edge) for edge in np.unique(np.sort(starts)[:: max(1, self._held // _ROW_GROUP)])]


def _distinct(pairs: Ids) -> Ids:
    """Pairs (m, 2) ascending, each once, the lower id first, none of a photo with itself."""
    pairs = np.sort(pairs, axis=1)
    keys = np.unique(_keys(pairs[pairs[:, 0] != pairs[:, 1]]))
    return np.stack([keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)


def _keys(pairs: Ids) -> npt.NDArray[np.uint64]:
    """Pairs of ids below 2**32 as one number each, in the same order."""
    return (pairs[:, 0].astype(np.uint64) << np.uint64(32)) | pairs[:, 1].astype(np.uint64)


def _joined(parts: list[Ids]) -> Ids:
    return np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)


class Rows:
    """The living rows of an index for `pairs`: ids in order, blocks of vectors, and the search among them."""

    def __init__(self, catalog: Catalog, retrieval: Retrieval, where: Filter | None) -> None:
        self._catalog, self._retrieval = catalog, retrieval
        self.ids, self.photos = catalog.regions_of_photos(where)
        self._only = None if len(self.ids) == len(retrieval) else self.ids
        self.asked = 0  # rows whose blocks were handed out

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, vectors: Vectors, k: int, *, only: Ids | None = None) -> Neighbours:
        """The k best living rows for each query (q, dim)."""
        return self._retrieval.nearest(vectors, k, self._only if only is None else only)

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Ids (b,) and raw unit rows (b, dim)."""
        for part in self._catalog.parts():
            ids, vectors = self._retrieval.living(part)
            places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            wanted = np.flatnonzero(self.ids[places] == ids) if len(self.ids) else np.empty(0, dtype=np.int64)
            for start in range(0, len(wanted), pairs.BLOCK):
                some = wanted[start : start + pairs.BLOCK]
                self.asked = self.asked % len(self) + len(some)
                yield ids[some], vectors[some]
