"""The page of a life list: when and where each species was seen, with its best and its most typical photos."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from birdsearch.export.html import world
from birdsearch.export.html.pictures import Origin, Picture, Room, picture, render, shape, text
from birdsearch.records import MONTHS, LifeList, LifeListEntry, Photo, Place, counted

_BEST, _EXAMPLE = 420, 150  # pixels, the longest side
_PLACES = 300  # that a page lists
_NAMES = 40  # of species, in one line
_PLACES_OF_ENTRY = 8
_FAINTEST = 0.15  # colour of a single photo, so that it is seen

_HEADINGS = {  # title, what an entry is, and the entry of the photos of which that is not known
    "species": ("Life list", "Species", "Species not known"),
    "month": ("The year in birds", "Months", "Month not known"),
    "year": ("Birds by year", "Years", "Year not known"),
    "place": ("Birds by place", "Places", "Place not known"),
    "photographer": ("Birds by photographer", "Photographers", "Photographer not known"),
}
NOT_A_SPECIES = "not a single species"
_TIMES = ("month", "year")  # entries that are columns of the table, not rows


@dataclass(frozen=True, slots=True)
class _Shot:
    """A photo, and what to say below it."""

    picture: Picture
    caption: str


@dataclass(frozen=True, slots=True)
class _Section:
    """One entry."""

    anchor: str
    name: str
    facts: tuple[str, ...]
    new: tuple[str, ...]  # species that were first seen here
    best: _Shot
    examples: tuple[_Shot, ...]
    more: int  # species without a picture here
    months: tuple[tuple[str, int, int], ...]  # first letter, photos, height in percent
    places: tuple[tuple[int, str], ...]  # number, name
    more_places: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table of times."""

    name: str
    anchor: str | None
    cells: tuple[tuple[int, float], ...]  # photos, and how strong their colour is
    photos: int


@dataclass(frozen=True, slots=True)
class _Table:
    """What was seen when."""

    columns: tuple[tuple[str, str | None], ...]  # words, anchor
    rows: tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _ListedPlace:
    """A place, and the entries that have photos of it."""

    place: Place
    entries: tuple[tuple[str, str], ...]  # anchor, name
    more: int


def life_list_page(
    report: LifeList, photos: Mapping[int, Photo], title: str | None = None, *, origin: Origin | None = None
) -> str:
    """A page of a life list; `album.of_life_list` chooses the photos.

    Its pictures take 12 MB at most; where they would take more it leaves examples out, and says how many.
    """
    uris, left_out = _pictures(report.entries, photos)
    usual, things, _ = _HEADINGS[report.by]
    return render(
        "life_list.html",
        title or usual,
        origin,
        things=things,
        lead=_lead(report, left_out),
        table=_table(report),
        map=world.map_of(report.places),
        places=() if report.by == "place" else _places(report),
        more_places=max(len(report.places) - _PLACES, 0),
        sections=[_section(number, report, photos, uris) for number in range(len(report.entries))],
        shape=shape(photos[entry.best] for entry in report.entries),
    )


def _lead(report: LifeList, left_out: int) -> list[str]:
    """The lines below the title."""
    moments = [moment for entry in report.entries for moment in (entry.first, entry.last) if moment]
    lines = [f"{report.count.words} on {counted(report.photos, 'photo')}"]
    lines[0] += f" from {counted(len(report.places), 'place')}" if report.places else ""
    lines[0] += f", {min(moments)[:10]} to {max(moments)[:10]}" if moments else ""
    new = Counter(
        entry.first[:4] for entry in report.entries if report.by == "species" and entry.species and entry.first
    )
    if len(new) > 1:
        lines.append("New species: " + ", ".join(f"{count} in {year}" for year, count in sorted(new.items())))
    unknown = ("species", report.unnamed), ("date", report.undated), ("position", report.unplaced)
    lacking = [f"{counted(n, 'photo')} {'has' if n == 1 else 'have'} no {what}" for what, n in unknown if n]
    lines += [", ".join(lacking)] if lacking else []
    lines += [f"{counted(left_out, 'picture')} did not fit on this page"] if left_out else []
    return [f"{line}." for line in lines]


def _pictures(
    entries: Sequence[LifeListEntry], photos: Mapping[int, Photo]
) -> tuple[dict[int, dict[str, str | None]], int]:
    """Thumbnails by size and path as far as there is room, the best photos first; how many were left out."""
    wanted = {
        _BEST: list(dict.fromkeys(photos[entry.best].path for entry in entries)),
        _EXAMPLE: list(dict.fromkeys(photos[number].path for entry in entries for number in entry.examples)),
    }
    room, left_out = Room(), 0
    uris: dict[int, dict[str, str | None]] = {}
    for size, paths in wanted.items():
        fitting = room.thumbnails(paths, size)
        uris[size] = dict.fromkeys(paths) | fitting
        left_out += len(paths) - len(fitting)
    return uris, left_out


