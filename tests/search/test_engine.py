"""Engines answer as brute force does, survive on disk, and say what is wrong."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from birdsearch.errors import IndexDamagedError
from birdsearch.records import Ids, Neighbours, Vectors
from birdsearch.search import engine as engine_module
from birdsearch.search import enginefile, exact, tuning


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


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=2e-6)
    assert found.ids.dtype == np.int64
    assert found.scores.dtype == np.float32


@pytest.mark.parametrize("queries", [1, 7, 300])
@pytest.mark.parametrize("k", [1, 10, 600, 2000])
def test_flat_equals_brute_force(queries: int, k: int) -> None:
    rows, asked = unit_rows(1500), unit_rows(queries, seed=1)
    ids = np.random.default_rng(2).permutation(5000)[:1500]
    engine = tuning.build(rows, ids=ids)
    assert engine.name == "flat"
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
    expected = np.sort(ids[:copies])[:10]
    for batch in (1, 40):
        found = engine.search(np.repeat(rows[:1], batch, axis=0), 10)
        for answer in found.ids:
            np.testing.assert_array_equal(answer[: len(expected)], expected)
        only = np.sort(ids[:copies])[1:]
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
        engine.add(rows[:1], ids[:1])
    assert len(engine) == 100


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("name", ["vectors.faiss", "Vögel 鳥.faiss", "bytes \udcff.faiss"])
def test_a_saved_engine_comes_back(tmp_path: Path, mapped: bool, name: str) -> None:
    rows, asked = unit_rows(700), unit_rows(9, seed=1)
    ids = np.random.default_rng(5).permutation(900)[:700]
    path = tmp_path / name
    tuning.build(rows, ids=ids).save(path, {"generation": 7, "name": "Zaunkönig"})
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert enginefile.damage(path) is None
    engine = engine_module.load(path, mapped=mapped)
    assert engine.stamp == {"generation": 7, "name": "Zaunkönig"}
    np.testing.assert_array_equal(engine.ids, ids)
    assert_same(engine.search(asked, 12), brute_force(rows, ids, asked, 12))
    assert_same(engine.search(asked, 12, only=ids[:50]), brute_force(rows, ids, asked, 12, ids[:50]))


def test_a_mapped_engine_refuses_rows_and_a_copied_one_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "e.faiss"
    tuning.build(unit_rows(10)).save(path, {})
    with pytest.raises(RuntimeError, match="mapped=False"):
        engine_module.load(path).add(unit_rows(1), np.array([10]))
    writer = engine_module.load(path, mapped=False)
    writer.add(unit_rows(1, seed=9), np.array([10]))
    writer.save(path, {"generation": 2})
    assert len(engine_module.load(path)) == 11
    assert engine_module.load(path).stamp == {"generation": 2}


def test_a_reader_keeps_the_engine_it_mapped(tmp_path: Path) -> None:
    path, rows = tmp_path / "e.faiss", unit_rows(500)
    tuning.build(rows).save(path, {})
    reader = engine_module.load(path)
    tuning.build(unit_rows(3, seed=8)).save(path, {})
    assert_same(reader.search(rows[:5], 3), brute_force(rows, np.arange(500), rows[:5], 3))
    assert len(engine_module.load(path)) == 3


def test_an_empty_engine_is_saved_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "e.faiss"
    tuning.build(np.empty((0, 24), dtype=np.float32)).save(path, {})
    assert len(engine_module.load(path)) == 0
    engine = engine_module.load(path, mapped=False)
    engine.add(unit_rows(2), np.array([4, 5]))
    assert engine.search(unit_rows(1), 1).ids[0, 0] == 4


@pytest.mark.parametrize("keep", [0, 1, 7, 40, 0.1, 0.5, 0.99])
def test_a_truncated_engine_is_damaged(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "e.faiss"
    tuning.build(unit_rows(300)).save(path, {})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(IndexDamagedError, match="birdsearch repair"):
        engine_module.load(path)
    assert enginefile.damage(path) is not None


def test_strange_files_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "e.faiss"
    with pytest.raises(IndexDamagedError, match="cannot be read"):
        engine_module.load(path)
    tuning.build(unit_rows(300)).save(path, {})
    data = path.read_bytes()
    odd: tuple[object, ...] = (
        [],
        7,
        {"stamp": {}},
        {"stamp": [], "faiss_bytes": 0, "rows": 0},
        {"stamp": {}, "faiss_bytes": "0", "rows": 0},
    )
    footers = [json.dumps(footer).encode() for footer in odd]
    for broken in (
        data + b"x",
        data[:-8] + b"birdvec0",
        data[:-16] + b"\xff" * 8 + data[-8:],
        b"XXXX" + data[4:],
        data[:40] + data[50:],
        *(footer + len(footer).to_bytes(8, "little") + enginefile.MAGIC for footer in footers),
    ):
        path.write_bytes(broken)
        with pytest.raises(IndexDamagedError, match=r"e\.faiss"):
            engine_module.load(path)
        assert enginefile.damage(path) is not None
        assert enginefile.stamp_of(path) == {}


def test_a_flipped_bit_is_seen_by_damage(tmp_path: Path) -> None:
    path = tmp_path / "e.faiss"
    tuning.build(unit_rows(300)).save(path, {})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    problem = enginefile.damage(path)
    assert problem is not None
    assert "checksum" in problem


def test_a_full_disk_leaves_the_old_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "e.faiss"
    tuning.build(unit_rows(300)).save(path, {"generation": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            tuning.build(unit_rows(400)).save(path, {"generation": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["e.faiss"]
    assert engine_module.load(path).stamp == {"generation": 1}


def test_a_write_that_fails_inside_faiss_is_the_callers_error() -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    def dump(take: Callable[[bytes], int]) -> None:
        if take(b"x") == 0:
            raise RuntimeError("faiss could not write")

    with pytest.raises(OSError, match="No space left"):
        enginefile.write(Full(), dump, np.arange(3), {})  # type: ignore[arg-type]


@pytest.mark.parametrize(("margin", "most"), [(0.0, 50), (0.1, 50), (0.1, 3), (2.5, 1000)])
def test_the_cells_looked_into_are_the_nearest_within_the_margin(margin: float, most: int) -> None:
    engine = tuning.build(unit_rows(4000), engine="ivf", recall=0.5)  # which owns all that is inside
    inner = engine._inner
    queries = 3 * unit_rows(700, inner.d, seed=1)  # more than one block of questions
    near, chosen = engine_module._cells(inner, queries, margin, most)
    centres = inner.quantizer.reconstruct_n(0, inner.nlist)
    for row, scores in enumerate(queries @ centres.T):
        expected = np.argsort(-scores)
        expected = expected[scores[expected] >= scores.max() - 3 * margin][:most]
        assert chosen[row][chosen[row] >= 0].tolist() == expected.tolist()
        np.testing.assert_allclose(near[row, : len(expected)], scores[expected], atol=1e-5)


def test_merge_takes_the_best_of_both() -> None:
    first = Neighbours(ids=np.array([[4, 9, -1]]), scores=np.array([[0.9, 0.5, -np.inf]], dtype=np.float32))
    second = Neighbours(ids=np.array([[3, 7]]), scores=np.array([[0.9, 0.1]], dtype=np.float32))
    merged = exact.merge(first, second, 5)
    np.testing.assert_array_equal(merged.ids, [[3, 4, 9, 7, -1]])
    np.testing.assert_allclose(merged.scores, np.array([[0.9, 0.9, 0.5, 0.1, -np.inf]], dtype=np.float32))
    np.testing.assert_array_equal(exact.merge(first, second, 1).ids, [[3]])


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
        monkeypatch.setattr(exact, "_gpu", lambda: "gpu")
        assert_same(engine.search(queries, 10), plain)
    assert {(gpu, count) for gpu, count, _ in asked} == {("gpu", 9)}
    before = len(asked)
    # One question is not worth the way to the GPU, and it finds no more than 2,048 answers.
    engine.search(queries[:1], 10)
    engine.search(queries, 3_000)
    assert len(asked) == before
