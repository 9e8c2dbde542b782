"""What is wrong with a picture that can still be decoded, by the bytes of its file."""

import zlib
from collections.abc import Callable

from PIL import Image

from birdsearch.photos import jpeg
from birdsearch.photos.containers import boxes, gif_blocks, png_chunks, riff_chunks, strips, tiff_directories

_CUT_OFF = "the file is cut off"
_ROUNDED = 4  # bytes by which programs get the length of a BMP wrong
_COMPRESSION, _AS_JPEG, _JPEG_TABLES = 0x0103, 7, 0x015B


def of(image: Image.Image, data: bytes, format: str) -> str | None:
    """What is wrong with the file of a loaded image, in words; None for a whole one, as far as its format tells."""
    if warning := getattr(image, "warning", None):
        return str(warning)
    check = _CHECKS.get(format)
    if check is not None and (found := check(data)):
        return found
    if image.mode == "P" and format in ("BMP", "GIF", "PNG") and (colours := image.getpalette()) is not None:
        _, highest = image.getextrema()
        if isinstance(highest, int) and highest >= len(colours) // 3:
            return f"pixels of colour {highest} in a palette of {len(colours) // 3}"
    return None


def _png(data: bytes) -> str | None:
    name = b""
    for chunk in png_chunks(data):
        name = chunk.name
        if chunk.end + 4 > len(data):
            return _CUT_OFF
        if zlib.crc32(memoryview(data)[chunk.start - 4 : chunk.end]) != int.from_bytes(
            data[chunk.end : chunk.end + 4], "big"
        ):
            return f"wrong checksum of the PNG chunk {name.decode('latin-1')!r}"
    return None if name == b"IEND" else _CUT_OFF


def _webp(data: bytes) -> str | None:
    whole = int.from_bytes(data[4:8], "little") + 8 <= len(data) and all(
        chunk.end <= len(data) for chunk in riff_chunks(data[: int.from_bytes(data[4:8], "little") + 8])
    )
    return None if whole else _CUT_OFF


def _gif(data: bytes) -> str | None:
    return _CUT_OFF if any(block.end > len(data) for block in gif_blocks(data)) else None


def _bmff(data: bytes) -> str | None:
    return _CUT_OFF if any(box.end > len(data) for box in boxes(data)) else None


def _tiff(data: bytes) -> str | None:
    for page in tiff_directories(data):
        if not page:
            return "the file names a page that is not there"
        if any(end > len(data) for _, end in strips(page)):
            return "part of the picture lies beyond the end of the file"
        tables = page.get(_JPEG_TABLES, (b"",))[0]
        if page.get(_COMPRESSION, (1,))[0] == _AS_JPEG and isinstance(tables, bytes):
            # Tables and data are two JPEG streams: without the end of one and the start of the other they are one.
            pieces = (tables[:-2] + data[start + 2 : end] if tables else data[start:end] for start, end in strips(page))
            if warning := next(filter(None, map(jpeg.warning, pieces)), None):
                return warning
    return None


def _bmp(data: bytes) -> str | None:
    length = int.from_bytes(data[2:6], "little")
    if length - len(data) > _ROUNDED:
        return _CUT_OFF
    return f"the file is {len(data)} bytes long and says {length}" if 0 < length < len(data) - _ROUNDED else None


def _jpeg2000(data: bytes) -> str | None:
    if data[:4] == b"\xff\x4f\xff\x51":
        return None if data.rstrip(b"\0").endswith(b"\xff\xd9") else _CUT_OFF
    for box in boxes(data):
        if box.end > len(data) or (box.name == b"jp2c" and data[box.end - 2 : box.end] != b"\xff\xd9"):
            return _CUT_OFF
    return None


_CHECKS: dict[str, Callable[[bytes], str | None]] = {
    "JPEG": jpeg.hole,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "AVIF": _bmff,
    "HEIF": _bmff,
    "TIFF": _tiff,
    "BMP": _bmp,
    "JPEG2000": _jpeg2000,
}
