"""Camera RAW files of any picture: a DNG that LibRaw develops, and files of other makers without sensor data."""

import io
import struct
from datetime import UTC, datetime
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
    preview_first: bool = False,
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
        if not preview_first:
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
        if preview_first:
            tiff.write(sensor, photometric=32803, subfiletype=0, extratags=cells, metadata=None)
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


# Files of other makers: all that a camera writes but the values of its sensor -----------------------------------------

MAKERS = {  # name of the file -> make and model
    "a.CR2": ("Canon", "Canon EOS 6D"), "a.CR3": ("Canon", "Canon EOS R6"), "a.CRW": ("Canon", "Canon EOS 10D"),
    "a.NEF": ("NIKON CORPORATION", "NIKON D850"), "a.ARW": ("SONY", "ILCE-7M4"), "a.PEF": ("PENTAX", "PENTAX K-3"),
    "a.SRW": ("SAMSUNG", "NX500"), "a.ORF": ("OLYMPUS CORPORATION", "E-M1MarkII"), "a.RW2": ("Panasonic", "DC-G9"),
    "a.RAF": ("FUJIFILM", "X-T3"), "a.MRW": ("KONICA MINOLTA", "DYNAX 7D"), "a.IIQ": ("Phase One A/S", "IQ3 100MP"),
    "a.3FR": ("Hasselblad", "X1D"),
}  # fmt: skip
_WRITTEN = {  # in Exif
    0x9003: "2024:05:17 06:07:08", 0x9291: "42", 0x9011: "+02:00", 0xA431: "0123456789", 0xA434: "400mm F4",
    0xA002: 480, 0xA003: 320,
}  # fmt: skip
_PLACE = {1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 36.0)}


def write_maker(path: Path, preview: bytes, orientation: int = 1) -> Path:
    """A file of MAKERS, by its name, with a JPEG and without a sensor's values."""
    make, model = MAKERS[path.name]
    main = {0x010F: make, 0x0110: model, 0x0112: orientation, 0x013B: "Ana"}
    whole = _LAYOUTS.get(path.suffix, _plain)
    path.write_bytes(whole(main, preview))
    return path


def _directory(entries: dict[int, Any], at: int) -> bytes:
    """A directory of a little-endian TIFF that lies at a place of it; its values follow."""
    place = at + 2 + 12 * len(entries) + 4
    table, values = struct.pack("<H", len(entries)), b""
    for tag, value in sorted(entries.items()):
        if isinstance(value, str):
            kind, count, packed = _TEXT, len(value) + 1, value.encode() + b"\0"
        elif isinstance(value, int):
            kind, count, packed = _LONG, 1, struct.pack("<I", value)
        else:
            kind, count, packed = _RATIO, len(value), struct.pack(f"<{2 * len(value)}I", *_ratios(value))
        table += struct.pack("<HHI", tag, kind, count)
        table += packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", place + len(values))
        values += packed if len(packed) > 4 else b""
    return table + bytes(4) + values


def _tiff(main: dict[int, Any], preview: bytes = b"", head: bytes = b"II*\0\x08\0\0\0") -> bytes:
    """A TIFF with directories of Exif and GPS; its first one names a JPEG, where there is one."""
    jpeg_tags = {0x0201: 0, 0x0202: len(preview)} if preview else {}
    start = len(head)
    below = start + len(_directory({**main, **jpeg_tags, 0x8769: 0, 0x8825: 0}, start))
    written = _directory(_WRITTEN, below)
    place = _directory(_PLACE, below + len(written))
    end = below + len(written) + len(place)
    jpeg_tags = {0x0201: end, 0x0202: len(preview)} if preview else {}
    first = _directory({**main, **jpeg_tags, 0x8769: below, 0x8825: below + len(written)}, start)
    return head + first + written + place + preview


def _plain(main: dict[int, Any], preview: bytes) -> bytes:
    return _tiff(main, preview)


