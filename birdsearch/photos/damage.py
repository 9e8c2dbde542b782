"""What is wrong with a picture that can still be decoded, by the bytes of its file."""

import zlib
from collections.abc import Callable

from birdsearch.photos import jpeg
from birdsearch.photos.containers import boxes, gif_blocks, png_chunks, riff_chunks, strips, tiff_directories

_CUT_OFF = "the file is cut off"


def of(data: bytes, format: str) -> str | None:
    """What decoders pass over in silence, in words; None for a whole file and for formats that say nothing of it."""
    check = _CHECKS.get(format)
    return None if check is None else check(data)


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
        if any(end > len(data) for _, end in strips(page)):
            return "part of the picture lies beyond the end of the file"
    return None


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
    "JPEG2000": _jpeg2000,
}
