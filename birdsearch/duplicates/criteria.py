"""What makes one photo worth more than its copy: each criterion picks the best of a group and says why. Pure."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from birdsearch.records import Photo

_RAW = frozenset(("RAW", "DNG", "CR2", "CR3", "CRW", "NEF", "NRW", "ARW", "SR2", "RAF", "RW2", "ORF", "PEF"))
_CAMERA_FORMATS = frozenset(("JPEG", "TIFF", "HEIF"))  # what cameras write beside RAW
_ENLARGED = 2.5**2  # times the pixels: no edited copy is larger than that, so a "copy" that is must be the original
_SAME_PIXELS = 0.98  # of the most: a border that was trimmed decides nothing
_SAME_SHARPNESS = 0.9  # of the sharpest: another compression changes the measure by a few per cent
_FACTS: dict[str, tuple[str, ...]] = {  # what metadata is made of -> fields of a Photo
    "time": ("taken_at",),
    "camera": ("camera",),
    "serial number": ("camera_serial",),
    "lens": ("lens",),
    "position": ("latitude", "longitude"),
    "photographer": ("photographer",),
    "notes": ("notes",),
    "rating": ("rating",),
    "label": ("label",),
}


@dataclass(frozen=True, slots=True)
class Given:
    """What the criteria know besides the photos themselves."""

    prefer: tuple[str, ...]
    protect: tuple[str, ...]
    measure: Callable[[Photo], float] | None
    relation: str | None


@dataclass(frozen=True, slots=True)
class Words:
    """Why one photo is better than another by one criterion."""

    why: str  # of the better one
    one: str  # goes on after "the other"
    many: str  # goes on after "3 others"
    reason: str  # of the worse one


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing by which photos are compared."""

    best: Callable[[Sequence[Photo], Given], list[Photo]]  # those that no other one beats
    words: Callable[[Photo, Photo, Given], Words]  # (kept, other): the other was not among the best


def id_of(photo: Photo) -> int:
    """The id of a photo that has one."""
    if photo.id is None:
        raise ValueError(f"{photo.path} has no id: only photos of an index, or of a report, can be chosen from")
    return photo.id


def lies_under(path: str, folders: Sequence[str]) -> bool:
    """Whether a photo lies in one of these folders or below, by its path or, through links, in truth."""
    if not folders:
        return False
    parent, name = os.path.split(os.path.abspath(path))
    places = {os.path.join(parent, name), os.path.join(os.path.realpath(parent), name)}
    roots = {form for folder in folders for form in (os.path.abspath(folder), os.path.realpath(folder))}
    return any(_within(place, root) for place in places for root in roots)


