"""The pages of clusters, of species and of doubtful labels."""

import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.duplicates.verification import close_order
from birdsearch.export.html import plots
from birdsearch.export.html.album import Album
from birdsearch.export.html.mapped import MappedPage, jumps, known, mapped_page
from birdsearch.export.html.pictures import Origin, text
from birdsearch.export.tables import photo_row
from birdsearch.records import (
    AuditReport,
    Cluster,
    ClusterReport,
    Confusion,
    Provenance,
    SpeciesEntry,
    SpeciesReport,
    Suspect,
    as_json,
    counted,
    percent,
)

if TYPE_CHECKING:
    from bokeh.embed.standalone import StandaloneEmbedJson

# How much one page shows at most: more than people look through (a guess).
_CLUSTERS, _OF_CLUSTER = 400, 16
_OUTLIERS, _PAIRS, _SPECIES, _SUSPECTS = 48, 120, 600, 300
_MATRIX = 40  # names on one side of a matrix
_LABEL_COMMAND = "birdsearch label --from corrections.csv"
_SAVED = ("id", "sha256", "index_id", "relative_path", "label")  # columns of a saved correction, beside the species
_METRICS = {"ami": "AMI", "ari": "ARI"}


# Clusters ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Member:
    id: int
    label: str  # where it is of another species than most, else empty
    other: bool  # whether it is of another species than most


@dataclass(frozen=True, slots=True)
class _ClusterSection:
    number: int
    label: str
    photos: int
    purity: float | None
    mixes: tuple[tuple[str, int], ...]  # of more than one species
    names: tuple[str, ...]  # of all its species
    shown: tuple[_Member, ...]
    more: int


@dataclass(frozen=True, slots=True)
class _Clusters:
    sections: Sequence[_ClusterSection]
    more_sections: int
    outliers: Sequence[int]
    more_outliers: int
    how: Sequence[str]  # they were made, for those who want to know


def clusters_page(report: ClusterReport, album: Album, title: str = "Clusters", *, origin: Origin | None = None) -> str:
    """A page of clusters, the species in each, and the outliers; `album.of_clusters` chooses the photos."""
    sections = [_cluster_section(cluster, album) for cluster in report.clusters[:_CLUSTERS]]
    outliers = known(report.outliers, album)
    lead = (
        f"{counted(sum(len(c.photos) for c in report.clusters), 'photo')} in {counted(len(report.clusters), 'cluster')}"
    )
    if "purity" in report.agreement:
        lead += f"; {percent(report.agreement['purity'])} of the labelled photos show the main species of their cluster"
    agreement = ", ".join(f"{_METRICS.get(name, name)} {value:.2f}" for name, value in report.agreement.items())
    how = [report.method, f"agreement with the labels: {agreement}" if agreement else ""]
    more = len(report.clusters) - len(sections), max(len(outliers) - _OUTLIERS, 0)
    galleries = _Clusters(sections, more[0], outliers[:_OUTLIERS], more[1], [text(words) for words in how if words])
    in_galleries = [*galleries.outliers, *(member.id for section in sections for member in section.shown)]
    matrix = _cluster_matrix([section for section in sections if section.mixes])
    clusters = {photo: f"cluster {cluster.id}" for cluster in report.clusters for photo in cluster.photos}
    led = jumps((f"c{section.number}", section.names) for section in sections)
    page = MappedPage(
        "clusters.html", title, [f"{lead}."], galleries, in_galleries, led, matrix, clusters, origin=origin
    )
    return mapped_page(page, album)


def _cluster_section(cluster: Cluster, album: Album) -> _ClusterSection:
    mixes = tuple((text(name), count) for name, count in cluster.mixed.items()) if len(cluster.mixed) > 1 else ()
    order = dict.fromkeys(known((*cluster.medoids, *cluster.photos), album))
    # Those of another species are what people look for: none of them is cut off while there is room.
    odd = {n: None for n in order if album.photos[n].label not in (None, cluster.label)}
    usual = [n for n in order if n not in odd][: max(_OF_CLUSTER - len(odd), len(cluster.medoids), 1)]
    shown = [*(_Member(n, "", False) for n in usual), *(_Member(n, text(album.photos[n].label), True) for n in odd)]
    shown = shown[:_OF_CLUSTER]
    label, names = text(cluster.label) if cluster.label else "", tuple(text(name) for name in cluster.mixed)
    more = len(cluster.photos) - len(shown)
    return _ClusterSection(cluster.id, label, len(cluster.photos), cluster.purity, mixes, names, tuple(shown), more)


