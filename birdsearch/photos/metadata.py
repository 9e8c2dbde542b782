"""What is written in a file beside its pixels: the entries of EXIF, XMP and IPTC; a broken one costs only itself."""

import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from PIL import Image

from birdsearch.photos import xmp
from birdsearch.photos.containers import Directory, tiff_directories, tiff_directory
from birdsearch.photos.raw_parts import RawParts

Tags = Mapping[int, Any]  # tag -> its value, a tuple where it has several

_ORIENTATION, _XMP, _IPTC, _EXIF, _GPS = 0x0112, 0x02BC, 0x83BB, 0x8769, 0x8825
_COLOUR_SPACE, _INTEROPERABILITY = 0xA001, 0xA005
_THUMBNAIL_START, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_PHOTOSHOP_IPTC = 0x0404  # the resource of Photoshop that holds IPTC
_IPTC_MARK, _IPTC_CONTENT, _IPTC_LONG = 0x1C, 2, 0x8000  # a data set begins; record of the content; 32 KB and more


@dataclass(frozen=True, slots=True)
class Metadata:
    """The entries of one file, as they stand there."""

    tags: Tags = field(default_factory=dict)  # of the main and the Exif directory
    gps: Tags = field(default_factory=dict)
    xmp: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of xmp.properties
    iptc: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)  # number of a data set of the content -> texts
    thumbnail: bytes = b""  # the small picture in EXIF


def of(image: Image.Image, data: bytes) -> Metadata:
    """The metadata of an image that was opened from these bytes."""
    parts = getattr(image, "parts", None)  # of a camera RAW
    block = _block(image, data) if parts is None else data
    if parts is not None:
        main, exif, gps = map(_plain, (parts.main, parts.exif, parts.gps))
    else:
        main = _directory(block or b"")
        exif, gps = _lower(block, main.get(_EXIF)), _lower(block, main.get(_GPS))
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or main.get(_XMP) or b""
    return Metadata(
        tags={**main, **exif},
        gps=gps,
        xmp=xmp.properties(packet.encode("utf-8", "ignore") if isinstance(packet, str) else bytes(packet)),
        iptc=_data_sets(_iptc_block(image, main, block or b"")),
        thumbnail=_thumbnail(block or b"") if block is not data else b"",
    )


def of_raw(parts: RawParts) -> Metadata:
    """The metadata of a camera RAW of which no picture was opened."""
    main, exif, gps = map(_plain, (parts.main, parts.exif, parts.gps))
    return Metadata(tags={**main, **exif}, gps=gps)


def is_adobe_rgb(image: Image.Image, data: bytes) -> bool:
    """Whether EXIF says so, as cameras write it, without a colour profile (DCF optional file)."""
    block = _block(image, data)
    exif = _lower(block, _directory(block or b"").get(_EXIF))
    space, index = number(exif.get(_COLOUR_SPACE)), _lower(block, exif.get(_INTEROPERABILITY)).get(1)
    return space == 2 or (space == 0xFFFF and isinstance(index, str) and index.startswith("R03"))


def orientation(image: Image.Image) -> int:
    """How a loaded image has to be turned, as EXIF numbers it; 1 where nothing says so, or its decoder turned it."""
    if (known := getattr(image, "orientation", None)) is not None:
        return int(known)  # of a camera RAW, whose JPEG may stand upright already
    if image.format == "HEIF":
        return 1  # how it is turned is a property of the picture there, whatever EXIF says beside it
    block = _exif_block(image)
    value = None if block is None else number(_directory(block).get(_ORIENTATION))
    if value is None:
        with suppress(Exception):  # Garbage beside good pixels costs nothing but itself.
            value = number(image.getexif().get(_ORIENTATION))  # in XMP, or in a TIFF that is not turned yet
    return 1 if value is None else int(value)


def number(value: Any) -> float | None:
    """A value as a number, of whatever type it was written; None where it is none."""
    if isinstance(value, tuple | list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bytes):
        value = value[0] if len(value) == 1 else value.decode("latin-1")
    try:
        found = float(value.strip("\0 ") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) < 2**63 else None  # neither infinite nor no number


def _block(image: Image.Image, data: bytes) -> bytes | None:
    """The TIFF that EXIF is, of any format."""
    block = _exif_block(image)
    return data if block is None and image.format == "TIFF" else block


def _exif_block(image: Image.Image) -> bytes | None:
    """The TIFF that EXIF is, of any format but TIFF."""
    block = image.info.get("exif") or _raw_profile(image, "exif")
    if not isinstance(block, bytes):
        return None
    while block.startswith(b"Exif\0\0"):  # which some write twice
        block = block[6:]
    return block


def _raw_profile(image: Image.Image, name: str) -> bytes | None:
    """What ImageMagick writes into a PNG: a name, a length, and the bytes as hex digits."""
    text = image.info.get(f"Raw profile type {name}")
    with suppress(ValueError, AttributeError):
        return bytes.fromhex("".join(text.split("\n")[3:])) if text else None
    return None


def _directory(block: bytes, at: int | None = None) -> dict[int, Any]:
    return _plain(tiff_directory(block, at))


def _plain(directory: Directory) -> dict[int, Any]:
    """Single values as they are, several as a tuple."""
    return {tag: value[0] if len(value) == 1 else value for tag, value in directory.items()}


def _lower(block: bytes | None, start: Any) -> dict[int, Any]:
    at = number(start)
    return {} if block is None or at is None or at < 0 else _directory(block, int(at))


def _thumbnail(block: bytes) -> bytes:
    """The small picture: the directory behind the main one says where it lies."""
    directories = tiff_directories(block, frozenset((_THUMBNAIL_START, _THUMBNAIL_LENGTH)))
    found = next(islice(directories, 1, None), {})
    start, length = number(found.get(_THUMBNAIL_START)), number(found.get(_THUMBNAIL_LENGTH))
    if start is not None and length is not None and start >= 0 < length:
        return block[int(start) : int(start + length)]
    return b""


def _iptc_block(image: Image.Image, main: Tags, block: bytes) -> bytes:
    photoshop = image.info.get("photoshop")
    found = photoshop.get(_PHOTOSHOP_IPTC) if isinstance(photoshop, dict) else main.get(_IPTC)
    if isinstance(found, tuple):  # some write the bytes of it as numbers of four
        with suppress(struct.error):
            return struct.pack(f"{'<' if block[:2] == b'II' else '>'}{len(found)}I", *found)
    found = found or _raw_profile(image, "iptc") or b""
    return found[found.find(_IPTC_MARK) :] if isinstance(found, bytes) and _IPTC_MARK in found else b""


def _data_sets(block: bytes) -> dict[int, tuple[bytes, ...]]:
    """The data sets of the content in a block of IPTC (IIM 4.2, chapter 1)."""
    found: dict[int, tuple[bytes, ...]] = {}
    at = 0
    while at + 5 <= len(block) and block[at] == _IPTC_MARK:
        record, data_set, length = struct.unpack_from(">BBH", block, at + 1)
        at += 5
        if length & _IPTC_LONG or at + length > len(block):
            break
        if record == _IPTC_CONTENT:
            found[data_set] = (*found.get(data_set, ()), block[at : at + length])
        at += length
    return found
