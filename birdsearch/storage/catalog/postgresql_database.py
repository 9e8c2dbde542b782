"""A catalog in PostgreSQL: one schema for each index of a database, found by its name; and who writes there."""

import hashlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from birdsearch.errors import (
    IndexDamagedError,
    IndexExistsError,
    IndexLockedError,
    IndexMissingError,
    IndexReplacedError,
    IndexUnreachableError,
    IndexUnwritableError,
    InstallationError,
)
from birdsearch.records import shown
from birdsearch.storage.address import Address
from birdsearch.storage.catalog.database import NEWEST, RESTORE, Columns, Indexes, put_state
from birdsearch.storage.catalog.filters import EARTH_KM
from birdsearch.storage.catalog.sql import SQLCatalog
from birdsearch.storage.catalog.tables import IDENTITY, metadata

_REGISTRY = "public.birdsearch_indexes"  # which indexes a database holds: name, schema, time
_LOOK_UP = sa.text(f"SELECT schema_name FROM {_REGISTRY} WHERE name = :name")
_ENTER = sa.text(f"INSERT INTO {_REGISTRY} VALUES (:name, :schema)")
_AGAIN = "No finished work is lost: run the same command again when the database answers."
_NOT_IN = (
    "Check host, port, database and user of the address, and the password (PGPASSWORD, ~/.pgpass). If the server was "
    "stopped, no finished work is lost: run the same command again when it is back."
)
_RIGHTS = (
    "Let the role that owns the database, or the table, grant the right, as docs/scale.md says under Setting up "
    "PostgreSQL; then do the same again."
)
_LOST = sa.exc.PendingRollbackError  # of a connection that was lost, and is asked again
_LOCK_POLL = 0.1  # seconds
_TIDYING = 10.0  # seconds
_CONNECT = 10  # seconds that the first answer of a server may take
# A server notices within two minutes that the computer of a writer has gone, and gives its lock back. What is streamed
# is read to its end, for which it is to plan.
_SETTINGS = (
    "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6 -c cursor_tuple_fraction=1"
)

# As filters.distance_km: great-circle distance in km (haversine formula).
_DISTANCE_KM = f"""
CREATE FUNCTION distance_km(a float8, b float8, c float8, d float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT 2 * {EARTH_KM} * asin(least(1.0, sqrt(
    sin((radians(a) - radians(c)) / 2) ^ 2 + cos(radians(a)) * cos(radians(c)) * sin(radians(b - d) / 2) ^ 2)))
$$
"""


class PostgreSQLCatalog(SQLCatalog):
    """One schema of a PostgreSQL database. Any number of readers and, of commits of a moment, writers on any host."""

    def __init__(self, address: Address) -> None:
        super().__init__(PostgreSQL(address))


