"""The page of a life list, and its map."""

import re
from dataclasses import replace

import pytest

from birdsearch.export.html import pictures, world
from birdsearch.export.html.life_list import life_list_page
from birdsearch.records import LifeList, LifeListEntry, Photo, Place

BERLIN, POTSDAM = Place(52.5, 13.4, 40, 2), Place(52.4, 13.06, 1, 1)
WREN = LifeListEntry(
    "Wren <b>", 41, {"Wren <b>": 41}, ("Wren <b>",), "2021-01-20T08:30:00", "2023-05-01T08:30:00", 1, (1, 2),
    (3, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0), (0, 1), 2, 0,
)  # fmt: skip
NAMELESS = LifeListEntry(None, 1, {}, (), None, None, 3, (3,), (0,) * 12, (), 1, 1)
REPORT = LifeList("species", 42, (WREN, NAMELESS), (BERLIN, POTSDAM), 1, 1, 3, 1)
PHOTOS = {number: Photo(number, f"/gone/{number}.jpg", width=300, height=200) for number in (1, 2, 3)}


def test_a_page_says_when_where_and_what_is_not_known() -> None:
    page = life_list_page(REPORT, PHOTOS)
    assert "1 species on 42 photos from 2 places, 2021-01-20 to 2023-05-01." in page
    assert "1 photo has no species, 3 photos have no date, 1 photo has no position." in page
    assert "Wren &lt;b&gt;" in page
    assert "<b>Wren" not in page
    assert "Species not known" in page
    assert "52.500° N, 13.400° E: 40 photos, 2 species" in page
    cells = re.search(r'<a href="#entry0">.*?</tr>', page)
    assert cells is not None
    assert re.findall(r"<td[^>]*>([^<]*)</td>", cells[0]) == [*"3", *[""] * 3, "36", *[""] * 7, "2", "41"]


@pytest.mark.parametrize("by", ["species", "month", "year", "place", "photographer"])
def test_every_link_of_a_page_leads_somewhere_and_nothing_is_loaded(by: str) -> None:
    several = replace(WREN, name="2021", species={"Wren": 40, "Robin": 1}, first_seen=("Wren",))
    page = life_list_page(replace(REPORT, by=by, entries=(several, replace(WREN, name="2022"), NAMELESS)), PHOTOS)
    targets = re.findall(r'href="#([^"]+)"', page)
    assert targets
    assert set(targets) <= set(re.findall(r'id="([^"]+)"', page))
    assert not re.search(r"<script|<link|url\(|https?://|@import", page)


def test_an_empty_list_is_a_page() -> None:
    assert "No photos" in life_list_page(LifeList("species"), {})


def test_pictures_stop_where_the_page_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 0)
    assert "pictures did not fit on this page" in life_list_page(REPORT, PHOTOS)


def test_a_map_shows_its_places_with_room_around_them() -> None:
    near, far = world.map_of([BERLIN, POTSDAM]), world.map_of([BERLIN, Place(-41.3, 174.8, 2, 1)])
    assert near is not None
    assert far is not None
    assert near.inset
    assert "Germany" in [name for name, *_ in near.names]
    assert (far.width, far.inset) == (360.0, False)
    for drawn in (near, far):
        for mark in drawn.marks:
            assert drawn.left < mark.x < drawn.left + drawn.width
            assert drawn.top < mark.y < drawn.top + drawn.height
    assert near.marks[0].size > near.marks[1].size
    assert world.map_of([]) is None


def test_a_map_over_the_date_line_is_narrow() -> None:
    fiji = world.map_of([Place(-17.0, 179.0, 1, 1), Place(-16.0, -179.0, 1, 1)])
    assert fiji is not None
    assert fiji.width < 40
    assert fiji.marks[0].x < fiji.marks[1].x


ASHORE = {
    "Spain": (39.2, -3.8), "Portugal": (39.5, -8.0), "Kenya": (0.5, 37.5), "China": (30.0, 112.0),
    "Norway": (61.5, 9.0), "Brazil": (-10.0, -52.0), "Alaska": (65.0, -153.0), "Anadyr": (66.0, -176.0),
    "Kamchatka": (57.0, 159.5), "New Zealand": (-43.7, 171.0),
}  # fmt: skip


@pytest.mark.parametrize("shown", ASHORE)
@pytest.mark.parametrize("other", [None, -25.0, 25.0])
def test_a_place_on_land_lies_on_the_land_that_its_map_paints(shown: str, other: float | None) -> None:
    latitude, longitude = ASHORE[shown]
    beside = [] if other is None else [Place(latitude, (longitude + other + 180) % 360 - 180, 1, 1)]
    page = life_list_page(
        replace(REPORT, entries=(NAMELESS,), places=(Place(latitude, longitude, 5, 1), *beside)), PHOTOS
    )
    drawn = page[page.index('role="group"') : page.index("</svg>")]
    squeeze, turn = map(float, re.findall(r"scale\((\S+) \.01\) translate\((\S+) 0\)", drawn)[0])
    copies = [float(offset) for offset in re.findall(r'href="#land" x="([-\d]+)"', drawn)]
    x, y = map(float, re.findall(r'class="dot"[^>]* d="M(\S+) (\S+)h0"', drawn)[0])
    assert any(_inside(x / squeeze - turn - copy, y * 100, world.shapes().land) for copy in copies)


@pytest.mark.parametrize("longitude", [-170.0, -5.0, 5.0, 170.0])
def test_the_small_map_shows_where_the_large_one_lies(longitude: float) -> None:
    page = life_list_page(replace(REPORT, entries=(NAMELESS,), places=(Place(40.0, longitude, 1, 1),)), PHOTOS)
    inset = page[page.index('class="inset"') :]
    boxes = re.findall(r'<rect x="(\S+)" y="\S+" width="(\S+)"', inset[: inset.index("</svg>")])
    assert any(float(left) <= longitude * 100 <= float(left) + float(width) for left, width in boxes)


def _inside(x: float, y: float, path: str) -> bool:
    """Whether a point lies within the rings of a path of relative steps."""
    crossed = False
    for ring in re.findall(r"M([^z]+)z", path):
        (u, v), *steps = [(int(east), int(down)) for east, down in re.findall(r"(-?\d+)[ l]?(-?\d+)", ring)]
        corners = [(u, v)]
        corners += [(u := u + east, v := v + down) for east, down in steps]
        for (a, b), (c, d) in zip(corners, [*corners[1:], corners[0]], strict=True):
            crossed ^= (b > y) != (d > y) and x < a + (y - b) * (c - a) / (d - b)
    return crossed


def test_the_shapes_are_paths_that_a_browser_draws_to_their_end() -> None:
    drawn = world.shapes()
    assert "Natural Earth" in drawn.source
    for path in (drawn.land, drawn.borders):
        assert set(path) <= set("Mlz -0123456789")
        assert not re.search(r"[Ml](?![-\d])", path)