def _anchor(report: LifeList, number: int) -> str:
    """The name of an entry's section; the marks of a map lead to the places."""
    return f"place{number}" if report.by == "place" and report.entries[number].name else f"entry{number}"


def _name(report: LifeList, entry: LifeListEntry) -> str:
    return _HEADINGS[report.by][2] if entry.name is None else text(entry.name)


def _section(
    number: int, report: LifeList, photos: Mapping[int, Photo], uris: Mapping[int, dict[str, str | None]]
) -> _Section:
    entry = report.entries[number]
    several = len(entry.species) + len(entry.other) > 1

    def shot(photo_id: int, size: int) -> _Shot:
        photo = photos[photo_id]
        caption = photo.species if several else (photo.taken_at or "")[:10]
        return _Shot(picture(photo.path, uris[size]), text(caption or ""))

    most = max(*entry.months, 1)
    listed = () if report.by == "place" else entry.places
    examples = entry.examples if several or len(entry.examples) > 1 else ()
    return _Section(
        _anchor(report, number),
        _name(report, entry),
        _facts(entry, several),
        tuple(text(name) for name in entry.first_seen[:_NAMES]) if several else (),
        shot(entry.best, _BEST),
        tuple(shot(photo_id, _EXAMPLE) for photo_id in examples),
        max(len(entry.species) + len(entry.other) - len(examples), 0) if several else 0,
        tuple((month[0], count, round(100 * count / most)) for month, count in zip(MONTHS, entry.months, strict=True)),
        tuple((place, report.places[place].name) for place in listed[:_PLACES_OF_ENTRY]),
        max(len(listed) - _PLACES_OF_ENTRY, 0),
    )


def _facts(entry: LifeListEntry, several: bool) -> tuple[str, ...]:
    """What is known of an entry, in a few words each."""
    facts = [f"{len(entry.species):,} species"] if several else [NOT_A_SPECIES] if entry.other else []
    facts.append(counted(entry.photos, "photo"))
    if entry.first and entry.last:
        first, last = entry.first[:10], entry.last[:10]
        facts += [f"on {first}"] if first == last else [f"first {first}", f"last {last}"]
    facts += [f"{len(entry.first_seen):,} new"] if several and entry.first_seen else []
    return tuple(facts)


def _table(report: LifeList) -> _Table:
    """The species by month or by year, or else the entries by month."""
    columns: list[tuple[str, str | None]]
    counts: list[tuple[str, str | None, list[int]]]
    if report.by in _TIMES:
        columns = [(_short(entry), _anchor(report, number)) for number, entry in enumerate(report.entries)]
        counts = []
        for shown in ([entry.species for entry in report.entries], [entry.other for entry in report.entries]):
            names = sorted({name for photos in shown for name in photos}, key=str.casefold)
            counts += [(text(name), None, [photos.get(name, 0) for photos in shown]) for name in names]
    else:
        columns = [(month[:3], None) for month in MONTHS]
        counts = [
            (_name(report, entry), _anchor(report, number), [*entry.months, entry.photos - sum(entry.months)])
            for number, entry in enumerate(report.entries)
        ]
        if any(cells[-1] for *_, cells in counts):
            columns.append(("no date", None))
        counts = [(name, anchor, cells[: len(columns)]) for name, anchor, cells in counts]
    most = max((count for *_, cells in counts for count in cells), default=1)
    return _Table(
        tuple(columns),
        tuple(_Row(name, anchor, _coloured(cells, most), sum(cells)) for name, anchor, cells in counts),
    )


def _short(entry: LifeListEntry) -> str:
    return "no date" if entry.name is None else entry.name[:4] if entry.name.isdigit() else entry.name[:3]


def _coloured(counts: Iterable[int], most: int) -> tuple[tuple[int, float], ...]:
    """Each count with the strength of its colour, which grows with its logarithm."""
    full = math.log1p(most)
    return tuple((n, round(_FAINTEST + (1 - _FAINTEST) * math.log1p(n) / full, 2) if n else 0.0) for n in counts)


def _places(report: LifeList) -> list[_ListedPlace]:
    """The places, each with the entries that were seen there."""
    at: dict[int, list[int]] = {}
    for number, entry in enumerate(report.entries):
        for seen in entry.places:
            at.setdefault(seen, []).append(number)
    listed = []
    for number, place in enumerate(report.places[:_PLACES]):
        here = at.get(number, [])
        names = tuple((_anchor(report, entry), _name(report, report.entries[entry])) for entry in here[:_NAMES])
        listed.append(_ListedPlace(place, names, len(here) - len(names)))
    return listed
