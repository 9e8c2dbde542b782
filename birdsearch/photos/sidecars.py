"""Which files belong to a photo: the one list for choosing, moving and undoing."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache

from birdsearch.photos.filetype import SIDECAR_OWNERS, has_raw_name

# Edits and notes of cameras, phones and photo programs, voice memos, and movies: the moving part of a live photo.
_KINDS = {
    **dict.fromkeys(
        (
            ".aae", ".acr", ".arp", ".cos", ".dop", ".dr4", ".exif", ".json", ".md5", ".mie", ".nksc", ".on1", ".pp3",
            ".sha1", ".sha256", ".spd", ".thm", ".txt", ".vrd", ".xmp",
        ),
        "sidecar",
    ),
    **dict.fromkeys((".aac", ".amr", ".m4a", ".mp3", ".wav"), "sound"),
    **dict.fromkeys((".lrv", ".mov", ".mp4"), "movie"),
}  # fmt: skip
# Folders beside the photos in which Nikon's, Phase One's and Silkypix's programs keep what belongs to them.
_SUBFOLDERS = ("nksc_param", "captureone", "captureone/settings*", "silkypix_ds")

_VERSION = re.compile(r"(.+)_\d\d+(\.[^.]+)")  # darktable: IMG_01.jpg.xmp is a further edit of IMG.jpg
_SILKYPIX = re.compile(r"(.+)\.\d+")  # IMG.RW2.11.spd
_MOTION = re.compile(r"mvimg_.+|.+\.mp(~\d+)?")  # Pixel: the movie of MVIMG_1.jpg is MVIMG_1, of PXL_1.MP.jpg PXL_1.MP
_IPHONE = re.compile(r"img_[eo](\d{4})")  # IMG_E0001.HEIC is IMG_0001.HEIC edited; IMG_O0001.AAE says how
_GOOGLE = "supplemental-metadata"  # IMG.jpg.supplemental-metadata.json, of which Takeout cuts the end off
_GOOGLE_LENGTH = 46  # characters that Takeout writes before .json
_GOOGLE_NUMBER = re.compile(r"(.+)\((\d+)\)")  # IMG.jpg(1).json belongs to IMG(1).jpg
_GOOGLE_EDIT = re.compile(r"(.+)-(?:edited|bearbeitet|bewerkt|editado|modificato|modifié)(\.[^.]+)")

RAW = "raw"  # kind of a companion: the RAW of a JPEG
_Key = tuple[str, str]  # a way of belonging together, and the text that both names have in common


class FolderListing:
    """The files of one folder by their names, to find what belongs to a photo; upper and lower case are the same.

    What has the whole name of a picture belongs to that file alone: `IMG.jpg.xmp`. What has its stem belongs to every
    picture of that stem, such as a JPEG and its RAW: `IMG.xmp`, the movie `IMG.mov`, the voice memo `IMG.wav`.
    """

    def __init__(self, names: Iterable[str], photos: Collection[str] = ()) -> None:
        """`photos` are pictures whatever their suffix; names with a slash lie in a subfolder of a photo program."""
        self._names = list(names)
        pictures = [name for name in self._names if _split(name)[1] in SIDECAR_OWNERS or name in photos]
        self._pictures: dict[_Key, list[str]] = defaultdict(list)
        for name in pictures:
            for key in _picture_keys(name):
                self._pictures[key].append(name)
        self._sidecars: dict[str, dict[str, list[str]]] = {name: {} for name in pictures}
        self.owners: dict[str, list[str]] = {}  # sidecar -> the files that it belongs to
        for name in self._names:
            owners = next((self._pictures[key] for key in _sidecar_keys(name) if key in self._pictures), [])
            if owners and name not in self._sidecars:
                self.owners[name] = owners
                for owner in owners:
                    self._sidecars[owner][name] = owners

    @classmethod
    def read(cls, folder: str) -> "FolderListing":
        """What lies in a folder, and what photo programs keep in folders of their own below it."""
        return cls(names_in(folder))

    def sidecars(self, photo: str) -> dict[str, list[str]]:
        """Each sidecar of a photo -> the files that it belongs to: it may go when none of them is left."""
        listing = self if photo in self._sidecars else FolderListing(self._names, {photo})
        return listing._sidecars.get(photo, {})

    def same_stem_images(self, photo: str) -> list[str]:
        """The other pictures of a photo's stem: the RAW of a JPEG, the JPEG of a RAW."""
        return [name for name in self._pictures.get(("stem", _split(photo)[0]), []) if name != photo]


def companions_of(
    photos: Iterable[str], listing: Callable[[str], FolderListing] | None = None
) -> dict[str, tuple[str, ...]]:
    """Each photo -> its companions: sidecars, movie, voice memo, and the RAW of its stem.

    A folder is listed once; over several calls too with a `listing` that remembers.
    """
    listing = listing or cache(FolderListing.read)
    found = {}
    for photo in photos:
        folder, name = os.path.split(photo)
        beside = listing(folder)
        raws = [other for other in beside.same_stem_images(name) if has_raw_name(other)]
        found[photo] = tuple(os.path.join(folder, other) for other in (*beside.sidecars(name), *raws))
    return found


