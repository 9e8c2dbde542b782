"""What a page shows of a photo: small pictures, kept in the user's cache, and its file while that is as indexed."""

import hashlib
import os
import time
import zlib
from functools import cache
from io import BufferedReader, BytesIO
from typing import Any, BinaryIO, TypeGuard

from birdsearch.cache import KeptTable, kept_file
from birdsearch.errors import PhotoChangedError, PhotoUnreadableError, missing_file_error, os_error_text
from birdsearch.files import FileState, is_url, open_regular
from birdsearch.photos import decode
from birdsearch.photos.filetype import HEAD, MEDIA_TYPES, identify
from birdsearch.records import Original, Photo, Thumbnail, shown
from birdsearch.storage.catalog.catalog import Catalog

PREVIEW = 1600  # pixels of the longer side: as large as a screen shows
LARGEST = 2 * 10**9  # bytes of kept pictures; beyond it those go that were not asked for longest
_FORMAT = "WEBP"
_DAY = 86_400  # seconds: the last use is noted once a day


class Pictures:
    """Small pictures and originals of the photos of an index. Any number of threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._kept = KeptPictures()

    def close(self) -> None:
        """Give the file of kept pictures back."""
        self._kept.close()

    def thumbnail(self, photo_id: int, size: int) -> Thumbnail:
        """A photo with no side longer than `size`; see `Index.thumbnail`."""
        if not 1 <= size <= PREVIEW:
            raise ValueError(f"size must be from 1 to {PREVIEW} pixels, got {size}")
        photo = self._catalog.photos([photo_id])[0]
        sha256 = photo.sha256 or ""
        data = self._kept.get(sha256, size) if sha256 else None
        if data is None:
            file = decode.file_of(photo.path)
            known, sha256 = sha256, file.photo.sha256 or ""
            # Of a photo that has lost its vector the index does not know the bytes either, but the time.
            if sha256 != known and (known or file.photo.mtime_ns != photo.mtime_ns):
                raise _changed(photo)
            data = None if known else self._kept.get(sha256, size)
            if data is None:
                data = decode.thumbnail(file, size, _FORMAT)
                self._kept.keep(sha256, size, data)
        return Thumbnail(data, MEDIA_TYPES[_FORMAT], f"{sha256}-{size}")

    def original(self, photo_id: int) -> Original:
        """The file of a photo; see `Index.original`."""
        photo = self._catalog.photos([photo_id])[0]
        with self._opened(photo) as file:
            kind = identify(file.read(HEAD), photo.path)
            size = file.seek(0, os.SEEK_END)
        if kind.format is None:
            raise PhotoUnreadableError(f"{shown(photo.path)} is no photo: {kind.reason}")
        return Original(photo.path, MEDIA_TYPES[kind.format], photo.sha256 or f"{size:x}-{photo.mtime_ns:x}")

    def open_original(self, photo_id: int) -> BinaryIO:
        """The same, opened; see `Index.open_original`."""
        return self._opened(self._catalog.photos([photo_id])[0])

    def _opened(self, photo: Photo) -> BinaryIO:
        """The file of a photo, to read. It is checked when it is open: a file swapped in later does not matter."""
        if is_url(photo.path):
            data = decode.file_of(photo.path)
            if data.photo.sha256 != photo.sha256:
                raise _changed(photo)
            return BytesIO(data.data)
        try:
            with open_regular(photo.path) as regular:
                file = os.fdopen(os.dup(regular.fileno()), "rb")
        except FileNotFoundError as error:
            raise missing_file_error(photo.path, "file") from error
        except OSError as error:
            raise PhotoUnreadableError(f"cannot read {shown(photo.path)}: {os_error_text(error)}") from error
        try:
            indexed = self._catalog.file_states([photo.id or 0]).get(photo.id or 0, FileState())
            if not _is_as_indexed(file, photo, indexed):
                raise _changed(photo)
        except BaseException:
            file.close()
            raise
        return file


def _is_as_indexed(file: BufferedReader, photo: Photo, indexed: FileState) -> bool:
    """Whether an open file is the one that was indexed: by its inode and times, else by its bytes."""
    now = FileState.of(os.fstat(file.fileno()))
    if now.inode is not None and now.inode == indexed.inode and now.is_same(indexed):
        return True
    if not photo.sha256:
        return now.mtime_ns == photo.mtime_ns and not os.path.islink(photo.path)
    if now.size != photo.size:
        return False
    same = hashlib.file_digest(file, "sha256").hexdigest() == photo.sha256
    file.seek(0)
    return same


def _changed(photo: Photo) -> PhotoChangedError:
    folder = shown(os.path.dirname(photo.path))
    return PhotoChangedError(
        f"{shown(photo.path)} is not the file that was indexed: it was changed, or another one lies there now. "
        f"Index it again: birdsearch index {folder}"
    )


class KeptPictures:
    """Small pictures by content and size, in one file of the user's cache, of at most so many bytes."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._kept = KeptTable(
            lambda: kept_file("thumbnails/thumbnails.sqlite"),
            (
                "PRAGMA journal_mode = WAL",  # a commit waits for no disk, and a reader for no writer
                "PRAGMA synchronous = NORMAL",
                "CREATE TABLE IF NOT EXISTS pictures (key BLOB PRIMARY KEY, used INTEGER, crc INTEGER, data BLOB)",
                "CREATE INDEX IF NOT EXISTS pictures_used ON pictures (used)",
            ),
        )

    def close(self) -> None:
        """Give the file back."""
        self._kept.close()

    def get(self, sha256: str, size: int) -> bytes | None:
        """The picture of this content; None where there is none that is whole."""
        key, now = _key(sha256, size), int(time.time())
        row: tuple[bytes, int, int] | None = None
        with self._kept.trying() as table:
            if table is not None:
                row = table.execute("SELECT data, crc, used FROM pictures WHERE key = ?", (key,)).fetchone()
                if not _is_whole(row):
                    return None
                if abs(now - row[2]) > _DAY:
                    with table:
                        table.execute("UPDATE pictures SET used = ? WHERE key = ?", (now, key))
        return None if row is None else row[0]

    def keep(self, sha256: str, size: int, data: bytes) -> None:
        """Keep a picture, where there is room and permission."""
        row = (_key(sha256, size), int(time.time()), zlib.crc32(data), data)
        with self._kept.trying() as table:
            if table is not None:
                with table:
                    table.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)", row)
                    pages, free, page = (
                        table.execute(f"PRAGMA {name}").fetchone()[0]
                        for name in ("page_count", "freelist_count", "page_size")
                    )
                    if (pages - free) * page > self._largest:
                        oldest = "SELECT key FROM pictures ORDER BY used LIMIT 1 + (SELECT count(*) FROM pictures) / 10"
                        table.execute(f"DELETE FROM pictures WHERE key IN ({oldest})")


def _is_whole(row: Any) -> TypeGuard[tuple[bytes, int, int]]:
    """Whether a row of the table is what was written: a disk may lose it without a word."""
    kinds = (bytes, int, int)
    return row is not None and tuple(map(type, row)) == kinds and zlib.crc32(row[0]) == row[1]


def _key(sha256: str, size: int) -> bytes:
    return hashlib.blake2b(f"{_look()} {sha256} {size}".encode(), digest_size=16).digest()


@cache
def _look() -> str:
    """The stamp of everything that decides how a picture looks besides its content."""
    return decode.stamp()
