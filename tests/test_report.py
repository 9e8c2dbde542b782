"""Pages: self-contained, escaped, complete."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch import report
from birdsearch.records import Match, Photo, Prediction


def photo_at(path: str | Path, number: int = 1, **known: object) -> Photo:
    return Photo(number, str(path), **known)  # type: ignore[arg-type]


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
    page = report.search_page([(str(bird), [Match(photo, 0.876)])], "Found in the garden")
    assert "<title>Found in the garden</title>" in page
    assert "0.876" in page
    assert "ImageNet: bulbul" in page
    assert "62.0 %" in page
    assert "2024-05-01 08:31" in page
    assert "Canon R6" in page
    assert "1.500° S" in page
    assert page.count("data:image/jpeg;base64,") == 2


def test_page_needs_nothing_but_itself(bird: Path) -> None:
    page = report.photos_page([photo_at(bird)])
    assert not re.search(r"<script|<link|url\(|https?://|@import", page)
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', page))


def test_label_is_no_guess_and_guess_is_marked(bird: Path) -> None:
    labelled = photo_at(bird, label="Wren", species="Wren", species_source="label")
    predicted = photo_at(bird, species="Turdus merula", species_source="prediction")
    assert ">predicted<" not in report.photos_page([labelled])
    assert ">predicted<" in report.photos_page([predicted])
    assert "Species not known" in report.photos_page([photo_at(bird)])


def test_texts_are_escaped(bird: Path, tmp_path: Path) -> None:
    nasty = tmp_path / '<script>alert("x")</script>\n[b].jpg'.replace("/", "_")
    nasty.write_bytes(bird.read_bytes())
    page = report.search_page([(str(nasty), [Match(photo_at(nasty, species="<i>Wren</i>", camera="a&b"), 1.0)])], "<T>")
    assert "<script>" not in page
    assert "<i>Wren" not in page
    assert "a&amp;b" in page
    assert "&lt;T&gt;" in page
    assert "␊[b].jpg" in page


def test_undecodable_name_is_shown_and_linked(bird: Path, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/w\xe4ren.jpg")
    Path(path).write_bytes(bird.read_bytes())
    page = report.photos_page([photo_at(path)])
    page.encode("utf-8")
    assert "w\\xe4ren.jpg" in page
    assert "w%E4ren.jpg" in page
    assert "data:image/jpeg" in page


def test_missing_and_broken_photos_get_a_placeholder(bird: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(bird.read_bytes()[:200])
    page = report.photos_page([photo_at(tmp_path / "gone.jpg"), photo_at(broken), photo_at(bird)])
    assert page.count("no picture at this place") == 2
    assert page.count("data:image/jpeg") == 1


def test_nothing_similar_is_an_answer(bird: Path) -> None:
    assert "Nothing similar" in report.search_page([(str(bird), [])], "x")


def test_several_questions_get_links_and_a_combined_one_no_picture(bird: Path) -> None:
    match = Match(photo_at(bird), 0.5)
    several = report.search_page([(str(bird), [match]), (str(bird), [match])], "x")
    assert 'href="#q2"' in several
    assert 'id="q2"' in several
    combined = report.search_page([(None, [match])], "x")
    assert "Photos like this one" not in combined
    assert "<nav" not in combined


def test_frames_follow_the_photos(bird: Path) -> None:
    assert "--shape: 1.500" in report.photos_page([photo_at(bird, width=6000, height=4000)])
    assert "--shape: 0.800" in report.photos_page([photo_at(bird, width=1000, height=4000)])
    assert "--shape: 1.333" in report.photos_page([])


def test_score_outside_the_bar_stays_inside_it(bird: Path) -> None:
    page = report.search_page([(None, [Match(photo_at(bird), -0.25), Match(photo_at(bird), 1.0000001)])], "x")
    assert "width:0.0%" in page
    assert "width:100.0%" in page
    assert "-0.250" in page


def test_energy_lights_the_cell_that_is_excited() -> None:
    photo = np.full((90, 120, 3), 90, np.uint8)
    cells = np.zeros((8, 6, 8), np.float32)
    cells[:, 1, 6] = 5.0
    picture = report.energy_picture(photo, cells)
    assert picture.shape == photo.shape
    assert picture.dtype == np.uint8
    brightness = picture.astype(int).sum(axis=2)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert abs(row - 1.5 / 6 * 90) < 12
    assert abs(column - 6.5 / 8 * 120) < 12


def test_energy_of_a_flat_map_and_a_single_cell() -> None:
    photo = np.full((20, 30, 3), 200, np.uint8)
    assert report.energy_picture(photo, np.ones((4, 3, 3), np.float32)).shape == (20, 30, 3)
    assert report.energy_picture(photo, np.ones((4, 1, 1), np.float32)).shape == (20, 30, 3)
    with pytest.raises(ValueError, match="feature_map"):
        report.energy_picture(photo, np.ones((4, 4), np.float32))
