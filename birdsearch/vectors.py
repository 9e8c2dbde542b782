"""Engines: build, search, save and load what finds the nearest vectors. Only this module imports faiss."""

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from birdsearch.errors import IndexDamagedError
from birdsearch.records import Ids, Neighbours, Vectors

MAGIC = b"BIRDVEC1"  # the last eight bytes of an engine file; before them the length of the JSON footer
REBUILD = "Run `birdsearch repair`: the engine is a cache and is rebuilt from the stored vectors."
TIE = 1e-6  # scores closer than this may differ by rounding only: their order is settled by one exact formula
GATHERED = 16_384  # rows copied at a time where only some rows may answer
SPARE = 8  # answers fetched beyond k, so that ties at the last place are seen

Positions = npt.NDArray[np.int64]  # rows inside an engine, 0 to n - 1; not the caller's ids


def build(vectors: Vectors, *, ids: Ids | None = None, engine: str = "auto", recall: float = 0.95) -> "Engine":
    """An engine over unit rows (n, dim); `ids` (n,) name the rows, 0 to n - 1 where absent."""
    rows = _checked(vectors)
    if engine not in ("auto", "flat"):
        raise ValueError(f"engine must be 'auto' or 'flat', got {engine!r}")
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    index = _faiss(rows.shape[1]).IndexFlatIP(rows.shape[1])
    built = Engine(index, np.empty(0, dtype=np.int64), name="flat")
    built.add(rows, np.arange(len(rows), dtype=np.int64) if ids is None else ids)
    return built


def load(path: Path, *, mapped: bool = True) -> "Engine":
    """Open a saved engine: mapped for readers (instant, shared between processes), copied for who wants to add."""
    try:
        with path.open("rb") as file:
            footer, ids = _read_footer(file, path)
            faiss = _faiss(int(footer["dim"]))
            # The open file, not the name: a writer may rename a newer engine over it between the two reads.
            name = f"/dev/fd/{file.fileno()}"
            flags = faiss.IO_FLAG_MMAP_IFC if mapped else 0
            index = faiss.read_index(name if os.path.exists(name) else os.fspath(path), flags)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise IndexDamagedError(f"the engine {path} cannot be read ({error}). {REBUILD}") from error
    if index.ntotal != len(ids) or index.d != footer["dim"]:
        raise IndexDamagedError(
            f"the engine {path} holds {index.ntotal} rows of {index.d}, not {len(ids)} of {footer['dim']}. {REBUILD}"
        )
    return Engine(index, ids, name=footer["engine"], stamp=footer["stamp"], mapped=mapped)


def damage(path: Path) -> str | None:
    """What is wrong with a saved engine, or None; reads the whole file, which `load` does not."""
    try:
        with path.open("rb") as file:
            footer, ids = _read_footer(file, path)
            file.seek(0)
            checksum, left = 0, int(footer["faiss_bytes"])
            while left and (block := file.read(min(left, 1 << 24))):
                checksum, left = zlib.crc32(block, checksum), left - len(block)
            checksum = zlib.crc32(ids.tobytes(), checksum)
    except (OSError, KeyError, ValueError, TypeError) as error:
        return f"{path} cannot be read ({error})"
    return None if checksum == footer["crc32"] else f"{path} does not have the checksum it was written with"


