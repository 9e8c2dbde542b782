"""The parts of which picture files are made: chunks, boxes, blocks and directories, without their pixels.

Each walk ends quietly where a file is cut off or holds garbage: what a decoder makes of it is the decoder's matter.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

MAX_DIRECTORIES = 10_000  # of a TIFF that are looked at...
MAX_VALUES = 2_000_000  # ...and entries and numbers in them: directories may lie upon each other


@dataclass(frozen=True, slots=True)
class Chunk:
    """A named piece of a file: its content is data[start:end]; `end` may lie beyond the data of a file cut off."""

    name: bytes
    start: int
    end: int


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG, their checksum the four bytes at `end`."""
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield Chunk(name, at + 8, at + 8 + length)
        if name == b"IEND":
            return
        at += 12 + length


def riff_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a WebP."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield Chunk(name, at + 8, at + 8 + length)
        at += 8 + length + length % 2


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Chunk]:
    """The boxes of an ISO media file, or of one of its boxes."""
    end = len(data) if end is None else min(end, len(data))
    at = start
    while at + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, at)
        header = 8
        if length == 1 and at + 16 <= end:
            (length,), header = struct.unpack_from(">Q", data, at + 8), 16
        elif length == 0:
            length = end - at
        if length < header:
            return
        yield Chunk(name, at + header, at + length)
        at += length


def gif_blocks(data: bytes) -> Iterator[Chunk]:
    """The blocks of a GIF: b"," is an image, b"!" an extension, b";" the end."""

    def sub_blocks(at: int) -> int:
        while at < len(data) and data[at]:
            at += 1 + data[at]
        return at + 1

    at = 13 + (3 << (1 + (data[10] & 7)) if len(data) > 10 and data[10] & 0x80 else 0)
    while at < len(data):
        kind, start = data[at : at + 1], at
        if kind == b"," and at + 10 <= len(data):
            flags = data[at + 9]
            at = sub_blocks(at + 11 + (3 << (1 + (flags & 7)) if flags & 0x80 else 0))
        elif kind == b"!":
            at = sub_blocks(at + 2)
        else:
            at = at + 1
        yield Chunk(kind, start, at)
        if kind not in (b",", b"!"):
            return


# What is read: type of page, size, bits, compression, strips, tiles, further directories, JPEG tables, layers, and the
# index of a JPEG of several pictures.
TAGS = frozenset(
    (0x00FE, 0x0100, 0x0101, 0x0102, 0x0103, 0x0111, 0x0115, 0x0116, 0x0117, 0x0144, 0x0145, 0x014A, 0x015B, 0x935C)
) | {0xB002}
Values = tuple[int | float | bytes | str, ...]
Directory = Mapping[int, Values]  # tag -> its values; of bytes and texts one value

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {3: "H", 4: "I", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TEXT, _RATIONALS = 2, {5: "I", 10: "i"}


def tiff_directory(data: bytes, at: int | None = None) -> Directory:
    """Every entry of one directory of a TIFF or an EXIF block, the first one without `at`; a bad entry costs itself."""
    order, big = _layout(data)
    word, count_code, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    head, pointer = struct.calcsize(count_code), 8 if big else 4
    if at is None:
        whole = pointer + struct.calcsize(word) <= len(data)
        at = struct.unpack_from(order + word, data, pointer)[0] if whole else len(data)
    if at + head > len(data):
        return {}
    (count,) = struct.unpack_from(order + count_code, data, at)
    places = range(at + head, min(at + head + count * entry, len(data) - entry + 1), entry)
    found = (_entry(data, place, (order, big), MAX_VALUES) for place in places[:MAX_VALUES])
    return dict(each for each in found if each is not None)


def _layout(data: bytes) -> tuple[str, bool]:
    """Byte order, and whether the numbers are those of a BigTIFF."""
    return "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")


def tiff_directories(data: bytes) -> Iterator[Directory]:
    """The directories of a TIFF, one for each page, with the entries of TAGS. A lost page is an empty one."""
    order, big = _layout(data)
    word, count_code, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    seen: set[int] = set()
    values = MAX_VALUES
    pointer = 8 if big else 4
    head = struct.calcsize(count_code)
    while len(seen) < MAX_DIRECTORIES and values > 0:
        whole = pointer + struct.calcsize(word) <= len(data)
        at = struct.unpack_from(order + word, data, pointer)[0] if whole else None
        if at is None or at in seen or at + head > len(data):
            yield {}
            return
        if not at:
            return
        seen.add(at)
        (count,) = struct.unpack_from(order + count_code, data, at)
        entries = range(at + head, min(at + head + count * entry, len(data) - entry + 1), entry)
        known: dict[int, Values] = {}
        for place in entries[:values]:
            if (found := _entry(data, place, (order, big), values, TAGS)) is not None:
                known[found[0]] = found[1]
                values -= len(found[1])
        values -= len(entries)
        yield known
        pointer = at + head + count * entry


def strips(page: Directory) -> Iterator[tuple[int, int]]:
    """Where the strips or tiles of a page begin and end in the file."""
    for offsets, counts in ((0x0111, 0x0117), (0x0144, 0x0145)):
        for offset, count in zip(page.get(offsets, ()), page.get(counts, ()), strict=False):
            if isinstance(offset, int) and isinstance(count, int):
                yield offset, offset + count


def _entry(
    data: bytes, at: int, layout: tuple[str, bool], most: int, tags: Set[int] | None = None
) -> tuple[int, Values] | None:
    """Tag and values of an entry; None where it is not one of `tags` or its values do not lie in the data."""
    order, big = layout
    tag, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
    inline, word = (8, "Q") if big else (4, "I")
    size = _SIZES.get(kind, 0) * count
    place = at + (12 if big else 8)
    if size > inline:
        (place,) = struct.unpack_from(order + word, data, place)
    if (tags is not None and tag not in tags) or not size or place + size > len(data):
        return None
    if kind in _RATIONALS or kind in _CODES:
        if count > most:
            return None
        if kind in _CODES:
            return tag, struct.unpack_from(f"{order}{count}{_CODES[kind]}", data, place)
        numbers = struct.unpack_from(f"{order}{2 * count}{_RATIONALS[kind]}", data, place)
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return tag, tuple(above / below if below else math.nan for above, below in pairs)
    value = data[place : place + size]
    return tag, (value.decode("latin-1") if kind == _TEXT else value,)
