"""A file without what is broken beside its picture: decoders refuse the whole file for one such part.

Each function returns the same bytes where it finds nothing to leave out.
"""

import re
import struct
import zlib

from birdsearch.photos import jpeg
from birdsearch.photos.containers import Chunk, png_chunks, riff_chunks, tiff_lost_entries
from birdsearch.photos.items import MediaItems

_SEGMENTS = ((0xE0, b"JFIF", 14), (0xE2, b"ICC_PROFILE\0", 15), (0xEE, b"Adobe", 12))  # marker, name, least length
_TEXTS = frozenset((b"eXIf", b"tEXt", b"zTXt", b"iTXt"))  # of a PNG: read although their checksum is wrong
_LENGTHS = {b"gAMA": 4, b"sRGB": 1, b"pHYs": 9, b"cHRM": 32, b"tIME": 7}  # that such a chunk of a PNG has at least
_TRANSPARENT = {b"\0": 2, b"\2": 6, b"\3": 1}  # kind of colour of a PNG -> the least length of its tRNS
_PACKED = re.compile(rb"([^\0]+)\0\0")
_PACKED_TEXTS = {  # of a PNG: the name of the chunk -> what stands before the compressed text
    b"zTXt": _PACKED,
    b"iTXt": re.compile(rb"([^\0]+)\x00\x01\x00([^\0]*\0[^\0]*\0)"),
}
_LONGEST_TEXTS = 32 << 20  # bytes of all compressed texts of a PNG; the history in an XMP takes megabytes
_WEBP_PICTURE = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_BESIDE = 0x04 | 0x08  # flags of VP8X: XMP and EXIF follow
_DESCRIBING = frozenset((*range(0x010D, 0x0111), 0x011A, 0x011B, 0x0131, 0x0132, 0x013B, 0x013C, 0x02BC))
_PRIVATE = 0x4000  # from here on a tag of a TIFF is no part of the picture: ratings, EXIF, IPTC, profiles


def bare_jpeg(data: bytes) -> bytes:
    """Without the segments of applications that are cut short."""
    pieces, at = [], 0
    for each in jpeg.segments(data, header=True):
        if any(
            each.marker == marker and data.startswith(name, each.start) and each.end - each.start < least
            for marker, name, least in _SEGMENTS
        ):
            pieces.append(data[at : each.start - 4])
            at = each.end
    return b"".join((*pieces, data[at:]))


def bare_png(data: bytes) -> bytes:
    """Without the ancillary chunks that are broken; texts and EXIF stay, with a checksum that is right."""
    pieces, at, most = [], 0, _LONGEST_TEXTS
    for chunk in png_chunks(data):
        if chunk.name[0] & 0x20 and chunk.end + 4 <= len(data):
            pieces.append(data[at : chunk.start - 8])
            at = chunk.end + 4
            name, body = _plain(chunk.name, data[chunk.start : chunk.end], most)
            most -= len(body) if chunk.name in _PACKED_TEXTS else 0
            if most > 0 and _is_sound(data, chunk):
                pieces += [struct.pack(">I", len(body)), name, body, struct.pack(">I", zlib.crc32(name + body))]
    return b"".join((*pieces, data[at:]))


def _is_sound(data: bytes, chunk: Chunk) -> bool:
    """Whether a chunk that is not needed for the picture can be read."""
    name, body = chunk.name, data[chunk.start : chunk.end]
    least = _TRANSPARENT.get(data[25:26], 0) if name == b"tRNS" else _LENGTHS.get(name, 0)
    if len(body) < least or (name in (b"iCCP", b"zTXt") and not _PACKED.match(body)):
        return False
    return name in _TEXTS or zlib.crc32(name + body) == int.from_bytes(data[chunk.end : chunk.end + 4], "big")


def _plain(name: bytes, body: bytes, most: int) -> tuple[bytes, bytes]:
    """Name and content of a chunk; of a compressed text without compression: that Pillow reads at any length."""
    match = _PACKED_TEXTS[name].match(body) if name in _PACKED_TEXTS else None
    if match is None:
        return name, body
    try:
        text = zlib.decompressobj().decompress(body[match.end() :], max(1, most))
    except zlib.error:
        text = b""
    head = match[1] + b"\0"
    return (b"tEXt", head + text) if name == b"zTXt" else (name, head + b"\0\0" + match[2] + text)


def bare_webp(data: bytes) -> bytes:
    """The chunks of the picture alone, with the lengths that they have."""
    pieces = [b"WEBP"]
    for chunk in riff_chunks(data):
        if chunk.name in _WEBP_PICTURE and chunk.end <= len(data):
            content = data[chunk.start : chunk.end]
            if chunk.name == b"VP8X" and content:
                content = bytes((content[0] & ~_WEBP_BESIDE,)) + content[1:]
            pieces += [chunk.name, struct.pack("<I", len(content)), content, b"\0" * (len(content) % 2)]
    body = b"".join(pieces)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bare_media(data: bytes) -> bytes:
    """AVIF and its relatives, their items of EXIF renamed: one that begins with a wrong offset is a refusal."""
    made = bytearray(data)
    for place in MediaItems.of(data).kind_places:
        if data.startswith(b"Exif", place):
            made[place : place + 4] = b"free"
    return bytes(made)


def bare_tiff(data: bytes) -> bytes:
    """With a zero for each value that describes the picture and does not lie in the file."""
    made = bytearray(data)
    for tag, place, length, zero in tiff_lost_entries(data):
        if tag in _DESCRIBING or tag >= _PRIVATE:
            made[place : place + length] = zero
    return bytes(made)
