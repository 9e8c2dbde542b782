"""Files under the named folders, and the bytes of those that are photos."""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from birdsearch.errors import PhotoMissingError, PhotoUnreadableError, missing_file_error, os_error_text
from birdsearch.photos.filetype import HEAD, Kind, identify
from birdsearch.records import Failure, Photo

MAX_BYTES = 2**30  # of one file, a guess: larger ones are refused, as they are read whole


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file that a scan has seen and not opened."""

    path: bytes  # absolute, as os.fsencode gives it
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that cannot be a photo, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A photo's file read in one piece."""

    photo: Photo  # of which path, size, mtime_ns and sha256 are known
    data: bytes
    format: str  # of decoders.DECODERS


class NotAPhotoError(Exception):
    """The file is whole, but it is something else: counted as ignored, for the reason given."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def scan(folders: Sequence[bytes | str | os.PathLike[str]]) -> Iterator[FoundFile | Failure | Ignored]:
    """Every file under the folders, once, in a fixed order; a named file stands for itself.

    Hidden files and folders (leading dot) are left alone, unless they are named. Links to files are files; linked
    folders come last, so that a file which is reached both ways is known by its real path.
    Raises PhotoMissingError at once where a named folder does not exist.
    """
    named = [os.path.abspath(os.fsencode(folder)) for folder in folders]
    for path in named:
        if not os.path.lexists(path):
            raise missing_file_error(os.fsdecode(path), "file or folder")
    return _Scan().run(named)


class _Scan:
    """One walk over the named folders, remembering where it has been."""

    def __init__(self) -> None:
        self.folders: set[tuple[int, int]] = set()  # device and inode of the folders listed so far
        self.files: set[tuple[int, int, bytes]] = set()  # folder (device, inode) and name of the files named
        self.linked: list[bytes] = []  # folders that only a link leads to

    def run(self, named: Sequence[bytes]) -> Iterator[FoundFile | Failure | Ignored]:
        for path in named:
            try:
                info = os.stat(path)
                if stat.S_ISDIR(info.st_mode):
                    yield from self._tree(path)
                    continue
                parent = os.stat(os.path.dirname(path))
            except OSError as error:
                yield _unreachable(path, error)
                continue
            name = os.path.basename(path)
            key = (parent.st_dev, parent.st_ino, name)
            seen = key[:2] in self.folders and not name.startswith(b".")
            if key not in self.files and not seen:
                self.files.add(key)
                yield _found(path, info)
        while self.linked:
            yield from self._tree(self.linked.pop(0))

    def _tree(self, top: bytes) -> Iterator[FoundFile | Failure | Ignored]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            try:
                info = os.stat(folder)
                identity = info.st_dev, info.st_ino
                if identity in self.folders:
                    continue
                self.folders.add(identity)
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield _unreachable(folder, error)
                continue
            below: list[bytes] = []
            yield from self._entries(entries, identity, below)
            waiting += reversed(below)

    def _entries(
        self, entries: list[os.DirEntry[bytes]], identity: tuple[int, int], below: list[bytes]
    ) -> Iterator[FoundFile | Failure | Ignored]:
        for entry in entries:
            if entry.name.startswith(b".") or (self.files and (*identity, entry.name) in self.files):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                    continue
                info = entry.stat()
            except OSError as error:
                yield _unreachable(entry.path, error)
                continue
            if stat.S_ISDIR(info.st_mode):
                self.linked.append(entry.path)
            else:
                yield _found(entry.path, info)


def _found(path: bytes, info: os.stat_result) -> FoundFile | Ignored:
    if stat.S_ISREG(info.st_mode):
        return FoundFile(path, info.st_size, info.st_mtime_ns)
    # Opening a pipe could wait for ever, opening a device could do something.
    return Ignored(os.fsdecode(path), "not a regular file")


def _unreachable(path: bytes, error: OSError) -> Failure:
    broken = error.errno == errno.ENOENT and os.path.islink(path)
    return Failure(os.fsdecode(path), "scan", "broken symlink" if broken else os_error_text(error))


def read(file: FoundFile) -> FileBytes:
    """A file's bytes with their sha256.

    Raises NotAPhotoError after the first 4 KiB where they show something else, PhotoMissingError where the file has
    gone, PhotoUnreadableError where it cannot be read or changes twice while it is read. The last two have the bare
    reason as their text.
    """
    path = os.fsdecode(file.path)
    try:
        for _ in range(2):
            if (whole := _read_once(path)) is not None:
                return whole
    except FileNotFoundError as error:
        raise PhotoMissingError("no longer there") from error
    except OSError as error:
        raise PhotoUnreadableError(os_error_text(error)) from error
    raise PhotoUnreadableError("changed while it was read; index it again when it is complete")


def _read_once(path: str) -> FileBytes | None:
    """The file, or None where it changed meanwhile."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise NotAPhotoError("not a regular file")
    # Should a pipe have taken its place since, opening it must not wait.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb", buffering=0) as file:
        before = os.fstat(handle)
        head = file.read(HEAD) or b""
        format = require_photo(identify(head, path))
        if before.st_size > MAX_BYTES:
            most = f"more than the {MAX_BYTES / 2**30:.0f} GiB read"
            raise PhotoUnreadableError(f"{before.st_size / 2**30:.1f} GiB, {most}")
        file.seek(0)
        data = read_up_to(file, before.st_size + 1)
        after = os.fstat(handle)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != before.st_size:
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    photo = Photo(None, path, sha256=sha256, size=before.st_size, mtime_ns=before.st_mtime_ns)
    return FileBytes(photo, data, format)


def read_up_to(file: io.FileIO, count: int) -> bytes:
    """Up to `count` bytes: one system call may return fewer, as over a network."""
    data = file.read(count) or b""
    while len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data


def require_photo(kind: Kind) -> str:
    """The format of a photo; NotAPhotoError or PhotoUnreadableError for all else."""
    if kind.format is None:
        raise PhotoUnreadableError(kind.reason) if kind.broken else NotAPhotoError(kind.reason)
    return kind.format
