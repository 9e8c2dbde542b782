"""How the species of an index sit next to each other: how tight each is, what lies closest, what is taken for what.

Photos of one group (a burst, copies of one picture) do not vouch for each other: a group counts as one photo in every
mean, and no photo is compared with one of its own group. Whole rows are compared block by block; memory does not grow
with the square of the collection, time does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from birdsearch.records import (
    Confusion,
    Ids,
    SpeciesEntry,
    SpeciesReport,
    Vectors,
)
from birdsearch.species.gallery import Gathered

PROTOTYPES = 3  # photos that stand for a species
BOUNDARY = 5  # photos of a species that lie nearest to another one
EXAMPLES = 3  # photo pairs that show a confusion
_ASKING = 1024  # rows that are compared at a time...
_ANSWERING = 16_384  # ...with so many

Codes = npt.NDArray[np.int64]  # (n,) numbers of species, groups or rows


@dataclass(frozen=True, slots=True)
class _Nearest:
    """For each row its nearest one of another group, in its own species and in another; row -1, score -inf: nobody."""

    own: Vectors  # (n,) scores
    other: Vectors  # (n,) scores
    other_row: Codes  # (n,)

    @property
    def asks(self) -> npt.NDArray[np.bool_]:
        """Photos that have somebody in their own species and in another, so that the nearest tells something."""
        return np.isfinite(self.own) & np.isfinite(self.other)

    @property
    def strays(self) -> npt.NDArray[np.bool_]:
        """Photos whose nearest one shows another species."""
        return self.asks & (self.other > self.own)


def species_report(
    vectors: Vectors,
    names: Sequence[str | None],
    ids: Ids,
    groups: npt.NDArray[np.int64] | None = None,
    *,
    seconds: float = 0.0,
) -> SpeciesReport:
    """How species sit next to each other, from unit rows (n, dim), the species `names` (n,) and photo `ids` (n,).

    `groups` (n,) are numbers of bursts or duplicates, below 0 for photos that are in none. Photos without a name are
    left out.
    """
    named = np.array([row for row, name in enumerate(names) if name is not None], dtype=np.int64)
    if not len(named):
        return SpeciesReport(seconds=seconds)
    shown = sorted({name for name in names if name is not None})
    number = {name: place for place, name in enumerate(shown)}
    codes = np.array([number[name] for name in names if name is not None], dtype=np.int64)
    # Species one after the other: then most comparisons are between different ones.
    order = np.argsort(codes, kind="stable")
    rows, codes = named[order], codes[order]
    units = _units(None if groups is None else np.asarray(groups)[rows], len(rows))
    sorted_vectors = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    found = _nearest(sorted_vectors, codes, units)
    entries = _entries(sorted_vectors, codes, units, found, shown, np.asarray(ids)[rows])
    return SpeciesReport(entries, _confusions(codes, found, shown, np.asarray(ids)[rows]), seconds)


def _units(groups: Codes | None, count: int) -> Codes:
    """A number for each row (count,), the same for photos of one group only."""
    alone = np.arange(count, dtype=np.int64)
    if groups is None:
        return alone
    return np.unique(np.where(groups < 0, -1 - alone, groups), return_inverse=True)[1].astype(np.int64)


def _nearest(vectors: Vectors, codes: Codes, units: Codes) -> _Nearest:
    """The nearest rows of (n, dim), whose species `codes` ascend, by comparing all."""
    count = len(vectors)
    own, other = np.full((2, count), -np.inf, dtype=np.float32)
    other_row = np.full(count, -1, dtype=np.int64)
    grouped = len(np.unique(units)) < count
    for start in range(0, count, _ASKING):
        asking = slice(start, min(start + _ASKING, count))
        low, high = np.searchsorted(codes, [codes[asking][0], codes[asking][-1] + 1])  # where their own species lie
        for first in range(0, count, _ANSWERING):
            answering = slice(first, min(first + _ANSWERING, count))
            scores = vectors[asking] @ vectors[answering].T
            if grouped:
                scores[units[asking][:, None] == units[answering][None, :]] = -np.inf
            elif first < asking.stop and answering.stop > start:
                both = np.arange(max(start, first), min(asking.stop, answering.stop))
                scores[both - start, both - first] = -np.inf
            if first < high and answering.stop > low:
                same = codes[asking][:, None] == codes[answering][None, :]
                own[asking] = np.maximum(own[asking], np.where(same, scores, -np.inf).max(axis=1))
                scores[same] = -np.inf
            best = scores.argmax(axis=1)
            value = scores[np.arange(len(scores)), best]
            closer = value > other[asking]
            other_row[asking] = np.where(closer, best + first, other_row[asking])
            other[asking] = np.where(closer, value, other[asking])
    return _Nearest(own, other, other_row)


def _entries(
    vectors: Vectors, codes: Codes, units: Codes, found: _Nearest, shown: Sequence[str], ids: Ids
) -> tuple[SpeciesEntry, ...]:
    """One entry for each species; the rows of a species lie together."""
    borders = np.searchsorted(codes, np.arange(len(shown) + 1))
    means = np.empty((len(shown), vectors.shape[1]), dtype=np.float32)
    cohesions: list[float | None] = []
    prototypes: list[tuple[int, ...]] = []
    for place in range(len(shown)):
        here = slice(borders[place], borders[place + 1])
        group_means, member = _group_means(vectors[here], units[here])
        sums, size = group_means.sum(axis=0, dtype=np.float64), len(group_means)
        means[place] = sums / size
        within = float(sums @ sums - np.einsum("ij,ij->", group_means, group_means, dtype=np.float64))
        cohesions.append(round(within / (size * (size - 1)), 6) if size > 1 else None)
        # What a photo's own group says of it does not make it typical.
        typical = np.einsum("ij,ij->i", vectors[here], sums[None, :] - group_means[member]).round(5)
        prototypes.append(tuple(int(i) for i in ids[here][np.argsort(-typical, kind="stable")[:PROTOTYPES]]))
    closest, score = _nearest_species(means)
    entries = []
    for place, name in enumerate(shown):
        here = slice(borders[place], borders[place + 1])
        asks = found.asks[here]
        margin = np.where(asks, found.other[here] - np.where(asks, found.own[here], 0), -np.inf).round(5)
        last = [row for row in np.argsort(-margin, kind="stable")[:BOUNDARY] if np.isfinite(margin[row])]
        entries.append(
            SpeciesEntry(
                species=name,
                photos=int(borders[place + 1] - borders[place]),
                cohesion=cohesions[place],
                nearest=shown[closest[place]] if closest[place] >= 0 else None,
                nearest_score=float(score[place]) if closest[place] >= 0 else None,
                overlap=float(found.strays[here].sum() / asks.sum()) if asks.any() else None,
                medoids=prototypes[place],
                boundary=tuple(int(ids[here][row]) for row in last),
            )
        )
    return tuple(entries)


def _group_means(vectors: Vectors, units: Codes) -> tuple[npt.NDArray[np.float64], Codes]:
    """The mean row of each group (groups, dim), and which of them each photo belongs to."""
    _, member, sizes = np.unique(units, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, member, vectors)
    return sums / sizes[:, None], member


def _nearest_species(means: Vectors) -> tuple[Codes, Vectors]:
    """For each species the other one with the highest mean score of their photos, (species,); -1 where it is alone."""
    count = len(means)
    closest, score = np.full(count, -1, dtype=np.int64), np.full(count, -np.inf, dtype=np.float32)
    if count > 1:
        for start in range(0, count, _ASKING):
            scores = means[start : start + _ASKING] @ means.T
            scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
            closest[start : start + _ASKING] = scores.argmax(axis=1)
            score[start : start + _ASKING] = scores.max(axis=1)
    return closest, score


def _confusions(codes: Codes, found: _Nearest, shown: Sequence[str], ids: Ids) -> tuple[Confusion, ...]:
    """Pairs of species whose photos have their nearest one on the other side, the largest share of both first."""
    stray = np.flatnonzero(found.strays)
    # The clearest cases first, for the examples.
    stray = stray[np.argsort((found.own[stray] - found.other[stray]).round(5), kind="stable")]
    pairs: dict[tuple[int, int], list[int]] = {}
    for row in stray:
        here, there = int(codes[row]), int(codes[found.other_row[row]])
        pairs.setdefault((min(here, there), max(here, there)), []).append(int(row))
    sizes = np.bincount(codes, minlength=len(shown))
    confusions = [
        Confusion(
            first=shown[a],
            second=shown[b],
            photos=len(rows),
            share=float(len(rows) / (sizes[a] + sizes[b])),
            examples=_examples(rows, codes, a, found, ids),
        )
        for (a, b), rows in pairs.items()
    ]
    return tuple(sorted(confusions, key=lambda c: (-c.share, -c.photos, c.first, c.second)))


def _examples(rows: Sequence[int], codes: Codes, first: int, found: _Nearest, ids: Ids) -> tuple[tuple[int, int], ...]:
    """Photo pairs (of the first species, of the second), each once."""
    pairs: dict[tuple[int, int], None] = {}
    for row in rows:
        pair = (int(ids[row]), int(ids[found.other_row[row]]))
        pairs[pair if codes[row] == first else (pair[1], pair[0])] = None
    return tuple(list(pairs)[:EXAMPLES])


def of(gathered: Gathered) -> SpeciesReport:
    """How the species (labels, else predicted species) sit next to each other."""
    started = time.monotonic()
    names = [photo.species for photo in gathered.photos]
    report = species_report(gathered.rows, names, gathered.ids, gathered.groups)
    return replace(report, seconds=time.monotonic() - started)
