"""Places where the files of an index lie: a folder, or a prefix of an object store with copies of its files here."""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from birdsearch import objects
from birdsearch.cache import cache_folder, file_problem, make_private
from birdsearch.errors import IndexDamagedError, IndexFolderError, os_error_text
from birdsearch.files import atomic_write, is_url
from birdsearch.homes import data_folder
from birdsearch.records import shown

_ENGINE = "engine-.*"  # files of which a reader needs the newest alone


class Place(Protocol):
    """Where files of an index lie. They are written here, whole or not at all, and count when they are published."""

    @property
    def path(self) -> Path:
        """The folder in which the files lie, or copies of them."""

    @property
    def address(self) -> str:
        """What `place_of` takes, on any host."""

    def where(self, name: str) -> str:
        """What messages call a file."""

    def told(self, message: str) -> str:
        """A message that names files of `path`, as it is told."""

    def below(self, folder: str) -> "Place":
        """The place of a folder in this one."""

    def here(self, name: str, sha256: str | None = None) -> Path:
        """Where a file can be read; a copy is fetched where none of this content is here. It may not be there at all.

        Raises IndexFolderError where its store does not answer.
        """

    def make(self) -> None:
        """Make the folder `path` where it is missing."""

    def free(self, name: str) -> None:
        """Take from `path` a copy of a file that was in a store under this name: it keeps no new one from it."""

    def publish(self, name: str, *, new: bool = False) -> None:
        """Let a file that was written in `path` count for others; FileExistsError with `new` where there is one."""

    def names(self, after: str = "") -> Iterator[str]:
        """The files there, without those of folders below, and those whose names come before `after`."""

    def folders(self) -> list[str]:
        """The folders there."""

    def drop(self, pattern: str, keep: Collection[str] = ()) -> None:
        """Remove the files whose whole name fits a pattern, but those to keep."""

    def bytes(self) -> int:
        """How much room the files take."""


@contextmanager
def as_told(place: Place) -> Iterator[None]:
    """Let what is said of damaged files name those of the place, and not the copies that are read."""
    try:
        yield
    except IndexDamagedError as error:
        raise IndexDamagedError(place.told(str(error))) from error


def place_of(parts: str) -> Place:
    """The place that the address of an index names: a path or the URL of an object store."""
    return StorePlace(parts, cache_folder() / _key(parts)) if is_url(parts) else LocalPlace(Path(parts))


@contextmanager
def visited(address: str) -> Iterator[Place]:
    """The place of an address, of which no copies stay behind."""
    if not is_url(address):
        yield LocalPlace(Path(address))
        return
    with TemporaryDirectory(prefix="birds-") as copies:
        yield StorePlace(address, Path(copies))


def own_folder(parts: str) -> Path:
    """The folder of this computer for what cannot lie in a store: the place itself, or one among the user's data."""
    return data_folder() / _key(parts) if is_url(parts) else Path(parts)


def _key(url: str) -> str:
    return f"places/{hashlib.sha256(url.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A folder of this computer, or one that several reach by the same path."""

    path: Path

    @property
    def address(self) -> str:
        return str(self.path)

    def where(self, name: str) -> str:
        return shown(str(self.path / name))

    def told(self, message: str) -> str:
        return message

    def below(self, folder: str) -> Place:
        return LocalPlace(self.path / folder)

    def here(self, name: str, sha256: str | None = None) -> Path:
        return self.path / name

    def make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def free(self, name: str) -> None:
        pass  # no file is a copy

    def publish(self, name: str, *, new: bool = False) -> None:
        pass  # it is in its place

    def names(self, after: str = "") -> Iterator[str]:
        for entry in self._entries():
            if entry.name >= after and entry.is_file(follow_symlinks=False):
                yield entry.name

    def folders(self) -> list[str]:
        return [entry.name for entry in self._entries() if entry.is_dir(follow_symlinks=False)]

    def _entries(self) -> list[os.DirEntry[str]]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.path) as entries:
            return list(entries)
        return []

    def drop(self, pattern: str, keep: Collection[str] = ()) -> None:
        """Links and folders are not ours."""
        for name in fitting(self.names(), pattern, keep):
            (self.path / name).unlink(missing_ok=True)

    def bytes(self) -> int:
        total = 0
        for path in self.path.rglob("*"):
            with suppress(OSError):  # a writer at work renames and removes
                total += path.stat().st_size if path.is_file() else 0
        return total


@dataclass(frozen=True, slots=True)
class StorePlace:
    """A prefix of an object store; files are read from copies in the user's cache, which are fetched once."""

    url: str
    path: Path

    @property
    def address(self) -> str:
        return self.url

    def where(self, name: str) -> str:
        return shown(f"{self.url}/{name}")

    def told(self, message: str) -> str:
        return message.replace(shown(str(self.path)), shown(self.url))

    def below(self, folder: str) -> Place:
        return StorePlace(f"{self.url}/{folder}", self.path / folder)

    def here(self, name: str, sha256: str | None = None) -> Path:
        path = self.path / name
        if sha256 is not None and file_problem(path, sha256) is None:
            return path
        try:
            with objects.opened(f"{self.url}/{name}") as (_, blocks):
                make_private(path.parent)
                with atomic_write(path) as file:
                    for block in blocks:
                        file.write(block)
        except FileNotFoundError:
            path.unlink(missing_ok=True)  # a copy of what is gone
            return path
        except OSError as error:
            raise IndexFolderError(f"cannot read {self.where(name)}: {os_error_text(error)}.") from error
        if re.fullmatch(_ENGINE, name):
            LocalPlace(self.path).drop(_ENGINE, (name,))
        return path

    def make(self) -> None:
        make_private(self.path)

    def free(self, name: str) -> None:
        """It may be of an index that lay in the store before, or of another host's part that was given up."""
        (self.path / name).unlink(missing_ok=True)

    def publish(self, name: str, *, new: bool = False) -> None:
        """A file that could not be published is not here either."""
        try:
            path = self.path / name
            objects.write(f"{self.url}/{name}", path.read_bytes() if new else path, new=new)
        except BaseException:
            (self.path / name).unlink(missing_ok=True)
            raise

    def names(self, after: str = "") -> Iterator[str]:
        prefix = len(self.url) + 1
        for one in objects.listed(self.url, after):
            if "/" not in (name := one.url[prefix:]):
                yield name

    def folders(self) -> list[str]:
        return objects.folders(self.url)

    def drop(self, pattern: str, keep: Collection[str] = ()) -> None:
        LocalPlace(self.path).drop(pattern, keep)
        objects.delete(f"{self.url}/{name}" for name in fitting(list(self.names()), pattern, keep))

    def bytes(self) -> int:
        return sum(one.state.size or 0 for one in objects.listed(self.url))


def fitting(names: Iterable[str], pattern: str, keep: Collection[str] = ()) -> list[str]:
    """Those names that fit a pattern as a whole, but those to keep."""
    return [name for name in names if name not in keep and re.fullmatch(pattern, name)]
