"""How well an index knows its own labelled photos: leave-one-out retrieval and classification."""

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from birdsearch.records import Evaluation, Ids, Vectors, blocks
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
    able, codes = classified.answerable, classified.codes
    counts = np.bincount(codes[codes >= 0])
    figures = {name: {"photos": float(count)} for name, count in zip(classified.species, counts, strict=True)}
    if not able.any():
        return Evaluation(per_species=figures, seconds=time.perf_counter() - started)
    right = classified.top[able] == codes[able][:, None]  # (able, 5)
    _add(figures, classified.species, "knn_accuracy", codes[able], right[:, 0])
    queries = np.flatnonzero(able)
    if len(queries) > MAX_QUERIES:
        queries = np.sort(np.random.default_rng(seed).permutation(queries)[:MAX_QUERIES])
    units = np.arange(len(codes)) if groups is None else np.asarray(groups)
    hits, precision = _retrieval_metrics(vectors if searched is None else searched, codes, units, queries)
    _add(figures, classified.species, "recall_at_1", codes[queries], hits[:, 0])
    return Evaluation(
        photos=int(able.sum()),
        recall_at_1=float(hits[:, 0].mean()),
        recall_at_5=float(hits.any(axis=1).mean()),
        mean_average_precision=precision,
        knn_accuracy=float(right[:, 0].mean()),
        knn_accuracy_top5=float(right.any(axis=1).mean()),
        calibration_error=calibration_error(classified.probabilities[able, 0], right[:, 0]),
        per_species=figures,
        seconds=time.perf_counter() - started,
    )


def _add(
    figures: dict[str, dict[str, float]], species: tuple[str, ...], name: str, codes: Ids, right: npt.NDArray[np.bool_]
) -> None:
    """Write the share of right answers among the photos (n,) of each species beside its other figures."""
    counts, good = np.bincount(codes), np.bincount(codes, weights=right)
    for number in np.flatnonzero(counts):
        figures[species[number]][name] = float(good[number] / counts[number])


def _retrieval_metrics(vectors: Vectors, codes: Ids, groups: Ids, queries: Ids) -> tuple[npt.NDArray[np.bool_], float]:
    """Whether each of the 5 best answers has the label of its query (q, 5); mean average precision."""
    from sklearn.metrics import label_ranking_average_precision_score

    named = np.flatnonzero(codes >= 0)
    labelled, labelled_codes, labelled_groups = vectors[named], codes[named], groups[named]
    hits, precisions = [], []
    for block in blocks(len(queries), max(1, CELLS // len(named))):
        rows = queries[block]
        scores = vectors[rows] @ labelled.T
        grouped = groups[rows][:, None] == labelled_groups
        scores[grouped] = -2  # less than any score: photos of the same group come last, and are wrong
        same = (codes[rows][:, None] == labelled_codes) & ~grouped
        # Searches return photos of any label; one without a label cannot be right or wrong, so it is not searched.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        hits.append(np.pad(np.take_along_axis(same, best, 1), ((0, 0), (0, 5 - best.shape[1]))))
        precisions.append(len(rows) * float(label_ranking_average_precision_score(same, scores)))
    return np.concatenate(hits), sum(precisions) / len(queries)


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
