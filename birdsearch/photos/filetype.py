"""What a file is, by its first bytes; its name only breaks ties. The one list of suffixes and formats."""

import os
import re
from dataclasses import dataclass

from birdsearch.photos.containers import tiff_directory

HEAD = 4096  # bytes at the beginning of a file that tell its type

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".dib", ".avif", ".heic",
        ".heif", ".hif", ".heics", ".jp2", ".j2k", ".mpo"
    }
)  # fmt: skip
# Formats of camera RAW -> who makes the cameras, as EXIF names them without blanks. Of one maker the first is usual.
RAW_FORMATS = {
    "CR2": "canon", "CR3": "canon", "CRW": "canon", "NEF": "nikon", "NRW": "nikon", "ARW": "sony", "SR2": "sony",
    "SRF": "sony", "RAF": "fuji", "ORF": "olympus", "ORI": "olympus", "RW2": "panasonic", "RAW": "panasonic",
    "DNG": "adobe", "PEF": "pentax", "SRW": "samsung", "RWL": "leica", "3FR": "hasselblad", "FFF": "hasselblad",
    "IIQ": "phaseone", "MOS": "leaf", "MRW": "minolta", "X3F": "sigma", "DCR": "kodak", "KDC": "kodak", "K25": "kodak",
    "ERF": "epson", "MEF": "mamiya",
}  # fmt: skip
RAW_SUFFIXES = frozenset(f".{format.lower()}" for format in RAW_FORMATS) | {".gpr"}
# Those that are laid out in another way: a TIFF is none of them, whatever it is called.
_NO_TIFF = frozenset(("CR3", "CRW", "RAF", "MRW", "X3F"))
# What is called so is a photo, or a broken one; .raw is the name of many things.
_PHOTO_SUFFIXES = (IMAGE_SUFFIXES | RAW_SUFFIXES) - {".raw"}

# What may own a sidecar: every photo and RAW that is known, and what edits of them are saved as.
SIDECAR_OWNERS = IMAGE_SUFFIXES | RAW_SUFFIXES | {".jxl", ".psb", ".psd"}

