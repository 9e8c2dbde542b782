"""The neighbour graph: what a query reaches along the links, and that rows which come later are linked as well."""

from pathlib import Path

import numpy as np
import pytest

from birdsearch.records import Vectors
from birdsearch.search import graph, tuning
from birdsearch.search.graph import NeighbourGraph, linked

CHAIN = 40  # rows of one kind, each a little further from the first
BESIDE = 12  # rows of another kind, all alike


@pytest.fixture(scope="module")
def rows() -> Vectors:
    """A chain of rows that leads away from the first, and a cluster that lies nearer to that than the chain's end."""
    angles = np.linspace(0, 1.4, CHAIN)
    chain = np.stack([np.cos(angles), np.sin(angles), 0 * angles, 0 * angles], axis=1)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(BESIDE, 4))
    cluster = np.array([0.6, -0.2, 0.75, 0]) + noise
    both = np.concatenate([chain, cluster])
    return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True), dtype=np.float32)


def whole(rows: Vectors) -> NeighbourGraph:
    """Their graph, under ids from 100 on."""
    ids = np.arange(100, 100 + len(rows))
    return linked(tuning.build(rows, ids=ids), ids, rows)


def reached(known: NeighbourGraph, rows: Vectors, query: Vectors) -> list[int]:
    """Row numbers in the order of diffusion."""
    near = np.argsort(-(rows @ query), kind="stable")[: graph.SOURCES]
    ids, arrived = known.spread(near + 100, rows[near] @ query)
    assert (np.diff(arrived) <= 0).all()
    return [int(i) - 100 for i in ids]


def test_links_are_of_the_nearest_rows_and_symmetric(rows: Vectors) -> None:
    known = whole(rows)
    links = known.links.toarray()
    assert np.array_equal(links, links.T)
    assert not links.diagonal().any()
    assert {int(n) for n in np.flatnonzero(links[20])} <= set(range(9, 32))
    assert (np.diff(known.links.indptr) >= 1).all()


def test_what_others_join_to_the_query_comes_before_what_is_merely_near(rows: Vectors) -> None:
    by_score = np.argsort(-(rows @ rows[0]), kind="stable").tolist()
    assert by_score.index(CHAIN) < by_score.index(CHAIN - 8)  # the cluster is nearer than the chain's end
    order = reached(whole(rows), rows, rows[0])
    assert CHAIN - 8 in order
    assert not set(order) & set(range(CHAIN, len(rows)))


def test_the_same_question_has_the_same_answer(rows: Vectors) -> None:
    assert reached(whole(rows), rows, rows[3]) == reached(whole(rows), rows, rows[3])


def test_equal_rows_come_in_the_order_of_their_ids() -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), graph.NEIGHBOURS + 1, axis=0)
    assert reached(whole(rows), rows, rows[0]) == list(range(graph.NEIGHBOURS + 1))


def test_rows_that_come_later_are_linked_with_those_of_before(rows: Vectors) -> None:
    ids = np.arange(100, 100 + len(rows))
    first = np.arange(len(rows)) % 3 > 0
    engine = tuning.build(rows[first], ids=ids[first])
    known = linked(engine, ids[first], rows[first])
    engine.add(rows[~first], ids[~first])
    both = linked(engine, ids[~first], rows[~first], known)
    assert both.ids.tolist() == ids.tolist()
    assert set(reached(both, rows, rows[0])) == set(range(CHAIN))


def test_a_nearest_row_that_the_graph_does_not_hold_answers_too(rows: Vectors) -> None:
    known = whole(rows).restricted(np.arange(101, 100 + len(rows)))
    assert len(known) == len(rows) - 1
    assert 0 in reached(known, rows, rows[0])[:3]


def test_few_rows_and_none() -> None:
    for count in (0, 1, 2):
        rows = np.eye(4, dtype=np.float32)[:count]
        known = whole(rows)
        assert len(known) == count
        assert set(reached(known, rows, np.full(4, 0.5, np.float32))) == set(range(count))


def test_a_graph_is_read_as_it_was_written_and_nothing_else_is(rows: Vectors, tmp_path: Path) -> None:
    for number, known in enumerate((whole(rows), whole(rows[:0]))):
        path = tmp_path / f"{number}.npz"
        with path.open("wb") as file:
            known.write(file)
        again = NeighbourGraph.read(path)
        assert np.array_equal(again.ids, known.ids)
        assert np.array_equal(again.links.toarray(), known.links.toarray())
    good = dict(np.load(tmp_path / "0.npz"))
    for name, wrong in {
        "ids": good["ids"][::-1], "indices": good["indices"] + 1000, "data": -good["data"], "scale": good["scale"][1:]
    }.items():  # fmt: skip
        np.savez(tmp_path / "wrong.npz", **{**good, name: wrong})
        with pytest.raises(ValueError, match=r"\w"):
            NeighbourGraph.read(tmp_path / "wrong.npz")
    np.savez(tmp_path / "wrong.npz", mean=good["ids"])
    with pytest.raises(ValueError, match="no graph"):
        NeighbourGraph.read(tmp_path / "wrong.npz")
