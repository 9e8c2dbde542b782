"""Duplicates of one index: what is stored proposes pairs, pixels decide, and of each group one photo is kept."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from birdsearch import memory, records
from birdsearch.duplicates import bursts as bursts_module
from birdsearch.duplicates import grouping, hashes, implied, keeper
from birdsearch.duplicates.candidates import LiveVectors, Proposals
from birdsearch.duplicates.compared import Compared
from birdsearch.duplicates.evidence import FileEvidence
from birdsearch.duplicates.keeper import KeeperOptions
from birdsearch.duplicates.verification import PairVerifier, file_identity, with_scores
from birdsearch.files import is_there
from birdsearch.records import RELATIONS, DuplicateGroup, DuplicateReport, Filter, Ids, Pair, Photo, Progress, blocks
from birdsearch.search import pairs
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.store import Store

NEIGHBOURS = 20  # of each vector that are proposed; of edited copies 0.9987 are among them or have near hashes
MIN_SCORE = 0.3  # below it neighbours are not proposed
DEEPEN_SCORE = 0.95  # a photo whose 20 neighbours all reach it is searched for more of them
WHITENED_DEEPEN_SCORE = 0.8  # the same in a whitened space
VERIFIED_AT_ONCE = 2048  # pairs, before those that follow from them are left out
RECORD, BURST_RECORD = 300, 700  # bytes of what is known of a photo; and where bursts are looked for
ALL_WITH_ALL = 30  # photos of one group whose pairs are all compared, or reported


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """What to look for. Raises ValueError for a relation that does not exist, and for a gap below 0."""

    relations: tuple[str, ...] = tuple(RELATIONS)
    where: Filter | None = None
    burst_gap: float = bursts_module.GAP  # seconds
    keeper: KeeperOptions = field(default_factory=KeeperOptions)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.relations if name not in RELATIONS]:
            raise ValueError(f"no relation {', '.join(map(repr, unknown))}: there are {', '.join(RELATIONS)}")
        if not self.burst_gap >= 0:
            raise ValueError(f"the gap must be 0 seconds or more, got {self.burst_gap}")

    @property
    def compares_pixels(self) -> bool:
        """Whether pictures must be read."""
        return records.VARIANT.name in self.relations or records.PIXELS.name in self.relations


def find(store: Store, options: DuplicateOptions, progress: Progress | None = None) -> DuplicateReport:
    """All pairs and groups of the relations in question among the photos of an index."""
    # Minutes may pass, and writers go on meanwhile.
    with closing(Compared()) as compared, store.catalog.snapshot():
        return DuplicateFinder(store, options, compared, progress).run()


def choose_again(store: Store, report: DuplicateReport, options: KeeperOptions) -> DuplicateReport:
    """The report with other photos to keep, and with the groups that follow from that."""
    with closing(Compared()) as compared, store.catalog.snapshot():
        choose = Chooser(store.catalog, options, compared)
        groups = grouping.grouped(report.pairs, choose, store.catalog.not_duplicates())
        exposures = [group for group in report.groups if not RELATIONS[group.relation].same_picture]
        groups += [choose.group(sorted((group.keep, *group.others)), group.relation) for group in exposures]
    return replace(report, groups=tuple(groups))


class Chooser:
    """Chooses the photo to keep; asks the files only where the records do not decide."""

    def __init__(self, catalog: Catalog, options: KeeperOptions, compared: Compared) -> None:
        self._photos, self._options = catalog.known_photos, options
        self._evidence = FileEvidence(catalog.roots(), compared)

    def __call__(
        self, ids: Sequence[int], pictures: Sequence[int] | None = None, relation: str | None = None
    ) -> keeper.Choice:
        """Which of these photos to keep, and why; `pictures` are equal for photos of the same pixels."""
        known = self._photos(ids)
        photos = [known[photo_id] for photo_id in ids]
        return keeper.best(photos, self._options, evidence=self._evidence, relation=relation, pictures=pictures)

    def group(self, ids: Sequence[int], relation: str) -> DuplicateGroup:
        """The group of these photos, which all have this relation to each other."""
        choice = self(ids, relation=relation)
        others = tuple(photo_id for photo_id in ids if photo_id != choice.keep)
        relations = (relation,) * len(others)
        return DuplicateGroup(relation, choice.keep, others, choice.reason, relations, choice.reasons, choice.protected)


class DuplicateFinder:
    """One search for duplicates among the photos of an index."""

    def __init__(self, store: Store, options: DuplicateOptions, compared: Compared, progress: Progress | None) -> None:
        self._store, self._catalog, self._options, self._progress = store, store.catalog, options, progress
        self._verifier = PairVerifier(self._catalog.known_photos, compared, progress)
        self._choose = Chooser(self._catalog, options.keeper, compared)
        self._different = self._catalog.not_duplicates()

    def run(self) -> DuplicateReport:
        """All pairs and groups of the relations in question."""
        started = time.monotonic()
        relations = self._options.relations
        each = RECORD + BURST_RECORD * (records.BURST.name in relations)
        memory.check_room(self._catalog.count(self._options.where), each)
        copies = self._same_bytes()
        related = [Pair(a, b, records.IDENTICAL.name, 1.0) for ids in copies for a, b in _pairs_of(ids)]
        if self._options.compares_pixels:
            related += _with_copies(self._same_pixels(copies), copies)
            pictures = self._pictures(related)
            with Proposals() as proposals:
                self._propose(proposals, pictures)
                related += _with_copies(self._verified(proposals), pictures)
        related = [pair for pair in related if pair.relation in relations and (pair.a, pair.b) not in self._different]
        if records.VARIANT.name in relations:
            related += self._verifier.without_exposures(implied.implied_pairs(related, refused=self._different))
        groups = grouping.grouped(related, self._choose, self._different)
        if records.BURST.name in relations:
            bursts = self._bursts({other for group in groups for other in group.others})
            exposures = (sorted((burst.keep, *burst.others)) for burst in bursts)
            related += [Pair(a, b, records.BURST.name, None) for ids in exposures for a, b in _pairs_of(ids)]
            groups += bursts
        related = sorted(related, key=lambda pair: (pair.a, pair.b))
        scored = with_scores(related, self._catalog.known_photos, lambda ids: self._store.vectors.fetch(ids)[0])
        counts = counts_of(self._catalog.count(self._options.where), self._verifier, self._options, scored)
        counts["groups"] = len(groups)
        unread = tuple(sorted(self._verifier.unreadable))
        return DuplicateReport(tuple(scored), tuple(groups), counts, time.monotonic() - started, unread)

    def _same_bytes(self) -> list[list[int]]:
        """Ids of the photos of each content that lies in more than one file; two names of one file are one."""
        same = []
        for ids in self._catalog.copies(self._options.where):
            known = self._catalog.known_photos(ids)
            present = [photo_id for photo_id in ids if is_there(known[photo_id].path)]
            self._verifier.unreadable.update(set(ids) - set(present))
            files = {file_identity(known[photo_id].path): photo_id for photo_id in reversed(present)}
            if len(files) > 1:
                same.append(sorted(files.values()))
        return same

    def _same_pixels(self, copies: list[list[int]]) -> list[Pair]:
        """Pairs of the same pixels in other bytes, as far as equal hashes and sizes propose them.

        Of many copies of one picture each is read once, not compared with every other one.
        """
        ids, known = self._catalog.hashes(self._options.where)
        rows = np.flatnonzero(~np.isin(ids, [copy for same in copies for copy in same[1:]]))
        alike = [ids[rows[group]].tolist() for group in grouping.components(len(rows), _equal(known[rows]))]
        found: list[Pair] = []
        for group in (group for group in alike if len(group) > 1):
            sizes: dict[tuple[int | None, int | None], list[Photo]] = defaultdict(list)
            # Equal bytes are one file under two names here.
            for photo in {photo.sha256: photo for photo in self._catalog.known_photos(group).values()}.values():
                sizes[photo.width, photo.height].append(photo)
            for photos in (photos for photos in sizes.values() if len(photos) > 1):
                same = self._verifier.same_pixels(photos)
                found += (Pair(a, b, records.PIXELS.name, None) for each in same for a, b in _pairs_of(sorted(each)))
        return found

    def _pictures(self, related: list[Pair]) -> list[list[int]]:
        """Photos of the same pixels, first of each list the one that stands for all: one that tells of its camera."""
        pictures = grouping.connected(related)
        known = self._catalog.known_photos([photo_id for ids in pictures for photo_id in ids])
        return [sorted(ids, key=lambda photo_id: (known[photo_id].camera is None, photo_id)) for ids in pictures]

    def _propose(self, proposals: Proposals, pictures: list[list[int]]) -> None:
        """Take in the pairs that are worth verifying, one photo of the same pixels standing for all."""
        first = {copy: ids[0] for ids in pictures for copy in ids[1:]}
        live = LiveVectors(self._store, self._options.where, without=first)
        if len(live) > 1:
            # Whitening lowers scores, by how much depends on the photos: there the number of neighbours alone decides.
            whitened = self._store.vectors.whitening() is not None
            lowest, wide = (-1.0, WHITENED_DEEPEN_SCORE) if whitened else (MIN_SCORE, DEEPEN_SCORE)
            for near in pairs.near_blocks(live.blocks, live, lowest, k=NEIGHBOURS, wide=wide):
                proposals.add(live.photos_of(near.ids))
                if self._progress is not None:
                    self._progress("propose", live.done, len(live), "")
        ids, known = self._catalog.hashes(self._options.where)
        self._verifier.hashes = dict(zip(ids.tolist(), known.tolist(), strict=True))
        kept = ~np.isin(ids, list(first))
        proposals.add(hashes.hash_pairs(known[kept], ids[kept]))

    def _verified(self, proposals: Proposals) -> list[Pair]:
        """Those of the pairs whose pixels agree, and those that follow among their partners."""
        verified: list[Pair] = []
        done, total = 0, len(proposals)
        joined = grouping.Joined()
        for block in proposals.blocks():
            for part in (block[each] for each in blocks(len(block), VERIFIED_AT_ONCE)):
                # In a large group the pairs of one photo are enough: the others would be as many as its square.
                new = [joined.size(a) <= ALL_WITH_ALL or not joined.are_joined(a, b) for a, b in part.tolist()]
                found = self._verifier.verify(part[new], done, total)
                joined.add((pair.a, pair.b) for pair in found)
                verified += found
                done += len(part)
        verified += self._with_kept(verified)
        tested = set(self._different)
        while True:
            # The photos of one group are all compared with each other.
            small = [combinations(ids, 2) for ids in grouping.connected(verified) if len(ids) <= ALL_WITH_ALL]
            left = np.array([pair for group in small for pair in group if pair not in tested], dtype=np.int64)
            if not len(left):
                return verified
            tested.update((a, b) for a, b in left.tolist())
            verified += self._verifier.verify(left[~proposals.holds(left)])

    def _with_kept(self, verified: list[Pair]) -> list[Pair]:
        """The pairs of each large group's kept photo with all others that are not verified yet."""
        known = {(pair.a, pair.b) for pair in verified} | self._different
        left = []
        for ids in grouping.connected(verified):
            if len(ids) > ALL_WITH_ALL:
                kept = self._choose(ids).keep
                ends = (sorted((kept, other)) for other in ids if other != kept)
                left += [(a, b) for a, b in ends if (a, b) not in known]
        return self._verifier.verify(np.array(left, dtype=np.int64)) if left else []

    def _bursts(self, copies: set[int]) -> list[DuplicateGroup]:
        """Groups of exposures of one moment; of the copies of a picture only the kept one takes part."""
        taken = [photo for photo in self._catalog.summaries(self._options.where) if photo.photo_id not in copies]
        sequences = [
            sequence
            for rendered in records.RENDERED
            for sequence in bursts_module.bursts(
                [photo for photo in taken if photo.rendered == rendered],
                self._options.burst_gap,
                vectors=lambda ids: self._store.vectors.fetch(ids.tolist())[0],
                paths=lambda ids: {i: photo.path for i, photo in self._catalog.known_photos(ids).items()},
            )
        ]
        content = {photo.photo_id: photo.sha256 for photo in taken}
        # Two copies are not a burst: of photos of the same bytes the first one stands for all.
        first = ({content[photo_id]: photo_id for photo_id in reversed(ids)} for ids in sequences)
        exposures = [[i for i in ids if one[content[i]] == i] for ids, one in zip(sequences, first, strict=True)]
        return [self._choose.group(ids, records.BURST.name) for ids in exposures if len(ids) > 1]


