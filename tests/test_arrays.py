"""Sets of ids that take a bit for each."""

import random

from birdsearch.arrays import IdSet


def test_a_set_of_ids_holds_what_was_added_in_order() -> None:
    ids = [*random.Random(1).sample(range(500_000), 3000), 0, 7, 8, 65_535, 65_536, 2**40]
    kept = IdSet(ids)
    assert list(kept) == sorted(set(ids))
    assert len(kept) == len(set(ids))
    assert all(one in kept for one in ids)
    kept.add(8)
    assert len(kept) == len(set(ids))


def test_what_was_not_added_is_not_in_it() -> None:
    kept = IdSet([5, 70_000])
    assert not any(one in kept for one in (0, 4, 6, 69_999, 70_001, 2**50, None, "5"))
    assert list(IdSet()) == []
