"""Export to one Parquet file that others read, and import of it without a look at the photos."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import birdsearch
from birdsearch import Filter, Index, Photo
from birdsearch.errors import BackboneMismatchError, InputFileError, OutputFileError
from tests.conftest import Garden
from tests.support.drawing import bird, camera_exif, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos with all that can be strange in their names and tags."""
    folder = tmp_path / "photos"
    write(folder / "Wren" / "camera.jpg", bird(1, 80, 60), exif=camera_exif())
    write(folder / "Wren" / "undecodable \udcff.jpg", bird(2, 80, 60))
    write(folder / "Zaunkönig" / "new\nline.jpg", bird(3, 80, 60))
    write(folder / "plain.jpg", bird(4, 80, 60))
    return folder


@pytest.fixture
def index(tmp_path: Path, photos: Path, fake: FakeBackbone) -> Iterator[Index]:
    """An index of them, labelled by folder."""
    with birdsearch.create(tmp_path / "index", backbone=fake) as made:
        made.add(photos, labels="folder")
        yield made


@pytest.fixture
def exported(index: Index, tmp_path: Path) -> Path:
    """Its export."""
    assert index.export(tmp_path / "birds.parquet").written == 4
    return tmp_path / "birds.parquet"


@pytest.fixture
def own() -> FakeBackbone:
    """The backbone of `other`."""
    return FakeBackbone()


@pytest.fixture
def other(tmp_path: Path, own: FakeBackbone) -> Iterator[Index]:
    """An empty index of the same backbone."""
    with birdsearch.create(tmp_path / "other", backbone=own) as made:
        yield made


def vectors(index: Index) -> np.ndarray:
    """All vectors of an index, in order of id."""
    return index.vectors([photo.id for photo in index.photos() if photo.id])


def test_pandas_reads_an_export(index: Index, exported: Path) -> None:
    import pandas as pd  # type: ignore[import-untyped]

    frame = pd.read_parquet(exported)
    assert frame["sha256"].tolist() == [photo.sha256 for photo in index.photos()]
    assert frame["label"].dropna().tolist() == [photo.label for photo in index.photos() if photo.label]
    assert np.array_equal(np.stack(frame["vector"].tolist()), vectors(index))
    assert frame["path"].str.endswith("undecodable \\xff.jpg").sum() == 1
    assert [os.fsdecode(path) for path in frame["path_bytes"]] == [photo.path for photo in index.photos()]
    assert frame["latitude"].notna().sum() == 1


