"""The commands export and import."""

import ast
from pathlib import Path

from tests.conftest import Garden
from tests.support.command_line import run
from tests.support.placed_photos import KAKAPO, photo


def test_export_and_import(own: Garden, tmp_path: Path) -> None:
    assert "3 photos" in run("export", "wrens.parquet", "--label", "Wren", "--index", "own").out
    report = run("import", "wrens.parquet", "--index", "copy", "--json").json  # made with the backbone of the file
    assert report["added"] == 3
    assert len(run("photos", "--index", "copy", "--species", "Wren", "--json").json) == 3
    assert "nofile.parquet" in run("import", "nofile.parquet", "--index", "copy", code=1).err
    (tmp_path / "text.parquet").write_text("no table")
    assert "text.parquet" in run("import", "text.parquet", "--index", "copy", code=1).err


def test_export_for_other_tools_says_what_is_next(own: Garden, tmp_path: Path) -> None:
    where = ["--index", "own", "--label", "Wren"]
    assert "3 photos" in run("export", "wrens.csv", *where, "--format", "csv").out
    assert (tmp_path / "wrens.csv").read_bytes().decode("utf-8-sig") == run("photos", *where, "--csv").out
    atlas = run("export", "my wrens.parquet", *where, "--format", "embedding-atlas")
    assert "embedding-atlas 'my wrens.parquet' --image image --x x --y y --neighbors neighbors" in atlas.err
    none = run("export", "none.parquet", *where, "--format", "embedding-atlas", "--species", "Robin")
    assert "0 photos" in none.out
    assert "Next" not in none.err  # there is nothing that it could show
    fiftyone = run("export", "wrens", *where, "--format", "fiftyone")
    line = fiftyone.err.partition("Next, in Python: ")[2]
    called = ast.parse(line.strip(), mode="eval").body
    assert isinstance(called, ast.Call)
    assert ast.unparse(called.args[0]) == "'wrens'"
    assert (tmp_path / "wrens" / "data.json").exists()
    assert "something is there already" in run("export", "wrens", *where, "--format", "fiftyone", code=1).err
    assert "embedding-atlas" in run("export", "a", "--format", "xml", code=2).err
    assert "--format parquet" in run("import", "my wrens.parquet", "--index", "own", code=1).err


def test_a_format_of_sightings_says_what_is_left_out_and_rounded(tmp_path: Path) -> None:
    photo(tmp_path / "rare/Kakapo/1.jpg", KAKAPO)
    photo(tmp_path / "rare/Mallard/1.jpg", offset=None)
    photo(tmp_path / "rare/x.jpg")
    run("index", "rare", "--index", "rare", "--labels", "folder")
    said = run("export", "out", "--index", "rare", "--format", "camtrap-dp", "--title", "Birds of A")
    assert "2 photos written to out" in said.out
    assert "1 photo left out: a time without an offset from UTC (--timezone gives one)" in said.err
    assert "1 photo written without a species: no label" in said.err
    assert "coordinates of 1 photo rounded" in said.err
    report = run(
        "export", "a.zip", "--index", "rare", "--format", "dwca", "--exact-positions", "--timezone", "+02:00", "--json"
    ).json
    assert (report["written"], report["rounded"], report["left_out"]) == (2, 0, {"no label": 1})
    others = ("--not-under", "rare/Kakapo", "--not-under", "rare/Mallard")
    unlabelled = run("export", "c.zip", "--index", "rare", "--format", "dwca", *others)
    assert "1 photo left out: no label" in unlabelled.err
    assert "No photo fits the filter." not in unlabelled.err
    wrong = run("export", "b.zip", "--index", "rare", "--format", "dwca", "--timezone", "Mars/Olympus", code=2).err
    assert "'Mars/Olympus'" in wrong
    assert not (tmp_path / "b.zip").exists()
    assert "not an option of --format csv" in run("export", "c.csv", "--index", "rare", "--people", code=2).err
