"""Candidates find what brute force finds, bursts are exact, and every photo of a group is related to the kept one."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from birdsearch.duplicates import hashes as hashes_module
from birdsearch.duplicates.bursts import bursts
from birdsearch.duplicates.grouping import Joined, grouped
from birdsearch.duplicates.hashes import hash_pairs, orientations
from birdsearch.duplicates.implied import implied_pairs
from birdsearch.duplicates.keeper import Choice
from birdsearch.photos import decode
from birdsearch.records import SAME_PICTURE, DuplicateGroup, Ids, Pair, Vectors
from birdsearch.search import pairs as candidates
from birdsearch.storage.catalog.catalog import PhotoSummary
from tests.support.drawing import bird, write


def as_set(ids: Ids) -> set[tuple[int, int]]:
    """The pairs, of which none may come twice or the wrong way round."""
    pairs = [(int(a), int(b)) for a, b in ids]
    assert len(set(pairs)) == len(pairs)
    assert all(a < b for a, b in pairs)
    return set(pairs)


# Hashes


def hashes_of(pictures: Sequence[Image.Image]) -> candidates.Hashes:
    return np.array([int(decode.phash(picture), 16) for picture in pictures], dtype=np.uint64)


def flipped(random: np.random.Generator, value: np.uint64, bits: int) -> np.uint64:
    """The hash with so many of its bits changed."""
    for bit in random.choice(64, bits, replace=False):
        value ^= np.uint64(1 << int(bit))
    return value


def test_orientations_are_those_of_real_turns() -> None:
    turns = [None, *Image.Transpose]
    for seed in range(12):
        picture = bird(seed, 256, 192)
        eight = orientations(hashes_of([picture]))[:, 0]
        assert len(set(eight.tolist())) == 8
        real = hashes_of([picture if turn is None else picture.transpose(turn) for turn in turns])
        distances = np.bitwise_count(eight[:, None] ^ real[None, :])
        assert distances.min(axis=0).max() <= 10  # signs near the median flip or not
        assert sorted(distances.argmin(axis=0).tolist()) == list(range(8))  # each turn is another orientation


def test_the_first_orientation_is_the_hash_and_transposing_twice_is_nothing() -> None:
    hashes = np.random.default_rng(0).integers(1 << 63, size=50, dtype=np.uint64)
    eight = orientations(hashes)
    np.testing.assert_array_equal(eight[0], hashes)
    np.testing.assert_array_equal(orientations(eight[4])[4], hashes)


@pytest.mark.parametrize("exact", [True, False], ids=["compared", "in buckets"])
def test_hash_pairs_find_planted_ones_in_every_orientation(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        monkeypatch.setattr(hashes_module, "EXACT_UP_TO", 0)
    random = np.random.default_rng(5)
    hashes = random.integers(1 << 64, size=3000, dtype=np.uint64, endpoint=False)
    planted = [(row, row + 1500) for row in range(200)]
    for number, (a, b) in enumerate(planted):
        hashes[b] = flipped(random, orientations(hashes[a : a + 1])[number % 8, 0], number % 9)
    found = hash_pairs(hashes, np.arange(3000), within=8)
    pairs = as_set(found)
    assert set(planted) <= pairs
    distance = np.bitwise_count(orientations(hashes[found[:, 0]]) ^ hashes[found[:, 1]]).min(axis=0)
    assert distance.max() <= 8
    assert len(pairs) <= len(planted) + 5  # chance brings hardly any within 8 bits


def test_hash_pairs_compared_are_those_of_brute_force() -> None:
    random = np.random.default_rng(6)
    hashes = random.integers(1 << 64, size=1100, dtype=np.uint64, endpoint=False)
    ids = random.permutation(10_000)[:1100]
    distance = np.bitwise_count(orientations(hashes)[:, :, None] ^ hashes).min(axis=0)
    a, b = np.nonzero(np.triu(distance <= 16, 1))
    expected = {tuple(sorted((int(ids[x]), int(ids[y])))) for x, y in zip(a, b, strict=True)}
    assert as_set(hash_pairs(hashes, ids, within=16)) == expected != set()


@pytest.mark.parametrize("exact", [True, False], ids=["compared", "in buckets"])
def test_pictures_that_all_look_alike_do_not_explode(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        monkeypatch.setattr(hashes_module, "EXACT_UP_TO", 0)
    random = np.random.default_rng(7)
    sky = np.full(2000, 0x8000000000000000, dtype=np.uint64)
    fog = np.array([flipped(random, np.uint64(0xF0F0F0F0F0F0F0F0), 3) for _ in range(1000)], dtype=np.uint64)
    found = as_set(hash_pairs(np.concatenate([sky, fog, [1, 1]]).astype(np.uint64), np.arange(3002), 14))
    assert len(found) < 3000 * 100
    assert (3000, 3001) in found
    assert {(0, copy) for copy in range(1, 2000)} <= found  # one hash: all are tied to the first
    assert {row for pair in found for row in pair} >= set(range(3000))  # no photo is left out


def test_a_few_photos_with_one_hash_are_all_paired() -> None:
    hashes = np.array([7, 7, 7, 6, 6, 1 << 60], dtype=np.uint64)
    expected = set(combinations(range(5), 2))
    assert as_set(hash_pairs(hashes, np.arange(6), within=2)) - {(a, 5) for a in range(5)} == expected


def test_hash_pairs_of_0_1_and_2_photos() -> None:
    for count in (0, 1):
        assert hash_pairs(np.full(count, 3, dtype=np.uint64), np.arange(count)).shape == (0, 2)
    assert as_set(hash_pairs(np.array([3, 3], dtype=np.uint64), np.array([9, 4]))) == {(4, 9)}


def test_edited_copies_are_proposed(tmp_path: Path) -> None:
    pictures = [bird(seed, 320, 240) for seed in range(20)]
    copies: list[Image.Image] = []
    for number, picture in enumerate(pictures):
        small = Image.open(write(tmp_path / f"{number}.jpg", picture.resize((160, 120)), quality=30))
        edits = [small, ImageEnhance.Brightness(picture).enhance(1.3), picture.convert("L").convert("RGB")]
        copies += [*edits, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), picture.rotate(90, expand=True)]
    found = as_set(hash_pairs(hashes_of([*pictures, *copies]), np.arange(120)))
    assert {(number, 20 + 5 * number + edit) for number in range(20) for edit in range(5)} <= found


# Bursts


def photo(
    number: int, taken_at: str | None, camera: str | None = "A", serial: str | None = None, offset: str | None = None
) -> PhotoSummary:
    return PhotoSummary(number, number, "", None, None, None, taken_at, offset, camera, serial, None)


def found(
    taken: Sequence[PhotoSummary], gap: float = 3.0, offsets: Sequence[str | None] | None = None
) -> list[tuple[int, ...]]:
    return bursts(
        [replace(one, taken_offset=offset) for one, offset in zip(taken, offsets or [None] * len(taken), strict=True)],
        gap,
    )


def at(seconds: str) -> str:
    return f"2024-05-17T06:07:{seconds}"


def test_several_cameras_interleaved_keep_apart() -> None:
    # Every half second another camera, in turn.
    taken = [photo(number, at(f"{number / 2:06.3f}"), "ABC"[number % 3]) for number in range(12)]
    shuffled = [taken[row] for row in np.random.default_rng(0).permutation(12)]
    assert found(shuffled) == [(0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11)]
    assert found(shuffled, 1.4) == []
    assert found(shuffled, 1.5) == found(shuffled)


def test_two_bodies_of_one_model_keep_apart() -> None:
    taken = [photo(number, at(f"0{number}"), "A", "xy"[number % 2]) for number in range(6)]
    assert found(taken) == [(0, 2, 4), (1, 3, 5)]


def test_a_lost_serial_number_is_that_of_the_only_body() -> None:
    taken = [photo(1, at("01"), "A", "x"), photo(2, at("02")), photo(3, at("03"), "A", "x")]
    assert found(taken) == [(1, 2, 3)]
    other = photo(4, at("40"), "A", "y")
    assert found([*taken, other]) == [(1, 3)]


def test_photos_without_time_or_camera_are_in_none() -> None:
    taken = [photo(1, at("01")), photo(2, None), photo(3, at("01"), None), photo(4, "2024-05-17"), photo(5, "never")]
    assert found([*taken, photo(6, at("02"))]) == [(1, 6)]
    assert found([photo(1, "2024-05-17"), photo(2, "2024-05-17")]) == []


def test_subseconds_count_where_both_have_them() -> None:
    assert found([photo(1, at("01.90")), photo(2, at("04.95"))]) == []
    assert found([photo(1, at("01.95")), photo(2, at("04.95"))]) == [(1, 2)]
    assert found([photo(1, at("01.95")), photo(2, at("04.9500001"))]) == [(1, 2)]  # a microsecond is all that is read
    assert found([photo(1, at("01")), photo(2, at("04.95"))]) == [(1, 2)]
    assert found([photo(1, at("01")), photo(2, at("05"))]) == []


def test_a_sequence_goes_on_while_each_pause_is_short() -> None:
    taken = [photo(number, at(f"{3 * number:02}")) for number in range(15)]
    assert found(taken) == [tuple(range(15))]
    assert found([*taken[:7], *taken[8:]]) == [tuple(range(7)), tuple(range(8, 15))]


def test_identical_times_are_one_burst_in_order_of_id() -> None:
    assert found([photo(number, at("07")) for number in (5, 2, 9)], 0.0) == [(2, 5, 9)]


def test_midnight_does_not_cut() -> None:
    taken = [photo(1, "2023-12-31T23:59:59.50"), photo(2, "2024-01-01T00:00:01.00")]
    assert found(taken) == [(1, 2)]


def test_offsets_count_where_both_are_known() -> None:
    taken = [photo(1, "2024-05-17T10:00:00"), photo(2, "2024-05-17T11:00:01")]
    assert found(taken, offsets=["+01:00", "+02:00"]) == [(1, 2)]
    assert found(taken, offsets=["+01:00", None]) == []
    same = [photo(1, at("01")), photo(2, at("02"))]
    assert found(same, offsets=["+01:00", "+02:00"]) == []
    assert found(same, offsets=["+01:00", None]) == [(1, 2)]
    assert found([*same, photo(3, at("40"))], offsets=["+01:00", "+02:00", None]) == []
    assert found([photo(1, at("01") + "+01:00"), photo(2, "2024-05-17T07:07:02+02:00")]) == [(1, 2)]


def test_a_burst_is_cut_where_a_photo_is_not_like_the_next() -> None:
    taken = [photo(number, at(f"0{number}")) for number in range(7)]
    angle = np.array([0.0, 0.1, 0.2, 1.2, 1.3, 2.9, 3.0])
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    asked: list[int] = []

    def of(ids: Ids) -> Vectors:
        asked.extend(ids.tolist())
        return rows[ids]

    assert bursts(taken, vectors=of, min_score=0.9) == [(0, 1, 2), (3, 4), (5, 6)]
    assert asked == list(range(7))
    assert bursts(taken, vectors=of, min_score=-1) == [tuple(range(7))]


def test_cutting_many_sequences_in_blocks_keeps_them_apart() -> None:
    times = [
        f"2024-05-17T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}" for number in range(0, 60_000, 2)
    ]
    keep = [number for number in range(len(times)) if number % 5 not in (3, 4)]  # three photos, then six seconds
    # In every other sequence the last photo is another bird, else the first.
    side = np.array([[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]])

    def of(ids: Ids) -> Vectors:
        return np.asarray(np.eye(2, dtype=np.float32)[side[ids // 5 % 2, ids % 5]])

    got = bursts([photo(number, times[number]) for number in keep], vectors=of, min_score=0.5)
    starts = [number for number in keep if number % 5 == 0]
    assert got == [(number + shift, number + shift + 1) for number in starts for shift in [number // 5 % 2]]


# Groups


def lowest(ids: Sequence[int], _pictures: Sequence[int]) -> Choice:
    """Keeps the photo with the lowest id, and says which others it was told of."""
    assert list(ids) == sorted(set(ids))
    return Choice(ids[0], f"lowest of {list(ids)}", tuple(f"{other} is higher" for other in ids[1:]))


def pair(a: int, b: int, relation: str = "variant", matrix: Sequence[float] | None = None) -> Pair:
    return Pair(a, b, relation, None, {} if matrix is None else {"matrix": tuple(matrix)})


def members(groups: Sequence[DuplicateGroup]) -> list[tuple[int, tuple[int, ...]]]:
    return [(group.keep, group.others) for group in groups]


def test_groups_hold_no_chains() -> None:
    groups = grouped([pair(1, 2), pair(2, 3), pair(3, 4), pair(4, 5)], lowest)
    assert members(groups) == [(1, (2,)), (3, (4,))]  # 5 hung on 4 only, and is alone now
    assert groups[0].reason == "lowest of [1, 2]"
    assert groups[1].reasons == ("4 is higher",)


def test_the_kept_photo_decides_which_photos_are_in_its_group() -> None:
    def middle(ids: Sequence[int], _pictures: Sequence[int]) -> Choice:
        keep = sorted(ids)[len(ids) // 2]
        return Choice(keep, "middle", tuple(f"not {other}" for other in ids if other != keep))

    groups = grouped([pair(1, 2), pair(2, 3), pair(3, 4), pair(4, 5)], middle)
    assert members(groups) == [(3, (2, 4))]
    assert groups[0].reasons == ("not 2", "not 4")


def test_groups_do_not_depend_on_the_order_of_pairs() -> None:
    random = np.random.default_rng(3)
    pairs = [
        pair(int(min(a, b)), int(max(a, b)), SAME_PICTURE[int(random.integers(3))])
        for a, b in random.integers(0, 60, (70, 2))
        if a != b
    ]
    expected = grouped(pairs, lowest)
    assert expected
    for _ in range(5):
        assert grouped([pairs[number] for number in random.permutation(len(pairs))], lowest) == expected
    everyone = [photo for group in expected for photo in (group.keep, *group.others)]
    assert len(everyone) == len(set(everyone))


def test_a_group_has_the_weakest_relation_to_its_kept_photo() -> None:
    (group,) = grouped([pair(1, 2, "identical"), pair(1, 3, "pixels"), pair(1, 4)], lowest)
    assert (group.relation, group.others) == ("variant", (2, 3, 4))
    assert group.relations == ("identical", "pixels", "variant")
    (group,) = grouped([pair(1, 2, "identical"), pair(2, 3, "pixels")], lowest)
    assert (group.relation, group.relations) == ("pixels", ("identical", "pixels"))


def test_what_is_related_to_one_copy_is_related_to_all() -> None:
    (group,) = grouped([pair(1, 9, "identical"), pair(4, 9), pair(4, 5, "pixels")], lowest)
    assert (group.keep, group.others) == (1, (4, 5, 9))
    assert group.relations == ("variant", "variant", "identical")


def test_bursts_tie_nothing_together() -> None:
    assert grouped([pair(1, 2, "burst")], lowest) == []
    groups = grouped([pair(1, 2), pair(2, 3, "burst"), pair(3, 4)], lowest)
    assert members(groups) == [(1, (2,)), (3, (4,))]


def test_ten_thousand_copies_are_one_group() -> None:
    asked: list[int] = []

    def choose(ids: Sequence[int], pictures: Sequence[int]) -> Choice:
        asked.append(len(ids))
        return lowest(ids, pictures)

    (group,) = grouped([pair(5, copy, "identical") for copy in range(6, 10_005)], choose)
    assert (group.keep, len(group.others), set(group.relations)) == (5, 9_999, {"identical"})
    assert asked == [10_000]


def test_no_pairs_make_no_groups() -> None:
    assert grouped([], lowest) == []
    assert list(implied_pairs([])) == []


def test_two_photographers_share_no_burst() -> None:
    taken = [replace(photo(n, at(f"0{n}")), photographer=("Ana", "Ben")[n % 2]) for n in range(6)]
    assert found(taken) == [(0, 2, 4), (1, 3, 5)]
    assert found([*taken[::2], photo(9, at("05"))]) == [(0, 2, 4, 9)]  # a copy may have lost the name
    one_body = [replace(each, camera_serial="7") for each in taken]
    assert found(one_body) == [tuple(range(6))]


def test_folders_with_numbers_of_two_series_share_no_burst() -> None:
    taken = [photo(n, at(f"0{n}")) for n in range(6)]
    two = {n: f"/{'ab'[n % 2]}/IMG_{(4000, 117)[n % 2] + n:04}.JPG" for n in range(6)}
    assert bursts(taken, paths=lambda _: two) == [(0, 2, 4), (1, 3, 5)]
    sorted_by_species = {n: f"/{'ab'[n % 2]}/IMG_{4000 + n}.JPG" for n in range(6)}
    assert bursts(taken, paths=lambda _: sorted_by_species) == [tuple(range(6))]
    unnumbered = {n: f"/{'ab'[n % 2]}/wren {n}.jpg" for n in range(6)}
    assert bursts(taken, paths=lambda _: unnumbered) == [tuple(range(6))]


def test_joined_ids_are_counted() -> None:
    joined = Joined()
    joined.add([(1, 2), (3, 4)])
    assert joined.are_joined(1, 2)
    assert not joined.are_joined(2, 3)
    joined.add([(2, 4), (1, 3)])
    assert joined.are_joined(1, 3)
    assert [joined.size(number) for number in (1, 4, 9)] == [4, 4, 1]