def counts_of(
    photos: int, verifier: PairVerifier, options: DuplicateOptions, related: Sequence[Pair]
) -> dict[str, int]:
    """The counts of a report, without those of its groups."""
    of_relation = Counter(pair.relation for pair in related)
    return {
        "photos": photos,
        "candidates": verifier.candidates,
        "unreadable": len(verifier.unreadable),
        **{relation: of_relation[relation] for relation in options.relations},
    }


def _pairs_of(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """All pairs of a few ids in ascending order; of many, those with the first."""
    return combinations(ids, 2) if len(ids) <= ALL_WITH_ALL else ((ids[0], other) for other in ids[1:])


def _equal(values: npt.NDArray[np.uint64]) -> Ids:
    """Edges (m, 2) that hold rows of equal values (n,) together."""
    return grouping.edges_from_groups(np.unique(values, return_inverse=True)[1])


def _with_copies(verified: list[Pair], same: list[list[int]]) -> list[Pair]:
    """The pairs, and the same of the copies that their photos stand for."""
    copies = {ids[0]: ids for ids in same}
    every = []
    for pair in verified:
        if pair.a not in copies and pair.b not in copies:
            every.append(pair)
            continue
        ones, others = copies.get(pair.a, [pair.a]), copies.get(pair.b, [pair.b])
        both: Iterable[tuple[int, int]] = product(ones, others)
        if len(ones) * len(others) > ALL_WITH_ALL:
            both = [(pair.a, other) for other in others] + [(one, pair.b) for one in ones[1:]]
        turned = dict(pair.evidence)
        if "matrix" in turned:
            turned["matrix"] = implied.inverted(turned["matrix"])
        if "more_in_a" in turned:
            turned["more_in_a"], turned["more_in_b"] = turned["more_in_b"], turned["more_in_a"]
        every += [replace(pair, a=a, b=b) if a < b else replace(pair, a=b, b=a, evidence=turned) for a, b in both]
    return every
