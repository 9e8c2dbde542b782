"""What the hosts of a cluster leave comes back as it was."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from birdsearch.cluster import results
from birdsearch.files import FileState
from birdsearch.indexing.clusters import Elsewhere
from birdsearch.indexing.embedder import EmbeddedPhoto
from birdsearch.indexing.outcomes import Costly, Rejected
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Photo, Prediction

STATE = FileState(123, 456, 789, -5)
STRANGE = b"/photos/caf\xe9 \n.jpg"  # no UTF-8, and a new line
PHOTO = Photo(
    None,
    os.fsdecode(STRANGE),
    sha256="ab" * 32,
    phash="8000000000000001",
    size=123,
    mtime_ns=456,
    width=640,
    height=480,
    format="JPEG",
    taken_at="2024-05-01T08:30:00",
    camera="Canon Model X",
    latitude=-33.9,
    longitude=18.4,
    notes="wren, é\ud800",
    keywords=("Birds|Wren",),
    rating=4,
    damaged="a warning",
    predictions=(Prediction("Troglodytes troglodytes", 1 / 3, 1, "species", "wren"),),
)


def embedded(photo: Photo, direction: int) -> Elsewhere:
    return Elsewhere(EmbeddedPhoto(photo, np.eye(4, dtype=np.float32)[direction], 1.25), STATE, "fake on nothing")


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    broken = Rejected(FoundFile(b"/photos/b.jpg", STATE), "decode", "truncated JPEG")
    costly = Costly(FoundFile(b"/photos/c.tif", FileState(5, 6)), "about 1.0 GB of memory")
    given: list[tuple[int, results.Result]] = [
        (7, embedded(PHOTO, 0)),
        (3, broken),
        (4, costly),
        (9, embedded(replace(PHOTO, path="/photos/d.jpg"), 2)),
    ]
    results.write(tmp_path / "1.parquet", given, 4)
    files = results.read_files(tmp_path / "1.parquet")
    back = dict(zip([place for place, _, _ in files], results.read(tmp_path / "1.parquet"), strict=True))
    assert back[3] == broken
    assert back[4] == costly
    for place, direction in ((7, 0), (9, 2)):
        one, was = back[place], dict(given)[place]
        assert isinstance(one, Elsewhere)
        assert isinstance(was, Elsewhere)
        np.testing.assert_array_equal(one.embedded.vector, np.eye(4, dtype=np.float32)[direction])
        assert one.embedded.norm == 1.25
        assert (one.state, one.provenance) == (STATE, "fake on nothing")
        shown = replace(was.photo, notes="wren, é\\ud800")  # half a character, as a catalog keeps it too
        assert one.photo == shown
    assert {place: holds for place, _, holds in files} == {7: True, 3: True, 4: False, 9: True}
    assert {file.path for _, file, _ in files} == {STRANGE, b"/photos/b.jpg", b"/photos/c.tif", b"/photos/d.jpg"}


def test_results_of_broken_files_alone_come_back(tmp_path: Path) -> None:
    unreadable = Rejected(FoundFile(b"/photos/b.jpg"), "read", "Permission denied")
    results.write(tmp_path / "1.parquet", [(0, unreadable)], 4)
    assert results.read(tmp_path / "1.parquet") == [unreadable]
    assert results.read_files(tmp_path / "1.parquet") == [(0, unreadable.file, False)]


def test_a_listing_comes_back_as_it_was(tmp_path: Path) -> None:
    files = [(4, FoundFile(STRANGE, STATE)), (9, FoundFile(b"/b", FileState(1)))]
    results.write_listing(tmp_path / "1.parquet", files)
    assert results.read_listing(tmp_path / "1.parquet") == files
