"""Tuned engines find what they promise: on questions they never saw, under filters, after growing, from disk."""

import json
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from birdsearch.errors import RecallUnreachableError
from birdsearch.records import Ids, Trial, Vectors
from birdsearch.search import coded, tuning
from birdsearch.search import engine as engine_module
from birdsearch.search import exact as exact_module
from birdsearch.search.coded import IvfSettings
from birdsearch.search.engine import Engine
from birdsearch.search.local import LocalEngine
from tests.search.test_engine import brute_force, build, save

COUNT = 6000


def species_rows(count: int, dim: int = 48, seed: int = 0) -> Vectors:
    """Unit rows (count, dim) in 60 clusters, as photos of species lie; the clusters are the same for every seed."""
    centres = np.random.default_rng(99).standard_normal((60, dim))
    rng = np.random.default_rng(seed)
    spread = np.geomspace(1.0, 0.1, dim)
    rows = centres[rng.integers(0, 60, count)] + rng.standard_normal((count, dim)) * spread
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def recall(engine: Engine, rows: Vectors, ids: Ids, k: int = 10, only: Ids | None = None) -> float:
    """Share of the true k nearest that the engine finds for 200 new questions."""
    asked = species_rows(200, seed=7)
    true, found = brute_force(rows, ids, asked, k, only).ids, engine.search(asked, k, only=only).ids
    return float(np.mean([np.isin(t[t >= 0], f).mean() for t, f in zip(true, found, strict=True)]))


@pytest.fixture(scope="module")
def rows() -> Vectors:
    return species_rows(COUNT)


@pytest.fixture(scope="module")
def ids() -> Ids:
    return np.random.default_rng(1).permutation(10 * COUNT)[:COUNT]


@pytest.fixture(scope="module", params=["ivf", "hnsw", "pq"])
def engine(request: pytest.FixtureRequest, rows: Vectors, ids: Ids) -> LocalEngine:
    return build(rows, ids, request.param)


def test_the_recall_asked_for_is_reached_on_new_questions(engine: LocalEngine, rows: Vectors, ids: Ids) -> None:
    np.testing.assert_array_equal(np.sort(engine.ids), np.sort(ids))
    assert recall(engine, rows, ids) >= 0.93
    assert recall(engine, rows, ids, k=100) >= 0.93


class FakeEngine:
    """An engine whose recall and work are formulas of its settings; it may search 1 to 500 cells."""

    k_factors = (1, 2, 4, 8)

    def __init__(self) -> None:
        self.settings = IvfSettings(nprobe=(5, 5), k_factor=(1, 1))

    def efforts(self, k_factor: float) -> tuple[int, int]:
        return 1, 500


def test_a_longer_shortlist_finds_what_no_effort_does() -> None:
    class Queries:
        def measure(self, engine: Any, k: int) -> tuple[float, float]:
            """Without a longer shortlist all effort finds 93 of 100."""
            nprobe, k_factor = engine.settings.nprobe[1], engine.settings.k_factor[1]
            return min(0.93 if k_factor == 1 else 0.97, 0.14 * nprobe), nprobe * k_factor

    engine: Any = FakeEngine()
    tuning.tune_at_100(engine, Queries(), 0.95)
    assert engine.settings == IvfSettings(nprobe=(5, 7), k_factor=(1, 2))