def with_facts(files: Sequence[str], sidecars: Iterable[str]) -> list[str]:
    """Those of a photo's sidecars that say what its owner wrote of it, and Google's JSON: the first counts most.

    `files` are the photo and, where it has one, its RAW.
    """
    stems = [_split(file) for file in files]
    wanted = [f"{stem}{suffix}.xmp" for stem, suffix in stems] + [f"{stem}.xmp" for stem, _ in stems]
    named = [("".join(_split(name)), name) for name in sorted(sidecars)]
    found = [name for one in dict.fromkeys(wanted) for plain, name in named if plain == one]
    return found + [name for plain, name in named if plain.endswith(".json")]


def companion_kind(name: str) -> str | None:
    """What a file is beside its photo, by its name: "raw", "sidecar", "movie" or "sound"; None for any other file."""
    if has_raw_name(name):
        return RAW
    stem, suffix = _split(name)
    is_motion = suffix not in SIDECAR_OWNERS and _MOTION.fullmatch(stem + suffix) is not None
    return _KINDS.get(suffix, "movie" if is_motion else None)


def beside_photos(folder: str) -> tuple[str, str]:
    """The folder whose photos the files of a folder may go with, and how they are called from there: that of a photo
    program, such as NKSC_PARAM, keeps what belongs to the photos above it."""
    above, name = os.path.split(folder)
    for home, within in ((os.path.dirname(above), os.path.join(os.path.basename(above), name)), (above, name)):
        if any(fnmatchcase(within.casefold(), pattern) for pattern in _SUBFOLDERS):
            return home, within
    return folder, ""


def name_beside(sidecar: str, photo: str, other: str) -> str | None:
    """What a photo's sidecar would be called beside another photo; None where its name is not that of the photo."""
    within, name = os.path.split(sidecar)
    for old, new in ((photo, other), (os.path.splitext(photo)[0], os.path.splitext(other)[0])):
        if name.casefold().startswith(old.casefold()):
            return os.path.join(within, new + name[len(old) :])
    return None


def names_in(folder: str, within: str = "") -> Iterator[str]:
    """The files of a folder; within the subfolders of photo programs only what is not a picture."""
    with suppress(OSError), os.scandir(os.path.join(folder, within)) as entries:
        for entry in entries:
            name = os.path.join(within, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if any(fnmatchcase(name.casefold(), pattern) for pattern in _SUBFOLDERS):
                    yield from names_in(folder, name)
            elif not within or _split(name)[1] not in SIDECAR_OWNERS:
                yield name


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix in small letters, without a subfolder."""
    return os.path.splitext(os.path.basename(name).casefold())


def _picture_keys(name: str) -> Iterator[_Key]:
    """By what a sidecar may know a picture."""
    stem, suffix = _split(name)
    whole = stem + suffix
    yield "file", whole
    yield "stem", stem
    yield "iphone", _IPHONE.sub(r"img_\1", stem)
    if len(whole) > _GOOGLE_LENGTH:
        yield "cut", whole[:_GOOGLE_LENGTH]
    if edit := _GOOGLE_EDIT.fullmatch(whole):  # it shares the JSON of the original
        yield "json", edit[1] + edit[2]
    yield "json", whole


def _sidecar_keys(name: str) -> Iterator[_Key]:
    """By what a sidecar knows its picture: the first key that a picture has counts."""
    stem, suffix = _split(name)
    if suffix not in _KINDS:
        if _MOTION.fullmatch(stem + suffix):
            yield "stem", stem + suffix
        return
    if suffix == ".json":
        yield from _google_keys(stem)
    yield "file", stem
    if suffix == ".xmp" and (version := _VERSION.fullmatch(stem)):
        yield "file", version[1] + version[2]
    if suffix == ".spd" and (numbered := _SILKYPIX.fullmatch(stem)):
        yield "file", numbered[1]
    if suffix == ".aae":
        yield "iphone", _IPHONE.sub(r"img_\1", stem)
    yield "stem", stem


def _google_keys(stem: str) -> Iterator[_Key]:
    """Of a JSON that Google Takeout wrote, by its name without .json."""
    yield "json", stem
    number = _GOOGLE_NUMBER.fullmatch(stem)
    plain = number[1] if number else stem
    head, dot, tail = plain.rpartition(".")
    for whole in (plain, head) if dot and _GOOGLE.startswith(tail) else (plain,):
        base, suffix = os.path.splitext(whole)
        yield "json", f"{base}({number[2]}){suffix}" if number else whole
    if len(stem) == _GOOGLE_LENGTH:
        yield "cut", stem
