"""The photos that leave an index, as an exporter reads them: an iterator of photos that can tell more on request."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from birdsearch.attended import attended
from birdsearch.records import BackboneIdentity, Filter, Label, Photo, Progress, Provenance, Region, blocks

# The command line reads here what a table has: without numpy.
if TYPE_CHECKING:
    from birdsearch.records import Vectors
    from birdsearch.search.exact import Neighbours
    from birdsearch.storage.store import Store

BATCH = 4096  # photos in memory at a time
MAPPED_BATCH = 1024  # the same on a map, where each may bring a thumbnail of some 10 kB


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a format that has none."""


@dataclass(frozen=True, slots=True)
class EmbeddedRegion:
    """A region that is not a frame, with its vector where it has one."""

    region: Region
    vector: "Vectors | None" = None  # (dim,), of length 1
    norm: float | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive photos of an export, with their vectors."""

    photos: list[Photo]
    labels: list[Label | None]  # None where a photo has none
    vectors: "Vectors"  # (n, dim), rows of length 1
    norms: "Vectors"  # (n,), lengths before normalisation
    regions: list[list[EmbeddedRegion]]  # of each photo, but the frame
    found_by: list[str | None]  # which finder has searched each photo for birds


@dataclass(frozen=True, slots=True)
class DescribedBatch:
    """Consecutive photos of an export, without vectors."""

    photos: list[Photo]
    labels: list[Label | None]  # None where a photo has none
    boxes: list[list[Region]]  # of each photo, but the frame


@dataclass(frozen=True, slots=True)
class MappedBatch:
    """Consecutive photos of an export, with their places on a map of all of them."""

    photos: list[Photo]
    coordinates: "Vectors"  # (n, 2)
    neighbours: "Neighbours"  # (n, k); ids are rows of the whole export, from 0 on


class Selection(Iterator[Photo]):
    """The photos of one export, by id, as one commit left them.

    Iterate over it, or over `batches` or `mapped`, once: only what a format asks for is read.

        for photo in selection:
            file.write(f"{photo.path}\\n".encode())
    """

    def __init__(self, store: "Store", where: Filter | None = None, progress: Progress | None = None) -> None:
        self._store = store
        self._where = where
        self._progress = progress
        self._told = 0  # photos that are exported
        self._photos = (photo for ids in self._blocks(self.ids, BATCH) for photo in store.catalog.photos(ids))

    def __next__(self) -> Photo:
        return next(self._photos)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def ids(self) -> list[int]:
        """The ids of the photos, ascending."""
        return self._store.catalog.photo_ids(self._where)

    @property
    def backbone(self) -> BackboneIdentity:
        """What made the vectors."""
        return self._store.identity.backbone

    @cached_property
    def provenance(self) -> Provenance:
        """The id of the index, its root folders and the corrections of names."""
        return self._store.provenance

    @property
    def said(self) -> dict[str, Any]:
        """What people said besides the labels of photos: ways of labelling folders, names, pairs of other pictures."""
        catalog = self._store.catalog
        choices = {os.fsdecode(folder): choice for folder, choice in catalog.label_choices().items()}
        pairs = catalog.not_duplicates_by_bytes()
        return {"labels": choices, "names": dict(self.provenance.names), "not_duplicates": pairs}

    def batches(self) -> Iterator[Batch]:
        """The photos with vectors and labels."""
        catalog = self._store.catalog
        for ids in self._blocks(self.ids, BATCH):
            labels = catalog.labels_of(ids)
            frames, found_by = self._store.vectors.fetch(ids), catalog.found_by(ids)
            regions = self._regions(ids)
            yield Batch(catalog.photos(ids), [labels.get(i) for i in ids], *frames, regions, [found_by[i] for i in ids])

    def described(self) -> Iterator[DescribedBatch]:
        """The photos with labels and boxes."""
        catalog = self._store.catalog
        for ids in self._blocks(self.ids, BATCH):
            labels, boxes = catalog.labels_of(ids), catalog.boxes(ids)
            regions = [[one.region for one in boxes.get(i, ())] for i in ids]
            yield DescribedBatch(catalog.photos(ids), [labels.get(i) for i in ids], regions)

    def looked_through(self) -> Iterator[Photo]:
        """The photos before they are exported, for what must be known of all of them first."""
        for block in blocks(len(self.ids), BATCH):
            self.tell_again()
            yield from self._store.catalog.photos(self.ids[block])

    def left_out_by_filter(self, choose: Callable[[Iterable[str]], list[str]]) -> Iterator[Photo]:
        """The photos of the index that the filter leaves out, and whose species is among those that are chosen."""
        catalog = self._store.catalog
        if self._where is None or not (names := choose(catalog.species_names())):
            return
        ours = set(self.ids)
        others = [photo_id for photo_id in catalog.photo_ids(Filter(species=tuple(names))) if photo_id not in ours]
        for block in blocks(len(others), BATCH):
            yield from catalog.photos(others[block])

    def _regions(self, ids: list[int]) -> list[list[EmbeddedRegion]]:
        boxes = self._store.catalog.boxes(ids)
        embedded = [one.id for have in boxes.values() for one in have if one.region.embedded]
        found = dict(zip(embedded, zip(*self._store.vectors.fetch_regions(embedded), strict=True), strict=True))
        return [[EmbeddedRegion(one.region, *found.get(one.id, ())) for one in boxes.get(i, ())] for i in ids]

    def mapped(self, neighbours: int) -> Iterator[MappedBatch]:
        """The photos on a map, each with the `neighbours` photos most like it, in the space of the analyses."""
        from birdsearch.search.exact import Neighbours
        from birdsearch.species import gallery, map  # scipy and more, which no table needs

        mapped = gallery.Gallery.load(self._store, self._where)
        coordinates, near = attended(
            "map", lambda _: (map.coordinates(mapped.vectors), mapped.others(neighbours)), self._progress
        )
        start = 0
        for ids in self._blocks(mapped.ids.tolist(), MAPPED_BATCH):
            rows = slice(start, start := start + len(ids))
            yield MappedBatch(
                self._store.catalog.photos(ids), coordinates[rows], Neighbours(near.ids[rows], near.scores[rows])
            )

    def tell_again(self) -> None:
        """Say to the caller what was said last; for exporters whose batches take long, each time they did a bit."""
        if self._progress is not None:
            self._progress("export", self._told, len(self.ids), "")

    def _blocks(self, ids: list[int], size: int) -> Iterator[list[int]]:
        """Blocks of `size` ids; reports progress after each."""
        for start in range(0, len(ids), size):
            yield ids[start : start + size]
            self._told = min(start + size, len(ids))
            self.tell_again()
