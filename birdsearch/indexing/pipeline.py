"""Files in, committed photos out: scan, read and decode, embed, write; overlapped, bounded, and counted."""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from birdsearch.errors import BackboneError, PhotoError
from birdsearch.files import Under
from birdsearch.indexing.labels import Labeller
from birdsearch.photos import decode, scan
from birdsearch.records import AddReport, Embedded, Failure, Photo, Prediction, Progress, Vectors
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog, KnownFile, fingerprint
from birdsearch.storage.catalog.commits import Batch, Entry, PartRow
from birdsearch.storage.parts import PartReader
from birdsearch.storage.store import Store

if TYPE_CHECKING:
    from birdsearch.backbones import Backbone

NETWORK_BATCH = 128  # photos that the network sees at a time, at most; fewer where it is slow...
NETWORK_SECONDS = 3.0  # ...so that progress moves and Ctrl-C is heard; at the end of each batch some cores wait
AHEAD = 2 * NETWORK_BATCH  # photos decoded in advance: what bounds the memory
COMMIT_PHOTOS = 1024  # a commit holds at most so many photos...
PREDICTIONS = 5  # stored with every photo
COMMIT_SECONDS = 20.0  # ...and is made at least so often: what a kill can cost

Seen = scan.FoundFile | scan.Ignored | Failure
logger = logging.getLogger("birdsearch")
T = TypeVar("T")
R = TypeVar("R")


def overlapped(items: Iterable[T], work: Callable[[T], R], *, workers: int, ahead: int) -> Iterator[R]:
    """Do the work in threads, at most `ahead` results in advance, and give the results in the order of the items."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="birdsearch-decode")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Twin:
    """A file whose bytes are known already: it is neither decoded nor embedded."""

    photo: Photo  # path, size, mtime_ns, sha256


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is no photo (`stage` "ignored"), cannot be read ("read") or is broken ("decode")."""

    found: scan.FoundFile
    stage: str
    reason: str

    @property
    def photo(self) -> Photo:
        """The file as far as it is known."""
        return Photo(None, os.fsdecode(self.found.path), size=self.found.size, mtime_ns=self.found.mtime_ns)


@dataclass(slots=True)
class _Pending:
    """A photo with its vector, waiting for the next commit."""

    photo: Photo
    vector: Vectors  # (dim,)
    norm: float


@dataclass(slots=True)
class _Copies:
    """The photos of the same bytes that an index holds."""

    ids: set[int]
    gone: deque[tuple[int, bytes]]  # id and path of those whose file is not there any more


