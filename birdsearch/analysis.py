"""What the analyses of species are given of one index: vectors in a space that tells species apart, names, groups."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch import (
    audit,
    calibrating,
    calibration,
    classify,
    clusters,
    duplicates,
    evaluate,
    naming,
    neighbours,
    pairs,
    refine,
    species,
    split,
    taxonomy,
    vectors,
)
from birdsearch.catalog import About, Catalog
from birdsearch.checklist import Checklist, lineages, read_checklist, reweighted, rolled_up
from birdsearch.errors import InputFileError
from birdsearch.records import (
    AuditReport,
    ClusterReport,
    DuplicateReport,
    Evaluation,
    Filter,
    Ids,
    Neighbours,
    Prediction,
    Progress,
    SpeciesReport,
    SplitReport,
    Suspect,
    Vectors,
    shown,
)
from birdsearch.retrieval import Retrieval

logger = logging.getLogger("birdsearch")

NEIGHBOURS = 13  # of each photo, itself among them, that make the graph
NEAR_BITS, NEAR_SCORE = 6, 0.95  # of two hashes and two vectors, from which on two photos are taken for one picture
BLOCK = 4096
UNKNOWN = "not like anything in this index"
ROUNDING = 1e-4  # of the numbers of a vector
ITSELF = 0.9995  # score from which on a picture is taken for a photo of the index
NEW = 0.5  # chance of showing none of the known species from which on that is the first answer


@dataclass(frozen=True)
class Gathered:
    """The photos of an index that take part."""

    photos: tuple[About, ...]  # in order of id
    raw: Vectors  # (n, dim) as the backbone made them
    space: refine.Refinement | None  # the index's own refined space, where it has one

    @property
    def ids(self) -> Ids:
        """Photo ids (n,)."""
        return np.array([photo.photo_id for photo in self.photos], dtype=np.int64)

    @property
    def labels(self) -> list[str | None]:
        """What somebody said each photo shows."""
        return [photo.label for photo in self.photos]

    @cached_property
    def rows(self) -> Vectors:
        """Unit rows (n, d) in the refined space, fitted on these photos where the index has none; raw for a few."""
        space = self.space
        # Photos that differ by rounding only would be spread by it.
        if space is None and len(self.raw) >= refine.LEAST and np.ptp(self.raw, axis=0).max() > ROUNDING:
            space = refine.fit(self.raw)
        return self.raw if space is None else space.apply(self.raw)

    @cached_property
    def groups(self) -> Ids:
        """A number (n,) for each photo; those of one burst, and copies of the same bytes, have the same."""
        edges = [*self._exposures]
        first: dict[str, int] = {}
        for row, photo in enumerate(self.photos):
            if photo.sha256 and first.setdefault(photo.sha256, row) != row:
                edges.append((first[photo.sha256], row))
        place = {photo.photo_id: row for row, photo in enumerate(self.photos)}
        return duplicates.numbered(len(self.photos), edges + [(place[a], place[b]) for a, b in self.copies])

    @cached_property
    def copies(self) -> set[tuple[int, int]]:
        """Pairs of ids of photos that are the same picture as far as hashes and vectors tell."""
        hashed = [(row, photo.phash) for row, photo in enumerate(self.photos) if photo.phash is not None]
        rows = np.array([row for row, _ in hashed], dtype=np.int64)
        hashes = np.array([phash for _, phash in hashed], dtype=np.int64).view(np.uint64)
        close = pairs.hash_pairs(hashes, rows, within=NEAR_BITS).ids
        scores = np.einsum("nd,nd->n", self.raw[close[:, 0]], self.raw[close[:, 1]])
        ids = self.ids
        return {(int(ids[a]), int(ids[b])) for a, b in close[scores >= NEAR_SCORE].tolist()}

    @cached_property
    def voter(self) -> neighbours.Voter | None:
        """The labelled photos as a classifier; None where none has a label."""
        return neighbours.fit(self.raw, self.labels, self.groups)

    @cached_property
    def bursts(self) -> Ids:
        """A number (n,) for each burst; -1 for photos that are in none."""
        return only_groups(duplicates.numbered(len(self.photos), self._exposures))

    @cached_property
    def _exposures(self) -> list[tuple[int, int]]:
        """Rows of exposures of one moment."""
        place = {photo.photo_id: row for row, photo in enumerate(self.photos)}
        found = duplicates.bursts(
            self.photos, vectors=lambda ids: self.raw[[place[photo_id] for photo_id in ids.tolist()]]
        )
        return [(place[ids[0]], place[other]) for ids in found for other in ids[1:]]

    def neighbours(self, k: int = NEIGHBOURS) -> Neighbours:
        """The k nearest of each row, itself among them, as row numbers."""
        engine = vectors.build(self.rows)
        k = min(k, len(self.rows))
        parts = [engine.search(self.rows[start : start + BLOCK], k) for start in range(0, len(self.rows), BLOCK)]
        return Neighbours(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "scores")))

    def others(self, k: int) -> Neighbours:
        """The k nearest of each row but itself, as row numbers; one less than there are rows where these are fewer."""
        count = len(self.rows)
        k = min(k, max(0, count - 1))
        if k == 0:
            return Neighbours(np.empty((count, 0), dtype=np.int64), np.empty((count, 0), dtype=np.float32))
        near = self.neighbours(k + 1)
        ids, scores = near.ids, near.scores
        short = (ids < 0).any(axis=1)  # an engine that looks at a part of the rows only may find fewer
        if short.any():
            exact = vectors.near(self.rows, np.arange(count), self.rows[short], k + 1)
            ids[short], scores[short] = exact.ids, exact.scores
        kept = ids != np.arange(count)[:, None]
        kept[kept.all(axis=1), -1] = False  # among many copies a row may not have found itself
        return Neighbours(ids[kept].reshape(count, k), scores[kept].reshape(count, k))


def gather(catalog: Catalog, retrieval: Retrieval, where: Filter | None) -> Gathered:
    """The visible photos that satisfy the filter, with their vectors."""
    with catalog.snapshot():
        about = catalog.about(where)
        regions, raw = retrieval.gathered(catalog.parts(), None)
        space = retrieval.refinement()
    place = {region: row for row, region in enumerate(regions.tolist())}
    held = tuple(photo for photo in about if photo.region_id in place)
    rows = np.array([place[photo.region_id] for photo in held], dtype=np.int64)
    return Gathered(held, raw if np.array_equal(rows, np.arange(len(raw))) else raw[rows], space)


def cluster(gathered: Gathered, method: str, resolution: float | None, count: int | None, seed: int) -> ClusterReport:
    """Communities of the neighbour graph ("leiden"), or "kmeans" with so many clusters."""
    started = time.monotonic()
    if method not in ("leiden", "kmeans"):
        raise ValueError(f"method must be leiden or kmeans, got {method!r}")
    if not len(gathered.photos):
        return ClusterReport(seconds=time.monotonic() - started)
    near = gathered.neighbours()
    if method == "leiden":
        partition = clusters.communities(gathered.rows, near, resolution=resolution, seed=seed)
    else:
        wanted = count or len({label for label in gathered.labels if label}) or round(np.sqrt(len(gathered.photos)))
        partition = clusters.spherical_kmeans(gathered.rows, max(1, wanted), seed=seed)
    ids = gathered.ids
    named = Neighbours(np.where(near.ids >= 0, ids[near.ids], -1), near.scores)
    report = clusters.report(gathered.rows, ids, partition, gathered.labels, named)
    return replace(report, seconds=time.monotonic() - started)


def species_report(gathered: Gathered) -> SpeciesReport:
    """How the species (labels, else predicted species) sit next to each other."""
    started = time.monotonic()
    names = [photo.species for photo in gathered.photos]
    report = species.species_report(gathered.rows, names, gathered.ids, gathered.groups)
    return replace(report, seconds=time.monotonic() - started)


def evaluation(
    gathered: Gathered, catalog: Catalog, retrieval: Retrieval, classes: classify.Classes | None, seed: int
) -> Evaluation:
    """How well the labelled photos know each other, and how well the backbone's classes know them."""
    started = time.monotonic()
    searched = gathered.raw if gathered.space is None else gathered.space.apply(gathered.raw)
    known = evaluate.evaluate(gathered.raw, gathered.labels, gathered.groups, searched=searched, seed=seed)
    if classes is None:
        return known
    told = calibrating.answered(gathered.photos, catalog, retrieval, classes, seed=seed)
    if told is None or not len(told.own):
        return known
    measured = told.measured(gathered.groups[told.rows], seed)
    return replace(
        known,
        backbone_photos=len(told.own),
        backbone_accuracy=measured.accuracy,
        backbone_calibration_error=measured.error,
        backbone_calibration_error_tempered=measured.error_tempered,
        temperature=measured.temperature,
        seconds=time.monotonic() - started,
    )


