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
        refined = (_rooted(vectors) - self.mean) @ self.projection
        lengths = np.linalg.norm(refined, axis=1, keepdims=True)
        # The mean itself has no direction; any fixed one will do.
        refined[lengths[:, 0] == 0, 0] = 1
        return np.asarray(refined / np.where(lengths == 0, 1, lengths), dtype=np.float32)

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
        rows = asking[start : start + 256]
        scores = vectors[rows] @ vectors.T
        scores[np.arange(len(rows)), rows] = -np.inf
        right += int((names[scores.argmax(axis=1)] == names[rows]).sum())
    return right / len(asking)


def cross_fitted(vectors: Vectors, names: Names) -> tuple[float, float]:
    """Recall at 1 before and after; each half of the names is judged by a fit on the other half."""
    half = names % 2 == 0
    before, after = [], []
    for judged in (half, ~half):
        part = names[judged]
        before.append(recall_at_1(vectors[judged], part))
        after.append(recall_at_1(fit(vectors[~judged]).apply(vectors[judged]), part))
    return float(np.mean(before)), float(np.mean(after))


def _rooted(vectors: Vectors) -> Vectors:
    rooted = np.sign(vectors) * np.sqrt(np.abs(vectors))
    lengths = np.linalg.norm(rooted, axis=1, keepdims=True)
    return np.asarray(rooted / np.where(lengths == 0, 1, lengths), dtype=np.float32)
