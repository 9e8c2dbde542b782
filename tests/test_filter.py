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
    assert Filter(species=["Wren", "Robin"]) == Filter(species=("Wren", "Robin"))  # type: ignore[arg-type]
    assert hash(Filter(species=["Wren"], near=[52, 13, 5])) == hash(Filter(species=("Wren",), near=(52.0, 13.0, 5.0)))  # type: ignore[arg-type]


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
        ({"species": 17}, TypeError, "species .* give a name, or a tuple of names"),
        ({"species": ("Wren", None)}, TypeError, "species .* give a name"),
        ({"camera": 5}, TypeError, "camera .* give a part of its name"),
        ({"min_width": "wide"}, TypeError, "min_width .* give a whole number of pixels"),
        ({"ids": 17}, TypeError, r"ids .* give the ids of photos, as \(17, 23\)"),
        ({"ids": ("a",)}, TypeError, "give the ids"),
        ({"any_of": ("Wren",)}, TypeError, "any_of .* give a tuple of Filters"),
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
