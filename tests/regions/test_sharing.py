"""Shares of a score and pairs of places, on maps that are made up."""

import numpy as np
import pytest

from birdsearch.records import Vectors
from birdsearch.regions import sharing
from birdsearch.search import whitening


def some_map(seed: int, shape: tuple[int, int, int] = (32, 5, 7), negative: bool = True) -> Vectors:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values if negative else np.abs(values)


def test_shares_add_up_to_the_cosine() -> None:
    a, b = some_map(1, negative=False), some_map(2, (32, 4, 4), negative=False)
    cosine = sharing.unit_mean(a) @ sharing.unit_mean(b)
    assert sharing.shares(a, sharing.unit_mean(b)).sum() == pytest.approx(cosine, abs=1e-5)
    assert sharing.shares(b, sharing.unit_mean(a)).shape == (4, 4)


def test_a_place_that_the_other_photo_knows_has_the_larger_share() -> None:
    a = np.zeros((2, 3, 3), np.float32)
    a[0], a[1, 1, 1] = 0.1, 5
    share = sharing.shares(a, np.array([0.0, 1.0]))
    assert share.argmax() == 4
    assert share[0, 0] == 0


@pytest.mark.parametrize("negative", [False, True])
def test_shares_add_up_in_a_whitened_space(negative: bool) -> None:
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.normal(size=(60, 32))).astype(np.float32)
    space = whitening.fit(vectors, 8)
    a, b = some_map(1, negative=negative), some_map(2, negative=negative)
    unit = np.stack([sharing.unit_mean(a), sharing.unit_mean(b)])
    whitened = space.apply(unit.astype(np.float32))
    weights, constant = space.as_linear(unit[0], whitened[1])
    assert unit[0] @ weights + constant == pytest.approx(whitened[0] @ whitened[1], abs=1e-5)
    assert sharing.shares(a, weights, constant).sum() == pytest.approx(whitened[0] @ whitened[1], abs=1e-5)


def test_a_part_of_a_vector_that_is_nothing_brings_nothing() -> None:
    space = whitening.fit(np.abs(some_map(3, (20, 6, 1))[:, :, 0]), 4)
    vector = np.array([0.6, 0, 0.8, 0, 0, 0])
    other = space.apply(np.ones((1, 6), np.float32))[0]
    weights, constant = space.as_linear(vector, other)
    assert np.isfinite(weights).all()
    assert (weights[[1, 3, 4, 5]] == 0).all()
    expected = space.apply(vector[None].astype(np.float32))[0] @ other
    assert vector @ weights + constant == pytest.approx(expected, abs=1e-5)


def test_pairs_are_the_places_that_look_alike() -> None:
    a = some_map(4, (64, 14, 14))
    moved = np.roll(a, (2, -3), axis=(1, 2))
    pairs = sharing.patch_pairs(a, moved + 3)  # what all places share does not count
    assert len(pairs) > 80
    assert [pair.similarity for pair in pairs] == sorted((pair.similarity for pair in pairs), reverse=True)
    for pair in pairs:
        (x, y), (u, v) = pair.place, pair.place_in_match
        assert ((u - x) * 14 + 3) % 14 == pytest.approx(0, abs=1e-6) or ((u - x) * 14 + 3) % 14 == pytest.approx(14)
        assert ((v - y) * 14 - 2) % 14 == pytest.approx(0, abs=1e-6) or ((v - y) * 14 - 2) % 14 == pytest.approx(14)


def test_the_outermost_ring_is_left_out() -> None:
    a = some_map(5, (64, 14, 14))
    for pair in sharing.patch_pairs(a, a):
        for x, y in (pair.place, pair.place_in_match):
            assert 1 / 14 < x < 13 / 14
            assert 1 / 14 < y < 13 / 14
    assert len(sharing.patch_pairs(a, a)) == 144


def test_a_map_that_lies_off_is_put_right() -> None:
    a = some_map(5, (64, 14, 14))
    for straight, moved in zip(sharing.patch_pairs(a, a), sharing.patch_pairs(a, a, -0.75), strict=True):
        expected = [value - 0.75 / 14 for value in (*straight.place, *straight.place_in_match)]
        assert (*moved.place, *moved.place_in_match) == pytest.approx(expected)


def test_maps_of_one_cell_or_of_nothing_have_no_pairs() -> None:
    one, flat = np.ones((8, 1, 1), np.float32), np.ones((8, 4, 4), np.float32)
    assert sharing.patch_pairs(one, one) == ()
    assert all(pair.similarity == 0 for pair in sharing.patch_pairs(flat, flat))
    assert sharing.shares(np.zeros((8, 2, 2), np.float32), np.ones(8)).sum() == 0
