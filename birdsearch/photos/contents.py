"""What a picture file holds that its first picture, upright in 8-bit sRGB, does not show; metadata aside."""

import hashlib
import re
import struct
from collections import deque
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

from birdsearch.photos import jpeg, metadata
from birdsearch.photos.containers import boxes, gif_blocks, png_chunks, riff_chunks, strips, tiff_directories
from birdsearch.photos.filetype import RAW_FORMATS
from birdsearch.photos.items import MediaItems
from birdsearch.photos.raw_parts import RawParts

MAX_PICTURES = 100  # behind the first one that are looked at
PADDING = 64  # bytes behind a picture that may be anything

Extra = tuple[str, str]  # what it is in words, and the sha256 of its bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds besides its first picture in 8-bit sRGB: of two equal ones neither holds more."""

    bits: int = 8  # of one channel
    colours: str = ""  # what the numbers of its pixels mean, in words; empty for sRGB
    profile: str = ""  # the sha256 of the colour profile that says so; empty where there is none, or it is sRGB
    transparent: bool = False
    samples: str = ""  # the sha256 of what 8-bit RGB cannot show of the first picture: alpha, 16 bits, inks...
    extras: frozenset[Extra] = frozenset()  # more frames, pages, pictures, movies, maps, sound...

    def beyond(self, other: "Contents") -> tuple[str, ...]:
        """What this file holds and another one lacks, in words: ("16 bits a channel", "a movie behind the picture")."""
        more = [f"{self.bits} bits a channel"] if self.bits > other.bits else []
        if self.colours and (self.colours, self.profile) != (other.colours, other.profile):
            more.append(self.colours)
        if self.transparent and not other.transparent:
            more.append("transparency")
        return (*more, *sorted({words for words, _ in self.extras - other.extras}))


def of(image: Image.Image, data: bytes, format: str) -> Contents:
    """What the file of an opened image holds; no pixel is decoded."""
    parts = getattr(image, "parts", None)  # of a camera RAW
    bits, extras = _READERS[format](data) if format in _READERS else (8, _raw_extras(data, format, parts))
    colours, profile = _colours(image, data, format)
    return Contents(bits, colours, profile, image.has_transparency_data, extras=frozenset(extras))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Colours ------------------------------------------------------------------------------------------------------------


def _colours(image: Image.Image, data: bytes, format: str) -> tuple[str, str]:
    """(what the numbers mean in words, sha256 of the profile); twice empty for sRGB."""
    model = {"CMYK": "CMYK", "LAB": "Lab"}.get(image.mode, "")
    cicp = _cicp(data, format)
    if cicp is not None:
        return (cicp or model), ""
    icc = image.info.get("icc_profile")
    if isinstance(icc, bytes) and icc:
        name = _profile_name(icc)
        # Without the moment at which a program wrote it, and the checksum of that.
        return (name, _sha256(icc[:24] + icc[36:84] + icc[100:])) if name else (model, "")
    if format == "PNG" and (gamma := _png_gamma(data)):
        return gamma, ""
    # Of cameras' own formats only: a PNG would have to be decoded for its EXIF.
    if not model and format in ("JPEG", "TIFF") and metadata.is_adobe_rgb(image, data):
        return "the colours of Adobe RGB", ""
    return model, ""


