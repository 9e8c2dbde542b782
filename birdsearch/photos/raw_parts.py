"""The parts of a camera's RAW file: its tags, the JPEGs in it, and where its sensor's data end. No pixel is decoded.

What is laid out as a TIFF is read as one: so are most RAW files, whatever number they begin with. Each reader ends
quietly where a file is cut off or holds garbage.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from birdsearch.photos import jpeg
from birdsearch.photos.containers import STRIPS, Chunk, Directory, boxes, strips, tiff_directory, tiff_tree
from birdsearch.photos.filetype import SENSOR_COLOURS

_MOST = 32  # JPEGs of one file that are looked at
_MOST_RECORDS = 10_000  # of a CRW or CR3, which may lie upon each other
_MAKE, _MODEL, _ORIENTATION, _ARTIST, _XMP, _EXIF, _GPS = 0x010F, 0x0110, 0x0112, 0x013B, 0x02BC, 0x8769, 0x8825
_ORIGINAL, _SERIAL, _PIXELS_ACROSS, _PIXELS_DOWN = 0x9003, 0xA431, 0xA002, 0xA003
_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _COLOURS = 0x00FE, 0x0100, 0x0101, 0x0103, 0x0106
_SAMPLES, _JPEG_START, _JPEG_LENGTH = 0x0115, 0x0201, 0x0202
_PREVIEW = 0x10001  # bits of the kind of a page that shows the picture smaller; others are masks and maps
_TAGS = frozenset((_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _COLOURS, _SAMPLES, _JPEG_START, _JPEG_LENGTH)) | STRIPS

Jpeg = tuple[tuple[int, int], bytes]  # width and height, all of it


@dataclass(frozen=True, slots=True)
class RawParts:
    """What lies in a RAW file beside the values of its sensor."""

    main: Directory = field(default_factory=dict)  # the tags of its first directory...
    exif: Directory = field(default_factory=dict)  # ...of Exif and of GPS
    gps: Directory = field(default_factory=dict)
    jpegs: tuple[Jpeg, ...] = ()  # whole ones
    size: tuple[int, int] | None = None  # pixels across and down as the sensor stores them
    samples: int = 1  # values of each: 3 where there is no mosaic of colours
    values: tuple[tuple[int, int], ...] = ()  # where the sensor's lie in the file; empty where that is not known
    is_cut: bool = False  # the sensor's data, or a JPEG, lie beyond the end of the file


@dataclass(slots=True)
class _Found:
    """What a reader collects."""

    data: bytes
    tags: tuple[Directory, Directory, Directory] = ({}, {}, {})
    spans: list[tuple[int, int]] = field(default_factory=list)  # where a JPEG may lie
    values: list[tuple[int, int]] = field(default_factory=list)  # where the sensor's lie
    size: tuple[int, int] | None = None
    samples: int = 1

    def take_tags(self, block: bytes) -> None:
        """The tags of a TIFF or of an EXIF block."""
        main = tiff_directory(block)
        self.tags = main, _directory(block, main, _EXIF), _directory(block, main, _GPS)


def parts_of(data: bytes, format: str) -> RawParts:
    """The parts of a RAW file of a format of RAW_FORMATS."""
    found = _Found(data)
    with suppress(struct.error):  # where the file is cut off: what was found until there counts
        _READERS.get(format, _tiff)(found)
    main, exif, gps = found.tags
    across, down = (_number(exif, tag) for tag in (_PIXELS_ACROSS, _PIXELS_DOWN))
    return RawParts(
        main=main,
        exif=exif,
        gps=gps,
        jpegs=tuple((size, each) for each in _jpegs(data, found.spans) if (size := jpeg.size(each)) is not None),
        size=found.size or ((across, down) if across and down else None),
        samples=found.samples,
        values=tuple(found.values),
        is_cut=any(end > len(data) for _, end in (*found.values, *found.spans)),
    )


def _jpegs(data: bytes, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """What begins as a JPEG in these places; they may lie upon each other, so no more than the file has bytes."""
    left = len(data)
    for start, end in sorted(set(spans), key=lambda span: span[0] - span[1])[:_MOST]:
        if end - start <= left and data.startswith(b"\xff\xd8\xff", start):
            left -= end - start
            yield data[start:end]


def _directory(block: bytes, main: Directory, tag: int) -> Directory:
    at = _number(main, tag)
    return tiff_directory(block, at) if at else {}


def _number(directory: Directory, tag: int) -> int:
    """The first value of a tag as a whole number above 0, else 0."""
    value = directory.get(tag, (0,))[0]
    return value if isinstance(value, int) and value > 0 else 0


# Formats ------------------------------------------------------------------------------------------------------------


def _tiff(found: _Found) -> None:
    """CR2, NEF, ARW, DNG, PEF, SRW, IIQ...; ORF, which has another number at its beginning."""
    found.take_tags(found.data)
    for page in tiff_tree(found.data, _TAGS):
        start, length = _number(page, _JPEG_START), _number(page, _JPEG_LENGTH)
        found.spans += [(start, start + length)] if start and length else []
        stored = [(start, end) for start, end in strips(page) if start != 0xFFFFFFFF]
        is_sensor = page.get(_COLOURS, (0,))[0] in SENSOR_COLOURS
        size = _number(page, _WIDTH), _number(page, _HEIGHT)
        if is_sensor and (found.size is None or size > found.size):
            found.size, found.samples = size, _number(page, _SAMPLES) or 1
        is_preview = page.get(_COMPRESSION, (0,))[0] in (6, 7) and not _number(page, _SUBFILE) & ~_PREVIEW
        if is_preview and not is_sensor and len(stored) == 1:
            found.spans += stored
        else:
            found.values += stored


def _panasonic(found: _Found) -> None:
    """RW2: a TIFF with tags of its own, a whole JPEG as a value, and packed values of a byte and more."""
    _tiff(found)
    main, exif, gps = found.tags
    width, height, start = (_number(main, tag) for tag in (0x0002, 0x0003, 0x0118))
    found.values += [(start, max(start + width * height, len(found.data)))] if start else []
    found.size = (width, height) if width and height else None
    for tag in (0x002E, 0x0127):
        value = main.get(tag, (b"",))[0]
        at = found.data.find(value) if isinstance(value, bytes) and value[:2] == b"\xff\xd8" else -1
        if isinstance(value, bytes) and at >= 0:
            found.spans.append((at, at + len(value)))
            inner = next(iter(jpeg.exif_blocks(value)), b"")
            found.tags = main, {**_directory(inner, tiff_directory(inner), _EXIF), **exif}, gps


def _fuji(found: _Found) -> None:
    """RAF: a whole JPEG with all tags, then the sensor's data."""
    start, length = struct.unpack_from(">II", found.data, 84)
    found.spans.append((start, start + length))
    found.take_tags(next(iter(jpeg.exif_blocks(found.data[start : start + length])), b""))
    start, length = struct.unpack_from(">II", found.data, 100)
    found.values += [(start, start + length)] if length else []