@pytest.mark.parametrize("recall", [0.5, 0.9, 0.95, 0.99])
def test_no_more_recall_is_taken_than_was_asked_for(recall: float) -> None:
    class Queries:
        def measure(self, engine: Any, k: int) -> tuple[float, float]:
            return 1 - 1 / engine.settings.nprobe[0], engine.settings.nprobe[0] * engine.settings.k_factor[0]

    engine: Any = FakeEngine()
    reached, least = tuning.tune_at_10(engine, Queries(), recall), round(1 / (1 - recall))
    assert reached >= recall
    assert least <= engine.settings.nprobe[0] <= 1.04 * least
    assert engine.settings.k_factor == (1, 1)


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "pq"])
def test_settings_are_found_without_a_clock(kind: str, rows: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = tuning.HeldOutQueries(rows[:3000])
    engine, trial = tuning.build_and_tune(kind, queries, 0.95)
    rng = np.random.default_rng(0)
    for clock in ("perf_counter", "thread_time", "process_time"):
        monkeypatch.setattr(time, clock, lambda: rng.uniform(0, 1000))
    engine.settings = type(engine.settings)()
    tuning.tune_at_10(engine, queries, 0.95 + 0.15 * 0.05)
    tuning.tune_at_100(engine, queries, 0.95 + 0.15 * 0.05)
    assert json.dumps(engine.settings.as_json()) == trial.settings


def test_a_race_is_won_by_the_fastest_however_busy_the_machine_is() -> None:
    for seed in range(5):
        rng, now = np.random.default_rng(seed), [0.0]

        def takes(seconds: float, rng: np.random.Generator = rng, now: list[float] = now) -> Any:
            def search(queries: Vectors) -> None:
                # Every other time something else runs meanwhile.
                now[0] += seconds * len(queries) * rng.choice([1, rng.uniform(1, 8)])

            return search

        slow, fast = tuning.race(
            [takes(0.0012), takes(0.001)], np.zeros((1000, 4), np.float32), partial(now.__getitem__, 0)
        )
        assert fast > slow


def test_scores_are_cosines_and_best_first(engine: LocalEngine, rows: Vectors, ids: Ids) -> None:
    asked = species_rows(20, seed=8)
    found = engine.search(asked, 10)
    by_id = dict(zip(ids.tolist(), rows, strict=True))
    for query, names, scores in zip(asked, found.ids, found.scores, strict=True):
        np.testing.assert_allclose(scores, [by_id[name] @ query for name in names.tolist()], atol=1e-3)
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("exact", [True, False])
def test_a_filter_costs_no_recall(
    engine: LocalEngine, rows: Vectors, ids: Ids, share: float, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exact:  # so small an engine would compare them all: make it search as a large one does
        monkeypatch.setattr(coded, "EXACT_UP_TO", 0)
    only = np.random.default_rng(3).choice(ids, round(share * COUNT), replace=False)
    assert recall(engine, rows, ids, only=only) >= 0.93
    found = engine.search(species_rows(50, seed=9), 10, only=only)
    assert np.isin(found.ids[found.ids >= 0], only).all()
    assert ((found.ids >= 0).sum(axis=1) == min(10, len(only))).all()


def test_a_filter_that_lies_far_from_the_question_still_fills_k(
    engine: LocalEngine, rows: Vectors, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coded, "EXACT_UP_TO", 0)
    asked = species_rows(5, seed=10)
    for query in asked:
        farthest = ids[np.argsort(rows @ query)[:700]]
        found = engine.search(query[None], 10, only=farthest)
        assert (found.ids >= 0).all()


def test_more_answers_than_rows(engine: LocalEngine, ids: Ids) -> None:
    found = engine.search(species_rows(3, seed=11), COUNT + 5)
    assert (np.sort(found.ids[:, :COUNT], axis=1) == np.sort(ids)).all()
    assert (found.ids[:, COUNT:] == -1).all()


@pytest.mark.parametrize("mapped", [True, False])
def test_it_comes_back_from_disk_as_it_was(engine: LocalEngine, tmp_path: Path, mapped: bool) -> None:
    save(engine, tmp_path / "e.faiss")
    settings = json.loads(json.dumps(engine.settings.as_json()))
    again = engine_module.load(tmp_path / "e.faiss", engine.kind, settings, mapped=mapped)
    assert (again.kind, again.settings) == (engine.kind, engine.settings)
    asked = species_rows(30, seed=12)
    np.testing.assert_array_equal(again.search(asked, 10).ids, engine.search(asked, 10).ids)


def test_it_grows_and_keeps_its_recall(engine: LocalEngine, rows: Vectors, ids: Ids, tmp_path: Path) -> None:
    save(engine, tmp_path / "e.faiss")
    grown = engine_module.load(tmp_path / "e.faiss", engine.kind, engine.settings.as_json(), mapped=False)
    more, names = species_rows(1500, seed=13), np.arange(1500) + 100_000
    grown.add(more, names)
    assert len(grown) == COUNT + 1500
    assert recall(grown, np.concatenate([rows, more]), np.concatenate([ids, names])) >= 0.92


def test_removed_rows_cost_no_recall(engine: LocalEngine, rows: Vectors, ids: Ids, tmp_path: Path) -> None:
    save(engine, tmp_path / "e.faiss")
    less = engine_module.load(tmp_path / "e.faiss", engine.kind, engine.settings.as_json())
    gone = np.random.default_rng(5).choice(COUNT, COUNT // 5, replace=False)
    less.remove(ids[gone])
    left = np.setdiff1d(np.arange(COUNT), gone)
    assert recall(less, rows[left], ids[left]) >= 0.93
    assert recall(less, rows[left], ids[left], k=100) >= 0.93
    assert (less.search(species_rows(50, seed=9), 10).ids >= 0).all()


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_narrow_clusters_are_told_apart_inside(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded.CodedEngine, "k_factors", (1,))
    rng = np.random.default_rng(0)
    centres = 10 * rng.standard_normal((20, 128)) * (np.arange(128) < 16)
    rows = (centres[rng.integers(0, 20, 3000)] + rng.standard_normal((3000, 128))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    engine, trial = tuning.build_and_tune(kind, tuning.HeldOutQueries(rows), 0.95)
    assert trial.recall >= 0.95
    assert engine.short == 128


def test_equal_rows_come_by_id(rows: Vectors) -> None:
    doubled = np.concatenate([rows, rows[:500]])
    engine = tuning.build(doubled, engine="ivf")
    found = engine.search(rows[:500], 2)
    pairs = found.ids[np.sort(found.ids, axis=1)[:, 1] - np.sort(found.ids, axis=1)[:, 0] == COUNT]
    assert len(pairs) > 450
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_flat_fp16_is_nearly_exact_in_half_the_memory(rows: Vectors, ids: Ids) -> None:
    engine = build(rows, ids, "flat-fp16")
    assert engine.bytes == rows.nbytes // 2
    assert recall(engine, rows, ids) >= 0.99
    assert recall(engine, rows, ids, only=ids[:3000]) >= 0.99
    for query in species_rows(3, seed=14):
        assert engine.search(query[None], 1, only=ids[:4000]).ids[0, 0] in ids[:4000]


def test_fp16_rows_are_read_as_numpy_reads_them() -> None:
    values = np.random.default_rng(15).uniform(-1, 1, (40, 9)).astype(np.float16)
    values[0] = [0, -0.0, 1, -1, 6e-8, -6e-8, 1e-5, 65504, -65504]
    np.testing.assert_array_equal(exact_module.to_float32(values), values.astype(np.float32))


def test_tuning_tells_what_it_tried(rows: Vectors) -> None:
    seen: list[str] = []
    _, trials = tuning.tune(
        rows, candidates=("flat", "ivf", "hnsw"), progress=lambda stage, done, total, what: seen.append(stage)
    )
    assert {trial.engine for trial in trials} == {"flat", "ivf", "hnsw"}
    assert seen
    assert set(seen) == {"tune"}
    assert all(trial.queries_per_second > 0 and 0 <= trial.recall <= 1 and trial.bytes > 0 for trial in trials)


def test_a_trial_gives_the_settings_of_its_engine(rows: Vectors) -> None:
    engine, trials = tuning.tune(rows, candidates=("ivf",))
    assert engine.kind == trials[-1].engine == "ivf"
    assert json.loads(trials[-1].settings) == json.loads(json.dumps(engine.settings.as_json()))


def test_a_recall_out_of_reach_is_an_error_with_the_best(rows: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded.Ivf, "efforts", lambda self, k_factor: (1, 1))
    monkeypatch.setattr(coded.CodedEngine, "k_factors", (1,))
    with pytest.raises(RecallUnreachableError, match=r"no engine reached a recall of 0\.999.*ivf .*with 0\.\d+"):
        tuning.tune(rows, recall=0.999, candidates=("ivf",))


def test_small_sets_are_flat_and_large_ones_are_measured() -> None:
    for few in (0, 1, 12):
        engine, trials = tuning.tune(species_rows(12)[:few])
        assert (engine.kind, len(engine), len(trials)) == ("flat", few, 1)
    assert tuning.build(species_rows(500)).kind == "flat"
    assert tuning.tune(species_rows(500))[0].kind == "flat"
    with pytest.raises(RecallUnreachableError, match="at least 1,000"):
        tuning.build(species_rows(300), engine="hnsw")
    with pytest.raises(ValueError, match="candidates"):
        tuning.tune(species_rows(500), candidates=("fast",))


def test_photos_that_are_all_alike_do_no_harm() -> None:
    rows = np.repeat(species_rows(2), 1500, axis=0)
    engine = tuning.build(rows, engine="ivf")
    found = engine.search(rows[:3], 10)
    np.testing.assert_allclose(found.scores, 1, atol=2e-3)


def test_vectors_without_clusters_are_scanned_by_short_codes() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((12_000, 128), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    engine, trials = tuning.tune(rows, candidates=("ivf", "hnsw", "pq"))
    speeds = {trial.engine: trial.queries_per_second for trial in trials if trial.recall >= 0.95}
    assert engine.kind == "pq", speeds
    asked = rng.standard_normal((200, 128), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    wanted, found = brute_force(rows, np.arange(len(rows)), asked, 10).ids, engine.search(asked, 10).ids
    assert np.mean([len(np.intersect1d(a, b)) for a, b in zip(wanted, found, strict=True)]) >= 9.3


def test_what_compares_all_rows_is_as_much_slower_as_there_are_more() -> None:
    assert coded.Pq.speed_among(1000.0, 0.05) == 50
    assert coded.Ivf.speed_among(1000.0, 0.05) == 1000


@pytest.mark.parametrize(("graph", "chosen"), [(1300.0, "ivf"), (2000.0, "hnsw")])
def test_a_graph_must_be_much_faster_on_a_part(
    graph: float, chosen: str, rows: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tuned(kind: str, queries: Any, _: float) -> tuple[Any, Trial]:
        engine = SimpleNamespace(kind=kind, ids=queries.own, add=lambda rows, ids: None, rename=lambda ids: None)
        engine.search = lambda queries, k: graph if kind == "hnsw" else 1000.0
        return engine, Trial(kind, "", 1.0, 0.0, 0.0, 0, len(queries.rows))

    monkeypatch.setattr(tuning, "build_and_tune", tuned)
    monkeypatch.setattr(tuning, "race", lambda searches, queries: [search(queries) for search in searches])
    engine, trials = tuning.tune(rows, candidates=("ivf", "hnsw"))
    assert engine.kind == chosen
    assert len(trials) == 3
