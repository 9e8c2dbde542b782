"""The folder of an index: nothing in it leads a writer elsewhere, its lock holds, its index.json is looked at."""

import errno
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

import birdsearch
from birdsearch import Index
from birdsearch.errors import (
    BirdsearchError,
    IndexDamagedError,
    IndexLockedError,
    IndexUnwritableError,
    OutputFileError,
    PhotoMissingError,
)
from birdsearch.files import written
from birdsearch.records import Pixels, Vectors
from birdsearch.search.local import Flat
from birdsearch.search.whitening import Whitening
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import writable
from birdsearch.storage.store import Store
from tests.support.drawing import bird, write
from tests.support.engine_file import engine_of
from tests.support.fake_backbone import FakeBackbone
from tests.support.interpreter import python

fcntl = pytest.importorskip("fcntl", reason="Windows has other locks and links")


@pytest.fixture
def garden(tmp_path: Path, index: Index) -> Index:
    """An index of two photos."""
    for seed in range(2):
        write(tmp_path / f"photos/{seed}.jpg", bird(seed, 60, 40))
    index.add(tmp_path / "photos")
    return index


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder of the user; when the test ends, nothing in it may have changed."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("thesis.txt", "2024.parquet", "00000077.parquet", "notes.unfinished", "engine-0123456789abcdef.npy"):
        (folder / name).write_text(f"my own {name}")
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        name: f"my own {name}"
        for name in (
            "thesis.txt",
            "2024.parquet",
            "00000077.parquet",
            "notes.unfinished",
            "engine-0123456789abcdef.npy",
        )
    }


# Links


LINKS = ["writer.json", "lock", "vectors", "actions", "engine.npy.unfinished", "index.json.unfinished"]
LINKS += ["engine-0123456789abcdef.npy", "whitening-0123456789abcdef.npz", "classifier.npz", "vectors/00000009.parquet"]
LINKS += ["vectors/00000002.parquet.unfinished", "actions/0001.jsonl", "catalog.sqlite-wal", "catalog.sqlite-shm"]


def test_no_writer_follows_a_link(garden: Index, home: Path, tmp_path: Path) -> None:
    garden.close()
    for number, name in enumerate(LINKS):
        place = shutil.copytree(garden.path, tmp_path / f"stranger's {number}")
        link = place / name
        if link.is_dir():
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(home if name in ("vectors", "actions") else home / "thesis.txt")
        with pytest.raises(IndexDamagedError, match="if this index came from somebody else, do not use it"):
            _label(place)


def test_neither_reader_nor_writer_follows_a_link_to_a_catalog_or_an_identity(garden: Index, tmp_path: Path) -> None:
    garden.close()
    for name in ("catalog.sqlite", "index.json"):
        shutil.move(garden.path / name, tmp_path / name)
        (garden.path / name).symlink_to(tmp_path / name)
        before = (tmp_path / name).read_bytes()
        with pytest.raises(IndexDamagedError):
            _label(garden.path)
        assert (tmp_path / name).read_bytes() == before
        (garden.path / name).unlink()
        shutil.move(tmp_path / name, garden.path / name)


@pytest.mark.parametrize("name", ["lock", "catalog.sqlite", "actions/0001.jsonl"])
def test_no_writer_changes_a_file_that_has_another_name_too(garden: Index, tmp_path: Path, name: str) -> None:
    garden.close()
    path = garden.path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.link(path, tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    with pytest.raises(IndexDamagedError):
        _label(garden.path)
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_journal_that_sqlite_would_play_back_is_refused(garden: Index, home: Path) -> None:
    # One that ends so makes SQLite delete the file it names, once it was played back.
    garden.close()
    name = os.fsencode(home / "thesis.txt")
    end = len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + bytes.fromhex("d9d505f920a163d7")
    (garden.path / "catalog.sqlite-journal").write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504) + name + end)
    with pytest.raises(IndexDamagedError, match="is not what birdsearch writes"):
        birdsearch.open(garden.path)


