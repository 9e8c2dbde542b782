"""Every photo of an index embedded anew, by another network or another recipe; labels and decisions stay.

The new vectors collect in parts that no region points to yet, and the old ones answer until one last commit.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np

from birdsearch.arrays import IdSet
from birdsearch.attended import attended
from birdsearch.backbones import Backbone
from birdsearch.errors import BackboneError, BackboneMismatchError, PhotoError, PhotoMissingError
from birdsearch.files import FileState, is_there
from birdsearch.indexing import committer, regions
from birdsearch.indexing.caller import Caller
from birdsearch.indexing.embedder import PREDICTIONS, EmbeddedPhoto, Embedder, NotEmbedded
from birdsearch.indexing.pipeline import AHEAD, COSTLY
from birdsearch.memory import PHOTOS_AT_ONCE
from birdsearch.photos import decode, memory, scan
from birdsearch.photos.overlap import overlapped
from birdsearch.records import Failure, Ids, Photo, Prediction, ReembedReport, as_json, blocks, counted, shown
from birdsearch.storage import optimize, parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import GIVEN, Batch, PartRow
from birdsearch.storage.catalog.renewal import NewVector, Renewal
from birdsearch.storage.catalog.tables import IDENTITY, IDENTITY_BEFORE, REEMBED
from birdsearch.storage.store import Store
from birdsearch.storage.vectors import ON_SERVER, STATE, whitening_sha256

logger = logging.getLogger("birdsearch")
_GONE = "no longer there"


def reembed(store: Store, backbone: Any, caller: Caller, *, force: bool) -> ReembedReport:
    """See `Index.reembed`."""
    target = attended("prepare", lambda tell: store.backbone_of_today(backbone, tell), caller.tell)
    started = time.monotonic()  # a network may have been prepared before
    with store.writing() as catalog:
        if target.identity == store.identity.backbone:
            given = _given(catalog)
            words = f"{counted(given, 'photo')} got vectors by Index.add_vectors, which nothing makes anew"
            made = f"the vectors are those that {target.name} makes today"
            logger.warning("nothing to embed anew: %s", words if given else made)
            return ReembedReport()
        _check_network(store, target)
        if not force:
            _check_places(catalog)
            _check_given(catalog)
        run = ReembedRun(store, target, caller)
        run.run()
        failed = run.failed()
        store.renew(run.renewal(failed), target)
        regions.embed_waiting(store, [b"/"], caller)
    return run.report(failed, time.monotonic() - started)


def _check_network(store: Store, target: Backbone) -> None:
    """Raises BackboneError where the new vectors would not fit the classes that the index keeps."""
    new, old = (replace(identity, name="", recipe=None) for identity in (target.identity, store.identity.backbone))
    if new != old or (old.weights_sha256 is None and target.name != store.identity.backbone.name):
        raise BackboneMismatchError(
            f"the index was made with {store.identity.backbone}: it can be embedded anew with that network only, not "
            f"with {target.identity.told_from(store.identity.backbone)}. Make another index for it."
        )
    if target.class_names and target.classifier is None:
        raise BackboneError(f"the classes of {target.name} cannot be told from vectors: make another index")


def _check_places(catalog: Catalog) -> None:
    """Raises PhotoMissingError where a whole folder of photos is away: they would all lose their vectors."""
    for root in catalog.roots_in_use():
        if scan.is_folder(root) and scan.has_entries(root):
            continue
        if visible := sum(not photo.missing for photo in catalog.photos_under([root])):
            raise PhotoMissingError(
                f"{shown(os.fsdecode(root))} is away or empty: nothing was embedded anew, because its "
                f"{counted(visible, 'photo')} would have no vector any more. Bring it back, or add --force "
                "(in Python force=True) to hide them until it is."
            )


def _check_given(catalog: Catalog) -> None:
    """Raises BackboneMismatchError where vectors of the user's own would be replaced."""
    if count := _given(catalog):
        raise BackboneMismatchError(
            f"the vectors of {counted(count, 'photo')} were given by Index.add_vectors: nothing was embedded anew. "
            "Add --force (in Python force=True) to replace them by those of the network."
        )


def _given(catalog: Catalog) -> int:
    """How many vectors are a user's own."""
    return sum(len(catalog.regions_of_part(part.id)) for part in catalog.parts() if part.runtime == GIVEN)


@dataclass(frozen=True, slots=True)
class Pending:
    """What `state` says of the new vectors so far."""

    backbone: dict[str, Any]  # whose they are, as index.json has it
    parts: Sequence[int]

    @classmethod
    def of(cls, catalog: Catalog, backbone: Backbone) -> Self:
        """What an earlier run has left; nothing where that was for another backbone, or cannot be read."""
        stored, listed = catalog.get_state(REEMBED), {part.id for part in catalog.parts()}
        try:
            known = cls(**stored)
            if known.backbone == as_json(backbone.identity):
                return cls(known.backbone, [part_id for part_id in known.parts if part_id in listed])
        except TypeError:
            pass
        return cls(as_json(backbone.identity), [])


