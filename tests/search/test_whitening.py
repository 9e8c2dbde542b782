"""The whitened space: fitted without labels, better for the photos that it was fitted on, and for others."""

from pathlib import Path

import numpy as np
import pytest

from birdsearch.records import Vectors
from birdsearch.search.whitening import LabelCodes, Whitening, cross_fitted, fit, recall_at_1


def shared_direction(species: int = 60, photos: int = 10, dim: int = 64) -> tuple[Vectors, LabelCodes]:
    """Vectors (n, dim) of photos whose species hides behind a few directions in which all photos vary much."""
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(species, dim))
    names = np.repeat(np.arange(species), photos)
    loud = np.zeros(dim)
    loud[:4] = 6
    rows = centres[names] + 0.9 * draw.normal(size=(len(names), dim)) + loud * draw.normal(size=(len(names), dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32), names


def test_whitened_rows_are_unit_rows_of_the_new_dimension() -> None:
    vectors, _ = shared_direction()
    whitened = fit(vectors, dims=32).apply(vectors)
    assert whitened.shape == (600, 32)
    assert whitened.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whitened, axis=1), 1, atol=1e-5)


def test_the_fit_tempers_what_all_photos_share() -> None:
    vectors, names = shared_direction()
    judged = cross_fitted(vectors, names)
    assert judged is not None
    before, after = judged
    assert after > before + 0.05
    assert recall_at_1(fit(vectors).apply(vectors), names) > recall_at_1(vectors, names) + 0.05


def test_the_fit_is_the_same_every_time() -> None:
    vectors, _ = shared_direction()
    np.testing.assert_array_equal(fit(vectors).projection, fit(vectors).projection)


def test_fewer_photos_than_dimensions() -> None:
    vectors, _ = shared_direction(dim=64)
    whitened = fit(vectors[:20])
    assert whitened.dim < 20
    assert np.isfinite(whitened.apply(vectors)).all()


def test_the_mean_photo_has_a_direction_too() -> None:
    still = Whitening(np.full(4, 0.5, np.float32), np.eye(4, dtype=np.float32))
    whitened = still.apply(np.full((1, 4), 0.5, np.float32))
    np.testing.assert_allclose(np.linalg.norm(whitened, axis=1), 1)


def test_photos_that_are_all_alike_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="equal"):
        fit(np.tile(np.eye(8, dtype=np.float32)[:1], (600, 1)))


def test_a_whitening_survives_its_file(tmp_path: Path) -> None:
    vectors, _ = shared_direction()
    fitted = fit(vectors)
    with (tmp_path / "whitening.npz").open("wb") as file:
        fitted.write(file)
    again = Whitening.read(tmp_path / "whitening.npz", vectors.shape[1])
    np.testing.assert_array_equal(again.apply(vectors), fitted.apply(vectors))


def test_recall_counts_only_photos_that_have_a_sibling() -> None:
    rows = np.eye(4, dtype=np.float32)
    rows[1] = rows[0]
    assert recall_at_1(rows, np.array([5, 5, 7, -1])) == 1.0
    assert np.isnan(recall_at_1(rows, np.array([1, 2, 3, -1])))


def test_the_judgement_is_that_of_new_photos_whatever_number_a_label_has() -> None:
    vectors, names = shared_direction()
    judged = cross_fitted(vectors, names)
    assert judged is not None
    assert judged == cross_fitted(vectors, np.random.default_rng(1).permutation(60)[names])
    whole = recall_at_1(vectors, names), recall_at_1(fit(vectors).apply(vectors), names)
    assert judged[0] == whole[0]
    assert judged[1] == pytest.approx(whole[1], abs=0.05)


def test_one_name_alone_cannot_judge_a_fit() -> None:
    vectors, names = shared_direction()
    assert cross_fitted(vectors, np.zeros(len(names), dtype=np.int64)) is None
    assert cross_fitted(vectors, np.full(len(names), -1)) is None
    assert cross_fitted(vectors, np.arange(len(names))) is None
    lonely = np.where(names == 0, 0, np.arange(len(names)) + 1)
    assert cross_fitted(vectors, lonely) is not None
