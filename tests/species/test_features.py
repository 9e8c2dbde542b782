"""Features of a gallery: what they are for a photo, and that a photo's own group does not count."""

import numpy as np
import pytest

from birdsearch.records import Ids, Vectors
from birdsearch.species.features import INVERSE_TEMPERATURE, NO_GALLERY, ClassGallery, FeatureSpace
from tests.species.test_classifier import drawn


def gallery(vectors: Vectors, codes: Ids, groups: Ids | None = None) -> ClassGallery:
    """A gallery in a space fitted on its own photos."""
    space = FeatureSpace.fit(vectors, codes, whitened=False)
    return ClassGallery.of(space, vectors, codes, np.arange(len(codes)) if groups is None else groups)


def features(made: ClassGallery, vectors: Vectors, groups: Ids) -> Vectors:
    """Features (q, species, 3) of photos (q, dim)."""
    return made.features(*made.space.views(vectors), groups)


def test_the_scores_with_mean_and_photos_by_hand() -> None:
    vectors, own = drawn(species=3, photos=4)
    queries = drawn(species=3, photos=1, seed=9)[0]
    found = features(gallery(vectors, own), queries, np.full(3, -1))
    for species in range(3):
        members = vectors[own == species]
        mean = members.sum(axis=0) / np.linalg.norm(members.sum(axis=0))
        np.testing.assert_allclose(found[:, species, 1], queries @ mean, atol=1e-5)
        soft = np.log(np.exp(INVERSE_TEMPERATURE * (queries @ members.T)).mean(axis=1)) / INVERSE_TEMPERATURE
        np.testing.assert_allclose(found[:, species, 2], soft, atol=1e-4)


def test_a_photo_of_a_group_is_as_if_its_group_were_not_in_the_gallery() -> None:
    vectors, own = drawn(species=4, photos=5)
    groups = np.arange(len(own)) // 3  # some groups hold photos of two species
    made = gallery(vectors, own, groups)
    for row in (0, 4, 17):
        fewer = ClassGallery.of(made.space, vectors, np.where(groups != groups[row], own, -1), groups)
        there, gone = features(made, vectors[[row]], groups[[row]]), features(fewer, vectors[[row]], np.array([-1]))
        np.testing.assert_allclose(there, gone, atol=1e-4)


def test_a_species_of_the_own_group_alone_has_no_gallery() -> None:
    vectors, own = drawn(species=3, photos=2)
    found = features(gallery(vectors, own, own), vectors, own)
    for species in range(3):
        assert (found[own == species, species] == NO_GALLERY).all()
        assert (found[own != species, species] > NO_GALLERY).all()


def test_nearest_photos_of_a_species() -> None:
    vectors, own = drawn(species=3, photos=4)
    mixed = np.random.default_rng(0).permutation(len(own))
    vectors, own = vectors[mixed], own[mixed]
    found = gallery(vectors, own).nearest(vectors[5], 5, int(own[5]), 9)
    assert set(found.tolist()) == set(np.flatnonzero(own == own[5]).tolist()) - {5}
    assert (np.diff(vectors[found] @ vectors[5]) <= 0).all()


@pytest.mark.parametrize("count", [0, 3])
def test_photos_without_labels_or_all_alike_make_no_model(count: int) -> None:
    space = FeatureSpace.fit(np.full((count, 4), 0.5, np.float32), np.zeros(count, np.int64), whitened=False)
    assert (space.space, space.model) == (None, None)
