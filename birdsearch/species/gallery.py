"""What every analysis of species starts from: photos of a filter with their vectors, labels and leakage groups."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from birdsearch.backbones.classes import Classes
from birdsearch.duplicates import bursts as bursts_module
from birdsearch.duplicates import grouping
from birdsearch.duplicates import hashes as hashes_module
from birdsearch.memory import check_room
from birdsearch.records import Filter, Ids, SpeciesCount, Vectors, blocks
from birdsearch.search import exact as exact_module
from birdsearch.search import tuning, whitening
from birdsearch.search.exact import Neighbours
from birdsearch.species import calibration, names, zero_shot
from birdsearch.species.classifier import GalleryClassifier
from birdsearch.species.zero_shot import NamedSpecies
from birdsearch.storage.catalog.catalog import PhotoSummary
from birdsearch.storage.store import Store
from birdsearch.storage.vectors import VectorStore
from birdsearch.taxonomy import resolve

NEIGHBOURS = 13  # of each photo, itself among them, that make the graph
NEAR_BITS, NEAR_SCORE = 6, 0.95  # of two hashes and two vectors, from which on two photos count as one picture
BLOCK = 4096
ANSWERS = 4  # that are kept of costly questions
ROUNDING = 1e-4  # of the numbers of a vector
RECORD = 2500  # bytes of what is known of a photo beside its vector, at least (benchmarks.commands)

logger = logging.getLogger("birdsearch")

T = TypeVar("T")


@dataclass(frozen=True)
class Gallery:
    """The photos of an index that take part; what is worked out from them is computed at first use and kept."""

    photos: tuple[PhotoSummary, ...]  # in order of id
    raw: Vectors  # (n, dim) as the backbone made them
    space: whitening.Whitening | None  # the index's own whitening, where it has one
    corrections: Mapping[str, str] = field(default_factory=dict)  # what a user says that names mean

    @classmethod
    def load(cls, store: Store, where: Filter | None = None) -> "Gallery":
        """The visible photos that satisfy the filter, with their vectors; labels of one taxon are one label."""
        with store.catalog.snapshot():
            dim = store.identity.backbone.dim
            check_room(store.catalog.count(where), 4 * (dim + min(dim, whitening.DIMS)) + RECORD)
            corrections = names.overrides(store.catalog)
            about = names.one_spelling(store.catalog.summaries(where), corrections)
            stored, raw = _rows_of([photo.frame_id for photo in about], store.vectors, dim)
            space = store.vectors.whitening()
        if where is not None and where.sample == len(about):
            logger.warning("a sample: %s photos, drawn evenly over the species", f"{len(about):,}")
        return cls(tuple(itertools.compress(about, stored)), raw, space, corrections)

    def count_species(self, shown: Iterable[str]) -> SpeciesCount:
        """How many species names mean, and how many of the names mean something else."""
        return resolve.count_species(shown, self.corrections)

    @cached_property
    def ids(self) -> Ids:
        """Photo ids (n,)."""
        return np.array([photo.photo_id for photo in self.photos], dtype=np.int64)

    @property
    def labels(self) -> list[str | None]:
        """The label of each photo."""
        return [photo.label for photo in self.photos]

    @cached_property
    def position_of(self) -> dict[int, int]:
        """Photo id -> its position among the photos."""
        return {photo.photo_id: position for position, photo in enumerate(self.photos)}

    @cached_property
    def vectors(self) -> Vectors:
        """Whitened unit vectors (n, d), fitted on these photos where the index has no whitening; raw for few photos."""
        space = self.space
        # Whitening would spread photos that differ by rounding only.
        if space is None and len(self.raw) >= whitening.LEAST and np.ptp(self.raw, axis=0).max() > ROUNDING:
            space = whitening.fit(self.raw)
        return self.raw if space is None else space.apply(self.raw)

    @cached_property
    def groups(self) -> Ids:
        """The leakage group (n,) of each photo: bursts, copies and timeless photos of one visit share a number."""
        copies = [(self.position_of[a], self.position_of[b]) for a, b in self.copies]
        # Of photos without a time, as iNaturalist hands them on, no burst can be told, but a visit may be known.
        timeless = visits([None if photo.taken_at else photo.visit for photo in self.photos])
        same_visit = grouping.edges_from_groups(timeless).tolist()
        return grouping.component_labels(len(self.photos), [*self._burst_edges, *self.same_bytes, *copies, *same_visit])

    @cached_property
    def same_bytes(self) -> list[tuple[int, int]]:
        """Positions of photos whose files have the same bytes."""
        first: dict[str, int] = {}
        known = [(position, photo.sha256) for position, photo in enumerate(self.photos) if photo.sha256]
        pairs = [(first.setdefault(sha256, position), position) for position, sha256 in known]
        return [(one, other) for one, other in pairs if one != other]

    @cached_property
    def copies(self) -> set[tuple[int, int]]:
        """Pairs of ids of photos that are the same picture as far as hashes and vectors tell."""
        return {(int(self.ids[a]), int(self.ids[b])) for a, b in self.alike(NEAR_BITS, NEAR_SCORE).tolist()}

    def alike(self, within: int | None, least: float) -> Ids:
        """Positions (m, 2) of photos of at least this score whose hashes are near: `within` as in `hash_pairs`."""
        hashed = [(position, photo.phash) for position, photo in enumerate(self.photos) if photo.phash is not None]
        positions = np.array([position for position, _ in hashed], dtype=np.int64)
        hashes = np.array([phash for _, phash in hashed], dtype=np.int64).view(np.uint64)
        close = hashes_module.hash_pairs(hashes, positions, within=within)
        scores = np.einsum("nd,nd->n", self.raw[close[:, 0]], self.raw[close[:, 1]])
        alike: Ids = close[scores >= least]
        return alike

    @cached_property
    def classifier(self) -> GalleryClassifier | None:
        """The labelled photos as a classifier; None where no photo has a label."""
        return GalleryClassifier.fit(self.raw, self.labels, self.groups)

    @cached_property
    def bursts(self) -> Ids:
        """A number (n,) for each burst; -1 for photos that are in none."""
        return nontrivial_groups(grouping.component_labels(len(self.photos), self._burst_edges))

    @cached_property
    def _burst_edges(self) -> list[tuple[int, int]]:
        """Positions of photos of one burst."""
        place = self.position_of
        bursts = bursts_module.bursts(
            self.photos, vectors=lambda ids: self.raw[[place[photo_id] for photo_id in ids.tolist()]]
        )
        return [(place[ids[0]], place[other]) for ids in bursts for other in ids[1:]]

    def neighbours(self, k: int = NEIGHBOURS) -> Neighbours:
        """The k nearest of each photo, itself among them, as positions."""
        engine = tuning.build(self.vectors)
        k = min(k, len(self.vectors))
        parts = [engine.search(self.vectors[block], k) for block in blocks(len(self.vectors), BLOCK)]
        return Neighbours(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "scores")))

    def others(self, k: int) -> Neighbours:
        """The k nearest of each photo but itself, as positions; fewer only where there are fewer photos."""
        count = len(self.vectors)
        k = min(k, max(0, count - 1))
        if k == 0:
            return Neighbours(np.empty((count, 0), dtype=np.int64), np.empty((count, 0), dtype=np.float32))
        near = self.neighbours(k + 1)
        ids, scores = near.ids, near.scores
        short = (ids < 0).any(axis=1)  # an approximate engine may find fewer
        if short.any():
            exact = exact_module.brute_force_knn(self.vectors, np.arange(count), self.vectors[short], k + 1)
            ids[short], scores[short] = exact.ids, exact.scores
        kept = ids != np.arange(count)[:, None]
        kept[kept.all(axis=1), -1] = False  # among many copies a photo may be missing from its own list
        return Neighbours(ids[kept].reshape(count, k), scores[kept].reshape(count, k))


class GalleryCache:
    """The gallery of the last filter, the backbone's temperature and costly answers, until a commit changes the index.

    One thread at a time loads: others wait, so that each gets the photos of its own filter.

    >>> gallery = GalleryCache(store)
    >>> gallery(Filter(species="Wren")).labels
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loading = threading.Lock()
        self._last: tuple[tuple[int, Filter | None], Gallery] | None = None
        self._temperature: tuple[int, Classes, float | None] | None = None  # generation, of which classes, temperature
        self._named: tuple[frozenset[str] | None, NamedSpecies] | None = None  # the list they are of
        self._answers: list[tuple[tuple[int, Any], Any]] = []  # generation and question, answer; the newest last

    def __call__(self, where: Filter | None = None) -> Gallery:
        """The photos that satisfy the filter."""
        with self._loading:
            key = self._store.catalog.generation, where
            if self._last is None or self._last[0] != key:
                self._last = None  # two galleries might not fit into the memory
                self._last = key, Gallery.load(self._store, where)
            return self._last[1]

    def kept(self, question: Any, find: Callable[[], T]) -> T:
        """What `find` gives, or gave for an equal question since the last commit; the last few answers are kept."""
        key = self._store.catalog.generation, question
        for known, answer in self._answers:
            if known == key:
                found: T = answer
                return found
        found = find()
        if self._store.catalog.generation == key[0]:
            held = [one for one in self._answers if one[0][0] == key[0]]
            self._answers = [*held[1 - ANSWERS :], (key, found)]
        return found

    def temperature(self, classes: Classes) -> float | None:
        """The temperature of the probabilities of classes, fitted on the labels; None where these are too few."""
        generation, known = self._store.catalog.generation, self._temperature
        if known is None or known[0] != generation or known[1] is not classes:
            self._temperature = known = generation, classes, calibration.temperature(self._store, classes)
        return known[2]

    def named_species(self, species: frozenset[str] | None) -> NamedSpecies:
        """Species as classes by their names alone: these, or all of AviList; see `zero_shot.named_species`."""
        with self._loading:
            if self._named is None or self._named[0] != species:
                self._named = species, zero_shot.named_species(self._store, species)
            return self._named[1]

    def clear(self) -> None:
        """Free the memory."""
        self._last = self._temperature = self._named = None
        self._answers = []


