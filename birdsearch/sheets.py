"""CSVs: as spreadsheets, other programs and people write them, and in a form that no spreadsheet runs."""

import codecs
import csv
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.files import open_regular
from birdsearch.records import bytes_text, shown

logger = logging.getLogger("birdsearch")

LONGEST = 2**30  # bytes: ten million lines
# Usual other names of a column, the likelier first; a column counts once, and under its own name before any other.
ALIASES = {
    "path": (
        "file_path", "filepath", "image_path", "photo_path", "file_name", "filename", "file", "image", "image_file",
        "image_name", "photo", "img", "img_path", "pfad", "datei", "dateiname", "chemin", "fichier", "ruta", "archivo",
    ),
    "species": (
        "label", "name", "class", "class_name", "category", "common_name", "english_name", "vernacular_name",
        "scientific_name", "species_name", "taxon", "taxon_name", "art", "espece", "especie", "soort",
    ),
    "label": ("species", "class", "class_name", "category", "common_name", "scientific_name", "taxon"),
    "taken_at": ("taken", "date_taken", "datetime", "date_time", "event_date", "observed_on", "timestamp", "date"),
    "prediction": ("predicted", "predicted_species", "predicted_label", "species"),
    "name": ("label", "folder"),
    # A width or height alone may be that of the photo.
    "x": ("xmin", "x_min", "left", "box_x", "bbox_x"),
    "y": ("ymin", "y_min", "top", "box_y", "bbox_y"),
    "width": ("w", "box_width", "bbox_width", "box_w", "bbox_w"),
    "height": ("h", "box_height", "bbox_height", "box_h", "bbox_h"),
    "confidence": ("conf", "score", "probability"),
    "category": ("class", "class_name", "label", "name", "species", "type"),
    # A deployment of a camera; first what Camtrap DP calls it.
    "deployment": ("deployment_id", "deployment_name", "station", "station_id", "site", "site_id", "standort", "id"),
    "folder": ("directory", "path", "ordner", "dossier", "carpeta"),
    "place": ("location_name", "location", "locality", "ort", "lieu", "lugar"),
    "latitude": ("lat", "decimal_latitude", "breite", "breitengrad", "latitud"),
    "longitude": ("lon", "lng", "long", "decimal_longitude", "länge", "laenge", "längengrad", "longitud"),
    "uncertainty": ("coordinate_uncertainty", "coordinate_uncertainty_in_meters", "accuracy", "genauigkeit"),
    "start": ("deployment_start", "start_date", "begin", "beginn", "von"),
    "end": ("deployment_end", "end_date", "bis", "ende"),
    "camera": ("camera_model", "kamera", "model"),
}  # fmt: skip
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*\s*', re.IGNORECASE)  # as Excel has it
_BEYOND_ASCII = re.compile("[\u0080-\ud7ff\ue000-\U0010ffff]")  # and no byte that is not UTF-8
_STRAY = re.compile("[\udc80-\udcff]")  # such a byte, as surrogateescape gives it
# What a spreadsheet may run, with the quotes, spaces and apostrophes that some pass over; full-width signs count too.
_FORMULA = re.compile("['\"\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
_NUMBER = re.compile(r"[+-][\d.,:]+(e[+-]?\d+)?", re.ASCII)
_YES, _NO = ("yes", "y", "true", "1", "x"), ("", "no", "n", "false", "0")
# How a cell begins and ends that names a photo; no sentence of a note does.
_LOOKS = {
    "path": re.compile(r".+\.\w{2,5}"),
    "relative_path": re.compile(r".+\.\w{2,5}"),
    "id": re.compile(r"\d*"),
    "sha256": re.compile(r"[0-9a-fA-F]{64}|"),
}
_CALLED = {"prediction": "species"}  # what messages call a column: as the documentation does
_NAMES = ("species", "label", "prediction")  # columns of names: what was encoded twice is seen there
_PATHS = ("path", "relative_path")  # columns whose bytes may be anything


def is_yes(cell: str, place: str) -> bool:
    """Whether a cell of yes and no says yes; an empty one says no. Raises InputFileError, which names the place."""
    word = cell.strip().casefold()
    if word not in (*_YES, *_NO):
        raise InputFileError(f"{place} is {shown(word)!r}. Write yes, or leave it empty.")
    return word in _YES


def read_csv(
    path: str | os.PathLike[str],
    required: Sequence[str],
    any_of: Sequence[str] = (),
    *,
    optional: Sequence[str] = (),
    may_be_empty: bool = False,
    text: str | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV that people edit: line number, and values by column name in small letters; blank rows left out.

    Commas, semicolons, tabs or bars separate, as the first line has it; of the encodings see `read_text`. All columns
    of `required` must be there, and one of `any_of`, under these names or one of their `ALIASES`; those of `optional`
    may be. `text` is that of the file where it was read already. Raises InputFileError, with the line, for what cannot
    be used, such as a file without a line, unless it `may_be_empty`.

    >>> for line, values in read_csv("labels.csv", ["species"], any_of=["id", "path"]): ...
    """
    name, header = shown(os.fspath(path)), ",".join(_CALLED.get(one, one) for one in [*any_of[-1:], *required])
    text = read_text(path, f"Give a CSV: {header}") if text is None else text
    lines = _lines(text)
    first, separator, skipped = _heading(lines)
    if may_be_empty and not first.strip():
        return
    line = skipped + 1
    cells = _Cells(name, _encoded_twice(text))
    try:
        how: dict[str, Any] = {"delimiter": separator, "skipinitialspace": f'{separator} "' in first}
        columns = columns_named(next(csv.reader([first], **how), ()), (*required, *any_of, *optional))
        missing = [] if not any_of or set(any_of) & set(columns) else [any_of[-1]]
        if missing := [*missing, *(_CALLED.get(column, column) for column in required if column not in columns)]:
            words = " and no column ".join(missing)
            raise InputFileError(
                f"{name}, line {line}: no column {words}. The first line must name the columns: {header}"
            )
        for line, row in whole_rows(lines, columns, name, skipped + 1, **how):
            values = dict.fromkeys(columns, "") | dict(zip(columns, map(unguarded, row), strict=False))
            if any(value.strip() for value in values.values()):
                yield line, values if text.isascii() else cells.checked(line, values)
    except csv.Error as error:
        raise InputFileError(f"{name}, line {line}: {error}.") from error


def columns_of(text: str, wanted: Sequence[str]) -> set[str]:
    """The columns of the text of a CSV as `read_csv` names them; those of `wanted` may go by one of their `ALIASES`."""
    first, separator, _ = _heading(_lines(text))
    try:
        return set(columns_named(next(csv.reader([first], delimiter=separator), ()), wanted))
    except csv.Error:  # `read_csv` says what is wrong
        return set()


def whole_rows(
    lines: Iterable[str], columns: Sequence[str], name: str, before: int, **how: Any
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV, each with the number of its last line; `before` lines of the file `name` come before them.

    A quoted cell may have several lines, as spreadsheets write them. What a quotation mark swallows that is only
    opened is no such cell: its end is missing, or stands in the middle of a cell of a later row, or between the two
    there are rows. Raises InputFileError, with the line of the mark.
    """
    taken: list[str] = []  # lines of one row

    def each() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    end = before
    for row in csv.reader(each(), **how):
        end += len(taken)
        if '"' in taken[0] and _swallows(taken, columns, how):
            raise InputFileError(
                f"{name}, line {end - len(taken) + 1}: a quotation mark is opened here, and closed neither in this "
                "line nor at the end of a cell with line breaks. Close the mark, or leave it out."
            )
        yield end, row
        taken.clear()


def _swallows(taken: Sequence[str], columns: Sequence[str], how: Mapping[str, Any]) -> bool:
    """Whether the lines of what was read as one row are several, or lack the end of a cell."""
    if len(taken) == 1:
        again = csv.reader([taken[0], ""], **how)
        next(again, None)
        return again.line_num > 1
    try:
        next(csv.reader(taken, strict=True, **how))
    except csv.Error:
        return True
    inner = (next(csv.reader([line], **how), []) for line in taken[1:])
    return any(_is_row(cells, columns) for cells in inner)


def _is_row(cells: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether cells look like a row of a table with these columns, not like a line of a text with commas."""
    if len(cells) != len(columns) or any('"' in cell for cell in cells[:-1]):
        return False
    looks = [(cell.strip(), _LOOKS[column]) for cell, column in zip(cells, columns, strict=True) if column in _LOOKS]
    return all(look.fullmatch(cell) for cell, look in looks)


def read_text(path: str | os.PathLike[str], advice: str) -> str:
    """The text of a file in UTF-8, UTF-16 or UTF-32, or in cp1252 as Windows writes it, which is noted.

    In text of UTF-8 that holds other bytes too these are as surrogateescape gives them: birdsearch writes the names of
    files so. Raises InputFileError, with the line; `advice` says what to give where the file cannot be read.
    """
    name = shown(os.fspath(path))
    try:
        with open_regular(path) as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise InputFileError(f"cannot read {name}: {error.strerror}. {advice}") from error
    if len(data) > LONGEST:
        raise InputFileError(f"cannot read {name}: it is longer than {bytes_text(LONGEST)}. {advice}")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None) or _without_mark(data)
    try:
        if encoding != "utf-8-sig":
            return data.decode(encoding)
        text = data.decode(encoding, "surrogateescape")
        if not _STRAY.search(text) or _BEYOND_ASCII.search(text):
            return text
        encoding = "cp1252"
        text = data.decode(encoding)
        logger.warning("%s is not UTF-8: read as text of Windows (cp1252)", name)
        return text
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].decode(encoding, "ignore").count("\n")
        kind = "UTF-8" if encoding == "cp1252" else encoding.upper()
        raise InputFileError(f"{name}, line {line}: this is not {kind}. Save the file as CSV in UTF-8.") from error


def _without_mark(data: bytes) -> str:
    """The encoding of a text that does not begin with a mark: in UTF-16 every other byte of most is 0."""
    start = data[:1000]
    if 3 * start[1::2].count(0) > len(start):
        return "utf-16-le"
    return "utf-16-be" if 3 * start[::2].count(0) > len(start) else "utf-8-sig"


def _lines(text: str) -> Iterator[str]:
    """The lines of a text with their ends, as files have them; a StringIO would take four bytes a letter."""
    return (line[0] for line in _LINE.finditer(text))


def _heading(lines: Iterator[str]) -> tuple[str, str, int]:
    """The first line that is not blank, what separates its columns, and how many lines come before it."""
    separator = ""
    for skipped, line in enumerate(lines):
        if stated := _SEPARATOR_LINE.fullmatch(line):
            separator = stated[1]
        elif line.strip(_SEPARATORS + " \r\n"):
            return line, separator or max(_SEPARATORS, key=line.count), skipped
    return "", ",", 0


def columns_named(cells: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The names of the columns, in small letters; what goes by another usual name gets the one that is wanted."""
    columns = [cell.strip().lower() for cell in cells]
    plain = [re.sub(r"[\W_]+", "_", column).strip("_") for column in columns]
    for name in wanted:
        if name in columns:
            continue
        for alias in ALIASES.get(name, ()):
            found = [at for at, column in enumerate(plain) if column in (alias, f"{alias}s", alias.replace("_", ""))]
            if found and columns[found[0]] not in wanted:
                columns[found[0]] = name
                break
    return columns


@dataclass(slots=True)
class _Cells:
    """What is looked at in the cells of a text with letters beyond ASCII."""

    name: str  # of the file
    twice: bool  # whether all of the text was encoded twice
    noted: bool = False

    def checked(self, line: int, values: dict[str, str]) -> dict[str, str]:
        """The values, with names that were encoded twice put right where that is sure. Raises InputFileError."""
        place = f"{self.name}, line {line}"
        for column, value in values.items():
            if column not in _PATHS and _STRAY.search(value):
                raise InputFileError(
                    f"{place}: {column} is {shown(value)!r}, which is not UTF-8 as other lines are. "
                    "Save the file as CSV in UTF-8."
                )
        broken = {column: value for column in _NAMES if _once(value := values.get(column, "")) != value}
        if not self.twice and broken.get("species", "") not in ("", values.get("label")):
            raise InputFileError(
                f"{place}: {broken['species']!r} was saved in a wrong encoding. Write {_once(broken['species'])!r}, "
                "or open the original as UTF-8 and save it as CSV in UTF-8."
            )
        if self.twice and broken:
            if not self.noted:
                one = next(iter(broken.values()))
                logger.warning("%s: %r is read as %r: its UTF-8 was saved in a wrong encoding", place, one, _once(one))
            self.noted = True
            return values | {column: _once(value) for column, value in broken.items()}
        return values


def _encoded_twice(text: str) -> bool:
    """Whether a text is UTF-8 that was taken for cp1252 and encoded again, all of it."""
    return _once(text) != text


def _once(text: str) -> str:
    """A text that was encoded twice as it was before; any other as it is."""
    if text.isascii():
        return text
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text


# What is written ------------------------------------------------------------------------------------------------------


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: what could be one gets an apostrophe before it (OWASP).

    >>> guarded("=1+1"), guarded("'=1+1"), guarded("-3.5")
    ("'=1+1", "''=1+1", '-3.5')
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that `guarded` was given."""
    return cell[1:] if cell.startswith("'") and guarded(cell[1:]) == cell else cell


def csv_bytes(text: str, *, marked: bool = False) -> bytes:
    """A CSV as a file holds it; spreadsheets take UTF-8 for something else unless its mark comes first.

    ASCII needs no mark, but gets one too if it is to be `marked` like a file beside it.
    """
    return text.encode("utf-8" if text.isascii() and not marked else "utf-8-sig", "surrogateescape")
