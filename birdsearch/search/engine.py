"""Engines: build, search, save and load what finds the nearest vectors. Only this module and exact.py import faiss.

`flat` and `flat-fp16` compare a query with every row. `ivf` and `hnsw` first compare short codes (rows turned to their
main directions, a byte each) near the query, found by cells or by a graph; a shortlist is scored by whole fp16 rows.
"""

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from birdsearch.errors import IndexDamagedError
from birdsearch.records import Ids, Neighbours, Vectors
from birdsearch.search import enginefile
from birdsearch.search.enginefile import damage, stamp_of
from birdsearch.search.exact import BATCH, best, floats, library, merge, near, nobody

__all__ = ["Engine", "damage", "load", "merge", "near", "nobody", "stamp_of"]

REBUILD = "Run `birdsearch repair`: the engine is a cache and is rebuilt from the stored vectors."
NAMES = ("flat", "flat-fp16", "ivf", "hnsw")
FLAT_UP_TO = 20_000  # rows; beyond it flat loses by tens of times
TIE = 1e-6  # scores closer than this may differ by rounding only: their order is settled by one exact formula
SPARE = 8  # answers that a search looks at beyond k, so that ties at the last place are seen
CHUNK = 16_384  # rows worked on at a time
EXACT_UP_TO = 10_000  # so few rows are compared one by one, whatever the engine
DEEPEST = 1_000  # an answer that lies deeper among all rows is found by comparing all

Positions = npt.NDArray[np.int64]  # rows inside an engine, 0 to n - 1; not the caller's ids


def load(path: Path, *, mapped: bool = True) -> "Engine":
    """Open a saved engine: mapped for readers (instant, shared between processes), copied for who wants to add."""
    try:
        with path.open("rb") as file:
            footer, ids = enginefile.read_footer(file)
            if mapped and footer["engine"] == "flat" and len(ids) < FLAT_UP_TO:
                rows = _Few.read(file, int(footer["faiss_bytes"]), len(ids), int(footer["dim"]))
                return Engine(rows, ids, name="flat", stamp=footer["stamp"], mapped=True)
            faiss = library(int(footer["dim"]))
            os.lseek(file.fileno(), 0, os.SEEK_SET)  # where /dev/fd shares the place in the file (macOS)
            # The open file, not the name: a writer may rename a newer engine over it between the two reads.
            name = f"/dev/fd/{file.fileno()}"
            flags = faiss.IO_FLAG_MMAP_IFC if mapped else 0
            index = faiss.read_index(name if os.path.exists(name) else os.fspath(path), flags)
        if (index.ntotal, index.d) != (len(ids), footer["dim"]):
            raise ValueError(f"it holds {index.ntotal} rows of {index.d}, not {len(ids)} of {footer['dim']}")
        return Engine(
            index, ids, name=footer["engine"], settings=footer.get("settings", {}), stamp=footer["stamp"], mapped=mapped
        )
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, struct.error) as error:
        raise IndexDamagedError(f"the engine {path} cannot be read ({error}). {REBUILD}") from error


