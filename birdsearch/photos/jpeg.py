"""JPEG: the segments of a file, and an image class that keeps what its decoder warns of."""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from PIL import JpegImagePlugin

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos.containers import tiff_directory

SOS, EOI, DHT, APP1 = 0xDA, 0xD9, 0xC4, 0xE1
FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))  # SOF0 to SOF15
PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_DECODED = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended and progressive, by Huffman codes
ARITHMETIC = frozenset(range(0xC9, 0xD0))

MAX_SEGMENTS = 100_000  # of one picture that are looked at

# The first marker after the data of a scan: 0xFF is followed by 0 where it is data, and restarts belong to the scan.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_WARNINGS = ("Corrupt JPEG data", "Premature end of JPEG file", "Inconsistent progression")  # of lost picture data
_EXIF, _TIFF = b"Exif\0\0", (b"II*\0", b"MM\0*", b"Exif")  # begins a segment; begins a block
_LARGEST_ARRAY = 16_000_000  # pixels that are decoded into an array beside the image
MAX_SCANS = 100  # of a progressive picture; cameras and programs write about ten. A guess


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: its payload is data[start:end], the coded data of a scan data[end:data_end]."""

    marker: int
    start: int
    end: int
    data_end: int


def segments(data: bytes, start: int = 0, *, header: bool = False) -> Iterator[Segment]:
    """The segments of the picture at `start`, the last one EOI where it is there; ends quietly where they are garbage.

    With `header` only those up to the first scan, without a search for the end of its data.
    """
    at = start + 2
    for _ in range(MAX_SEGMENTS):
        if data[at : at + 1] != b"\xff":
            return
        marker = data[at + 1] if at + 1 < len(data) else 0
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == EOI:
            yield Segment(EOI, at + 2, at + 2, at + 2)
            return
        if at + 4 > len(data):
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(data):
            return
        after = _NEXT_MARKER.search(data, end) if marker == SOS and not header else None
        following = (after.start() if after else len(data)) if marker == SOS else end
        yield Segment(marker, at + 4, end, following)
        if header and marker == SOS:
            return
        at = following


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a whole JPEG of 8 bits that Pillow knows; None of any other, such as a sensor's values."""
    frame = end = None
    for each in segments(data):
        frame = each if each.marker in FRAMES else frame
        end = each if each.marker == EOI else None
    if frame is None or end is None or frame.marker not in _DECODED or frame.end - frame.start < 6:
        return None
    bits, height, width = struct.unpack_from(">BHH", data, frame.start)
    return (width, height) if bits == 8 and width and height else None


def exif_blocks(data: bytes) -> list[bytes]:
    """The blocks of EXIF before the first scan; one that is longer than a segment goes on in the next ones."""
    found: list[bytes] = []
    for each in segments(data, header=True):
        if each.marker == APP1 and data.startswith(_EXIF, each.start):
            block = data[each.start + len(_EXIF) : each.end]
            if found and block[:4] not in _TIFF and found[-1][:4] in _TIFF:
                found[-1] += block
            else:
                found.append(block)
    return found


