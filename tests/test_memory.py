"""What fits into memory."""

from pathlib import Path

import pytest

from birdsearch import memory
from birdsearch.errors import MemoryNeededError


def test_a_computer_says_how_much_is_free() -> None:
    free = memory.available()
    assert free is None or free > 10**6


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max").write_text("300000\n")
    (tmp_path / "current").write_text("200000\n")
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "max")
    monkeypatch.setattr(memory, "_USED", tmp_path / "current")
    assert memory.available() == 100_000
    memory.check_room(100, 1000)
    with pytest.raises(MemoryNeededError, match=r"101 photos .* 0\.0 GB are free\. .* --sample 10 "):
        memory.check_room(101, 1000)


def test_a_container_without_a_limit_has_what_the_computer_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max").write_text("max\n")
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "max")
    free = memory.available()
    assert free is None or free > 10**6
