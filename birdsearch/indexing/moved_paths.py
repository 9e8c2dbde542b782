"""Which photos the paths of a table mean that was written elsewhere: on another disk, computer or system."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping

from birdsearch.storage.catalog.catalog import Catalog

_DRIVE = re.compile("[A-Za-z]:")


def photos_at(written: Mapping[bytes, str], catalog: Catalog, but: Container[int] = ()) -> dict[bytes, int]:
    """Path of a table -> id of the photo of an index that it means, missing ones included; `but` are not meant.

    Also where it lay elsewhere when the table was written: see `moved_paths`.
    """
    own = {path: photo_id for path, photo_id in catalog.ids_at(list(written)).items() if photo_id not in but}
    elsewhere = {path: text for path, text in written.items() if path not in own}
    photos = catalog.photos_under(catalog.roots_in_use()) if elsewhere else ()
    moved = moved_paths(elsewhere, (photo.path for photo in photos if photo.id not in but))
    ids = catalog.ids_at(list(moved.values()))
    return own | {path: ids[photo] for path, photo in moved.items()}


def moved_paths(written: Mapping[bytes, str], photos: Iterable[bytes]) -> dict[bytes, bytes]:
    """Path of a table -> the one photo whose path ends alike; `written` has each path as it stands in the table.

    A relative path must be the end as a whole, of an absolute one at least the folder and the file. Slashes and
    backslashes, cases and forms of Unicode (NFC, NFD) are alike. What could mean several photos means none, and of
    several paths for one photo the one that agrees longest is meant.
    """
    if not written:
        return {}
    # Of a million photos only those are kept that a path may mean.
    wanted = {tuple(_parts(text)[-length:]) for text in written.values() for length in (1, 2)}
    by_end: dict[tuple[str, ...], list[tuple[list[str], bytes]]] = defaultdict(list)
    for photo in photos:
        parts = _parts(_text(photo))
        for end in {tuple(parts[-1:]), tuple(parts[-2:])} & wanted:
            by_end[end].append((parts, photo))
    claims: dict[bytes, list[tuple[int, bytes]]] = defaultdict(list)  # photo -> how much agrees, and the path
    for path, text in written.items():
        parts = _parts(text)
        absolute = text.startswith(("/", "\\")) or _DRIVE.match(text) is not None
        least = min(2, len(parts)) if absolute else len(parts)
        near = by_end.get(tuple(parts[-2:]), ()) if least > 1 else by_end.get(tuple(parts), ())
        agreeing = [(_common_end(parts, others), photo) for others, photo in near]
        most = max((length for length, _ in agreeing), default=0)
        best = [photo for length, photo in agreeing if length == most]
        if parts and most >= least and len(best) == 1:
            claims[best[0]].append((most, path))
    return {path: photo for photo, paths in claims.items() for length, path in paths if length == max(paths)[0]}


def _text(path: bytes) -> str:
    """A path as text; what is not UTF-8 is taken for cp1252, as tables are."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return path.decode("cp1252", "replace")


def _parts(path: str) -> list[str]:
    """The folders and the file of a path, as they are compared."""
    plain = _text(os.fsencode(_DRIVE.sub("", path, count=1) if _DRIVE.match(path) else path))
    return [part for part in re.split(r"[/\\]+", unicodedata.normalize("NFC", plain.casefold())) if part.strip(".")]


def _common_end(some: list[str], others: list[str]) -> int:
    """How many parts two paths have in common at their ends."""
    length = 0
    for one, other in zip(reversed(some), reversed(others), strict=False):
        if one != other:
            break
        length += 1
    return length