class PostgreSQL:
    """The schema of an index. Nothing is asked of the server before a question comes."""

    several_writers = True

    def __init__(self, address: Address) -> None:
        self.index = self.where = shown(str(address))
        self._name = address.name
        self._schema: str | None = None  # that was found at the first connection
        self._commit_key = _key("commit", address.name)
        # A connection that the server has ended is noticed before it is used.
        self._database = _engine(address, pool_pre_ping=True)
        sa.event.listen(self._database, "connect", self._enter_schema)
        self._plain = _engine(address, poolclass=sa.NullPool)  # for what does not lie in the schema of the index
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._readers = self._database.execution_options(**options)
        self._writers = self._database.execution_options(isolation_level="READ COMMITTED")

    def close(self) -> None:
        """Give every connection back."""
        self._database.dispose()

    def _enter_schema(self, connection: Any, _record: Any) -> None:
        try:
            self._schema = self._entered(connection)
        except BaseException:
            connection.close()
            raise

    def _entered(self, connection: Any) -> str:
        """Let a new connection see the tables of the index; returns their schema."""
        with connection.cursor() as cursor:
            found = cursor.execute(f"SELECT to_regclass('{_REGISTRY}')").fetchone()
            if found[0] is not None:
                found = cursor.execute(f"SELECT schema_name FROM {_REGISTRY} WHERE name = %s", [self._name]).fetchone()
            if found is None or found[0] is None:
                raise self._missing(connection)
            if self._schema not in (None, found[0]):
                raise self.replaced()
            cursor.execute("SELECT set_config('search_path', quote_ident(%s), false)", [found[0]])
        connection.commit()
        return str(found[0])

    def _missing(self, connection: Any) -> Exception:
        if self._schema is not None:
            return self.replaced()
        with suppress(Exception), connection.cursor() as cursor:
            connection.rollback()
            names = cursor.execute(f"SELECT name FROM {_REGISTRY} ORDER BY name LIMIT 20").fetchall()
            there = ", ".join(shown(name) for (name,) in names)
            return IndexMissingError(f"no index at {self.index}. The database holds {there}.")
        return IndexMissingError(
            f"no index at {self.index}. Make it with `birdsearch index DIR`, in Python with birdsearch.create."
        )

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the catalog, and can change nothing."""
        with self._readers.begin() as connection:
            yield connection

    @contextmanager
    def changing(self) -> Iterator[sa.Connection]:
        """A transaction; those of other writers wait for its end, so that each sees all earlier ones."""
        with self._writers.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(self._commit_key)))
            yield connection

    def is_in_place(self) -> bool:
        """Whether the name of the index still leads to the schema that was opened."""
        if self._schema is None:
            return True
        with self._plain.connect() as connection:
            return bool(connection.scalar(_LOOK_UP, {"name": self._name}) == self._schema)

    def replaced(self) -> IndexReplacedError:
        """The error for an index that was dropped, or another one under its name."""
        return IndexReplacedError(f"the index {self.index} was removed or replaced since it was opened: open it again.")

    def in_words(self, error: Exception) -> Exception | None:
        """What an error of PostgreSQL means for the user."""
        if isinstance(error, sa.exc.DBAPIError):
            error = error.orig or error
        dbapi = self._database.dialect.dbapi
        assert dbapi is not None  # the engine was made
        if not isinstance(error, dbapi.Error | _LOST):  # of COPY it comes from the driver itself
            return None
        if _state(error) in ("3F000", "42P01") and self._schema is not None:
            return self.replaced()
        return in_words(error, self.where)

    # Tables

    def make_tables(self, identity: Mapping[str, Any]) -> None:
        """A schema with the tables of the newest migration, and its place in the list of indexes, or nothing.

        They are made from the code, not by the migrations before: those are SQLite's, of indexes that never lay here.
        """
        schema = schema_of(identity["id"])
        with self._plain.begin() as connection:
            if (encoding := connection.scalar(sa.text("SHOW server_encoding"))) != "UTF8":
                raise IndexUnwritableError(
                    f"the database of {self.where} holds texts in {encoding}, which lacks letters: make one with "
                    "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
                )
            _lock_list(connection)
            if connection.scalar(_LOOK_UP, {"name": self._name}) is not None:
                raise IndexExistsError(f"there is an index at {self.index} already: open it, or choose another name.")
            connection.execute(sa.schema.CreateSchema(schema))
            connection.execute(sa.text("SELECT set_config('search_path', :schema, true)"), {"schema": schema})
            connection.execute(sa.text(_DISTANCE_KM))
            _make_tables(connection)
            connection.execute(sa.text("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"))
            connection.execute(sa.text("INSERT INTO alembic_version VALUES (:newest)"), {"newest": NEWEST})
            put_state(connection, IDENTITY, identity)
            connection.execute(_ENTER, {"name": self._name, "schema": schema})

    def described(self, connection: sa.Connection) -> tuple[Columns, Indexes]:
        """The columns and indexes that there are."""
        columns = connection.exec_driver_sql(_COLUMNS)
        indexes = connection.exec_driver_sql(_INDEXES)
        return {(t, c, computed) for t, c, computed in columns}, {(i, t, c) for i, t, c in indexes}

    def problems(self, connection: sa.Connection) -> list[str]:
        """What the extension amcheck finds wrong with the indexes of the tables, where the database has it."""
        if connection.scalar(sa.text("SELECT to_regproc('public.bt_index_check')")) is None:
            return []
        found = []
        for (name,) in connection.exec_driver_sql(_BTREES).all():
            try:
                with connection.begin_nested():
                    connection.execute(sa.text("SELECT public.bt_index_check(CAST(:name AS regclass))"), {"name": name})
            except sa.exc.DBAPIError as error:
                if _state(error.orig) == "42501":
                    return []  # this user may not look
                found.append(" ".join(str(error.orig).split()))
        return found

    def new_ids(self, connection: sa.Connection, photos: int, regions: int) -> tuple[int, int]:
        """From sequences, which go back on no rollback: a writer that is killed wastes some."""
        return _block(connection, "photos", photos), _block(connection, "regions", regions)

    def new_part(self, connection: sa.Connection) -> int:
        """The next one of the sequence, likewise."""
        return _block(connection, "parts", 1)


def indexes_of(database: Address) -> dict[str, int]:
    """The names of the indexes of a database, and how many bytes the catalog of each takes."""
    with _plainly(database) as connection:
        if not _has_list(connection):
            return {}
        return {str(name): int(size) for name, size in connection.exec_driver_sql(_SIZES)}


def schema_of(index_id: str) -> str:
    """The schema that holds the catalog of an index."""
    return f"birds_{index_id}"


def is_unlisted(address: Address, index_id: str) -> bool:
    """Whether the database holds the schema of an index, as a dump brings it back, and lists it under no name."""
    with _plainly(address) as connection:
        return _is_unlisted(connection, index_id)


def list_again(address: Address, index_id: str) -> bool:
    """List such an index under the name of the address; False where it is none."""
    with _plainly(address) as connection:
        _lock_list(connection)
        unlisted = _is_unlisted(connection, index_id)
        if unlisted:
            connection.execute(_ENTER, {"name": address.name, "schema": schema_of(index_id)})
        return unlisted


@contextmanager
def _plainly(database: Address) -> Iterator[sa.Connection]:
    """A transaction outside of the schema of an index. What goes wrong is said in words."""
    try:
        with _engine(database, poolclass=sa.NullPool).begin() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise in_words(error.orig or error, shown(str(database))) or error from error


def _lock_list(connection: sa.Connection) -> None:
    """Keep others from changing the list of indexes until the end of the transaction; make it where it is missing."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_key("create", ""))))
    if not _has_list(connection):
        columns = 'name text COLLATE "C" PRIMARY KEY, schema_name text NOT NULL, created timestamptz DEFAULT now()'
        connection.execute(sa.text(f"CREATE TABLE {_REGISTRY} ({columns})"))


