"""Photos as rows of a table, and the format CSV."""

import codecs
import csv
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsearch.export.selection import NoOptions, Selection
from birdsearch.export.target import new_file
from birdsearch.records import ExportReport, Photo, Provenance, as_json
from birdsearch.sheets import guarded

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


PHOTO_COLUMNS = (
    "id", "species", "taxon", "english", "species_source", "label", "prediction", "probability", "taken_at",
    "taken_offset", "camera", "camera_serial", "lens", "latitude", "longitude", "photographer", "notes",
    "keywords", "companions", "rating", "damaged", "width", "height", "format", "rendered", "size", "mtime_ns",
    "sha256", "phash", "index_id", "relative_path", "path",
)  # fmt: skip


def photo_row(photo: Photo, columns: Sequence[str] = PHOTO_COLUMNS, provenance: Provenance | None = None) -> list[Any]:
    """A photo as one row; of its predictions the first."""
    first = photo.predictions[0] if photo.predictions else None
    name, probability = (first.name, first.probability) if first else (None, None)
    derived: dict[str, Any] = {"prediction": name, "predicted": name, "probability": probability}
    derived |= {name: "; ".join(getattr(photo, name) or ()) or None for name in ("keywords", "companions")}
    if "taxon" in columns or "english" in columns:
        names = provenance.names if provenance is not None else ()
        derived |= zip(("taxon", "english"), taxon_of(photo.species, names), strict=True)
    if provenance is not None:
        derived |= {"index_id": provenance.index_id, "relative_path": provenance.relative_path(photo.path)}
    return [derived[column] if column in derived else getattr(photo, column) for column in columns]


@lru_cache(maxsize=65_536)
def taxon_of(name: str | None, corrections: tuple[tuple[str, str], ...]) -> tuple[str | None, str | None]:
    """The scientific and the English name that AviList has for what a name means, by a user's corrections first."""
    from birdsearch.taxonomy import resolve  # rapidfuzz and more

    taxon = resolve.resolve(name, overrides=dict(corrections)).taxon if name else None
    return (None, None) if taxon is None else (taxon.scientific or None, taxon.english or None)


def write_rows(file: "SupportsWrite[str]", columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a CSV table, an unknown value as an empty field; returns how many rows.

    What a spreadsheet would run is guarded (`sheets.guarded`).
    """
    plain, quoted = (
        csv.writer(file, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC)
    )
    plain.writerow(map(guarded, columns))
    count = 0
    for row in rows:
        cells = [guarded(cell) if isinstance(cell, str) else cell for cell in row]
        # Before Python 3.13 a carriage return is not quoted, and readers take it for the end of a row.
        alone = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if alone else plain).writerow(cells)
        count += 1
    return count


class Csv:
    """Photos as CSV (UTF-8, with the mark by which spreadsheets know it)."""

    name = "csv"
    suffix = ".csv"
    help = "the columns of `birdsearch photos --csv`"
    options = NoOptions

    def write(self, photos: Selection, path: Path, options: NoOptions) -> ExportReport:
        """Write one row for each photo."""
        provenance = photos.provenance
        with new_file(path) as file:
            rows = (as_json(photo_row(photo, PHOTO_COLUMNS, provenance)) for photo in photos)
            return ExportReport(write_rows(codecs.getwriter("utf-8-sig")(file), PHOTO_COLUMNS, rows))

    def next_step(self, path: Path, report: ExportReport) -> str:
        """A table needs no hint."""
        return ""
