"""Which labels may be wrong, why, and what the photos show instead.

The classifier made of the other labelled photos says how likely each photo's own label is; no photo takes part in what
judges it. By Bayes' rule that is the chance that the label is wrong, with a share of wrong labels that is estimated on
the way (Dempster, Laird and Rubin 1977), as if a wrong label were any of the others. The backbone and the checklist
multiply the odds by a factor. Of the labels in a burst, or of copies of one picture, only one can be right: which one
is weighed by the odds of all the photos that bear each.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates import grouping
from birdsearch.records import (
    AuditReport,
    Ids,
    Prediction,
    Progress,
    Suspect,
    Vectors,
)
from birdsearch.species import classifier
from birdsearch.species import names as names_module
from birdsearch.species.classifier import Asked, Labels
from birdsearch.species.gallery import BLOCK, Gathered
from birdsearch.species.prediction import listed
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.taxonomy import resolve
from birdsearch.taxonomy.checklist import Checklist
from birdsearch.taxonomy.resolve import is_bird, resolve_many

NEAREST = 5  # photos of other groups that are asked what a doubtful photo looks like
EVIDENCE = 6  # photos shown for a doubt, at most
_USUAL = 0.02  # share of wrong labels that is expected before any photo is seen...
_WEIGHT = 20  # ...which counts as much as so many photos
_BURST = 0.9  # chance that the photos of a burst all show one species
_COPY = 0.99  # the same for copies of one picture
_VOTE = 3.0  # what each related photo adds for its label, as a logarithm, when another one is proposed
_DEAF = 10.0  # logarithm of odds that one photo can bring into a burst, at most
_BACKBONE = 10.0  # odds that a backbone can add or take away, at most
_OUTSIDE = 5.0  # vagrants exist
_ROWS = 512  # doubtful photos that look for their nearest at a time

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label that may be wrong."""

    id: int  # of the photo
    label: str
    proposed: str | None  # None where nothing better is known
    doubt: float  # chance that the label is wrong, 0 to 1; rather too low than too high
    reasons: tuple[str, ...]  # in words, the strongest kind first
    evidence: tuple[int, ...]  # ids of the photos that speak against it


@dataclass(frozen=True, slots=True)
class Audited:
    """Doubtful labels, worst first."""

    doubts: tuple[Doubt, ...] = ()
    judged: int = 0  # labelled photos that another photo of their species could vouch for


@dataclass(frozen=True, slots=True)
class _Case:
    """What speaks against one label."""

    odds: float  # factor
    reasons: tuple[str, ...]
    votes: dict[str, float]  # label -> how strongly related photos and the backbone speak for it
    evidence: tuple[int, ...]  # rows
    related: tuple[tuple[tuple[int, ...], float], ...] = ()  # rows of the same moment, chance of one species in them


@dataclass(frozen=True, slots=True)
class _Gallery:
    """Where the photos that may be shown as evidence lie."""

    vectors: Vectors  # (n, dim)
    own: Ids  # (n,) species, -1 for none
    groups: Ids  # (n,)
    ids: Ids  # (n,)

    def nearest_of(self, row: int, species: int, k: int = 3) -> Ids:
        """Rows of the photos of a species, in other groups, that are nearest to a photo."""
        rows = np.flatnonzero((self.own == species) & (self.groups != self.groups[row]))
        best: Ids = rows[np.argsort(-(self.vectors[rows] @ self.vectors[row]).round(6), kind="stable")[:k]]
        return best


