"""Fusion of features: probabilities, the open-set score, and what is left of them where there is little to fit on."""

import numpy as np
import pytest

from birdsearch.records import Vectors
from birdsearch.species.features import NO_GALLERY, TYPICAL_WEIGHTS
from birdsearch.species.fusion import Fusion


def drawn(informative: int, photos: int = 400, alternatives: int = 6) -> Vectors:
    """Features (photos, alternatives, 3), of which one alone is higher for the first alternative."""
    features = np.random.default_rng(3).normal(size=(photos, alternatives, 3)).astype(np.float32)
    features[:, 0, informative] += 2
    return features


def test_the_informative_feature_gets_the_weight() -> None:
    for informative in range(3):
        weights = Fusion.fit(drawn(informative)).weights
        assert weights.argmax() == informative
        assert (weights >= 0).all()


def test_probabilities_sum_to_one_and_follow_the_features() -> None:
    features = drawn(1)
    probabilities, novelty = Fusion.fit(features).predict(features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == 0).mean() > 0.7
    assert ((novelty >= 0) & (novelty <= 1)).all()


def test_novelty_is_higher_without_the_own_species() -> None:
    features = drawn(1)
    features[:, 0, 1] += 3
    fusion = Fusion.fit(features)
    assert np.median(fusion.predict(features)[1]) < 0.3
    assert np.median(fusion.predict(features[:, 1:])[1]) > 0.7


def test_species_without_a_gallery_get_no_probability() -> None:
    features = drawn(1, photos=2)
    features[0, 2], features[1] = NO_GALLERY, NO_GALLERY
    probabilities, novelty = Fusion.fit(drawn(1)).predict(features)
    assert probabilities[0, 2] == 0
    assert not probabilities[1].any()
    assert np.isnan(novelty[1])


def test_typical_weights_where_there_is_nothing_to_fit_on() -> None:
    nothing = Fusion.fit(np.zeros((0, 1, 3), np.float32))
    np.testing.assert_array_equal(nothing.weights, TYPICAL_WEIGHTS)
    assert nothing.novelty is None
    assert Fusion.fit(drawn(0, alternatives=2)).novelty is None  # without its own species one alternative is left


def test_where_all_are_strangers_what_is_nearer_than_they_are_is_known() -> None:
    features = drawn(1)
    strangers = features.copy()
    strangers[:, 0] = NO_GALLERY  # no other photo shows the own species
    fusion = Fusion.fit(strangers)
    np.testing.assert_array_equal(fusion.weights, TYPICAL_WEIGHTS)
    assert np.median(fusion.predict(strangers)[1]) == pytest.approx(0.5, abs=0.1)
    near = features.copy()
    near[:, 0, 1] = features[:, :, 1].max() + 1
    assert np.median(fusion.predict(near)[1]) < 0.1
    assert Fusion.fit(strangers[:5]).novelty is None
    assert Fusion.fit(np.full_like(strangers, NO_GALLERY)).novelty is None
