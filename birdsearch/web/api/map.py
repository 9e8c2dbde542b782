"""The map of photos: where each lies, and the numbers by which it is coloured, as octets or JSON."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from birdsearch.index import Index
from birdsearch.records import Filter, Ids, Photo, Progress, Vectors, as_json
from birdsearch.species.names import one_spelling
from birdsearch.web.api.asked import tags_of
from birdsearch.web.api.species import WAITS, ReportQuery, waiting
from birdsearch.web.jobs import Job
from birdsearch.web.made import Made, Question
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["species"])

OCTETS = "application/octet-stream"
NONE = 0xFFFF  # the number of a photo whose species or camera is not known, or is one too many

Numbers = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class PhotoMap:
    """Where photos lie, and in which clusters."""

    ids: Ids  # (n,)
    places: Vectors  # (n, 2)
    clusters: Numbers  # (n,)
    medoids: tuple[int, ...]  # of each cluster


class MapSeen(BaseModel):
    """A map of photos. Numbers are positions in the lists of `names`; 65535 stands for none."""

    total: int
    new: int  # photos that are not on it, as they came after it was made
    names: dict[str, list[str]]  # of "species", "cluster" and "camera"
    labels: list[int]  # of each cluster the position of the photo that stands for it
    ids: list[int]
    places: list[list[float]]  # x and y
    species: list[int]
    cluster: list[int]
    camera: list[int]


def of_map(where: Filter | None) -> Question:
    """Where photos lie; never at once, as the network of neighbours takes seconds to unfold."""

    def make(index: Index, progress: Progress) -> PhotoMap:
        report = index.clusters(where, progress=progress)
        number = {photo: cluster.id for cluster in report.clusters for photo in cluster.photos}
        ids = np.array(sorted(number), dtype=np.int64)
        places = index.map(ids.tolist(), where, progress=progress) if len(ids) else np.zeros((0, 2), np.float32)
        clusters = np.array([min(number[photo], NONE) for photo in ids.tolist()], dtype=np.uint16)
        return PhotoMap(ids, places, clusters, tuple(cluster.medoids[0] for cluster in report.clusters))

    return Question("map", "Draw the map", where, make, at_once=0)


@router.get("/map", response_model=MapSeen, responses={200: {"content": {OCTETS: {}}}, **WAITS})
def map(request: Request, held: Held, asked: Annotated[ReportQuery, Query()]) -> Response:
    """Where photos lie on a map, by their looks, coloured by what is known of them today; a job makes it first.

    For `Accept: application/octet-stream`: the length of what follows as uint32, then as much JSON of the fields of
    the answer that are no columns, then ids (uint32), places (float32, x and y by turns), species, cluster and camera
    (uint16), the lowest octet first.
    """
    where, tag = asked.filter(held), held.tag()
    made = held.answer(of_map(where), fresh=asked.fresh)
    if isinstance(made, Job):
        return waiting(held, made)
    octets = OCTETS in request.headers.get("accept", "")
    headers = {
        "ETag": f'{tag[:-1]}-{made.generation}-{octets:d}"', "Vary": "Accept", "Cache-Control": "private, no-cache",
        "X-Generation": str(made.generation),
    }  # fmt: skip
    if headers["ETag"] in tags_of(request):
        return Response(status_code=304, headers=headers)
    facts, columns = _of_today(held, made, where)
    if octets:
        return Response(_octets(facts, columns), media_type=OCTETS, headers=headers)
    return JSONResponse(facts | {name: column.tolist() for name, column in columns.items()}, headers=headers)


def _of_today(held: Serving, made: Made, where: Filter | None) -> Any:
    """A map with its colours, which are worked out once for each state of the index: seconds for 100,000 photos."""
    drawn: PhotoMap = made.report
    question = Question(
        f"colours {made.generation}", "", where, lambda index, _: coloured(index, drawn, where), at_once=None
    )
    found = held.answer(question)
    assert isinstance(found, Made)  # as it is made at once
    return found.report


def coloured(index: Index, drawn: PhotoMap, where: Filter | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a map that are no columns, and its columns: photos that are gone since are left out."""
    corrections = {one.label: one.scientific or "" for one in index.names(where) if one.method == "override"}
    photos = {photo.id or 0: photo for photo in one_spelling(index.photos(where), corrections)}
    there = np.array([photo in photos for photo in drawn.ids.tolist()], dtype=bool)
    ids = drawn.ids[there]
    shown = [photos[photo] for photo in ids.tolist()]
    species, species_names = numbered(shown, lambda photo: photo.species)
    camera, camera_names = numbered(shown, lambda photo: photo.camera)
    cluster = drawn.clusters[there]
    position = {photo: place for place, photo in enumerate(ids.tolist())}
    names = {"species": species_names, "camera": camera_names, "cluster": _cluster_names(cluster, shown, drawn)}
    facts = {
        "total": len(ids), "new": len(photos) - len(ids), "names": as_json(names),
        "labels": [position.get(photo, -1) for photo in drawn.medoids],
    }  # fmt: skip
    columns = {"ids": ids, "places": drawn.places[there], "species": species, "cluster": cluster, "camera": camera}
    return facts, columns


def numbered(photos: Sequence[Photo], value: Callable[[Photo], str | None]) -> tuple[Numbers, list[str]]:
    """A number for each photo, 0 for what is commonest among them, and what the numbers stand for."""
    values = [value(photo) for photo in photos]
    counts = Counter(one for one in values if one)
    names = sorted(counts, key=lambda name: (-counts[name], name))[:NONE]
    number = {name: place for place, name in enumerate(names)}
    return np.array([number.get(one or "", NONE) for one in values], dtype=np.uint16), names


def _cluster_names(clusters: Numbers, photos: Sequence[Photo], drawn: PhotoMap) -> list[str]:
    """Each cluster by the commonest species in it."""
    counts: list[Counter[str]] = [Counter() for _ in drawn.medoids]
    for number, photo in zip(clusters.tolist(), photos, strict=True):
        if photo.species and number < len(counts):
            counts[number][photo.species] += 1
    return [_commonest(count) or f"Cluster {number}" for number, count in enumerate(counts)]


def _commonest(counts: Counter[str]) -> str:
    return min(counts, key=lambda name: (-counts[name], name), default="")


def _octets(facts: dict[str, Any], columns: dict[str, Any]) -> bytes:
    text = json.dumps(facts).encode()
    text += b" " * (-len(text) % 4)  # the columns begin where a browser may read numbers of four octets
    types = {"ids": "<u4", "places": "<f4"}
    parts: Iterable[bytes] = (column.astype(types.get(name, "<u2")).tobytes() for name, column in columns.items())
    return b"".join([np.uint32(len(text)).astype("<u4").tobytes(), text, *parts])