def audit(
    vectors: Vectors,
    labels: Labels,
    ids: Ids,
    *,
    groups: Ids | None = None,
    near_identical: Collection[tuple[int, int]] = (),
    class_probabilities: Sequence[dict[str, float]] | None = None,
    outside: Collection[str] = (),
    seed: int = 0,
) -> Audited:
    """Doubtful labels among unit vectors (n, dim) of photos `ids` (n,), the most doubtful first.

    `groups` (n,) number bursts, below 0 for none; `near_identical` are pairs of ids of copies of one picture.
    `class_probabilities` (n,) are what the backbone says, label -> probability, in the spelling of `labels`; empty for
    photos of which it says nothing about species. `outside` are the labels that are not on the checklist.
    """
    if not len(vectors) == len(labels) == len(ids):
        raise ValueError(f"there are {len(vectors)} vectors, {len(labels)} labels and {len(ids)} ids")
    if any(given is not None and len(given) != len(ids) for given in (groups, class_probabilities)):
        raise ValueError(f"groups and class_probabilities must have one value for each of {len(ids)} photos")
    bursts = np.full(len(ids), -1) if groups is None else np.asarray(groups, dtype=np.int64)
    copies = _copies(ids, near_identical)
    if not len(ids):
        return Audited()
    apart = _apart(bursts, copies)
    asked = classifier.cross_fitted(vectors, labels, apart, seed=seed)
    if asked is None:
        return Audited()
    cases = _cases(labels, bursts, copies, class_probabilities, frozenset(outside))
    score = _scores(asked, cases)
    first = np.where(asked.answerable, asked.top[:, 0], asked.own)
    doubtful = np.array(sorted({*np.flatnonzero(first != asked.own).tolist(), *cases}), dtype=np.int64)
    doubtful = doubtful[np.argsort(-score[doubtful], kind="stable")]
    near = _nearest(vectors, asked.own, apart, doubtful)
    gallery = _Gallery(vectors, asked.own, apart, ids)
    doubts = [
        _doubt(row, rows, float(score[row]), asked, cases.get(row), gallery)
        for row, rows in zip(doubtful.tolist(), near, strict=True)
    ]
    return Audited(tuple(doubt for doubt in doubts if doubt.reasons), int(asked.answerable.sum()))


def off_list(labels: Labels, checklist: Checklist, *, overrides: Mapping[str, str] | None = None) -> frozenset[str]:
    """The labels that name a bird of which no part is on the checklist; what cannot be read as a bird is not judged.

    `overrides` are what somebody said that labels mean (`taxonomy.read_overrides`).
    """
    known = sorted({label for label in labels if label is not None})
    return frozenset(
        meant.name
        for meant in resolve_many(known, overrides=overrides)
        if meant.candidates and is_bird(meant) and checklist.species.isdisjoint(meant.candidates)
    )


def _copies(ids: Ids, pairs: Collection[tuple[int, int]]) -> dict[int, set[int]]:
    """Rows of the other copies of each row's picture; ids that are not here are passed over."""
    row = {int(photo): place for place, photo in enumerate(ids)}
    copies: dict[int, set[int]] = {}
    for one, other in pairs:
        a, b = row.get(int(one)), row.get(int(other))
        if a is not None and b is not None and a != b:
            copies.setdefault(a, set()).add(b)
            copies.setdefault(b, set()).add(a)
    return copies


def _apart(bursts: Ids, copies: dict[int, set[int]]) -> Ids:
    """Group numbers (n,) of photos that must not vouch for each other; single photos have one of their own."""
    pairs = [(one, other) for one, others in copies.items() for other in others]
    edges = np.concatenate([grouping.edges_from_groups(bursts), np.array(pairs, dtype=np.int64).reshape(-1, 2)])
    return grouping.component_labels(len(bursts), edges)


def _cases(
    labels: Labels,
    bursts: Ids,
    copies: dict[int, set[int]],
    class_probabilities: Sequence[dict[str, float]] | None,
    outside: frozenset[str],
) -> dict[int, _Case]:
    """What related photos, the backbone and the checklist say against the labels, by row."""
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(bursts >= 0).tolist():
        members.setdefault(int(bursts[row]), []).append(row)
    known = {name for told in class_probabilities or () for name in told}  # what the backbone has words for
    cases: dict[int, _Case] = {}
    for row, label in enumerate(labels):
        if label is None:
            continue
        same = copies.get(row, set())
        burst = [other for other in members.get(int(bursts[row]), ()) if other != row and other not in same]
        parts = [
            _related(labels, label, sorted(same), _COPY, "near-identical photo with another label"),
            _related(labels, label, burst, _BURST, "burst disagrees"),
        ]
        if class_probabilities is not None and label in known:
            parts.append(_backbone(class_probabilities[row], label))
        if label in outside:
            parts.append(_Case(_OUTSIDE, ("outside the checklist",), {}, ()))
        case = _joined(parts)
        if case.reasons or case.odds != 1:
            cases[row] = case
    return cases


