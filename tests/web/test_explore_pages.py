"""Species, the map, jobs, failures, help and the door in a browser: by the keyboard alone, for everybody's eyes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import birdsearch
from birdsearch import Index
from birdsearch.indexing import committer, embedder
from birdsearch.web import made
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.web.checks import VARIANTS, check_page
from tests.web.conftest import OpenPage, Serve, Served
from tests.web.test_species import hostile

pytestmark = pytest.mark.browser

__all__ = ["hostile"]

PAGES = (
    "/species", "/species/Wren", "/species/Wren/Robin", "/clusters", "/clusters/0", "/map", "/jobs", "/failures",
    "/help", "/help/api", "/help/errors",
)  # fmt: skip


def loaded(page: Any, path: str, served: Served) -> None:
    """Open a page and wait until it shows what it has to show."""
    page.goto(served.address + path)
    if path.startswith("/map"):
        page.wait_for_function("() => document.body.dataset.loaded === 'yes'")
    page.wait_for_load_state("networkidle" if not path.startswith(("/jobs", "/map")) else "load")


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: f"{one['color_scheme']}-{one['viewport']['width']}")
def test_every_page_bears_all_eyes_and_a_narrow_screen(served: Served, open_page: OpenPage, variant: Any) -> None:
    page = open_page(served, **variant)
    for path in PAGES:
        loaded(page, path, served)
        check_page(page)
    page.context.clear_cookies()
    page.on("console", lambda said: None)
    answer = page.request.get(served.address + "/")
    assert answer.status == 401


@pytest.mark.slow
def test_hostile_names_stay_text(hostile: Index, serve: Serve, open_page: OpenPage) -> None:
    served = serve(hostile)
    page = open_page(served, viewport={"width": 1280, "height": 800})
    page.on("dialog", lambda dialog: pytest.fail("a name ran as a script"))
    for path in ("/species", "/clusters", "/map", "/jobs", "/failures"):
        loaded(page, path, served)
        assert page.locator("img[onerror]").count() == 0
        check_page(page)
    loaded(page, "/species", served)
    page.get_by_role("link", name="Robin\\xff", exact=True).click()
    assert page.get_by_role("heading", level=1).inner_text() == "Robin\\xff"


def test_the_map_is_walked_and_chosen_from_by_keys(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    loaded(page, "/map", served)
    count = page.locator("#count")
    expect(count).to_have_text("6 photos on the map")
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#peek")).to_be_visible()
    said = page.locator("#said").inner_text()
    assert said.startswith(("Wren", "Robin"))
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("c")
    expect(count).to_have_text("3 photos chosen")
    expect(page.locator("#grid > li")).to_have_count(3)
    page.keyboard.press("Escape")
    page.locator("#map").press("0")  # steps to the edge have moved the map
    expect(count).to_have_text("6 photos on the map")
    page.keyboard.press("ArrowRight")
    for _ in range(12):
        page.keyboard.press("+")
    expect(count).not_to_have_text("6 photos on the map")
    page.keyboard.press("v")
    expect(count).to_contain_text("chosen")
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    expect(count).to_have_text("6 photos on the map")
    page.locator("#map").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url("**/photos/*")
    page.go_back()
    page.wait_for_function("() => document.body.dataset.loaded === 'yes'")


def test_a_lasso_lists_what_is_in_it_and_survives_back(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    loaded(page, "/map", served)
    box = page.locator("#map").bounding_box()
    page.get_by_role("button", name="Lasso").click()
    right, bottom = box["width"] - 12, box["height"] - 12
    corners = [(12, 12), (right, 12), (right, bottom), (12, bottom)]
    page.mouse.move(box["x"] + corners[0][0], box["y"] + corners[0][1])
    page.mouse.down()
    for x, y in [*corners[1:], corners[0]]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    expect(page.locator("#count")).to_have_text("6 photos chosen")
    page.locator("#grid a[tabindex='0']").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/photos/*")
    page.go_back()
    expect(page.locator("#count")).to_have_text("6 photos chosen")


def test_the_map_has_what_was_said_just_before_a_reload(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    held: list[Any] = []
    page.route("**/api/v1/labels", lambda route: held.append(route))  # the server gets it late
    loaded(page, "/map", served)
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("l")
    page.keyboard.type("Dunnock")
    page.keyboard.press("Enter")
    expect(page.locator("#undo")).to_contain_text("Labelled 1 photo: Dunnock")
    while not held:
        page.wait_for_timeout(20)
    page.reload()
    while len(held) == 1:  # what the page before had sent is gone with it
        page.wait_for_timeout(20)
    held[-1].continue_()
    expect(page.get_by_role("button", name="Dunnock")).to_be_visible()


def test_the_map_comes_back_when_the_graphics_card_was_lost(page: Any, served: Served) -> None:
    loaded(page, "/map", served)
    context = "document.getElementById('map').getContext('webgl2')"
    page.evaluate(f"() => (window.card = {context}.getExtension('WEBGL_lose_context')).loseContext()")
    page.wait_for_function(f"() => {context}.isContextLost()")
    page.evaluate("() => window.card.restoreContext()")
    page.wait_for_function(f"() => !{context}.isContextLost()")
    shown = "gl.isProgram(gl.getParameter(gl.CURRENT_PROGRAM)) && gl.getError() === 0"
    assert page.evaluate(f"() => {{ const gl = {context}; return {shown}; }}")
    page.locator("#map").press("+")


@pytest.mark.parametrize(
    ("title", "path", "focus"),
    [
        ("Everywhere", "/species", "#main"),
        ("Grid of photos", "/photos", ".grid a[tabindex='0']"),
        ("Photo", "/photos/1", "#photo figure"),
        ("Map", "/map", "#map"),
    ],
)
def test_help_tells_the_keys_that_there_are(page: Any, served: Served, title: str, path: str, focus: str) -> None:
    page.goto(served.address + "/help")
    told = page.locator(".keys-of", has=page.get_by_role("heading", name=title, exact=True)).locator("kbd")
    keys = set(told.all_text_contents()) - {"Enter"}  # which follows links anyway
    loaded(page, path, served)
    page.locator(focus).focus()
    page.keyboard.press("?")
    assert keys <= set(page.locator("#keys kbd").all_text_contents())


def test_a_page_waits_for_its_report_and_has_it_made_anew(
    page: Any, served: Served, own: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playwright.sync_api import expect

    monkeypatch.setattr(made.Question, "takes_long", lambda self, index: True)
    page.goto(served.address + "/species")
    expect(page.get_by_role("link", name="Wren", exact=True).first).to_be_visible()
    own.label({1: "Dunnock"})
    page.goto(served.address + "/species")
    page.get_by_role("link", name="Make it anew").click()
    expect(page.get_by_role("link", name="Dunnock", exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="Make it anew")).to_have_count(0)
    assert "fresh" not in page.url


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    """An empty index whose network takes its time, with commits of two photos."""
    monkeypatch.setattr(embedder, "NETWORK_BATCH", 1)
    monkeypatch.setattr(committer, "COMMIT_PHOTOS", 2)
    with birdsearch.create(tmp_path / "slow", backbone=FakeBackbone(delay=0.25)) as index:
        yield index


def test_a_folder_is_added_and_cancelled_by_keys(
    slow: Index, tmp_path: Path, serve: Serve, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    for seed in range(24):
        write(tmp_path / "photos" / "Wren" / f"{seed}.png", bird(seed, 80, 60))
    page = open_page(serve(slow), viewport={"width": 1280, "height": 800})
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/jobs")
    page.get_by_label("Folder of photos").focus()
    page.keyboard.type(str(tmp_path / "photos"))
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # each folder is named after its species
    page.get_by_role("button", name="Add it").focus()
    page.keyboard.press("Enter")
    job = page.locator(".job").first
    expect(job.locator(".state")).to_have_text("runs")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.wait_for_function("() => Number(document.querySelector('.job progress')?.value) >= 4", timeout=60_000)
    page.keyboard.press("Enter")
    expect(job.locator(".state")).to_have_text("cancelled", timeout=30_000)
    committed = len(slow)
    assert 2 <= committed < 24
    assert slow.verify().ok
    page.get_by_label("Folder of photos").focus()
    page.keyboard.press("Enter")
    job = page.locator(".job").first
    expect(job.locator(".state")).to_have_text("done", timeout=60_000)
    expect(job).to_contain_text(f"{24 - committed} added, {committed} as they were")
    assert {photo.species for photo in slow.photos()} == {"Wren"}
    assert len(slow) == 24


def test_a_folder_that_is_not_there_is_told(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    page.goto(served.address + "/jobs")
    page.get_by_label("Folder of photos").fill("/nowhere/at/all")
    page.keyboard.press("Enter")
    expect(page.locator(".job .problem")).to_contain_text("/nowhere/at/all")
    page.reload()
    expect(page.locator(".job .state")).to_have_text("failed")
    expect(page.locator(".job")).to_have_count(1)  # once, though the template had it too


def test_the_first_page_makes_the_index(fake_built_in: None, tmp_path: Path, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    write(tmp_path / "photos" / "Wren" / "1.png", bird(1, 80, 60))
    page = open_page(serve(None, place=tmp_path / "made"), viewport={"width": 1280, "height": 800})
    check_page(page)
    page.get_by_label("Folder of photos").fill(str(tmp_path / "photos"))
    page.keyboard.press("Enter")
    page.get_by_role("link", name="See the photos").click()
    expect(page.locator(".grid > li")).to_have_count(1)


def test_who_has_no_key_is_told_how_to_get_one(served: Served, chromium: Any) -> None:
    page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(served.address)
    assert page.get_by_role("heading", level=1).inner_text() == "A key is needed"
    check_page(page)
    page.get_by_label("Key", exact=True).fill(served.keys.view)
    page.keyboard.press("Enter")
    page.wait_for_selector(".grid > li")
    page.goto(served.address + "/jobs")
    assert page.get_by_role("button", name="Add it").count() == 0
    page.context.close()
