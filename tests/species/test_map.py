"""Photos that look alike lie together on the map."""

import subprocess
import sys

import numpy as np
import pytest

from birdsearch.records import Vectors
from birdsearch.species import map
from tests.species.test_clusters import species


def mean_rank_of_own(places: Vectors, names: np.ndarray) -> float:
    """The share of the five nearest on the map that are of the same species."""
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(far, np.inf)
    return float((names[np.argsort(far, axis=1)[:, :5]] == names[:, None]).mean())


@pytest.mark.slow
def test_photos_of_a_species_lie_together_and_the_same_seed_gives_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, names = species(12, 20)
    places = map.coordinates(vectors)
    assert places.shape == (240, 2)
    assert np.isfinite(places).all()
    assert mean_rank_of_own(places, names) > 0.95
    assert np.array_equal(places, map.coordinates(vectors))
    assert not np.array_equal(places, map.coordinates(vectors, seed=1))
    # Of more photos than UMAP looks at, the others are placed among those that it saw.
    monkeypatch.setattr(map, "FITTED", 120)
    placed = map.coordinates(vectors)
    assert np.isfinite(placed).all()
    assert mean_rank_of_own(placed, names) > 0.95
    assert np.array_equal(placed, map.coordinates(vectors))
    # Copies of few pictures have a map too.
    assert np.isfinite(map.coordinates(np.repeat(vectors[:3], 20, axis=0))).all()


@pytest.mark.parametrize("photos", [0, 1, 2, 3, 30])
def test_few_photos_have_a_map(photos: int) -> None:
    vectors, _ = species(1, 30)
    assert map.coordinates(vectors[:photos]).shape == (photos, 2)


def test_photos_that_are_all_alike_have_a_map() -> None:
    vectors, _ = species(1, 1)
    places = map.coordinates(np.repeat(vectors, 40, axis=0))
    assert places.shape == (40, 2)
    assert np.isfinite(places).all()


def test_only_a_map_loads_umap() -> None:
    code = (
        "import sys, birdsearch\n"
        "from birdsearch.species import audit, classifier, clusters, confusions, evaluation, life_list, map, split\n"
        "print({'umap', 'numba', 'pynndescent'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set()\n"
