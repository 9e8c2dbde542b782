"""What a camera wrote beside the pixels: EXIF and XMP values -> the fields of a Photo. Pure; garbage becomes None."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from birdsearch.records import Photo

Tags = Mapping[int, Any]  # tag number -> value, the main and the Exif directory in one

_LONGEST = 4000  # characters of a text that are kept

# (time, sub-seconds, offset): when it was taken; when it was digitised; when the file was written, for old phones
_TIMES = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (0x0132, 0x9290, 0x9010))
_MAKE, _MODEL, _LENS, _LENS_MAKE = 0x010F, 0x0110, 0xA434, 0xA433
_SERIALS = (0xA431, 0xC62F)  # BodySerialNumber, CameraSerialNumber
_ARTISTS = (0x013B, 0x9C9D)  # Artist, XPAuthor
_NOTES = (0x010E, 0x9286, 0x9C9C)  # ImageDescription, UserComment, XPComment
_RATING = 0x4746
_UTF16 = frozenset((0x9C9B, 0x9C9C, 0x9C9D))

_DATE = re.compile(r"(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})[ T]+(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d+))?")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_XMP_RATING = re.compile(rb"xmp:Rating\s*(?:=\s*[\"']|>)\s*(-?\d+)(?:\.0*)?\s*[\"'<]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def describe(photo: Photo, tags: Tags, gps: Tags, xmp: bytes) -> Photo:
    """The photo with everything that its camera and its owner wrote into the file."""
    taken_at, taken_offset = _taken(tags)
    latitude, longitude = _position(gps)
    return replace(
        photo,
        taken_at=taken_at,
        taken_offset=taken_offset,
        camera=_camera(_text(tags, _MAKE), _text(tags, _MODEL)),
        camera_serial=_first(tags, _SERIALS),
        lens=_camera(_text(tags, _LENS_MAKE), _text(tags, _LENS)) if _text(tags, _LENS) else None,
        latitude=latitude,
        longitude=longitude,
        photographer=_first(tags, _ARTISTS),
        notes="\n".join(dict.fromkeys(filter(None, (_text(tags, tag) for tag in _NOTES)))) or None,
        rating=_rating(tags, xmp),
    )


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
    return _CONTROL.sub("", text.split("\0", 1)[0])[:_LONGEST].strip() or None


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


def _taken(tags: Tags) -> tuple[str | None, str | None]:
    """(local time in ISO 8601 with the sub-seconds that are known, offset from UTC)."""
    for time_tag, subsecond_tag, offset_tag in _TIMES:
        match = _DATE.match(_text(tags, time_tag) or "")
        if not match:
            continue
        try:
            moment = datetime(*(int(part) for part in match.groups()[:6]))  # type: ignore[arg-type]
        except ValueError:
            continue  # "0000:00:00 00:00:00" and the like: the camera's clock was never set
        digits = re.match(r"\d+", _text(tags, subsecond_tag) or match[7] or "")
        fraction = f".{digits[0][:6]}" if digits else ""
        return moment.isoformat() + fraction, _offset(_text(tags, offset_tag) or "")
    return None, None


def _offset(text: str) -> str | None:
    if text == "Z":
        return "+00:00"
    match = _OFFSET.fullmatch(text)
    if not match or int(match[2]) > 14 or int(match[3]) > 59:
        return None
    return f"{match[1]}{match[2]}:{match[3]}"


def _position(gps: Tags) -> tuple[float | None, float | None]:
    """(latitude, longitude) in degrees, or twice None where either is missing or impossible."""
    latitude = _degrees(gps.get(2), gps.get(1), "NS", 90)
    longitude = _degrees(gps.get(4), gps.get(3), "EW", 180)
    # Receivers without a fix write zeros.
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None, None
    return latitude, longitude


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


def _rating(tags: Tags, xmp: bytes) -> int | None:
    """Stars from 0 to 5; a picture "rejected" in XMP (-1) has none."""
    value = tags.get(_RATING)
    if not isinstance(value, int):
        match = _XMP_RATING.search(xmp)
        value = int(match[1]) if match else None
    return value if value is not None and 0 <= value <= 5 else None
