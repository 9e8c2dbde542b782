"""What the sidecars of photos say, read where one has come, changed or gone: the photos are not embedded again."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from birdsearch.errors import PhotoError
from birdsearch.files import FileState, is_url
from birdsearch.photos import decode, scan
from birdsearch.photos.memory import CostlyError
from birdsearch.photos.overlap import REMOTE_WORKERS, overlapped
from birdsearch.photos.sidecar_facts import filled
from birdsearch.photos.sidecars import RAW
from birdsearch.records import METADATA, Photo, lacking_metadata
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import PhotoUpdate
from birdsearch.storage.catalog.companion_rows import Companion

_AHEAD = 64  # photos whose files are read in advance
_SUFFIXES = (b".xmp", b".json")  # of sidecars that say something of a photo


def renewed(
    catalog: Catalog,
    companions: Mapping[int, list[Companion]],
    unread: Collection[int],
    idle: Callable[[], None],
) -> tuple[list[PhotoUpdate], set[int]]:
    """How photos change by what lies beside them, and those whose own file cannot be read: the next run tries again.

    `companions` are those of today where they are others than the catalog has; `unread` are the photos of which it has
    no keywords yet.
    """
    before = catalog.companions({*companions, *unread})
    now = {photo_id: companions.get(photo_id, before.get(photo_id, ())) for photo_id in {*companions, *unread}}
    told = {photo_id: _state(before.get(photo_id, ())) for photo_id in now}  # the catalog has what these say, too
    changed = [one for one, beside in now.items() if one in unread or _state(beside) != told[one]]
    photos = catalog.known_photos(changed)

    def anew(photo: Photo) -> Photo | None:
        """Runs in a thread: the photo with what its files say; None where its own cannot be read."""
        known = told[photo.id or 0]
        base = photo
        if known or photo.keywords is None:
            if (file := _written(photo)) is None:
                return None
            base = _without(photo, file) if known else replace(photo, keywords=file.keywords)
        return filled(base, [os.fsdecode(one.path) for one in now[photo.id or 0]])

    updates, failed = [], set[int]()
    workers = REMOTE_WORKERS if any(is_url(photo.path) for photo in photos.values()) else None
    with closing(overlapped(photos.values(), anew, ahead=_AHEAD, idle=idle, workers=workers)) as renewed_photos:
        for (photo_id, photo), found in zip(photos.items(), renewed_photos, strict=True):
            if found is None:
                failed.add(photo_id)
            elif found != photo:
                updates.append(PhotoUpdate(photo_id, {name: getattr(found, name) for name in METADATA}))
    return updates, failed


def _state(companions: Iterable[Companion]) -> set[tuple[bytes, int, int]]:
    """What tells whether the sidecars of a photo may say something else: another path says nothing, as of a move."""
    return {
        (os.path.basename(one.path), one.size, one.mtime_ns)
        for one in companions
        if one.kind == RAW or one.path.lower().endswith(_SUFFIXES)
    }


def _written(photo: Photo) -> Photo | None:
    """What the file of a photo says; None where it cannot be read, or is another one by now."""
    try:
        file = scan.read(scan.FoundFile(os.fsencode(photo.path), FileState()))
        return decode.written(file) if file.photo.sha256 == photo.sha256 else None
    except (PhotoError, scan.NotAPhotoError, CostlyError):
        return None


def _without(photo: Photo, file: Photo) -> Photo:
    """A photo without what its file does not say: that came from a sidecar."""
    lacking: dict[str, Any] = {name: None for names in lacking_metadata(asdict(file)) for name in names}
    return replace(photo, **lacking, keywords=file.keywords)
