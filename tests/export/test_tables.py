"""Exports for other tools: CSV, Embedding Atlas and FiftyOne, with strange photos and stranger names."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import birdsearch
from birdsearch import Filter, Index, Photo
from birdsearch.errors import IndexUnwritableError
from birdsearch.export import embedding_atlas, fiftyone, tables
from birdsearch.photos import decode
from birdsearch.records import as_json
from birdsearch.search.exact import Neighbours
from tests.conftest import Garden
from tests.support.drawing import bird, camera_exif, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos with all that can be strange in their names and tags, and eleven plain ones."""
    folder = tmp_path / "photos"
    write(folder / "Wren" / "camera.jpg", bird(1, 800, 600), exif=camera_exif())
    write(folder / "Wren" / "undecodable \udcff.jpg", bird(2, 80, 60))
    write(folder / "Zaunkönig" / "new\nline.jpg", bird(3, 80, 60))
    write(folder / "no label.jpg", bird(4, 80, 60))
    write(folder / "carriage\rreturn.jpg", bird(5, 80, 60))
    for number in range(11):
        write(folder / "Robin" / f"{number}.jpg", bird(10 + number, 80, 60))
    return folder


@pytest.fixture
def index(tmp_path: Path, folder: Path, fake: FakeBackbone) -> Iterator[Index]:
    """An index of them, labelled by folder; as one photo has left it, ids are not places."""
    write(folder / "first.jpg", bird(99, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as made:
        made.add(folder / "first.jpg")
        made.add(folder, labels="folder")
        made.remove(Filter(under=str(folder / "first.jpg")))
        assert len(made) == 16
        yield made


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Index]:
    """An index of nothing."""
    with birdsearch.create(tmp_path / "empty", backbone=FakeBackbone()) as made:
        yield made


def csv_rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as any reader takes it."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def atlas_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file, whatever bytes its own name has."""
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(path.read_bytes())).to_pylist()
    return rows


def fiftyone_files(path: Path) -> tuple[dict[str, str], dict[str, Any], np.ndarray]:
    """Paths, labels and vectors of a folder for FiftyOne; there must be nothing else in it."""
    assert sorted(os.listdir(path)) == ["data.json", "embeddings.npy", "labels.json"]
    paths, labels = (json.loads((path / name).read_text(encoding="utf-8")) for name in ("data.json", "labels.json"))
    assert list(labels) == ["labels"]
    return paths, labels["labels"], np.load(path / "embeddings.npy", allow_pickle=False)


def vectors(index: Index) -> np.ndarray:
    """All vectors of an index, in order of id."""
    return index.vectors([photo.id for photo in index.photos() if photo.id])


# CSV


def test_csv_has_every_photo_in_one_row(index: Index, tmp_path: Path) -> None:
    assert index.export(tmp_path / "all.csv", format="csv") == 16
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


# Embedding Atlas