def merge(first: Neighbours, second: Neighbours, k: int) -> Neighbours:
    """The best k of two answers to the same queries, such as of an engine and of rows it does not hold yet."""
    ids = np.concatenate([first.ids, second.ids], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    return _best(ids, scores, k)


class Engine:
    """Finds the nearest of many vectors; rows are known by the caller's ids."""

    def __init__(
        self, index: Any, ids: Ids, *, name: str, stamp: dict[str, Any] | None = None, mapped: bool = False
    ) -> None:
        self.name = name
        self.dim: int = index.d
        self.stamp: dict[str, Any] = stamp or {}
        self.mapped = mapped
        self.ids = ids  # (n,), in the order of the rows
        self._index = index
        self._by_id: Positions | None = None  # positions in ascending order of id; None while ids ascend
        self._order_ids()

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, vectors: Vectors, ids: Ids) -> None:
        """Take in more rows (n, dim) under new ids (n,)."""
        # faiss does not raise here, it aborts the process.
        if self.mapped:
            raise RuntimeError("cannot add to a mapped engine: load it with mapped=False")
        rows = _checked(vectors, self.dim)
        names = np.asarray(ids, dtype=np.int64)
        if names.shape != (len(rows),):
            raise ValueError(f"{len(rows)} vectors need as many ids, got an array of shape {names.shape}")
        if len(names) and names.min() < 0:
            raise ValueError(f"ids must not be negative, got {names.min()}")
        together = np.concatenate([self.ids, names])
        if len(np.unique(together)) != len(together):
            raise ValueError("every id may stand for one vector only: some come twice or are in the engine already")
        self._index.add(rows)
        self.ids = together
        self._order_ids()

    def search(self, vectors: Vectors, k: int, *, only: Ids | None = None) -> Neighbours:
        """The k best rows for each query (q, dim) by cosine, ties by lower id; only the ids in `only` may answer."""
        queries = _checked(vectors, self.dim)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        allowed = None if only is None else self._positions(only)
        available = len(self) if allowed is None else len(allowed)
        if not len(queries) or not available:
            return _best(np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, dtype=np.float32), k)
        fetch = min(k + SPARE, available)
        positions, scores = self._nearest(queries, fetch, allowed)
        self._settle(queries, positions, scores)
        found = _best(np.where(positions < 0, -1, self.ids[positions]), scores, k)
        if fetch < available:
            open_ended = np.flatnonzero(scores[:, min(k, fetch) - 1] - scores[:, fetch - 1] < TIE)
            for row in open_ended:
                found.ids[row], found.scores[row] = self._search_ties(queries[row], k, allowed)
        return found

    def save(self, path: Path, stamp: dict[str, Any]) -> None:
        """Write the engine so that a crash leaves the old file or the new one; `stamp` comes back from `load`."""
        temporary = path.with_name(path.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                _write(self._index, file, self.ids, {"engine": self.name, "dim": self.dim, "stamp": stamp})
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.stamp = stamp

    def _order_ids(self) -> None:
        ascending = bool(np.all(self.ids[1:] > self.ids[:-1]))
        self._by_id = None if ascending else np.argsort(self.ids, kind="stable")

    def _positions(self, only: Ids) -> Positions:
        """Rows of the given ids, ascending; ids that the engine does not hold are left out."""
        wanted = np.unique(np.asarray(only, dtype=np.int64))
        ids = self.ids if self._by_id is None else self.ids[self._by_id]
        places = np.searchsorted(ids, wanted)
        places = places[places < len(ids)]
        places = places[ids[places] == wanted[: len(places)]]
        return places if self._by_id is None else np.sort(self._by_id[places])

    def _stored(self) -> Vectors:
        """The rows as they are kept (n, dim): a view, even of a mapped file."""
        faiss = _faiss(self.dim)
        if not len(self):
            return np.empty((0, self.dim), dtype=np.float32)
        view: Vectors = faiss.rev_swig_ptr(self._index.get_xb(), len(self) * self.dim)
        return view.reshape(len(self), self.dim)

    def _nearest(self, queries: Vectors, k: int, allowed: Positions | None) -> tuple[Positions, Vectors]:
        """Positions and scores (q, k) of the best rows; an exact search."""
        faiss = _faiss(self.dim)
        if allowed is None:
            scores, positions = self._index.search(queries, k)
            return positions, scores
        if len(allowed) * 4 > len(self) and len(queries) < 8:
            bits = np.zeros(len(self), dtype=bool)
            bits[allowed] = True
            selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
            scores, positions = self._index.search(queries, k, params=faiss.SearchParameters(sel=selector))
            return positions, scores
        best = _best(np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, dtype=np.float32), k)
        stored = self._stored()
        for start in range(0, len(allowed), GATHERED):
            part = allowed[start : start + GATHERED]
            scores, places = faiss.knn(queries, stored[part], min(k, len(part)), metric=faiss.METRIC_INNER_PRODUCT)
            best = merge(best, Neighbours(ids=part[places], scores=scores), k)
        return best.ids, best.scores

    def _settle(self, queries: Vectors, positions: Positions, scores: Vectors) -> None:
        """Score near ties again, each by the same sum, in place: equal rows then have equal scores."""
        close = np.abs(np.diff(scores, axis=1)) < TIE
        tied = np.zeros(scores.shape, dtype=bool)
        tied[:, 1:] |= close
        tied[:, :-1] |= close
        who, where = np.nonzero(tied & (positions >= 0))
        stored = self._stored()
        for start in range(0, len(who), GATHERED):
            some = slice(start, start + GATHERED)
            rows = stored[positions[who[some], where[some]]]
            scores[who[some], where[some]] = np.einsum("md,md->m", rows, queries[who[some]])

    def _search_ties(self, query: Vectors, k: int, allowed: Positions | None) -> tuple[Ids, Vectors]:
        """The k best for one query (dim,) that ties with more rows than were fetched."""
        stored = self._stored()
        positions = np.arange(len(self)) if allowed is None else allowed
        scores = np.empty(len(positions), dtype=np.float32)
        for start in range(0, len(positions), GATHERED):
            some = slice(start, start + GATHERED)
            scores[some] = np.einsum("md,d->m", stored[positions[some]], query)
        best = _best(self.ids[positions][None], scores[None], k)
        return best.ids[0], best.scores[0]


