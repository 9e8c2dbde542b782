"""The commands export and import."""

import ast
from pathlib import Path

from tests.conftest import Garden
from tests.support.command_line import run


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
