"""Clusters, species and doubtful labels as pages: a map of the photos, a matrix, galleries.

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
from typing import Any

import numpy as np

from birdsearch.export.html import plots
from birdsearch.export.html.pictures import Picture, date, picture, template, text, thumbnails
from birdsearch.records import (
    AuditReport,
    ClusterReport,
    Confusion,
    Photo,
    SpeciesReport,
    Suspect,
    Vectors,
    counted,
    percent,
)

MAPPED = 3_000  # photos on one map; more hide each other
_THUMBNAIL = 112  # pixels, the longest side: 1,500 of them take some 9 MB of a page
_BYTES = 11_000_000  # of all pictures of a page, in their encoded form
_AT_ONCE = 250  # thumbnails that are made together
_CLUSTERS, _OF_CLUSTER = 400, 16
_OUTLIERS, _PAIRS, _SPECIES, _SUSPECTS = 48, 120, 600, 300
_MATRIX = 40  # names on one side of a matrix
NAMELESS = "no species"


@dataclass(frozen=True, slots=True)
class Card:
    """A photo as the galleries name it."""

    name: str
    path: str
    link: str
    label: str


@dataclass(frozen=True, slots=True)
class _ClusterSection:
    number: int
    label: str
    photos: int
    purity: float | None
    mixes: tuple[tuple[str, int], ...]  # of more than one species
    shown: tuple[tuple[int, str, bool], ...]  # id, words below it, whether it is of another species than most
    more: int


@dataclass(frozen=True, slots=True)
class _Pair:
    first: str
    second: str
    photos: int
    share: float
    examples: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    species: str
    photos: int
    facts: tuple[str, ...]
    medoids: tuple[int, ...]
    boundary: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Doubt:
    id: int
    name: str
    label: str
    proposed: str | None
    doubt: float
    reasons: tuple[str, ...]
    evidence: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Album:
    """The photos that a page may show, and where those on its map lie."""

    photos: Mapping[int, Photo]
    ids: Sequence[int] = ()  # of the photos on the map
    places: Vectors | None = None  # (len(ids), 2)


def for_map(photos: Sequence[Photo], first: Iterable[int] = (), most: int = MAPPED) -> list[int]:
    """The ids of at most `most` photos for a map: those in `first`, and an even choice of the others; ascending."""
    known = [photo.id for photo in photos if photo.id is not None]
    if len(known) <= most:
        return sorted(known)
    held = set(known)
    wanted = [number for number in dict.fromkeys(first) if number in held][:most]
    rest = np.array(sorted(held - set(wanted)), dtype=np.int64)
    even = rest[np.linspace(0, len(rest) - 1, most - len(wanted)).astype(np.int64)] if most > len(wanted) else rest[:0]
    return sorted({*wanted, *(int(number) for number in even)})


# The pages -----------------------------------------------------------------------------------------------------------


def clusters_page(report: ClusterReport, album: Album, title: str = "Clusters") -> str:
    """A page of clusters, what they mix, and the photos that are like no other."""
    shown = report.clusters[:_CLUSTERS]
    cluster_of = {photo: cluster.id for cluster in report.clusters for photo in cluster.photos}
    sections = [_cluster_section(cluster, album) for cluster in shown]
    outliers = [number for number in report.outliers if number in album.photos]
    agreement = ", ".join(f"{_METRICS.get(name, name)} {value:.2f}" for name, value in report.agreement.items())
    lead = [
        f"{counted(sum(len(c.photos) for c in report.clusters), 'photo')} in {counted(len(report.clusters), 'cluster')}"
        f"{f'; {report.method}' if report.method else ''}.",
        *([f"Against the labels: {agreement}."] if agreement else []),
    ]
    names = {number: f"cluster {cluster}" for number, cluster in cluster_of.items()}
    return _render(
        "clusters.html",
        album,
        [*outliers[:_OUTLIERS], *(photo for section in sections for photo, _, _ in section.shown)],
        title=text(title),
        lead=[text(line) for line in lead],
        groups=names,
        colourings=[("label", "species"), ("group", "cluster")],
        matrix=_cluster_matrix([section for section in sections if section.mixes]),
        sections=sections,
        more_sections=len(report.clusters) - len(shown),
        outliers=outliers[:_OUTLIERS],
        more_outliers=max(len(outliers) - _OUTLIERS, 0),
    )


_METRICS = {"ami": "AMI", "ari": "ARI"}


def _cluster_section(cluster: Any, album: Album) -> _ClusterSection:
    mixes = tuple((text(name), count) for name, count in cluster.mixed.items()) if len(cluster.mixed) > 1 else ()
    members = [number for number in (*cluster.medoids, *cluster.photos) if number in album.photos]
    order = list(dict.fromkeys(members))
    # Those of another species are what one looks for, so none of them is cut off while there is room.
    odd = [n for n in order if album.photos[n].label not in (None, cluster.label)]
    usual = [n for n in order if n not in set(odd)]
    kept = usual[: max(_OF_CLUSTER - len(odd), len(cluster.medoids), 1)]
    shown = [*((n, "", False) for n in kept), *((n, text(album.photos[n].label), True) for n in odd)][:_OF_CLUSTER]
    label = text(cluster.label) if cluster.label else ""
    return _ClusterSection(
        cluster.id, label, len(cluster.photos), cluster.purity, mixes, tuple(shown), len(cluster.photos) - len(shown)
    )


def _cluster_matrix(sections: Sequence[_ClusterSection]) -> dict[str, Any] | None:
    """Which species lie in which cluster, of the clusters that mix the most photos."""

    def strangers(section: _ClusterSection) -> int:
        return sum(count for _, count in section.mixes[1:])

    worst: list[_ClusterSection] = []
    names: dict[str, None] = {}
    for section in sorted(sections, key=lambda section: (-strangers(section), section.number)):
        more = names | dict.fromkeys(name for name, _ in section.mixes)
        if worst and (len(more) > _MATRIX or len(worst) == _MATRIX):
            continue
        worst, names = [*worst, section], more
    place = {name: number for number, name in enumerate(names)}
    cells = {}
    for row, section in enumerate(worst):
        total = sum(count for _, count in section.mixes)
        for name, count in section.mixes:
            words = f"{counted(count, 'photo')} of {total}"
            cells[row, place[name]] = (count / total, words, f"c{section.number}")
    return plots.matrix_plot([f"Cluster {s.number}" for s in worst], list(names), cells) if cells else None


def species_page(report: SpeciesReport, album: Album, title: str = "Species") -> str:
    """A page of species: which are taken for each other, what is typical of each, and what lies at its border."""
    pairs = [
        _Pair(text(c.first), text(c.second), c.photos, c.share, _known_pairs(c, album))
        for c in report.confusions[:_PAIRS]
    ]
    entries = [
        _Entry(text(entry.species), entry.photos, tuple(_facts(entry)), _known(entry.medoids, album),
               _known(entry.boundary, album))
        for entry in report.species[:_SPECIES]
    ]  # fmt: skip
    first = [
        *(number for pair in pairs for example in pair.examples for number in example),
        *(number for entry in entries for number in (*entry.medoids, *entry.boundary)),
    ]
    photos = sum(entry.photos for entry in report.species)
    return _render(
        "species.html",
        album,
        first,
        title=text(title),
        lead=[f"{counted(photos, 'photo')} of {len(report.species):,} species."],
        matrix=_confusion_matrix(pairs),
        pairs=pairs,
        more_pairs=len(report.confusions) - len(pairs),
        entries=entries,
        more_entries=len(report.species) - len(entries),
    )


def _facts(entry: Any) -> Iterable[str]:
    if entry.cohesion is not None:
        yield f"cohesion {entry.cohesion:.2f}"
    if entry.overlap is not None:
        yield f"overlap {percent(entry.overlap)}"
    if entry.nearest is not None:
        score = "" if entry.nearest_score is None else f" {entry.nearest_score:.2f}"
        yield text(f"nearest: {entry.nearest}{score}")


def _confusion_matrix(pairs: Sequence[_Pair]) -> dict[str, Any] | None:
    names: dict[str, int] = {}
    for pair in pairs:
        if len(names | {pair.first: 0, pair.second: 0}) > _MATRIX:
            break
        names.setdefault(pair.first, len(names))
        names.setdefault(pair.second, len(names))
    within = [(number, pair) for number, pair in enumerate(pairs, 1) if pair.first in names and pair.second in names]
    if not within:
        return None
    order = plots.beside_each_other(len(names), [(names[pair.first], names[pair.second]) for _, pair in within])
    listed = list(names)
    ordered = [listed[place] for place in order]
    place = {name: number for number, name in enumerate(ordered)}
    most = max(pair.share for _, pair in within) or 1.0
    cells = {}
    for number, pair in within:
        words = f"{counted(pair.photos, 'photo')}, {percent(pair.share)} of both"
        a, b = place[pair.first], place[pair.second]
        cells[a, b] = cells[b, a] = (pair.share / most, words, f"p{number}")
    return plots.matrix_plot(ordered, ordered, cells)


def audit_page(report: AuditReport, album: Album, title: str = "Doubtful labels") -> str:
    """A page of doubtful labels with what speaks against each, on which corrections can be entered and saved."""
    doubts = [_doubt(suspect, album) for suspect in report.suspects[:_SUSPECTS]]
    first = [number for doubt in doubts for number in (doubt.id, *doubt.evidence)]
    held = {**album.photos, **{suspect.photo.id or 0: suspect.photo for suspect in report.suspects}}
    labels = sorted({text(photo.label) for photo in album.photos.values() if photo.label})
    return _render(
        "audit.html",
        Album(held, album.ids, album.places),
        first,
        marked={suspect.photo.id or 0 for suspect in report.suspects},
        title=text(title),
        lead=[f"{counted(len(report.suspects), 'label')} of {report.photos:,} may be wrong. Nothing has been changed."],
        matrix=_audit_matrix(doubts),
        suspects=doubts,
        more_suspects=len(report.suspects) - len(doubts),
        labels=labels,
    )


def _doubt(suspect: Suspect, album: Album) -> _Doubt:
    proposed = text(suspect.proposed) if suspect.proposed else None
    name = text(Path(suspect.photo.path).name)
    reasons = tuple(text(reason) for reason in suspect.reasons)
    evidence = _known(suspect.evidence, album)
    return _Doubt(suspect.photo.id or 0, name, text(suspect.label), proposed, suspect.doubt, reasons, evidence)


def _audit_matrix(doubts: Sequence[_Doubt]) -> dict[str, Any] | None:
    moves = [(doubt.label, doubt.proposed) for doubt in doubts if doubt.proposed]
    counts = Counter(moves)
    first = {(doubt.label, doubt.proposed): doubt.id for doubt in reversed(doubts)}
    common = [move for move, _ in counts.most_common(_MATRIX)]
    if not common:
        return None
    rows, columns = (sorted({move[side] for move in common}) for side in (0, 1))
    most = max(counts.values())
    cells = {
        (rows.index(label), columns.index(proposed)): (
            counts[label, proposed] / most,
            counted(counts[label, proposed], "photo"),
            f"s{first[label, proposed]}",
        )
        for label, proposed in common
    }
    return plots.matrix_plot(rows, columns, cells)


# What they share -----------------------------------------------------------------------------------------------------


def _known(numbers: Iterable[int], album: Album) -> tuple[int, ...]:
    return tuple(number for number in numbers if number in album.photos)


def _known_pairs(confusion: Confusion, album: Album) -> tuple[tuple[int, int], ...]:
    return tuple(pair for pair in confusion.examples if all(number in album.photos for number in pair))


def _render(
    page: str,
    album: Album,
    first: Sequence[int],
    *,
    groups: Mapping[int, str] | None = None,
    marked: Collection[int] = (),
    matrix: dict[str, Any] | None,
    lead: list[str],
    **values: Any,
) -> str:
    """The page: `first` are the photos of its galleries, `groups` what the map may colour besides the species."""
    shown = list(dict.fromkeys([*first, *album.ids]))
    uris, left_out = _pictures([album.photos[number].path for number in shown])
    if left_out:
        lead = [*lead, f"{counted(left_out, 'photo')} on the map {'has' if left_out == 1 else 'have'} no picture here."]
    drawn = {number: picture(album.photos[number].path, uris) for number in shown}
    cards = {n: Card(p.name, p.path, p.link, text(album.photos[n].label or "")) for n, p in drawn.items()}
    lines = {number: _lines(album.photos[number], (groups or {}).get(number)) for number in shown}
    data = {
        "photos": {number: _photo(drawn[number], lines[number]) for number in shown},
        "map": _map(album, groups, marked),
        "matrix": matrix,
    }
    scripts = [plots.script(), _code()]
    return template(page).render(
        {
            "colourings": [("label", "species")],
            "ringed": "; those with a ring have a doubtful label" if marked else "",
            "names": sorted({text(_name(photo)) for photo in album.photos.values()}),
            **values,
        },
        lead=lead,
        cards=cards,
        mapped=data["map"] is not None,
        matrix=matrix is not None,
        data=_embedded(data),
        scripts=scripts,
        policy=" ".join(_hash(code) for code in scripts),
        shape="1",
    )


def _map(album: Album, groups: Mapping[int, str] | None, marked: Collection[int]) -> dict[str, Any] | None:
    """What the script needs to draw the map: the plot, and of each point its id, name and colours."""
    if album.places is None or not len(album.ids):
        return None
    names = [text(_name(album.photos[number])) for number in album.ids]
    shades = {"label": _shades(names)}
    if groups is not None:
        shades["group"] = _shades([groups.get(number, NAMELESS) for number in album.ids])
    item = plots.map_plot(album.places, shades["label"], np.array([number in marked for number in album.ids]))
    return {"item": item, "ids": list(album.ids), "names": names, "colours": shades}


def _shades(names: Sequence[str]) -> list[str]:
    known = plots.colours(sorted(set(names) - {NAMELESS}))
    return [known.get(name, plots.UNKNOWN) for name in names]


def _name(photo: Photo) -> str:
    return photo.species or NAMELESS


def _lines(photo: Photo, group: str | None) -> list[str]:
    """What the map says of a photo."""
    known = [_name(photo), "predicted" if photo.species_source == "prediction" else None, group, date(photo)]
    return [text(line) for line in known if line]


def _photo(shown: Picture, lines: list[str]) -> dict[str, Any]:
    return {"name": shown.name, "path": shown.path, "link": shown.link, "uri": shown.uri, "lines": lines}


def _pictures(paths: Sequence[str]) -> tuple[dict[str, str | None], int]:
    """Thumbnails as far as there is room, and how many were left out."""
    uris: dict[str, str | None] = {}
    room = _BYTES
    left_out = 0
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        made = thumbnails(some, _THUMBNAIL) if room > 0 else dict.fromkeys(some)
        for path, uri in made.items():
            room -= len(uri or "")
            uris[path] = uri if room > 0 else None
            left_out += room <= 0
    return uris, left_out


def _embedded(data: Any) -> str:
    """JSON that no text in it can end."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _hash(code: str) -> str:
    """The name by which a page allows this script and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


@lru_cache
def _code() -> str:
    return Path(__file__).with_name("templates").joinpath("species.js").read_text(encoding="utf-8")
