"""Communities find what lies together without labels, and a report says what each cluster holds."""

from pathlib import Path

import numpy as np
import pytest

from birdsearch.records import Ids, Vectors
from birdsearch.search import whitening
from birdsearch.search.exact import Neighbours
from birdsearch.species.clusters import Partition, agreement, communities, outliers, report, spherical_kmeans
from tests.support import REAL_PHOTOS


def species(count: int, photos: int, *, dim: int = 48, spread: float = 0.08, seed: int = 5) -> tuple[Vectors, Ids]:
    """Unit rows (count * photos, dim) around as many directions, and which direction each is of."""
    draw = np.random.default_rng(seed)
    names = np.repeat(np.arange(count), photos)
    rows = unit(draw.normal(size=(count, dim)))[names] + spread * draw.normal(size=(len(names), dim))
    return unit(rows), names


def unit(rows: np.ndarray) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def neighbours(vectors: Vectors, k: int = 12) -> Neighbours:
    """The k nearest of every row, the row itself among them, -1 where there are fewer."""
    scores = vectors @ vectors.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(scores, order, axis=1).astype(np.float32)
    gap = ((0, 0), (0, max(0, k - order.shape[1])))
    return Neighbours(np.pad(order, gap, constant_values=-1), np.pad(found, gap, constant_values=-np.inf))


def texts(names: Ids) -> list[str | None]:
    return [f"species {name}" for name in names]


@pytest.mark.parametrize("photos", [5, 40])
def test_the_automatic_setting_fits_small_and_large_species(photos: int) -> None:
    vectors, names = species(40, photos)
    found = communities(vectors, neighbours(vectors))
    assert agreement(texts(names), found.labels)["ari"] > 0.9
    assert abs(found.count - 40) <= 4
    assert "chosen" in found.method


