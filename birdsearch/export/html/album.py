"""Which photos a page shows: those that its galleries name, and as many others as its map can bear."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from birdsearch.records import (
    AuditReport,
    ClusterReport,
    DuplicateReport,
    Filter,
    LifeList,
    Photo,
    SpeciesReport,
    TaxonMatch,
    Vectors,
)
from birdsearch.species.names import one_spelling

MAPPED = 3_000  # photos on one map; more hide each other (a guess)


class Source(Protocol):
    """What a page needs of an index."""

    def photos(self, where: Filter | None = None, *, ids: Iterable[int] | None = None) -> list[Photo]:
        """The photos that satisfy the filter, or those with these ids."""

    def names(self, where: Filter | None = None) -> list[TaxonMatch]:
        """What each label of these photos means."""

    def map(self, ids: Sequence[int], where: Filter | None = None) -> Vectors:
        """Coordinates (n, 2) of these photos on a map of those that satisfy the filter."""


@dataclass(frozen=True, slots=True)
class Album:
    """The photos that a page may show, and where those on its map lie."""

    photos: Mapping[int, Photo]
    ids: Sequence[int] = ()  # of the photos on the map
    coordinates: Vectors | None = None  # (len(ids), 2)


def of_clusters(index: Source, report: ClusterReport, where: Filter | None = None) -> Album:
    """The photos for a page of clusters; on its map are those that were clustered, medoids and outliers first."""
    clustered = {number for cluster in report.clusters for number in cluster.photos}
    first = [*(number for cluster in report.clusters for number in cluster.medoids), *report.outliers]
    return _album(index, where, lambda photo: photo.id in clustered, first)


def of_species(index: Source, report: SpeciesReport, where: Filter | None = None) -> Album:
    """The photos for a page of species; on its map are those of a known species, medoids and examples first."""
    first = [number for entry in report.species for number in (*entry.medoids, *entry.boundary)]
    first += [number for confusion in report.confusions for pair in confusion.examples for number in pair]
    return _album(index, where, lambda photo: photo.species is not None, first)


def of_audit(index: Source, report: AuditReport, where: Filter | None = None) -> Album:
    """The photos for a page of doubtful labels; on its map are the labelled ones, suspects and evidence first."""
    first = [number for suspect in report.suspects for number in (suspect.photo.id or 0, *suspect.evidence)]
    return _album(index, where, lambda photo: photo.label is not None, first)


def of_life_list(index: Source, report: LifeList) -> dict[int, Photo]:
    """Every photo that a page of a life list shows, by its id."""
    ids = {number for entry in report.entries for number in (entry.best, *entry.examples)}
    return {photo.id: photo for photo in index.photos(ids=sorted(ids)) if photo.id is not None}


def of_duplicates(index: Source, report: DuplicateReport) -> dict[int, Photo]:
    """Every photo of the groups by its id."""
    ids = {number for group in report.groups for number in (group.keep, *group.others)}
    return {photo.id: photo for photo in index.photos(ids=sorted(ids)) if photo.id is not None}


def _album(index: Source, where: Filter | None, on_map: Callable[[Photo], bool], first: Sequence[int]) -> Album:
    # As the reports name them: with one name for each species.
    corrections = {one.label: one.scientific or "" for one in index.names(where) if one.method == "override"}
    named = one_spelling(index.photos(where), corrections)
    photos = {photo.id: photo for photo in named if photo.id is not None}
    ids = for_map([photo for photo in photos.values() if on_map(photo)], first)
    return Album(photos, ids, index.map(ids, where) if ids else None)


def for_map(photos: Sequence[Photo], first: Iterable[int] = (), most: int = MAPPED) -> list[int]:
    """The ids of at most `most` photos for a map: those in `first`, and an even choice of the others; ascending."""
    known = [photo.id for photo in photos if photo.id is not None]
    if len(known) <= most:
        return sorted(known)
    held = set(known)
    chosen = [number for number in dict.fromkeys(first) if number in held][:most]
    rest = np.array(sorted(held - set(chosen)), dtype=np.int64)
    even = rest[np.linspace(0, len(rest) - 1, most - len(chosen)).astype(np.int64)] if most > len(chosen) else rest[:0]
    return sorted({*chosen, *(int(number) for number in even)})