def visits(known: Sequence[tuple[str, str] | None]) -> Ids:
    """A number (n,) for each visit, who and which day; -1 where it is unknown."""
    numbers: dict[tuple[str, str], int] = {}
    return np.array([-1 if one is None else numbers.setdefault(one, len(numbers)) for one in known], dtype=np.int64)


def _rows_of(frames: Sequence[int], vectors: VectorStore, dim: int) -> tuple[npt.NDArray[np.bool_], Vectors]:
    """Which of these frames have a vector (n,), and the vectors of those (m, dim), in the order of the frames."""
    wanted = np.asarray(frames, dtype=np.int64)
    order = np.argsort(wanted)
    rows, stored = np.empty((len(wanted), dim), dtype=np.float32), np.zeros(len(wanted), dtype=np.bool_)
    for regions, block in vectors.blocks() if len(wanted) else ():
        at = order[np.minimum(np.searchsorted(wanted, regions, sorter=order), len(wanted) - 1)]
        asked = wanted[at] == regions
        rows[at[asked]], stored[at[asked]] = block[asked], True
    return stored, rows if stored.all() else rows[stored]


def nontrivial_groups(numbers: Ids) -> Ids:
    """Group numbers (n,) with -1 for those that are alone."""
    return np.where(np.bincount(numbers, minlength=1)[numbers] > 1, numbers, -1)
