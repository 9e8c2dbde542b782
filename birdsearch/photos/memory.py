"""Memory: how much of it the decode of one picture takes, and that all decodes together stay within bounds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import jpeg
from birdsearch.photos.containers import strips, tiff_directories
from birdsearch.photos.rgb import PIXELS_AT_ONCE, STRIP

BUDGET = 10**9  # bytes that decodes may take at a time, beyond the network; a picture that needs more is refused
HUGE = 50_000_000  # pixels above which Pillow's own limit is in the way; such pictures are decoded one at a time

_STORED = {"1": 1, "L": 1, "P": 1, "LA": 4, "PA": 4, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # bytes of a pixel
_ROW = 16  # bytes that Pillow takes for each row besides its pixels
_TABLES = 100  # bytes of the tables that a resize needs for each row and column
_CONVERTED = 14  # bytes of a pixel while it becomes RGB
# Bytes of a pixel that a decoder takes besides Pillow's; measured on pictures of 24 megapixels in November 2026.
_DECODER = {"AVIF": 8, "HEIF": 8, "WEBP": 13, "JPEG2000": 17}


class CostlyError(Exception):
    """A decode would take more memory than the caller wants to spend right now."""


def needed(image: Image.Image, format: str, data: bytes) -> int:
    """About how many bytes the decode of an opened image takes, with the file's own; `draft` was called before."""
    pixels = image.width * image.height
    stored = pixels * _STORED.get(image.mode, 4) + _ROW * image.height
    further = _TABLES * (image.width + image.height) + _CONVERTED * (pixels if pixels <= PIXELS_AT_ONCE else STRIP)
    if format == "JPEG":
        further += jpeg.coefficient_bytes(data)
    elif format == "TIFF":
        further += _tiff_strip(data)
    further += getattr(image, "decoder_bytes", 0)  # of a camera RAW
    return len(data) + stored + further + _DECODER.get(format, 0) * pixels


def _tiff_strip(data: bytes) -> int:
    """The bytes of one strip or tile of a TIFF after decompression."""
    page = next(tiff_directories(data), {})

    def number(tag: int, default: int) -> int:
        value = page.get(tag, (default,))[0]
        return value if isinstance(value, int) else default

    rows = min(number(0x0116, 2**32), number(0x0101, 0)) if any(strips(page)) else number(0x0101, 0)
    width, samples, bits = number(0x0100, 0), number(0x0115, 1), number(0x0102, 1)
    return rows * width * samples * bits // 8


class _Room:
    """A number of bytes that threads share; who asks first gets first."""

    def __init__(self) -> None:
        self._turn, self._changed, self._used = threading.Lock(), threading.Condition(), 0

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + count <= BUDGET)
            self._used += count
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()


_ROOM = _Room()
_ONE_HUGE = threading.Lock()


@contextmanager
def room(image: Image.Image, format: str, data: bytes, most: int | None = None) -> Iterator[None]:
    """Room to decode an opened image; waits for other threads where there is none left.

    Raises PhotoUnreadableError where it would never fit, and CostlyError where it takes more than `most` bytes.
    """
    count = needed(image, format, data)
    if count > BUDGET:
        size = f"{image.width} x {image.height} pixels as {format} take about {count / 1e9:.1f} GB of memory to decode"
        raise PhotoUnreadableError(f"{size}, more than the {BUDGET / 1e9:.0f} GB that one photo may take")
    if most is not None and count > most:
        raise CostlyError(f"about {count / 1e9:.1f} GB of memory")
    with _ROOM.taken(count), _pillows_limit(image.width * image.height):
        yield


@contextmanager
def _pillows_limit(pixels: int) -> Iterator[None]:
    """Huge pictures pass Pillow's own limit, which TIFF asks again while decoding."""
    if pixels <= HUGE:
        yield
        return
    with _ONE_HUGE:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = limit and max(limit, pixels)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
