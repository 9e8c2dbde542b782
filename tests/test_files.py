"""Files of any kind: CSVs that people edit, and what is written whole or not at all."""

from pathlib import Path

import pytest

from birdsearch.errors import InputFileError
from birdsearch.files import read_csv

ROWS = [(2, {"path": "a.jpg", "species": "Wren", "note": ""}), (4, {"path": "b;c,d.jpg", "species": "", "note": " x"})]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_read_csv_takes_every_separator_and_any_case_of_a_column(tmp_path: Path, mark: str) -> None:
    lines = ["Path | SPECIES|note", "a.jpg|Wren|", " ||", '"b;c,d.jpg"|| x|too many']
    text = "\r\n".join(lines).replace("|", mark)
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert list(read_csv(tmp_path / "a.csv", ["species"], any_of=["id", "path"])) == ROWS


def test_read_csv_gives_every_column_of_a_short_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,species\na.jpg\n")
    assert list(read_csv(tmp_path / "a.csv", ["path"])) == [(2, {"path": "a.jpg", "species": ""})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,bird\n", "line 1: no column path and no column species. The first line .*: path,species"),
        (b"id,bird\n", "line 1: no column species"),
        (b"", "line 1: no column path and no column species"),
        (b"path,species\na\xff,Wren\n", r"is not UTF-8 \(byte 14\)"),
        (b"path,species\n" + b"x" * 200_000 + b",Wren\n", "line 1: field larger than"),
    ],
)
def test_read_csv_says_what_is_wrong_and_where(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputFileError, match=rf"a\.csv.* {message}"):
        list(read_csv(tmp_path / "a.csv", ["species"], any_of=["id", "path"]))


def test_read_csv_of_nothing_has_no_rows_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(" \n")
    assert list(read_csv(tmp_path / "a.csv", ["name"], may_be_empty=True)) == []
