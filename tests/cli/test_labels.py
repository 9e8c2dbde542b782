"""The commands audit, label and split: what they ask of the index, and how they show its answer."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch.index import Index
from birdsearch.records import (
    AuditReport,
    ClusterReport,
    LabelReport,
    LeakageCheck,
    SpeciesCount,
    SpeciesReport,
    SplitReport,
    Suspect,
    as_json,
)
from tests.conftest import Garden
from tests.support.command_line import Answer, run
from tests.support.fake_backbone import FakeBackbone
from tests.support.index_stub import IndexStub, garden

__all__ = ["garden"]  # a fixture


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> IndexStub:
    monkeypatch.setattr(Index, "map", lambda _, ids, _where=None: np.zeros((len(ids), 2), np.float32))
    return IndexStub(
        monkeypatch,
        {
            "clusters": ClusterReport(),
            "species_report": SpeciesReport(),
            "audit": AuditReport(),
            "label": LabelReport(2),
            "label_from": LabelReport(1),
            "split": split_report(),
        },
    )


def command(garden: Garden, name: str, *arguments: object, code: int = 0) -> Answer:
    return run(name, *arguments, "--index", garden.index, code=code)


def split_report() -> SplitReport:
    sides = {1: "train", 2: "train", 3: "validation", 4: "test", 5: "train", 6: "train"}
    per_species = {"Wren": {"train": 2, "validation": 1, "test": 0}, "Robin": {"train": 2, "validation": 0, "test": 1}}
    proof = (LeakageCheck("duplicates", 1, 3, 0), LeakageCheck("bursts", 0, 0, 0))
    return SplitReport(
        sides,
        {"train": 4, "validation": 1, "test": 1},
        per_species,
        proof,
        5,
        species=dict.fromkeys(sides.values(), SpeciesCount(2)),
        group_of={number: f"a{number}" for number in sides},
    )


def audit_report(garden: Garden) -> AuditReport:
    with birdsearch.open(garden.index, backbone=FakeBackbone()) as index:
        photo = index.photo(4)
    reasons = ("neighbours disagree: 3 of 3 show Wren", "outside the checklist")
    return AuditReport((Suspect(photo, "Robin", "Wren", 0.91234, reasons, (1, 2)),), 6, 0.5)


def test_audit_csv_is_what_label_takes(garden: Garden, stub: IndexStub, tmp_path: Path) -> None:
    stub.answers["audit"] = audit_report(garden)
    (tmp_path / "list.txt").write_text("Wren\n", encoding="utf-8")
    answer = command(garden, "audit", "--csv", "--checklist", "list.txt")
    (row,) = answer.rows
    columns = ["path", "id", "label", "proposed", "doubt", "reasons", "species", "confirmed"]
    assert list(row) == [*columns, "sha256", "index_id", "relative_path"]
    assert row["relative_path"] == "Wren/1.jpg"
    assert (row["id"], row["proposed"], row["doubt"], row["species"]) == ("4", "Wren", "0.9123", "")
    assert "outside the checklist" in row["reasons"]
    assert f"birdsearch label --from FILE --index {garden.index}" in answer.err
    assert stub.last("audit")[1]["checklist"] == [Path("list.txt")]
    command(garden, "label", "--from", "list.txt", "--author", "Ana")
    assert stub.last("label_from") == ((Path("list.txt"),), {"author": "Ana", "min_probability": 0.0})


def test_audit_as_table_json_and_page(garden: Garden, stub: IndexStub) -> None:
    stub.answers["audit"] = report = audit_report(garden)
    answer = command(garden, "audit", "--html", "page.html")
    assert "neighbours disagree: 3 of 3 show Wren; outside the checklist" in answer.out
    assert "1 doubtful label among 6 labelled photos" in answer.out
    assert 'data-correct="4"' in Path("page.html").read_text(encoding="utf-8")
    assert command(garden, "audit", "--json").json == as_json(report)
    assert stub.last("audit")[1]["again"] is False
    stub.answers["audit"] = replace(report, confirmed=3)
    assert "3 doubtful labels that a person confirmed: --again lists them too" in command(garden, "audit").err
    command(garden, "audit", "--again")
    assert stub.last("audit")[1]["again"] is True


def test_label_takes_ids_and_paths(garden: Garden, stub: IndexStub) -> None:
    with birdsearch.open(garden.index, backbone=FakeBackbone()) as index:
        path = index.photo(5).path
    assert command(garden, "label", 3, path, "--as", "Dunnock").out == "2 labels changed\n"
    assert stub.last("label") == (({3: "Dunnock", 5: "Dunnock"},), {"author": None})
    command(garden, "label", 3, "--clear")
    assert stub.last("label")[0] == ({3: None},)
    assert "no photo " in command(garden, "label", "gone.jpg", "--as", "Wren", code=1).err


def test_label_list_shows_every_label(garden: Garden, tmp_path: Path) -> None:
    place = tmp_path / "indexes" / "my own"
    with birdsearch.create(place, backbone=FakeBackbone()) as index:
        assert "no labels" in run("label", "--list", "--index", place).out
        index.add(garden.photos, labels="folder")
        index.label({2: "Kite"}, author="Ana")
        own, when = index.provenance.index_id, index.labels()[1].created_at
        photo = index.photo(2)
    answer = run("label", "--list", "--index", place).out
    assert "Kite     correction  Ana" in answer
    row = run("label", "--list", "--csv", "--index", place).rows[1]
    assert row == {
        "id": "2", "label": "Kite", "species": "Kite", "source": "correction", "author": "Ana", "created_at": when,
        "sha256": photo.sha256, "index_id": own, "relative_path": "Robin/2.jpg", "path": photo.path,
    }  # fmt: skip
    listed = run("label", "--list", "--json", "--index", place).json
    assert {name: listed[1][name] for name in ("photo_id", "species", "author", "relative_path")} == {
        "photo_id": 2, "species": "Kite", "author": "Ana", "relative_path": "Robin/2.jpg"}  # fmt: skip
    assert f"--index '{place}'" in run("audit", "--csv", "--index", place).err


@pytest.mark.parametrize(
    "wrong",
    [
        ("3", "--list"),
        ("3", "--as", "Wren", "--csv"),
        (),
        ("3",),
        ("--as", "Wren"),
        ("3", "--as", " "),
        ("3", "--as", "Wren", "--clear"),
    ],
    ids=" ".join,
)
def test_label_takes_exactly_one_of_from_as_and_clear(garden: Garden, stub: IndexStub, wrong: tuple[str, ...]) -> None:
    command(garden, "label", *wrong, code=2)
    assert not stub.calls


def test_labels_set_by_hand_are_kept(garden: Garden, tmp_path: Path) -> None:
    place = tmp_path / "indexes" / "own"
    with birdsearch.create(place, backbone=FakeBackbone()) as index:
        index.add(garden.photos, labels="folder")
    run("label", 1, "--as", "Dunnock", "--index", place)
    with birdsearch.open(place, backbone=FakeBackbone()) as index:
        own = index.provenance.index_id
    Path("corrections.csv").write_text(f"id,species,index_id\n2,Wren,{own}\n3,,\n", encoding="utf-8")
    assert run("label", "--from", "corrections.csv", "--index", place).out == "1 label changed, 1 as they were\n"
    rows = run("photos", "--csv", "--index", place).rows
    assert [row["label"] for row in rows[:3]] == ["Dunnock", "Wren", "Robin"]


def test_split_writes_lists_and_the_leakage_check(garden: Garden, stub: IndexStub) -> None:
    answer = command(garden, "split", "lists", "--fractions", "0.6,0.2,0.2", "--seed", 4)
    assert stub.last("split")[1]["fractions"] == (0.6, 0.2, 0.2)
    assert stub.last("split")[1]["seed"] == 4
    texts = {side: Path("lists", f"{side}.csv").read_text(encoding="utf-8") for side in split_report().counts}
    lists = {side: list(csv.DictReader(text.splitlines())) for side, text in texts.items()}
    assert [len(rows) for rows in lists.values()] == [4, 1, 1]
    assert lists["test"][0]["species"] == "Wren"
    assert [lists["test"][0][name] for name in ("taxon", "english", "group")] == ["Passeriformes", "", "a4"]
    assert Path(lists["test"][0]["path"]).is_file()
    assert Path("lists", "proof.csv").read_text(encoding="utf-8").splitlines()[1] == "duplicates,1,3,0,0"
    assert "violations" in answer.out
    assert "1 of 2 labels have no photo in test: Wren" in answer.err
    assert [lists["test"][0][name] for name in ("relative_path", "index_id")] != ["", ""]
    moved = replace(split_report(), splits={**split_report().splits, 4: "train"})
    stub.answers["split"] = moved
    assert (
        "0 photos new, 0 photos gone, 1 photo changed sides (1 from test to train)"
        in command(garden, "split", "lists").err
    )
    stub.answers["split"] = split_report()
    assert json.loads(command(garden, "split", "lists", "--json").out) == json.loads(
        json.dumps(as_json(split_report()))
    )
    command(garden, "split", "lists", "--force", "--fractions", "8,1,1")
    for wrong in ("0.5,0.5", "a,b,c", "-1,1,1", "0,0,0", "nan,1,1", "0.8,0.3,0.1"):
        command(garden, "split", "lists", "--fractions", wrong, code=2)


def test_empty_reports_say_why_they_are_empty(garden: Garden, stub: IndexStub) -> None:
    stub.answers |= {"clusters": ClusterReport(), "species_report": SpeciesReport(), "split": SplitReport()}
    for name, words in (
        ("clusters", "no photos to cluster"),
        ("species", "no species: no photo has a label"),
        ("audit", "no photo has a label that can be checked"),
    ):
        assert words in command(garden, name, "--html", "page.html").out
    assert "no photo to split" in command(garden, "split", "lists", code=1).err
    assert not any(Path("lists").iterdir())


def test_labels_that_no_other_photo_could_check_are_named(garden: Garden, stub: IndexStub) -> None:
    stub.answers["audit"] = AuditReport(photos=5, lone=("Emu", "Fieldfare"))
    assert "2 labels have a single photo" in (err := command(garden, "audit").err)
    assert "Emu, Fieldfare" in err