def test_only_files_whose_whole_name_is_ours_are_removed(garden: Index) -> None:
    names = ["notes.unfinished", "engine-drawing.npy", "engine-0123456789abcdef.npy.bak", "whitening-of-sheets.npz"]
    names += ["vectors/2024.parquet", "vectors/00000001.parquet.bak", "vectors/mine.unfinished", "refinement-1.txt"]
    ours = ["engine-0123456789abcdef.npy", "whitening-0123456789abcdef.npz", "vectors/00000099.parquet"]
    ours += ["vectors/00000002.parquet.unfinished", "index.json.unfinished"]
    for name in [*names, *ours]:
        (garden.path / name).write_text("something")
    (garden.path / "engine-fedcba9876543210.npy").mkdir()
    garden.label({1: "Wren"})
    assert [name for name in names if not (garden.path / name).exists()] == []
    assert [name for name in ours if (garden.path / name).exists()] == []
    assert (garden.path / "engine-fedcba9876543210.npy").is_dir()


def _label(path: Path) -> None:
    with birdsearch.open(path, backbone=FakeBackbone()) as index:
        index.label({1: "Wren"})


# The disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("translated", [(writable, IndexUnwritableError), (written, OutputFileError)])
def test_a_full_disk_is_told_by_whichever_library_writes(translated: Any) -> None:
    translate, kind = translated
    rows = np.zeros((100, 1000), np.float32)
    writers: list[Callable[[BinaryIO], object]] = [
        Flat(1000, np.arange(100), rows).write,  # numpy counts what it wrote and gives no reason
        Whitening(rows[0], rows).write,
        lambda file: file.write(rows.tobytes()),
    ]
    for write_rows in writers:
        with (
            pytest.raises(kind, match=r"cannot write .*(full|space).*[Mm]ake room"),
            translate(Path("/dev/full")),
            Path("/dev/full").open("wb") as file,
        ):
            write_rows(file)


def test_an_error_of_a_photo_while_an_index_is_written_stays_one() -> None:
    with pytest.raises(PhotoMissingError), writable(Path("index")):
        raise PhotoMissingError("no such file")  # an OSError without a number, as numpy's


# The lock


def test_the_lock_survives_somebody_deleting_its_file(garden: Index) -> None:
    with closing(Store.open(garden.path)) as one, closing(Store.open(garden.path)) as other, one.writing():
        (garden.path / "lock").unlink()
        with pytest.raises(IndexLockedError, match="is being written by process"), other.writing():
            pytest.fail("two writers at once")


def test_threads_take_turns_to_write(garden: Index) -> None:
    with birdsearch.open(garden.path) as other, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit((garden, other)[n % 2].label, {1: f"Wren {n}"}) for n in range(16)]
        assert [one.result().changed for one in asked] == [1] * 16
    assert garden.verify().ok


def test_a_child_does_not_wait_for_a_thread_of_its_parent(garden: Index) -> None:
    code = (
        "import os, threading, warnings\n"
        "from birdsearch.storage.folder import Folder\n"
        "warnings.simplefilter('ignore')\n"
        f"folder, free = Folder({str(garden.path)!r}), threading.Event()\n"
        "def hold():\n"
        "    with folder.writing(): writes.set(); free.wait()\n"
        "writes = threading.Event()\n"
        "thread = threading.Thread(target=hold); thread.start(); writes.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        with folder.writing(): pass\n"
        "    except Exception as error: print(type(error).__name__, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0); free.set(); thread.join()\n"
    )
    assert python(code) == "IndexLockedError\n"