@dataclass(frozen=True, slots=True)
class _Content:
    """Files of the same bytes: one is embedded, for the regions of all."""

    sha256: str
    files: Sequence[scan.FoundFile]
    region_ids: Sequence[int]


@dataclass(slots=True)
class ReembedRun:
    """One run: reads each photo from its file, embeds it, and collects the vectors in parts."""

    store: Store
    backbone: Backbone
    caller: Caller
    pending: Pending = field(init=False)
    _frames: Ids = field(init=False)  # (n,) of the photos there were at the start, ascending
    _done: IdSet = field(default_factory=IdSet)  # regions that have a new vector, committed or not
    _met: int = 0  # regions of which this run knows what becomes of them...
    _total: int = 0  # ...of so many
    _vectors: list[tuple[int, EmbeddedPhoto]] = field(default_factory=list)  # not committed yet
    _contents: dict[str, _Content] = field(default_factory=dict)  # sha256 -> what is under way
    _reasons: dict[str, str] = field(default_factory=dict)  # sha256 -> why it cannot be embedded
    _last_commit: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.pending = Pending.of(self.store.catalog, self.backbone)
        self._frames = self.store.catalog.frame_ids()
        for _, rows, part in self._live():
            self._done.update(part.region_ids[rows].tolist())

    def run(self) -> None:
        """Embed whatever has no new vector yet."""
        embedder = Embedder(self.backbone, None, proven=False, idle=self.caller.attends)
        self._total = len(self._frames) - len(self._done)
        costly: list[_Content] = []
        try:
            with closing(overlapped(self._todo(), self._decoded, ahead=AHEAD, idle=self.caller.idle)) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome, _Content):
                        costly.append(outcome)
                    else:
                        self._take(outcome, embedder)
            for content in costly:
                outcome = self._decoded(content, most=None)
                assert not isinstance(outcome, _Content)  # without a limit nothing is costly
                self._take(outcome, embedder)
            self._keep(embedder.flush())
        finally:
            self._commit()  # an orderly stop keeps what the network has seen

    def _todo(self) -> Iterator[_Content]:
        """The contents of which a region has no new vector, in the order of the photos."""
        given = IdSet()  # regions: a content is met at the first of its photos
        for left in self._left():
            same = self._same_bytes({region_id: one for region_id, one in left.items() if region_id not in given})
            states = self.store.catalog.file_states(one.id or 0 for photos in same.values() for one in photos.values())
            for sha256, photos in same.items():
                files = [scan.FoundFile(os.fsencode(one.path), states[one.id or 0]) for one in photos.values()]
                self._contents[sha256] = content = _Content(sha256, files, list(photos))
                given.update(photos)
                yield content

    def _same_bytes(self, photos: Mapping[int, Photo]) -> dict[str, dict[int, Photo]]:
        """Sha256 -> region id -> photo, of these photos and of all others of the same bytes without a new vector."""
        catalog = self.store.catalog
        same: dict[str, dict[int, Photo]] = defaultdict(dict)
        for region_id, photo in photos.items():
            same[photo.sha256 or ""][region_id] = photo
        found = catalog.ids_with_bytes(list(same))
        others = {i for ids in found.values() for i in ids} - {photo.id for photo in photos.values()}
        known = catalog.known_photos(others)
        for photo_id, place in catalog.locations(known).items():
            if place.region_id not in self._done:
                same[known[photo_id].sha256 or ""][place.region_id] = known[photo_id]
        return same

    def _left(self) -> Iterator[dict[int, Photo]]:
        """Region id -> its photo, of those without a new vector, a block at a time."""
        catalog = self.store.catalog
        for block in blocks(len(self._frames), PHOTOS_AT_ONCE):
            left = [region_id for region_id in self._frames[block].tolist() if region_id not in self._done]
            photo_of = {region_id: one.photo_id or 0 for region_id, one in catalog.regions_by_id(left).items()}
            known = catalog.known_photos(photo_of.values())
            yield {region_id: known[photo_id] for region_id, photo_id in photo_of.items()}

    def _decoded(self, content: _Content, most: int | None = COSTLY) -> "decode.Decoded | NotEmbedded | _Content":
        """Runs in a thread: the pixels of the first of the files that still holds this content; costly ones wait."""
        reason = _GONE
        for file in content.files:
            try:
                read = scan.read(file)
                if read.photo.sha256 != content.sha256:
                    reason = "it has changed: index it again"
                    continue
                return decode.decode(read.data, read.photo, self.backbone.input_size, read.format, most=most)
            except memory.CostlyError:
                return content
            except PhotoMissingError:
                continue
            except (PhotoError, scan.NotAPhotoError) as error:
                reason = str(error)
        return NotEmbedded(replace(content.files[0].photo, sha256=content.sha256), reason)

    def _take(self, outcome: "decode.Decoded | NotEmbedded", embedder: Embedder) -> None:
        same = self._contents[outcome.photo.sha256 or ""].files
        self._keep([outcome] if isinstance(outcome, NotEmbedded) else embedder.add(outcome))
        if committer.is_due(len(self._vectors), self._last_commit):
            self._commit()
            self.caller.let_in()
        for file in same:
            self._met += 1
            self.caller.tell("reembed", self._met, self._total, os.fsdecode(file.path))
        if self.caller.is_due():
            self.caller.let_in()

    def _keep(self, results: Sequence[EmbeddedPhoto | NotEmbedded]) -> None:
        for result in results:
            content = self._contents.pop(result.photo.sha256 or "")
            if isinstance(result, NotEmbedded):
                self._reasons[content.sha256] = result.reason
                continue
            self._vectors += [(region_id, result) for region_id in content.region_ids]
            self._done.update(content.region_ids)

    def _commit(self) -> None:
        """First the part, then the commit that lists it, which no region points to yet."""
        collected, self._vectors = self._vectors, []
        self._last_commit = time.monotonic()
        if not collected:
            return
        part = committer.part_of(*zip(*collected, strict=True))
        batch = Batch()

        def lay_down(part_id: int) -> PartRow:
            self.pending = replace(self.pending, parts=[*self.pending.parts, part_id])
            batch.state[REEMBED] = asdict(self.pending)
            return parts.listed(self.store.folder.vectors, part_id, part, self.backbone.provenance)

        self.store.catalog.commit(batch, lay_down)

    # The end

    def failed(self) -> tuple[Failure, ...]:
        """The photos that could not be embedded though there is a file."""
        without = (photo for left in self._left() for photo in left.values() if is_there(photo.path))
        failed = (Failure(photo.path, "reembed", self._reasons[photo.sha256 or ""]) for photo in without)
        return tuple(sorted(failed, key=lambda failure: failure.path))

    def renewal(self, failed: Sequence[Failure]) -> Renewal:
        """What the index becomes."""
        store, catalog = self.store, self.store.catalog
        identity = replace(store.identity, backbone=self.backbone.identity, source=self.backbone.source)
        whitened = whitening_sha256(catalog) is not None
        space = None
        if whitened:
            space = optimize.fitted((part.vectors[rows] for _, rows, part in self._live()), len(self._done))
        state = {
            IDENTITY: as_json(identity),
            IDENTITY_BEFORE: as_json(store.identity),
            "whitening": optimize.write_space(store.folder, space),
            STATE: None,  # the engine
            ON_SERVER: None,
            REEMBED: None,
        }
        ids = [photo.id or 0 for left in self._left() for photo in left.values()]
        return Renewal(self.pending.parts, self._new_vectors(), ids, [(FileState(), one) for one in failed], state)

    def report(self, failed: tuple[Failure, ...], seconds: float) -> ReembedReport:
        """What became of the photos."""
        without = len(self._frames) - len(self._done)
        return ReembedReport(len(self._done), without - len(failed), failed, seconds)

    def _live(self) -> Iterator[tuple[int, Ids, parts.Part]]:
        """Of each part its id, the rows (n,) whose region is still wanted, and what it holds."""
        sha256s = {part.id: part.sha256 for part in self.store.catalog.parts()}
        for part_id in self.pending.parts:
            part = parts.read_at(self.store.folder.vectors, part_id, sha256s[part_id])
            yield part_id, np.flatnonzero(np.isin(part.region_ids, self._frames)), part

    def _new_vectors(self) -> Iterator[list[NewVector]]:
        classes = self.backbone.classes
        for part_id, rows, part in self._live():
            guesses: Sequence[tuple[Prediction, ...]] = [()] * len(rows)
            if classes.classifier is not None and len(rows):
                guesses = classes.top(classes.probabilities(part.vectors[rows], part.norms[rows]), PREDICTIONS)
            ids = part.region_ids[rows].tolist()
            here = self.store.catalog.regions_by_id(ids)  # others were removed meanwhile
            yield [
                NewVector(region_id, here[region_id].photo_id or 0, part_id, row, guess)
                for region_id, row, guess in zip(ids, rows.tolist(), guesses, strict=True)
                if region_id in here
            ]
