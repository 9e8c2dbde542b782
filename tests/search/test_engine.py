"""Engines answer as brute force does, survive on disk, and say what is wrong."""

import io
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from birdsearch.errors import IndexDamagedError
from birdsearch.records import Ids, Vectors
from birdsearch.search import engine as engine_module
from birdsearch.search import exact, tuning
from birdsearch.search.coded import IvfSettings
from birdsearch.search.engine import Engine
from birdsearch.search.exact import Neighbours
from birdsearch.search.local import LocalEngine


def unit_rows(n: int, dim: int = 24, seed: int = 0) -> Vectors:
    """Random unit rows (n, dim)."""
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def brute_force(rows: Vectors, ids: Ids, queries: Vectors, k: int, only: Ids | None = None) -> Neighbours:
    """The answer by definition: all scores, sorted, ties by lower id, padded to k."""
    keep = np.ones(len(ids), dtype=bool) if only is None else np.isin(ids, only)
    rows, ids = rows[keep], ids[keep]
    scores = np.einsum("qd,nd->qn", queries, rows)
    order = np.lexsort((np.broadcast_to(ids, scores.shape), -scores), axis=-1)[:, :k]
    missing = ((0, 0), (0, k - order.shape[1]))
    return Neighbours(
        ids=np.pad(ids[order], missing, constant_values=-1),
        scores=np.pad(np.take_along_axis(scores, order, 1), missing, constant_values=-np.inf),
    )


def build(rows: Vectors, ids: Ids | None = None, kind: str = "auto", recall: float = 0.95) -> LocalEngine:
    """An engine that can be saved."""
    engine = tuning.build(rows, ids=ids, engine=kind, recall=recall)
    assert isinstance(engine, LocalEngine)
    return engine


def save(engine: LocalEngine, path: Path) -> None:
    """Write an engine where a test wants it."""
    with path.open("wb") as file:
        engine.write(file)


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    """Equal answers; rows whose scores agree to rounding may come in either order."""
    np.testing.assert_allclose(found.scores, expected.scores, atol=2e-6)
    np.testing.assert_array_equal(np.sort(found.ids, axis=1), np.sort(expected.ids, axis=1))
    for query, position in np.argwhere(found.ids != expected.ids):
        moved = np.flatnonzero(expected.ids[query] == found.ids[query, position])
        assert abs(expected.scores[query, moved[0]] - expected.scores[query, position]) < 2e-6
    assert found.ids.dtype == np.int64
    assert found.scores.dtype == np.float32


@pytest.mark.parametrize("queries", [1, 7, 300])
@pytest.mark.parametrize("k", [1, 10, 600, 2000])
def test_flat_equals_brute_force(queries: int, k: int) -> None:
    rows, asked = unit_rows(1500), unit_rows(queries, seed=1)
    ids = np.random.default_rng(2).permutation(5000)[:1500]
    engine = tuning.build(rows, ids=ids)
    assert engine.kind == "flat"
    assert len(engine) == 1500
    assert_same(engine.search(asked, k), brute_force(rows, ids, asked, k))


@pytest.mark.parametrize("queries", [1, 50])
@pytest.mark.parametrize("share", [0.0, 0.0004, 0.01, 0.1, 0.3, 0.9, 1.0])
def test_filtered_search_equals_brute_force(share: float, queries: int) -> None:
    rows, asked = unit_rows(5000), unit_rows(queries, seed=1)
    rng = np.random.default_rng(3)
    ids = rng.permutation(20_000)[:5000]
    allowed = rng.choice(ids, round(share * len(ids)), replace=False)
    only = rng.permutation(np.concatenate([allowed, allowed[:3], [30_000, 40_000]]))  # repeated and unknown ids too
    found = tuning.build(rows, ids=ids).search(asked, 10, only=only)
    assert_same(found, brute_force(rows, ids, asked, 10, only))


def test_a_filter_larger_than_one_gathered_block() -> None:
    rows, asked = unit_rows(40_000, dim=8), unit_rows(20, dim=8, seed=1)
    ids = np.arange(40_000)
    found = tuning.build(rows, engine="flat").search(asked, 5, only=ids[::2])
    assert_same(found, brute_force(rows, ids, asked, 5, ids[::2]))


