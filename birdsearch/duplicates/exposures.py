"""Whether two files show one exposure: below the resolution of a clock the numbers that cameras give tell. Pure."""

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from birdsearch.duplicates.implied import is_plain
from birdsearch.duplicates.originality import is_numbered_copy, signs_of_edit
from birdsearch.records import Photo

if TYPE_CHECKING:  # bursts need no pixels
    from birdsearch.duplicates.alignment import Alignment
    from birdsearch.photos.provenance import Provenance

_NUMBERED = re.compile(r"(?P<series>[a-z_][a-z_-]*|\d{3}[_-])?(?P<number>\d{3,10})", re.IGNORECASE)
_TIMED = re.compile(r"(?P<series>[a-z]*_?\d{8}[_-]\d{6})[_-]?(?:burst)?(?P<number>\d{2,4})(?:_cover)?", re.IGNORECASE)
_UNNAMED_DIGITS = 4  # of a number that stands alone: "3" is a name that people give
_FRAME_NUMBERS = frozenset(("image number", "file number", "shutter count"))  # equal ones are one exposure
_NEAR = 100  # numbers between two frames of a few seconds, a guess
_SAME_AGREEMENT = 0.98  # of an alignment that shows nothing but another size or compression


@dataclass(frozen=True, slots=True)
class FileNumber:
    """The number that a camera gave a file."""

    series: str  # what stands before it, and how many digits it has
    number: int


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo and what its file says of its exposure."""

    photo: Photo
    said: "Provenance"


def file_number(path: str) -> FileNumber | None:
    """The number in a name as cameras give it; None for every other name ("IMG_1 (1)", "IMG_1-edit", "wren")."""
    stem = os.path.splitext(os.path.basename(path))[0]
    found = _TIMED.fullmatch(stem) or _NUMBERED.fullmatch(stem)
    if found is None or (not found["series"] and len(found["number"]) < _UNNAMED_DIGITS):
        return None
    return FileNumber(f"{(found['series'] or '').casefold()}{len(found['number'])}", int(found["number"]))


def near_in_series(one: FileNumber | None, other: FileNumber | None) -> bool:
    """Whether one camera may have given both numbers within a few seconds; what has no number may be anywhere."""
    if one is None or other is None:
        return True
    gap = abs(one.number - other.number)
    # After 9,999 cameras begin anew.
    return one.series == other.series and min(gap, abs(9_999 - gap)) <= _NEAR


def two_exposures(one: Shot, other: Shot, alignment: "Alignment") -> bool:
    """Whether two pictures that lie on each other are two exposures, however alike.

    They are where two cameras took them, or one camera numbered them differently. So they are at two moments, unless
    one picture is the other with its clock set right. What one file does not tell decides nothing: an edited copy may
    have lost its numbers, the fractions of its second, or all of its EXIF.
    """
    if _two_cameras(one.said, other.said):
        return True
    if (numbered := _numbered_apart(one.said, other.said)) is not None and numbered:
        return True
    if not (one.said.model and other.said.model):
        return False
    apart = _seconds_apart(one.said, other.said)
    if apart is None or (apart == 0 and not _fractions(one.said, other.said)):
        return numbered is None and _named_apart(one, other)
    return apart != 0 and not _clock_was_set(one, other, apart, alignment)


def _two_cameras(one: "Provenance", other: "Provenance") -> bool:
    """Whether the models or the bodies differ; makers change their names, and programs leave them out."""
    serials = [serial.strip().lstrip("0").casefold() for said in (one, other) if (serial := said.serial)]
    if len(serials) == 2 and serials[0] != serials[1]:
        return True
    return bool(one.model and other.model) and not _models(one) & _models(other)


def _models(said: "Provenance") -> set[str]:
    """The model without regard to spelling, with its maker and without: "NIKON Z 8" is a "nikonz8" and a "z8"."""
    words = re.findall(r"[a-z0-9]+", (said.model or "").casefold())
    maker = re.findall(r"[a-z0-9]+", (said.make or "").casefold())[:1]
    return {"".join(words), "".join(words[1:] if words[:1] == maker and len(words) > 1 else words)}


def _numbered_apart(one: "Provenance", other: "Provenance") -> bool | None:
    """Whether what the camera numbered the exposures with differs; None where they have no number in common."""
    ours, theirs = dict(one.frame), dict(other.frame)
    common = ours.keys() & theirs.keys()
    if any(ours[name] != theirs[name] for name in common):
        return True
    return False if common & _FRAME_NUMBERS else None


def _named_apart(one: Shot, other: Shot) -> bool:
    """Whether the camera gave both files names of one series with two numbers."""
    ours, theirs = file_number(one.photo.path), file_number(other.photo.path)
    if ours is None or theirs is None or ours.series != theirs.series or ours.number == theirs.number:
        return False
    return _are_frames(one, other)


def _are_frames(one: Shot, other: Shot) -> bool:
    """Whether both look like what one camera wrote: one size and format, and no sign of an edit."""
    if one.photo.format != other.photo.format:
        return False
    sizes = [sorted((shot.photo.width or 0, shot.photo.height or 0)) for shot in (one, other)]
    edited = any(signs_of_edit(shot.photo, shot.said) or is_numbered_copy(shot.photo.path) for shot in (one, other))
    return sizes[0] == sizes[1] and not edited


def _seconds_apart(one: "Provenance", other: "Provenance") -> float | None:
    """Seconds between two exposures, in the precision that both have; None where one does not say when it was."""
    if one.taken_at is None or other.taken_at is None:
        return None
    try:
        ours, theirs = (datetime.fromisoformat(said.taken_at[:19]) for said in (one, other) if said.taken_at)
    except ValueError:
        return None
    gap = abs((ours - theirs).total_seconds())
    if one.taken_offset and other.taken_offset:
        # Another offset of the same instant, or the same clock with its offset set right.
        gap = min(gap, abs((ours - _shift(one.taken_offset) - theirs + _shift(other.taken_offset)).total_seconds()))
    fractions = _fractions(one, other)
    return gap + (0.5 if fractions and fractions[0] != fractions[1] else 0)


def _shift(offset: str) -> timedelta:
    return datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").utcoffset() or timedelta()


def _fractions(one: "Provenance", other: "Provenance") -> tuple[str, str] | None:
    """The fractions of their seconds in the precision that both have; None where a camera writes zeros only."""
    ours, theirs = (said.taken_at[20:] if said.taken_at else "" for said in (one, other))
    length = min(len(ours), len(theirs))
    return (ours[:length], theirs[:length]) if (ours[:length] + theirs[:length]).strip("0") else None


def _clock_was_set(one: Shot, other: Shot, seconds: float, alignment: "Alignment") -> bool:
    """Whether one picture is the other whose clock was wrong by whole minutes.

    A tripod stands still for hours: so either both have the same number, or one of them is no frame of a camera, and
    nothing in the pictures may have moved.
    """
    if seconds % 60 or not is_plain(alignment.matrix) or alignment.agreement < _SAME_AGREEMENT:
        return False
    ours, theirs = file_number(one.photo.path), file_number(other.photo.path)
    return (ours is not None and ours == theirs) or not _are_frames(one, other)
