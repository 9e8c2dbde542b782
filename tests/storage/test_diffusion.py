"""Searches along the neighbour graph of an index: their order, their scores, and what becomes of the graph."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Box, Filter, Index, Match
from birdsearch.errors import GraphMissingError, IndexDamagedError
from birdsearch.records import Vectors
from birdsearch.search.graph import NeighbourGraph
from birdsearch.storage.vectors import engine_file
from tests.support.catalogs import catalog_at
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.index_worker import MIRRORED, backbone

CHAIN, BESIDE = 24, 14  # photos that lead away from the question one by one; others that are nearer than the last


def directions() -> Vectors:
    """Of the chain, then of the others."""
    angles = np.linspace(0, 1.4, CHAIN)
    rows = np.zeros((CHAIN + BESIDE, FakeBackbone.dim), np.float32)
    rows[:CHAIN, 0], rows[:CHAIN, 1] = np.cos(angles), np.sin(angles)
    rows[CHAIN:, :3] = 0.6, -0.2, 0.75
    rows[CHAIN:] += np.random.default_rng(0).normal(scale=0.01, size=(BESIDE, FakeBackbone.dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


QUESTION = directions()[:1]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """Photos with these vectors, labelled by folder, and a graph of them."""
    paths = [
        write(tmp_path / "photos" / ("Wren" if n < CHAIN else "Robin") / f"{n:02}.png", bird(n, 24, 24))
        for n in range(CHAIN + BESIDE)
    ]
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as made:
        made.add_vectors(paths, directions())
        made.add(tmp_path / "photos", labels="folder")
        made.optimize()
        yield made


def numbers(matches: list[Match]) -> list[int]:
    """Which photos these are."""
    return [int(Path(match.photo.path).stem) for match in matches]


def ask(index: Index, k: int = 16, where: Filter | None = None, min_score: float | None = None) -> list[Match]:
    """The answer of diffusion to the question."""
    return index.search_vectors(QUESTION, k, where=where, min_score=min_score, diffuse=True)[0]


def graph_of(index: Path) -> Path:
    """The file of the graph in force."""
    with closing(catalog_at(index)) as catalog:
        named = engine_file(catalog)
    assert named is not None
    assert named.graph is not None
    return index / f"graph-{named.graph[:16]}.npz"


def test_photos_that_others_join_come_first_and_the_score_stays_the_cosine(index: Index) -> None:
    plain = index.search_vectors(QUESTION, CHAIN + BESIDE)[0]
    assert set(numbers(plain[:CHAIN])) & set(range(CHAIN, CHAIN + BESIDE))
    diffused = ask(index, CHAIN)
    assert set(numbers(diffused)) == set(range(CHAIN))
    score_of = {match.photo.id: match.score for match in plain}
    assert all(match.score == pytest.approx(score_of[match.photo.id], abs=1e-6) for match in diffused)
    assert ask(index, CHAIN) == diffused


def test_what_is_not_reached_comes_last_by_score(index: Index) -> None:
    answers = ask(index, 100)
    assert len(answers) == CHAIN + BESIDE
    tail = [match.score for match in answers[CHAIN:]]
    assert tail == sorted(tail, reverse=True)
    assert set(numbers(answers[CHAIN:])) == set(range(CHAIN, CHAIN + BESIDE))


def test_a_filter_holds_and_a_least_score_leaves_out_before_the_count(index: Index) -> None:
    assert set(numbers(ask(index, 100, Filter(species="Robin")))) == set(range(CHAIN, CHAIN + BESIDE))
    assert numbers(ask(index, 3, Filter(ids=(5, 2, 9)))) == [
        int(Path(index.photo(photo_id).path).stem) for photo_id in (2, 5, 9)
    ]
    scores = [match.score for match in ask(index, CHAIN + BESIDE, min_score=0.5)]
    assert min(scores) >= 0.5
    assert len(scores) == sum(match.score >= 0.5 for match in ask(index, 100))
    for k in (2, 4, 8):
        for least in (0.5, 0.8, 0.95):
            assert ask(index, k, min_score=least) == [m for m in ask(index, 100) if m.score >= least][:k], (k, least)


def test_a_photo_of_the_index_does_not_find_itself(index: Index) -> None:
    photo = index.photos()[0]
    answers = index.search_many([photo], 5, diffuse=True)[0]
    assert len(answers) == 5
    assert photo not in [match.photo for match in answers]


def test_without_a_graph_the_command_that_makes_it_is_named(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "1.png", bird(1, 24, 24))
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        with pytest.raises(GraphMissingError, match=r"no neighbour graph.* birdsearch optimize --index .*index"):
            ask(index)
        assert index.search_vectors(QUESTION)[0]
        index.optimize()
        assert numbers(ask(index)) == [1]


def test_an_empty_index_has_no_answers(tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.optimize()
        assert ask(index) == []


def test_photos_that_come_and_go_enter_and_leave_the_graph(index: Index, tmp_path: Path) -> None:
    before = graph_of(tmp_path / "index")
    path = write(tmp_path / "photos" / "Wren" / "77.png", bird(77, 24, 24))
    index.add_vectors([path], directions()[12:13])
    after = graph_of(tmp_path / "index")
    assert before != after
    assert 77 in numbers(ask(index, CHAIN + 1))
    index.remove(Filter(ids=(13,)))
    assert 12 not in numbers(ask(index, 100))
    index.label({1: "Wren"})
    assert not before.exists()  # the next writer removed it
    index.add_vectors([write(tmp_path / "photos" / "Wren" / "78.png", bird(78, 24, 24))], directions()[3:4])
    assert len(NeighbourGraph.read(graph_of(tmp_path / "index"))) == len(index) == CHAIN + BESIDE + 1
    assert index.verify().ok


def test_boxes_do_not_enter_the_graph_and_answers_are_folded(index: Index, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    lines = [f"photos/Robin/{n}.png,0.1,0.1,0.6,0.6" for n in range(CHAIN, CHAIN + 3)]
    boxes.write_text("path,x,y,width,height\n" + "\n".join(lines) + "\n")
    index.add(tmp_path / "photos", regions=boxes)
    assert index.info()["boxes"] == 3
    assert len(NeighbourGraph.read(graph_of(tmp_path / "index"))) == CHAIN + BESIDE
    index.optimize()
    assert len(NeighbourGraph.read(graph_of(tmp_path / "index"))) == CHAIN + BESIDE
    answers = ask(index, 100)
    assert sorted(numbers(answers)) == list(range(CHAIN + BESIDE))
    box = next(region for region in index.regions() if region.kind == "box")
    asked = index.search(index.photo(box.photo_id or 0).path, 100, box=Box(0.1, 0.1, 0.6, 0.6), diffuse=True)
    plain = index.search(index.photo(box.photo_id or 0).path, 100, box=Box(0.1, 0.1, 0.6, 0.6))
    best = {match.photo.id: (match.region, match.score) for match in plain}
    assert len(asked) == len(plain)
    assert all(best[match.photo.id][0] == match.region for match in asked)


def test_photos_with_several_boxes_do_not_take_the_places_of_others(index: Index, tmp_path: Path) -> None:
    boxes, robins = tmp_path / "boxes.csv", range(CHAIN, CHAIN + BESIDE)
    lines = [f"photos/Robin/{n}.png,{x},0.1,0.6,0.6" for n in robins for x in (0.1, 0.2, 0.3)]
    boxes.write_text("path,x,y,width,height\n" + "\n".join(lines) + "\n")
    index.add(tmp_path / "photos", regions=boxes)
    index.optimize()
    for k in (3, 8, BESIDE):
        assert len(ask(index, k, Filter(species="Robin"))) == k
    assert sorted(numbers(ask(index, CHAIN + BESIDE))) == list(range(CHAIN + BESIDE))


def test_a_damaged_graph_is_named_and_made_again(index: Index, tmp_path: Path) -> None:
    path = graph_of(tmp_path / "index")
    whole = path.read_bytes()
    for damage in (whole[:-100], None):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as opened:
            with pytest.raises(IndexDamagedError, match=r"graph.*birdsearch repair"):
                ask(opened)
            assert opened.search_vectors(QUESTION)[0]
            assert any(path.name in problem for problem in opened.verify().problems)
            assert opened.repair()
            assert opened.verify().ok
            assert set(numbers(ask(opened, CHAIN))) == set(range(CHAIN))
    path.unlink()
    index.label({1: "Wren"})  # any writer makes it again
    assert index.verify().ok
    assert len(ask(index)) == 16


def test_photos_embedded_anew_get_a_graph_of_their_new_vectors(tmp_path: Path) -> None:
    for n in range(5):
        write(tmp_path / "photos" / f"{n}.png", bird(n, 72, 54))
    path = tmp_path / "index"
    with birdsearch.create(path, backbone=backbone()) as index:
        index.add(tmp_path / "photos")
        index.optimize()
        before = graph_of(path)
        index.reembed(backbone(recipe=MIRRORED))
        assert graph_of(path) != before
        assert len(index.search((tmp_path / "photos" / "2.png").read_bytes(), 9, diffuse=True)) == 5
        assert index.verify().ok
