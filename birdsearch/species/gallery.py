"""What the analyses of species are given of one index: vectors in a space that tells species apart, names, groups."""

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from birdsearch.duplicates import bursts as bursts_module
from birdsearch.duplicates import grouping
from birdsearch.duplicates import hashes as hashes_module
from birdsearch.records import (
    Filter,
    Ids,
    Vectors,
)
from birdsearch.search import exact as exact_module
from birdsearch.search import tuning, whitening
from birdsearch.search.exact import Neighbours
from birdsearch.species import classifier
from birdsearch.storage.catalog.catalog import About, Catalog
from birdsearch.storage.vectors import VectorStore

logger = logging.getLogger("birdsearch")

NEIGHBOURS = 13  # of each photo, itself among them, that make the graph
NEAR_BITS, NEAR_SCORE = 6, 0.95  # of two hashes and two vectors, from which on two photos are taken for one picture
BLOCK = 4096
ROUNDING = 1e-4  # of the numbers of a vector


@dataclass(frozen=True)
class Gathered:
    """The photos of an index that take part."""

    photos: tuple[About, ...]  # in order of id
    raw: Vectors  # (n, dim) as the backbone made them
    space: whitening.Whitening | None  # the index's own refined space, where it has one

    @property
    def ids(self) -> Ids:
        """Photo ids (n,)."""
        return np.array([photo.photo_id for photo in self.photos], dtype=np.int64)

    @property
    def labels(self) -> list[str | None]:
        """What somebody said each photo shows."""
        return [photo.label for photo in self.photos]

    @cached_property
    def rows(self) -> Vectors:
        """Unit rows (n, d) in the refined space, fitted on these photos where the index has none; raw for a few."""
        space = self.space
        # Photos that differ by rounding only would be spread by it.
        if space is None and len(self.raw) >= whitening.LEAST and np.ptp(self.raw, axis=0).max() > ROUNDING:
            space = whitening.fit(self.raw)
        return self.raw if space is None else space.apply(self.raw)

    @cached_property
    def groups(self) -> Ids:
        """A number (n,) for each photo; those of one burst, and copies of the same bytes, have the same."""
        edges = [*self._exposures]
        first: dict[str, int] = {}
        for row, photo in enumerate(self.photos):
            if photo.sha256 and first.setdefault(photo.sha256, row) != row:
                edges.append((first[photo.sha256], row))
        place = {photo.photo_id: row for row, photo in enumerate(self.photos)}
        return grouping.numbered(len(self.photos), edges + [(place[a], place[b]) for a, b in self.copies])

    @cached_property
    def copies(self) -> set[tuple[int, int]]:
        """Pairs of ids of photos that are the same picture as far as hashes and vectors tell."""
        hashed = [(row, photo.phash) for row, photo in enumerate(self.photos) if photo.phash is not None]
        rows = np.array([row for row, _ in hashed], dtype=np.int64)
        hashes = np.array([phash for _, phash in hashed], dtype=np.int64).view(np.uint64)
        close = hashes_module.hash_pairs(hashes, rows, within=NEAR_BITS).ids
        scores = np.einsum("nd,nd->n", self.raw[close[:, 0]], self.raw[close[:, 1]])
        ids = self.ids
        return {(int(ids[a]), int(ids[b])) for a, b in close[scores >= NEAR_SCORE].tolist()}

    @cached_property
    def voter(self) -> classifier.Voter | None:
        """The labelled photos as a classifier; None where none has a label."""
        return classifier.fit(self.raw, self.labels, self.groups)

    @cached_property
    def bursts(self) -> Ids:
        """A number (n,) for each burst; -1 for photos that are in none."""
        return only_groups(grouping.numbered(len(self.photos), self._exposures))

    @cached_property
    def _exposures(self) -> list[tuple[int, int]]:
        """Rows of exposures of one moment."""
        place = {photo.photo_id: row for row, photo in enumerate(self.photos)}
        found = bursts_module.bursts(
            self.photos, vectors=lambda ids: self.raw[[place[photo_id] for photo_id in ids.tolist()]]
        )
        return [(place[ids[0]], place[other]) for ids in found for other in ids[1:]]

    def neighbours(self, k: int = NEIGHBOURS) -> Neighbours:
        """The k nearest of each row, itself among them, as row numbers."""
        engine = tuning.build(self.rows)
        k = min(k, len(self.rows))
        parts = [engine.search(self.rows[start : start + BLOCK], k) for start in range(0, len(self.rows), BLOCK)]
        return Neighbours(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "scores")))

    def others(self, k: int) -> Neighbours:
        """The k nearest of each row but itself, as row numbers; one less than there are rows where these are fewer."""
        count = len(self.rows)
        k = min(k, max(0, count - 1))
        if k == 0:
            return Neighbours(np.empty((count, 0), dtype=np.int64), np.empty((count, 0), dtype=np.float32))
        near = self.neighbours(k + 1)
        ids, scores = near.ids, near.scores
        short = (ids < 0).any(axis=1)  # an engine that looks at a part of the rows only may find fewer
        if short.any():
            exact = exact_module.brute_force_knn(self.rows, np.arange(count), self.rows[short], k + 1)
            ids[short], scores[short] = exact.ids, exact.scores
        kept = ids != np.arange(count)[:, None]
        kept[kept.all(axis=1), -1] = False  # among many copies a row may not have found itself
        return Neighbours(ids[kept].reshape(count, k), scores[kept].reshape(count, k))


def gather(catalog: Catalog, retrieval: VectorStore, where: Filter | None) -> Gathered:
    """The visible photos that satisfy the filter, with their vectors."""
    with catalog.snapshot():
        about = catalog.about(where)
        regions, raw = retrieval.gathered(catalog.parts(), None)
        space = retrieval.whitening()
    place = {region: row for row, region in enumerate(regions.tolist())}
    held = tuple(photo for photo in about if photo.region_id in place)
    rows = np.array([place[photo.region_id] for photo in held], dtype=np.int64)
    return Gathered(held, raw if np.array_equal(rows, np.arange(len(raw))) else raw[rows], space)


def only_groups(numbers: Ids) -> Ids:
    """Group numbers (n,) with -1 for those that are alone."""
    return np.where(np.bincount(numbers, minlength=1)[numbers] > 1, numbers, -1)


# What a photo shows ---------------------------------------------------------------------------------------------------
