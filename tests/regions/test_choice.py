"""Which boxes of a photo get a vector."""

import pytest

from birdsearch import Box, Region
from birdsearch.regions.choice import chosen, is_animal

HERE = Box(0.1, 0.1, 0.2, 0.2)


@pytest.mark.parametrize("category", ["person", "People", "vehicle", "Cars", "traffic_light", "Homo sapiens", "empty"])
def test_persons_vehicles_and_things_are_never_chosen(category: str) -> None:
    assert not is_animal(category)
    assert chosen([Region(1, HERE, category=category, confidence=1.0)]) == []


@pytest.mark.parametrize("category", [None, "", "bird", "Animal", "Parus major", "Great Tit", "class 7", "cat"])
def test_any_other_word_may_be_a_birds(category: str | None) -> None:
    assert is_animal(category)


def test_the_surest_three_given_before_found() -> None:
    def region(confidence: float | None, kind: str = "box") -> Region:
        return Region(1, HERE, kind, "bird", confidence)

    assert chosen([region(0.5), region(0.9), region(None), region(0.7)]) == [2, 1, 3]
    assert chosen([region(0.99, "bird"), region(0.5), region(0.5)]) == [1, 2, 0]