def _within(path: str, folder: str) -> bool:
    """By components: /birds is not in /bird."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _highest(photos: Sequence[Photo], rank: Callable[[Photo], float], share: float = 1.0) -> list[Photo]:
    """The photos whose rank is at least this share of the highest."""
    ranks = [rank(photo) for photo in photos]
    top = max(ranks)
    return [photo for photo, value in zip(photos, ranks, strict=True) if value >= (top * share if top > 0 else top)]


def _first_apart(a: float, b: float, forms: Sequence[Callable[[float], str]]) -> tuple[str, str]:
    """Two values in the shortest form in which they differ."""
    for form in forms:
        if form(a) != form(b):
            break
    return form(a), form(b)


# The criteria --------------------------------------------------------------------------------------------------------


def _best_protected(photos: Sequence[Photo], given: Given) -> list[Photo]:
    return _highest(photos, lambda photo: lies_under(photo.path, given.protect))


def _protected_words(kept: Photo, _other: Photo, given: Given) -> Words:
    folder = next(folder for folder in given.protect if lies_under(kept.path, (folder,)))
    not_in = "not in a protected folder, unlike the kept photo"
    return Words(f"protected: it lies in {folder}", "does not", "do not", not_in)


def _preference(photo: Photo, prefer: Sequence[str]) -> int:
    """0 for the first preferred folder, -1 for the next..."""
    return -next((place for place, folder in enumerate(prefer) if lies_under(photo.path, (folder,))), len(prefer))


def _best_preferred(photos: Sequence[Photo], given: Given) -> list[Photo]:
    return _highest(photos, lambda photo: _preference(photo, given.prefer)) if given.prefer else list(photos)


def _preferred_words(kept: Photo, _other: Photo, given: Given) -> Words:
    folder = given.prefer[-_preference(kept, given.prefer)]
    not_in = "not in the preferred folder of the kept photo"
    return Words(f"preferred: it lies in {folder}", "does not", "do not", not_in)


def _pixels(photo: Photo) -> int:
    return (photo.width or 0) * (photo.height or 0)


def _has_camera(photo: Photo) -> bool:
    return bool(photo.camera or photo.lens or photo.camera_serial)


def _best_original(photos: Sequence[Photo], _given: Given) -> list[Photo]:
    """What a camera wrote, before what was made from it."""
    most = max(map(_pixels, photos))

    def rank(photo: Photo) -> int:
        if photo.format in _RAW:
            return 4
        if not _has_camera(photo) or _pixels(photo) * _ENLARGED < most:
            return 0
        if photo.format not in _CAMERA_FORMATS:
            return 1
        # A JPEG is made from a HEIC and never the other way round, but nothing grows on the way.
        return 3 if photo.format == "HEIF" and _pixels(photo) >= most * _SAME_PIXELS else 2

    return _highest(photos, rank)


def _original_words(kept: Photo, other: Photo, _given: Given) -> Words:
    kind = {"HEIF": "HEIC"}.get(kept.format or "", kept.format or "photo")
    other_kind = {"HEIF": "HEIC"}.get(other.format or "", other.format or "photo")
    camera = f" ({kept.camera})" if kept.camera else ""
    size, other_size = _sizes(kept, other)
    why = f"original: has camera EXIF{camera}, {size}"
    if kept.format in _RAW:
        why = f"original: camera RAW, {size}"
    if not _has_camera(other):
        copy = f"{other_size} copy without camera EXIF"
        return Words(why, f"is a {copy}", "are copies without camera EXIF", f"a {copy}")
    if kept.format == other.format:
        return Words(why, f"is a reduced copy, {other_size}", "are reduced copies", f"a reduced copy, {other_size}")
    if kept.format not in _RAW:
        why = f"original: {kind} with camera EXIF{camera}"
    return Words(why, f"is a {other_kind}", "are other formats", f"a {other_kind}, the kept photo is the {kind}")


def _sizes(kept: Photo, other: Photo) -> tuple[str, str]:
    """24 MP and 2.1 MP; width and height where that says too little."""
    size, other_size = _first_apart(_pixels(kept), _pixels(other), (_megapixels, "{:,.0f} pixels".format))
    if "pixels" in size + other_size:
        return f"{kept.width} x {kept.height}", f"{other.width} x {other.height}"
    return size, other_size


def _megapixels(count: float) -> str:
    millions = count / 1e6
    if millions < 0.1:
        return f"{count:,.0f} pixels"
    return f"{millions:.0f} MP" if millions >= 9.95 else f"{millions:.1f} MP"


def _best_resolution(photos: Sequence[Photo], _given: Given) -> list[Photo]:
    return _highest(photos, _pixels, _SAME_PIXELS)


def _resolution_words(kept: Photo, other: Photo, _given: Given) -> Words:
    size, other_size = _sizes(kept, other)
    return Words(f"resolution: {size}", f"has {other_size}", "have less", f"lower resolution: {other_size}, not {size}")


def _best_sharpness(photos: Sequence[Photo], given: Given) -> list[Photo]:
    if given.measure is None or (photos[0].sha256 and len({photo.sha256 for photo in photos}) == 1):
        return list(photos)
    return _highest(photos, given.measure, 1.0 if given.relation == "burst" else _SAME_SHARPNESS)


def _sharpness_words(kept: Photo, other: Photo, given: Given) -> Words:
    assert given.measure is not None  # it has decided
    mine, its = given.measure(kept), given.measure(other)
    why = "sharpness: the sharpest"
    if its < 0:
        return Words(why, "cannot be read", "cannot be read", "its picture cannot be read")
    ratio = f"{its / mine:.0%}".replace("%", " %") if its < 0.995 * mine else "almost"
    return Words(why, f"is {ratio} as sharp", "are less sharp", f"less sharp: {ratio} as sharp as the kept photo")


def _facts(photo: Photo) -> list[str]:
    """What is known of a photo; a rating of no stars is none."""
    return [
        name for name, fields in _FACTS.items() if all(getattr(photo, field) not in (None, 0, "") for field in fields)
    ]


def _best_metadata(photos: Sequence[Photo], _given: Given) -> list[Photo]:
    return _highest(photos, lambda photo: len(_facts(photo)))


def _metadata_words(kept: Photo, other: Photo, _given: Given) -> Words:
    lacks = [name for name in _facts(kept) if name not in _facts(other)]
    listed = ", ".join(lacks)
    return Words(f"metadata: knows {listed}", "does not", "know less", f"poorer metadata: lacks {listed}")


def _best_size(photos: Sequence[Photo], _given: Given) -> list[Photo]:
    """Of one format the larger file is the less compressed one; of two formats sizes say nothing."""
    comparable = photos[0].format is not None and len({photo.format for photo in photos}) == 1
    return _highest(photos, lambda photo: photo.size) if comparable else list(photos)


def _size_words(kept: Photo, other: Photo, _given: Given) -> Words:
    mine, its = _first_apart(kept.size, other.size, (_bytes, "{:,.0f} bytes".format))
    return Words(f"size: {mine}", f"has {its}", "are smaller", f"smaller file: {its}, not {mine}")


def _bytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _best_oldest(photos: Sequence[Photo], _given: Given) -> list[Photo]:
    """Taken first, as far as all of them say when; then written first."""
    left = list(photos)
    if all(photo.taken_at for photo in left) and len({photo.taken_offset for photo in left}) == 1:
        earliest = min(photo.taken_at or "" for photo in left)
        left = [photo for photo in left if photo.taken_at == earliest]
    written = min(photo.mtime_ns for photo in left)
    return [photo for photo in left if photo.mtime_ns == written]


def _oldest_words(kept: Photo, other: Photo, _given: Given) -> Words:
    same_clock = kept.taken_offset == other.taken_offset
    if kept.taken_at and other.taken_at and same_clock and kept.taken_at < other.taken_at:
        mine, its = kept.taken_at.replace("T", " "), other.taken_at.replace("T", " ")
        return Words(f"oldest: taken {mine}", f"was taken {its}", "were taken later", f"taken later: {its}, not {mine}")
    mine, its = _first_apart(kept.mtime_ns, other.mtime_ns, (_day, _second, _nanosecond))
    return Words(f"oldest: file of {mine}", f"is of {its}", "are newer", f"newer file: of {its}, not of {mine}")


def _day(nanoseconds: float) -> str:
    return str(np.datetime64(int(nanoseconds), "ns").astype("datetime64[D]"))


def _second(nanoseconds: float) -> str:
    return str(np.datetime64(int(nanoseconds), "ns").astype("datetime64[s]")).replace("T", " ") + " UTC"


def _nanosecond(nanoseconds: float) -> str:
    return str(np.datetime64(int(nanoseconds), "ns")).replace("T", " ") + " UTC"


def _best_path(photos: Sequence[Photo], _given: Given) -> list[Photo]:
    """Nothing tells them apart: "wren.jpg" before "wren (1).jpg", whatever the order they come in."""
    return [min(photos, key=lambda photo: (len(os.fsencode(photo.path)), os.fsencode(photo.path), id_of(photo)))]


def _path_words(kept: Photo, other: Photo, _given: Given) -> Words:
    if len(os.fsencode(kept.path)) < len(os.fsencode(other.path)):
        why, reason = "path: the shorter one, nothing else differs", "longer path, nothing else differs"
    else:
        why, reason = "path: first in order, nothing else differs", "later path in order, nothing else differs"
    return Words(why, "is as good", "are as good", reason)


CRITERIA: Mapping[str, Criterion] = {
    "protected": Criterion(_best_protected, _protected_words),
    "preferred": Criterion(_best_preferred, _preferred_words),
    "original": Criterion(_best_original, _original_words),
    "resolution": Criterion(_best_resolution, _resolution_words),
    "sharpness": Criterion(_best_sharpness, _sharpness_words),
    "metadata": Criterion(_best_metadata, _metadata_words),
    "size": Criterion(_best_size, _size_words),
    "oldest": Criterion(_best_oldest, _oldest_words),
    "path": Criterion(_best_path, _path_words),
}
