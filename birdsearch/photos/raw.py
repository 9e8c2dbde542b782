"""Camera RAW: the camera's own JPEG in a file, or else the sensor's values developed by LibRaw. All that uses rawpy."""

import io
from dataclasses import dataclass
from typing import Any

import rawpy
from PIL import Image

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import jpeg
from birdsearch.photos.jpeg import JpegImage
from birdsearch.photos.metadata import number
from birdsearch.photos.raw_parts import RawParts, parts_of
from birdsearch.photos.rgb import SIDEWAYS

SHORTEST = 224  # pixels of the shorter side of a JPEG that is taken, at least: smaller ones have black bars

_ORIENTATION = 0x0112
_FLIPS = (1, 2, 4, 3, 5, 8, 6, 7)  # LibRaw's number of a turn -> that of EXIF
_LEAST_CONTRAST = 1.0  # standard deviation of developed values: LibRaw makes plain black of a file without any
_MOSAIC_BYTES, _LINEAR_BYTES = 6, 22  # that LibRaw takes for each pixel of a mosaic, and of one that has all colours


@dataclass(frozen=True, slots=True)
class _Sensor:
    """What LibRaw knows before it decodes."""

    size: tuple[int, int]  # pixels across and down, as they are stored
    raw_pixels: int  # with the margins
    orientation: int
    preview: bytes  # the JPEG that it takes for the largest; empty where it finds none


class PreviewImage(JpegImage):
    """The JPEG that a camera laid into its RAW file."""

    rendered = "preview"

    def __init__(self, data: bytes, parts: RawParts, sensor: _Sensor | None) -> None:
        super().__init__(io.BytesIO(data), "")
        tags, self._data = parts.main, data
        self.parts = parts if tags else None  # without tags those of the JPEG count
        self.decoder_bytes = jpeg.coefficient_bytes(data) + len(data)
        size = (sensor.size if sensor is not None else parts.size) or self.size
        turn = _turn(parts, sensor)
        own = number(self.getexif().get(_ORIENTATION))
        if own and (not tags or (turn != 1 and (turn not in SIDEWAYS or self.width == self.height))):
            turn = int(own)  # its shape does not tell whether it stands already
        if turn in SIDEWAYS and (size[0] >= size[1]) != (self.width >= self.height):
            turn, size = 1, (size[1], size[0])  # it stands upright already
        self.orientation, self.sensor_size = turn, size
        if tags:
            for name in ("exif", "photoshop", *(["xmp"] if 0x02BC in tags else [])):
                self.info.pop(name, None)
        self._is_cut = parts.is_cut

    def load(self) -> Any:
        """Decode; a file that is cut off behind the JPEG is damaged."""
        loaded = super().load()
        if self._data:
            cut_off = "the file is cut off: not all values of the sensor are there" if self._is_cut else None
            self.warning = self.warning or cut_off or jpeg.hole(self._data)
            self._data = b""
        return loaded


class SensorImage(Image.Image):
    """The values of a sensor; developed, at half its size, when they are loaded."""

    rendered = "sensor"

    def __init__(self, data: bytes, parts: RawParts, sensor: _Sensor) -> None:
        super().__init__()
        self._data, self.parts = data, parts
        self.sensor_size = sensor.size[::-1] if sensor.orientation in SIDEWAYS else sensor.size
        self.orientation = 1 if sensor.orientation != 1 else _turn(parts, None)  # LibRaw turns it where it knows how
        self._mode, self._size = "RGB", ((self.sensor_size[0] + 1) // 2, (self.sensor_size[1] + 1) // 2)
        self.decoder_bytes = sensor.raw_pixels * (_MOSAIC_BYTES if parts.samples == 1 else _LINEAR_BYTES)

    def load(self) -> Any:
        """Develop it, with the white balance of the camera."""
        if self._data:
            try:
                with rawpy.imread(io.BytesIO(self._data)) as raw:
                    pixels = raw.postprocess(half_size=True, use_camera_wb=True)
            except rawpy.LibRawError as error:
                raise PhotoUnreadableError(f"LibRaw cannot develop it: {_words(error)}") from error
            if pixels.std() < _LEAST_CONTRAST:
                raise PhotoUnreadableError("no sensor data in it")
            self._data = b""
            made = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
            self.im, self._mode, self._size = made.im, made.mode, made.size
        return super().load()


def opened(data: bytes, format: str, shortest: int) -> Image.Image:
    """The largest JPEG in a RAW file whose shorter side has so many pixels, else the sensor's values.

    Raises PhotoUnreadableError where it has neither.
    """
    parts = parts_of(data, format)
    sensor, reason = _looked_at(data)
    found = list(parts.jpegs)
    if sensor is not None and (size := jpeg.size(sensor.preview)) is not None:
        found.append((size, sensor.preview))
    found.sort(key=lambda known: -known[0][0] * known[0][1])
    preview = next((each for size, each in found if min(size) >= max(shortest, SHORTEST)), None)
    if preview is None and parts.is_cut:
        raise PhotoUnreadableError(f"truncated {format}")
    if preview is not None:
        image: Image.Image = PreviewImage(preview, parts, sensor)
    elif sensor is not None:
        image = SensorImage(data, parts, sensor)
    else:
        largest = "the largest JPEG in it has {} x {} pixels".format(*found[0][0]) if found else "no JPEG in it"
        raise PhotoUnreadableError(f"{largest}, and LibRaw cannot develop it: {reason}")
    image.format = format
    return image


def _turn(parts: RawParts, sensor: _Sensor | None) -> int:
    """The orientation of the camera, as EXIF numbers it: by LibRaw, or by the tags where that knows of no turn."""
    if sensor is not None and sensor.orientation != 1:
        return sensor.orientation
    written = number(parts.main.get(_ORIENTATION))
    return int(written or 1)


def _looked_at(data: bytes) -> tuple[_Sensor | None, str]:
    """What LibRaw knows of a file, or why it knows nothing."""
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            sizes = raw.sizes
            preview = b""
            try:
                thumbnail = raw.extract_thumb()
                if thumbnail.format == rawpy.ThumbFormat.JPEG:
                    preview = bytes(thumbnail.data)
            except (rawpy.LibRawError, NotImplementedError, OSError):
                pass  # it has none, or one of a kind that LibRaw does not know
            turn = _FLIPS[sizes.flip & 7]
            return _Sensor((sizes.width, sizes.height), sizes.raw_width * sizes.raw_height, turn, preview), ""
    except (rawpy.LibRawError, OSError) as error:
        return None, _words(error)


def _words(error: Exception) -> str:
    """What LibRaw says, as a text."""
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace").lower() if isinstance(said, bytes) else str(said).lower()
