"""What the pages of clusters, species and doubtful labels share: a map of the photos, a matrix, galleries.

Every picture is in a page once. Where there are too many, those are left out that only the map shows.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsearch.export.html import plots
from birdsearch.export.html.album import Album
from birdsearch.export.html.pictures import Origin, Picture, Room, date, picture, render, text
from birdsearch.records import Photo, as_json, counted

if TYPE_CHECKING:
    from bokeh.embed.standalone import StandaloneEmbedJson

NAMELESS = "no species"
PAGE_BYTES = 11_000_000  # of all pictures of a page, in their encoded form
_THUMBNAIL = 112  # pixels, the longest side: 1,500 of them take some 9 MB of a page


@dataclass(frozen=True, slots=True)
class MappedPage:
    """One of the pages; the galleries of each have a record of their own, which its template reads."""

    template: str
    title: str
    lead: Sequence[str]  # the lines below the title
    galleries: Any
    in_galleries: Sequence[int]  # ids of the photos there
    jumps: Sequence[tuple[str, str, int]]  # of the list of species: name, the element it leads to, how many there are
    matrix: "StandaloneEmbedJson | None"
    clusters: Mapping[int, str] | None = None  # photo -> what the map may colour besides the species
    marked: Collection[int] = ()  # ids of photos that get a ring on the map
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class _Card(Picture):
    """A photo as the galleries name it."""

    label: str


@dataclass(frozen=True, slots=True)
class _Shown(Picture):
    """A photo as the script of a page draws it."""

    lines: tuple[str, ...]  # what the map says of it


@dataclass(frozen=True, slots=True)
class _Map:
    """What the script needs to draw the map: the plot, and of each point its id, name and colours."""

    item: "StandaloneEmbedJson"
    ids: Sequence[int]
    names: Sequence[str]
    colours: dict[str, list[str]]  # "label", "group" -> one for each point


@dataclass(frozen=True, slots=True)
class _Data:
    """All that the script of a page reads."""

    photos: dict[int, _Shown]
    map: _Map | None
    matrix: "StandaloneEmbedJson | None"


def mapped_page(page: MappedPage, album: Album) -> str:
    """The page as HTML."""
    ids = list(dict.fromkeys([*page.in_galleries, *album.ids]))
    paths = [album.photos[number].path for number in ids]
    fitting = Room(PAGE_BYTES).thumbnails(paths, _THUMBNAIL)
    uris = dict.fromkeys(paths) | fitting
    lead = [text(line) for line in page.lead]
    if left_out := len(uris) - len(fitting):
        lead.append(f"{counted(left_out, 'photo')} on the map {'has' if left_out == 1 else 'have'} no picture here.")
    drawn = {number: picture(album.photos[number].path, uris) for number in ids}
    clusters = page.clusters or {}
    photos = {n: _shown(drawn[n], album.photos[n], clusters.get(n)) for n in ids}
    data = _Data(photos, _map(album, page), page.matrix)
    scripts = [plots.script(), _code()]
    return render(
        page.template,
        page.title,
        page.origin,
        lead=lead,
        page=page.galleries,
        cards={n: _Card(p.name, p.path, p.uri, p.link, text(album.photos[n].label or "")) for n, p in drawn.items()},
        colourings=[("label", "species")] + ([("group", "cluster")] if page.clusters is not None else []),
        ringed="; photos with a ring have a doubtful label" if page.marked else "",
        jumps=page.jumps,
        names=sorted({text(photo.species or NAMELESS) for photo in album.photos.values()}),
        mapped=data.map is not None,
        matrix=data.matrix is not None,
        # JSON that no text in it can end.
        data=json.dumps(as_json(data), separators=(",", ":")).replace("<", "\\u003c"),
        scripts=scripts,
        policy=" ".join(_hash(code) for code in scripts),
        shape="1",
    )


def jumps(cards: Iterable[tuple[str, Iterable[str]]]) -> list[tuple[str, str, int]]:
    """The species of cards, by name, each with its first card and how many there are; cards are element and names."""
    first: dict[str, str] = {}
    count: Counter[str] = Counter()
    for element, names in cards:
        for name in dict.fromkeys(names):
            first.setdefault(name, element)
            count[name] += 1
    return [(name, first[name], count[name]) for name in sorted(first, key=str.casefold)]


def known(numbers: Iterable[int], album: Album) -> tuple[int, ...]:
    """Those of these photos that the album holds."""
    return tuple(number for number in numbers if number in album.photos)


def _map(album: Album, page: MappedPage) -> _Map | None:
    if album.coordinates is None or not len(album.ids):
        return None
    names = [text(album.photos[number].species or NAMELESS) for number in album.ids]
    shades = {"label": _shades(names)}
    if page.clusters is not None:
        shades["group"] = _shades([page.clusters.get(number, NAMELESS) for number in album.ids])
    marked = np.array([number in page.marked for number in album.ids])
    return _Map(plots.map_plot(album.coordinates, shades["label"], marked), list(album.ids), names, shades)


def _shades(names: Sequence[str]) -> list[str]:
    colours = plots.colours(sorted(set(names) - {NAMELESS}))
    return [colours.get(name, plots.UNKNOWN) for name in names]


def _shown(drawn: Picture, photo: Photo, cluster: str | None) -> _Shown:
    source = "predicted" if photo.species_source == "prediction" else None
    lines = photo.species or NAMELESS, source, cluster, date(photo)
    return _Shown(drawn.name, drawn.path, drawn.uri, drawn.link, tuple(text(line) for line in lines if line))


def _hash(code: str) -> str:
    """The name by which a page allows this script and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


@lru_cache
def _code() -> str:
    return Path(__file__).with_name("templates").joinpath("species.js").read_text(encoding="utf-8")
