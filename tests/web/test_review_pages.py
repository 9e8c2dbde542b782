"""Going through duplicates, doubtful labels and names in a browser, by the keyboard alone."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

import birdsearch
from birdsearch import Index
from birdsearch.records import Filter
from tests.support.drawing import bird, exif, write
from tests.support.fake_backbone import FakeBackbone
from tests.web.checks import VARIANTS, check_page, sent
from tests.web.conftest import OpenPage, Serve, Served

pytestmark = pytest.mark.browser

BURSTS = 20
EXPOSURES = 3
HOSTILE = (b'"><img src=x onerror=alert(1)>.png', b"\xff\xfe owl.png")


def taken(hour: int, second: int) -> Image.Exif:
    return exif({0x0110: "Model X"}, {0x9003: f"2024:06:{1 + hour // 12:02d} {6 + hour % 12:02d}:00:{second:02d}"})


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder, the trash too, and what it holds."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture
def bursts(tmp_path: Path) -> Iterator[Index]:
    """Twenty moments, each taken three times; the later ones are shifted a little."""
    for n in range(BURSTS):
        for shot in range(EXPOSURES):
            picture = ImageChops.offset(bird(n, 240, 180), 5 * shot, 3 * shot)
            write(tmp_path / "photos" / f"{n:02d} {shot}.jpg", picture, exif=taken(n, shot))
    with birdsearch.create(tmp_path / "bursts", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        yield index


@dataclass(frozen=True)
class Mislabelled:
    """An index of two species in which ten photos lie in the wrong folder."""

    index: Index
    wrong: dict[int, str]  # id -> its right species

    def labels(self) -> dict[int, tuple[str, str]]:
        return {one.photo_id: (one.species, one.source) for one in self.index.labels()}


@pytest.fixture
def mislabelled(tmp_path: Path) -> Iterator[Mislabelled]:
    looks = {"Wren": (40, 150, 60), "Robin": (200, 60, 40)}
    wrong = []
    for species, colour in looks.items():
        other = next(name for name in looks if name != species)
        for n in range(30):
            picture = bird(n + 100 * len(species), 160, 120)
            folder = other if n < 5 else species
            tinted = Image.blend(picture, Image.new("RGB", picture.size, colour), 0.75)
            path = write(tmp_path / "photos" / folder / f"{species.lower()} {n}.jpg", tinted)
            wrong += [(path, species)] if folder == other else []
    with birdsearch.create(tmp_path / "mislabelled", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos", labels="folder")
        yield Mislabelled(index, {index.find(path).id or 0: species for path, species in wrong})


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Index]:
    """Copies and labels whose names are meant to harm, or cannot be decoded."""
    for n, name in enumerate(HOSTILE):
        for folder in (b"a", b'"><script>alert(2)</script>'.replace(b"/", b"")):
            path = os.path.join(os.fsencode(tmp_path), b"photos", folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            bird(n).save(os.fsdecode(path))
    with birdsearch.create(tmp_path / "hostile", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos", labels="folder")
        yield index


def ready(page: Any, path: str) -> None:
    """Open a page of the server and wait until its script has done its part."""
    from urllib.parse import urljoin

    page.goto(urljoin(page.url, path))
    page.wait_for_selector("body[data-loaded]", state="attached")


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the focus is on what has this name, as somebody without a mouse does."""
    for _ in range(80):
        page.keyboard.press("Tab")
        said = page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText || '').trim()")
        if said.startswith(name):
            return
    raise AssertionError(f"no way to {name!r} by Tab")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


# Duplicates


