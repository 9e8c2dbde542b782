"""Files in, committed photos out: ChangeDetector, read and decode, Embedder, Committer; overlapped and counted."""

import logging
import os
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, replace

from birdsearch.arrays import IdSet
from birdsearch.backbones import finders
from birdsearch.errors import STOPS, BackboneUnavailableError, PhotoMissingError, PruneRefusedError
from birdsearch.files import FileState, PathSet, above, absolute, is_url, known_spelling, with_trailing_slash
from birdsearch.indexing import regions, sidecars
from birdsearch.indexing.box_files import BoxFile, read_boxes
from birdsearch.indexing.caller import Caller
from birdsearch.indexing.clusters import Cluster, Elsewhere, Way, cluster_at
from birdsearch.indexing.committer import Committer
from birdsearch.indexing.companions import Companions
from birdsearch.indexing.detector import TOGETHER, ChangeDetector, Moved, Unchanged
from birdsearch.indexing.embedder import NETWORK_BATCH, EmbeddedPhoto, Embedder, GivenVectors, NotEmbedded
from birdsearch.indexing.labels import Labeller, several_species
from birdsearch.indexing.listing import Listed, Listing
from birdsearch.indexing.outcomes import Costly, KnownContent, Outcome, Rejected, outcome_of, unless_costly
from birdsearch.indexing.photo_lists import read_list
from birdsearch.indexing.regions import BoxOptions
from birdsearch.photos import decode, exclusions, scan
from birdsearch.photos.filetype import has_photo_name, has_raw_name
from birdsearch.photos.overlap import REMOTE_WORKERS, overlapped
from birdsearch.photos.sidecars import companion_kind
from birdsearch.records import (
    BIRD,
    IGNORE,
    METADATA,
    PAIR,
    AddReport,
    Failure,
    Filter,
    Photo,
    RegionReport,
    SeveralSpecies,
    batched,
    counted,
    missing_metadata,
    shown,
)
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import COMMIT_CHANGES, PhotoUpdate, facts
from birdsearch.storage.catalog.companion_rows import Companion
from birdsearch.storage.catalog.tables import EXCLUDE, FINDER, LISTED, RAW
from birdsearch.storage.store import Store

HANDFUL = 5  # photos: so many may always be pruned
AHEAD = 2 * NETWORK_BATCH  # photos decoded in advance: what bounds the memory
COSTLY = 4 * 10**8  # bytes of memory for one decode: a photo that needs more comes last, alone, and is noted before

ScanResult = scan.FoundFile | scan.Ignored | Failure
logger = logging.getLogger("birdsearch")
EXAMPLES = 3  # folders or lines in a warning


@dataclass(frozen=True, slots=True)
class AddOptions:
    """What `Index.add` takes beside the folders."""

    labels: str | None = None
    exclude: Sequence[str] | None = None
    prune: bool = False
    force: bool = False
    reread: bool = False
    regions: str | None = None  # "bird", "none", or the path of a file of boxes
    finder: str = "auto"
    boxes: BoxOptions = field(default_factory=BoxOptions)
    raw: str | None = None  # of RAW_CHOICES
    cluster: str | None = None  # its address
    moved: bool = False  # whether objects that moved in a store are followed
    listing: str | None = None  # the path of a list of photos, in place of folders


