"""CSVs that spreadsheets, other programs and people write."""

import logging
import os
from pathlib import Path

import pytest

from birdsearch.errors import InputFileError
from birdsearch.export.tables import write_rows
from birdsearch.sheets import guarded, read_csv, unguarded

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
        (b"bytes,what\n", "line 1: no column path and no column species. The first line .*: path,species"),
        (b"id,what\n", "line 1: no column species"),
        (b"", "line 1: no column path and no column species"),
        (b"path,species\nb,Wren\na\x81,Wren\n", "line 3: this is not UTF-8. Save the file as CSV in UTF-8"),
        (
            "path,species\nä,Wren\n".encode() + b"b,Kernbei\xdfer\n",
            r"line 3: species is 'Kernbei\\+xdfer', which is not",
        ),
        ("path,species\nä,Wren\nb,KernbeiÃŸer\n".encode(), "line 3: 'KernbeiÃŸer' was .* Write 'Kernbeißer'"),
        (b"\xff\xfep\x00a", "line 1: this is not UTF-16"),
        (b"path,species\n" + b"x" * 200_000 + b",Wren\n", "line 1: field larger than"),
    ],
)
def test_read_csv_says_what_is_wrong_and_where(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputFileError, match=rf"a\.csv.* {message}"):
        list(read_csv(tmp_path / "a.csv", ["species"], any_of=["id", "path"]))


HEAD = "path,species,note\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + 'a.jpg,Wren,\n"b.jpg,Wren,\nc.jpg,Wren,\n', 3),
        (HEAD + 'a.jpg,Wren,\nb.jpg,Wren,"heard it\nc.jpg,Wren,\n', 3),
        (HEAD + 'a.jpg,Wren,"heard it\nb.jpg,Robin,"near, by"\nc.jpg,Wren,\n', 2),  # closed by the next cell in quotes
        (HEAD + 'a.jpg,Wren,"heard it\nb.jpg,Robin,\nc.jpg,Wren,seen"\n', 2),  # closed, but around two rows
        (HEAD + 'a.jpg,"Wren,\nb.jpg,Robin,5"\n', 2),
        ('path,species\n"a.jpg,Wren\n', 2),
        ('path,species\n"a.jpg,Wren\nb.jpg,Wren"\nc.jpg,Wren\n', 2),
        ('path;species\r\na.jpg;"Wren\r\nb.jpg;Wren\r\n', 2),
        ('path, "species"\n"a.jpg", "Wren\n', 2),
    ],
)
def test_read_csv_refuses_a_quotation_mark_that_swallows_rows(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "a.csv").write_text(text, newline="")
    with pytest.raises(InputFileError, match=rf"a\.csv, line {line}: a quotation mark is opened here"):
        list(read_csv(tmp_path / "a.csv", ["species"], any_of=["id", "path"]))


@pytest.mark.parametrize(
    "note",
    [
        '"heard first,\nthen seen, with Ana"',
        '"one\r\n\r\ntwo"',
        '"said ""yes""\nand ""no"""',
        '"seen, with Ana, and Ben\nb, c, d"',
        '6" away',
        '"heard" it',
    ],
)
def test_read_csv_takes_notes_with_line_breaks_and_quotes(tmp_path: Path, note: str) -> None:
    (tmp_path / "a.csv").write_text(HEAD + f"a.jpg,Wren,{note}\nb.jpg,Robin,\n", newline="")
    rows = [values for _, values in read_csv(tmp_path / "a.csv", ["species"], any_of=["id", "path"])]
    assert [(row["path"], row["species"]) for row in rows] == [("a.jpg", "Wren"), ("b.jpg", "Robin")]
    assert rows[0]["note"].count("\n") == note.count("\n")