class Engine:
    """Finds the nearest of many vectors; rows are known by the caller's ids."""

    def __init__(
        self,
        index: Any,
        ids: Ids,
        *,
        name: str,
        settings: dict[str, Any] | None = None,
        stamp: dict[str, Any] | None = None,
        mapped: bool = False,
    ) -> None:
        self.name = name
        self.dim: int = index.d
        self.settings = settings or {}  # what tuning chose; empty for flat engines
        self.stamp: dict[str, Any] = stamp or {}
        self.mapped = mapped
        self.ids = ids  # (n,), in the order of the rows
        self._index = index
        opened: tuple[Any, Any, Any] = (index, None, None) if isinstance(index, _Few) else _opened(index)
        self._rows, self._inner, self._turn = opened
        self._order_ids()

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, vectors: Vectors, ids: Ids) -> None:
        """Take in more rows (n, dim) under new ids (n,)."""
        # faiss does not raise here, it aborts the process.
        if self.mapped:
            raise RuntimeError("cannot add to a mapped engine: load it with mapped=False")
        rows = checked(vectors, self.dim)
        together = np.concatenate([self.ids, checked_ids(ids, len(rows))])
        if not _distinct(together):
            raise ValueError("every id may stand for one vector only: some come twice or are in the engine already")
        for start in range(0, len(rows), 4 * CHUNK):
            self._index.add(rows[start : start + 4 * CHUNK])
        self.ids = together
        self._order_ids()

    def search(self, vectors: Vectors, k: int, *, only: Ids | None = None) -> Neighbours:
        """The k best rows for each query (q, dim) by cosine, ties by lower id; only the ids in `only` may answer."""
        queries = checked(vectors, self.dim)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        allowed = None if only is None else self._positions(only)
        available = len(self) if allowed is None else len(allowed)
        if not len(queries) or not available:
            return nobody(len(queries), k)
        depth = min(k, available) * len(self) / available  # where the last answer lies among all rows
        depth *= 1 if allowed is None else 4  # a filter must not cost recall, and may go with what the vectors show
        if self._inner is None or (allowed is not None and available <= EXACT_UP_TO) or depth > DEEPEST:
            return self._search_exact(queries, k, allowed)
        # In batches: what a search looks at on the way takes far more memory than its answer.
        parts = [self._search_inner(queries[i : i + 4096], k, allowed, depth) for i in range(0, len(queries), 4096)]
        found = Neighbours(*(np.concatenate([getattr(part, f) for part in parts]) for f in ("ids", "scores")))
        lacking = np.flatnonzero(found.ids[:, min(k, available) - 1] < 0)
        if len(lacking):
            exact = self._search_exact(queries[lacking], k, allowed)
            found.ids[lacking], found.scores[lacking] = exact.ids, exact.scores
        return found

    def save(self, path: Path, stamp: dict[str, Any]) -> None:
        """Write the engine so that a crash leaves the old file or the new one; `stamp` comes back from `load`."""
        faiss = library(self.dim)
        enginefile.save(
            path,
            lambda take: faiss.write_index(self._index, faiss.BufferedIOWriter(faiss.PyCallbackIOWriter(take))),
            self.ids,
            {"engine": self.name, "dim": self.dim, "settings": self.settings, "stamp": stamp},
        )
        self.stamp = stamp

    def learn(self, sample: Vectors) -> None:
        """Learn cells and ranges from some (m, dim) of the rows that will come."""
        self._index.train(checked(sample, self.dim))

    def rename(self, ids: Ids) -> None:
        """Give the rows other ids (n,), in their order."""
        self.ids = checked_ids(ids, len(self))
        self._order_ids()

    @property
    def bytes(self) -> int:
        """Memory that the rows, codes and links take."""
        codes: int = len(self) * (self._rows.code_size + (0 if self._inner is None else self._inner.d + 8))
        return codes + (4 * self._inner.hnsw.neighbors.size() if self.name == "hnsw" else 0)

    def _order_ids(self) -> None:
        ascending = bool(np.all(self.ids[1:] > self.ids[:-1]))
        # Positions in ascending order of id.
        self._by_id: Positions | None = None if ascending else np.argsort(self.ids, kind="stable")

    def _positions(self, only: Ids) -> Positions:
        """Rows of the given ids, ascending; ids that the engine does not hold are left out."""
        wanted = np.asarray(only, dtype=np.int64)
        if not np.all(wanted[1:] > wanted[:-1]):
            wanted = np.unique(wanted)
        ids = self.ids if self._by_id is None else self.ids[self._by_id]
        places = np.searchsorted(ids, wanted)
        places = places[places < len(ids)]
        places = places[ids[places] == wanted[: len(places)]]
        return places if self._by_id is None else np.sort(self._by_id[places])

    def _stored(self) -> npt.NDArray[Any]:
        """The rows as they are kept (n, dim), float32 or float16: a view, even of a mapped file."""
        return self._rows.rows if isinstance(self._rows, _Few) else _kept(self._rows)

    def _search_exact(self, queries: Vectors, k: int, allowed: Positions | None) -> Neighbours:
        available = len(self) if allowed is None else len(allowed)
        fetch = min(k + SPARE, available)
        positions, scores = self._compare(queries, fetch, allowed)
        self._settle(queries, positions, scores)
        found = best(self.ids[positions], scores, k)
        if fetch < available:
            for row in np.flatnonzero(scores[:, k - 1] - scores[:, fetch - 1] < TIE):
                found.ids[row], found.scores[row] = self._search_ties(queries[row], k, allowed)
        return found

    def _compare(self, queries: Vectors, k: int, allowed: Positions | None) -> tuple[Positions, Vectors]:
        """Positions and scores (q, k) of the best rows by comparing all that are allowed."""
        if isinstance(self._rows, _Few):
            return self._rows.best(queries, k, allowed)
        faiss = library(self.dim)
        if len(queries) < BATCH and (allowed is None or 100 * len(allowed) > len(self)):
            params = faiss.SearchParameters(sel=self._selector(allowed))
            scores, positions = self._rows.search(queries, k, params=params)
            return positions, scores
        found, stored = nobody(len(queries), k), self._stored()
        count = len(self) if allowed is None else len(allowed)
        for start in range(0, count, CHUNK):
            part = np.arange(start, min(start + CHUNK, count)) if allowed is None else allowed[start : start + CHUNK]
            block = floats(stored[start : start + CHUNK] if allowed is None else stored[part])
            found = merge(found, near(block, part, queries, k), k)
        return found.ids, found.scores

    def _selector(self, allowed: Positions | None) -> Any:
        if allowed is None:
            return None
        bits = np.zeros(len(self), dtype=bool)
        bits[allowed] = True
        return library(self.dim).IDSelectorBitmap(np.packbits(bits, bitorder="little"))

    def _search_inner(self, queries: Vectors, k: int, allowed: Positions | None, depth: float) -> Neighbours:
        """A shortlist by the short codes, then its whole rows."""
        effort = _for_depth(self.settings["effort"], depth)
        turned = np.ascontiguousarray(queries @ self._turn.T)
        many = min(len(self), int(np.ceil(k * _for_depth(self.settings["factor"], k))) + SPARE)
        selector = self._selector(allowed)
        if self.name == "ivf":
            cells = int(self.settings["cells"] * max(1.0, depth / 10))
            positions = _probe(self._inner, turned, many, selector, effort, cells)
        else:
            # The filter only drops answers on the way: the walk must be as wide as the last of them lies deep.
            wide = max(many, round(effort), round(depth * _for_depth(self.settings["factor"], 10)) + SPARE)
            params = library(self.dim).SearchParametersHNSW(sel=selector, efSearch=wide)
            positions = self._inner.search(turned, many, params=params)[1]
        return best(np.where(positions < 0, -1, self.ids[positions]), self._score(queries, positions), k)

    def _score(self, queries: Vectors, positions: Positions) -> Vectors:
        """Exact scores (q, m) of rows at the positions (q, m), -inf where the position is -1."""
        stored = self._stored()
        step = max(1, CHUNK // 8 // positions.shape[1])  # a few megabytes at a time: they stay in the processor's cache

        def some(start: int) -> Vectors:
            rows = floats(stored[positions[start : start + step]])
            part: Vectors = np.einsum("qmd,qd->qm", rows, queries[start : start + step])
            return part

        # Threads, because numpy uses one and lets go of the interpreter while it works.
        with ThreadPoolExecutor(library(self.dim).omp_get_max_threads()) as pool:
            parts = pool.map(some, range(step, len(queries), step))
            scores: Vectors = np.concatenate([some(0), *parts])
        scores[positions < 0] = -np.inf
        return scores

    def _settle(self, queries: Vectors, positions: Positions, scores: Vectors) -> None:
        """Score near ties again, each by the same sum, in place: equal rows then have equal scores."""
        close = np.abs(np.diff(scores, axis=1)) < TIE
        tied = np.zeros(scores.shape, dtype=bool)
        tied[:, 1:] |= close
        tied[:, :-1] |= close
        who, where = np.nonzero(tied & (positions >= 0))
        stored = self._stored()
        for start in range(0, len(who), CHUNK):
            some = slice(start, start + CHUNK)
            rows = floats(stored[positions[who[some], where[some]]])
            scores[who[some], where[some]] = np.einsum("md,md->m", rows, queries[who[some]])

    def _search_ties(self, query: Vectors, k: int, allowed: Positions | None) -> tuple[Ids, Vectors]:
        """The k best for one query (dim,) that ties with more rows than were fetched."""
        stored = self._stored()
        positions = np.arange(len(self)) if allowed is None else allowed
        scores = np.empty(len(positions), dtype=np.float32)
        for start in range(0, len(positions), CHUNK):
            some = slice(start, start + CHUNK)
            scores[some] = np.einsum("md,d->m", floats(stored[positions[some]]), query)
        found = best(self.ids[positions][None], scores[None], k)
        return found.ids[0], found.scores[0]


class _Few:
    """So few rows that numpy compares them sooner than faiss is loaded: what a cold question to most indexes needs."""

    def __init__(self, rows: Vectors) -> None:
        self.rows = rows  # (n, dim)
        self.d = rows.shape[1]
        self.code_size = 4 * self.d

    @classmethod
    def read(cls, file: BinaryIO, end: int, count: int, dim: int) -> "_Few":
        """The rows of a flat engine: the last bytes of what faiss wrote."""
        file.seek(0)
        kind, held_dim, held = struct.unpack("<4siq", file.read(16))
        if (kind, held_dim, held) != (b"IxFI", dim, count):
            raise ValueError(f"it begins with {kind!r}, {held} rows of {held_dim}, not {count} of {dim}")
        file.seek(end - 4 * count * dim)
        rows = np.frombuffer(file.read(4 * count * dim), dtype="<f4")
        return cls(np.asarray(rows.reshape(count, dim), dtype=np.float32))

    def best(self, queries: Vectors, k: int, allowed: Positions | None) -> tuple[Positions, Vectors]:
        """Positions and scores (q, k), best first."""
        rows = self.rows if allowed is None else self.rows[allowed]
        places, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), 256):
            some = queries[start : start + 256] @ rows.T
            top = np.argpartition(-some, k - 1, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(some, top, 1), axis=1, kind="stable")
            places[start : start + 256] = np.take_along_axis(top, order, 1)
            scores[start : start + 256] = np.take_along_axis(some, places[start : start + 256], 1)
        return places if allowed is None else allowed[places], scores


