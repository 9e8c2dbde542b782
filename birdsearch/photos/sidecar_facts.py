"""What a photo's sidecars and Google's JSON say of it beyond what its own file does."""

import io
import json
import logging
import os
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from birdsearch import objects
from birdsearch.errors import os_error_text
from birdsearch.files import is_url, open_regular
from birdsearch.photos import exif, sidecars, xmp
from birdsearch.photos.filetype import has_raw_name
from birdsearch.photos.metadata import Metadata, number
from birdsearch.records import Photo, missing_metadata, shown

logger = logging.getLogger("birdsearch")
_NOTHING = Photo(None, "")


def filled(photo: Photo, companions: Iterable[str]) -> Photo:
    """The photo with what its own file does not say of it, by the first of its sidecars that does; keywords of all.

    `companions` are the paths of its RAW and its sidecars. One that cannot be read is told of in a warning, and costs
    nothing but itself.
    """
    folder, name = os.path.split(photo.path)
    beside = [os.path.relpath(path, folder) for path in companions]
    files = [name, *(other for other in beside if has_raw_name(other))]
    for sidecar in sidecars.with_facts(files, beside):
        path = os.path.join(folder, sidecar)
        try:
            said = _read(path, [os.path.splitext(file)[1] for file in files])
        except (OSError, ValueError) as error:
            why = os_error_text(error) if isinstance(error, OSError) else str(error)
            logger.warning("the sidecar %s was left out: %s", shown(path), why)
            continue
        photo = replace(photo, **missing_metadata(asdict(photo), asdict(said)))
        if said.keywords:
            photo = replace(photo, keywords=tuple(dict.fromkeys((*(photo.keywords or ()), *said.keywords))))
    return photo


def _read(path: str, suffixes: Collection[str]) -> Photo:
    """What a sidecar says of the files with these suffixes. Raises OSError or ValueError."""
    data = _beginning(path)
    if path.casefold().endswith(".json"):
        return _takeout(data)
    properties = xmp.read(data)
    (extension, *_) = properties.get("photoshop:SidecarForExtension", ("",))
    if extension and extension.casefold() not in (suffix[1:].casefold() for suffix in suffixes):
        return _NOTHING  # it is that of the RAW beside the photo
    return exif.describe(_NOTHING, Metadata(xmp=properties))


def _beginning(path: str) -> bytes:
    """So much of a file, or an object, that it tells whether it is too long."""
    if not is_url(path):
        with open_regular(path) as file:
            return file.read(xmp.LARGEST + 1)
    data = io.BytesIO()
    with objects.opened(path) as (_, blocks):
        for block in blocks:
            data.write(block)
            if data.tell() > xmp.LARGEST:
                break
    return data.getvalue()


def _takeout(data: bytes) -> Photo:
    """What a JSON of Google's says, whose time is UTC; nothing of one that another program wrote."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return _NOTHING
    taken = said.get("photoTakenTime") if isinstance(said, dict) else None
    if not isinstance(taken, dict):
        return _NOTHING
    places = (_place(said.get(name)) for name in ("geoData", "geoDataExif"))
    latitude, longitude = next(filter(None, places), (None, None))
    time = _utc(taken.get("timestamp"))
    return replace(
        _NOTHING,
        taken_at=time,
        taken_offset=time and "+00:00",
        latitude=latitude,
        longitude=longitude,
        notes=exif.text(said.get("description")),
    )


def _utc(timestamp: Any) -> str | None:
    seconds = number(timestamp)
    if not seconds:
        return None
    try:
        return (datetime(1970, 1, 1) + timedelta(seconds=int(seconds))).isoformat()
    except OverflowError:
        return None


def _place(said: Any) -> tuple[float, float] | None:
    latitude, longitude = (number(said.get(name)) if isinstance(said, dict) else None for name in _AXES)
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return None if latitude == longitude == 0 else (round(latitude, 6), round(longitude, 6))


_AXES = ("latitude", "longitude")
