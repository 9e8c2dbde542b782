"""Thumbnails are right, kept by content, and never fail for their cache; an original is the file that was indexed."""

import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch import Index
from birdsearch.cache import cache_folder
from birdsearch.errors import PhotoChangedError, PhotoMissingError, PhotoUnknownError, PhotoUnreadableError
from birdsearch.photos import decode
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from birdsearch.storage.pictures import KeptPictures
from tests.support.drawing import ORIENTATION, bird, exif, turned, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A wide photo as JPEG, sideways, and with an alpha channel; a small one."""
    folder, wide = tmp_path / "photos", bird(1, 800, 400)
    write(folder / "1 plain.jpg", wide, quality=95)
    write(folder / "2 sideways.jpg", turned(wide, 6), quality=95, exif=exif({ORIENTATION: 6}))
    clear = wide.convert("RGBA")
    clear.putalpha(Image.new("L", wide.size, 0))
    write(folder / "3 clear.png", clear)
    write(folder / "4 cmyk.jpg", wide.convert("CMYK"), quality=95)
    grey = np.asarray(wide.convert("L"), dtype=np.uint16) * 257
    write(folder / "5 deep.png", Image.fromarray(grey))
    write(folder / "6 small.gif", bird(2, 60, 40))
    return folder


@pytest.fixture
def index(tmp_path: Path, photos: Path) -> Iterator[Index]:
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as made:
        made.add(photos)
        yield made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that are read for a picture."""
    seen: list[str] = []
    file_of = decode.file_of

    def noted(path: str) -> Any:
        seen.append(path)
        return file_of(path)

    monkeypatch.setattr(decode, "file_of", noted)
    return seen


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def number(index: Index, name: str) -> int:
    return next(photo.id or 0 for photo in index.photos() if name in photo.path)


@pytest.mark.parametrize("name", ["plain", "sideways", "cmyk", "deep", "clear"])
def test_a_thumbnail_shows_the_photo_upright_in_any_mode(index: Index, name: str) -> None:
    made = index.thumbnail(number(index, name), 200)
    picture = shown(made.bytes)
    assert (made.type, picture.size) == ("image/webp", (200, 100))
    wanted = bird(1, 800, 400).resize((200, 100))
    if name == "clear":
        wanted = Image.new("RGB", (200, 100), "white")
    if name == "deep":
        wanted = wanted.convert("L").convert("RGB")
    difference = np.abs(np.asarray(picture, dtype=float) - np.asarray(wanted, dtype=float)).mean()
    assert difference < (12 if name == "cmyk" else 6)


def test_sizes_and_etags(index: Index) -> None:
    first = number(index, "plain")
    assert shown(index.thumbnail(first).bytes).size == (320, 160)
    assert shown(index.preview(first).bytes).size == (800, 400)
    assert shown(index.thumbnail(number(index, "small")).bytes).size == (60, 40)
    tags = [index.thumbnail(first, 160).etag, index.thumbnail(first).etag, index.thumbnail(number(index, "clear")).etag]
    assert len(set(tags)) == 3
    for size in (0, 1601):
        with pytest.raises(ValueError, match="size must be from 1 to 1600"):
            index.thumbnail(first, size)
    with pytest.raises(PhotoUnknownError):
        index.thumbnail(99)


def test_a_thumbnail_is_made_once_for_all_processes_and_outlives_its_file(
    index: Index, decoded: list[str], tmp_path: Path
) -> None:
    first = number(index, "plain")
    made = index.thumbnail(first)
    assert len(decoded) == 1
    os.unlink(index.photo(first).path)
    assert index.thumbnail(first) == made
    with birdsearch.open(index.path, backbone=FakeBackbone()) as again:
        assert again.thumbnail(first) == made
    assert len(decoded) == 1
    with pytest.raises(PhotoMissingError):
        index.thumbnail(first, 100)
    assert (cache_folder() / "thumbnails").stat().st_mode & 0o077 == 0
    assert not [path for path in index.path.rglob("*") if "thumbnail" in path.name]


def test_another_file_in_its_place_is_not_shown(index: Index, photos: Path) -> None:
    first = number(index, "plain")
    shutil.copy(photos / "6 small.gif", photos / "1 plain.jpg")
    for ask in (index.thumbnail, index.preview, index.original, index.open_original):
        with pytest.raises(PhotoChangedError, match=r"1 plain.jpg is not the file that was indexed"):
            ask(first)
    index.add(photos)
    assert shown(index.thumbnail(number(index, "1 plain")).bytes).size == (60, 40)
    (photos / "1 plain.jpg").write_bytes(b"no picture at all")
    with pytest.raises(PhotoUnreadableError, match="not an image"):
        index.thumbnail(number(index, "1 plain"), 50)


