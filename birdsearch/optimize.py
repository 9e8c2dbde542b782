"""Choose the engine and the space that answer best on the photos of one index, by measuring."""

import time
from dataclasses import dataclass

import numpy as np

from birdsearch import parts, refine, tuning
from birdsearch.catalog import Catalog
from birdsearch.folder import Folder
from birdsearch.records import Ids, OptimizeReport, Photo, Progress, Vectors
from birdsearch.refine import Refinement
from birdsearch.retrieval import Retrieval


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `optimize` was asked for."""

    recall: float
    engine: str  # "auto" or the name of one
    refine: bool | None  # None: leave the space as it is


def run(
    folder: Folder, catalog: Catalog, retrieval: Retrieval, wanted: Wanted, progress: Progress | None
) -> OptimizeReport:
    """Measure, choose, commit, and save the engine. Needs the lock."""
    started = time.monotonic()
    ids, raw = retrieval.gathered(catalog.parts(), None)
    labels, classes = _names(catalog, ids)
    before = retrieval.refinement()
    after, words = _space(raw, labels if (labels >= 0).any() else classes, before, wanted.refine)
    rows = raw if after is None else after.apply(raw)
    names = None if wanted.engine == "auto" else [wanted.engine]
    engine, trials = tuning.tune(rows, ids=ids, recall=wanted.recall, candidates=names, progress=progress)
    _commit_space(folder, catalog, after)
    with catalog.transaction() as connection:
        catalog.set_state(connection, "engine", {"name": wanted.engine, "recall": wanted.recall})
    retrieval.keep(engine, len(ids))
    return OptimizeReport(
        engine=engine.name,
        trials=tuple(trials),
        refined=after is not None,
        refinement=words,
        recall_at_1_before=_recall(raw if before is None else before.apply(raw), labels),
        recall_at_1_after=_recall(rows, labels),
        seconds=time.monotonic() - started,
    )


def refit(folder: Folder, catalog: Catalog, retrieval: Retrieval) -> None:
    """Fit the refined space anew, where its file was lost. Needs the lock."""
    _, raw = retrieval.gathered(catalog.parts(), None)
    _commit_space(folder, catalog, refine.fit(raw))


def _space(
    raw: Vectors, names: refine.Names, before: Refinement | None, wanted: bool | None
) -> tuple[Refinement | None, str]:
    """The space to use from now on, and what was decided in words."""
    if wanted is None:
        return before, ""
    if not wanted:
        return None, "removed" if before is not None else "there was none to remove"
    if len(raw) < refine.LEAST:
        return before, f"declined: {len(raw)} photos are too few to fit a space on, it takes {refine.LEAST}"
    if not np.ptp(raw[: refine.LEAST], axis=0).any():
        return before, "declined: the photos are all alike"
    if (names >= 0).any():
        unrefined, refined = refine.cross_fitted(raw, names)
        if refined < unrefined:
            return before, f"declined: neighbours would get worse, {unrefined:.3f} -> {refined:.3f} cross-fitted"
        return refine.fit(raw), f"fitted: recall@1 {unrefined:.3f} -> {refined:.3f} cross-fitted"
    return refine.fit(raw), "fitted (nothing to judge it by: no labels, no predictions)"


def _names(catalog: Catalog, ids: Ids) -> tuple[refine.Names, refine.Names]:
    """For each region its photo's label and its first predicted class, as numbers; -1 where there is none."""
    photo_of = catalog.visible(ids)
    photos = {photo.id: photo for photo in catalog.photos(sorted(set(photo_of.values())))}
    found: list[Photo | None] = [photos.get(photo_of.get(region, -1)) for region in ids.tolist()]
    labels = [photo.label if photo else None for photo in found]
    classes = [photo.predictions[0].class_name if photo and photo.predictions else None for photo in found]
    return _numbered(labels), _numbered(classes)


def _numbered(names: list[str | None]) -> refine.Names:
    number = {name: n for n, name in enumerate(sorted({name for name in names if name is not None}))}
    return np.array([-1 if name is None else number[name] for name in names], dtype=np.int64)


def _recall(rows: Vectors, labels: refine.Names) -> float | None:
    recall = refine.recall_at_1(rows, labels)
    return None if np.isnan(recall) else recall


def _commit_space(folder: Folder, catalog: Catalog, refinement: Refinement | None) -> None:
    """First the file, then the commit that makes it count."""
    chosen = None
    if refinement is not None:
        data = refinement.as_npz()
        chosen = {"sha256": parts.sha256(data)}
        parts.write_durably(folder.refinement(chosen["sha256"]), data)
    with catalog.transaction() as connection:
        catalog.set_state(connection, "refinement", chosen)
        catalog.bump(connection)
