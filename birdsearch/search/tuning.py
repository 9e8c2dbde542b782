"""Tuning: which engine, with which settings, finds the recall asked for fastest on the user's own vectors."""

import json
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from birdsearch.errors import RecallUnreachableError
from birdsearch.records import Ids, Progress, Trial, Vectors
from birdsearch.search import exact
from birdsearch.search.coded import CodedEngine, CodedSettings
from birdsearch.search.engine import ENGINES, Engine, engine_class
from birdsearch.search.local import CHUNK, FLAT_UP_TO, LocalEngine, checked, checked_ids

HELD_OUT = 1000  # rows that are queries while an engine is tuned, and not in it
PRESELECTION_ROWS = 50_000  # on which the candidates are compared, before one is built over all
DEPTHS = (10, 100)  # neighbours that count
TRAINING_ROWS_PER_CELL = 40  # that cells and projection are learned from: faiss takes no more
MAX_TRAINING_ROWS = 200_000
EXPLAINED_VARIANCE = 0.935  # share of the squared length that the short codes keep
K_FACTORS = (1, 2, 4, 8)  # rows ranked exactly for one that is asked for
SCORE_EPSILON = 1e-6  # scores closer than this may differ by rounding only


class Measured(Protocol):
    """What measures recall, and queries per second, of the k nearest."""

    def measure(self, engine: CodedEngine, k: int) -> tuple[float, float]: ...