def empty(name: str, dim: int, *, turn: Vectors | None = None, cells: int = 0) -> Engine:
    """An engine without rows; all but the flat ones need a `turn` (short, dim) to short codes, and learn later."""
    faiss = library(dim)
    no_ids, ip, kinds = np.empty(0, dtype=np.int64), faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer
    if name == "flat":
        return Engine(faiss.IndexFlatIP(dim), no_ids, name=name)
    rows = faiss.IndexScalarQuantizer(dim, kinds.QT_fp16, ip)
    rows.is_trained = True
    if turn is None:
        return Engine(rows, no_ids, name=name)
    short = len(turn)
    if name == "ivf":
        centres = faiss.IndexFlatIP(short)
        inner = faiss.IndexIVFScalarQuantizer(centres, short, cells, kinds.QT_8bit_direct_signed, ip, False)
        inner.cp.niter, inner.cp.spherical = 8, True
        inner.cp.min_points_per_centroid, inner.cp.max_points_per_centroid = 1, 40
    else:
        inner = faiss.IndexHNSWSQ(short, kinds.QT_8bit_direct_signed, 16, ip)
        inner.hnsw.efConstruction = 128
    transform = faiss.LinearTransform(dim, short, False)
    faiss.copy_array_to_vector(turn.ravel(), transform.A)
    transform.is_trained = True
    return Engine(faiss.IndexRefine(faiss.IndexPreTransform(transform, inner), rows), no_ids, name=name)


