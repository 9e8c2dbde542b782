"""A better space for the vectors of one index, fitted without labels on its own photos; and whether it is better."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

from birdsearch.files import read_arrays
from birdsearch.records import Vectors

LEAST = 500  # photos below which there is too little to fit on (a guess)
DIMS = 512  # of the whitened space, at most
_FITTED_ON = 50_000  # photos, drawn at random from more: the fit does not get better beyond
_CHUNK = 16_384  # rows worked on at a time, so that memory does not grow with the collection
_QUERIES = 2_000  # photos by which a space is evaluated
_FOLDS = 5  # of them: a space is evaluated by photos that it was not fitted on

LabelCodes = npt.NDArray[np.int64]  # (n,) a species' number for each photo, -1 for none


@dataclass(frozen=True, slots=True)
class Whitening:
    """Signed square root, then a projection: what makes a vector of the backbone one of the whitened space."""

    mean: Vectors  # (dim,)
    projection: Vectors  # (dim, whitened)

    @property
    def dim(self) -> int:
        """Length of a whitened vector."""
        return int(self.projection.shape[1])

    def apply(self, vectors: Vectors) -> Vectors:
        """Unit vectors (n, dim) in the whitened space: (n, whitened), rows of length 1."""
        whitened = np.empty((len(vectors), self.dim), dtype=np.float32)
        for start in range(0, len(vectors), _CHUNK):
            rows = (_rooted(vectors[start : start + _CHUNK]) - self.mean) @ self.projection
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            # The mean itself has no direction; any fixed one will do.
            rows[lengths[:, 0] == 0, 0] = 1
            whitened[start : start + _CHUNK] = rows / np.where(lengths == 0, 1, lengths)
        return whitened

    def as_linear(self, vector: npt.NDArray[np.float64], other: Vectors) -> tuple[npt.NDArray[np.float64], float]:
        """Weights (dim,) and a constant: apply(vector) . other == vector . weights + constant, for this one vector.

        `vector` (dim,) is one of the backbone, of length 1, `other` (whitened,) a whitened one. Mean and projection are
        affine; the signed root sign(v) sqrt|v| is v / sqrt|v|, so that whatever is a sum in v is one in its root too:
        what the path from nothing to v attributes to each summand (integrated gradients, Sundararajan et al. 2017).
        Both lengths are taken as they are.
        """
        root = np.sqrt(np.abs(vector))
        length = float(np.linalg.norm(root)) or 1.0
        row = (np.sign(vector) * root / length - self.mean) @ self.projection.astype(np.float64)
        back = self.projection.astype(np.float64) @ other / (float(np.linalg.norm(row)) or 1.0)
        return back / np.where(root == 0, np.inf, root * length), -float(self.mean @ back)

    def write(self, file: BinaryIO) -> None:
        """Write the whitening as an .npz file."""
        np.savez(file, mean=self.mean, projection=self.projection)

    @classmethod
    def read(cls, path: Path, dim: int) -> Self:
        """What `write` wrote, for vectors of so many numbers. Raises ValueError for any other file."""
        stored = read_arrays(path)
        if set(stored) != {"mean", "projection"}:
            raise ValueError("it is no whitening")
        mean, projection = stored["mean"], stored["projection"]
        fits = mean.shape == (dim,) and projection.shape[:1] == (dim,) and projection.ndim == 2 and projection.size
        if not fits or mean.dtype.kind != "f" or projection.dtype.kind != "f" or not np.isfinite(projection).all():
            raise ValueError(f"it holds {mean.dtype} {mean.shape} and {projection.dtype} {projection.shape}")
        return cls(mean, projection)


def fit(vectors: Vectors, dims: int = DIMS) -> Whitening:
    """Fit a whitening on unit vectors (n, dim), without labels.

    Component-wise signed square root (Perronnin et al. 2010), principal components (at most `dims`), and half
    whitening: each is divided by the square root of its singular value, which tempers the few directions that all
    photos of one network share (Jégou and Chum 2012, who whiten fully; half was better on photos of birds).
    Needs at least two different vectors.
    """
    if len(vectors) > _FITTED_ON:
        vectors = vectors[drawn(len(vectors))]
    rows = _rooted(vectors)
    mean = rows.mean(axis=0)
    centred = (rows - mean).astype(np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)
    singular = np.sqrt(np.clip(values[::-1], 0, None))
    kept = min(dims, int((singular > 1e-5 * singular[0]).sum()))
    if singular[0] == 0:
        raise ValueError("all vectors are equal: there is nothing to fit")
    return Whitening(mean, np.asarray(directions[:, ::-1][:, :kept] / np.sqrt(singular[:kept]), dtype=np.float32))


def drawn(count: int) -> npt.NDArray[np.int64]:
    """Which of so many rows a fit looks at, in its order."""
    return np.arange(count) if count <= _FITTED_ON else np.random.default_rng(0).permutation(count)[:_FITTED_ON]


def recall_at_1(vectors: Vectors, labels: LabelCodes) -> float:
    """How often the nearest other photo (of `vectors` (n, dim)) has the same label.

    Photos without a label, or that are alone with theirs, are no queries; NaN where none is left.
    """
    queries = _queries(labels)
    return _right(vectors, labels, queries) / len(queries) if len(queries) else float("nan")


def _queries(labels: LabelCodes) -> LabelCodes:
    """The photos that are not alone with their label; of many some, drawn at random."""
    counts = np.bincount(labels[labels >= 0]) if (labels >= 0).any() else np.zeros(1, dtype=np.int64)
    queries = np.flatnonzero((labels >= 0) & (counts[np.maximum(labels, 0)] > 1))
    if len(queries) > _QUERIES:
        queries = np.sort(np.random.default_rng(0).permutation(queries)[:_QUERIES])
    return queries


def _right(vectors: Vectors, labels: LabelCodes, queries: LabelCodes) -> int:
    """For how many of these rows the nearest other one has the same label."""
    parts = (queries[start : start + 256] for start in range(0, len(queries), 256))
    return sum(int((labels[_nearest(vectors, part)] == labels[part]).sum()) for part in parts)


def _nearest(vectors: Vectors, queries: LabelCodes) -> LabelCodes:
    """For each of these rows the nearest other one, a chunk at a time."""
    best, nearest = np.full(len(queries), -np.inf, dtype=np.float32), np.zeros(len(queries), dtype=np.int64)
    for first in range(0, len(vectors), _CHUNK):
        scores = vectors[queries] @ vectors[first : first + _CHUNK].T
        own = np.flatnonzero((queries >= first) & (queries < first + _CHUNK))
        scores[own, queries[own] - first] = -np.inf
        top = scores.argmax(axis=1)
        values = scores[np.arange(len(queries)), top]
        nearest, best = np.where(values > best, top + first, nearest), np.maximum(values, best)
    return nearest


def cross_fitted(vectors: Vectors, labels: LabelCodes) -> tuple[float, float] | None:
    """Recall at 1 before and after, where each photo asks in a space that was fitted without it, as a new one would.

    Each fifth of the labelled photos asks for the nearest of all in a space fitted on the others. None where that is
    impossible: one label only, no label with two photos, or photos that are all alike.
    """
    labelled = np.flatnonzero(labels >= 0)
    if len(labelled) > 2 * _FITTED_ON:
        labelled = np.sort(np.random.default_rng(0).permutation(labelled)[: 2 * _FITTED_ON])
    vectors, labels = vectors[labelled], labels[labelled]
    queries = _queries(labels)
    if not len(queries) or not np.ptp(labels):
        return None
    fold, right = np.random.default_rng(0).permutation(np.arange(len(labels)) % _FOLDS), 0
    for number in range(_FOLDS):
        others = vectors[fold != number]
        if not np.ptp(others, axis=0).any():
            return None
        right += _right(fit(others).apply(vectors), labels, queries[fold[queries] == number])
    return recall_at_1(vectors, labels), right / len(queries)


def _rooted(vectors: Vectors) -> Vectors:
    rooted = np.sign(vectors) * np.sqrt(np.abs(vectors))
    lengths = np.linalg.norm(rooted, axis=1, keepdims=True)
    return np.asarray(rooted / np.where(lengths == 0, 1, lengths), dtype=np.float32)
