"""Filter: which photos are asked for. What is given in another form is brought into one, or refused at once."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from operator import index
from typing import Any

# Name, kind, what can be meant, and its words. An empty text is a field that somebody left empty: it would be the
# current folder, or every camera.
_PLAIN: tuple[tuple[str, Any, Callable[[Any], bool], str], ...] = (
    ("under", str, bool, "the path of a folder"),
    ("camera", str, bool, "a part of its name"),
    ("min_width", int, lambda pixels: pixels >= 1, "a whole number of pixels, 1 or more"),
    ("sample", int, lambda photos: photos >= 1, "a whole number of photos, 1 or more"),
    ("min_probability", int | float, lambda share: 0 <= share <= 1, "a number from 0 to 1"),
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which photos may answer. Every field that is set must hold; names are compared as taxa, in any spelling.

    `a | b` is a filter that either of two satisfies, `a & b` one that both satisfy, `~a` one that the others satisfy.
    Lists are kept as tuples. In JSON a filter within a filter is an object with the same fields. Raises TypeError or
    ValueError for what cannot be meant.

    >>> Filter(species="Wren", taken_after="2024") | Filter(camera="Canon"), ~Filter(under="birds/doubtful")
    """

    species: str | Sequence[str] | None = None  # any of these; of a genus, a family or a split species all of it
    label: str | Sequence[str] | None = None
    predicted: str | Sequence[str] | None = None  # species or class among the stored predictions
    min_probability: float | None = None  # of `predicted`, or of the first prediction where `predicted` is not set
    taken_after: str | date | None = None  # date or time, inclusive; a text as ISO 8601 has it, from the year on
    taken_before: str | date | None = None  # date or time, exclusive
    under: str | os.PathLike[str] | None = None  # a folder
    near: Sequence[float] | None = None  # latitude, longitude (degrees), radius (km)
    camera: str | None = None  # part of the camera's name
    min_width: int | None = None  # pixels
    ids: Sequence[int] | None = None  # of photos; an empty list is no photo
    sample: int | None = None  # at most so many of those that fit the rest, evenly over the species; always the same
    any_of: "Sequence[Filter]" = ()  # at least one of these must hold, if there are any
    none_of: "Sequence[Filter]" = ()  # none of these may hold

    def __post_init__(self) -> None:
        for name in _NAMES:
            self._set(name, _names_asked(name, getattr(self, name)))
        for name in ("taken_after", "taken_before"):
            self._set(name, _moment_asked(name, getattr(self, name)))
        self._set("near", _near_asked(self.near))
        if isinstance(self.under, os.PathLike):
            self._set("under", os.fsdecode(self.under))
        for name, kind, plausible, what in _PLAIN:
            if not isinstance(value := getattr(self, name), kind | None):
                raise TypeError(f"{name} of a Filter cannot be {value!r}: give {what}")
            if value is not None and not plausible(value):
                raise ValueError(f"{name} of a Filter cannot be {value!r}: give {what}")
        self._set("ids", _ids_asked(self.ids))
        for name in ("any_of", "none_of"):
            self._set(name, _filters_asked(name, getattr(self, name)))

    def __or__(self, other: "Filter") -> "Filter":
        if not isinstance(other, Filter):
            return NotImplemented
        return Filter(any_of=(*self._choices, *other._choices))

    def __and__(self, other: "Filter") -> "Filter":
        if not isinstance(other, Filter):
            return NotImplemented
        return replace(self, none_of=(*self.none_of, ~other))

    def __invert__(self) -> "Filter":
        return Filter(none_of=(self,))

    @property
    def draws(self) -> bool:
        """Whether photos are drawn: whether one of them satisfies it depends on all others."""
        return self.sample is not None or any(one.draws for one in (*self.any_of, *self.none_of))

    @property
    def takes_all(self) -> bool:
        """Whether every photo satisfies it, whatever an index holds: nothing is asked, or what is asked always holds.

        An alternative that takes all, a filter and its opposite as alternatives, the exclusion of what no photo is.
        """
        if any(getattr(self, name) is not None for name in _ASKING):
            return False
        choices = not self.any_of or any(one.takes_all or ~one in self.any_of for one in self.any_of)
        return choices and all(one._takes_none for one in self.none_of)

    @property
    def _takes_none(self) -> bool:
        """Whether no photo satisfies it, whatever an index holds."""
        if self.ids == () or any(_names_nothing(getattr(self, name)) for name in _NAMES):
            return True
        if any(one.takes_all for one in self.none_of):
            return True
        return bool(self.any_of) and all(one._takes_none for one in self.any_of)

    @property
    def _choices(self) -> "Sequence[Filter]":
        return self.any_of if self.any_of and self == Filter(any_of=self.any_of) else (self,)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


_NAMES = ("species", "label", "predicted")
_ASKING = tuple(field.name for field in fields(Filter) if field.name not in ("any_of", "none_of"))


def _names_nothing(value: str | Sequence[str] | None) -> bool:
    names = (value,) if isinstance(value, str) else value
    return names is not None and not any(name.strip() for name in names)


def _names_asked(name: str, value: Any) -> str | tuple[str, ...] | None:
    """A name or several, as a Filter keeps them."""
    if value is None or isinstance(value, str):
        return value
    names = tuple(value) if isinstance(value, Iterable) else (None,)
    if all(isinstance(one, str) for one in names):
        return names
    raise TypeError(f"{name} of a Filter cannot be {value!r}: give a name, or a list of names")


def _moment_asked(name: str, value: Any) -> str | None:
    """A date or time as a Filter keeps it: as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        raise ValueError(
            f"{name} of a Filter cannot be in a time zone ({value}): photos are dated by their camera's clock. "
            "Give the time without one: value.replace(tzinfo=None)"
        )
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{name} of a Filter cannot be {value!r}: give a date, a datetime or a text such as '2024-05-17'")


def _near_asked(value: Any) -> tuple[float, float, float] | None:
    """A place as a Filter keeps it."""
    if value is None:
        return None
    try:
        latitude, longitude, radius = map(float, value)
    except (TypeError, ValueError):
        raise ValueError(
            f"near of a Filter cannot be {value!r}: give latitude, longitude and radius in km, as (52.52, 13.4, 5)"
        ) from None
    return latitude, longitude, radius


def _ids_asked(value: Any) -> tuple[int, ...] | None:
    """Ids of photos as a Filter keeps them."""
    if value is None:
        return None
    try:
        return tuple(map(index, value))
    except TypeError:
        raise TypeError(f"ids of a Filter cannot be {value!r}: give the ids of photos, as (17, 23)") from None


def _filters_asked(name: str, value: Any) -> tuple[Filter, ...]:
    """Filters within a Filter."""
    given = (value,) if isinstance(value, Filter | Mapping) else value
    try:
        filters = tuple(Filter(**one) if isinstance(one, Mapping) else one for one in given)
    except TypeError as error:
        raise TypeError(f"{name} of a Filter cannot be {value!r}: {error}") from None
    if not all(isinstance(one, Filter) for one in filters):
        raise TypeError(f"{name} of a Filter cannot be {value!r}: give a list of Filters")
    return filters
