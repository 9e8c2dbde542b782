"""Evaluation: figures that can be worked out by hand, and clear answers where there are none."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from birdsearch import Index
from birdsearch.errors import InputFileError
from birdsearch.records import SpeciesFigures, as_json
from birdsearch.species import evaluation as module
from birdsearch.species.calibration import calibration_error
from birdsearch.species.evaluation import evaluate
from tests.species.test_classifier import drawn, named
from tests.support import drawing


def test_the_figures_of_searches_by_hand() -> None:
    angles = np.radians([0, 5, 9, 15, 40])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = ["wren", "wren", "robin", "robin", None]
    figures = evaluate(vectors, labels)
    assert figures.photos == 4
    assert figures.recall_at_1 == 0.5  # the first wren finds the second, which finds a robin; so do the robins
    assert figures.recall_at_5 == 1
    assert figures.mean_average_precision == pytest.approx((1 + 1 / 2 + 1 / 2 + 1) / 4)
    assert figures.per_species["robin"].recall_at_1 == 0.5
    assert figures.per_species["robin"].photos == 2


def test_easy_photos_are_classified_right() -> None:
    vectors, own = drawn(noise=0.3)
    figures = evaluate(vectors, named(own))
    assert figures.recall_at_1 == figures.knn_accuracy == figures.knn_accuracy_top5 == 1
    assert figures.mean_average_precision == pytest.approx(1)
    assert figures.calibration_error is not None
    assert figures.calibration_error < 0.1
    assert len(figures.per_species) == 40
    json.dumps(as_json(figures))


def test_searches_use_the_space_given() -> None:
    vectors, own = drawn(noise=0.3)
    astray = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    figures = evaluate(vectors, named(own), searched=astray / np.linalg.norm(astray, axis=1, keepdims=True))
    assert figures.knn_accuracy == 1
    assert figures.recall_at_1 is not None
    assert figures.recall_at_1 < 0.2


def test_photos_of_a_group_are_never_compared() -> None:
    vectors, own = drawn(noise=3)
    twice, labels = np.concatenate([vectors, vectors]), named(np.tile(own, 2))
    assert evaluate(twice, labels).recall_at_1 == 1
    alone = evaluate(twice, labels, np.tile(np.arange(len(own)), 2)).recall_at_1
    assert alone is not None
    assert alone < 0.5


def test_species_of_one_photo_are_no_queries() -> None:
    vectors, own = drawn(species=10)
    own = np.where(np.arange(len(own)) == 0, 10, own)
    figures = evaluate(vectors, named(own))
    assert figures.photos == len(own) - 1
    lone = figures.per_species["species 0010"]
    assert (lone.photos, lone.classified, lone.recall, lone.recall_at_1) == (1, 0, None, None)


def test_large_collections_draw_their_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, own = drawn(noise=0.3)
    monkeypatch.setattr(module, "MAX_QUERIES", 30)
    monkeypatch.setattr(module, "CELLS", 1000)
    figures = evaluate(vectors, named(own))
    assert figures.recall_at_1 == 1
    assert figures.photos == len(own)


def test_precision_recall_and_confusions_by_hand() -> None:
    answers = module.answers_of(["a", "a", "a", "b", "b"], ["a", "b", "b", "b", "c"])
    assert answers == {"a": {"b": 2, "a": 1}, "b": {"b": 1, "c": 1}}
    figures = module.per_species({"a": 4, "b": 2, "c": 1}, answers, {"a": 0.5})
    assert figures["a"].knn_accuracy == figures["a"].recall
    assert figures["a"] == SpeciesFigures(4, 3, 1 / 3, 1.0, 0.5, "b", 2)
    assert figures["b"] == SpeciesFigures(2, 2, 1 / 2, 1 / 3, None, "c", 1)
    assert figures["c"] == SpeciesFigures(1, 0, None, 0.0, None, None, 0)


def test_the_figures_of_species_add_up_to_the_accuracy() -> None:
    vectors, own = drawn(noise=2)
    figures = evaluate(vectors, named(own))
    right = sum(given.get(label, 0) for label, given in figures.answers.items())
    assert sum(sum(given.values()) for given in figures.answers.values()) == figures.photos
    assert figures.knn_accuracy == pytest.approx(right / figures.photos)
    assert 0 < right < figures.photos


def test_average_precision_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import label_ranking_average_precision_score

    rng = np.random.default_rng(1)
    for ties in (3, 10_000):
        vectors = rng.integers(0, ties, (40, 3)).astype(np.float32) + 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        codes, groups = rng.integers(0, 5, 40), rng.integers(0, 20, 40)
        scores = vectors @ vectors.T
        grouped = groups[:, None] == groups
        same = (codes[:, None] == codes) & ~grouped
        queries = np.flatnonzero(same.any(axis=1))
        wanted = label_ranking_average_precision_score(same[queries], np.where(grouped, -2, scores)[queries])
        labels = [f"species {code}" for code in codes]
        assert evaluate(vectors, labels, groups).mean_average_precision == pytest.approx(wanted)


def test_nothing_answerable() -> None:
    vectors, own = drawn(species=6, photos=1)
    empty = evaluate(vectors, [None] * 6)
    assert (empty.photos, empty.knn_accuracy, empty.per_species) == (0, None, {})
    lone = evaluate(vectors, named(own))
    assert (lone.photos, lone.recall_at_1, lone.calibration_error) == (0, None, None)
    assert lone.per_species["species 0000"] == SpeciesFigures(1)
    assert evaluate(vectors[:0], []).photos == 0


def test_one_species_and_photos_that_are_all_alike() -> None:
    vectors, own = drawn(species=1, photos=2)
    assert evaluate(vectors, named(own)).knn_accuracy == 1
    same = np.tile(vectors[:1], (8, 1))
    figures = evaluate(same, named(np.arange(8) % 2))
    assert figures.photos == 8
    assert figures.recall_at_1 is not None


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55], dtype=np.float32)
    right = np.array([True, False, True, False])
    assert calibration_error(confidence, right) == pytest.approx((0.45 + 0.05) / 2, abs=1e-6)
    assert calibration_error(np.ones(3, dtype=np.float32), np.ones(3, dtype=bool)) == 0


# Of a split, and of predictions that are given


@pytest.fixture
def wrens(index: Index, tmp_path: Path) -> Index:
    """Four photos each of wrens and robins that look alike, and one owl."""
    for species, ground in (("Wren", (40, 140, 60)), ("Robin", (200, 60, 40)), ("Owl", (90, 90, 200))):
        for number in range(1 if species == "Owl" else 4):
            picture = Image.fromarray(np.random.default_rng(number).integers(0, 60, (64, 64, 3), dtype=np.uint8))
            mixed = ImageChops.add(picture, Image.new("RGB", picture.size, ground))
            drawing.write(tmp_path / "photos" / species / f"{number}.png", mixed)
    index.add(tmp_path / "photos", labels="folder")
    return index


def written(path: Path, lines: Iterable[str], columns: str = "path,species") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    return path


def test_the_photos_of_a_training_answer_for_those_of_a_test(
    wrens: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = tmp_path / "photos"
    for side, numbers in (("train", (0, 1)), ("test", (2, 3))):
        names = [photos / name / f"{number}.png" for name in ("Wren", "Robin") for number in numbers]
        names += [photos / "Owl" / "0.png"] if side == "test" else []
        written(tmp_path / "lists" / f"{side}.csv", (f"{name},x" for name in names))
    figures = wrens.evaluate_split(tmp_path / "lists")
    assert (figures.photos, figures.knn_accuracy, figures.recall_at_1) == (4, 1.0, 1.0)
    assert figures.answers == {"Robin": {"Robin": 2}, "Wren": {"Wren": 2}}
    assert figures.per_species["Owl"] == SpeciesFigures(1)
    assert "1 photo of the test cannot be answered" in caplog.text
    assert "copies" not in caplog.text
    written(tmp_path / "lists" / "train.csv", [f"{photos}/Wren/0.png,x", f"{photos}/Robin/2.png,x"])
    shutil.copy(photos / "Wren" / "0.png", photos / "Wren" / "copy.png")
    wrens.add(photos)
    written(tmp_path / "lists" / "test.csv", [f"{photos}/Wren/copy.png,x", f"{photos}/Robin/3.png,x"])
    wrens.evaluate_split(tmp_path / "lists")
    assert "1 photo of the test are copies or of one burst" in caplog.text
    with pytest.raises(InputFileError, match="cannot read"):
        wrens.evaluate_split(tmp_path)


def test_predictions_of_another_program_are_measured(
    wrens: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = tmp_path / "photos"
    lines = [
        f"{photos}/Wren/0.png,Troglodytes troglodytes,0.9,1",  # the scientific name of the label
        f"{photos}/Wren/0.png,Robin,0.1,2",
        f"{photos}/Wren/1.png,WREN,0.9,1",
        f"{photos}/Wren/2.png,Robin,0.9,1",
        f"{photos}/Robin/0.png,,0.9,1",
        f"{photos}/Robin/none.png,Robin,0.9,1",  # not of the index: the others are measured
    ]
    table = written(tmp_path / "predictions.csv", lines, "path,species,probability,position")
    with (tmp_path / "names.csv").open("w") as file:
        file.write("name,species\nWren,Eurasian Wren\n")
    wrens.set_names(tmp_path / "names.csv")
    figures = wrens.evaluate_predictions(table)
    assert (figures.photos, figures.knn_accuracy, figures.recall_at_1) == (4, 0.5, None)
    assert figures.answers == {"Robin": {"no species": 1}, "Wren": {"Wren": 2, "Robin": 1}}
    assert figures.per_species["Wren"].recall == pytest.approx(2 / 3)
    assert figures.calibration_error == pytest.approx(0.4)
    assert "no prediction for 5 photos with a label" in caplog.text
    assert "predictions of 1 photo that the index does not hold" in caplog.text
    assert "none.png" in caplog.text


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Wren/0.png,Wren,2"], "line 2: the probability is '2'"),
        (["Wren/0.png,Wren,0.5", "Wren/0.png,Robin,0.5"], "lines 2 and 3"),
        (["Wren/9.png,Wren,0.5"], "the index holds no such photo .Wren/9.png, line 2"),
    ],
)
def test_predictions_that_cannot_be_used_are_named_by_line(
    wrens: Index, tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(InputFileError, match=message):
        wrens.evaluate_predictions(written(tmp_path / "photos" / "p.csv", lines, "path,species,probability"))
