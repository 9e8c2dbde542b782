"""Which file was made from which, by pixels alone."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from birdsearch.photos.generations import is_enlarged, keeps_steps, read_grey
from tests.support.drawing import bird, write


def sharp(seed: int = 1, width: int = 480, height: int = 360) -> Image.Image:
    """A bird with the noise of a sensor."""
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return Image.fromarray((np.asarray(bird(seed, width, height)) + noise).clip(0, 255).astype(np.uint8))


def saved(picture: Image.Image, format: str = "JPEG", **options: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return Image.open(buffer)


def grey(picture: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(picture.convert("L"))


@pytest.mark.parametrize(("format", "quality"), [("JPEG", 97), ("PNG", None)])
def test_a_copy_keeps_the_steps_of_the_jpeg_that_it_was_made_from(format: str, quality: int | None) -> None:
    original = saved(sharp(), quality=85)
    table = original.quantization[0]  # type: ignore[attr-defined]
    copy = saved(original.convert("RGB"), format, **({} if quality is None else {"quality": quality}))
    assert keeps_steps(grey(copy), table)
    assert not keeps_steps(grey(copy)[1:, 1:], table)


def test_an_original_does_not_keep_the_steps_of_its_coarser_copy() -> None:
    original = saved(sharp(), quality=95)
    copy = saved(original.convert("RGB"), quality=80)
    assert not keeps_steps(grey(original), copy.quantization[0])  # type: ignore[attr-defined]
    assert not keeps_steps(grey(Image.new("RGB", (64, 64))), copy.quantization[0])  # type: ignore[attr-defined]
    assert not keeps_steps(np.zeros((5, 5), np.uint8), copy.quantization[0])  # type: ignore[attr-defined]


@pytest.mark.parametrize("factor", [1.4, 2.0, 3.0])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
def test_what_was_enlarged_follows_from_the_smaller_one(factor: float, how: Image.Resampling) -> None:
    picture = saved(sharp(), quality=92).convert("RGB")
    larger = saved(picture.resize((round(480 * factor), round(360 * factor)), how), quality=92)
    smaller = saved(picture.resize((round(480 / factor), round(360 / factor)), how), quality=92)
    assert is_enlarged(grey(larger), grey(picture))
    assert not is_enlarged(grey(picture), grey(smaller))


def test_brightness_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path / "a.jpg", bird(1, 60, 40), exif=exif)
    assert read_grey(str(path)).shape == (60, 40)
