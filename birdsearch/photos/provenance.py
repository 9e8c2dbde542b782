"""What a file says of where it comes from: the camera's frame, the programs that wrote it, how it was compressed."""

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from birdsearch.errors import PhotoError
from birdsearch.photos import decode, metadata
from birdsearch.photos.containers import tiff_directory
from birdsearch.photos.exif import describe, modified, text
from birdsearch.photos.filetype import RAW_FORMATS
from birdsearch.photos.metadata import Metadata
from birdsearch.records import Photo

_MAKE, _MODEL, _SOFTWARE, _PROCESSING, _MODIFIED = 0x010F, 0x0110, 0x0131, 0x000B, 0x0132
_WIDTH, _HEIGHT = 0xA002, 0xA003
_MAKER_NOTE, _IMAGE_NUMBER, _UNIQUE_ID = 0x927C, 0x9211, 0xA420
# How a maker's note begins -> where its directory is, in which byte order, and what of it tells exposures apart.
_NOTES: dict[bytes, tuple[int, bytes, dict[int, str]]] = {
    b"Apple iOS\0": (14, b"MM", {0x000B: "burst", 0x0015: "unique id"}),
    b"FUJIFILM": (12, b"II", {0x1438: "image number", 0x1101: "sequence number"}),
    b"Panasonic\0": (12, b"II", {0x002B: "sequence number"}),
}
_CANON = {0x0008: "file number"}
_NIKON, _NIKON_HEAD = b"Nikon\0\2", 10
_NIKON_TAGS = {0x00A7: "shutter count"}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What one file says; a fact that it does not tell, or that cannot be read, is None or empty."""

    make: str | None = None
    model: str | None = None
    serial: str | None = None
    taken_at: str | None = None  # ISO 8601, of the exposure or its digitising: never the time of an edit
    taken_offset: str | None = None
    modified_at: str | None = None  # when a program last changed it
    modified_offset: str | None = None
    frame: tuple[tuple[str, str], ...] = ()  # what numbers the exposure: ("image number", "17"), ("burst", "A1B2...")
    programs: tuple[str, ...] = ()  # that say they wrote it; a camera names its firmware here
    derived: bool = False  # it says that it was made from another file
    size: tuple[int, int] | None = None  # pixels, as stored
    camera_size: tuple[int, int] | None = None  # pixels that its EXIF speaks of
    thumbnail: tuple[int, int] | None = None  # pixels of the small picture in its EXIF
    maker_note: bool = False
    tables: tuple[tuple[int, ...], ...] = ()  # of a JPEG: 64 quantisation steps each, row by row
    progressive: bool = False
    exif_first: bool | None = None  # of a JPEG: whether EXIF stands where cameras put it, before everything else


def read_provenance(path: str) -> Provenance:
    """What the file at this path says; nothing where it cannot be read."""
    with suppress(PhotoError), decode.opened_file(path) as (image, file):
        known = _provenance(image, metadata.of(image, file.data))
        if file.format in RAW_FORMATS:  # how the JPEG in it was written says nothing of the file
            return replace(known, size=None, tables=(), progressive=False, exif_first=None)
        return known
    return Provenance()


def _provenance(image: Image.Image, written: Metadata) -> Provenance:
    tags, said = written.tags, written.xmp
    note = tags.get(_MAKER_NOTE)
    note = note if isinstance(note, bytes) else b""
    # The camera's own entries only, and of them no time of a change: that of the exposure has to stay apart here.
    taken = describe(Photo(None, ""), Metadata({tag: value for tag, value in tags.items() if tag != _MODIFIED}))
    modified_at, modified_offset = modified(written)
    programs = [text(tags.get(tag)) for tag in (_SOFTWARE, _PROCESSING)]
    programs += [*said.get("xmp:CreatorTool", ()), *said.get("xmpMM:History/stEvt:softwareAgent", ())]
    developed = "true" in map(str.lower, said.get("crs:AlreadyApplied", ()))
    return Provenance(
        make=text(tags.get(_MAKE)),
        model=text(tags.get(_MODEL)),
        serial=taken.camera_serial,
        taken_at=taken.taken_at,
        taken_offset=taken.taken_offset,
        modified_at=modified_at,
        modified_offset=modified_offset,
        frame=tuple(
            dict.fromkeys((*_frame(tags, note), *(("burst", each) for each in said.get("GCamera:BurstID", ()))))
        ),
        programs=tuple(dict.fromkeys(filter(None, programs))),
        derived=developed or any(name.startswith("xmpMM:DerivedFrom") for name in said),
        size=image.size,
        camera_size=_size(tags.get(_WIDTH), tags.get(_HEIGHT)),
        thumbnail=_size_of(written.thumbnail),
        maker_note=len(note) > 0,
        tables=tuple(tuple(table) for _, table in sorted(getattr(image, "quantization", {}).items())),
        progressive=bool(image.info.get("progressive")),
        exif_first=_exif_first(getattr(image, "applist", None)),
    )


def _size_of(thumbnail: bytes) -> tuple[int, int] | None:
    with suppress(Exception):  # Garbage beside good pixels costs nothing but itself.
        return Image.open(io.BytesIO(thumbnail), formats=["JPEG"]).size
    return None


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width > 0 < height else None


def _exif_first(segments: list[tuple[str, bytes]] | None) -> bool | None:
    """Whether the first segment of a JPEG is EXIF; None where it has none."""
    if not segments or not any(name == "APP1" and data.startswith(b"Exif") for name, data in segments):
        return None
    return segments[0][0] == "APP1"


def _frame(tags: Mapping[int, Any], note: bytes) -> Iterator[tuple[str, str]]:
    """What a camera numbered the exposure with, in its tags and in those notes of makers that are known."""
    for tag, name in ((_IMAGE_NUMBER, "image number"), (_UNIQUE_ID, "unique id")):
        yield from _numbers({tag: tags.get(tag)}, {tag: name})
    # Makers document nothing: whatever is no such directory says nothing.
    if note.startswith(_NIKON):
        yield from _numbers(tiff_directory(note[_NIKON_HEAD:]), _NIKON_TAGS)  # a whole TIFF of its own
    elif str(tags.get(_MAKE, "")).startswith("Canon"):
        for order in (b"II", b"MM"):
            yield from _numbers(tiff_directory(note, 0, order), _CANON)
    else:
        known = next((each for head, each in _NOTES.items() if note.startswith(head)), None)
        if known is not None:
            start, order, names = known
            yield from _numbers(tiff_directory(note, start, order), names)


def _numbers(tags: Mapping[int, Any], names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """What these tags number the exposure with; zeros and blanks are no number."""
    for tag, name in names.items():
        value = tags.get(tag)
        value = value[0] if isinstance(value, tuple) and value else value
        shown = str(value).strip("\0 ") if isinstance(value, int | str) else ""
        if shown.strip("0"):
            yield name, shown
