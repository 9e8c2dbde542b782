"""Box: what is one, and which part of a picture a network sees for it."""

import math

import numpy as np
import pytest

from birdsearch import Box


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("0.4,0.3,0.2,0.25", Box(0.4, 0.3, 0.2, 0.25)),
        (" 0, 0 ,1,1 ", Box(0, 0, 1, 1)),
        ("120,80,60,50px", Box(120, 80, 60, 50, pixels=True)),
        ("120px,80px,60px,50 PX", Box(120, 80, 60, 50, pixels=True)),
        ("0.7,0.1,0.3,0.9", Box(0.7, 0.1, 0.3, 0.9)),
    ],
)
def test_a_text_names_a_box(text: str, box: Box) -> None:
    assert Box.parse(text) == box
    assert Box.parse(str(box)) == box


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a box: give X,Y,WIDTH,HEIGHT"),
        ("0.1,0.2,0.3", "is not a box"),
        ("0.1,0.2,0.3,0.4,0.5", "is not a box"),
        ("a,b,c,d", "is not a box"),
        ("10px,10,10,10", "is not a box"),
        ("nan,0,1,1", "cannot be nan"),
        ("0,0,inf,1", "cannot be inf"),
        ("0.1,0.1,0,0.2", "is empty"),
        ("0.1,0.1,-0.2,0.2", "is empty"),
        ("-0.1,0.1,0.2,0.2", "outside the picture"),
        ("0.9,0.1,0.2,0.2", "outside the picture, which ends at 1: give"),
        ("120,80,60,50", "outside the picture.*in pixels"),
    ],
)
def test_what_is_no_box_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Box.parse(text)


def test_a_box_takes_numbers_only() -> None:
    assert Box(np.float32(0.5), 0, 1 / 2, 1) == Box(0.5, 0.0, 0.5, 1.0)  # type: ignore[arg-type]
    for wrong in ("0.1", None, True, 1j):
        with pytest.raises(TypeError, match="x of a Box cannot be"):
            Box(wrong, 0, 1, 1)  # type: ignore[arg-type]


def test_people_read_three_digits_of_a_share() -> None:
    assert Box(0.412345, 0.0004123, 1 / 3, 0.25).rounded == "0.412,0.000412,0.333,0.25"
    assert Box(1680, 930, 240.5, 240, pixels=True).rounded == "1680,930,240.5,240px"


def test_a_box_of_a_part_is_a_box_of_the_picture() -> None:
    inside = Box(0.5, 0.25, 0.5, 0.5).out_of(Box(0.2, 0.4, 0.4, 0.4))
    assert [inside.x, inside.y, inside.width, inside.height] == pytest.approx([0.4, 0.5, 0.2, 0.2])


def test_pixels_become_shares_of_a_picture() -> None:
    assert Box(160, 120, 320, 240, pixels=True).in_shares(640, 480) == Box(0.25, 0.25, 0.5, 0.5)
    with pytest.raises(ValueError, match="which is 640 x 480 pixels as shown"):
        Box(600, 0, 100, 10, pixels=True).in_shares(640, 480)


def test_what_a_network_sees_is_square_and_inside() -> None:
    assert Box(0.4, 0.4, 0.1, 0.2).seen(1000, 1000) == (330, 380, 570, 620)  # 200 pixels and 10 % on each side
    assert Box(0, 0, 0.1, 0.1).seen(1000, 500) == (0, 0, 120, 120)  # in the corner it is moved inside
    assert Box(0.8, 0.9, 0.2, 0.1).seen(1000, 500) == (760, 260, 1000, 500)
    assert Box(0, 0, 1, 1).seen(640, 480) == (0, 0, 640, 480)
    assert Box(0, 0, 1e-4, 1e-4).seen(100, 4) == (0, 0, 8, 4)


def test_overlap_is_intersection_over_union() -> None:
    assert Box(0, 0, 0.5, 1).overlap(Box(0.25, 0, 0.5, 1)) == pytest.approx(1 / 3)
    assert Box(0, 0, 0.1, 0.1).overlap(Box(0.5, 0.5, 0.1, 0.1)) == 0
    assert math.isclose(Box(0.1, 0.1, 0.2, 0.3).overlap(Box(0.1, 0.1, 0.2, 0.3)), 1)


def test_a_detectors_box_is_cut_where_it_juts_out_a_little() -> None:
    box = Box.clipped(-0.01, 0.5, 0.2, 0.51, 0.02)
    assert [box.x, box.y, box.width, box.height] == pytest.approx([0, 0.5, 0.19, 0.5])
    with pytest.raises(ValueError, match="outside"):
        Box.clipped(-0.1, 0.5, 0.2, 0.2, 0.02)
