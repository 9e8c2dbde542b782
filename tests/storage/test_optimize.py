"""`optimize` on an index: which engine, which space; what was chosen stays chosen, and can be taken back."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Index
from birdsearch.errors import IndexDamagedError
from birdsearch.search import whitening as whitening_module
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty-four photos of four species."""
    for seed in range(24):
        write(tmp_path / "photos" / f"species {seed % 4}" / f"{seed}.jpg", bird(seed, 80, 60))
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path, photos: Path, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that may be whitened although it is small, and whose neighbours are never judged worse."""
    monkeypatch.setattr(whitening_module, "LEAST", 10)
    monkeypatch.setattr(whitening_module, "cross_fitted", lambda *_: (0.5, 0.6))
    with birdsearch.create(tmp_path / "index", backbone=fake) as made:
        made.add(photos, labels="folder")
        yield made


def scores(index: Index) -> list[tuple[int | None, float]]:
    """What the first photo finds, and how near."""
    return [(match.photo.id, match.score) for match in index.search(index.photos()[0], k=5)]


def test_few_photos_keep_the_exact_engine(index: Index) -> None:
    report = index.optimize(recall=0.99)
    assert report.engine == "flat"
    assert report.trials[-1].recall == 1.0
    assert (report.whitened, report.whitening) == (False, "")
    assert report.recall_at_1_before == report.recall_at_1_after


def test_whitening_changes_scores_and_nothing_else_and_can_be_undone(index: Index, fake: FakeBackbone) -> None:
    ids = [photo.id for photo in index.photos() if photo.id]
    raw, before, embedded = index.vectors(ids), scores(index), fake.embedded
    report = index.optimize(whiten=True)
    assert report.whitened
    assert report.whitening.startswith("fitted")
    assert scores(index) != before
    np.testing.assert_array_equal(index.vectors(ids), raw)
    assert index.verify().problems == ()
    assert index.optimize(whiten=False).whitening == "removed"
    assert [found for found, _ in scores(index)] == [found for found, _ in before]
    np.testing.assert_allclose([score for _, score in scores(index)], [score for _, score in before], atol=1e-6)
    index.add([])  # the next writer clears away what no reader can need any more
    assert not list(index.path.glob("whitening-*"))
    assert fake.embedded == embedded


def test_photos_that_come_later_are_whitened_too(index: Index, photos: Path, fake: FakeBackbone) -> None:
    index.optimize(whiten=True)
    later = photos / "species 1" / "later.jpg"
    write(later, bird(99, 80, 60))
    with birdsearch.open(index.path, backbone=fake) as reader:
        assert reader.search(bird(99, 80, 60), k=1)[0].score < 0.99
        index.add(photos)
        found = reader.search(later.read_bytes(), k=1)[0]
    assert found.photo.path == str(later)
    assert found.score == pytest.approx(1, abs=1e-5)
    assert index.verify().problems == ()


def test_too_few_photos_are_declined(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening_module, "LEAST", 500)
    report = index.optimize(whiten=True)
    assert not report.whitened
    assert "24 photos are too few" in report.whitening


def test_a_space_that_makes_neighbours_worse_is_declined(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening_module, "cross_fitted", lambda *_: (0.7, 0.6))
    before = scores(index)
    report = index.optimize(whiten=True)
    assert not report.whitened
    assert "0.700 -> 0.600" in report.whitening
    assert scores(index) == before


def test_a_damaged_whitening_is_named_and_repaired(index: Index) -> None:
    index.optimize(whiten=True)
    wanted = scores(index)
    file = next(index.path.glob("whitening-*.npz"))
    file.write_bytes(file.read_bytes()[:100])
    with birdsearch.open(index.path) as reader:
        assert any("whitening-" in problem for problem in reader.verify().problems)
        with pytest.raises(IndexDamagedError, match="birdsearch repair"):
            reader.search_vectors(reader.vectors([1]), k=1)
        assert reader.repair()
        assert reader.verify().problems == ()
        assert [found for found, _ in scores(reader)] == [found for found, _ in wanted]


def test_wrong_wishes(index: Index) -> None:
    with pytest.raises(ValueError, match="recall"):
        index.optimize(recall=1.5)
    with pytest.raises(ValueError, match="nosuch"):
        index.optimize(engine="nosuch")


def test_one_species_judges_by_predictions_or_not_at_all(index: Index, photos: Path, fake: FakeBackbone) -> None:
    labels = photos.parent / "all.csv"
    labels.write_text("path,species\n" + "".join(f"{photo.path},Wren\n" for photo in index.photos()))
    index.add(photos, labels=str(labels))
    report = index.optimize(whiten=True)
    assert report.whitened


def test_an_index_without_photos_can_be_optimized(tmp_path: Path, fake: FakeBackbone) -> None:
    with birdsearch.create(tmp_path / "empty", backbone=fake) as empty:
        assert empty.optimize().engine == "flat"
        assert not empty.optimize(whiten=True).whitened


def test_a_lost_whitening_of_a_lost_part_is_removed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.optimize(whiten=True)
    next(index.path.glob("whitening-*.npz")).unlink()
    next((index.path / "vectors").glob("*.parquet")).unlink()
    done = index.repair()
    assert any("removed the whitening" in line for line in done)
    assert index.verify().problems == ()
    assert index.repair() == []