@pytest.mark.parametrize("copies", [3, 30, 3000])
def test_ties_go_to_the_lower_id(copies: int) -> None:
    rows = unit_rows(4000, dim=100)
    ids = np.random.default_rng(4).permutation(4000)
    rows[:copies] = rows[0]
    engine = tuning.build(rows, ids=ids)
    tied = np.sort(ids[:copies])
    for batch in (1, 40):
        found = engine.search(np.repeat(rows[:1], batch, axis=0), 10)
        for answer in found.ids:
            equal = answer[: min(copies, 10)]
            # Of more equal rows than are looked at, any may answer.
            assert np.isin(equal, tied).all()
            assert (np.diff(equal) > 0).all()
            if copies <= 10:
                np.testing.assert_array_equal(equal, tied)
        only = tied[1:11]
        np.testing.assert_array_equal(engine.search(rows[:1], 2, only=only).ids[0], only[:2])


def test_answers_do_not_depend_on_the_batch() -> None:
    rows = unit_rows(3000, dim=64)
    rows[1000:2000] = rows[:1000]
    engine = tuning.build(rows)
    together = engine.search(rows[:500], 6)
    alone = np.concatenate([engine.search(row[None], 6).ids for row in rows[:500]])
    np.testing.assert_array_equal(together.ids, alone)


def test_no_rows_no_queries_no_survivors() -> None:
    engine = tuning.build(np.empty((0, 24), dtype=np.float32))
    found = engine.search(unit_rows(2), 3)
    np.testing.assert_array_equal(found.ids, np.full((2, 3), -1))
    assert np.isneginf(found.scores).all()
    assert tuning.build(unit_rows(5)).search(np.empty((0, 24), dtype=np.float32), 3).ids.shape == (0, 3)
    one = tuning.build(unit_rows(1)).search(unit_rows(1), 3)
    np.testing.assert_array_equal(one.ids, [[0, -1, -1]])
    nobody = tuning.build(unit_rows(5)).search(unit_rows(2), 3, only=np.array([], dtype=np.int64))
    assert (nobody.ids == -1).all()


def test_wrong_input_is_named() -> None:
    engine = tuning.build(unit_rows(5))
    with pytest.raises(ValueError, match="25 dimensions, the engine has 24"):
        engine.search(unit_rows(2, dim=25), 3)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        engine.search(unit_rows(2), 0)
    with pytest.raises(ValueError, match="shape"):
        engine.search(unit_rows(2)[0], 1)
    broken = unit_rows(2)
    broken[1, 3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        engine.search(broken, 1)
    with pytest.raises(ValueError, match="finite"):
        tuning.build(broken)
    with pytest.raises(ValueError, match="as many ids"):
        tuning.build(unit_rows(3), ids=np.arange(2))
    with pytest.raises(ValueError, match="twice"):
        tuning.build(unit_rows(3), ids=np.array([1, 2, 1]))
    with pytest.raises(ValueError, match="negative"):
        tuning.build(unit_rows(1), ids=np.array([-1]))
    with pytest.raises(ValueError, match="engine must be"):
        tuning.build(unit_rows(3), engine="fast")
    with pytest.raises(ValueError, match="recall"):
        tuning.build(unit_rows(3), recall=0)


def test_numbers_of_other_kinds_and_layouts_are_taken() -> None:
    rows = unit_rows(50)
    engine = tuning.build(np.asfortranarray(rows.astype(np.float64)))
    assert_same(engine.search(rows[::2], 4), tuning.build(rows).search(np.ascontiguousarray(rows[::2]), 4))


def test_add_takes_in_rows() -> None:
    rows, asked = unit_rows(100), unit_rows(9, seed=1)
    ids = np.arange(100)[::-1].copy()
    engine = tuning.build(rows[:60], ids=ids[:60])
    engine.add(rows[60:], ids[60:])
    assert_same(engine.search(asked, 20), brute_force(rows, ids, asked, 20))
    with pytest.raises(ValueError, match="twice"):
        engine.add(rows[:2], ids[[0, 0]])
    with pytest.raises(ValueError, match="facets"):
        engine.add(rows[:1], ids[:1], {"species": ["Wren"]})
    assert len(engine) == 100


KINDS = ("flat", "flat-fp16", "ivf", "hnsw", "pq")


def approximately(rows: Vectors) -> Vectors:
    """Rows as engines of fp16 rows keep them."""
    return rows.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def built() -> dict[str, LocalEngine]:
    """One engine of each kind over the same 1,500 rows."""
    return {kind: build(approximately(unit_rows(1500)), np.arange(1500) * 3, kind, recall=0.5) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("queries", [3, 40])
def test_an_id_that_comes_again_gets_the_new_vector(kind: str, queries: int) -> None:
    rows, asked = approximately(unit_rows(1500)), unit_rows(queries, seed=1)
    engine = build(rows, kind=kind, recall=0.5)
    changed, again = rows.copy(), np.array([7, 3, 1200])
    changed[again] = approximately(unit_rows(3, seed=9))
    engine.add(changed[again], again)
    assert len(engine) == 1500
    assert np.array_equal(np.sort(engine.ids), np.arange(1500))
    every = np.arange(1500)
    assert_same(engine.search(asked, 10, only=every), brute_force(changed, every, asked, 10))
    assert np.array_equal(engine.search(changed[again], 1).ids[:, 0], again)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.6])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("queries", [3, 40])
