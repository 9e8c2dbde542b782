"""Names: what labels mean in AviList, the corrections of that, and names that complete what somebody types."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import StringConstraints

from birdsearch.records import KnownName, TaxonMatch, as_json
from birdsearch.web.api.asked import UNCHANGED, FilterQuery, until_a_commit
from birdsearch.web.serving import Held

router = APIRouter(tags=["names"])

Text = Annotated[str, StringConstraints(max_length=1000)]


@router.get("/names", response_model=list[TaxonMatch], responses=UNCHANGED)
def names(request: Request, held: Held, asked: Annotated[FilterQuery, Query()]) -> Response:
    """What each label of these photos means in AviList, the least sure first."""
    where = asked.filter(held)
    return until_a_commit(request, held, lambda: as_json(held.index.names(where)))


@router.patch("/names", response_model=list[TaxonMatch])
def correct_names(
    held: Held,
    corrections: Annotated[
        dict[Text, Text | None],
        Body(description='Label -> the species that it means; "" for no bird, null for what AviList says.'),
    ],
) -> Response:
    """Correct what some labels mean; answers with what these mean now."""
    held.jobs.write(lambda: held.index.correct_names(corrections))
    return JSONResponse(as_json([name for name in held.index.names() if name.label in corrections]))


@router.get("/names/like", response_model=list[KnownName])
def names_like(
    held: Held,
    text: Annotated[str, Query(max_length=1000, description="What somebody has typed so far.")],
    limit: Annotated[int, Query(ge=1, le=100)] = 12,
) -> Response:
    """Names that begin so, or one of whose words does: of the labels here first, then of AviList."""
    return JSONResponse(as_json(held.index.names_like(text, limit)))
