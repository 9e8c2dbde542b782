"""Catalogs for tests that look into one beside or without an index, in whatever database the test runs."""

from pathlib import Path
from uuid import uuid4

import pytest

from birdsearch.storage.address import Address
from birdsearch.storage.catalog.postgresql_database import PostgreSQLCatalog
from birdsearch.storage.catalog.sql import SQLCatalog
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog

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