def _for_depth(setting: float | list[float], depth: float) -> float:
    """A setting that was tuned for answers 10 and 100 deep, for another depth; older engines have one for all."""
    first, second = setting if isinstance(setting, list) else (setting, setting)
    return float(first * (second / first) ** max(0.0, np.log10(depth / 10)))


def _opened(index: Any) -> tuple[Any, Any, Any]:
    """Of an index: the whole rows; what searches short codes; the turn (short, dim) from rows to codes."""
    faiss = library(index.d)
    if not isinstance(index, faiss.IndexRefine):
        return index, None, None
    base = faiss.downcast_index(index.base_index)
    turn = faiss.vector_to_array(faiss.downcast_VectorTransform(base.chain.at(0)).A).reshape(-1, index.d)
    return faiss.downcast_index(index.refine_index), faiss.downcast_index(base.index), turn


def _kept(flat: Any) -> npt.NDArray[Any]:
    """The rows (n, dim) of a faiss index that holds them whole, float32 or float16: a view, even of a mapped file."""
    if not flat.ntotal:
        return np.empty((0, flat.d), dtype=np.float32)
    codes = library(flat.d).rev_swig_ptr(flat.codes.data(), flat.ntotal * flat.code_size)
    kind = np.float32 if flat.code_size == 4 * flat.d else np.float16
    return np.asarray(codes).view(kind).reshape(flat.ntotal, flat.d)


