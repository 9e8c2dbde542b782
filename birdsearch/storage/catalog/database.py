"""What a catalog needs of the database that it lies in: transactions, errors in words, tables, remembered values."""

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from birdsearch.errors import IndexDamagedError, IndexReplacedError, IndexVersionError
from birdsearch.files import with_trailing_slash
from birdsearch.records import shown
from birdsearch.storage.catalog.tables import (
    IDENTITY,
    MAX_INTEGER,
    DamagedValueError,
    Row,
    is_visible,
    metadata,
    photos,
    roots,
    state,
    state_value,
)

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

NEWEST = "0015"  # the last file in migrations/versions; a test compares

MAX_IN = 10_000  # values in one IN (...): SQLite takes at most 32,766
BLOCK = 8192  # rows of a long answer that are in memory
RESTORE = "Restore it from a backup, or move the index away and index again."
Columns = set[tuple[str, str, int]]  # table, column, and more than 0 where it is computed
Indexes = set[tuple[str, str, str]]  # index, table, column


class Dialect(Protocol):
    """What differs between the databases that a catalog can lie in: a class each for SQLite and PostgreSQL."""

    several_writers: bool  # whether others may commit while one collects
    index: str  # the index, as messages name it
    where: str  # its catalog, likewise

    def reading(self) -> AbstractContextManager[sa.Connection]: ...  # one state of the catalog until the block ends
    def changing(self) -> AbstractContextManager[sa.Connection]: ...  # a transaction that sees every earlier change
    def is_in_place(self) -> bool: ...  # whether the catalog that was opened is still the one of this index
    def replaced(self) -> IndexReplacedError: ...  # where it is not
    def in_words(self, error: Exception) -> Exception | None: ...  # what the user can do about it; None: to be raised
    def make_tables(self, identity: Mapping[str, Any]) -> None: ...  # of a new index, or what the migrations begin with
    def described(self, connection: sa.Connection) -> tuple[Columns, Indexes]: ...
    def problems(self, connection: sa.Connection) -> list[str]: ...  # what the database finds wrong with itself
    def new_ids(self, connection: sa.Connection, photos: int, regions: int) -> tuple[int, int]: ...
    def new_part(self, connection: sa.Connection) -> int: ...
    def close(self) -> None: ...


