"""Two pictures laid on each other: every edit of one is found, whatever only looks alike is not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from birdsearch.duplicates import alignment
from birdsearch.photos import decode
from birdsearch.records import Pixels
from tests.support.painting import samples

Picture = Image.Image


def drawn(number: int) -> Picture:
    """One of the drawn sample photos."""
    return Image.fromarray(decode.picture(samples.picture(samples.SPECIES[number % 6], number // 6), 800))


def features(picture: Picture) -> alignment.LocalFeatures:
    return alignment.extract_features(decode.picture(picture, alignment.LONGEST))


def compared(one: Picture, other: Picture) -> alignment.Alignment | None:
    return alignment.register(features(one), features(other))


def stored(picture: Picture, format: str, quality: int) -> Picture:
    file = io.BytesIO()
    picture.save(file, format, quality=quality)
    return Image.open(file)


def captioned(picture: Picture, words: str = "© Jane Birder 2024") -> Picture:
    copy = picture.copy()
    width, height = copy.size
    ImageDraw.Draw(copy).rectangle((0, height - height // 10, width, height), fill=(0, 0, 0))
    ImageDraw.Draw(copy).text((width // 20, height - height // 11), words, fill=(255, 255, 255), font_size=height // 16)
    return copy


def cropped(picture: Picture, left: float, top: float, right: float, bottom: float) -> Picture:
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "re-encoded": lambda p: stored(p, "JPEG", 30),
    "webp": lambda p: stored(p, "WEBP", 40),
    "smaller": lambda p: p.resize((p.width * 2 // 5, p.height * 2 // 5)),
    "larger": lambda p: p.resize((p.width * 2, p.height * 2)),
    "cropped": lambda p: cropped(p, 0.25, 0.0, 1.0, 0.9),
    "bright": lambda p: ImageEnhance.Brightness(p).enhance(1.5),
    "dark": lambda p: ImageEnhance.Brightness(p).enhance(0.5),
    "contrast": lambda p: ImageEnhance.Contrast(p).enhance(0.6),
    "saturation": lambda p: ImageEnhance.Color(p).enhance(1.8),
    "grey": lambda p: ImageOps.grayscale(p).convert("RGB"),
    "captioned": captioned,
    "border": lambda p: ImageOps.expand(p, p.width // 15, (250, 250, 250)),
    "mirrored": ImageOps.mirror,
    "turned": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "tilted": lambda p: p.rotate(5, Image.Resampling.BICUBIC),
}


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_is_found(edit: str) -> None:
    for number in range(0, 12, 2):
        original = drawn(number)
        found = compared(original, EDITS[edit](original))
        assert found is not None, number
        assert found.agreement > 0.5


def test_edited_against_edited() -> None:
    for one, other in (("cropped", "tilted"), ("mirrored", "turned"), ("captioned", "grey"), ("border", "smaller")):
        original = drawn(3)
        assert compared(EDITS[one](original), EDITS[other](original)) is not None, (one, other)


def test_the_transform_is_described() -> None:
    original = drawn(1)
    plain = compared(original, EDITS["smaller"](original))
    assert plain is not None
    assert plain.transform == "as it is"
    np.testing.assert_allclose(plain.matrix, (1, 0, 0, 0, 1, 0), atol=0.01)
    mirrored = compared(original, EDITS["mirrored"](original))
    assert mirrored is not None
    assert mirrored.transform == "mirrored"
    np.testing.assert_allclose(mirrored.matrix, (-1, 0, 1, 0, 1, 0), atol=0.01)
    part = compared(original, EDITS["cropped"](original))
    assert part is not None
    assert part.transform.startswith("cropped to 6")
    np.testing.assert_allclose(part.matrix, (1 / 0.75, 0, -1 / 3, 0, 1 / 0.9, 0), atol=0.03)
    assert part.overlap > 0.95
    turned = compared(original, EDITS["turned"](original))
    assert turned is not None
    assert turned.transform.startswith("turned")


def test_other_pictures_are_not_the_same() -> None:
    made = [features(drawn(number)) for number in range(18)]
    same = [(a, b) for a in range(18) for b in range(a) if alignment.register(made[a], made[b]) is not None]
    assert same == []


def test_a_shared_caption_or_border_is_not_enough() -> None:
    for one, other in ((0, 1), (4, 5), (7, 13)):
        assert compared(captioned(drawn(one)), captioned(drawn(other))) is None
        framed = [ImageOps.expand(drawn(number), 60, (20, 20, 20)) for number in (one, other)]
        assert compared(framed[0], framed[1]) is None


def test_a_texture_that_repeats_is_not_enough() -> None:
    tile = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    pictures = []
    for number in (2, 9):
        pixels = np.tile(tile, (15, 20, 1))
        bird = decode.picture(drawn(number).resize((500, 400)), 500)
        pixels[100:500, 150:650] = bird
        pictures.append(Image.fromarray(pixels))
    assert compared(pictures[0], pictures[1]) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (5000, 2), (300, 300)])
def test_pictures_that_show_nothing(shape: tuple[int, int]) -> None:
    flat: Pixels = np.full((*shape, 3), 120, dtype=np.uint8)
    assert alignment.register(alignment.extract_features(flat), alignment.extract_features(flat)) is None
    assert alignment.register(alignment.extract_features(flat), features(drawn(0))) is None


def test_a_picture_without_features_is_compared_as_a_whole() -> None:
    plain = Image.new("RGB", (640, 480), (120, 160, 210))
    ImageDraw.Draw(plain).ellipse((200, 150, 420, 330), fill=(40, 40, 60))
    assert compared(plain, plain.resize((320, 240))) is not None
    assert compared(plain, ImageOps.mirror(plain)) is not None
    other = Image.new("RGB", (640, 480), (120, 160, 210))
    ImageDraw.Draw(other).polygon([(60, 60), (160, 400), (400, 100)], fill=(40, 40, 60))
    assert compared(plain, other) is None


def test_local_features_take_little_memory() -> None:
    made = features(drawn(0))
    assert made.points.nbytes + made.features.nbytes + made.grey.nbytes < 110_000


def test_two_exposures_of_one_place_are_not_one_picture() -> None:
    """The same branch before the same trees, and the bird has moved."""
    rng = np.random.default_rng(5)
    background = decode.picture(drawn(3), 800)
    bird = decode.picture(drawn(0).resize((260, 200)), 260)
    exposures = []
    for left, top in ((60, 80), (330, 190)):
        pixels = background.copy()
        pixels[top : top + 195, left : left + 260] = bird[:195]
        noise = rng.normal(0, 3, pixels.shape)
        exposures.append(Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)))
    assert compared(exposures[0], exposures[1]) is None
    assert compared(exposures[0], stored(exposures[0], "JPEG", 50)) is not None