def test_removed_rows_answer_no_more(
    kind: str, queries: int, share: float, built: dict[str, LocalEngine], tmp_path: Path
) -> None:
    rows, asked, ids = approximately(unit_rows(1500)), unit_rows(queries, seed=1), np.arange(1500) * 3
    save(built[kind], tmp_path / "e")
    engine = engine_module.load(tmp_path / "e", kind, built[kind].settings.as_json())  # a mapped one forgets too
    first = np.unique(engine.search(asked, 2).ids)  # such as would have answered
    gone = np.unique([*first, *np.random.default_rng(3).choice(ids, round(share * 1500), replace=False)])
    engine.remove(np.array([*gone, 10**6, 1]))  # unknown ids are ignored
    left = np.setdiff1d(ids, gone)
    assert len(engine) == len(left)
    assert np.array_equal(np.sort(engine.ids), left)
    found = engine.search(asked, 10)
    assert np.isin(found.ids, left).all()
    expected = brute_force(rows[left // 3], left, asked, 10)
    if engine.exact:
        assert_same(found, expected)
    assert_same(engine.search(asked, 10, only=ids), expected)
    assert_same(engine.search(asked, 2000, only=ids), brute_force(rows[left // 3], left, asked, 2000))
    engine.remove(left)
    assert (engine.search(asked, 3).ids == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_removed_stays_away_when_saved(kind: str, tmp_path: Path) -> None:
    rows, path = unit_rows(1500), tmp_path / "e"
    engine = build(rows, kind=kind, recall=0.5)
    engine.remove(np.arange(100))
    engine.add(rows[:50], np.arange(50))
    save(engine, path)
    again = engine_module.load(path, kind, engine.settings.as_json())
    assert np.array_equal(np.sort(again.ids), [*range(50), *range(100, 1500)])
    np.testing.assert_array_equal(again.search(rows[:40], 5).ids, engine.search(rows[:40], 5).ids)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("name", ["engine", "Vögel 鳥.faiss", "bytes \udcff.faiss"])
def test_a_saved_engine_comes_back(
    tmp_path: Path, mapped: bool, name: str, kind: str, built: dict[str, LocalEngine]
) -> None:
    path, asked, wanted = tmp_path / name, unit_rows(9, seed=1), built[kind]
    save(wanted, path)
    engine = engine_module.load(path, kind, wanted.settings.as_json(), mapped=mapped)
    assert (engine.kind, engine.settings, engine.mapped) == (kind, wanted.settings, mapped)
    np.testing.assert_array_equal(engine.ids, wanted.ids)
    assert_same(engine.search(asked, 12), wanted.search(asked, 12))
    assert_same(engine.search(asked, 12, only=wanted.ids[:50]), wanted.search(asked, 12, only=wanted.ids[:50]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapped_engine_refuses_rows_and_a_copied_one_takes_them(
    tmp_path: Path, kind: str, built: dict[str, LocalEngine]
) -> None:
    path, settings = tmp_path / "e", built[kind].settings.as_json()
    save(built[kind], path)
    with pytest.raises(RuntimeError, match="mapped=False"):
        engine_module.load(path, kind, settings).add(unit_rows(1), np.array([10]))
    writer = engine_module.load(path, kind, settings, mapped=False)
    writer.add(unit_rows(1, seed=9), np.array([10]))
    assert len(writer) == 1501
    save(writer, tmp_path / "grown")
    assert len(engine_module.load(tmp_path / "grown", kind, settings)) == 1501


def test_an_empty_engine_is_saved_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "e.npy"
    save(build(np.empty((0, 24), dtype=np.float32)), path)
    assert len(engine_module.load(path, "flat")) == 0
    engine = engine_module.load(path, "flat", mapped=False)
    engine.add(unit_rows(2), np.array([4, 5]))
    assert engine.search(unit_rows(1), 1).ids[0, 0] == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0, 1, 7, 40, 0.1, 0.5, 0.99])
def test_a_truncated_engine_is_damaged(tmp_path: Path, keep: float, kind: str, built: dict[str, LocalEngine]) -> None:
    path = tmp_path / "e"
    save(built[kind], path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(IndexDamagedError, match="birdsearch repair"):
        engine_module.load(path, kind, built[kind].settings.as_json())


def test_strange_files_are_damaged(tmp_path: Path, built: dict[str, LocalEngine]) -> None:
    path = tmp_path / "e"
    with pytest.raises(IndexDamagedError, match="cannot be read"):
        engine_module.load(path, "flat")
    for kind in KINDS:
        save(built[kind], path)
        for other in {*KINDS, "nosuch"} - {kind}:
            with pytest.raises(IndexDamagedError, match="e cannot be read"):
                engine_module.load(path, other)
        data = path.read_bytes()
        for broken in (b"XXXX" + data[4:], b"", b"{}", data[40:]):
            path.write_bytes(broken)
            with pytest.raises(IndexDamagedError, match="e cannot be read"):
                engine_module.load(path, kind)
    save(built["ivf"], path)
    with pytest.raises(IndexDamagedError, match="effort"):
        engine_module.load(path, "ivf", {"effort": 3})
    np.save(path, unit_rows(3).astype(np.float64))
    with pytest.raises(IndexDamagedError, match="cannot be read"):
        engine_module.load(path.with_name("e.npy"), "flat")


def test_whole_rows_of_another_kind_are_damaged(tmp_path: Path, built: dict[str, LocalEngine]) -> None:
    import faiss

    path, rows = str(tmp_path / "e"), faiss.IndexFlatIP(built["ivf"].dim)
    save(built["ivf"], tmp_path / "e")
    stored: Any = faiss.read_index(path)
    rows.add(unit_rows(stored.ntotal, rows.d))
    refined: Any = faiss.downcast_index(stored.index)
    refined.refine_index, refined.own_refine_index = rows, False
    faiss.write_index(stored, path)
    with pytest.raises(IndexDamagedError, match="it is a IndexFlatIP"):
        engine_module.load(tmp_path / "e", "ivf")


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_that_fails_is_the_callers_error(kind: str, built: dict[str, LocalEngine]) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        built[kind].write(Full())


def test_an_engine_of_another_package_is_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class Toy:
        """All that an engine needs."""

        kind = "toy"

        def __init__(self, dim: int) -> None:
            self.dim, self.rows = dim, dict[int, Vectors]()

        @property
        def ids(self) -> Ids:
            return np.array(list(self.rows), dtype=np.int64)

        def __len__(self) -> int:
            return len(self.rows)

        def add(self, vectors: Vectors, ids: Ids, facets: object = None) -> None:
            self.rows |= dict(zip(ids.tolist(), vectors, strict=True))

        def search(self, vectors: Vectors, k: int, only: Ids | None = None, where: object = None) -> Neighbours:
            return brute_force(np.array(list(self.rows.values())), self.ids, vectors, k, only)

        def remove(self, ids: Ids) -> None:
            for one in ids.tolist():
                self.rows.pop(one, None)

    def entry_points(*, group: str, name: str = "toy") -> list[SimpleNamespace]:
        assert group == "birdsearch.engines"
        return [SimpleNamespace(name="toy", load=lambda: Toy)] if name == "toy" else []

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    rows, ids = unit_rows(90), np.arange(90) + 5
    made: Engine = tuning.build(rows, ids=ids, engine="toy")
    assert isinstance(made, Toy)
    assert_same(made.search(rows[:4], 3), tuning.build(rows, ids=ids).search(rows[:4], 3))
    with pytest.raises(ValueError, match="ivf, hnsw, pq, toy, got 'fast'"):
        tuning.build(rows, engine="fast")


@pytest.mark.slow
def test_cells_found_by_a_margin_before_are_all_searched(tmp_path: Path) -> None:
    rows, asked = unit_rows(4000), unit_rows(50, seed=1)
    wanted = build(rows, kind="ivf", recall=0.5)
    save(wanted, tmp_path / "e.faiss")
    stored = {"max_nprobe": 252, "margin": [0.1, 0.2], "k_factor": [8, 8]}
    engine = engine_module.load(tmp_path / "e.faiss", "ivf", stored)
    found = engine.search(asked, 10).ids
    assert np.mean(found == brute_force(rows, np.arange(4000), asked, 10).ids) > 0.99


@pytest.mark.parametrize("most", ["4", None, [2], 0, -1, 1e9])
def test_a_margin_before_may_be_damaged(most: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        IvfSettings.read({"max_nprobe": most, "margin": [0.1, 0.2], "k_factor": [1, 1]})


@pytest.mark.parametrize("queries", [0, 1, exact.BATCH - 1, exact.BATCH, 40])
def test_inner_products_of_few_and_of_many(queries: int) -> None:
    rng = np.random.default_rng(queries)
    asked, rows = (rng.normal(size=(n, 33)).astype(np.float32) for n in (queries, 70))
    found = exact.inner_products(asked, rows)
    assert found.shape == (queries, 70)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, asked @ rows.T, atol=1e-4)


def test_merge_takes_the_best_of_both() -> None:
    first = Neighbours(ids=np.array([[4, 9, -1]]), scores=np.array([[0.9, 0.5, -np.inf]], dtype=np.float32))
    second = Neighbours(ids=np.array([[3, 7]]), scores=np.array([[0.9, 0.1]], dtype=np.float32))
    merged = exact.merge_top_k(first, second, 5)
    np.testing.assert_array_equal(merged.ids, [[3, 4, 9, 7, -1]])
    np.testing.assert_allclose(merged.scores, np.array([[0.9, 0.9, 0.5, 0.1, -np.inf]], dtype=np.float32))
    np.testing.assert_array_equal(exact.merge_top_k(first, second, 1).ids, [[3]])


def test_a_gpu_compares_many_questions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    asked = []

    def knn_gpu(gpu: object, queries: Vectors, rows: Vectors, k: int, metric: int) -> tuple[Vectors, Ids]:
        assert queries.dtype == rows.dtype == np.float32
        asked.append((gpu, len(queries), k))
        scores, places = faiss.knn(queries, rows, k, metric=metric)
        return scores, places

    monkeypatch.setattr(faiss, "knn_gpu", knn_gpu, raising=False)
    rows, queries = unit_rows(21_000), unit_rows(9, seed=1)
    for name in ("flat", "flat-fp16"):
        engine = tuning.build(rows, engine=name)
        plain = engine.search(queries, 10)
        # Stands in for a GPU, which no machine of these tests has.
        monkeypatch.setattr(exact, "gpu_resources", lambda: "gpu")
        assert_same(engine.search(queries, 10), plain)
    assert {(gpu, count) for gpu, count, _ in asked} == {("gpu", 9)}
    before = len(asked)
    # One question is not worth the way to the GPU, and it finds no more than 2,048 answers.
    engine.search(queries[:1], 10)
    engine.search(queries, 3_000)
    assert len(asked) == before