class Database:
    """The tables of one catalog, in any database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._shared = threading.local()  # .connection: what `snapshot` holds open in this thread
        self._guard: Callable[[], None] | None = None

    def close(self) -> None:
        """Give every connection back."""
        self._dialect.close()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction to read in: one state of the catalog, whatever others commit meanwhile."""
        if (shared := getattr(self._shared, "connection", None)) is not None:
            with self._translating():
                yield shared
            return
        with self._translating(), self._dialect.reading() as connection:
            yield connection

    @contextmanager
    def change(self) -> Iterator[sa.Connection]:
        """One transaction to write in: all of it is committed, or nothing."""
        with self._translating(), self._dialect.changing() as connection:
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
        """Whether the catalog that was opened is still the one of the index."""
        return self._dialect.is_in_place()

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
        except (DamagedValueError, UnicodeDecodeError) as error:  # the latter where an error names what is no text
            raise IndexDamagedError(f"the catalog {self._dialect.where} is damaged ({error}). {RESTORE}") from error
        except Exception as error:
            if (in_words := self._dialect.in_words(error)) is None:
                raise
            raise in_words from error

    # Schema

    def create(self, identity: Mapping[str, Any]) -> None:
        """Make the tables of a new index, which remember its identity; the caller holds the lock."""
        with self._translating():
            self._dialect.make_tables(identity)
        self.upgrade()
        self.set_state(IDENTITY, identity)

    def upgrade(self) -> None:
        """Bring the tables to the newest migration; the caller holds the lock."""
        version = self.version()
        if version == NEWEST:
            return
        if version is not None and version > NEWEST:
            raise IndexVersionError(
                f"{self._dialect.where} was written by a newer birdsearch (tables {version}): install that one."
            )
        from birdsearch.storage.catalog.migrations import upgrade

        with self.change() as connection:
            upgrade(connection)

    def is_current(self) -> bool:
        """Whether the tables are those of this birdsearch. Raises IndexDamagedError where they only say so."""
        if self.version() != NEWEST:
            return False
        with self.transaction() as connection:
            columns, indexes = self._dialect.described(connection)
        ours = metadata.tables.values()
        wrong: set[tuple[object, ...]] = {*columns} ^ {(table.name, c.name, 0) for table in ours for c in table.columns}
        wrong |= {*indexes} ^ {(i.name, table.name, c.name) for table in ours for i in table.indexes for c in i.columns}
        if wrong:
            what = min(wrong, key=repr)
            raise IndexDamagedError(
                f"the catalog {self._dialect.where} has not the tables that birdsearch makes ({what!r:.100}). {RESTORE}"
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
        """What the database itself finds wrong with the catalog."""
        with self.transaction() as connection:
            return [f"{self._dialect.where}: {line}" for line in self._dialect.problems(connection)]

    # State

    def get_state(self, key: str, default: Any = None) -> Any:
        """One remembered value."""
        with self.transaction() as connection:
            value = state_value(key, connection.scalar(sa.select(state.c.value).where(state.c.key == key)))
        return default if value is None else value

    def set_state(self, key: str, value: Any, *, bump: bool = False) -> None:
        """Remember one value, in a transaction of its own; `bump` counts it as a commit that readers must see."""
        with self.change() as connection:
            put_state(connection, key, value)
            if bump:
                self.bump(connection)

    def revise_state(self, key: str, revise: Callable[[Any], Any]) -> None:
        """Remember what a function makes of the value that is remembered, whoever else does so at the same time."""
        with self.change() as connection:
            value = state_value(key, connection.scalar(sa.select(state.c.value).where(state.c.key == key)))
            put_state(connection, key, revise(value))

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


def _generation(stored: Any) -> int:
    if type(stored) not in (int, type(None)) or not 0 <= (stored or 0) < MAX_INTEGER:
        raise DamagedValueError(f"its count of commits is {stored!r:.80}")
    return stored or 0


def put_state(connection: sa.Connection, key: str, value: Any) -> None:
    """Remember one value under a key, inside the caller's transaction."""
    connection.execute(sa.delete(state).where(state.c.key == key))
    connection.execute(sa.insert(state).values(key=key, value=value))


def streamed(connection: sa.Connection, query: sa.Executable) -> Iterator[Any]:
    """The rows of a query that may be as many as the photos: memory holds a block of them.

    The driver of PostgreSQL would otherwise fetch all of them before it gives the first.
    """
    with connection.execute(query, execution_options={"yield_per": BLOCK}) as rows:
        yield from rows


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
    rows = list(zip(*converted, strict=True))
    if dialect.name == "postgresql":
        _copy(connection, table, names, rows)
    elif rows:
        statement = sa.insert(table).compile(dialect=dialect, column_keys=names)
        # Rows as the driver takes them: SQLAlchemy spends more on a row than SQLite does.
        connection.exec_driver_sql(str(statement), rows)


def _copy(connection: sa.Connection, table: sa.Table, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Add rows to a table of PostgreSQL by its COPY: a hundred times as many in a second."""
    preparer = connection.dialect.identifier_preparer
    columns = ", ".join(map(preparer.quote, names))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {preparer.quote(table.name)} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def insert_or_replace(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Add rows, each in the place of one with the same key."""
    if rows:
        statement = _insert(connection, table)
        others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
        connection.execute(statement.on_conflict_do_update(index_elements=table.primary_key, set_=others), rows)


def insert_or_ignore(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Add rows but those of which one with the same key is there."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def _insert(connection: sa.Connection, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # slow to load, and most catalogs lie in SQLite

    return postgresql.insert(table)


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


def ids_at(connection: sa.Connection, paths: Sequence[bytes], *, visible: bool = False) -> dict[bytes, int]:
    """Path -> id of those of these files that the catalog holds, or (`visible`) shows."""
    ids: dict[bytes, int] = {}
    for root_id, prefix, names in under_roots(paths, roots_of(connection)):
        query = sa.select(photos.c.id, photos.c.relative).where(photos.c.root_id == root_id)
        query = query.where(is_visible) if visible else query
        for photo_id, relative in where_in(connection, query, photos.c.relative, names):
            ids[prefix + relative] = photo_id
    return ids
