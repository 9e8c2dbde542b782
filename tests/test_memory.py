"""What fits into memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import birdsearch
from birdsearch import Index, memory
from birdsearch.errors import MemoryNeededError
from tests.conftest import write_garden_photos
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def six(tmp_path: Path, fake: FakeBackbone) -> Iterator[Index]:
    """An index of six photos."""
    write_garden_photos(tmp_path / "photos")
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        index.add(tmp_path / "photos", labels="folder")
        yield index


def test_a_computer_says_how_much_is_free() -> None:
    free = memory.available()
    assert free is None or free > 10**6


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max").write_text("300000\n")
    (tmp_path / "current").write_text("200000\n")
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "max")
    monkeypatch.setattr(memory, "_USED", tmp_path / "current")
    assert memory.available() == 100_000
    memory.check_room(100, 1000)
    with pytest.raises(MemoryNeededError, match=r"101 photos .* 0\.0 GB are free\. .* --sample 10 "):
        memory.check_room(101, 1000)


def test_a_container_without_a_limit_has_what_the_computer_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max").write_text("max\n")
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "max")
    free = memory.available()
    assert free is None or free > 10**6


def test_what_holds_all_photos_at_once_is_refused_and_what_reads_them_one_by_one_is_not(
    six: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = six.photos()
    monkeypatch.setattr(memory, "available", lambda: 5_000)
    for ask in (six.photos, six.to_arrow):
        with pytest.raises(MemoryNeededError, match=r"6 photos at once need more than .*one after the other|to a file"):
            ask()
    monkeypatch.setattr(memory, "available", lambda: 1_000)
    with pytest.raises(MemoryNeededError, match=r"6 photos at once need more than .* --sample 1 "):
        six.duplicates()
    assert list(six.each_photo()) == photos
    assert six.export(tmp_path / "all.parquet").written == 6
    assert six.photos(limit=0) == []


def test_vectors_that_do_not_fit_are_not_searched_without_an_engine_and_photos_are_committed_all_the_same(
    six: Index, fake: FakeBackbone, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = six.vectors([1])
    for engine in six.path.glob("engine-*"):
        engine.unlink()
    monkeypatch.setattr(memory, "available", lambda: 100)
    with birdsearch.open(six.path, backbone=fake) as index:
        with pytest.raises(MemoryNeededError, match=r"6 photos at once need more than .* computer with more memory"):
            index.search_vectors(vector, k=1)
        index.label({1: "Dunnock"})
        assert index.repair() == []
        assert "the engine is not brought up to date: 6 photos at once" in caplog.text
    monkeypatch.undo()
    with birdsearch.open(six.path, backbone=fake) as index:
        assert index.photo(1).label == "Dunnock"
        assert index.search_vectors(vector, k=1)[0][0].photo.id == 1
