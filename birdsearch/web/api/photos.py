"""Photos: lists of them, one of them, and their ids alone."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from birdsearch.records import Filter, Photo, blocks
from birdsearch.web.api.asked import LARGEST_ID, LINES, OCTETS, UNCHANGED, FilterQuery, until_a_commit
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["photos"])

PAGE = 200
Order = Literal["newest", "oldest", "path", "species", "id"]
PhotoId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


class PhotosQuery(FilterQuery):
    """Which photos, in which order, how many, and after which one."""

    order: Order = "newest"
    limit: int = Field(PAGE, ge=1, le=1000)
    after: int | None = Field(None, ge=1, le=LARGEST_ID, description="The last photo of the page before: its `next`.")
    ids: list[int] | None = Field(None, description="These photos in this order, instead of a filter.", max_length=1000)


class IdsQuery(FilterQuery):
    """Which photos, in which order."""

    order: Order = "newest"


class PhotosPage(BaseModel):
    """Some photos, and where to go on."""

    photos: list[Photo]
    next: int | None = Field(description="`after` of the next page; null on the last one.")
    total: int | None = Field(description="How many there are, counted for the first page only.")


class Facts(BaseModel):
    """What the index holds, and what this key may do."""

    info: dict[str, Any] | None = Field(description="`Index.info()`; null where there is no index yet.")
    role: str
    read_only: bool
    limits: dict[str, int]


@router.get("/", response_model=Facts)
def info(held: Held) -> Response:
    """What the index is and holds, and what this key may do."""
    from birdsearch.web.doors import MOST_BYTES

    facts: dict[str, Any] | None = None
    if held.state.index is not None:
        facts = dict(held.index.info())
        if not held.sees_all:
            facts = {name: value for name, value in facts.items() if name not in ("path", "folders", "labels")}
    limits = {"body": MOST_BYTES, "photos": 1000, "k": 1000}
    return JSONResponse({"info": facts, "role": held.role, "read_only": held.settings.read_only, "limits": limits})


@router.get("/photos", response_model=PhotosPage, responses=LINES | UNCHANGED)
def photos(request: Request, held: Held, asked: Annotated[PhotosQuery, Query()]) -> Response:
    """Photos that satisfy a filter, page by page; all of them, a line each, for `Accept: application/x-ndjson`."""
    if asked.ids is not None:
        listed = {"photos": held.seen(held.index.photos(ids=asked.ids)), "next": None, "total": len(asked.ids)}
        return JSONResponse(listed)
    where = asked.filter(held)
    if "application/x-ndjson" in request.headers.get("accept", ""):
        return StreamingResponse(_lines(held, where, asked.order), media_type="application/x-ndjson")

    def make() -> dict[str, Any]:
        found, more = page_of(held, where, asked.order, asked.limit, asked.after)
        total = held.index.count(where) if asked.after is None else None
        return {"photos": held.seen(found), "next": found[-1].id if more else None, "total": total}

    return until_a_commit(request, held, make)


@router.get("/photos/ids", response_model=list[int], responses=OCTETS | UNCHANGED)
def photo_ids(request: Request, held: Held, asked: Annotated[IdsQuery, Query()]) -> Response:
    """The ids of photos; as uint32, the lowest octet first, for `Accept: application/octet-stream`."""
    ids = held.index.photo_ids(asked.filter(held), order=asked.order)
    if "application/octet-stream" in request.headers.get("accept", ""):
        return Response(ids.astype("<u4").tobytes(), media_type="application/octet-stream")
    return until_a_commit(request, held, ids.tolist)


@router.get("/photos/{photo_id}", response_model=Photo, responses=UNCHANGED)
def photo(request: Request, held: Held, photo_id: PhotoId) -> Response:
    """One photo."""
    found = held.index.photo(photo_id)
    return until_a_commit(request, held, lambda: held.seen(found))


def page_of(held: Serving, where: Filter | None, order: str, limit: int, after: int | None) -> tuple[list[Photo], bool]:
    """At most `limit` photos after one, and whether there are more."""
    found = held.index.photos(where, limit=limit + 1, after=after, order=order)
    return found[:limit], len(found) > limit


def _lines(held: Serving, where: Filter | None, order: str) -> Iterator[str]:
    """All photos that satisfy a filter, each as a line of JSON."""
    ids = held.index.photo_ids(where, order=order)
    for block in blocks(len(ids), PAGE):
        for one in held.index.photos(ids=ids[block].tolist()):
            yield json.dumps(held.seen(one), ensure_ascii=False) + "\n"
