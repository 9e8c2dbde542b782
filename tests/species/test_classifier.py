"""The classifier of labelled photos: right, calibrated, leave-one-out, and open-set."""

import numpy as np
import pytest

from birdsearch.records import Ids, Vectors
from birdsearch.species import classifier, features
from birdsearch.species.classifier import (
    ClassifierOutput,
    CrossValidated,
    FoldModels,
    GalleryClassifier,
    cross_validate,
    pool_log_probabilities,
)


def drawn(species: int = 40, photos: int = 6, noise: float = 1.2, dim: int = 48, seed: int = 5) -> tuple[Vectors, Ids]:
    """Unit vectors (n, dim) of photos around the centres of their species, and the species (n,)."""
    draw = np.random.default_rng(seed)
    own = np.repeat(np.arange(species), photos)
    rows = draw.normal(size=(species, dim))[own] + noise * draw.normal(size=(len(own), dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32), own


def named(own: Ids) -> list[str | None]:
    """The labels of photos whose species' numbers are these."""
    return [None if number < 0 else f"species {number:04d}" for number in own]


def validated(vectors: Vectors, labels: list[str | None], groups: Ids | None = None, k: int = 20) -> CrossValidated:
    """The result of `cross_validate`, which must not be None."""
    result = cross_validate(vectors, labels, groups, k=k)
    assert result is not None
    return result


def fitted(vectors: Vectors, labels: list[str | None], groups: Ids | None = None) -> GalleryClassifier:
    """A classifier of these photos, of which one at least has a label."""
    made = GalleryClassifier.fit(vectors, labels, groups)
    assert made is not None
    return made


def predicted(
    vectors: Vectors, labels: list[str | None], queries: Vectors, leave_out: Ids | None = None
) -> ClassifierOutput:
    """What a classifier fitted on these photos predicts for others."""
    return fitted(vectors, labels).predict(queries, leave_out=leave_out)


def test_most_photos_are_classified_right_by_the_others() -> None:
    vectors, own = drawn()
    result = validated(vectors, named(own))
    assert result.species == tuple(f"species {number:04d}" for number in range(40))
    assert np.mean(result.top[:, 0] == own) > 0.9
    assert result.answerable.all()


def test_probabilities_sum_to_one_and_are_sorted() -> None:
    vectors, own = drawn(noise=2)
    result = validated(vectors, named(own), k=40)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
    assert (np.diff(result.probabilities, axis=1) <= 0).all()
    where = result.top == own[:, None]
    np.testing.assert_array_equal(result.probabilities[where], result.label_probability)


def test_probabilities_are_calibrated() -> None:
    vectors, own = drawn(species=60, noise=2.2)
    result = validated(vectors, named(own))
    right = result.top[:, 0] == own
    assert 0.3 < right.mean() < 0.9
    assert abs(result.probabilities[:, 0].mean() - right.mean()) < 0.05


def test_random_labels_are_not_learnt() -> None:
    vectors, own = drawn(species=20, photos=6)
    mixed = np.random.default_rng(1).permutation(own)
    result = validated(vectors, named(mixed))
    assert np.mean(result.top[:, 0] == mixed) < 0.15
    assert result.probabilities[:, 0].mean() < 0.3  # nor is it sure of what it says


def test_a_photo_is_not_compared_with_itself() -> None:
    vectors, own = drawn()
    lone = np.append(own, 40)
    result = validated(np.concatenate([vectors, -vectors[:1]]), named(lone))
    assert not result.answerable[-1]
    assert result.label_probability[-1] == 0
    made = fitted(vectors, named(own))
    rows = np.arange(len(own))
    output = made.predict(vectors, leave_out=rows)
    assert (output.evidence != rows[:, None]).all()
    assert (made.predict(vectors).evidence[:, 0] == rows).mean() > 0.9


def test_each_of_few_photos_is_classified_by_all_others_whatever_the_seed() -> None:
    vectors, own = drawn(species=8, photos=12)
    for labels in (named(own)[:48], [label if row % 2 else None for row, label in enumerate(named(own))]):
        one, other = (cross_validate(vectors[: len(labels)], labels, seed=seed) for seed in (0, 1))
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.top, other.top)
        np.testing.assert_allclose(one.label_probability, other.label_probability, rtol=1e-4)