@dataclass(slots=True)
class Counts:
    """The counts of an AddReport while they grow."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)

    def report(self, seconds: float) -> AddReport:
        """The finished record."""
        plain = {name: getattr(self, name) for name in ("added", "changed", "unchanged", "moved", "missing")}
        failed = tuple(sorted(self.failed, key=lambda failure: failure.path))
        return AddReport(**plain, ignored=dict(sorted(self.ignored.items())), failed=failed, seconds=seconds)


def add(
    store: Store,
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    labels: str | None = None,
    prune: bool = False,
    progress: Progress | None = None,
) -> AddReport:
    """Index every photo under one or more folders; see `Index.add`."""
    started = time.monotonic()
    given = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    paths = [os.path.abspath(os.fsencode(folder)) for folder in given]
    seen = scan.scan(paths)  # raises here for a folder that does not exist
    with store.writing() as catalog:
        labeller = Labeller(catalog)
        labeller.choose(paths, labels)
        run = AddRun(
            catalog,
            store.folder.vectors,
            lambda: store.backbone,
            lambda probabilities: store.classes.top(probabilities, PREDICTIONS),
            labeller,
            progress,
        )
        report = run.run(paths, seen, prune=prune)
    if (unmatched := labeller.unmatched(paths) if labels is not None else 0) > 0:
        logger.warning("lines of the CSV that name no photo under these folders: %d", unmatched)
    return replace(report, seconds=time.monotonic() - started)


class AddRun:
    """One run of `add` over some folders. The caller holds the lock of the index."""

    def __init__(
        self,
        catalog: Catalog,
        vectors_folder: Path,
        backbone: "Callable[[], Backbone]",  # called when the first photo needs the network
        predict: Callable[[Vectors], list[tuple[Prediction, ...]]],
        labeller: Labeller,
        progress: Progress | None,
    ) -> None:
        self._catalog = catalog
        self._vectors_folder = vectors_folder
        self._backbone = backbone
        self._predict = predict
        self._progress = progress
        self._labels = labeller
        self._counts = Counts()
        self._known: dict[bytes, KnownFile] = {}
        self._seen: set[int] = set()  # ids of photos whose file was found
        self._met: set[bytes] = set()  # paths that failed before and were found again
        self._fingerprints: set[int] = set()  # of all bytes that are known
        self._waiting: list[decode.Decoded] = []  # decoded, not embedded yet
        self._pending: list[_Pending] = []  # embedded, not committed yet
        self._twins: list[Photo] = []
        self._batch = Batch()  # what needs no vector
        self._moved: set[int] = set()
        self._copies: dict[str, _Copies] = {}  # sha256 -> what the index held of these bytes when first asked
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="birdsearch-write")
        self._commit: Future[None] | None = None
        self._last_commit = time.monotonic()
        self._embedded_any = False
        self._network_batch = min(16, NETWORK_BATCH)  # photos; adapts to the network
        self._made_by = "copy"  # what made the vectors of this run

    def run(self, folders: Sequence[bytes], seen: Iterable[Seen], *, prune: bool) -> AddReport:
        """Index every file that a scan of the folders has seen; returns what became of each."""
        started = time.monotonic()
        for folder in folders:
            self._catalog.settle_root(folder if os.path.isdir(folder) else os.path.dirname(folder))
        self._next_photo, self._next_region = self._catalog.next_ids()
        self._next_part = self._catalog.next_part()
        self._embedded_any = self._next_part > 1  # the backbone has worked for this index before
        self._known = self._catalog.known_files(folders)
        try:
            to_read, unreached = self._judge(seen)
            if to_read:
                self._fingerprints = self._catalog.fingerprints()
                self._read_all(to_read)
            self._flush()
            self._judge_missing(unreached, prune)
            self._flush()
            self._wait()
            self._batch.labels = self._labels.refresh(list(folders))
            self._flush()
            self._wait()
        except (KeyboardInterrupt, SystemExit):
            self._keep_what_is_embedded()
            raise
        finally:
            self._writer.shutdown(wait=True)
        return self._counts.report(time.monotonic() - started)

    def _keep_what_is_embedded(self) -> None:
        """An orderly stop commits what the network has seen already."""
        self._waiting.clear()
        self._twins.clear()
        self._flush()
        self._wait()

    # Scan

    def _judge(self, found: Iterable[Seen]) -> tuple[list[scan.FoundFile], list[bytes]]:
        """Judge by size and time alone; returns the files to be read and the folders that could not be."""
        to_read: list[scan.FoundFile] = []
        unreached: list[bytes] = []
        for number, seen in enumerate(found):
            if self._progress and number % 1000 == 0:
                self._progress("scan", number, None, "")
            if isinstance(seen, scan.FoundFile):
                if not self._is_unchanged(seen):
                    to_read.append(seen)
            elif isinstance(seen, Failure):
                self._refuse(os.fsencode(seen.path), (None, None), seen)
                unreached.append(os.fsencode(seen.path))
            else:
                self._ignore(os.fsencode(seen.path), seen.reason)
        return to_read, unreached

    def _is_unchanged(self, found: scan.FoundFile) -> bool:
        known = self._known.get(found.path)
        if known is None or (known.size, known.mtime_ns) != (found.size, found.mtime_ns):
            return False
        if known.photo_id is not None:
            self._seen.add(known.photo_id)
        if known.failure is not None:
            self._met.add(found.path)
            self._counts.failed.append(known.failure)
        else:
            self._counts.unchanged += 1
            if known.missing:
                self._batch.updates.append({"_id": known.photo_id, "missing": False})
        return True

    # Read, decode, embed

    def _read_all(self, to_read: list[scan.FoundFile]) -> None:
        workers = max(2, os.cpu_count() or 2)
        for number, outcome in enumerate(overlapped(to_read, self._prepare, workers=workers, ahead=AHEAD), start=1):
            self._take(outcome)
            if self._progress:
                self._progress("index", number, len(to_read), outcome.photo.path)
            full = len(self._pending) + len(self._waiting) + len(self._twins) >= COMMIT_PHOTOS
            if full or time.monotonic() - self._last_commit > COMMIT_SECONDS:
                self._flush()

    def _prepare(self, found: scan.FoundFile) -> "decode.Decoded | Twin | Refused":
        """Runs in a thread: the file's bytes, and its pixels where the bytes are new."""
        try:
            file = scan.read(found)
        except scan.NotAPhotoError as error:
            return Refused(found, "ignored", error.reason)
        except PhotoError as error:
            return Refused(found, "read", str(error))
        assert file.photo.sha256 is not None  # read has just computed it
        if fingerprint(file.photo.sha256) in self._fingerprints:
            return Twin(file.photo)
        try:
            return decode.decode(file.data, file.photo, self._backbone().input_size)
        except scan.NotAPhotoError as error:
            return Refused(found, "ignored", error.reason)
        except PhotoError as error:
            return Refused(found, "decode", str(error))

    def _take(self, outcome: "decode.Decoded | Twin | Refused") -> None:
        path = os.fsencode(outcome.photo.path)
        if isinstance(outcome, Refused):
            if outcome.stage == "ignored":
                self._ignore(path, outcome.reason)
                return
            # What could not be read today (permission, a disk that is away) is tried again tomorrow.
            state = (outcome.found.size, outcome.found.mtime_ns) if outcome.stage == "decode" else (None, None)
            self._refuse(path, state, Failure(outcome.photo.path, outcome.stage, outcome.reason))
            return
        known = self._known.get(path)
        if known is not None and known.photo_id is not None:
            self._seen.add(known.photo_id)
        if known is not None and known.failure is not None:
            self._batch.recovered.append(outcome.photo.path)
        assert outcome.photo.sha256 is not None  # read and decode fill it
        mark = fingerprint(outcome.photo.sha256)
        if isinstance(outcome, Twin) or mark in self._fingerprints:
            self._take_twin(outcome.photo, known)
            return
        self._fingerprints.add(mark)
        self._waiting.append(outcome)
        if len(self._waiting) >= self._network_batch:
            self._embed_waiting()

    def _take_twin(self, photo: Photo, known: KnownFile | None) -> None:
        """Bytes that are known: the same file touched, a file that moved, or a second copy."""
        assert photo.sha256 is not None  # set by read
        copies = self._copies.get(photo.sha256)
        if copies is None:
            same = self._catalog.paths_with_bytes(photo.sha256)
            gone = deque((photo_id, path) for photo_id, path in same.items() if not os.path.lexists(path))
            copies = self._copies[photo.sha256] = _Copies(set(same), gone)
        here = known.photo_id if known is not None else None
        state = {"size": photo.size, "mtime_ns": photo.mtime_ns, "missing": False}
        if here in copies.ids:
            self._batch.updates.append({"_id": here, **state})
            self._counts.unchanged += 1
        elif here is None and copies.gone:
            self._move(*copies.gone.popleft(), os.fsencode(photo.path), state)
        else:
            self._twins.append(photo)

    def _move(self, photo_id: int, old: bytes, new: bytes, state: dict[str, int | bool]) -> None:
        self._moved.add(photo_id)
        self._wait()  # labels are written at once, and a catalog takes one writer at a time
        self._labels.follow(old, new)
        root_id, relative = self._catalog.split(new)
        self._batch.updates.append({"_id": photo_id, "root_id": root_id, "relative": relative, **state})
        if (label := self._labels.of(new)) is not None:
            self._batch.labels[photo_id] = label
        self._counts.moved += 1

    def _embed_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for decoded, embedded in self._embedded(waiting):
            photo = decoded.photo
            if embedded.probabilities is not None:
                photo = replace(photo, predictions=self._predict(embedded.probabilities)[0])
            self._pending.append(_Pending(photo, embedded.vectors[0], float(embedded.norms[0])))

    def _embedded(self, batch: list[decode.Decoded]) -> Iterator[tuple[decode.Decoded, Embedded]]:
        """Each photo with its own row; one that the network cannot take becomes a failure of its own."""
        if not batch:
            return
        backbone, began = self._backbone(), time.monotonic()
        try:
            whole = backbone.embed_pixels(np.stack([decoded.pixels for decoded in batch]))
        except BackboneError as error:
            yield from self._embedded_singly(batch, error)
            return
        self._embedded_any, self._made_by = True, backbone.made_by
        if len(batch) >= self._network_batch:
            wanted = int(NETWORK_SECONDS * len(batch) / (time.monotonic() - began + 1e-6))
            wanted = min(wanted, 2 * self._network_batch) // 4 * 4  # what streams of a processor can share evenly
            self._network_batch = min(NETWORK_BATCH, max(4, wanted))
        for row, decoded in enumerate(batch):
            probabilities = None if whole.probabilities is None else whole.probabilities[row : row + 1]
            yield decoded, Embedded(whole.vectors[row : row + 1], whole.norms[row : row + 1], probabilities)

    def _embedded_singly(
        self, batch: list[decode.Decoded], error: BackboneError
    ) -> Iterator[tuple[decode.Decoded, Embedded]]:
        refused: list[tuple[Photo, str]] = []
        for decoded in batch:
            try:
                single = self._backbone().embed_pixels(decoded.pixels[None])
            except BackboneError as why:
                refused.append((decoded.photo, str(why)))
            else:
                self._embedded_any, self._made_by = True, self._backbone().made_by
                yield decoded, single
        if not self._embedded_any:
            raise error  # it took none of the very first photos: the backbone is broken, not the photos
        for photo, reason in refused:
            state = (photo.size, photo.mtime_ns)
            self._refuse(os.fsencode(photo.path), state, Failure(photo.path, "embed", reason))

    # Refusals

    def _ignore(self, path: bytes, reason: str) -> None:
        self._counts.ignored[reason] += 1
        known = self._known.get(path)
        if known is not None and known.failure is not None:
            self._batch.recovered.append(os.fsdecode(path))

    def _refuse(self, path: bytes, state: tuple[int | None, int | None], failure: Failure) -> None:
        self._counts.failed.append(failure)
        self._met.add(path)
        known = self._known.get(path)
        if known is not None and known.photo_id is not None:
            # The photo that was here is no longer what the file shows: hidden, and counted as this failure.
            self._seen.add(known.photo_id)
            self._batch.updates.append({"_id": known.photo_id, "missing": True})
        # Last: once the failure is committed nothing looks at the file again, so Ctrl-C must not come in between.
        self._batch.failed.append((state, failure))

    def _judge_missing(self, unreached: list[bytes], prune: bool) -> None:
        """Photos and failures under the named folders whose file is not there any more."""
        untold = Under(unreached)  # nothing is known of what lies below a folder that cannot be listed
        gone = [(path, known) for path, known in self._known.items() if path not in untold]
        self._batch.recovered += [os.fsdecode(path) for path, known in gone if known.failure and path not in self._met]
        found = self._seen | self._moved
        missing = [k.photo_id for _, k in gone if k.photo_id is not None and k.photo_id not in found]
        self._counts.missing = len(missing)
        if prune:
            self._wait()
            self._catalog.remove(missing)
        else:
            self._batch.updates += [{"_id": photo_id, "missing": True} for photo_id in missing]

    # Write

    def _flush(self) -> None:
        """Hand everything that is embedded to the thread that commits; at most one commit is under way."""
        self._embed_waiting()
        self._wait()
        twins = self._resolved_twins()
        self._embed_waiting()
        pending = self._pending + twins
        batch, self._batch, self._pending = self._batch, Batch(), []
        self._last_commit = time.monotonic()
        part = self._filled(batch, pending) if pending else None
        if part is not None or batch != Batch():
            self._commit = self._writer.submit(self._write, batch, part)

    def _resolved_twins(self) -> list[_Pending]:
        """Give every twin the vector of a photo with the same bytes, in this batch or in the catalog."""
        here = {pending.photo.sha256: pending for pending in self._pending}
        stored = PartReader(self._vectors_folder)
        resolved = []
        twins, self._twins = self._twins, []
        asked = {photo.sha256 for photo in twins if photo.sha256} - set(here)
        held = [copy for sha256 in asked if (copy := self._catalog.stored_copy(sha256)) is not None]
        for copy in sorted(held, key=lambda copy: (copy.part_id, copy.row)):  # so that each part is read once
            here[copy.photo.sha256] = _Pending(copy.photo, *stored.row(copy.part_id, copy.row))
        for photo in twins:
            assert photo.sha256 is not None  # set by read
            if (twin := here.get(photo.sha256)) is None:
                # Its twin could not be embedded, or has shown something else since an earlier commit of this run.
                self._fingerprints.discard(fingerprint(photo.sha256))
                self._take(self._prepare(scan.FoundFile(os.fsencode(photo.path), photo.size, photo.mtime_ns)))
                continue
            own = replace(twin.photo, id=None, path=photo.path, size=photo.size, mtime_ns=photo.mtime_ns)
            resolved.append(_Pending(own, twin.vector, twin.norm))
        return resolved

    def _filled(self, batch: Batch, pending: list[_Pending]) -> parts.Part:
        """Give ids to the photos of a batch and lay their vectors into a part."""
        for item in pending:
            path = os.fsencode(item.photo.path)
            known = self._known.get(path)
            photo_id = known.photo_id if known is not None else None
            if photo_id is None:
                photo_id, self._next_photo = self._next_photo, self._next_photo + 1
                self._counts.added += 1
            else:
                self._counts.changed += 1
            entry = Entry(
                photo=replace(item.photo, id=photo_id, label=None, species=None, species_source=None),
                known=known is not None and known.photo_id is not None,
                region_id=self._next_region,
                label=self._labels.of(path),
            )
            self._next_region += 1
            batch.entries.append(entry)
        return parts.Part(
            np.array([entry.region_id for entry in batch.entries], dtype=np.int64),
            np.stack([item.vector for item in pending]),
            np.array([item.norm for item in pending], dtype=np.float32),
        )

    def _write(self, batch: Batch, part: parts.Part | None) -> None:
        """Runs in the writing thread: first the part, then the commit that makes it count."""
        if part is not None:
            sha256 = parts.write(parts.file_of(self._vectors_folder, self._next_part), part)
            batch.part = PartRow(self._next_part, len(part.norms), sha256, self._made_by)
            self._next_part += 1
        self._catalog.commit(batch)

    def _wait(self) -> None:
        """Until the commit under way is done; raises what went wrong in it."""
        if self._commit is not None:
            commit, self._commit = self._commit, None
            commit.result()
