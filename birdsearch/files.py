"""Files of any kind: written whole or not at all, and over no file of a user; and paths."""

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeGuard
from zipfile import ZIP_STORED, ZipFile

from birdsearch.cache import is_remembered, remember
from birdsearch.errors import OutputFileError, refusal
from birdsearch.words import shown

if TYPE_CHECKING:  # files are also written by commands that need no numpy
    import numpy.typing as npt

INDEX_NAMES = (b"index.json", b"catalog.sqlite", b"vectors")  # what every index holds
UNFINISHED = ".unfinished"  # what a file's name ends with until all of it is there


# Reading ------------------------------------------------------------------------------------------------------------


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file's bytes, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_sha256(value: object) -> TypeGuard[str]:
    """Whether a value that was read somewhere is a sha256 as `sha256_of` gives it."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


@contextmanager
def open_regular(path: str | bytes | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to read; OSError for a pipe or a device, which could be waited for without end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    # Should a pipe have taken its place since, opening it must not wait.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        yield file


def whole_number(text: str) -> int | None:
    """A whole number as ids and sizes are; None for any other text, such as one of more than 18 digits."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def read_arrays(path: Path) -> "dict[str, npt.NDArray[Any]]":
    """The arrays of an .npz file, as `numpy.savez` writes it. Raises ValueError for any other file."""
    import numpy as np

    try:
        with ZipFile(path) as archive:
            # What is not compressed cannot grow beyond all memory.
            if any(member.compress_type != ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored}
    except (Exception, MemoryError) as error:  # a stranger's file: zipfile, ast and numpy raise whatever they meet
        raise ValueError(str(error) or type(error).__name__) from error


# Paths --------------------------------------------------------------------------------------------------------------


_SCHEME = r"[a-z][a-z0-9+.-]*://"
_URL, _URL_TEXT = re.compile(_SCHEME.encode(), re.IGNORECASE), re.compile(_SCHEME, re.IGNORECASE)
SHARD_SIGN = b"#"  # between the address of a tar file and the name of what lies in it
_MEMBER = re.compile(rb"(.*?\.tar)#(.+)", re.IGNORECASE | re.DOTALL)


def is_url(path: str | bytes | os.PathLike[str]) -> bool:
    """Whether a path names an object elsewhere (s3://bucket/wren.jpg) and not a file of this computer."""
    name = os.fspath(path)  # not encoded: what cannot be a name is no URL either
    if isinstance(name, str):
        return not name.startswith("/") and _URL_TEXT.match(name) is not None
    return not name.startswith(b"/") and _URL.match(name) is not None


def shard_of(path: bytes) -> tuple[bytes, bytes] | None:
    """The tar file and the name in it, of an URL that names what lies in a tar file: s3://b/1.tar#wren.jpg."""
    member = _MEMBER.fullmatch(path) if is_url(path) else None
    return None if member is None else (member[1], member[2])


def absolute(path: str | bytes | os.PathLike[str], folder: bytes = b"") -> bytes:
    """A path as the catalog keeps it: absolute, from a folder or from here; an URL without a slash at its end."""
    name = os.fsencode(path)
    if is_url(name):
        return name.rstrip(b"/") if name.rstrip(b"/").count(b"/") > 1 else name
    return os.path.abspath(os.path.join(folder, name))


def is_there(path: str | bytes) -> bool:
    """Whether a file is there. Of an object, which only a request tells, it is taken for granted: reading it tells."""
    return is_url(path) or os.path.exists(path)


def above(path: bytes) -> bytes:
    """What a path lies in: its folder, the tar file of what a tar file holds; the path itself where that is all."""
    if is_url(path):
        if (shard := shard_of(path)) is not None and b"/" not in shard[1]:
            return shard[0]
        if path.count(b"/") == 2:  # a bucket
            return path
    return os.path.dirname(path)