@lru_cache(64)
def _profile_name(icc: bytes) -> str:
    """A colour profile in words; empty where it shows every colour as sRGB does, whatever it calls itself."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        name = " ".join(ImageCms.getProfileDescription(profile).split())
        mode = {"RGB ": "RGB", "GRAY": "L"}.get(profile.profile.xcolor_space)
        if mode is not None:
            steps = np.linspace(0, 255, 6).round().astype(np.uint8)
            colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
            shown = Image.fromarray(colours if mode == "RGB" else np.ascontiguousarray(colours[..., 0]))
            srgb = ImageCms.profileToProfile(shown, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if srgb is not None and np.abs(np.asarray(srgb).astype(int) - np.asarray(shown.convert("RGB"))).max() <= 2:
                return ""
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        name = ""
    return f"the colour profile {name[:80]}" if name else "a colour profile"


_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {8: "linear light", 16: "PQ (HDR)", 18: "HLG (HDR)"}


def _coding_points(primaries: int, transfer: int) -> str:
    """ITU-T H.273 code points in words; empty for sRGB, for its kin BT.709 and where they say nothing."""
    words = [] if primaries in (1, 2) else [_PRIMARIES.get(primaries, f"colour primaries {primaries}")]
    if transfer not in (1, 2, 6, 13, 14, 15):
        words.append(_TRANSFERS.get(transfer, f"transfer curve {transfer}"))
    return f"the colours of {', '.join(words)}" if words else ""


def _cicp(data: bytes, format: str) -> str | None:
    """What code points say of the colours; None where there are none."""
    if format == "PNG":
        for chunk in png_chunks(data):
            if chunk.name == b"cICP" and chunk.end - chunk.start == 4:
                return _coding_points(data[chunk.start], data[chunk.start + 1])
    if format in ("AVIF", "HEIF"):
        for kind, payload in MediaItems.of(data).primary_properties():
            if kind == b"colr" and payload[:4] == b"nclx" and len(payload) >= 8:
                return _coding_points(*struct.unpack_from(">HH", payload, 4))
    return None


def _png_gamma(data: bytes) -> str:
    known = {chunk.name: data[chunk.start : chunk.end] for chunk in png_chunks(data) if chunk.end - chunk.start <= 32}
    if b"sRGB" in known:
        return ""
    words = []
    gamma = known.get(b"gAMA", b"")
    if len(gamma) == 4 and abs(int.from_bytes(gamma, "big") - 45455) > 500:
        words.append(f"gamma {int.from_bytes(gamma, 'big') / 1e5:.3g}")
    srgb = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    primaries = known.get(b"cHRM", b"")
    if len(primaries) == 32 and np.abs(np.subtract(struct.unpack(">8I", primaries), srgb)).max() > 500:
        words.append(f"colour primaries {primaries[8:].hex()}")
    return f"the colours of {', '.join(words)}" if words else ""


# Formats ------------------------------------------------------------------------------------------------------------

Found = tuple[int, Iterator[Extra]]  # bits of a channel, and what else there is


def _jpeg(data: bytes) -> Found:
    parts = list(jpeg.segments(data))
    bits = next((data[each.start] for each in parts if each.marker in jpeg.FRAMES), 8)
    return bits, _jpeg_extras(data, parts)


def _jpeg_extras(data: bytes, parts: list[jpeg.Segment]) -> Iterator[Extra]:
    previews: set[int] = set()
    extended: list[bytes] = []
    credentials: list[bytes] = []
    for part in parts:
        payload = data[part.start : part.end] if part.marker >= 0xE0 else b""
        if part.marker == 0xE1 and payload.startswith(b"http://ns.adobe.com/xmp/extension/\0"):
            extended.append(payload[75:])
        elif part.marker == 0xE1 and payload.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            extended += [payload] if b":Data" in payload else []
        elif part.marker == 0xE2 and payload.startswith(b"MPF\0"):
            previews |= _mpf_previews(payload[4:], part.start + 4)
        elif part.marker == 0xE2 and payload.startswith(b"FPXR\0") and "Audio".encode("utf-16-le") in payload:
            yield "sound", _sha256(payload)
        elif part.marker == 0xEB:
            credentials.append(payload)
    yield from _xmp_extras(b"".join(extended))
    if credentials:
        kind = "content credentials (C2PA)" if any(b"c2pa" in part for part in credentials) else "further data (JUMBF)"
        yield kind, _sha256(b"".join(credentials))
    if parts and parts[-1].marker == jpeg.EOI:
        yield from _behind(data, parts[-1].end, previews)


_XMP_DATA = {b"GDepth:Data": "a depth map", b"GImage:Data": "a further picture", b"GAudio:Data": "sound"}


def _xmp_extras(packet: bytes) -> Iterator[Extra]:
    for name, words in _XMP_DATA.items():
        if name in packet:
            yield words, _sha256(packet[packet.index(name) :])


def _mpf_previews(index: bytes, base: int) -> set[int]:
    """Where in the file smaller versions of the same picture begin, by the index of a multi-picture file."""
    for directory in tiff_directories(index):
        entries = directory.get(0xB002, (b"",))[0]
        order = "<" if index[:2] == b"II" else ">"
        if isinstance(entries, bytes):
            every = struct.iter_unpack(order + "IIIHH", entries[: len(entries) // 16 * 16])
            return {base + offset for kind, _, offset, _, _ in every if offset and kind & 0xFF0000 == 0x010000}
    return set()


_MOVIE = re.compile(rb"\0..[\x08-\xff]ftyp[\x20-\x7e]{4}", re.DOTALL)
_NOT_EMPTY = re.compile(rb"[^\0\xff\s]")


def _behind(data: bytes, start: int, previews: Set[int] = frozenset()) -> Iterator[Extra]:
    """What lies behind the end of a picture."""
    if movie := _MOVIE.search(data, start):
        yield "a movie behind the picture", _sha256(data[movie.start() :])
    at, end = start, movie.start() if movie else len(data)
    for _ in range(MAX_PICTURES):
        if at >= end:
            return
        if not data.startswith(b"\xff\xd8\xff", at):
            following = data.find(b"\xff\xd8\xff", at, end)
            yield from _unknown(data[at : following if following >= 0 else end])
            if following < 0:
                return
            at = following
        last = deque(jpeg.segments(data, at), maxlen=1)
        behind = min(last[0].end, end) if last and last[0].marker == jpeg.EOI else end
        if at not in previews:
            yield _further_picture(data[at:behind]), _sha256(data[at:behind])
        at = behind
    yield "further data behind the picture", _sha256(data[at:])


def _further_picture(data: bytes) -> str:
    head = data[:100_000]
    return "a gain map (HDR)" if b"hdrgm:" in head or b"hdrgainmap" in head.lower() else "a further picture"


def _unknown(data: bytes) -> Iterator[Extra]:
    """Data of which only their first words tell what they are."""
    if data.startswith((b"@BRCM", b"BRCM", b"II*\0", b"MM\0*")):
        yield "raw data behind the picture", _sha256(data)
    elif b"DepthMap" in data:
        yield "a depth map", _sha256(data)
    elif b"SoundShot" in data:
        yield "sound", _sha256(data)
    elif len(data) > PADDING and _NOT_EMPTY.search(data) and not data.rstrip(b"\0").endswith(b"SEFT"):
        yield "further data behind the picture", _sha256(data)


def _png(data: bytes) -> Found:
    chunks = list(png_chunks(data))

    def extras() -> Iterator[Extra]:
        for chunk in chunks:
            if chunk.name == b"acTL" and int.from_bytes(data[chunk.start : chunk.start + 4], "big") > 1:
                yield "an animation", _sha256(data)
            elif chunk.name == b"caBX":
                yield "content credentials (C2PA)", _sha256(data[chunk.start : chunk.end])
        if chunks and chunks[-1].name == b"IEND":
            yield from _behind(data, chunks[-1].end + 4)

    return (data[24] if len(data) > 24 else 8), extras()


def _webp(data: bytes) -> Found:
    def extras() -> Iterator[Extra]:
        size = int.from_bytes(data[4:8], "little") + 8
        chunks = list(riff_chunks(data[:size]))
        if sum(chunk.name == b"ANMF" for chunk in chunks) > 1:
            yield "an animation", _sha256(data)
        for chunk in chunks:
            if chunk.name == b"C2PA":
                yield "content credentials (C2PA)", _sha256(data[chunk.start : chunk.end])
        yield from _behind(data, size)

    return 8, extras()


def _gif(data: bytes) -> Found:
    def extras() -> Iterator[Extra]:
        blocks = list(gif_blocks(data))
        if sum(block.name == b"," for block in blocks) > 1:
            yield "an animation", _sha256(data)
        if blocks and blocks[-1].name == b";":
            yield from _behind(data, blocks[-1].end)

    return 8, extras()


_THUMBNAIL, _MASK = 1, 4  # bits of NewSubfileType


def _tiff(data: bytes) -> Found:
    pages = list(tiff_directories(data))
    first = pages[0] if pages else {}
    bits = max((value for value in first.get(0x0102, (1,)) if isinstance(value, int)), default=8)

    def extras() -> Iterator[Extra]:
        kinds = [page.get(0x00FE, (0,))[0] for page in pages[1:]]
        further = sum(not (isinstance(kind, int) and kind & (_THUMBNAIL | _MASK)) for kind in kinds)
        if further:
            yield f"{further} more page{'s' if further > 1 else ''}", _sha256(data)
        layers = first.get(0x935C, (b"",))[0]
        if isinstance(layers, bytes) and len(layers) > PADDING and (b"Layr" in layers or b"ryaL" in layers):
            yield "Photoshop layers", _sha256(layers)
        if 0x014A in first:
            yield "further pictures inside", _sha256(data)

    return bits, extras()


def _media(data: bytes) -> Found:
    items = MediaItems.of(data)

    def extras() -> Iterator[Extra]:
        yield from items.further()
        for box in boxes(data):
            if box.name == b"moov":
                yield "a movie or a sequence of pictures", _sha256(data)
            elif box.name == b"mpvd":
                yield "a movie behind the picture", _sha256(data[box.start : box.end])
            elif box.name == b"ftyp" and box.start > 8:
                yield "a movie behind the picture", _sha256(data[box.start - 8 :])

    return items.bits(), extras()


def _raw_extras(data: bytes, format: str, parts: RawParts | None) -> Iterator[Extra]:
    """The values of a camera's sensor: all of the file where it is not known where they lie."""
    if format in RAW_FORMATS:
        digest = hashlib.sha256()
        for start, end in (parts.values if parts is not None else ()) or ((0, len(data)),):
            digest.update(memoryview(data)[start:end])
        yield "the values of the sensor", digest.hexdigest()


