"""What is new on a card: compared with an index, and copied."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import birdsearch
from birdsearch import FolderReport, Index
from birdsearch.actions import filesystem
from birdsearch.errors import OutputFileError, PhotoMissingError
from tests.support import card as pictures
from tests.support import drawing
from tests.support.fake_backbone import FakeBackbone
from tests.support.painting import samples


def painted(path: Path, number: int) -> Path:
    picture = Image.fromarray(samples.cached_picture(samples.SPECIES[number % 6], number // 6))
    return drawing.write(path, picture, quality=92)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four photos of the index."""
    for number in range(4):
        painted(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path / "photos"


@pytest.fixture
def index(place: Path) -> Iterator[Index]:
    with birdsearch.create(place.parent / "index", backbone=FakeBackbone()) as made:
        made.add(place)
        yield made


@pytest.fixture
def card(place: Path) -> Path:
    """A card with two new photos, a copy, an edited copy, a broken file, notes and a video."""
    folder = place.parent / "card" / "DCIM"
    painted(folder / "new.jpg", 10)
    painted(folder / "sub" / "new.jpg", 11)
    shutil.copy(place / "1.jpg", folder / "as it is.jpg")
    Image.open(place / "2.jpg").resize((300, 225)).save(folder / "smaller.jpg", quality=60)
    (folder / "broken.jpg").write_bytes((place / "3.jpg").read_bytes()[:900])
    (folder / "notes.txt").write_text("notes")
    return folder.parent


def names(report: FolderReport) -> tuple[list[str], dict[str, tuple[str, str]], list[str]]:
    """New, known (with its relation and the photo of the index), failed: by the names of the files."""
    known = {Path(one.photo.path).name: (one.relation, Path(one.indexed.path).name) for one in report.known}
    return [Path(p.path).name for p in report.new], known, [Path(failure.path).name for failure in report.failed]


def others(report: FolderReport) -> dict[str, str | None]:
    """The other files of a folder, and what has their bytes, by their names."""
    return {Path(one.path).name: one.there and Path(one.there).name for one in report.others}


def only_here(report: FolderReport) -> list[str]:
    return sorted(Path(path).name for path in report.only_here)


# Comparing


def test_each_file_is_new_known_failed_or_ignored(index: Index, card: Path) -> None:
    report = index.compare_folder(card)
    new, known, failed = names(report)
    assert new == ["new.jpg", "new.jpg"]
    assert known == {"as it is.jpg": ("identical", "1.jpg"), "smaller.jpg": ("variant", "2.jpg")}
    assert (failed, report.ignored) == (["broken.jpg"], {})
    assert others(report) == {"broken.jpg": None, "notes.txt": None}
    assert (report.folder, report.unreadable, len(index)) == (str(card), 0, 4)
    assert {photo.id for photo in (*report.new, *(one.photo for one in report.known))} == {None}


def test_nothing_to_compare(index: Index, place: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert names(index.compare_folder(tmp_path / "empty")) == ([], {}, [])
    with pytest.raises(PhotoMissingError):
        index.compare_folder(tmp_path / "nowhere")
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as other:
        assert len(other.compare_folder(place).new) == 4


def test_photos_that_lie_in_the_index_themselves_are_known(index: Index, place: Path) -> None:
    painted(place / "later.jpg", 12)
    new, known, _ = names(index.compare_folder(place))
    assert (new, len(known)) == (["later.jpg"], 4)


def test_a_photo_that_was_deleted_is_new_and_one_on_an_unplugged_disk_is_known(
    index: Index, place: Path, card: Path
) -> None:
    (place / "1.jpg").unlink()
    report = index.compare_folder(card)
    assert "as it is.jpg" in names(report)[0]
    shutil.rmtree(place)
    unplugged = index.compare_folder(card)
    (known,) = unplugged.known
    assert (Path(known.photo.path).name, known.reachable) == ("as it is.jpg", False)
    assert unplugged.unreadable > 0  # the smaller one could not be compared
    place.mkdir()  # the mount point of a disk that is not there
    assert names(index.compare_folder(card))[1] == {"as it is.jpg": ("identical", "1.jpg")}


def test_what_the_card_has_more_of_is_said(index: Index, place: Path, tmp_path: Path) -> None:
    picture = Image.open(place / "0.jpg")
    drawing.write(tmp_path / "card" / "0.png", picture.resize((picture.width * 2, picture.height * 2)))
    movie = (24).to_bytes(4, "big") + b"ftypmp42\0\0\0\0isommp42" + bytes(range(200))
    (tmp_path / "card" / "1.jpg").write_bytes((place / "1.jpg").read_bytes() + movie)
    report = index.compare_folder(tmp_path / "card")
    known = {Path(one.photo.path).name: one.more for one in report.known}
    assert known == {"0.png": ("more pixels",), "1.jpg": ("a movie behind the picture",)}
    assert only_here(report) == ["0.png", "1.jpg"]
    assert len(birdsearch.copy_new(report, tmp_path / "into").copied) == 2


def test_a_whole_photo_is_new_where_the_index_has_only_a_damaged_one(index: Index, place: Path, tmp_path: Path) -> None:
    whole = shutil.copy(place / "3.jpg", drawing.write(tmp_path / "card" / "3.jpg", drawing.bird()))
    data = (place / "3.jpg").read_bytes()
    (place / "3.jpg").write_bytes(data[:-2000] + bytes(1998) + data[-2:])
    index.add(place)
    assert index.find(place / "3.jpg").damaged
    assert names(index.compare_folder(Path(whole).parent))[0] == ["3.jpg"]
    assert "3.jpg" in names(index.compare_folder(place))[1]


def test_other_files_are_found_by_their_bytes_in_the_folders_of_the_index(
    index: Index, place: Path, tmp_path: Path
) -> None:
    card = tmp_path / "card"
    shutil.copy(place / "1.jpg", drawing.write(card / "1.jpg", drawing.bird()))
    raw = bytes(range(256)) * 300
    for number, name in enumerate(("1.CR3", "2.CR3", "3.MP4", "3.WAV", "4.JPG")):
        (card / name).write_bytes(raw[:-1] + bytes([number]))
    (place / "elsewhere").mkdir()
    shutil.copy(card / "1.CR3", place / "elsewhere" / "other name.cr3")
    shutil.copy(card / "3.MP4", place / "3.mp4")
    (place / "3.wav").write_bytes(bytes(len(raw)))  # of the same size
    (place / ".birdsearch-trash").mkdir()
    shutil.copy(card / "2.CR3", place / ".birdsearch-trash" / "2.CR3")  # is deleted for good soon
    os.symlink(card / "2.CR3", place / "2.CR3")  # no second file
    shutil.copy(card / "4.JPG", place / ".4.JPG.unfinished")
    report = index.compare_folder(card)
    there = {"1.CR3": "other name.cr3", "3.MP4": "3.mp4"}
    assert others(report) == {**there, "2.CR3": None, "3.WAV": None, "4.JPG": None}
    assert only_here(report) == ["2.CR3", "3.WAV", "4.JPG"]
    assert {Path(one.path).suffix: one.kind for one in report.others}[".CR3"] == "not an image, despite its name (.cr3)"


def test_a_card_that_is_in_the_index_itself_is_not_its_own_copy(index: Index, card: Path, tmp_path: Path) -> None:
    (card / "DCIM" / "as it is.CR3").write_bytes(b"II*\0 raw")
    index.add(card)
    report = index.compare_folder(card)
    assert only_here(report) == ["as it is.CR3", "broken.jpg", "new.jpg", "new.jpg", "notes.txt", "smaller.jpg"]
    copied = birdsearch.copy_new(report, tmp_path / "into")
    assert (copied.left(report), len(copied.copied)) == ((), 3)


def test_what_cannot_be_reached_is_only_here(index: Index, place: Path, tmp_path: Path) -> None:
    card = tmp_path / "card"
    shutil.copy(place / "1.jpg", drawing.write(card / "1.jpg", drawing.bird()))
    assert index.compare_folder(card).only_here == ()
    (card / "lost").symlink_to(tmp_path / "nowhere")
    report = index.compare_folder(card)
    assert [Path(failure.path).name for failure in report.unreached] == only_here(report) == ["lost"]
    assert birdsearch.copy_new(report, tmp_path / "into").left(report) == report.only_here


# Copying


def test_new_photos_are_copied_to_where_they_lay_with_their_companions(
    index: Index, card: Path, tmp_path: Path
) -> None:
    for name in ("new.xmp", "new.CR3", "new.jpg.xmp", "as it is.xmp"):
        (card / "DCIM" / name).write_text(name)
    os.utime(card / "DCIM" / "new.jpg", ns=(10**18, 10**18 + 7_000))
    report = birdsearch.copy_new(index.compare_folder(card), tmp_path / "into")
    there = {path.relative_to(tmp_path / "into").as_posix() for path in (tmp_path / "into").rglob("*.*")}
    beside = {"DCIM/new.xmp", "DCIM/new.CR3", "DCIM/new.jpg.xmp"}
    alone = {"DCIM/broken.jpg", "DCIM/notes.txt", "DCIM/as it is.xmp"}
    assert there == {"DCIM/new.jpg", "DCIM/sub/new.jpg", *beside, *alone}
    assert (len(report.copied), report.companions, report.present, report.failed) == (2, 6, (), ())
    for original, copy in (*report.copied, *report.others):
        assert Path(copy).read_bytes() == Path(original).read_bytes()
    assert os.stat(tmp_path / "into" / "DCIM" / "new.jpg").st_mtime_ns == 10**18 + 7_000


def test_nothing_is_overwritten_and_what_is_there_is_not_copied_again(index: Index, card: Path, tmp_path: Path) -> None:
    into = tmp_path / "into" / "DCIM"
    into.mkdir(parents=True)
    (into / "new.jpg").write_text("another photo")
    (card / "DCIM" / "new.xmp").write_text("stars")
    (into / ".new (2).jpg.unfinished").write_text("what a killed run left")
    (into / "notes.txt").write_text("other notes")
    compared = index.compare_folder(card)
    birdsearch.copy_new(compared, into.parent)
    copies = ["broken.jpg", "new (2).jpg", "new (2).xmp", "notes (2).txt"]
    assert sorted(path.name for path in into.iterdir()) == [*copies[:3], "new.jpg", copies[3], "notes.txt", "sub"]
    assert (into / "new.jpg").read_text() == "another photo"
    again = birdsearch.copy_new(compared, into.parent)
    assert (len(again.copied), len(again.present), again.companions, again.bytes) == (0, 2, 0, 0)
    assert (len(again.others), again.left(compared)) == (3, ())
    (into / "new (2).xmp").unlink()
    assert birdsearch.copy_new(compared, into.parent).companions == 1


def test_a_copy_does_not_come_beside_another_photo_of_its_name(index: Index, place: Path, tmp_path: Path) -> None:
    card, into = tmp_path / "card", tmp_path / "into"
    shutil.copy(place / "1.jpg", drawing.write(card / "1.jpg", drawing.bird()))
    (card / "1.CR3").write_bytes(b"II*\\0 raw")
    (card / "1.jpg.xmp").write_text("stars")
    painted(into / "1.jpg", 20)
    report = index.compare_folder(card)
    assert len(birdsearch.copy_new(report, into).others) == 2
    assert len(birdsearch.copy_new(report, into).others) == 2
    assert sorted(path.name for path in into.iterdir()) == ["1 (2).CR3", "1 (2).jpg.xmp", "1.jpg"]
    for copy in ("1 (2).CR3", "1 (2).jpg.xmp"):
        (into / copy).unlink()
    shutil.copy(card / "1.jpg", into / "1.jpg")  # the card's own
    (into / "1.png").write_bytes(b"an edit of it")
    birdsearch.copy_new(report, into)
    assert sorted(path.name for path in into.iterdir()) == ["1.CR3", "1.jpg", "1.jpg.xmp", "1.png"]


def test_a_photo_that_changed_or_went_since_is_not_copied(index: Index, card: Path, tmp_path: Path) -> None:
    compared = index.compare_folder(card)
    (card / "DCIM" / "new.jpg").write_bytes(b"something else")
    (card / "DCIM" / "sub" / "new.jpg").unlink()
    report = birdsearch.copy_new(compared, tmp_path / "into")
    assert [failure.reason for failure in report.failed] == ["changed while it was copied", "no longer there"]
    assert (report.copied, [*(tmp_path / "into").rglob("*.jpg")]) == ((), [tmp_path / "into" / "DCIM" / "broken.jpg"])
    assert [Path(path).name for path in report.left(compared)] == ["new.jpg", "new.jpg"]


def test_a_full_disk_says_what_is_done_and_the_next_call_goes_on(
    index: Index, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = index.compare_folder(card)
    copy = filesystem.copy
    copied: list[str] = []

    def full(source: str, target: str, sha256: str) -> None:
        if copied:
            raise OSError(28, "No space left on device", target)
        copied.append(source)
        copy(source, target, sha256)

    with monkeypatch.context() as patch:
        patch.setattr(filesystem, "copy", full)
        with pytest.raises(OutputFileError, match=r"1 file copied, all of them whole.*run the same command"):
            birdsearch.copy_new(compared, tmp_path / "into")
    report = birdsearch.copy_new(compared, tmp_path / "into")
    assert (len(report.copied), len(report.present)) == (1, 1)


def test_a_target_that_cannot_be_is_refused(index: Index, card: Path, tmp_path: Path) -> None:
    compared = index.compare_folder(card)
    with pytest.raises(OutputFileError, match="which is compared"):
        birdsearch.copy_new(compared, card / "DCIM" / "into")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFileError, match="cannot make the folder"):
        birdsearch.copy_new(compared, tmp_path / "file")


def test_the_raw_of_a_jpeg_is_compared_by_its_bytes(index: Index, tmp_path: Path) -> None:
    """On the card a pair and a RAW alone, of which the folders of the index hold the RAW beside a JPEG."""
    card, place = tmp_path / "card", tmp_path / "place"
    for n in (1, 2):
        pictures.raw_front(place / f"{n}.JPG", n, f"2024:05:17 06:07:0{n}")
        pictures.raw(place / f"{n}.DNG", n, f"2024:05:17 06:07:0{n}")
    assert index.add(place).paired == 2
    shutil.copytree(place, card)
    (card / "1.JPG").unlink()
    pictures.raw(card / "3.DNG", 3)
    report = index.compare_folder(card)
    assert [Path(photo.path).name for photo in report.new] == ["3.DNG"]
    assert others(report) == {"1.DNG": "1.DNG", "2.DNG": "2.DNG"}
    assert [Path(known.photo.path).name for known in report.known] == ["2.JPG"]
    (place / "2.DNG").unlink()
    assert only_here(index.compare_folder(card)) == ["2.DNG", "3.DNG"]
