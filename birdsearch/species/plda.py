"""Probabilistic linear discriminant analysis: how likely a photo is as one of a species' photos.

Gaussian models of species and of how their photos vary (Prince and Elder 2007). They take into account how few photos
a species has, and how likely a photo is in a species without any.
"""

from dataclasses import dataclass

import numpy as np

from birdsearch.records import Ids, Vectors

PRIOR = 4  # photos a dimension that vary alike in all directions, with which a fit starts; a guess


@dataclass(frozen=True, slots=True)
class Model:
    """A Gaussian model of species: photos vary around their species alike in all directions, species by `spread`."""

    mean: Vectors  # (d,)
    projection: Vectors  # (d, e)
    spread: Vectors  # (e,) variance of species' centres where that of photos within a species is 1

    def project(self, vectors: Vectors) -> Vectors:
        """Photos (q, d) in directions that vary independently of each other: (q, e)."""
        return np.asarray((vectors - self.mean) @ self.projection, dtype=np.float32)

    def log_ratios(self, photos: Vectors, sums: Vectors, counts: Vectors) -> Vectors:
        """Log of how much likelier projected photos (q, e) are in each species than in an unknown one: (q, species).

        In closed form: `sums` (species, e) of the projections of `counts` (species,) known photos.
        """
        centre, variance = self._centre(sums, counts)
        constant = (centre**2 / variance + np.log(variance)).sum(axis=1)
        known = (photos**2) @ (1 / variance).T - 2 * (photos @ (centre / variance).T) + constant
        return np.asarray(-0.5 * known - self._unknown_class(photos)[:, None], dtype=np.float32)

    def paired_log_ratios(self, photos: Vectors, sums: Vectors, counts: Vectors) -> Vectors:
        """The same for each photo (q, e) and a species of its own, `sums` (q, e) and `counts` (q,): (q,)."""
        centre, variance = self._centre(sums, counts)
        known = ((photos - centre) ** 2 / variance + np.log(variance)).sum(axis=1)
        return np.asarray(-0.5 * known - self._unknown_class(photos), dtype=np.float32)

    def _centre(self, sums: Vectors, counts: Vectors) -> tuple[Vectors, Vectors]:
        share = self.spread / (1 + counts[:, None] * self.spread)
        return share * sums, 1 + share

    def _unknown_class(self, photos: Vectors) -> Vectors:
        alone = 1 + self.spread
        return np.asarray(-0.5 * (photos**2 @ (1 / alone) + np.log(alone).sum()), dtype=np.float32)


def fit(vectors: Vectors, codes: Ids) -> Model | None:
    """The model of photos (n, d) of species (n,); None where no species has two photos, or there is one species only.

    Variance within species is shrunk towards the same in all directions; that between them is what remains of the
    variance of their means (analysis of variance for groups of unequal size).
    """
    names, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(names) < 2 or len(names) == len(codes):
        return None
    from scipy.linalg import eigh

    mean = vectors.mean(axis=0)
    basis = np.eye(vectors.shape[1], dtype=np.float32)
    if len(vectors) < vectors.shape[1]:  # the directions in which they differ: a smaller eigenproblem
        basis = np.linalg.svd(vectors - mean, full_matrices=False)[2].T
    rows = (vectors - mean) @ basis
    centres = class_sums(rows, codes, len(names)) / counts[:, None]
    within = rows - centres[codes]
    freedom, dims = len(codes) - len(names), rows.shape[1]
    scatter = (within.T @ within).astype(np.float64)
    # Copies of one picture do not vary: the variance within species is at least a thousandth of the whole.
    typical = max(np.trace(scatter) / freedom, 1e-3 * float((rows**2).sum()) / len(rows)) / dims
    if not typical > 0:
        return None
    inner = (scatter + PRIOR * dims * typical * np.eye(dims)) / (freedom + PRIOR * dims)
    weighted = centres * np.sqrt(counts)[:, None]
    outer = (weighted.T @ weighted).astype(np.float64) / (len(names) - 1)
    effective = (len(codes) - (counts.astype(np.float64) ** 2).sum() / len(codes)) / (len(names) - 1)
    spread, rotation = eigh(outer, inner)
    spread = np.maximum((spread - 1) / effective, 1e-3)
    return Model(mean, np.asarray(basis @ rotation, dtype=np.float32), np.asarray(spread, dtype=np.float32))


def class_sums(vectors: Vectors, codes: Ids, count: int) -> Vectors:  # (n, d), (n,) -> (count, d)
    """Sums of the vectors of each class."""
    from scipy.sparse import csr_array

    ones = np.ones(len(codes), dtype=np.float32)
    return np.asarray(csr_array((ones, (codes, np.arange(len(codes)))), shape=(count, len(codes))) @ vectors)
