"""Places whose files are not a person's photos: recycle bins, snapshots, thumbnails, what systems and programs keep.

The one list of them: `scan` leaves them out of an index, and no copy in one of them is kept before one elsewhere.
"""

import fnmatch
import os
import re
from collections.abc import Iterable

BIN = "in a recycle bin"
SNAPSHOT = "in a snapshot"
THUMBNAILS = "among thumbnails"
CARD = "in an index folder of a memory card"
LIBRARY = "among a photo library's own files"
SYSTEM = "in a system folder"

# Names of folders, in small letters, as fnmatch reads them.
_FOLDERS = {
    BIN: (
        "#recycle", "@recycle", "$recycle.bin", "recycler", "recycled", "recycle", "recycle bin", ".recycle",
        "network recycle bin*", "trash", "trashbox", ".trash*", ".dtrash", "network trash folder", "files_trashbin",
        ".birdsearch-trash", ".globaltrash",
    ),
    SNAPSHOT: (
        "#snapshot", "@snapshot", "@snapshots", "@recently-snapshot", ".snapshot", ".snapshots", "~snapshot", ".zfs",
        "@gmt-*", "backups.backupdb", ".mobilebackups", ".stversions", "files_versions",
    ),
    THUMBNAILS: (
        "@eadir", "@__thumb", ".@__thumb", "thumb", "thumbs", "thumbnail", "thumbnails", ".thumb", ".thumbs",
        ".thumbnail", ".thumbnails", "_thumbs", "_thumbnails", "thmbnl", "avchdtn", "*.lrdata", "mipmaps-*.d", ".wdmc",
        ".xvpics", ".bridgecache", ".pics",
    ),
    CARD: ("avf_info", "autprint", "canonmsc", "eosmisc", "nikonmisc"),
    SYSTEM: (
        "system volume information", "lost+found", "found.[0-9][0-9][0-9]", "__macosx", ".appledouble", "@tmp",
        "@sharebin", "@synologydrive", ".spotlight-v100", ".documentrevisions-v100", ".fseventsd", ".temporaryitems",
        "temporary items",
    ),
}  # fmt: skip
# Folders that mean something only below another one: "THM" is no name of a thumbnail store, "MISC/THM" is.
_PAIRS = {
    ("misc", "thm"): THUMBNAILS,
    ("misc", "idx"): CARD,
    ("misc", "autprint"): CARD,
    ("captureone", "cache"): THUMBNAILS,
    ("_data", "i"): THUMBNAILS,  # Piwigo
    ("appdata_*", "preview"): THUMBNAILS,  # Nextcloud
    ("timeshift", "snapshots"): SNAPSHOT,
}
_LIBRARIES = ("*.photoslibrary", "*.photolibrary", "*.migratedphotolibrary", "*.aplibrary", "*.migratedaplibrary",
              "*.cocatalog")  # fmt: skip
# What of a library are photos: what went in, and what iPhoto's editor made of it.
_ORIGINALS = ("originals", "masters", "modified", "*.approject")
_FILES = ("*.thm", "synophoto_thumb_*", "synofile_thumb_*", "*@synoeastream", "*@synoresource", ".trashed-*")


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, names)))


_BY_NAME = {reason: _pattern(names) for reason, names in _FOLDERS.items()}
_ANY_NAME = _pattern(name for names in _FOLDERS.values() for name in names)
_BY_PAIR = [(_pattern([above]), name, reason) for (above, name), reason in _PAIRS.items()]
_LIBRARY, _ORIGINAL, _FILE = _pattern(_LIBRARIES), _pattern(_ORIGINALS), _pattern(_FILES)


# Folders of memory cards (DCF: three digits and five letters), and where programs put what comes in.
_PASSING = re.compile(
    r"dcim|\d{3}[a-z0-9_]{5}|downloads?|herunterladen|téléchargements|descargas|scaricati|whatsapp.*|telegram.*|signal.*"
    r"|messenger|viber.*|received|camera uploads|screenshots|te?mp|cache",
    re.IGNORECASE,
)


def system_place(path: str | bytes) -> str | None:
    """Why a file, by its path alone, is not one of a person's own photos: "in a recycle bin"; None for all others.

    >>> system_place("/photos/#recycle/wren.jpg")
    'in a recycle bin'
    """
    *folders, name = os.fsdecode(path).split(os.sep)
    above = ""
    for folder in folders:
        if reason := folder_reason(above, folder):
            return reason
        above = folder
    return file_reason(name)


def folder_reason(above: str, name: str) -> str | None:
    """Why a folder of this name in a folder of that name is left out; None for all others."""
    name, above = name.lower(), above.lower()
    if _ANY_NAME.fullmatch(name):
        return next(reason for reason, pattern in _BY_NAME.items() if pattern.fullmatch(name))
    for pattern, below, reason in _BY_PAIR:
        if name == below and pattern.fullmatch(above):
            return reason
    if _LIBRARY.fullmatch(above) and not _ORIGINAL.fullmatch(name):
        return LIBRARY
    return None


def file_reason(name: str) -> str | None:
    """Why a file of this name is left out wherever it lies; None for all others."""
    return THUMBNAILS if _FILE.fullmatch(name.lower()) else None


def is_passing(path: str) -> bool:
    """Whether a file lies on a memory card, or where downloads and messages come in: a copy elsewhere is kept.

    >>> is_passing("/media/EOS/DCIM/100CANON/IMG_1.JPG")
    True
    """
    return any(_PASSING.fullmatch(folder) for folder in path.split(os.sep)[:-1])
