"""One part and one transaction for what was collected; ids are never used twice."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from birdsearch.indexing.committer import Committed, Committer
from birdsearch.indexing.embedder import EmbeddedPhoto
from birdsearch.indexing.labels import Labeller
from birdsearch.records import Photo
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.place import LocalPlace
from tests.support.catalogs import new_catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = new_catalog(tmp_path)
    made.ensure_root(b"/photos")
    yield made
    made.close()


def embedded(name: str, direction: int, photo_id: int | None = None) -> EmbeddedPhoto:
    vector = np.eye(4, dtype=np.float32)[direction]
    return EmbeddedPhoto(Photo(photo_id, f"/photos/{name}", sha256=f"{direction:064x}"), vector, 2.0 + direction)


def committer(catalog: Catalog, folder: Path) -> Committer:
    return Committer(catalog, LocalPlace(folder), Labeller(catalog))


def test_a_commit_is_one_part_and_its_photos(catalog: Catalog, tmp_path: Path) -> None:
    stage = committer(catalog, tmp_path)
    stage.provenance = "test"
    stage.photos = [embedded("a.jpg", 0), embedded("b.jpg", 1)]
    assert stage.commit() == Committed(2, 0, ())
    stage.close()
    stage.wait()
    assert [photo.path for photo in catalog.photos([1, 2])] == ["/photos/a.jpg", "/photos/b.jpg"]
    (part,) = catalog.parts()
    assert (part.id, part.rows, part.runtime) == (1, 2, "test")
    stored = parts.read(parts.file_of(LocalPlace(tmp_path), 1), catalog.parts()[0].sha256)
    np.testing.assert_array_equal(stored.vectors, np.eye(4, dtype=np.float32)[:2])
    assert stored.norms.tolist() == [2.0, 3.0]


def test_a_photo_with_an_id_is_changed_and_gets_a_new_region(catalog: Catalog, tmp_path: Path) -> None:
    stage = committer(catalog, tmp_path)
    stage.photos = [embedded("a.jpg", 0)]
    stage.commit()
    stage.photos = [embedded("a.jpg", 3, photo_id=1), embedded("c.jpg", 2)]
    assert stage.commit() == Committed(1, 1, ())
    stage.wait()
    stage.close()
    assert catalog.photo_ids() == [1, 2]
    assert catalog.regions_of_part(1) == []
    assert catalog.regions_of_part(2) == [(2, 0), (3, 1)]
    assert committer(catalog, tmp_path).stored([f"{3:064x}", "ff" * 32]).keys() == {f"{3:064x}"}


def test_nothing_collected_commits_nothing(catalog: Catalog, tmp_path: Path) -> None:
    generation = catalog.generation
    stage = committer(catalog, tmp_path)
    assert stage.first_part
    assert stage.commit() == Committed(0, 0, ())
    stage.wait()
    stage.close()
    assert catalog.generation == generation


def test_what_goes_wrong_in_the_writing_thread_is_raised_by_wait(catalog: Catalog, tmp_path: Path) -> None:
    stage = committer(catalog, tmp_path / "no folder")
    stage.photos = [embedded("a.jpg", 0)]
    stage.commit()
    with pytest.raises(OSError, match=os.strerror(2)):
        stage.wait()
    stage.close()
    assert catalog.photo_ids() == []
