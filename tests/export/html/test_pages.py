"""Pages: self-contained, escaped, complete."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch.export.html import duplicates, heatmap, pages
from birdsearch.records import DuplicateGroup, DuplicateReport, Match, Pair, Photo, Prediction


def photo_at(path: str | Path, number: int = 1, **known: object) -> Photo:
    return Photo(number, str(path), "ab" * 32, **known)  # type: ignore[arg-type]


@pytest.fixture
def bird(tmp_path: Path) -> Path:
    path = tmp_path / "bird.jpg"
    Image.new("RGB", (640, 480), (200, 120, 40)).save(path)
    return path


def test_search_page_shows_question_and_answers(bird: Path) -> None:
    guess = Prediction(None, 0.62, 1, "ImageNet", "bulbul")
    photo = photo_at(
        bird, taken_at="2024-05-01T08:31:22", camera="Canon R6", latitude=-1.5, longitude=36.8, predictions=(guess,)
    )
    page = pages.search_page([(str(bird), [Match(photo, 0.876)])], "Found in the garden")
    assert "<title>Found in the garden</title>" in page
    assert "0.876" in page
    assert "ImageNet: bulbul" in page
    assert "62.0 %" in page
    assert "2024-05-01 08:31" in page
    assert "Canon R6" in page
    assert "1.500° S" in page
    assert page.count("data:image/jpeg;base64,") == 2


def test_page_needs_nothing_but_itself(bird: Path) -> None:
    page = pages.photos_page([photo_at(bird)])
    assert not re.search(r"<script|<link|url\(|https?://|@import", page)
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', page))


def test_label_is_no_guess_and_guess_is_marked(bird: Path) -> None:
    labelled = photo_at(bird, label="Wren", species="Wren", species_source="label")
    predicted = photo_at(bird, species="Turdus merula", species_source="prediction")
    assert ">predicted<" not in pages.photos_page([labelled])
    assert ">predicted<" in pages.photos_page([predicted])
    assert "Species not known" in pages.photos_page([photo_at(bird)])


def test_texts_are_escaped(bird: Path, tmp_path: Path) -> None:
    nasty = tmp_path / '<script>alert("x")</script>\n[b].jpg'.replace("/", "_")
    nasty.write_bytes(bird.read_bytes())
    page = pages.search_page([(str(nasty), [Match(photo_at(nasty, species="<i>Wren</i>", camera="a&b"), 1.0)])], "<T>")
    assert "<script>" not in page
    assert "<i>Wren" not in page
    assert "a&amp;b" in page
    assert "&lt;T&gt;" in page
    assert "␊[b].jpg" in page


def test_undecodable_name_is_shown_and_linked(bird: Path, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/w\xe4ren.jpg")
    Path(path).write_bytes(bird.read_bytes())
    page = pages.photos_page([photo_at(path)])
    page.encode("utf-8")
    assert "w\\xe4ren.jpg" in page
    assert "w%E4ren.jpg" in page
    assert "data:image/jpeg" in page


def test_missing_and_broken_photos_get_a_placeholder(bird: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(bird.read_bytes()[:200])
    page = pages.photos_page([photo_at(tmp_path / "gone.jpg"), photo_at(broken), photo_at(bird)])
    assert page.count("no picture: file missing or unreadable") == 2
    assert page.count("data:image/jpeg") == 1


def test_nothing_similar_is_an_answer(bird: Path) -> None:
    assert "Nothing similar" in pages.search_page([(str(bird), [])], "x")


def test_several_questions_get_links_and_a_combined_one_no_picture(bird: Path) -> None:
    match = Match(photo_at(bird), 0.5)
    several = pages.search_page([(str(bird), [match]), (str(bird), [match])], "x")
    assert 'href="#q2"' in several
    assert 'id="q2"' in several
    combined = pages.search_page([(None, [match])], "x")
    assert "Photos like this one" not in combined
    assert "<nav" not in combined


def test_frames_follow_the_photos(bird: Path) -> None:
    assert "--shape: 1.500" in pages.photos_page([photo_at(bird, width=6000, height=4000)])
    assert "--shape: 0.800" in pages.photos_page([photo_at(bird, width=1000, height=4000)])
    assert "--shape: 1.333" in pages.photos_page([])


def test_score_outside_the_bar_stays_inside_it(bird: Path) -> None:
    page = pages.search_page([(None, [Match(photo_at(bird), -0.25), Match(photo_at(bird), 1.0000001)])], "x")
    assert "width:0.0%" in page
    assert "width:100.0%" in page
    assert "-0.250" in page


def test_heatmap_is_brightest_at_the_most_active_cell() -> None:
    photo = np.full((90, 120, 3), 90, np.uint8)
    cells = np.zeros((8, 6, 8), np.float32)
    cells[:, 1, 6] = 5.0
    picture = heatmap.activation_heatmap(photo, cells)
    assert picture.shape == photo.shape
    assert picture.dtype == np.uint8
    brightness = picture.astype(int).sum(axis=2)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert abs(row - 1.5 / 6 * 90) < 12
    assert abs(column - 6.5 / 8 * 120) < 12


def test_heatmap_of_a_flat_map_and_a_single_cell() -> None:
    photo = np.full((20, 30, 3), 200, np.uint8)
    assert heatmap.activation_heatmap(photo, np.ones((4, 3, 3), np.float32)).shape == (20, 30, 3)
    assert heatmap.activation_heatmap(photo, np.ones((4, 1, 1), np.float32)).shape == (20, 30, 3)
    with pytest.raises(ValueError, match="feature_map"):
        heatmap.activation_heatmap(photo, np.ones((4, 4), np.float32))


# Duplicates


def found(*groups: DuplicateGroup, pairs: tuple[Pair, ...] = ()) -> DuplicateReport:
    return DuplicateReport(pairs, groups)


def two(relation: str = "variant", **known: str) -> DuplicateGroup:
    given = {"reason": "resolution: 24 MP; the other has 2.0 MP", "reasons": ("lower resolution",), **known}
    return DuplicateGroup(relation, 1, (2,), relations=(relation,), **given)  # type: ignore[arg-type]


def test_duplicates_page_says_what_is_kept_and_what_shows_it(bird: Path) -> None:
    photos = {
        1: photo_at(bird, 1, width=6000, height=4000, size=9_000_000, format="JPEG", rating=4),
        2: photo_at(bird, 2, width=2000, height=1000, size=500_000, format="PNG"),
    }
    evidence = {"hash_distance": 3, "overlap": 0.81, "transform": "mirrored, 0.5x"}
    page = duplicates.duplicates_page(found(two(), pairs=(Pair(1, 2, "variant", 0.9531, evidence),)), photos)
    assert "resolution: 24 MP; the other has 2.0 MP" in page
    assert "1 photo (500 kB) can be removed" in page
    for words in ("score 0.953", "hashes 3 of 64 bits apart", "overlap 81 %", "mirrored, 0.5x", "★★★★", "id 2"):
        assert words in page
    assert re.search("<details><summary>Figures</summary>score 0.953, hashes 3 of 64 bits apart, overlap 81 %<", page)
    assert page.index(">keep<") < page.index(">can be removed<")
    assert '<span class="differs">2,000 x 1,000</span>' in page
    assert '<span class="differs">6,000' not in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r"<script|<link|url\(|https?://|@import", page)


def test_bursts_and_protected_photos_stay(bird: Path) -> None:
    photos = {1: photo_at(bird, 1), 2: photo_at(bird, 2, size=10**6)}
    burst = duplicates.duplicates_page(found(two("burst")), photos)
    assert "0 photos (0 kB) can be removed" in burst
    assert ">proposed<" in burst
    assert ">your choice<" in burst
    safe = duplicates.duplicates_page(found(replace(two(), protected=(2,))), photos)
    assert "0 photos" in safe
    assert ">protected<" in safe


def test_duplicates_page_escapes_every_text_and_survives_missing_files(bird: Path, tmp_path: Path) -> None:
    nasty = tmp_path / "<b>\n.jpg"
    nasty.write_bytes(bird.read_bytes())
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/w\xe4ren.jpg")
    photos = {1: photo_at(nasty, 1, camera="<i>x"), 2: photo_at(odd, 2)}
    pair = Pair(1, 2, "variant", None, {"transform": "<u>"})
    page = duplicates.duplicates_page(found(two(reason=f"path: <s> {odd}"), pairs=(pair,)), photos, "<T>")
    assert not re.search(r"<b>␊|<i>x|<u>|<s>|<T>", page)
    assert "w\\xe4ren.jpg" in page
    assert page.count("no picture: file missing or unreadable") == 1
    page.encode("utf-8")


def test_large_groups_and_reports_say_what_they_leave_out(bird: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsearch.export.html import duplicates

    photos = {n: photo_at(bird, n) for n in range(1, 401)}
    many = DuplicateGroup("identical", 1, tuple(range(2, 401)), "path")
    page = duplicates.duplicates_page(found(many), photos)
    assert page.count("data:image/jpeg") == 12
    assert "388 more without a picture" in page
    assert "and 188 more" in page
    pairs = [DuplicateGroup("identical", n, (n + 1,), "path") for n in range(1, 400, 2)]
    monkeypatch.setattr(duplicates, "MAX_GROUPS", 30)
    cut = duplicates.duplicates_page(found(*pairs), photos)
    assert cut.count("<section") == 30
    assert "first 30 groups of 200" in cut
    monkeypatch.setattr(duplicates, "MAX_BYTES", 50_000)
    assert len(duplicates.duplicates_page(found(*pairs), photos)) < 70_000
    assert "No duplicates" in duplicates.duplicates_page(found(), {})
