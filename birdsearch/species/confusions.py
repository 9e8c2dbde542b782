"""Which species of an index look alike and which get confused: cohesion, nearest species, confusable pairs.

A leakage group (a burst, copies of one picture) counts as one photo in every mean, and no photo is compared with one
of its own group. All pairs are compared block by block; memory does not grow with the square of the collection, time
does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from birdsearch.records import Confusion, Ids, Progress, SpeciesEntry, SpeciesReport, Vectors, blocks
from birdsearch.species.gallery import Gallery

MEDOIDS = 5  # photos that stand for a species
BOUNDARY = 5  # photos of a species that lie nearest to another one
EXAMPLES = 3  # photo pairs that show a confusion
QUERIES = 1024  # photos that are compared at a time...
TARGETS = 16_384  # ...with this number of others

Codes = npt.NDArray[np.int64]  # (n,) numbers of species, groups or rows


@dataclass(frozen=True, slots=True)
class _Rows:
    """The photos that have a species, those of one species together."""

    vectors: Vectors  # (n, dim) by which they are compared
    scored: Vectors  # (n, dim) of which scores are given
    codes: Codes  # (n,) of their species, ascending
    units: Codes  # (n,) of their leakage groups
    ids: Ids  # (n,)
    species: Sequence[str]  # by code


@dataclass(frozen=True, slots=True)
class _Nearest:
    """For each row its nearest one of another group, in its own species and in another; row -1, score -inf: none."""

    own: Vectors  # (n,) scores
    other: Vectors  # (n,) scores
    other_row: Codes  # (n,)

    @property
    def comparable(self) -> npt.NDArray[np.bool_]:
        """Photos with a neighbour in their own species and one in another."""
        return np.isfinite(self.own) & np.isfinite(self.other)

    @property
    def confused(self) -> npt.NDArray[np.bool_]:
        """Photos whose nearest one shows another species."""
        return self.comparable & (self.other > self.own)


def species_report(
    vectors: Vectors,
    names: Sequence[str | None],
    ids: Ids,
    groups: Codes | None = None,
    scored: Vectors | None = None,
    progress: Progress | None = None,
) -> SpeciesReport:
    """Which species look alike, from unit vectors (n, dim), the species `names` (n,) and photo `ids` (n,).

    `groups` (n,) are numbers of bursts or duplicates, below 0 for photos that are in none. Photos without a name are
    left out. Scores are those of `scored` (n, dim), unit vectors in which a search compares; by default of the same.
    """
    named = np.array([row for row, name in enumerate(names) if name is not None], dtype=np.int64)
    if not len(named):
        return SpeciesReport()
    shown = sorted({name for name in names if name is not None})
    number = {name: place for place, name in enumerate(shown)}
    codes = np.array([number[name] for name in names if name is not None], dtype=np.int64)
    # Species one after the other: then most comparisons are between different ones.
    order = np.argsort(codes, kind="stable")
    places = named[order]
    compared = np.ascontiguousarray(vectors[places], dtype=np.float32)
    rows = _Rows(
        compared,
        compared if scored is None else np.ascontiguousarray(scored[places], dtype=np.float32),
        codes[order],
        np.arange(len(places)) if groups is None else _units(np.asarray(groups)[places], len(places)),
        np.asarray(ids)[places],
        shown,
    )
    nearest = _nearest(rows.vectors, rows.codes, rows.units, progress)
    return SpeciesReport(_entries(rows, nearest), _confusions(rows, nearest))


def _units(groups: Codes, count: int) -> Codes:
    """A number for each row (count,), the same for photos of one group only."""
    return np.unique(np.where(groups < 0, -1 - np.arange(count), groups), return_inverse=True)[1].astype(np.int64)


def _nearest(vectors: Vectors, codes: Codes, units: Codes, progress: Progress | None) -> _Nearest:
    """The nearest rows of (n, dim), whose species `codes` ascend, by comparing all."""
    count = len(vectors)
    own, other = np.full((2, count), -np.inf, dtype=np.float32)
    other_row = np.full(count, -1, dtype=np.int64)
    grouped = len(np.unique(units)) < count
    for queries in blocks(count, QUERIES):
        low, high = np.searchsorted(codes, [codes[queries][0], codes[queries][-1] + 1])  # where their own species lie
        for targets in blocks(count, TARGETS):
            scores = vectors[queries] @ vectors[targets].T
            if grouped:
                scores[units[queries][:, None] == units[targets][None, :]] = -np.inf
            elif targets.start < queries.stop and targets.stop > queries.start:
                both = np.arange(max(queries.start, targets.start), min(queries.stop, targets.stop))
                scores[both - queries.start, both - targets.start] = -np.inf
            if targets.start < high and targets.stop > low:
                same = codes[queries][:, None] == codes[targets][None, :]
                own[queries] = np.maximum(own[queries], np.where(same, scores, -np.inf).max(axis=1))
                scores[same] = -np.inf
            best = scores.argmax(axis=1)
            value = scores[np.arange(len(scores)), best]
            closer = value > other[queries]
            other_row[queries] = np.where(closer, best + targets.start, other_row[queries])
            other[queries] = np.where(closer, value, other[queries])
        if progress is not None:
            progress("species", queries.stop, count, "")
    return _Nearest(own, other, other_row)


def _entries(rows: _Rows, nearest: _Nearest) -> tuple[SpeciesEntry, ...]:
    """One entry for each species."""
    vectors, units, ids, shown = rows.vectors, rows.units, rows.ids, rows.species
    borders = np.searchsorted(rows.codes, np.arange(len(shown) + 1))
    means = np.empty((len(shown), vectors.shape[1]), dtype=np.float32)
    scored_means = np.empty((len(shown), rows.scored.shape[1]))
    cohesions: list[float | None] = []
    medoids: list[tuple[int, ...]] = []
    for place in range(len(shown)):
        members = slice(borders[place], borders[place + 1])
        group_means, member = _group_means(vectors[members], units[members])
        sums, size = group_means.sum(axis=0, dtype=np.float64), len(group_means)
        means[place] = sums / size
        scored_means[place], cohesion = _mean_and_cohesion(rows.scored[members], units[members])
        cohesions.append(cohesion)
        # Without its own group: copies of a photo do not make it central.
        typical = np.einsum("ij,ij->i", vectors[members], sums[None, :] - group_means[member]).round(5)
        medoids.append(tuple(int(i) for i in ids[members][np.argsort(-typical, kind="stable")[:MEDOIDS]]))
    closest = _nearest_species(means)
    entries = []
    for place, name in enumerate(shown):
        members = slice(borders[place], borders[place + 1])
        comparable = nearest.comparable[members]
        margin = np.full(len(comparable), -np.inf, dtype=np.float32)
        margin[comparable] = (nearest.other[members][comparable] - nearest.own[members][comparable]).round(5)
        last = [row for row in np.argsort(-margin, kind="stable")[:BOUNDARY] if np.isfinite(margin[row])]
        entries.append(
            SpeciesEntry(
                species=name,
                photos=int(borders[place + 1] - borders[place]),
                cohesion=cohesions[place],
                nearest=shown[closest[place]] if closest[place] >= 0 else None,
                nearest_score=float(scored_means[place] @ scored_means[closest[place]])
                if closest[place] >= 0
                else None,
                overlap=float(nearest.confused[members].sum() / comparable.sum()) if comparable.any() else None,
                medoids=medoids[place],
                boundary=tuple(int(ids[members][row]) for row in last),
            )
        )
    return tuple(entries)


def _mean_and_cohesion(vectors: Vectors, units: Codes) -> tuple[npt.NDArray[np.float64], float | None]:
    """The mean row (dim,) of the groups of a species, and the mean score of two of them; None for a single one."""
    means, _ = _group_means(vectors, units)
    sums, size = means.sum(axis=0), len(means)
    within = float(sums @ sums - np.einsum("ij,ij->", means, means))
    return sums / size, round(within / (size * (size - 1)), 6) if size > 1 else None


def _group_means(vectors: Vectors, units: Codes) -> tuple[npt.NDArray[np.float64], Codes]:
    """The mean row of each group (groups, dim), and which of them each photo belongs to."""
    _, member, sizes = np.unique(units, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, member, vectors)
    return sums / sizes[:, None], member


def _nearest_species(means: Vectors) -> Codes:
    """For each species the other one with the highest mean score of their photos, (species,); -1 where it is alone."""
    count = len(means)
    closest = np.full(count, -1, dtype=np.int64)
    if count > 1:
        for block in blocks(count, QUERIES):
            scores = means[block] @ means.T
            scores[np.arange(len(scores)), np.arange(block.start, block.stop)] = -np.inf
            closest[block] = scores.argmax(axis=1)
    return closest


def _confusions(rows: _Rows, nearest: _Nearest) -> tuple[Confusion, ...]:
    """Pairs of species with photos whose nearest one shows the other, the largest share of both first."""
    codes, shown = rows.codes, rows.species
    confused = np.flatnonzero(nearest.confused)
    # The clearest cases first, for the examples.
    confused = confused[np.argsort((nearest.own[confused] - nearest.other[confused]).round(5), kind="stable")]
    pairs: dict[tuple[int, int], list[int]] = {}
    for row in confused:
        first, second = sorted((int(codes[row]), int(codes[nearest.other_row[row]])))
        pairs.setdefault((first, second), []).append(int(row))
    sizes = np.bincount(codes, minlength=len(shown))
    confusions = [
        Confusion(
            first=shown[a],
            second=shown[b],
            photos=len(places),
            share=float(len(places) / (sizes[a] + sizes[b])),
            examples=_examples(places, codes, a, nearest, rows.ids),
        )
        for (a, b), places in pairs.items()
    ]
    return tuple(sorted(confusions, key=lambda c: (-c.share, -c.photos, c.first, c.second)))


def _examples(
    rows: Sequence[int], codes: Codes, first: int, nearest: _Nearest, ids: Ids
) -> tuple[tuple[int, int], ...]:
    """Photo pairs (of the first species, of the second), each once."""
    pairs: dict[tuple[int, int], None] = {}
    for row in rows:
        pair = (int(ids[row]), int(ids[nearest.other_row[row]]))
        pairs[pair if codes[row] == first else (pair[1], pair[0])] = None
    return tuple(list(pairs)[:EXAMPLES])


def of(gallery: Gallery, progress: Progress | None = None) -> SpeciesReport:
    """Which species (labels, else predicted species) look alike and which get confused."""
    started = time.monotonic()
    names = [photo.species for photo in gallery.photos]
    # Whitening that is only fitted for this comparison must not show: 0.78 here is 0.78 in `query`.
    scored = gallery.raw if gallery.space is None else gallery.vectors
    report = species_report(gallery.vectors, names, gallery.ids, gallery.groups, scored, progress)
    count = gallery.count_species(entry.species for entry in report.species)
    return replace(report, count=count, seconds=time.monotonic() - started)