def test_twenty_bursts_are_culled_by_keys_and_brought_back(bursts: Index, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    photos = Path(bursts.photo(1).path).parent
    before = files(photos)
    page = open_page(serve(bursts), viewport={"width": 1280, "height": 800})
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_selector("body[data-loaded]", state="attached")
    tab_to(page, "Find duplicates")  # the summary, then the button of its form
    tab_to(page, "Find duplicates")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"Group 1 of {BURSTS}")).to_be_visible(timeout=60_000)

    press(page, "x", "u")  # decided and taken back: it is to be looked at again
    expect(page.locator(".strip .remove")).to_have_count(0)
    for number in range(1, BURSTS + 1):
        expect(page.get_by_role("heading", name=f"Group {number} of {BURSTS}")).to_be_visible()
        press(page, *["x"] * (EXPOSURES - 1))  # each time the next one is looked at, then the next group
    sent(page)
    assert len(bursts.decisions()) == BURSTS
    assert all((len(one.keep), len(one.remove)) == (1, EXPOSURES - 1) for one in bursts.decisions())

    tab_to(page, "Plan")
    page.keyboard.press("Enter")
    expect(page.locator(".sum")).to_contain_text(f"{BURSTS * (EXPOSURES - 1)} photos would go")
    assert files(photos) == before
    tab_to(page, "Apply")
    page.keyboard.press("Enter")
    expect(page.locator("#undo")).to_contain_text(f"Moved {BURSTS * (EXPOSURES - 1)} photos", timeout=60_000)
    assert len(list(photos.glob("*.jpg"))) == BURSTS
    page.keyboard.press("u")
    expect(page.locator("#undo")).to_contain_text("Taken back", timeout=60_000)
    assert files(photos) == before
    assert len(bursts) == BURSTS * EXPOSURES
    assert bursts.verify().ok


