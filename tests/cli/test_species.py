"""The commands about species: what they ask of the index, and how they show what it says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch.index import Index
from birdsearch.records import (
    AuditReport,
    Cluster,
    ClusterReport,
    Confusion,
    Evaluation,
    Filter,
    LeakageCheck,
    Prediction,
    SpeciesEntry,
    SpeciesReport,
    SplitReport,
    Suspect,
    as_json,
)
from tests.cli.test_commands import Answer, quiet_place, run
from tests.conftest import Garden
from tests.support.fake_backbone import FakeBackbone
from tests.support.index_stub import Asked, garden

__all__ = ["garden", "quiet_place"]  # fixtures


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr(Index, "map", lambda _, ids, _where=None: np.zeros((len(ids), 2), np.float32))
    answers = {
        "clusters": clustered(),
        "species_report": compared(),
        "audit": AuditReport(),
        "evaluate": Evaluation(),
        "label": 2,
        "label_from": 1,
        "split": parted(),
        "classify_many": [[]],
    }
    return Asked(monkeypatch, answers)


def command(garden: Garden, name: str, *arguments: object, code: int = 0) -> Answer:
    return run(name, *arguments, "--index", garden.index, code=code)


def clustered() -> ClusterReport:
    clusters = (
        Cluster(0, (1, 2, 3, 4), (2, 1), "Wren", 0.75, {"Wren": 3, "Robin": 1}),
        Cluster(1, (5, 6), (5,), "Robin", 1.0, {"Robin": 2}),
    )
    return ClusterReport(clusters, (6,), {"ami": 0.613}, "Leiden communities", 0.5)


def compared() -> SpeciesReport:
    entries = (
        SpeciesEntry("Robin", 3, 0.8, "Wren", 0.7, 0.5, (4, 5), (4,)),
        SpeciesEntry("Wren", 3, None, None, None, None, (1,), ()),
    )
    return SpeciesReport(entries, (Confusion("Robin", "Wren", 2, 0.4, ((4, 1),)),), 0.5)


def parted() -> SplitReport:
    sides = {1: "train", 2: "train", 3: "validation", 4: "test", 5: "train", 6: "train"}
    per_species = {"Wren": {"train": 2, "validation": 1, "test": 0}, "Robin": {"train": 2, "validation": 0, "test": 1}}
    proof = (LeakageCheck("duplicates", 1, 3, 0), LeakageCheck("bursts", 0, 0, 0))
    return SplitReport(sides, {"train": 4, "validation": 1, "test": 1}, per_species, proof, 5)


def doubted(garden: Garden) -> AuditReport:
    with birdsearch.open(garden.index, backbone=FakeBackbone()) as index:
        photo = index.photo(4)
    reasons = ("neighbours disagree: 3 of 3 show Wren", "outside the checklist")
    return AuditReport((Suspect(photo, "Robin", "Wren", 0.91234, reasons, (1, 2)),), 6, 0.5)


def test_clusters_are_listed_with_what_they_mix(garden: Garden, asked: Asked) -> None:
    lines = command(garden, "clusters").out.splitlines()
    assert lines[0].split() == ["cluster", "photos", "purity", "species"]
    assert lines[1].split() == ["0", "4", "75", "%", "Wren", "3,", "Robin", "1"]
    assert "6 photos in 2 clusters, 1 photo like no other, in 0.5 s" in lines
    assert "against the labels: AMI 0.613" in lines


def test_clusters_as_json_csv_and_page(garden: Garden, asked: Asked) -> None:
    assert command(garden, "clusters", "--json").json == as_json(clustered())
    answer = command(garden, "clusters", "--csv", "--html", "page.html")
    assert len(answer.rows) == 6
    second = answer.rows[1]
    assert (second["cluster"], second["id"], second["label"], second["medoid"]) == ("0", "2", "Robin", "1")
    assert answer.rows[5]["outlier"] == "1"
    assert Path(second["path"]).is_file()
    assert "page written to page.html" in answer.err
    assert '"ids":[1,2,3,4,5,6]' in Path("page.html").read_text(encoding="utf-8")


def test_options_of_clusters_reach_the_index(garden: Garden, asked: Asked) -> None:
    command(garden, "clusters")
    usual = {"method": "leiden", "resolution": None, "clusters": None, "only_species": None, "seed": 0}
    assert asked.last("clusters") == ((None,), usual)
    command(garden, "clusters", "--resolution", 0.2, "--only-species", "Wren", "--seed", 3, "--after", "2024")
    where, options = asked.last("clusters")
    assert where == (Filter(taken_after="2024-01-01"),)
    assert options == {**usual, "resolution": 0.2, "only_species": "Wren", "seed": 3}
    command(garden, "clusters", "--method", "kmeans", "--clusters", 2)
    assert asked.last("clusters")[1]["clusters"] == 2
    for wrong in (
        ("--clusters", 2),
        ("--method", "kmeans", "--resolution", 0.1),
        ("--resolution", 2),
        ("--json", "--csv"),
    ):
        command(garden, "clusters", *wrong, code=2)


def test_species_are_listed_and_drawn(garden: Garden, asked: Asked) -> None:
    out = command(garden, "species", "--html", "page.html").out
    assert "is taken for" in out
    assert "6 photos of 2 species, 1 confusable pair" in out
    assert "Look-alikes" in Path("page.html").read_text(encoding="utf-8")
    assert command(garden, "species", "--json").json == as_json(compared())
    rows = command(garden, "species", "--csv").rows
    assert rows[0]["medoids"] == "4 5"
    assert rows[1]["cohesion"] == ""


def test_audit_goes_out_as_csv_and_comes_back(garden: Garden, asked: Asked, tmp_path: Path) -> None:
    asked.answers["audit"] = doubted(garden)
    (tmp_path / "list.txt").write_text("Wren\n", encoding="utf-8")
    answer = command(garden, "audit", "--csv", "--checklist", "list.txt")
    (row,) = answer.rows
    assert list(row) == ["path", "id", "label", "proposed", "doubt", "reasons", "species"]
    assert (row["id"], row["proposed"], row["doubt"], row["species"]) == ("4", "Wren", "0.9123", "")
    assert "outside the checklist" in row["reasons"]
    assert f"birdsearch label --from FILE --index {garden.index}" in answer.err
    assert asked.last("audit")[1]["checklist"] == [Path("list.txt")]
    command(garden, "label", "--from", "list.txt", "--author", "Ana")
    assert asked.last("label_from") == ((Path("list.txt"),), {"author": "Ana"})


def test_audit_as_table_json_and_page(garden: Garden, asked: Asked) -> None:
    asked.answers["audit"] = report = doubted(garden)
    answer = command(garden, "audit", "--html", "page.html")
    assert "neighbours disagree: 3 of 3 show Wren; outside the checklist" in answer.out
    assert "1 doubtful label among 6 labelled photos" in answer.out
    assert 'data-correct="4"' in Path("page.html").read_text(encoding="utf-8")
    assert command(garden, "audit", "--json").json == as_json(report)


def test_label_takes_ids_and_paths(garden: Garden, asked: Asked) -> None:
    with birdsearch.open(garden.index, backbone=FakeBackbone()) as index:
        path = index.photo(5).path
    assert command(garden, "label", 3, path, "--as", "Dunnock").out == "2 photos changed\n"
    assert asked.last("label") == (({3: "Dunnock", 5: "Dunnock"},), {"author": None})
    command(garden, "label", 3, "--clear")
    assert asked.last("label")[0] == ({3: None},)
    assert "holds no photo" in command(garden, "label", "gone.jpg", "--as", "Wren", code=1).err


@pytest.mark.parametrize(
    "wrong", [(), ("3",), ("--as", "Wren"), ("3", "--as", " "), ("3", "--as", "Wren", "--clear")], ids=" ".join
)
def test_label_wants_one_job(garden: Garden, asked: Asked, wrong: tuple[str, ...]) -> None:
    command(garden, "label", *wrong, code=2)
    assert not asked.calls


def test_labels_said_by_a_person_are_kept(garden: Garden, tmp_path: Path) -> None:
    place = tmp_path / "indexes" / "own"
    with birdsearch.create(place, backbone=FakeBackbone()) as index:
        index.add(garden.photos, labels="folder")
    run("label", 1, "--as", "Dunnock", "--index", place)
    Path("corrections.csv").write_text("id,species\n2,Wren\n3,\n", encoding="utf-8")
    assert run("label", "--from", "corrections.csv", "--index", place).out == "1 photo changed\n"
    rows = run("photos", "--csv", "--index", place).rows
    assert [row["label"] for row in rows[:3]] == ["Dunnock", "Wren", "Robin"]


def test_evaluation_is_shown_in_words(garden: Garden, asked: Asked) -> None:
    assert "must have a label" in command(garden, "evaluate").err
    asked.answers["evaluate"] = Evaluation(6, 0.5, 1.0, 0.61, 0.83, None, 0.04, {"Wren": {"photos": 3, "knn": 1.0}})
    out = command(garden, "evaluate").out
    assert "classified right      0.830" in out
    assert "among first five      not known" in out
    assert command(garden, "evaluate", "--csv").rows == [{"species": "Wren", "photos": "3", "knn": "1.0"}]
    assert command(garden, "evaluate", "--json").json["calibration_error"] == 0.04
    assert "backbone" not in out


def test_evaluation_of_the_backbone_is_shown_where_it_is_known(garden: Garden, asked: Asked) -> None:
    known = {"backbone_photos": 1500, "backbone_accuracy": 0.913, "backbone_calibration_error": 0.12}
    asked.answers["evaluate"] = Evaluation(**known)  # type: ignore[arg-type]
    lines = command(garden, "evaluate").out.splitlines()
    assert lines[1].startswith("backbone asked about  1,500")
    assert lines[2:] == [
        "its first is right    0.913",
        "its calibration error 0.120",
        "same, --calibrate     not known",
        "its temperature       not known",
    ]
    asked.answers["evaluate"] = Evaluation(photos=2, backbone_photos=0)
    assert "backbone" not in command(garden, "evaluate").out


def test_split_writes_lists_and_the_proof(garden: Garden, asked: Asked) -> None:
    answer = command(garden, "split", "lists", "--fractions", "0.6,0.2,0.2", "--seed", 4)
    assert asked.last("split")[1]["fractions"] == (0.6, 0.2, 0.2)
    assert asked.last("split")[1]["seed"] == 4
    texts = {side: Path("lists", f"{side}.csv").read_text(encoding="utf-8") for side in parted().counts}
    lists = {side: list(csv.DictReader(text.splitlines())) for side, text in texts.items()}
    assert [len(rows) for rows in lists.values()] == [4, 1, 1]
    assert lists["test"][0]["species"] == "Wren"
    assert Path(lists["test"][0]["path"]).is_file()
    assert Path("lists", "proof.csv").read_text(encoding="utf-8").splitlines()[1] == "duplicates,1,3,0"
    assert "must stay together" in answer.out
    assert json.loads(command(garden, "split", "lists", "--json").out) == json.loads(json.dumps(as_json(parted())))
    for wrong in ("0.5,0.5", "a,b,c", "-1,1,1", "0,0,0", "nan,1,1"):
        command(garden, "split", "lists", "--fractions", wrong, code=2)


def test_nothing_to_say_is_said(garden: Garden, asked: Asked) -> None:
    asked.answers |= {"clusters": ClusterReport(), "species_report": SpeciesReport(), "split": SplitReport()}
    for name, words in (
        ("clusters", "no photos to sort"),
        ("species", "no species: no photo has a label"),
        ("audit", "no photo has a label that could be judged"),
    ):
        assert words in command(garden, name, "--html", "page.html").out
    command(garden, "split", "lists")


# Classification


def test_classify_asks_the_labelled_photos(garden: Garden, asked: Asked) -> None:
    asked.answers["classify_many"] = [[
        Prediction(None, 0.7, 0, "abstain", "not like anything in this index", "neighbours"),
        Prediction("Wren", 0.6, 1, "species", "Wren", "neighbours", (1, 2)),
        Prediction("Emu", 0.1, 2, "species", "Emu", "neighbours", note="possible vagrant", raw=0.4),
    ]]  # fmt: skip
    answer = command(garden, "classify", "a.jpg", "--source", "neighbours", "--burst", "-k", 3)
    assert asked.last("classify_many") == (
        (["a.jpg"], 3),
        {"source": "neighbours", "checklist": None, "roll_up": None, "burst": True, "calibrate": False},
    )
    assert "not like anything in this index" in answer.out
    assert "Emu: possible vagrant (40.0 % without the checklist)" in answer.out
    with birdsearch.open(garden.index, backbone=FakeBackbone()) as index:
        assert f"like {index.photo(1).path}" in answer.err
    rows = command(garden, "classify", "a.jpg", "--source", "neighbours", "--csv").rows
    assert (rows[2]["source"], rows[2]["note"]) == ("neighbours", "possible vagrant")


def test_classify_says_what_was_before_calibration(garden: Garden, asked: Asked) -> None:
    asked.answers["classify_many"] = [[Prediction("Emu", 0.1, 1, "species", "Emu", note="possible vagrant", raw=0.4)]]
    answer = command(garden, "classify", "a.jpg", "--calibrate")
    assert asked.last("classify_many")[1]["calibrate"] is True
    assert "(40.0 % without the checklist and calibration)" in answer.out


def test_classify_options_that_cannot_go_together(garden: Garden, asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("Wren\n", encoding="utf-8")
    command(garden, "classify", "a.jpg", "--source", "neighbours", "--checklist", "list.txt", code=2)
    command(garden, "classify", "a.jpg", "--burst", "--backbone", "other", code=2)
    command(garden, "classify", "a.jpg", "--calibrate", "--backbone", "other", code=2)
    assert "already" in command(garden, "classify", "a.jpg", "--calibrate", "--source", "neighbours", code=2).err
    command(garden, "classify", "a.jpg", "--roll-up", 2, code=2)
    asked.answers["classify_many"] = [[]]
    assert "no photo of the index has a label" in command(garden, "classify", "a.jpg", "--roll-up", 0.9).out
