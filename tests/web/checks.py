"""What every page must bear: tools for those who do not see it, a narrow screen, and no mouse."""

from typing import Any

# What axe checks: WCAG 2.2 A and AA, and what its makers call best practice.
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def check_page(page: Any) -> None:
    """No violation that axe finds, and no sideways scroll at 320 px, which axe does not see."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": _TAGS}})
    assert not found.response["violations"], found.generate_report()
    size = page.viewport_size
    page.set_viewport_size({"width": 320, "height": 700})
    page.wait_for_timeout(50)
    scrolled = "[document.documentElement, ...document.querySelectorAll('dialog[open]')]"
    assert not page.evaluate(f"{scrolled}.some(one => one.scrollWidth > one.clientWidth)"), _widest(page)
    page.set_viewport_size(size)


def painted(page: Any) -> None:
    """Wait until a page is painted and its modules have run: before that the keys that are pressed are dropped."""
    page.wait_for_function(
        "() => document.readyState === 'complete' && performance.getEntriesByType('paint').length > 0"
    )


def sent(page: Any) -> None:
    """Wait until the server has every decision."""
    waiting = "Object.keys(localStorage).filter(key => key.startsWith('birdsearch-decisions'))"
    page.wait_for_function(f"() => {waiting}.every(key => localStorage[key] === '[]')")


def _widest(page: Any) -> Any:
    """The elements that jut out to the right."""
    wide = "[...document.querySelectorAll('*')].filter(one => one.getBoundingClientRect().right > 321)"
    return page.evaluate(f"{wide}.map(one => one.outerHTML.slice(0, 120))")


VARIANTS = (
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    {"viewport": {"width": 390, "height": 800}, "color_scheme": "light"},
    {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"},
)
