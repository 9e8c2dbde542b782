"""Engines in the memory of one process that live in a file: what they share, and the one that numpy searches."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

import numpy as np
import numpy.typing as npt

from birdsearch.records import Filter, Ids, Vectors
from birdsearch.search.exact import (
    BATCH,
    Neighbours,
    brute_force_knn,
    inner_products,
    merge_top_k,
    no_neighbours,
    to_float32,
    top_k,
)

FLAT_UP_TO = 20_000  # rows; beyond it flat loses by tens of times
OVERFETCH = 8  # candidates looked at beyond k, so that ties at the last place are seen
CHUNK = 16_384  # rows worked on at a time
HARDEST = 1_000_000  # that a setting may be: beyond it a search would take all memory
BATCH_REMOVED = 64  # removed rows in a chunk up to which more neighbours are fetched, not the others copied (a guess)

Positions = npt.NDArray[np.int64]  # rows inside an engine, 0 to n - 1; not the caller's ids
StoredSettings = Mapping[str, Any]  # JSON: the fields of a Settings -> a number, or one for 10 and one for 100 deep


@dataclass(frozen=True, slots=True)
class Settings:
    """How hard an engine searches; exact engines have nothing to set."""

    @classmethod
    def read(cls, stored: StoredSettings) -> Self:
        """Settings that were kept as JSON. Raises TypeError or ValueError for what is not a setting of this kind."""
        settings = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()})
        for field in fields(cls):
            value, usual = getattr(settings, field.name), field.default
            numbers, others = (one if isinstance(one, tuple) else (one,) for one in (value, usual))
            if len(numbers) != len(others) or not all(type(n) in (int, float) and 0 < n <= HARDEST for n in numbers):
                raise ValueError(f"it cannot be searched with {field.name} {value!r:.80}")
        return settings

    def as_json(self) -> StoredSettings:
        """The settings as JSON takes them."""
        return asdict(self)


class LocalEngine(ABC):
    """An engine in the memory of this process, which can be saved to a file and read, or mapped, from it."""

    kind: ClassVar[str]
    suffix: ClassVar[str]  # of its file
    exact: ClassVar[bool]  # whether it compares every row: it needs no training and no tuning
    settings_type: ClassVar[type[Settings]] = Settings
    minimum_rows: ClassVar[int] = 0  # to train on

    def __init__(
        self, dim: int, ids: Ids | None = None, settings: Settings | None = None, mapped: bool = False
    ) -> None:
        self.dim = dim
        self.settings = settings or self.settings_type()
        self.mapped = mapped
        self._set_ids(np.empty(0, dtype=np.int64) if ids is None else ids)

    @classmethod
    @abstractmethod
    def read(cls, path: Path, settings: Settings, mapped: bool) -> Self:
        """Read what `write` wrote. Raises ValueError where the file is something else."""

    @abstractmethod
    def write(self, file: BinaryIO) -> None:
        """Write rows and ids. Raises OSError where the disk refuses."""

    @staticmethod
    @abstractmethod
    def bytes_per_row(dim: int) -> int:
        """Memory that a row takes, as far as it is known without building the engine."""

    @classmethod
    def speed_among(cls, speed: float, share: float) -> float:
        """What to expect of its speed among all rows from that among a share of them."""
        return speed

    @abstractmethod
    def _append(self, rows: Vectors) -> None: ...

    @abstractmethod
    def _stored(self) -> npt.NDArray[Any]:
        """The rows as they are kept (n, dim), float32 or float16: a view, even of a mapped file."""

    @property
    def ids(self) -> Ids:
        """(n,) of the rows that may answer, in their order."""
        return self._ids if self._live is None else self._ids[self._live]

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """Memory that the rows, codes and links take."""
        return len(self._ids) * self.bytes_per_row(self.dim)

    def add(self, vectors: Vectors, ids: Ids, facets: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Take in rows (n, dim) under ids (n,); an id that is there already gets the new vector."""
        # faiss does not raise here, it aborts the process.
        if self.mapped:
            raise RuntimeError("cannot add to a mapped engine: load it with mapped=False")
        if facets is not None:
            raise ValueError(f"the engine {self.kind} keeps no facets: filter by ids (`only`)")
        rows = checked(vectors, self.dim)
        new = checked_ids(ids, len(rows))
        self.remove(new)
        for start in range(0, len(rows), 4 * CHUNK):
            self._append(rows[start : start + 4 * CHUNK])
        self._set_ids(np.concatenate([self._ids, new]))

    def remove(self, ids: Ids) -> None:
        """Let these rows answer no more; ids that are not there are ignored. The file is left as it is."""
        positions = self._positions(ids)
        if len(positions):
            left = self._ids.copy()  # whole, because threads may be searching
            left[positions] = -1
            self._set_ids(left)

    def rename(self, ids: Ids) -> None:
        """Give the rows other ids (n,), in their order."""
        renamed = self._ids.copy()
        renamed[self._ids >= 0] = checked_ids(ids, len(self))
        self._set_ids(renamed)

    def search(self, vectors: Vectors, k: int, only: Ids | None = None, where: Filter | None = None) -> Neighbours:
        """The k best rows for each query (q, dim) by cosine, ties by lower id; only the ids in `only` may answer."""
        queries = checked(vectors, self.dim)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if where is not None:
            raise ValueError(f"the engine {self.kind} knows no facets: filter by ids (`only`)")
        allowed = None if only is None else self._positions(only)
        available = len(self) if allowed is None else len(allowed)
        if not len(queries) or not available:
            return no_neighbours(len(queries), k)
        return self._search(queries, k, allowed, available)

    def _search(self, queries: Vectors, k: int, allowed: Positions | None, available: int) -> Neighbours:
        positions, scores = self._compare(queries, min(k + OVERFETCH, available), allowed)
        return top_k(self._ids[positions], scores, k)

    def _set_ids(self, ids: Ids) -> None:
        self._ids = ids  # (rows,), -1 for a row that was removed
        live = ids >= 0
        self._count = int(np.count_nonzero(live))
        self._live: npt.NDArray[np.bool_] | None = None if self._count == len(ids) else live
        self._removed: Positions = np.flatnonzero(~live)
        ascending = bool(np.all(ids[1:] > ids[:-1]))
        # Positions in ascending order of id.
        self._by_id: Positions | None = None if ascending else np.argsort(ids, kind="stable")

    def _positions(self, ids: Ids) -> Positions:
        """Rows of the given ids, ascending; ids that the engine does not hold are left out."""
        queried = np.asarray(ids, dtype=np.int64)
        if not np.all(queried[1:] > queried[:-1]):
            queried = np.unique(queried)
        queried = queried[np.searchsorted(queried, 0) :]
        ascending = self._ids if self._by_id is None else self._ids[self._by_id]
        places = np.searchsorted(ascending, queried)
        inside = places < len(ascending)
        places = places[inside]
        places = places[ascending[places] == queried[inside]]
        return places if self._by_id is None else np.sort(self._by_id[places])

    def _mask(self, allowed: Positions) -> npt.NDArray[np.bool_]:
        """Which rows (n,) are allowed."""
        mask = np.zeros(len(self._ids), dtype=bool)
        mask[allowed] = True
        return mask

    def _few(self, queries: Vectors, allowed: Positions | None) -> bool:
        """Whether so few queries search so many rows that a pass over all of them beats copying those allowed."""
        return len(queries) < BATCH and (allowed is None or 100 * len(allowed) > len(self._ids))

    def _compare(self, queries: Vectors, k: int, allowed: Positions | None) -> tuple[Positions, Vectors]:
        """Positions and scores (q, k) of the best rows by comparing all that are allowed; k is at most their number."""
        best, stored = no_neighbours(len(queries), k), self._stored()
        count = len(self._ids) if allowed is None else len(allowed)
        for start in range(0, count, CHUNK):
            part = np.arange(start, min(start + CHUNK, count)) if allowed is None else allowed[start : start + CHUNK]
            first, end = np.searchsorted(self._removed, (start, start + CHUNK)) if allowed is None else (0, 0)
            removed = self._removed[first:end]
            if len(removed) > BATCH_REMOVED:
                part, removed = np.setdiff1d(part, removed, assume_unique=True), part[:0]
            if len(part):
                whole = len(part) == part[-1] - part[0] + 1
                block = to_float32(stored[part[0] : part[-1] + 1] if whole else stored[part])
                near = brute_force_knn(block, part, queries, k + len(removed))
                if len(removed):
                    near.scores[np.isin(near.ids, removed)] = -np.inf
                best = merge_top_k(best, near, k)
        return best.ids, best.scores


