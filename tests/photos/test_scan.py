"""Finding and reading files: each one once, none opened that need not be, none accepted that changes meanwhile."""

import hashlib
import io
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import birdsearch
from birdsearch.errors import PhotoMissingError, PhotoUnreadableError
from birdsearch.files import FileState
from birdsearch.photos import scan as scan_module
from birdsearch.photos.scan import FoundFile, Ignored, NotAPhotoError, read, scan
from birdsearch.records import Failure
from tests.support.drawing import bird, write

JPEG = b"\xff\xd8\xff" + bytes(100)


def put(path: Path, data: bytes = JPEG) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def found(*folders: Path) -> list[str]:
    """The paths of what a scan of the folders finds, in its order."""
    return [os.fsdecode(item.path) for item in scan([os.fsencode(folder) for folder in folders])]


def test_scan_gives_absolute_paths_sizes_and_times_in_a_fixed_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["b/2.jpg", "b/1.jpg", "a.jpg", "c.jpg", "b/deep/er/3.jpg"]
    for name in names:
        put(tmp_path / "in" / name, JPEG + name.encode())
    monkeypatch.chdir(tmp_path)
    items = list(scan([b"in"]))
    wanted = ["a.jpg", "c.jpg", "b/1.jpg", "b/2.jpg", "b/deep/er/3.jpg"]
    assert [item.path for item in items] == [os.fsencode(tmp_path / "in" / name) for name in wanted]
    for item in items:
        assert isinstance(item, FoundFile)
        info = os.stat(item.path)
        assert item.state == FileState.of(info)


def test_scan_leaves_hidden_files_alone_unless_they_are_named(tmp_path: Path) -> None:
    hidden, inside = put(tmp_path / ".hidden.jpg"), put(tmp_path / ".album" / "1.jpg")
    plain = put(tmp_path / "1.jpg")
    assert found(tmp_path) == [str(plain)]
    assert found(tmp_path, tmp_path / ".album", hidden) == [str(plain), str(inside), str(hidden)]


def test_scan_names_each_file_once_however_it_is_reached(tmp_path: Path) -> None:
    below = put(tmp_path / "b" / "1.jpg")
    top = put(tmp_path / "2.jpg")
    assert found(tmp_path, tmp_path / "b", tmp_path, below) == [str(top), str(below)]
    assert found(below, tmp_path / "b", tmp_path, below) == [str(below), str(top)]
    assert found(tmp_path / "b" / ".." / "b") == [str(below)]


def test_scan_follows_links_and_prefers_the_real_path(tmp_path: Path) -> None:
    real = put(tmp_path / "z" / "1.jpg")
    outside = put(tmp_path.parent / f"{tmp_path.name} outside" / "2.jpg")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "z" / "up").symlink_to("..")
    (tmp_path / "elsewhere").symlink_to(outside.parent)
    (tmp_path / "link.jpg").symlink_to(real)
    assert found(tmp_path) == [str(tmp_path / "link.jpg"), str(real), str(tmp_path / "elsewhere" / "2.jpg")]


def test_scan_reports_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    wanted = [("broken.jpg", "broken symlink"), ("self.jpg", "symlink that leads back to itself")]
    assert list(scan([tmp_path])) == [Failure(str(tmp_path / name), "scan", reason) for name, reason in wanted]
    assert list(scan([tmp_path / "broken.jpg"])) == [Failure(str(tmp_path / "broken.jpg"), "scan", "broken symlink")]


def test_scan_opens_no_pipe_socket_or_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # The path of a socket must be short.
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind("socket.jpg")
    wanted = [Ignored(str(tmp_path / name), "not a regular file") for name in ("pipe.jpg", "socket.jpg")]
    assert list(scan([tmp_path])) == wanted
    with pytest.raises(NotAPhotoError, match="not a regular file"):
        read(FoundFile(os.fsencode(tmp_path / "pipe.jpg")))


