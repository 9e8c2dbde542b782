"""The CSV of an index."""

from pathlib import Path

import birdsearch
from birdsearch import Index
from birdsearch.export import tables
from birdsearch.records import as_json
from tests.conftest import Garden
from tests.export.reading import csv_rows


def test_csv_has_every_photo_in_one_row(index: Index, tmp_path: Path) -> None:
    assert index.export(tmp_path / "all.csv", format="csv").written == 16
    rows = csv_rows(tmp_path / "all.csv")
    assert tuple(rows[0]) == tables.PHOTO_COLUMNS
    assert [row["path"] for row in rows] == [as_json(photo.path) for photo in index.photos()]
    assert [row["label"] for row in rows] == [photo.label or "" for photo in index.photos()]
    camera = next(row for row in rows if row["camera"])
    assert (camera["photographer"], camera["rating"], float(camera["latitude"])) == ("Ana Núñez", "4", -33.858333)
    assert b"\r\n" not in (tmp_path / "all.csv").read_bytes()


def test_csv_names_the_first_prediction(garden: Garden, tmp_path: Path) -> None:
    with birdsearch.open(garden.index) as index:
        index.export(tmp_path / "garden.csv", format="csv")
        first = [photo.predictions[0] for photo in index.photos()]
    rows = csv_rows(tmp_path / "garden.csv")
    assert [(row["prediction"], float(row["probability"])) for row in rows] == [(p.name, p.probability) for p in first]