class PathSet:
    """The paths that are one of these or lie under one; as quick for ten thousand named files as for one folder."""

    def __init__(self, folders: Iterable[bytes]) -> None:
        self._folders = set(folders)

    def __contains__(self, path: bytes) -> bool:
        while path not in self._folders:
            if (folder := above(path)) == path:
                return False
            path = folder
        return True


def lies_in(path: str | bytes, folder: str | bytes) -> bool:
    """Whether a file lies in a folder, through whatever links."""
    inner, outer = (os.path.join(os.path.realpath(os.fsdecode(each)), "") for each in (path, folder))
    return inner.startswith(outer)


def is_index(names: Collection[bytes]) -> bool:
    """Whether a folder that holds these names is an index of birdsearch, be it damaged."""
    return sum(name in names for name in INDEX_NAMES) > 1  # where the catalog is in a database it is not there


def with_trailing_slash(folder: bytes) -> bytes:
    """The folder with a slash at its end, so that what follows is a path under it."""
    return folder if folder.endswith(b"/") else folder + b"/"


def known_spelling(path: bytes, roots: Iterable[bytes]) -> bytes:
    """An absolute path as these folders spell it, if it lies in one of them or above one; else as it is.

    A folder is one folder through links, mounts and the case of letters; a link to a file is a file of its own.
    """
    if is_url(path):
        return path
    folders = sorted(
        (root for root in roots if not is_url(root)), key=lambda root: len(os.path.realpath(root)), reverse=True
    )
    if path in folders:
        return path
    place, name = (path, b"") if os.path.isdir(path) else os.path.split(path)
    real = os.path.realpath(place)
    for root in folders:
        real_root = os.path.realpath(root)
        if real == real_root or real.startswith(with_trailing_slash(real_root)):
            below = real[len(real_root) :].strip(b"/")
            return os.path.join(root, *filter(None, (below, name)))
    known = {identity: root for root in folders if (identity := identity_of(root)) is not None}
    for higher in _upwards(place):
        if (spelled := known.get(identity_of(higher) or (0, 0))) is not None:
            return os.path.join(spelled, *filter(None, (place[len(higher) :].strip(b"/"), name)))
    own = identity_of(place)
    above_roots = (higher for root in folders for higher in _upwards(root) if own and identity_of(higher) == own)
    return os.path.join(next(above_roots, place), *filter(None, (name,)))


def identity_of(folder: bytes) -> tuple[int, int] | None:
    """Device and inode; None where there is nothing."""
    try:
        info = os.stat(folder)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _upwards(path: bytes) -> Iterator[bytes]:
    yield path
    while (folder := above(path)) != path:
        yield (path := folder)


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells without reading a file whether it changed; None where that was never known."""

    size: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None  # changes with the content, and with name, permissions and links
    inode: int | None = None
    etag: str | None = None  # of an object elsewhere: what its store calls this content; "" where it has no name for it
    offset: int | None = None  # of what a tar file holds: where its bytes begin

    @classmethod
    def of(cls, info: os.stat_result) -> Self:
        """The state that a file is in now."""
        # File systems of memory cards have no ctime, and number their files anew whenever they are mounted.
        inode = info.st_ino if info.st_ctime_ns != info.st_mtime_ns else None
        signed = None if inode is None else (inode + 2**63) % 2**64 - 2**63  # as SQLite stores it
        return cls(info.st_size, info.st_mtime_ns, info.st_ctime_ns, signed)

    def is_same(self, before: Self) -> bool:
        """Whether a file that was in the state before is unchanged; what is not known of either decides nothing."""
        if (self.size, self.mtime_ns) != (before.size, before.mtime_ns):
            return False
        if self.etag != before.etag or self.etag == "":
            return False
        pairs = ((self.ctime_ns, before.ctime_ns), (self.inode, before.inode), (self.offset, before.offset))
        return all(None in pair or pair[0] == pair[1] for pair in pairs)


# Writing ------------------------------------------------------------------------------------------------------------


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that is in place, whole and synced, when the block ends; on any error the old one stays."""
    with _unfinished(path) as (unfinished, file):
        yield file
        _close(file)
        unfinished.replace(path)
    sync_folder(path.parent)