def test_each_key_of_a_group_does_what_its_legend_says(bursts: Index, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    report = bursts.duplicates()
    page = open_page(serve(bursts), viewport={"width": 1280, "height": 800})
    ready(page, "/duplicates")
    looked, title = page.locator(".strip [aria-current]"), page.locator("#group-title")
    first = report.groups[0]
    expect(looked).to_contain_text("2")
    press(page, "3")
    expect(looked).to_contain_text("3")
    press(page, "ArrowLeft", "ArrowLeft")
    expect(looked).to_contain_text("1")
    press(page, "2", "p")
    expect(page.locator(".strip .keep .number")).to_have_text(["2"])
    press(page, "2", "8")
    expect(page.locator(".strip .keep")).to_have_count(0)
    press(page, "2", "n")
    expect(page.locator(".strip .badge").nth(1)).to_have_text("not the same")
    sent(page)
    assert len(bursts.pairs_kept_apart()) == 1
    press(page, "u")
    expect(page.locator(".strip .badge").nth(1)).to_have_text("undecided")
    press(page, "Enter")
    expect(title).to_contain_text("Group 2 of")
    press(page, "Backspace")
    expect(title).to_contain_text("Group 1 of")
    press(page, "a")
    expect(title).to_contain_text("Group 2 of")
    sent(page)
    assert bursts.pairs_kept_apart() == []
    (decision,) = bursts.decisions()
    assert (decision.keep, set(decision.remove)) == ((first.keep,), set(first.others))
    press(page, "Backspace")
    for key, words in (("b", "Shows 1"), ("b", "Shows 2"), ("l", "Left 1"), ("d", "Difference of 1"), ("s", "1,")):
        press(page, "2", key)
        expect(page.locator("figcaption").first).to_contain_text(words)
    press(page, "z")
    expect(page.locator(".stage")).to_have_class("stage zoomed")
    press(page, "Enter")  # zoom stays from group to group
    expect(title).to_contain_text("Group 2 of")
    expect(page.locator(".stage")).to_have_class("stage zoomed")


def test_what_was_decided_survives_a_reload_and_a_lost_line(bursts: Index, serve: Serve, chromium: Any) -> None:
    from playwright.sync_api import expect

    bursts.duplicates()
    page = chromium.new_page()  # whose console may say that the line is lost
    page.goto(serve(bursts).link())
    ready(page, "/duplicates")
    press(page, "x")
    page.reload()
    expect(page.locator(".strip .remove")).to_have_count(1)
    expect(page.locator(".strip .keep")).to_have_count(1)
    assert "group=" in page.url
    press(page, "u")  # also after the reload
    expect(page.locator(".strip .remove")).to_have_count(0)
    sent(page)
    assert bursts.decisions() == ()
    press(page, "x")
    sent(page)
    page.context.set_offline(True)
    press(page, "x")
    expect(page.locator("#undo")).to_contain_text("1 decision waits")
    page.context.set_offline(False)
    sent(page)
    assert sum(len(one.remove) for one in bursts.decisions()) == 2
    page.close()


def copied(index: Index) -> None:
    """Add two files that are the same."""
    for name in ("copy.jpg", "copy of it.jpg"):
        write(Path(index.photo(1).path).with_name(name), bird(99))
    index.add()
    index.duplicates()


LIGHT = """() => {
  const canvas = document.querySelector(".stage canvas");
  const { data } = canvas.getContext("2d").getImageData(canvas.width / 2 - 50, canvas.height / 2 - 50, 100, 100);
  return data.reduce((sum, one, n) => (n % 4 === 3 ? sum - 255 : sum + one), 2550000);
}"""  # of the middle of the picture; negative until it is drawn there


def test_a_difference_is_dark_where_photos_are_the_same(bursts: Index, serve: Serve, open_page: OpenPage) -> None:
    copied(bursts)
    page = open_page(serve(bursts), viewport={"width": 1280, "height": 800})
    ready(page, "/duplicates?relation=identical")
    press(page, "d")
    page.wait_for_function(f"() => ({LIGHT})() === 0", polling=500)
    page.get_by_role("button", name="burst").click()
    page.wait_for_function(f"() => ({LIGHT})() > 100000", polling=500)


def test_groups_filter_by_relation_and_by_what_is_open(bursts: Index, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    copied(bursts)
    page = open_page(serve(bursts), viewport={"width": 1280, "height": 800})
    ready(page, "/duplicates")
    page.get_by_role("button", name="identical").click()
    expect(page.locator("#group-title")).to_contain_text("Group 1 of 1 identical")
    press(page, "a")
    page.get_by_label("Undecided only").check()
    expect(page.locator(".empty")).to_contain_text("Every group is decided")
    page.get_by_role("button", name="burst").click()
    expect(page.locator("#group-title")).to_contain_text(f"Group 1 of {BURSTS} burst")


def test_who_wants_stays_at_a_group_and_is_told_where_nothing_would_be_kept(
    bursts: Index, serve: Serve, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    bursts.duplicates()
    page = open_page(serve(bursts), viewport={"width": 1280, "height": 800})
    ready(page, "/duplicates")
    page.get_by_label("Go on after each decision").uncheck()
    page.reload()  # it is remembered
    page.wait_for_selector("body[data-loaded]", state="attached")
    for key in "123":
        press(page, key, "x")
    expect(page.locator(".strip [aria-current]")).to_contain_text("3")
    expect(page.get_by_role("alert")).to_contain_text("Nothing of this group would be kept")
    ready(page, "/duplicates?part=plan")
    expect(page.locator(".sum")).to_contain_text("Nothing would go yet")
    expect(page.locator(".plan")).to_contain_text("choose a photo to keep")


# Labels


def test_ten_labels_are_corrected_by_keys_and_brought_back(
    mislabelled: Mislabelled, serve: Serve, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    index, wrong = mislabelled.index, mislabelled.wrong
    before = mislabelled.labels()
    page = open_page(serve(index), viewport={"width": 1280, "height": 800})
    press(page, "g", "u")
    page.wait_for_selector("body[data-loaded]", state="attached")
    tab_to(page, "Look for doubtful labels")
    page.keyboard.press("Enter")
    expect(page.locator("#suspect-title")).to_be_visible(timeout=60_000)
    suspects = [one.photo.id or 0 for one in index.audit().suspects]
    assert set(wrong) <= set(suspects)

    title = page.locator("#suspect-title")
    for number, photo_id in enumerate(suspects):
        expect(page.locator(".case .facts").first).to_contain_text(f"{number + 1} of {len(suspects)}")
        species = wrong.get(photo_id)
        if number == 1:  # by its name, which completes
            page.keyboard.press("l")
            page.keyboard.type(species or index.photo(photo_id).label or "")
            page.keyboard.press("Enter")
        else:
            page.keyboard.press("a" if species else "k")
        if number == 4:
            sent(page)
            page.reload()  # nothing is lost, and it goes on where it was
            page.wait_for_selector("#suspect-title")
            expect(page.locator("#lead")).to_contain_text(f"{len(suspects) - 5} to look at")
    sent(page)
    assert {photo_id: index.photo(photo_id).label for photo_id in wrong} == wrong
    expect(page.locator("#lead")).to_contain_text("all looked at")

    for photo_id in reversed(suspects):  # also what was done before the reload
        page.keyboard.press("u")
        expect(page.locator("#undo")).to_contain_text("Taken back")
        expect(page.locator("#undo")).to_contain_text(Path(index.photo(photo_id).path).name)
    assert mislabelled.labels() == before
    expect(title).to_be_focused()


def test_what_was_kept_is_remembered(mislabelled: Mislabelled, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    index = mislabelled.index
    page = open_page(serve(index), viewport={"width": 1280, "height": 800})
    ready(page, "/audit")
    page.get_by_role("button", name="Look for doubtful labels").click()
    page.wait_for_selector("#suspect-title", timeout=60_000)
    first = index.audit().suspects[0].photo.id
    press(page, "k")
    sent(page)
    (label,) = index.labels(Filter(ids=[first or 0]))
    assert label.source == "correction"
    assert first not in {one.photo.id for one in index.audit().suspects}
    press(page, "Backspace")
    expect(page.locator(".settled")).to_contain_text("is right")
    press(page, "n")
    expect(page.locator(".settled")).to_have_count(0)


def test_names_are_corrected_and_taken_back(served: Served, page: Any) -> None:
    from playwright.sync_api import expect

    assert served.index
    ready(page, "/names")
    row = page.locator("tr[data-label=Wren]")
    expect(row).to_contain_text("Wrens" if "Wrens" in row.inner_text() else "Wren")
    tab_to(page, "Wren means")
    page.keyboard.type("Winter Wren")
    page.keyboard.press("Enter")
    expect(row).to_contain_text("Troglodytes hiemalis")
    expect(row).to_contain_text("corrected")
    page.reload()
    expect(row).to_contain_text("Troglodytes hiemalis")
    row.get_by_role("button", name="take the correction back").click()
    expect(row).not_to_contain_text("corrected")
    press(page, "u")
    expect(row).to_contain_text("Troglodytes hiemalis")
    page.get_by_label("Name", exact=True).fill("rob")
    expect(page.locator("tbody tr")).to_have_count(1)


# What every page must bear


@pytest.mark.parametrize("variant", VARIANTS, ids=["light wide", "dark wide", "light narrow", "dark narrow"])
def test_everybody_can_use_the_pages(
    variant: dict[str, Any], bursts: Index, mislabelled: Mislabelled, serve: Serve, open_page: OpenPage
) -> None:
    group = bursts.duplicates().groups[0]
    bursts.decide((group.keep, *group.others), keep=[group.keep], remove=group.others[:1])
    bursts.not_duplicates(1, 4)
    page = open_page(serve(bursts), **variant)
    for path in ("", "?part=plan", "?part=runs", "?part=apart"):
        ready(page, f"/duplicates{path}")
        check_page(page)
    ready(page, "/duplicates")
    page.get_by_role("button", name="Split").click()
    page.get_by_role("button", name="Zoom").click()
    check_page(page)
    page = open_page(serve(mislabelled.index), **variant)
    ready(page, "/names")
    check_page(page)
    ready(page, "/audit")
    check_page(page)
    page.get_by_role("button", name="Look for doubtful labels").click()
    page.wait_for_selector(".proof img", timeout=60_000)
    check_page(page)
    page.get_by_role("button", name="Another").click()
    check_page(page)


def test_hostile_names_are_shown_as_text(hostile: Index, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    hostile.duplicates()
    hostile.not_duplicates(1, 2)
    page = open_page(serve(hostile), viewport={"width": 1280, "height": 800})
    ready(page, "/duplicates")
    expect(page.locator("#part")).to_contain_text('"><img src=x onerror=alert(1)>.png')
    page.get_by_role("button", name="All").click()
    press(page, "Enter")
    expect(page.locator("#part")).to_contain_text("\\xff\\xfe owl.png")
    press(page, "a")
    expect(page.locator("#undo")).to_be_visible()
    for part in ("plan", "runs", "apart"):
        ready(page, f"/duplicates?part={part}")
    ready(page, "/names")
    expect(page.locator("#names")).to_contain_text('"><script>alert(2)<script>')
    ready(page, "/audit")
    assert page.locator("img[src=x]").count() == 0


def test_a_viewer_sees_the_pages_and_decides_nothing(bursts: Index, serve: Serve, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    bursts.duplicates()
    page = open_page(serve(bursts), role="view", viewport={"width": 1280, "height": 800})
    ready(page, "/duplicates")
    expect(page.get_by_role("heading", name="Group 1 of")).to_be_visible()
    press(page, "x", "p", "a", "n")
    expect(page.locator(".deck")).to_have_count(0)
    assert bursts.decisions() == ()
    for path in ("/audit", "/names"):
        ready(page, path)
        expect(page.locator(".deck, .fix, #find")).to_have_count(0)
