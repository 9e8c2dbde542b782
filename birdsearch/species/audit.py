"""Which labels may be wrong, why, and what the photos show instead.

The classifier of the other labelled photos gives the probability of each photo's own label, cross-validated. By Bayes'
rule that is the probability that the label is wrong, with a share of wrong labels that is estimated on the way
(Dempster, Laird and Rubin 1977), as if a wrong label were any of the others. The backbone and the checklist multiply
the odds by a factor. Of the labels in a burst, or of copies of one picture, only one can be right: which one is weighed
by the odds of all the photos that have each.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates import grouping
from birdsearch.memory import check_room
from birdsearch.records import AuditReport, Filter, Ids, Photo, Progress, Suspect, Vectors, blocks
from birdsearch.species import classifier
from birdsearch.species import names as names_module
from birdsearch.species.classifier import CrossValidated, Labels
from birdsearch.species.gallery import Gallery, GalleryCache
from birdsearch.species.prediction import listed
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.store import Store
from birdsearch.taxonomy import resolve
from birdsearch.taxonomy.checklist import Checklist

NEAREST = 5  # photos of other groups that a suspect is compared with
WEIGHED = 8_000  # bytes of what is weighed of a photo, at least (benchmarks.growth)
EVIDENCE = 6  # photos shown for a suspect, at most
# Guesses; benchmarks.audit measures what they are worth together.
_USUAL = 0.02  # share of wrong labels that is expected before any photo is compared...
_WEIGHT = 20  # ...which counts as much as this number of photos
_BURST = 0.9  # probability that the photos of a burst all show one species
_COPY = 0.99  # the same for copies of one picture
_VOTE = 3.0  # what each related photo adds for its label, as a logarithm, when another one is proposed
_MAX_LOG_ODDS = 10.0  # that one photo can bring into a burst
_BACKBONE = 10.0  # odds that a backbone can add or take away, at most
_OUTSIDE = 5.0  # vagrants exist
_STRANGER = 25.0  # odds against the only photo of a label whose nearest photos all show one other species
_STRANGER_NEAREST = 3  # photos that must
_TOLD = 512  # photos between two calls of `progress`
_ROWS = 512  # suspects that are compared with all labelled photos at a time

Floats = npt.NDArray[np.float64]
PhotosOf = Callable[[Sequence[int]], Mapping[int, Photo]]  # ids -> photos, such as `Catalog.known_photos`


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about n photos besides their vectors and labels."""

    bursts: Ids | None = None  # (n,) numbers, below 0 for none
    copies: Collection[tuple[int, int]] = ()  # pairs of ids of near-identical photos
    class_probabilities: Sequence[Mapping[str, float]] | None = None  # (n,) of the backbone, in the labels' spelling;
    # empty for photos of which it predicts no species
    outside: Collection[str] = ()  # labels that are not on the checklist


@dataclass(frozen=True, slots=True)
class _LabelEvidence:
    """The evidence against one label."""

    odds: float = 1.0  # factor
    reasons: tuple[str, ...] = ()
    votes: Mapping[str, float] | None = None  # label -> how strongly related photos and the backbone support it
    rows: tuple[int, ...] = ()  # of the photos that contradict it
    related: tuple[tuple[tuple[int, ...], float], ...] = ()  # rows of the same moment, chance of one species in them


@dataclass(frozen=True, slots=True)
class _Photos:
    """The photos under audit, as cross-validation and nearest neighbours see them."""

    vectors: Vectors  # (n, dim)
    groups: Ids  # (n,)
    ids: Ids  # (n,)
    classified: CrossValidated
    lone: frozenset[int]  # species

    def nearest_of(self, row: int, species: int, k: int = 3) -> Ids:
        """Rows of the photos of a species, in other groups, that are nearest to a photo."""
        rows = np.flatnonzero((self.classified.codes == species) & (self.groups != self.groups[row]))
        best: Ids = rows[np.argsort(-(self.vectors[rows] @ self.vectors[row]).round(6), kind="stable")[:k]]
        return best

    def nearest(self, queries: Ids) -> list[Ids]:
        """Rows of the labelled photos of other groups nearest to each of these, in the backbone's space."""
        named = np.flatnonzero(self.classified.codes >= 0)
        nearest: list[Ids] = []
        labelled = np.ascontiguousarray(self.vectors[named], dtype=np.float32)
        k = min(NEAREST, len(named))
        for block in blocks(len(queries), _ROWS):
            rows = queries[block]
            scores = self.vectors[rows] @ labelled.T
            scores[self.groups[rows][:, None] == self.groups[named]] = -np.inf
            part = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            close = np.take_along_axis(scores, part, 1)
            order = np.lexsort((named[part], -close.round(6)), axis=1)
            for line in range(len(rows)):
                best = part[line, order[line]]
                nearest.append(named[best[np.isfinite(scores[line, best])]])
        return nearest