def add(
    store: Store,
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    options: AddOptions,
    caller: Caller,
) -> AddReport:
    """Index every photo under one or more folders; see `Index.add`."""
    started = time.monotonic()
    listing = None if options.listing is None else read_list(options.listing)
    if listing is not None:
        folders = []
    elif folders is None:
        folders = _remembered(store)
    several = [folders] if isinstance(folders, str | os.PathLike) else folders
    paths = [absolute(folder) for folder in several]
    scan.scan(paths)  # raises here for a folder that does not exist
    exclusions.compiled(options.exclude or ())  # and here for a pattern that means nothing
    if options.regions == BIRD:
        finders.check_finder(options.finder, caller.tell)
    box_file = None if options.regions in (None, BIRD, "none") else read_boxes(options.regions)  # or a line no box
    cluster = None if options.cluster is None else cluster_at(options.cluster, store)  # or here for one that is none
    with store.writing(shared=True) as catalog:
        roots = catalog.roots_in_use()
        paths = listing.roots(catalog.roots().values()) if listing is not None else paths
        paths = list(dict.fromkeys(known_spelling(path, roots) for path in paths))
        excluded = _exclude(catalog, paths, options.exclude)
        files: Iterable[ScanResult] = scan.scan(paths, excluded, roots) if listing is None else ()
        labeller = Labeller(catalog)
        labeller.choose(paths, options.labels)
        if listing is not None:
            _note_listed(catalog, paths)
            if options.labels is None:
                labeller.take_list(listing.labels())
        for path in paths:
            catalog.ensure_root(path if listing is not None or scan.is_folder(path) else above(path))
        if options.regions in (BIRD, "none"):
            catalog.set_state(FINDER, options.finder if options.regions == BIRD else None)
        finder = catalog.get_state(FINDER) if box_file is None else None  # the file says where the birds are
        if options.raw is not None:
            catalog.set_state(RAW, options.raw)
        detector = replace(ChangeDetector.of(catalog, paths), moves_objects=options.moved)
        companions = None
        if listing is None:
            _forget_listed(catalog, paths)
            companions = Companions(catalog, detector, catalog.get_state(RAW, PAIR), paths)
        else:  # of whose folders nothing else is looked at
            files = listing.found(lambda path: detector.known(path) is not None)
        with nullcontext() if cluster is None else closing(cluster):
            run = AddRun(
                store, labeller, detector, caller, reread=options.reread, finder=finder, companions=companions,
                cluster=cluster,
            )  # fmt: skip
            counts = run.run(paths, files, options)
            if cluster is not None:
                cluster.forget()
        before = RegionReport(searched=counts.searched, found=counts.found, embedded=counts.found)
        counts.regions = _regions(store, paths, before, box_file, options.boxes, caller)
    without, doubtful = _tell_of_labels(catalog, labeller, paths, options.labels)
    report = replace(counts.report(time.monotonic() - started), unlabelled=without, several_species=doubtful)
    logger.debug(  # the report says it too: who prints that needs no note of it
        "indexed %s: %d added, %d changed, %d failed in %.1f s",
        ", ".join(shown(os.fsdecode(path)) for path in paths), report.added, report.changed, len(report.failed),
        report.seconds,
    )  # fmt: skip
    if counts.not_pruned:
        raise PruneRefusedError(counts.not_pruned)
    return report


def _tell_of_labels(
    catalog: Catalog, labeller: Labeller, paths: list[bytes], labels: str | None
) -> tuple[int, tuple[SeveralSpecies, ...]]:
    """Warn of what a run could not label; how many photos have none, and for which ones several species are named."""
    if unmatched := labeller.unmatched(paths) if labels is not None else []:
        lines = ", ".join(f"{one.place}: {shown(one.photo or one.file)}" for one in unmatched[:EXAMPLES])
        logger.warning(
            "%s that name no photo under these folders for certain: %d (%s)",
            labeller.entries(paths), len(unmatched), lines + (", …" if len(unmatched) > EXAMPLES else ""),
        )  # fmt: skip
    below = Filter(any_of=tuple(Filter(under=os.fsdecode(path)) for path in paths))
    without = catalog.count_unlabelled(below) if labels != "none" else 0
    if doubtful := several_species(catalog, below, labeller):
        examples = "; ".join(f"{shown(one.path)}: {', '.join(one.species)}" for one in doubtful[:EXAMPLES])
        logger.warning(
            "%s got no label, for several species are named of each (%s). `birdsearch names --several` lists them",
            counted(len(doubtful), "photo"), examples + ("; …" if len(doubtful) > EXAMPLES else ""),
        )  # fmt: skip
    places = labeller.nameless(paths) if without and labels == "folder" else []
    if places:
        examples = ", ".join(places[:EXAMPLES]) + (", …" if len(places) > EXAMPLES else "")
        logger.warning("%s got no label: no folder above names a bird (%s)", counted(without, "photo"), examples)
    return without, doubtful


def _with_more(
    outcome: decode.Decoded | KnownContent | Elsewhere, said: Photo
) -> decode.Decoded | KnownContent | Elsewhere:
    """What became of a photo, with what a list says of it beyond its own file."""
    photo = replace(outcome.photo, **missing_metadata(asdict(outcome.photo), asdict(said)))
    if isinstance(outcome, Elsewhere):
        return replace(outcome, embedded=replace(outcome.embedded, photo=photo))
    return replace(outcome, photo=photo)


