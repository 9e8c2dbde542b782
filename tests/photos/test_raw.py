"""Camera RAW: the camera's own JPEG or the sensor's values, upright; DNGs that LibRaw develops, drawn here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import decode, scan
from birdsearch.photos.decode import Decoded
from birdsearch.records import Pixels
from tests.support.camera_raw import jpeg, write_dng
from tests.support.drawing import bird

PICTURE = bird(1, 480, 320)
SIZE = (64, 64)


def decoded(path: Path, size: tuple[int, int] = SIZE) -> Decoded:
    file = scan.read(scan.FoundFile(bytes(path)))
    return decode.decode(file.data, file.photo, size, file.format)


def alike(pixels: Pixels, picture: Image.Image) -> float:
    """The correlation of pixels with a picture: development changes its brightness."""
    expected = np.asarray(picture.resize(pixels.shape[1::-1]), float)
    return float(np.corrcoef(pixels.ravel(), expected.ravel())[0, 1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("rendered", ["preview", "sensor"])
def test_a_raw_is_upright_however_the_camera_was_held(tmp_path: Path, orientation: int, rendered: str) -> None:
    path = write_dng(tmp_path / "a.dng", PICTURE, orientation, None if rendered == "preview" else ())
    found = decoded(path)
    assert (found.photo.format, found.photo.rendered, found.photo.damaged) == ("DNG", rendered, None)
    assert (found.photo.width, found.photo.height) == PICTURE.size
    assert alike(found.pixels, PICTURE) > 0.99
    assert decode.shown_size(path) == PICTURE.size
    shown = decode.picture(path, 120)
    assert shown.shape == (80, 120, 3)
    assert alike(shown, PICTURE) > 0.99


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_preview_that_stands_already_is_not_turned_again(tmp_path: Path, orientation: int) -> None:
    found = decoded(write_dng(tmp_path / "a.dng", PICTURE, orientation, (jpeg(PICTURE),)))
    assert (found.photo.width, found.photo.height) == PICTURE.size
    assert alike(found.pixels, PICTURE) > 0.99


def test_the_largest_preview_is_taken_and_none_that_is_a_thumbnail(tmp_path: Path) -> None:
    large, middle = bird(2, 480, 320), bird(3, 360, 240)
    small = jpeg(bird(4, 160, 120))
    found = decoded(write_dng(tmp_path / "a.dng", PICTURE, 1, (jpeg(middle), jpeg(large), small)))
    assert alike(found.pixels, large) > 0.99
    path = write_dng(tmp_path / "b.dng", PICTURE, 1, (small, jpeg(middle)))
    assert alike(decoded(path).pixels, middle) > 0.99
    assert decoded(path, (256, 256)).photo.rendered == "sensor"  # 240 pixels do not reach this network's input
    thumbnail = decoded(write_dng(tmp_path / "c.dng", PICTURE, 1, (small,)))
    assert thumbnail.photo.rendered == "sensor"
    assert alike(thumbnail.pixels, PICTURE) > 0.99


def test_a_sensor_that_saw_nothing_is_no_photo(tmp_path: Path) -> None:
    with pytest.raises(PhotoUnreadableError, match=r"^no sensor data in it$"):
        decoded(write_dng(tmp_path / "a.dng", PICTURE, previews=(), black=True))
    assert decoded(write_dng(tmp_path / "b.dng", PICTURE, black=True)).photo.rendered == "preview"


@pytest.mark.parametrize("previews", [None, ()])
def test_a_raw_that_is_cut_off_fails(tmp_path: Path, previews: tuple[bytes, ...] | None) -> None:
    whole = write_dng(tmp_path / "a.dng", PICTURE, 6, previews).read_bytes()
    for tenth in range(10):
        path = tmp_path / f"{tenth}.dng"
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(PhotoUnreadableError, match=r"truncated DNG|empty file"):
            decoded(path)
