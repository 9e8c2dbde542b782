"""Catalogs for tests that look into one beside or without an index, in whatever database the test runs."""

import shutil
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from birdsearch.storage.address import Address
from birdsearch.storage.catalog.postgresql_database import PostgreSQLCatalog
from birdsearch.storage.catalog.sql import SQLCatalog
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from birdsearch.storage.catalog.tables import metadata

# For a test that looks into the file of a catalog, or needs the lock of its folder, among tests that run on both.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def catalog_at(index: Path) -> SQLCatalog:
    """The catalog of the index at a path."""
    address = Address.parse(index)
    return PostgreSQLCatalog(address) if address.catalog else SQLiteCatalog(index / "catalog.sqlite")


def new_catalog(index: Path) -> SQLCatalog:
    """An empty one."""
    made = catalog_at(index)
    made.create({"id": uuid4().hex})
    return made


def forget_index(index: Path) -> None:
    """Remove the index at a path, where there is one."""
    shutil.rmtree(index, ignore_errors=True)
    if (address := Address.parse(index)).catalog:
        with _connection(address) as connection:
            of_index = {"name": address.name}
            listed = connection.scalar(sa.text("SELECT to_regclass('birdsearch_indexes')")) is not None
            row = "FROM birdsearch_indexes WHERE name = :name"
            if listed and (schema := connection.scalar(sa.text(f"SELECT schema_name {row}"), of_index)):
                connection.execute(sa.schema.DropSchema(schema, cascade=True))
                connection.execute(sa.text(f"DELETE {row}"), of_index)


def copy_index(index: Path, copy: Path) -> None:
    """The same index at another path, in place of the one that was there."""
    forget_index(copy)
    shutil.copytree(index, copy)
    if Address.parse(index).catalog:
        with closing(catalog_at(index)) as old, old.transaction() as connection:
            rows = {table: connection.execute(sa.select(table)).mappings().all() for table in metadata.sorted_tables}
            last = {name: connection.scalar(sa.text(f"SELECT last_value FROM {name}_id_seq")) for name in _SEQUENCES}
        with closing(new_catalog(copy)) as new, new.change() as connection:
            for table, its in rows.items():
                connection.execute(sa.delete(table))
                if its:
                    connection.execute(sa.insert(table), [dict(row) for row in its])
            for name, value in last.items():
                connection.execute(sa.text(f"SELECT setval('{name}_id_seq', {value})"))


_SEQUENCES = ("roots", "photos", "regions", "parts")


def _connection(address: Address) -> sa.Connection:
    return sa.create_engine(address.catalog, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT").connect()
