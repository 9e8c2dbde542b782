"""Splits for training, validation and test that share no picture, no burst and no visit of one photographer.

Photos that some rule ties together, directly or through others, form a group, and a group goes to one split as a whole.
Which one is drawn by a hash of what the group is: its earliest visit, else the bytes of its earliest photo. So a photo
keeps its split when others come or go, and lists that are made again, or from an index of another order, are the same.
The price is that fractions and species are met as by lot, and not exactly: of n groups in a split of fraction p the
standard deviation is sqrt(n p (1 - p)).
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates import grouping
from birdsearch.duplicates.compared import Compared
from birdsearch.duplicates.verification import compared_before
from birdsearch.records import DuplicateReport, Ids, LeakageCheck, SplitReport
from birdsearch.species.gallery import Gallery, nontrivial_groups, visits
from birdsearch.storage.catalog.catalog import PhotoSummary

SPLITS = ("train", "validation", "test")
VISITS = "one photographer's photos of one day"
LIKELY = "likely copies, of photos not compared"
NEIGHBOURS = 20  # of a photo that was not compared, which may be its copies
LIKELY_SCORE = 0.8  # of two photos with near hashes, from which on they are kept together unseen; a guess

Numbers = npt.NDArray[np.int64]  # (n,) photos with the same number belong together; below 0: a photo of no group
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, order=True)
class Anchor:
    """What decides where a photo goes; of the photos of a group the lowest anchor does, so that later ones follow."""

    rank: int  # a visit before a photo with a time before one without
    moment: str
    content: str  # that is hashed

    @property
    def group(self) -> str:
        """What a group is called whose lowest anchor this is: the same in every index, while that photo is in it."""
        return hashlib.sha256(self.content.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    def draw(self, seed: int) -> float:
        """A number from 0 to 1 (exclusive), the same for ever."""
        digest = hashlib.sha256(f"{seed} {self.content}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:6]) / 2**48


def anchors(photos: Sequence[PhotoSummary]) -> list[Anchor]:
    """The anchor of each photo (n,): its photographer and day, else its bytes."""
    found = []
    for photo in photos:
        if photo.visit is not None:
            found.append(Anchor(0, photo.visit[1], " ".join(photo.visit)))
        else:
            found.append(Anchor(1 if photo.taken_at else 2, photo.taken_at or "", photo.sha256))
    return found


def split(
    ids: Ids,
    labels: Sequence[str | None],
    anchors: Sequence[Anchor],
    groups: Mapping[str, Numbers] | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    *,
    seed: int = 0,
) -> SplitReport:
    """Splits of photos `ids` (n,), the same for the same seed in whatever order, and among whatever others, they come.

    `groups` are rules by name ("duplicates", "bursts", VISITS), each with numbers (n,). `fractions` are of training,
    validation and test, and are scaled to sum to 1. Of a species that would have none there one group is in training.

    >>> split(ids, labels, anchors, {"bursts": bursts}).splits[17]
    'train'
    """
    targets = _fractions(fractions)
    ties = {rule: np.asarray(numbers, dtype=np.int64) for rule, numbers in (groups or {}).items()}
    if {len(labels), len(anchors), *map(len, ties.values())} != {len(ids)}:
        raise ValueError(f"labels, anchors and groups must have one value for each of {len(ids)} photos")
    components = _components(len(ids), ties)
    lowest: dict[int, Anchor] = {}
    for component, anchor in zip(components.tolist(), anchors, strict=True):
        lowest[component] = min(lowest.get(component, anchor), anchor)
    draws = np.array([lowest[component].draw(seed) for component in range(len(lowest))])
    sides = _sides(draws, targets)
    alone = _sides(np.array([anchor.draw(seed) for anchor in anchors]), targets)
    followed = int((alone != sides[components]).sum())
    moved = _without_training(labels, components, sides, draws) if targets[0] > 0 else []
    sides[moved] = 0
    place = sides[components]
    named = sorted({label for label in labels if label is not None})
    number = {label: code for code, label in enumerate(named)}
    codes = np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64)
    table = np.zeros((len(named) + 1, len(SPLITS)), dtype=np.int64)  # the last row: photos without a label
    np.add.at(table, (codes, place), 1)
    return SplitReport(
        splits={int(photo): SPLITS[number] for photo, number in zip(ids, place, strict=True)},
        counts=_by_split(table.sum(axis=0)),
        per_species={label: _by_split(table[code]) for label, code in number.items()},
        leakage=tuple(leakage_check(rule, numbers, place) for rule, numbers in ties.items()),
        groups=len(lowest),
        followed=followed,
        for_training=int(np.isin(components, moved).sum()),
        group_of={int(photo): lowest[at].group for photo, at in zip(ids, components.tolist(), strict=True)},
    )


def _fractions(fractions: Sequence[float]) -> Floats:
    """Fractions (3,) that sum to 1."""
    targets = np.asarray(fractions, dtype=np.float64)
    if targets.shape != (len(SPLITS),) or not np.isfinite(targets).all() or (targets < 0).any() or not targets.any():
        raise ValueError(f"fractions must be {len(SPLITS)} numbers of 0 or more, not all 0, got {tuple(fractions)}")
    return np.asarray(targets / targets.sum())


def _components(count: int, ties: Mapping[str, Numbers]) -> Numbers:
    """The group of each photo (count,): photos that any of the rules ties together, directly or through others."""
    edges = [grouping.edges_from_groups(numbers) for numbers in ties.values()]
    return grouping.component_labels(count, np.concatenate([np.empty((0, 2), dtype=np.int64), *edges]))


def _sides(draws: Floats, targets: Floats) -> Numbers:
    """The split of each draw (n,): the unit interval is cut by the fractions."""
    last = int(np.flatnonzero(targets)[-1])
    return np.minimum(np.searchsorted(np.cumsum(targets), draws, side="right"), last)


def _without_training(labels: Sequence[str | None], components: Numbers, sides: Numbers, draws: Floats) -> list[int]:
    """Of each species that has no group in training the one with the lowest draw: it stays the lowest longest."""
    owners = list(zip(labels, components.tolist(), strict=True))
    trained = {label for label, component in owners if sides[component] == 0}
    lowest: dict[str, int] = {}
    for label, component in owners:
        if label is not None and label not in trained:
            lowest[label] = min(lowest.get(label, component), component, key=lambda one: float(draws[one]))
    return sorted(set(lowest.values()))


def _by_split(numbers: Numbers) -> dict[str, int]:
    return {name: int(number) for name, number in zip(SPLITS, numbers, strict=True)}


def leakage_check(rule: str, numbers: Numbers, place: Numbers) -> LeakageCheck:
    """All pairs that a rule ties (n,), and those whose photos lie in two splits `place` (n,); counted from both."""
    tied_rows = numbers >= 0
    _, which = np.unique(numbers[tied_rows], return_inverse=True)
    table = np.zeros((int(which.max(initial=-1)) + 1, len(SPLITS)), dtype=np.int64)
    np.add.at(table, (which, place[tied_rows]), 1)
    pairs, together = _pairs(table.sum(axis=1)), _pairs(table)
    return LeakageCheck(rule=rule, groups=int((table.sum(axis=1) > 1).sum()), pairs=pairs, violations=pairs - together)


def _pairs(counts: Numbers) -> int:
    return int((counts * (counts - 1) // 2).sum())


def of(
    gallery: Gallery, same: DuplicateReport, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> SplitReport:
    """Training, validation and test photos; copies (`same`), bursts and visits stay together.

    So do photos that could not be compared, and those that may be their copies.
    """
    place = gallery.position_of
    edges = [(place[pair.a], place[pair.b]) for pair in same.pairs if pair.a in place and pair.b in place]
    photos = gallery.photos
    rules = {
        "duplicates": nontrivial_groups(grouping.component_labels(len(place), edges)),
        "bursts": gallery.bursts,
        VISITS: visits([photo.visit for photo in photos]),
    }
    unseen = np.array([place[photo_id] for photo_id in same.not_compared if photo_id in place], dtype=np.int64)
    if len(unseen):
        rules[LIKELY] = nontrivial_groups(grouping.component_labels(len(place), _likely_copies(gallery, unseen)))
    report = split(gallery.ids, gallery.labels, anchors(photos), rules, fractions, seed=seed)
    first, *others = report.leakage
    return replace(
        report,
        leakage=(replace(first, not_compared=len(unseen)), *others),
        species={
            part: gallery.count_species(label for label, counts in report.per_species.items() if counts[part])
            for part in SPLITS
        },
    )


def _likely_copies(gallery: Gallery, unseen: Numbers) -> Numbers:
    """Positions (m, 2) of photos and their likely copies, where one could not be compared: rather a pair too many.

    What was kept of earlier comparisons decides by content; where that is nothing, stored hashes and vectors do.
    """
    near = gallery.others(NEIGHBOURS).ids[unseen]
    asked = np.stack([np.repeat(unseen, near.shape[1]), near.ravel()], axis=1)
    alike = gallery.alike(None, LIKELY_SCORE)
    alike = alike[np.isin(alike, unseen).any(axis=1)]
    pairs = np.unique(np.sort(np.concatenate([asked, alike]), axis=1), axis=0)
    guessed = set(map(tuple, alike.tolist()))
    contents = [(gallery.photos[a].sha256, gallery.photos[b].sha256) for a, b in pairs.tolist()]
    with closing(Compared()) as compared:
        known = compared_before(compared, contents)
    likely = [
        pair in guessed if verdict is None else verdict
        for pair, verdict in zip(map(tuple, pairs.tolist()), known, strict=True)
    ]
    same_bytes = np.array(gallery.same_bytes, dtype=np.int64).reshape(-1, 2)
    return np.concatenate([pairs[np.array(likely, dtype=bool)], same_bytes])
