"""The page that says why two photos match: complete, self-contained, readable without seeing."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch import Explanation, PatchPair, Photo
from birdsearch.errors import PhotoMissingError
from birdsearch.export.html import explanations, heatmap, pages
from birdsearch.records import Match, Vectors


@pytest.fixture
def bird(tmp_path: Path) -> Path:
    path = tmp_path / "Wren" / "<1>.jpg"
    path.parent.mkdir()
    Image.new("RGB", (640, 480), (200, 120, 40)).save(path)
    return path


def share(*bright: tuple[int, int]) -> Vectors:
    cells = np.full((7, 7), 0.001, np.float32)
    for cell in bright:
        cells[cell] = 0.3
    return cells


def explanation(*pairs: PatchPair, exact: bool = True, note: str = "") -> Explanation:
    return Explanation(0.7, share((1, 1), (5, 5)), share((3, 3)), pairs, exact, note)


def circles(page: str) -> int:
    return page.count('class="ring"')


def test_the_page_says_the_score_and_marks_both_photos(bird: Path) -> None:
    pair = PatchPair((0.21, 0.21), (0.5, 0.5), 0.9)
    match = Photo(3, str(bird), species="Wren")
    page = explanations.explain_page(explanations.drawn(str(bird), match, explanation(pair)))
    assert "0.700" in page
    assert circles(page) == 2
    assert "Half of it comes from 2 of 49 places of the first photo and 1 of 49 of the second." in page
    assert "Wren/&lt;1&gt;.jpg" in page
    assert "<1>" not in page
    assert not re.search(r"<script|<link|url\(|https?://|@import", page)
    assert len(re.findall(r'role="img" aria-label="[^"]+"', page)) == 4
    assert 'class="guess"' not in page


def test_a_guess_is_called_one(bird: Path) -> None:
    page = explanations.explain_page(
        explanations.drawn(str(bird), str(bird), explanation(exact=False, note="A guess: because <of> it."))
    )
    assert "A guess: because &lt;of&gt; it." in page
    assert "Half of it comes" not in page
    assert "No two places" in page


def test_places_that_bring_little_and_rings_that_overlap_are_left_out(bird: Path) -> None:
    sky = PatchPair((0.9, 0.1), (0.1, 0.9), 0.99)
    there, beside = PatchPair((0.21, 0.21), (0.5, 0.5), 0.9), PatchPair((0.25, 0.21), (0.53, 0.5), 0.8)
    assert circles(explanations.explain_page(explanations.drawn(bird, bird, explanation(sky, there, beside)))) == 2
    # What a guess has for shares does not decide, and of photos that have nothing better all are drawn.
    guess = explanation(sky, there, exact=False)
    assert circles(explanations.explain_page(explanations.drawn(bird, bird, guess))) == 4
    assert circles(explanations.explain_page(explanations.drawn(bird, bird, explanation(sky)))) == 2


def test_marks_stay_inside_the_photo(bird: Path) -> None:
    corners = [PatchPair((x, y), (x, y), 0.5) for x in (0.1, 0.9) for y in (0.1, 0.9)]
    drawn = explanations.drawn(bird, bird, explanation(*corners))
    for mark in drawn.query.marks:
        assert mark.tag_radius <= mark.tag_x <= drawn.query.width - mark.tag_radius
        assert mark.tag_radius <= mark.tag_y <= drawn.query.height - mark.tag_radius
    assert [mark.number for mark in drawn.query.marks] == [1, 2, 3, 4]


def test_a_picture_without_a_file_and_one_that_is_gone(bird: Path) -> None:
    page = explanations.explain_page(explanations.drawn(bird.read_bytes(), bird, explanation()))
    assert "This photo" in page
    with pytest.raises(PhotoMissingError):
        explanations.drawn(bird, bird.with_name("gone.jpg"), explanation())


def test_the_search_page_draws_why_below_the_matches(bird: Path) -> None:
    match = Match(Photo(3, str(bird)), 0.7)
    drawn = explanations.drawn(str(bird), match.photo, explanation())
    page = pages.search_page([(str(bird), [match]), (str(bird), [match])], "Found", why=[[], [drawn]])
    assert page.count("Why it matches") == 1
    assert page.index("Why it matches") > page.index('id="q2"')
    assert "Why it matches" not in pages.search_page([(str(bird), [match])], "Found")


def test_no_share_is_the_darkest_and_less_than_none_no_darker() -> None:
    photo = np.full((80, 80, 3), 90, np.uint8)
    cells = np.zeros((4, 4), np.float32)
    cells[0, 0] = 0.5
    none = heatmap.share_heatmap(photo, cells).astype(int).sum(axis=2)
    assert none[:15, :15].min() > none[50:, 50:].max()
    cells[3, 3] = -0.5
    assert heatmap.share_heatmap(photo, cells).astype(int).sum(axis=2)[75, 75] == none[75, 75]
    # Where all places bring as much, all are bright: nothing is stretched.
    assert heatmap.share_heatmap(photo, np.full((4, 4), 0.05, np.float32)).mean() > none.mean() / 3
