"""The page of a folder that was compared with an index: the new photos, then those that the index has, and where."""

import os
from dataclasses import dataclass

from birdsearch.export.html.pictures import Origin, Picture, Room, date, picture, render, shape, text
from birdsearch.records import RELATIONS, CopyReport, FolderReport, KnownPhoto, Photo, bytes_text

_NEW, _KNOWN = 300, 180  # pixels, the longest side
_NAMES = 1_000  # photos without a picture that are named


@dataclass(frozen=True, slots=True)
class _Shot:
    """A photo with what is known of it."""

    picture: Picture
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """A photo of the folder beside that of the index."""

    own: _Shot
    indexed: _Shot
    number: int  # the id of the indexed photo
    relation: str
    meaning: str
    note: str


@dataclass(frozen=True, slots=True)
class _Other:
    """A file that was compared by its bytes."""

    name: str
    path: str
    kind: str
    size: str
    where: str | None  # the same bytes elsewhere, also those of a copy that was just made


def new_photos_page(report: FolderReport, copied: CopyReport | None = None, *, origin: Origin | None = None) -> str:
    """A page of new photos, with those that the index has, and of the files compared by their bytes.

    It shows 12 MB of pictures at most, and names the others. `copied`: what was copied of them since.
    """
    room = Room()
    uris = room.thumbnails((photo.path for photo in report.new), _NEW)
    new = [_shot(photo, uris) for photo in report.new if photo.path in uris]
    both = room.thumbnails((p.path for one in report.known for p in (one.photo, one.indexed)), _KNOWN)
    shown = [one for one in report.known if one.photo.path in both and one.indexed.path in both]
    known = [
        _Known(
            _shot(one.photo, both),
            _shot(one.indexed, both),
            one.indexed.id or 0,
            one.relation,
            RELATIONS[one.relation].meaning,
            text(", ".join(_remarks(one))),
        )
        for one in shown
    ]
    rest = [text(photo.path) for photo in report.new if photo.path not in uris]
    others = _others(report, copied)
    return render(
        "new_photos.html",
        "What is new",
        origin,
        folder=text(report.folder),
        photos=len(report.new) + len(report.known),
        counts=(len(report.new), len(report.known)),
        new=new,
        rest=rest[:_NAMES],
        more=max(len(rest) - _NAMES, 0),
        known=known,
        more_known=len(report.known) - len(known),
        away=sum(other.where is None for other in others),
        others=others[:_NAMES],
        more_others=max(len(others) - _NAMES, 0),
        left=len(report.only_here if copied is None else copied.left(report)),
        reservations="".join(f"; {words}" for words in report.reservations),
        copies=None if copied is None else text(copied.folder),
        failed=[(text(failure.path), text(failure.reason)) for failure in report.unreached],
        ignored=[(text(reason), count) for reason, count in sorted(report.ignored.items())],
        shape=shape(report.new),
    )


def _others(report: FolderReport, copied: CopyReport | None) -> list[_Other]:
    """What is nowhere else comes first."""
    copies = {} if copied is None else dict(copied.others)
    others = [
        _Other(
            text(os.path.relpath(one.path, report.folder)),
            text(one.path),
            text(one.kind),
            bytes_text(one.size),
            text(where) if (where := one.there or copies.get(one.path)) is not None else None,
        )
        for one in report.others
    ]
    return sorted(others, key=lambda other: other.where is not None)


def _remarks(one: KnownPhoto) -> list[str]:
    away = [] if one.reachable else ["the folder in which you have it is not there now"]
    same = [] if one.elsewhere else ["the index has this very file, and no other one"]
    return [*(f"{each} here" for each in one.more), *same, *away]


def _shot(photo: Photo, uris: dict[str, str | None]) -> _Shot:
    pixels = f"{photo.width:,} x {photo.height:,}" if photo.width and photo.height else None
    facts = (date(photo), photo.camera, pixels, bytes_text(photo.size), photo.damaged and f"damaged: {photo.damaged}")
    return _Shot(picture(photo.path, uris), tuple(text(fact) for fact in facts if fact))
