"""What the folders above a photo say of it: whether it lies there to stay. Pure."""

import os
import re

# Recycle bins, snapshots and stores of thumbnails of computers, NAS and cameras: nothing lies there to stay.
_THROWN_AWAY = re.compile(
    r"#recycle|@recycle|\$recycle\.bin|recycler|recycled|\.?trash(?:es)?(?:-\d+)?|papierkorb|#snapshot|@?\.?snapshots?"
    r"|\.zfs|@eadir|\.@__thumb|thumbnails|\.thumbnails|thmbnl|lost\+found|.+\.lrdata|found\.\d{3}",
    re.IGNORECASE,
)
# Folders of memory cards (DCF: three digits and five letters), and where programs put what comes in.
_PASSING = re.compile(
    r"dcim|\d{3}[a-z0-9_]{5}|misc|private|avchd|downloads?|herunterladen|téléchargements|descargas|whatsapp.*"
    r"|telegram.*|signal.*|messenger|viber.*|received|incoming|import(?:ed|s)?|camera uploads|te?mp|cache|screenshots",
    re.IGNORECASE,
)


def is_thrown_away(path: str) -> bool:
    """Whether a file lies in a recycle bin, a snapshot or a store of thumbnails."""
    return _any_folder(path, _THROWN_AWAY)


def is_passing(path: str) -> bool:
    """Whether a file lies on a memory card, or where downloads and messages come in."""
    return _any_folder(path, _PASSING)


def _any_folder(path: str, names: re.Pattern[str]) -> bool:
    return any(names.fullmatch(folder) for folder in os.path.dirname(path).split(os.sep))