class Flat(LocalEngine):
    """Compares every row, by numpy where that is quicker: so few rows are searched before faiss would be loaded."""

    kind, suffix, exact = "flat", ".npy", True

    def __init__(self, dim: int, ids: Ids | None = None, rows: Vectors | None = None, mapped: bool = False) -> None:
        super().__init__(dim, ids, mapped=mapped)
        self._rows = np.empty((0, dim), dtype=np.float32) if rows is None else rows

    @classmethod
    def read(cls, path: Path, settings: Settings, mapped: bool) -> Self:
        rows = np.load(path, mmap_mode="r" if mapped else None)
        with path.open("rb") as file:
            end = np.lib.format.read_magic(file) and np.lib.format.read_array_header_1_0(file) and file.tell()
            file.seek(end + rows.nbytes)
            ids = np.load(file)
        if rows.ndim != 2 or rows.dtype != np.float32 or ids.shape != rows.shape[:1] or ids.dtype != np.int64:
            raise ValueError(f"it holds {rows.dtype} {rows.shape} and {ids.dtype} {ids.shape}")
        return cls(rows.shape[1], ids, np.asarray(rows), mapped)

    def write(self, file: BinaryIO) -> None:
        """Two arrays one after the other: the rows (n, dim) float32, their ids (n,) int64."""
        live = slice(None) if self._live is None else self._live
        np.save(file, self._rows[live])
        np.save(file, self.ids)

    @staticmethod
    def bytes_per_row(dim: int) -> int:
        return 4 * dim

    def _append(self, rows: Vectors) -> None:
        self._rows = np.concatenate([self._rows, rows])

    def _stored(self) -> npt.NDArray[Any]:
        return self._rows

    def _compare(self, queries: Vectors, k: int, allowed: Positions | None) -> tuple[Positions, Vectors]:
        small = len(self._ids) < FLAT_UP_TO
        if not small and not self._few(queries, allowed):
            return super()._compare(queries, k, allowed)
        gathered = allowed if small else None
        rows = self._rows if gathered is None else self._rows[gathered]
        hidden = self._removed if allowed is None else allowed[:0]
        if allowed is not None and gathered is None:
            hidden = np.flatnonzero(~self._mask(allowed))
        positions, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), 256):
            block = inner_products(queries[start : start + 256], rows)
            block[:, hidden] = -np.inf
            top = np.argpartition(-block, k - 1, axis=1)[:, :k]
            positions[start : start + 256], scores[start : start + 256] = top, np.take_along_axis(block, top, 1)
        return positions if gathered is None else gathered[positions], scores