def test_same_seed_same_labels() -> None:
    vectors, _ = species(30, 6, spread=0.2)
    first, second = (communities(vectors, neighbours(vectors), seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.method == second.method


def test_a_higher_resolution_cuts_more_finely() -> None:
    vectors, _ = species(10, 30)
    coarse, fine = (communities(vectors, neighbours(vectors), resolution=r) for r in (0.001, 0.3))
    assert fine.count > coarse.count
    assert coarse.resolution == 0.001
    assert "given" in coarse.method


def test_clusters_are_numbered_by_size() -> None:
    vectors, _ = species(12, 8)
    found = communities(vectors[5:], neighbours(vectors[5:]))
    sizes = np.bincount(found.labels)
    assert (np.diff(sizes) <= 0).all()


def test_lists_with_or_without_the_photo_itself_give_the_same() -> None:
    vectors, _ = species(20, 6, spread=0.2)
    with_self = neighbours(vectors, 14)
    without = Neighbours(with_self.ids[:, 1:], with_self.scores[:, 1:])
    first, second = (communities(vectors, lists, resolution=0.08) for lists in (with_self, without))
    assert 10 < first.count < 100
    np.testing.assert_array_equal(first.labels, second.labels)


def test_a_large_collection_is_tried_on_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, names = species(60, 10)
    monkeypatch.setattr("birdsearch.species.clusters.TRIED_ON", 150)
    found = communities(vectors, neighbours(vectors))
    assert agreement(texts(names), found.labels)["ari"] > 0.9


@pytest.mark.network
def test_real_photos_by_species_without_their_labels(tmp_path: Path) -> None:
    if not REAL_PHOTOS.is_dir():
        pytest.skip("the shared photos are not here")
    import birdsearch

    with birdsearch.create(tmp_path / "index") as index:
        index.add(REAL_PHOTOS, labels="folder")
        photos = index.photos()
        vectors = index.vectors([photo.id for photo in photos if photo.id is not None])
    refined = whitening.fit(vectors).apply(vectors)
    found = agreement([photo.label for photo in photos], communities(refined, neighbours(refined, 13)).labels)
    assert found["ami"] >= 0.71
    assert found["ari"] >= 0.64


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_very_few_photos(count: int) -> None:
    vectors = unit(np.eye(4)[:count])
    lists = neighbours(vectors)
    found = communities(vectors, lists)
    assert len(found.labels) == count
    shown = report(vectors, np.arange(count), found, [None] * count, lists)
    assert sum(len(cluster.photos) for cluster in shown.clusters) == count
    assert not shown.agreement
    assert not shown.outliers
    assert len(spherical_kmeans(vectors, 5).labels) == count


def test_neighbour_lists_that_hold_nobody() -> None:
    vectors, _ = species(3, 2)
    nobody = Neighbours(np.full((6, 4), -1), np.full((6, 4), -np.inf, dtype=np.float32))
    assert communities(vectors, nobody).count == 6
    assert not len(outliers(nobody))
    assert communities(vectors, Neighbours(nobody.ids[:, :0], nobody.scores[:, :0])).count == 6


def test_photos_that_are_all_alike_are_one_cluster() -> None:
    vectors = np.tile(unit(np.ones((1, 16))), (50, 1))
    lists = neighbours(vectors, 60)
    found = communities(vectors, lists)
    assert found.count == 1
    assert spherical_kmeans(vectors, 7).count == 1
    assert not len(outliers(lists))


def test_one_photo_of_each_species_and_one_species_only() -> None:
    vectors, names = species(40, 1)
    lists = neighbours(vectors)
    found = communities(vectors, lists)
    assert set(agreement(texts(names), found.labels)) == {"ami", "ari", "homogeneity", "purity"}
    assert agreement(["Wren"] * 40, found.labels) == {}


def test_wrong_settings_are_refused() -> None:
    vectors, _ = species(3, 3)
    with pytest.raises(ValueError, match="resolution"):
        communities(vectors, neighbours(vectors), resolution=0)
    with pytest.raises(ValueError, match="9 vectors"):
        communities(vectors, neighbours(vectors[:4]))
    with pytest.raises(ValueError, match="clusters"):
        spherical_kmeans(vectors, 0)


def test_a_report_says_what_each_cluster_holds() -> None:
    centre = unit(np.eye(8)[:2])
    vectors = unit(centre[[0, 0, 0, 0, 1, 1]] + 0.02 * np.eye(8)[[2, 0, 3, 4, 5, 1]])
    found = Partition(np.array([0, 0, 0, 0, 1, 1]), "by hand")
    names = ["Wren", "Wren", None, "Robin\n\udcff", None, None]
    shown = report(vectors, np.arange(10, 16), found, names)
    first, second = shown.clusters
    assert (first.photos, first.label, first.mixed) == ((10, 11, 12, 13), "Wren", {"Wren": 2, "Robin\n\udcff": 1})
    assert first.purity == pytest.approx(2 / 3)
    assert first.medoids[0] == 11  # without a step to the side it lies in the middle
    assert (second.label, second.purity, second.mixed) == (None, None, {})
    assert shown.method == "by hand"


def test_agreement_counts_labelled_photos_only() -> None:
    labels = np.array([0, 0, 1, 1, 1, 0])
    assert agreement(["a", "a", "b", "b", None, None], labels) == {"ami": 1, "ari": 1, "homogeneity": 1, "purity": 1}
    assert agreement(["a", "b", "a", "b", None, None], labels)["purity"] == 0.5
    assert agreement([None] * 6, labels) == {}


def test_a_stranger_is_an_outlier() -> None:
    vectors, _ = species(8, 12)
    stranger = unit(np.random.default_rng(9).normal(size=(1, 48)))
    both = np.concatenate([vectors, stranger])
    found = outliers(neighbours(both))
    assert found[0] == 96
    assert not len(outliers(neighbours(vectors)))


@pytest.mark.parametrize("photos", [10, 1000])
def test_spherical_kmeans_finds_plain_clusters(photos: int) -> None:
    vectors, names = species(10, photos)
    found = spherical_kmeans(vectors, 10)
    assert agreement(texts(names), found.labels)["ami"] > 0.8
    np.testing.assert_array_equal(found.labels, spherical_kmeans(vectors, 10).labels)
