"""A catalog in one SQLite file: what is SQLite's own."""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import quote

import sqlalchemy as sa

from birdsearch.errors import MAKE_ROOM, IndexDamagedError, IndexReplacedError, IndexUnwritableError
from birdsearch.records import shown
from birdsearch.storage.catalog.database import RESTORE, Columns, Indexes, replaced_error
from birdsearch.storage.catalog.filters import distance_km
from birdsearch.storage.catalog.sql import SQLCatalog

FILES = ("", "-wal", "-shm")  # what the names of the files of a catalog end with
_FOREIGN = "-journal"  # a catalog in WAL mode has none; one could name any file of the user for SQLite to delete


class SQLiteCatalog(SQLCatalog):
    """One catalog.sqlite. Any number of readers in any process; the caller holds the index's lock while writing."""

    def __init__(self, path: Path) -> None:
        super().__init__(SQLite(path))


class _Connection(sqlite3.Connection):
    """A connection to the catalog."""

    shared = True  # whether SQLite tells it what other processes write; else it holds for one transaction only


def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own transactions leave DDL outside: SQLAlchemy begins them instead (see _on_begin).
    connection.isolation_level = None
    # The last two: a catalog may be a stranger's, or damaged.
    pragmas = ("foreign_keys=ON", "synchronous=FULL", "temp_store=MEMORY", "trusted_schema=OFF", "cell_size_check=ON")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("distance_km", 4, distance_km, deterministic=True)


def _on_begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _on_checkin(connection: _Connection | None, record: Any) -> None:
    if connection is not None and not connection.shared:
        record.invalidate()