def test_a_writer_waits_for_another_process_as_long_as_it_was_told(garden: Index) -> None:
    handle = os.open(garden.path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with birdsearch.open(garden.path) as one, pytest.raises(IndexLockedError, match="is being written by"):
        one.label({1: "Robin"})
    timer = threading.Timer(0.2, os.close, (handle,))
    timer.start()
    with birdsearch.open(garden.path, lock_timeout=60) as patient:
        assert patient.label({1: "Robin"}).changed == 1
    timer.join()


def test_a_writer_whose_lock_was_deleted_commits_no_more(garden: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def no_folders(handle: int, kind: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")  # as over a network
        flock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", no_folders)

    def deletes_the_lock(catalog: Catalog) -> None:
        (garden.path / "lock").unlink()
        (garden.path / "lock").touch()
        catalog.remove([1])

    with closing(Store.open(garden.path)) as store:
        with pytest.raises(IndexLockedError, match="was deleted while this"), store.writing() as catalog:
            deletes_the_lock(catalog)
        assert store.catalog.photo_ids() == [1, 2]


def test_a_part_is_never_overwritten(garden: Index, tmp_path: Path, fake: FakeBackbone) -> None:
    write(tmp_path / "photos/3.jpg", bird(3, 60, 40))
    other, embed = garden.path / "vectors/00000002.parquet", fake.embed

    def meanwhile(images: Pixels) -> Vectors:
        other.write_bytes(b"another writer's")
        return embed(images)

    fake.embed = meanwhile  # type: ignore[method-assign]
    with pytest.raises(IndexLockedError, match="another process writes to this index"):
        garden.add(tmp_path / "photos")
    assert other.read_bytes() == b"another writer's"
    fake.embed = embed  # type: ignore[method-assign]
    garden.add(tmp_path / "photos")
    assert garden.verify().ok


@pytest.mark.parametrize("come", ["another index", "a copy of itself"])
def test_a_writer_notices_that_another_index_has_come_to_its_place(garden: Index, tmp_path: Path, come: str) -> None:
    garden.path.rename(tmp_path / "moved")
    if come == "another index":
        with birdsearch.create(garden.path, backbone=FakeBackbone()) as other:
            other.add(tmp_path / "photos/1.jpg")
    else:
        shutil.copytree(tmp_path / "moved", garden.path)
    names = sorted(garden.path.rglob("*"))
    with pytest.raises(IndexDamagedError, match="open it again"):
        garden.label({1: "Wren"})
    assert [path for path in names if not path.exists() and path.name not in ("lock", "writer.json")] == []
    with birdsearch.open(garden.path, backbone=FakeBackbone()) as other:
        assert other.verify().ok


# Values


def test_an_identity_that_cannot_be_is_refused_in_words(garden: Index) -> None:
    path = garden.path / "index.json"
    stored = json.loads(path.read_text())
    wrong: dict[str, list[object]] = {name: [5, ["a"], {}] for name in ("id", "source", "classifier_sha256", "catalog")}
    wrong["format"] = [0, -5, True, "1", 1.5, None, 99, 10**400]
    wrong["backbone"] = [{"name": "fake", "dim": dim} for dim in ("16", 0, 10**30, None, True)]
    wrong["catalog"].append("elsewhere")
    wrong["classifier_sha256"].append("../../x")
    texts = [json.dumps({**stored, name: value}) for name, values in wrong.items() for value in values]
    texts += ["[" * 100_000, '{"format": ' + "9" * 5000 + "}", " " * 2_000_000 + "{}", "[5]", '"text"', "5"]
    for text in texts:
        path.write_text(text)
        with pytest.raises(BirdsearchError):
            birdsearch.open(garden.path, backbone=FakeBackbone())


def test_a_file_of_another_index_is_noticed(garden: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "others/9.jpg", bird(9, 60, 40))
    write(tmp_path / "others/8.jpg", bird(8, 60, 40))
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as other:
        other.add(tmp_path / "others")
    question = np.ones((1, FakeBackbone.dim), dtype=np.float32)
    before = garden.search_vectors(question, 2)
    garden.close()
    for name in ("catalog.sqlite", "index.json", "vectors"):
        mixed = tmp_path / f"mixed {name}"
        shutil.copytree(garden.path, mixed)
        source = tmp_path / "other" / name
        if source.is_dir():
            shutil.copytree(source, mixed / name, dirs_exist_ok=True)
        else:
            shutil.copy(source, mixed / name)
        with pytest.raises(IndexDamagedError, match="birdsearch repair"):
            birdsearch.open(mixed, backbone=FakeBackbone()).vectors([1])
    shutil.copy(engine_of(tmp_path / "other"), engine_of(garden.path))
    with birdsearch.open(garden.path, backbone=FakeBackbone()) as again:
        assert again.search_vectors(question, 2) == before
    assert "does not have the checksum" in caplog.text
