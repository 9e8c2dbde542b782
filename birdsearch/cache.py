"""The user's own folder of what can be made again; and which files were checked already, remembered there."""

import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from birdsearch.records import shown

if TYPE_CHECKING:
    import sqlite3  # which most commands do not need here

logger = logging.getLogger("birdsearch")

_SETTLED_NS = 2 * 10**9  # a file that changed this short a time ago may change again within one tick of its clock
PATIENCE = 1.0  # seconds to wait for another process that writes to a table
_MEMORY = "checked"
_LARGEST = 1 << 20  # bytes of the memory of checks: beyond it all is checked once more


def cache_folder() -> Path:
    """The folder of what can be made or downloaded again: BIRDSEARCH_CACHE, else the platform's place for caches."""
    chosen = os.environ.get("BIRDSEARCH_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("birdsearch", appauthor=False)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone; one that exists stays as it is."""
    if not folder.exists():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def others_may_write(folder: Path) -> bool:
    """Whether another user than this one and root could have put something into a folder."""
    if os.name == "nt":
        return False  # there the profile's rights decide, which no mode shows
    info = folder.stat()
    return info.st_uid not in (0, os.geteuid()) or bool(info.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def kept_file(name: str) -> Path | None:
    """A file in or below the cache folder, which is made; None where another user could have put it there.

    Raises OSError.
    """
    file = cache_folder() / name
    make_private(file.parent)
    return None if any(map(others_may_write, {cache_folder(), file.parent})) else file


def stamped_file(name: str, suffix: str, stamp: str) -> Path | None:
    """`kept_file` of what a `stamp_of` holds for; where it is not there yet, those of other stamps go."""
    file = kept_file(f"{name}-{stamp}{suffix}")
    if file is not None and not file.exists():
        for other in file.parent.glob(f"{name}-*{suffix}"):
            other.unlink(missing_ok=True)
    return file


def stamp_of(files: Iterable[Path], facts: Iterable[str]) -> str:
    """16 letters, others where one of the files or facts is another: what depends on them is then found anew."""
    digest = hashlib.sha256("\n".join(facts).encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


# Tables -------------------------------------------------------------------------------------------------------------


class KeptTable:
    """An SQLite file in the cache: what is lost there is made once more. Any number of threads and processes.

    `file` gives its place, `schema` are the statements that are run when it is opened. Without room or permission, or
    where it is damaged, there is none for now.
    """

    def __init__(self, file: Callable[[], Path | None], schema: Sequence[str]) -> None:
        self._file = file
        self._schema = schema
        self._lock = threading.Lock()
        self._table: sqlite3.Connection | None = None
        self._closed = False

    def close(self) -> None:
        """Give the file back for good."""
        with self._lock:
            self._closed = True
            self._give_back()

    @contextmanager
    def trying(self) -> "Iterator[sqlite3.Connection | None]":
        """The table, for one thread at a time; None where there is none. What it refuses is no error of the user's."""
        with self._lock:
            with self._forgiven():
                if self._table is None and not self._closed:
                    self._table = self._opened()
            with self._forgiven():
                yield self._table

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except (OSError, sqlite3.Error) as error:
            logger.debug("the cache is not used: %s", error)
            if "locked" not in str(error):
                self._give_back()
            # Damaged: the errors of a whole one have classes of their own.
            if type(error) is sqlite3.DatabaseError:
                self._delete()

    def _opened(self) -> "sqlite3.Connection | None":
        import sqlite3

        if (file := self._file()) is None:
            return None
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
        table = sqlite3.connect(file, PATIENCE, check_same_thread=False)
        try:
            for statement in self._schema:
                table.execute(statement)
        except BaseException:
            table.close()
            raise
        return table

    def _give_back(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    def _delete(self) -> None:
        with suppress(OSError):
            if (file := self._file()) is not None:
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{file}{suffix}").unlink(missing_ok=True)


# Checks -------------------------------------------------------------------------------------------------------------


def file_problem(path: Path, sha256: str, *, anew: bool = False) -> str | None:
    """What is wrong, in words, with a file that should have this sha256; None where nothing is.

    A file is read for this once: as long as its inode, size and times stay, it is taken to be right. With `anew` it is
    read whatever was found before.
    """
    name = shown(str(path))
    try:
        # A pipe would wait for a writer for ever.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                return f"{name} is not a file"
            fact = f"{sha256} {info.st_dev} {info.st_ino} {info.st_size} {info.st_mtime_ns} {info.st_ctime_ns}"
            known = is_remembered(fact)
            if known and not anew:
                return None
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    if found == sha256:
        if not known and time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > _SETTLED_NS:
            remember(fact)
        return None
    if known:  # the disk has lost what was written
        _memory().unlink(missing_ok=True)
    return f"{name} does not have the checksum it was written with"


def _memory() -> Path:
    """The file with a line for each file that was right (sha256, device, inode, size, times) or written for a user."""
    return cache_folder() / _MEMORY


def is_remembered(fact: str) -> bool:
    """Whether a fact, a line of text, was remembered and is not forgotten yet."""
    path = _memory()
    try:
        if others_may_write(path.parent):
            return False
        info = path.stat()
        return fact in _lines(path, info.st_size, info.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=1)
def _lines(path: Path, size: int, mtime_ns: int) -> frozenset[str]:
    """The lines of the memory as it was at this size and time."""
    return frozenset(path.read_bytes().decode("ascii", "replace").split("\n"))


def remember(fact: str) -> None:
    """Remember a fact for a while, where there is room and permission."""
    with suppress(OSError):  # without room or permission every file is read each time
        path = kept_file(_MEMORY)
        if path is None:
            return
        fresh = os.O_TRUNC if path.exists() and path.stat().st_size > _LARGEST else 0
        # Appended in one call: processes that do so at once do not mix their lines.
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | fresh, 0o600)
        try:
            os.write(handle, f"{fact}\n".encode("ascii"))
        finally:
            os.close(handle)
