"""The neighbours' classifier: right, calibrated, never its own witness, and honest about strangers."""

import numpy as np
import pytest

from birdsearch.records import Ids, Vectors
from birdsearch.species import classifier
from birdsearch.species.classifier import Asked, Votes, cross_fitted, fit, together


def drawn(species: int = 40, photos: int = 6, noise: float = 1.2, dim: int = 48, seed: int = 5) -> tuple[Vectors, Ids]:
    """Unit vectors (n, dim) of photos around the centres of their species, and the species (n,)."""
    draw = np.random.default_rng(seed)
    own = np.repeat(np.arange(species), photos)
    rows = draw.normal(size=(species, dim))[own] + noise * draw.normal(size=(len(own), dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32), own


def named(own: Ids) -> list[str | None]:
    """The labels of photos whose species' numbers are these."""
    return [None if number < 0 else f"species {number:04d}" for number in own]


def judged(vectors: Vectors, labels: list[str | None], groups: Ids | None = None, k: int = 20) -> Asked:
    """What `cross_fitted` says, where it has an answer."""
    asked = cross_fitted(vectors, labels, groups, k=k)
    assert asked is not None
    return asked


def voted(vectors: Vectors, labels: list[str | None], asking: Vectors, without: Ids | None = None) -> Votes:
    """What a classifier fitted on these photos says of others."""
    voter = fit(vectors, labels)
    assert voter is not None
    return voter.predict(asking, without=without)


def test_most_photos_are_known_by_the_others() -> None:
    vectors, own = drawn()
    asked = judged(vectors, named(own))
    assert asked.species == tuple(f"species {number:04d}" for number in range(40))
    assert np.mean(asked.top[:, 0] == own) > 0.9
    assert asked.answerable.all()


def test_probabilities_sum_to_one_and_fall() -> None:
    vectors, own = drawn(noise=2)
    asked = judged(vectors, named(own), k=40)
    np.testing.assert_allclose(asked.probabilities.sum(axis=1), 1, atol=1e-5)
    assert (np.diff(asked.probabilities, axis=1) <= 0).all()
    where = asked.top == own[:, None]
    np.testing.assert_array_equal(asked.probabilities[where], asked.of_own)


def test_probabilities_mean_what_they_say() -> None:
    vectors, own = drawn(species=60, noise=2.2)
    asked = judged(vectors, named(own))
    right = asked.top[:, 0] == own
    assert 0.3 < right.mean() < 0.9
    assert abs(asked.probabilities[:, 0].mean() - right.mean()) < 0.05


def test_labels_without_meaning_are_not_learnt() -> None:
    vectors, own = drawn(species=20, photos=6)
    mixed = np.random.default_rng(1).permutation(own)
    asked = judged(vectors, named(mixed))
    assert np.mean(asked.top[:, 0] == mixed) < 0.15
    assert asked.probabilities[:, 0].mean() < 0.3  # nor is it sure of what it says


def test_a_photo_is_no_witness_in_its_own_case() -> None:
    vectors, own = drawn()
    lone = np.append(own, 40)
    asked = judged(np.concatenate([vectors, -vectors[:1]]), named(lone))
    assert not asked.answerable[-1]
    assert asked.of_own[-1] == 0
    voter = fit(vectors, named(own))
    assert voter is not None
    rows = np.arange(len(own))
    votes = voter.predict(vectors, without=rows)
    assert (votes.evidence != rows[:, None]).all()
    assert (voter.predict(vectors).evidence[:, 0] == rows).mean() > 0.9


def test_photos_of_a_group_do_not_vouch_for_each_other() -> None:
    vectors, own = drawn(species=20, photos=6, noise=3)
    copies, labels = np.concatenate([vectors, vectors]), named(np.tile(own, 2))
    groups = np.tile(np.arange(len(own)), 2)
    free, bound = judged(copies, labels), judged(copies, labels, groups)
    assert np.mean(free.top[:, 0] == free.own) > 0.95
    assert np.mean(bound.top[:, 0] == bound.own) < 0.8
    np.testing.assert_allclose(bound.of_own[: len(own)], bound.of_own[len(own) :], atol=1e-4)


def test_leaving_a_group_out_is_as_if_it_were_not_there() -> None:
    vectors, own = drawn(species=12, photos=5)
    labels, groups = named(own), np.arange(len(own)) // 2  # some groups hold photos of two species
    voter = fit(vectors, labels, groups)
    assert voter is not None
    for row in (0, 4, 5, 33):
        others = groups != groups[row]
        gallery = classifier._gallery(voter.judge, vectors, np.where(others, own, -1), groups)
        fewer = classifier.Voter(voter.species, groups, voter.judge, gallery, voter.scales)
        there = voter.predict(vectors[[row]], without=np.array([row]))
        gone = fewer.predict(vectors[[row]])
        np.testing.assert_allclose(there.probabilities, gone.probabilities, atol=1e-5)
        np.testing.assert_allclose(there.novelty, gone.novelty, atol=1e-5)
        np.testing.assert_array_equal(there.evidence, gone.evidence)


@pytest.mark.parametrize("species", [50, 130, 170])  # without a refined space, almost with one, with one
def test_strangers_look_strange(species: int) -> None:
    vectors, own = drawn(species=species, photos=5)
    strange = own >= 0.8 * species
    asked = judged(vectors[~strange], named(own[~strange]))
    votes = voted(vectors[~strange], named(own[~strange]), vectors[strange])
    assert np.median(votes.novelty) > 0.8
    assert np.median(asked.novelty) < 0.2


def test_evidence_is_photos_of_the_likeliest_species_nearest_first() -> None:
    vectors, own = drawn(species=10, photos=8)
    shuffled = np.random.default_rng(2).permutation(len(own))
    vectors, own = vectors[shuffled], own[shuffled]
    votes = voted(vectors, named(own), vectors[:20], without=np.arange(20))
    assert votes.evidence.shape == (20, 5)
    assert (own[votes.evidence] == votes.probabilities.argmax(axis=1)[:, None]).all()
    scores = np.einsum("qd,qkd->qk", vectors[:20], vectors[votes.evidence])
    assert (np.diff(scores, axis=1) <= 1e-6).all()


def test_the_answer_is_the_same_every_time_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, own = drawn()
    first = judged(vectors, named(own))
    np.testing.assert_array_equal(first.probabilities, judged(vectors, named(own)).probabilities)
    monkeypatch.setattr(classifier, "_CELLS", 7 * 40)
    monkeypatch.setattr(classifier, "_ROWS", 50)
    np.testing.assert_allclose(judged(vectors, named(own)).of_own, first.of_own, atol=1e-4)


def test_a_large_gallery_asks_only_the_likeliest_species(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, own = drawn(species=80)
    whole = judged(vectors, named(own))
    monkeypatch.setattr(classifier, "_ALL_UP_TO", 100)
    monkeypatch.setattr(classifier, "MANY", 100)
    some = judged(vectors, named(own))
    np.testing.assert_allclose(some.probabilities.sum(axis=1) <= 1 + 1e-5, True)
    assert abs(np.mean(some.top[:, 0] == own) - np.mean(whole.top[:, 0] == own)) < 0.05


def test_unlabelled_photos_are_neither_asked_nor_in_the_way() -> None:
    vectors, own = drawn(species=20)
    some = np.where(np.arange(len(own)) % 6 == 0, -1, own)
    asked = judged(vectors, named(some))
    assert (asked.top[some < 0] == -1).all()
    assert np.isnan(asked.of_own[some < 0]).all()
    assert np.mean(asked.top[some >= 0, 0] == own[some >= 0]) > 0.85


def test_no_labels() -> None:
    vectors, own = drawn(species=4)
    nobody: list[str | None] = [None] * len(own)
    assert fit(vectors, nobody) is None
    assert cross_fitted(vectors, nobody) is None
    assert fit(vectors[:0], []) is None
    assert cross_fitted(vectors[:0], []) is None


@pytest.mark.parametrize("count", [1, 2, 3, 600])
def test_one_species(count: int) -> None:
    vectors, own = drawn(species=1, photos=count)
    asked = judged(vectors, named(own))
    assert asked.answerable.all() == (count > 1)
    votes = voted(vectors, named(own), vectors)
    assert (votes.probabilities == 1).all()
    assert np.isnan(votes.novelty).all()
    if count > 1:
        assert (asked.of_own == 1).all()
    else:
        assert np.isnan(asked.of_own).all()


@pytest.mark.parametrize("count", [2, 30, 600])
def test_one_photo_per_species(count: int) -> None:
    vectors, own = drawn(species=count, photos=1)
    asked = judged(vectors, named(own))
    assert not asked.answerable.any()
    assert (asked.of_own == 0).all()
    votes = voted(vectors, named(own), vectors)
    np.testing.assert_array_equal(votes.probabilities.argmax(axis=1), own)


@pytest.mark.parametrize("count", [2, 40, 600])
def test_photos_that_are_all_alike(count: int) -> None:
    vectors = np.tile(drawn()[0][:1], (count, 1))
    votes = voted(vectors, named(np.arange(count) % 2), vectors[:3])
    np.testing.assert_allclose(votes.probabilities, 0.5, atol=0.05)
    if count > 2:
        assert np.isfinite(judged(vectors, named(np.arange(count) % 2)).of_own).all()


def test_photos_alike_within_each_species() -> None:
    vectors, own = drawn(species=5, photos=1)
    many = np.repeat(vectors, 4, axis=0)
    asked = judged(many, named(np.repeat(own, 4)))
    assert (asked.top[:, 0] == np.repeat(own, 4)).all()


def test_all_in_one_group() -> None:
    vectors, own = drawn(species=3, photos=4)
    asked = judged(vectors, named(own), np.zeros(len(own), dtype=np.int64))
    assert not asked.answerable.any()
    assert (asked.top == -1).all()
    votes = voted(vectors, named(own), vectors)
    assert votes.probabilities.shape == (12, 3)


def test_odd_names_come_back_as_they_are() -> None:
    vectors, own = drawn(species=3, photos=4)
    odd = ["wren\n\t,\"'", "\udcff\udcfe", ""]
    labels: list[str | None] = [odd[number] for number in own]
    asked = judged(vectors, labels)
    assert set(asked.species) == set(odd)
    assert [asked.species[number] for number in asked.own] == labels


def test_no_photo_asks() -> None:
    vectors, own = drawn(species=3, photos=4)
    votes = voted(vectors, named(own), vectors[:0])
    assert votes.probabilities.shape == (0, 3)
    assert votes.evidence.shape == (0, 5)


def test_arguments_that_do_not_fit() -> None:
    vectors, own = drawn(species=3, photos=4)
    with pytest.raises(ValueError, match="one label and group a vector"):
        fit(vectors, named(own)[1:])
    voter = fit(vectors, named(own))
    assert voter is not None
    with pytest.raises(ValueError, match="k must be"):
        voter.predict(vectors, k=0)


def test_a_burst_speaks_with_one_voice() -> None:
    probabilities = np.array([[0.5, 0.5, 0], [0.9, 0.1, 0], [0.2, 0.2, 0.6]], dtype=np.float32)
    voices = together(probabilities, np.array([7, 7, 3]))
    np.testing.assert_allclose(voices[0], voices[1])
    np.testing.assert_allclose(voices[0], [0.75, 0.25, 0], atol=1e-6)  # square roots of 0.45 and 0.05, as shares
    np.testing.assert_allclose(voices[2], probabilities[2], atol=1e-6)


@pytest.mark.parametrize("count", [550, 700])
def test_all_judges_look_in_the_same_kind_of_space(count: int) -> None:
    vectors, own = drawn(species=count // 5, photos=5)
    groups = np.arange(count)
    voter = fit(vectors, named(own))
    assert voter is not None
    judges = (*classifier._Folds.fitted(vectors, own, groups, 0).judges, voter.judge)
    assert {judge.space is not None for judge in judges} == {count == 700}
