"""HTML pages of photos: one file each, pictures inside, nothing loaded from anywhere."""

import base64
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from birdsearch.errors import PhotoError
from birdsearch.records import Match, Photo, Prediction, shown
from birdsearch.report.energy import energy_picture

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["energy_picture", "photos_page", "search_page"]

_THUMBNAIL = 360  # pixels, the longest side: sharp on dense screens, some 20 KB a photo
_PREDICTIONS = 3
_SHAPES = 0.8, 1.5  # width over height of the frames, however long or high the photos are
# A file name may hold any control character; pages show the pictures that Unicode has for them.
_CONTROL_PICTURES = {code: 0x2400 + code for code in range(32)} | {127: 0x2421}


@dataclass(frozen=True, slots=True)
class _Picture:
    """A photo as the template draws it."""

    name: str
    path: str
    uri: str | None  # a data URI; None where the file is gone or broken
    link: str  # opens the full photo


@dataclass(frozen=True, slots=True)
class _Card:
    """A photo of the index with what is known of it."""

    picture: _Picture
    score: float | None
    title: str
    title_kind: str  # "label", "prediction", "class" or "none"
    predictions: tuple[Prediction, ...]
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    """One question with its answers."""

    query: _Picture | None
    cards: tuple[_Card, ...]


def search_page(results: Sequence[tuple[str | None, Sequence[Match]]], title: str) -> str:
    """A page of questions and answers; a question is the path of a photo, or None where it was no single photo."""
    paths = [path for path, _ in results if path is not None]
    uris = _thumbnails([*paths, *(match.photo.path for _, matches in results for match in matches)])
    sections = [
        _Section(
            None if path is None else _picture(path, uris),
            tuple(_card(match.photo, uris, match.score) for match in matches),
        )
        for path, matches in results
    ]
    shape = _shape([match.photo for _, matches in results for match in matches])
    return _template("search.html").render(title=_text(title), sections=sections, shape=shape)


def photos_page(photos: Sequence[Photo], title: str = "Photos") -> str:
    """A page of photos."""
    uris = _thumbnails([photo.path for photo in photos])
    cards = [_card(photo, uris) for photo in photos]
    return _template("photos.html").render(title=_text(title), cards=cards, shape=_shape(photos))


def _shape(photos: Iterable[Photo]) -> str:
    """The frame that suits most of the photos, as width over height."""
    shapes = [photo.width / photo.height for photo in photos if photo.width and photo.height]
    return f"{min(max(median(shapes or [4 / 3]), _SHAPES[0]), _SHAPES[1]):.3f}"


@lru_cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _thumbnails(paths: Iterable[str]) -> dict[str, str | None]:
    """A data URI for each path, None where there is no picture to show."""
    from birdsearch import photos

    def uri(path: str) -> str | None:
        try:
            return "data:image/jpeg;base64," + base64.b64encode(photos.thumbnail(path, _THUMBNAIL)).decode("ascii")
        except PhotoError:
            return None

    distinct = list(dict.fromkeys(paths))
    # Pillow lets other threads run while it decodes.
    with ThreadPoolExecutor() as pool:
        return dict(zip(distinct, pool.map(uri, distinct), strict=True))


def _picture(path: str, uris: dict[str, str | None]) -> _Picture:
    absolute = Path(path).absolute()
    # The folder says more than "1.jpg".
    return _Picture(_text(Path(*absolute.parts[-2:])), _text(absolute), uris[path], absolute.as_uri())


def _card(photo: Photo, uris: dict[str, str | None], score: float | None = None) -> _Card:
    first = photo.predictions[0] if photo.predictions else None
    if photo.species is not None:
        title, kind = photo.species, photo.species_source or "prediction"
    elif first is not None:
        title, kind = first.name, "class"
    else:
        title, kind = "Species not known", "none"
    return _Card(
        _picture(photo.path, uris), score, _text(title), kind, photo.predictions[:_PREDICTIONS], tuple(_facts(photo))
    )


def _facts(photo: Photo) -> Iterable[str]:
    if photo.taken_at:
        yield photo.taken_at[:16].replace("T", " ")
    if photo.camera:
        yield _text(photo.camera)
    if photo.latitude is not None and photo.longitude is not None:
        north, east = ("N" if photo.latitude >= 0 else "S"), ("E" if photo.longitude >= 0 else "W")
        yield f"{abs(photo.latitude):.3f}° {north}, {abs(photo.longitude):.3f}° {east}"


def _text(text: Any) -> str:
    return shown(str(text)).translate(_CONTROL_PICTURES)
