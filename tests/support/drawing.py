"""Draws bird-like pictures for tests and writes them as files, with whatever a camera would write beside them."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, TiffImagePlugin

ORIENTATION = 0x0112

# Which turn of the upright picture a camera stores under each EXIF orientation.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def bird(seed: int = 0, width: int = 320, height: int = 240) -> Image.Image:
    """A round bird on a branch, RGB; another seed gives other colours, another pose and other leaves."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, height)[:, None, None]
    top, bottom = rng.integers(90, 230, (2, 3))
    picture = Image.fromarray(np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)

    def disc(x: float, y: float, across: float, down: float, colour: Any) -> None:
        box = (x - across / 2) * width, (y - down / 2) * height, (x + across / 2) * width, (y + down / 2) * height
        draw.ellipse(box, fill=tuple(int(part) for part in colour))

    for x, y, size in rng.random((40, 3)):
        disc(x, y, 0.02 + size / 20, 0.02 + size / 15, (30 + 60 * size, 110 + 90 * size, 40))
    draw.line([(0, 0.8 * height), (width, (0.7 + rng.random() / 5) * height)], fill=(96, 64, 32), width=height // 20)
    x, y = 0.4 + rng.random() / 5, 0.5
    back, belly = rng.integers(20, 236, (2, 3))
    side = 1 if rng.random() < 0.5 else -1
    disc(x - side * 0.2, y + 0.1, 0.3, 0.1, back)
    disc(x, y, 0.4, 0.4, back)
    disc(x + side * 0.05, y + 0.08, 0.25, 0.25, belly)
    disc(x + side * 0.18, y - 0.2, 0.2, 0.24, back)
    disc(x + side * 0.29, y - 0.19, 0.1, 0.04, (220, 170, 40))
    disc(x + side * 0.2, y - 0.22, 0.03, 0.04, (0, 0, 0))
    return picture.filter(ImageFilter.GaussianBlur(1))


def write(path: Path, picture: Image.Image, **options: Any) -> Path:
    """Save a picture in the format of its suffix and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        options = {"quality": 95, **options}
    picture.save(path, **options)
    return path


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera held otherwise stores it."""
    turn = STORED[orientation]
    return picture if turn is None else picture.transpose(turn)


def exif(
    tags: dict[int, Any] | None = None, sub: dict[int, Any] | None = None, gps: dict[int, Any] | None = None
) -> Image.Exif:
    """EXIF with these tags in its main, Exif and GPS directories."""
    made = Image.Exif()
    for tag, value in (tags or {}).items():
        made[tag] = value
    for directory, values in ((0x8769, sub), (0x8825, gps)):
        if values:
            made.get_ifd(directory).update(values)
    # Read back: Pillow writes the lower directories of a TIFF only if they once were in a file.
    known = Image.Exif()
    known.load(made.tobytes())
    # Texts it writes as ASCII, bytes as they are.
    known.update({tag: value for tag, value in (tags or {}).items() if isinstance(value, bytes)})
    return known


def camera_exif() -> Image.Exif:
    """What a good camera with a receiver writes."""
    return exif(
        {
            0x010F: "Canon",
            0x0110: "Canon EOS R5",
            0x0132: "2024:06:01 10:00:00",
            0x010E: "at the feeder",
            0x013B: "Ana Núñez".encode(),
            0x4746: 4,
        },
        {
            0x9003: "2024:05:17 06:07:08",
            0x9291: "42",
            0x9011: "+02:00",
            0xA431: "0123456789",
            0xA434: "RF100-500mm F4.5-7.1 L IS USM",
            0x9286: b"ASCII\0\0\0windy",
        },
        {1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 36.0)},
    )


def rational(numerator: int, denominator: int) -> TiffImagePlugin.IFDRational:
    """A rational that may be as broken as a camera's: its denominator may be 0."""
    return TiffImagePlugin.IFDRational(numerator, denominator)


def tiff(tags: list[tuple[int, int, int, int]], order: str = "<") -> bytes:
    """A TIFF of one directory, entries (tag, type, count, value), with nothing behind it: the frame of a camera RAW."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    entries = b""
    for tag, kind, count, value in sorted(tags):
        packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        entries += struct.pack(order + "HHI", tag, kind, count) + packed
    return head + struct.pack(order + "H", len(tags)) + entries + b"\0" * 4 + b"\0" * 512
