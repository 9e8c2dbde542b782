"""Nearest neighbours by comparing a query with every row: by the processor, or by a GPU where faiss has one."""

import importlib.util
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from birdsearch.errors import InstallationError
from birdsearch.records import Ids, Vectors

BATCH = 8  # so many queries are worth a matrix product
_BUILDS = ("faiss-cpu", "faiss-gpu")
GPU_MAX_K = 2_048  # neighbours that faiss finds on a GPU at most
GPU_MEMORY = 256 << 20  # bytes there for what it works with; by itself it takes a sixth of the GPU
DECIMALS = 6  # scores that agree to so many are a tie: more is rounding of float32

Mask = npt.NDArray[np.bool_]

logger = logging.getLogger("birdsearch")
_one_at_a_time = threading.Lock()  # a GPU's resources serve one thread


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Neighbours of q queries, best first; id -1 and score -inf where there are fewer than k."""

    ids: Ids  # (q, k)
    scores: Vectors  # (q, k)


def brute_force_knn(vectors: Vectors, ids: Ids, queries: Vectors, k: int) -> Neighbours:
    """The k nearest of rows (n, dim) that no engine holds, by comparing all of them; on a GPU where faiss has one."""
    faiss, fetch = load_faiss(queries.shape[1]), min(k, len(vectors))
    gpu = gpu_resources() if len(queries) >= BATCH and fetch <= GPU_MAX_K else None
    if gpu is None:
        scores, positions = faiss.knn(queries, vectors, fetch, metric=faiss.METRIC_INNER_PRODUCT)
    else:
        with _one_at_a_time:
            scores, positions = faiss.knn_gpu(gpu, queries, vectors, fetch, metric=faiss.METRIC_INNER_PRODUCT)
    return top_k(ids[positions], scores, k)


def inner_products(queries: Vectors, rows: Vectors) -> Vectors:  # (q, dim), (n, dim) -> (q, n)
    """The inner product of each query with each row."""
    if len(queries) >= BATCH:
        return queries @ rows.T
    # Row by row: the threads of a BLAS wait for each other longer than so few products take, above all where several
    # threads ask, or other programs run.
    products: Vectors = np.vecdot(queries[:, None], rows[None])
    return products


def merge_top_k(first: Neighbours, second: Neighbours, k: int) -> Neighbours:
    """The best k of two answers to the same queries, such as of an engine and of rows that it does not hold yet."""
    ids = np.concatenate([first.ids, second.ids], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    return top_k(ids, scores, k)


def valid_answers(
    ask: Callable[[int], Neighbours], k: int, are_valid: Callable[[Ids], Mask], first: int, deepest: int
) -> Neighbours | None:
    """The k best answers that are valid; `first` so many are asked for, then ever more until k are, or no more come.

    None where the deepest question had too few.
    """
    width = min(first, deepest)
    while k <= deepest:
        found = ask(width)
        valid = are_valid(found.ids)
        ended = found.ids[:, -1] < 0
        least = int(valid.sum(axis=1)[~ended].min(initial=width))
        if least >= k:
            return top_k(np.where(valid, found.ids, -1), np.where(valid, found.scores, -np.inf), k)
        if width >= deepest:
            break
        width = min(deepest, max(2 * width, int(1.5 * k * width / max(1, least))))
    return None


def trimmed(found: Neighbours) -> Neighbours:
    """The answer without columns in which no query has anything."""
    width = int((found.ids >= 0).sum(axis=1).max(initial=0))
    return Neighbours(found.ids[:, :width], found.scores[:, :width])


def no_neighbours(queries: int, k: int) -> Neighbours:
    """The answer to so many queries where there is no row."""
    return Neighbours(ids=np.full((queries, k), -1), scores=np.full((queries, k), -np.inf, dtype=np.float32))


def top_k(ids: Ids, scores: Vectors, k: int) -> Neighbours:
    """The k best of (q, m) candidates, ties by lower id; padded with id -1 and score -inf where m < k."""
    if (missing := k - ids.shape[1]) > 0:
        ids = np.pad(ids, ((0, 0), (0, missing)), constant_values=-1)
        scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    order = np.lexsort((ids, -scores.round(DECIMALS)), axis=-1)[:, :k]
    # Within a tie the scores may rise by rounding.
    falling = np.minimum.accumulate(np.take_along_axis(scores, order, 1), axis=1)
    return Neighbours(ids=np.take_along_axis(ids, order, 1), scores=falling)


def to_float32(rows: npt.NDArray[Any]) -> Vectors:
    """Rows as float32; from fp16 by shifting bits, five times as fast as numpy's own conversion."""
    if rows.dtype != np.float16:
        return rows
    bits = rows.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= -0x70000001  # the sign was spread over three bits of the exponent
    wide: Vectors = bits.view(np.float32)
    return np.multiply(wide, np.float32(2.0**112), out=wide)


@lru_cache
def gpu_resources() -> Any | None:
    """What faiss works with on a GPU; None without one, or where faiss is not built for it."""
    faiss = faiss_module()
    try:
        if getattr(faiss, "get_num_gpus", int)() < 1:
            return None
        resources = faiss.StandardGpuResources()
        resources.setTempMemory(GPU_MEMORY)
    except (RuntimeError, AttributeError) as error:  # such as a driver that is too old
        logger.warning("faiss cannot use the GPU (%s): vectors are compared by the processor.", error)
        return None
    return resources


def load_faiss(dim: int) -> Any:
    """faiss, loaded at first use, and set up for rows (n, dim)."""
    faiss = faiss_module()
    # Since 1.14.2 exact search of small batches is several times slower without it.
    faiss.cvar.distance_compute_blas_threshold = 4 * dim
    return faiss


@lru_cache
def faiss_module() -> Any:
    """faiss, of which one build is installed: raises InstallationError where there are two, or none that loads.

    All builds lie in one folder. A second one overwrites files of the first, and its removal breaks the first.
    """
    spec = importlib.util.find_spec("faiss")
    beside = Path(spec.origin).parents[1].glob("faiss_[cg]pu*.dist-info") if spec and spec.origin else ()
    builds = sorted({path.name.partition("-")[0].replace("_", "-") for path in beside})
    remedy = f"pip uninstall --yes {' '.join(builds or _BUILDS)}, then: pip install faiss-cpu (or faiss-gpu)"
    if len(builds) > 1:
        raise InstallationError(f"{' and '.join(builds)} are installed and overwrite each other. Keep one: {remedy}")
    try:
        import faiss
    except ImportError as error:
        raise InstallationError(f"faiss, which compares vectors, cannot be loaded: {error}. Try: {remedy}") from error
    if faiss.__file__ is None:  # an empty folder of that name can be imported
        raise InstallationError(f"the installed faiss, which compares vectors, is incomplete. Try: {remedy}")
    return faiss