_BMFF_BRANDS = {  # brand of an ISO media file -> format
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIF"),  # HEVC
    **dict.fromkeys((b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"heif", b"MiHB", b"MiHE", b"MiHA", b"MiPr"), "HEIF"),
}
_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
# How the files of each other format of photos/decoders.py begin.
SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP"),
    (_TIFF, "TIFF"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0"), "JPEG2000"),
    (re.compile(rb"P[4-6]\s+(#[^\n]*\s+)*\d+\s"), "PPM"),
)
# What a browser calls these formats.
MEDIA_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp",
    "TIFF": "image/tiff", "JPEG2000": "image/jp2", "PPM": "image/x-portable-anymap", "AVIF": "image/avif",
    "HEIF": "image/heif",
}  # fmt: skip
MEDIA_TYPES |= {format: f"image/x-{maker}-{format.lower()}" for format, maker in RAW_FORMATS.items()}
# How those RAW files begin that are not plain TIFF.
_RAW = (
    (re.compile(rb"II\*\0....CR", re.DOTALL), "CR2"),
    (re.compile(rb"(II\*\0|MM\0\*)....(IIII.waR|MMMMRaw.)", re.DOTALL), "IIQ"),
    (re.compile(rb"....ftypcrx ", re.DOTALL), "CR3"),
    (re.compile(rb"II\x1a\0\0\0HEAPCCDR"), "CRW"),
    (re.compile(rb"FUJIFILMCCD-RAW"), "RAF"),
    (re.compile(rb"IIR[OS]|MMOR"), "ORF"),
    (re.compile(rb"IIU\0"), "RW2"),
    (re.compile(rb"\0MRM"), "MRW"),
    (re.compile(rb"FOVb"), "X3F"),
)
_SUBFILE, _COLOURS, _LOWER, _MAKE, _DNG_VERSION = 0x00FE, 0x0106, 0x014A, 0x010F, 0xC612
SENSOR_COLOURS = (32803, 34892)  # a colour filter array, linear values of a sensor
# Whole files of other kinds: not broken photos, whatever their names promise. The words are what users read.
_OTHERS = (
    (
        re.compile(
            rb"8BPS|\0\0\x01\0[^\0]|icns|\xff\x0a|\0\0\0\x0cJXL |\x76\x2f\x31\x01|gimp xcf|DDS |qoif|"
            rb"....ftyp(avc[is]|jpeg|jpgs|j2ki|j2is|vvi[cs]|unif|ev[bm][is])|"  # pictures of other codecs in HEIF
            rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg",
            re.DOTALL,
        ),
        "unsupported image",
    ),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6|%PDF-"), "document"),
    (
        re.compile(
            rb"RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11|"
            rb"\0...(ftyp|moov|mdat|wide|free|skip)|G.{187}G.{187}G|.{4}G.{191}G.{191}G",
            re.DOTALL,
        ),
        "video",
    ),
    (re.compile(rb"ID3|\xff[\xfb\xf3\xf2]|RIFF....WAVE|fLaC|OggS|MThd|FORM....AIF|caff", re.DOTALL), "audio"),
    (
        re.compile(
            rb"PK(\x03\x04|\x05\x06)|\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!|BZh|\xfd7zXZ\0|\x28\xb5\x2f\xfd|.{257}ustar",
            re.DOTALL,
        ),
        "archive",
    ),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a file: `format` for a photo; otherwise why it is not one, and whether its name had promised one."""

    format: str | None
    reason: str = ""
    broken: bool = False  # called a picture, but of no known type


def has_photo_name(path: bytes) -> bool:
    """Whether a file is called as photos are."""
    return os.path.splitext(os.fsdecode(path))[1].lower() in _PHOTO_SUFFIXES


def has_raw_name(path: str | bytes) -> bool:
    """Whether a file is called as those of camera RAW are."""
    return os.path.splitext(os.fsdecode(path))[1].lower() in RAW_SUFFIXES


def identify(data: bytes, path: str) -> Kind:
    """The type of a file, by its first `HEAD` bytes or more (all of a shorter file) and the suffix of its path.

    Whether a TIFF is a camera's RAW file is certain only where all of it is given.
    """
    suffix = os.path.splitext(path)[1].lower()
    head = data[:HEAD]
    if not head:
        return Kind(None, "empty file", broken=suffix in _PHOTO_SUFFIXES)
    for pattern, format in _RAW:
        if pattern.match(head):
            return Kind(format)
    if _TIFF.match(head) and (raw := _raw_in_tiff(data, suffix)):
        return Kind(raw)
    if head[4:8] == b"ftyp" and (media := _bmff_format(head)):
        return Kind(media)
    for pattern, format in SIGNATURES:
        if pattern.match(head):
            return Kind(format)
    for pattern, reason in _OTHERS:
        if pattern.match(head):
            return Kind(None, reason)
    if _is_text(head):
        return Kind(None, "not an image (text)")
    if suffix in _PHOTO_SUFFIXES:
        return Kind(None, f"not an image, despite its name ({suffix})", broken=True)
    return Kind(None, "not an image")


def _raw_in_tiff(data: bytes, suffix: str) -> str | None:
    """The format of a TIFF that is a camera's RAW file; None for a picture.

    It says so (DNG), holds sensor values, or is a thumbnail of what lies deeper. Many RAW files show no more than a
    thumbnail as their first picture: what is called as they are is never taken for that.
    """
    tags = tiff_directory(data)
    if _DNG_VERSION in tags:
        return "DNG"
    kind, colours = (tags.get(tag, (None,))[0] for tag in (_SUBFILE, _COLOURS))
    is_thumbnail = kind == 1 and _LOWER in tags and _MAKE in tags
    named = suffix[1:].upper() if suffix in RAW_SUFFIXES else ""
    if not (named or colours in SENSOR_COLOURS or is_thumbnail):
        return None
    make = str(tags.get(_MAKE, ("",))[0]).replace(" ", "").lower()
    makers = [format for format, maker in RAW_FORMATS.items() if maker in make and format not in _NO_TIFF]
    if named in RAW_FORMATS and named not in _NO_TIFF and (named in makers or not makers):
        return named
    return makers[0] if makers else "RAW"


def _bmff_format(head: bytes) -> str | None:
    """AVIF and HEIC share one container: the list of compatible brands decides, as `mif1` may be either."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] not in _BMFF_BRANDS:
        return None
    return "AVIF" if b"avif" in brands or b"avis" in brands else "HEIF"


def _is_text(head: bytes) -> bool:
    """Whether these bytes read as text: UTF-8 or UTF-16 with a mark, without control characters."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) >= 4:
        encoding, head = "utf-16", head[: len(head) // 2 * 2]
    else:
        encoding = "utf-8"
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as error:
        # The last character may be cut in two by the end of what was read.
        if len(head) < HEAD or error.start < len(head) - 4:
            return False
        text = head[: error.start].decode(encoding)
    return not _CONTROL.search(text)
