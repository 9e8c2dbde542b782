"""The split: no leakage, fractions and species as far as that allows, the same every time."""

from itertools import combinations

import numpy as np
import pytest

from birdsearch.records import Ids, SplitReport
from birdsearch.species.split import SPLITS, VISITS, leakage_check, split, visits


def numbers(count: int) -> Ids:
    """Ids that are not rows."""
    return np.arange(count, dtype=np.int64) * 3 + 100


def tangled(seed: int) -> tuple[SplitReport, list[list[tuple[int, int]]]]:
    """A split of photos with many rules at once, and the pairs of ids that each rule ties."""
    draw, count = np.random.default_rng(seed), 300
    ids = numbers(count)
    copies, bursts = draw.integers(-200, 60, (2, count))
    observers = [None if number > 8 else f"observer {number}" for number in draw.integers(0, 12, count)]
    dates = [None if day > 27 else f"2024-05-{day:02d}T06:00:00" for day in draw.integers(1, 31, count)]
    labels = [None if number > 9 else f"species {number}" for number in draw.integers(0, 11, count)]
    report = split(ids, labels, {"duplicates": copies, "bursts": bursts, VISITS: visits(observers, dates)}, seed=seed)
    named_days = [
        None if name is None or day is None else (name, day[:10]) for name, day in zip(observers, dates, strict=True)
    ]
    pairs_of_rules: list[list[tuple[int, int]]] = []
    for column in ([n if n >= 0 else None for n in copies], [n if n >= 0 else None for n in bursts], named_days):
        rows = combinations(range(count), 2)
        pairs_of_rules.append(
            [(int(ids[a]), int(ids[b])) for a, b in rows if column[a] is not None and column[a] == column[b]]
        )
    return report, pairs_of_rules


@pytest.mark.parametrize("seed", range(5))
def test_groups_lie_in_one_split(seed: int) -> None:
    report, pairs_of_rules = tangled(seed)
    assert [check.rule for check in report.leakage] == ["duplicates", "bursts", VISITS]
    for check, pairs in zip(report.leakage, pairs_of_rules, strict=True):
        assert check.pairs == len(pairs) > 0
        assert check.violations == 0
        assert all(report.splits[a] == report.splits[b] for a, b in pairs)


def test_chains_hold_together() -> None:
    copies = np.array([1, 1, -1, -1, -1])
    bursts = np.array([-1, 7, 7, -1, -1])
    names, dates = [None, None, "Ada", "ada ", "Ada"], [None, None, "2024-05-01", "2024-05-01T09:00", "2024-05-02"]
    report = split(
        numbers(5),
        ["a"] * 5,
        {"duplicates": copies, "bursts": bursts, VISITS: visits(names, dates)},
        (1, 1, 1),
    )
    assert len({report.splits[photo] for photo in (100, 103, 106, 109)}) == 1
    assert report.groups == 2


def test_the_leakage_check_counts_violations() -> None:
    check = leakage_check("bursts", np.array([4, 4, 4, -1, 9, 9]), np.array([0, 0, 1, 2, 1, 1]))
    assert (check.groups, check.pairs, check.violations) == (2, 4, 2)


def test_fractions_and_species_are_met() -> None:
    labels = [f"species {row // 20}" for row in range(1000)]
    report = split(numbers(1000), labels, fractions=(8, 1, 1))
    assert report.counts == {"train": 800, "validation": 100, "test": 100}
    assert all(sides == {"train": 16, "validation": 2, "test": 2} for sides in report.per_species.values())
    assert len(report.per_species) == 50


def test_few_photos_a_species() -> None:
    labels = [f"species {row // 5}" for row in range(500)]
    report = split(numbers(500), labels)
    assert report.counts == {"train": 400, "validation": 50, "test": 50}
    assert all(sides["train"] == 4 for sides in report.per_species.values())


def test_bursts_are_stratified_too() -> None:
    labels = [f"species {row // 40}" for row in range(400)]
    report = split(numbers(400), labels, {"bursts": np.arange(400) // 4})
    assert report.counts == {"train": 320, "validation": 40, "test": 40}
    assert all(sides == {"train": 32, "validation": 4, "test": 4} for sides in report.per_species.values())


def test_the_same_splits_every_time_in_any_order() -> None:
    labels = [f"species {row // 7}" for row in range(140)]
    groups = np.arange(140) // 3
    first = split(numbers(140), labels, {"bursts": groups}, seed=4)
    assert split(numbers(140), labels, {"bursts": groups}, seed=4) == first
    mixed = np.random.default_rng(0).permutation(140)
    again = split(numbers(140)[mixed], [labels[row] for row in mixed], {"bursts": groups[mixed]}, seed=4)
    assert again.splits == first.splits
    assert split(numbers(140), labels, {"bursts": groups}, seed=5).splits != first.splits


def test_a_split_with_fraction_0_gets_nothing() -> None:
    report = split(numbers(50), ["a"] * 50, fractions=(0.5, 0, 0.5))
    assert report.counts == {"train": 25, "validation": 0, "test": 25}


def test_one_group_only() -> None:
    report = split(numbers(9), ["a"] * 9, {"duplicates": np.zeros(9, dtype=np.int64)})
    assert report.counts == {"train": 9, "validation": 0, "test": 0}
    assert report.leakage[0].pairs == 36


def test_no_photos_no_labels_odd_labels() -> None:
    empty = split(numbers(0), [])
    assert (empty.splits, empty.counts, empty.groups) == ({}, dict.fromkeys(SPLITS, 0), 0)
    unnamed = split(numbers(10), [None] * 10)
    assert unnamed.counts == {"train": 8, "validation": 1, "test": 1}
    assert unnamed.per_species == {}
    odd = split(numbers(3), ["\udcff\n", "", None])
    assert set(odd.per_species) == {"\udcff\n", ""}
    assert sum(odd.counts.values()) == 3


@pytest.mark.parametrize("fractions", [(1, 1), (0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1)])
def test_fractions_that_make_no_sense(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fractions must be"):
        split(numbers(3), ["a"] * 3, fractions=fractions)


def test_columns_of_other_lengths() -> None:
    with pytest.raises(ValueError, match="one value for each"):
        split(numbers(3), ["a"] * 2)
