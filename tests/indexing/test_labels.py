"""Labels from folders and CSVs: remembered per folder, replaced without the network, never erased by saying nothing."""

import logging
import shutil
import unicodedata
from pathlib import Path

import pytest

from birdsearch import Filter, Index
from birdsearch.errors import InputFileError
from birdsearch.indexing.label_files import read_labels
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four photos of two species, and one beside them."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(["Wren/0.jpg", "Wren/1.jpg", "Robin/2.jpg", "Robin/3.jpg", "4.jpg"]):
        write(folder / name, bird(seed, 80, 60))
    return folder


def labels(index: Index) -> dict[str, str | None]:
    """File name -> label."""
    return {Path(photo.path).name: photo.label for photo in index.photos()}


def csv(path: Path, text: str | bytes) -> str:
    """Write a CSV and return its path as a user gives it."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


FOLDERS = {"0.jpg": "Wren", "1.jpg": "Wren", "2.jpg": "Robin", "3.jpg": "Robin", "4.jpg": None}


def test_no_labels_unless_asked_for(photos: Path, index: Index) -> None:
    index.add(photos)
    assert set(labels(index).values()) == {None}


def test_folder_names_are_labels_and_become_the_species(photos: Path, index: Index) -> None:
    index.add(photos, labels="folder")
    assert labels(index) == FOLDERS
    wren = index.photos(Filter(species="wren"))
    assert {(photo.species, photo.species_source) for photo in wren} == {("Wren", "label")}
    assert index.info()["labelled"] == 4


def test_labels_may_come_later_without_the_network(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos)
    index.add(photos, labels="folder")
    assert labels(index) == FOLDERS
    assert fake.embedded == 5


def test_leaving_the_option_out_erases_nothing_and_labels_what_is_new(photos: Path, index: Index) -> None:
    index.add(photos, labels="folder")
    write(photos / "Kite" / "9.jpg", bird(9, 80, 60))
    index.add(photos)
    assert labels(index) == {**FOLDERS, "9.jpg": "Kite"}


def test_none_takes_the_labels_away(photos: Path, index: Index) -> None:
    index.add(photos, labels="folder")
    index.add(photos, labels="none")
    assert set(labels(index).values()) == {None}


def test_the_deepest_choice_counts(photos: Path, index: Index, tmp_path: Path) -> None:
    index.add(photos, labels="folder")
    said = csv(tmp_path / "a.csv", f"path,species\n{photos}/Wren/0.jpg,Marsh Wren\n")
    index.add(photos / "Wren", labels=said)
    assert labels(index) == {**FOLDERS, "0.jpg": "Marsh Wren", "1.jpg": None}
    index.add(photos)
    assert labels(index) == {**FOLDERS, "0.jpg": "Marsh Wren", "1.jpg": None}
    index.add(photos, labels="folder")
    assert labels(index) == FOLDERS


@pytest.mark.parametrize("order", [("Wren", ""), ("", "Wren")])
def test_a_folder_named_with_the_one_above_says_the_same_in_any_order(
    photos: Path, index: Index, order: tuple[str, str]
) -> None:
    index.add([photos / name for name in order], labels="folder")
    assert labels(index) == FOLDERS
    index.add(photos / "Wren", labels="folder")
    assert labels(index) == FOLDERS


def test_a_named_file_takes_the_name_of_its_folder(photos: Path, index: Index) -> None:
    index.add(photos / "Wren" / "0.jpg", labels="folder")
    assert labels(index) == {"0.jpg": "Wren"}


def test_a_folder_whose_name_is_no_text_is_shown_with_escapes(photos: Path, index: Index) -> None:
    write(photos / "Zaunk\udcf6nig" / "5.jpg", bird(5, 80, 60))
    index.add(photos, labels="folder")
    assert labels(index)["5.jpg"] == "Zaunk\\xf6nig"


def test_csv_with_absolute_and_relative_paths(photos: Path, index: Index, caplog: pytest.LogCaptureFixture) -> None:
    text = f"path,species\n{photos}/Wren/0.jpg,Marsh Wren\nRobin/2.jpg,  Rotkehlchen \n./Robin/../4.jpg,Kite\n"
    index.add(photos, labels=csv(photos / "labels.csv", text))
    assert labels(index) == {
        "0.jpg": "Marsh Wren",
        "1.jpg": None,
        "2.jpg": "Rotkehlchen",
        "3.jpg": None,
        "4.jpg": "Kite",
    }
    assert caplog.records == []


def test_csv_of_a_spreadsheet(photos: Path) -> None:
    text = 'Path ; note;SPECIES\r\nWren/0.jpg;;Zaunkönig\r\n\r\n"Robin/2.jpg";"two\nlines";"Rot;kehl"\r\n4.jpg;;\r\n'
    said = read_labels(Path(csv(photos / "a.csv", b"\xef\xbb\xbf" + text.encode())))
    folder = str(photos).encode()
    species = {path: one.species for path, one in said.by_path.items()}
    assert species == {folder + b"/Wren/0.jpg": "Zaunkönig", folder + b"/Robin/2.jpg": "Rot;kehl"}


def test_a_csv_of_windows_is_read_and_noted_once(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = read_labels(Path(csv(photos / "a.csv", "path,species\nWren/0.jpg,Zaunkönig\n".encode("cp1252"))))
    assert [one.species for one in said.by_path.values()] == ["Zaunkönig"]
    assert caplog.text.count("read as text of Windows") == 1


@pytest.mark.parametrize(
    "text",
    [
        "file,label\nD:\\Bilder\\Wren\\0.jpg,Kite\nD:\\Bilder\\Wren\\9.jpg,Kite\nD:\\Bilder\\3.jpg,Kite\n",
        "image_path;Common Name\n/home/ana/wren/0.JPG;Kite\n",
        "path,species\n0.jpg,Kite\n",
        "path,species\n\\\\nas\\wren\\0.jpg,Kite\n",
    ],
)
def test_csv_of_another_computer_names_photos_by_the_end_of_their_path(
    photos: Path, index: Index, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    index.add(photos, labels=csv(tmp_path / "a.csv", text))
    assert labels(index) == dict.fromkeys(FOLDERS) | {"0.jpg": "Kite"}
    assert "1 photo found by the end of the path" in caplog.text
    caplog.clear()
    index.add(photos)
    assert labels(index)["0.jpg"] == "Kite"
    assert caplog.records == []
    assert index.label_from(csv(tmp_path / "b.csv", "path,species\nD:\\Bilder\\Wren\\0.jpg,Wren\n")).changed == 1


def test_csv_of_another_form_of_unicode_names_the_photo(index: Index, tmp_path: Path) -> None:
    write(tmp_path / "photos" / unicodedata.normalize("NFD", "Grünspecht") / "ä.jpg".replace("ä", "a\u0308"), bird(1))
    index.add(tmp_path / "photos", labels=csv(tmp_path / "a.csv", "path,species\nphotos/Grünspecht/ä.jpg,Kite\n"))
    assert list(labels(index).values()) == ["Kite"]


def test_csv_may_name_files_with_odd_line_ends_in_their_names(photos: Path) -> None:
    said = read_labels(Path(csv(photos / "a.csv", 'path,species\na\u2028b.jpg,Wren\n"c\nd.jpg",Robin\n')))
    assert [one.species for one in said.by_path.values()] == ["Wren", "Robin"]
    assert [Path(name.decode()).name for name in said.by_path] == ["a\u2028b.jpg", "c\nd.jpg"]


def test_csv_lines_that_name_no_photo_are_told(photos: Path, index: Index, caplog: pytest.LogCaptureFixture) -> None:
    said = csv(photos / "a.csv", "path,species\nWren/0.jpg,Wren\nWren/typo.jpg,Wren\nelsewhere.jpg,Wren\n")
    with caplog.at_level(logging.WARNING, "birdsearch"):
        index.add(photos, labels=said)
    assert [record.getMessage() for record in caplog.records] == [
        "lines of the CSV that name no photo under these folders for certain: 2 "
        "(line 3: Wren/typo.jpg, line 4: elsewhere.jpg)"
    ]


def test_an_edited_csv_is_read_again(photos: Path, index: Index, fake: FakeBackbone) -> None:
    said = csv(photos / "a.csv", "path,species\nWren/0.jpg,Wren\n4.jpg,Kite\n")
    index.add(photos, labels=said)
    csv(photos / "a.csv", "path,species\nWren/0.jpg,Marsh Wren\n4.jpg,Kite\n1.jpg,Wren\n")
    index.add(photos)
    assert labels(index)["0.jpg"] == "Marsh Wren"
    csv(photos / "a.csv", "path,species\nWren/0.jpg,Marsh Wren\n")
    index.add(photos, labels=said)
    assert labels(index)["4.jpg"] is None
    assert fake.embedded == 5


def test_a_csv_that_is_away_costs_no_label(photos: Path, index: Index, caplog: pytest.LogCaptureFixture) -> None:
    said = csv(photos.parent / "a.csv", "path,species\nphotos/Wren/0.jpg,Wren\nphotos/Wren/1.jpg,Wren\n")
    index.add(photos, labels=said)
    Path(said).unlink()
    write(photos / "Wren" / "0.jpg", bird(30, 80, 60))
    (photos / "Wren" / "1.jpg").rename(photos / "Wren" / "renamed.jpg")
    with caplog.at_level(logging.WARNING, "birdsearch"):
        report = index.add(photos)
    assert (report.changed, report.moved) == (1, 1)
    assert (labels(index)["0.jpg"], labels(index)["renamed.jpg"]) == ("Wren", "Wren")
    assert "cannot read" in caplog.text


def test_a_renamed_photo_keeps_its_label_until_a_csv_is_named_again(photos: Path, index: Index) -> None:
    said = csv(photos / "a.csv", "path,species\nWren/0.jpg,Wren\n")
    index.add(photos, labels=said)
    (photos / "Wren" / "0.jpg").rename(photos / "Wren" / "renamed.jpg")
    index.add(photos)
    assert labels(index)["renamed.jpg"] == "Wren"
    index.add(photos, labels=said)
    assert labels(index)["renamed.jpg"] is None


def test_a_moved_folder_takes_its_csv_along(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos, labels=csv(photos / "a.csv", "path,species\nWren/0.jpg,Wren\n5.jpg,Kite\n"))
    moved = photos.rename(photos.parent / "pictures")
    write(moved / "5.jpg", bird(5, 80, 60))
    index.add(moved)
    assert (labels(index)["0.jpg"], labels(index)["5.jpg"]) == ("Wren", "Kite")
    assert index.info()["labels"] == {str(moved): str(moved / "a.csv")}
    assert fake.embedded == 6


def test_a_photo_moved_where_nothing_was_chosen_keeps_its_label(photos: Path, index: Index) -> None:
    index.add(photos, labels="folder")
    away = photos.parent / "best of"
    away.mkdir()
    shutil.move(photos / "Wren" / "0.jpg", away / "0.jpg")
    index.add(away)
    assert labels(index)["0.jpg"] == "Wren"


def test_copies_take_the_label_of_their_own_folder(photos: Path, index: Index, fake: FakeBackbone) -> None:
    shutil.copy(photos / "Wren" / "0.jpg", photos / "Robin" / "copy.jpg")
    index.add(photos, labels="folder")
    assert labels(index) == {**FOLDERS, "copy.jpg": "Robin"}
    assert fake.embedded == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("what,else\na.jpg,Wren\n", "line 1: no column path and no column species"),
        ("path,note\na.jpg,Wren\n", "no column species.*path,species"),
        ("", "no column path"),
        ("path,species\n,Wren\n", "line 2: no path"),
        ("path,species\na.jpg,Wren\n,Robin\n", "line 3: no path"),
        (b"path,species\na\x81.jpg,Wren\n", "line 2: this is not UTF-8"),
        (b"PK\3\4" + bytes(100), "no column|not UTF-8|line 1"),
    ],
)
def test_csv_that_cannot_be_used_names_the_line(photos: Path, index: Index, text: str | bytes, words: str) -> None:
    index.add(photos, labels="folder")
    with pytest.raises(InputFileError, match=words):
        index.add(photos, labels=csv(photos.parent / "a.csv", text))
    index.add(photos)
    assert labels(index) == FOLDERS


def test_csv_that_does_not_exist(photos: Path, index: Index) -> None:
    with pytest.raises(InputFileError, match=r"cannot read .*nowhere\.csv.*Give a CSV: path,species"):
        index.add(photos, labels="nowhere.csv")
    assert len(index) == 0
