"""How well an index knows its own labelled photos: each is asked as if it were not there."""

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from birdsearch.backbones import classes as classes_module
from birdsearch.records import (
    Evaluation,
    Ids,
    Vectors,
)
from birdsearch.species import calibration, classifier
from birdsearch.species.calibration import calibration_error
from birdsearch.species.classifier import Labels
from birdsearch.species.gallery import Gathered
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.vectors import VectorStore

_ASKED = 5_000  # photos that search the others; among more they are drawn at random
_CELLS = 16_000_000  # scores looked at at a time


def evaluate(
    vectors: Vectors, labels: Labels, groups: Ids | None = None, *, searched: Vectors | None = None, seed: int = 0
) -> Evaluation:
    """Ask labelled photos among unit vectors (n, dim) what they show; None stands where nobody could answer.

    Recall and mean average precision are those of searches in the space of `searched` (n, d), by default that of
    `vectors`, which the neighbours' classifier always takes. Photos of one group (`groups` (n,)) never meet. A species
    without two photos of different groups has no figures but its number of photos.
    """
    started = time.perf_counter()
    asked = classifier.cross_fitted(vectors, labels, groups, k=5, seed=seed)
    if asked is None:
        return Evaluation(seconds=time.perf_counter() - started)
    able = asked.answerable
    counts = np.bincount(asked.own[asked.own >= 0])
    figures = {name: {"photos": float(count)} for name, count in zip(asked.species, counts, strict=True)}
    if not able.any():
        return Evaluation(per_species=figures, seconds=time.perf_counter() - started)
    own = asked.own[able]
    right = asked.top[able] == own[:, None]  # (able, 5)
    _add(figures, asked.species, "knn_accuracy", own, right[:, 0])
    asking = np.flatnonzero(able)
    if len(asking) > _ASKED:
        asking = np.sort(np.random.default_rng(seed).permutation(asking)[:_ASKED])
    which = np.arange(len(asked.own)) if groups is None else np.asarray(groups)
    hits, precision = _searches(vectors if searched is None else searched, asked.own, which, asking)
    _add(figures, asked.species, "recall_at_1", asked.own[asking], hits[:, 0])
    return Evaluation(
        photos=int(able.sum()),
        recall_at_1=float(hits[:, 0].mean()),
        recall_at_5=float(hits.any(axis=1).mean()),
        mean_average_precision=precision,
        knn_accuracy=float(right[:, 0].mean()),
        knn_accuracy_top5=float(right.any(axis=1).mean()),
        calibration_error=calibration_error(asked.probabilities[able, 0], right[:, 0]),
        per_species=figures,
        seconds=time.perf_counter() - started,
    )


def _add(
    figures: dict[str, dict[str, float]], species: tuple[str, ...], name: str, own: Ids, right: npt.NDArray[np.bool_]
) -> None:
    """Write the share of right answers among the photos (n,) of each species beside its other figures."""
    asked, good = np.bincount(own), np.bincount(own, weights=right)
    for number in np.flatnonzero(asked):
        figures[species[number]][name] = float(good[number] / asked[number])


def _searches(vectors: Vectors, own: Ids, groups: Ids, asking: Ids) -> tuple[npt.NDArray[np.bool_], float]:
    """Whether each of the 5 best answers bears the label of the photo asking (q, 5); mean average precision."""
    from sklearn.metrics import label_ranking_average_precision_score

    named = np.flatnonzero(own >= 0)
    rows, own_named, groups_named = vectors[named], own[named], groups[named]
    hits, precisions = [], []
    step = max(1, _CELLS // len(named))
    for start in range(0, len(asking), step):
        some = asking[start : start + step]
        scores = vectors[some] @ rows.T
        alone = groups[some][:, None] == groups_named
        scores[alone] = -2  # less than any score: photos of the same group answer last, and wrongly
        same = (own[some][:, None] == own_named) & ~alone
        # Searches return photos of any label; one without a label cannot be right or wrong, so it is not searched.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        hits.append(np.pad(np.take_along_axis(same, best, 1), ((0, 0), (0, 5 - best.shape[1]))))
        precisions.append(len(some) * float(label_ranking_average_precision_score(same, scores)))
    return np.concatenate(hits), sum(precisions) / len(asking)


def of(
    gathered: Gathered, catalog: Catalog, retrieval: VectorStore, classes: classes_module.Classes | None, seed: int
) -> Evaluation:
    """How well the labelled photos know each other, and how well the backbone's classes know them."""
    started = time.monotonic()
    searched = gathered.raw if gathered.space is None else gathered.space.apply(gathered.raw)
    known = evaluate(gathered.raw, gathered.labels, gathered.groups, searched=searched, seed=seed)
    if classes is None:
        return known
    told = calibration.answered(gathered.photos, catalog, retrieval, classes, seed=seed)
    if told is None or not len(told.own):
        return known
    measured = told.measured(gathered.groups[told.rows], seed)
    return replace(
        known,
        backbone_photos=len(told.own),
        backbone_accuracy=measured.accuracy,
        backbone_calibration_error=measured.error,
        backbone_calibration_error_scaled=measured.error_scaled,
        temperature=measured.temperature,
        seconds=time.monotonic() - started,
    )
