"""The command regions: boxes are listed, drawn, and corrected by a CSV."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Garden
from tests.support import fake_finder
from tests.support.command_line import run


@pytest.fixture
def boxed(garden: Garden, tmp_path: Path) -> Path:
    """A garden of its own with three boxes in two photos; tmp_path/index, tmp_path/photos."""
    shutil.copytree(garden.index, tmp_path / "index")
    shutil.copytree(garden.photos, tmp_path / "photos")
    lines = ["photos/Wren/1.jpg,0.301234,0.3,0.2,0.3,bird,0.9", "photos/Wren/1.jpg,0,0,0.2,0.3,person,0.8"]
    lines.append("photos/Robin/2.jpg,0.25,0.25,0.5,0.5,,")
    header = "path,x,y,width,height,category,confidence"
    (tmp_path / "given.csv").write_text("\n".join([header, *lines, ""]))
    run(
        "index",
        tmp_path / "photos",
        "--index",
        tmp_path / "index",
        "--labels",
        "folder",
        "--regions",
        tmp_path / "given.csv",
    )
    return tmp_path / "index"


def test_boxes_are_listed_and_drawn(boxed: Path, tmp_path: Path) -> None:
    page = tmp_path / "boxes.html"
    table = run("regions", "--index", boxed, "--html", page)
    assert table.out.splitlines()[0].split() == ["kind", "box", "category", "confidence", "vector", "path"]
    assert "3 boxes in 2 photos" in table.err
    assert "  0.301,0.3,0.2,0.3  " in table.out
    assert page.read_text().count("<rect") == 3
    assert "<title>person 0.80, by given.csv</title>" in page.read_text()
    assert len(run("regions", "--index", boxed, "--species", "Robin", "--json").json) == 1
    rows = run("regions", "--index", boxed, "--csv").rows
    assert "0.301234" in {row["x"] for row in rows}
    assert {(row["category"], row["confidence"], row["embedded"]) for row in rows} == {
        ("", "", "True"), ("bird", "0.9", "True"), ("person", "0.8", "False")
    }  # fmt: skip


def test_an_index_without_boxes_says_how_to_get_some(garden: Garden) -> None:
    assert "no boxes: birdsearch index --regions bird" in run("regions", "--index", garden.index).out


def test_corrections_are_taken_in_and_stay(boxed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "boxes.csv"
    listed.write_text(run("regions", "--index", boxed, "--csv").out)
    assert "regions    3 unchanged" in run("regions", "--index", boxed, "--from", listed).out
    edited = [line for line in listed.read_text().splitlines() if "person" not in line]
    assert len(run("regions", "--index", boxed, "--from", listed, "--json").json) == 3  # what was done is no answer
    rows = run("regions", "--index", boxed, "--from", listed, "--csv")
    assert len(rows.rows) == 3
    assert "regions    3 unchanged" in rows.err
    listed.write_text("\n".join([*edited, f"{tmp_path}/photos/Wren/3.jpg,,,,,,,,,,", ""]))
    told = run("regions", "--index", boxed, "--from", listed).out
    assert "regions    2 unchanged, 1 removed" in told
    given = run("index", tmp_path / "photos", "--index", boxed, "--regions", tmp_path / "given.csv").out
    assert "2 of photos whose boxes were given by hand" in given
    assert {row["category"] for row in run("regions", "--index", boxed, "--csv").rows} == {"", "bird"}
    finder = fake_finder.install(monkeypatch)
    run("index", tmp_path / "photos", "--index", boxed, "--regions", "bird")
    assert finder.searched == 3  # not those of boxes, nor that in which there is no bird


def test_a_correction_that_cannot_be_used_changes_nothing(boxed: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("path,x,y,width,height\nphotos/Wren/1.jpg,0.3,0.3,2,0.3\n")
    assert "wrong.csv, line 2" in run("regions", "--index", boxed, "--from", tmp_path / "wrong.csv", code=1).err
    assert len(run("regions", "--index", boxed, "--json").json) == 3
