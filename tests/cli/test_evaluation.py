"""The command evaluate, and the exit codes by which it and audit serve automatic checks."""

import json
from pathlib import Path
from unittest.mock import ANY

import pytest

from birdsearch.records import AuditReport, Evaluation, Filter, Photo, SpeciesFigures, Suspect
from tests.conftest import Garden
from tests.support.command_line import Answer, run
from tests.support.index_stub import IndexStub, garden

__all__ = ["garden"]  # a fixture

FIGURES = {"Wren": SpeciesFigures(3, 3, 1.0, 0.75, 1.0), "Robin": SpeciesFigures(3, 3, 2 / 3, 1.0, None, "Wren", 1)}
ANSWERS = {"Robin": {"Robin": 2, "Wren": 1}, "Wren": {"Wren": 3}}
RESULT = Evaluation(6, 0.5, 1.0, 0.61, 0.8333, None, 0.04, FIGURES, ANSWERS)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> IndexStub:
    answers = dict.fromkeys(("evaluate", "evaluate_split", "evaluate_predictions"), RESULT)
    return IndexStub(monkeypatch, {**answers, "audit": AuditReport()})


def command(garden: Garden, name: str, *arguments: object, code: int = 0) -> Answer:
    return run(name, *arguments, "--index", garden.index, code=code)


def test_figures_of_all_and_of_each_species(garden: Garden, stub: IndexStub) -> None:
    out = command(garden, "evaluate").out
    assert "accuracy              0.833\n" in out
    assert "top-5" not in out  # was not measured
    assert "most confused         Robin for Wren (1)" in out
    assert "backbone" not in out
    wren, robin = command(garden, "evaluate", "--csv").rows
    assert (wren["species"], wren["photos"], wren["precision"], wren["taken_for"]) == ("Wren", "3", "0.75", "")
    assert (robin["recall"][:4], robin["taken_for"], robin["taken_for_photos"]) == ("0.66", "Wren", "1")
    assert command(garden, "evaluate", "--json").json["per_species"]["Robin"]["taken_for"] == "Wren"
    stub.answers["evaluate"] = Evaluation()
    assert "two labelled photos of one species" in command(garden, "evaluate").err


def test_the_confusion_matrix_is_a_table(garden: Garden, stub: IndexStub) -> None:
    assert "confusion matrix written" in command(garden, "evaluate", "--confusions", "matrix.csv").err
    assert Path("matrix.csv").read_text(encoding="utf-8").splitlines() == ["label,Robin,Wren", "Robin,2,1", "Wren,0,3"]


def test_evaluation_of_the_backbone(garden: Garden, stub: IndexStub) -> None:
    known = {"backbone_photos": 1500, "backbone_accuracy": 0.913, "backbone_calibration_error": 0.12}
    stub.answers["evaluate"] = Evaluation(**known)  # type: ignore[arg-type]
    lines = command(garden, "evaluate").out.splitlines()
    assert lines[1:] == [
        "the backbone alone, on 1,500 photos whose label is one of its classes:",
        "accuracy              0.913",
        "calibration error     0.120",
    ]
    stub.answers["evaluate"] = Evaluation(photos=2, backbone_photos=0)
    assert "backbone" not in command(garden, "evaluate").out


def test_an_accuracy_below_the_least_ends_with_1_after_the_results(garden: Garden, stub: IndexStub) -> None:
    command(garden, "evaluate", "--min-accuracy", 0.833)
    answer = command(garden, "evaluate", "--min-accuracy", 0.9, "--json", code=1)
    assert answer.json["knn_accuracy"] == 0.8333
    assert "accuracy 0.833 is lower than the 0.900 --min-accuracy demands" in answer.err
    command(garden, "evaluate", "--min-accuracy", 90, code=2)
    stub.answers["evaluate"] = Evaluation()
    assert "cannot be measured" in command(garden, "evaluate", "--min-accuracy", 0, code=1).err


def test_a_comparison_with_an_earlier_evaluation(garden: Garden, stub: IndexStub) -> None:
    Path("last.json").write_text(command(garden, "evaluate", "--json").out, encoding="utf-8")
    assert (
        "accuracy              0.833  +0.000, before 0.833" in command(garden, "evaluate", "--compare", "last.json").out
    )
    stub.answers["evaluate"] = Evaluation(6, 0.6, 1.0, 0.61, 0.5, None, 0.04)
    answer = command(garden, "evaluate", "--compare", "last.json", code=1)
    assert "recall@1              0.600  +0.100, before 0.500" in answer.out
    assert "accuracy 0.500 is lower than the 0.833 in last.json" in answer.err
    for wrong in ("no JSON", "[]", json.dumps({"photos": 3})):
        Path("wrong.json").write_text(wrong, encoding="utf-8")
        assert "wrong.json" in command(garden, "evaluate", "--compare", "wrong.json", code=1).err
    for figure in ("0.9", [0.9], True, float("nan"), 10**400):
        for name in ("knn_accuracy", "temperature"):
            Path("wrong.json").write_text(json.dumps({"knn_accuracy": 0.5, name: figure}), encoding="utf-8")
            assert f"{name} is" in command(garden, "evaluate", "--compare", "wrong.json", code=1).err
    command(garden, "evaluate", "--compare", "gone.json", code=2)


def test_a_split_or_predictions_are_measured_instead(garden: Garden, stub: IndexStub) -> None:
    Path("predictions.csv").write_text("path,species\n", encoding="utf-8")
    command(garden, "evaluate", "--split", ".", "--species", "Wren")
    assert stub.last("evaluate_split") == ((Path("."), Filter(species=("Wren",))), {"progress": ANY})
    command(garden, "evaluate", "--predictions", "predictions.csv")
    assert stub.last("evaluate_predictions") == ((Path("predictions.csv"), None), {})
    command(garden, "evaluate", "--split", ".", "--predictions", "predictions.csv", code=2)


def test_more_doubtful_labels_than_allowed_end_with_1_after_the_results(garden: Garden, stub: IndexStub) -> None:
    suspects = tuple(Suspect(Photo(number, f"/{number}.jpg"), "Wren", None, 0.5, ("why",)) for number in (1, 2))
    stub.answers["audit"] = AuditReport(suspects, 6)
    command(garden, "audit", "--max-suspects", 2)
    answer = command(garden, "audit", "--max-suspects", 1, "--csv", code=1)
    assert len(answer.rows) == 2
    assert "2 labels are doubtful, more than --max-suspects 1" in answer.err
    command(garden, "audit", "--max-suspects", -1, code=2)


def test_photos_that_were_left_out_are_counted_with_the_reason(garden: Garden, stub: IndexStub) -> None:
    figures = {"Wren": SpeciesFigures(4, 4), "Emu": SpeciesFigures(1), "Fieldfare": SpeciesFigures(2)}
    stub.answers["evaluate"] = Evaluation(4, knn_accuracy=1.0, per_species=figures)
    assert "3 photos of 2 labels left out, for no photo of another moment" in (err := command(garden, "evaluate").err)
    assert "Emu, Fieldfare" in err
