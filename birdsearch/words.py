"""How things are said: counts, sizes, shares, moments and places in words, and any text as it can be printed."""

import os
import re


def shown(text: str) -> str:
    """A text as it can be printed: bytes that are not UTF-8, and halves of characters, become backslash escapes."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace") if not text.isascii() else text
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def without_secrets(text: str) -> str:
    """A text in which what may be a password of an address is left out, so that it can be shown and logged."""
    text = re.sub(r"(:/{1,2})[^?#\s]*@", r"\1…@", text)
    return re.sub(r"(?i)([^?&\s]*(?:pass|secret|token|key|credential|signature|sig)[^=&\s]*=)[^&\s]*", r"\1…", text)


def counted(count: int, thing: str) -> str:
    """So many things in words: "1 photo", "2,000 photos"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def bytes_text(count: float) -> str:
    """A size in bytes: "900 kB", "1,234.5 MB"."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def percent(share: float, digits: int = 0) -> str:
    """A share of 1: "83 %"."""
    return f"{share:.{digits}%}".replace("%", " %")


def date_text(moment: str) -> str:
    """A moment of Photo.taken_at as people read it: "2024-05-01 08:30:00"."""
    return moment.replace("T", " ")


def place_text(latitude: float, longitude: float) -> str:
    """A position as people read it: "52.520° N, 13.400° E"."""
    north, east = ("N" if latitude >= 0 else "S"), ("E" if longitude >= 0 else "W")
    return f"{abs(latitude):.3f}° {north}, {abs(longitude):.3f}° {east}"