def _related(labels: Labels, label: str, others: Sequence[int], trust: float, words: str) -> _Case:
    """What photos of the same moment say, where they do not all bear this label."""
    named = [row for row in others if labels[row] is not None]
    counts = Counter(str(labels[row]) for row in named)
    counts.pop(label, 0)
    if not counts:
        return _Case(1.0, (), {}, ())
    name, against = min(counts.items(), key=lambda item: (-item[1], item[0]))
    reason = f"{words}: {against} of {len(named)} {'other shows' if len(named) == 1 else 'others show'} {name}"
    strength = {other: count * _VOTE for other, count in counts.items()}
    strength[label] = (len(named) - counts.total()) * _VOTE
    return _Case(
        1.0, (reason,), strength, tuple(row for row in named if labels[row] != label), ((tuple(named), trust),)
    )


def _backbone(told: dict[str, float], label: str) -> _Case:
    """What the backbone's own classes say."""
    if not told:
        return _Case(1.0, (), {}, ())
    name = min(told, key=lambda other: (-told[other], other))
    own = min(max(told.get(label, 0.0), 0.0), 1.0)
    odds = float(np.clip((1 - own + 0.01) / (own + 0.01), 1 / _BACKBONE, _BACKBONE))
    if name == label:
        return _Case(min(odds, 1.0), (), {}, ())
    reason = f"backbone disagrees: {name} {told[name]:.2f}, {label} {own:.2f}"
    return _Case(odds, (reason,), {name: float(np.log(max(odds, 1.0)))}, ())


def _joined(parts: Sequence[_Case]) -> _Case:
    votes: Counter[str] = Counter()
    for part in parts:
        votes.update(part.votes)
    return _Case(
        float(np.prod([part.odds for part in parts])),
        tuple(reason for part in parts for reason in part.reasons),
        dict(votes),
        tuple(row for part in parts for row in part.evidence),
        tuple(some for part in parts for some in part.related),
    )


def _scores(asked: Asked, cases: dict[int, _Case]) -> Floats:
    """The chance (n,) that each label is wrong; NaN for photos without one."""
    named = asked.own >= 0
    # Nobody could vouch for the label of a photo that is not answerable: the classifier says nothing about it.
    heard = asked.answerable & np.isfinite(asked.of_own)
    others = max(len(asked.species) - 1, 1)
    own = np.where(heard, asked.of_own, 1 / (others + 1)).astype(np.float64)
    factor = np.ones(len(own))
    for row, case in cases.items():
        factor[row] = case.odds
    share = _USUAL
    for _ in range(50):
        wrong, right = share / others * (1 - own), (1 - share) * own
        usual = np.divide(wrong, wrong + right, out=np.zeros(len(own)), where=wrong + right > 0)
        total = float(usual[heard].sum()) + _USUAL * _WEIGHT
        share = min(total / (int(heard.sum()) + _WEIGHT), 0.5)
    usual = np.where(heard, usual, share)
    # A chance of 0 or 1 would be deaf to every other witness.
    usual = np.clip(usual, 1e-9, 1 - 1e-9)
    odds = usual / (1 - usual) * factor
    score = np.where(named, odds / (1 + odds), np.nan)
    told = np.clip(np.log(odds), -_DEAF, _DEAF)
    for row, case in cases.items():
        for moment, trust in case.related:
            score[row] = trust * _outvoted(row, moment, asked.own, told) + (1 - trust) * score[row]
    return score


def _outvoted(row: int, others: Sequence[int], own: Ids, told: Floats) -> float:
    """The chance that a label is wrong where exactly one of those of all these photos is right."""
    rows = np.array([row, *others])
    labels, which = np.unique(own[rows], return_inverse=True)
    # A label is right if none of the photos that bear it is wrong and all the others are.
    merit = np.bincount(which, weights=-told[rows])
    merit = np.exp(merit - merit.max())
    return float(1 - merit[labels == own[row]].sum() / merit.sum())


def _nearest(vectors: Vectors, own: Ids, groups: Ids, asking: Ids) -> list[Ids]:
    """Rows of the labelled photos of other groups nearest to each of these, in the backbone's space: nothing fitted."""
    named = np.flatnonzero(own >= 0)
    rows: list[Ids] = []
    gallery = np.ascontiguousarray(vectors[named], dtype=np.float32)
    for start in range(0, len(asking), _ROWS):
        some = asking[start : start + _ROWS]
        scores = vectors[some] @ gallery.T
        scores[groups[some][:, None] == groups[named]] = -np.inf
        k = min(NEAREST, len(named))
        part = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        close = np.take_along_axis(scores, part, 1)
        order = np.lexsort((named[part], -close.round(6)), axis=1)
        for line in range(len(some)):
            best = part[line, order[line]]
            rows.append(named[best[np.isfinite(scores[line, best])]])
    return rows


