"""The PLDA model: its closed form against the densities it stands for."""

import numpy as np
import pytest

from birdsearch.species import plda
from tests.species.test_classifier import drawn

scipy_stats = pytest.importorskip("scipy.stats")


def model(dim: int = 3) -> plda.Model:
    """A model in which every direction is its own."""
    return plda.Model(np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32), np.array([0.5, 2, 8], np.float32)[:dim])


def test_log_ratios_are_those_of_the_densities() -> None:
    made, photo, known = model(), np.array([[0.5, -1, 2]], np.float32), np.array([[1, 0, 2], [0.5, -1, 3]], np.float32)
    ratio = made.log_ratios(photo, known.sum(axis=0, keepdims=True), np.array([2.0], np.float32))[0, 0]
    expected = 0.0
    for d, spread in enumerate(made.spread.astype(float)):
        joint = np.full((3, 3), spread) + np.eye(3)
        values = [photo[0, d], *known[:, d]]
        alone = scipy_stats.norm.logpdf(values[0], scale=np.sqrt(1 + spread))
        others = scipy_stats.multivariate_normal.logpdf(values[1:], cov=joint[1:, 1:])
        expected += scipy_stats.multivariate_normal.logpdf(values, cov=joint) - others - alone
    assert ratio == pytest.approx(expected, rel=1e-5)


def test_paired_log_ratios_equal_those_of_all_species() -> None:
    made, draw = model(), np.random.default_rng(0)
    photos, sums = draw.normal(size=(4, 3)).astype(np.float32), draw.normal(size=(4, 3)).astype(np.float32)
    counts = np.array([1, 2, 3, 9], np.float32)
    table = made.log_ratios(photos, sums, counts)
    np.testing.assert_allclose(made.paired_log_ratios(photos, sums, counts), np.diag(table), rtol=1e-4, atol=1e-5)


def test_a_species_without_photos_is_like_an_unknown_one() -> None:
    made = model()
    photos = np.ones((2, 3), np.float32)
    assert made.log_ratios(photos, np.zeros((1, 3), np.float32), np.zeros(1, np.float32)) == pytest.approx(0, abs=1e-6)


def test_a_fit_separates_species() -> None:
    vectors, own = drawn(species=20, photos=6)
    made = plda.fit(vectors, own)
    assert made is not None
    projected = made.project(vectors)
    sums, counts = plda.class_sums(projected, own, 20), np.full(20, 6, np.float32)
    assert (made.log_ratios(projected, sums, counts).argmax(axis=1) == own).mean() > 0.95


@pytest.mark.parametrize("codes", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_one_species_or_single_photos_make_no_model(codes: list[int]) -> None:
    assert plda.fit(drawn(species=4, photos=1)[0], np.array(codes)) is None
