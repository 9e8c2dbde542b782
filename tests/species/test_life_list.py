"""The life list: what was seen, when and where."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdsearch.index import Index
from birdsearch.records import LifeListEntry
from birdsearch.species.life_list import GROUPINGS, places_of
from tests.support import drawing

BERLIN, CAPE_TOWN = (52.5, 13.4), (-33.9, 18.4)


def photo(
    path: Path, seed: int, at: str | None, place: tuple[float, float] | None, stars: int = 0, width: int = 320
) -> Path:
    """A drawn photo that knows so much."""
    gps: dict[int, Any] = {}
    if place is not None:
        (north, east), sides = place, ("S" if place[0] < 0 else "N", "W" if place[1] < 0 else "E")
        gps = {1: sides[0], 2: (abs(north), 0.0, 0.0), 3: sides[1], 4: (abs(east), 0.0, 0.0)}
    tags = {0x4746: stars, 0x013B: "Ana" if seed % 2 else "Ben"}
    known = drawing.exif(tags, {0x9003: at.replace("-", ":")} if at else {}, gps)
    return drawing.write(path, drawing.bird(seed, width=width, height=240), exif=known)


@pytest.fixture
def birds(index: Index, tmp_path: Path) -> Index:
    """Marsh Wrens in Berlin over the years, Robins in Cape Town, photos that know little."""
    folder = tmp_path / "photos"
    photo(folder / "Marsh Wren" / "1.jpg", 1, "2023-05-01 08:30:00", BERLIN, stars=3)
    photo(folder / "Marsh Wren" / "2.jpg", 2, "2021-01-20 08:30:00", (52.51, 13.41), width=900)
    photo(folder / "Marsh Wren" / "3.jpg", 3, None, BERLIN)
    photo(folder / "European Robin" / "4.jpg", 4, "2023-10-09 08:30:00", CAPE_TOWN)
    photo(folder / "European Robin" / "5.jpg", 5, "2023-10-11 08:30:00", None, width=400)
    photo(folder / "6.jpg", 6, None, None)
    index.add(folder, labels="folder")
    return index


def entry(index: Index, by: str, name: str | None) -> LifeListEntry:
    return next(entry for entry in index.life_list(by=by).entries if entry.name == name)


def name_of(index: Index, photo_id: int) -> str:
    return Path(index.photo(photo_id).path).name


def test_a_species_has_its_dates_places_months_and_best_photo(birds: Index) -> None:
    wren = entry(birds, "species", "Marsh Wren")
    assert (wren.photos, wren.species, wren.first_seen) == (3, {"Marsh Wren": 3}, ("Marsh Wren",))
    assert (wren.first, wren.last) == ("2021-01-20T08:30:00", "2023-05-01T08:30:00")
    assert [n for n in range(12) if wren.months[n]] == [0, 4]
    assert (wren.places, wren.undated, wren.unplaced) == ((0,), 1, 0)
    assert name_of(birds, wren.best) == "1.jpg"  # stars come before pixels
    assert name_of(birds, entry(birds, "species", "European Robin").best) == "5.jpg"  # more pixels
    assert len(wren.examples) == 3


@pytest.mark.parametrize("by", GROUPINGS)
def test_every_photo_is_in_one_entry_and_what_it_does_not_know_is_counted(birds: Index, by: str) -> None:
    report = birds.life_list(by=by)
    assert sum(entry.photos for entry in report.entries) == report.photos == 6
    assert (report.species, report.unnamed, report.undated, report.unplaced) == (2, 1, 2, 2)
    for known in report.entries:
        assert sum(known.months) + known.undated == known.photos
        assert sum(known.species.values()) <= known.photos


def test_months_and_years_say_what_was_seen_and_what_was_new(birds: Index) -> None:
    assert [each.name for each in birds.life_list(by="month").entries] == ["January", "May", "October", None]
    years = birds.life_list(by="year").entries
    assert [(year.name, year.species, year.first_seen) for year in years] == [
        ("2021", {"Marsh Wren": 1}, ("Marsh Wren",)),
        ("2023", {"European Robin": 2, "Marsh Wren": 1}, ("European Robin",)),
        (None, {"Marsh Wren": 1}, ()),
    ]


def test_places_are_circles_of_five_kilometres_the_most_photographed_first(birds: Index) -> None:
    report = birds.life_list(by="place")
    assert [(place.photos, place.species) for place in report.places] == [(3, 1), (1, 1)]
    assert [each.name for each in report.entries] == ["52.503° N, 13.403° E", "33.900° S, 18.400° E", None]
    assert [each.name for each in birds.life_list(by="photographer").entries] == ["Ana", "Ben"]


def test_a_place_may_lie_on_the_date_line() -> None:
    fiji = [(-16.8, 179.99), (-16.8, -179.99), (-16.8, 179.98), (52.5, 13.4)]
    assert places_of(np.array(fiji)).tolist() == [0, 0, 0, 1]


def test_the_place_on_the_date_line_is_not_on_the_other_side_of_the_world(index: Index, tmp_path: Path) -> None:
    for number, east in enumerate((179.99, -179.99)):
        photo(tmp_path / "photos" / f"{number}.jpg", number, None, (-16.8, east))
    index.add(tmp_path / "photos")
    (place,) = index.life_list().places
    assert abs(place.longitude) == 180


def test_of_copies_one_is_shown(birds: Index, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "photos" / "Marsh Wren" / f"copy{number}.jpg").write_bytes(
            (tmp_path / "photos" / "Marsh Wren" / "1.jpg").read_bytes()
        )
    birds.add(tmp_path / "photos")
    wren = entry(birds, "species", "Marsh Wren")
    assert (wren.photos, len(wren.examples)) == (5, 3)


def test_filters_and_wrong_groupings(birds: Index) -> None:
    from birdsearch.records import Filter

    assert [each.name for each in birds.life_list(Filter(taken_after="2023-10-01")).entries] == ["European Robin"]
    assert birds.life_list(Filter(species="Nothing")).entries == ()
    with pytest.raises(ValueError, match="by one of species, month, year, place, photographer"):
        birds.life_list(by="weather")
