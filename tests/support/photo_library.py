"""A library of photos with copies, its index, and a plan: for the tests of apply and undo."""

import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import birdsearch
from birdsearch import Index
from birdsearch.actions.undo import undo
from birdsearch.duplicates.cleanup.apply import apply
from birdsearch.duplicates.cleanup.plan import make_plan
from birdsearch.duplicates.cleanup.steps import ApplyOptions
from birdsearch.records import ActionReport, DuplicateGroup, DuplicateReport, Plan
from birdsearch.storage.catalog.sql import SQLCatalog
from birdsearch.storage.catalog.tables import metadata
from birdsearch.storage.folder import Folder
from birdsearch.storage.store import Store
from tests.support.catalogs import catalog_at
from tests.support.drawing import bird, write
from tests.support.index_worker import backbone


@dataclass(frozen=True)
class Facts:
    """All that apply and undo must keep of a file."""

    content: bytes
    mode: int = 0
    mtime_ns: int = 0
    owner: tuple[int, int] = (0, 0)
    attributes: tuple[tuple[str, bytes], ...] = ()
    names: int = 1  # hard links


@dataclass
class Library:
    """Photos and their index; `apply` and `undo` as Index calls them."""

    photos: Path
    index: Path

    def open(self) -> Index:
        """The index."""
        return birdsearch.open(self.index, backbone=backbone())

    def store(self) -> Store:
        """What the index holds, for tests of its parts."""
        return Store.open(self.index, backbone())

    def apply(self, plan: Plan, action: str = "trash", **options: Any) -> ActionReport:
        """Carry a plan out under the lock."""
        folder = Folder(self.index)
        with self._catalog() as catalog, folder.writing():
            return apply(folder, catalog, plan, ApplyOptions(action, **options))

    def undo(self, run: str | None = None) -> ActionReport:
        """Take a run back under the lock."""
        folder = Folder(self.index)
        with self._catalog() as catalog, folder.writing():
            return undo(folder, catalog, run)

    def tags(self, into: str) -> ActionReport:
        """Write what the files lack."""
        with self.open() as index:
            return index.write_tags(index.tags(into=into))

    def _catalog(self) -> AbstractContextManager[SQLCatalog]:
        return closing(catalog_at(self.index))

    def plan(self, *groups: Sequence[str], relation: str = "identical") -> Plan:
        """A plan of groups of names, the first of each kept."""
        with self.open() as index:
            photos = {photo.id: photo for photo in index.photos() if photo.id is not None}
        ids = {os.path.relpath(photo.path, self.photos): number for number, photo in photos.items()}
        made = [
            DuplicateGroup(relation, ids[group[0]], tuple(ids[name] for name in group[1:]), "first", reasons=())
            for group in groups
        ]
        return make_plan(DuplicateReport(groups=tuple(made)), photos)

    def path(self, name: str) -> str:
        """The absolute path of a photo."""
        return os.path.join(self.photos, name)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the catalog but the count of commits."""
        with self._catalog() as catalog, catalog.transaction() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
                for table in metadata.sorted_tables
                if table.name != "state"
            }

    def execute(self, statement: Any) -> None:
        """Change the catalog behind the index's back."""
        with self._catalog() as catalog, catalog.change() as connection:
            connection.execute(statement)


def files(*folders: Path) -> dict[str, Facts]:
    """Every file under some folders, hidden ones too, by its path. No folder beside the old ones."""
    found: dict[str, Facts] = {}
    for folder in folders:
        for place, below, names in os.walk(folder):
            if not names and not below and place != str(folder):
                found[place] = Facts(b"")
            for name in names:
                path = os.path.join(place, name)
                found[path] = facts(path)
    return found


def facts(path: str | Path) -> Facts:
    """Those of one file."""
    info = os.lstat(path)
    content = os.fsencode(os.readlink(path)) if stat.S_ISLNK(info.st_mode) else Path(path).read_bytes()
    owner, attributes = (info.st_uid, info.st_gid), []
    if hasattr(os, "listxattr"):
        names = sorted(os.listxattr(path, follow_symlinks=False))
        attributes = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
    return Facts(content, stat.S_IMODE(info.st_mode), info.st_mtime_ns, owner, tuple(attributes), info.st_nlink)


def contents(*folders: Path) -> set[bytes]:
    """The distinct contents of all files under some folders."""
    return {one.content for one in files(*folders).values()}


def copy(library: Path, name: str, other: str, mtime: int = 1_500_000_000, mode: int = 0o640) -> str:
    """Copy a photo under another name, with a time and a mode of its own."""
    target = library / other
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(library / name, target)
    target.chmod(mode)
    os.utime(target, ns=(mtime * 10**9, mtime * 10**9 + 123_456_789))
    return other


def indexed(folder: Path) -> Library:
    """Make the index of the photos in folder/photos, with labels from their folders."""
    made = Library(folder / "photos", folder / "index")
    with birdsearch.create(made.index, backbone=backbone()) as index:
        index.add(made.photos, labels="folder")
    return made


def small(folder: Path) -> Library:
    """Three different photos with a copy of each."""
    photos = folder / "photos"
    for n in range(3):
        write(photos / f"Wren/{n}.jpg", bird(n, 60, 40))
        copy(photos, f"Wren/{n}.jpg", f"copies/{n}.jpg", mtime=1_400_000_000 + n)
    return indexed(folder)


SMALL = [(f"Wren/{n}.jpg", f"copies/{n}.jpg") for n in range(3)]