def checked(vectors: Vectors, dim: int | None = None) -> Vectors:
    """The vectors as faiss must have them: contiguous float32 rows, finite, of the right length."""
    try:
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"vectors must be numbers of shape (n, dim), got {vectors!r:.80}") from None
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError(f"vectors must have the shape (n, dim), got {np.shape(vectors)}")
    if dim is not None and rows.shape[1] != dim:
        raise ValueError(f"vectors have {rows.shape[1]} dimensions, the engine has {dim}")
    # Sums of squares, not isfinite of every number: that would take a quarter of the vectors' memory again.
    if not np.isfinite(np.einsum("nd,nd->n", rows, rows)).all():
        raise ValueError("vectors must be finite, some hold NaN or infinity")
    return rows


def checked_ids(ids: Ids, count: int) -> Ids:
    """The ids as an array (count,) of which none is negative and none comes twice."""
    array = np.array(ids, dtype=np.int64)
    if array.shape != (count,):
        raise ValueError(f"{count} vectors need as many ids, got an array of shape {array.shape}")
    if count and array.min() < 0:
        raise ValueError(f"ids must not be negative, got {array.min()}")
    if not np.all(array[1:] > array[:-1]) and len(np.unique(array)) < count:
        raise ValueError("every id may stand for one vector only: some come twice")
    return array
