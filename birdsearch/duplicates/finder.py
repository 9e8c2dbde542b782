"""Duplicates of one index: what is stored proposes pairs, pixels decide, and of each group one photo is kept."""

import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations, product

import numpy as np

from birdsearch import records
from birdsearch.duplicates import bursts as bursts_module
from birdsearch.duplicates import grouping, hashes, implied, keeper
from birdsearch.duplicates.candidates import LiveVectors, Proposals
from birdsearch.duplicates.keeper import KeeperOptions
from birdsearch.duplicates.verification import PairVerifier, Photos, file_identity, with_scores
from birdsearch.errors import PhotoError
from birdsearch.photos import decode
from birdsearch.records import RELATIONS, DuplicateGroup, DuplicateReport, Filter, Ids, Pair, Progress
from birdsearch.search import pairs
from birdsearch.storage.store import Store

NEIGHBOURS = 20  # of each vector that are proposed; of edited copies 0.9987 are among them or have near hashes
MIN_SCORE = 0.3  # below it neighbours are not proposed
DEEPEN_SCORE = 0.95  # a photo whose 20 neighbours all reach it is searched for more of them
WHITENED_DEEPEN_SCORE = 0.8  # the same in a whitened space
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
    with store.catalog.snapshot():  # minutes may pass, and writers go on meanwhile
        return DuplicateFinder(store, options, progress).run()


def choose_again(store: Store, report: DuplicateReport, options: KeeperOptions) -> DuplicateReport:
    """The report with other photos to keep, and with the groups that follow from that."""
    with store.catalog.snapshot():
        choose = Chooser(store.catalog.known_photos, options)
        groups = grouping.grouped(report.pairs, choose, store.catalog.not_duplicates())
        exposures = [group for group in report.groups if not RELATIONS[group.relation].same_picture]
        groups += [choose.group(sorted((group.keep, *group.others)), group.relation) for group in exposures]
    return replace(report, groups=tuple(groups))


class Chooser:
    """Chooses the photo to keep; measures sharpness where it decides, once for each photo."""

    def __init__(self, photos: Photos, options: KeeperOptions) -> None:
        self._photos, self._options = photos, options
        self._sharpness = cache(self._measured)

    def __call__(self, ids: Sequence[int], relation: str | None = None) -> keeper.Choice:
        """Which of these photos to keep, and why."""
        known = self._photos(ids)
        photos = [known[photo_id] for photo_id in ids]
        return keeper.best(photos, self._options, sharpness=self._sharpness, relation=relation)

    def _measured(self, photo_id: int) -> float:
        with suppress(PhotoError):
            photo = self._photos((photo_id,))[photo_id]
            return keeper.sharpness(decode.picture(photo.path, keeper.SHARPNESS_LONGEST))
        return math.nan

    def group(self, ids: Sequence[int], relation: str) -> DuplicateGroup:
        """The group of these photos, which all have this relation to each other."""
        choice = self(ids, relation)
        others = tuple(photo_id for photo_id in ids if photo_id != choice.keep)
        relations = (relation,) * len(others)
        return DuplicateGroup(relation, choice.keep, others, choice.reason, relations, choice.reasons, choice.protected)


