"""The pages: each a small function that gives its template what it shows without JavaScript."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from birdsearch.records import shown
from birdsearch.web import photo_page
from birdsearch.web.api.photos import IdsQuery, PhotoId, PhotosQuery, page_of
from birdsearch.web.rendering import page
from birdsearch.web.serving import Held

router = APIRouter(include_in_schema=False)

ORDERS = {
    "newest": "newest first", "oldest": "oldest first", "path": "by file", "species": "by species", "id": "as indexed"
}  # fmt: skip


class PhotosPageQuery(PhotosQuery):
    """What the page of photos is asked for: also the photo that it is to be at."""

    limit: int = Field(60, ge=1, le=1000)  # with JavaScript the grid shows them all
    at: int | None = None


class PhotoPageQuery(IdsQuery):
    """In which list the photo stands; and whether its page, as a dialog wants it, comes without what takes long."""

    brief: bool = False


@router.get("/")
@router.get("/photos")
def photos(request: Request, held: Held, asked: Annotated[PhotosPageQuery, Query()]) -> Response:
    """Photos that satisfy the filter; where there is no index yet, how to make one."""
    if held.state.index is None:
        return page(request, "start.html")
    where = asked.filter(held)
    found, more = page_of(held, where, asked.order, asked.limit, asked.after)
    following = f"?{request.url.include_query_params(after=found[-1].id).query}" if more else None
    known = {"photos": held.seen(found), "following": following, "total": held.index.count(where)}
    raw = request.query_params.get("where", "")
    return page(request, "photos.html", **known, asked=asked, raw=raw, orders=ORDERS, link=_query(request))


@router.get("/photos/{photo_id}")
def photo(request: Request, held: Held, photo_id: PhotoId, asked: Annotated[PhotoPageQuery, Query()]) -> Response:
    """One photo: large, what is known of it, what it shows, the photos most like it, and those beside it in a list."""
    here = photo_page.beside(held.index.photo_ids(asked.filter(held), order=asked.order), photo_id)
    ahead = held.seen(held.index.photos(ids=here.ahead))
    at = {"query": _query(request), "back": _query(request, at=photo_id), "beside": here, "ahead": ahead}
    return page(request, "photo.html", **photo_page.known(held, photo_id, brief=asked.brief), **at)


@router.get("/ask")
def ask(request: Request, held: Held) -> Response:
    """Ask about a picture; all of it needs JavaScript."""
    folders = [shown(folder) for folder in held.folders] if held.may_edit else []
    return page(request, "ask.html", data={"edits": held.may_edit, "folders": folders})


def _query(request: Request, **more: int) -> str:
    """The query by which a link leads to photos in the same list, and perhaps more; empty for all photos."""
    asked = request.url.remove_query_params(["at", "after", "limit", "brief"]).include_query_params(**more)
    return f"?{asked.query}" if asked.query else ""


@router.get("/duplicates")
def duplicates(request: Request, held: Held, part: Literal["review", "plan", "runs", "apart"] = "review") -> Response:
    """The groups of the last report one by one, the plan, the runs, the pairs that are kept apart; needs JavaScript."""
    report = next(iter(held.index.duplicate_reports()), None)
    data = {"report": report.id if report else None, "edit": held.may_edit, "part": part}
    return page(request, "duplicates.html", report=report, part=part, data=data)


@router.get("/audit")
def audit(request: Request, held: Held) -> Response:
    """Labels that may be wrong, one by one; needs JavaScript."""
    return page(request, "audit.html", data={"edit": held.may_edit, "results": held.sees_all})


@router.get("/names")
def names(request: Request, held: Held) -> Response:
    """What labels mean, and correcting that; needs JavaScript."""
    return page(request, "names.html", data={"edit": held.may_edit})
