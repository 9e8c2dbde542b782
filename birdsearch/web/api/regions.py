"""Where the bird is in a picture, and why a photo matches it: what the page that asks draws."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from birdsearch.export.html.explanations import drawn
from birdsearch.photos.decode import ImageLike
from birdsearch.records import BIRD, Box, Filter, Match, Photo, Region
from birdsearch.web.api.questions import Asked, OneId, PartQuestion, Question, asks, body_of
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["search"])


class ExplainQuestion(PartQuestion):
    """Why a photo matches an image."""

    match: OneId


class Regions(BaseModel):
    """Rectangles of a picture, the surest first."""

    regions: list[Region]


class Mark(BaseModel):
    """A numbered ring, in pixels of the drawing."""

    number: int
    colour: str
    x: float
    y: float
    radius: float
    tag_x: float
    tag_y: float
    tag_radius: float


class Side(BaseModel):
    """One of two pictures that are compared, as it is drawn."""

    name: str
    species: str | None
    width: int
    height: int
    photo: str
    heat: str
    marks: list[Mark]
    brightest: str


class Drawing(BaseModel):
    """Why two pictures match: both with the places that look alike, and with their parts of the score as colour."""

    score: float
    exact: bool
    note: str
    half: tuple[str, str]
    query: Side
    match: Side


@router.post("/find", response_model=Regions, openapi_extra=body_of(Question))
def find(held: Held, asked: Annotated[Asked, Depends(asks(Question))]) -> Response:
    """Where birds are in a picture: as the index knows it, or as a finder finds them."""
    with held.state.turns:
        return JSONResponse({"regions": held.seen(_birds(held, asked.image(held)))})


@router.post("/explain", response_model=Drawing, openapi_extra=body_of(ExplainQuestion))
def explain(held: Held, asked: Annotated[Asked, Depends(asks(ExplainQuestion))]) -> Response:
    """Why a photo of the index matches an image; pictures are data URIs."""
    with held.state.turns:
        image = asked.image(held)
        box = _asked_box(held, asked.question, image)
        match = _match(held, image, box, asked.question.match)
        drawing = drawn(image, match, held.index.explain(image, match, box=box), box)
    return JSONResponse(Drawing.model_validate(asdict(drawing)).model_dump())


def _birds(held: Serving, image: ImageLike) -> list[Region]:
    if isinstance(image, Photo):
        known = [region for region in held.index.regions(ids=[image.id or 0]) if region.kind == BIRD]
        if known:
            return known
    return held.index.backbone.find(image)


def _asked_box(held: Serving, question: PartQuestion, image: ImageLike) -> Box | None:
    """The part of the image that asks; None for all of it."""
    if question.region != BIRD:
        return question.the_box()
    found = _birds(held, image)
    return found[0].box if found else None


def _match(held: Serving, image: ImageLike, box: Box | None, photo_id: int) -> Match | Photo:
    """The photo with the region by which it matches; itself where a search does not find it, as it is the image."""
    found: list[Any] = held.index.search(image, 1, box=box, where=Filter(ids=[photo_id]))
    return found[0] if found else held.index.photo(photo_id)
