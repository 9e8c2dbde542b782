"""The pictures and other items of a HEIC or AVIF file (ISO/IEC 23008-12), without their pixels."""

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from birdsearch.photos.containers import Chunk, boxes

_PICTURES = frozenset((b"hvc1", b"av01", b"grid", b"iovl", b"iden", b"jpeg", b"avc1", b"vvc1", b"unci", b"j2k1"))
_AUXILIARY = (  # part of the name of an auxiliary picture -> what it is; alpha is seen in the pixels
    (b"gainmap", "a gain map (HDR)"),
    (b"auxid:2", "a depth map"),
    (b"depth", "a depth map"),
    (b"disparity", "a depth map"),
    (b"matte", "a portrait matte"),
)
_ALPHA = (b"auxid:1", b"alpha")
MAX_ITEMS = 100_000
_TIFF, _LONGEST_HEAD = re.compile(rb"II\*\0|MM\0\*"), 64  # begins a block of EXIF; so many bytes may stand before it
_MAX_EXTENTS = 16  # of EXIF, which programs write as one


@dataclass(slots=True)
class MediaItems:
    """What the `meta` box of a file says; garbage in it is left out."""

    data: bytes
    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)  # item -> its type
    kind_places: list[int] = field(default_factory=list)  # where in the file the type of each item stands
    hidden: set[int] = field(default_factory=set)
    references: dict[bytes, list[tuple[int, tuple[int, ...]]]] = field(default_factory=dict)  # type -> (from, to)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    owned: dict[int, list[int]] = field(default_factory=dict)  # item -> its properties, from 1
    unread: int = 0  # bytes that may still be hashed: no file needs more than its own length
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # item -> (start, end) in the file

    @classmethod
    def of(cls, data: bytes) -> "MediaItems":
        """The items of a file."""
        made = cls(data)
        meta = next((box for box in boxes(data) if box.name == b"meta"), None)
        if meta is not None:
            inner = {box.name: box for box in boxes(data, meta.start + 4, meta.end)}
            for name, read in _READERS.items():
                if name in inner:
                    try:
                        read(made, inner[name], inner)
                    except (struct.error, IndexError):
                        continue  # what is there so far counts
        return made

    def bits(self) -> int:
        """The bits of a channel of the first picture."""
        for kind, payload in self.primary_properties():
            if kind == b"pixi" and len(payload) > 5:
                return max(payload[5 : 5 + payload[4]])
            if kind == b"av1C" and len(payload) > 2:
                return (12 if payload[2] & 0x20 else 10) if payload[2] & 0x40 else 8
            if kind == b"hvcC" and len(payload) > 17:
                return (payload[17] & 7) + 8
        return 8

    def primary_properties(self) -> Iterator[tuple[bytes, bytes]]:
        """Type and content of each property of the first picture, or of the tiles that make it up."""
        tiles = [to for start, to in self.references.get(b"dimg", ()) if start == self.primary]
        for item in (self.primary, *(tiles[0][:1] if tiles else ())):
            yield from self._properties_of(item)

    def further(self) -> Iterator[tuple[str, str]]:
        """Every picture besides the first one, its tiles and its thumbnails: what it is, and its sha256."""
        self.unread = 2 * len(self.data)
        parts = {item for _, to in self.references.get(b"dimg", ()) for item in to}
        thumbnails = {start for start, _ in self.references.get(b"thmb", ())}
        auxiliary = {start for start, _ in self.references.get(b"auxl", ())}
        for item, kind in sorted(self.kinds.items()):
            if kind == b"tmap":
                yield "a gain map (HDR)", self._sha256(item)
            elif kind not in _PICTURES or item == self.primary or item in parts or item in thumbnails:
                continue
            elif item in auxiliary:
                words = self._auxiliary(item)
                if words is not None:
                    yield words, self._sha256(item)
            elif item not in self.hidden:
                yield "a further picture", self._sha256(item)

    def exif(self) -> bytes:
        """The block of EXIF, wherever in its item it begins; empty where there is none."""
        for item in (item for item, kind in self.kinds.items() if kind == b"Exif"):
            content = b"".join(self.data[start:end] for start, end in self.extents.get(item, ())[:_MAX_EXTENTS])
            if found := _TIFF.search(content, 0, _LONGEST_HEAD):
                return content[found.start() :]
        return b""

    def _auxiliary(self, item: int) -> str | None:
        name = b"".join(payload for kind, payload in self._properties_of(item) if kind == b"auxC").lower()
        if any(sign in name for sign in _ALPHA):
            return None
        return next((words for sign, words in _AUXILIARY if sign in name), "an auxiliary picture")

    def _properties_of(self, item: int) -> Iterator[tuple[bytes, bytes]]:
        for number in self.owned.get(item, ()):
            if 0 < number <= len(self.properties):
                yield self.properties[number - 1]

    def _sha256(self, item: int) -> str:
        """The sha256 of an item, and of the tiles that it is made of; of its places only where items overlap a lot."""
        tiles = [each for start, to in self.references.get(b"dimg", ()) if start == item for each in to]
        digest = hashlib.sha256()
        for start, end in (place for each in (item, *tiles) for place in self.extents.get(each, ())):
            self.unread -= max(0, min(end, len(self.data)) - start)
            digest.update(self.data[start:end] if self.unread >= 0 else f"{start}-{end}".encode())
        return digest.hexdigest()

    # The boxes inside `meta`

    def _read_primary(self, box: Chunk, _inner: dict[bytes, Chunk]) -> None:
        self.primary = struct.unpack_from(">I" if self.data[box.start] else ">H", self.data, box.start + 4)[0]

    def _read_infos(self, box: Chunk, _inner: dict[bytes, Chunk]) -> None:
        start = box.start + (8 if self.data[box.start] else 6)
        for info in boxes(self.data, start, box.end):
            version = self.data[info.start]
            if info.name == b"infe" and version >= 2 and len(self.kinds) < MAX_ITEMS:
                code = ">I" if version == 3 else ">H"
                (item,) = struct.unpack_from(code, self.data, info.start + 4)
                at = info.start + 4 + struct.calcsize(code) + 2
                self.kinds[item] = self.data[at : at + 4]
                self.kind_places.append(at)
                if self.data[info.start + 3] & 1:
                    self.hidden.add(item)

    def _read_references(self, box: Chunk, _inner: dict[bytes, Chunk]) -> None:
        code = "I" if self.data[box.start] else "H"
        size = struct.calcsize(">" + code)
        for reference in boxes(self.data, box.start + 4, box.end):
            start, count = struct.unpack_from(f">{code}H", self.data, reference.start)
            to = struct.unpack_from(f">{count}{code}", self.data, reference.start + size + 2)
            self.references.setdefault(reference.name, []).append((start, to))

    def _read_properties(self, box: Chunk, _inner: dict[bytes, Chunk]) -> None:
        for part in boxes(self.data, box.start, box.end):
            if part.name == b"ipco":
                inside = boxes(self.data, part.start, part.end)
                self.properties = [(each.name, self.data[each.start : each.end]) for each in inside]
            elif part.name == b"ipma":
                self._read_owners(part)

    def _read_owners(self, box: Chunk) -> None:
        version, wide = self.data[box.start], self.data[box.start + 3] & 1
        (count,) = struct.unpack_from(">I", self.data, box.start + 4)
        at = box.start + 8
        for _ in range(min(count, MAX_ITEMS)):
            code = ">IB" if version else ">HB"
            item, owned = struct.unpack_from(code, self.data, at)
            at += struct.calcsize(code)
            numbers = struct.unpack_from(f">{owned}{'H' if wide else 'B'}", self.data, at)
            at += owned * (2 if wide else 1)
            self.owned.setdefault(item, []).extend(number & (0x7FFF if wide else 0x7F) for number in numbers)

    def _read_places(self, box: Chunk, inner: dict[bytes, Chunk]) -> None:
        data, version = self.data, self.data[box.start]
        sizes = data[box.start + 4 : box.start + 6]
        offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
        index_size = sizes[1] & 15 if version else 0
        (count,) = struct.unpack_from(">I" if version == 2 else ">H", data, box.start + 6)
        at = box.start + (10 if version == 2 else 8)

        def number(size: int) -> int:
            nonlocal at
            if at + size > len(data):
                raise IndexError(at)
            at += size
            return int.from_bytes(data[at - size : at], "big")

        most = MAX_ITEMS
        for _ in range(min(count, MAX_ITEMS)):
            item = number(4 if version == 2 else 2)
            method = number(2) & 15 if version else 0
            number(2)
            base, extents = number(base_size), number(2)
            most -= extents  # which may take no bytes at all
            start = inner[b"idat"].start if method == 1 and b"idat" in inner else 0
            for _ in range(min(extents, most)):
                number(index_size)
                offset, length = number(offset_size), number(length_size)
                self.extents.setdefault(item, []).append((start + base + offset, start + base + offset + length))


_READERS: dict[bytes, Callable[[MediaItems, Chunk, dict[bytes, Chunk]], None]] = {
    b"pitm": MediaItems._read_primary,
    b"iinf": MediaItems._read_infos,
    b"iref": MediaItems._read_references,
    b"iprp": MediaItems._read_properties,
    b"iloc": MediaItems._read_places,
}
