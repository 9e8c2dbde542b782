"""Filter: what it takes in which form, and what it refuses at once."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from birdsearch import Filter
from birdsearch.records import as_json


def test_a_filter_takes_what_python_has() -> None:
    assert Filter(taken_after=date(2024, 5, 17)) == Filter(taken_after="2024-05-17")
    assert Filter(taken_before=datetime(2024, 5, 17, 6, 30)) == Filter(taken_before="2024-05-17T06:30:00")
    assert Filter(under=Path("/birds")) == Filter(under="/birds")
    assert Filter(species=["Wren", "Robin"], ids=[1]) == Filter(species=("Wren", "Robin"), ids=(1,))
    assert hash(Filter(species=["Wren"], near=[52, 13, 5])) == hash(Filter(species=("Wren",), near=(52.0, 13.0, 5.0)))


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        (
            {"near": (1, 2)},
            ValueError,
            r"near of a Filter cannot be \(1, 2\): give latitude, longitude and radius in km",
        ),
        ({"near": 5}, ValueError, "give latitude"),
        ({"taken_after": 2024}, TypeError, "taken_after .* give a date, a datetime or a text such as '2024-05-17'"),
        ({"taken_before": datetime(2024, 1, 1, tzinfo=UTC)}, ValueError, "camera's clock"),
        ({"species": 17}, TypeError, "species .* give a name, or a list of names"),
        ({"species": ("Wren", None)}, TypeError, "species .* give a name"),
        ({"camera": 5}, TypeError, "camera .* give a part of its name"),
        ({"min_width": "wide"}, TypeError, "min_width .* give a whole number of pixels"),
        ({"min_width": -1}, ValueError, "min_width .* give a whole number of pixels, 1 or more"),
        ({"min_probability": 2}, ValueError, "min_probability .* give a number from 0 to 1"),
        ({"min_probability": float("nan")}, ValueError, "give a number from 0 to 1"),
        ({"under": ""}, ValueError, "under .* give the path of a folder"),
        ({"camera": ""}, ValueError, "camera .* give a part of its name"),
        ({"ids": 17}, TypeError, r"ids .* give the ids of photos, as \(17, 23\)"),
        ({"ids": ("a",)}, TypeError, "give the ids"),
        ({"any_of": ("Wren",)}, TypeError, "any_of .* give a list of Filters"),
        ({"none_of": [{"specie": "Wren"}]}, TypeError, "none_of .*specie"),
        ({"any_of": 7}, TypeError, "any_of"),
    ],
)
def test_what_a_filter_cannot_mean_is_said_at_once(fields: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Filter(**fields)


def test_filters_are_combined_and_are_json() -> None:
    wren, old = Filter(species="Wren"), Filter(taken_before="2020")
    assert wren | old | wren == Filter(any_of=(wren, old, wren))
    assert ~wren == Filter(none_of=(wren,))
    assert (Filter(any_of=(wren,), camera="Canon") | old).any_of[0].camera == "Canon"
    where = Filter(ids=(1, 2), any_of=(wren, ~old))
    assert Filter(**as_json(where)) == where
    with pytest.raises(TypeError):
        wren | "old"  # type: ignore[operator]


WREN, ALL, NONE = Filter(species="Wren"), Filter(), Filter(ids=())


@pytest.mark.parametrize(
    "where",
    [
        ALL,
        WREN | ALL,
        Filter(any_of=[WREN, Filter(label=None)]),
        Filter(any_of=()),
        ~NONE,
        ~~ALL,
        ALL & ~NONE,
        WREN | ~NONE,
        ~(NONE & WREN),
        ~(NONE | Filter(label=())),
        ~Filter(label=" "),
        ~~(WREN | ALL),
        WREN | ~WREN,
    ],
)
def test_a_filter_that_every_photo_satisfies_is_known(where: Filter) -> None:
    assert where.takes_all


@pytest.mark.parametrize("where", [WREN, ~WREN, NONE, ~ALL, WREN | NONE, WREN & ALL, ALL & WREN, ~(WREN & ALL), ~~WREN])
def test_a_filter_that_asks_for_something_is_not_taken_for_all(where: Filter) -> None:
    assert not where.takes_all
