"""What a file is, by its first bytes; its name only breaks ties. The one list of suffixes and formats."""

import os
import re
from dataclasses import dataclass

HEAD = 4096  # bytes at the beginning of a file that tell its type

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".dib", ".avif", ".heic",
        ".heif", ".hif", ".heics", ".jp2", ".j2k", ".mpo"
    }
)  # fmt: skip
# Many of these are TIFF files whose first image is a thumbnail: only the name says that the photo lies elsewhere in it.
RAW_SUFFIXES = frozenset(
    {
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos",
        ".mrw", ".nef", ".nrw", ".orf", ".ori", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"
    }
)  # fmt: skip

# What may own a sidecar: every photo and RAW that is known, and what edits of them are saved as.
SIDECAR_OWNERS = IMAGE_SUFFIXES | RAW_SUFFIXES | {".jxl", ".psb", ".psd"}

_BMFF_BRANDS = {  # brand of an ISO media file -> format
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIF"),  # HEVC
    **dict.fromkeys((b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"heif", b"MiHB", b"MiHE", b"MiHA", b"MiPr"), "HEIF"),
}
# How the files of each format of photos/decoders.py begin.
SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0"), "JPEG2000"),
    (re.compile(rb"P[4-6]\s+(#[^\n]*\s+)*\d+\s"), "PPM"),
)
# What a browser calls these formats.
MEDIA_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp",
    "TIFF": "image/tiff", "JPEG2000": "image/jp2", "PPM": "image/x-portable-anymap", "AVIF": "image/avif",
    "HEIF": "image/heif",
}  # fmt: skip
_RAW = re.compile(
    rb"II\*\0....CR|FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|\0MRM|FOVb|II\x1a\0\0\0HEAPCCDR|....ftypcrx ", re.DOTALL
)
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
    return os.path.splitext(os.fsdecode(path))[1].lower() in IMAGE_SUFFIXES


def identify(head: bytes, path: str) -> Kind:
    """The type of a file, by its first `HEAD` bytes (all of a shorter file) and the suffix of its path."""
    suffix = os.path.splitext(path)[1].lower()
    if not head:
        return Kind(None, "empty file", broken=suffix in IMAGE_SUFFIXES)
    if _RAW.match(head) or (suffix in RAW_SUFFIXES and head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return Kind(None, "camera RAW")
    if head[4:8] == b"ftyp" and (format := _bmff_format(head)):
        return Kind(format)
    for pattern, format in SIGNATURES:
        if pattern.match(head):
            return Kind(format)
    for pattern, reason in _OTHERS:
        if pattern.match(head):
            return Kind(None, reason)
    if _is_text(head):
        return Kind(None, "not an image (text)")
    if suffix in RAW_SUFFIXES:
        return Kind(None, "camera RAW")
    if suffix in IMAGE_SUFFIXES:
        return Kind(None, f"not an image, despite its name ({suffix})", broken=True)
    return Kind(None, "not an image")


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
