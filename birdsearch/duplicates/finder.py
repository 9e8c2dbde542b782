"""Duplicates of one index: what is stored proposes pairs, pixels decide, and of each group one photo is chosen."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsearch.duplicates import bursts as bursts_module
from birdsearch.duplicates import grouping, keeper
from birdsearch.duplicates import hashes as hashes_module
from birdsearch.duplicates.candidates import Proposals, Rows
from birdsearch.duplicates.verification import Eyes, file_of
from birdsearch.errors import PhotoError
from birdsearch.photos import decode, scan
from birdsearch.records import (
    RELATIONS,
    DuplicateGroup,
    DuplicateReport,
    Failure,
    Filter,
    Ids,
    Pair,
    Photo,
    Progress,
    Vectors,
)
from birdsearch.search import pairs
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.vectors import VectorStore

if TYPE_CHECKING:
    from birdsearch.backbones import Backbone
    from birdsearch.duplicates.alignment import Alignment

NEIGHBOURS = 20  # of each vector that are looked at
LOWEST = 0.3  # score below which neighbours are not looked at
WIDE = 0.95  # score from which a photo with 20 such neighbours is asked for more of them
REFINED_WIDE = 0.8  # the same in a refined space
ALL_WITH_ALL = 30  # photos of one verified group that are all compared with each other
DECODED = 64  # new photos that go through the network together


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `duplicates` was asked for."""

    relations: tuple[str, ...] = RELATIONS
    where: Filter | None = None
    gap: float = bursts_module.GAP  # seconds
    prefer: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    policy: tuple[str, ...] = keeper.POLICY

    def __post_init__(self) -> None:
        if unknown := [name for name in self.relations if name not in RELATIONS]:
            raise ValueError(f"no relation {', '.join(map(repr, unknown))}: there are {', '.join(RELATIONS)}")
        if not self.gap >= 0:
            raise ValueError(f"the gap must be 0 seconds or more, got {self.gap}")
        keeper.policy_order(self.policy)  # raises for a criterion that is unknown


