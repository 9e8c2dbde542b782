"""Two crops of one picture are the same picture, as far as they share enough of it."""

from collections.abc import Sequence

import pytest

from birdsearch.duplicates.implied import implied_pairs
from birdsearch.records import Pair


def pair(a: int, b: int, relation: str = "variant", matrix: Sequence[float] | None = None) -> Pair:
    return Pair(a, b, relation, None, {} if matrix is None else {"matrix": tuple(matrix)})


SAME = (1, 0, 0, 0, 1, 0)
MIRRORED = (-1, 0, 1, 0, 1, 0)
LEFT_PART = (0.75, 0, 0, 0, 1, 0)  # the left three quarters of the picture it is mapped to
RIGHT_PART = (0.75, 0, 0.25, 0, 1, 0)
CORNER = (0.4, 0, 0, 0, 0.4, 0)
OTHER_CORNER = (0.4, 0, 0.6, 0, 0.4, 0.6)


def test_two_crops_of_one_picture_are_the_same_picture() -> None:
    (implied,) = implied_pairs([pair(1, 3, matrix=LEFT_PART), pair(2, 3, matrix=RIGHT_PART)])
    assert (implied.a, implied.b, implied.relation, implied.score) == (1, 2, "variant", None)
    assert implied.evidence["through"] == 3
    assert implied.evidence["overlap"] == pytest.approx(2 / 3, abs=0.001)
    # The left edge of the second lies at a third of the first.
    a, b, x, c, d, y = implied.evidence["matrix"]
    assert (a / 3 + x, c / 3 + y) == pytest.approx((0, 0))
    assert (a + d * 0 + b, x + a) == pytest.approx((1, 2 / 3))


def test_the_transform_is_turned_round_where_the_hub_has_the_lower_id() -> None:
    whole_in_left = (4 / 3, 0, 0, 0, 1, 0)
    (implied,) = implied_pairs([pair(1, 2, matrix=whole_in_left), pair(1, 3, matrix=MIRRORED)])
    assert (implied.a, implied.b, implied.evidence["through"]) == (2, 3, 1)
    assert implied.evidence["overlap"] == pytest.approx(1)
    a, _, x, _, d, y = implied.evidence["matrix"]
    assert (a, x, d, y) == pytest.approx((-0.75, 1, 1, 0))


def test_crops_that_share_nothing_imply_nothing() -> None:
    pairs = [pair(1, 3, matrix=CORNER), pair(2, 3, matrix=OTHER_CORNER)]
    assert list(implied_pairs(pairs)) == []
    assert list(implied_pairs(pairs, min_overlap=0.0)) != []


def test_what_lies_outside_the_hub_is_not_counted() -> None:
    # The hub is the left upper ninth of both: what surrounds it was never compared.
    ninth = (3, 0, 0, 0, 3, 0)
    assert list(implied_pairs([pair(1, 3, matrix=ninth), pair(2, 3, matrix=ninth)])) == []


def test_the_best_hub_is_named_and_known_pairs_are_not_repeated() -> None:
    pairs = [pair(1, 8, matrix=LEFT_PART), pair(2, 8, matrix=RIGHT_PART)]
    pairs += [pair(1, 9, matrix=SAME), pair(2, 9, matrix=MIRRORED)]
    implied = {(one.a, one.b): one.evidence["through"] for one in implied_pairs(pairs)}
    assert implied[1, 2] == 9
    assert set(implied) == {(1, 2), (8, 9)}
    assert (1, 2) not in {(one.a, one.b) for one in implied_pairs([*pairs, pair(1, 2)])}
    assert (1, 2) not in {(one.a, one.b) for one in implied_pairs(pairs, refused={(1, 2)})}


def test_copies_of_the_hub_are_the_hub() -> None:
    pairs = [pair(1, 3, matrix=LEFT_PART), pair(2, 4, matrix=RIGHT_PART), pair(3, 4, "identical")]
    implied = {(one.a, one.b) for one in implied_pairs(pairs)}
    assert (1, 2) in implied


def test_a_degenerate_or_missing_transform_implies_nothing() -> None:
    for broken in (None, (0, 0, 0, 0, 0, 0), (float("nan"), 0, 0, 0, 1, 0)):
        assert list(implied_pairs([pair(1, 3, matrix=broken), pair(2, 3, matrix=SAME)])) == []
