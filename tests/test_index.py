"""The door: what Index answers about its photos, and that it is open for several threads and hands at once."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import birdsearch
from birdsearch import DuplicateReport, Filter, Index, LabelReport, Photo, Plan, TagPlan
from birdsearch.errors import IndexMissingError, IndexReplacedError, PhotoUnknownError
from tests.conftest import write_garden_photos
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def garden(index: Index, tmp_path: Path) -> Index:
    """Three wrens and three robins."""
    write_garden_photos(tmp_path / "photos")
    index.add(tmp_path / "photos", labels="folder")
    return index


def test_count_is_the_number_of_photos_that_a_filter_gives(garden: Index) -> None:
    for where in (None, Filter(species="Wren"), Filter(label="Dodo"), Filter(camera="canon")):
        assert garden.count(where) == len(garden.photos(where))
    assert garden.count() == len(garden) == 6
    os.unlink(garden.photo(1).path)
    garden.add(Path(garden.photo(2).path).parent.parent)
    assert garden.count() == 5


def test_photos_by_id_come_in_the_order_asked_for(garden: Index) -> None:
    assert [photo.id for photo in garden.photos(ids=[5, 1, 5])] == [5, 1, 5]
    assert garden.photos(ids=[]) == []
    with pytest.raises(PhotoUnknownError, match="99"):
        garden.photos(ids=[1, 99])
    with pytest.raises(ValueError, match="either ids, or a filter"):
        garden.photos(Filter(species="Wren"), ids=[1])


def test_photos_in_an_order_page_by_page(garden: Index) -> None:
    newest = [photo.id for photo in garden.photos(order="newest")]
    times = [photo.taken_at or "" for photo in garden.photos(order="newest")]
    assert times == sorted(times, reverse=True)
    first = garden.photos(order="newest", limit=4)
    rest = garden.photos(order="newest", limit=4, after=first[-1].id)
    assert [photo.id for photo in first + rest] == newest == garden.photo_ids(order="newest").tolist()
    assert garden.photo_ids().dtype == np.int64
    assert garden.photo_ids(Filter(species="Wren"), order="oldest").tolist() == [4, 5, 6]
    with pytest.raises(ValueError, match="order must be id, newest, oldest, path or species, got 'latest'"):
        garden.photos(order="latest")
    with pytest.raises(ValueError, match="either ids, or"):
        garden.photos(ids=[1], order="newest")
    with pytest.raises(ValueError, match="either ids, or"):
        garden.photos(ids=[1], after=1)
    with pytest.raises(PhotoUnknownError, match="99"):
        garden.photos(after=99)


def test_photos_one_after_the_other_are_read_as_they_come(garden: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(garden.each_photo()) == garden.photos()
    newest = garden.photos(Filter(species="Wren"), order="newest", limit=2)
    assert list(garden.each_photo(Filter(species="Wren"), order="newest", limit=2)) == newest
    assert [photo.id for photo in garden.each_photo(ids=[5, 2**70, 3])] == [5, 3]
    monkeypatch.setattr("birdsearch.index.PHOTOS_AT_ONCE", 2)
    photos = garden.each_photo()
    first = next(photos).id
    garden.remove(Filter(ids=[2, 3]))
    assert [first, *(photo.id for photo in photos)] == [1, 2, 4, 5, 6]  # of the block that was read nothing is missing


def test_photos_by_id_include_missing_ones(garden: Index) -> None:
    photo = garden.photo(1)
    os.unlink(photo.path)
    garden.add(Path(photo.path).parent.parent)
    assert 1 not in [one.id for one in garden.photos()]
    assert garden.photos(ids=[1])[0].path == photo.path


def test_find_takes_a_path_as_it_is_typed(garden: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = garden.photos(Filter(species="Wren"))[0]
    assert garden.find(photo.path).id == photo.id
    assert garden.find(Path(photo.path)) == photo
    monkeypatch.chdir(Path(photo.path).parent)
    assert garden.find(os.path.basename(photo.path)) == photo
    with pytest.raises(PhotoUnknownError, match=r"no photo .*eagle\.jpg in .*: `birdsearch photos` lists"):
        garden.find("eagle.jpg")


def test_generation_rises_with_every_change_that_others_can_see(garden: Index) -> None:
    seen = [garden.generation]
    garden.label({1: "Wren of old"})
    seen.append(garden.generation)
    garden.remove(Filter(label="Wren of old"))
    seen.append(garden.generation)
    assert seen == sorted(set(seen))
    garden.photos()
    garden.remove(Filter(label="Dodo"))
    garden.label({})
    garden.label({2: "Wren"}, author="Ana")
    seen.append(garden.generation)
    assert garden.label({2: "Wren"}, author="Ana").unchanged == 1
    assert garden.label({3: None}).unchanged == 1
    assert garden.generation == seen[-1]


def test_restore_writes_a_lost_index_json_again(garden: Index) -> None:
    (garden.path / "index.json").unlink()
    assert birdsearch.restore(garden.path) == ["wrote index.json again from the catalog"]
    with birdsearch.open(garden.path, backbone=FakeBackbone()) as again:
        assert len(again) == 6
    with pytest.raises(IndexMissingError):
        birdsearch.restore(garden.path / "nothing")


def test_remove_wants_to_know_which_photos(garden: Index) -> None:
    nothing = Filter(label="nothing")
    for everything in (Filter(), None, nothing | Filter(), Filter(any_of=[Filter(label=None)]), ~Filter(ids=())):
        with pytest.raises(ValueError, match="remove which photos"):
            garden.remove(everything)
    with pytest.raises(ValueError, match="either a filter or everything=True"):
        garden.remove(nothing, everything=True)
    with pytest.raises(TypeError, match="a filter must be a Filter"):
        garden.remove({"label": "Wren"})  # type: ignore[arg-type]
    assert len(garden) == 6
    assert garden.remove(Filter(under="/")) == 6


def test_everything_is_removed_where_that_is_said(garden: Index) -> None:
    assert garden.remove(everything=True) == 6
    assert len(garden) == 0


def test_a_reader_notices_that_another_index_has_come(garden: Index, tmp_path: Path) -> None:
    """As a service that is given a new index by two renames; each question says so."""
    new = tmp_path / "new"
    shutil.copytree(garden.path, new)
    questions: list[Callable[[], object]] = [
        lambda: garden.generation,
        garden.count,
        lambda: garden.vectors([1]),
        lambda: garden.search_vectors(np.ones((1, FakeBackbone.dim))),
        lambda: garden.label({1: "Robin"}),
    ]
    for question in questions[:-1]:
        question()
    garden.path.rename(tmp_path / "old")
    for question in questions[:-1]:
        with pytest.raises(IndexReplacedError, match="was moved away or deleted"):
            question()
    new.rename(garden.path)
    for question in questions:
        with pytest.raises(IndexReplacedError, match=r"another index has come .*: open it again"):
            question()
    with birdsearch.open(garden.path) as again:
        assert len(again) == 6


def test_threads_of_one_index_get_right_answers_while_it_changes(garden: Index, tmp_path: Path) -> None:
    photos = garden.photos()
    shutil.copytree(tmp_path / "photos" / "Wren", tmp_path / "more")
    vectors = garden.vectors([photo.id or 0 for photo in photos])

    def ask(number: int) -> bool:
        photo = photos[number % 6]
        if number % 20 == 7:
            garden.label({photo.id or 0: f"Wren {number}"})
        if number == 40:
            garden.add(tmp_path / "more")
        own = garden.vectors([photo.id or 0])
        found = garden.search(photo, k=20)
        near = {match.photo.id: match.score for match in found}
        scores = [float(own[0] @ vectors[row]) for row, other in enumerate(photos) if other.id != photo.id]
        expected = [near[other.id] for other in photos if other.id != photo.id]
        return np.array_equal(own[0], vectors[number % 6]) and np.allclose(scores, expected, atol=1e-5)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(120)))
    assert len(garden) == 9
    assert len(garden.search(photos[0], k=20)) == 8


def test_an_empty_index_is_true(index: Index) -> None:
    assert len(index) == 0
    assert index


def test_a_closed_index_is_closed(garden: Index) -> None:
    photo = garden.photo(1)
    garden.close()
    garden.close()
    public = [name for name in dir(Index) if not name.startswith("_") and name not in ("close", "name", "path")]
    for name in public:
        with pytest.raises(ValueError, match="was closed: open it again"):
            _called(garden, name, photo)
    with pytest.raises(ValueError, match="was closed"), garden:
        pass
    with pytest.raises(ValueError, match="was closed"):
        len(garden)
    assert "closed" in repr(garden)


def _called(index: Index, name: str, photo: Photo) -> None:
    """Read an attribute or call a method of an index with what it asks for."""
    values: dict[str, Any] = {
        "photo": photo, "image": photo, "images": [photo], "photos": [photo], "vectors": np.zeros((1, 16), np.float32),
        "ids": [1], "a": 1, "b": 2,
        "photo_id": 1, "path": "x", "labels": {1: "Wren"}, "before": LabelReport(), "report": DuplicateReport(),
        "plan": TagPlan() if name == "write_tags" else Plan(),
        "action": "trash", "folders": [Path(photo.path).parent], "folder": Path(photo.path).parent,
        "where": Filter(label="Wren"), "corrections": {"Wren": None}, "text": "wr", "report_id": "0",
    }  # fmt: skip
    member = getattr(index, name)
    needed = [one.name for one in signature(member).parameters.values() if one.default is Parameter.empty]
    member(**{word: values[word] for word in needed})


def test_what_python_users_give_is_taken_or_refused_at_once(garden: Index, fake: FakeBackbone) -> None:
    assert birdsearch.__version__
    for word, value, hint in (("runtime", "cuda", "write device='cuda'"), ("precision", "int8", "fp32")):
        with pytest.raises(ValueError, match=f"{word} must be auto.*{hint}"):
            birdsearch.open(garden.path, backbone=fake, **{word: value})  # type: ignore[arg-type]
    assert garden.duplicates(relations="identical").groups == ()
    with pytest.raises(TypeError, match="a filter must be a Filter"):
        garden.duplicates("identical")  # type: ignore[arg-type]


def test_photos_as_an_arrow_table(garden: Index) -> None:
    table = garden.to_arrow(Filter(label="Wren"))
    assert table.column("label").to_pylist() == ["Wren"] * 3
    assert garden.to_arrow(Filter(label="Dodo")).num_rows == 0
    np.testing.assert_array_equal(
        np.stack(table.column("vector").to_pylist()), garden.vectors(table.column("id").to_pylist())
    )