def test_read_csv_takes_what_is_written_with_line_breaks_in_paths(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        write_rows(file, ("path", "species"), [("a\nb,c.jpg", "Wren"), ("c.jpg", "Robin")])
    rows = read_csv(tmp_path / "a.csv", ["species"], any_of=["path"])
    assert [row["path"] for _, row in rows] == ["a\nb,c.jpg", "c.jpg"]


def test_read_csv_calls_columns_as_the_documentation_does(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n")
    with pytest.raises(InputFileError, match=r"no column path and no column species\. .*: path,species$"):
        list(read_csv(tmp_path / "a.csv", ["prediction"], any_of=["path"]))


def test_read_csv_of_nothing_has_no_rows_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(" \n")
    assert list(read_csv(tmp_path / "a.csv", ["name"], may_be_empty=True)) == []


def test_read_csv_waits_for_no_pipe_and_no_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputFileError, match="not a regular file"):
            list(read_csv(path, ["path"]))


PLAIN = "path,species\na.jpg,Kernbeißer\nb c.jpg,Wren\n"
SAID = [("a.jpg", "Kernbeißer"), ("b c.jpg", "Wren")]


def said(path: Path, data: bytes) -> list[tuple[str, str]]:
    """Path and species of each row of a CSV."""
    path.write_bytes(data)
    return [(values["path"], values["species"]) for _, values in read_csv(path, ["species"], any_of=["id", "path"])]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso-8859-1"]
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_read_csv_takes_every_encoding(tmp_path: Path, encoding: str, ends: str) -> None:
    assert said(tmp_path / "a.csv", PLAIN.replace("\n", ends).encode(encoding)) == SAID


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(",", ";").replace("path", "sep=;\r\npath", 1),
        PLAIN.replace(",", "\t").replace("path", '"sep=\t"\npath', 1),
        "\n,,\n" + PLAIN + ",\n\n",
        PLAIN.replace("path,species", '" PATH ", "Species"').replace(",Wren", ', "Wren"'),
        PLAIN.replace("path,species", "File Name,Common-Name"),
        PLAIN.replace("path,species", "filepaths,labels"),
        PLAIN.replace("path,species", "image,Scientific Name"),
        PLAIN.replace("\n", ",x\n").replace("path,species,x", "filename,label,class"),
    ],
)
def test_read_csv_takes_the_tables_of_other_programs(tmp_path: Path, text: str) -> None:
    assert said(tmp_path / "a.csv", text.encode()) == SAID


def test_read_csv_takes_a_column_by_its_own_name_first(tmp_path: Path) -> None:
    assert said(tmp_path / "a.csv", b"label,file,path,species\nx,y,a.jpg,Wren\n") == [("a.jpg", "Wren")]
    (tmp_path / "b.csv").write_text("name,scientific name\nWren,Troglodytes troglodytes\n")
    rows = [values for _, values in read_csv(tmp_path / "b.csv", ["name", "species"])]
    assert rows == [{"name": "Wren", "species": "Troglodytes troglodytes"}]


def test_read_csv_mends_names_where_all_of_a_file_was_encoded_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "birdsearch"):
        assert said(tmp_path / "a.csv", PLAIN.encode().decode("cp1252").encode()) == SAID
    assert "line 2: 'KernbeiÃŸer' is read as 'Kernbeißer'" in caplog.text


def test_read_csv_leaves_paths_and_names_as_they_are_in_the_index(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("path,species,label\nÃ¤.jpg,KernbeiÃŸer,KernbeiÃŸer\nä.jpg,Wren,\n", encoding="utf-8")
    assert [values["path"] for _, values in read_csv(path, ["species"])] == ["Ã¤.jpg", "ä.jpg"]


def test_read_csv_keeps_the_bytes_of_a_path(tmp_path: Path) -> None:
    assert said(tmp_path / "a.csv", "path,species\nä,é\n".encode() + b"\xff.jpg,Wren\n")[1][0] == "\udcff.jpg"


def test_read_csv_gives_what_was_written_guarded(tmp_path: Path) -> None:
    rows = [(cell, f"{number}") for number, cell in enumerate(("=1+1", "'=1", "Wren", "a\rb"))]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        write_rows(file, ("species", "n"), rows)
    assert [tuple(values.values()) for _, values in read_csv(tmp_path / "a.csv", ["species"])] == rows


FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
    " =1",
    '"=1',
    "-",
    "+a",
)
HARMLESS = ("", "Wren", "a=b", "-3.5", "+02:00", "-1e-7", "'", "'Wren", "'-3.5 km", "2024-05-01", "/=x/1.jpg", "été")


@pytest.mark.parametrize(
    "cell", [*FORMULAS, *HARMLESS, *(f"'{cell}" for cell in FORMULAS), *(f"''{c}" for c in FORMULAS)]
)
def test_a_guarded_cell_is_no_formula_and_gives_the_cell_again(cell: str) -> None:
    assert guarded(cell) == (cell if cell in HARMLESS and cell != "'-3.5 km" else f"'{cell}")
    assert unguarded(guarded(cell)) == cell