def _cluster_matrix(sections: Sequence[_ClusterSection]) -> "StandaloneEmbedJson | None":
    """Which species lie in which cluster, of the clusters with the most photos of other species than their own."""

    def others(section: _ClusterSection) -> int:
        return sum(count for _, count in section.mixes[1:])

    worst: list[_ClusterSection] = []
    names: dict[str, None] = {}
    for section in sorted(sections, key=lambda section: (-others(section), section.number)):
        more = names | dict.fromkeys(name for name, _ in section.mixes)
        if worst and (len(more) > _MATRIX or len(worst) == _MATRIX):
            continue
        worst, names = [*worst, section], more
    column = {name: number for number, name in enumerate(names)}
    cells = []
    for row, section in enumerate(worst):
        total = sum(count for _, count in section.mixes)
        for name, count in section.mixes:
            words = f"{counted(count, 'photo')} of {total}"
            cells.append(plots.Cell(row, column[name], count / total, words, f"c{section.number}"))
    return plots.matrix_plot([f"Cluster {s.number}" for s in worst], list(names), cells) if cells else None


# Species -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entry:
    species: str
    photos: int
    facts: tuple[str, ...]
    medoids: tuple[int, ...]
    boundary: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Species:
    pairs: Sequence[Confusion]
    more_pairs: int
    entries: Sequence[_Entry]
    more_entries: int


def species_page(report: SpeciesReport, album: Album, title: str = "Species", *, origin: Origin | None = None) -> str:
    """A page of species: which get confused, and the typical and the boundary photos of each.

    `album.of_species` chooses the photos.
    """
    pairs = [_pair(confusion, album) for confusion in report.confusions[:_PAIRS]]
    entries = [_entry(entry, album) for entry in report.species[:_SPECIES]]
    galleries = _Species(pairs, len(report.confusions) - len(pairs), entries, len(report.species) - len(entries))
    in_galleries = [
        *(number for pair in pairs for example in pair.examples for number in example),
        *(number for entry in entries for number in (*entry.medoids, *entry.boundary)),
    ]
    lead = f"{counted(sum(e.photos for e in report.species), 'photo')} of {report.count.words}."
    led = jumps((f"e{number}", [entry.species]) for number, entry in enumerate(entries, 1))
    matrix = _confusion_matrix(pairs)
    return mapped_page(
        MappedPage("species.html", title, [lead], galleries, in_galleries, led, matrix, origin=origin), album
    )


def _pair(confusion: Confusion, album: Album) -> Confusion:
    """With its texts as pages show them, and the examples that the album holds."""
    examples = tuple(pair for pair in confusion.examples if known(pair, album) == pair)
    return replace(confusion, first=text(confusion.first), second=text(confusion.second), examples=examples)


def _entry(entry: SpeciesEntry, album: Album) -> _Entry:
    medoids = known(entry.medoids, album)
    boundary = tuple(number for number in known(entry.boundary, album) if number not in medoids)  # each once
    return _Entry(text(entry.species), entry.photos, tuple(_facts(entry)), medoids, boundary)


def _facts(entry: SpeciesEntry) -> Iterable[str]:
    if entry.cohesion is not None:
        yield f"alike {entry.cohesion:.2f}"
    if entry.overlap is not None:
        yield f"mixed up {percent(entry.overlap)}"
    if entry.nearest is not None:
        score = "" if entry.nearest_score is None else f" {entry.nearest_score:.2f}"
        yield text(f"nearest: {entry.nearest}{score}")


def _confusion_matrix(pairs: Sequence[Confusion]) -> "StandaloneEmbedJson | None":
    names: dict[str, int] = {}
    for pair in pairs:
        if len({*names, pair.first, pair.second}) > _MATRIX:
            break
        for name in (pair.first, pair.second):
            names.setdefault(name, len(names))
    within = [(number, pair) for number, pair in enumerate(pairs, 1) if pair.first in names and pair.second in names]
    if not within:
        return None
    order = close_order(len(names), np.array([(names[pair.first], names[pair.second]) for _, pair in within]))
    ordered = [list(names)[number] for number in order.tolist()]
    place = {name: number for number, name in enumerate(ordered)}
    most = max(pair.share for _, pair in within) or 1.0
    cells = []
    for number, pair in within:
        words = f"{counted(pair.photos, 'photo')}, {percent(pair.share)} of both"
        a, b = place[pair.first], place[pair.second]
        cells += [plots.Cell(*at, pair.share / most, words, f"p{number}") for at in ((a, b), (b, a))]
    return plots.matrix_plot(ordered, ordered, cells)


