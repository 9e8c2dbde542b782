"""Vectors of a user's own: what becomes of photos and files, what is refused, and what a stop in the middle leaves."""

import os
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pytest

import birdsearch
from birdsearch import Cancelled, Filter, Index
from birdsearch.errors import (
    BackboneError,
    BackboneMismatchError,
    BackboneUnavailableError,
    PhotoMissingError,
    PhotoUnknownError,
)
from birdsearch.indexing import given_vectors
from birdsearch.records import Vectors
from birdsearch.storage.catalog.sql import SQLCatalog
from tests.conftest import write_garden_photos
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Paths of three robins and three wrens, not indexed."""
    write_garden_photos(tmp_path / "photos")
    return sorted(map(str, (tmp_path / "photos").rglob("*.jpg")))


@pytest.fixture
def clip(tmp_path: Path) -> Iterator[Index]:
    """An empty index of foreign vectors, whose backbone cannot embed."""
    with birdsearch.create(tmp_path / "clip", backbone=SimpleNamespace(name="clip", dim=4)) as index:
        yield index


def vectors(count: int, dim: int = 4, seed: int = 0) -> Vectors:
    """Directions far from each other, of lengths about 6."""
    return (3 * np.random.default_rng(seed).normal(size=(count, dim))).astype(np.float32)


def unit(given: Any) -> Vectors:
    """Rows of length 1."""
    wide = np.asarray(given, dtype=np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), dtype=np.float32)


def ids(index: Index) -> list[int]:
    """Of its visible photos."""
    return [photo.id for photo in index.photos() if photo.id is not None]


def test_given_vectors_are_not_what_a_network_makes_today(
    clip: Index, photos: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    clip.add_vectors(photos, vectors(6))
    assert clip.reembed().embedded == 0
    assert "nothing to embed anew: 6 photos got vectors by Index.add_vectors" in caplog.text


def test_another_object_of_the_same_name_is_told_by_what_differs(clip: Index) -> None:
    with pytest.raises(BackboneMismatchError, match=r"made with another clip, of dim 4 and not 5: leave"):
        birdsearch.open(clip.path, backbone=SimpleNamespace(name="clip", dim=5))


def assert_holds(index: Index, by_path: dict[str, Any]) -> None:
    """The index has these vectors, in its parts and in what searches, and keeps every promise."""
    for path, vector in by_path.items():
        photo = index.find(path)
        np.testing.assert_allclose(index.vectors([photo.id or 0]), unit([vector]), atol=1e-6)
        best = index.search_vectors(np.asarray([vector]), 1)[0][0]
        assert best.photo.id == photo.id
    assert index.verify().problems == ()


def test_files_become_photos_that_are_never_embedded(index: Index, fake: FakeBackbone, photos: list[str]) -> None:
    given = vectors(6, 16)
    report = index.add_vectors(photos, given)
    assert (report.added, report.changed, report.failed) == (6, 0, ())
    assert fake.calls == 0
    assert_holds(index, dict(zip(photos, given, strict=True)))
    wren = index.find(photos[3])
    assert (wren.camera, wren.taken_at, wren.latitude) == ("Canon Model X", "2024-05-01T08:30:00", 52.5)
    assert wren.sha256
    assert wren.phash
    assert (wren.width, wren.height, wren.size) == (320, 240, os.path.getsize(photos[3]))
    norms = index.to_arrow().column("norm").to_pylist()
    assert norms == pytest.approx(np.linalg.norm(given, axis=1).tolist(), rel=1e-5)
    assert index.info()["runtimes"] == {"given": 6}
    assert index.add(Path(photos[0]).parent.parent).unchanged == 6
    assert fake.calls == 0


def test_vectors_of_photos_are_replaced_by_id_and_by_path(index: Index, photos: list[str]) -> None:
    index.add(Path(photos[0]).parent.parent, labels="folder")
    index.label({1: "Kiwi"}, author="Ana")
    before = {photo.id: photo for photo in index.photos()}
    given = vectors(3, 16)
    report = index.add_vectors([1, Path(photos[4]), np.int64(2)], given)
    assert (report.added, report.changed, report.unchanged) == (0, 3, 0)
    paths = (before[1].path, photos[4], before[2].path)
    assert_holds(index, dict(zip(paths, given, strict=True)))
    assert {photo.id: photo for photo in index.photos()} == before  # all else is as it was
    assert index.add(Path(photos[0]).parent.parent).unchanged == 6
    assert_holds(index, dict(zip(paths, given, strict=True)))
    assert index.info()["runtimes"]["given"] == 3


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "int8"])
def test_every_kind_of_number_is_taken(clip: Index, photos: list[str], dtype: str) -> None:
    given = np.rint(vectors(6)).astype(dtype)
    clip.add_vectors(photos, given)
    np.testing.assert_allclose(clip.vectors(ids(clip)), unit(given), atol=1e-3)
    clip.add_vectors(ids(clip), given.tolist())
    assert clip.verify().ok


def test_a_file_that_changes_later_is_embedded_by_the_backbone(
    index: Index, fake: FakeBackbone, photos: list[str]
) -> None:
    index.add_vectors(photos, vectors(6, 16))
    write(Path(photos[2]), bird(9, 80, 60))
    report = index.add(Path(photos[0]).parent.parent)
    assert (report.changed, report.unchanged, fake.embedded) == (1, 5, 1)
    assert index.search_vectors(index.embed([photos[2]]), 1)[0][0].photo.path == photos[2]


def test_a_file_that_changes_later_is_reported_where_nothing_can_embed_it(clip: Index, photos: list[str]) -> None:
    clip.add_vectors(photos, vectors(6))
    write(Path(photos[2]), bird(9, 80, 60))
    report = clip.add(Path(photos[0]).parent.parent)
    assert (report.changed, report.unchanged) == (0, 5)
    assert [(failure.path, failure.stage) for failure in report.failed] == [(photos[2], "embed")]
    assert "has no embed(images)" in report.failed[0].reason
    assert len(clip) == 5
    again = vectors(1, seed=1)
    assert clip.add_vectors([photos[2]], again).changed == 1  # which is what to do about it
    assert_holds(clip, {photos[2]: again[0]})
    assert clip.failures() == []


def test_copies_and_moved_files_have_the_vector_that_was_given_for_each(clip: Index, photos: list[str]) -> None:
    clip.add_vectors(photos[:2], vectors(2))
    copies = [shutil.copy(photos[n], f"{photos[n]}.{name}.jpg") for n, name in ((0, "a"), (0, "b"), (2, "c"))]
    moved = shutil.move(photos[1], Path(photos[3]).with_name("moved.jpg"))
    given = vectors(5, seed=1)
    report = clip.add_vectors([*copies, moved, photos[2]], given, {"camera": [*"abcde"]})
    assert (report.added, report.moved, report.changed, len(clip)) == (4, 1, 0, 6)
    assert_holds(clip, dict(zip([*copies, str(moved), photos[2]], given, strict=True)))
    assert [clip.find(path).camera for path in (*copies, moved, photos[2])] == [*"abcde"]


def test_a_copy_alone_is_remembered_to_have_a_given_vector(clip: Index, photos: list[str]) -> None:
    clip.add_vectors(photos[:1], vectors(1))
    copy = shutil.copy(photos[0], f"{photos[0]}.copy.jpg")
    clip.add_vectors([copy], vectors(1, seed=1))
    assert_holds(clip, {photos[0]: vectors(1)[0], copy: vectors(1, seed=1)[0]})
    assert clip.info()["runtimes"] == {"given": 2}


def test_a_photo_whose_file_is_gone_stays_hidden(clip: Index, photos: list[str], tmp_path: Path) -> None:
    clip.add_vectors(photos, vectors(6))
    gone = clip.find(photos[0]).id or 0
    os.rename(photos[0], tmp_path / "away.jpg")
    clip.add(Path(photos[0]).parent)
    assert clip.add_vectors([gone], vectors(1, seed=1)).changed == 1
    assert gone not in ids(clip)
    os.rename(tmp_path / "away.jpg", photos[0])
    assert clip.add(Path(photos[0]).parent).unchanged == 3
    assert_holds(clip, {photos[0]: vectors(1, seed=1)[0]})


def test_what_is_no_photo_gets_none(clip: Index, photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    (tmp_path / "broken.jpg").write_bytes(Path(photos[1]).read_bytes()[:300])
    report = clip.add_vectors([photos[0], tmp_path / "text.jpg", tmp_path / "broken.jpg"], vectors(3))
    assert (report.added, len(report.failed) + sum(report.ignored.values())) == (1, 2)
    assert_holds(clip, {photos[0]: vectors(3)[0]})


def test_metadata_counts_above_the_file(clip: Index, photos: list[str]) -> None:
    cape_town = datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    columns = {
        "label": ["Wren", None, "", float("nan"), "  Robin ", "Dunnock"],
        "taken_at": [cape_town, date(2020, 1, 2), "2020-01-02T03:04", None, np.datetime64("2020-01-02T03:04"), None],
        "latitude": [1, None, None, None, -2.5, None],
        "longitude": [2, None, None, None, 180.0, None],
        "rating": [5, None, None, 3.0, None, None],
        "photographer": ["Ana", *[None] * 5],
    }
    clip.add_vectors(photos, vectors(6), columns)
    listed = [clip.find(path) for path in photos]
    assert [photo.label for photo in listed] == ["Wren", None, None, None, "Robin", "Dunnock"]
    assert [label.source for label in clip.labels()] == ["correction"] * 3
    assert [photo.taken_at for photo in listed] == [
        "2020-01-02T03:04:05", "2020-01-02", "2020-01-02T03:04", "2024-05-01T08:30:00", "2020-01-02T03:04",
        "2024-05-03T08:30:00",
    ]  # fmt: skip
    assert [photo.taken_offset for photo in listed] == ["+02:00", None, None, None, None, None]
    assert [photo.latitude for photo in listed] == [1, -33.9, -33.9, 52.5, -2.5, 52.5]
    assert [photo.rating for photo in listed] == [5, None, None, 3, None, None]
    assert clip.count(Filter(near=(1, 2, 1))) == 1
    tables = (pd.DataFrame({"camera": [*"abcdef"]}), pa.table({"camera": [*"ghijkl"]}), {"species": ["Kiwi"] * 6})
    for table in tables:
        clip.add_vectors(ids(clip), vectors(6), table)
    assert [clip.find(path).camera for path in photos] == [*"ghijkl"]
    assert clip.count(Filter(label="Kiwi")) == 6


REFUSED: list[tuple[Any, Any, Any, type[Exception], str]] = [
    ([1, 1], np.ones((2, 4)), None, ValueError, r"names .*1\.jpg twice, at 0 and 1"),
    ([1, "1.jpg"], np.ones((2, 4)), None, ValueError, "twice"),
    (["1.jpg", "../Robin/1.jpg"], np.ones((2, 4)), None, ValueError, "twice"),
    ([1], np.ones((2, 4)), None, ValueError, "1 photo and 2 vectors"),
    ([], np.ones((1, 4)), None, ValueError, "0 photos and 1 vector"),
    ([99], np.ones((1, 4)), None, PhotoUnknownError, "99"),
    (["nowhere.jpg"], np.ones((1, 4)), None, PhotoMissingError, "no such file"),
    (["."], np.ones((1, 4)), None, ValueError, "is a folder"),
    ("1.jpg", np.ones((1, 4)), None, TypeError, r"give one as \[photo\]"),
    (1, np.ones((1, 4)), None, TypeError, "must be a list"),
    ([True], np.ones((1, 4)), None, TypeError, "not of True"),
    ([1.5], np.ones((1, 4)), None, TypeError, r"not of 1\.5"),
    ([1], np.ones((1, 3)), None, ValueError, r"shape \(n, 4\), got \(1, 3\)"),
    ([1], np.ones(4), None, ValueError, r"shape \(n, 4\), got \(4,\)"),
    ([1], [[1, 2], [3]], None, ValueError, "array of shape"),
    ([1], np.zeros((1, 4)), None, ValueError, "vector 0 has no direction"),
    ([1], np.full((1, 4), np.nan), None, ValueError, "not finite"),
    ([1], np.full((1, 4), 1e300), None, ValueError, "not finite"),
    ([1], [["a"] * 4], None, ValueError, "must be numbers"),
    ([1], np.ones((1, 4), complex), None, ValueError, "must be numbers"),
    ([1], np.ones((1, 4)), {"lable": ["x"]}, ValueError, "no field 'lable'. Did you mean 'label'"),
    ([1], np.ones((1, 4)), {"sha256": ["x"]}, ValueError, "no field 'sha256'"),
    ([1], np.ones((1, 4)), {"label": "x"}, ValueError, "a list of 1 value"),
    ([1], np.ones((1, 4)), {"label": ["x", "y"]}, ValueError, "a list of 1 value"),
    ([1], np.ones((1, 4)), [{"label": "x"}], TypeError, "mapping of field -> values"),
    ([1], np.ones((1, 4)), {"label": [5]}, ValueError, r"metadata\['label'\]\[0\] is 5: give a text"),
    ([1], np.ones((1, 4)), {"label": ["x"], "species": ["y"]}, ValueError, "give one of them"),
    ([1], np.ones((1, 4)), {"taken_at": ["yesterday"]}, ValueError, "give a date"),
    ([1], np.ones((1, 4)), {"taken_at": [20240517]}, ValueError, "give a date"),
    ([1], np.ones((1, 4)), {"latitude": [91], "longitude": [0]}, ValueError, "from -90 to 90"),
    ([1], np.ones((1, 4)), {"latitude": [9]}, ValueError, "give both"),
    ([1], np.ones((1, 4)), {"rating": [2.5]}, ValueError, "a whole number from 0 to 5"),
]  # fmt: skip


def test_what_cannot_be_meant_is_refused_before_anything_changes(
    clip: Index, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip.add_vectors(photos, vectors(6))
    monkeypatch.chdir(Path(photos[0]).parent)
    before = clip.generation, clip.photos()
    for named, given, metadata, error, words in REFUSED:
        with pytest.raises(error, match=words):
            clip.add_vectors(named, given, metadata)
    assert (clip.generation, clip.photos()) == before
    assert clip.add_vectors([], []).changed == 0


def test_an_index_of_foreign_vectors_answers_vectors_and_says_what_it_cannot(
    clip: Index, photos: list[str], tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=r"has no embed\(images\)"):
        clip.add(Path(photos[0]).parent)
    given = vectors(6)
    clip.add_vectors(photos, given)
    other = shutil.copy(photos[0], tmp_path / "other.jpg")
    with pytest.raises(BackboneError, match=r"ask by vectors \(Index\.search_vectors\)"):
        clip.search(other)
    clip.close()
    with birdsearch.open(tmp_path / "clip") as again:  # as on the command line: no object is at hand
        assert again.search_vectors(given[:1], 1)[0][0].photo.path == photos[0]
        assert again.search(photos[0], 1)[0].score == pytest.approx((unit(given) @ unit(given)[0])[1:].max(), abs=1e-5)
        with pytest.raises(BackboneUnavailableError, match="or ask by vectors"):
            again.search(other)
        again.add_vectors([1], given[:1])


def test_a_stop_in_the_middle_leaves_whole_batches(
    clip: Index, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip.add_vectors(photos[:5], vectors(5))
    monkeypatch.setattr(given_vectors, "COMMIT_PHOTOS", 2)
    commit, commits = SQLCatalog.commit, list[Any]()

    def second_fails(catalog: SQLCatalog, batch: Any, *lay_down: Any) -> None:
        commits.append(batch)
        if len(commits) == 2:
            raise KeyboardInterrupt
        commit(catalog, batch, *lay_down)

    monkeypatch.setattr(SQLCatalog, "commit", second_fails)
    new = vectors(5, seed=1)
    with pytest.raises(KeyboardInterrupt):
        clip.add_vectors(photos[:5], new)
    expected = np.concatenate([unit(new)[:2], unit(vectors(5))[2:]])
    np.testing.assert_allclose(clip.vectors(ids(clip)), expected, atol=1e-6)
    assert clip.add_vectors(photos[:5], new).changed == 5
    assert_holds(clip, dict(zip(photos[:5], new, strict=True)))


def test_a_run_that_its_caller_ends_leaves_whole_batches(
    clip: Index, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip.add_vectors(photos[:5], vectors(5))
    monkeypatch.setattr(given_vectors, "COMMIT_PHOTOS", 2)

    def stop(stage: str, done: int, total: int | None, path: str) -> None:
        assert (stage, total) == ("index", 5)
        if done == 4:
            raise Cancelled

    new = vectors(5, seed=1)
    with pytest.raises(Cancelled):
        clip.add_vectors(photos[:5], new, progress=stop)
    expected = np.concatenate([unit(new)[:4], unit(vectors(5))[4:]])
    np.testing.assert_allclose(clip.vectors(ids(clip)), expected, atol=1e-6)
    assert clip.verify().ok


def test_repair_says_that_lost_vectors_must_be_given_again(clip: Index, photos: list[str]) -> None:
    given = vectors(6)
    clip.add_vectors(photos, given)
    part = next((clip.path / "vectors").iterdir())
    part.write_bytes(part.read_bytes()[:-100])
    done = " ".join(clip.repair())
    assert "Its vectors were given by Index.add_vectors: give them again." in done
    clip.add_vectors(photos, given)
    assert_holds(clip, dict(zip(photos, given, strict=True)))
