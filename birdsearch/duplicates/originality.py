"""What shows that a file is not what the camera wrote: programs, times, names, sizes, compression. Pure."""

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.photos.filetype import RAW_FORMATS
from birdsearch.records import Photo, date_text

if TYPE_CHECKING:  # the names of files need no pixels
    from birdsearch.photos.provenance import Provenance

CAMERA_FORMATS = frozenset(("JPEG", "TIFF", "HEIF", *RAW_FORMATS))  # what cameras write
_UNHURRIED = timedelta(seconds=60)  # a phone may work that long on a picture before it writes it
_RESIZED = 1.02  # times as many pixels in one direction: firmware trims a few lines

_PROGRAMS = re.compile(
    r"photoshop|lightroom|camera raw|bridge|illustrator|gimp|darktable|rawtherapee|\bart \d|krita|inkscape|digikam"
    r"|showfoto|shotwell|gthumb|gwenview|geeqie|capture ?one|\bdxo\b|photolab|luminar|skylum|aurora hdr|affinity"
    r"|snapseed|picasa|google photos|vsco|instagram|facebook|whatsapp|telegram|\bphotos \d|\bpreview\b|\baperture\b"
    r"|iphoto|pixelmator|acorn|paint|acdsee|irfanview|xnview|faststone|imagemagick|graphicsmagick|\bpillow\b|\bpil\b"
    r"|libvips|\bsharp\b|ffmpeg|opencv|\bon1\b|topaz|gigapixel|sharpen|denoise|helicon|zerene|\bhugin|ptgui|photomatix"
    r"|photoscape|photo ?filtre|corel|paintshop|ulead|silkypix|nx studio|capture nx|view ?nx|digital photo professional"
    r"|olympus (workspace|viewer|master)|om workspace|imaging edge|playmemories|windows photo|microsoft|canva|polarr"
    r"|lightzone|raw power|iridient|photo ?ninja|zoner|magix|nero|fotor|befunky|pixlr|meitu|beauty|remini|upscal|waifu"
    r"|photo editor|image editor|galleryedit|sips|nomacs|photoprism|immich",
    re.IGNORECASE,
)
# A word that a program, a messenger or a person adds to the name of what was made from a photo.
_WORDS = (
    "edit|edited|edits|export|exported|copy|kopie|copie|copia|kopia|kopi|bearbeitet|modifi[eé]e?|editad[oa]|modificat[oa]"
    "|bewerkt|redigerad|redigeret|muokattu|edytowane|upravené|effects|collage|animation|enhanced|denoised?|sharpened"
    "|upscaled|enlarged|retouched|cropped|crop|resized|reduced|compressed|optimi[sz]ed|small|medium|large|big|web|thumb"
    "|thumbnail|preview|final|lr|ps|x[2348]|[2348]x|filtered|watermark(?:ed)?|instagram|facebook|whatsapp|rotated|mirrored"
)
# At the end of a name only: the Small Minivet and the Large-billed Crow are no exports.
_ADDED = re.compile(rf"[\s_.(\[~-](?:{_WORDS})[)\]]*(?:[\s_-]?\(?\d+\)?)?$", re.IGNORECASE)
_BEFORE = re.compile(r"(?:copy of|kopie von|copie de|copia de|kopi av|edited|bearbeitet)\b", re.IGNORECASE)
_MESSENGER = re.compile(
    r"(?:img|vid)-\d{8}-wa\d+|whatsapp (?:image|bild|afbeelding)|signal-\d{4}-|photo_\d{4}-\d{2}-\d{2}_|fb_img_"
    r"|received_\d{6}|screen ?shot|bildschirmfoto|captura de pantalla|capture d.écran|screencap|img_e\d{4}"
    r"|snapchat-|insta_",
    re.IGNORECASE,
)
_AGAIN = re.compile(r"(?:\s*\(\d+\)|~\d+)$")  # "IMG_1 (1)", "PXL_1~2"
_PHONES = re.compile(
    r"apple|iphone|ipad|samsung|sm-|google|pixel|xiaomi|redmi|oppo|oneplus|vivo|huawei|honor", re.IGNORECASE
)
_IJG = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
     87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
     72, 92, 95, 98, 112, 100, 103, 99]
)  # fmt: skip


