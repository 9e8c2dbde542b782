"""The page of photos in a browser, by the keyboard alone."""

from typing import Any

import pytest

pytestmark = pytest.mark.browser


def test_photos_are_walked_and_selected_by_keys(page: Any) -> None:
    from playwright.sync_api import expect

    cells = page.locator(".grid > li")
    expect(cells).to_have_count(6)
    page.locator(".grid a[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".grid > li.selected")).to_have_count(2)
    expect(page.get_by_role("status").first).to_have_text("2 of 6 photos selected")
    assert page.evaluate("document.activeElement.closest('li').ariaPosInSet") == "3"
    page.keyboard.press("Escape")
    expect(page.locator(".grid > li.selected")).to_have_count(0)
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('li').ariaPosInSet") == "6"
    expect(page.locator(".grid img").first).to_have_attribute("alt", "Wren, 2024-05-03")


def test_the_legend_shows_the_keys_of_the_place_and_changes_them(page: Any) -> None:
    from playwright.sync_api import expect

    page.locator(".grid a[tabindex='0']").focus()
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
