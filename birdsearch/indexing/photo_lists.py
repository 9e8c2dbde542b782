"""Lists of photos: a Parquet file or a CSV that names each photo by path or URL, with what is known of it besides."""

import hashlib
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from birdsearch import objects
from birdsearch.errors import InputFileError, os_error_text
from birdsearch.files import FileState, PathSet, above, absolute, is_url, with_trailing_slash
from birdsearch.indexing.listing import Listing
from birdsearch.indexing.tables import table_rows
from birdsearch.photos import exif
from birdsearch.photos.overlap import REMOTE_WORKERS, overlapped
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Failure, Photo, shown

_ADVICE = "Give a Parquet file or a CSV with the column path, and perhaps label, taken_at, latitude and longitude"
_NAMED_BY = ("url", "photo_url", "image_url", "path")  # the last of them that a list has counts
_OTHERS = ("label", "taken_at", "latitude", "longitude", "position")
_AHEAD = 64  # files that are looked at in advance


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """One line of a list."""

    path: bytes  # absolute, or an URL
    label: str  # empty where the list has none
    said: Photo | None  # its time and place, where the list has them


@dataclass(frozen=True, slots=True)
class PhotoList:
    """A list that was read: nothing in it is wrong."""

    file: Path
    rows: Listing[ListedPhoto]

    def labels(self) -> dict[bytes, str]:
        """Path -> label of the photos that it names. Raises InputFileError where it gives one photo several."""
        found: dict[bytes, str] = {}
        for listed in self.rows:
            if listed.label and found.setdefault(listed.path, listed.label) != listed.label:
                raise InputFileError(
                    f"{shown(str(self.file))}: {shown(os.fsdecode(listed.path))} is {shown(found[listed.path])} and "
                    f"{shown(listed.label)}. Leave one of the two lines out."
                )
        return found

    def roots(self, known: Iterable[bytes]) -> list[bytes]:
        """Folders and prefixes below which all of its photos lie: of those that are known, and others above none."""
        have, used = set(known), dict[bytes, None]()
        common: dict[bytes, bytes] = {}  # bucket, host or nothing -> the deepest folder above its other photos
        for listed in self.rows:
            if (root := _root_of(listed.path, have)) is not None:
                used[root] = None
            else:
                place = _place(listed.path)
                common[place] = _common(common.get(place, above(listed.path)), above(listed.path))
        cut = {root for root in common.values() if any(one in PathSet([root]) for one in have)}
        used |= dict.fromkeys(root for root in common.values() if root not in cut)
        for listed in self.rows if cut else ():  # each in its own folder
            if _root_of(listed.path, used) is None:
                used[above(listed.path)] = None
        return list(used)

    def found(self, is_known: Callable[[bytes], bool]) -> Iterator[FoundFile | Failure]:
        """Each photo once, as a scan would find it; of an object that is not known its store is not asked before."""

        def one(listed: ListedPhoto) -> FoundFile | Failure:
            return _found(listed, is_known)

        yield from overlapped(_distinct(self.rows), one, ahead=_AHEAD, workers=REMOTE_WORKERS)


def read_list(path: str | os.PathLike[str]) -> PhotoList:
    """Look through a list. Raises InputFileError, with the line, for what cannot be used."""
    file = Path(os.path.abspath(path))
    rows = Listing(_rows(file))  # what is wrong in a later line is told before anything is done
    if not len(rows):
        raise InputFileError(f"{shown(str(file))} names no photo. {_ADVICE}.")
    return PhotoList(file, rows)


def _rows(file: Path) -> Iterator[ListedPhoto]:
    folder = os.fsencode(file.parent)
    for line, values in table_rows(file, (), _NAMED_BY, optional=_OTHERS):
        place = f"{shown(str(file))}, line {line}"
        path = next(values[name] for name in reversed(_NAMED_BY) if name in values)
        if not path.strip() or "\0" in path:
            raise InputFileError(f"{place}: no path. {_ADVICE}.")
        if objects.holds_secret(path):
            raise InputFileError(
                f"{place}: the address holds a password or a signature, which would be kept: leave it out."
            )
        yield ListedPhoto(absolute(path, folder), shown(values.get("label", "").strip()), _said(values, place))


def _said(values: Mapping[str, str], place: str) -> Photo | None:
    """When and where a line says that the photo was taken. Raises InputFileError for what says neither."""
    given = {name: values.get(name, "").strip() for name in _OTHERS}
    latitude, longitude = given["latitude"], given["longitude"]
    if given["position"]:
        latitude, _, longitude = given["position"].partition(",")
    taken_at, taken_offset = exif.moment(given["taken_at"]) if given["taken_at"] else (None, None)
    if given["taken_at"] and taken_at is None:
        raise InputFileError(f"{place}: taken_at is {shown(given['taken_at'])!r}. Write it as 2024-05-17T06:30:00.")
    if not (latitude or longitude):
        return Photo(None, "", taken_at=taken_at, taken_offset=taken_offset) if taken_at else None
    try:
        at = float(latitude), float(longitude)
    except ValueError:
        at = 91.0, 0.0
    if not (-90 <= at[0] <= 90 and -180 <= at[1] <= 180):
        raise InputFileError(
            f"{place}: {shown(latitude)}, {shown(longitude)} is no place. Write latitude (-90 to 90) and longitude "
            "(-180 to 180) in degrees."
        )
    return Photo(None, "", taken_at=taken_at, taken_offset=taken_offset, latitude=at[0], longitude=at[1])


def _place(path: bytes) -> bytes:
    """The bucket or host of an URL; nothing of a path."""
    return b"/".join(path.split(b"/")[:3]) if is_url(path) else b""


def _root_of(path: bytes, roots: Container[bytes]) -> bytes | None:
    """The nearest of some folders that a path lies in."""
    while path not in roots:
        if (folder := above(path)) == path:
            return None
        path = folder
    return path


def _common(one: bytes, other: bytes) -> bytes:
    """The deepest folder that two folders of one disk, bucket or host lie in."""
    while one != other and not other.startswith(with_trailing_slash(one)) and (higher := above(one)) != one:
        one = higher
    return one


def _distinct(rows: Iterable[ListedPhoto]) -> Iterator[ListedPhoto]:
    """The photos of a list, each once; 8 bytes of each are kept in memory."""
    seen: set[bytes] = set()
    for listed in rows:
        mark = hashlib.blake2b(listed.path, digest_size=8).digest()
        if mark not in seen:
            seen.add(mark)
            yield listed


def _found(listed: ListedPhoto, is_known: Callable[[bytes], bool]) -> FoundFile | Failure:
    path = os.fsdecode(listed.path)
    try:
        if not is_url(listed.path):
            state: FileState | None = FileState.of(os.stat(listed.path))
        else:
            state = objects.state_of(path) if is_known(listed.path) else FileState()
    except OSError as error:
        return Failure(path, "read", os_error_text(error))
    return FoundFile(listed.path, state, listed.said) if state is not None else Failure(path, "read", "no longer there")
