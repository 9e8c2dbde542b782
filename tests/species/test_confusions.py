"""The species report against a plain comparison of every pair of photos."""

import numpy as np
import pytest

from birdsearch.records import Ids, Vectors
from birdsearch.species import confusions as module
from birdsearch.species.confusions import species_report
from tests.species.test_clusters import species, unit


def plain(vectors: Vectors, names: Ids, groups: Ids) -> tuple[dict[int, float], dict[int, float]]:
    """Cohesion and overlap of each species, the slow way."""
    scores = vectors @ vectors.T
    scores[groups[:, None] == groups[None, :]] = np.nan
    cohesion, overlap = {}, {}
    for name in np.unique(names):
        mine = names == name
        cohesion[int(name)] = float(np.nanmean(scores[np.ix_(mine, mine)]))
        nearest = [names[np.nanargmax(row)] for row in scores[mine]]
        overlap[int(name)] = float(np.mean(np.array(nearest) != name))
    return cohesion, overlap


def test_cohesion_and_overlap_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERIES", 7)
    monkeypatch.setattr(module, "TARGETS", 11)
    vectors, names = species(9, 6, dim=12, spread=0.4)
    shuffled = np.random.default_rng(2).permutation(len(names))
    vectors, names = vectors[shuffled], names[shuffled]
    cohesion, overlap = plain(vectors, names, np.arange(len(names)))
    shown = species_report(vectors, [str(name) for name in names], np.arange(len(names)) + 100)
    assert [entry.species for entry in shown.species] == [str(name) for name in range(9)]
    for name, entry in enumerate(shown.species):
        assert entry.photos == 6
        assert entry.cohesion == pytest.approx(cohesion[name], abs=1e-5)
        assert entry.overlap == pytest.approx(overlap[name])
        assert {names[i - 100] for i in (*entry.medoids, *entry.boundary)} == {name}
    strays = round(sum(6 * share for share in overlap.values()))
    assert sum(confusion.photos for confusion in shown.confusions) == strays > 0


def test_photos_of_one_burst_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERIES", 5)
    vectors, names = species(6, 4, dim=10, spread=0.4)
    bursts = np.concatenate([vectors, vectors, vectors])
    groups = np.tile(np.arange(24), 3)
    alone = species_report(vectors, [str(n) for n in names], np.arange(24))
    together = species_report(bursts, [str(n) for n in np.tile(names, 3)], np.arange(72), groups)
    for one, other in zip(alone.species, together.species, strict=True):
        assert other.photos == 3 * one.photos
        assert other.cohesion == pytest.approx(one.cohesion, abs=1e-5)
        assert other.overlap == one.overlap
        assert other.nearest == one.nearest
    fooled = species_report(bursts, [str(n) for n in np.tile(names, 3)], np.arange(72), np.full(72, -1))
    assert all(entry.overlap == 0 for entry in fooled.species)


def test_a_species_of_one_burst_has_no_cohesion() -> None:
    vectors, names = species(2, 3)
    shown = species_report(vectors, [str(n) for n in names], np.arange(6), np.array([0, 0, 0, -1, -1, -1]))
    assert shown.species[0].cohesion is None
    assert shown.species[0].overlap is None
    assert shown.species[1].cohesion is not None


def test_look_alikes_are_named_with_their_photos() -> None:
    # A wren (12) that looks like a robin, at the border between the two.
    axes = np.eye(6)
    vectors = unit(
        np.stack([axes[0], axes[0] + 0.1 * axes[2], axes[1] + 0.2 * axes[3], axes[1], axes[1] + 0.1 * axes[4], axes[5]])
    )
    names = ["Wren", "Wren", "Wren", "Robin", "Robin", "Heron"]
    shown = species_report(vectors, names, np.array([10, 11, 12, 13, 14, 15]))
    by_name = {entry.species: entry for entry in shown.species}
    assert by_name["Wren"].nearest == "Robin"
    assert by_name["Wren"].overlap == pytest.approx(1 / 3)
    assert by_name["Wren"].boundary[0] == 12
    assert by_name["Wren"].medoids[-1] == 12
    assert by_name["Heron"].cohesion is None
    (confusion,) = shown.confusions
    assert (confusion.first, confusion.second) == ("Robin", "Wren")
    assert (13, 12) in confusion.examples
    assert confusion.photos == 1
    assert confusion.share == pytest.approx(1 / 5)


def test_nothing_to_report() -> None:
    none = species_report(np.empty((0, 4), dtype=np.float32), [], np.empty(0, dtype=np.int64))
    assert not none.species
    assert not none.confusions
    vectors, _ = species(3, 2)
    assert species_report(vectors, [None] * 6, np.arange(6)).species == ()


def test_one_species_and_one_photo_of_each() -> None:
    vectors, _ = species(4, 3)
    (only,) = species_report(vectors, ["Wren \udcff\n"] * 12, np.arange(12)).species
    assert only.species == "Wren \udcff\n"
    assert (only.nearest, only.nearest_score, only.overlap) == (None, None, None)
    assert only.cohesion is not None
    assert only.boundary == ()
    singles = species_report(vectors, [str(n) for n in range(12)], np.arange(12))
    assert all(e.cohesion is None and e.overlap is None and e.nearest is not None for e in singles.species)
    assert singles.confusions == ()
    assert species_report(vectors[:1], ["Wren"], np.array([7])).species[0].medoids == (7,)


def test_photos_that_are_all_alike() -> None:
    vectors = np.tile(unit(np.ones((1, 16))), (20, 1))
    shown = species_report(vectors, ["Wren", "Robin"] * 10, np.arange(20))
    assert [entry.cohesion for entry in shown.species] == [pytest.approx(1, abs=1e-5)] * 2


def test_scores_are_those_of_a_search_whatever_space_is_compared_in() -> None:
    vectors, names = species(4, 5, dim=12, spread=0.4)
    labels, ids = [str(name) for name in names], np.arange(len(names))
    other = np.roll(vectors, 3, axis=1) ** 3
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    compared = species_report(other, labels, ids)
    shown = species_report(other, labels, ids, scored=vectors)
    cohesion, _ = plain(vectors, names, ids)
    for name, (before, entry) in enumerate(zip(compared.species, shown.species, strict=True)):
        assert (entry.overlap, entry.nearest, entry.medoids) == (before.overlap, before.nearest, before.medoids)
        assert entry.cohesion == pytest.approx(cohesion[name], abs=1e-5)
        between = vectors[names == name] @ vectors[names == int(entry.nearest or 0)].T
        assert entry.nearest_score == pytest.approx(between.mean(), abs=1e-5)
