"""How likely a photo is as one of a species' photos: a Gaussian model of species and of how their photos vary.

Probabilistic linear discriminant analysis (Prince and Elder 2007). It knows how few photos a species has, and how
likely a photo is in a species that it never saw.
"""

from dataclasses import dataclass

import numpy as np

from birdsearch.records import Ids, Vectors

PRIOR = 4  # the model starts as if this many photos a dimension varied alike in all directions


@dataclass(frozen=True, slots=True)
class Model:
    """A Gaussian model of species: photos vary around their species alike in all directions, species by `spread`."""

    mean: Vectors  # (d,)
    turn: Vectors  # (d, e)
    spread: Vectors  # (e,) variance of species' centres where that of photos within a species is 1

    def turned(self, rows: Vectors) -> Vectors:
        """Photos (q, d) in directions that vary independently of each other: (q, e)."""
        return np.asarray((rows - self.mean) @ self.turn, dtype=np.float32)

    def ratio(self, photos: Vectors, sums: Vectors, counts: Vectors) -> Vectors:
        """Log of how much likelier photos (q, e) are in species of known photos than in one never seen: (q, species).

        In closed form: `sums` (species, e) of `counts` (species,) known photos.
        """
        centre, variance = self._centre(sums, counts)
        constant = (centre**2 / variance + np.log(variance)).sum(axis=1)
        known = (photos**2) @ (1 / variance).T - 2 * (photos @ (centre / variance).T) + constant
        return np.asarray(-0.5 * known - self._stranger(photos)[:, None], dtype=np.float32)

    def own_ratio(self, photos: Vectors, sums: Vectors, counts: Vectors) -> Vectors:
        """The same for each photo (q, e) and a species of its own, `sums` (q, e) and `counts` (q,): (q,)."""
        centre, variance = self._centre(sums, counts)
        known = ((photos - centre) ** 2 / variance + np.log(variance)).sum(axis=1)
        return np.asarray(-0.5 * known - self._stranger(photos), dtype=np.float32)

    def _centre(self, sums: Vectors, counts: Vectors) -> tuple[Vectors, Vectors]:
        share = self.spread / (1 + counts[:, None] * self.spread)
        return share * sums, 1 + share

    def _stranger(self, photos: Vectors) -> Vectors:
        alone = 1 + self.spread
        return np.asarray(-0.5 * (photos**2 @ (1 / alone) + np.log(alone).sum()), dtype=np.float32)


def fit(rows: Vectors, own: Ids) -> Model | None:
    """The model that photos (n, d) of species (n,) make; None where they say nothing of how photos vary.

    Variance within species is shrunk towards the same in all directions, that between them is what is left of the
    variance of their means (analysis of variance for groups of unequal size).
    """
    names, own, counts = np.unique(own, return_inverse=True, return_counts=True)
    if len(names) < 2 or len(names) == len(own):
        return None
    from scipy.linalg import eigh

    mean = rows.mean(axis=0)
    basis = np.eye(rows.shape[1], dtype=np.float32)
    if len(rows) < rows.shape[1]:  # the directions in which they differ: fewer numbers to turn
        basis = np.linalg.svd(rows - mean, full_matrices=False)[2].T
    rows = (rows - mean) @ basis
    centres = summed(rows, own, len(names)) / counts[:, None]
    within = rows - centres[own]
    freedom, dims = len(own) - len(names), rows.shape[1]
    scatter = (within.T @ within).astype(np.float64)
    # Copies of one picture do not vary at all: a thousandth of all variance is the least that is believed.
    typical = max(np.trace(scatter) / freedom, 1e-3 * float((rows**2).sum()) / len(rows)) / dims
    if not typical > 0:
        return None
    inner = (scatter + PRIOR * dims * typical * np.eye(dims)) / (freedom + PRIOR * dims)
    weighted = centres * np.sqrt(counts)[:, None]
    outer = (weighted.T @ weighted).astype(np.float64) / (len(names) - 1)
    effective = (len(own) - (counts.astype(np.float64) ** 2).sum() / len(own)) / (len(names) - 1)
    spread, turn = eigh(outer, inner)
    spread = np.maximum((spread - 1) / effective, 1e-3)
    return Model(mean, np.asarray(basis @ turn, dtype=np.float32), np.asarray(spread, dtype=np.float32))


def summed(rows: Vectors, own: Ids, species: int) -> Vectors:  # (n, d), (n,) -> (species, d)
    """Sums of the rows of each species."""
    from scipy.sparse import csr_array

    ones = np.ones(len(own), dtype=np.float32)
    return np.asarray(csr_array((ones, (own, np.arange(len(own)))), shape=(species, len(own))) @ rows)
