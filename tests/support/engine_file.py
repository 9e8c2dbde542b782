"""Where the engine of an index lies."""

from contextlib import closing
from pathlib import Path

from birdsearch.storage.vectors import engine_file
from tests.support.catalogs import catalog_at


def engine_of(index: Path) -> Path:
    """The file that the catalog names; there may be older ones beside it until the next writer comes."""
    with closing(catalog_at(index)) as catalog:
        named = engine_file(catalog)
    assert named is not None
    return index / named.file
