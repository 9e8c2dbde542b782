"""The page of a folder that was compared with an index: the new photos, then those that the index has, and where."""

from dataclasses import dataclass

from birdsearch.export.html.pictures import Origin, Picture, Room, date, picture, render, shape, text
from birdsearch.records import RELATIONS, FolderReport, KnownPhoto, Photo, bytes_text

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


def new_photos_page(report: FolderReport, *, origin: Origin | None = None) -> str:
    """A page of new photos, with those that the index has; it shows 12 MB of pictures at most, and names the others."""
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
        failed=[(text(failure.path), text(failure.reason)) for failure in report.failed],
        ignored=[(text(reason), count) for reason, count in sorted(report.ignored.items())],
        shape=shape(report.new),
    )


def _remarks(one: KnownPhoto) -> list[str]:
    away = [] if one.reachable else ["the folder in which you have it is not there now"]
    return [*(f"{each} here" for each in one.more), *away]


def _shot(photo: Photo, uris: dict[str, str | None]) -> _Shot:
    pixels = f"{photo.width:,} x {photo.height:,}" if photo.width and photo.height else None
    facts = (date(photo), photo.camera, pixels, bytes_text(photo.size), photo.damaged and f"damaged: {photo.damaged}")
    return _Shot(picture(photo.path, uris), tuple(text(fact) for fact in facts if fact))
