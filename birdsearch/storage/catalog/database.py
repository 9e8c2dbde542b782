"""The SQLite file behind the catalog: connections, transactions, errors in words, migrations, remembered values."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from birdsearch.errors import IndexDamagedError, IndexUnwritableError, IndexVersionError
from birdsearch.storage.catalog.filters import distance_km
from birdsearch.storage.catalog.tables import state

NEWEST = "0005"  # the last file in migrations/versions; a test compares

MAX_IN = 10_000  # values in one IN (...): SQLite takes at most 32,766


def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own transactions leave DDL outside: SQLAlchemy begins them instead (see _on_begin).
    connection.isolation_level = None
    for pragma in ("busy_timeout=60000", "foreign_keys=ON", "synchronous=FULL", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("distance_km", 4, distance_km, deterministic=True)


def _on_begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


class Database:
    """One SQLite file with the tables of the newest migration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shared = threading.local()  # .connection: what `snapshot` holds open in this thread
        # A reader without the right to write looks anew each time whether a writer is at work (see _connect).
        pool = sa.QueuePool if os.access(path.parent, os.W_OK) else sa.NullPool
        self._database = sa.create_engine("sqlite://", creator=self._connect, poolclass=pool, hide_parameters=True)
        sa.event.listen(self._database, "connect", _on_connect)
        sa.event.listen(self._database, "begin", _on_begin)

    def _connect(self) -> sqlite3.Connection:
        mode = ""
        if not os.access(self.path.parent, os.W_OK):
            # SQLite cannot create its two files beside the database: it joins those of a writer at work or of one
            # that was killed, or reads a file that is at rest as it is.
            mode = "mode=ro&" if os.path.exists(f"{self.path}-wal") else "mode=ro&immutable=1&"
        uri = "file:" + quote(os.fsencode(self.path))
        return sqlite3.connect(f"{uri}?{mode}", uri=True, check_same_thread=False)

    def close(self) -> None:
        """Give every connection back."""
        self._database.dispose()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction: all of it is committed, or nothing."""
        if (shared := getattr(self._shared, "connection", None)) is not None:
            yield shared
            return
        with self._translating(), self._database.begin() as connection:
            yield connection

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
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:  # the latter from _on_connect
            reason = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
            if any(word in reason for word in ("full", "readonly", "unable to open", "disk I/O", "locked")):
                raise IndexUnwritableError(
                    f"cannot use {self.path}: {reason}. "
                    "What was committed is safe: make room or permission, then run the same command again."
                ) from error
            if any(word in reason for word in ("malformed", "not a database", "no such table", "no such column")):
                raise IndexDamagedError(
                    f"the catalog {self.path} is damaged ({reason}). "
                    "Restore it from a backup, or move the index away and index again."
                ) from error
            raise

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
        """Whether the tables are those of this birdsearch."""
        return self.version() == NEWEST

    def version(self) -> str | None:
        """The migration that the tables stand at; None where there are no tables yet."""
        with self.transaction() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))

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
            value = connection.scalar(sa.select(state.c.value).where(state.c.key == key))
        return default if value is None else value

    def set_state(self, key: str, value: Any, *, bump: bool = False) -> None:
        """Remember one value, in a transaction of its own; `bump` counts it as a commit that readers must see."""
        with self.transaction() as connection:
            _put_state(connection, key, value)
            if bump:
                self.bump(connection)

    @property
    def generation(self) -> int:
        """How many commits there were: a reader that keeps what it derived from the catalog compares this."""
        return int(self.get_state("generation", 0))

    def bump(self, connection: sa.Connection) -> int:
        """Count a commit: readers see that something changed."""
        generation = int(connection.scalar(sa.select(state.c.value).where(state.c.key == "generation")) or 0) + 1
        _put_state(connection, "generation", generation)
        return generation


def _put_state(connection: sa.Connection, key: str, value: Any) -> None:
    connection.execute(sa.delete(state).where(state.c.key == key))
    connection.execute(sa.insert(state).values(key=key, value=value))


def where_in(connection: sa.Connection, statement: Any, column: sa.Column[Any], values: Sequence[Any]) -> list[Any]:
    """Run a select, update or delete for those rows whose column has one of the values; returns the rows it gives."""
    rows: list[Any] = []
    for start in range(0, len(values), MAX_IN):
        result = connection.execute(statement.where(column.in_(values[start : start + MAX_IN])))
        if result.returns_rows:
            rows.extend(result)
    return rows