def test_photos_of_a_leakage_group_are_not_compared() -> None:
    vectors, own = drawn(species=20, photos=6, noise=3)
    copies, labels = np.concatenate([vectors, vectors]), named(np.tile(own, 2))
    groups = np.tile(np.arange(len(own)), 2)
    free, bound = validated(copies, labels), validated(copies, labels, groups)
    assert np.mean(free.top[:, 0] == free.codes) > 0.95
    assert np.mean(bound.top[:, 0] == bound.codes) < 0.8
    np.testing.assert_allclose(bound.label_probability[: len(own)], bound.label_probability[len(own) :], atol=1e-4)


def test_leaving_a_group_out_is_as_if_it_were_not_there() -> None:
    vectors, own = drawn(species=12, photos=5)
    labels, groups = named(own), np.arange(len(own)) // 2  # some groups hold photos of two species
    made = fitted(vectors, labels, groups)
    for row in (0, 4, 5, 33):
        others = groups != groups[row]
        gallery = features.ClassGallery.of(made.gallery.space, vectors, np.where(others, own, -1), groups)
        fewer = GalleryClassifier(made.species, groups, gallery, made.fusion)
        there = made.predict(vectors[[row]], leave_out=np.array([row]))
        gone = fewer.predict(vectors[[row]])
        np.testing.assert_allclose(there.probabilities, gone.probabilities, atol=1e-5)
        np.testing.assert_allclose(there.novelty, gone.novelty, atol=1e-5)
        np.testing.assert_array_equal(there.evidence, gone.evidence)


@pytest.mark.parametrize("species", [50, 130, 170])  # without a refined space, almost with one, with one
def test_novelty_is_high_for_unknown_species(species: int) -> None:
    vectors, own = drawn(species=species, photos=5)
    strange = own >= 0.8 * species
    result = validated(vectors[~strange], named(own[~strange]))
    output = predicted(vectors[~strange], named(own[~strange]), vectors[strange])
    assert np.median(output.novelty) > 0.8
    assert np.median(result.novelty) < 0.2


def test_evidence_is_photos_of_the_likeliest_species_nearest_first() -> None:
    vectors, own = drawn(species=10, photos=8)
    shuffled = np.random.default_rng(2).permutation(len(own))
    vectors, own = vectors[shuffled], own[shuffled]
    output = predicted(vectors, named(own), vectors[:20], leave_out=np.arange(20))
    assert output.evidence.shape == (20, 5)
    assert (own[output.evidence] == output.probabilities.argmax(axis=1)[:, None]).all()
    scores = np.einsum("qd,qkd->qk", vectors[:20], vectors[output.evidence])
    assert (np.diff(scores, axis=1) <= 1e-6).all()


def test_the_result_is_the_same_every_time_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, own = drawn()
    first = validated(vectors, named(own))
    np.testing.assert_array_equal(first.probabilities, validated(vectors, named(own)).probabilities)
    monkeypatch.setattr(features, "CELLS", 7 * 40)
    monkeypatch.setattr(features, "BLOCK", 50)
    np.testing.assert_allclose(validated(vectors, named(own)).label_probability, first.label_probability, atol=1e-4)


