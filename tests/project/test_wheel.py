"""What a wheel holds, and that it works where there is no checkout."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.interpreter import python


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


def test_the_wheel_asks_for_what_the_readme_installs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    needed = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    # One build of faiss, and any torch: also one that was installed before.
    assert [text.partition(">")[0] for text in needed if "faiss" in text] == ["faiss-cpu"]
    assert [text for text in needed if re.fullmatch(r"torch(vision)?>=[\d.]+", text)] == needed[:2]
    assert not [text for text in needed if ";" in text]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu\npip install .\n" in readme
    assert f"birdsearch needs Python {str(metadata['Requires-Python']).removeprefix('>=')} or newer" in readme


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