_CANON_TAGS = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")  # the boxes of users are told apart by such numbers
_CANON_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
_ADOBE_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def _canon(found: _Found) -> None:
    """CR3: an ISO media file; tags in boxes CMT1, CMT2 and CMT4, JPEGs in PRVW and in the first track."""
    data = found.data
    tags: dict[bytes, Directory] = {}
    for box in islice(_below(data, Chunk(b"", 0, len(data))), _MOST_RECORDS):
        uuid = data[box.start : box.start + 16] if box.name == b"uuid" else b""
        if uuid == _CANON_TAGS:
            for inner in boxes(data, box.start + 16, box.end):
                if inner.name in (b"CMT1", b"CMT2", b"CMT4"):
                    tags[inner.name] = tiff_directory(data[inner.start : inner.end])
        elif uuid == _CANON_PREVIEW:
            for inner in boxes(data, box.start + 24, box.end):
                at = data.find(b"\xff\xd8\xff", inner.start, inner.end)
                found.spans += [(at, inner.end)] if inner.name == b"PRVW" and at >= 0 else []
        elif uuid == _ADOBE_XMP:
            tags[b"CMT1"] = {**tags.get(b"CMT1", {}), _XMP: (data[box.start + 16 : box.end],)}
        elif box.name == b"stbl":
            found.spans += _sample(data, box)
        elif box.name == b"mdat":
            found.values.append((box.start, box.end))
    found.tags = tags.get(b"CMT1", {}), tags.get(b"CMT2", {}), tags.get(b"CMT4", {})
    size = _number(found.tags[0], _WIDTH), _number(found.tags[0], _HEIGHT)
    found.size = size if all(size) else None