def test_a_large_gallery_compares_only_the_likeliest_species(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, own = drawn(species=80)
    whole = validated(vectors, named(own))
    monkeypatch.setattr(features, "EXHAUSTIVE_UP_TO", 100)
    monkeypatch.setattr(classifier, "TWO_FOLDS_FROM", 100)
    some = validated(vectors, named(own))
    np.testing.assert_allclose(some.probabilities.sum(axis=1) <= 1 + 1e-5, True)
    assert abs(np.mean(some.top[:, 0] == own) - np.mean(whole.top[:, 0] == own)) < 0.05


def test_unlabelled_photos_are_neither_classified_nor_in_the_way() -> None:
    vectors, own = drawn(species=20)
    some = np.where(np.arange(len(own)) % 6 == 0, -1, own)
    result = validated(vectors, named(some))
    assert (result.top[some < 0] == -1).all()
    assert np.isnan(result.label_probability[some < 0]).all()
    assert np.mean(result.top[some >= 0, 0] == own[some >= 0]) > 0.85


def test_no_labels() -> None:
    vectors, own = drawn(species=4)
    unlabelled: list[str | None] = [None] * len(own)
    assert GalleryClassifier.fit(vectors, unlabelled) is None
    assert cross_validate(vectors, unlabelled) is None
    assert GalleryClassifier.fit(vectors[:0], []) is None
    assert cross_validate(vectors[:0], []) is None


@pytest.mark.parametrize("count", [1, 2, 3, 600])
def test_one_species(count: int) -> None:
    vectors, own = drawn(species=1, photos=count)
    result = validated(vectors, named(own))
    assert result.answerable.all() == (count > 1)
    output = predicted(vectors, named(own), vectors)
    assert (output.probabilities == 1).all()
    assert np.isnan(output.novelty).all()
    if count > 1:
        assert (result.label_probability == 1).all()
    else:
        assert np.isnan(result.label_probability).all()


@pytest.mark.parametrize("count", [2, 30, 600])
def test_one_photo_per_species(count: int) -> None:
    vectors, own = drawn(species=count, photos=1)
    result = validated(vectors, named(own))
    assert not result.answerable.any()
    assert (result.label_probability == 0).all()
    output = predicted(vectors, named(own), vectors)
    np.testing.assert_array_equal(output.probabilities.argmax(axis=1), own)


def test_new_species_are_told_with_one_photo_a_species_and_with_two() -> None:
    for photos in (1, 2):
        vectors, own = drawn(species=60, photos=photos + 1, noise=0.6)
        place = np.arange(len(own)) % (photos + 1)
        known = own < 48
        fit = known & (place < photos)
        output = predicted(vectors[fit], named(own[fit]), vectors[place == photos])
        abstained = output.novelty >= 0.5
        asked_known = known[place == photos]
        assert abstained[~asked_known].mean() > 0.4
        assert abstained[asked_known].mean() < 0.25


@pytest.mark.parametrize("count", [2, 40, 600])
def test_photos_that_are_all_alike(count: int) -> None:
    vectors = np.tile(drawn()[0][:1], (count, 1))
    output = predicted(vectors, named(np.arange(count) % 2), vectors[:3])
    np.testing.assert_allclose(output.probabilities, 0.5, atol=0.05)
    if count > 2:
        assert np.isfinite(validated(vectors, named(np.arange(count) % 2)).label_probability).all()


def test_photos_alike_within_each_species() -> None:
    vectors, own = drawn(species=5, photos=1)
    many = np.repeat(vectors, 4, axis=0)
    result = validated(many, named(np.repeat(own, 4)))
    assert (result.top[:, 0] == np.repeat(own, 4)).all()


def test_all_in_one_group() -> None:
    vectors, own = drawn(species=3, photos=4)
    result = validated(vectors, named(own), np.zeros(len(own), dtype=np.int64))
    assert not result.answerable.any()
    assert (result.top == -1).all()
    output = predicted(vectors, named(own), vectors)
    assert output.probabilities.shape == (12, 3)


def test_odd_names_come_back_as_they_are() -> None:
    vectors, own = drawn(species=3, photos=4)
    odd = ["wren\n\t,\"'", "\udcff\udcfe", ""]
    labels: list[str | None] = [odd[number] for number in own]
    result = validated(vectors, labels)
    assert set(result.species) == set(odd)
    assert [result.species[number] for number in result.codes] == labels


def test_no_queries() -> None:
    vectors, own = drawn(species=3, photos=4)
    output = predicted(vectors, named(own), vectors[:0])
    assert output.probabilities.shape == (0, 3)
    assert output.evidence.shape == (0, 5)


def test_arguments_that_do_not_fit() -> None:
    vectors, own = drawn(species=3, photos=4)
    with pytest.raises(ValueError, match="one label and group a vector"):
        GalleryClassifier.fit(vectors, named(own)[1:])
    made = fitted(vectors, named(own))
    with pytest.raises(ValueError, match="k must be"):
        made.predict(vectors, k=0)


def test_a_burst_gets_one_answer() -> None:
    probabilities = np.array([[0.5, 0.5, 0], [0.9, 0.1, 0], [0.2, 0.2, 0.6]], dtype=np.float32)
    pooled = np.concatenate([pool_log_probabilities(probabilities[:2]), pool_log_probabilities(probabilities[2:])])
    np.testing.assert_allclose(pooled[0], pooled[1])
    np.testing.assert_allclose(pooled[0], [0.75, 0.25, 0], atol=1e-6)  # square roots of 0.45 and 0.05, as shares
    np.testing.assert_allclose(pooled[2], probabilities[2], atol=1e-6)


@pytest.mark.parametrize("count", [550, 700])
def test_all_folds_use_the_same_kind_of_space(count: int) -> None:
    vectors, own = drawn(species=count // 5, photos=5)
    groups = np.arange(count)
    made = fitted(vectors, named(own))
    spaces = (*FoldModels.fit(vectors, own, groups, 0).spaces, made.gallery.space)
    assert {space.space is not None for space in spaces} == {count == 700}
