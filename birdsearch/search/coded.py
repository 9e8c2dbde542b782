"""Engines around a faiss index: all rows in fp16, and short codes of them in cells or a graph.

A search by codes (rows projected to their principal components, a byte each) finds a shortlist near the query, which is
ranked again by whole rows: faiss calls that IndexRefine.
"""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

import numpy as np
import numpy.typing as npt

from birdsearch.records import Ids, Vectors
from birdsearch.search.exact import Neighbours, load_faiss, top_k
from birdsearch.search.local import OVERFETCH, LocalEngine, Positions, Settings, StoredSettings, checked

AtDepth = tuple[float, float]  # a setting for the neighbours 10 and 100 deep, as tuning found it
EXACT_UP_TO = 10_000  # so few rows are compared one by one, whatever the engine (a guess)
MAX_DEPTH = 1_000  # a neighbour that lies deeper among all rows is found by comparing all (a guess)
FETCHED = 3  # bytes of codes that take as long as a byte of a whole row, which lies anywhere (measured on 100,000)


class CodedSettings(Settings):
    """How hard an engine of codes searches, found by tuning."""

    __slots__ = ()
    EFFORT: ClassVar[str]  # the setting that recall is bought with
    k_factor: AtDepth  # rows ranked exactly for each one that is asked for

    @property
    def effort(self) -> AtDepth:
        """What recall is bought with."""
        effort: AtDepth = getattr(self, self.EFFORT)
        return effort

    def at(self, effort: AtDepth, k_factor: AtDepth) -> Self:
        """The same with another effort."""
        return replace(self, **{self.EFFORT: effort, "k_factor": k_factor})


@dataclass(frozen=True, slots=True)
class IvfSettings(CodedSettings):
    """How many cells of an inverted file are searched."""

    EFFORT = "nprobe"
    nprobe: AtDepth = (16, 16)
    k_factor: AtDepth = (1, 1)

    @classmethod
    def read(cls, stored: StoredSettings) -> Self:
        if "max_nprobe" in stored:  # kept before `nprobe` was: none of the cells that were searched is left out
            most = stored["max_nprobe"]
            stored = {"nprobe": [most, 10 * most], "k_factor": stored.get("k_factor", [1, 1])}
        return super(IvfSettings, cls).read(stored)


@dataclass(frozen=True, slots=True)
class HnswSettings(CodedSettings):
    """How wide a graph is searched."""

    EFFORT = "ef_search"
    ef_search: AtDepth = (64, 64)
    k_factor: AtDepth = (1, 1)


def at_depth(setting: AtDepth, depth: float) -> float:
    """A setting that was tuned for neighbours 10 and 100 deep, for another depth; straight on a log-log plot."""
    first, second = setting
    return float(first * (second / first) ** max(0.0, np.log10(depth / 10)))


