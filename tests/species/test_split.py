"""The split: no leakage, fractions and species as by lot, and a photo keeps its split whatever else is there."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch.records import DuplicateReport, Ids, SplitReport
from birdsearch.species.gallery import visits
from birdsearch.species.split import LIKELY, SPLITS, VISITS, Anchor, anchors, leakage_check, split
from birdsearch.storage.catalog.catalog import PhotoSummary
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


def numbers(count: int) -> Ids:
    """Ids that are not rows."""
    return np.arange(count, dtype=np.int64) * 3 + 100


def contents(count: int) -> list[Anchor]:
    """Anchors of photos of nothing but different bytes."""
    return [Anchor(2, "", sha256(b"%d" % row).hexdigest()) for row in range(count)]


def summary(photo_id: int, content: str, taken_at: str | None = None, photographer: str | None = None) -> PhotoSummary:
    """A photo of which nothing else is known."""
    return PhotoSummary(photo_id, photo_id, content, None, None, photographer, taken_at, None, None, None, None)


def visited(names: Sequence[str | None], dates: Sequence[str | None]) -> Ids:
    """The number of the visit of each photo of a photographer and a time."""
    return visits([summary(0, "", date, name).visit for name, date in zip(names, dates, strict=True)])


def tangled(seed: int) -> tuple[SplitReport, list[list[tuple[int, int]]]]:
    """A split of photos with many rules at once, and the pairs of ids that each rule ties."""
    draw, count = np.random.default_rng(seed), 300
    ids = numbers(count)
    copies, bursts = draw.integers(-200, 60, (2, count))
    observers = [None if number > 8 else f"observer {number}" for number in draw.integers(0, 12, count)]
    dates = [None if day > 27 else f"2024-05-{day:02d}T06:00:00" for day in draw.integers(1, 31, count)]
    labels = [None if number > 9 else f"species {number}" for number in draw.integers(0, 11, count)]
    rules = {"duplicates": copies, "bursts": bursts, VISITS: visited(observers, dates)}
    report = split(ids, labels, contents(count), rules, seed=seed)
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
        contents(5),
        {"duplicates": copies, "bursts": bursts, VISITS: visited(names, dates)},
        (1, 1, 1),
    )
    assert len({report.splits[photo] for photo in (100, 103, 106, 109)}) == 1
    assert report.groups == 2


def test_the_leakage_check_counts_violations() -> None:
    check = leakage_check("bursts", np.array([4, 4, 4, -1, 9, 9]), np.array([0, 0, 1, 2, 1, 1]))
    assert (check.groups, check.pairs, check.violations) == (2, 4, 2)


def test_fractions_and_species_are_met_as_by_lot() -> None:
    labels = [f"species {row // 50}" for row in range(20_000)]
    report = split(numbers(20_000), labels, contents(20_000), fractions=(8, 1, 1))
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(report.counts[name] / 20_000 - share) < 4 * (share * (1 - share) / 20_000) ** 0.5
        of_species = np.array([sides[name] for sides in report.per_species.values()])
        assert abs(of_species.std() - (50 * share * (1 - share)) ** 0.5) < 0.35  # as independent draws have it
    assert (report.followed, report.for_training) == (0, 0)


def test_every_species_is_in_training() -> None:
    labels = [f"species {row // 2}" for row in range(2000)]
    report = split(numbers(2000), labels, contents(2000))
    assert min(sides["train"] for sides in report.per_species.values()) == 1
    assert 20 < report.for_training < 70  # of 1000 species 0.2 ** 2 had none there
    alone = split(numbers(50), [f"species {row}" for row in range(50)], contents(50))
    assert alone.counts == {"train": 50, "validation": 0, "test": 0}


def test_a_photo_keeps_its_split_when_others_come() -> None:
    labels = [f"species {row // 40}" for row in range(1200)]
    whole = split(numbers(1200), labels, contents(1200), {"bursts": np.arange(1200) // 3}, seed=4)
    part = split(numbers(900), labels[:900], contents(900), {"bursts": np.arange(900) // 3}, seed=4)
    assert part.splits.items() <= whole.splits.items()


def test_groups_that_merge_go_where_the_earliest_photo_goes() -> None:
    photos = [
        summary(1, "a" * 64), summary(2, "b" * 64, "2024-05-02T08:00:00"), summary(3, "c" * 64, "2024-05-01T08:00:00"),
        summary(4, "d" * 64, "2024-05-03T08:00:00", "Ana"), summary(5, "e" * 64, "2024-05-03T07:00:00", " ana "),
    ]  # fmt: skip
    made = anchors(photos)
    assert min(made[:3]) == made[2]
    assert min(made) == made[3] == made[4]
    apart = [side(made[:3], seed) for seed in range(60)]
    together = [side(made[:3], seed, [0, 0, 0]) for seed in range(60)]
    assert len(set(together)) == 3
    assert [one[2] for one in apart] == [one[0] for one in together]
    report = split(numbers(3), ["a"] * 3, made[:3], {"bursts": np.zeros(3, dtype=np.int64)}, (1, 1, 1), seed=1)
    assert report.followed == sum(one != apart[1][2] for one in apart[1])


def side(made: list[Anchor], seed: int, tied: list[int] | None = None) -> tuple[str, ...]:
    """The split of each photo, in thirds and without labels."""
    groups = {} if tied is None else {"bursts": np.array(tied)}
    report = split(numbers(len(made)), [None] * len(made), made, groups, (1, 1, 1), seed=seed)
    return tuple(report.splits.values())


def test_other_fractions_move_only_what_they_must() -> None:
    before, after = (split(numbers(400), ["a"] * 400, contents(400), None, (s, 0, 1 - s)).splits for s in (0.8, 0.7))
    assert {(before[one], after[one]) for one in before} == {("train", "train"), ("train", "test"), ("test", "test")}


def test_the_same_splits_every_time_in_any_order() -> None:
    labels = [f"species {row // 7}" for row in range(140)]
    groups, made = np.arange(140) // 3, contents(140)
    first = split(numbers(140), labels, made, {"bursts": groups}, seed=4)
    assert split(numbers(140), labels, made, {"bursts": groups}, seed=4) == first
    mixed = np.random.default_rng(0).permutation(140)
    rows = [labels[row] for row in mixed], [made[row] for row in mixed]
    again = split(numbers(140)[mixed], *rows, {"bursts": groups[mixed]}, seed=4)
    assert again.splits == first.splits
    assert split(numbers(140), labels, made, {"bursts": groups}, seed=5).splits != first.splits
    other_ids = split(numbers(140) + 7, labels, made, {"bursts": groups}, seed=4)
    assert list(other_ids.splits.values()) == list(first.splits.values())


def test_draws_stay_as_they_are_in_every_version() -> None:
    """Lists that somebody made last year would change with them."""
    assert [round(Anchor(1, "", "a" * 64).draw(seed), 6) for seed in (0, 1)] == [0.333199, 0.671425]


def test_a_split_with_fraction_0_gets_nothing() -> None:
    report = split(numbers(50), ["a"] * 50, contents(50), fractions=(0.5, 0, 0.5))
    assert report.counts["validation"] == 0
    assert 10 < report.counts["train"] < 40
    assert split(numbers(50), ["a"] * 50, contents(50), fractions=(0, 0, 2)).counts["test"] == 50


def test_one_group_only() -> None:
    report = split(numbers(9), ["a"] * 9, contents(9), {"duplicates": np.zeros(9, dtype=np.int64)})
    assert report.counts == {"train": 9, "validation": 0, "test": 0}
    assert report.leakage[0].pairs == 36


def test_no_photos_no_labels_odd_labels() -> None:
    empty = split(numbers(0), [], [])
    assert (empty.splits, empty.counts, empty.groups) == ({}, dict.fromkeys(SPLITS, 0), 0)
    unnamed = split(numbers(10), [None] * 10, contents(10))
    assert sum(unnamed.counts.values()) == 10
    assert unnamed.per_species == {}
    odd = split(numbers(3), ["\udcff\n", "", None], contents(3))
    assert set(odd.per_species) == {"\udcff\n", ""}
    assert sum(odd.counts.values()) == 3


@pytest.mark.parametrize("fractions", [(1, 1), (0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1)])
def test_fractions_that_make_no_sense(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fractions must be"):
        split(numbers(3), ["a"] * 3, contents(3), fractions=fractions)


def test_columns_of_other_lengths() -> None:
    with pytest.raises(ValueError, match="one value for each"):
        split(numbers(3), ["a"] * 2, contents(3))


def test_lists_of_an_index_stay_when_photos_come_and_in_another_order(tmp_path: Path) -> None:
    names = [f"{'Wren' if n % 2 else 'Robin'}/{n:02}.jpg" for n in range(30)]
    photos = [write(tmp_path / "photos" / name, bird(n, 80, 60)) for n, name in enumerate(names)]
    first = _sides(tmp_path / "first", photos[:25], photos[25:])
    second = _sides(tmp_path / "second", photos[::-1])
    assert first[0].items() <= first[1].items()
    assert first[1] == second[0]
    assert len(set(first[1].values())) > 1


def test_a_group_keeps_its_name_in_every_index(tmp_path: Path) -> None:
    photos = [write(tmp_path / "photos" / f"{n}.jpg", bird(n // 2, 80, 60)) for n in range(10)]  # five pictures twice
    found = []
    for name, added in (("one", photos), ("other", photos[::-1])):
        with birdsearch.create(tmp_path / name, backbone=FakeBackbone()) as index:
            index.add(added)
            report = index.split()
            found.append({photo.path: report.group_of[photo.id or 0] for photo in index.photos()})
    assert found[0] == found[1]
    assert len(set(found[0].values())) == report.groups == 5
    assert all(found[0][str(photos[n])] == found[0][str(photos[n + 1])] for n in range(0, 10, 2))


def _sides(place: Path, *batches: list[Path]) -> list[dict[str, str]]:
    """Path -> split, after each batch of photos."""
    found = []
    with birdsearch.create(place, backbone=FakeBackbone()) as index:
        for batch in batches:
            index.add(batch, labels="folder")
            report = index.split(same=DuplicateReport(), fractions=(2, 1, 1))
            found.append({photo.path: report.splits[photo.id or 0] for photo in index.photos()})
    return found


def test_copies_stay_together_where_their_files_are_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(12):
        picture = bird(n, 160, 120)
        write(tmp_path / "photos" / f"Wren/{n}.jpg", picture)
        write(tmp_path / "photos" / f"Robin/{n}.jpg", picture.resize((120, 90)))
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos", labels="folder")
        here = index.split(fractions=(1, 1, 1))
        assert [(check.pairs, check.not_compared) for check in here.leakage] == [(12, 0), (0, 0), (0, 0)]
        name = {photo.id or 0: Path(photo.path).name for photo in index.photos()}
        assert index.info()["not_here"] == 0
        (tmp_path / "photos").rename(tmp_path / "away")
        assert index.info()["not_here"] == 24
        kept = index.split(fractions=(1, 1, 1))  # by what was compared before
        assert kept.splits == here.splits
        monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "of another computer"))
        hashed = index.split(fractions=(1, 1, 1))
    for report in (kept, hashed):
        assert [check.not_compared for check in report.leakage] == [24, 0, 0, 0]
        assert report.leakage[3].rule == LIKELY
        for one in set(name.values()):
            assert len({report.splits[photo_id] for photo_id in name if name[photo_id] == one}) == 1
        assert len(set(report.splits.values())) == 3