def _cr2(main: dict[int, Any], preview: bytes) -> bytes:
    return _tiff(main, preview, b"II*\0\x10\0\0\0CR\2\0\0\0\0\0")


def _iiq(main: dict[int, Any], preview: bytes) -> bytes:
    return _tiff(main, preview, b"II*\0\x10\0\0\0IIIITwaR")


def _orf(main: dict[int, Any], preview: bytes) -> bytes:
    return _tiff(main, preview, b"IIRO\x08\0\0\0")


def _rw2(main: dict[int, Any], preview: bytes) -> bytes:
    return _tiff(main, preview, b"IIU\0\x18\0\0\0" + bytes.fromhex("88e774d8f8251d4d947a6e77822b5d6a"))


def _raf(main: dict[int, Any], preview: bytes) -> bytes:
    block = b"Exif\0\0" + _tiff(main)
    whole = preview[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + preview[2:]
    head = b"FUJIFILMCCD-RAW 0201FF383501" + str(main[0x0110]).encode().ljust(32, b"\0") + b"0100" + bytes(20)
    return head + struct.pack(">6I", 160, len(whole), 0, 0, 0, 0) + bytes(160 - len(head) - 24) + whole


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def _cr3(main: dict[int, Any], preview: bytes) -> bytes:
    tags = {b"CMT1": main, b"CMT2": _WRITTEN, b"CMT4": _PLACE}
    boxes = (_box(name, b"II*\0\x08\0\0\0" + _directory(each, 8)) for name, each in tags.items())
    uuid = _box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + b"".join(boxes))
    shown = _box(b"PRVW", struct.pack(">IHHHHI", 0, 1, 480, 320, 1, len(preview)) + preview)
    shown = _box(b"uuid", bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16") + struct.pack(">II", 0, 1) + shown)
    return _box(b"ftyp", b"crx \0\0\0\1crx isom") + _box(b"moov", uuid) + shown + _box(b"mdat", b"")


def _mrw(main: dict[int, Any], preview: bytes) -> bytes:
    """The one that has a sensor's values, as its JPEG would lie in the note of its maker: noise of 12 bits."""
    sizes = struct.pack(">4H", 320, 480, 320, 480) + bytes((12, 12, 0x59, 0, 0, 0, 0, 1))
    blocks = b"\0PRD" + struct.pack(">I", 24) + b"21860002" + sizes
    tags = _tiff(main)
    blocks += b"\0TTW" + struct.pack(">I", len(tags)) + tags
    values = np.random.default_rng(0).bytes(480 * 320 * 3 // 2)
    return b"\0MRM" + struct.pack(">I", len(blocks)) + blocks + values


def _crw(main: dict[int, Any], preview: bytes) -> bytes:
    seconds = int(datetime(2024, 5, 17, 6, 7, 8, tzinfo=UTC).timestamp())
    turn = {1: 0, 6: 90, 3: 180, 8: 270}[main[0x0112]]
    records = {
        0x080A: f"{main[0x010F]}\0{main[0x0110]}\0".encode(), 0x180E: struct.pack("<Iii", seconds, 0, 0),
        0x0810: b"Ana\0", 0x1810: struct.pack("<IIfiIII", 480, 320, 1.0, turn, 8, 24, 1), 0x2007: preview,
    }  # fmt: skip
    values, table = b"", struct.pack("<H", len(records) + 1)
    for tag, value in records.items():
        table += struct.pack("<HII", tag, len(value), len(values))
        values += value
    table += struct.pack("<HII", 0x180B | 0x4000, 123456789, 0)
    heap = values + table + struct.pack("<I", len(values))
    return b"II" + struct.pack("<I", 26) + b"HEAPCCDR" + bytes(12) + heap


_LAYOUTS = {
    ".CR2": _cr2,
    ".IIQ": _iiq,
    ".ORF": _orf,
    ".RW2": _rw2,
    ".RAF": _raf,
    ".CR3": _cr3,
    ".MRW": _mrw,
    ".CRW": _crw,
}