def _regions(
    store: Store,
    folders: Sequence[bytes],
    before: RegionReport,
    file: BoxFile | None,
    options: BoxOptions,
    caller: Caller,
) -> RegionReport:
    """The boxes of photos follow, once the photos are committed; then birds are searched for, where that was chosen.

    `before` is what was found in photos that have come.
    """
    taken = RegionReport() if file is None else regions.take_in(store, file, options)
    embedded, found = regions.embed_waiting(store, folders, caller), RegionReport()
    if (finder := store.catalog.get_state(FINDER)) is not None:
        try:
            found = regions.find_birds(store, folders, finder, caller)
        except (BackboneUnavailableError, ValueError) as error:
            logger.warning("no bird was searched for: %s", error)
    return replace(
        taken,
        searched=before.searched + found.searched,
        found=before.found + found.found,
        embedded=before.embedded + embedded.embedded + found.embedded,
        failed=(*embedded.failed, *found.failed),
    )


def _remembered(store: Store) -> list[str]:
    """The folders of the photos of an index that are there; the others are named in a warning."""
    listed = set(store.catalog.get_state(LISTED, []))
    known = [name for root in store.catalog.roots_in_use() if (name := os.fsdecode(root)) not in listed]
    there = [folder for folder in known if scan.is_folder(os.fsencode(folder))]
    for folder in known:
        if folder not in there:
            logger.warning("%s is not there: its photos stay as they are. Is a disk away?", shown(folder))
    if not there:
        raise PhotoMissingError("no folder to look through: the index holds none that is there. Name one: index DIR")
    return there


def _note_listed(catalog: Catalog, roots: Sequence[bytes]) -> None:
    """Remember which roots are there for a list alone: not all that lies below them is wanted."""
    have = set(catalog.roots().values())
    new = {os.fsdecode(root) for root in roots if root not in have}
    if not new <= (listed := set(catalog.get_state(LISTED, []))):
        catalog.set_state(LISTED, sorted(listed | new))


def _forget_listed(catalog: Catalog, folders: Sequence[bytes]) -> None:
    """What is indexed as a folder is looked through from now on."""
    listed = set(catalog.get_state(LISTED, []))
    if named := listed & set(map(os.fsdecode, folders)):
        catalog.set_state(LISTED, sorted(listed - named))


def _exclude(catalog: Catalog, folders: Sequence[bytes], patterns: Sequence[str] | None) -> dict[bytes, Sequence[str]]:
    """Folder -> patterns of what is left out there; given ones are remembered, in place of earlier ones."""
    if patterns is not None:
        given = {os.fsdecode(folder): [pattern for pattern in patterns if pattern.strip()] for folder in folders}

        def revised(stored: dict[str, list[str]] | None) -> dict[str, list[str]]:
            return {folder: kept for folder, kept in {**(stored or {}), **given}.items() if kept}

        catalog.revise_state(EXCLUDE, revised)
    stored: dict[str, list[str]] = catalog.get_state(EXCLUDE, {})
    return {os.fsencode(folder): kept for folder, kept in stored.items()}


