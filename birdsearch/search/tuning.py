"""Tuning: which engine, with which settings, finds the recall asked for fastest on the user's own vectors.

How hard an engine must search is found by counting what it looks at, which no other program on the machine changes.
Engines look at different things, so they are raced: by the time of one core, in turns, the least of many short runs.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from birdsearch.errors import RecallUnreachableError
from birdsearch.records import Ids, Progress, Trial, Vectors, blocks
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
CELLS = 3  # times the square root of the rows (3 and 4 do equally well among a million, 2 and 8 worse)
SCORE_EPSILON = 1e-6  # scores closer than this may differ by rounding only
FINE = 0.04  # of an effort, to which it is sought
DEEPER = 4  # times the effort may be worth a try for the neighbours 100 deep
ROUNDS = 7  # of a race
BLOCK = 100  # queries of which the least time counts
# Of this thread, without what other programs take; Windows counts that in steps of 16 ms.
_core_clock = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-4 else time.perf_counter


class Measured(Protocol):
    """What measures the recall of the k nearest, and counts the work for a query."""

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
    kinds = tuple(candidates or (("flat",) if len(rows) < FLAT_UP_TO else ("flat", "ivf", "hnsw", "pq")))
    if unknown := set(kinds) - set(ENGINES):
        raise ValueError(f"candidates must be among {', '.join(ENGINES)}, got {', '.join(sorted(unknown))}")
    trials: list[Trial] = []
    approximate = _preselect([kind for kind in kinds if not ENGINES[kind].exact], rows, recall, trials, progress)
    if any(ENGINES[kind].exact for kind in kinds):  # what fails on a part of the rows would on all of them
        failed = {trial.engine for trial in trials if trial.recall < recall}
        approximate = [kind for kind in approximate if kind not in failed]
    _tell(progress, trials, f"{(approximate or kinds)[0]} on {len(rows):,} rows")
    queries, fastest = HeldOutQueries(rows), 0.0
    engine: LocalEngine | None = None
    for kind in approximate:
        tuned, trial = build_and_tune(kind, queries, recall)
        trial = replace(trial, queries_per_second=race([partial(tuned.search, k=DEPTHS[0])], queries.queries)[0])
        trials.append(trial)
        if trial.recall >= recall:
            tuned.add(rows[queries.own], queries.own)
            tuned.rename(names[tuned.ids])
            engine, fastest = tuned, trial.queries_per_second
            break
    exact_kinds = [kind for kind in kinds if ENGINES[kind].exact]
    exact_speed = queries.exact_speed() if exact_kinds else 0.0
    for kind in exact_kinds:
        size = len(rows) * ENGINES[kind].bytes_per_row(rows.shape[1])
        trials.append(Trial(kind, "", 1.0, exact_speed, 0.0, size, len(rows)))
        if engine is None or exact_speed > fastest:
            engine, fastest = ENGINES[kind](rows.shape[1]), exact_speed
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
    tuned: list[tuple[CodedEngine, Trial]] = []
    for kind in kinds:
        _tell(progress, [*trials, *(trial for _, trial in tuned)], f"{kind} on {len(queries.rows):,} rows")
        tuned.append(build_and_tune(kind, queries, recall))
    promise: dict[str, tuple[bool, float]] = {}
    speeds = race([partial(engine.search, k=DEPTHS[0]) for engine, _ in tuned], queries.queries)
    for (_, trial), speed in zip(tuned, speeds, strict=True):
        trials.append(replace(trial, queries_per_second=speed))
        expected = ENGINES[trial.engine].speed_among(speed, len(sample) / len(rows))
        promise[trial.engine] = trial.recall >= recall, expected
    return sorted(kinds, key=promise.__getitem__, reverse=True)


def race(
    searches: Sequence[Callable[[Vectors], object]], queries: Vectors, clock: Callable[[], float] = _core_clock
) -> list[float]:
    """Queries per second that one core answers by each of the searches.

    They take turns, and of every block of queries the least time counts: other work on the machine only ever slows it.
    """
    from threadpoolctl import threadpool_limits  # which no search needs

    parts = [queries[block] for block in blocks(len(queries), BLOCK)]
    least = np.full((len(searches), len(parts)), np.inf)
    with threadpool_limits(1):  # threads that wait for each other would be counted, or not, as the system pleases
        for _ in range(ROUNDS):
            for number, search in enumerate(searches):
                for part, rows in enumerate(parts):
                    began = clock()
                    search(rows)
                    least[number, part] = min(least[number, part], clock() - began)
    return [float(speed) for speed in len(queries) / np.maximum(least.sum(axis=1), 1e-9)]


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
        best = exact.no_neighbours(count, DEPTHS[1])
        for start in range(0, len(self.others), CHUNK):
            part = self.others[start : start + CHUNK]
            near = exact.brute_force_knn(rows[part], part, self.queries, DEPTHS[1])
            best = exact.merge_top_k(best, near, DEPTHS[1])
        self.best = best

    def exact_speed(self) -> float:
        """Queries per second that one core, or a GPU, answers by comparing all rows; reckoned from a part of them."""
        part = self.rows[:CHUNK]
        compare = partial(exact.brute_force_knn, part, np.arange(len(part)), k=DEPTHS[0])
        clock = _core_clock if exact.gpu_resources() is None else time.perf_counter
        speed = race([lambda queries: compare(queries=queries)], self.queries[:BLOCK], clock)[0]
        return speed * len(part) / max(1, len(self.rows))

    def measure(self, engine: CodedEngine, k: int) -> tuple[float, float]:
        """Recall of the k nearest, and the work for a query."""
        k = min(k, len(self.others))
        before = engine.work()
        neighbours = engine.search(self.queries, k).ids
        work = (engine.work() - before) / len(self.own) + engine.rerank_work(k)
        hits = 0
        for query, ids, worst in zip(self.queries, neighbours, self.best.scores[:, k - 1], strict=True):
            # By true score, not by id: of two equal photos either is right.
            hits += int(np.sum(self.rows[ids[ids >= 0]] @ query >= worst - SCORE_EPSILON))
        return min(1.0, hits / (k * len(self.own))), work


def build_and_tune(kind: str, queries: HeldOutQueries, recall: float) -> tuple[CodedEngine, Trial]:
    """An engine of this kind without the queries, tuned to the recall or, failing that, to the best it can."""
    began, engine_type = time.perf_counter(), ENGINES[kind]
    assert issubclass(engine_type, CodedEngine)  # all that are not exact
    if len(queries.rows) < engine_type.minimum_rows:
        raise RecallUnreachableError(
            f"the engine {kind} needs at least {engine_type.minimum_rows:,} vectors to train on: take 'flat'"
        )
    # A little more than asked for: other queries than these thousand may fare worse.
    goal = recall + 0.15 * (1 - recall)
    for explained in (EXPLAINED_VARIANCE, 1.0):
        engine = _built(engine_type, queries, explained)
        seconds = time.perf_counter() - began
        reached = tune_at_10(engine, queries, goal)
        # Rows of narrow clusters differ in directions that say little about the rest: all are kept then.
        if reached >= recall or engine.short == engine.dim:
            break
    if reached >= recall:  # nobody takes it otherwise
        tune_at_100(engine, queries, goal)
    settings = json.dumps(engine.settings.as_json())
    return engine, Trial(kind, settings, reached, 0.0, seconds, engine.bytes, len(queries.rows))


def _built(engine_type: type[CodedEngine], queries: HeldOutQueries, explained: float) -> CodedEngine:
    """An engine of all rows but the queries, whose codes keep so much of the rows' squared length."""
    rows, others = queries.rows, queries.others
    nlist = int(CELLS * np.sqrt(len(rows)))
    count = min(TRAINING_ROWS_PER_CELL * nlist, MAX_TRAINING_ROWS)
    sample = rows[others[:: max(1, -(-len(others) // count))]]
    engine = engine_type.untrained(pca_projection(sample, explained), min(nlist, len(sample) // 25))
    engine.train(sample)
    del sample  # as large as a good part of the rows
    for start in range(0, len(others), CHUNK):
        part = others[start : start + CHUNK]
        engine.add(rows[part], part)
    return engine


@dataclass(frozen=True, slots=True)
class _Tried:
    settings: CodedSettings
    recall: float
    reached: bool
    work: float

    @property
    def merit(self) -> tuple[bool, float]:
        """The higher, the better: little work at the recall asked for or, failing that, recall."""
        return self.reached, -self.work if self.reached else self.recall


def tune_at_10(engine: CodedEngine, queries: Measured, recall: float) -> float:
    """Set the engine to the least work that reaches the recall of the 10 nearest; the recall it has then."""
    first = engine.settings
    tried: list[_Tried] = []

    def measure(k_factor: float, effort: int) -> _Tried:
        tried.append(_measured(engine, queries, DEPTHS[0], recall, first.at((effort, effort), (k_factor, k_factor))))
        return tried[-1]

    for k_factor in engine.k_factors:
        _least_effort(partial(measure, k_factor), engine.efforts(k_factor))
    best = max(tried, key=lambda one: one.merit)
    engine.settings = best.settings
    return best.recall


def tune_at_100(engine: CodedEngine, queries: Measured, recall: float) -> None:
    """Set effort and k_factor for the 100 nearest, from which a search reckons those for any other depth."""
    first = engine.settings
    effort_at_10, k_factor_at_10 = first.effort[0], first.k_factor[0]
    tried: list[_Tried] = []

    def measure(k_factor: float, effort: int) -> _Tried:
        settings = first.at((effort_at_10, effort), (k_factor_at_10, k_factor))
        tried.append(_measured(engine, queries, DEPTHS[1], recall, settings))
        return tried[-1]

    for k_factor in [one for one in engine.k_factors if one >= k_factor_at_10]:
        _least_effort(partial(measure, k_factor), (int(effort_at_10), DEEPER * engine.efforts(k_factor)[1]))
    engine.settings = max(tried, key=lambda one: one.merit).settings


def _measured(engine: CodedEngine, queries: Measured, k: int, recall: float, settings: CodedSettings) -> _Tried:
    engine.settings = settings
    measured, work = queries.measure(engine, k)
    return _Tried(settings, measured, measured >= recall, work)


def _least_effort(measure: Callable[[int], _Tried], efforts: tuple[int, int]) -> None:
    """Measure at efforts between two until the least that reaches the recall is known; at too many where none does."""
    effort, highest = efforts
    below, last = effort - 1, -1.0
    while not (now := measure(effort)).reached:
        # Ever more effort for nothing: the shortlist is what loses them.
        if effort >= highest or (now.recall > 0.5 and now.recall < last + 1e-3):
            return
        below, last, effort = effort, now.recall, min(2 * effort, highest)
    while effort - below > max(1.0, FINE * effort):
        middle = (below + effort) // 2
        if measure(middle).reached:
            effort = middle
        else:
            below = middle


def pca_projection(sample: Vectors, share: float) -> Vectors:
    """Projects rows (n, dim) on the (short, dim) directions that hold this share of their length, scaled to bytes."""
    values, directions = np.linalg.eigh(sample.T @ sample)
    explained = np.cumsum(values[::-1]) / max(values.sum(), 1e-6)
    needed = np.searchsorted(explained, share) + 1
    short = min(sample.shape[1], max(64, 32 * int(np.ceil(needed / 32))))
    # Rotated at random, so that every byte carries as much as the others.
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((short, short)))[0]
    projection = rotation @ directions[:, ::-1][:, :short].T
    widest = max(1e-6, np.abs(sample[:CHUNK] @ projection.T).max())
    return np.ascontiguousarray(projection * (127 / (1.2 * widest)), dtype=np.float32)


def _tell(progress: Progress | None, trials: list[Trial], what: str) -> None:
    if progress is not None:
        progress("tune", len(trials), None, what)