def _doubt(row: int, near: Ids, score: float, asked: Asked, case: _Case | None, gallery: "_Gallery") -> Doubt:
    """The doubt about one label in words."""
    names, label = asked.species, asked.species[int(asked.own[row])]
    reasons: list[str] = [] if case is None else list(case.reasons)
    chances: dict[str, float] = {}
    if asked.answerable[row]:
        told = zip(asked.top[row].tolist(), asked.probabilities[row].tolist(), strict=True)
        chances = {names[code]: chance for code, chance in told if code >= 0}
        own = float(asked.of_own[row])
        best = names[int(asked.top[row, 0])]
        if best != label:
            reasons.append(f"classifier disagrees: {best} {chances[best]:.2f}, {label} {own:.2f}")
        chances[label] = own
    shown = Counter(names[int(code)] for code in asked.own[near])
    if reasons and shown:
        common, count = min(shown.items(), key=lambda item: (-item[1], item[0]))
        if common != label and count > max(shown[label], 1):
            reasons.append(f"neighbours disagree: {count} of the {len(near)} nearest photos show {common}")
    proposed = _proposed(label, chances, {} if case is None else case.votes, len(names))
    against = [] if case is None else list(case.evidence)
    if proposed in names:
        against += gallery.nearest_of(row, names.index(proposed)).tolist()
    against += [int(other) for other in near if asked.own[other] != asked.own[row]]
    evidence = tuple(int(gallery.ids[other]) for other in list(dict.fromkeys(against))[:EVIDENCE])
    return Doubt(int(gallery.ids[row]), label, proposed, score, tuple(reasons), evidence)


def _proposed(label: str, chances: dict[str, float], votes: dict[str, float], species: int) -> str | None:
    """The other label that the classifier and the votes together favour over this one; None where it is still best."""
    floor = 1e-3 / max(species, 1)
    merit = {
        name: float(np.log(max(chances.get(name, 1 / species if not chances else 0.0), floor))) + votes.get(name, 0.0)
        for name in {*chances, *votes, label}
    }
    best = min(merit, key=lambda name: (-merit[name], name))
    return None if best == label else best


def of(
    gathered: Gathered, catalog: Catalog, checklist: Iterable[str | Path] | None, progress: Progress | None
) -> AuditReport:
    """Doubtful labels, worst first, by the other photos, the backbone, the checklist, bursts and copies."""
    started = time.monotonic()
    ids, labels = gathered.ids, gathered.labels
    said = names_module.overrides(catalog)
    told = _told(catalog, ids, names_module.species_of(labels, said), progress)
    outside = () if checklist is None else off_list(labels, listed(checklist), overrides=said)
    found = audit(
        gathered.raw,
        labels,
        ids,
        groups=gathered.bursts,
        near_identical=gathered.copies,
        class_probabilities=told,
        outside=outside,
    )
    known = catalog.known_photos([doubt.id for doubt in found.doubts])
    suspects = tuple(
        Suspect(known[doubt.id], doubt.label, doubt.proposed, doubt.doubt, doubt.reasons, doubt.evidence)
        for doubt in found.doubts
    )
    return AuditReport(suspects, found.judged, time.monotonic() - started)


def _told(
    catalog: Catalog, ids: Ids, species_of: Mapping[str, str], progress: Progress | None
) -> list[dict[str, float]] | None:
    """What the backbone says of each photo in the words of the labels; None where it knows none of them.

    `species_of` are the scientific names that labels mean.
    """
    label_of: dict[str, str] = {}
    for label, name in species_of.items():
        label_of.setdefault(name, label)
    told: list[dict[str, float]] = []
    for start in range(0, len(ids), BLOCK):
        some = ids[start : start + BLOCK].tolist()
        known = catalog.known_photos(some)
        told += [_in_words(known[photo_id].predictions, label_of) for photo_id in some]
        if progress is not None:
            progress("audit", start + len(some), len(ids), "")
    return told if any(told) else None


def _in_words(predictions: Iterable[Prediction], label_of: Mapping[str, str]) -> dict[str, float]:
    words: dict[str, float] = {}
    for one in predictions:
        meant = resolve.resolve(one.species) if one.species else None
        if meant is not None and meant.rank == "species" and meant.candidates[0] in label_of:
            words[label_of[meant.candidates[0]]] = one.probability
    return words