def test_scan_takes_any_name(tmp_path: Path) -> None:
    names = [b" spaces .jpg", b"new\nline.jpg", "Rotkehlchen übt.jpg".encode(), b"\xff\xfe.jpg"]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(JPEG)
    items = list(scan([tmp_path]))
    assert {os.path.basename(item.path) for item in items if isinstance(item, FoundFile)} == set(names)
    assert all(read(item).data == JPEG for item in items if isinstance(item, FoundFile))


def test_scan_reports_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = put(tmp_path / "a" / "1.jpg")
    put(tmp_path / "b" / "2.jpg")
    put(tmp_path / "c" / "3.jpg")
    real = os.scandir

    def scandir(path: bytes) -> object:  # Root may list everything, so permissions cannot be taken from this test.
        if path.endswith(b"/b"):
            raise PermissionError(13, "Permission denied")
        if path.endswith(b"/c"):
            raise FileNotFoundError(2, "No such file or directory")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    unlisted = [("b", "no permission"), ("c", "no longer there")]
    failures = [Failure(str(tmp_path / name), "scan", reason) for name, reason in unlisted]
    info = kept.stat()
    assert list(scan([tmp_path])) == [FoundFile(os.fsencode(kept), FileState.of(info)), *failures]


def test_scan_refuses_a_missing_folder_at_once_and_proposes_another(tmp_path: Path) -> None:
    (tmp_path / "garden").mkdir()
    with pytest.raises(PhotoMissingError, match=r"no such file or folder: .*/gardn\. Did you mean .*/garden\?"):
        scan([tmp_path / "gardn"])
    with pytest.raises(PhotoMissingError, match="is the disk connected"):
        scan([tmp_path / "no" / "such"])


def test_read_gives_the_bytes_and_their_hash(tmp_path: Path) -> None:
    path = write(tmp_path / "1.jpg", bird())
    (item,) = scan([path])
    assert isinstance(item, FoundFile)
    file = read(item)
    assert file.data == path.read_bytes()
    assert file.photo.sha256 == hashlib.sha256(file.data).hexdigest()
    assert (file.photo.id, file.photo.path, file.photo.size) == (None, str(path), path.stat().st_size)
    assert file.photo.mtime_ns == path.stat().st_mtime_ns


def test_read_tries_again_when_the_file_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "1.jpg")
    changes = [b"more", b""]
    real = scan_module.read_up_to

    def growing(file: io.FileIO, count: int, alive: Callable[[], None]) -> bytes:
        data = real(file, count, alive)
        with path.open("ab") as other:
            other.write(changes.pop(0))
        return data

    monkeypatch.setattr(scan_module, "read_up_to", growing)
    file = read(FoundFile(os.fsencode(path)))
    assert file.data == JPEG + b"more"
    assert file.photo.size == len(JPEG) + 4

    changes[:] = [b"and", b"more"]
    with pytest.raises(PhotoUnreadableError, match="changed while it was read"):
        read(FoundFile(os.fsencode(path)))


