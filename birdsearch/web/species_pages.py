"""The pages of species, look-alikes, clusters and the map."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from birdsearch.records import Cluster, ClusterReport, SpeciesEntry, SpeciesReport, percent, shown
from birdsearch.web.api.species import ReportQuery, of_clusters, of_species
from birdsearch.web.jobs import Job
from birdsearch.web.made import Made
from birdsearch.web.rendering import page
from birdsearch.web.serving import Held, Serving

router = APIRouter(include_in_schema=False)

# How much one page shows at most: more than people look through (a guess).
_PAIRS, _SPECIES, _CLUSTERS, _OF_CLUSTER, _OUTLIERS = 60, 600, 60, 6, 48


class SpeciesQuery(ReportQuery):
    """Which species are listed."""

    q: str = ""  # part of their names


class ClustersQuery(ReportQuery):
    """From which cluster on."""

    start: int = 0


@router.get("/species")
def species(request: Request, held: Held, asked: Annotated[SpeciesQuery, Query()]) -> Response:
    """Every species with a typical photo, and the pairs that get confused."""
    made = held.answer(of_species(asked.filter(held)), fresh=asked.fresh)
    if isinstance(made, Job):
        return _making(request, made, "Species")
    report: SpeciesReport = made.report
    pairs = [pair for pair in report.confusions if _named(asked.q, pair.first, pair.second)]
    entries = [entry for entry in report.species if _named(asked.q, entry.species)]
    known: dict[str, Any] = {
        "pairs": pairs[:_PAIRS], "more_pairs": len(pairs) - _PAIRS,
        "entries": [(entry, _facts(entry)) for entry in entries[:_SPECIES]], "more_entries": len(entries) - _SPECIES,
    }  # fmt: skip
    ids = [number for pair in pairs[:_PAIRS] for number in pair.examples[0]]
    ids += [entry.medoids[0] for entry in entries[:_SPECIES] if entry.medoids]
    total = sum(entry.photos for entry in report.species)
    return page(
        request, "species.html", **known, photos=held.photos(ids), q=asked.q, report=report, total=total,
        old=_is_old(held, made), address=address,
    )  # fmt: skip


@router.get("/species/{names:path}")
def look_alikes(request: Request, held: Held, names: str, asked: Annotated[ReportQuery, Query()]) -> Response:
    """One species, or two beside each other: typical photos, and those that get confused."""
    made = held.answer(of_species(asked.filter(held)), fresh=asked.fresh)
    if isinstance(made, Job):
        return _making(request, made, names)
    chosen = _chosen(made.report, names)
    sides = [_side(made.report, entry, {one.species for one in chosen} - {entry.species}) for entry in chosen]
    both = {entry.species for entry in chosen}
    pair = next((one for one in made.report.confusions if {one.first, one.second} == both), None)
    examples = () if pair is None else tuple(
        one if pair.first == chosen[0].species else one[::-1] for one in pair.examples
    )  # fmt: skip
    ids = [number for side in sides for number in (*side.entry.medoids, *side.entry.boundary)]
    ids += [number for one in examples for number in one]
    known: dict[str, Any] = {
        "sides": sides,
        "pair": pair,
        "examples": examples,
        "photos": held.photos(ids),
        "address": address,
    }
    return page(request, "look_alikes.html", **known, old=_is_old(held, made))


@router.get("/clusters")
def clusters(request: Request, held: Held, asked: Annotated[ClustersQuery, Query()]) -> Response:
    """Clusters of photos that look alike, the largest first, and the photos that are like no other."""
    made = held.answer(of_clusters(asked.filter(held)), fresh=asked.fresh)
    if isinstance(made, Job):
        return _making(request, made, "Clusters")
    report: ClusterReport = made.report
    start = max(0, asked.start)
    some = report.clusters[start : start + _CLUSTERS]
    outliers = report.outliers[:_OUTLIERS] if start == 0 else ()
    photos = held.photos([*(number for one in some for number in _odd_first(one)), *outliers])
    sections = [(one, _shown_of(one, photos)) for one in some]
    following = start + _CLUSTERS if start + _CLUSTERS < len(report.clusters) else None
    return page(
        request, "clusters.html", report=report, sections=sections, outliers=outliers, photos=photos, start=start,
        following=following, old=_is_old(held, made), address=address,
    )  # fmt: skip


@router.get("/clusters/{number}")
def cluster(request: Request, held: Held, number: int, asked: Annotated[ReportQuery, Query()]) -> Response:
    """All photos of one cluster, the most typical first."""
    made = held.answer(of_clusters(asked.filter(held)), fresh=asked.fresh)
    if isinstance(made, Job):
        return _making(request, made, f"Cluster {number}")
    report: ClusterReport = made.report
    if not 0 <= number < len(report.clusters):
        raise HTTPException(404, f"There is no cluster {number}: there are {len(report.clusters)}, counted from 0.")
    one = report.clusters[number]
    ids = list(dict.fromkeys((*one.medoids, *one.photos)))
    first = list(held.photos(ids[:200]).values())
    return page(request, "cluster.html", cluster=one, photos=first, data={"ids": ids}, address=address)


def address(*names: str) -> str:
    """The address of the page of a species, or of two."""
    return "/species/" + "/".join(quote(shown(name), safe="") for name in names)


@dataclass(frozen=True, slots=True)
class Side:
    """One species on its page."""

    entry: SpeciesEntry
    facts: Sequence[str]
    others: Sequence[str]  # that it gets confused with or lies next to, most of all first


def _side(report: SpeciesReport, entry: SpeciesEntry, beside: set[str]) -> Side:
    confused = [one for one in report.confusions if entry.species in (one.first, one.second)]
    others = [one.second if one.first == entry.species else one.first for one in confused]
    others += [entry.nearest] if entry.nearest is not None else []
    return Side(entry, list(_facts(entry)), [name for name in dict.fromkeys(others) if name not in beside][:8])


def _chosen(report: SpeciesReport, names: str) -> list[SpeciesEntry]:
    """The species that an address names, whose names may hold a slash. Raises HTTPException."""
    known = {shown(entry.species): entry for entry in report.species}
    if names in known:
        return [known[names]]
    parts = names.split("/")
    for place in range(1, len(parts)):
        both = "/".join(parts[:place]), "/".join(parts[place:])
        if all(name in known for name in both) and both[0] != both[1]:
            return [known[name] for name in both]
    raise HTTPException(404, f"No photos of this index are of {' and '.join(parts)}: see the list of species.")


def _facts(entry: SpeciesEntry) -> Iterable[str]:
    if entry.cohesion is not None:
        yield f"two photos score {entry.cohesion:.2f}"
    if entry.overlap is not None:
        yield f"{percent(entry.overlap)} mixed up"


def _named(part: str, *names: str) -> bool:
    return any(part.strip().casefold() in shown(name).casefold() for name in names)


def _odd_first(cluster: Cluster) -> Sequence[int]:
    """The photos of a cluster that may be shown: its typical ones, and enough others to find strangers among."""
    return [*cluster.medoids, *(number for number in cluster.photos if number not in cluster.medoids)][:60]


def _shown_of(cluster: Cluster, photos: dict[int, dict[str, Any]]) -> Sequence[int]:
    """The typical photos, then those of another species, then others."""
    order = [number for number in _odd_first(cluster) if number in photos]
    usual = [number for number in order if number in cluster.medoids]
    odd = [number for number in order if number not in usual and photos[number]["label"] not in (None, cluster.label)]
    rest = [number for number in order if number not in usual and number not in odd]
    return [*usual, *odd, *rest][:_OF_CLUSTER]


def _is_old(held: Serving, made: Made) -> bool:
    return made.generation != held.index.generation


def _making(request: Request, job: Job, title: str) -> Response:
    """A page that waits for a job and then shows what was asked for."""
    return page(request, "making.html", status=202, job=job, title=title)


class MapQuery(ReportQuery):
    """How the map is coloured, what it shows, and where it is; its script asks for the rest."""

    by: str = "species"
    find: str = ""
    view: str = ""
    at: int | None = None


@router.get("/map")
def map(request: Request, held: Held, asked: Annotated[MapQuery, Query()]) -> Response:
    """The map of photos, which its script fetches."""
    asked.filter(held)
    return page(request, "map.html", by=asked.by, find=asked.find)
