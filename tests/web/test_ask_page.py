"""The page that asks about a picture, in a browser; and the routes that only it needs."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import birdsearch
from birdsearch import Index
from tests.conftest import Garden, write_garden_photos
from tests.support.colours import Colours
from tests.web.checks import VARIANTS, check_page, painted
from tests.web.conftest import OpenPage, Serve, Served

browser = pytest.mark.browser


def _choose(page: Any, picture: Path) -> None:
    """Choose a file as the keyboard does."""
    asked: list[Any] = []
    page.on("filechooser", lambda chooser: asked.append(chooser))  # playwright takes no built-in method
    page.get_by_label("Choose a picture").focus()
    while not asked:  # a busy Chromium drops keys until it has painted the page
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
    asked[0].set_files(picture)


@pytest.fixture
def seeing(network_garden: Garden, tmp_path: Path) -> Iterator[Index]:
    """A copy of the garden's index that has the built-in network itself, which can say why photos match."""
    shutil.copytree(network_garden.index, tmp_path / "seeing")
    with birdsearch.open(tmp_path / "seeing") as index:
        yield index


@browser
def test_the_mystery_photo_by_keys_alone(
    seeing: Index, network_garden: Garden, serve: Serve, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    page = open_page(serve(seeing))
    painted(page)
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ask")
    _choose(page, network_garden.photos / "Wren" / "1.jpg")
    answers = page.locator("#answers")
    expect(answers.locator(".guesses b").first).to_have_text("Wren", timeout=60_000)
    expect(answers.locator(".card")).to_have_count(6)

    answers.get_by_role("button", name="Why Wren matches").first.press("Enter")
    expect(page.locator("#why")).to_contain_text("Where the score comes from", timeout=60_000)
    expect(page.locator("#why svg image")).to_have_count(4)
    page.keyboard.press("Escape")

    first = answers.locator(".score").first.inner_text()
    for name, share in {"Left": 20, "Top": 20, "Width": 60, "Height": 60}.items():
        page.get_by_label(name).fill(str(share))
    page.keyboard.press("Tab")
    expect(answers.locator(".score").first).not_to_have_text(first, timeout=60_000)
    expect(page.get_by_role("button", name="All of it")).to_have_attribute("aria-pressed", "false")

    page.get_by_label("Least score").focus()
    page.keyboard.press("End")
    expect(answers).to_contain_text("Nothing here is like it")
    page.keyboard.press("Home")
    answers.locator(".card a").first.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Wren")


@browser
def test_a_pasted_picture_asks_and_has_no_metadata(served: Served, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page(served, permissions=["clipboard-read", "clipboard-write"])
    page.goto(served.address + "/ask")
    expect(page.locator("#origin")).to_contain_text("it has no metadata")
    page.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(80, 60);
          canvas.getContext("2d").fillRect(0, 0, 40, 60);
          const blob = await canvas.convertToBlob({ type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }"""
    )
    page.keyboard.press("Control+v")
    expect(page.locator("#answers .card")).to_have_count(6)
    expect(page.locator("#origin")).to_contain_text("Pasted: it has no metadata")


@browser
def test_a_picture_is_labelled_and_added(served: Served, open_page: OpenPage, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    write_garden_photos(tmp_path / "new")
    page = open_page(served)
    page.goto(served.address + "/ask")
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "new" / "Robin" / "1.jpg")
    page.get_by_text("Label it and add it").press("Enter")
    page.get_by_role("textbox", name="Species").fill("Dunnock")
    page.keyboard.press("Enter")
    expect(page.locator("#undo")).to_contain_text("Added as photo 7: Dunnock")
    assert served.index is not None
    assert served.index.photo(7).label == "Dunnock"


@browser
def test_a_box_is_drawn_with_the_mouse(page: Any, served: Served) -> None:
    from playwright.sync_api import expect

    page.goto(served.address + "/ask?photo=6")
    expect(page.locator("#answers .card")).to_have_count(5)
    frame = page.locator("#crop").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] * 0.25, frame["y"] + frame["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.75, frame["y"] + frame["height"] * 0.75, steps=3)
    with page.expect_request("**/search") as asked:
        page.mouse.up()
    box = asked.value.post_data_json["box"]
    assert box == pytest.approx({"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5}, abs=0.02)
    assert float(page.get_by_label("Left").input_value()) == pytest.approx(25, abs=2)
    page.get_by_role("button", name="All of it").click()
    expect(page.get_by_label("Left")).to_have_value("")


@browser
def test_a_photo_of_the_index_asks(served: Served, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page(served)
    page.locator(".grid a[tabindex='0']").focus()
    page.keyboard.press("s")
    expect(page.locator("#answers .card")).to_have_count(5)
    expect(page.locator("#origin")).to_have_text("Photo 6 of the index.")
    assert page.url.endswith("/ask?photo=6")


@browser
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: f"{one['viewport']['width']}-{one['color_scheme']}")
def test_the_page_that_asks_is_for_everybody(
    served: Served, open_page: OpenPage, variant: dict[str, Any], garden: Garden
) -> None:
    from playwright.sync_api import expect

    page = open_page(served, **variant)
    page.goto(served.address + "/ask")
    check_page(page)
    page.get_by_label("Choose a picture").set_input_files(garden.photos / "Wren" / "1.jpg")
    expect(page.locator("#answers .card").first).to_be_visible()
    check_page(page)


def test_a_picture_is_taken_into_a_folder_of_the_index(client: TestClient, own: Index, garden: Garden) -> None:
    folder = own.info()["folders"][0]
    picture = (garden.photos / "Wren" / "1.jpg").read_bytes()
    sent = [("../../a:b.jpg", "a_b.jpg"), ("a:b.jpg", "a_b-2.jpg")]
    for name, written in sent:
        data = {"folder": folder, "species": "Dunnock"}
        started = client.post("/api/v1/photos", files={"image": (name, picture)}, data=data)
        assert started.status_code == 202
        photo = _result(client, started.json()["id"])
        assert (photo["label"], photo["path"]) == ("Dunnock", f"{folder}/{written}")
    for _, written in sent:
        Path(folder, written).unlink()


def _result(client: TestClient, job: int) -> Any:
    import time

    while client.get(f"/api/v1/jobs/{job}").json()["state"] in ("queued", "running"):
        time.sleep(0.05)
    return client.get(f"/api/v1/jobs/{job}/result").json()


def test_nothing_is_written_elsewhere_nor_what_is_no_picture(
    client: TestClient, own: Index, garden: Garden, tmp_path: Path
) -> None:
    folder = own.info()["folders"][0]
    picture = (garden.photos / "Wren" / "1.jpg").read_bytes()
    for data, where in ((b"text", folder), (b"\xff\xd8\xff", folder), (picture, str(tmp_path)), (picture, "..")):
        sent = client.post("/api/v1/photos", files={"image": ("a.jpg", data)}, data={"folder": where})
        assert sent.status_code == 422
    assert not list(tmp_path.glob("*.jpg"))
    assert not Path(folder, "a.jpg").exists()


def test_a_viewer_takes_in_nothing(viewer: TestClient) -> None:
    assert viewer.post("/api/v1/photos", files={"image": b"x"}, data={"folder": "/"}).status_code == 403


@browser
@pytest.mark.parametrize("variant", VARIANTS[:1])
def test_words_are_asked_and_their_scores_shown_as_such(
    variant: Any, tmp_path: Path, serve: Serve, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    photos = tmp_path / "photos" / "Wren"
    photos.mkdir(parents=True)
    for name, shade in {"one": (220, 20, 30), "two": (20, 200, 40), "three": (30, 20, 220)}.items():
        Image.new("RGB", (400, 300), shade).save(photos / f"{name}.png")
    with birdsearch.create(tmp_path / "colours", backbone=Colours()) as index:
        index.add(photos.parent, labels="folder")
        served = serve(index)
        page = open_page(served)
        page.goto(f"{served.address}/ask")
        page.get_by_label("In words").fill("red bird - blue")
        page.get_by_label("In words").press("Enter")
        answers = page.locator("#answers")
        expect(answers.get_by_role("heading", level=2)).to_have_text("Your photos that fit the words")
        expect(answers.locator(".card")).to_have_count(3)
        expect(answers.locator(".score").first).to_contain_text("Text score")
        best = index.search_text("red bird - blue", 1)[0].photo.id
        expect(answers.locator(".card a.shot").first).to_have_attribute("href", f"/photos/{best}")
        expect(answers.get_by_role("button", name="Why")).to_have_count(0)
        check_page(page)
        _choose(page, photos / "three.png")
        page.get_by_label("In words").fill("green")
        page.get_by_label("In words").press("Enter")
        expect(page.locator("#told")).to_contain_text("fit best", timeout=30_000)