def test_atlas_points_at_rows_of_its_own_file(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsearch.export.exporter._PICTURES", 3)  # several blocks, the last one short
    assert index.export(tmp_path / "all.parquet", format="embedding-atlas") == 16
    rows = atlas_rows(tmp_path / "all.parquet")
    known = index.photos()
    assert [row["id"] for row in rows] == [photo.id for photo in known]
    scores = vectors(index) @ vectors(index).T
    for place, row in enumerate(rows):
        others = [other for other in np.argsort(-scores[place], kind="stable").tolist() if other != place][:10]
        assert row["neighbors"]["ids"] == others
        assert row["neighbors"]["distances"] == pytest.approx(1 - scores[place, others], abs=1e-5)
    places = index.map([photo.id for photo in known if photo.id])
    assert np.allclose([[row["x"], row["y"]] for row in rows], places)
    assert np.ptp(places, axis=0).min() > 0
    assert pq.ParquetFile(tmp_path / "all.parquet").num_row_groups == 6


def test_atlas_has_the_columns_that_it_is_told_of(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "all.parquet", format="embedding-atlas")
    schema = pq.read_schema(tmp_path / "all.parquet")
    assert schema.names == [
        *("id", "path", "species", "label", "predicted", "probability", "taken_at", "camera", "latitude", "longitude"),
        *("rating", "width", "height", "image", "x", "y", "neighbors"),
    ]
    assert str(schema.field("image").type) == "struct<bytes: binary, path: string>"
    assert str(schema.field("neighbors").type).replace("element", "item") == (
        "struct<ids: list<item: int64>, distances: list<item: float>>"
    )
    assert (str(schema.field("x").type), str(schema.field("y").type)) == ("float", "float")
    row = next(row for row in atlas_rows(tmp_path / "all.parquet") if row["camera"])
    assert (row["label"], row["taken_at"], row["rating"], row["width"]) == ("Wren", "2024-05-17T06:07:08.42", 4, 800)


def test_atlas_holds_thumbnails_of_what_is_still_a_photo(index: Index, folder: Path, tmp_path: Path) -> None:
    (folder / "Robin" / "0.jpg").unlink()
    (folder / "Robin" / "1.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert index.export(tmp_path / "all.parquet", format="embedding-atlas") == 16
    pictures = {row["path"]: row["image"] for row in atlas_rows(tmp_path / "all.parquet")}
    lost = {path for path, picture in pictures.items() if picture is None}
    assert lost == {str(folder / "Robin" / "0.jpg"), str(folder / "Robin" / "1.jpg")}
    camera = pictures[str(folder / "Wren" / "camera.jpg")]
    assert camera["bytes"].startswith(b"\xff\xd8\xff")
    assert decode.picture(camera["bytes"], 1000).shape == (150, 200, 3)
    assert camera["path"] == str(folder / "Wren" / "camera.jpg")
    assert any(path.endswith("undecodable \\xff.jpg") and picture for path, picture in pictures.items())


def test_atlas_of_copies_never_names_the_photo_itself(tmp_path: Path, fake: FakeBackbone) -> None:
    for number in range(14):
        write(tmp_path / "photos" / f"{number}.png", bird(1 if number < 13 else 2, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        index.add(tmp_path / "photos")
        index.export(tmp_path / "all.parquet", format="embedding-atlas")
    for place, row in enumerate(atlas_rows(tmp_path / "all.parquet")):
        assert place not in row["neighbors"]["ids"]
        assert len(set(row["neighbors"]["ids"])) == 10  # as many for each: Embedding Atlas stacks them


def test_atlas_distances_are_never_below_zero(tmp_path: Path) -> None:
    rounded = Neighbours(np.array([[1], [0]]), np.array([[1.0000002], [0.25]], dtype=np.float32))
    block = embedding_atlas.Mapped(
        [Photo(1, "/a.jpg"), Photo(2, "/b.jpg")], np.zeros((2, 2), dtype=np.float32), rounded
    )
    assert embedding_atlas.write_atlas(tmp_path / "two.parquet", [block]) == 2
    rows = atlas_rows(tmp_path / "two.parquet")
    assert [row["neighbors"]["distances"] for row in rows] == [[0], [0.75]]


def test_atlas_fills_up_what_an_engine_did_not_find(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.export(tmp_path / "all.parquet", format="embedding-atlas")
    from birdsearch.species import gallery

    whole = gallery.Gathered.neighbours

    def fewer(self: gallery.Gathered, k: int) -> Neighbours:
        found = whole(self, k)
        found.ids[::2, -3:], found.scores[::2, -3:] = -1, -np.inf
        return found

    monkeypatch.setattr(gallery.Gathered, "neighbours", fewer)
    index.export(tmp_path / "again.parquet", format="embedding-atlas")
    assert [row["neighbors"]["ids"] for row in atlas_rows(tmp_path / "again.parquet")] == [
        row["neighbors"]["ids"] for row in atlas_rows(tmp_path / "all.parquet")
    ]


# FiftyOne


def test_fiftyone_gets_paths_labels_and_vectors_in_one_order(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsearch.export.exporter.BATCH", 5)
    assert index.export(tmp_path / "fiftyone", format="fiftyone") == 16
    paths, labels, rows = fiftyone_files(tmp_path / "fiftyone")
    known = index.photos()
    assert sorted(paths) == list(paths) == list(labels)  # FiftyOne takes them in the order of their names
    assert [int(name) for name in paths] == [photo.id for photo in known]
    assert list(paths.values()) == [as_json(photo.path) for photo in known]
    assert all(path.isprintable() or "\n" in path or "\r" in path for path in paths.values())
    assert np.array_equal(rows, vectors(index))
    assert rows.dtype == np.float32


def test_fiftyone_labels_say_what_is_known(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "fiftyone", format="fiftyone")
    _, labels, _ = fiftyone_files(tmp_path / "fiftyone")
    assert [label and label["label"] for label in labels.values()] == [photo.label for photo in index.photos()]
    assert None in labels.values()
    camera = next(label for label in labels.values() if label and "camera" in label["attributes"])
    assert set(camera) == {"label", "attributes"}
    assert camera["attributes"] == {
        # FiftyOne refuses an attribute "id", which is its own.
        "photo_id": next(photo.id for photo in index.photos() if photo.camera),
        "species": "Wren",
        "species_source": "label",
        "taken_at": "2024-05-17T06:07:08.42",
        "camera": "Canon EOS R5",
        "latitude": pytest.approx(-33.8583, abs=1e-3),
        "longitude": pytest.approx(151.21, abs=1e-3),
    }


def test_fiftyone_takes_predictions_along(garden: Garden, tmp_path: Path) -> None:
    with birdsearch.open(garden.index) as index:
        index.export(tmp_path / "fiftyone", format="fiftyone")
        first = index.photos()[0].predictions[0]
    attributes = next(iter(fiftyone_files(tmp_path / "fiftyone")[1].values()))["attributes"]
    assert (attributes["predicted"], attributes["probability"]) == (first.name, first.probability)


def test_fiftyone_makes_a_folder_of_its_own(index: Index, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for taken in (folder, tmp_path / "file"):
        with pytest.raises(IndexUnwritableError, match=r"something is there already\. Name a new or empty folder"):
            index.export(taken, format="fiftyone")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(IndexUnwritableError, match="its folder does not exist"):
        index.export(tmp_path / "nowhere" / "a", format="fiftyone")
    (tmp_path / "waiting").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "waiting")
    index.export(tmp_path / "link", format="fiftyone")
    assert len(fiftyone_files(tmp_path / "waiting")[0]) == 16


# All of them

WRITTEN = {"csv": "a.csv", "embedding-atlas": "a.parquet", "fiftyone": "a", "parquet": "all.parquet"}


def count(path: Path, to: str) -> int:
    """Photos in an export."""
    if to == "csv":
        return len(csv_rows(path))
    if to == "fiftyone":
        paths, labels, rows = fiftyone_files(path)
        assert len(paths) == len(labels) == len(rows)
        return len(rows)
    return len(atlas_rows(path))


def test_there_is_a_test_for_every_format() -> None:
    assert set(WRITTEN) == set(tables.FORMATS)


@pytest.mark.parametrize("to", tables.FORMATS)
def test_a_filter_narrows_an_export(index: Index, tmp_path: Path, to: str) -> None:
    for label, expected in (("Wren", 2), ("Zaunkönig", 1), ("dodo", 0)):
        path = tmp_path / label
        path.mkdir()
        assert index.export(path / WRITTEN[to], Filter(label=label), format=to) == expected
        assert count(path / WRITTEN[to], to) == expected


@pytest.mark.parametrize("to", tables.FORMATS)
def test_an_empty_index_makes_a_valid_export(empty: Index, tmp_path: Path, to: str) -> None:
    assert empty.export(tmp_path / WRITTEN[to], format=to) == 0
    assert count(tmp_path / WRITTEN[to], to) == 0


@pytest.mark.parametrize("to", tables.FORMATS)
def test_an_export_may_have_any_name(index: Index, tmp_path: Path, to: str) -> None:
    path = tmp_path / f"\udcff\n{WRITTEN[to]}"
    assert index.export(path, format=to) == 16
    assert count(path, to) == 16


@pytest.mark.parametrize("to", tables.FORMATS)
def test_an_export_says_how_far_it_is(index: Index, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCH", "_PICTURES"):
        monkeypatch.setattr(f"birdsearch.export.exporter.{name}", 10)
    told: list[tuple[str, int, int | None, str]] = []
    index.export(tmp_path / WRITTEN[to], format=to, progress=lambda *what: told.append(what))
    assert told == [("export", 10, 16, ""), ("export", 16, 16, "")]


@pytest.mark.parametrize("to", ["csv", "embedding-atlas", "fiftyone"])
def test_an_export_that_fails_leaves_what_was_there(
    index: Index, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if to != "fiftyone":
        (place / WRITTEN[to]).write_text("old")
    row = tables.photo_row
    for module in (tables, embedding_atlas, fiftyone):
        if hasattr(module, "photo_row"):
            monkeypatch.setattr(
                module, "photo_row", lambda photo, *names: 1 / 0 if photo.id == 9 else row(photo, *names)
            )
    with pytest.raises(ZeroDivisionError):
        index.export(place / WRITTEN[to], format=to)
    assert os.listdir(place) == ([] if to == "fiftyone" else [WRITTEN[to]])
    assert to == "fiftyone" or (place / WRITTEN[to]).read_text() == "old"


def test_an_export_that_cannot_be_says_what_to_do(index: Index, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format must be one of parquet, csv, embedding-atlas, fiftyone, got 'xml'"):
        index.export(tmp_path / "a", format="xml")
    with pytest.raises(IndexUnwritableError, match=r"Name a file that ends in \.parquet"):
        index.export(tmp_path / "a.csv", format="embedding-atlas")
    for to in ("csv", "embedding-atlas"):
        with pytest.raises(IndexUnwritableError, match="its folder does not exist"):
            index.export(tmp_path / "nowhere" / "a.parquet", format=to)
    assert not list(tmp_path.glob("a*"))
