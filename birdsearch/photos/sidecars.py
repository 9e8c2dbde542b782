"""Which files of a folder belong to a photo."""

import os
from collections.abc import Sequence

from birdsearch.photos.filetype import SIDECAR_OWNERS

_SIDECARS = (".xmp", ".aae")
_MOVIE = ".mov"  # beside a HEIC or a JPEG: the moving part of a live photo


class FolderListing:
    """The files of one folder by their names, to find what belongs to a photo; upper and lower case are the same.

    `IMG.jpg.xmp` and `IMG.jpg.aae` belong to `IMG.jpg` alone. `IMG.xmp`, `IMG.aae` and the movie of a live photo
    `IMG.mov` belong to every picture of that stem: they go with the last of them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names: dict[str, list[str]] = {}
        for name in names:
            self._names.setdefault(os.path.splitext(name)[0].casefold(), []).append(name)

    def sidecars(self, photo: str) -> dict[str, list[str]]:
        """Each sidecar of a photo -> the files that it belongs to: it may go when none of them is left."""
        whole, stem = photo.casefold(), os.path.splitext(photo)[0].casefold()
        alone = [name for name in self._names.get(stem, []) if name.casefold() == whole]
        own = {name: alone for name in self._names.get(whole, []) if _suffix(name) in _SIDECARS}
        same = self._names.get(stem, [])
        owners = [name for name in same if name == photo or _suffix(name) in SIDECAR_OWNERS]
        shared = [name for name in same if _suffix(name) in (*_SIDECARS, _MOVIE) and name != photo]
        return own | dict.fromkeys(shared, owners)

    def same_stem_images(self, photo: str) -> list[str]:
        """The other pictures of a photo's stem: the RAW of a JPEG, the JPEG of a RAW."""
        same = self._names.get(os.path.splitext(photo)[0].casefold(), [])
        return [name for name in same if name != photo and _suffix(name) in SIDECAR_OWNERS]


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
