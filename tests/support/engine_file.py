"""Where the engine of an index lies."""

from contextlib import closing
from pathlib import Path

from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from birdsearch.storage.vectors import engine_file


def engine_of(index: Path) -> Path:
    """The file that the catalog names; there may be older ones beside it until the next writer comes."""
    with closing(SQLiteCatalog(index / "catalog.sqlite")) as catalog:
        named = engine_file(catalog)
    assert named is not None
    return index / named.file