def _has_list(connection: sa.Connection) -> bool:
    return connection.scalar(sa.text(f"SELECT to_regclass('{_REGISTRY}')")) is not None


def _is_unlisted(connection: sa.Connection, index_id: str) -> bool:
    schema = {"schema": schema_of(index_id)}
    if connection.scalar(sa.text("SELECT to_regclass(quote_ident(:schema) || '.state')"), schema) is None:
        return False
    listed = sa.text(f"SELECT count(*) FROM {_REGISTRY} WHERE schema_name = :schema")
    return not (_has_list(connection) and connection.scalar(listed, schema))


def in_words(error: BaseException, where: str) -> Exception | None:
    """What an error of the driver means for the user, by its class (SQLSTATE); None for a mistake of ours."""
    state, reason = _state(error), "the connection was lost" if isinstance(error, _LOST) else _said(error)
    if state == "42501":
        return IndexUnwritableError(f"cannot use {where}: {reason}. {_RIGHTS}")
    if state[:2] == "23" or state in ("40001", "40P01"):
        return IndexLockedError(
            f"another process has changed the same photos of {where} at the same moment: nothing of this commit was "
            "written. Run the same command again."
        )
    # It has ended, is starting, or has no connection left (53300); the driver alone has no state to give.
    if not state or state[:2] in ("08", "57") or state == "53300":
        return IndexUnreachableError(f"cannot use {where}: {reason}. {_AGAIN if state else _NOT_IN}")
    if state[:2] in ("25", "28", "3D", "53", "55", "58"):
        return IndexUnwritableError(f"cannot use {where}: {reason}. {_NOT_IN if state[:2] in ('28', '3D') else _AGAIN}")
    if state[:2] in ("22", "54", "XX"):
        return IndexDamagedError(f"the catalog {where} is damaged ({reason}). {RESTORE}")
    return None


