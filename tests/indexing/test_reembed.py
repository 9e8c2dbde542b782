"""Embedding the photos of an index anew: new vectors, and everything else as it was."""

import json
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch import Cancelled, Filter, Index
from birdsearch.errors import BackboneMismatchError, PhotoMissingError
from birdsearch.indexing import committer, reembed
from birdsearch.records import Photo, RegionReport
from birdsearch.storage.catalog.sql import SQLCatalog
from tests.support import drawing, fake_finder
from tests.support.index_worker import MIRRORED, backbone


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos in two folders, and a copy of one."""
    folder = tmp_path / "photos"
    for n in range(5):
        drawing.write(folder / ("Wren", "Robin")[n % 2] / f"{n}.jpg", drawing.bird(n, 72, 54))
    shutil.copy(folder / "Wren/0.jpg", folder / "Robin/copy.jpg")
    return folder


@pytest.fixture
def path(photos: Path, tmp_path: Path) -> Path:
    """An index of them by the old recipe."""
    with birdsearch.create(tmp_path / "index", backbone=backbone()) as index:
        index.add(photos, labels="folder")
    return tmp_path / "index"


def named(index: Index, name: str) -> Photo:
    """The photo of a file name."""
    return next(photo for photo in index.photos() if Path(photo.path).name == name)


def recipe(path: Path) -> object:
    """What index.json says."""
    return json.loads((path / "index.json").read_text())["backbone"]["recipe"]


def test_reembed_makes_the_vectors_of_a_new_index_and_keeps_all_else(photos: Path, path: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "new", backbone=backbone(recipe=MIRRORED)) as new:
        new.add(photos)
        wanted = {photo.path: (new.vectors([photo.id or 0])[0], photo.predictions) for photo in new.photos()}
    with birdsearch.open(path, backbone=backbone()) as index:
        wren, robin = named(index, "0.jpg"), named(index, "1.jpg")
        index.label({wren.id or 0: "Linnet"}, author="me")
        index.not_duplicates(wren.id or 0, robin.id or 0)
        index.add(photos, exclude=["*.tmp"])
        labels, ids = index.labels(), [photo.id for photo in index.photos()]
        assert index.reembed(backbone(recipe=MIRRORED)).embedded == 6
        assert (index.labels(), [photo.id for photo in index.photos()]) == (labels, ids)
        assert index.verify().ok
        for photo in index.photos():
            vector, predictions = wanted[photo.path]
            assert np.allclose(index.vectors([photo.id or 0])[0], vector, atol=1e-6)
            assert [guess.class_name for guess in photo.predictions] == [guess.class_name for guess in predictions]
        assert index.search((photos / "Wren/2.jpg").read_bytes(), 1)[0].score == pytest.approx(1, abs=1e-5)
    assert recipe(path) == {"padding": "birder", "views": 2}
    with birdsearch.open(path, backbone=backbone(recipe=MIRRORED)) as again:
        assert len(again.search((photos / "Wren/0.jpg").read_bytes(), 9)) == 6
    with pytest.raises(BackboneMismatchError, match=r"made with the backbone fake \(padding birder, views 2\)"):
        birdsearch.open(path, backbone=backbone())


def test_photos_that_cannot_be_embedded_anew_are_hidden_and_keep_their_labels(photos: Path, path: Path) -> None:
    away = photos.parent / "away.jpg"
    (photos / "Wren/2.jpg").rename(away)
    whole = (photos / "Robin/1.jpg").read_bytes()
    (photos / "Robin/1.jpg").write_bytes(whole[:700])
    with birdsearch.open(path, backbone=backbone()) as index:
        gone = named(index, "2.jpg")
        index.label({gone.id or 0: "Linnet"})
        report = index.reembed(backbone(recipe=MIRRORED))
        assert (report.embedded, report.missing, [Path(f.path).name for f in report.failed]) == (4, 1, ["1.jpg"])
        assert sorted(Path(photo.path).name for photo in index.photos()) == ["0.jpg", "3.jpg", "4.jpg", "copy.jpg"]
        assert [Path(failure.path).name for failure in index.failures()] == ["1.jpg"]
        assert index.verify().ok
        assert index.repair() == []
        (photos / "Robin/1.jpg").write_bytes(whole)
        assert index.add(photos).changed == 1
        away.rename(photos / "Wren/2.jpg")
        assert index.add(photos).changed == 1
        assert index.photo(gone.id or 0).label == "Linnet"
        assert not index.failures()
        assert index.verify().ok
        assert len(index.search((photos / "Wren/2.jpg").read_bytes(), 9)) == 6


def test_a_photo_that_comes_back_elsewhere_brings_its_correction(photos: Path, path: Path) -> None:
    away = photos.parent / "away.jpg"
    (photos / "Wren/2.jpg").rename(away)
    with birdsearch.open(path, backbone=backbone()) as index:
        index.label({named(index, "2.jpg").id or 0: "Linnet"})
        index.reembed(backbone(recipe=MIRRORED))
        away.rename(photos / "Robin/elsewhere.jpg")
        assert index.add(photos).added == 1
        assert named(index, "elsewhere.jpg").label == "Linnet"
        assert index.verify().ok


def test_a_folder_that_is_away_stops_it(photos: Path, path: Path) -> None:
    photos.rename(photos.with_name("elsewhere"))
    with birdsearch.open(path, backbone=backbone()) as index:
        with pytest.raises(PhotoMissingError, match="6 photos would have no vector"):
            index.reembed(backbone(recipe=MIRRORED))
        assert len(index.photos()) == 6
        assert index.reembed(backbone(recipe=MIRRORED), force=True).missing == 6
        assert len(index.photos()) == 0
        photos.with_name("elsewhere").rename(photos)
        assert index.add(photos).changed == 6
        assert index.verify().ok


@pytest.mark.parametrize("stopped", [Cancelled, KeyboardInterrupt])
def test_a_run_that_was_stopped_goes_on_and_the_old_vectors_answer_meanwhile(
    photos: Path, path: Path, monkeypatch: pytest.MonkeyPatch, stopped: type[BaseException]
) -> None:
    monkeypatch.setattr(committer, "COMMIT_PHOTOS", 1)

    def stop(stage: str, done: int, _total: int | None, _path: str) -> None:
        if (stage, done) == ("reembed", 3):
            raise stopped

    first, second = backbone(recipe=MIRRORED), backbone(recipe=MIRRORED)
    with birdsearch.open(path, backbone=backbone()) as index:
        with pytest.raises(stopped):
            index.reembed(first, progress=stop)
        assert recipe(path) is None
        assert index.verify().ok
        assert index.search((photos / "Wren/2.jpg").read_bytes(), 1)[0].score == pytest.approx(1, abs=1e-5)
        drawing.write(photos / "Wren/new.jpg", drawing.bird(9, 72, 54))
        assert index.add(photos).added == 1
        assert index.reembed(second).embedded == 7
        embedded = first.network.fake.embedded + second.network.fake.embedded  # type: ignore[attr-defined]
        assert embedded == 2 * 6  # two views of each content, once
        assert len(index.search((photos / "Wren/new.jpg").read_bytes(), 9)) == 7
        assert index.verify().ok
    assert len(list((path / "vectors").iterdir())) == index_parts(path)


def index_parts(path: Path) -> int:
    """How many parts the catalog lists."""
    with birdsearch.open(path) as index:
        return int(index.info()["parts"])


def test_a_reader_from_before_must_open_the_index_again(photos: Path, path: Path) -> None:
    with birdsearch.open(path, backbone=backbone()) as reader, birdsearch.open(path, backbone=backbone()) as writer:
        assert len(reader.search((photos / "Wren/0.jpg").read_bytes(), 9)) == 6
        writer.reembed(backbone(recipe=MIRRORED))
        with pytest.raises(BackboneMismatchError, match="open it again"):
            reader.search((photos / "Wren/0.jpg").read_bytes(), 9)
        assert len(writer.search((photos / "Wren/0.jpg").read_bytes(), 9)) == 6


def test_exports_of_another_recipe_are_refused(path: Path, tmp_path: Path) -> None:
    with birdsearch.open(path, backbone=backbone()) as old:
        old.export(tmp_path / "old.parquet")
        old.reembed(backbone(recipe=MIRRORED))
        old.export(tmp_path / "new.parquet")
        with pytest.raises(BackboneMismatchError, match=r"vectors of fake, .* fake \(padding birder, views 2\)"):
            old.import_photos(tmp_path / "old.parquet")
        assert old.import_photos(tmp_path / "new.parquet").unchanged == 6


def test_another_network_is_refused_and_the_same_recipe_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Other:
        name, dim = "other", 16

        def embed(self, images: object) -> object:
            return images

    with birdsearch.open(path, backbone=backbone()) as index:
        with pytest.raises(BackboneMismatchError, match="not with other"):
            index.reembed(Other())
        with caplog.at_level(logging.WARNING):
            assert index.reembed().embedded == 0
        assert "nothing to embed anew" in caplog.text
        assert index.count(Filter()) == 6


def test_vectors_that_a_user_gave_are_replaced_by_force_only(path: Path) -> None:
    with birdsearch.open(path, backbone=backbone()) as index:
        own = np.eye(16, dtype=np.float32)[:1]
        first = index.photos()[0].id or 0
        index.add_vectors([first], own)
        with pytest.raises(BackboneMismatchError, match=r"1 photo were given by Index\.add_vectors"):
            index.reembed(backbone(recipe=MIRRORED))
        assert np.array_equal(index.vectors([first]), own)
        assert index.reembed(backbone(recipe=MIRRORED), force=True).embedded == 6
        assert not np.allclose(index.vectors([first]), own)


def test_regions_are_embedded_anew_too(photos: Path, path: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("path,x,y,width,height\nphotos/Wren/0.jpg,0.2,0.2,0.4,0.4\n")
    with birdsearch.create(tmp_path / "new", backbone=backbone(recipe=MIRRORED)) as new:
        new.add(photos, regions=tmp_path / "boxes.csv")
        wanted = new.to_arrow()["regions"].to_pylist()
    with birdsearch.open(path, backbone=backbone()) as index:
        index.add(photos, regions=tmp_path / "boxes.csv")
        assert index.to_arrow()["regions"].to_pylist() != wanted
        index.reembed(backbone(recipe=MIRRORED))
        assert index.to_arrow()["regions"].to_pylist() == wanted
        assert index.verify().ok


def test_birds_that_were_found_are_embedded_anew_and_not_searched_again(
    photos: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = fake_finder.install(monkeypatch)
    picture = np.asarray(drawing.bird(9, 320, 240)).copy()
    picture[100:150, 100:150] = (230, 20, 20)
    drawing.write(photos / "Wren/small.png", Image.fromarray(picture))
    with birdsearch.open(path, backbone=backbone()) as index:
        index.add(photos, regions="bird")
        before, searched = index.regions(), finder.searched
        index.reembed(backbone(recipe=MIRRORED))
        assert index.regions() == before
        assert all(region.embedded for region in before)
        assert index.add(photos).regions == RegionReport()
        assert finder.searched == searched
        assert index.verify().ok
        part = picture[95:155, 95:155]  # the box with 10 % on each side
        best = index.search(part, 1)[0]
        assert best.score > 0.999
        assert best.region in before


def test_photos_are_looked_up_in_blocks_and_copies_are_embedded_once(
    photos: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembed, "PHOTOS_AT_ONCE", 2)
    asked: list[int] = []
    known_photos = SQLCatalog.known_photos

    def spy(catalog: SQLCatalog, ids: Iterable[int]) -> dict[int, Photo]:
        found = known_photos(catalog, ids)
        asked.append(len(found))
        return found

    told: list[tuple[int, int | None]] = []
    mirrored = backbone(recipe=MIRRORED)
    with birdsearch.open(path, backbone=backbone()) as index:
        monkeypatch.setattr(SQLCatalog, "known_photos", spy)
        report = index.reembed(mirrored, progress=lambda stage, done, total, _: told.append((done, total)))
        assert (report.embedded, report.missing, report.failed) == (6, 0, ())
        assert max(asked) <= 2
        assert mirrored.network.fake.embedded == 2 * 5  # type: ignore[attr-defined]  # two views of each content
        assert [(done, 6) for done in range(1, 7)] == [one for one in told if one[1] == 6]
