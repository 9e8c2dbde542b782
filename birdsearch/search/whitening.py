"""A better space for the vectors of one index, fitted without labels on its own photos; and whether it is better."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from birdsearch.records import Vectors

LEAST = 500  # photos below which there is too little to fit on
DIMS = 512  # of the refined space, at most
_FITTED_ON = 50_000  # photos, drawn at random from more: the fit does not get better beyond
_ROWS = 16_384  # worked on at a time, so that memory does not grow with the collection
_ASKED = 2_000  # photos that ask when a space is judged

Names = npt.NDArray[np.int64]  # (n,) a species' number for each photo, -1 for none


@dataclass(frozen=True, slots=True)
class Refinement:
    """Signed square root, then a projection: what makes a vector of the backbone one of the refined space."""

    mean: Vectors  # (dim,)
    projection: Vectors  # (dim, refined)

    @property
    def dim(self) -> int:
        """Length of a refined vector."""
        return int(self.projection.shape[1])

    def apply(self, vectors: Vectors) -> Vectors:
        """Unit vectors (n, dim) in the refined space: (n, refined), rows of length 1."""
        refined = np.empty((len(vectors), self.dim), dtype=np.float32)
        for start in range(0, len(vectors), _ROWS):
            rows = (_rooted(vectors[start : start + _ROWS]) - self.mean) @ self.projection
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            # The mean itself has no direction; any fixed one will do.
            rows[lengths[:, 0] == 0, 0] = 1
            refined[start : start + _ROWS] = rows / np.where(lengths == 0, 1, lengths)
        return refined

    def as_npz(self) -> bytes:
        """The refinement as the bytes of an .npz file."""
        buffer = io.BytesIO()
        np.savez(buffer, mean=self.mean, projection=self.projection)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `as_npz` wrote. Raises what numpy raises for a damaged file."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["mean"], stored["projection"])


def fit(vectors: Vectors, dims: int = DIMS) -> Refinement:
    """Fit a refinement on unit vectors (n, dim), without labels.

    Component-wise signed square root (Perronnin et al. 2010), principal components (at most `dims`), and half
    whitening: each is divided by the square root of its singular value, which tempers the few directions that all
    photos of one network share (Jégou and Chum 2012, who whiten fully; half was better on photos of birds).
    Needs at least two different vectors.
    """
    if len(vectors) > _FITTED_ON:
        vectors = vectors[np.random.default_rng(0).permutation(len(vectors))[:_FITTED_ON]]
    rows = _rooted(vectors)
    mean = rows.mean(axis=0)
    centred = (rows - mean).astype(np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)
    singular = np.sqrt(np.clip(values[::-1], 0, None))
    kept = min(dims, int((singular > 1e-5 * singular[0]).sum()))
    if singular[0] == 0:
        raise ValueError("all vectors are equal: there is nothing to fit")
    return Refinement(mean, np.asarray(directions[:, ::-1][:, :kept] / np.sqrt(singular[:kept]), dtype=np.float32))


def recall_at_1(vectors: Vectors, names: Names) -> float:
    """How often the nearest other photo (of `vectors` (n, dim)) bears the same name; photos without one do not ask."""
    counts = np.bincount(names[names >= 0]) if (names >= 0).any() else np.zeros(1, dtype=np.int64)
    asking = np.flatnonzero((names >= 0) & (counts[np.maximum(names, 0)] > 1))
    if len(asking) > _ASKED:
        asking = np.sort(np.random.default_rng(0).permutation(asking)[:_ASKED])
    if not len(asking):
        return float("nan")
    right = 0
    for start in range(0, len(asking), 256):
        right += int(
            (names[_nearest(vectors, asking[start : start + 256])] == names[asking[start : start + 256]]).sum()
        )
    return right / len(asking)


def _nearest(vectors: Vectors, rows: Names) -> Names:
    """For each of these rows the nearest other one, looking at some at a time."""
    best, who = np.full(len(rows), -np.inf, dtype=np.float32), np.zeros(len(rows), dtype=np.int64)
    for first in range(0, len(vectors), _ROWS):
        scores = vectors[rows] @ vectors[first : first + _ROWS].T
        here = np.flatnonzero((rows >= first) & (rows < first + _ROWS))
        scores[here, rows[here] - first] = -np.inf
        found = scores.argmax(axis=1)
        values = scores[np.arange(len(rows)), found]
        who, best = np.where(values > best, found + first, who), np.maximum(values, best)
    return who


def cross_fitted(vectors: Vectors, names: Names) -> tuple[float, float] | None:
    """Recall at 1 before and after; each half of the names is judged by a fit on the other half.

    None where nothing can be judged so: fewer than two names with siblings, or photos that are all alike.
    """
    named = np.flatnonzero(names >= 0)
    if len(named) > 2 * _FITTED_ON:
        named = np.sort(np.random.default_rng(0).permutation(named)[: 2 * _FITTED_ON])
    vectors, names = vectors[named], names[named]
    half = names % 2 == 0
    judged: list[tuple[float, float]] = []
    for asked in (half, ~half):
        if asked.any() and not asked.all() and np.ptp(vectors[~asked], axis=0).any():
            part, space = names[asked], fit(vectors[~asked])
            judged.append((recall_at_1(vectors[asked], part), recall_at_1(space.apply(vectors[asked]), part)))
    judged = [pair for pair in judged if not np.isnan(pair[0])]
    if not judged:
        return None
    return float(np.mean([before for before, _ in judged])), float(np.mean([after for _, after in judged]))


def _rooted(vectors: Vectors) -> Vectors:
    rooted = np.sign(vectors) * np.sqrt(np.abs(vectors))
    lengths = np.linalg.norm(rooted, axis=1, keepdims=True)
    return np.asarray(rooted / np.where(lengths == 0, 1, lengths), dtype=np.float32)