def signs_of_edit(photo: Photo, said: "Provenance") -> tuple[str, ...]:
    """What says that the picture was made from the camera's, in words that go on after "the other was"."""
    return tuple(_signs(photo, said))


def _signs(photo: Photo, said: "Provenance") -> Iterator[str]:
    program = next((program for program in said.programs if _PROGRAMS.search(program)), None)
    if program is not None:
        yield f"written by {program}"
    if said.derived:
        yield "made from another file, as its XMP says"
    if (later := _changed_after(said)) is not None:
        yield f"changed {date_text(later)}, after it was taken"
    if named_as_copy(photo.path):
        yield f"named as a copy or an export ({os.path.basename(photo.path)})"
    if _resized(said):
        (width, height), (of_width, of_height) = said.size or (0, 0), said.camera_size or (0, 0)
        yield f"resized or cropped to {width} x {height}, its EXIF speaks of {of_width} x {of_height}"
    if photo.format is not None and photo.format not in CAMERA_FORMATS:
        yield f"saved as {photo.format}, which no camera writes"


def named_as_copy(path: str) -> bool:
    """Whether the name is one that programs, messengers or people give to what they made from a photo."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return bool(_MESSENGER.match(stem) or _BEFORE.match(stem) or _ADDED.search(stem))


def is_numbered_copy(path: str) -> bool:
    """Whether the name ends as file managers end that of a second file: "IMG_1 (1)"."""
    return bool(_AGAIN.search(os.path.splitext(os.path.basename(path))[0]))


def is_named_after(path: str, other: str) -> bool:
    """Whether the name is that of the other file with something added: "IMG_1 bright" after "IMG_1"."""
    stem, start = (os.path.splitext(os.path.basename(each))[0].casefold() for each in (path, other))
    return len(start) > 0 and stem.startswith(start) and stem[len(start) : len(start) + 1] in tuple(" _-(.~")


def _changed_after(said: "Provenance") -> str | None:
    """When the file was changed, where that is clearly later than the exposure."""
    if said.taken_at is None or said.modified_at is None:
        return None
    try:
        taken, changed = (datetime.fromisoformat(text[:19]) for text in (said.taken_at, said.modified_at))
    except ValueError:
        return None
    if said.taken_offset and said.modified_offset:
        shift = [
            datetime.fromisoformat(f"2000-01-01T00:00:00{o}").utcoffset()
            for o in (said.taken_offset, said.modified_offset)
        ]
        taken, changed = taken - (shift[0] or timedelta()), changed - (shift[1] or timedelta())
    return said.modified_at if changed - taken > _UNHURRIED else None


def _resized(said: "Provenance") -> bool:
    """Whether the picture has another size than its EXIF speaks of; a turned one has the same."""
    if said.size is None or said.camera_size is None:
        return False
    own, named = sorted(said.size), sorted(said.camera_size)
    return any(max(a, b) > _RESIZED * min(a, b) for a, b in zip(own, named, strict=True))


def traces(said: "Provenance") -> tuple[str, ...]:
    """What a program may have left where it wrote a camera's picture again; a camera may leave one of them too."""
    found = []
    if said.exif_first is False:
        found.append("without its camera's file header")
    if said.progressive:
        found.append("stored as a progressive JPEG")
    if said.tables and is_standard(said.tables[0]):
        found.append("compressed again")
    if said.thumbnail is not None and said.size is not None and said.thumbnail != (160, 120):
        own, small = (max(size) / max(1, min(size)) for size in (said.size, said.thumbnail))
        if abs(own - small) > 0.05 * own:
            found.append("cropped, as its thumbnail shows")
    if not said.maker_note:
        found.append("without the notes of its camera")
    return tuple(found)


def is_standard(table: tuple[int, ...]) -> bool:
    """Whether a table is that of the JPEG standard's example scaled to a quality, as libjpeg writes it."""
    steps = np.array(table)
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        if np.array_equal(steps, np.clip((_IJG * scale + 50) // 100, 1, 255)):
            return True
    return False


def writes_heic(photo: Photo) -> bool:
    """Whether the camera of a photo writes HEIC by itself: phones do, and what cameras write ends in .hif."""
    return photo.path.lower().endswith(".hif") or bool(_PHONES.match(photo.camera or ""))
