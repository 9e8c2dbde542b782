"""Which photos of a folder an index holds already; they stay outside the index."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from birdsearch import records
from birdsearch.duplicates.candidates import LiveVectors
from birdsearch.duplicates.finder import NEIGHBOURS, DuplicateOptions, counts_of
from birdsearch.duplicates.hashes import NEAREST, orientations, reach
from birdsearch.duplicates.verification import PairVerifier, file_identity, with_scores
from birdsearch.errors import PhotoError
from birdsearch.photos import decode, scan
from birdsearch.records import RELATIONS, DuplicateGroup, DuplicateReport, Ids, Pair, Photo, Progress, Vectors
from birdsearch.storage.store import Store

DECODED = 64  # new photos that go through the network together


@dataclass(frozen=True, slots=True)
class NewPhotos:
    """Photos outside the index, with the ids -1, -2... that a report gives them."""

    photos: tuple[Photo, ...]
    vectors: Vectors  # (n, dim), in their order
    left_out: dict[str, int]  # "failed" and "ignored" -> files

    def of(self, ids: Sequence[int]) -> dict[int, Photo]:
        """Those of the ids that are new."""
        return {photo_id: self.photos[-photo_id - 1] for photo_id in ids if photo_id < 0}

    def vectors_of(self, ids: Sequence[int]) -> Vectors:
        """The vectors of those of the ids that are new, in their order."""
        return self.vectors[[-photo_id - 1 for photo_id in ids if photo_id < 0]]


def compare_folder(
    store: Store, folder: str, options: DuplicateOptions, progress: Progress | None = None
) -> DuplicateReport:
    """Which photos under a folder the index holds already; in the report they have the ids -1, -2..."""
    with store.catalog.snapshot():
        return FolderComparison(store, read_new(store, folder, progress), options, progress).run()


class FolderComparison:
    """One comparison of new photos with those of an index."""

    def __init__(self, store: Store, new: NewPhotos, options: DuplicateOptions, progress: Progress | None) -> None:
        self._store, self._catalog, self._new, self._options = store, store.catalog, new, options
        self._visible = set(self._catalog.photo_ids(options.where))
        self._verifier = PairVerifier(self._photos, progress)

    def run(self) -> DuplicateReport:
        """The pairs, and a group for each new photo that the index holds."""
        started = time.monotonic()
        related: list[Pair] = []
        unknown: list[int] = []
        for photo_id, photo in self._new.of(range(-1, -len(self._new.photos) - 1, -1)).items():
            copies = self._same_bytes(photo)
            files = {copy: file_identity(path) for copy, path in copies.items()}
            others = [copy for copy, file in files.items() if file != file_identity(photo.path)]
            related += [Pair(photo_id, copy, records.IDENTICAL.name, 1.0) for copy in others]
            if not copies:
                unknown.append(photo_id)
        if self._options.compares_pixels:
            related += self._verifier.verify(self._candidates(unknown))
        related = [pair for pair in related if pair.relation in self._options.relations]
        related.sort(key=lambda pair: (pair.a, pair.b))
        scored = with_scores(related, self._photos, self._vectors)
        groups = _groups(scored)
        counts = {
            **counts_of(self._catalog.count(self._options.where), self._verifier, self._options, scored),
            **self._new.left_out,
            "new": len(self._new.photos),
            "known": len(groups),
            "groups": len(groups),
        }
        return DuplicateReport(tuple(scored), groups, counts, time.monotonic() - started, self._new.photos)

    def _photos(self, ids: Sequence[int]) -> dict[int, Photo]:
        return self._catalog.known_photos([photo_id for photo_id in ids if photo_id > 0]) | self._new.of(ids)

    def _vectors(self, ids: Sequence[int]) -> Vectors:
        """The raw vectors (n, dim) of photos whose ids ascend, so that the new ones come first."""
        stored = self._store.vectors.fetch([photo_id for photo_id in ids if photo_id > 0])[0]
        return np.concatenate([self._new.vectors_of(ids), stored]) if ids and ids[0] < 0 else stored

    def _same_bytes(self, photo: Photo) -> dict[int, str]:
        """Paths by id of what the index holds of the same bytes; a photo whose file is gone does not count."""
        paths = self._catalog.paths_with_bytes(photo.sha256 or "")
        return {i: os.fsdecode(path) for i, path in paths.items() if i in self._visible and os.path.exists(path)}

    def _candidates(self, new: list[int]) -> Ids:
        """Pairs (m, 2) of new photos and photos of the index that are worth verifying."""
        live = LiveVectors(self._store, self._options.where)
        if not new or not len(live):
            return np.empty((0, 2), dtype=np.int64)
        numbers = np.array(new, dtype=np.int64)
        near = live.search(self._new.vectors_of(new), min(NEIGHBOURS, len(live)))
        query, place = np.nonzero(near.ids >= 0)
        parts = [np.stack([numbers[query], live.photos_of(near.ids[query, place])], axis=1)]
        ids, stored = self._catalog.hashes(self._options.where)
        own = {n: int(photo.phash, 16) for n, photo in self._new.of(new).items() if photo.phash is not None}
        self._verifier.hashes = {**dict(zip(ids.tolist(), stored.tolist(), strict=True)), **own}
        for number, value in own.items():
            turned = orientations(np.array([value], dtype=np.uint64))
            bits = np.bitwise_count(turned ^ stored).min(axis=0, initial=64)
            close = np.argsort(bits, kind="stable")[:NEAREST]
            close = close[bits[close] <= reach(len(ids))]
            parts.append(np.stack([np.full(len(close), number), ids[close]], axis=1))
        return np.unique(np.concatenate(parts), axis=0)


def _groups(related: Sequence[Pair]) -> tuple[DuplicateGroup, ...]:
    """For each new photo the closest one of the index."""
    closest: dict[int, Pair] = {}
    for pair in sorted(related, key=lambda p: (-RELATIONS[p.relation].strength, -(p.score or 0), p.b)):
        closest.setdefault(pair.a, pair)
    return tuple(
        DuplicateGroup(pair.relation, pair.b, (pair.a,), "in the index", (pair.relation,), ("in the index already",))
        for pair in sorted(closest.values(), key=lambda pair: -pair.a)
    )


def read_new(store: Store, folder: str, progress: Progress | None) -> NewPhotos:
    """The photos under a folder, decoded and embedded."""
    backbone = store.backbone
    photos: list[Photo] = []
    vectors: list[Vectors] = [np.empty((0, backbone.dim), dtype=np.float32)]
    waiting: list[decode.Decoded] = []
    left_out: Counter[str] = Counter()

    def embed() -> None:
        if waiting:
            vectors.append(backbone.embed_pixels(np.stack([decoded.pixels for decoded in waiting])).vectors)
            waiting.clear()

    for file in scan.scan([folder]):
        if isinstance(file, records.Failure):
            left_out["failed"] += 1
            continue
        if isinstance(file, scan.Ignored):
            left_out["ignored"] += file.files
            continue
        try:
            read = scan.read(file)
            waiting.append(decode.decode(read.data, read.photo, backbone.input_size, read.format))
        except scan.NotAPhotoError:
            left_out["ignored"] += 1
        except PhotoError:
            left_out["failed"] += 1
        else:
            photos.append(replace(waiting[-1].photo, id=-len(photos) - 1))
            if progress is not None:
                progress("read", len(photos), None, photos[-1].path)
        if len(waiting) == DECODED:
            embed()
    embed()
    return NewPhotos(tuple(photos), np.concatenate(vectors), dict(left_out))
