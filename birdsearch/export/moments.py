"""Instants: what a camera's clock showed, with an offset from UTC, and none where there is no offset."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from birdsearch.records import Photo

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?", re.IGNORECASE)
_GERMAN = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)")


def zone_of(text: str) -> tzinfo | None:
    """A time zone by its name or offset; None for an empty text. Raises ValueError for any other."""
    text = text.strip()
    if not text or text.upper() in ("Z", "UTC", "GMT"):
        return UTC if text else None
    if match := _OFFSET.fullmatch(text):
        hours, minutes = int(match[2]), int(match[3] or 0)
        if hours <= 14 and minutes <= 59:
            return timezone((-1 if match[1] == "-" else 1) * timedelta(hours=hours, minutes=minutes))
    elif "/" in text:
        try:
            return ZoneInfo(text)
        except (KeyError, ValueError, OSError):
            pass
    raise ValueError(f"timezone must be a name such as Europe/Berlin or an offset such as +02:00, got {text!r}")


def clock_of(text: str | None) -> datetime | None:
    """A time with hours and minutes, with its offset where it has one; None for any other text, such as a day."""
    try:
        return datetime.fromisoformat(text) if text and len(text) >= len("2024-05-17T06:07") else None
    except ValueError:
        return None


def instant(clock: datetime | None, zone: tzinfo | None) -> datetime | None:
    """A time as an instant, in whole seconds; `zone` is that of one without an offset."""
    if clock is None or (clock.tzinfo is None and zone is None):
        return None
    try:
        moment = clock.replace(microsecond=0, tzinfo=clock.tzinfo or zone)
        offset = moment.utcoffset()
        # Before there were time zones clocks went by the sun, to the second, which no format holds.
        return moment.astimezone(UTC) if offset is not None and offset.seconds % 60 else moment
    except OverflowError:
        return None


def moment_of(photo: Photo, zone: tzinfo | None) -> datetime | None:
    """When a photo was taken; its own offset counts before `zone`."""
    return instant(clock_of(photo.taken_at), zone_of(photo.taken_offset or "") or zone)


def written_time(text: str, *, end: bool = False) -> datetime | None:
    """A time or a day as people write it, 2024-05-17 18:30 or 17.05.2024; of a day its beginning, or its `end`.

    None for any other text.
    """
    text = text.strip()
    if match := _GERMAN.fullmatch(text):
        text = f"{match[3]}-{match[2]:0>2}-{match[1]:0>2}{match[4]}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment + timedelta(days=1, seconds=-1) if end and len(text) == len("2024-05-17") else moment
