"""Files of every format with random faults: flipped bits, holes, strange numbers, lost and doubled pieces."""

import io
import random
import struct
from collections.abc import Callable, Sequence

import pillow_heif

from tests.support.drawing import bird, camera_exif
from tests.support.strange_files import saved

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0x10000000)
_HEADER = 512  # bytes at the beginning of a file, where most of its numbers are


def seeds() -> dict[str, list[bytes]]:
    """Whole files of every format and kind, by the name of the format."""
    picture, second = bird(3, 240, 180), bird(4, 240, 180)
    more = {"save_all": True, "append_images": [second]}
    exif = {"exif": camera_exif()}
    heif = io.BytesIO()
    pillow_heif.from_pillow(picture).save(heif)
    return {
        "JPEG": [
            saved("JPEG", picture, **exif),
            saved("JPEG", picture, progressive=True),
            saved("JPEG", picture, quality=92, subsampling=0, restart_marker_blocks=8),
            saved("JPEG", picture.convert("L"), optimize=True),
            saved("JPEG", picture.convert("CMYK")),
            saved("MPO", picture, **more),
        ],
        "PNG": [
            saved("PNG", picture, **exif),
            saved("PNG", picture.convert("RGBA")),
            saved("PNG", picture.convert("P")),
            saved("PNG", picture.convert("I;16")),
            saved("PNG", picture, **more),
        ],
        "WEBP": [saved("WEBP", picture, **exif), saved("WEBP", picture, lossless=True), saved("WEBP", picture, **more)],
        "TIFF": [
            saved("TIFF", picture),
            *(saved("TIFF", picture, compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")),
            saved("TIFF", picture.convert("1"), compression="group4"),
            saved("TIFF", picture.convert("F")),
            saved("TIFF", bird(3, 240, 180), save_all=True, append_images=[bird(4, 240, 180)]),
        ],
        "GIF": [saved("GIF", picture.convert("P")), saved("GIF", picture.convert("P"), **more)],
        "BMP": [saved("BMP", picture), saved("BMP", picture.convert("P"))],
        "AVIF": [saved("AVIF", picture, **exif), saved("AVIF", picture, **more)],
        "HEIF": [heif.getvalue()],
        "JPEG2000": [saved("JPEG2000", picture), saved("JPEG2000", picture.convert("L"), irreversible=True)],
        "PPM": [saved("PPM", picture), saved("PPM", picture.convert("1"))],
    }


def mutated(whole: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A file with one to thirty faults; half of them in its first bytes. Pieces of `others` get into it too."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8, 30))):
        if len(data) < 8:
            break
        at = rng.randrange(min(len(data), _HEADER)) if rng.random() < 0.5 else rng.randrange(len(data))
        fault = rng.choices([each for each, _ in _FAULTS], [weight for _, weight in _FAULTS])[0]
        fault(data, at, others, rng)
    return bytes(data)


_Fault = Callable[[bytearray, int, Sequence[bytes], random.Random], None]


def _flip(data: bytearray, at: int, _others: Sequence[bytes], rng: random.Random) -> None:
    data[at] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, at: int, _others: Sequence[bytes], rng: random.Random) -> None:
    data[at] = rng.choice((0, 255, 1, 0x7F, 0x80, rng.randrange(256)))


def _number(data: bytearray, at: int, _others: Sequence[bytes], rng: random.Random) -> None:
    code = rng.choice("HI")
    value = rng.choice(_NUMBERS) & (0xFFFF if code == "H" else 0xFFFFFFFF)
    packed = struct.pack(rng.choice("<>") + code, value)
    data[at : at + len(packed)] = packed


def _cut(data: bytearray, at: int, _others: Sequence[bytes], _rng: random.Random) -> None:
    del data[at:]


def _lose(data: bytearray, at: int, _others: Sequence[bytes], rng: random.Random) -> None:
    del data[at : at + rng.randrange(1, 64)]


def _double(data: bytearray, at: int, _others: Sequence[bytes], rng: random.Random) -> None:
    data[at:at] = data[at : at + rng.randrange(1, 256)]


def _insert(data: bytearray, at: int, _others: Sequence[bytes], rng: random.Random) -> None:
    data[at:at] = rng.randbytes(rng.randrange(1, 16))


def _foreign(data: bytearray, at: int, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    place = rng.randrange(len(other))
    data[at : at + 64] = other[place : place + 64]


def _hole(data: bytearray, at: int, _others: Sequence[bytes], rng: random.Random) -> None:
    length = min(rng.choice((16, 64, 512, 4096)), len(data) - at)
    data[at : at + length] = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))


_FAULTS: tuple[tuple[_Fault, int], ...] = (
    (_flip, 30),
    (_byte, 15),
    (_number, 15),
    (_cut, 7),
    (_lose, 8),
    (_double, 7),
    (_insert, 6),
    (_foreign, 6),
    (_hole, 6),
)