def _breaks() -> dict[str, Callable[[Path], object]]:
    def other(file: Path) -> None:
        with sqlite3.connect(file) as table:
            table.execute("DROP TABLE pictures")
            table.execute("CREATE TABLE pictures (key BLOB)")
        table.close()

    def flipped(file: Path) -> None:
        with sqlite3.connect(file) as table:
            table.execute("UPDATE pictures SET data = x'00ff', used = NULL")
        table.close()

    def folder(file: Path) -> None:
        file.unlink()
        file.mkdir()

    def no_folder(file: Path) -> None:
        shutil.rmtree(file.parent)
        file.parent.write_text("x")

    return {
        "no database": lambda file: file.write_bytes(b"no database" * 999),
        "cut off": lambda file: os.truncate(file, 5000),
        "other tables": other,
        "flipped": flipped,
        "a folder": folder,
        "a file where the folder should be": no_folder,
        "of somebody else": lambda file: file.parent.chmod(0o777),
    }


@pytest.mark.parametrize("how", list(_breaks()))
def test_a_broken_cache_never_fails_an_answer(index: Index, how: str) -> None:
    first = number(index, "plain")
    made = index.thumbnail(first)
    file = cache_folder() / "thumbnails" / "thumbnails.sqlite"
    index.close()
    _breaks()[how](file)
    with birdsearch.open(index.path, backbone=FakeBackbone()) as again:
        for _ in range(3):
            assert again.thumbnail(first) == made


def test_the_cache_is_kept_within_its_bound_and_what_is_asked_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10**9
    monkeypatch.setattr("time.time", lambda: now)
    kept, data = KeptPictures(largest=400_000), os.urandom(10_000)
    for content in range(200):
        now += 200_000
        kept.keep(str(content), 320, data)
        assert kept.get("0", 320) == data
    assert kept.get("1", 320) is None
    assert kept.get("199", 320) == data
    kept.close()
    assert kept.get("199", 320) is None  # after its end it holds nothing, and does not fail
    files = (cache_folder() / "thumbnails").iterdir()
    assert sum(path.stat().st_size for path in files) < 600_000


def test_threads_and_indexes_share_the_cache(index: Index) -> None:
    ids = index.photo_ids().tolist() * 4
    with ThreadPoolExecutor(8) as pool, birdsearch.open(index.path, backbone=FakeBackbone()) as other:
        ours = list(pool.map(index.thumbnail, ids))
        theirs = list(pool.map(other.thumbnail, ids))
    assert ours == theirs


# Originals


def test_an_original_is_told_by_its_content(index: Index) -> None:
    for name, kind in (("plain", "image/jpeg"), ("clear", "image/png"), ("small", "image/gif")):
        photo = index.photo(number(index, name))
        found = index.original(photo.id or 0)
        assert (found.path, found.type, found.etag) == (photo.path, kind, photo.sha256)
        with index.open_original(photo.id or 0) as file:
            assert file.read() == Path(photo.path).read_bytes()


def test_an_original_whose_bytes_are_as_they_were_is_served(index: Index, photos: Path, tmp_path: Path) -> None:
    first = number(index, "plain")
    file = photos / "1 plain.jpg"
    before = index.original(first)
    file.chmod(0o600)
    os.utime(file)
    assert index.original(first) == before
    shutil.move(file, tmp_path / "elsewhere.jpg")
    file.symlink_to(tmp_path / "elsewhere.jpg")
    assert index.original(first) == before
    file.unlink()
    with pytest.raises(PhotoMissingError):
        index.original(first)


def test_a_link_to_another_file_of_the_same_size_and_time_is_not_followed(
    index: Index, photos: Path, tmp_path: Path
) -> None:
    first = number(index, "plain")
    file, secret = photos / "1 plain.jpg", tmp_path / "secret"
    info = file.stat()
    secret.write_bytes(b"\xff\xd8\xff" + os.urandom(info.st_size - 3))
    os.utime(secret, ns=(info.st_atime_ns, info.st_mtime_ns))
    file.unlink()
    file.symlink_to(secret)
    with pytest.raises(PhotoChangedError):
        index.original(first)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(PhotoUnreadableError, match="cannot read"):
        index.original(first)


def test_a_photo_whose_bytes_the_index_does_not_know(index: Index, photos: Path) -> None:
    """As after `repair` of an index that lost a part."""
    first = number(index, "plain")
    catalog = SQLiteCatalog(index.path / "catalog.sqlite")
    catalog.drop_part(1)
    catalog.close()
    assert index.photo(first).sha256 == ""
    assert shown(index.thumbnail(first).bytes).size == (320, 160)
    assert index.original(first).type == "image/jpeg"
    assert index.original(first).etag
    os.utime(photos / "1 plain.jpg", (1, 1))
    for ask in (index.thumbnail, index.original):
        with pytest.raises(PhotoChangedError):
            ask(first, *([] if ask == index.original else [77]))
