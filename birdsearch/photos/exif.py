"""What a camera and its owner wrote beside the pixels -> the fields of a Photo. Pure; garbage becomes None.

Where EXIF, XMP and IPTC differ, the Metadata Working Group's guidelines (2.0, chapter 5) decide: EXIF counts before
XMP, and XMP before IPTC, field by field; only of stars XMP's count before EXIF's. The time of the exposure comes before
that of its digitising. The time of a change (ModifyDate) is neither: it only stands for the exposure where a camera
wrote what it exposed with and no other time, as early phones did, and no program is named.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from birdsearch.photos.metadata import Metadata, Tags, number
from birdsearch.records import UNVERIFIED, Photo

_LONGEST = 4000  # characters of a text that are kept

_ORIGINAL, _DIGITISED, _MODIFIED = (0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (0x0132, 0x9290, 0x9010)
_EXPOSURE = (0x829A, 0x829D)  # ExposureTime, FNumber
_MAKE, _MODEL, _LENS, _LENS_MAKE, _SOFTWARE = 0x010F, 0x0110, 0xA434, 0xA433, 0x0131
_SERIALS = (0xA431, 0xC62F)  # BodySerialNumber, CameraSerialNumber
_ARTISTS = (0x013B, 0x9C9D)  # Artist, XPAuthor
_NOTES = (0x010E, 0x9286, 0x9C9C, 0x9C9B)  # ImageDescription, UserComment, XPComment, XPTitle
_RATING, _PERCENT = 0x4746, 0x4749
_XP_KEYWORDS = 0x9C9E
_UTF16 = frozenset((0x9C9B, 0x9C9C, 0x9C9D, _XP_KEYWORDS))
# Data sets of IPTC: dates and times of the exposure and of its digitising, by-lines, caption, title.
_IPTC_ORIGINAL, _IPTC_DIGITISED, _BY_LINE, _IPTC_NOTES = (55, 60), (62, 63), 80, (120, 5)
_IPTC_KEYWORDS = 25
_PATHS = {  # of XMP: a keyword with all that stands above it, and what parts them
    "lr:hierarchicalSubject": "|",
    "digiKam:TagsList": "/",
    "MicrosoftPhoto:LastKeywordXMP": "/",
    "mediapro:CatalogSets": "|",
}
_MOST_KEYWORDS, _LONGEST_KEYWORD = 500, 250  # of a photo that are kept; characters of one

_DATE = re.compile(
    r"(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})"
    r"(?:[ Tt]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?[\s:]*(Z|z|[+-]\d{1,2}(?::?\d{2})?)?)?"
)
_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d{2}))?")
_IPTC_DATE, _IPTC_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})"), re.compile(r"(\d{2})(\d{2})(\d{2})([+-]\d{4})?")
_XMP_DEGREES = re.compile(r"(\d+(?:\.\d*)?)(?:,(\d+(?:\.\d*)?))?(?:,(\d+(?:\.\d*)?))?\s*([NSEWnsew])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_Moment = tuple[str | None, str | None]  # local time in ISO 8601, as far as it is known; offset from UTC


def describe(photo: Photo, metadata: Metadata) -> Photo:
    """The photo with everything that its camera and its owner wrote into the file."""
    tags = metadata.tags
    taken_at, taken_offset = next(_times(metadata), (None, None))
    latitude, longitude = _position(metadata)
    lens_maker, lens = _text(tags, _LENS_MAKE), _text(tags, _LENS)
    notes = [_text(tags, tag) for tag in _NOTES]
    notes += [_xmp(metadata, "dc:description"), _xmp(metadata, "dc:title")]
    notes += [_iptc(metadata, data_set) for data_set in _IPTC_NOTES]
    return replace(
        photo,
        taken_at=taken_at,
        taken_offset=taken_offset,
        camera=_camera(
            _text(tags, _MAKE) or _xmp(metadata, "tiff:Make"), _text(tags, _MODEL) or _xmp(metadata, "tiff:Model")
        ),
        camera_serial=_first(tags, _SERIALS) or _xmp(metadata, "exifEX:BodySerialNumber", "aux:SerialNumber"),
        lens=_camera(lens_maker, lens) if lens else _xmp(metadata, "exifEX:LensModel", "aux:Lens"),
        latitude=latitude,
        longitude=longitude,
        photographer=_first(tags, _ARTISTS) or _xmp(metadata, "dc:creator") or _iptc(metadata, _BY_LINE),
        notes="\n".join(dict.fromkeys(filter(None, notes))) or None,
        rating=_rating(metadata),
        keywords=keywords(metadata),
    )


def keywords(metadata: Metadata) -> tuple[str, ...]:
    """What the owner's programs wrote as keywords, each once; a path as "Birds|Gulls|Little Gull".

    Guesses that `Index.write_tags` wrote are left out, also where another program repeats their last word alone.
    """
    flat = [*metadata.xmp.get("dc:subject", ()), *_iptc_texts(metadata, _IPTC_KEYWORDS)]
    flat += (_text(metadata.tags, _XP_KEYWORDS) or "").split(";")
    paths = [_cleaned(text.split(sign)) for name, sign in _PATHS.items() for text in metadata.xmp.get(name, ())]
    sure = [path for path in paths if path and path[: len(UNVERIFIED)] != UNVERIFIED]
    guesses = {path[-1] for path in paths if path[: len(UNVERIFIED)] == UNVERIFIED} - {path[-1] for path in sure}
    said = [path for path in (_cleaned([text]) for text in flat) if path and path[0] not in guesses]
    said = [path for path in said if not path[0].startswith("|".join(UNVERIFIED))]
    found = dict.fromkeys("|".join(path)[:_LONGEST_KEYWORD] for path in (*said, *sure))
    return tuple(filter(None, found))[:_MOST_KEYWORDS]


def _cleaned(path: Iterable[str]) -> tuple[str, ...]:
    return tuple(filter(None, map(_clean, path)))


def modified(metadata: Metadata) -> _Moment:
    """When a program, or the camera, last changed the file."""
    return _exif_time(metadata.tags, _MODIFIED)


def text(value: Any) -> str | None:
    """A value of EXIF as clean text, or None where it is blank or not a text."""
    return _text({0: value}, 0)


def _text(tags: Tags, tag: int) -> str | None:
    """A value as clean text, or None where it is missing, blank or not a text."""
    value = tags.get(tag)
    if isinstance(value, tuple) and value and all(isinstance(part, int) and 0 <= part < 256 for part in value):
        value = bytes(value)  # Windows writes its UTF-16 texts as lists of bytes
    if isinstance(value, bytes):
        text = _decoded(value, tag)
    elif isinstance(value, str):
        text = _repaired(value)
    else:
        return str(value) if isinstance(value, int) and tag in _SERIALS else None
    return _clean(text.split("\0", 1)[0])


def _clean(text: str) -> str | None:
    return _CONTROL.sub("", text)[:_LONGEST].strip() or None


def _xmp(metadata: Metadata, *names: str) -> str | None:
    """The first of these properties that there is; of a list all texts in one."""
    found = ("; ".join(dict.fromkeys(metadata.xmp.get(name, ()))) for name in names)
    return next(filter(None, map(_clean, found)), None)


def _iptc(metadata: Metadata, data_set: int) -> str | None:
    return _clean("; ".join(_iptc_texts(metadata, data_set)))


def _iptc_texts(metadata: Metadata, data_set: int) -> list[str]:
    return [_repaired(each.decode("latin-1")) for each in metadata.iptc.get(data_set, ())]


def _decoded(value: bytes, tag: int) -> str:
    """Bytes as text: UTF-16 for Windows' own tags, the eight-byte character code of a user comment, else UTF-8."""
    if tag in _UTF16:
        return value.decode("utf-16-le", "ignore")
    code, body = value[:8], value[8:]
    if tag == 0x9286 and code == b"UNICODE\0":
        # No byte order is given: of most texts one order yields mainly ASCII, with its zeros at odd or even places.
        little = body[1::2].count(0) >= body[0::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "ignore").removeprefix("\ufeff")
    if tag == 0x9286 and code in (b"ASCII\0\0\0", b"\0" * 8):
        value = body
    elif tag == 0x9286 and code == b"JIS\0\0\0\0\0":
        return body.decode("iso2022_jp", "ignore")
    return _repaired(value.decode("latin-1"))


