"""What is found out about photos where it decides between them: each file is read at most once for each question."""

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache

import numpy as np

from birdsearch.duplicates import keeper
from birdsearch.duplicates.compared import Compared
from birdsearch.errors import PhotoError
from birdsearch.files import with_trailing_slash
from birdsearch.photos import contents, decode, generations
from birdsearch.photos.contents import Contents
from birdsearch.photos.generations import Grey
from birdsearch.photos.provenance import Provenance, read_provenance
from birdsearch.photos.sidecars import FolderListing, companions_of
from birdsearch.records import Photo

_REMEMBERED = 20_000  # photos of which facts are kept in memory
_FOLDERS = 64  # whose lists of files are kept in memory
_GREYS = 6  # pictures that are kept in memory as a whole
_SAME_SHAPE = 0.02  # by which the shapes of a picture and its enlargement may differ, in shares
_LARGER = 1.05  # times the pixels


class FileEvidence(keeper.Evidence):
    """What the files themselves say; `roots` are the folders of the index by their ids, the first indexed first.

    What their pixels say is kept in `compared`.
    """

    def __init__(self, roots: Mapping[int, bytes], compared: Compared) -> None:
        self._compared = compared
        self._roots = [(number, with_trailing_slash(roots[number])) for number in sorted(roots)]
        self._said = lru_cache(_REMEMBERED)(read_provenance)  # by path
        self._contents = lru_cache(_REMEMBERED)(_contents)
        self._sharpnesses: dict[str, float] = {}  # by path
        self._listing = lru_cache(_FOLDERS)(FolderListing.read)
        self._grey = lru_cache(_GREYS)(_grey)

    def said(self, photo: Photo) -> Provenance:
        return self._said(photo.path)

    def beyond(self, photo: Photo, other: Photo) -> tuple[str, ...]:
        return self._contents(photo.path).beyond(self._contents(other.path))

    def sharpness(self, photo: Photo) -> float:
        if photo.path not in self._sharpnesses:
            found = self._compared.known("sharpness", [photo], lambda: _sharpness(photo.path))
            self._sharpnesses[photo.path] = math.nan if found is None else found
        return self._sharpnesses[photo.path]

    def companions(self, photo: Photo) -> tuple[str, ...]:
        return companions_of([photo.path], self._listing)[photo.path]

    def root(self, photo: Photo) -> int:
        path = os.fsencode(photo.path)
        return next((number for number, root in self._roots if path.startswith(root)), len(self._roots))

    def made_from(self, photo: Photo, other: Photo) -> str | None:
        sizes = [(each.width or 0, each.height or 0) for each in (photo, other)]
        (width, height), (its_width, its_height) = sizes
        if min(width, height, its_width, its_height) == 0:
            return None
        if sizes[0] == sizes[1]:
            return "compressed again" if self._keeps_steps(photo, other) else None
        if (
            abs(width * its_height / (height * its_width) - 1) > _SAME_SHAPE
            or width * height < _LARGER * its_width * its_height
        ):
            return None
        enlarged = self._compared.known("enlarged", [photo, other], lambda: self._is_enlarged(photo, other))
        return f"enlarged from {its_width} x {its_height}" if enlarged else None

    def _is_enlarged(self, photo: Photo, other: Photo) -> bool | None:
        """Whether a photo is another one, enlarged; None where one of them cannot be read."""
        ours, theirs = self._grey(photo.path), self._grey(other.path)
        return None if ours is None or theirs is None else generations.is_enlarged(ours, theirs)

    def _keeps_steps(self, photo: Photo, other: Photo) -> bool:
        """Whether a photo shows the quantisation steps of another one that is a coarser JPEG."""
        theirs, ours = self.said(other), self.said(photo)
        if not theirs.tables or (ours.tables and sum(ours.tables[0]) >= sum(theirs.tables[0])):
            return False
        return bool(self._compared.known("steps", [photo, other], lambda: self._shows_steps(photo, theirs)))

    def _shows_steps(self, photo: Photo, said: Provenance) -> bool | None:
        """Whether a photo shows the steps of the JPEG that says this; None where it cannot be read."""
        grey = self._grey(photo.path)
        if grey is None or said.size is None:
            return None
        return any(generations.keeps_steps(turned, said.tables[0]) for turned in _as_stored(grey, said.size))


def _as_stored(grey: Grey, size: tuple[int, int]) -> list[Grey]:
    """A picture as it may lie in a file of this width and height: EXIF tells how to turn it, and may be lost."""
    turned = [np.rot90(grey, quarters) for quarters in range(4)]
    return [each for each in turned if each.shape[::-1] == size]


def _grey(path: str) -> Grey | None:
    with suppress(PhotoError):
        return generations.read_grey(path)
    return None


def _contents(path: str) -> Contents:
    with suppress(PhotoError), decode.opened_file(path) as (image, file):
        return contents.of(image, file.data, file.format)
    return Contents()


def _sharpness(path: str) -> float | None:
    with suppress(PhotoError):
        return keeper.sharpness(decode.picture(path, keeper.SHARPNESS_LONGEST))
    return None
