"""How well an index knows its own labelled photos: leave-one-out retrieval and classification."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.errors import InputFileError
from birdsearch.indexing.corrections import NamedPhotos
from birdsearch.indexing.label_rows import LabelRow, contradiction, read_rows
from birdsearch.memory import check_room
from birdsearch.records import Evaluation, Ids, Progress, SpeciesFigures, Vectors, blocks, counted, shown
from birdsearch.species import calibration, classifier, names
from birdsearch.species.calibration import calibration_error
from birdsearch.species.classifier import Labels
from birdsearch.species.gallery import Gallery
from birdsearch.storage.store import Store
from birdsearch.taxonomy import resolve

MAX_QUERIES = 5_000  # photos that search the others; of more they are drawn at random
ANSWERED = 8_000  # bytes of the answers for a photo, at least (benchmarks.growth)
CELLS = 16_000_000  # scores worked on at a time
UNKNOWN_NAMED = 5  # photos in a warning
NO_SPECIES = "no species"  # the answer of a line that predicts none

logger = logging.getLogger("birdsearch")


def evaluate(
    vectors: Vectors,
    labels: Labels,
    groups: Ids | None = None,
    *,
    searched: Vectors | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Leave-one-out figures of labelled photos among unit vectors (n, dim); None where no photo is answerable.

    Recall and mean average precision are those of searches in the space of `searched` (n, d), by default that of
    `vectors`, which the classifier always takes. Photos of one leakage group (`groups` (n,)) are never compared. A
    species without two photos of different groups has no figures but its number of photos.
    """
    started = time.perf_counter()
    classified = classifier.cross_validate(vectors, labels, groups, k=5, seed=seed, progress=progress)
    if classified is None:
        return Evaluation(seconds=time.perf_counter() - started)
    able, codes, names = classified.answerable, classified.codes, classified.species
    counts = dict(zip(names, np.bincount(codes[codes >= 0]).tolist(), strict=True))
    if not able.any():
        figures = {name: SpeciesFigures(count) for name, count in counts.items()}
        return Evaluation(per_species=figures, seconds=time.perf_counter() - started)
    queries = np.flatnonzero(able)
    if len(queries) > MAX_QUERIES:
        queries = np.sort(np.random.default_rng(seed).permutation(queries)[:MAX_QUERIES])
    units = np.arange(len(codes)) if groups is None else np.asarray(groups)
    with classifier.blas_threads(len(codes)):
        found = _retrieved(vectors if searched is None else searched, codes, units, queries)
    answered = _Answered(names, codes[able], classified.top[able], classified.probabilities[able, 0])
    return replace(_figures(counts, answered, found), seconds=time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _Answered:
    """What q photos were classified as."""

    names: Sequence[str]  # of the species
    own: Ids  # (q,) the species of their labels
    top: Ids  # (q, 5) the likeliest species, best first
    confidence: Vectors  # (q,) of the first


@dataclass(frozen=True, slots=True)
class _Retrieved:
    """What searches for q photos found."""

    codes: Ids  # (q,) the species of the photos
    hits: npt.NDArray[np.bool_]  # (q, 5) whether each of the best answers shows that species
    mean_average_precision: float


def _figures(counts: Mapping[str, int], answered: _Answered, found: _Retrieved) -> Evaluation:
    """The figures of all and of each species, given how many photos each species has."""
    names, right = answered.names, answered.top == answered.own[:, None]
    answers = answers_of([names[code] for code in answered.own], [names[code] for code in answered.top[:, 0]])
    nearest = {names[n]: float(found.hits[found.codes == n, 0].mean()) for n in np.unique(found.codes).tolist()}
    return Evaluation(
        photos=len(right),
        recall_at_1=float(found.hits[:, 0].mean()),
        recall_at_5=float(found.hits.any(axis=1).mean()),
        mean_average_precision=found.mean_average_precision,
        knn_accuracy=float(right[:, 0].mean()),
        knn_accuracy_top5=float(right.any(axis=1).mean()),
        calibration_error=calibration_error(answered.confidence, right[:, 0]),
        per_species=per_species(counts, answers, nearest),
        answers=answers,
    )


def answers_of(labels: Iterable[str], answers: Iterable[str]) -> dict[str, dict[str, int]]:
    """How many photos of each label got each answer: label -> answer -> photos, the commonest answer first."""
    table: dict[str, Counter[str]] = {}
    for label, answer in zip(labels, answers, strict=True):
        table.setdefault(label, Counter())[answer] += 1
    return {label: dict(sorted(table[label].items(), key=lambda one: (-one[1], one[0]))) for label in sorted(table)}


def per_species(
    counts: Mapping[str, int], answers: Mapping[str, Mapping[str, int]], nearest: Mapping[str, float]
) -> dict[str, SpeciesFigures]:
    """The figures of each species: of its photos, what these were classified as, its share of right neighbours."""
    taken = Counter[str]()
    for given in answers.values():
        taken.update(given)
    figures = {}
    for name, photos in counts.items():
        given = answers.get(name, {})
        classified, right = sum(given.values()), given.get(name, 0)
        wrong = next(((other, count) for other, count in given.items() if other != name), (None, 0))
        recall = right / classified if classified else None
        figures[name] = SpeciesFigures(
            photos,
            classified,
            recall=recall,
            precision=right / taken[name] if taken[name] else None,
            recall_at_1=nearest.get(name),
            taken_for=wrong[0],
            taken_for_photos=wrong[1],
            knn_accuracy=recall,
        )
    return figures


def _retrieved(vectors: Vectors, codes: Ids, groups: Ids, queries: Ids) -> _Retrieved:
    """What searches for some photos (q,) find among the others that have a label (-1: none)."""
    named = np.flatnonzero(codes >= 0)
    labelled, labelled_codes, labelled_groups = vectors[named], codes[named], groups[named]
    hits: list[npt.NDArray[np.bool_]] = []
    precisions: list[float] = []
    for block in blocks(len(queries), max(1, CELLS // len(named))):
        rows = queries[block]
        scores = vectors[rows] @ labelled.T
        grouped = groups[rows][:, None] == labelled_groups
        scores[grouped] = -2  # less than any score: photos of the same group come last, and are wrong
        same = (codes[rows][:, None] == labelled_codes) & ~grouped
        # Searches return photos of any label; one without a label cannot be right or wrong, so it is not searched.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        hits.append(np.pad(np.take_along_axis(same, best, 1), ((0, 0), (0, 5 - best.shape[1]))))
        precisions += map(_average_precision, scores, same)
    return _Retrieved(codes[queries], np.concatenate(hits), sum(precisions) / len(queries))


def _average_precision(scores: Vectors, right: npt.NDArray[np.bool_]) -> float:
    """The mean share of right answers down to each right one; answers of one score share the lowest position.

    That of scikit-learn's `label_ranking_average_precision_score`, whose import takes longer than all of this.
    """
    ours = np.sort(-scores[right])
    return float((np.searchsorted(ours, ours, "right") / np.searchsorted(np.sort(-scores), ours, "right")).mean())


def of(gallery: Gallery, store: Store, seed: int = 0, progress: Progress | None = None) -> Evaluation:
    """How accurate retrieval and classification are on labelled photos, and how accurate the backbone's classes are."""
    started = time.monotonic()
    check_room(len(gallery.photos), ANSWERED)
    searched = gallery.raw if gallery.space is None else gallery.space.apply(gallery.raw)
    known = evaluate(gallery.raw, gallery.labels, gallery.groups, searched=searched, seed=seed, progress=progress)
    if progress is not None:
        progress("calibrate", 0, None, "")
    if store.stored_classes is None:
        return known
    outputs = calibration.labelled_outputs(store, store.stored_classes, gallery.photos, seed=seed)
    if outputs is None or not len(outputs.own):
        return known
    measured = outputs.calibration(gallery.groups[outputs.positions], seed)
    return replace(
        known,
        backbone_photos=len(outputs.own),
        backbone_accuracy=measured.accuracy,
        backbone_calibration_error=measured.error,
        backbone_calibration_error_scaled=measured.error_scaled,
        temperature=measured.temperature,
        seconds=time.monotonic() - started,
    )


def of_split(gallery: Gallery, store: Store, folder: Path) -> Evaluation:
    """The same where the photos of train.csv answer for those of test.csv; the labels are those of the index."""
    started = time.monotonic()
    labels = gallery.labels
    train, test = (
        [row for row in _rows_of(gallery, store, folder / f"{side}.csv") if labels[row]] for side in ("train", "test")
    )
    able = _answerable_by(gallery, train, test)
    fitted = classifier.GalleryClassifier.fit(gallery.raw[train], [labels[row] for row in train], gallery.groups[train])
    if fitted is None or not able:
        return Evaluation(seconds=time.monotonic() - started)
    number = {name: code for code, name in enumerate(fitted.species)}
    rows = np.array([*train, *able], dtype=np.int64)
    codes = np.array([number[str(labels[row])] for row in rows], dtype=np.int64)
    queries = np.arange(len(train), len(rows))
    with classifier.blas_threads(len(rows)):
        probabilities = fitted.predict(gallery.raw[able], k=1).probabilities
        top = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
        searched = gallery.raw[rows] if gallery.space is None else gallery.space.apply(gallery.raw[rows])
        # The photos of the test share a group, so that they are not compared with each other.
        found = _retrieved(searched, codes, np.minimum(np.arange(len(rows)), len(train)), queries)
    answered = _Answered(fitted.species, codes[queries], top, probabilities.max(axis=1))
    figures = _figures(Counter(str(labels[row]) for row in test), answered, found)
    return replace(figures, seconds=time.monotonic() - started)


def _rows_of(gallery: Gallery, store: Store, path: Path) -> list[int]:
    """The positions of the photos that a list of a split names; those outside the filter are left out."""
    rows = list(read_rows(path, ["sha256", "id", "path"]))
    named = NamedPhotos.of(store, rows)
    ids = dict.fromkeys(photo_id for row in rows for photo_id in named.named(row))
    return [gallery.position_of[photo_id] for photo_id in ids if photo_id in gallery.position_of]


def _answerable_by(gallery: Gallery, train: Sequence[int], test: Sequence[int]) -> list[int]:
    """The photos of a test whose species the training has; warns of others, and of what leaks."""
    known = {gallery.labels[row] for row in train}
    able = [row for row in test if gallery.labels[row] in known]
    if len(able) < len(test):
        logger.warning(
            "%s of the test cannot be answered: their species have no photo in the training",
            counted(len(test) - len(able), "photo"),
        )
    learnt = set(gallery.groups[list(train)].tolist())
    leaking = sum(group in learnt for group in gallery.groups[list(test)].tolist())
    if leaking:
        logger.warning(
            "%s of the test are copies or of one burst with photos of the training: the figures are too good",
            counted(leaking, "photo"),
        )
    return able


def of_predictions(gallery: Gallery, store: Store, path: Path) -> Evaluation:
    """How right the species are that a CSV predicts, on the photos of an index that have a label.

    Names are compared as taxa. A line without a species is a wrong answer; with the column position the first counts.
    """
    started = time.monotonic()
    rows = list(read_rows(path, ["sha256", "id", "path"], says="prediction"))
    rows = [row for row in rows if row.is_first]
    named = NamedPhotos.of(store, rows)
    said: dict[int, LabelRow] = {}
    unknown = [row for row in rows if named.lacks(row)]
    if unknown and len(unknown) == len(rows):
        place = f"{shown(unknown[0].photo)}, line {unknown[0].line}"
        raise InputFileError(f"{shown(str(path))}: the index holds no such photo ({place}), nor any other of the file.")
    if unknown:
        examples = ", ".join(f"{shown(row.photo)} ({row.place})" for row in unknown[:UNKNOWN_NAMED])
        logger.warning("predictions of %s that the index does not hold: %s", counted(len(unknown), "photo"), examples)
    places = {row.line for row in unknown}
    for row in (row for row in rows if row.line not in places):
        for photo_id in named.named(row):
            first = said.setdefault(photo_id, row)
            if _species(first) != _species(row):
                raise contradiction(row, first.line, _species(first))
    labelled = {photo.photo_id: photo.label for photo in gallery.photos if photo.label}
    asked = [photo_id for photo_id in labelled if photo_id in said]
    if len(asked) < len(labelled):
        logger.warning("no prediction for %s with a label", counted(len(labelled) - len(asked), "photo"))
    labels = [str(labelled[photo_id]) for photo_id in asked]
    keys = resolve.taxon_keys({*labels, *(_species(row) for row in said.values())}, names.overrides(store.catalog))
    spelling = {keys[label]: label for label in labels}
    given = [spelling.get(keys[name], name) for name in (_species(said[photo_id]) for photo_id in asked)]
    answers = answers_of(labels, given)
    right = np.array([label == answer for label, answer in zip(labels, given, strict=True)], dtype=bool)
    confidence = [said[photo_id].probability for photo_id in asked]
    sure = np.array([one for one in confidence if one is not None], dtype=np.float32)
    return Evaluation(
        photos=len(asked),
        knn_accuracy=float(right.mean()) if asked else None,
        calibration_error=calibration_error(sure, right) if asked and len(sure) == len(asked) else None,
        per_species=per_species(Counter(map(str, labelled.values())), answers, {}),
        answers=answers,
        seconds=time.monotonic() - started,
    )


def _species(row: LabelRow) -> str:
    return row.values["species"].strip() or NO_SPECIES
