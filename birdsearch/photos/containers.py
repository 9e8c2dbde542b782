"""The parts of which picture files are made: chunks, boxes, blocks and directories, without their pixels.

Each walk ends quietly where a file is cut off or holds garbage: what a decoder makes of it is the decoder's matter.
"""

import struct
from collections.abc import Iterator, Mapping
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
Directory = Mapping[int, tuple[int | float | bytes, ...]]  # tag -> its values; of bytes and texts one value

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {3: "H", 4: "I", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


def tiff_directories(data: bytes) -> Iterator[Directory]:
    """The directories of a TIFF, one for each page; rationals and floats are left out. A lost page is an empty one."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
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
        known: dict[int, tuple[int | float | bytes, ...]] = {}
        for place in entries[:values]:
            if (found := _entry(data, place, order, big, values)) is not None:
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
    data: bytes, at: int, order: str, big: bool, most: int
) -> tuple[int, tuple[int | float | bytes, ...]] | None:
    tag, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
    inline, word = (8, "Q") if big else (4, "I")
    size = _SIZES.get(kind, 0) * count
    place = at + (12 if big else 8)
    if size > inline:
        (place,) = struct.unpack_from(order + word, data, place)
    if tag not in TAGS or not size or place + size > len(data):
        return None
    if kind in _CODES:
        if count > most:
            return None
        return tag, struct.unpack_from(f"{order}{count}{_CODES[kind]}", data, place)
    return tag, (data[place : place + size],)
