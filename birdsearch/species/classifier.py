"""A classifier made of an index's own labelled photos, which says how sure it is and when it knows nothing alike.

Three witnesses speak for a species: how likely the photo is as one of its photos under a Gaussian model of species, how
near it is to their mean, and a soft vote of the photos themselves. Weights fitted on photos that the witnesses had not
seen make them one probability; the best of the same witnesses tell whether the photo shows any of the species at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from birdsearch.records import Ids, Vectors
from birdsearch.search import whitening
from birdsearch.species import fusion, plda
from birdsearch.species.plda import summed

Labels = Sequence[str | None]  # one a photo, None where nobody named it
Flags = npt.NDArray[np.bool_]

FOLDS = 5
MANY = 20_000  # photos from which on two folds are enough: each half is plenty to fit on
SHARPNESS = 20.0  # of the vote: a score higher by 0.05 weighs e times more
_FITTED_ON = 50_000  # photos that a space is fitted on, at most
_CELLS = 16_000_000  # photos times species worked on at a time, so that memory does not grow with the collection
_ALL_UP_TO = 10_000  # photos; among more, only the likeliest species are voted on
_CANDIDATES = 32  # so many of them
_WEIGHED_ON = 3_000  # photos that the weights are fitted on, at most
_AGAINST = 128  # of the likeliest species, while weights are fitted
_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Votes:
    """What the labelled photos say of q photos."""

    probabilities: Vectors  # (q, species), rows sum to 1; all zero where no photo was left to ask
    novelty: Vectors  # (q,) chance that it shows none of these species, had that been even odds; NaN: cannot be told
    evidence: Ids  # (q, k) rows of the fit that speak for the likeliest species, nearest first; -1 where fewer


@dataclass(frozen=True, slots=True)
class Asked:
    """Every labelled photo judged by the others: no space, model or weight that judges a photo was fitted on it."""

    species: tuple[str, ...]
    own: Ids  # (n,) the species of its label, -1 for none
    answerable: Flags  # (n,) whether a photo of another group bears the same label, so that it can be right
    top: Ids  # (n, k) the likeliest species, best first; -1 where it was not asked
    probabilities: Vectors  # (n, k) of them; those of all species sum to 1
    of_own: Vectors  # (n,) probability of its own label; NaN where it was not asked
    novelty: Vectors  # (n,) chance that it shows none of these species; NaN: cannot be told


@dataclass(frozen=True, slots=True)
class _Judge:
    """The space in which photos are compared, and the model of species in it."""

    space: whitening.Whitening | None  # None: as the backbone sees them
    model: plda.Model | None  # None: nothing to learn it from

    def views(self, vectors: Vectors) -> tuple[Vectors, Vectors]:
        """Photos (q, dim) in that space (q, d), and as the model takes them (q, e)."""
        rows = vectors if self.space is None else self.space.apply(vectors)
        return rows, rows[:, :0] if self.model is None else self.model.turned(rows)


@dataclass(frozen=True, slots=True)
class _Gallery:
    """The labelled photos as a judge sees them, sorted by species."""

    places: Ids  # (m,) their rows in the fit
    rows: Vectors  # (m, d)
    turned: Vectors  # (m, e)
    codes: Ids  # (m,) species, ascending
    groups: Ids  # (m,)
    starts: Ids  # (species + 1,)
    sums: Vectors  # (species, d)
    turned_sums: Vectors  # (species, e)
    by_group: Ids  # (m,) the photos sorted by group, then by species

    def nearest(self, row: Vectors, group: int, species: int, k: int) -> Ids:
        """Rows of the fit of the k photos of a species nearest to a photo (d,) of a group."""
        here = np.arange(self.starts[species], self.starts[species + 1])
        here = here[self.groups[here] != group]
        best: Ids = self.places[here[np.argsort(-(self.rows[here] @ row), kind="stable")[:k]]]
        return best


@dataclass(frozen=True, slots=True)
class Voter:
    """Labelled photos that can be asked what another photo shows."""

    species: tuple[str, ...]
    groups: Ids  # (n,) of all photos of the fit
    judge: _Judge
    gallery: _Gallery
    scales: fusion.Scales

    def predict(self, vectors: Vectors, k: int = 5, without: Ids | None = None) -> Votes:
        """What photos (q, dim) show; `without` (q,) gives the row of the fit that each is (-1: none).

        Such a photo is not asked about itself, nor are the photos of its group.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        rows, turned = self.judge.views(np.ascontiguousarray(vectors, dtype=np.float32))
        which = np.full(len(rows), -1) if without is None else np.asarray(without)
        groups = np.where(which < 0, -1, self.groups[which])
        votes = Votes(
            np.zeros((len(rows), len(self.species)), dtype=np.float32),
            np.full(len(rows), np.nan, dtype=np.float32),
            np.full((len(rows), k), -1, dtype=np.int64),
        )
        for some, witnesses in _witnesses(self.judge, self.gallery, rows, turned, groups):
            votes.probabilities[some], votes.novelty[some] = fusion.judged(witnesses, self.scales)
        for row in np.flatnonzero(votes.probabilities.any(axis=1)):
            best = int(votes.probabilities[row].argmax())
            near = self.gallery.nearest(rows[row], int(groups[row]), best, k)
            votes.evidence[row, : len(near)] = near
        return votes


