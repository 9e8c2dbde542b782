"""Choose the engine and the space that answer best on the photos of one index, by measuring."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from birdsearch.attended import attended
from birdsearch.memory import check_room
from birdsearch.records import Ids, OptimizeReport, Progress, Vectors
from birdsearch.search import graph, whitening
from birdsearch.search.whitening import LabelCodes, Whitening
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import Folder
from birdsearch.storage.vectors import VectorStore

_ELSEWHERE = "Without it searches go on as they are: optimize on a computer with more memory."


@dataclass(frozen=True, slots=True)
class OptimizeOptions:
    """What `optimize` may choose."""

    recall: float
    engine: str  # "auto" or the name of one
    whiten: bool | None  # None: leave the space as it is


def run(
    folder: Folder, catalog: Catalog, vectors: VectorStore, options: OptimizeOptions, progress: Progress | None
) -> OptimizeReport:
    """Measure, choose, commit, and save the engine. Needs the lock."""
    started = time.monotonic()
    dim = folder.read_identity().backbone.dim
    check_room(len(vectors), 4 * (dim + min(dim, whitening.DIMS)), _ELSEWHERE)
    ids, raw = vectors.gathered()
    is_frame = np.isin(ids, catalog.frame_ids())  # the engine holds all regions; all else is about photos
    frames = raw if is_frame.all() else raw[is_frame]
    labels, classes = _label_codes(catalog, ids[is_frame])
    before = vectors.whitening()
    recall_before = attended(
        "measure", lambda _: _recall(frames if before is None else before.apply(frames), labels), progress
    )
    after, words = attended("whiten", lambda _: _space(frames, (labels, classes), before, options.whiten), progress)
    rows = raw if after is None else after.apply(raw)
    searched = rows if is_frame.all() else rows[is_frame]
    engine, trials = attended(
        "tune", lambda tell: vectors.tuned(rows, ids, options.engine, options.recall, tell), progress
    )
    linked = attended("link", lambda _: graph.linked(engine, ids[is_frame], searched), progress)
    recall_after = recall_before
    if after is not before:
        recall_after = attended("measure", lambda _: _recall(searched, labels), progress)
    _commit_space(folder, catalog, after)
    catalog.set_state("engine", {"name": options.engine, "recall": options.recall})
    vectors.keep(engine, len(ids), linked)
    return OptimizeReport(
        engine=engine.kind,
        trials=tuple(trials),
        whitened=after is not None,
        whitening=words,
        recall_at_1_before=recall_before,
        recall_at_1_after=recall_after,
        seconds=time.monotonic() - started,
    )


def refit(folder: Folder, catalog: Catalog, vectors: VectorStore) -> str:
    """Fit the whitening anew, where its file was lost; returns what was done. Needs the lock."""
    frame_ids = catalog.frame_ids()
    frames = (rows[np.isin(ids, frame_ids)] for ids, rows in vectors.blocks())
    space = fitted(frames, len(frame_ids))
    _commit_space(folder, catalog, space)
    return "fitted the whitening again" if space else "removed the whitening: too few photos to fit it again"


def fitted(blocks: Iterable[Vectors], count: int) -> Whitening | None:
    """The whitening of an index that has one, from its `count` vectors in blocks (n, dim); None where they are too few.

    Those alone are kept in memory that a fit looks at.
    """
    drawn = whitening.drawn(count)
    place = np.full(count, -1)  # of each row among those that are looked at
    place[drawn] = np.arange(len(drawn))
    kept: list[Vectors] = []
    order: list[Ids] = []
    start = 0
    for block in blocks:
        at = place[start : start + len(block)]
        kept.append(block[: len(at)][at >= 0])
        order.append(at[at >= 0])
        start += len(block)
    if start < whitening.LEAST:
        return None
    raw = np.concatenate(kept)[np.argsort(np.concatenate(order))]
    return whitening.fit(raw) if np.ptp(raw[: whitening.LEAST], axis=0).any() else None


def _space(
    raw: Vectors, label_codes: Sequence[LabelCodes], before: Whitening | None, whiten: bool | None
) -> tuple[Whitening | None, str]:
    """The space to use from now on, and what was decided in words."""
    if whiten is None:
        return before, ""
    if not whiten:
        return None, "removed" if before is not None else "there was none to remove"
    if len(raw) < whitening.LEAST:
        return before, f"declined: {len(raw)} photos are too few to fit a space on, it takes {whitening.LEAST}"
    if not np.ptp(raw[: whitening.LEAST], axis=0).any():
        return before, "declined: the photos are all alike"
    for codes in label_codes:
        recalls = whitening.cross_fitted(raw, codes)
        if recalls is None:
            continue
        words = f"recall@1 {recalls[0]:.3f} -> {recalls[1]:.3f} cross-fitted"
        if recalls[1] < recalls[0]:
            return before, f"declined: neighbours would get worse, {words}"
        return whitening.fit(raw), f"fitted: {words}"
    return whitening.fit(raw), "fitted, with nothing to judge it by: no labels or predictions"


def _label_codes(catalog: Catalog, ids: Ids) -> tuple[LabelCodes, LabelCodes]:
    """For each frame its photo's label and its first predicted class, as numbers; -1 where there is none."""
    labels, classes = np.full(len(ids), -1, dtype=np.int64), np.full(len(ids), -1, dtype=np.int64)
    row_of = {region_id: row for row, region_id in enumerate(ids.tolist())}
    numbers: dict[str, int] = {}
    for region_id, label, class_name in catalog.labels_and_classes():
        row = row_of.get(region_id)
        if row is not None:
            labels[row] = -1 if label is None else numbers.setdefault(label, len(numbers))
            classes[row] = -1 if class_name is None else numbers.setdefault(class_name, len(numbers))
    return labels, classes


def _recall(rows: Vectors, labels: LabelCodes) -> float | None:
    recall = whitening.recall_at_1(rows, labels)
    return None if np.isnan(recall) else recall


def _commit_space(folder: Folder, catalog: Catalog, space: Whitening | None) -> None:
    """First the file, then the commit that makes it count."""
    catalog.set_state("whitening", write_space(folder, space), bump=True)


def write_space(folder: Folder, space: Whitening | None) -> dict[str, str] | None:
    """Write a whitening; returns what makes it count under "whitening" in the state."""
    return None if space is None else {"sha256": folder.keep("whitening", ".npz", space.write)[1]}
