"""The pages of photos in a browser: by keys alone, under hostile names, for everybody; and without JavaScript."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import birdsearch
from birdsearch import Index
from tests.conftest import Garden
from tests.support import fake_backbone
from tests.web.checks import VARIANTS, check_page, painted, sent
from tests.web.conftest import OpenPage, Serve, Served

browser = pytest.mark.browser


def _focus_grid(page: Any) -> None:
    painted(page)
    page.locator(".grid a[tabindex='0']").focus()


def _expect_at(page: Any, place: int) -> None:
    """The photo at this place of the grid has the focus, or gets it."""
    from playwright.sync_api import expect

    expect(page.locator(".grid > li:focus-within")).to_have_attribute("aria-posinset", str(place))


@browser
def test_photos_are_walked_and_selected_by_keys(page: Any) -> None:
    from playwright.sync_api import expect

    expect(page.locator(".grid > li")).to_have_count(6)
    _focus_grid(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".grid > li.selected")).to_have_count(2)
    expect(page.locator("#count")).to_have_text("2 of 6 photos selected")
    _expect_at(page, 3)
    page.keyboard.press("Escape")
    expect(page.locator(".grid > li.selected")).to_have_count(0)
    page.keyboard.press("End")
    _expect_at(page, 6)
    expect(page.locator(".grid img").first).to_have_attribute("alt", "Wren, 2024-05-03")


@browser
def test_photos_are_selected_by_clicks(page: Any) -> None:
    from playwright.sync_api import expect

    cells = page.locator(".grid > li")
    cells.nth(1).get_by_role("checkbox").click()
    cells.nth(3).get_by_role("link").click(modifiers=["Shift"])
    expect(page.locator(".grid > li.selected")).to_have_count(3)
    expect(cells.nth(2).get_by_role("checkbox")).to_be_checked()
    cells.nth(2).get_by_role("link").click(modifiers=["Control"])
    expect(page.locator(".grid > li.selected")).to_have_count(2)


@browser
def test_place_and_selection_survive_back_and_reload(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    _focus_grid(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.goto(served.address + "/help/errors")
    page.go_back()
    expect(page.locator(".grid > li.selected")).to_have_count(1)
    expect(page.locator(".grid a[tabindex='0']")).to_have_attribute("href", "/photos/4")
    page.reload()
    expect(page.locator(".grid > li.selected")).to_have_count(1)
    page.get_by_label("Species", exact=True).fill("Wren")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text("3 photos")
    page.locator(".grid > li").nth(1).get_by_role("checkbox").click()
    page.goto(served.address + "/help/errors")
    page.go_back()
    expect(page.locator("#count")).to_have_text("1 of 3 photos selected")


@browser
def test_a_photo_lies_over_the_grid_and_back_returns_to_it(page: Any) -> None:
    from playwright.sync_api import expect

    _focus_grid(page)
    page.keyboard.press("Enter")
    viewer = page.locator("#viewer")
    expect(viewer.get_by_role("heading", level=1)).to_have_text("Wren")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(viewer.get_by_role("heading", level=1)).to_have_text("Robin")
    expect(viewer.locator(".place")).to_have_text("4 of 6 photos")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    _expect_at(page, 4)
    page.keyboard.press("Enter")
    expect(viewer.locator(".place")).to_have_text("4 of 6 photos")
    viewer.get_by_role("list").get_by_role("link").first.click()  # one of the most alike
    expect(viewer.locator(".place")).not_to_have_text("4 of 6 photos")
    page.go_back()
    expect(viewer.locator(".place")).to_have_text("4 of 6 photos")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/\?at=\d+$"))


@browser
def test_a_selection_is_labelled_by_keys_and_it_is_taken_back(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    assert served.index is not None
    before = served.index.labels()
    _focus_grid(page)
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("l")
    expect(page.get_by_role("heading", name="Label of 2 photos")).to_be_visible()
    page.keyboard.type("Dunnock")
    page.keyboard.press("Enter")
    expect(page.locator(".grid .name").first).to_have_text("Dunnock")
    expect(page.locator("#undo")).to_contain_text("Labelled 2 photos: Dunnock")
    page.reload()
    expect(page.locator(".grid .name").first).to_have_text("Dunnock")
    assert [one.species for one in served.index.labels()].count("Dunnock") == 2

    _focus_grid(page)
    page.keyboard.press("l")
    page.keyboard.type("Blackcap")
    page.keyboard.press("Enter")
    expect(page.locator(".grid .name").first).to_have_text("Blackcap")
    page.keyboard.press("Control+z")
    expect(page.locator("#undo")).to_contain_text("Taken back")
    expect(page.locator(".grid .name").first).to_have_text("Dunnock")
    expect(page.locator(".grid .shot:focus")).to_have_attribute("href", "/photos/6")
    assert [one.source for one in before] == ["folder"] * 6


@browser
def test_a_photo_is_labelled_on_its_own_page_and_it_is_taken_back(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    page.goto(served.address + "/photos/4?order=oldest")
    painted(page)
    page.keyboard.press("l")
    page.keyboard.type("Dunnock")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Dunnock")
    expect(page.locator(".label-line")).to_contain_text("by hand")
    page.keyboard.press("u")
    expect(page.get_by_role("heading", level=1)).to_have_text("Wren")
    expect(page.locator(".label-line")).to_have_text("Label: Wren, from its folder")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("/photos/5.order=oldest"))
    painted(page)
    page.keyboard.press("z")
    expect(page.locator(".large.whole")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".grid a[tabindex='0']")).to_have_attribute("href", "/photos/5")


@browser
def test_a_photo_over_the_grid_is_labelled_and_it_is_taken_back_from_the_next_one(page: Any) -> None:
    from playwright.sync_api import expect

    viewer, undo = page.locator("#viewer"), page.locator("#undo")
    first = page.locator(".grid > li[aria-posinset='1'] .name")
    _focus_grid(page)
    expect(first).to_have_text("Wren")
    page.keyboard.press("Enter")
    expect(viewer.get_by_role("heading", level=1)).to_have_text("Wren")
    page.keyboard.press("l")
    page.keyboard.type("Dunnock")
    page.keyboard.press("Enter")
    expect(viewer.get_by_role("heading", level=1)).to_have_text("Dunnock")
    expect(viewer.locator("#undo")).to_contain_text("Labelled 1 photo: Dunnock")
    page.keyboard.press("ArrowRight")
    expect(viewer.locator(".place")).to_have_text("2 of 6 photos")
    page.keyboard.press("u")
    expect(viewer.locator("#undo")).to_contain_text("Taken back")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(first).to_have_text("Wren")
    expect(undo).to_contain_text("Taken back")


@browser
def test_keys_are_of_the_photo_that_is_seen(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    held: list[Any] = []
    page.route("**/photos/*brief=1*", lambda route: held.append(route))  # the pages of photos do not come
    viewer = page.locator("#viewer")
    _focus_grid(page)
    page.keyboard.press("Enter")
    for key in ("z", "i", "l", "Shift+ArrowLeft"):  # there is nothing to do it with yet
        page.keyboard.press(key)
    expect(page.locator("dialog:modal")).to_have_count(1)
    while not held:
        page.wait_for_timeout(20)
    held.pop().continue_()
    expect(viewer.locator(".place")).to_have_text("1 of 6 photos")
    for photo_id in (5, 4):  # their pictures come at once, each its own
        page.keyboard.press("ArrowRight")
        expect(viewer.locator(".large img")).to_have_attribute("src", re.compile(f"/photos/{photo_id}/preview"))
    page.keyboard.press("l")
    page.keyboard.type("Dunnock")
    page.keyboard.press("Enter")
    expect(viewer.locator("#undo")).to_contain_text("Labelled 1 photo: Dunnock")
    sent(page)
    assert served.index is not None
    assert [served.index.photo(photo_id).label for photo_id in (6, 5, 4)] == ["Wren", "Wren", "Dunnock"]


@browser
def test_a_label_survives_a_server_that_is_away_and_a_reload(served: Served, chromium: Any) -> None:
    from playwright.sync_api import expect

    context = chromium.new_context()  # not `page`: what cannot be reached is told on the console
    page = context.new_page()
    page.goto(served.link())
    expect(page.locator(".grid .name").first).to_have_text("Wren")
    context.route("**/api/v1/labels", lambda route: route.abort())
    _focus_grid(page)
    page.keyboard.press("l")
    page.keyboard.type("Dunnock")
    page.keyboard.press("Enter")
    expect(page.locator(".grid .name").first).to_have_text("Dunnock")
    expect(page.locator("#undo")).to_contain_text("1 decision waits to be sent")
    page.reload()
    expect(page.locator("#undo")).to_contain_text("1 decision waits to be sent")
    context.unroute("**/api/v1/labels")
    expect(page.locator("#undo")).to_be_hidden(timeout=10_000)
    assert served.index is not None
    assert served.index.photo(6).label == "Dunnock"
    context.close()


@browser
def test_a_label_that_is_refused_is_not_shown_and_does_not_bar_the_way_back(served: Served, chromium: Any) -> None:
    from playwright.sync_api import expect

    def label(species: str) -> None:
        page.keyboard.press("l")
        page.keyboard.type(species)
        page.keyboard.press("Enter")

    context = chromium.new_context()  # not `page`: a refusal is told on the console
    page = context.new_page()
    page.goto(served.link())
    first = page.locator(".grid > li[aria-posinset='1'] .name")
    _focus_grid(page)
    label("Dunnock")
    sent(page)
    refusal = {"title": "Not a species", "status": 422, "detail": "Blackcap is not wanted."}
    context.route("**/api/v1/labels", lambda route: route.fulfill(status=422, json=refusal))
    label("Blackcap")
    expect(page.locator("#undo")).to_contain_text("Blackcap is not wanted.")
    expect(first).to_have_text("Dunnock")
    page.keyboard.press("u")  # there is nothing of it
    expect(page.locator("#undo")).to_contain_text("Blackcap is not wanted.")
    page.keyboard.press("u")
    expect(page.locator("#undo")).to_contain_text("Taken back: Labelled 1 photo: Dunnock")
    expect(first).to_have_text("Wren")
    context.close()


@browser
def test_what_was_said_of_photos_stays_where_their_facts_come_later(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    held: list[Any] = []
    page.route("**/api/v1/photos?ids=*", lambda route: held.append(route))
    page.route("**/api/v1/labels", lambda route: None)  # the server has not got it
    page.goto(served.address + "/photos")
    _focus_grid(page)
    page.keyboard.press("l")
    page.keyboard.type("Dunnock")
    page.keyboard.press("Enter")
    expect(page.locator("#undo")).to_contain_text("Labelled 1 photo: Dunnock")
    held.pop().continue_()
    expect(page.locator(".grid .name").first).to_have_text("Dunnock")
    expect(page.locator(".grid .name").nth(1)).to_have_text("Wren")


@browser
def test_the_grid_keeps_the_focus_in_a_window_of_another_size(page: Any) -> None:
    from playwright.sync_api import expect

    _focus_grid(page)
    page.keyboard.press("ArrowRight")
    for width, left in ((390, "0px"), (1280, "[1-9]")):  # the fourth photo begins a row of three, not of more
        page.set_viewport_size({"width": width, "height": 800})
        expect(page.locator(".grid > li").nth(3)).to_have_css("translate", re.compile(f"^{left}"))
        page.keyboard.press("ArrowRight")
    _expect_at(page, 4)


@browser
def test_more_photos_than_a_page_is_high_are_shown_by_month(page: Any, served: Served) -> None:
    from urllib.parse import parse_qs, urlsplit

    from playwright.sync_api import expect

    count = 600_000  # ids are positions; each month has 30,000 photos, the newest first
    ids = np.arange(count, dtype="<u4").tobytes()

    def facts(route: Any) -> None:
        asked = [int(one) for one in parse_qs(urlsplit(route.request.url).query)["ids"]]
        months = [divmod(2026 * 12 - 1 - one // 30_000, 12) for one in asked]
        photos = [
            {"id": one, "path": "x.jpg", "taken_at": f"{year}-{month + 1:02}-05T08:00:00"}
            for one, (year, month) in zip(asked, months, strict=True)
        ]
        route.fulfill(json={"photos": photos, "next": None, "total": len(photos)})

    page.route("**/photos/ids*", lambda route: route.fulfill(body=ids, content_type="application/octet-stream"))
    page.route("**/api/v1/photos?ids=*", facts)
    page.route("**/thumbnail?*", lambda route: route.fulfill(path=served.index.photo(1).path if served.index else None))
    page.goto(served.address + "/photos?at=45000")
    parts = page.get_by_label("Part")
    expect(parts.locator("option")).to_have_count(20)
    expect(parts.locator("option").nth(1)).to_have_text("2025-11 (30,000)")
    expect(parts).to_have_value("30000,60000")
    expect(page.locator(".grid a[tabindex='0']")).to_have_attribute("href", "/photos/45000")
    parts.select_option("2024-05 (30,000)")
    expect(page.locator(".grid .facts").first).to_have_text("2024-05-05 08:00")


@browser
def test_a_filter_is_an_address(page: Any) -> None:
    from playwright.sync_api import expect

    painted(page)
    page.keyboard.press("/")
    page.keyboard.type("Robin")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text("3 photos")
    assert "/photos?species=Robin" in page.url
    page.get_by_label("Order").select_option("oldest")
    expect(page.locator(".grid img").first).to_have_attribute("alt", "Robin, 2023-10-11")
    page.go_back()
    page.go_back()
    expect(page.locator("#count")).to_have_text("6 photos")
    expect(page.get_by_label("Species", exact=True)).to_have_value("")


@browser
def test_the_legend_shows_the_keys_of_the_place_and_changes_them(page: Any) -> None:
    from playwright.sync_api import expect

    _focus_grid(page)
    page.keyboard.press("?")
    legend = page.locator("#keys")
    expect(legend.get_by_role("heading", name="Grid")).to_be_visible()
    legend.get_by_role("button", name="Other key: select, or no longer").click()
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.locator(".grid > li.selected")).to_have_count(1)
    page.keyboard.press("?")
    legend.get_by_label("Single letters are keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.locator(".grid > li.selected")).to_have_count(1)


@browser
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: f"{one['viewport']['width']}-{one['color_scheme']}")
def test_the_pages_of_photos_are_for_everybody(served: Served, open_page: OpenPage, variant: dict[str, Any]) -> None:
    from playwright.sync_api import expect

    page = open_page(served, **variant)
    painted(page)
    expect(page.locator(".grid > li .name")).to_have_count(6)
    page.keyboard.press("Tab")
    check_page(page)
    page.locator(".grid a[tabindex='0']").press("Enter")
    expect(page.locator("#viewer h1")).to_be_visible()
    check_page(page)
    page.goto(served.address + "/photos/1")
    check_page(page)


HOSTILE = (
    '"><img src=x onerror=alert(1)>.jpg',
    os.fsdecode(b"na\xefve \xff.jpg"),
    "</script><script>alert(1)</script>.jpg".replace("/", "\u2215"),
)


@pytest.fixture
def hostile(garden: Garden, tmp_path: Path) -> Iterator[Index]:
    """An index of photos, and of a species, with names that would be markup."""
    folder = tmp_path / "photos" / '"><img src=x onerror=alert(2)>'
    folder.mkdir(parents=True)
    for name in HOSTILE:
        shutil.copy(garden.photos / "Wren" / "1.jpg", folder / name)
    with birdsearch.create(tmp_path / "hostile", backbone=fake_backbone.built_in()) as index:
        index.add(folder.parent, labels="folder")
        yield index


@browser
def test_hostile_names_are_shown_as_text(hostile: Index, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    served = serve(hostile)
    page = open_page(served)
    page.on("dialog", lambda dialog: pytest.fail(f"a name was run: {dialog.message}"))
    name = '"><img src=x onerror=alert(2)>'
    expect(page.locator(".grid .name").first).to_have_text(name)
    for photo_id in (1, 2, 3):
        page.goto(f"{served.address}/photos/{photo_id}")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
    paths = [page.goto(f"{served.address}/photos/{n}") and page.locator(".known-list").inner_text() for n in (1, 2, 3)]
    assert any("onerror=alert(1)>.jpg" in path for path in paths)
    assert any("na\\xefve \\xff.jpg" in path for path in paths)


@browser
def test_a_hundred_thousand_photos_are_few_cells(page: Any, served: Served) -> None:
    """The grid alone: the ids and facts of so many photos are given by the test instead of the server."""
    from playwright.sync_api import expect

    count = 100_000
    ids = np.arange(count, 0, -1, dtype="<u4").tobytes()
    known = served.index.photo(1) if served.index else None
    fact = {
        "path": "x.jpg",
        "species": "Wren",
        "species_source": "label",
        "taken_at": None,
        "sha256": known and known.sha256,
    }
    page.route("**/photos/ids*", lambda route: route.fulfill(body=ids, content_type="application/octet-stream"))

    def facts(route: Any) -> None:
        from urllib.parse import parse_qs, urlsplit

        asked = parse_qs(urlsplit(route.request.url).query)["ids"]
        assert len(asked) <= 200
        route.fulfill(json={"photos": [{"id": int(one), **fact} for one in asked], "next": None, "total": len(asked)})

    page.route("**/api/v1/photos?ids=*", facts)
    page.route("**/thumbnail?*", lambda route: route.fulfill(path=served.index.photo(1).path if served.index else None))
    page.goto(served.address + "/photos")
    cells = page.locator(".grid > li")
    expect(cells.first.locator(".name")).to_have_text("Wren")
    for size in ((1280, 800), (3840, 2160), (390, 800)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
        middle = "[...document.querySelectorAll('.grid > li')].some(one => Math.abs(one.ariaPosInSet - 50000) < 1000)"
        page.wait_for_function(f"() => {middle}")
        assert 10 < cells.count() <= 200
        assert 0 < page.locator(".grid img[fetchpriority=high]").count() < cells.count()  # those in sight come first
    _focus_grid(page)
    page.keyboard.press("End")
    _expect_at(page, count)
    assert cells.count() <= 200


def test_a_photo_is_shown_without_javascript(client: TestClient) -> None:
    page = client.get("/photos/1?order=oldest").text
    assert 'rel="next" href="/photos/2?order=oldest"' in page
    assert "Label: <b>Robin</b>, from its folder" in page
    assert page.count('<li class="card">') == 5  # the others: all are alike
    assert "51." not in page  # it was taken in the south
    assert client.get("/photos/99").status_code == 404
    assert "Looking" not in page


@browser
def test_photos_are_seen_without_javascript(served: Served, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page(served, java_script_enabled=False)
    page.goto(served.address + "/photos?limit=4")
    expect(page.locator(".cards .card")).to_have_count(4)
    page.get_by_role("link", name="More photos").click()
    expect(page.locator(".cards .card")).to_have_count(2)
    page.locator(".cards a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Robin")
    expect(page.locator(".guesses > li").first).to_be_visible()
    page.get_by_role("link", name="All photos").click()
    page.get_by_label("Species", exact=True).fill("Wren")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".cards .card")).to_have_count(3)


def test_a_viewer_learns_no_place_of_a_photo(viewer: TestClient) -> None:
    page = viewer.get("/photos/4").text
    assert "<dt>Place</dt>" not in page
    assert 'data-whole="' not in page
    assert 'name="near"' not in viewer.get("/photos").text


def test_a_form_with_empty_fields_is_no_filter(client: TestClient) -> None:
    page = client.get("/photos?species=&min_probability=&min_width=&where=&taken_after=").text
    assert page.count('<li class="card">') == 6
