"""Sides for training, validation and test that share no picture, no burst and no outing of one observer.

Photos that some rule ties together, directly or through others, form a block, and a block goes to one side as a whole.
Blocks are dealt out the largest first, each to the side that lacks most of its species, as in the iterative
stratification of Sechidis et al. (2011), until that side is full.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates import grouping
from birdsearch.duplicates.grouping import component_labels, edges_from_groups
from birdsearch.records import (
    DuplicateReport,
    Ids,
    SplitProof,
    SplitReport,
)
from birdsearch.species.gallery import Gathered, only_groups

SIDES = ("train", "validation", "test")
OUTINGS = "one observer's photos of one day"

Numbers = npt.NDArray[np.int64]  # (n,) photos with the same number belong together; below 0: to nobody


def split(
    ids: Ids,
    labels: Sequence[str | None],
    groups: Mapping[str, Numbers] | None = None,
    observers: Sequence[str | None] | None = None,
    dates: Sequence[str | None] | None = None,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    *,
    seed: int = 0,
) -> SplitReport:
    """Sides of photos `ids` (n,), the same for the same seed in whatever order the photos come.

    `groups` are rules by name ("duplicates", "bursts"), each with numbers (n,). Of `dates` (n,), ISO 8601, the day
    counts. `shares` are of training, validation and test, and are scaled to sum to 1.
    """
    wanted = _shares(shares)
    ties = {rule: np.asarray(numbers, dtype=np.int64) for rule, numbers in (groups or {}).items()}
    if observers is not None and dates is not None:
        ties[OUTINGS] = _outings(observers, dates)
    if len(labels) != len(ids) or any(len(numbers) != len(ids) for numbers in ties.values()):
        raise ValueError(f"labels, groups, observers and dates must have one value for each of {len(ids)} photos")
    order = np.argsort(np.asarray(ids), kind="stable")
    named = sorted({label for label in labels if label is not None})
    number = {label: code for code, label in enumerate(named)}
    codes = np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64)
    blocks = _blocks(len(ids), {rule: numbers[order] for rule, numbers in ties.items()})
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = _dealt(codes[order], blocks, wanted, seed)
    table = np.zeros((len(named) + 1, len(SIDES)), dtype=np.int64)  # the last row: photos without a label
    np.add.at(table, (codes, place), 1)
    return SplitReport(
        splits={int(photo): SIDES[side] for photo, side in zip(ids, place, strict=True)},
        counts=_by_side(table.sum(axis=0)),
        per_species={label: _by_side(table[code]) for label, code in number.items()},
        proof=tuple(_proof(rule, numbers, place) for rule, numbers in ties.items()),
        groups=int(blocks.max(initial=-1)) + 1,
    )


def _shares(shares: Sequence[float]) -> npt.NDArray[np.float64]:
    """Shares (3,) that sum to 1."""
    wanted = np.asarray(shares, dtype=np.float64)
    if wanted.shape != (len(SIDES),) or not np.isfinite(wanted).all() or (wanted < 0).any() or not wanted.any():
        raise ValueError(f"shares must be {len(SIDES)} numbers of 0 or more, not all 0, got {tuple(shares)}")
    return np.asarray(wanted / wanted.sum())


def _outings(observers: Sequence[str | None], dates: Sequence[str | None]) -> Numbers:
    """A number for each observer and day; -1 where one of them is unknown."""
    known: dict[tuple[str, str], int] = {}
    numbers = [
        -1 if not who or not when else known.setdefault((" ".join(who.split()).casefold(), when[:10]), len(known))
        for who, when in zip(observers, dates, strict=True)
    ]
    return np.array(numbers, dtype=np.int64)


def _blocks(count: int, ties: Mapping[str, Numbers]) -> Numbers:
    """The number of the block of each photo (count,): all that hangs together by any of the rules."""
    edges = [edges_from_groups(numbers) for numbers in ties.values()]
    return component_labels(count, np.concatenate([np.empty((0, 2), dtype=np.int64), *edges]))


def _dealt(codes: Numbers, blocks: Numbers, wanted: npt.NDArray[np.float64], seed: int) -> Numbers:
    """The side of each photo (n,) of species `codes` (n,), whole blocks at a time."""
    place = np.zeros(len(codes), dtype=np.int64)
    sizes = np.bincount(blocks)
    # Equal blocks in random order: when a side is full, what is left to the others is of no special species.
    turn = np.lexsort((np.random.default_rng(seed).permutation(len(sizes)), -sizes))
    members = np.split(np.argsort(blocks, kind="stable"), np.cumsum(sizes)[:-1])
    lacking = {code: (wanted * number).tolist() for code, number in Counter(codes.tolist()).items()}
    room = (wanted * len(codes)).tolist()
    for block in turn.tolist():
        rows = members[block]
        species = Counter(codes[rows].tolist())
        half = len(rows) / 2 - 1e-9
        # A block goes where at least half of it still fits; where it fits nowhere, to the side with most room.
        fitting = [side for side in range(len(room)) if room[side] >= half] or [room.index(max(room))]
        needs = [(sum(n * lacking[code][side] for code, n in species.items()), room[side], -side) for side in fitting]
        side = -max(needs)[2]
        for code, number in species.items():
            lacking[code][side] -= number
        room[side] -= len(rows)
        place[rows] = side
    return place


def _by_side(numbers: Numbers) -> dict[str, int]:
    return {side: int(number) for side, number in zip(SIDES, numbers, strict=True)}


def _proof(rule: str, numbers: Numbers, place: Numbers) -> SplitProof:
    """All pairs that a rule ties, and those of them that lie on two sides; counted anew from the sides given."""
    tied = numbers >= 0
    _, which = np.unique(numbers[tied], return_inverse=True)
    table = np.zeros((int(which.max(initial=-1)) + 1, len(SIDES)), dtype=np.int64)
    np.add.at(table, (which, place[tied]), 1)
    pairs, together = _pairs(table.sum(axis=1)), _pairs(table)
    return SplitProof(rule=rule, groups=int((table.sum(axis=1) > 1).sum()), pairs=pairs, violations=pairs - together)


def _pairs(counts: Numbers) -> int:
    return int((counts * (counts - 1) // 2).sum())


def of(gathered: Gathered, same: DuplicateReport, shares: Sequence[float], seed: int) -> SplitReport:
    """Training, validation and test, with nothing that belongs together on two of them."""
    place = {photo.photo_id: row for row, photo in enumerate(gathered.photos)}
    edges = [(place[pair.a], place[pair.b]) for pair in same.pairs if pair.a in place and pair.b in place]
    return split(
        gathered.ids,
        gathered.labels,
        {"duplicates": only_groups(grouping.component_labels(len(place), edges)), "bursts": gathered.bursts},
        [photo.photographer for photo in gathered.photos],
        [photo.taken_at for photo in gathered.photos],
        shares,
        seed=seed,
    )