class DuplicateFinder:
    """One search for duplicates among the photos of an index."""

    def __init__(self, store: Store, options: DuplicateOptions, progress: Progress | None) -> None:
        self._store, self._catalog, self._options, self._progress = store, store.catalog, options, progress
        self._verifier = PairVerifier(self._catalog.known_photos, progress)
        self._choose = Chooser(self._catalog.known_photos, options.keeper)
        self._different = self._catalog.not_duplicates()

    def run(self) -> DuplicateReport:
        """All pairs and groups of the relations in question."""
        started = time.monotonic()
        relations = self._options.relations
        copies = self._same_bytes()
        related = [Pair(a, b, records.IDENTICAL.name, 1.0) for ids in copies for a, b in _pairs_of(ids)]
        if self._options.compares_pixels:
            with Proposals() as proposals:
                self._propose(proposals, copies)
                related += _with_copies(self._verified(proposals), copies)
        related = [pair for pair in related if pair.relation in relations and (pair.a, pair.b) not in self._different]
        if records.VARIANT.name in relations:
            related += implied.implied_pairs(related, refused=self._different)
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
        return DuplicateReport(tuple(scored), tuple(groups), counts, time.monotonic() - started)

    def _same_bytes(self) -> list[list[int]]:
        """Ids of the photos of each content that lies in more than one file; two names of one file are one."""
        same = []
        for ids in self._catalog.copies(self._options.where):
            known = self._catalog.known_photos(ids)
            present = [photo_id for photo_id in ids if os.path.exists(known[photo_id].path)]
            self._verifier.unreadable.update(set(ids) - set(present))
            files = {file_identity(known[photo_id].path): photo_id for photo_id in reversed(present)}
            if len(files) > 1:
                same.append(sorted(files.values()))
        return same

    def _propose(self, proposals: Proposals, copies: list[list[int]]) -> None:
        """Take in the pairs that are worth verifying, one photo of the same bytes standing for all."""
        live = LiveVectors(self._store, self._options.where)
        first = {copy: ids[0] for ids in copies for copy in ids[1:]}
        if len(live) > 1:
            # Whitening lowers scores, by how much depends on the photos: there the number of neighbours alone decides.
            whitened = self._store.vectors.whitening() is not None
            lowest, wide = (-1.0, WHITENED_DEEPEN_SCORE) if whitened else (MIN_SCORE, DEEPEN_SCORE)
            for near in pairs.near_blocks(live.blocks, live, lowest, k=NEIGHBOURS, wide=wide):
                proposals.add(_replaced(live.photos_of(near.ids), first))
                if self._progress is not None:
                    self._progress("propose", live.done, len(live), "")
        ids, known = self._catalog.hashes(self._options.where)
        self._verifier.hashes = dict(zip(ids.tolist(), known.tolist(), strict=True))
        proposals.add(_replaced(hashes.hash_pairs(known, ids), first))

    def _verified(self, proposals: Proposals) -> list[Pair]:
        """Those of the pairs whose pixels agree, and those that follow among their partners."""
        verified: list[Pair] = []
        done, total = 0, len(proposals)
        for block in proposals.blocks():
            verified += self._verifier.verify(block, done, total)
            done += len(block)
        tested = set(self._different)
        while True:
            # The photos of one group are all compared with each other.
            small = [combinations(ids, 2) for ids in grouping.connected(verified) if len(ids) <= ALL_WITH_ALL]
            left = np.array([pair for group in small for pair in group if pair not in tested], dtype=np.int64)
            if not len(left):
                return verified
            tested.update((a, b) for a, b in left.tolist())
            verified += self._verifier.verify(left[~proposals.holds(left)])

    def _bursts(self, copies: set[int]) -> list[DuplicateGroup]:
        """Groups of exposures of one moment; of the copies of a picture only the kept one takes part."""
        taken = [photo for photo in self._catalog.summaries(self._options.where) if photo.photo_id not in copies]
        sequences = bursts_module.bursts(
            taken,
            self._options.burst_gap,
            vectors=lambda ids: self._store.vectors.fetch(ids.tolist())[0],
            paths=lambda ids: {i: photo.path for i, photo in self._catalog.known_photos(ids).items()},
        )
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


def _replaced(ids: Ids, first: dict[int, int]) -> Ids:
    """The ids (m, 2) with every copy replaced by the photo that stands for it."""
    if not first:
        return ids
    copies, originals = np.array(sorted(first.items()), dtype=np.int64).T
    places = np.minimum(np.searchsorted(copies, ids), len(copies) - 1)
    return np.where(copies[places] == ids, originals[places], ids)


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