def named_by_content(folder: Path, name: str, suffix: str, write: Callable[[BinaryIO], None]) -> tuple[Path, str]:
    """Put a file in place, whole and synced, as NAME-<first 16 digits of its sha256>SUFFIX; its path and sha256."""
    with _unfinished(folder / f"{name}{suffix}") as (unfinished, file):
        write(file)
        _close(file)
        sha256 = sha256_of(unfinished)
        path = folder / f"{name}-{sha256[:16]}{suffix}"
        unfinished.replace(path)
    sync_folder(folder)
    return path, sha256


@contextmanager
def _unfinished(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside a path, of a name that nobody can have put there before; on any error nothing is left."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}{UNFINISHED}")
    with unfinished.open("xb") as file:  # follows no link
        try:
            yield unfinished, file
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def _close(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


@contextmanager
def durable_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that is in place, whole, when the block ends, where nothing or an empty folder was before.

    On any error nothing is left. The caller syncs the files.
    """
    path = path.resolve()  # nothing can take the place of a link to an empty folder
    with TemporaryDirectory(prefix=".", suffix=UNFINISHED, dir=path.parent) as place:
        folder = Path(place, path.name)
        folder.mkdir()
        yield folder
        folder.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """What was renamed in a folder is on the disk when this returns."""
    if os.name == "nt":
        return  # there folders cannot be synced
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# What a user asked for ----------------------------------------------------------------------------------------------


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file that a user asked for, to write to: it takes its name when the block ends. See `check_target`.

    Raises OutputFileError where the file cannot be written.
    """
    check_target(path, force=force)
    with written(path):
        with atomic_write(path) as file:
            yield file
        remember(_own(path))


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Translates what the disk refuses while a file or folder is written into OutputFileError."""
    try:
        yield
    except OSError as error:
        where = shown(os.fsdecode(error.filename)) if error.filename else shown(str(path))
        raise OutputFileError(
            f"cannot write {where}: {refusal(error)}. Make room or permission, then run the same command again."
        ) from error


def check_target(path: Path, *, force: bool = False) -> None:
    """Raise OutputFileError where a file must not be written: nothing is overwritten but what birdsearch wrote itself.

    What birdsearch wrote, and nobody changed since, may be replaced; `force` replaces any other file too, but never a
    folder, a device or a file of an index.
    """
    with written(path):
        _check_target(path, force)


def _check_target(path: Path, force: bool) -> None:
    """The rules of `check_target`; OSError for a path that the system cannot have."""
    folder = Path(os.path.realpath(path.parent))
    what = "Name a file in a folder that exists"
    if not folder.is_dir():
        why = "its folder does not exist"
    elif path.is_dir():
        why = "it is a folder"
    elif index := next((above for above in (folder, *folder.parents) if is_index_folder(above)), None):
        why = f"it would lie in the index {shown(str(index))}"
        what = "Name a file elsewhere"
    elif os.path.lexists(path) and not path.is_file():
        why = "it is not a regular file"
    elif os.path.lexists(path) and not force and not _is_own(path):
        why = "it is there already, and is not as birdsearch wrote it"
        what = "Name another file, or replace it with --force (in Python force=True)"
    else:
        return
    raise OutputFileError(f"cannot write {shown(str(path))}: {why}. {what}.")


def is_index_folder(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is an index, be it damaged."""
    return is_index([name for name in INDEX_NAMES if os.path.exists(os.path.join(os.fsencode(folder), name))])


def _is_own(path: Path) -> bool:
    """Whether a file is as birdsearch wrote it."""
    try:
        return is_remembered(_own(path))
    except OSError:
        return False


def _own(path: Path) -> str:
    """What the cache remembers of a file that birdsearch wrote for a user."""
    return f"written {sha256_of(path)}"
