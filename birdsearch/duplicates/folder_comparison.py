"""Which files of a folder, such as a memory card, an index and its folders do not hold; the index stays as it is."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np

from birdsearch import records
from birdsearch.duplicates.candidates import LiveVectors
from birdsearch.duplicates.compared import Compared
from birdsearch.duplicates.finder import NEIGHBOURS
from birdsearch.duplicates.hashes import NEAREST, orientations, reach
from birdsearch.duplicates.same_bytes import look_for
from birdsearch.duplicates.verification import PairVerifier, with_scores
from birdsearch.errors import PhotoError, PhotoMissingError
from birdsearch.files import is_there, is_url, lies_in, with_trailing_slash
from birdsearch.photos import decode, pairs, scan
from birdsearch.photos.filetype import RAW_FORMATS, has_raw_name
from birdsearch.photos.sidecars import names_in
from birdsearch.records import (
    RELATIONS,
    Failure,
    FolderReport,
    Ids,
    KnownPhoto,
    OtherFile,
    Pair,
    Photo,
    Progress,
    Vectors,
    shown,
)
from birdsearch.storage.store import Store

DECODED = 64  # photos that go through the network together
_FOLDERS = 64  # whose lists of files are kept in memory


def compare_folder(store: Store, folder: str, progress: Progress | None = None) -> FolderReport:
    """Which photos under a folder the index does not hold, and which it holds and where; other files by their bytes."""
    if is_url(folder):
        raise PhotoMissingError(
            f"{shown(folder)} lies in a store of objects: a folder of this computer, such as a memory card, can be "
            "compared with an index. Index the store instead: the same bytes are found in it as copies."
        )
    started = time.monotonic()
    with closing(Compared()) as compared, store.catalog.snapshot():
        comparison = _Comparison(store, compared, os.path.abspath(folder), progress)
        for file in scan.scan([folder]):
            comparison.take(file)
        report = comparison.report()
    return replace(report, seconds=time.monotonic() - started)


class _Comparison:
    """One comparison of a folder with an index.

    Photos whose bytes the index has are known at once. The others get the ids -1, -2... and go through the network.
    """

    def __init__(self, store: Store, compared: Compared, folder: str, progress: Progress | None) -> None:
        self._store, self._catalog, self._folder, self._progress = store, store.catalog, folder, progress
        self._verifier = PairVerifier(self._photos, compared, progress)
        self._known: list[KnownPhoto] = []
        self._failed: list[Failure] = []
        self._others: list[OtherFile] = []
        self._ignored: Counter[str] = Counter()
        self._undecided: list[Photo] = []
        self._vectors = [np.empty((0, store.identity.backbone.dim), dtype=np.float32)]  # of the undecided, in blocks
        self._waiting: list[decode.Decoded] = []
        self._stems = lru_cache(_FOLDERS)(_stems)  # by folder

    def take(self, file: scan.FoundFile | Failure | scan.Ignored) -> None:
        """Take in one file of the folder."""
        if isinstance(file, Failure):
            self._failed.append(file)
            return
        if isinstance(file, scan.Ignored):
            self._ignored[file.reason] += file.files
            return
        folder, name = os.path.split(os.fsdecode(file.path))
        if has_raw_name(name) and pairs.stem(name) in self._stems(folder):
            self._take_other(file, scan.RAW_LEFT_OUT)  # it goes with that picture
            return
        try:
            read = scan.read(file)
            known = self._same_bytes(read.photo)
            decoded = None if known else decode.decode(read.data, read.photo, self._input_size, read.format)
        except scan.NotAPhotoError as error:
            self._take_other(file, error.reason)
            return
        except PhotoError as error:
            self._failed.append(Failure(os.fsdecode(file.path), "decode", str(error)))
            self._take_other(file, str(error))
            return
        if decoded is not None:
            self._undecided.append(replace(decoded.photo, id=-len(self._undecided) - 1))
            self._waiting.append(decoded)
        elif known is not None:
            self._known.append(known)
        if len(self._waiting) == DECODED:
            self._embed()
        if self._progress is not None:
            self._progress("read", len(self._undecided) + len(self._known), None, read.photo.path)

    def _take_other(self, file: scan.FoundFile, kind: str) -> None:
        self._others.append(OtherFile(os.fsdecode(file.path), kind, file.state.size or 0))

    def report(self) -> FolderReport:
        """What is new and what is known, once every file was taken in."""
        self._embed()
        self._vectors = [np.concatenate(self._vectors)]
        related = self._verifier.verify(self._candidates())
        closest = _closest(with_scores(sorted(related, key=lambda pair: (pair.a, pair.b)), self._photos, self._units))
        indexed = self._catalog.known_photos([pair.b for pair in closest.values()])
        new = []
        for photo in self._undecided:
            pair, own = closest.get(photo.id or 0), replace(photo, id=None)
            # A broken copy is not the photo that somebody wants to keep.
            if pair is None or (indexed[pair.b].damaged and not photo.damaged):
                new.append(own)
            else:
                more = ("more pixels",) if _pixels(own) > 1.02 * _pixels(indexed[pair.b]) else ()
                more += tuple(pair.evidence.get("more_in_a", ()))
                elsewhere = not lies_in(indexed[pair.b].path, self._folder)
                known = KnownPhoto(own, indexed[pair.b], pair.relation, pair.score, more, elsewhere=elsewhere)
                self._known.append(known)
        self._known.sort(key=lambda one: os.fsencode(one.photo.path))
        # A RAW that goes with a photo of the index is none of its photos, and it may lie in its folders otherwise too.
        raws = [OtherFile(photo.path, "camera RAW", photo.size) for photo in new if photo.format in RAW_FORMATS]
        by_bytes = look_for([*self._others, *raws], self._present_roots, self._folder, self._progress)
        others, raws = by_bytes[: len(self._others)], [raw for raw in by_bytes[len(self._others) :] if raw.there]
        there = {raw.path for raw in raws}
        return FolderReport(
            self._folder,
            tuple(photo for photo in new if photo.path not in there),
            tuple(self._known),
            tuple(self._failed),
            dict(self._ignored),
            unreadable=sum(photo_id > 0 for photo_id in self._verifier.unreadable),
            others=(*others, *raws),
        )

    @property
    def _input_size(self) -> tuple[int, int]:
        return self._store.backbone.input_size

    @cached_property
    def _present_roots(self) -> list[bytes]:
        """The indexed folders that are there now and not empty, as that of an unplugged disk is."""
        present = []
        for root in self._catalog.roots().values():
            with suppress(OSError):
                is_present = is_url(root) or os.path.isfile(root) or os.listdir(root)
                present += [with_trailing_slash(root)] if is_present else []
        return present

    def _same_bytes(self, photo: Photo) -> KnownPhoto | None:
        """The photo of the index with the same bytes; one that was deleted does not count."""
        paths = self._catalog.paths_with_bytes(photo.sha256 or "")
        inside = {number for number, path in paths.items() if lies_in(path, self._folder)}
        there = [number for number, path in paths.items() if is_there(path)]
        there.sort(key=inside.__contains__)
        away = [number for number, path in paths.items() if not path.startswith(tuple(self._present_roots))]
        if not there and not away:
            return None
        best = [*there, *away][0]
        indexed = self._catalog.photos([best])[0]
        own = replace(indexed, id=None, path=photo.path, size=photo.size, mtime_ns=photo.mtime_ns)
        identical = records.IDENTICAL.name
        return KnownPhoto(own, indexed, identical, 1.0, reachable=bool(there), elsewhere=best not in inside)

    def _embed(self) -> None:
        if self._waiting:
            pixels = np.stack([decoded.pixels for decoded in self._waiting])
            self._vectors.append(self._store.backbone.embed_pixels(pixels).vectors)
            self._waiting.clear()

    def _photos(self, ids: Sequence[int]) -> dict[int, Photo]:
        own = {number: self._undecided[-number - 1] for number in ids if number < 0}
        return self._catalog.known_photos([number for number in ids if number > 0]) | own

    def _units(self, ids: Sequence[int]) -> Vectors:
        """The raw vectors (n, dim) of photos whose ids ascend, so that those of the folder come first."""
        own = self._vectors[0][[-number - 1 for number in ids if number < 0]]
        return np.concatenate([own, self._store.vectors.fetch([number for number in ids if number > 0])[0]])

    def _candidates(self) -> Ids:
        """Pairs (m, 2) of undecided photos and photos of the index that are worth verifying."""
        live = LiveVectors(self._store, None) if self._undecided else ()
        if not live:
            return np.empty((0, 2), dtype=np.int64)
        numbers = -1 - np.arange(len(self._undecided))
        near = live.search(self._vectors[0], min(NEIGHBOURS, len(live)))
        query, place = np.nonzero(near.ids >= 0)
        parts = [np.stack([numbers[query], live.photos_of(near.ids[query, place])], axis=1)]
        ids, stored = self._catalog.hashes(None)
        own = {photo.id or 0: int(photo.phash, 16) for photo in self._undecided if photo.phash is not None}
        self._verifier.hashes = {**dict(zip(ids.tolist(), stored.tolist(), strict=True)), **own}
        for number, value in own.items():
            turned = orientations(np.array([value], dtype=np.uint64))
            bits = np.bitwise_count(turned ^ stored).min(axis=0, initial=64)
            close = np.argsort(bits, kind="stable")[:NEAREST]
            close = close[bits[close] <= reach(len(ids))]
            parts.append(np.stack([np.full(len(close), number), ids[close]], axis=1))
        return np.unique(np.concatenate(parts), axis=0)


def _closest(related: Sequence[Pair]) -> dict[int, Pair]:
    """For each photo of the folder the pair with the closest photo of the index."""
    closest: dict[int, Pair] = {}
    for pair in sorted(related, key=lambda p: (-RELATIONS[p.relation].strength, -(p.score or 0), p.b)):
        closest.setdefault(pair.a, pair)
    return closest


def _stems(folder: str) -> set[str]:
    """What the pictures of a folder that may have a RAW are called, as pairs are."""
    return pairs.front_stems(names_in(folder))


def _pixels(photo: Photo) -> int:
    return (photo.width or 0) * (photo.height or 0)
