"""AviList as the package birdnames carries it."""

import importlib.util

import pytest

from birdsearch.errors import InstallationError
from birdsearch.taxonomy import avilist


def test_an_incomplete_installation_says_what_to_reinstall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InstallationError, match=r"birdnames has no .*pip install --force-reinstall birdnames"):
        avilist.world.__wrapped__()
