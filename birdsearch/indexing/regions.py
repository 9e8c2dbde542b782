"""Regions of photos that are in the index: boxes are taken in from a file, and get vectors of their own."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

from birdsearch.attended import attended
from birdsearch.backbones import finders
from birdsearch.errors import PhotoError
from birdsearch.files import PathSet
from birdsearch.indexing import committer
from birdsearch.indexing.box_files import BoxFile, GivenBox, read_boxes
from birdsearch.indexing.caller import Caller
from birdsearch.indexing.embedder import EmbeddedPhoto, Embedder, NotEmbedded
from birdsearch.indexing.moved_paths import photos_at
from birdsearch.memory import PHOTOS_AT_ONCE
from birdsearch.photos import decode
from birdsearch.photos.overlap import overlapped
from birdsearch.records import (
    BIRD,
    BOX,
    BY_HAND,
    MOST_REGIONS,
    SPECIESNET,
    Failure,
    Photo,
    Pixels,
    Prediction,
    Progress,
    Region,
    RegionReport,
    batched,
    shown,
)
from birdsearch.regions.choice import chosen, is_animal
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import Batch
from birdsearch.storage.catalog.region_rows import RegionEntry, StoredRegion
from birdsearch.storage.store import Store

logger = logging.getLogger("birdsearch")

MIN_CONFIDENCE = 0.2  # of a box that is taken in: below it detectors guess
EXAMPLES = 3  # lines in a warning
TOGETHER = 4  # photos that a finder sees at a time; as many wait before it and after it: what bounds the memory
_AHEAD = 64  # photos of given boxes cut in advance
T = TypeVar("T")
_SAME = 1e-5  # as tables write them: by how much the numbers of two boxes differ that are one


@dataclass(frozen=True, slots=True)
class BoxOptions:
    """Which boxes of a file are taken in."""

    min_confidence: float = MIN_CONFIDENCE
    categories: Sequence[str] = ()  # empty: all
    by_hand: bool = False  # they are what a person says of each photo, above what a detector says

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence must be 0 to 1, got {self.min_confidence}")

    def why_left_out(self, given: GivenBox) -> str | None:
        """Why a box is not taken in; None where it is."""
        if given.confidence is not None and given.confidence < self.min_confidence:
            return f"confidence below {self.min_confidence:g}"
        wanted = {category.casefold() for category in self.categories}
        if wanted and (given.category or "").casefold() not in wanted:
            return "of another category"
        return None


# Boxes that are given -------------------------------------------------------------------------------------------------


def take_in(store: Store, file: BoxFile, options: BoxOptions) -> RegionReport:
    """Make the boxes of each photo that a file names those of the file; needs the lock.

    Boxes that a person has given of a photo stay. Raises InputFileError, and changes nothing, for what cannot be used.
    """
    catalog = store.catalog
    by_path = _photos_of(file, catalog)
    rows: dict[int, list[GivenBox]] = {}
    unknown = [row for row in file.rows if row.path not in by_path]
    for row in file.rows:
        if row.path in by_path:
            rows.setdefault(by_path[row.path], []).append(row)
    _warn_of_unknown(file, unknown)
    change = _Change(next_id=catalog.new_ids(regions=len(file.rows))[1])
    change.left_out["of photos that the index does not hold"] += sum(row.corners is not None for row in unknown)
    change.left_out |= {f"of photos that it could not read: {why}": count for why, count in file.unread.items()}
    said = {by_path[path]: guesses for path, guesses in (file.predictions or {}).items() if path in by_path}
    photos, before, found_by = catalog.known_photos({*rows, *said}), catalog.boxes(rows), catalog.found_by(rows)
    change.predict({photo_id: photos[photo_id] for photo_id in said}, said)
    source = BY_HAND if options.by_hand else file.source
    for photo_id, given in rows.items():
        have = before.get(photo_id, [])
        taken = [row for row in given if row.corners is not None]
        if not options.by_hand and found_by[photo_id] == BY_HAND:
            change.left_out["of photos whose boxes were given by hand"] += len(taken)
            continue
        regions: list[Region] = []
        for row in taken:
            region = Region(photo_id, row.box(photos[photo_id]), BOX, row.category, row.confidence, source)
            if (why := options.why_left_out(row)) is not None:
                change.left_out[why] += 1
            else:
                regions.append(region)
        if options.by_hand and _are_same([one.region for one in have], regions):
            change.unchanged += len(have)  # as birdsearch wrote them
            continue
        change.replace(have, regions, by_hand=options.by_hand)
        if options.by_hand:
            change.batch.found_by[photo_id] = BY_HAND
    if change.batch != Batch():
        catalog.commit(change.batch)
    return change.report()


def correct(store: Store, path: Path, progress: Progress | None = None) -> RegionReport:
    """See `Index.regions_from`."""
    file = read_boxes(path)
    with store.writing():
        taken = take_in(store, file, BoxOptions(0.0, by_hand=True))
        embedded = embed_waiting(store, [b"/"], Caller(store, progress))
    return replace(taken, embedded=embedded.embedded, failed=embedded.failed)


def _photos_of(file: BoxFile, catalog: Catalog) -> dict[bytes, int]:
    """Path of a file -> the photo that it means, by its path or by the name of its file alone."""
    by_path = photos_at({row.path: row.photo for row in file.rows}, catalog)
    left = {row.path: row.file for row in file.rows if row.file and row.path not in by_path}
    return {**photos_at(left, catalog, but=set(by_path.values())), **by_path} if left else by_path


def _warn_of_unknown(file: BoxFile, unknown: Sequence[GivenBox]) -> None:
    if unknown:
        named = dict.fromkeys(row.photo for row in unknown)
        examples = ", ".join(
            f"{row.place.removeprefix(f'{file.name}, ')}: {shown(row.photo)}" for row in unknown[:EXAMPLES]
        )
        logger.warning(
            "%s: photos that it names and that the index does not hold, or not for certain: %d (%s)",
            file.name, len(named), examples + (", …" if len(unknown) > EXAMPLES else ""),
        )  # fmt: skip


@dataclass(slots=True)
class _Change:
    """What a file changes, while its photos are gone through."""

    next_id: int
    batch: Batch = field(default_factory=Batch)
    left_out: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    added: int = 0
    removed: int = 0
    predicted: int = 0

    def predict(self, photos: Mapping[int, Photo], said: Mapping[int, tuple[Prediction, ...]]) -> None:
        """Keep what the program that found the boxes says of photos, where that is new."""
        for photo_id, guesses in said.items():
            if guesses != tuple(one for one in photos[photo_id].predictions if one.source == SPECIESNET):
                self.batch.predictions[photo_id] = guesses
                self.predicted += bool(guesses)

    def replace(self, have: Sequence[StoredRegion], new: Sequence[Region], *, by_hand: bool) -> None:
        """Make the boxes of one photo these; those that it has already keep their vectors, as far as they may."""
        left = [one for one in have if one.region.kind == BOX]
        with_vector = set(chosen(new))
        for position, region in enumerate(new):
            same = next((one for one in left if _is_same(one.region, region)), None)
            if same is None:
                self.added += 1
                self._add(region)
                continue
            left.remove(same)
            self.unchanged += 1
            if same.region.embedded and position not in with_vector:  # surer ones have come
                self.batch.gone_regions.append(same.id)
                self._add(replace(same.region, embedded=False))
        self.removed += len(left)
        # Given boxes say where the birds are: what a finder found is not wanted any more.
        gone = [*left, *(one for one in have if one.region.kind != BOX and (with_vector or by_hand))]
        self.batch.gone_regions += [one.id for one in gone]

    def _add(self, region: Region) -> None:
        self.batch.regions.append(RegionEntry(self.next_id, region))
        self.next_id += 1

    def report(self) -> RegionReport:
        """The finished record."""
        left_out = {reason: boxes for reason, boxes in sorted(self.left_out.items()) if boxes}
        return RegionReport(self.added, self.unchanged, self.removed, left_out, predicted=self.predicted)


def _is_same(one: Region, other: Region) -> bool:
    """Whether two boxes of a photo are one."""
    numbers = [(getattr(one.box, name), getattr(other.box, name)) for name in ("x", "y", "width", "height")]
    return (one.category, one.confidence) == (other.category, other.confidence) and all(
        abs(a - b) <= _SAME for a, b in numbers
    )


def _are_same(some: Sequence[Region], others: Sequence[Region]) -> bool:
    """Whether two lists of boxes of a photo are one, in whatever order."""
    left = list(others)
    for one in some:
        same = next((other for other in left if _is_same(one, other)), None)
        if same is None:
            return False
        left.remove(same)
    return bool(some) and not left


# Vectors --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cropped:
    """A photo and what the network is to see of it."""

    photo: Photo
    regions: Sequence[StoredRegion]  # that are to get a vector; the id is 0 where the catalog has none yet
    pixels: Sequence[Pixels] = ()  # one for each
    problem: str = ""  # why there are none, where the file cannot be read
    upright: decode.Upright | None = None  # until they are cut out


def embed_waiting(store: Store, folders: Sequence[bytes], caller: Caller) -> RegionReport:
    """Give a vector to each box under these folders that waits for one; needs the lock.

    What is embedded is committed now and then, and when the run is interrupted.
    """
    catalog = store.catalog
    waiting = catalog.photos_with_boxes(waiting=True)
    todo = [photo.id or 0 for photo, have in _each(catalog, waiting, folders) if _without_vector(have)]
    if not todo:
        return RegionReport()
    wanted = (Cropped(photo, _without_vector(have)) for photo, have in _each(catalog, todo, folders))
    cut = partial(_cut, attended("regions", lambda _: store.backbone.input_size, caller.tell))
    with closing(overlapped(wanted, cut, ahead=_AHEAD, idle=caller.idle)) as crops:
        return _Run(store, len(todo), caller).run(crops)


def _each(
    catalog: Catalog, photo_ids: Iterable[int], folders: Sequence[bytes]
) -> Iterator[tuple[Photo, Sequence[StoredRegion]]]:
    """Those of the photos that lie under some folders, each with its boxes; memory holds a block of them."""
    below = PathSet(folders)
    for block in batched(photo_ids, PHOTOS_AT_ONCE):
        photos, have = catalog.known_photos(block), catalog.boxes(block)
        for photo_id, photo in photos.items():
            if os.fsencode(photo.path) in below:
                yield photo, have.get(photo_id, ())


def find_birds(store: Store, folders: Sequence[bytes], name: str, caller: Caller) -> RegionReport:
    """Search the photos under these folders for small birds, and give each a vector; needs the lock.

    Those that this finder has searched, and those in which somebody has said where the birds are, are passed over.
    """
    catalog, version = store.catalog, finders.version_of(name)
    unsearched = _each(catalog, catalog.not_searched_by(version), folders)
    todo = [photo.id or 0 for photo, have in unsearched if not _shows_where(have)]
    if not todo:
        return RegionReport()
    finder = attended("find", lambda _: finders.finder(name), caller.tell)
    size = attended("find", lambda _: store.backbone.input_size, caller.tell)

    def read(photo: Photo) -> Cropped:
        """Runs in a thread."""
        try:
            return Cropped(photo, (), upright=decode.upright(photo, finder.size))
        except PhotoError as error:
            return Cropped(photo, (), problem=str(error))

    def cut(read_and_found: tuple[Cropped, Sequence[Region] | None]) -> Cropped:
        """Runs in a thread."""
        one, found = read_and_found
        regions = [StoredRegion(0, replace(region, photo_id=one.photo.id)) for region in found or ()]
        return _cut(size, replace(one, regions=regions))

    run = _Run(store, len(todo), caller, version)
    photos = run.searched(_each(catalog, todo, folders))
    with (
        closing(overlapped(photos, read, ahead=TOGETHER, idle=caller.idle)) as pictures,
        closing(overlapped(_searched(pictures, finder), cut, ahead=TOGETHER, idle=caller.idle)) as crops,
    ):
        return run.run(crops)


def with_birds(
    outcomes: Iterable[T], finder: finders.Finder, size: tuple[int, int], idle: Callable[[], None]
) -> Generator[T]:
    """The same, where each that has an upright picture gets the small birds in it, cut out for a network of this size.

    Where one cannot be cut out, the photo counts as not searched. `idle` is that of `overlapped`.
    """

    def cut(outcome_and_found: tuple[T, Sequence[Region] | None]) -> T:
        """Runs in a thread."""
        outcome, found = outcome_and_found
        if found is None or not isinstance(outcome, decode.Decoded):
            return outcome
        regions = [StoredRegion(0, region) for region in found]
        cropped = _cut(size, Cropped(outcome.photo, regions, upright=outcome.upright))
        by = None if cropped.problem else finder.name
        parts = tuple(zip(found, cropped.pixels, strict=False))
        return replace(outcome, upright=None, found_by=by, parts=parts)

    with closing(overlapped(_searched(outcomes, finder), cut, ahead=TOGETHER, idle=idle)) as done:
        yield from done


def _searched(items: Iterable[T], finder: finders.Finder) -> Iterator[tuple[T, Sequence[Region] | None]]:
    """Each item with the small birds in its picture that are to get a vector; None where it has no picture."""
    items = iter(items)
    while batch := list(islice(items, TOGETHER)):
        pictures = [picture for item in batch if (picture := _upright(item)) is not None]
        results = iter(finder.find(pictures) if pictures else ())
        for item in batch:
            found = next(results) if _upright(item) is not None else None
            yield item, None if found is None else found.regions[:MOST_REGIONS] if found.small else ()


def _upright(outcome: object) -> decode.Upright | None:
    return outcome.upright if isinstance(outcome, decode.Decoded | Cropped) else None


def _cut(size: tuple[int, int], one: Cropped) -> Cropped:
    """Runs in a thread: the same with the pixels, or why there are none; the file is read where no decode is at hand.

    It is read again for a bird so tiny that what was decoded for a finder does not show all of it.
    """
    upright, boxes = one.upright, [each.region.box for each in one.regions]
    one = replace(one, upright=None)
    if not boxes:
        return one
    if upright is not None and all(upright.shows(box, size) for box in boxes):
        return replace(one, pixels=[upright.crop(box, size) for box in boxes])
    try:
        return replace(one, pixels=list(decode.crops(one.photo, boxes, size)))
    except PhotoError as error:
        return replace(one, problem=str(error))


def _shows_where(have: Sequence[StoredRegion]) -> bool:
    """Whether somebody, or a detector, has said where the birds of a photo are."""
    return any(one.region.kind == BOX and is_animal(one.region.category) for one in have)


def _without_vector(have: Sequence[StoredRegion]) -> list[StoredRegion]:
    """Those regions of a photo that are to have a vector and have none."""
    wanted = [have[position] for position in chosen([one.region for one in have])]
    return [one for one in wanted if not one.region.embedded]


class _Run:
    """Embeds what was cut out of photos, and commits it."""

    def __init__(
        self,
        store: Store,
        total: int,
        caller: Caller,
        finder: str | None = None,
    ) -> None:
        self._before: dict[int, Sequence[StoredRegion]] = {}  # regions of the photos that a finder searches
        self._finder = finder  # that is noted with each photo, once all that it found there has a vector
        self._waiting: dict[int, int] = {}  # photo -> how many of its regions have no vector yet
        self._searched = self._found = 0
        self._store = store
        self._total = total
        self._caller = caller
        self._embedder = Embedder(store.backbone, None, proven=True, idle=caller.attends)
        self._cut: dict[int, StoredRegion] = {}  # that wait for a vector, by a number of this run
        self._numbers = count()
        self._embedded: list[tuple[StoredRegion, EmbeddedPhoto]] = []
        self._last_commit = time.monotonic()
        self._failed: list[Failure] = []
        self._done = 0  # regions

    def searched(self, photos: Iterable[tuple[Photo, Sequence[StoredRegion]]]) -> Iterator[Photo]:
        """The photos that a finder searches; the regions that each has until then are remembered."""
        for photo, have in photos:
            self._before[photo.id or 0] = have
            yield photo

    def run(self, crops: Iterator[Cropped]) -> RegionReport:
        """Take in all that comes."""
        try:
            for number, one in enumerate(crops, start=1):
                self._take(one)
                self._caller.tell("find" if self._finder else "regions", number, self._total, one.photo.path)
                committed = committer.is_due(len(self._embedded) + len(self._embedder), self._last_commit)
                if committed:
                    self._keep(self._embedder.flush())
                    self._commit()
                if self._caller.is_due(committed=committed):
                    self._caller.let_in()
            self._keep(self._embedder.flush())
        finally:
            self._commit()
        embedded, failed = self._done, tuple(self._failed)
        return RegionReport(searched=self._searched, found=self._found, embedded=embedded, failed=failed)

    def _take(self, one: Cropped) -> None:
        if one.problem:
            self._failed.append(Failure(one.photo.path, "regions", one.problem))
            return
        if self._finder is not None:
            self._waiting[one.photo.id or 0] = len(one.regions)
        for region, pixels in zip(one.regions, one.pixels, strict=False):
            number = next(self._numbers)
            self._cut[number] = region
            self._keep(self._embedder.add(decode.Decoded(replace(one.photo, id=number), pixels)))

    def _keep(self, results: Sequence[EmbeddedPhoto | NotEmbedded]) -> None:
        for result in results:
            region = self._cut.pop(result.photo.id or 0)
            if isinstance(result, NotEmbedded):
                self._failed.append(Failure(result.photo.path, "regions", result.reason))
                continue
            self._embedded.append((region, result))
            if self._finder is not None:
                self._waiting[region.region.photo_id or 0] -= 1

    def _commit(self) -> None:
        """First the part, then the commit that makes it count. A region gets another id with its vector.

        An engine may still know the old id, with the vector that it had before its photo changed.
        """
        searched = [photo_id for photo_id, waiting in self._waiting.items() if not waiting]
        # Of a photo that was searched all regions are committed together, and with the word that it was.
        complete, collected = set(searched), self._embedded
        embedded: list[tuple[StoredRegion, EmbeddedPhoto]] = []
        self._embedded = []
        for one in collected:
            ready = self._finder is None or one[0].region.photo_id in complete
            (embedded if ready else self._embedded).append(one)
        self._last_commit = time.monotonic()
        catalog, folder = self._store.catalog, self._store.folder.vectors
        batch = Batch(found_by=dict.fromkeys(searched, self._finder))
        batch.gone_regions = [one.id for i in searched for one in self._before.pop(i, ()) if one.region.kind == BIRD]
        for photo_id in searched:
            del self._waiting[photo_id]
        first, lay_down = catalog.new_ids(regions=len(embedded))[1], None
        if embedded:
            part = committer.part_of(range(first, first + len(embedded)), [result for _, result in embedded])
            lay_down = partial(parts.listed, folder, part=part, runtime=self._store.backbone.provenance)
        batch.gone_regions += [before.id for before, _ in embedded if before.id]
        batch.regions = [RegionEntry(first + row, before.region, row) for row, (before, _) in enumerate(embedded)]
        if batch != Batch():
            catalog.commit(batch, lay_down)
        self._done += len(embedded)
        self._searched += len(searched)
        self._found += sum(before.region.kind == BIRD for before, _ in embedded)
