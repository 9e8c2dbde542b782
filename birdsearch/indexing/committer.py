"""Committer: embedded photos and changes in, one Parquet part and one transaction out, in a thread of its own."""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from birdsearch.files import FileState
from birdsearch.indexing.embedder import EmbeddedPart, EmbeddedPhoto
from birdsearch.indexing.labels import Labeller
from birdsearch.records import Photo
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import Batch, Entry
from birdsearch.storage.catalog.region_rows import RegionEntry
from birdsearch.storage.place import Place

COMMIT_PHOTOS = 1024  # a commit holds at most so many photos...
COMMIT_SECONDS = 20.0  # ...and is made at least so often: what a kill can cost


def is_due(photos: int, last: float) -> bool:
    """Whether it is time to commit, with so many photos on their way and the last commit at this monotonic time."""
    return photos >= COMMIT_PHOTOS or time.monotonic() - last > COMMIT_SECONDS


def part_of(region_ids: Sequence[int], embedded: Sequence[EmbeddedPhoto | EmbeddedPart]) -> parts.Part:
    """The vectors of these regions, one or more."""
    return parts.Part(
        np.array(region_ids, dtype=np.int64),
        np.stack([each.vector for each in embedded]),
        np.array([each.norm for each in embedded], dtype=np.float32),
    )


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit brings in: each photo once."""

    added: int
    changed: int
    damaged: tuple[Photo, ...]
    searched: int = 0  # photos that a finder has searched for small birds
    found: int = 0  # small birds in them


class Committer:
    """Collects what one commit brings and writes it; at most one commit is under way. The caller holds the lock."""

    def __init__(self, catalog: Catalog, vectors: Place, labeller: Labeller) -> None:
        self.batch = Batch()  # what needs no vector
        self.photos: list[EmbeddedPhoto] = []
        self.states: dict[str, FileState] = {}  # path -> state of its file when it was read
        self.provenance = "copy"  # what made the vectors of this run
        self._catalog = catalog
        self._vectors = vectors
        self._labels = labeller
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="birdsearch-write")
        self._commit: Future[None] | None = None
        self._ended = False  # whether a commit was made since `has_committed` was asked
        self._last_commit = time.monotonic()

    @property
    def first_part(self) -> bool:
        """Whether the index has no part yet."""
        return not self._catalog.parts()

    def is_due(self, photos: int) -> bool:
        """Whether it is time to commit, with so many photos on their way."""
        return is_due(photos, self._last_commit)

    def commit(self) -> Committed:
        """Hand all that was collected to the writing thread; returns what it is."""
        self.wait()
        batch, photos = self.batch, self.photos
        self.batch, self.photos = Batch(), []
        self._last_commit = time.monotonic()
        part = self._part(batch, photos) if photos else None
        if part is not None or batch != Batch():
            self._commit = self._thread.submit(self._write, batch, part)
        known = [entry.known for entry in batch.entries if not entry.photo.damaged]
        damaged = tuple(entry.photo for entry in batch.entries if entry.photo.damaged)
        return Committed(known.count(False), known.count(True), damaged, len(batch.found_by), len(batch.regions))

    def wait(self) -> None:
        """Until the commit under way is done; raises what went wrong in it."""
        if self._commit is not None:
            commit, self._commit = self._commit, None
            commit.result()
            self._ended = True

    def has_committed(self) -> bool:
        """Whether a commit was made since this was asked last."""
        if self._commit is not None and self._commit.done():
            self.wait()
        ended, self._ended = self._ended, False
        return ended

    def close(self) -> None:
        """Wait for the writing thread to end."""
        self._thread.shutdown(wait=True)

    def stored(self, sha256s: Sequence[str]) -> dict[str, EmbeddedPhoto]:
        """Content -> a committed photo that has it, with its vector; contents without one are left out."""
        copies = [copy for sha256 in sha256s if (copy := self._catalog.embedded_copy(sha256)) is not None]
        copies.sort(key=lambda copy: copy.location)  # so that each part is read once
        row = parts.PartReader(self._vectors, self._catalog.parts()).row
        return {copy.photo.sha256 or "": EmbeddedPhoto(copy.photo, *row(copy.location)) for copy in copies}

    def _part(self, batch: Batch, photos: Sequence[EmbeddedPhoto]) -> parts.Part:
        """Give ids to the photos of a batch and what was found in them, and lay their vectors into a part."""
        new, regions = sum(one.photo.id is None for one in photos), sum(1 + len(one.parts) for one in photos)
        photo_ids, region_ids = map(itertools.count, self._catalog.new_ids(new, regions))
        batch.entries += [self._entry(embedded, photo_ids, region_ids) for embedded in photos]
        found: list[EmbeddedPart] = []
        for entry, embedded in zip(batch.entries, photos, strict=True):
            if embedded.found_by is not None:
                batch.found_by[entry.photo.id or 0] = embedded.found_by
            for part in embedded.parts:
                region = replace(part.region, photo_id=entry.photo.id)
                batch.regions.append(RegionEntry(next(region_ids), region, len(photos) + len(found)))
                found.append(part)
        ids = [entry.region_id for entry in batch.entries] + [region.id for region in batch.regions]
        return part_of(ids, [*photos, *found])

    def _entry(self, embedded: EmbeddedPhoto, photo_ids: Iterator[int], region_ids: Iterator[int]) -> Entry:
        photo, known = embedded.photo, embedded.photo.id is not None
        photo_id = photo.id if known else next(photo_ids)
        photo = replace(photo, id=photo_id, label=None, species=None, species_source=None)
        label = self._labels.of(os.fsencode(photo.path), photo.sha256, photo.keywords)
        state = self.states.pop(photo.path, FileState())
        return Entry(photo, known, next(region_ids), label, embedded.correction, state)

    def _write(self, batch: Batch, part: parts.Part | None) -> None:
        """Runs in the writing thread: first the part, then the commit that makes it count."""
        lay_down = None if part is None else partial(parts.listed, self._vectors, part=part, runtime=self.provenance)
        self._catalog.commit(batch, lay_down)