def _repaired(text: str) -> str:
    """EXIF texts are read as Latin-1, but what software writes today is UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _first(tags: Tags, candidates: tuple[int, ...]) -> str | None:
    return next((text for tag in candidates if (text := _text(tags, tag))), None)


def _camera(make: str | None, model: str | None) -> str | None:
    """Make and model, the make not twice: "Canon" and "Canon EOS R5" are a "Canon EOS R5"."""
    if not make or not model:
        return model or make
    # "NIKON CORPORATION" and "NIKON D850": the first word is the brand.
    return model if model.casefold().startswith(make.split()[0].casefold()) else f"{make} {model}"


def _times(metadata: Metadata) -> Iterator[_Moment]:
    """When the photo was taken, the best source first."""
    tags = metadata.tags
    yield from (
        known
        for known in (
            _exif_time(tags, _ORIGINAL),
            moment(_xmp(metadata, "exif:DateTimeOriginal") or ""),
            moment(_xmp(metadata, "photoshop:DateCreated") or ""),
            _iptc_time(metadata, *_IPTC_ORIGINAL),
            _exif_time(tags, _DIGITISED),
            moment(_xmp(metadata, "exif:DateTimeDigitized", "xmp:CreateDate") or ""),
            _iptc_time(metadata, *_IPTC_DIGITISED),
        )
        if known[0] is not None
    )
    timed = _ORIGINAL[0] in tags or _DIGITISED[0] in tags or any(name.startswith("xmp:") for name in metadata.xmp)
    if any(tag in tags for tag in _EXPOSURE) and not timed and _text(tags, _SOFTWARE) is None:
        yield modified(metadata)


def _exif_time(tags: Tags, where: tuple[int, int, int]) -> _Moment:
    time, subseconds, offset = (_text(tags, tag) or "" for tag in where)
    local, own_offset = moment(time)
    if local is None:
        return None, None
    if (digits := re.match(r"\d+", subseconds)) and len(local.split(".")[0]) == len("2024-05-17T06:07:08"):
        local = f"{local.split('.')[0]}.{digits[0][:6]}"
    return local, own_offset or _offset(offset)


def moment(text: str) -> _Moment:
    """A time as EXIF or XMP writes it; seconds may be missing, or the whole time of the day."""
    match = _DATE.match(text)
    if not match:
        return None, None
    parts = [int(part) for part in match.groups()[:6] if part is not None]
    try:
        local = datetime(*parts)  # type: ignore[arg-type]
    except ValueError:
        return None, None  # "0000:00:00 00:00:00" and the like: the camera's clock was never set
    iso = local.isoformat()[: {3: 10, 5: 16, 6: 19}[len(parts)]]
    return iso + (f".{match[7][:6]}" if match[7] else ""), _offset(match[8] or "")


def _iptc_time(metadata: Metadata, date: int, time: int) -> _Moment:
    day = _IPTC_DATE.match(_iptc(metadata, date) or "")
    hour = _IPTC_TIME.match(_iptc(metadata, time) or "")
    if not day:
        return None, None
    return moment("-".join(day.groups()) + (f"T{hour[1]}:{hour[2]}:{hour[3]}{hour[4] or ''}" if hour else ""))


def _offset(text: str) -> str | None:
    if text in ("Z", "z"):
        return "+00:00"
    match = _OFFSET.fullmatch(text)
    hours, minutes = (int(match[2]), int(match[3] or 0)) if match else (99, 0)
    return f"{match[1]}{hours:02}:{minutes:02}" if match and hours <= 14 and minutes <= 59 else None


def _position(metadata: Metadata) -> tuple[float | None, float | None]:
    """(latitude, longitude) in degrees, or twice None where either is missing or impossible."""
    gps, places = metadata.gps, [_xmp(metadata, f"exif:GPS{name}") or "" for name in ("Latitude", "Longitude")]
    written = [_XMP_DEGREES.fullmatch(place) for place in places]
    in_xmp = [(tuple(filter(None, match.groups()[:3])), match[4]) if match else (None, None) for match in written]
    for (north, its_letter), (east, other_letter) in (((gps.get(2), gps.get(1)), (gps.get(4), gps.get(3))), in_xmp):
        latitude, longitude = _degrees(north, its_letter, "NS", 90), _degrees(east, other_letter, "EW", 180)
        # Receivers without a fix write zeros.
        if latitude is not None and longitude is not None and not latitude == longitude == 0:
            return latitude, longitude
    return None, None


def _degrees(value: Any, hemisphere: Any, letters: str, most: int) -> float | None:
    """Degrees, minutes and seconds as one signed number, six decimals (0.1 m)."""
    if isinstance(hemisphere, bytes):
        hemisphere = hemisphere.decode("latin-1")
    letter = hemisphere.strip("\0 ").upper()[:1] if isinstance(hemisphere, str) else ""
    # Without its hemisphere a position may be half a world away: no position is the better answer.
    if not letter or letter not in letters:
        return None
    parts = value if isinstance(value, tuple) else (value,)
    try:
        total = math.fsum(float(part) / 60.0**place for place, part in enumerate(parts[:3]))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not math.isfinite(total) or not 0 <= total <= most:
        return None
    return round(-total if letter == letters[1] else total, 6)


def _rating(metadata: Metadata) -> int | None:
    """Stars from 0 to 5; a picture "rejected" in XMP (-1) has none."""
    written = (
        (_xmp(metadata, "xmp:Rating"), False),
        (_xmp(metadata, "MicrosoftPhoto:Rating"), True),
        (metadata.tags.get(_RATING), False),
        (metadata.tags.get(_PERCENT), True),
    )
    for value, percent in written:
        stars = number(value)
        if stars is not None and percent:
            stars = 0 if stars <= 0 else 1 + round(stars / 25)  # Windows writes 1, 25, 50, 75 and 99
        if stars == -1:
            return None
        if stars is not None and 0 <= stars <= 5:
            return int(stars)
    return None
