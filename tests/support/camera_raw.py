"""Camera RAW files of any picture: a DNG that LibRaw develops, and files of other makers without sensor data."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from tests.support.drawing import turned

_BLACK, _WHITE = 512, 16383  # values of the sensor, of 14 bits
_NEUTRAL = (0.5, 1.0, 0.65)  # how a daylight grey looks to the sensor: what white balance must undo
# XYZ to the linear RGB of sRGB (D65): a picture comes back in its own colours.
_TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])

_TEXT, _BYTE, _SHORT, _LONG, _RATIO, _SIGNED_RATIO = 2, 1, 3, 4, 5, 10
_Entry = tuple[int, int, int, Any, bool]


def jpeg(picture: Image.Image, quality: int = 92, **options: Any) -> bytes:
    """A picture as a camera lays it into its RAW file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def write_dng(
    path: Path,
    picture: Image.Image,
    orientation: int = 1,
    previews: tuple[bytes, ...] | None = None,
    *,
    black: bool = False,
    tags: tuple[_Entry, ...] = (),
) -> Path:
    """A DNG of an upright picture, whose sides are even, as a camera writes it that is held otherwise.

    As cameras and Adobe do: first a thumbnail of 160 x 120, below it the sensor's values and the JPEGs: by default
    one of the whole size. The sensor of a `black` one has seen nothing.
    """
    stored = turned(picture, orientation)
    previews = (jpeg(stored),) if previews is None else previews
    path.parent.mkdir(parents=True, exist_ok=True)
    first: tuple[_Entry, ...] = (
        (0x010F, _TEXT, 0, "Birdsearch", True), (0x0110, _TEXT, 0, "Test", True),
        (0x0112, _SHORT, 1, orientation, True), (0xC612, _BYTE, 4, (1, 4, 0, 0), True),
        (0xC613, _BYTE, 4, (1, 1, 0, 0), True), (0xC614, _TEXT, 0, "Birdsearch Test", True),
        (0xC621, _SIGNED_RATIO, 9, _ratios(np.diag(_NEUTRAL) @ _TO_RGB), True), (0xC65A, _SHORT, 1, 21, True),
        (0xC628, _RATIO, 3, _ratios(_NEUTRAL), True), *tags,
    )  # fmt: skip
    cells: tuple[_Entry, ...] = (
        (0x828D, _SHORT, 2, (2, 2), True), (0x828E, _BYTE, 4, (0, 1, 1, 2), True),
        (0xC61A, _LONG, 1, _BLACK, True), (0xC61D, _LONG, 1, _WHITE, True),
    )  # fmt: skip
    small = np.asarray(stored.resize((160, 120)))
    sensor = np.full((stored.height, stored.width), _BLACK, np.uint16) if black else _mosaic(stored)
    with tifffile.TiffWriter(path, byteorder="<") as tiff:
        tiff.write(small, photometric="rgb", subfiletype=1, subifds=1 + len(previews), extratags=first, metadata=None)
        tiff.write(sensor, photometric=32803, subfiletype=0, extratags=cells, metadata=None)
        # The JPEGs are encoded already: no need of the imagecodecs that tifffile asks for by name.
        compressors: Any = tifffile.TIFF.COMPRESSORS
        compressors._codecs.setdefault(7, lambda data, *_, **__: data)
        for preview in previews:
            width, height = Image.open(io.BytesIO(preview)).size
            tiff.write(
                iter([preview]), shape=(height, width, 3), dtype=np.uint8, photometric="ycbcr", compression="jpeg",
                subfiletype=1, metadata=None, rowsperstrip=height,
            )  # fmt: skip
    return path


def _mosaic(picture: Image.Image) -> npt.NDArray[np.uint16]:  # (height, width), RGGB
    """What a sensor sees of a picture: one colour of linear light in each cell."""
    rgb = np.asarray(picture, np.float64) / 255
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) * _NEUTRAL
    cells = light[:, :, 1].copy()
    cells[0::2, 0::2], cells[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    return (cells * (_WHITE - _BLACK) + _BLACK).round().astype(np.uint16)


def _ratios(values: Any) -> list[int]:
    return [part for value in np.ravel(values) for part in (round(float(value) * 10_000), 10_000)]