def audit(
    vectors: Vectors,
    labels: Labels,
    ids: Ids,
    photos_of: PhotosOf,
    evidence: Evidence = Evidence(),
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditReport:
    """Suspects among unit vectors (n, dim) of photos `ids` (n,), the most doubtful label first.

    >>> audit(vectors, labels, ids, catalog.known_photos).suspects[0].proposed
    """
    if not len(vectors) == len(labels) == len(ids):
        raise ValueError(f"there are {len(vectors)} vectors, {len(labels)} labels and {len(ids)} ids")
    if any(given is not None and len(given) != len(ids) for given in (evidence.bursts, evidence.class_probabilities)):
        raise ValueError(f"bursts and class_probabilities must have one value for each of {len(ids)} photos")
    bursts = np.full(len(ids), -1) if evidence.bursts is None else np.asarray(evidence.bursts, dtype=np.int64)
    copies = _copies(ids, evidence.copies)
    groups = _leakage_groups(bursts, copies)
    classified = classifier.cross_validate(vectors, labels, groups, seed=seed, progress=progress) if len(ids) else None
    if classified is None:
        return AuditReport()
    against = _label_evidence(labels, bursts, copies, evidence)
    lone = _lone(classified)
    classified = _without_lone(classified, lone)
    photos = _Photos(vectors, groups, ids, classified, lone)
    for row, evidence_against in _strangers(photos):
        against[row] = _combined([against.get(row, _LabelEvidence()), evidence_against])
    doubt = _doubts(classified, against)
    first = np.where(classified.answerable, classified.top[:, 0], classified.codes)
    rows = np.array(sorted({*np.flatnonzero(first != classified.codes).tolist(), *against}), dtype=np.int64)
    rows = rows[np.argsort(-doubt[rows], kind="stable")]
    known = photos_of([int(ids[row]) for row in rows])
    suspects = [
        _suspect(row, near, photos, against.get(row, _LabelEvidence()), (known[int(ids[row])], float(doubt[row])))
        for row, near in zip(rows.tolist(), photos.nearest(rows), strict=True)
    ]
    return AuditReport(
        tuple(one for one in suspects if one.reasons),
        int(classified.answerable.sum()),
        lone=tuple(classified.species[code] for code in sorted(lone)),
    )


def _lone(classified: CrossValidated) -> frozenset[int]:
    """The species with photos of one moment only: nothing says that their labels are right."""
    codes = classified.codes
    return frozenset(codes[codes >= 0].tolist()) - frozenset(codes[classified.answerable].tolist())


def _without_lone(classified: CrossValidated, lone: frozenset[int]) -> CrossValidated:
    """The same, where no photo is taken for a species that rests on one unchecked label, but by that label."""
    dropped = np.isin(classified.top, list(lone)) & (classified.top != classified.codes[:, None])
    order = np.argsort(dropped, axis=1, kind="stable")
    left = np.maximum(1 - np.where(dropped, classified.probabilities, 0).sum(axis=1), 1e-9)
    kept = np.where(dropped, 0, classified.probabilities) / left[:, None]
    return replace(
        classified,
        top=np.take_along_axis(np.where(dropped, -1, classified.top), order, 1),
        probabilities=np.take_along_axis(kept, order, 1).astype(np.float32),
        label_probability=np.minimum(classified.label_probability / left, 1).astype(np.float32),
    )


def _strangers(photos: _Photos) -> Iterator[tuple[int, _LabelEvidence]]:
    """The photos of lone species whose nearest photos all show one other species, with what that says."""
    codes, names = photos.classified.codes, photos.classified.species
    rows = np.flatnonzero(np.isin(codes, list(photos.lone)))
    for row, near in zip(rows.tolist(), photos.nearest(rows), strict=True):
        shown = codes[near[:_STRANGER_NEAREST]].tolist()
        if len(shown) == _STRANGER_NEAREST and len(set(shown)) == 1 and shown[0] not in photos.lone:
            reason = f"no other moment has its label, and the {len(shown)} nearest photos show {names[shown[0]]}"
            yield row, _LabelEvidence(_STRANGER, (reason,), {names[shown[0]]: float(np.log(_STRANGER))})


def off_list(labels: Labels, checklist: Checklist, *, overrides: Mapping[str, str] | None = None) -> frozenset[str]:
    """The labels that name a bird of which no part is on the checklist; what cannot be read as a bird is left out.

    `overrides` are meanings that a user has given to labels (`taxonomy.resolve.read_overrides`).
    """
    names = sorted({label for label in labels if label is not None})
    return frozenset(meant.name for meant in resolve.resolve_many(names, overrides=overrides) if checklist.lacks(meant))


def _copies(ids: Ids, pairs: Collection[tuple[int, int]]) -> dict[int, set[int]]:
    """Rows of the other copies of each row's picture; unknown ids are ignored."""
    row = {int(photo): place for place, photo in enumerate(ids)}
    copies: dict[int, set[int]] = {}
    for one, other in pairs:
        a, b = row.get(int(one)), row.get(int(other))
        if a is not None and b is not None and a != b:
            copies.setdefault(a, set()).add(b)
            copies.setdefault(b, set()).add(a)
    return copies


def _leakage_groups(bursts: Ids, copies: dict[int, set[int]]) -> Ids:
    """Numbers (n,) of groups of photos that must not be compared; a single photo is a group of its own."""
    pairs = [(row, other) for row, others in copies.items() for other in others]
    edges = np.concatenate([grouping.edges_from_groups(bursts), np.array(pairs, dtype=np.int64).reshape(-1, 2)])
    return grouping.component_labels(len(bursts), edges)


def _label_evidence(
    labels: Labels, bursts: Ids, copies: dict[int, set[int]], evidence: Evidence
) -> dict[int, _LabelEvidence]:
    """The evidence of related photos, the backbone and the checklist against the labels, by row."""
    probabilities, outside = evidence.class_probabilities, frozenset(evidence.outside)
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(bursts >= 0).tolist():
        members.setdefault(int(bursts[row]), []).append(row)
    classes = {name for one in probabilities or () for name in one}
    against: dict[int, _LabelEvidence] = {}
    for row, label in enumerate(labels):
        if label is None:
            continue
        same = copies.get(row, set())
        burst = [other for other in members.get(int(bursts[row]), ()) if other != row and other not in same]
        parts = [
            _of_related(labels, label, sorted(same), _COPY, "near-identical photo with another label"),
            _of_related(labels, label, burst, _BURST, "burst disagrees"),
        ]
        if probabilities is not None and label in classes:
            parts.append(_of_backbone(probabilities[row], label))
        if label in outside:
            parts.append(_LabelEvidence(_OUTSIDE, ("outside the checklist",)))
        combined = _combined(parts)
        if combined.reasons or combined.odds != 1:
            against[row] = combined
    return against


def _of_related(labels: Labels, label: str, others: Sequence[int], trust: float, words: str) -> _LabelEvidence:
    """The labels of photos of the same moment, where not all are this one."""
    named = [row for row in others if labels[row] is not None]
    counts = Counter(str(labels[row]) for row in named)
    counts.pop(label, 0)
    if not counts:
        return _LabelEvidence()
    name, against = min(counts.items(), key=lambda item: (-item[1], item[0]))
    reason = f"{words}: {against} of {len(named)} {'other shows' if len(named) == 1 else 'others show'} {name}"
    votes = {other: count * _VOTE for other, count in counts.items()}
    votes[label] = (len(named) - counts.total()) * _VOTE
    differing = tuple(row for row in named if labels[row] != label)
    return _LabelEvidence(1.0, (reason,), votes, differing, ((tuple(named), trust),))


def _of_backbone(probabilities: Mapping[str, float], label: str) -> _LabelEvidence:
    """The backbone's own classes, label -> probability."""
    if not probabilities:
        return _LabelEvidence()
    name = min(probabilities, key=lambda other: (-probabilities[other], other))
    own = min(max(probabilities.get(label, 0.0), 0.0), 1.0)
    odds = float(np.clip((1 - own + 0.01) / (own + 0.01), 1 / _BACKBONE, _BACKBONE))
    if name == label:
        return _LabelEvidence(min(odds, 1.0))
    reason = f"backbone disagrees: {name} {probabilities[name]:.2f}, {label} {own:.2f}"
    return _LabelEvidence(odds, (reason,), {name: float(np.log(max(odds, 1.0)))})


def _combined(parts: Sequence[_LabelEvidence]) -> _LabelEvidence:
    votes: Counter[str] = Counter()
    for part in parts:
        votes.update(part.votes or {})
    return _LabelEvidence(
        float(np.prod([part.odds for part in parts])),
        tuple(reason for part in parts for reason in part.reasons),
        dict(votes),
        tuple(row for part in parts for row in part.rows),
        tuple(moment for part in parts for moment in part.related),
    )


def _doubts(classified: CrossValidated, against: Mapping[int, _LabelEvidence]) -> Floats:
    """The probability (n,) that each label is wrong; NaN for photos without one."""
    named = classified.codes >= 0
    # Without another photo of its species the classifier cannot judge a label.
    judgeable = classified.answerable & np.isfinite(classified.label_probability)
    others = max(len(classified.species) - 1, 1)
    own = np.where(judgeable, classified.label_probability, 1 / (others + 1)).astype(np.float64)
    factor = np.ones(len(own))
    for row, evidence in against.items():
        factor[row] = evidence.odds
    share = _USUAL
    for _ in range(50):
        wrong, right = share / others * (1 - own), (1 - share) * own
        usual = np.divide(wrong, wrong + right, out=np.zeros(len(own)), where=wrong + right > 0)
        total = float(usual[judgeable].sum()) + _USUAL * _WEIGHT
        share = min(total / (int(judgeable.sum()) + _WEIGHT), 0.5)
    usual = np.where(judgeable, usual, share)
    # No other evidence could change a probability of 0 or 1.
    usual = np.clip(usual, 1e-9, 1 - 1e-9)
    odds = usual / (1 - usual) * factor
    doubt = np.where(named, odds / (1 + odds), np.nan)
    log_odds = np.clip(np.log(odds), -_MAX_LOG_ODDS, _MAX_LOG_ODDS)
    for row, evidence in against.items():
        for moment, trust in evidence.related:
            doubt[row] = trust * _outvoted(row, moment, classified.codes, log_odds) + (1 - trust) * doubt[row]
    return doubt


def _outvoted(row: int, others: Sequence[int], codes: Ids, log_odds: Floats) -> float:
    """The probability that a label is wrong where exactly one of the labels of all these photos is right."""
    rows = np.array([row, *others])
    labels, which = np.unique(codes[rows], return_inverse=True)
    # A label is right if none of the photos that have it is wrong and all the others are.
    merit = np.bincount(which, weights=-log_odds[rows])
    merit = np.exp(merit - merit.max())
    return float(1 - merit[labels == codes[row]].sum() / merit.sum())


def _suspect(row: int, near: Ids, photos: _Photos, against: _LabelEvidence, of: tuple[Photo, float]) -> Suspect:
    """One label, its photo and its doubt, in words; without reasons where there is no evidence against it."""
    classified = photos.classified
    names, label = classified.species, classified.species[int(classified.codes[row])]
    reasons, probabilities = list(against.reasons), {}
    if classified.answerable[row]:
        top = zip(classified.top[row].tolist(), classified.probabilities[row].tolist(), strict=True)
        probabilities = {names[code]: probability for code, probability in top if code >= 0}
        own, best = float(classified.label_probability[row]), names[int(classified.top[row, 0])]
        if best != label:
            reasons.append(f"classifier disagrees: {best} {probabilities[best]:.2f}, {label} {own:.2f}")
        probabilities[label] = own
    counts = Counter(names[int(code)] for code in classified.codes[near])
    if reasons and counts:
        common, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if common != label and count > max(counts[label], 1):
            reasons.append(f"neighbours disagree: {count} of the {len(near)} nearest photos show {common}")
    lone = () if classified.codes[row] in photos.lone else {names[code] for code in photos.lone}
    votes = {name: vote for name, vote in (against.votes or {}).items() if name not in lone}
    proposed = _best_name(label, probabilities, votes, len(names))
    rows = list(against.rows)
    if proposed in names:
        rows += photos.nearest_of(row, names.index(proposed)).tolist()
    rows += [int(other) for other in near if classified.codes[other] != classified.codes[row]]
    evidence = tuple(int(photos.ids[other]) for other in list(dict.fromkeys(rows))[:EVIDENCE])
    # The photo's own spelling: the analyses may know its species by another one.
    return Suspect(of[0], of[0].label or label, proposed, of[1], tuple(reasons), evidence)


def _best_name(label: str, probabilities: Mapping[str, float], votes: Mapping[str, float], species: int) -> str | None:
    """The other label that the classifier and the votes together favour over this one; None where it is still best."""
    floor, unknown = 1e-3 / max(species, 1), 0.0 if probabilities else 1 / species
    merit = {
        name: float(np.log(max(probabilities.get(name, unknown), floor))) + votes.get(name, 0.0)
        for name in {*probabilities, *votes, label}
    }
    best = min(merit, key=lambda name: (-merit[name], name))
    return None if best == label else best


def of(
    galleries: GalleryCache,
    store: Store,
    where: Filter | None = None,
    checklist: Iterable[str | Path] | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Labels that may be wrong; the report is kept until a commit changes the index."""
    expected = None if checklist is None else listed(checklist)
    names = None if expected is None else (expected.species, expected.names)
    return galleries.kept(("audit", where, names), lambda: _of(galleries(where), store, expected, progress))


def _of(gallery: Gallery, store: Store, checklist: Checklist | None, progress: Progress | None) -> AuditReport:
    """The same, by the other photos, the backbone, the checklist, bursts and copies."""
    started = time.monotonic()
    check_room(len(gallery.photos), WEIGHED)
    overrides = names_module.overrides(store.catalog)
    evidence = Evidence(
        gallery.bursts,
        gallery.copies,
        _class_probabilities(gallery.ids, store, names_module.species_of(gallery.labels, overrides), progress),
        () if checklist is None else off_list(gallery.labels, checklist, overrides=overrides),
    )
    report = audit(gallery.raw, gallery.labels, gallery.ids, store.catalog.known_photos, evidence, progress=progress)
    return replace(report, seconds=time.monotonic() - started)


def without_confirmed(report: AuditReport, catalog: Catalog) -> AuditReport:
    """The same report without the labels that a person gave or confirmed by hand."""
    # What has no time was taken over from a copy: no person has looked at it.
    labels = catalog.labels_of(suspect.photo.id or 0 for suspect in report.suspects)
    by_hand = {i for i, label in labels.items() if label.source == "correction" and label.created_at is not None}
    left = tuple(suspect for suspect in report.suspects if suspect.photo.id not in by_hand)
    return replace(report, suspects=left, confirmed=len(report.suspects) - len(left))


def _class_probabilities(
    ids: Ids, store: Store, species_of: Mapping[str, str], progress: Progress | None
) -> list[dict[str, float]] | None:
    """Label -> probability by the backbone's stored predictions, for each photo; None where they name no label.

    `species_of` are the scientific names that labels mean.
    """
    label_of: dict[str, str] = {}
    for label, name in species_of.items():
        label_of.setdefault(name, label)
    probabilities: list[dict[str, float]] = []
    for block in blocks(len(ids), _TOLD):
        stored = store.catalog.predicted_species(ids[block].tolist())
        for photo_id in ids[block].tolist():
            words = {}
            for species, probability in stored.get(photo_id, ()):
                meant = resolve.resolve(species)
                if meant.rank == "species" and meant.candidates[0] in label_of:
                    words[label_of[meant.candidates[0]]] = probability
            probabilities.append(words)
        if progress is not None:
            progress("audit", block.stop, len(ids), "")
    return probabilities if any(probabilities) else None
