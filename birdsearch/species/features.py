"""What labelled photos say about another photo, before any weight is fitted: three features for each species.

How likely the photo is under the PLDA model of species, its score with the species' mean, and a soft maximum of its
scores with the species' photos.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from birdsearch.records import Ids, Vectors, blocks
from birdsearch.search import whitening
from birdsearch.species import plda

COUNT = 3  # log-likelihood ratio, score with the mean, soft maximum
TYPICAL_WEIGHTS = np.array([0.05, 7.0, 2.0])  # of the three, where there is little to fit them on; a guess
NO_GALLERY = -1e3  # every feature of a species of which no photo may be compared
INVERSE_TEMPERATURE = 20.0  # of the soft maximum: a score higher by 0.05 weighs e times more; a guess
EXHAUSTIVE_UP_TO = 10_000  # gallery photos; in a larger gallery only the likeliest species get the soft maximum
CANDIDATES = 32  # the number of those species
CELLS = 16_000_000  # photos times species in a block, so that memory does not grow with the collection
BLOCK = 16_384  # photos in a block, at most


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """The space in which photos are compared, and the model of species in it."""

    space: whitening.Whitening | None  # None: vectors as the backbone made them
    model: plda.Model | None  # None: too few labels to fit one

    @classmethod
    def fit(cls, vectors: Vectors, codes: Ids, *, whitened: bool) -> Self:
        """From unit vectors (n, dim) of species (n,), below 0 for photos without a label."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        if not len(rows) or not (rows != rows[0]).any():
            return cls(None, None)
        space = whitening.fit(rows) if whitened else None
        rows = rows if space is None else space.apply(rows)
        named = codes >= 0
        return cls(space, plda.fit(rows[named], codes[named]))

    def views(self, vectors: Vectors) -> tuple[Vectors, Vectors]:
        """Photos (q, dim) in that space (q, d), and as the model takes them (q, e)."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        rows = rows if self.space is None else self.space.apply(rows)
        return rows, rows[:, :0] if self.model is None else self.model.project(rows)


@dataclass(frozen=True, slots=True)
class ClassGallery:
    """The labelled photos of a fit in a feature space, sorted by species."""

    space: FeatureSpace
    positions: Ids  # (m,) of these photos in the fit
    vectors: Vectors  # (m, d)
    projected: Vectors  # (m, e)
    codes: Ids  # (m,) species, ascending
    groups: Ids  # (m,)
    starts: Ids  # (species + 1,)
    sums: Vectors  # (species, d)
    projected_sums: Vectors  # (species, e)
    by_group: Ids  # (m,) the photos sorted by group, then by species

    @classmethod
    def of(cls, space: FeatureSpace, vectors: Vectors, codes: Ids, groups: Ids) -> Self:
        """The labelled ones of photos (n, dim) of species and groups (n,)."""
        positions = np.argsort(codes, kind="stable")[np.count_nonzero(codes < 0) :]
        species = int(codes.max()) + 1
        parts = [space.views(vectors[positions[block]]) for block in blocks(len(positions), BLOCK)]
        rows, projected = (np.concatenate(part) for part in zip(*parts, strict=True))
        codes, groups = codes[positions], groups[positions]
        starts = np.searchsorted(codes, np.arange(species + 1))
        sums = plda.class_sums(rows, codes, species), plda.class_sums(projected, codes, species)
        return cls(space, positions, rows, projected, codes, groups, starts, *sums, np.lexsort((codes, groups)))

    @property
    def block_size(self) -> int:
        """How many photos to ask for features at a time."""
        return max(1, min(BLOCK, CELLS // max(len(self.sums), 1)))

    def features(self, vectors: Vectors, projected: Vectors, groups: Ids) -> Vectors:
        """Features (q, species, 3) of photos as `FeatureSpace.views` gives them.

        Photos of the same group (q,; -1: a photo that is not in the gallery) are not compared; NO_GALLERY where a
        species has no other photos.
        """
        model, counts = self.space.model, np.diff(self.starts).astype(np.float32)
        features = np.zeros((len(vectors), len(counts), COUNT), dtype=np.float32)
        features[:, :, 1] = vectors @ _unit(self.sums).T
        if model is not None:
            features[:, :, 0] = model.log_ratios(projected, self.projected_sums, counts)
        own = self._own_groups(groups)
        features[own.photos, own.codes, 1] = (_unit(self.sums[own.codes] - own.sums) * vectors[own.photos]).sum(axis=1)
        left = counts[own.codes] - own.counts
        if model is not None:
            sums = self.projected_sums[own.codes] - own.projected_sums
            features[own.photos, own.codes, 0] = model.paired_log_ratios(projected[own.photos], sums, left)
        empty = own.photos[left == 0], own.codes[left == 0]
        features[empty] = NO_GALLERY
        features[:, :, 2] = self._soft_maxima(vectors, groups, features)
        features[empty] = NO_GALLERY
        return features

    def nearest(self, vector: Vectors, group: int, species: int, k: int) -> Ids:
        """Positions in the fit of the k photos of a species nearest to a photo (d,) of a group, best first."""
        members = np.arange(self.starts[species], self.starts[species + 1])
        members = members[self.groups[members] != group]
        best: Ids = self.positions[members[np.argsort(-(self.vectors[members] @ vector), kind="stable")[:k]]]
        return best

    def _own_groups(self, groups: Ids) -> "_OwnGroups":
        """What the groups (q,) of photos add to the species of the gallery."""
        names, which = np.unique(groups, return_inverse=True)
        sorted_groups = self.groups[self.by_group]
        first, last = np.searchsorted(sorted_groups, names), np.searchsorted(sorted_groups, names, side="right")
        members = self.by_group[_ranges(first, last - first)]
        owner = np.repeat(np.arange(len(names)), last - first)
        new = np.ones(len(members), dtype=bool)
        new[1:] = (np.diff(owner) != 0) | (np.diff(self.codes[members]) != 0)
        pair = np.cumsum(new) - 1  # the members by group and species
        pairs = np.bincount(owner[new], minlength=len(names))
        repeat = _ranges((np.cumsum(pairs) - pairs)[which], pairs[which])
        count = int(new.sum())
        sums, projected = (
            plda.class_sums(part[members], pair, count)[repeat] for part in (self.vectors, self.projected)
        )
        return _OwnGroups(
            photos=np.repeat(np.arange(len(groups)), pairs[which]),
            codes=self.codes[members][new][repeat],
            sums=sums,
            projected_sums=projected,
            counts=np.bincount(pair, minlength=count)[repeat].astype(np.float32),
        )

    def _soft_maxima(self, vectors: Vectors, groups: Ids, features: Vectors) -> Vectors:
        """How close the photos of each species are (q, species): log mean exp of their scores.

        In a large gallery only for the species likeliest by the other features (q, species, 3).
        """
        compared = features[:, :, 1] > NO_GALLERY
        maxima = np.full(compared.shape, np.inf, dtype=np.float32)
        if len(self.codes) > EXHAUSTIVE_UP_TO and compared.shape[1] > CANDIDATES:
            rough = features[:, :, :2] @ TYPICAL_WEIGHTS[:2].astype(np.float32)
            compared &= rough >= np.partition(rough, -CANDIDATES, axis=1)[:, -CANDIDATES, None]
        for species in np.flatnonzero(compared.any(axis=0)):
            photos, members = np.flatnonzero(compared[:, species]), slice(*self.starts[species : species + 2])
            powers = np.exp(INVERSE_TEMPERATURE * (vectors[photos] @ self.vectors[members].T - 1))
            others = groups[photos][:, None] != self.groups[members]
            maxima[photos, species] = (
                np.log((powers * others).sum(axis=1) / others.sum(axis=1)) / INVERSE_TEMPERATURE + 1
            )
        # A species that was not compared is no better than the worst that was.
        worst = np.min(maxima, axis=1, keepdims=True)
        return np.where(np.isfinite(maxima), maxima, np.where(np.isfinite(worst), worst, 0))


@dataclass(frozen=True, slots=True)
class _OwnGroups:
    """Pairs of a photo and a species to which the photo's own group contributes, and what it contributes."""

    photos: Ids  # (pairs,)
    codes: Ids  # (pairs,) species
    sums: Vectors  # (pairs, d)
    projected_sums: Vectors  # (pairs, e)
    counts: npt.NDArray[np.float32]  # (pairs,) photos


def _ranges(starts: Ids, lengths: Ids) -> Ids:
    """The numbers of several ranges one after another."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
