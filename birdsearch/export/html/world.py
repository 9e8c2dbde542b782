"""A map of places, drawn offline: the coast lines and borders of Natural Earth, and a mark for each place.

`data/world.json` was made by `tests/support/world_map.py`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from birdsearch.records import Place, counted

_UNITS = 100  # of the shapes in a degree; x to the east, y to the south
_SHAPE = 2.2  # width over height of a map
_NORTH, _SOUTH = 84.0, -58.0  # degrees of latitude that a map of the world shows
_WIDE = 140.0  # degrees of longitude between places from which on the whole world is shown
_LEAST = 7.0  # degrees of latitude on a map at least: less would show no coast to recognise
_PART = 100.0  # degrees of longitude: a narrower map gets the names of countries, and an inset
_MARGIN = 0.12  # of a map on each side of its places
_SMALLEST, _LARGEST = 9, 30  # pixels across a mark


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a map is drawn from."""

    source: str
    land: str  # paths of SVG, in units
    borders: str
    countries: tuple[tuple[str, int, int], ...]  # name, and the middle of its largest part


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on a map."""

    number: int  # of the place
    x: float
    y: float
    size: float  # pixels across: the area grows with the photos
    title: str


@dataclass(frozen=True, slots=True)
class Map:
    """A part of the world with marks; lengths are in degrees of latitude."""

    shapes: Shapes
    left: float
    top: float
    width: float
    height: float
    squeeze: float  # a degree of longitude is so long
    turn: float  # longitude of x = 0, in units, -18000 to 18000
    marks: tuple[Mark, ...]  # the largest first, so that small ones lie on top
    names: tuple[tuple[str, float, float], ...]  # of countries
    inset: bool  # whether a small map should show which part of the world it is


@lru_cache
def shapes() -> Shapes:
    """The coast lines, borders and names of countries."""
    known = json.loads(Path(__file__).with_name("data").joinpath("world.json").read_text(encoding="utf-8"))
    return Shapes(known["source"], known["land"], known["borders"], tuple(map(tuple, known["countries"])))


def map_of(places: Sequence[Place]) -> Map | None:
    """The part of the world where these places are; None where there are none."""
    if not places:
        return None
    west, span = _narrowest([place.longitude for place in places])
    whole = span > _WIDE
    middle = 0.0 if whole else _turned(west + span / 2)  # the shapes lie once to each side of the world, no further
    south, north = (side(place.latitude for place in places) for side in (min, max))
    squeeze = 1.0 if whole else max(math.cos(math.radians((south + north) / 2)), 0.2)
    if whole:
        left, top, width, height = -180.0, -_NORTH, 360.0, _NORTH - _SOUTH
    else:
        height = max((north - south) / (1 - 2 * _MARGIN), span * squeeze / (1 - 2 * _MARGIN) / _SHAPE, _LEAST)
        width = height * _SHAPE
        left, top = -width / 2, -(south + north) / 2 - height / 2
    most = max(place.photos for place in places)
    marks = [
        Mark(
            number,
            round(_turned(place.longitude - middle) * squeeze, 4),
            round(-place.latitude, 4),
            round(_SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt((place.photos - 1) / max(most - 1, 1)), 1),
            f"{place.name}: {counted(place.photos, 'photo')}, {place.species:,} species",
        )
        for number, place in enumerate(places)
    ]
    inset = width / squeeze < _PART
    names = _names(left, top, width, height, middle, squeeze) if inset else ()
    return Map(shapes(), left, top, width, height, squeeze, middle * _UNITS, tuple(marks), names, inset)


def _names(
    left: float, top: float, width: float, height: float, middle: float, squeeze: float
) -> tuple[tuple[str, float, float], ...]:
    """Countries whose middle is on the map, and where; none that would run into another."""
    names: list[tuple[str, float, float]] = []
    for name, east, down in shapes().countries:
        x, y = _turned(east / _UNITS - middle) * squeeze, down / _UNITS
        inside = abs(x - left - width / 2) < 0.45 * width and abs(y - top - height / 2) < 0.45 * height
        if inside and not any(abs(y - v) < width / 50 and abs(x - u) < width / 10 for _, u, v in names):
            names.append((name, round(x, 3), round(y, 3)))
    return tuple(names)


def _narrowest(longitudes: Sequence[float]) -> tuple[float, float]:
    """The western end and the width of the narrowest strip that holds all, in degrees; it may cross the date line."""
    known = sorted({longitude % 360 for longitude in longitudes})
    gaps = [(after - before, after) for before, after in zip(known, [*known[1:], known[0] + 360], strict=True)]
    widest, end = max(gaps)
    return end % 360, 360 - widest


def _turned(degrees: float) -> float:
    """The same direction between -180 and 180 degrees."""
    return (degrees + 180) % 360 - 180