def coefficient_bytes(data: bytes) -> int:
    """The memory that libjpeg takes for the coefficients of a JPEG of several scans; 0 for one that has one scan."""
    total = components = 0
    several = False
    for segment in segments(data, header=True):
        payload = data[segment.start : segment.end]
        if segment.marker in FRAMES and len(payload) >= 6 + 3 * payload[5]:
            several = segment.marker in PROGRESSIVE
            height, width, components = struct.unpack_from(">HHB", payload, 1)
            shares = [(each >> 4, each & 15) for each in payload[7 : 7 + 3 * components : 3]]
            across, down = (max((share[axis] for share in shares), default=1) or 1 for axis in (0, 1))
            total = sum(2 * (width * h // across + 16) * (height * v // down + 16) for h, v in shares)
        elif segment.marker == SOS and payload:
            several |= payload[0] < components
    return total if several else 0


def warning(data: bytes, colours: str = "RGB") -> str | None:
    """What libjpeg-turbo warns of damaged data, by a decode to an eighth of the size."""
    try:
        simplejpeg.decode_jpeg(data, colours, min_height=1, min_width=1)
    except ValueError as error:
        return _damage(error)
    return None


def _damage(error: ValueError) -> str | None:
    # Other refusals are of kinds of JPEG that this decoder does not know.
    return str(error) if str(error).startswith(_WARNINGS) else None


class JpegImage(JpegImagePlugin.JpegImageFile):
    """A JPEG as Pillow reads it, pixel for pixel, by a decoder that does not hide the warnings of libjpeg-turbo."""

    warning: str | None = None  # of damaged data, known once it is loaded

    def _open(self) -> None:
        """Refuses what libjpeg does not know, and scans without end, each of which costs as much as a whole picture."""
        assert self.fp is not None
        data = self.fp.read()
        self.fp.seek(0)
        frame = next((each for each in segments(data, header=True) if each.marker in FRAMES), None)
        if frame is not None and data[frame.start] not in (0, 8):
            raise PhotoUnreadableError(f"unsupported JPEG of {data[frame.start]} bits a channel")
        super()._open()
        if (blocks := exif_blocks(data)) and len(blocks) > 1:  # Pillow joins what does not belong together
            self.info["exif"] = _EXIF + max(blocks, key=lambda block: len(tiff_directory(block)))
        if coefficient_bytes(data):
            scans = sum(each.marker == SOS for each in segments(data))
            if scans > MAX_SCANS:
                raise PhotoUnreadableError(f"a JPEG of {scans:,} scans, more than the {MAX_SCANS} that are decoded")

    def load(self) -> Any:
        """Decode; damaged data are decoded as far as Pillow can, and the warning is kept."""
        if self.tile and self.fp is not None:
            shape = {"min_height": self.height, "min_width": self.width}
            small = self.mode in ("RGB", "L") and self.width * self.height <= _LARGEST_ARRAY
            self.fp.seek(0)
            data = self.fp.read()
            try:
                if small:
                    pixels = simplejpeg.decode_jpeg(data, "RGB" if self.mode == "RGB" else "GRAY", **shape)
                    self._take(pixels)
                else:
                    self.warning = warning(data, "CMYK" if self.mode == "CMYK" else "GRAY")
            except ValueError as error:
                self.warning = _damage(error)
        return super().load()

    def _take(self, pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> None:
        if pixels.shape[:2] == (self.height, self.width):
            self.load_prepare()
            self.frombytes(pixels)
            self.tile = []


# Holes in the data of a scan ----------------------------------------------------------------------------------------


_LEAST_ZEROS = 32  # bytes; fewer say nothing
_ONES = b"\xff" * 64


def hole(data: bytes) -> str | None:
    """Zeros or ones in the data of a scan that no camera has written, in words: bad sectors, an interrupted copy.

    What the zeros stand for depends on the code: the shortest word of a Huffman table consists of zeros. Where it means
    "nothing changes here", an even sky looks like that, and nothing can be told.
    """
    coded = next((each.end for each in segments(data, header=True) if each.marker == SOS), len(data))
    if data.find(bytes(_LEAST_ZEROS), coded) < 0 and data.find(_ONES, coded) < 0:
        return None  # nearly every photo, at a glance
    tables: dict[int, int] = {}  # class and number of a Huffman table -> the symbol whose code is zeros
    frame = 0
    for segment in segments(data):
        if segment.marker in FRAMES:
            frame = segment.marker
        elif segment.marker == DHT:
            tables |= _zero_symbols(data[segment.start : segment.end])
        elif segment.marker == SOS and frame not in ARITHMETIC:
            most = _longest_zeros(data[segment.start : segment.end], frame in PROGRESSIVE, tables)
            if most is not None and data.find(bytes(most), segment.end, segment.data_end) >= 0:
                return "a hole of zeros in the JPEG data"
            if data.find(_ONES, segment.end, segment.data_end + len(_ONES)) >= 0:
                return "a hole in the JPEG data"
    return None


def _zero_symbols(payload: bytes) -> Mapping[int, int]:
    found: dict[int, int] = {}
    at = 0
    while at + 17 < len(payload):
        found[payload[at]] = payload[at + 17]
        at += 17 + sum(payload[at + 1 : at + 17])
    return found


def _longest_zeros(header: bytes, progressive: bool, tables: Mapping[int, int]) -> int | None:
    """From how many bytes of zeros on a scan cannot be whole; None where that cannot be told."""
    count = header[0] if header else 0
    if len(header) < 4 + 2 * count:
        return None
    chosen = header[2 : 2 + 2 * count : 2]
    first, _, bits = struct.unpack_from("3B", header, 1 + 2 * count)
    differences = [tables.get(each >> 4, 0) for each in chosen]
    coefficients = [tables.get(0x10 | each & 15, 0) for each in chosen]
    if not progressive and any(coefficients):
        return _LEAST_ZEROS  # a block of 63 equal coefficients and more
    if progressive and first:
        return 48 if coefficients[0] & 15 else 512  # the second: thousands of empty blocks, each coded alone
    if progressive and bits >> 4:
        return None  # a refinement of brightness is plain bits
    return 128 if all(differences) else None  # hundreds of blocks, each darker than the one before by the same step
