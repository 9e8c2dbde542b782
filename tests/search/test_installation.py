"""One build of faiss is installed, and what is said where there are two, or none."""

from pathlib import Path

import pytest

from tests.support.interpreter import python

CODE = """
import sys
from birdsearch.errors import InstallationError
from birdsearch.search.exact import faiss_module
sys.path = [path for path in sys.path if "site-packages" not in path]
try:
    print(faiss_module().__name__)
except InstallationError as error:
    print(error)
"""


def installed(folder: Path, *distributions: str, source: str | None = "") -> str:
    """What birdsearch says where these distributions are installed in front of all others."""
    (folder / "faiss").mkdir()
    for name in distributions:
        (folder / f"{name}.dist-info").mkdir()
    if source is not None:
        (folder / "faiss/__init__.py").write_text(source)
    return python(CODE, PYTHONPATH=str(folder)).strip()


@pytest.mark.parametrize("name", ["faiss_cpu-1.15.1", "faiss_gpu-1.15.1", "faiss-1.15.1"])
def test_one_build_of_faiss_is_right(tmp_path: Path, name: str) -> None:
    assert installed(tmp_path, name) == "faiss"


@pytest.mark.parametrize("other", ["faiss_gpu-1.14.3", "faiss_gpu_cu12-1.14.1"])
def test_two_builds_of_faiss_are_refused(tmp_path: Path, other: str) -> None:
    name = other.partition("-")[0].replace("_", "-")
    said = installed(tmp_path, "faiss_cpu-1.15.1", other, source="raise SystemExit('a mix of two builds was loaded')")
    assert said == (
        f"faiss-cpu and {name} are installed and overwrite each other. Keep one: "
        f"pip uninstall --yes faiss-cpu {name}, then: pip install faiss-cpu (or faiss-gpu)"
    )


@pytest.mark.parametrize("source", ["import no_such_library", None])
def test_a_faiss_that_another_build_took_along_is_told(tmp_path: Path, source: str | None) -> None:
    said = installed(tmp_path, "faiss_cpu-1.15.1", source=source)
    problem = "cannot be loaded: No module named 'no_such_library'" if source else "is incomplete"
    assert problem in said
    assert "pip uninstall --yes faiss-cpu" in said
