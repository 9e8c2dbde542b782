"""The pages: each a small function that gives its template what it shows without JavaScript."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from birdsearch import errors
from birdsearch.web import problems
from birdsearch.web.api.photos import PhotosQuery, page_of
from birdsearch.web.rendering import page
from birdsearch.web.serving import Held

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/photos")
def photos(request: Request, held: Held, asked: Annotated[PhotosQuery, Query()]) -> Response:
    """Photos that satisfy the filter; where there is no index yet, how to make one."""
    if held.state.index is None:
        return page(request, "start.html")
    where = asked.filter(held)
    found, more = page_of(held, where, asked.order, asked.limit, asked.after)
    following = f"?{request.url.include_query_params(after=found[-1].id).query}" if more else None
    total = held.index.count(where)
    return page(request, "photos.html", photos=held.seen(found), following=following, total=total, asked=asked)


@router.get("/help/errors")
def help_errors(request: Request) -> Response:
    """What each error means."""
    named = {cls.__name__: cls for cls in vars(errors).values() if isinstance(cls, type)}
    known = [cls for name, cls in named.items() if name.endswith("Error") and issubclass(cls, errors.BirdsearchError)]
    said = [(problems.kind_of(cls), (cls.__doc__ or "").split("\n")[0]) for cls in known]
    return page(request, "help_errors.html", errors=said)