class SQLite:
    """The file of a catalog."""

    several_writers = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index, self.where = shown(str(path.parent)), shown(str(path))
        self._copy: _Copy | None = None
        self._opened_file: os.stat_result | None = None
        self._database = sa.create_engine(
            "sqlite://", creator=self._connect, poolclass=sa.QueuePool, hide_parameters=True
        )
        sa.event.listen(self._database, "connect", _on_connect)
        sa.event.listen(self._database, "begin", _on_begin)
        sa.event.listen(self._database, "checkin", _on_checkin)

    def _connect(self) -> sqlite3.Connection:
        """A connection that can write where that is possible, and else one that can read.

        Even to read, SQLite wants to create a file beside the catalog, for which there may be no room or permission.
        """
        for path in (f"{self.path}{suffix}" for suffix in (*FILES, _FOREIGN)):
            if os.path.lexists(path) and (path.endswith(_FOREIGN) or not os.path.isfile(path) or os.path.islink(path)):
                raise IndexDamagedError(
                    f"{shown(path)} is not what birdsearch writes, and is not opened: if this index came from somebody "
                    "else, do not use it; if the file is yours, move it away."
                )
        if os.access(self.path.parent, os.W_OK):
            try:
                return self._opened(self.path)
            except sqlite3.OperationalError:
                if not self.path.exists():
                    raise
        if os.path.exists(f"{self.path}-wal"):
            try:
                return self._opened(self.path, "mode=ro", shared=False)  # joins a writer at work
            except sqlite3.OperationalError:
                if os.path.getsize(f"{self.path}-wal"):
                    # A writer was killed: SQLite wants to write what it left into the catalog.
                    self._copy = _Copy.of(self.path, self._copy)
                    return self._opened(self._copy.path, shared=False)
        return self._opened(self.path, "mode=ro&immutable=1", shared=False)  # at rest

    def _opened(self, path: Path, mode: str = "", *, shared: bool = True) -> sqlite3.Connection:
        uri = "file:" + quote(os.fsencode(path))
        connection = sqlite3.connect(f"{uri}?{mode}", 60, uri=True, check_same_thread=False, factory=_Connection)
        connection.shared = shared
        try:
            schema = connection.execute("SELECT type, name, rootpage FROM sqlite_master").fetchall()
            # They would run, unasked, with whatever birdsearch reads or writes.
            if foreign := [name for kind, name, page in schema if kind not in ("table", "index") or not page]:
                raise IndexDamagedError(
                    f"the catalog {shown(str(self.path))} has a trigger or a view, {foreign[0]!r:.80}, "
                    "which birdsearch never makes: if this index came from somebody else, do not use it."
                )
            if path == self.path:
                self._opened_file = self._opened_file or os.stat(path)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Give every connection back."""
        self._database.dispose()
        if self._copy is not None:
            self._copy.folder.cleanup()
            self._copy = None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction, which sees one state of the file."""
        if not self.is_in_place():  # a reader would go on with files that are deleted
            raise self.replaced()
        with self._database.begin() as connection:
            yield connection

    changing = reading  # the lock of the index keeps other writers away

    def is_in_place(self) -> bool:
        """Whether the file that was opened is the one that lies there now."""
        with suppress(OSError):
            return self._opened_file is None or os.path.samestat(self._opened_file, os.stat(self.path))
        return False

    def replaced(self) -> IndexReplacedError:
        """The error for another file."""
        return replaced_error(self.path.parent)

    def in_words(self, error: Exception) -> Exception | None:
        """What an error of SQLite means for the user."""
        if not isinstance(error, sa.exc.DBAPIError | sqlite3.Error):  # the latter from _connect and _on_connect
            return None
        reason = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
        if any(word in reason for word in ("full", "readonly", "unable to open", "disk I/O", "locked")):
            return IndexUnwritableError(f"cannot use {self.where}: {reason}. {MAKE_ROOM}")
        if isinstance(error, sa.exc.ProgrammingError | sqlite3.ProgrammingError):
            return None
        return IndexDamagedError(f"the catalog {self.where} is damaged ({reason}). {RESTORE}")

    def make_tables(self, identity: Mapping[str, Any]) -> None:
        """None yet: the migrations make them."""
        with self._database.connect() as connection:
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA journal_mode=WAL")

    def described(self, connection: sa.Connection) -> tuple[Columns, Indexes]:
        """The columns and indexes that there are."""
        columns = connection.exec_driver_sql(_COLUMNS)
        return {(t, c, hidden) for t, c, hidden in columns}, {
            (i, t, c) for i, t, c in connection.exec_driver_sql(_INDEXES)
        }

    def problems(self, connection: sa.Connection) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        problems = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
        dangling = connection.exec_driver_sql("PRAGMA foreign_key_check")
        problems += [f"dangling reference in {row[0]}" for row in dangling]
        return [line for line in problems if line != "ok"]

    def new_ids(self, connection: sa.Connection, photos: int, regions: int) -> tuple[int, int]:
        """The next ones: nobody else takes ids while the caller holds the lock of the index."""
        return self._next(connection, "photos"), self._next(connection, "regions")

    def new_part(self, connection: sa.Connection) -> int:
        """The next one, likewise."""
        return self._next(connection, "parts")

    def _next(self, connection: sa.Connection, table: str) -> int:
        used = connection.scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = :table"), {"table": table})
        return int(used or 0) + 1


# The columns of all tables but those of SQLite and Alembic, with 1 or more for one that is computed; and the indexes.
_COLUMNS = """
    SELECT m.name, c.name, c.hidden FROM sqlite_master m, pragma_table_xinfo(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.name != 'alembic_version'
"""
_INDEXES = """
    SELECT m.name, m.tbl_name, c.name FROM sqlite_master m, pragma_index_info(m.name) c
    WHERE m.type = 'index' AND m.sql IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of a catalog and of what a killed writer left beside it."""

    folder: TemporaryDirectory[str]
    path: Path
    sizes: list[tuple[int, int]]  # and times of what was copied

    @classmethod
    def of(cls, catalog: Path, earlier: "Self | None") -> Self:
        """The earlier one where it still holds."""
        infos = [os.stat(f"{catalog}{suffix}") for suffix in FILES[:2]]
        sizes = [(info.st_size, info.st_mtime_ns) for info in infos]
        if earlier is not None and earlier.sizes == sizes:
            return earlier
        folder = TemporaryDirectory(prefix="birdsearch-")
        for suffix in FILES[:2]:
            shutil.copyfile(f"{catalog}{suffix}", os.path.join(folder.name, f"catalog{suffix}"))
        if earlier is not None:
            earlier.folder.cleanup()
        return cls(folder, Path(folder.name, "catalog"), sizes)