def _probe(inner: Any, queries: Vectors, k: int, selector: Any, margin: float, cells: int) -> Positions:
    """The k best (q, k) by short codes in the cells whose centre is almost as near as the nearest one."""
    faiss = library(queries.shape[1])
    near, chosen = _cells(inner, queries, margin, cells)
    scores, positions = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    params = faiss.SearchParametersIVF(sel=selector, nprobe=chosen.shape[1])
    # The Python wrapper takes no parameters here, and a filter is one.
    arrays = [faiss.swig_ptr(array) for array in (queries, chosen, near, scores, positions)]
    inner.search_preassigned_c(len(queries), arrays[0], k, *arrays[1:], False, params)
    return positions


def _cells(inner: Any, queries: Vectors, margin: float, most: int) -> tuple[Vectors, Positions]:
    """Scores and numbers (q, m) of the cells to look into, nearest first, filled up with -1.

    faiss would sort the nearest `most` for every query, of which the margin leaves a few: five times the time of this.
    """
    centres = _kept(library(inner.d).downcast_index(inner.quantizer))
    limits = margin * np.linalg.norm(queries, axis=1)
    step = max(1, 16 * CHUNK // inner.nlist)  # a megabyte of scores at a time: they stay in the processor's cache
    parts = []
    for start in range(0, len(queries), step):
        near = queries[start : start + step] @ centres.T
        rows, cells = np.nonzero(near >= (near.max(axis=1) - limits[start : start + step])[:, None])
        scores = near[rows, cells]
        order = np.lexsort((-scores, rows))
        places = np.arange(len(rows)) - np.searchsorted(rows, rows)  # rows ascend, and stay as they are in this order
        kept = places < most
        parts.append((rows[kept] + start, places[kept], scores[order][kept], cells[order][kept]))
    rows, places, scores, cells = (np.concatenate(part) for part in zip(*parts, strict=True))
    width = int(places.max()) + 1
    near, chosen = np.zeros((len(queries), width), np.float32), np.full((len(queries), width), -1, np.int64)
    near[rows, places], chosen[rows, places] = scores, cells
    return near, chosen


def checked(vectors: Vectors, dim: int | None = None) -> Vectors:
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


def checked_ids(ids: Ids, count: int) -> Ids:
    """The ids as an array (count,) of which none is negative and none comes twice."""
    names = np.array(ids, dtype=np.int64)
    if names.shape != (count,):
        raise ValueError(f"{count} vectors need as many ids, got an array of shape {names.shape}")
    if count and names.min() < 0:
        raise ValueError(f"ids must not be negative, got {names.min()}")
    if not _distinct(names):
        raise ValueError("every id may stand for one vector only: some come twice")
    return names


def _distinct(ids: Ids) -> bool:
    return bool(np.all(ids[1:] > ids[:-1])) or len(np.unique(ids)) == len(ids)