def audited(
    gathered: Gathered, catalog: Catalog, checklist: Iterable[str | Path] | None, progress: Progress | None
) -> AuditReport:
    """Doubtful labels, worst first, by the other photos, the backbone, the checklist, bursts and copies."""
    started = time.monotonic()
    ids, labels = gathered.ids, gathered.labels
    said = naming.overrides(catalog)
    told = _told(catalog, ids, naming.species_of(labels, said), progress)
    outside = () if checklist is None else audit.off_list(labels, listed(checklist), overrides=said)
    found = audit.audit(
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
        Suspect(known[doubt.id], doubt.label, doubt.proposed, doubt.score, doubt.reasons, doubt.evidence)
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
        meant = taxonomy.resolve(one.species) if one.species else None
        if meant is not None and meant.rank == "species" and meant.candidates[0] in label_of:
            words[label_of[meant.candidates[0]]] = one.probability
    return words


def sides(gathered: Gathered, same: DuplicateReport, shares: Sequence[float], seed: int) -> SplitReport:
    """Training, validation and test, with nothing that belongs together on two of them."""
    place = {photo.photo_id: row for row, photo in enumerate(gathered.photos)}
    edges = [(place[pair.a], place[pair.b]) for pair in same.pairs if pair.a in place and pair.b in place]
    return split.split(
        gathered.ids,
        gathered.labels,
        {"duplicates": only_groups(duplicates.numbered(len(place), edges)), "bursts": gathered.bursts},
        [photo.observer for photo in gathered.photos],
        [photo.taken_at for photo in gathered.photos],
        shares,
        seed=seed,
    )


def only_groups(numbers: Ids) -> Ids:
    """Group numbers (n,) with -1 for those that are alone."""
    return np.where(np.bincount(numbers, minlength=1)[numbers] > 1, numbers, -1)


def coordinates(rows: Vectors, seed: int = 0) -> Vectors:
    """A map (n, 2) of unit rows: UMAP where that extra is installed, else the first two principal components."""
    try:
        import umap
    except ImportError:
        umap = None
    if umap is not None and len(rows) > 30:
        return np.asarray(umap.UMAP(random_state=seed, n_jobs=1).fit_transform(rows), dtype=np.float32)
    if len(rows) < 3:
        return np.zeros((len(rows), 2), dtype=np.float32)
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    places = np.zeros((len(rows), 2), dtype=np.float32)
    first = centred @ directions[:, :-3:-1]
    places[:, : first.shape[1]] = first
    return places


def placed(gathered: Gathered, catalog: Catalog, ids: Sequence[int]) -> Vectors:
    """The places (n, 2) of these photos on the map. Raises PhotoUnknownError for an unknown id."""
    place = {photo.photo_id: row for row, photo in enumerate(gathered.photos)}
    catalog.photos([photo_id for photo_id in ids if photo_id not in place])  # raises for an unknown id
    if away := [photo_id for photo_id in ids if photo_id not in place]:
        raise ValueError(f"photo {away[0]} is missing, or does not satisfy the filter: it has no place on the map")
    return coordinates(gathered.rows)[[place[photo_id] for photo_id in ids]]


# What a photo shows ---------------------------------------------------------------------------------------------------


def by_neighbours(
    gathered: Gathered, asked: Vectors, own: Sequence[int | None], k: int, *, burst: bool = False
) -> list[list[Prediction]]:
    """What the labelled photos say of vectors (q, dim); `own` are the ids of those that are photos of the index.

    With `burst` all that are asked are photos of one moment, and answer together.
    """
    row_of = {photo.photo_id: row for row, photo in enumerate(gathered.photos)}
    without = np.array([-1 if photo_id is None else row_of.get(photo_id, -1) for photo_id in own], dtype=np.int64)
    for number in np.flatnonzero(without < 0).tolist():
        # A photo of the index that is asked by its path would only hear itself.
        scores = gathered.raw @ asked[number]
        without[number] = int(scores.argmax()) if scores.max(initial=-1) >= ITSELF else -1
    burst = burst and len(asked) > 1
    if burst and (without >= 0).any():
        groups = gathered.groups
        # Exposures of one moment, by the word of who asks: they are not asked about each other.
        groups = np.where(np.isin(groups, groups[without[without >= 0]]), -1 - groups[without].max(), groups)
        voter = neighbours.fit(gathered.raw, gathered.labels, np.unique(groups, return_inverse=True)[1])
    else:
        voter = gathered.voter
    if voter is None:
        return [[] for _ in asked]
    votes = voter.predict(asked, without=without)
    probabilities, novelties, speaking = votes.probabilities, votes.novelty, votes.evidence
    if burst:
        alone = probabilities.argmax(axis=1)
        probabilities = neighbours.together(probabilities, np.zeros(len(asked), dtype=np.int64))
        novelties = np.full(len(asked), votes.novelty.mean())
        speaking = np.where((alone == probabilities.argmax(axis=1))[:, None], speaking, -1)
    ids, answers = gathered.ids, []
    for row, novelty, evidence in zip(probabilities, novelties.tolist(), speaking, strict=True):
        best = np.argsort(-row, kind="stable")[:k]
        voters = tuple(ids[evidence[evidence >= 0]].tolist())
        answer = [
            Prediction(
                voter.species[code],
                float(row[code]),
                rank,
                "species",
                voter.species[code],
                "neighbours",
                voters if rank == 1 else (),
            )
            for rank, code in enumerate(best.tolist(), 1)
            if row[code] > 0
        ]
        if novelty >= NEW:
            answer.insert(0, Prediction(None, novelty, 0, "abstain", UNKNOWN, "neighbours"))
        answers.append(answer)
    return answers


def listed(paths: Iterable[str | Path]) -> Checklist:
    """The checklist of these files, with a word about lines that name no species."""
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    found = read_checklist(paths)
    if not found.species:
        names = ", ".join(shown(str(path)) for path in paths)
        raise InputFileError(f"no line of the checklist names a species: {names}. Is it the right file?")
    if found.unresolved:
        some = "; ".join(shown(line) for line in found.unresolved[:3])
        logger.warning("lines of the checklist that name no species: %d (%s)", len(found.unresolved), some)
    if found.guesses:
        some = ", ".join(f"{shown(one.name)} as {', '.join(one.candidates[:2])}" for one in found.guesses[:3])
        logger.warning("lines of the checklist that were guessed: %d (%s)", len(found.guesses), some)
    return found


def _ranked(classes: classify.Classes, row: npt.NDArray[np.float64], code: int) -> Prediction:
    """A class with its place among all of a row (classes,)."""
    rank = 1 + int((row > row[code]).sum())
    return Prediction(classes.species[code], float(row[code]), rank, classes.levels[code], classes.names[code])


def by_classes(
    classes: classify.Classes,
    probabilities: Vectors,
    k: int,
    *,
    checklist: Iterable[str | Path] | None = None,
    sure: float | None = None,
    temperature: float | None = None,
) -> list[list[Prediction]]:
    """What the backbone's classes (n, classes) say, weighed by a checklist, rolled up where no species is sure enough.

    With a temperature they are tempered first. With a checklist species outside it are noted as possible vagrants with
    their raw probability, and never hidden. With `sure` (0 to 1) the lowest rank that reaches it comes first (rank 0)
    where that is not a species.
    """
    weights, notes = probabilities.astype(np.float64), [""] * len(classes.names)
    if temperature is not None:
        weights = calibration.tempered(probabilities, temperature)
    untouched = checklist is None and temperature is None
    if checklist is not None:
        meant = taxonomy.resolve_many(classes.names)
        weighed = reweighted(weights, meant, listed(checklist))
        weights = weighed.weighted
        notes = ["possible vagrant: not on the checklist" if flag else "" for flag in weighed.vagrant.tolist()]
    place = {name: n for n, name in enumerate(classes.names)}
    known = None if sure is None else lineages(taxonomy.lineage(name) for name in classes.names)
    answers = []
    for row, raw, found in zip(weights, probabilities, classes.top(weights.astype(np.float32), k), strict=True):
        answer = []
        if checklist is not None:
            # Whoever was likely before the checklist weighed it is told, however little is left of it.
            raw_best = np.argsort(-raw, kind="stable")[:k].tolist()
            told = {one.class_name for one in found}
            found = (*found, *(_ranked(classes, row, c) for c in raw_best if notes[c] and classes.names[c] not in told))
        for one in found:
            code = place[one.class_name]
            source = one.source if checklist is None else "checklist"
            before = None if untouched else float(raw[code])
            answer.append(replace(one, probability=float(row[code]), source=source, note=notes[code], raw=before))
        if known is not None and sure is not None:
            up = rolled_up(row, known, sure)
            if up is not None and up.rank != "species":
                answer.insert(0, Prediction(None, up.probability, 0, up.rank, up.shown, "rolled up"))
        answers.append(answer)
    return answers
