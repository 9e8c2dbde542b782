"""The SQLite file behind the catalog: connections, transactions, errors in words, migrations, remembered values."""

import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import quote

import sqlalchemy as sa

from birdsearch.errors import MAKE_ROOM, IndexDamagedError, IndexReplacedError, IndexUnwritableError, IndexVersionError
from birdsearch.files import with_trailing_slash
from birdsearch.records import shown
from birdsearch.storage.catalog.filters import distance_km
from birdsearch.storage.catalog.tables import MAX_INTEGER, DamagedValueError, metadata, roots, state, state_value

NEWEST = "0014"  # the last file in migrations/versions; a test compares

MAX_IN = 10_000  # values in one IN (...): SQLite takes at most 32,766
RESTORE = "Restore it from a backup, or move the index away and index again."
FILES = ("", "-wal", "-shm")  # what the names of the files of a catalog end with
_FOREIGN = "-journal"  # a catalog in WAL mode has none; one could name any file of the user for SQLite to delete


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


class Database:
    """One SQLite file with the tables of the newest migration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shared = threading.local()  # .connection: what `snapshot` holds open in this thread
        self._copy: _Copy | None = None
        self._guard: Callable[[], None] | None = None
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
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction: all of it is committed, or nothing."""
        if (shared := getattr(self._shared, "connection", None)) is not None:
            yield shared
            return
        if not self.is_in_place():  # a reader would go on with files that are deleted
            raise replaced_error(self.path.parent)
        with self._translating(), self._database.begin() as connection:
            yield connection
            if self._guard is not None:
                self._guard()

    @contextmanager
    def guarded(self, guard: Callable[[], None]) -> Iterator[None]:
        """Inside, call this before each commit; what it raises undoes the transaction."""
        self._guard = guard
        try:
            yield
        finally:
            self._guard = None

    def is_in_place(self) -> bool:
        """Whether the file that was opened is the one that lies there now."""
        with suppress(OSError):
            return self._opened_file is None or os.path.samestat(self._opened_file, os.stat(self.path))
        return False

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One state for everything that this thread reads inside, whatever a writer commits meanwhile. No writing."""
        if getattr(self._shared, "connection", None) is not None:
            yield
            return
        with self.transaction() as connection:
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = None

    @contextmanager
    def _translating(self) -> Iterator[None]:
        where = shown(str(self.path))
        try:
            yield
        except (DamagedValueError, UnicodeDecodeError) as error:  # the latter where an error names what is no text
            raise IndexDamagedError(f"the catalog {where} is damaged ({error}). {RESTORE}") from error
        except (sa.exc.DBAPIError, sqlite3.Error) as error:  # the latter from _connect and _on_connect
            reason = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
            if any(word in reason for word in ("full", "readonly", "unable to open", "disk I/O", "locked")):
                raise IndexUnwritableError(f"cannot use {where}: {reason}. {MAKE_ROOM}") from error
            if isinstance(error, sa.exc.ProgrammingError | sqlite3.ProgrammingError):
                raise
            raise IndexDamagedError(f"the catalog {where} is damaged ({reason}). {RESTORE}") from error

    # Schema

    def upgrade(self) -> None:
        """Bring the tables to the newest migration; the caller holds the lock."""
        version = self.version()
        if version == NEWEST:
            return
        if version is not None and version > NEWEST:
            raise IndexVersionError(
                f"{self.path} was written by a newer birdsearch (tables {version}): install that one."
            )
        from birdsearch.storage.catalog.migrations import upgrade

        if version is None:
            with self._translating(), self._database.connect() as connection:
                raw = connection.connection.driver_connection
                if raw is not None:
                    raw.execute("PRAGMA journal_mode=WAL")
        with self.transaction() as connection:
            upgrade(connection)

    def is_current(self) -> bool:
        """Whether the tables are those of this birdsearch. Raises IndexDamagedError where they only say so."""
        if self.version() != NEWEST:
            return False
        with self.transaction() as connection:
            columns = set(map(tuple, connection.exec_driver_sql(_COLUMNS)))
            indexes = set(map(tuple, connection.exec_driver_sql(_INDEXES)))
        ours = metadata.tables.values()
        wrong = columns ^ {(table.name, column.name, 0) for table in ours for column in table.columns}
        wrong |= indexes ^ {(i.name, table.name, c.name) for table in ours for i in table.indexes for c in i.columns}
        if wrong:
            what = min(wrong, key=repr)
            raise IndexDamagedError(
                f"the catalog {shown(str(self.path))} has not the tables that birdsearch makes "
                f"({what!r:.100}). {RESTORE}"
            )
        return True

    def version(self) -> str | None:
        """The migration that the tables stand at; None where there are no tables yet."""
        with self.transaction() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            if not isinstance(version, str) or not re.fullmatch(r"\d{4}", version):
                raise DamagedValueError(f"the version of its tables is {version!r:.80}")
            return version

    def integrity_problems(self) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        with self.transaction() as connection:
            problems = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check")
            problems += [f"dangling reference in {row[0]}" for row in dangling]
        return [line for line in problems if line != "ok"]

    # State

    def get_state(self, key: str, default: Any = None) -> Any:
        """One remembered value."""
        with self.transaction() as connection:
            value = state_value(key, connection.scalar(sa.select(state.c.value).where(state.c.key == key)))
        return default if value is None else value

    def set_state(self, key: str, value: Any, *, bump: bool = False) -> None:
        """Remember one value, in a transaction of its own; `bump` counts it as a commit that readers must see."""
        with self.transaction() as connection:
            put_state(connection, key, value)
            if bump:
                self.bump(connection)

    @property
    def generation(self) -> int:
        """How many commits there were: a reader that keeps what it derived from the catalog compares this."""
        return _generation(self.get_state("generation"))

    def bump(self, connection: sa.Connection) -> int:
        """Count a commit: readers see that something changed."""
        stored = connection.scalar(sa.select(state.c.value).where(state.c.key == "generation"))
        generation = _generation(stored) + 1
        put_state(connection, "generation", generation)
        return generation


def replaced_error(folder: Path) -> IndexReplacedError:
    """The error for an index that lies no longer where it was opened."""
    where = shown(str(folder))
    if folder.exists():
        return IndexReplacedError(f"another index has come to {where} since it was opened: open it again.")
    return IndexReplacedError(f"the index {where} was moved away or deleted since it was opened.")


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


def _generation(stored: Any) -> int:
    if type(stored) not in (int, type(None)) or not 0 <= (stored or 0) < MAX_INTEGER:
        raise DamagedValueError(f"its count of commits is {stored!r:.80}")
    return stored or 0


def put_state(connection: sa.Connection, key: str, value: Any) -> None:
    """Remember one value under a key, inside the caller's transaction."""
    connection.execute(sa.delete(state).where(state.c.key == key))
    connection.execute(sa.insert(state).values(key=key, value=value))


