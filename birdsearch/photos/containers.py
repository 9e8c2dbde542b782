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


STRIPS = frozenset((0x0111, 0x0117, 0x0144, 0x0145))  # where strips and tiles begin, and how long they are
# What is read: type of page, size, bits, compression, strips, tiles, further directories, JPEG tables, layers, and the
# index of a JPEG of several pictures.
TAGS = frozenset((0x00FE, 0x0100, 0x0101, 0x0102, 0x0103, 0x0115, 0x0116, 0x014A, 0x015B, 0x935C, 0xB002)) | STRIPS
_LOWER = 0x014A
Values = tuple[int | float | bytes | str, ...]
Directory = Mapping[int, Values]  # tag -> its values; of bytes and texts one value

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {3: "H", 4: "I", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TEXT, _BYTES, _RATIONALS = 2, 7, {5: "I", 10: "i"}


def tiff_directory(data: bytes, at: int | None = None, order: bytes = b"") -> Directory:
    """Every entry of one directory of a TIFF or an EXIF block, the first one without `at`; a bad entry costs itself.

    `order` is b"II" or b"MM" where the data do not begin with it, as a maker's note.
    """
    tiff = _Tiff(data, order or data[:4])
    if at is None:
        at = tiff.pointer(tiff.first)
    return {} if at is None else tiff.directory(at, None)[0]


def tiff_directories(data: bytes, tags: Set[int] = TAGS) -> Iterator[Directory]:
    """The directories of a TIFF, one for each page, with the entries of these tags. A lost page is an empty one."""
    tiff = _Tiff(data, data[:4])
    seen: set[int] = set()
    pointer: int | None = tiff.first
    while pointer is not None and len(seen) < MAX_DIRECTORIES and tiff.values > 0:
        at = tiff.pointer(pointer)
        if at == 0:
            return
        if at is None or at in seen:
            yield {}
            return
        seen.add(at)
        page, pointer = tiff.directory(at, tags)
        yield page


def tiff_tree(data: bytes, tags: Set[int]) -> Iterator[Directory]:
    """The directories of a TIFF and those below them (SubIFDs), with the entries of these tags."""
    tiff = _Tiff(data, data[:4])
    waiting = [tiff.pointer(tiff.first)]
    seen: set[int] = set()
    while waiting and len(seen) < MAX_DIRECTORIES and tiff.values > 0:
        at = waiting.pop(0)
        if not isinstance(at, int) or at <= 0 or at in seen:
            continue
        seen.add(at)
        page, following = tiff.directory(at, tags | {_LOWER})
        waiting += [each for each in page.get(_LOWER, ()) if isinstance(each, int)]
        waiting += [] if following is None else [tiff.pointer(following)]
        yield page


def tiff_lost_entries(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The entries of the first directory whose values do not lie in the data.

    Each is its tag, its place and length, and the bytes of an entry of this tag that holds one zero.
    """
    tiff = _Tiff(data, data[:4])
    at = tiff.pointer(tiff.first)
    if at is not None:
        code, length = ("HHQ8s", 20) if tiff.big else ("HHI4s", 12)
        for place in tiff.entries(at)[0][:MAX_VALUES]:
            if tiff.entry(place, None) is None:
                (tag,) = struct.unpack_from(tiff.order + "H", data, place)
                yield tag, place, length, struct.pack(tiff.order + code, tag, _BYTES, 1, b"")


def strips(page: Directory) -> Iterator[tuple[int, int]]:
    """Where the strips or tiles of a page begin and end in the file."""
    for offsets, counts in ((0x0111, 0x0117), (0x0144, 0x0145)):
        for offset, count in zip(page.get(offsets, ()), page.get(counts, ()), strict=False):
            if isinstance(offset, int) and isinstance(count, int):
                yield offset, offset + count


class _Tiff:
    """Numbers and directories of a TIFF; of those that lie upon each other only so much is read."""

    def __init__(self, data: bytes, head: bytes) -> None:
        self.data = data
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = head[2:4] in (b"+\0", b"\0+")
        self.word = "Q" if self.big else "I"  # code of a place in the file
        self.first = 8 if self.big else 4  # where the place of the first directory stands
        self.values = MAX_VALUES  # numbers and entries that may still be read
        self.bytes = 2 * len(data)  # that may still be copied: no file needs more than its own length

    def pointer(self, place: int) -> int | None:
        """The number at a place that says where something lies; None beyond the end."""
        if place + struct.calcsize(self.word) > len(self.data):
            return None
        at: int = struct.unpack_from(self.order + self.word, self.data, place)[0]
        return at

    def directory(self, at: int, tags: Set[int] | None) -> tuple[Directory, int | None]:
        """The entries of these tags, or all, of the directory at a place, and where that of the next one stands."""
        entries, end = self.entries(at)
        found: dict[int, Values] = {}
        for place in entries[: self.values]:
            if (known := self.entry(place, tags)) is not None:
                found[known[0]] = known[1]
        self.values -= len(entries)
        return found, end

    def entries(self, at: int) -> tuple[range, int | None]:
        """Where the entries of the directory at a place stand, and the place of the next directory."""
        code, entry = ("Q", 20) if self.big else ("H", 12)
        start = at + struct.calcsize(code)
        if start > len(self.data):
            return range(0), None
        end = start + entry * struct.unpack_from(self.order + code, self.data, at)[0]
        return range(start, min(end, len(self.data) - entry + 1), entry), end

    def entry(self, at: int, tags: Set[int] | None) -> tuple[int, Values] | None:
        """Tag and values of an entry; None where it is not one of `tags` or its values do not lie in the data."""
        data, order = self.data, self.order
        tag, kind, count = struct.unpack_from(order + ("HHQ" if self.big else "HHI"), data, at)
        inline, place = (8, at + 12) if self.big else (4, at + 8)
        size = _SIZES.get(kind, 0) * count
        if (tags is not None and tag not in tags) or not size:
            return None
        if size > inline:
            (place,) = struct.unpack_from(order + self.word, data, place)
        if place + size > len(data):
            return None
        if kind not in _CODES and kind not in _RATIONALS:
            if size > self.bytes:
                return None
            self.bytes -= size
            value = data[place : place + size]
            return tag, (value.decode("latin-1") if kind == _TEXT else value,)
        if count > self.values:
            return None
        self.values -= count
        if kind in _CODES:
            return tag, struct.unpack_from(f"{order}{count}{_CODES[kind]}", data, place)
        numbers = struct.unpack_from(f"{order}{2 * count}{_RATIONALS[kind]}", data, place)
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return tag, tuple(above / below if below else math.nan for above, below in pairs)
