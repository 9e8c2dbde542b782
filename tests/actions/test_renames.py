"""The renames that overwrite nothing, on this system."""

from pathlib import Path

import pytest

from birdsearch.actions import renames


def test_a_name_that_is_taken_is_not_replaced(tmp_path: Path) -> None:
    one, other = tmp_path / "one \udcff", tmp_path / "ü"
    one.write_text("1")
    try:
        renames.rename_noreplace(str(one), str(other))
    except renames.UnsupportedError:
        pytest.skip("this system has no such rename")
    assert (one.exists(), other.read_text()) == (False, "1")
    one.write_text("2")
    with pytest.raises(FileExistsError):
        renames.rename_noreplace(str(one), str(other))
    assert (one.read_text(), other.read_text()) == ("2", "1")
    with pytest.raises(FileNotFoundError):
        renames.rename_noreplace(str(tmp_path / "nowhere"), str(tmp_path / "new"))


def test_two_files_exchange_their_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    try:
        renames.exchange(str(one), str(other))
    except renames.UnsupportedError:
        pytest.skip("this system cannot exchange names")
    assert (one.read_text(), other.read_text()) == ("2", "1")
    other.unlink()
    with pytest.raises(FileNotFoundError):
        renames.exchange(str(one), str(other))
    assert one.read_text() == "2"