def fit(vectors: Vectors, labels: Labels, groups: Ids | None = None, *, seed: int = 0) -> Voter | None:
    """A classifier of the labelled ones among unit vectors (n, dim); None where no photo has a label.

    Photos of one group (a burst, copies of one picture; `groups` (n,)) are never asked about each other.
    """
    species, own, groups = _coded(vectors, labels, groups)
    if not species:
        return None
    scales = _Folds.fitted(vectors, own, groups, seed).scales(None)
    judge = _fitted(vectors, own, np.arange(len(own)), seed)
    return Voter(species, groups, judge, _gallery(judge, vectors, own, groups), scales)


def cross_fitted(
    vectors: Vectors, labels: Labels, groups: Ids | None = None, *, k: int = 20, seed: int = 0
) -> Asked | None:
    """Judge every labelled photo by the others, leave-one-out; None where no photo has a label.

    Space, model and weights are fitted without the photos of its fold; then every labelled photo that is not of its
    own group stands for its species. Groups are never split between folds.
    """
    species, own, groups = _coded(vectors, labels, groups)
    if not species:
        return None
    n, k = len(own), min(k, len(species))
    asked = Asked(
        *(species, own, _answerable(own, groups)),
        *(np.full((n, k), -1, dtype=np.int64), np.zeros((n, k), dtype=np.float32)),
        *(np.full(n, np.nan, dtype=np.float32), np.full(n, np.nan, dtype=np.float32)),
    )
    folds = _Folds.fitted(vectors, own, groups, seed)
    for fold, judge in enumerate(folds.judges):
        gallery, scales = _gallery(judge, vectors, own, groups), folds.scales(fold)
        inside = np.flatnonzero(folds.fold[gallery.places] == fold)
        views = gallery.rows[inside], gallery.turned[inside]
        for some, witnesses in _witnesses(judge, gallery, *views, gallery.groups[inside]):
            who = gallery.places[inside[some]]
            probabilities, asked.novelty[who] = fusion.judged(witnesses, scales)
            heard = np.asarray(probabilities.any(axis=1))
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
            asked.top[who] = np.where(heard[:, None], best, -1)
            asked.probabilities[who] = np.take_along_axis(probabilities, best, 1)
            asked.of_own[who] = np.where(heard, probabilities[np.arange(len(who)), own[who]], np.nan)
    return asked