def _jpeg2000(data: bytes) -> Found:
    at = data.find(b"\xff\x4f\xff\x51")
    bits = (data[at + 42] & 0x7F) + 1 if 0 <= at < len(data) - 42 else 8
    further = data.find(b"\xff\x4f\xff\x51", at + 4) if at >= 0 else -1
    return bits, iter([("further pictures inside", _sha256(data))] if further >= 0 else [])


def _ppm(data: bytes) -> Found:
    values = re.match(rb"P[56]\s+(?:#[^\n]*\s+)*\d+\s+(?:#[^\n]*\s+)*\d+\s+(?:#[^\n]*\s+)*(\d{1,6})", data)
    return (16 if values and int(values[1]) > 255 else 8), iter(())


_READERS: dict[str, Callable[[bytes], Found]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "TIFF": _tiff,
    "AVIF": _media,
    "HEIF": _media,
    "JPEG2000": _jpeg2000,
    "PPM": _ppm,
}


def coded_sha256(data: bytes, format: str) -> str:
    """The sha256 of the coded first picture, which stands for samples that no decoder here gives."""
    if format == "PNG":
        return _sha256(b"".join(data[each.start : each.end] for each in png_chunks(data) if each.name == b"IDAT"))
    if format == "TIFF":
        return _sha256(b"".join(data[a:b] for a, b in strips(next(tiff_directories(data), {}))))
    return _sha256(data)