def test_a_file_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = FoundFile(os.fsencode(put(tmp_path / "1.jpg")))
    disk_is_back = threading.Event()

    def dead(_file: io.FileIO, _count: int, _alive: Callable[[], None]) -> bytes:
        disk_is_back.wait(60)
        return JPEG

    monkeypatch.setattr(scan_module, "ANSWER_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(scan_module, "read_up_to", dead)
        with pytest.raises(PhotoUnreadableError, match="has not answered for"):
            read(item)
    disk_is_back.set()
    assert read(item).data == JPEG


def test_a_slow_file_is_read_as_long_as_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = JPEG + bytes(2000)
    item = FoundFile(os.fsencode(put(tmp_path / "1.jpg", data)))
    monkeypatch.setattr(scan_module, "BLOCK", 100)
    monkeypatch.setattr(scan_module, "ANSWER_SECONDS", 0.2)
    real = scan_module.read_up_to

    def slow(file: io.FileIO, count: int, alive: Callable[[], None]) -> bytes:
        def slowly() -> None:
            time.sleep(0.03)
            alive()

        return real(file, count, slowly)

    monkeypatch.setattr(scan_module, "read_up_to", slow)
    assert read(item).data == data


def test_read_says_in_plain_words_why_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "1.jpg")
    item = FoundFile(os.fsencode(path))
    monkeypatch.setattr(scan_module, "MAX_BYTES", 50)
    with pytest.raises(PhotoUnreadableError, match="more than"):
        read(item)
    for number, reason in ((13, "no permission"), (5, "read error on the disk"), (116, "stale file handle")):

        def refuse(*_: object, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            with pytest.raises(PhotoUnreadableError, match=f"^{reason}$"):
                read(item)
    path.unlink()
    with pytest.raises(PhotoMissingError, match=r"^no longer there$"):
        read(item)


@pytest.mark.parametrize(("name", "data"), [("empty.jpg", b""), ("zeros.jpg", bytes(9000)), ("x.heic", b"\x9d" * 9)])
def test_read_fails_a_file_that_is_called_a_picture_and_is_none(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(PhotoUnreadableError):
        read(FoundFile(os.fsencode(put(tmp_path / name, data))))


def test_read_of_something_else_stops_after_its_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "film.mp4", b"\0\0\0\x18ftypisom" + bytes(100))
    monkeypatch.setattr(scan_module, "read_up_to", lambda *_: pytest.fail("read whole"))
    with pytest.raises(NotAPhotoError) as caught:
        read(FoundFile(os.fsencode(path)))
    assert caught.value.reason == "video"


# What is left out


def left_out(*folders: Path, exclude: dict[bytes, list[str]] | None = None) -> dict[str, tuple[str, int]]:
    """Path below the first folder -> reason and number of files, of what a scan leaves out."""
    items = [item for item in scan(folders, exclude) if isinstance(item, Ignored)]
    return {os.path.relpath(item.path, folders[0]): (item.reason, item.files) for item in items}


def test_scan_counts_places_of_the_system_and_leaves_them_out(tmp_path: Path) -> None:
    photo = put(tmp_path / "Wren" / "1.jpg")
    for name in ("XL.jpg", "M.jpg", ".hidden", "deep/S.jpg"):
        put(tmp_path / "Wren" / "@eaDir" / "1.jpg" / name)
    put(tmp_path / "DCIM" / "1.THM")
    put(tmp_path / "Photos.photoslibrary" / "resources" / "1.jpg")
    original = put(tmp_path / "Photos.photoslibrary" / "originals" / "0" / "2.jpg")
    assert left_out(tmp_path) == {
        "Wren/@eaDir": ("among thumbnails", 3),
        "DCIM/1.THM": ("among thumbnails", 1),
        "Photos.photoslibrary/resources": ("among a photo library's own files", 1),
    }
    assert [item.path for item in scan([tmp_path]) if isinstance(item, FoundFile)] == list(
        map(os.fsencode, (original, photo))
    )


def test_scan_reads_what_is_named_even_in_a_place_of_the_system(tmp_path: Path) -> None:
    photo, binned = put(tmp_path / "1.jpg"), put(tmp_path / "#recycle" / "a" / "2.jpg")
    other, film = put(tmp_path / "#recycle" / "b" / "3.jpg"), put(tmp_path / "4.THM")
    assert found(tmp_path / "#recycle") == [str(binned), str(other)]
    assert left_out(tmp_path, tmp_path / "#recycle" / "a") == {
        "#recycle": ("in a recycle bin", 1),
        "4.THM": ("among thumbnails", 1),
    }
    for order in ([tmp_path, tmp_path / "#recycle", film], [film, tmp_path / "#recycle", tmp_path]):
        assert sorted(found(*order)) == sorted(map(str, (photo, binned, other, film)))


def test_scan_leaves_out_an_index_of_birdsearch(tmp_path: Path) -> None:
    photo = put(tmp_path / "1.jpg")
    for name in ("index.json", "catalog.sqlite", "vectors/00000001.parquet"):
        put(tmp_path / "indexes" / "garden" / name)
    assert left_out(tmp_path) == {"indexes/garden": ("in an index of birdsearch", 3)}
    assert found(photo) == [str(photo)]


def test_scan_counts_only_so_many_files_of_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        put(tmp_path / "#snapshot" / str(number) / "1.jpg")
    monkeypatch.setattr(scan_module, "MOST_COUNTED", 5)
    assert left_out(tmp_path) == {"#snapshot": ("in a snapshot", 5)}


# Patterns


def test_scan_excludes_by_patterns_of_an_option_and_of_files(tmp_path: Path) -> None:
    kept = [put(tmp_path / name) for name in ("a/1.jpg", "a/keep/2.jpg", "b/raw.jpg")]
    for name in ("WhatsApp Images/1.jpg", "WhatsApp Images/Sent/2.jpg", "a/small_1.jpg", "a/keep/not.jpg", "b/x/3.jpg"):
        put(tmp_path / name)
    (tmp_path / ".birdsearchignore").write_text("# mine\nWhatsApp*/\nnot.jpg\nraw.jpg\n")
    (tmp_path / "b" / ".birdsearchignore").write_text("/x/\n!raw.jpg\n")
    by_file, by_option = "excluded by .birdsearchignore", "excluded by --exclude"
    exclude = {os.fsencode(tmp_path): ["small_*"]}
    assert left_out(tmp_path, exclude=exclude) == {
        "WhatsApp Images": (by_file, 2),
        "a/keep/not.jpg": (by_file, 1),
        "a/small_1.jpg": (by_option, 1),
        "b/x": (by_file, 1),
    }
    items = [item.path for item in scan([tmp_path], exclude) if isinstance(item, FoundFile)]
    assert items == list(map(os.fsencode, kept))


def test_patterns_above_a_named_folder_count_in_it_but_cannot_leave_it_out(tmp_path: Path) -> None:
    photo = put(tmp_path / "2024" / "1.jpg")
    put(tmp_path / "2024" / "copies" / "1.jpg")
    (tmp_path / ".birdsearchignore").write_text("copies\n")
    assert left_out(tmp_path / "2024", exclude={os.fsencode(tmp_path): ["2024/"]}) == {
        "copies": ("excluded by .birdsearchignore", 1)
    }
    assert found(photo) == [str(photo)]


def test_a_pattern_brings_back_a_place_of_the_system(tmp_path: Path) -> None:
    photo = put(tmp_path / "Trash" / "1.jpg")
    assert left_out(tmp_path) == {"Trash": ("in a recycle bin", 1)}
    (tmp_path / ".birdsearchignore").write_text("!Trash/\n")
    assert found(tmp_path) == [str(photo)]


@pytest.mark.parametrize("text", ["!\n", "a\n[z-a]\n", "x" * (2**20 + 1)])
def test_a_folder_whose_patterns_cannot_be_read_fails_as_a_whole(tmp_path: Path, text: str) -> None:
    put(tmp_path / "in" / "1.jpg")
    (tmp_path / "in" / ".birdsearchignore").write_text(text)
    (failure,) = scan([tmp_path])
    assert isinstance(failure, Failure)
    assert (failure.path, failure.stage) == (str(tmp_path / "in"), "scan")
    assert ".birdsearchignore: " in failure.reason


def test_a_pipe_in_the_place_of_patterns_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".birdsearchignore")
    (failure,) = scan([tmp_path])
    assert isinstance(failure, Failure)
    assert failure.reason.endswith(".birdsearchignore cannot be read: not a regular file.")


def test_find_photos_gives_photos_and_tells_of_what_should_be_one(tmp_path: Path) -> None:
    photos = [put(tmp_path / "1.jpg"), put(tmp_path / "in" / "called otherwise")]
    put(tmp_path / "2.jpg", b"")
    put(tmp_path / "notes.txt", b"Wren at the pond")
    (tmp_path / "3.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "4.jpg")
    told: list[Failure] = []
    assert sorted(birdsearch.find_photos(tmp_path, errors=told.append)) == sorted(map(str, photos))
    assert {Path(one.path).name: (one.stage, one.reason) for one in told} == {
        "2.jpg": ("scan", "empty file"),
        "3.jpg": ("scan", "broken symlink"),
    }
    assert len(birdsearch.find_photos(tmp_path)) == 2