def where_in(
    connection: sa.Connection, statement: Any, column: sa.ColumnElement[Any], values: Sequence[Any]
) -> list[Any]:
    """Run a select, update or delete for those rows whose column has one of the values; returns the rows it gives."""
    values = [value for value in values if not isinstance(value, int) or abs(value) <= MAX_INTEGER]
    rows: list[Any] = []
    for start in range(0, len(values), MAX_IN):
        result = connection.execute(statement.where(column.in_(values[start : start + MAX_IN])))
        if result.returns_rows:
            rows.extend(result)
    return rows


def insert_columns(connection: sa.Connection, table: sa.Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Add rows to a table, given column by column, all of one length: the one way in for many rows."""
    dialect, names = connection.dialect, [column.name for column in table.c if column.name in columns]
    converted = []
    for name in names:
        convert = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        converted.append(columns[name] if convert is None else [*map(convert, columns[name])])
    if rows := list(zip(*converted, strict=True)):
        statement = sa.insert(table).compile(dialect=dialect, column_keys=names)
        # Rows as the driver takes them: SQLAlchemy spends more on a row than SQLite does.
        connection.exec_driver_sql(str(statement), rows)


def present(connection: sa.Connection, table: sa.Table, ids: Sequence[int]) -> set[int]:
    """Those of the ids that the table holds."""
    return {row[0] for row in where_in(connection, sa.select(table.c.id), table.c.id, ids)}


def roots_of(connection: sa.Connection) -> dict[int, bytes]:
    """Root id -> folder."""
    return dict(connection.execute(sa.select(roots.c.id, roots.c.path)).all())


def split_path(path: bytes, folders: Mapping[int, bytes]) -> tuple[int, bytes]:
    """A path as (root id, path under it)."""
    return split_paths([path], folders)[0]


def split_paths(paths: Sequence[bytes], folders: Mapping[int, bytes]) -> list[tuple[int, bytes]]:
    """Each path as (root id, path under it)."""
    deepest_first = sorted(((with_trailing_slash(root), root_id) for root_id, root in folders.items()), key=_depth)
    return [_split(path, deepest_first) for path in paths]


def under_roots(paths: Sequence[bytes], folders: Mapping[int, bytes]) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Root id, what a path under it begins with, and what follows that in those of these paths that lie there."""
    for root_id, root in folders.items():
        prefix = with_trailing_slash(root)
        if names := [path[len(prefix) :] for path in paths if path.startswith(prefix)]:
            yield root_id, prefix, names


def _depth(root: tuple[bytes, int]) -> int:
    return -len(root[0])


def _split(path: bytes, roots: Sequence[tuple[bytes, int]]) -> tuple[int, bytes]:
    for root, root_id in roots:
        if path.startswith(root):
            return root_id, path[len(root) :]
    raise ValueError(f"no root holds {os.fsdecode(path)}")