def _state(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _said(error: BaseException) -> str:
    """What the server says, without the place in the SQL that it adds; else all that the driver says."""
    words = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    return ". ".join(" ".join(line.split()).rstrip(".?") for line in words.splitlines() if line.strip())


class AdvisoryLock:
    """The lock of an index that the server of its catalog keeps, on a connection that dies with its process."""

    def __init__(self, address: Address, timeout: float, purpose: str = "write") -> None:
        self._where = shown(str(address))
        self._timeout = timeout  # seconds that a writer waits for others
        self._key = _key(purpose, address.name)
        self._building_key = _key("build", address.name)
        self._engine = _engine(address, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        self._connection: sa.Connection | None = None

    @contextmanager
    def held(self, *, shared: bool = False) -> Iterator[bool]:
        """See `WriterLock`."""
        with self._translating(), self._engine.connect() as connection:
            alone = self._take(connection, shared)
            self._connection = connection
            try:
                yield alone
            finally:
                self._connection = None
                if not connection.invalidated:
                    # The server notices in its own time that a connection was closed: the next writer would not wait.
                    with suppress(sa.exc.DBAPIError):
                        connection.execute(sa.select(sa.func.pg_advisory_unlock_all()))

    def _take(self, connection: sa.Connection, shared: bool) -> bool:
        # Who shares it is alone for a moment at first, to tidy up: that is worth waiting for.
        end = time.monotonic() + max(self._timeout, _TIDYING if shared else 0)
        while True:
            if connection.scalar(sa.select(sa.func.pg_try_advisory_lock(self._key))):
                return True
            if shared and connection.scalar(sa.select(sa.func.pg_try_advisory_lock_shared(self._key))):
                return False
            if time.monotonic() >= end:
                raise IndexLockedError(
                    f"{self._where} is being written by {self._writers(connection)}: wait until it is done."
                )
            time.sleep(_LOCK_POLL)

    def share(self) -> None:
        """See `WriterLock`."""
        if self._connection is not None:
            with self._translating():
                self._connection.execute(sa.select(sa.func.pg_advisory_lock_shared(self._key)))
                self._connection.execute(sa.select(sa.func.pg_advisory_unlock(self._key)))

    @contextmanager
    def building(self) -> Iterator[None]:
        """See `WriterLock`."""
        connection = self._connection
        assert connection is not None  # it is held
        with self._translating():
            connection.execute(sa.select(sa.func.pg_advisory_lock(self._building_key)))
        yield
        with self._translating():
            connection.execute(sa.select(sa.func.pg_advisory_unlock(self._building_key)))

    def check(self) -> None:
        """See `WriterLock`: a connection that was lost has given the lock back."""
        if self._connection is not None:
            with self._translating():
                self._connection.execute(sa.select(1))

    def _writers(self, connection: sa.Connection) -> str:
        """Who holds the lock: each process says so in its name."""
        query = sa.text(
            "SELECT DISTINCT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted "
            "AND l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = :key "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1 LIMIT 5"
        )
        names = [shown(str(name)) for name in connection.scalars(query, {"key": self._key})]
        return ", ".join(name.replace("birdsearch ", "process ", 1) for name in names) or "another process"

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, _LOST) as error:
            raise in_words(getattr(error, "orig", None) or error, self._where) or error from error


def _block(connection: sa.Connection, table: str, count: int) -> int:
    """The first of so many ids that follow one another; nobody else takes any inside a transaction that changes."""
    sequence = f"{table}_id_seq"
    first = int(connection.scalar(sa.text(f"SELECT nextval('{sequence}')")) or 0)
    if count > 1:
        connection.execute(sa.text(f"SELECT setval('{sequence}', :last)"), {"last": first + count - 1})
    return first


def _engine(address: Address, **options: Any) -> sa.Engine:
    # libpq keeps no more than 63 letters of the name.
    name = f"birdsearch {os.getpid()} on {socket.gethostname()}"[:63]
    arguments = {
        "connect_timeout": _CONNECT,
        "application_name": name,
        "options": _SETTINGS,
        "client_encoding": "utf8",
    }
    try:
        return sa.create_engine(address.catalog, hide_parameters=True, connect_args=arguments, **options)
    except ModuleNotFoundError as error:
        raise InstallationError(
            'a catalog in PostgreSQL needs psycopg, which is not installed: pip install "birdsearch[cluster]"'
        ) from error


def _make_tables(connection: sa.Connection) -> None:
    """Make the tables in the first schema of the search path; an index of some rows in SQLite is one here."""
    for index in (index for table in metadata.sorted_tables for index in table.indexes):
        index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    metadata.create_all(connection, checkfirst=False)


def _key(purpose: str, name: str) -> int:
    """The number of an advisory lock, of 64 bits with a sign."""
    digest = hashlib.sha256(f"birdsearch {purpose} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


_COLUMNS = """
    SELECT t.relname, a.attname, (a.attgenerated != '')::int FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid
    WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    AND t.relname != 'alembic_version'
"""
_INDEXES = """
    SELECT c.relname, t.relname, a.attname FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY(i.indkey)
    WHERE t.relnamespace = current_schema()::regnamespace
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
"""
_SIZES = f"""
    SELECT i.name, coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM {_REGISTRY} i
    LEFT JOIN pg_namespace n ON n.nspname = i.schema_name
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r'
    GROUP BY i.name ORDER BY i.name
"""
_BTREES = """
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_am m ON m.oid = c.relam
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'i' AND m.amname = 'btree'
"""
