"""Tuning: which engine, with which settings, finds the recall asked for fastest on the user's own vectors."""

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from birdsearch.errors import RecallUnreachableError
from birdsearch.records import Ids, Neighbours, Progress, Trial, Vectors
from birdsearch.search import engine as engines
from birdsearch.search import exact
from birdsearch.search.engine import FLAT_UP_TO, NAMES, checked, empty

QUESTIONS = 1000  # rows held out of the engine while it is tuned
RACE = 50_000  # rows on which the candidates race each other
PROMISE = {"hnsw": 0.6}  # what speed on a part is worth: a graph's deep answers among a million rows take far longer
DEPTHS = (10, 100)  # neighbours that count
LEARN_FROM = 40  # rows for each cell that cells and directions are learned from, of which faiss would take no more
LEARN_AT_MOST = 200_000  # rows
ENERGY = 0.935  # share of the squared length that the short codes keep
CHUNK = 16_384  # rows at a time
EFFORTS: dict[str, tuple[float, ...]] = {  # what is tried: margins in cosine, and efSearch
    "ivf": (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.135, 0.15, 0.18, 0.22, 0.3, 0.5),
    "hnsw": (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
}
FACTORS = (1, 2, 4, 8)  # rows scored exactly for one that is asked for


def tune(
    vectors: Vectors,
    *,
    ids: Ids | None = None,
    recall: float = 0.95,
    candidates: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[engines.Engine, list[Trial]]:
    """The fastest engine over unit rows (n, dim) that finds `recall` of the true neighbours, and what was tried.

    Raises RecallUnreachableError, with the best that was found, where no candidate reaches the recall.
    """
    rows, names = engines.checked(vectors), np.arange(len(vectors))
    if ids is not None:
        names = engines.checked_ids(ids, len(rows))
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    wanted = tuple(candidates or (("flat",) if len(rows) < engines.FLAT_UP_TO else ("flat", "ivf", "hnsw")))
    if unknown := set(wanted) - set(engines.NAMES):
        raise ValueError(f"candidates must be among {', '.join(engines.NAMES)}, got {', '.join(sorted(unknown))}")
    contenders = [name for name in wanted if not name.startswith("flat")]
    trials: list[Trial] = []
    if len(contenders) > 1:
        # Who is faster shows on a part; building everyone over a million rows would cost minutes.
        some = np.sort(np.random.default_rng(1).permutation(len(rows))[:RACE])
        exam = _Exam(rows if len(some) == len(rows) else rows[some])
        for name in contenders:
            _tell(progress, trials, f"{name} on {len(exam.rows):,} rows")
            trials.append(_try(name, exam, recall)[1])
        order = {t.engine: (t.recall >= recall, t.queries_per_second * PROMISE.get(t.engine, 1.0)) for t in trials}
        contenders.sort(key=order.__getitem__, reverse=True)
        del exam  # a copy of many rows
    _tell(progress, trials, f"{(contenders or wanted)[0]} on {len(rows):,} rows")
    exam, engine, fastest = _Exam(rows), None, 0.0
    for name in contenders:
        tried, trial = _try(name, exam, recall)
        trials.append(trial)
        if trial.recall >= recall:
            engine, fastest = tried, trial.queries_per_second
            break
    for name in [name for name in wanted if name.startswith("flat")]:
        trials.append(Trial(name, "", 1.0, exam.exact_speed, 0.0, rows.nbytes >> ("16" in name), len(rows)))
        if engine is None or exam.exact_speed > fastest:
            engine, fastest = build(rows, ids=names, engine=name), exam.exact_speed
    if engine is None:
        top = max(trials, key=lambda trial: trial.recall)
        raise RecallUnreachableError(
            f"no engine reached a recall of {recall}: the best was {top.engine} ({top.settings}) with {top.recall:.4f}."
            " Ask for less, or take the exact engine 'flat'."
        )
    if not engine.name.startswith("flat"):
        engine.add(rows[exam.own], exam.own)
        engine.rename(names[engine.ids])
    return engine, trials


class _Exam:
    """Questions with their true answers; the questions are rows that the engine does not hold yet.

    An engine that held them would look better than it is: a graph finds its own rows' neighbours by their own links.
    """

    def __init__(self, rows: Vectors) -> None:
        count = min(QUESTIONS, len(rows) // 10)
        self.rows = rows
        self.own = np.sort(np.random.default_rng(0).permutation(len(rows))[:count])
        self.others = np.setdiff1d(np.arange(len(rows)), self.own)
        self.queries = rows[self.own]
        began = time.perf_counter()
        best = exact.nobody(count, DEPTHS[1])
        for start in range(0, len(self.others), CHUNK):
            part = self.others[start : start + CHUNK]
            best = exact.merge(best, exact.near(rows[part], part, self.queries, DEPTHS[1]), DEPTHS[1])
        self.exact_speed = count / (time.perf_counter() - began)
        self.best: Neighbours = best

    def sit(self, engine: engines.Engine, k: int) -> tuple[float, float]:
        """Recall of the k nearest, and queries per second."""
        k = min(k, len(self.others))
        began = time.perf_counter()
        found = engine.search(self.queries, k).ids
        speed = len(self.own) / (time.perf_counter() - began)
        hits = 0
        for query, ids, worst in zip(self.queries, found, self.best.scores[:, k - 1], strict=True):
            # By true score, not by id: of two equal photos either is right.
            hits += int(np.sum(self.rows[ids[ids >= 0]] @ query >= worst - engines.TIE))
        return min(1.0, hits / (k * len(self.own))), speed


def _try(name: str, exam: _Exam, recall: float) -> tuple[engines.Engine, Trial]:
    """An engine of this kind without the questions, tuned to the recall or, failing that, to the best it can."""
    began = time.perf_counter()
    cells = int(4 * np.sqrt(len(exam.rows)))
    many = min(LEARN_FROM * cells, LEARN_AT_MOST)
    sample = exam.rows[exam.others[:: max(1, -(-len(exam.others) // many))]]
    if len(sample) < 500:
        raise RecallUnreachableError(f"the engine {name} needs at least 1,000 vectors to learn from: take 'flat'")
    cells = min(cells, len(sample) // 25)
    engine = engines.empty(name, sample.shape[1], turn=_main_directions(sample), cells=cells)
    engine.settings = {"cells": max(16, cells // 8)} if name == "ivf" else {}
    engine.learn(sample)
    del sample  # as large as a good part of the rows
    for start in range(0, len(exam.others), CHUNK):
        part = exam.others[start : start + CHUNK]
        engine.add(exam.rows[part], part)
    seconds = time.perf_counter() - began
    # A little more than asked for: other questions than these thousand may fare worse.
    goal = recall + 0.15 * (1 - recall)
    found = _climb(engine, exam, goal)
    _deepen(engine, exam, goal)
    speed = max(exam.sit(engine, DEPTHS[0])[1] for _ in range(3))
    trial = Trial(name, json.dumps(engine.settings), found, speed, seconds, engine.bytes, len(exam.rows))
    return engine, trial


def _climb(engine: engines.Engine, exam: _Exam, recall: float) -> float:
    """Set the engine to the fastest settings that reach the recall at the first depth; the recall they have."""
    start = dict(engine.settings)
    tried: list[tuple[bool, float, float, dict[str, Any]]] = []  # reached; speed, or else recall; recall; settings

    def sit(settings: dict[str, Any]) -> float:
        engine.settings = settings
        found, speed = exam.sit(engine, DEPTHS[0])
        if found >= recall:
            speed = max(speed, exam.sit(engine, DEPTHS[0])[1])  # other work on the machine only ever slows it
        tried.append((found >= recall, speed if found >= recall else found, found, settings))
        return found

    for factor in FACTORS:
        last = -1.0
        for effort in EFFORTS[engine.name]:
            if engine.name == "hnsw" and effort < DEPTHS[0] * factor + engines.SPARE:
                continue  # a graph is walked at least as wide as the shortlist is long
            found = sit({**start, "effort": [effort, effort], "factor": factor})
            # Ever more effort for nothing: the shortlist is what loses them.
            if found >= recall or (found > 0.5 and found < last + 1e-3):
                break
            last = found
    best = max(tried, key=lambda one: one[:2])
    if engine.name == "ivf" and best[0]:
        for share in (2, 4, 8):
            sit({**best[3], "cells": max(1, start["cells"] // share)})
        best = max(tried, key=lambda one: one[:2])
    engine.settings = best[3]
    return best[2]


def _deepen(engine: engines.Engine, exam: _Exam, recall: float) -> None:
    """Set effort and factor for the second depth, from which search reckons those for any other."""
    start = dict(engine.settings)
    first, factor = start["effort"][0], start["factor"]
    tried: list[tuple[bool, float, dict[str, Any]]] = []  # reached; speed, or else recall; settings
    for deeper in [one for one in FACTORS if one >= factor]:
        last = -1.0
        for effort in [effort for effort in EFFORTS[engine.name] if effort >= first]:
            engine.settings = {**start, "effort": [first, effort], "factor": [factor, deeper]}
            found, speed = exam.sit(engine, DEPTHS[1])
            tried.append((found >= recall, speed if found >= recall else found, engine.settings))
            # As in `_climb`: the shortlist is what loses them.
            if found >= recall or found < last + 1e-3:
                break
            last = found
    engine.settings = max(tried, key=lambda one: one[:2])[2]


def _main_directions(sample: Vectors) -> Vectors:
    """Turns rows (n, dim) to the (short, dim) directions that hold most of their length, scaled to bytes."""
    values, directions = np.linalg.eigh(sample.T @ sample)
    energy = np.cumsum(values[::-1]) / max(values.sum(), 1e-6)
    short = min(sample.shape[1], max(64, 32 * int(np.ceil((np.searchsorted(energy, ENERGY) + 1) / 32))))
    # Mixed at random, so that every byte carries as much as the others.
    mix = np.linalg.qr(np.random.default_rng(3).standard_normal((short, short)))[0]
    turn = mix @ directions[:, ::-1][:, :short].T
    widest = max(1e-6, np.abs(sample[:CHUNK] @ turn.T).max())
    return np.ascontiguousarray(turn * (127 / (1.2 * widest)), dtype=np.float32)


def _tell(progress: Progress | None, trials: list[Trial], what: str) -> None:
    if progress is not None:
        progress("tune", len(trials), None, what)


def build(vectors: Vectors, *, ids: Ids | None = None, engine: str = "auto", recall: float = 0.95) -> engines.Engine:
    """An engine over unit rows (n, dim), tuned to the recall asked for; `ids` (n,) name the rows, else 0 to n - 1."""
    rows = checked(vectors)
    if engine not in ("auto", *NAMES):
        raise ValueError(f"engine must be 'auto' or one of {', '.join(NAMES)}, got {engine!r}")
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    if engine == "auto" and len(rows) < FLAT_UP_TO:
        engine = "flat"
    if not engine.startswith("flat"):
        return tune(rows, ids=ids, recall=recall, candidates=None if engine == "auto" else (engine,))[0]
    built = empty(engine, rows.shape[1])
    built.add(rows, np.arange(len(rows)) if ids is None else ids)
    return built