def together(probabilities: Vectors, groups: Ids) -> Vectors:
    """Let the photos of a group (q,) speak with one voice: the mean of their log probabilities (q, species).

    A photo that nobody could answer for (all zero) has no say; where that is so of all of a group, they stay zero.
    """
    names, which = np.unique(groups, return_inverse=True)
    heard = probabilities.any(axis=1)
    logs = np.zeros((len(names), probabilities.shape[1]))
    np.add.at(logs, which[heard], np.log(np.maximum(probabilities[heard], np.finfo(np.float32).tiny)))
    counts = np.bincount(which[heard], minlength=len(names))
    spoken = fusion.softmax(logs / np.maximum(counts, 1)[:, None])
    spoken[counts == 0] = 0
    return np.asarray(spoken[which], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Folds:
    """Judges, each fitted without a fold of the photos; and what they say of some photos of that fold."""

    fold: Ids  # (n,)
    judges: tuple[_Judge, ...]
    asked: Ids  # (a,) photos whose label others bear too, at most _WEIGHED_ON of them
    heard: Vectors  # (a, candidates + 1, 3) witnesses: first for its own species, then for the likeliest others

    @classmethod
    def fitted(cls, vectors: Vectors, own: Ids, groups: Ids, seed: int) -> "_Folds":
        draw = np.random.default_rng(seed)
        names, which = np.unique(groups, return_inverse=True)
        count = min(FOLDS if len(own) <= MANY else 2, len(names))
        fold = draw.permutation(np.arange(len(names)) % count)[which]
        able = np.flatnonzero(_answerable(own, groups))
        chosen = np.zeros(len(own), dtype=bool)
        chosen[draw.permutation(able)[:_WEIGHED_ON]] = True
        judges, places, heard = [], [], []
        for number in range(count):
            # With one group there is no other fold to learn from: the photos are compared as they are.
            learning = np.flatnonzero(fold != number)
            judges.append(_fitted(vectors, own, learning, seed))
            gallery = _gallery(judges[-1], vectors, own, groups)
            asking = np.flatnonzero(chosen[gallery.places] & (fold[gallery.places] == number))
            views = gallery.rows[asking], gallery.turned[asking]
            for some, witnesses in _witnesses(judges[-1], gallery, *views, gallery.groups[asking]):
                places.append(gallery.places[asking[some]])
                heard.append(_own_first(witnesses, gallery.codes[asking[some]]))
        nothing = np.zeros((0, 1, 3), dtype=np.float32)
        return cls(
            fold, tuple(judges), np.concatenate([able[:0], *places]), np.concatenate(heard) if heard else nothing
        )

    def scales(self, without: int | None) -> fusion.Scales:
        """Weights fitted on all photos asked, or on those that are not of one fold."""
        return fusion.fit(self.heard if without is None else self.heard[self.fold[self.asked] != without])


def _coded(vectors: Vectors, labels: Labels, groups: Ids | None) -> tuple[tuple[str, ...], Ids, Ids]:
    """The species by name, each photo's number among them (-1: no label), each photo's group."""
    if vectors.ndim != 2 or len(labels) != len(vectors) or (groups is not None and len(groups) != len(vectors)):
        raise ValueError(f"{len(labels)} labels for vectors of shape {vectors.shape}: one label and group a vector")
    species = tuple(sorted({str(label) for label in labels if label is not None}))
    numbers = {name: number for number, name in enumerate(species)}
    own = np.array([-1 if label is None else numbers[str(label)] for label in labels], dtype=np.int64)
    return species, own, np.arange(len(own)) if groups is None else np.unique(groups, return_inverse=True)[1]


def _answerable(own: Ids, groups: Ids) -> Flags:
    """Photos (n,) whose label is borne in another group too."""
    named = own >= 0
    pairs = np.unique(np.stack([own[named], groups[named]], axis=1), axis=0)
    able = np.bincount(pairs[:, 0], minlength=1) > 1
    return named & able[np.maximum(own, 0)]


def _fitted(vectors: Vectors, own: Ids, learning: Ids, seed: int) -> _Judge:
    """The space and the model that some of the photos make."""
    # All judges alike: scales fitted on photos in one kind of space mean nothing in another.
    refined = len(vectors) * (FOLDS - 1) // FOLDS >= whitening.LEAST
    if len(learning) > _FITTED_ON:
        learning = np.sort(np.random.default_rng(seed).permutation(learning)[:_FITTED_ON])
    rows = np.ascontiguousarray(vectors[learning], dtype=np.float32)
    if not len(rows) or not (rows != rows[0]).any():
        return _Judge(None, None)
    space = whitening.fit(rows) if refined else None
    rows = rows if space is None else space.apply(rows)
    named = own[learning] >= 0
    return _Judge(space, plda.fit(rows[named], own[learning][named]))


def _gallery(judge: _Judge, vectors: Vectors, own: Ids, groups: Ids) -> _Gallery:
    places = np.argsort(own, kind="stable")[np.count_nonzero(own < 0) :]
    species = int(own.max()) + 1
    parts = [
        judge.views(np.ascontiguousarray(vectors[places[start : start + _ROWS]], dtype=np.float32))
        for start in range(0, len(places), _ROWS)
    ]
    rows, turned = (np.concatenate(part) for part in zip(*parts, strict=True))
    codes, groups = own[places], groups[places]
    starts = np.searchsorted(codes, np.arange(species + 1))
    sums = summed(rows, codes, species), summed(turned, codes, species)
    return _Gallery(places, rows, turned, codes, groups, starts, *sums, np.lexsort((codes, groups)))


def _witnesses(
    judge: _Judge, gallery: _Gallery, rows: Vectors, turned: Vectors, groups: Ids
) -> Iterator[tuple[slice, Vectors]]:
    """Blocks of photos (q, d), and what speaks for each species in them (block, species, 3); NOBODY where none is left.

    Photos of the same group (q,) are not asked (-1: a photo that is not in the gallery).
    """
    species, counts = len(gallery.sums), np.diff(gallery.starts).astype(np.float32)
    step = max(1, min(_ROWS, _CELLS // max(species, 1)))
    means = _unit(gallery.sums)
    for start in range(0, len(rows), step):
        some = slice(start, min(start + step, len(rows)))
        said = np.zeros((some.stop - start, species, 3), dtype=np.float32)
        said[:, :, 1] = rows[some] @ means.T
        if judge.model is not None:
            said[:, :, 0] = judge.model.ratio(turned[some], gallery.turned_sums, counts)
        who, which, less, turned_less, fewer = _apart(gallery, groups[some])
        said[who, which, 1] = (_unit(gallery.sums[which] - less) * rows[some][who]).sum(axis=1)
        left = counts[which] - fewer
        if judge.model is not None:
            sums = gallery.turned_sums[which] - turned_less
            said[who, which, 0] = judge.model.own_ratio(turned[some][who], sums, left)
        nobody = who[left == 0], which[left == 0]
        said[nobody] = fusion.NOBODY
        said[:, :, 2] = _vote(gallery, rows[some], groups[some], said)
        said[nobody] = fusion.NOBODY
        yield some, said


def _apart(gallery: _Gallery, groups: Ids) -> tuple[Ids, Ids, Vectors, Vectors, Vectors]:
    """Of photos in groups (q,): photo, species, and the sums (of rows, turned rows, ones) not to be counted for it."""
    names, which = np.unique(groups, return_inverse=True)
    sorted_groups = gallery.groups[gallery.by_group]
    first, last = np.searchsorted(sorted_groups, names), np.searchsorted(sorted_groups, names, side="right")
    members = gallery.by_group[_ranges(first, last - first)]
    owner = np.repeat(np.arange(len(names)), last - first)
    new = np.ones(len(members), dtype=bool)
    new[1:] = (np.diff(owner) != 0) | (np.diff(gallery.codes[members]) != 0)
    pair = np.cumsum(new) - 1  # the members by group and species
    pairs = np.bincount(owner[new], minlength=len(names))
    repeat = _ranges((np.cumsum(pairs) - pairs)[which], pairs[which])
    who = np.repeat(np.arange(len(groups)), pairs[which])
    count = int(new.sum())
    rows, turned = (summed(part[members], pair, count)[repeat] for part in (gallery.rows, gallery.turned))
    fewer = np.bincount(pair, minlength=count)[repeat].astype(np.float32)
    return who, gallery.codes[members][new][repeat], rows, turned, fewer


def _ranges(starts: Ids, lengths: Ids) -> Ids:
    """The numbers of several ranges one after another."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _vote(gallery: _Gallery, rows: Vectors, groups: Ids, said: Vectors) -> Vectors:
    """How close the photos of each species are (q, species), the nearest weighing most: log mean exp of their scores.

    In a large gallery only the species likeliest by the other witnesses (q, species, 3) are looked at closely.
    """
    close = said[:, :, 1] > fusion.NOBODY
    votes = np.full(close.shape, np.inf, dtype=np.float32)
    if len(gallery.codes) > _ALL_UP_TO and close.shape[1] > _CANDIDATES:
        rough = said[:, :, :2] @ fusion.TYPICAL[:2].astype(np.float32)
        close &= rough >= np.partition(rough, -_CANDIDATES, axis=1)[:, -_CANDIDATES, None]
    for species in np.flatnonzero(close.any(axis=0)):
        asking, here = np.flatnonzero(close[:, species]), slice(gallery.starts[species], gallery.starts[species + 1])
        powers = np.exp(SHARPNESS * (rows[asking] @ gallery.rows[here].T - 1))
        others = groups[asking][:, None] != gallery.groups[here]
        votes[asking, species] = np.log((powers * others).sum(axis=1) / others.sum(axis=1)) / SHARPNESS + 1
    # What was not looked at is no better than the worst that was.
    worst = np.min(votes, axis=1, keepdims=True)
    return np.where(np.isfinite(votes), votes, np.where(np.isfinite(worst), worst, 0))


def _own_first(witnesses: Vectors, own: Ids) -> Vectors:
    """For each photo the witnesses (q, 1 + others, 3) of its own species, then of the likeliest others."""
    rough = witnesses @ fusion.TYPICAL.astype(np.float32)
    rough[np.arange(len(own)), own] = np.inf
    best = np.argsort(-rough, axis=1, kind="stable")[:, : _AGAINST + 1]
    return np.take_along_axis(witnesses, best[:, :, None], 1)


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)