class FaissEngine(LocalEngine):
    """An engine around a faiss index (or, empty, of so many dimensions), inside which lie the whole rows, fp16."""

    suffix = ".faiss"

    def __init__(
        self, index: Any, ids: Ids | None = None, settings: Settings | None = None, mapped: bool = False
    ) -> None:
        index = _fp16_rows(index) if isinstance(index, int) else index
        super().__init__(index.d, ids, settings, mapped)
        self._index = index
        self._rows = self._open(index)

    def _open(self, index: Any) -> Any:
        """The index of the whole rows, inside this one. Raises ValueError where it is of another kind."""
        faiss = load_faiss(index.d)
        if not isinstance(index, faiss.IndexScalarQuantizer):
            raise ValueError(f"it is a {type(index).__name__}")
        return index

    @classmethod
    def read(cls, path: Path, settings: Settings, mapped: bool) -> Self:
        faiss: Any = load_faiss(1)  # set up for the dimension when the index is known
        try:
            os.fspath(path).encode()
            stored = faiss.read_index(os.fspath(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        except UnicodeEncodeError:  # faiss takes no name that is not UTF-8
            with path.open("rb") as file:
                stored = faiss.read_index(faiss.BufferedIOReader(faiss.PyCallbackIOReader(file.read)))
        if not isinstance(stored, faiss.IndexIDMap):
            raise ValueError(f"it is a {type(stored).__name__}")
        ids, index = faiss.vector_to_array(stored.id_map), faiss.downcast_index(stored.index)
        if index.ntotal != len(ids):
            raise ValueError(f"it holds {index.ntotal} rows and {len(ids)} ids")
        engine = cls(index, ids, settings, mapped)
        engine._owner = stored
        return engine

    _owner: Any = None  # of the index, where that was read from a file

    def write(self, file: BinaryIO) -> None:
        """An IndexIDMap around the index; the id -1 stands for a row that was removed."""
        faiss = load_faiss(self.dim)
        mapping = faiss.IndexIDMap(faiss.IndexFlatIP(self.dim))
        mapping.index, mapping.ntotal = self._index, len(self._ids)
        faiss.copy_array_to_vector(self._ids, mapping.id_map)
        with _errors_of(file) as take:
            faiss.write_index(mapping, faiss.BufferedIOWriter(faiss.PyCallbackIOWriter(take)))

    @staticmethod
    def bytes_per_row(dim: int) -> int:
        return 2 * dim

    def _append(self, rows: Vectors) -> None:
        self._index.add(rows)

    def _set_ids(self, ids: Ids) -> None:
        super()._set_ids(ids)
        self._selector_of_live = None if self._live is None else self._bitmap(self._live)

    def _stored(self) -> npt.NDArray[Any]:
        """The rows (n, dim) float16: a view, even of a mapped file."""
        rows = self._rows
        if not rows.ntotal:
            return np.empty((0, rows.d), dtype=np.float16)
        codes = load_faiss(rows.d).rev_swig_ptr(rows.codes.data(), rows.ntotal * rows.code_size)
        return np.asarray(codes).view(np.float16).reshape(rows.ntotal, rows.d)

    def _compare(self, queries: Vectors, k: int, allowed: Positions | None) -> tuple[Positions, Vectors]:
        if not self._few(queries, allowed):
            return super()._compare(queries, k, allowed)
        params = load_faiss(self.dim).SearchParameters(sel=self._selector(allowed))
        scores, positions = self._rows.search(queries, k, params=params)
        return positions, scores

    def _selector(self, allowed: Positions | None) -> Any:
        return self._selector_of_live if allowed is None else self._bitmap(self._mask(allowed))

    def _bitmap(self, mask: npt.NDArray[np.bool_]) -> Any:
        return load_faiss(self.dim).IDSelectorBitmap(np.packbits(mask, bitorder="little"))


class FlatFp16(FaissEngine):
    """Compares every row, in half the memory."""

    kind, exact = "flat-fp16", True


class CodedEngine(FaissEngine):
    """Finds a shortlist by short codes, and ranks it again by whole rows: what faiss calls IndexRefine."""

    exact = False
    minimum_rows = 1_000
    settings: CodedSettings
    codes_type: ClassVar[str]  # the faiss class of the codes
    k_factors: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)  # worth a try: rows ranked exactly for one that is asked for

    @classmethod
    @abstractmethod
    def _codes(cls, dim: int, nlist: int) -> Any:
        """An empty faiss index of codes (n, dim)."""

    @classmethod
    def untrained(cls, projection: Vectors, nlist: int) -> Self:
        """An engine without rows, for codes that a projection (short, dim) makes; `train` it before `add`."""
        short, dim = projection.shape
        faiss = load_faiss(dim)
        transform = faiss.LinearTransform(dim, short, False)
        faiss.copy_array_to_vector(projection.ravel(), transform.A)
        transform.is_trained = True
        codes = faiss.IndexPreTransform(transform, cls._codes(short, nlist))
        return cls(faiss.IndexRefine(codes, _fp16_rows(dim)))

    def train(self, sample: Vectors) -> None:
        """Train on some (m, dim) of the rows that will come."""
        self._index.train(checked(sample, self.dim))

    @property
    def bytes(self) -> int:
        return len(self._ids) * (int(self._rows.code_size) + self._code_size() + 8)

    @property
    def short(self) -> int:
        """Numbers in a code."""
        return int(self._inner.d)

    @abstractmethod
    def efforts(self, k_factor: float) -> tuple[int, int]:
        """The least and the highest effort that are worth a try for the neighbours 10 deep."""

    def work(self) -> float:
        """Bytes of codes that all searches of this kind of engine in this process have looked at so far."""
        return float(self._codes_compared()) * self._code_size()

    def rerank_work(self, k: int) -> float:
        """What ranking the shortlist for the k nearest of a query by whole rows takes, in the same unit."""
        return float(self._shortlist_length(k)) * int(self._rows.code_size) * FETCHED

    def _code_size(self) -> int:
        """Bytes of a code: one for each number."""
        return self.short

    @abstractmethod
    def _codes_compared(self) -> int:
        """What faiss has counted so far; for the whole process."""

    def _open(self, index: Any) -> Any:
        faiss = load_faiss(index.d)
        if not isinstance(index, faiss.IndexRefine):
            raise ValueError(f"it is a {type(index).__name__}")
        codes = faiss.downcast_index(index.base_index)
        self._inner = faiss.downcast_index(codes.index)
        if type(self._inner).__name__ != self.codes_type:
            raise ValueError(f"its codes are a {type(self._inner).__name__}")
        return super()._open(faiss.downcast_index(index.refine_index))

    def _search(self, queries: Vectors, k: int, allowed: Positions | None, available: int) -> Neighbours:
        depth = min(k, available) * len(self._ids) / available  # where the last neighbour lies among all rows
        depth *= 1 if allowed is None else 4  # a filter must not cost recall, and may go with what the vectors show
        if (allowed is not None and available <= EXACT_UP_TO) or depth > MAX_DEPTH:
            return super()._search(queries, k, allowed, available)
        # In batches: what a search looks at on the way takes far more memory than its answer.
        parts = [self._search_codes(queries[i : i + 4096], k, allowed, depth) for i in range(0, len(queries), 4096)]
        best = Neighbours(np.concatenate([part.ids for part in parts]), np.concatenate([part.scores for part in parts]))
        lacking = np.flatnonzero(best.ids[:, min(k, available) - 1] < 0)
        if len(lacking):
            exact = super()._search(queries[lacking], k, allowed, available)
            best.ids[lacking], best.scores[lacking] = exact.ids, exact.scores
        return best

    def _search_codes(self, queries: Vectors, k: int, allowed: Positions | None, depth: float) -> Neighbours:
        faiss, count = load_faiss(self.dim), self._shortlist_length(k)
        fetch = min(k + OVERFETCH, count)
        codes = faiss.SearchParametersPreTransform(index_params=self._params(count, self._selector(allowed), depth))
        # faiss multiplies and rounds down.
        params = faiss.IndexRefineSearchParameters(k_factor=(count + 0.5) / fetch, base_index_params=codes)
        scores, positions = self._index.search(queries, fetch, params=params)
        missing = positions < 0
        return top_k(np.where(missing, -1, self._ids[positions]), np.where(missing, -np.inf, scores), k)

    def _shortlist_length(self, k: int) -> int:
        return min(len(self._ids), int(np.ceil(k * at_depth(self.settings.k_factor, k))) + OVERFETCH)

    @abstractmethod
    def _params(self, count: int, selector: Any, depth: float) -> Any:
        """How faiss searches the codes for so many rows, when neighbours lie so deep."""


class Ivf(CodedEngine):
    """Searches the cells of an inverted file whose centroids lie near the query."""

    kind, settings_type, codes_type = "ivf", IvfSettings, "IndexIVFScalarQuantizer"
    settings: IvfSettings

    @classmethod
    def _codes(cls, dim: int, nlist: int) -> Any:
        faiss = load_faiss(dim)
        coding, ip = faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        codes = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dim), dim, nlist, coding, ip, False)
        codes.cp.niter, codes.cp.spherical = 8, True
        codes.cp.min_points_per_centroid, codes.cp.max_points_per_centroid = 1, 40
        return codes

    def efforts(self, k_factor: float) -> tuple[int, int]:
        return 1, max(16, self._inner.nlist // 8)

    def _codes_compared(self) -> int:
        return int(load_faiss(self.dim).cvar.indexIVF_stats.ndis)

    def _params(self, count: int, selector: Any, depth: float) -> Any:
        nprobe = min(self._inner.nlist, int(np.ceil(at_depth(self.settings.nprobe, depth))))
        return load_faiss(self.dim).SearchParametersIVF(sel=selector, nprobe=nprobe)


class Pq(Ivf):
    """Compares half a byte for every two numbers of all rows: for vectors that lie too evenly for cells and graphs."""

    kind, codes_type = "pq", "IndexIVFPQFastScan"
    k_factors = (4, 6, 8, 12, 16, 24, 32)

    @classmethod
    def _codes(cls, dim: int, nlist: int) -> Any:
        faiss = load_faiss(dim)
        # In one cell, because faiss filters this kind of codes only in cells.
        codes = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(dim), dim, 1, dim // 2, 4, faiss.METRIC_INNER_PRODUCT)
        codes.by_residual = False
        return codes

    @classmethod
    def speed_among(cls, speed: float, share: float) -> float:
        return speed * share

    def efforts(self, k_factor: float) -> tuple[int, int]:
        return 1, 1

    def _code_size(self) -> int:
        return self.short // 4


class Hnsw(CodedEngine):
    """Walks a graph of near rows."""

    kind, settings_type, codes_type = "hnsw", HnswSettings, "IndexHNSWSQ"
    settings: HnswSettings

    @classmethod
    def speed_among(cls, speed: float, share: float) -> float:
        return 0.6 * speed  # deep neighbours among a million rows take far longer (a guess)

    @classmethod
    def _codes(cls, dim: int, nlist: int) -> Any:
        faiss = load_faiss(dim)
        codes = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit_direct_signed, 16, faiss.METRIC_INNER_PRODUCT)
        codes.hnsw.efConstruction = 128
        return codes

    @property
    def bytes(self) -> int:
        return super().bytes + int(4 * self._inner.hnsw.neighbors.size())

    def efforts(self, k_factor: float) -> tuple[int, int]:
        # A graph is walked at least as wide as the shortlist is long.
        return int(10 * k_factor) + OVERFETCH, 1024

    def _codes_compared(self) -> int:
        return int(load_faiss(self.dim).cvar.hnsw_stats.ndis)

    def _params(self, count: int, selector: Any, depth: float) -> Any:
        # The filter only drops neighbours on the way: the walk must be as wide as the last of them lies deep.
        reached = round(depth * at_depth(self.settings.k_factor, 10)) + OVERFETCH
        ef_search = max(count, round(at_depth(self.settings.ef_search, depth)), reached)
        return load_faiss(self.dim).SearchParametersHNSW(sel=selector, efSearch=ef_search)


@contextmanager
def _errors_of(file: BinaryIO) -> Iterator[Callable[[bytes], int]]:
    """What writes to a file for faiss, which hides an error of the file ("no space left") behind one of its own."""
    failures: list[BaseException] = []

    def take(data: bytes) -> int:
        try:
            return file.write(data)
        except BaseException as error:
            failures.append(error)
            return 0

    try:
        yield take
    except RuntimeError:
        if not failures:
            raise
    if failures:
        raise failures[0]


def _fp16_rows(dim: int) -> Any:
    faiss = load_faiss(dim)
    rows = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    rows.is_trained = True
    return rows