def tune(
    vectors: Vectors,
    *,
    ids: Ids | None = None,
    recall: float = 0.95,
    candidates: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[LocalEngine, list[Trial]]:
    """The fastest engine over unit rows (n, dim) that finds `recall` of the true neighbours, and what was tried.

    Raises RecallUnreachableError, with the best that was found, where no candidate reaches the recall.
    """
    rows = checked(vectors)
    names = np.arange(len(rows)) if ids is None else checked_ids(ids, len(rows))
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    kinds = tuple(candidates or (("flat",) if len(rows) < FLAT_UP_TO else ("flat", "ivf", "hnsw")))
    if unknown := set(kinds) - set(ENGINES):
        raise ValueError(f"candidates must be among {', '.join(ENGINES)}, got {', '.join(sorted(unknown))}")
    trials: list[Trial] = []
    approximate = _preselect([kind for kind in kinds if not ENGINES[kind].exact], rows, recall, trials, progress)
    _tell(progress, trials, f"{(approximate or kinds)[0]} on {len(rows):,} rows")
    queries, fastest = HeldOutQueries(rows), 0.0
    engine: LocalEngine | None = None
    for kind in approximate:
        tuned, trial = build_and_tune(kind, queries, recall)
        trials.append(trial)
        if trial.recall >= recall:
            tuned.add(rows[queries.own], queries.own)
            tuned.rename(names[tuned.ids])
            engine, fastest = tuned, trial.queries_per_second
            break
    for kind in kinds:
        if ENGINES[kind].exact:
            size = len(rows) * ENGINES[kind].bytes_per_row(rows.shape[1])
            trials.append(Trial(kind, "", 1.0, queries.exact_speed, 0.0, size, len(rows)))
            if engine is None or queries.exact_speed > fastest:
                engine, fastest = ENGINES[kind](rows.shape[1]), queries.exact_speed
                engine.add(rows, names)
    if engine is None:
        top = max(trials, key=lambda trial: trial.recall)
        raise RecallUnreachableError(
            f"no engine reached a recall of {recall}: the best was {top.engine} ({top.settings}) with {top.recall:.4f}."
            " Ask for less, or take the exact engine 'flat'."
        )
    return engine, trials


def build(vectors: Vectors, *, ids: Ids | None = None, engine: str = "auto", recall: float = 0.95) -> Engine:
    """An engine over unit rows (n, dim), tuned to the recall asked for; `ids` (n,) name the rows, else 0 to n - 1.

    >>> engine = build(vectors, engine="ivf", recall=0.99)
    >>> engine.search(vectors[:3], k=10).ids.shape
    (3, 10)
    """
    rows = checked(vectors)
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    kind = "flat" if engine == "auto" and len(rows) < FLAT_UP_TO else engine
    if kind == "auto" or (kind in ENGINES and not ENGINES[kind].exact):
        return tune(rows, ids=ids, recall=recall, candidates=None if kind == "auto" else (kind,))[0]
    made = engine_class(kind)(rows.shape[1])
    made.add(rows, np.arange(len(rows)) if ids is None else ids)
    return made


def _preselect(
    kinds: list[str], rows: Vectors, recall: float, trials: list[Trial], progress: Progress | None
) -> list[str]:
    """The kinds, the most promising first: building each over a million rows would cost minutes."""
    if len(kinds) < 2:
        return kinds
    sample = np.sort(np.random.default_rng(1).permutation(len(rows))[:PRESELECTION_ROWS])
    queries = HeldOutQueries(rows if len(sample) == len(rows) else rows[sample])
    promise: dict[str, tuple[bool, float]] = {}
    for kind in kinds:
        _tell(progress, trials, f"{kind} on {len(queries.rows):,} rows")
        trial = build_and_tune(kind, queries, recall)[1]
        trials.append(trial)
        speed = trial.queries_per_second * ENGINES[kind].preselection_discount
        promise[kind] = trial.recall >= recall, speed
    return sorted(kinds, key=promise.__getitem__, reverse=True)


class HeldOutQueries:
    """Queries with their true neighbours; the queries are rows that the engine does not hold yet.

    An engine that held them would seem better than it is: a graph finds its own rows' neighbours by their own links.
    """

    def __init__(self, rows: Vectors) -> None:
        count = min(HELD_OUT, len(rows) // 10)
        self.rows = rows
        self.own = np.sort(np.random.default_rng(0).permutation(len(rows))[:count])
        self.others = np.setdiff1d(np.arange(len(rows)), self.own)
        self.queries = rows[self.own]
        began = time.perf_counter()
        best = exact.no_neighbours(count, DEPTHS[1])
        for start in range(0, len(self.others), CHUNK):
            part = self.others[start : start + CHUNK]
            near = exact.brute_force_knn(rows[part], part, self.queries, DEPTHS[1])
            best = exact.merge_top_k(best, near, DEPTHS[1])
        self.exact_speed = count / (time.perf_counter() - began)
        self.best = best

    def measure(self, engine: CodedEngine, k: int) -> tuple[float, float]:
        """Recall of the k nearest, and queries per second."""
        k = min(k, len(self.others))
        began = time.perf_counter()
        neighbours = engine.search(self.queries, k).ids
        speed = len(self.own) / (time.perf_counter() - began)
        hits = 0
        for query, ids, worst in zip(self.queries, neighbours, self.best.scores[:, k - 1], strict=True):
            # By true score, not by id: of two equal photos either is right.
            hits += int(np.sum(self.rows[ids[ids >= 0]] @ query >= worst - SCORE_EPSILON))
        return min(1.0, hits / (k * len(self.own))), speed


def build_and_tune(kind: str, queries: HeldOutQueries, recall: float) -> tuple[CodedEngine, Trial]:
    """An engine of this kind without the queries, tuned to the recall or, failing that, to the best it can."""
    began = time.perf_counter()
    rows, others, engine_type = queries.rows, queries.others, ENGINES[kind]
    assert issubclass(engine_type, CodedEngine)  # all that are not exact
    if len(rows) < engine_type.minimum_rows:
        raise RecallUnreachableError(
            f"the engine {kind} needs at least {engine_type.minimum_rows:,} vectors to train on: take 'flat'"
        )
    nlist = int(4 * np.sqrt(len(rows)))
    count = min(TRAINING_ROWS_PER_CELL * nlist, MAX_TRAINING_ROWS)
    sample = rows[others[:: max(1, -(-len(others) // count))]]
    engine = engine_type.untrained(pca_projection(sample), min(nlist, len(sample) // 25))
    engine.train(sample)
    del sample  # as large as a good part of the rows
    for start in range(0, len(others), CHUNK):
        part = others[start : start + CHUNK]
        engine.add(rows[part], part)
    seconds = time.perf_counter() - began
    # A little more than asked for: other queries than these thousand may fare worse.
    goal = recall + 0.15 * (1 - recall)
    reached = tune_at_10(engine, queries, goal)
    tune_at_100(engine, queries, goal)
    speed = max(queries.measure(engine, DEPTHS[0])[1] for _ in range(3))
    settings = json.dumps(engine.settings.as_json())
    return engine, Trial(kind, settings, reached, speed, seconds, engine.bytes, len(rows))


def tune_at_10(engine: CodedEngine, queries: Measured, recall: float) -> float:
    """Set the engine to the fastest settings that reach the recall of the 10 nearest; the recall they have."""
    first = engine.settings
    tried: list[tuple[bool, float, float, CodedSettings]] = []  # reached; speed, or else recall; recall; settings

    def measure(settings: CodedSettings) -> float:
        engine.settings = settings
        measured, speed = queries.measure(engine, DEPTHS[0])
        if measured >= recall:
            speed = max(speed, queries.measure(engine, DEPTHS[0])[1])  # other work on the machine only ever slows it
        tried.append((measured >= recall, speed if measured >= recall else measured, measured, settings))
        return measured

    for k_factor in K_FACTORS:
        last = -1.0
        for effort in first.GRID:
            settings = first.at((effort, effort), (k_factor, k_factor))
            if not settings.useful:
                continue
            measured = measure(settings)
            # Ever more effort for nothing: the shortlist is what loses them.
            if measured >= recall or (measured > 0.5 and measured < last + 1e-3):
                break
            last = measured
    best = max(tried, key=lambda one: one[:2])
    if best[0]:
        for settings in best[3].cheaper():
            measure(settings)
        best = max(tried, key=lambda one: one[:2])
    engine.settings = best[3]
    return best[2]


def tune_at_100(engine: CodedEngine, queries: Measured, recall: float) -> None:
    """Set effort and k_factor for the 100 nearest, from which a search reckons those for any other depth."""
    first = engine.settings
    effort_at_10, k_factor_at_10 = first.effort[0], first.k_factor[0]
    tried: list[tuple[bool, float, CodedSettings]] = []  # reached; speed, or else recall; settings
    for k_factor in [one for one in K_FACTORS if one >= k_factor_at_10]:
        last = -1.0
        for effort in [one for one in first.GRID if one >= effort_at_10]:
            engine.settings = first.at((effort_at_10, effort), (k_factor_at_10, k_factor))
            measured, speed = queries.measure(engine, DEPTHS[1])
            tried.append((measured >= recall, speed if measured >= recall else measured, engine.settings))
            # As in `tune_at_10`: the shortlist is what loses them.
            if measured >= recall or measured < last + 1e-3:
                break
            last = measured
    engine.settings = max(tried, key=lambda one: one[:2])[2]


def pca_projection(sample: Vectors) -> Vectors:
    """Projects rows (n, dim) on the (short, dim) directions that hold most of their length, scaled to bytes."""
    values, directions = np.linalg.eigh(sample.T @ sample)
    explained = np.cumsum(values[::-1]) / max(values.sum(), 1e-6)
    needed = np.searchsorted(explained, EXPLAINED_VARIANCE) + 1
    short = min(sample.shape[1], max(64, 32 * int(np.ceil(needed / 32))))
    # Rotated at random, so that every byte carries as much as the others.
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((short, short)))[0]
    projection = rotation @ directions[:, ::-1][:, :short].T
    widest = max(1e-6, np.abs(sample[:CHUNK] @ projection.T).max())
    return np.ascontiguousarray(projection * (127 / (1.2 * widest)), dtype=np.float32)


def _tell(progress: Progress | None, trials: list[Trial], what: str) -> None:
    if progress is not None:
        progress("tune", len(trials), None, what)
