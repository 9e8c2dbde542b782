"""Store: what is handed to it is used, whoever made it; the one write path cleans up first and refreshes last."""

import itertools
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from birdsearch import Index
from birdsearch.errors import IndexLockedError, IndexVersionError
from birdsearch.records import Filter, Ids, Vectors
from birdsearch.search.exact import Neighbours
from birdsearch.storage import store as store_module
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from birdsearch.storage.folder import Folder
from birdsearch.storage.store import Store
from birdsearch.storage.vectors import PartVectors
from tests.conftest import write_garden_photos
from tests.support.fake_backbone import FakeBackbone


class CountingVectors(PartVectors):
    """A vector store of another package: counts what it is asked."""

    searched = 0

    def search(self, queries: Vectors, k: int, only: Ids | None = None, where: Filter | None = None) -> Neighbours:
        self.searched += 1
        return super().search(queries, k, only, where)


class CountingCatalog(SQLiteCatalog):
    """A catalog of another package."""

    looked_up = 0

    def known_photos(self, ids: Sequence[int]) -> dict[int, object]:  # type: ignore[override]
        CountingCatalog.looked_up += 1
        return super().known_photos(ids)  # type: ignore[return-value]


@pytest.fixture
def garden(index: Index, tmp_path: Path) -> Path:
    """The folder of an index of six photos."""
    write_garden_photos(tmp_path / "photos")
    index.add(tmp_path / "photos", labels="folder")
    return index.path


def test_a_store_uses_the_catalog_and_the_vectors_it_is_given(garden: Path) -> None:
    folder = Folder(garden)
    identity = folder.read_identity()
    catalog: Catalog = SQLiteCatalog(folder.catalog)
    vectors = CountingVectors(folder, catalog, identity)
    with Index(Store(folder, identity, catalog=catalog, vectors=vectors)) as opened:
        matches = opened.search_vectors(np.ones((1, FakeBackbone.dim), dtype=np.float32), k=3)
    assert vectors.searched == 1
    assert len(matches[0]) == 3


def test_another_package_offers_a_catalog_by_an_entry_point(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Offered:
        def load(self) -> object:
            return lambda folder: CountingCatalog(folder.catalog)

    def offered(*, group: str, name: str) -> list[Offered]:
        return [Offered()] if (group, name) == ("birdsearch.catalogs", "counting") else []

    monkeypatch.setattr(metadata, "entry_points", offered)
    folder = Folder(garden)
    with Index(Store(folder, replace(folder.read_identity(), catalog="counting"))) as opened:
        assert opened.photo(1).id == 1
    assert CountingCatalog.looked_up
    with pytest.raises(IndexVersionError, match="'elsewhere', which no installed package offers"):
        Store(folder, replace(folder.read_identity(), catalog="elsewhere"))


def test_writing_removes_what_a_killed_writer_left_and_refreshes_the_engine(garden: Path) -> None:
    with closing(Store.open(garden)) as store:
        part = garden / "vectors" / "00000099.parquet"
        part.write_bytes(b"half")
        (garden / "engine-0123456789abcdef.npy").write_bytes(b"of no commit")
        with store.writing() as catalog:
            assert not part.exists()
            catalog.remove([1])
        assert [path.name for path in garden.glob("engine-*")] == [path.name for path in garden.glob("engine-*.npy")]
        assert not (garden / "engine-0123456789abcdef.npy").exists()
        assert len(store.catalog.photo_ids()) == 5


def test_one_store_writes_at_a_time(garden: Path) -> None:
    with (
        closing(Store.open(garden)) as one,
        closing(Store.open(garden)) as other,
        one.writing(),
        pytest.raises(IndexLockedError),
        other.writing(),
    ):
        pytest.fail("two writers at once")


def test_a_large_index_of_before_content_named_engines_says_what_is_slow_now(
    garden: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "FLAT_UP_TO", 6)
    with closing(SQLiteCatalog(garden / "catalog.sqlite")) as catalog, catalog.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE photos RENAME COLUMN photographer TO observer")
        connection.exec_driver_sql("ALTER TABLE predictions RENAME COLUMN rank TO level")
        connection.exec_driver_sql("ALTER TABLE predictions RENAME COLUMN position TO rank")
        connection.exec_driver_sql("ALTER TABLE photos DROP COLUMN damaged")
        connection.exec_driver_sql("ALTER TABLE photos DROP COLUMN found_by")
        connection.exec_driver_sql("ALTER TABLE photos DROP COLUMN rendered")
        connection.exec_driver_sql("ALTER TABLE photos DROP COLUMN keywords")
        for table, name in itertools.product(("photos", "failures"), ("ctime_ns", "inode", "etag", "offset")):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {name}")
        for table in ("kept_labels", "kept_not_duplicates", "companions"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("DROP INDEX photos_taken_at")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    with closing(Store.open(garden)) as store:
        assert store.catalog.is_current()
    assert "every photo is compared until `birdsearch index`" in caplog.text
    caplog.clear()
    Store.open(garden).close()
    assert not caplog.text