@dataclass(slots=True)
class Counts:
    """The counts of an AddReport while they grow."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    paired: int = 0
    missing: int = 0
    searched: int = 0  # photos that a finder has searched for small birds while they were decoded
    found: int = 0  # small birds in them
    ignored: Counter[str] = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)
    not_pruned: str = ""  # why photos that should have been pruned are still there, in words
    regions: RegionReport = field(default_factory=RegionReport)

    def report(self, seconds: float) -> AddReport:
        """The finished record."""
        plain = {name: getattr(self, name) for name in ("added", "changed", "unchanged", "moved", "paired", "missing")}
        failed = tuple(sorted(self.failed, key=lambda failure: failure.path))
        return AddReport(
            **plain, ignored=dict(sorted(self.ignored.items())), failed=failed, seconds=seconds, regions=self.regions
        )


class AddRun:
    """One run of `add`: takes each file through the stages and counts what became of it."""

    def __init__(
        self,
        store: Store,
        labeller: Labeller,
        detector: ChangeDetector,
        caller: Caller,
        *,
        reread: bool = False,
        given: GivenVectors | None = None,
        finder: str | None = None,
        companions: Companions | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self._cluster = cluster  # None: this process reads, decodes and embeds
        self._companions = companions  # None: nothing goes with the photos of this run
        self._ignores_raw = companions is not None and companions.raw == IGNORE
        self._finder_name = finder  # that searches new photos for small birds
        self._finder: finders.Finder | None = None
        self._store = store
        self._reread = reread
        self._given = given  # the vectors, where no network is to make them
        self._labels = labeller
        self._detector = detector
        self._caller = caller
        self._committer = Committer(store.catalog, store.folder.vectors, labeller)
        if given is not None:
            self._committer.provenance = given.provenance  # also where all are copies of photos that the index has
        # Loads the network: made when the first photo needs it.
        self._embedder: Embedder | GivenVectors | None = given
        self._costly: list[Costly] = []
        self._copies: list[Photo] = []  # that get the vector of a photo of the same content
        self._named: set[bytes] = set()  # files that were named one by one, and not found in a folder
        self._is_listed = False  # whether a list names every file of this run
        self._said: dict[str, Photo] = {}  # path -> what a list says of a file that is to be read
        self._left_out: list[bytes] = []  # files and folders that are not to be in the index
        self._counts = Counts()

    def run(self, folders: Sequence[bytes], files: Iterable[ScanResult], options: AddOptions) -> Counts:
        """Index every file that a scan of the folders found; returns what became of each."""
        self._is_listed = options.listing is not None
        self._named = set() if self._is_listed else {path for path in folders if not scan.is_folder(path)}
        try:
            to_read, unreachable = self._compare(files)
            if to_read:
                self._read_all(to_read)
            self._flush()
            if options.listing is not None:
                unreachable += folders  # a list says nothing of what it does not name
            elif not (options.prune and options.force):
                unreachable += self._empty(folders)
            if self._companions is not None:
                self._join_companions(self._companions, unreachable)
            self._hide_missing(folders, unreachable, options)
            self._flush()
            self._committer.wait()
            self._forget_failures()
            for labels in batched(self._labels.refresh(list(folders)), COMMIT_CHANGES):
                self._committer.batch.labels = dict(labels)
                self._flush()
            self._flush()
            self._committer.wait()
            self._caller.let_in()
        except STOPS:
            self._keep_what_is_embedded()
            raise
        finally:
            self._committer.close()
        return self._counts

    def _keep_what_is_embedded(self) -> None:
        """An orderly stop commits what the network has seen already."""
        self._embedder = None  # with the photos that wait for the network
        self._copies.clear()
        self._flush()
        self._committer.wait()

    # Scan

    def _compare(self, files: Iterable[ScanResult]) -> tuple[Listing[Listed], list[bytes]]:
        """Judge without a look into the files; returns the files to be read and the folders that could not be."""
        to_read = Listing[Listed]()
        unreachable: list[bytes] = []
        for block in batched(self._told(files), TOGETHER):
            self._detector.look_up([os.fsencode(file.path) for file in block])
            for file in block:
                if isinstance(file, Failure):
                    self._fail(file, FileState())
                    unreachable.append(os.fsencode(file.path))
                elif isinstance(file, scan.Ignored):
                    self._leave_out(file)
                elif self._companions is None or not self._companions.waits(file):
                    to_read.add(self._detector.listed(self._not_unchanged([file])))
            if len(self._committer.batch.updates) > COMMIT_CHANGES:
                self._flush()
            self._let_in()
        if self._companions is not None:
            to_read.add(self._detector.listed(self._not_unchanged(self._companions.alone())))
        return to_read, unreachable

    def _leave_out(self, file: scan.Ignored) -> None:
        """Count what is not to be in the index, and remember where that may matter to photos."""
        path = os.fsencode(file.path)
        if file.is_folder or self._detector.photo_id(path) is not None or companion_kind(os.path.basename(file.path)):
            self._left_out.append(path)
        self._ignore(path, file.reason, file.files)

    def _told(self, files: Iterable[ScanResult]) -> Iterator[ScanResult]:
        """The same, while the caller hears how many they are."""
        for number, file in enumerate(files):
            if number % 1000 == 0:
                self._caller.tell("scan", number, None)
            yield file

    def _not_unchanged(self, files: Iterable[scan.FoundFile]) -> list[scan.FoundFile]:
        """Those of the files that have to be read; the others are counted."""
        changed = [f for f in files if self._reread or self._may_be_left_out(f) or not self._is_unchanged(f)]
        for file in changed:
            self._detector.mark_read(file.path)
        return changed

    def _may_be_left_out(self, file: scan.FoundFile) -> bool:
        """Whether a file is called as a camera RAW, and the user wants none in the index."""
        return self._ignores_raw and has_raw_name(file.path)

    def _is_unchanged(self, file: scan.FoundFile) -> bool:
        before = self._detector.by_state(file)
        if isinstance(before, Failure):
            self._counts.failed.append(before)
        elif before is not None:
            self._count_unchanged(before, os.fsdecode(file.path))
            if before.was_missing or before.state is not None:
                state = {} if before.state is None else asdict(before.state)
                self._committer.batch.updates.append(PhotoUpdate(before.photo_id, {"missing": False, **state}))
        return before is not None

    def _count_unchanged(self, known: Unchanged, path: str) -> None:
        if known.damaged is None:
            self._counts.unchanged += 1
        else:
            self._counts.failed.append(Failure.damaged(path, known.damaged))

    def _join_companions(self, companions: Companions, unreachable: Sequence[bytes]) -> None:
        """The files that go with photos, which are committed by now; a RAW that goes with none is a photo."""
        catalog, left_out = self._store.catalog, PathSet(self._left_out)
        self._committer.wait()
        heirs, alone = companions.pair(left_out, unreachable)
        if heirs:
            catalog.inherit(heirs, forget=True)
        self._read_more(self._not_unchanged(alone))
        settled = companions.settle(left_out, unreachable)
        if settled.heirs:
            catalog.inherit(settled.heirs, forget=False)
        self._read_sidecars(settled.rows, companions.folders)
        self._counts.paired = settled.paired
        self._companions = None  # what is no photo is ignored from now on
        for path, reason in settled.ignored:
            self._ignore(path, reason)
        self._read_more(settled.unknown)

    def _forget_companions(self, photo_ids: Iterable[int]) -> None:
        """Of photos whose own files were read anew: what lies beside them is to be read after that."""
        if self._companions is not None:
            self._committer.batch.companions |= {photo_id: [] for photo_id in photo_ids}

    def _read_sidecars(self, companions: Mapping[int, list[Companion]], folders: Sequence[bytes]) -> None:
        """What lies beside photos where it has changed, and what it says of them, in one commit."""
        unread = self._labels.without_keywords(folders)
        found, failed = sidecars.renewed(self._store.catalog, companions, unread, self._idle)
        batch = self._committer.batch
        batch.updates += found
        batch.companions = {photo_id: ones for photo_id, ones in companions.items() if photo_id not in failed}

    def _read_more(self, files: Sequence[scan.FoundFile]) -> None:
        if files:
            self._read_all(Listing(self._detector.listed(files)))
            self._flush()
            self._committer.wait()

    # Read, decode, embed

    def _read_all(self, to_read: Listing[Listed]) -> None:
        done = 0
        self._costly.clear()
        self._said |= {os.fsdecode(one.file.path): one.file.said for one in to_read if one.file.said is not None}
        self._caller.tell("index", 0, len(to_read))
        with closing(self._outcomes(to_read)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Costly):
                    self._costly.append(outcome)
                    continue
                self._take(outcome)
                done += 1
                self._caller.tell("index", done, len(to_read), outcome.photo.path)
                self._let_in()
                waiting = 0 if self._embedder is None else len(self._embedder)
                if self._committer.is_due(len(self._committer.photos) + waiting + len(self._copies)):
                    self._embed_waiting()
                    self._caller.tell_again()
                    self._flush()
        for number, costly in enumerate(self._costly, start=done + 1):
            self._take_costly(costly)
            self._caller.tell("index", number, len(to_read), costly.photo.path)
            self._let_in()

    def _idle(self) -> None:
        """While nothing is done but waiting, as for a network that is loaded or a file that does not answer."""
        self._caller.tell_again()
        self._let_in()

    def _let_in(self) -> None:
        """Let the caller change the index, after each commit or where there was none for a while."""
        if self._caller.is_due(committed=self._committer.has_committed()):
            self._committer.wait()
            self._caller.let_in()
            self._labels.renew()

    def _outcomes(self, to_read: Listing[Listed]) -> Generator[Outcome | Elsewhere | Costly]:
        """What each file holds, in their order; small birds are searched for while a photo is decoded here."""
        # Of what lies in a folder and is not called as a photo the first bytes tell: it starts no cluster.
        if self._cluster is not None and (self._is_listed or any(has_photo_name(one.file.path) for one in to_read)):
            way = Way(not self._ignores_raw, COSTLY, not self._committer.first_part)
            listed = (lambda: (one.file for one in to_read)), len(to_read)
            with closing(self._cluster.outcomes(*listed, way, self._idle)) as embedded:
                yield from (outcome for _, outcome in zip(self._detector.recalled(to_read), embedded, strict=True))
            return
        self._finder = self._loaded_finder(to_read)
        ahead = AHEAD if self._finder is None else regions.TOGETHER
        files = self._detector.recalled(to_read)
        workers = REMOTE_WORKERS if any(is_url(one.file.path) for one in to_read) else None
        with closing(overlapped(files, self._prepare_cheap, ahead=ahead, idle=self._idle, workers=workers)) as outcomes:
            if self._finder is None:
                yield from outcomes
            else:
                yield from regions.with_birds(outcomes, self._finder, self._store.backbone.input_size, self._idle)

    def _loaded_finder(self, to_read: Listing[Listed]) -> finders.Finder | None:
        """The finder, where it is needed now: photos that the catalog has are searched later, if their boxes allow."""
        files = () if self._finder_name is None else self._detector.recalled(to_read)
        if self._finder_name is None or all(self._detector.photo_id(file.path) is not None for file in files):
            return None
        try:
            return finders.finder(self._finder_name)
        except (BackboneUnavailableError, ValueError):
            return None  # which is told when those photos are searched that were not yet

    def _take_costly(self, costly: Costly) -> None:
        """Decode a large picture, and note before that it was tried: where this kills the run, the next one goes on."""
        path = costly.photo.path
        note = f"the program ended while it decoded this file ({costly.why}); touch the file to try it again"
        self._committer.batch.failed.append((costly.file.state, Failure(path, "decode", note)))
        self._flush()
        self._committer.wait()
        try:
            outcome = self._prepare(costly.file)
        finally:
            self._committer.batch.recovered.append(path)
        self._take(outcome)

    def _prepare_cheap(self, entry: scan.FoundFile) -> Outcome | Costly:
        """Runs in a thread, as `_prepare`; what takes much memory is put off."""
        search = self._finder is not None and self._detector.photo_id(entry.path) is None
        upright = self._finder.size if self._finder is not None and search else None
        return unless_costly(entry, COSTLY, lambda: self._prepare(entry, COSTLY, upright))

    def _prepare(
        self, entry: scan.FoundFile, most: int | None = None, upright: tuple[int, int] | None = None
    ) -> Outcome:
        """The file's bytes, and its pixels where its content is new. Raises CostlyError as `decode` does."""

        def take(file: scan.FileBytes) -> decode.Decoded | KnownContent:
            assert file.photo.sha256 is not None  # read has just computed it
            self._committer.states[file.photo.path] = file.state
            if self._detector.is_known(file.photo.sha256) and not self._reread:
                return KnownContent(decode.written(file))
            size = (self._given or self._store.backbone).input_size
            return decode.decode(file.data, file.photo, size, file.format, upright=upright, most=most)

        return outcome_of(entry, take, raw=not self._ignores_raw)

    def _take(self, outcome: Outcome | Elsewhere) -> None:
        path = os.fsencode(outcome.photo.path)
        if isinstance(outcome, Rejected):
            if outcome.stage == "ignored":
                self._ignore(path, outcome.reason)
                return
            # What could not be read today (permission, a disk that is away) is tried again tomorrow.
            state = FileState() if outcome.stage == "read" else outcome.file.state
            self._fail(Failure(outcome.photo.path, outcome.stage, outcome.reason), state)
            return
        self._detector.mark_found(path)
        if self._detector.had_failed(path):
            self._committer.batch.recovered.append(outcome.photo.path)
        if (said := self._said.pop(outcome.photo.path, None)) is not None:
            outcome = _with_more(outcome, said)
        assert outcome.photo.sha256 is not None  # read and decode fill it
        if isinstance(outcome, Elsewhere):
            self._committer.states[outcome.photo.path] = outcome.state
        # What is read anew is decoded whatever is known; of what else was decoded here nothing was known just before.
        afresh = not self._reread and not isinstance(outcome, Elsewhere)
        known = self._detector.has_come if afresh else self._detector.is_known
        if isinstance(outcome, KnownContent) or known(outcome.photo.sha256):
            self._take_known(outcome.photo)
            return
        self._detector.add_content(outcome.photo.sha256)
        if isinstance(outcome, Elsewhere):
            self._take_embedded([outcome.embedded], outcome.provenance)
            return
        if self._embedder is None:
            proven = not self._committer.first_part
            classes, idle = self._store.stored_classes, self._caller.attends
            self._embedder = Embedder(self._store.backbone, classes, proven, idle)
        self._take_embedded(self._embedder.add(outcome), self._embedder.provenance)

    def _take_known(self, photo: Photo) -> None:
        known = self._detector.by_content(photo)
        if known is None:
            self._copies.append(photo)
            return
        state = {**asdict(self._committer.states.pop(photo.path)), "missing": False}
        if self._reread:
            state |= facts(photo)
            self._forget_companions([known.photo_id])
        if isinstance(known, Unchanged):
            known = replace(known, damaged=photo.damaged if self._reread else known.damaged)
            self._committer.batch.updates.append(PhotoUpdate(known.photo_id, state))
            self._count_unchanged(known, photo.path)
        else:
            self._move(known, photo, state)

    def _move(self, moved: Moved, photo: Photo, state: Mapping[str, object]) -> None:
        path = os.fsencode(photo.path)
        self._committer.wait()  # labels are written at once, and a catalog takes one writer at a time
        self._labels.follow(moved.old_path, path)
        root_id, relative = self._store.catalog.split_path(path)
        batch = self._committer.batch
        batch.updates.append(PhotoUpdate(moved.photo_id, {"root_id": root_id, "relative": relative, **state}))
        if (label := self._labels.of(path, photo.sha256)) is not None:
            batch.labels[moved.photo_id] = label
        self._counts.moved += 1

    def _take_embedded(self, results: Iterable[EmbeddedPhoto | NotEmbedded], provenance: str) -> None:
        for result in results:
            photo = result.photo
            if isinstance(result, NotEmbedded):
                self._fail(Failure(photo.path, "embed", result.reason), self._committer.states.pop(photo.path))
            else:
                self._committer.provenance = provenance
                photo = replace(photo, id=self._detector.photo_id(os.fsencode(photo.path)))
                self._committer.photos.append(replace(result, photo=photo))

    # What is not indexed

    def _ignore(self, path: bytes, reason: str, files: int = 1) -> None:
        # Who names a file takes it for a photo; but a shell's `*` names the movies and sidecars beside the photos too.
        is_named = (path in self._named or self._is_listed) and reason != scan.RAW_LEFT_OUT
        if is_named and (self._given is not None or self._is_listed or has_photo_name(path)):
            self._fail(Failure(os.fsdecode(path), "read", reason), FileState())
            return
        if self._companions is not None and self._companions.takes(path, reason):
            return
        self._counts.ignored[reason] += files
        if self._detector.had_failed(path):
            self._committer.batch.recovered.append(os.fsdecode(path))

    def _fail(self, failure: Failure, state: FileState) -> None:
        """Count a failure; with the state of its file it is not tried again before that changes."""
        path = os.fsencode(failure.path)
        self._counts.failed.append(failure)
        self._detector.mark_found(path, failed=True)
        if (photo_id := self._detector.photo_id(path)) is not None:
            # The photo that was here is no longer what the file shows: hidden, and counted as this failure.
            self._committer.batch.updates.append(PhotoUpdate(photo_id, {"missing": True}))
        # Last: once the failure is committed the file is not read again, so Ctrl-C must not come in between.
        self._committer.batch.failed.append((state, failure))

    def _empty(self, folders: Sequence[bytes]) -> list[bytes]:
        """Named folders that are empty though they had photos: a disk that is away leaves one, so none is missing."""
        bare = [folder for folder in folders if not scan.has_entries(folder)]
        known = self._detector.photos_under(bare) if bare else Counter[bytes]()
        empty = [folder for folder in bare if known[folder]]
        for folder in empty:
            name, photos = shown(os.fsdecode(folder)), counted(known[folder], "photo")
            logger.warning(
                "%s is empty: its %s stay as they are. Is a disk away? If not: index --prune --force "
                "(in Python prune=True, force=True)",
                name,
                photos,
            )
        return empty

    def _hide_missing(self, folders: Sequence[bytes], unreachable: list[bytes], options: AddOptions) -> None:
        """Photos and failures under the named folders whose file is not there any more, or is left out."""
        self._committer.batch.recovered += self._detector.resolved_failures(unreachable)
        missing = self._detector.missing(unreachable, self._left_out)
        self._counts.missing = len(missing.ids)
        if hidden := missing.left_out:
            logger.warning("photos that are left out now: %d. They stay in the index with their labels, hidden", hidden)
        if options.prune and not options.force:
            self._counts.not_pruned = self._why_not_pruned(folders, unreachable, missing.ids)
        pruned = options.prune and not self._counts.not_pruned
        self._committer.wait()
        for ids in batched(missing.ids, COMMIT_CHANGES):
            if pruned:
                self._store.catalog.remove(ids)
            else:
                self._committer.batch.updates += [PhotoUpdate(photo_id, {"missing": True}) for photo_id in ids]
                self._flush()

    def _forget_failures(self) -> None:
        """Failures whose folder has gone; a root that is away or empty, as that of a disk, tells nothing."""
        roots = self._store.catalog.roots_in_use()
        for failure in self._store.catalog.failures():
            path = os.fsencode(failure.path)
            root = next((root for root in roots if path.startswith(with_trailing_slash(root))), None)
            away = root is not None and not (os.path.isdir(root) and scan.has_entries(root))
            # What failed in a store is judged by its listing alone.
            if not away and not is_url(path) and not os.path.lexists(os.path.dirname(path)):
                self._committer.batch.recovered.append(failure.path)

    def _why_not_pruned(self, folders: Sequence[bytes], unreachable: Sequence[bytes], missing: IdSet) -> str:
        """What speaks for a disk that is away, not for photos that somebody took away; empty where nothing does."""
        known, gone = self._detector.photos_under(folders), self._detector.photos_under(folders, missing)
        for folder in folders:
            name = shown(os.fsdecode(folder))
            if folder in unreachable and known[folder]:
                what = f"{name} is empty or cannot be read, and the index holds {counted(known[folder], 'photo')} of it"
            elif gone[folder] > max(HANDFUL, known[folder] / 2):
                what = f"{gone[folder]:,} of {counted(known[folder], 'photo')} of {name} are gone"
            else:
                continue
            return (
                f"nothing was pruned: {what}. Is a disk away, or a folder renamed? All else was indexed. "
                "To remove them from the index all the same, add --force (in Python force=True)."
            )
        return ""

    # Commit

    def _flush(self) -> None:
        """Commit everything that was read so far."""
        self._embed_waiting()
        self._committer.wait()
        copies = self._resolved_copies()
        self._embed_waiting()
        self._committer.photos += copies
        self._forget_companions(each.photo.id for each in self._committer.photos if each.photo.id is not None)
        committed = self._committer.commit()
        self._counts.added += committed.added
        self._counts.changed += committed.changed
        self._counts.searched += committed.searched
        self._counts.found += committed.found
        self._counts.failed += [Failure.damaged(photo.path, photo.damaged or "") for photo in committed.damaged]

    def _embed_waiting(self) -> None:
        if self._embedder is not None:
            self._take_embedded(self._embedder.flush(), self._embedder.provenance)

    def _resolved_copies(self) -> list[EmbeddedPhoto]:
        """Give every copy the vector of a photo with the same content, in this batch or in the catalog."""
        copies, self._copies = self._copies, []
        copies = [replace(photo, id=self._detector.photo_id(os.fsencode(photo.path))) for photo in copies]
        if self._given is not None:
            return [self._given.of(photo) for photo in copies]
        originals = {embedded.photo.sha256 or "": embedded for embedded in self._committer.photos}
        originals |= self._committer.stored(list({photo.sha256 for photo in copies if photo.sha256} - set(originals)))
        resolved: list[EmbeddedPhoto] = []
        for photo in copies:
            assert photo.sha256 is not None  # set by read
            if (original := originals.get(photo.sha256)) is None:
                # It could not be embedded, or has shown something else since an earlier commit of this run.
                self._detector.drop_content(photo.sha256)
                state = self._committer.states[photo.path]
                self._take(self._prepare(scan.FoundFile(os.fsencode(photo.path), state)))
                continue
            own = replace(original.photo, id=photo.id, path=photo.path, size=photo.size, mtime_ns=photo.mtime_ns)
            # The catalog may know more of the original, from what lies beside it.
            own = replace(own, **{name: getattr(photo, name) for name in METADATA})
            resolved.append(replace(original, photo=own))
        return resolved