def _below(data: bytes, box: Chunk) -> Iterator[Chunk]:
    """The boxes in a box, and those that lead to the samples of a track."""
    for inner in boxes(data, box.start, box.end):
        yield inner
        if inner.name in (b"moov", b"trak", b"mdia", b"minf"):
            yield from _below(data, inner)


def _sample(data: bytes, table: Chunk) -> Iterator[tuple[int, int]]:
    """Where the first sample of a track lies."""
    known = {box.name: box.start for box in boxes(data, table.start, table.end)}
    if b"stsz" in known and b"co64" in known:
        size, count, first = struct.unpack_from(">III", data, known[b"stsz"] + 4)
        (start,) = struct.unpack_from(">Q", data, known[b"co64"] + 8)
        if count:
            yield start, start + (size or first)


def _minolta(found: _Found) -> None:
    """MRW: blocks of a name and a length, of which TTW is a TIFF; the sensor's data follow, 12 bits and more each."""
    data = found.data
    at, end = 8, 8 + struct.unpack_from(">I", data, 4)[0]
    while at + 8 <= min(end, len(data)):
        name, length = struct.unpack_from(">4sI", data, at)
        if name == b"\0TTW":
            found.take_tags(data[at + 8 : at + 8 + length])
        elif name == b"\0PRD":
            height, width = struct.unpack_from(">HH", data, at + 16)
            found.size = (width, height)
            found.values.append((end, max(end + width * height * 3 // 2, len(data))))
        at += 8 + length


_CIFF_FOLDERS = (0x2800, 0x3000)  # types of records that hold further records
_DEEPEST = 5  # folders in folders


def _ciff(found: _Found) -> None:
    """CRW of Canon's first cameras (CIFF): a heap of records with its directory at the end."""
    data = found.data
    records = dict(islice(_records(data, struct.unpack_from("<I", data, 2)[0], len(data), 0), _MOST_RECORDS))
    main: dict[int, tuple[Any, ...]] = {}
    exif: dict[int, tuple[Any, ...]] = {}

    def value(tag: int) -> bytes:
        return data[slice(*records.get(tag, (0, 0)))]

    make, _, model = value(0x080A).partition(b"\0")
    for tag, text in ((_MAKE, make), (_MODEL, model), (_ARTIST, value(0x0810))):
        main[tag] = (text.split(b"\0")[0].decode("latin-1"),)
    if len(time := value(0x180E)) >= 4 and (seconds := struct.unpack_from("<I", time)[0]):
        exif[_ORIGINAL] = (f"{datetime.fromtimestamp(seconds, UTC):%Y:%m:%d %H:%M:%S}",)  # the camera's own clock
    if len(serial := value(0x180B)) >= 4:
        exif[_SERIAL] = (f"{struct.unpack_from('<I', serial)[0]:010}",)
    if len(image := value(0x1810)) >= 16:
        width, height, _, turn = struct.unpack_from("<IIfi", image)
        found.size = (width, height)
        main[_ORIENTATION] = ({90: 6, 180: 3, 270: 8}.get(turn % 360, 1),)
    found.tags = main, exif, {}
    found.spans += [records[0x2007]] if 0x2007 in records else []
    found.values += [records[0x2005]] if 0x2005 in records else []


def _records(data: bytes, start: int, end: int, depth: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """The records of a heap: kind, and where its value lies."""
    (place,) = struct.unpack_from("<I", data, end - 4)
    (count,) = struct.unpack_from("<H", data, start + place)
    for at in range(start + place + 2, min(start + place + 2 + 10 * count, end - 9), 10):
        kind, size, offset = struct.unpack_from("<HII", data, at)
        within = (at + 2, at + 10) if kind & 0xC000 == 0x4000 else (start + offset, start + offset + size)
        kind &= 0x3FFF
        yield kind, within
        if kind & 0x3800 in _CIFF_FOLDERS and depth < _DEEPEST and within[1] <= len(data) and size >= 6:
            yield from _records(data, within[0], within[1], depth + 1)


def _nothing(found: _Found) -> None:
    """X3F: only LibRaw knows it."""


_READERS: Mapping[str, Callable[[_Found], None]] = {
    "CR3": _canon,
    "CRW": _ciff,
    "MRW": _minolta,
    "RAF": _fuji,
    "RW2": _panasonic,
    "X3F": _nothing,
}