def elsewhere(code: str, exported: Path) -> Any:
    """What a process of its own prints as JSON: these tools leave threads behind that must not meet a network's."""
    command: list[str | bytes] = [sys.executable, "-c", code, os.fsencode(exported)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def test_polars_reads_an_export(index: Index, exported: Path) -> None:
    code = """
import json, sys, polars
frame = polars.read_parquet(sys.argv[1])
print(json.dumps([frame[name].to_list() for name in ("species", "vector", "sha256")]))
"""
    species, rows, sha256 = elsewhere(code, exported)
    assert species == [photo.species for photo in index.photos()]
    assert np.array_equal(np.asarray(rows, dtype=np.float32), vectors(index))
    assert sha256 == [photo.sha256 for photo in index.photos()]


def test_duckdb_reads_an_export(index: Index, exported: Path) -> None:
    code = """
import json, sys, duckdb
query = "SELECT id, camera, label_source, len(vector), predictions FROM read_parquet(?) ORDER BY id"
print(json.dumps(duckdb.connect().execute(query, [sys.argv[1]]).fetchall()))
"""
    rows = elsewhere(code, exported)
    assert [row[0] for row in rows] == [photo.id for photo in index.photos()]
    assert [row[1] for row in rows] == [photo.camera for photo in index.photos()]
    assert [row[2] for row in rows] == ["folder" if photo.label else None for photo in index.photos()]
    assert {row[3] for row in rows} == {16}


def test_predictions_are_exported_and_imported(garden: Garden, tmp_path: Path) -> None:
    with birdsearch.open(garden.index) as index:
        index.export(tmp_path / "garden.parquet")
        wanted = index.photos()
        probabilities = index.probabilities([photo.id for photo in wanted if photo.id])
        with birdsearch.create(tmp_path / "copy") as copy:
            assert copy.import_photos(tmp_path / "garden.parquet").added == 6
            assert [photo.predictions for photo in copy.photos()] == [photo.predictions for photo in wanted]
            again = copy.probabilities([photo.id for photo in copy.photos() if photo.id])
            assert np.allclose(again, probabilities, atol=1e-6)
            assert copy.verify().ok
    struct = pq.read_table(tmp_path / "garden.parquet")["predictions"].to_pylist()[0]
    assert [guess["position"] for guess in struct] == [1, 2, 3, 4, 5]


def test_import_gives_the_same_photos_without_the_network(
    index: Index, exported: Path, other: Index, own: FakeBackbone
) -> None:
    report = other.import_photos(exported)
    assert (report.added, report.unchanged) == (4, 0)
    assert other.photos() == [
        replace(photo, id=copy.id) for photo, copy in zip(index.photos(), other.photos(), strict=True)
    ]
    assert np.array_equal(vectors(other), vectors(index))
    assert other.search(bird(2, 80, 60), 1)[0].photo.path.endswith("undecodable \udcff.jpg")
    assert other.verify().ok
    assert own.embedded == 1


def test_import_twice_changes_nothing(exported: Path, other: Index) -> None:
    other.import_photos(exported)
    report = other.import_photos(exported)
    assert (report.added, report.unchanged) == (0, 4)
    assert other.info()["parts"] == 1


def test_imported_photos_are_known_to_the_next_add(exported: Path, other: Index, photos: Path) -> None:
    other.import_photos(exported)
    report = other.add(photos)
    assert (report.unchanged, report.added) == (4, 0)
    assert {photo.label for photo in other.photos()} == {"Wren", "Zaunkönig", None}
    photos.rename(photos.parent / "elsewhere")
    assert other.add(photos.parent / "elsewhere").moved == 4
    assert other.verify().ok


def test_import_beside_photos_that_are_there(index: Index, exported: Path, other: Index, tmp_path: Path) -> None:
    write(tmp_path / "more" / "9.jpg", bird(9, 80, 60))
    write(tmp_path / "photos" / "plain.jpg", bird(30, 90, 60))
    other.add([tmp_path / "more", tmp_path / "photos" / "plain.jpg"])
    report = other.import_photos(exported)
    assert (report.added, report.unchanged) == (3, 1)
    kept = next(photo for photo in other.photos() if photo.path.endswith("plain.jpg"))
    assert kept.width == 90
    assert other.verify().ok


def test_import_brings_a_photo_whose_file_failed_here(index: Index, exported: Path, other: Index, photos: Path) -> None:
    (photos / "plain.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    assert len(other.add(photos / "plain.jpg").failed) == 1
    assert other.import_photos(exported).added == 4
    assert other.failures() == []


def test_export_of_a_filter_and_of_nothing(index: Index, tmp_path: Path, other: Index) -> None:
    assert index.export(tmp_path / "a.parquet", Filter(label="wren")).written == 2
    assert index.export(tmp_path / "b.parquet", Filter(label="dodo")).written == 0
    assert other.import_photos(tmp_path / "b.parquet").added == 0
    assert other.import_photos(tmp_path / "a.parquet").added == 2


def test_export_that_cannot_be_written_says_what_to_do(index: Index, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "a.parquet", tmp_path):
        with pytest.raises(OutputFileError, match="Name a file in a folder that exists"):
            index.export(path)


def test_export_and_import_bring_what_is_wrong_with_a_photo(
    index: Index, photos: Path, tmp_path: Path, other: Index
) -> None:
    data = (photos / "plain.jpg").read_bytes()
    (photos / "damaged.jpg").write_bytes(data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :])
    index.add(photos)
    index.export(tmp_path / "all.parquet")
    other.import_photos(tmp_path / "all.parquet")
    assert other.find(photos / "damaged.jpg").damaged == index.find(photos / "damaged.jpg").damaged is not None
    # Exports of earlier versions do not say it.
    older = tmp_path / "older.parquet"
    pq.write_table(pq.read_table(tmp_path / "all.parquet").drop_columns(["damaged"]), older)
    other.remove(Filter(under=str(photos)))
    other.import_photos(older)
    assert other.find(photos / "damaged.jpg").damaged is None


def test_export_that_fails_leaves_the_old_file(index: Index, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = exported.read_bytes()
    monkeypatch.setattr("birdsearch.storage.parts.vector_column", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index.export(exported)
    assert exported.read_bytes() == before
    assert not list(exported.parent.glob("*.unfinished"))


class _Other(FakeBackbone):
    name = "other"


def test_import_of_another_backbone_is_refused(exported: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "mixed", backbone=_Other()) as index:
        with pytest.raises(BackboneMismatchError, match="vectors of fake, this index is made with other"):
            index.import_photos(exported)
        assert len(index) == 0


def rewritten(source: Path, change: Callable[[dict[str, list[Any]], dict[str, Any]], None]) -> None:
    """Change the columns or what the file says of itself, and keep all the rest."""
    table = pq.read_table(source)
    columns, about = table.to_pydict(), json.loads(table.schema.metadata[b"birdsearch"])
    change(columns, about)
    metadata = {"birdsearch": json.dumps(about)}
    pq.write_table(pa.table(columns, schema=table.schema.with_metadata(metadata)), source)


def _each(name: str, value: Any) -> Callable[[dict[str, list[Any]], dict[str, Any]], None]:
    def change(columns: dict[str, list[Any]], _about: dict[str, Any]) -> None:
        columns[name][2] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _each("vector", [0.5] * 16),
        _each("vector", None),
        _each("vector", [float("nan")] * 16),
        _each("norm", None),
        _each("path_bytes", b"relative.jpg"),
        _each("path_bytes", b"/a/../b.jpg"),
        _each("path_bytes", None),
        _each("sha256", None),
        _each("sha256", "no hash"),
        _each("phash", "no hash"),
        _each("label_source", "rumour"),
        _each("predictions", None),
    ],
)
def test_damaged_rows_are_refused(
    exported: Path, other: Index, change: Callable[[dict[str, list[Any]], dict[str, Any]], None]
) -> None:
    rewritten(exported, change)
    with pytest.raises(InputFileError, match="Export the photos again"):
        other.import_photos(exported)
    assert len(other) == 0
    assert other.verify().ok


def test_a_path_that_comes_twice_counts_once(exported: Path, other: Index) -> None:
    def change(columns: dict[str, list[Any]], _about: dict[str, Any]) -> None:
        columns["path_bytes"][2] = columns["path_bytes"][0]

    rewritten(exported, change)
    report = other.import_photos(exported)
    assert (report.added, report.unchanged) == (3, 1)
    assert other.verify().ok


def test_photos_of_many_batches_come_once_each(
    index: Index, exported: Path, other: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a path comes again in a later batch, and where a part of a batch is known."""

    def change(columns: dict[str, list[Any]], _about: dict[str, Any]) -> None:
        columns["path_bytes"][3] = columns["path_bytes"][0]

    other.import_photos(exported)
    other.remove(Filter(ids=[2, 3]))
    monkeypatch.setattr("birdsearch.export.importer.BATCH", 3)
    report = other.import_photos(exported)
    assert (report.added, report.unchanged) == (2, 2)
    assert {replace(photo, id=0) for photo in other.photos()} == {replace(photo, id=0) for photo in index.photos()}
    other.remove(everything=True)
    rewritten(exported, change)
    report = other.import_photos(exported)
    assert (report.added, report.unchanged) == (3, 1)
    assert other.verify().ok


def test_files_that_are_not_exports_are_refused(index: Index, exported: Path, other: Index, tmp_path: Path) -> None:
    data = exported.read_bytes()
    foreign = pa.table({"path": ["a.jpg"]})
    pq.write_table(foreign, tmp_path / "foreign.parquet")
    (tmp_path / "text.parquet").write_text("path,species\n")
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "half.parquet").write_bytes(data[: len(data) // 2])
    shutil.copy(next((index.path / "vectors").iterdir()), tmp_path / "part.parquet")
    rewritten(exported, lambda _, about: about.pop("backbone"))
    for name in ("foreign", "text", "empty", "half", "part", "birds", "nowhere"):
        with pytest.raises(InputFileError, match=rf"{name}\.parquet.*(xport the photos again|birdsearch export)"):
            other.import_photos(tmp_path / f"{name}.parquet")
    with pytest.raises(InputFileError):
        other.import_photos(tmp_path)
    assert len(other) == 0


def test_holes_in_an_export_are_an_error_not_a_traceback(exported: Path, other: Index) -> None:
    data = bytearray(exported.read_bytes())
    data[4:2000] = bytes(1996)
    exported.write_bytes(data)
    with pytest.raises(InputFileError, match="Export the photos again"):
        other.import_photos(exported)
    assert other.verify().ok


def test_imported_photos_need_no_files(exported: Path, other: Index, photos: Path) -> None:
    shutil.rmtree(photos)
    other.import_photos(exported)
    assert len(other) == 4
    photo = other.photos()[0]
    assert isinstance(photo, Photo)
    assert len(other.search(photo, 10)) == 3


# What people said


def test_folders_get_their_labels_as_on_the_first_computer(exported: Path, other: Index, photos: Path) -> None:
    other.import_photos(exported)
    assert other.info()["labels"] == {str(photos): "folder"}
    (photos / "Wren").rename(photos / "Kite")
    assert other.add(photos).moved == 2
    assert {photo.label for photo in other.photos()} == {"Kite", "Zaunkönig", None}


def test_the_way_of_labelling_goes_along_to_a_new_place(exported: Path, other: Index, photos: Path) -> None:
    other.import_photos(exported)
    moved = photos.rename(photos.parent / "other computer")
    assert other.add(moved).moved == 4
    (moved / "Wren").rename(moved / "Kite")
    other.add(moved)
    assert {photo.label for photo in other.photos()} == {"Kite", "Zaunkönig", None}


@pytest.mark.parametrize("below", ["", "Wren"])
def test_what_was_chosen_here_for_a_folder_stays(exported: Path, other: Index, photos: Path, below: str) -> None:
    other.add(photos / below, labels="none")
    other.import_photos(exported)
    assert other.info()["labels"] == {str(photos / below): "none"}


def test_corrections_travel_with_author_and_time(index: Index, tmp_path: Path, other: Index) -> None:
    index.label({1: "Kite", 2: index.photo(2).label}, author="Ana")
    index.export(tmp_path / "said.parquet")
    other.import_photos(tmp_path / "said.parquet")
    assert [replace(label, photo_id=0) for label in other.labels()] == [
        replace(label, photo_id=0) for label in index.labels()]  # fmt: skip
    assert other.verify().ok


def test_of_two_corrections_the_later_one_counts_and_it_is_told(
    index: Index, exported: Path, tmp_path: Path, other: Index, caplog: pytest.LogCaptureFixture
) -> None:
    other.import_photos(exported)
    ids = [other.find(index.photo(number).path).id or 0 for number in (1, 2)]
    other.label({ids[0]: "Robin"}, author="Ben")
    when = "2020-01-01T00:00:00+00:00"
    said = [
        f"{index.photo(1).sha256},Kite,correction,Ana,{when}",
        f"{index.photo(2).sha256},Kite,correction,Ana,{when}",
    ]
    (tmp_path / "a.csv").write_text("\n".join(["sha256,species,source,author,created_at", *said]))
    assert index.label_from(tmp_path / "a.csv").changed == 2
    index.export(tmp_path / "said.parquet")
    report = other.import_photos(tmp_path / "said.parquet")
    assert (report.added, report.unchanged) == (0, 4)
    assert [photo.label for photo in other.photos(ids=ids)] == ["Robin", "Kite"]
    assert "1 changed a label, 0 confirmed one, 1 are not newer" in caplog.text


def test_an_export_of_before_there_were_authors_is_taken(exported: Path, other: Index, photos: Path) -> None:
    table = pq.read_table(exported)
    about = json.loads(table.schema.metadata[b"birdsearch"])
    for later in ("labels", "names", "not_duplicates"):
        about.pop(later, None)
    table = table.drop_columns(["label_author", "label_created_at", "damaged"])
    pq.write_table(table.replace_schema_metadata({"birdsearch": json.dumps(about)}), exported)
    assert other.import_photos(exported).added == 4
    assert other.info()["labels"] == {}
    assert {label.source for label in other.labels()} == {"folder"}


@pytest.mark.parametrize("labels", [7, ["folder"], {"/photos": 1}])
def test_ways_of_labelling_that_no_export_has_are_refused(exported: Path, other: Index, labels: Any) -> None:
    rewritten(exported, lambda _, about: about.update(labels=labels))
    with pytest.raises(InputFileError, match="xport the photos again"):
        other.import_photos(exported)


def test_names_and_pairs_travel_too(
    index: Index, tmp_path: Path, other: Index, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "names.csv").write_text("name,species\nZaunkönig,Eurasian Wren\nWren,House Wren\n", encoding="utf-8")
    index.set_names(tmp_path / "names.csv")
    index.not_duplicates(1, 3)
    index.export(tmp_path / "said.parquet")
    (tmp_path / "names.csv").write_text("name,species\nwren,Marsh Wren\n", encoding="utf-8")
    other.set_names(tmp_path / "names.csv")
    other.import_photos(tmp_path / "said.parquet")
    meant = {match.label: match.english for match in other.names()}
    assert meant == {"Wren": "Marsh Wren", "Zaunkönig": "Eurasian Wren"}
    assert "names that mean something else here, which stays: 1 (Wren)" in caplog.text
    other.export(tmp_path / "again.parquet")
    first, second = (
        json.loads(pq.read_schema(tmp_path / f"{name}.parquet").metadata[b"birdsearch"]) for name in ("said", "again")
    )
    assert first["not_duplicates"] == second["not_duplicates"] != []
    assert other.verify().ok


GUESS = {"species": "Wren", "probability": 0.5, "position": 1, "rank": "species", "class_name": "c"}


@pytest.mark.parametrize(
    "values",
    [
        *({name: None} for name in ("size", "mtime_ns", "sha256", "path_bytes", "predictions", "vector", "norm")),
        *({"predictions": [GUESS | {name: None}]} for name in ("position", "rank", "class_name", "probability")),
        {"predictions": [GUESS, GUESS]},
        {"predictions": [None]},
        {"predictions": [GUESS | {"probability": float("nan")}]},
        {"folders": ["/a\ud800"]},
        {"folders": [5]},
        {"folders": ["relative"]},
    ],
)
def test_import_refuses_what_no_export_holds(exported: Path, other: Index, values: dict[str, Any]) -> None:
    table = pq.read_table(exported)
    about = json.loads(table.schema.metadata[b"birdsearch"]) | {k: v for k, v in values.items() if k == "folders"}
    rows = [row | {k: v for k, v in values.items() if k != "folders"} for row in table.to_pylist()]
    schema = table.schema.with_metadata({"birdsearch": json.dumps(about)})
    pq.write_table(pa.Table.from_pylist(rows, schema), exported)
    with pytest.raises(InputFileError, match=r"birds\.parquet"):
        other.import_photos(exported)
    assert len(other) == 0


def test_photos_whose_files_are_not_here_are_counted(
    index: Index, exported: Path, other: Index, caplog: pytest.LogCaptureFixture
) -> None:
    Path(index.photos()[0].path).unlink()
    other.import_photos(exported)
    assert "the files of 1 photo are not here" in caplog.text


def test_copies_of_one_photo_keep_the_labels_that_the_export_has(tmp_path: Path, other: Index) -> None:
    for name in ("Wren/a.jpg", "Robin/a.jpg"):
        write(tmp_path / "twins" / name, bird(7, 80, 60))
    with birdsearch.create(tmp_path / "made", backbone=FakeBackbone()) as made:
        made.add(tmp_path / "twins", labels="folder")
        made.label({1: "Kagu"}, author="Ana")
        before = {photo.path: photo.label for photo in made.photos()}
        sources = sorted((label.source, label.species) for label in made.labels())
        made.export(tmp_path / "twins.parquet")
    other.import_photos(tmp_path / "twins.parquet")
    assert {photo.path: photo.label for photo in other.photos()} == before
    assert sorted((label.source, label.species) for label in other.labels()) == sources
    write(tmp_path / "twins" / "later" / "a.jpg", bird(7, 80, 60))
    other.add(tmp_path / "twins" / "later")
    assert other.find(tmp_path / "twins" / "later" / "a.jpg").label == "Kagu"
