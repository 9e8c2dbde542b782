"""Lists of photos: files and URLs with what is known of them, in place of folders."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from birdsearch import Index
from birdsearch.errors import InputFileError, PhotoMissingError
from tests.support.drawing import bird, exif, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.object_store import Bucket, web_server


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four photos; the first says when it was taken."""
    folder = tmp_path / "photos"
    write(folder / "0.jpg", bird(0, 80, 60), exif=exif(sub={0x9003: "2020:01:02 03:04:05"}))
    for seed in (1, 2, 3):
        write(folder / f"{seed}.jpg", bird(seed, 80, 60))
    return folder


def test_a_csv_names_the_photos_and_fills_in_what_they_do_not_say(index: Index, photos: Path) -> None:
    listing = photos.parent / "list.csv"
    listing.write_text(
        "path,label,taken_at,latitude,longitude\n"
        "photos/0.jpg,Wren,2024-05-01 08:30:00,52.5,13.4\n"
        f"{photos / '1.jpg'},Robin,2024-05-02,,\n"
        "photos/1.jpg,Robin,2024-05-02,,\n"
        "photos/3.jpg,,,,\n"
    )
    report = index.add(listing=listing)
    assert (report.added, report.failed) == (3, ())
    found = {Path(photo.path).name: photo for photo in index.photos()}
    assert {name: (photo.label, photo.taken_at) for name, photo in found.items()} == {
        "0.jpg": ("Wren", "2020-01-02T03:04:05"),
        "1.jpg": ("Robin", "2024-05-02"),
        "3.jpg": (None, None),
    }
    assert (found["0.jpg"].latitude, found["0.jpg"].longitude) == (52.5, 13.4)
    assert index.add(listing=listing).unchanged == 3
    assert [one.source for one in index.labels()] == ["csv", "csv"]
    listing.write_text("path,label\nphotos/0.jpg,Dunnock\n")
    index.add(listing=listing)
    assert {one.species for one in index.labels()} == {"Dunnock", "Robin"}


def test_what_a_list_does_not_name_stays_as_it_is(index: Index, photos: Path) -> None:
    index.add(photos)
    (photos / "2.jpg").unlink()
    listing = photos.parent / "list.csv"
    listing.write_text("path\nphotos/0.jpg\n")
    report = index.add(listing=listing)
    assert (report.unchanged, report.missing, len(index)) == (1, 0, 4)
    assert index.info()["folders"] == [str(photos)]
    assert index.add().missing == 1


def test_each_file_of_a_list_ends_in_one_count(index: Index, photos: Path) -> None:
    (photos / "notes.txt").write_text("a wren")
    listing = photos.parent / "list.csv"
    listing.write_text("path\nphotos/0.jpg\nphotos/gone.jpg\nphotos/notes.txt\nphotos\n")
    report = index.add(listing=listing)
    assert report.added == 1
    assert {Path(one.path).name for one in report.failed} == {"gone.jpg", "notes.txt", "photos"}


def test_a_parquet_list_is_read_as_the_csv_is(
    index: Index, bucket: Bucket, photos: Path, tmp_path: Path, fake: FakeBackbone
) -> None:
    bucket.put("raw/0.jpg", (photos / "0.jpg").read_bytes())
    with web_server(photos) as site:
        urls = [f"{bucket.url}/raw/0.jpg", f"{site}/1.jpg", str(photos / "2.jpg"), f"{bucket.url}/raw/none.jpg"]
        table = pa.table({"url": urls, "species": ["Wren", "Robin", None, None], "lat": [None, 1.5, None, None],
                          "lon": [None, 2.5, None, None]})  # fmt: skip
        pq.write_table(table, tmp_path / "list.parquet")
        report = index.add(listing=tmp_path / "list.parquet")
        assert (report.added, [one.path for one in report.failed]) == (3, [urls[3]])
        named = dict(zip(urls[:3], ("Wren", "Robin", None), strict=True))
        assert {photo.path: photo.label for photo in index.photos()} == named
        seen = fake.embedded
        assert index.add(listing=tmp_path / "list.parquet").unchanged == 3
        assert fake.embedded == seen


def test_folders_that_only_a_list_named_are_not_looked_through_later(
    index: Index, bucket: Bucket, photos: Path
) -> None:
    bucket.put("raw/0.jpg", (photos / "0.jpg").read_bytes())
    bucket.put("raw/1.jpg", (photos / "1.jpg").read_bytes())
    listing = photos.parent / "list.csv"
    listing.write_text(f"path\n{bucket.url}/raw/0.jpg\n")
    index.add(listing=listing)
    with pytest.raises(PhotoMissingError, match="no folder to look through"):
        index.add()
    assert index.add(f"{bucket.url}/raw").added == 1
    assert index.add().unchanged == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\nx\n", "no column path"),
        ("path,taken_at\na.jpg,last May\n", r"line 2: taken_at is 'last May'\. Write it as 2024-05-17"),
        ("path,latitude,longitude\na.jpg,95,10\n", "line 2: 95, 10 is no place"),
        ("path,latitude,longitude\na.jpg,52,\n", "line 2: 52,  is no place"),
        ("path\n", "names no photo"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_its_line(
    index: Index, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputFileError, match=words):
        index.add(listing=tmp_path / "list.csv")
    assert not os.path.exists(index.path / "writer.json")


def test_the_label_of_a_list_stays_where_folders_give_labels(index: Index, photos: Path) -> None:
    index.add(photos, labels="folder")
    listing = photos.parent / "list.csv"
    listing.write_text("path,label\nphotos/1.jpg,Dunnock\n")
    index.add(listing=listing)
    index.add(photos)
    assert index.find(photos / "1.jpg").label == "Dunnock"
    index.add(photos, labels="folder")
    assert index.find(photos / "1.jpg").label != "Dunnock"


def test_a_photo_whose_folder_is_not_there_is_one_failure(
    index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "photos/1.jpg", bird(1, 80, 60))
    lines = f"path,label\n{tmp_path}/photos/1.jpg,Gr\xfcnfink\n/nowhere/2.jpg,Wren\n/nowhere/2.jpg,Wren\n"
    (tmp_path / "list.csv").write_bytes(lines.encode("latin-1"))
    report = index.add(listing=tmp_path / "list.csv")
    assert report.added == 1
    assert [(one.path, one.reason) for one in report.failed] == [("/nowhere/2.jpg", "no longer there")]
    assert [photo.label for photo in index.photos()] == ["Grünfink"]
    assert sum("is not UTF-8" in record.message for record in caplog.records) == 1