def _best(ids: Ids, scores: Vectors, k: int) -> Neighbours:
    """The k best of (q, m) candidates, padded with id -1 and score -inf where m < k."""
    missing = max(0, k - ids.shape[1])
    ids = np.pad(ids, ((0, 0), (0, missing)), constant_values=-1)
    scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    order = np.lexsort((ids, -scores), axis=-1)[:, :k]
    return Neighbours(ids=np.take_along_axis(ids, order, 1), scores=np.take_along_axis(scores, order, 1))


def _checked(vectors: Vectors, dim: int | None = None) -> Vectors:
    """The vectors as faiss must have them: contiguous float32 rows, finite, of the right length."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError(f"vectors must have the shape (n, dim), got {np.shape(vectors)}")
    if dim is not None and rows.shape[1] != dim:
        raise ValueError(f"vectors have {rows.shape[1]} dimensions, the engine has {dim}")
    # Sums of squares, not isfinite of every number: that would take a quarter of the vectors' memory again.
    if not np.isfinite(np.einsum("nd,nd->n", rows, rows)).all():
        raise ValueError("vectors must be finite, some hold NaN or infinity")
    return rows


def _write(index: Any, file: BinaryIO, ids: Ids, footer: dict[str, Any]) -> None:
    """Lay down an engine file: faiss bytes, ids (n,) int64, JSON footer, its length (uint64), the magic bytes."""
    failures: list[BaseException] = []
    checksum = 0

    def write(data: bytes) -> int:
        nonlocal checksum
        try:
            file.write(data)
            checksum = zlib.crc32(data, checksum)
        # faiss turns an exception of its callback into one of its own: keep "no space left" for the caller.
        except BaseException as error:
            failures.append(error)
            return 0
        return len(data)

    faiss = _faiss(index.d)
    try:
        faiss.write_index(index, faiss.BufferedIOWriter(faiss.PyCallbackIOWriter(write)))
    except RuntimeError:
        if not failures:
            raise
    if failures:
        raise failures[0]
    names = np.ascontiguousarray(ids, dtype="<i8").tobytes()
    size = file.tell()
    footer |= {"rows": len(ids), "faiss_bytes": size, "crc32": zlib.crc32(names, checksum)}
    text = json.dumps(footer).encode()
    file.write(names + text + struct.pack("<Q", len(text)) + MAGIC)


def _read_footer(file: BinaryIO, path: Path) -> tuple[dict[str, Any], Ids]:
    """The footer and the ids of an engine file; ValueError where it does not end as one."""
    size = file.seek(0, os.SEEK_END)
    tail = len(MAGIC) + 8
    file.seek(max(0, size - tail))
    end = file.read(tail)
    if not end.endswith(MAGIC) or len(end) < tail:
        raise ValueError("its end is missing")
    (length,) = struct.unpack("<Q", end[:8])
    if length > size - tail:
        raise ValueError("its footer is broken")
    file.seek(size - tail - length)
    footer: dict[str, Any] = json.loads(file.read(length))
    if footer["faiss_bytes"] + 8 * footer["rows"] + length + tail != size or not isinstance(footer["stamp"], dict):
        raise ValueError("its size is not what its footer says")
    file.seek(footer["faiss_bytes"])
    return footer, np.frombuffer(file.read(8 * footer["rows"]), dtype="<i8").astype(np.int64)


def _faiss(dim: int) -> Any:
    """The library, loaded at first use."""
    import faiss

    # Since 1.14.2 exact search of small batches is several times slower without it.
    faiss.cvar.distance_compute_blas_threshold = 4 * dim
    return faiss
