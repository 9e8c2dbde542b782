"""What all pages share: thumbnails inside the page, texts that cannot break it, facts of a photo, the footer."""

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from birdsearch.files import is_url
from birdsearch.records import FRAME, Box, Photo, Region, blocks, date_text, place_text, shown

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

_THUMBNAIL = 360  # pixels, the longest side: sharp on dense screens, some 20 KB a photo
MAX_BYTES = 12_000_000  # of the pictures of one page, encoded: browsers stay quick, and it can be sent by mail
TOGETHER = 100  # thumbnails that are made together
_SHAPES = 0.8, 1.5  # width over height of the frames, however long or high the photos are
# A file name may hold any control character; pages show the pictures that Unicode has for them.
_CONTROL_PICTURES = {code: 0x2400 + code for code in range(32)} | {127: 0x2421}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from, as its footer says it; the date and the version are known to every page."""

    index: str | None = None  # its folder
    command: str | None = None  # as a shell takes it


@dataclass(frozen=True, slots=True)
class Outline:
    """Boxes to be drawn over a picture, in a frame of its shape."""

    width: int  # of the picture as it is shown
    height: int
    boxes: tuple[tuple[Box, str], ...]  # in shares, and what to say of each


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo as the templates draw it."""

    name: str
    path: str
    uri: str | None  # a data URI; None where the file is gone or broken
    link: str  # opens the full photo
    outline: Outline | None = field(default=None, kw_only=True)


def picture(path: str, uris: dict[str, str | None], outline: Outline | None = None) -> Picture:
    """The picture of the photo at a path."""
    name, whole, link = named(path)
    return Picture(name, whole, uris[path], link, outline=outline)


def named(path: str | os.PathLike[str]) -> tuple[str, str, str]:
    """What a page calls a photo: folder and name, for "1.jpg" says little; all of its path; and what opens it."""
    if is_url(path):
        whole = os.fspath(path)
        # No browser opens s3://, and what else could be opened may be a script.
        link = whole if whole.startswith(("https://", "http://")) else "#"
        return text("/".join(whole.split("/")[-2:])), text(whole), link
    absolute = Path(path).absolute()
    return text(Path(*absolute.parts[-2:])), text(absolute), absolute.as_uri()


def outline(photo: Photo, regions: Iterable[Region]) -> Outline | None:
    """The boxes of these regions of a photo; None where they are all of it, or its shape is not known."""
    parts = [region for region in regions if region.kind != FRAME]
    if not parts or not photo.width or not photo.height:
        return None
    return Outline(photo.width, photo.height, tuple((region.box, text(_words(region))) for region in parts))


def _words(region: Region) -> str:
    """What a page says of a region: "bird 0.82, by MDV5"."""
    sure = "" if region.confidence is None else f" {region.confidence:.2f}"
    return f"{region.category or region.kind}{sure}" + (f", by {region.source}" if region.source else "")


def thumbnails(paths: Iterable[str], longest: int = _THUMBNAIL) -> dict[str, str | None]:
    """A data URI for each path, None where there is no picture to show."""
    from birdsearch.photos import decode

    distinct = list(dict.fromkeys(paths))
    return {
        path: None if data is None else data_uri(data)
        for path, data in zip(distinct, decode.thumbnails(distinct, longest), strict=True)
    }


def data_uri(jpeg: bytes) -> str:
    """A JPEG file as the address of an image inside a page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


class Room:
    """Thumbnails, until the page is full; `size` is what its pictures may take, where that is not MAX_BYTES."""

    def __init__(self, size: int | None = None) -> None:
        self._left = MAX_BYTES if size is None else size

    def thumbnails(self, paths: Iterable[str], longest: int) -> dict[str, str | None]:
        """A data URI for each path; none of those for which there is no room."""
        known = list(dict.fromkeys(paths))
        uris: dict[str, str | None] = {}
        for block in blocks(len(known), TOGETHER):
            if self._left <= 0:
                break
            for path, uri in thumbnails(known[block], longest).items():
                self._left -= len(uri or "")
                if self._left > 0:
                    uris[path] = uri
        return uris


def shape(photos: Iterable[Photo]) -> str:
    """The frame that suits most of the photos, as width over height."""
    shapes = [photo.width / photo.height for photo in photos if photo.width and photo.height]
    return f"{min(max(median(shapes or [4 / 3]), _SHAPES[0]), _SHAPES[1]):.3f}"


def date(photo: Photo) -> str | None:
    """When it was taken, to the minute."""
    return date_text(photo.taken_at[:16]) if photo.taken_at else None


def place(photo: Photo) -> str | None:
    """Where it was taken, in degrees."""
    if photo.latitude is None or photo.longitude is None:
        return None
    return place_text(photo.latitude, photo.longitude)


def text(value: Any) -> str:
    """A text as a page can show it: without undecodable bytes and control characters."""
    return shown(str(value)).translate(_CONTROL_PICTURES)


def render(name: str, title: str, origin: Origin | None, **values: Any) -> str:
    """A page: a template of this package with these values, below the title and above the footer of all pages."""
    from importlib.metadata import version  # slow to load

    folder = origin.index if origin is not None else None
    footer = {
        "index": text(Path(folder).absolute().name) if folder else None,
        "folder": text(Path(folder).absolute()) if folder else None,
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "version": version("birdsearch"),
        "command": text(origin.command) if origin is not None and origin.command else None,
    }
    return _template(name).render(title=text(title), footer=footer, **values)


@lru_cache
def _template(name: str) -> "Template":
    """A template of this package; every value in it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["by_folder"] = _by_folder
    return environment.get_template(name)


def _by_folder(path: str) -> "Markup":
    """A path that is broken between its folders where it must be, and not within a name."""
    from markupsafe import Markup, escape

    return escape(path).replace("/", Markup("/<wbr>"))