class Search:
    """One look for duplicates among the photos of an index."""

    def __init__(self, catalog: Catalog, retrieval: VectorStore, wanted: Wanted, progress: Progress | None) -> None:
        self._catalog, self._retrieval, self._wanted, self._progress = catalog, retrieval, wanted, progress
        self._new: dict[int, Photo] = {}  # photos that the index does not hold, by ids below 0
        self._new_vectors = np.empty((0, 0), dtype=np.float32)  # of the ids -1, -2...
        self._eyes = Eyes(self._photos)
        self._different = catalog.different()
        self._known_hashes: dict[int, int] = {}
        self._sharpness: dict[int, float] = {}
        self._candidates = 0

    def run(self) -> DuplicateReport:
        """All pairs and groups of the relations that were asked for."""
        started = time.monotonic()
        relations = self._wanted.relations
        same = self._same_bytes()
        found = [Pair(a, b, "identical", 1.0) for ids in same for a, b in _pairs_of(ids)]
        if "variant" in relations or "pixels" in relations:
            with Proposals() as proposed:
                self._propose(proposed, same)
                found += _with_copies(self._alike(proposed), same)
        found = [pair for pair in found if pair.relation in relations and (pair.a, pair.b) not in self._different]
        found += grouping.closed(found, refused=self._different) if "variant" in relations else ()
        groups = grouping.grouped(found, self._choose, self._different)
        if "burst" in relations:
            bursts = self._bursts({other for group in groups for other in group.others})
            found += [
                Pair(a, b, "burst", None) for burst in bursts for a, b in _pairs_of(sorted((burst.keep, *burst.others)))
            ]
            groups += bursts
        return self._report(started, found, groups)

    def run_against(self, folder: str, backbone: "Backbone") -> DuplicateReport:
        """Which photos under a folder the index holds already; they get the ids -1, -2..."""
        started = time.monotonic()
        new, self._new_vectors, left = read_new(folder, backbone, self._progress)
        self._new = {photo.id: photo for photo in new if photo.id is not None}
        visible = set(self._catalog.photo_ids(self._wanted.where))
        held = {
            n: [
                i
                for i, path in self._catalog.paths_with_bytes(photo.sha256 or "").items()
                # A copy whose file has gone since is no reason to give up this one.
                if i in visible and os.path.exists(path)
            ]
            for n, photo in self._new.items()
        }
        found = [
            Pair(n, i, "identical", 1.0)
            for n, ids in held.items()
            for i in ids
            if file_of(self._new[n].path) != file_of(self._photos([i])[i].path)
        ]
        if "variant" in self._wanted.relations or "pixels" in self._wanted.relations:
            found += self._verified(self._proposed_for([n for n, ids in held.items() if not ids]))
        found = [pair for pair in found if pair.relation in self._wanted.relations]
        report = self._report(started, found, [])
        best: dict[int, Pair] = {}
        for pair in sorted(report.pairs, key=lambda pair: (RELATIONS.index(pair.relation), -(pair.score or 0), pair.b)):
            best.setdefault(pair.a, pair)
        groups = [
            DuplicateGroup(
                pair.relation, pair.b, (pair.a,), "in the index", (pair.relation,), ("in the index already",)
            )
            for pair in sorted(best.values(), key=lambda pair: -pair.a)
        ]
        counts = {**report.counts, **left, "new": len(new), "known": len(groups), "groups": len(groups)}
        return replace(report, groups=tuple(groups), counts=counts, against=tuple(new))

    def chosen_anew(self, report: DuplicateReport) -> DuplicateReport:
        """The report with other photos to keep, and with the groups that follow from that."""
        if report.against:
            return report  # what the index holds stays, whatever the policy
        groups = grouping.grouped(report.pairs, self._choose, self._different)
        bursts = [(group.keep, *group.others) for group in report.groups if group.relation == "burst"]
        return replace(report, groups=(*groups, *(self._burst(tuple(sorted(ids))) for ids in bursts)))

    def _report(self, started: float, found: list[Pair], groups: list[DuplicateGroup]) -> DuplicateReport:
        found = self._measured(sorted(found, key=lambda pair: (pair.a, pair.b)))
        told = Counter(pair.relation for pair in found)
        counts = {
            "photos": self._catalog.count(self._wanted.where),
            "candidates": self._candidates,
            "unreadable": len(self._eyes.unreadable),
            **{relation: told[relation] for relation in self._wanted.relations},
            "groups": len(groups),
        }
        return DuplicateReport(tuple(found), tuple(groups), counts, time.monotonic() - started)

    def _photos(self, ids: Sequence[int]) -> dict[int, Photo]:
        own = self._catalog.known_photos([photo_id for photo_id in ids if photo_id > 0])
        return own | {photo_id: self._new[photo_id] for photo_id in ids if photo_id < 0}

    def _hashes(self) -> tuple[Ids, pairs.Hashes]:
        ids, hashes = self._catalog.hashes(self._wanted.where)
        self._known_hashes = dict(zip(ids.tolist(), hashes.tolist(), strict=True))
        self._known_hashes |= {i: int(photo.phash, 16) for i, photo in self._new.items() if photo.phash is not None}
        return ids, hashes

    def _hash_of(self, photo_id: int) -> int | None:
        return self._known_hashes.get(photo_id)

    def _same_bytes(self) -> list[list[int]]:
        """Ids of the photos of each content that lies in more than one file; two names of one file are one."""
        same = []
        for ids in self._catalog.same_bytes(self._wanted.where):
            known = self._photos(ids)
            here = [photo_id for photo_id in ids if os.path.exists(known[photo_id].path)]
            self._eyes.unreadable.update(set(ids) - set(here))
            files = {file_of(known[photo_id].path): photo_id for photo_id in reversed(here)}
            if len(files) > 1:
                same.append(sorted(files.values()))
        return same

    # The same picture

    def _propose(self, proposed: Proposals, same: list[list[int]]) -> None:
        """Take in the pairs that are worth a look, one of the same bytes standing for all."""
        rows = Rows(self._catalog, self._retrieval, self._wanted.where)
        first = {copy: ids[0] for ids in same for copy in ids[1:]}
        if len(rows) > 1:
            # In a refined space scores are lower, by how much depends on the photos: there the number alone decides.
            lowest, wide = (LOWEST, WIDE) if self._retrieval.whitening() is None else (-1.0, REFINED_WIDE)
            for near in pairs.near_blocks(rows.blocks, rows, lowest, k=NEIGHBOURS, wide=wide):
                proposed.add(_replaced(rows.photos[np.searchsorted(rows.ids, near.ids)], first))
                self._tell("propose", rows.asked, len(rows))
        ids, hashes = self._hashes()
        proposed.add(_replaced(hashes_module.hash_pairs(hashes, ids).ids, first))

    def _proposed_for(self, new: list[int]) -> Ids:
        """Pairs (m, 2) of new photos and photos of the index that are worth a look."""
        rows = Rows(self._catalog, self._retrieval, self._wanted.where)
        found: list[Ids] = [np.empty((0, 2), dtype=np.int64)]
        if not new or not len(rows):
            return found[0]
        numbers = np.array(new, dtype=np.int64)
        near = rows.search(self._new_vectors[-numbers - 1], min(NEIGHBOURS, len(rows)))
        who, place = np.nonzero(near.ids >= 0)
        found.append(np.stack([numbers[who], rows.photos[np.searchsorted(rows.ids, near.ids[who, place])]], axis=1))
        ids, hashes = self._hashes()
        for number in new:
            own = np.array([int(self._new[number].phash or "0", 16)], dtype=np.uint64)
            bits = np.bitwise_count(hashes_module.orientations(own) ^ hashes).min(axis=0, initial=64)
            close = np.argsort(bits, kind="stable")[: hashes_module.NEAREST]
            close = close[bits[close] <= hashes_module.reach(len(ids))]
            found.append(np.stack([np.full(len(close), number), ids[close]], axis=1))
        return np.unique(np.concatenate(found), axis=0)

    def _alike(self, proposed: Proposals) -> list[Pair]:
        """Those of the pairs whose pixels agree, and those that follow among their partners."""
        found: list[Pair] = []
        done, total = 0, len(proposed)
        for some in proposed.blocks():
            found += self._verified(some, done, total)
            done += len(some)
        tested = set(self._different)
        while True:
            # Whoever belongs together is compared with all the others of its group.
            few = [combinations(ids, 2) for ids in grouping.together(found) if len(ids) <= ALL_WITH_ALL]
            left = np.array([pair for group in few for pair in group if pair not in tested], dtype=np.int64)
            if not len(left):
                return found
            tested.update((a, b) for a, b in left.tolist())
            found += self._verified(left[~proposed.holds(left)])

    def _verified(self, proposed: Ids, before: int = 0, total: int | None = None) -> list[Pair]:
        """Those of the pairs (m, 2) whose pixels agree; `before` tells how many of `total` were compared already."""
        self._candidates += len(proposed)
        found: list[Pair] = []
        for done, (a, b, alignment) in enumerate(self._eyes.compare(proposed), 1):
            # Most pairs end here, and a question to the catalog costs as much as a look.
            if alignment is not None or (self._hash_of(a) is not None and self._hash_of(a) == self._hash_of(b)):
                found += [pair for pair in (self._judged(a, b, alignment),) if pair is not None]
            if done % 64 == 0 or done == len(proposed):
                self._tell("compare", before + done, total or len(proposed))
        return found

    def _judged(self, a: int, b: int, alignment: "Alignment | None") -> Pair | None:
        """The relation of two photos whose pixels were compared; None where they are different pictures."""
        known = self._photos((a, b))
        one, other = known[a], known[b]
        if file_of(one.path) == file_of(other.path):
            return None
        plain = alignment is None or grouping.is_plain(alignment.matrix)
        if plain and (one.width, one.height) == (other.width, other.height):
            pixels = self._eyes.pixels_of(one)
            if pixels is not None and pixels == self._eyes.pixels_of(other):
                return Pair(a, b, "pixels", None)
        if alignment is None or _taken_apart(one, other):
            return None
        return Pair(a, b, "variant", None, _evidence(alignment))

    # Bursts

    def _bursts(self, copies: set[int]) -> list[DuplicateGroup]:
        """Groups of exposures of one moment; of the copies of a picture only the kept one takes part."""
        taken = [photo for photo in self._catalog.about(self._wanted.where) if photo.photo_id not in copies]
        found = bursts_module.bursts(
            taken, self._wanted.gap, vectors=lambda ids: self._retrieval.fetch(ids.tolist())[0]
        )
        return [self._burst(ids) for ids in map(self._exposures, found) if len(ids) > 1]

    def _exposures(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Of photos of the same bytes the first one: two copies are no burst."""
        known = self._photos(ids)
        first = {known[photo_id].sha256: photo_id for photo_id in reversed(ids)}
        return tuple(photo_id for photo_id in ids if first[known[photo_id].sha256] == photo_id)

    def _burst(self, ids: tuple[int, ...]) -> DuplicateGroup:
        choice = self._choose(ids, "burst")
        others = tuple(photo_id for photo_id in ids if photo_id != choice.keep)
        return DuplicateGroup("burst", choice.keep, others, choice.reason, ("burst",) * len(others), choice.reasons)

    # What is told of them

    def _choose(self, ids: Sequence[int], relation: str | None = None) -> keeper.Choice:
        """Which of these photos to keep, and why."""
        known = self._photos(ids)

        def sharpness(photo_id: int) -> float:
            if photo_id not in self._sharpness:
                try:
                    picture = decode.picture(known[photo_id].path, keeper.SHARPNESS_LONGEST)
                    self._sharpness[photo_id] = keeper.sharpness(picture)
                except PhotoError:
                    self._sharpness[photo_id] = float("nan")
            return self._sharpness[photo_id]

        return keeper.best(
            [known[photo_id] for photo_id in ids],
            policy=self._wanted.policy,
            prefer=self._wanted.prefer,
            protect=self._wanted.protect,
            sharpness=sharpness,
            relation=relation,
        )

    def _measured(self, found: list[Pair]) -> list[Pair]:
        """The pairs with their scores and the distances of their hashes."""
        measured: list[Pair] = []
        for start in range(0, len(found), pairs.BLOCK):
            some = found[start : start + pairs.BLOCK]
            ids = sorted({photo_id for pair in some for photo_id in (pair.a, pair.b)})
            known, rows = self._photos(ids), self._vectors(ids)
            hashes = np.array([int(known[photo_id].phash or "0", 16) for photo_id in ids], dtype=np.uint64)
            a, b = (np.searchsorted(ids, [getattr(pair, end) for pair in some]) for end in "ab")
            scores = np.einsum("nd,nd->n", rows[a], rows[b])
            bits = np.bitwise_count(hashes_module.orientations(hashes[a]) ^ hashes[b]).min(axis=0)
            for pair, score, distance in zip(some, scores.tolist(), bits.tolist(), strict=True):
                hashed = {"hash_distance": distance} if known[pair.a].phash and known[pair.b].phash else {}
                measured.append(replace(pair, score=min(1.0, score), evidence={**hashed, **pair.evidence}))
        return measured

    def _vectors(self, ids: Sequence[int]) -> Vectors:
        """The raw vectors (n, dim) of photos of the index and of new ones."""
        own = [photo_id for photo_id in ids if photo_id > 0]
        new = np.array([-photo_id - 1 for photo_id in ids if photo_id < 0], dtype=np.int64)
        rows = self._retrieval.fetch(own)[0]
        return (
            np.concatenate([self._new_vectors[new], rows]) if len(new) else rows
        )  # ids ascend: the new ones come first

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, total, "")


def read_new(
    folder: str, backbone: "Backbone", progress: Progress | None
) -> tuple[list[Photo], Vectors, dict[str, int]]:
    """The photos under a folder, with the ids -1, -2..., their vectors (n, dim), and what was not taken."""
    found: list[Photo] = []
    vectors: list[Vectors] = [np.empty((0, backbone.dim), dtype=np.float32)]
    waiting: list[decode.Decoded] = []
    left: Counter[str] = Counter()

    def embed() -> None:
        if waiting:
            vectors.append(backbone.embed_pixels(np.stack([decoded.pixels for decoded in waiting])).vectors)
            waiting.clear()

    for file in scan.scan([folder]):
        if not isinstance(file, scan.FoundFile):
            left["failed" if isinstance(file, Failure) else "ignored"] += 1
            continue
        try:
            read = scan.read(file)
            waiting.append(decode.decode(read.data, read.photo, backbone.input_size))
        except scan.NotAPhotoError:
            left["ignored"] += 1
        except PhotoError:
            left["failed"] += 1
        else:
            found.append(replace(waiting[-1].photo, id=-len(found) - 1))
            if progress is not None:
                progress("read", len(found), None, found[-1].path)
        if len(waiting) == DECODED:
            embed()
    embed()
    return found, np.concatenate(vectors), dict(left)


def _pairs_of(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """All pairs of a few ids in ascending order; of many, those with the first."""
    return combinations(ids, 2) if len(ids) <= ALL_WITH_ALL else ((ids[0], other) for other in ids[1:])


def _replaced(ids: Ids, first: dict[int, int]) -> Ids:
    """The ids (m, 2) with every copy replaced by the photo that stands for it."""
    if not first:
        return ids
    copies = np.array(sorted(first), dtype=np.int64)
    originals = np.array([first[copy] for copy in copies.tolist()], dtype=np.int64)
    places = np.minimum(np.searchsorted(copies, ids), len(copies) - 1)
    return np.where(copies[places] == ids, originals[places], ids)


def _with_copies(alike: list[Pair], same: list[list[int]]) -> list[Pair]:
    """The pairs, and the same of the copies that their photos stand for."""
    copies = {ids[0]: ids for ids in same}
    found = []
    for pair in alike:
        ones, others = copies.get(pair.a, [pair.a]), copies.get(pair.b, [pair.b])
        if len(ones) * len(others) <= ALL_WITH_ALL:
            both = list(product(ones, others))
        else:
            both = [(pair.a, other) for other in others] + [(one, pair.b) for one in ones[1:]]
        found += [_turned(pair, a, b) for a, b in both]
    return found


def _turned(pair: Pair, a: int, b: int) -> Pair:
    """The pair of two other photos that show the same, the lower id first."""
    if a < b:
        return replace(pair, a=a, b=b)
    evidence = dict(pair.evidence)
    if "matrix" in evidence:
        evidence["matrix"] = grouping.inverted(evidence["matrix"])
    return replace(pair, a=b, b=a, evidence=evidence)


def _taken_apart(one: Photo, other: Photo) -> bool:
    """Whether two cameras, or one camera at two moments, took them: then they are two exposures, however alike."""
    if not (one.camera and other.camera and one.taken_at and other.taken_at):
        return False
    # An edited copy may have lost the fractions of a second.
    length = min(len(one.taken_at), len(other.taken_at))
    return one.camera != other.camera or one.taken_at[:length] != other.taken_at[:length]


def _evidence(alignment: "Alignment") -> dict[str, Any]:
    return {
        "overlap": round(alignment.overlap, 3),
        "agreement": round(alignment.agreement, 3),
        "inliers": alignment.inliers,
        "transform": alignment.transform,
        "matrix": alignment.matrix,
    }
