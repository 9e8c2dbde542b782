"""How well an index knows its own labelled photos: leave-one-out retrieval and classification."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from birdsearch.records import Evaluation, Ids, SpeciesFigures, Vectors, blocks
from birdsearch.species import calibration, classifier
from birdsearch.species.calibration import calibration_error
from birdsearch.species.classifier import Labels
from birdsearch.species.gallery import Gallery
from birdsearch.storage.store import Store

MAX_QUERIES = 5_000  # photos that search the others; of more they are drawn at random
CELLS = 16_000_000  # scores worked on at a time


def evaluate(
    vectors: Vectors, labels: Labels, groups: Ids | None = None, *, searched: Vectors | None = None, seed: int = 0
) -> Evaluation:
    """Leave-one-out figures of labelled photos among unit vectors (n, dim); None where no photo is answerable.

    Recall and mean average precision are those of searches in the space of `searched` (n, d), by default that of
    `vectors`, which the classifier always takes. Photos of one leakage group (`groups` (n,)) are never compared. A
    species without two photos of different groups has no figures but its number of photos.
    """
    started = time.perf_counter()
    classified = classifier.cross_validate(vectors, labels, groups, k=5, seed=seed)
    if classified is None:
        return Evaluation(seconds=time.perf_counter() - started)
    able, codes, names = classified.answerable, classified.codes, classified.species
    counts = dict(zip(names, np.bincount(codes[codes >= 0]).tolist(), strict=True))
    if not able.any():
        figures = {name: SpeciesFigures(count) for name, count in counts.items()}
        return Evaluation(per_species=figures, seconds=time.perf_counter() - started)
    right = classified.top[able] == codes[able][:, None]  # (able, 5)
    answers = answers_of([names[code] for code in codes[able]], [names[code] for code in classified.top[able, 0]])
    queries = np.flatnonzero(able)
    if len(queries) > MAX_QUERIES:
        queries = np.sort(np.random.default_rng(seed).permutation(queries)[:MAX_QUERIES])
    units = np.arange(len(codes)) if groups is None else np.asarray(groups)
    with classifier.blas_threads(len(codes)):
        hits, precision = _retrieval_metrics(vectors if searched is None else searched, codes, units, queries)
    nearest = {
        names[code]: float(hits[codes[queries] == code, 0].mean()) for code in np.unique(codes[queries]).tolist()
    }
    return Evaluation(
        photos=int(able.sum()),
        recall_at_1=float(hits[:, 0].mean()),
        recall_at_5=float(hits.any(axis=1).mean()),
        mean_average_precision=precision,
        knn_accuracy=float(right[:, 0].mean()),
        knn_accuracy_top5=float(right.any(axis=1).mean()),
        calibration_error=calibration_error(classified.probabilities[able, 0], right[:, 0]),
        per_species=per_species(counts, answers, nearest),
        answers=answers,
        seconds=time.perf_counter() - started,
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
        figures[name] = SpeciesFigures(
            photos,
            classified,
            recall=right / classified if classified else None,
            precision=right / taken[name] if taken[name] else None,
            recall_at_1=nearest.get(name),
            taken_for=wrong[0],
            taken_for_photos=wrong[1],
        )
    return figures


def _retrieval_metrics(vectors: Vectors, codes: Ids, groups: Ids, queries: Ids) -> tuple[npt.NDArray[np.bool_], float]:
    """Whether each of the 5 best answers has the label of its query (q, 5); mean average precision."""
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
    return np.concatenate(hits), sum(precisions) / len(queries)


def _average_precision(scores: Vectors, right: npt.NDArray[np.bool_]) -> float:
    """The mean share of right answers down to each right one; answers of one score share the lowest position.

    That of scikit-learn's `label_ranking_average_precision_score`, whose import takes longer than all of this.
    """
    ours = np.sort(-scores[right])
    return float((np.searchsorted(ours, ours, "right") / np.searchsorted(np.sort(-scores), ours, "right")).mean())


def of(gallery: Gallery, store: Store, seed: int = 0) -> Evaluation:
    """How accurate retrieval and classification are on labelled photos, and how accurate the backbone's classes are."""
    started = time.monotonic()
    searched = gallery.raw if gallery.space is None else gallery.space.apply(gallery.raw)
    known = evaluate(gallery.raw, gallery.labels, gallery.groups, searched=searched, seed=seed)
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
