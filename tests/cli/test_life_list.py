"""The command list."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from birdsearch.records import MONTHS
from tests.conftest import Garden
from tests.support.command_line import run


@pytest.fixture
def garden(garden: Garden, tmp_path: Path) -> Garden:
    """A copy of the garden whose labels mean species, which nouns alone do not."""
    table = tmp_path / "meanings.csv"
    table.write_text("name,species\nWren,Eurasian Wren\nRobin,European Robin\n", encoding="utf-8")
    copy = replace(garden, index=shutil.copytree(garden.index, tmp_path / "index"))
    run("names", "--from", table, "--index", copy.index)
    return copy


def test_a_line_for_each_species(garden: Garden) -> None:
    answer = run("list", "--index", garden.index)
    lines = [line.split() for line in answer.out.splitlines()]
    assert lines[0] == ["species", "photos", "places", "first", "last", "best"]
    assert lines[1][:5] == ["Robin", "3", "1", "2023-10-11", "2023-10-13"]
    assert lines[2][:5] == ["Wren", "3", "1", "2024-05-01", "2024-05-03"]
    assert "2 species on 6 photos from 2 places" in answer.out
    assert f"birdsearch list --index {garden.index} --html" in answer.err


def test_months_are_a_table_of_species(garden: Garden) -> None:
    lines = [line.split() for line in run("list", "--by", "month", "--index", garden.index).out.splitlines()]
    assert lines[0] == ["species", *(month[:3] for month in MONTHS)]
    assert lines[1] == ["Robin", *"·········", "3", *"··"]
    assert lines[2] == ["Wren", *"····", "3", *"·······"]
    assert lines[4][0] == "species"
    assert lines[5] == ["photos", *"000030000300"]


def test_csv_json_filters_and_page(garden: Garden, tmp_path: Path) -> None:
    rows = run("list", "--index", garden.index, "--csv").rows
    assert [(row["species"], row["photos"], row["oct"], row["first"]) for row in rows] == [
        ("Robin", "3", "3", "2023-10-11T17:05:00"), ("Wren", "3", "0", "2024-05-01T08:30:00"),
    ]  # fmt: skip
    assert Path(rows[0]["path"]).is_file()
    years = run("list", "--index", garden.index, "--by", "year", "--species", "Wren", "--json").json
    assert [entry["name"] for entry in years["entries"]] == ["2024"]
    assert "no photo fits the filter" in run("list", "--index", garden.index, "--after", "2030").out
    run("list", "--index", garden.index, "--by", "place", "--html", "birds.html")
    assert "Birds by place" in (tmp_path / "birds.html").read_text(encoding="utf-8")