# Doubtful labels -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Suspect:
    id: int
    row: str  # what the saved line says of the photo besides the species, as JSON
    name: str
    label: str
    proposed: str | None
    doubt: float
    reasons: tuple[str, ...]
    evidence: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Audit:
    suspects: Sequence[_Suspect]
    more_suspects: int
    labels: Sequence[str]  # that a correction may name
    command: str  # that takes the saved corrections in
    key: str  # under which a browser keeps what is entered on this page, and on no other


def audit_page(
    report: AuditReport,
    album: Album,
    title: str = "Doubtful labels",
    *,
    origin: Origin | None = None,
    provenance: Provenance | None = None,
) -> str:
    """A page of doubtful labels with the evidence against each, on which corrections can be entered and saved.

    `album.of_audit` chooses the photos; with the `provenance` of the index saved corrections name it.
    """
    suspects = [_suspect(suspect, album, provenance) for suspect in report.suspects[:_SUSPECTS]]
    labels = sorted({text(photo.label) for photo in album.photos.values() if photo.label})
    photos = {**{suspect.photo.id or 0: suspect.photo for suspect in report.suspects}, **album.photos}
    lead = f"{counted(len(report.suspects), 'label')} of {report.photos:,} may be wrong. Nothing has been changed."
    galleries = _Audit(
        suspects, len(report.suspects) - len(suspects), labels, _label_command(origin), _key(suspects, provenance)
    )
    in_galleries = [number for suspect in suspects for number in (suspect.id, *suspect.evidence)]
    led = jumps(
        (f"s{suspect.id}", [name for name in (suspect.label, suspect.proposed) if name]) for suspect in suspects
    )
    marked = {suspect.photo.id or 0 for suspect in report.suspects}
    page = MappedPage(
        "audit.html", title, [lead], galleries, in_galleries, led, _audit_matrix(suspects), marked=marked, origin=origin
    )
    return mapped_page(page, Album(photos, album.ids, album.coordinates))


def _label_command(origin: Origin | None) -> str:
    """What takes the saved corrections in, for a shell."""
    index = "" if origin is None or origin.index is None else f" --index {shlex.quote(os.path.abspath(origin.index))}"
    return text(f"{_LABEL_COMMAND}{index}")


def _key(suspects: Sequence[_Suspect], provenance: Provenance | None) -> str:
    """The same for a page of the same doubtful labels of the same index; browsers hold the pages of a disk together."""
    shown = hashlib.sha256("\n".join(suspect.row for suspect in suspects).encode()).hexdigest()
    return f"{provenance.index_id if provenance is not None else ''} {shown[:16]}"


def _suspect(suspect: Suspect, album: Album, provenance: Provenance | None) -> _Suspect:
    proposed = text(suspect.proposed) if suspect.proposed else None
    name = text(Path(suspect.photo.path).name)
    reasons = tuple(text(reason) for reason in suspect.reasons)
    evidence = known(suspect.evidence, album)
    columns = _SAVED if provenance is not None else [n for n in _SAVED if n not in ("index_id", "relative_path")]
    row = as_json(photo_row(suspect.photo, columns, provenance))
    saved = json.dumps(dict(zip(columns, row, strict=True)))
    return _Suspect(suspect.photo.id or 0, saved, name, text(suspect.label), proposed, suspect.doubt, reasons, evidence)


def _audit_matrix(suspects: Sequence[_Suspect]) -> "StandaloneEmbedJson | None":
    """How many labels each species proposed would replace."""
    counts = Counter((suspect.label, suspect.proposed) for suspect in suspects if suspect.proposed)
    first = {(suspect.label, suspect.proposed): suspect.id for suspect in reversed(suspects)}
    common = [(label, proposed) for (label, proposed), _ in counts.most_common(_MATRIX) if proposed]
    if not common:
        return None
    rows, columns = (sorted({change[side] for change in common}) for side in (0, 1))
    most = max(counts.values())
    cells = []
    for label, proposed in common:
        count, leads_to = counts[label, proposed], f"s{first[label, proposed]}"
        at = rows.index(label), columns.index(proposed)
        cells.append(plots.Cell(*at, count / most, counted(count, "photo"), leads_to))
    return plots.matrix_plot(rows, columns, cells)
