"""Which RAW and which JPEG or HEIC are one exposure: by their folder, names, camera and time."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from birdsearch.photos import metadata
from birdsearch.photos.exif import describe
from birdsearch.photos.filetype import IMAGE_SUFFIXES, has_raw_name, identify
from birdsearch.photos.raw_parts import parts_of
from birdsearch.photos.scan import content
from birdsearch.records import Photo

# The pictures that cameras write beside a RAW; what programs make of it is a picture of its own.
_FRONTS = ("JPEG", "HEIF")
_PIXEL = re.compile(r"(.+)\.raw-\d\d(?:\.mp)?\.(?:cover|original)")  # PXL_1.RAW-01.COVER.jpg, PXL_1.RAW-02.ORIGINAL.dng
_IPHONE_EDIT = re.compile(r"img_e(\d{4})")


def stem(path: str | bytes) -> str:
    """What the names of a pair have in common: "pxl_1" of PXL_1.RAW-01.COVER.jpg, "img_0001" of IMG_E0001.JPG."""
    plain = os.path.splitext(os.path.basename(os.fsdecode(path)))[0].casefold()
    plain = _PIXEL.sub(r"\1", plain)
    return _IPHONE_EDIT.sub(r"img_\1", plain)


def front_stems(names: Iterable[str]) -> set[str]:
    """The stems of those files that may have a RAW beside them, by their names."""
    return {stem(name) for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES}


def pairs(photos: Iterable[Photo]) -> dict[str, str]:
    """RAW -> its JPEG or HEIC, by their paths, of pictures that lie in one folder.

    The two are of one camera and one second, also to the fraction where both know it, and no third picture could be
    one of them. The edit that an iPhone writes (IMG_E0001) stands for a picture only where that is not there.
    """
    by_stem: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        by_stem[stem(photo.path)].append(photo)
    found: dict[str, str] = {}
    for group in by_stem.values():
        originals = [photo for photo in group if not _is_edit(photo)]
        fronts = [photo for photo in originals if photo.format in _FRONTS]
        candidates = originals if fronts else group
        raws = [photo for photo in candidates if _is_raw(photo)]
        fronts = [photo for photo in candidates if photo.format in _FRONTS]
        for raw in raws:
            same = [other for other in (*raws, *fronts) if other is not raw and _is_one_exposure(raw, other)]
            if len(same) == 1 and same[0].format in _FRONTS and _is_one_raw(same[0], raws):
                found[raw.path] = same[0].path
    return found


def written(path: str) -> Photo:
    """What the camera wrote into a RAW file beside its pixels. Raises PhotoUnreadableError or OSError."""
    data = content(path)
    format = identify(data, path).format or "RAW"
    return replace(describe(Photo(None, path), metadata.of_raw(parts_of(data, format))), format=format)


def _is_raw(photo: Photo) -> bool:
    """Whether a picture is a camera RAW, by its content and its name."""
    return photo.format not in _FRONTS and has_raw_name(photo.path)


def _is_edit(photo: Photo) -> bool:
    return _IPHONE_EDIT.fullmatch(os.path.splitext(os.path.basename(photo.path))[0].casefold()) is not None


def _is_one_raw(front: Photo, raws: Iterable[Photo]) -> bool:
    return sum(_is_one_exposure(front, raw) for raw in raws) == 1


def _is_one_exposure(one: Photo, other: Photo) -> bool:
    """Whether two pictures were taken by one camera at one time, as far as they know it."""
    if one.taken_at is None or other.taken_at is None or len(one.taken_at) < 19:
        return False
    (second, fraction), (its_second, its_fraction) = (each.taken_at.partition(".")[::2] for each in (one, other))  # type: ignore[union-attr]
    if second != its_second or (fraction and its_fraction and _share(fraction) != _share(its_fraction)):
        return False
    serials = one.camera_serial, other.camera_serial
    return _camera(one) == _camera(other) and (None in serials or serials[0] == serials[1])


def _share(digits: str) -> Fraction:
    return Fraction(int(digits), 10 ** len(digits))


def _camera(photo: Photo) -> str:
    return " ".join((photo.camera or "").casefold().split())
