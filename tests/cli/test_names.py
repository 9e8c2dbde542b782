"""The command names."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import birdsearch
from birdsearch import Index
from birdsearch.records import as_json
from tests.support.command_line import run
from tests.support.fake_backbone import FakeBackbone
from tests.support.named_photos import LABELS, labelled, names_table, photos
from tests.support.sidecar_shapes import SHAPES


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with labelled(tmp_path, LABELS) as made:
        yield made


def test_names_csv_is_what_names_from_takes(index: Index, tmp_path: Path) -> None:
    answer = run("names", "--csv", "--index", index.path)
    columns = ["name", "photos", "rank", "species", "english", "method", "confirmed", "candidates", "keyword"]
    assert list(answer.rows[0]) == columns
    rows = {row["name"]: row for row in answer.rows}
    assert set(rows) == set(LABELS)
    assert rows["OSTRICH"]["species"] == "Struthio"
    assert "; " in rows["OSTRICH"]["candidates"]
    assert f"birdsearch names --from FILE --index {index.path}" in answer.err
    corrected = names_table(tmp_path, answer.out)
    assert "0 overrides saved" in run("names", "--from", corrected, "--index", index.path).err
    rows["MANDRIN DUCK"]["species"] = "Wood Duck"
    rows["TEAL DUCK"]["species"] = ""
    with corrected.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(answer.rows[0]))
        writer.writeheader()
        writer.writerows(rows.values())
    answer = run("names", "--from", corrected, "--csv", "--guessed", "--index", index.path)
    assert "2 overrides saved" in answer.err
    rows = {row["name"]: row for row in answer.rows}
    assert rows["MANDRIN DUCK"]["method"] == rows["TEAL DUCK"]["method"] == "override"
    # The overrides are part of the shortened table too, so that reading it back loses nothing.
    before = index.names()
    run("names", "--from", names_table(tmp_path, answer.out), "--index", index.path)
    assert index.names() == before


def test_names_as_a_table_and_as_json(index: Index) -> None:
    out = run("names", "--index", index.path).out
    lines = out.splitlines()
    assert lines[0].split() == ["name", "photos", "rank", "species", "english", "method"]
    assert lines[1].split() == ["garden,", "misc", "1", "unresolved"]
    assert lines[-1] == "6 names: 3 guess, 2 exact, 1 unresolved"
    assert "Parus major" in out
    guessed = run("names", "--guessed", "--index", index.path).out
    assert "Parus major" not in guessed
    assert "Aix galericulata" in guessed
    assert run("names", "--json", "--index", index.path).json == json.loads(json.dumps(as_json(index.names())))
    run("names", "--json", "--csv", "--index", index.path, code=2)


def test_names_of_an_index_without_labels(tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "indexes" / "own", backbone=FakeBackbone()) as index:
        index.add(photos(tmp_path / "photos", {"Great Tit": 1}), labels="none")
    answer = run("names", "--index", "own")
    assert "no labelled photos in the index" in answer.out
    assert "--labels folder" in answer.err


def test_index_notes_labels_that_are_not_in_avilist(index: Index, tmp_path: Path) -> None:
    without = "mean no bird: 1 (garden, misc)"
    other = "are matched to a bird by a guess: 3 (MANDRIN DUCK, OSTRICH, TEAL DUCK)"
    answer = run("index", "photos", "--labels", "folder", "--json", "--index", index.path)
    assert f"labels that {without}\nlabels that {other}\n" in answer.err
    assert answer.json["unchanged"] == sum(LABELS.values())
    assert "labels that" not in run("index", "photos", "--index", index.path).err
    corrected = names_table(tmp_path, "name,species\nmandrin duck,Mandarin Duck\nTEAL DUCK,\n")
    index.set_names(corrected)
    assert "by a guess: 1 (OSTRICH)" in run("index", "photos", "--labels", "folder", "--index", index.path).err
    index.set_names(names_table(tmp_path, "name,species\nMANDRIN DUCK,\nTEAL DUCK,\nOSTRICH,Emu\ngarden misc,Emu\n"))
    assert "labels that" not in run("index", "photos", "--labels", "folder", "--index", index.path).err
    assert "labels that" not in run("index", "photos", "--labels", "none", "--index", index.path).err


def test_photos_whose_keywords_name_several_species_are_listed(tmp_path: Path) -> None:
    with labelled(tmp_path, LABELS) as index:
        assert "no photo" in run("names", "--several", "--index", index.path).out
        (photo,) = index.photos(limit=1)
        Path(f"{photo.path}.xmp").write_text(SHAPES["f-stop"].replace("balcony", "Rook"))
        index.label({photo.id or 0: None})
        index.add(Path(photo.path).parent, labels="keywords")
        (row,) = run("names", "--several", "--csv", "--index", index.path).rows
        assert (row["path"], row["keywords"], row["species"]) == (photo.path, "House Sparrow; Rook", "")
        assert run("names", "--several", "--json", "--index", index.path).json == as_json(index.several_species())
        assert run("names", "--several", "--guessed", "--index", index.path, code=2).err
