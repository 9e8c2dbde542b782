"""Fixtures of the tests of the command line."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Garden


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts in an empty folder, with no setting of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))
    for name in ("BIRDSEARCH_INDEX", "BIRDSEARCH_BACKBONE", "BIRDSEARCH_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def network(request: pytest.FixtureRequest) -> None:
    """The built-in backbone is a fake, except in tests marked `network`."""
    if request.node.get_closest_marker("network") is None:
        request.getfixturevalue("fake_built_in")


@pytest.fixture
def own(garden: Garden, tmp_path: Path) -> Garden:
    """A copy of the garden for tests that change it: `--index own` from the current folder."""
    copy = Garden(garden.photos, tmp_path / "indexes" / "own")
    shutil.copytree(garden.index, copy.index)
    return copy
