"""Splits for training, validation and test that share no picture, no burst and no visit of one photographer.

Photos that some rule ties together, directly or through others, form a group, and a group goes to one split as a whole.
Groups are assigned the largest first, each to the split that lacks most of its species, as in the iterative
stratification of Sechidis et al. (2011), until that split is full.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates import grouping
from birdsearch.records import DuplicateReport, Ids, LeakageCheck, SplitReport
from birdsearch.species.gallery import Gallery, nontrivial_groups

SPLITS = ("train", "validation", "test")
VISITS = "one photographer's photos of one day"

Numbers = npt.NDArray[np.int64]  # (n,) photos with the same number belong together; below 0: a photo of no group


def split(
    ids: Ids,
    labels: Sequence[str | None],
    groups: Mapping[str, Numbers] | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    *,
    seed: int = 0,
) -> SplitReport:
    """Splits of photos `ids` (n,), the same for the same seed in whatever order the photos come.

    `groups` are rules by name ("duplicates", "bursts", VISITS), each with numbers (n,). `fractions` are of training,
    validation and test, and are scaled to sum to 1.

    >>> split(ids, labels, {"bursts": bursts}).splits[17]
    'train'
    """
    targets = _fractions(fractions)
    ties = {rule: np.asarray(numbers, dtype=np.int64) for rule, numbers in (groups or {}).items()}
    if len(labels) != len(ids) or any(len(numbers) != len(ids) for numbers in ties.values()):
        raise ValueError(f"labels and groups must have one value for each of {len(ids)} photos")
    order = np.argsort(np.asarray(ids), kind="stable")
    named = sorted({label for label in labels if label is not None})
    number = {label: code for code, label in enumerate(named)}
    codes = np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64)
    components = _components(len(ids), {rule: numbers[order] for rule, numbers in ties.items()})
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = _assigned(codes[order], components, targets, seed)
    table = np.zeros((len(named) + 1, len(SPLITS)), dtype=np.int64)  # the last row: photos without a label
    np.add.at(table, (codes, place), 1)
    return SplitReport(
        splits={int(photo): SPLITS[number] for photo, number in zip(ids, place, strict=True)},
        counts=_by_split(table.sum(axis=0)),
        per_species={label: _by_split(table[code]) for label, code in number.items()},
        leakage=tuple(leakage_check(rule, numbers, place) for rule, numbers in ties.items()),
        groups=int(components.max(initial=-1)) + 1,
    )


def _fractions(fractions: Sequence[float]) -> npt.NDArray[np.float64]:
    """Fractions (3,) that sum to 1."""
    targets = np.asarray(fractions, dtype=np.float64)
    if targets.shape != (len(SPLITS),) or not np.isfinite(targets).all() or (targets < 0).any() or not targets.any():
        raise ValueError(f"fractions must be {len(SPLITS)} numbers of 0 or more, not all 0, got {tuple(fractions)}")
    return np.asarray(targets / targets.sum())


def visits(photographers: Sequence[str | None], dates: Sequence[str | None]) -> Numbers:
    """A number (n,) for each photographer and day of `dates`, ISO 8601; -1 where one of them is unknown."""
    known: dict[tuple[str, str], int] = {}
    numbers = [
        -1 if not name or not date else known.setdefault((" ".join(name.split()).casefold(), date[:10]), len(known))
        for name, date in zip(photographers, dates, strict=True)
    ]
    return np.array(numbers, dtype=np.int64)


def _components(count: int, ties: Mapping[str, Numbers]) -> Numbers:
    """The group of each photo (count,): photos that any of the rules ties together, directly or through others."""
    edges = [grouping.edges_from_groups(numbers) for numbers in ties.values()]
    return grouping.component_labels(count, np.concatenate([np.empty((0, 2), dtype=np.int64), *edges]))


def _assigned(codes: Numbers, components: Numbers, targets: npt.NDArray[np.float64], seed: int) -> Numbers:
    """The split of each photo (n,) of species `codes` (n,), whole groups at a time."""
    place = np.zeros(len(codes), dtype=np.int64)
    sizes = np.bincount(components)
    # Equal groups in random order: when a split is full, what is left to the others is of no special species.
    order = np.lexsort((np.random.default_rng(seed).permutation(len(sizes)), -sizes))
    members = np.split(np.argsort(components, kind="stable"), np.cumsum(sizes)[:-1])
    lacking = {code: (targets * number).tolist() for code, number in Counter(codes.tolist()).items()}
    room = (targets * len(codes)).tolist()
    for component in order.tolist():
        rows = members[component]
        species = Counter(codes[rows].tolist())
        half = len(rows) / 2 - 1e-9
        # A group goes where at least half of it still fits; where it fits nowhere, to the split with most room.
        fitting = [n for n in range(len(room)) if room[n] >= half] or [room.index(max(room))]
        needs = [(sum(count * lacking[code][n] for code, count in species.items()), room[n], -n) for n in fitting]
        chosen = -max(needs)[2]
        for code, count in species.items():
            lacking[code][chosen] -= count
        room[chosen] -= len(rows)
        place[rows] = chosen
    return place


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
    """Training, validation and test photos; copies (`same`), bursts and visits stay together."""
    place = gallery.position_of
    edges = [(place[pair.a], place[pair.b]) for pair in same.pairs if pair.a in place and pair.b in place]
    photos = gallery.photos
    rules = {
        "duplicates": nontrivial_groups(grouping.component_labels(len(place), edges)),
        "bursts": gallery.bursts,
        VISITS: visits([photo.photographer for photo in photos], [photo.taken_at for photo in photos]),
    }
    return split(gallery.ids, gallery.labels, rules, fractions, seed=seed)
