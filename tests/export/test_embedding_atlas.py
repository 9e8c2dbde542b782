"""The Parquet file for Embedding Atlas: thumbnails, a map, neighbours."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import birdsearch
from birdsearch import Index, Photo
from birdsearch.export import embedding_atlas
from birdsearch.export.selection import MappedBatch
from birdsearch.photos import decode
from birdsearch.search.exact import Neighbours
from tests.export.reading import atlas_rows, vectors
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


def test_atlas_points_at_rows_of_its_own_file(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsearch.export.selection.MAPPED_BATCH", 3)  # several blocks, the last one short
    assert index.export(tmp_path / "all.parquet", format="embedding-atlas").written == 16
    rows = atlas_rows(tmp_path / "all.parquet")
    known = index.photos()
    assert [row["id"] for row in rows] == [photo.id for photo in known]
    scores = vectors(index) @ vectors(index).T
    for place, row in enumerate(rows):
        others = [other for other in np.argsort(-scores[place], kind="stable").tolist() if other != place][:10]
        assert row["neighbors"]["ids"] == others
        assert row["neighbors"]["distances"] == pytest.approx(1 - scores[place, others], abs=1e-5)
    places = index.map([photo.id for photo in known if photo.id])
    assert np.allclose([[row["x"], row["y"]] for row in rows], places)
    assert np.ptp(places, axis=0).min() > 0
    assert pq.ParquetFile(tmp_path / "all.parquet").num_row_groups == 6


def test_atlas_has_the_columns_that_it_is_told_of(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "all.parquet", format="embedding-atlas")
    schema = pq.read_schema(tmp_path / "all.parquet")
    assert schema.names == [
        *("id", "path", "species", "taxon", "english", "label", "predicted", "probability", "taken_at", "camera"),
        *("latitude", "longitude", "rating", "width", "height", "image", "x", "y", "neighbors"),
    ]
    assert str(schema.field("image").type) == "struct<bytes: binary, path: string>"
    assert str(schema.field("neighbors").type).replace("element", "item") == (
        "struct<ids: list<item: int64>, distances: list<item: float>>"
    )
    assert (str(schema.field("x").type), str(schema.field("y").type)) == ("float", "float")
    row = next(row for row in atlas_rows(tmp_path / "all.parquet") if row["camera"])
    assert (row["label"], row["taken_at"], row["rating"], row["width"]) == ("Wren", "2024-05-17T06:07:08.42", 4, 800)


def test_atlas_holds_thumbnails_of_what_is_still_a_photo(index: Index, folder: Path, tmp_path: Path) -> None:
    (folder / "Robin" / "0.jpg").unlink()
    (folder / "Robin" / "1.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert index.export(tmp_path / "all.parquet", format="embedding-atlas").written == 16
    pictures = {row["path"]: row["image"] for row in atlas_rows(tmp_path / "all.parquet")}
    lost = {path for path, picture in pictures.items() if picture is None}
    assert lost == {str(folder / "Robin" / "0.jpg"), str(folder / "Robin" / "1.jpg")}
    camera = pictures[str(folder / "Wren" / "camera.jpg")]
    assert camera["bytes"].startswith(b"\xff\xd8\xff")
    assert decode.picture(camera["bytes"], 1000).shape == (150, 200, 3)
    assert camera["path"] == str(folder / "Wren" / "camera.jpg")
    assert any(path.endswith("undecodable \\xff.jpg") and picture for path, picture in pictures.items())


def test_atlas_of_copies_never_names_the_photo_itself(tmp_path: Path, fake: FakeBackbone) -> None:
    for number in range(14):
        write(tmp_path / "photos" / f"{number}.png", bird(1 if number < 13 else 2, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        index.add(tmp_path / "photos")
        index.export(tmp_path / "all.parquet", format="embedding-atlas")
    for place, row in enumerate(atlas_rows(tmp_path / "all.parquet")):
        assert place not in row["neighbors"]["ids"]
        assert len(set(row["neighbors"]["ids"])) == 10  # as many for each: Embedding Atlas stacks them


def test_atlas_distances_are_never_below_zero(tmp_path: Path) -> None:
    rounded = Neighbours(np.array([[1], [0]]), np.array([[1.0000002], [0.25]], dtype=np.float32))
    block = MappedBatch([Photo(1, "/a.jpg"), Photo(2, "/b.jpg")], np.zeros((2, 2), dtype=np.float32), rounded)
    assert embedding_atlas.write_atlas(tmp_path / "two.parquet", [block]) == 2
    rows = atlas_rows(tmp_path / "two.parquet")
    assert [row["neighbors"]["distances"] for row in rows] == [[0], [0.75]]


def test_atlas_fills_up_what_an_engine_did_not_find(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.export(tmp_path / "all.parquet", format="embedding-atlas")
    from birdsearch.species import gallery

    whole = gallery.Gallery.neighbours

    def fewer(self: gallery.Gallery, k: int) -> Neighbours:
        found = whole(self, k)
        found.ids[::2, -3:], found.scores[::2, -3:] = -1, -np.inf
        return found

    monkeypatch.setattr(gallery.Gallery, "neighbours", fewer)
    index.export(tmp_path / "again.parquet", format="embedding-atlas")
    assert [row["neighbors"]["ids"] for row in atlas_rows(tmp_path / "again.parquet")] == [
        row["neighbors"]["ids"] for row in atlas_rows(tmp_path / "all.parquet")
    ]
