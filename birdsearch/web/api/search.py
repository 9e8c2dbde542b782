"""Searching, classifying and embedding: of photos of the index by their ids, and of pictures that are uploaded."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from birdsearch.errors import PhotoError
from birdsearch.photos.decode import ImageLike
from birdsearch.records import Match, Prediction, Vectors, blocks
from birdsearch.web import problems
from birdsearch.web.api.asked import LINES, OCTETS, UNCHANGED, FilterQuery, checklist_file, until_a_commit
from birdsearch.web.api.photos import PhotoId
from birdsearch.web.api.questions import (
    MOST_K,
    Asked,
    ClassifyManyQuestion,
    ClassifyQuestion,
    EmbedQuestion,
    SearchManyQuestion,
    SearchQuestion,
    asks,
    body_of,
)
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["search"], responses=problems.documented(410, 415, 429))

_TOGETHER = 8  # images that are asked about at once, so that the first answers come soon and memory stays small


class SimilarQuery(FilterQuery):
    """How many photos, how alike, and which."""

    k: int = Field(10, ge=1, le=MOST_K)
    min_score: float | None = Field(None, allow_inf_nan=False)


class Matches(BaseModel):
    """The photos that look most alike, the best first."""

    matches: list[Match]


class MatchesOfMany(BaseModel):
    """The same for each of several images."""

    results: list[list[Match]]
    errors: dict[int, str] = Field(description="Position -> what is wrong, of images that could not be read.")


class Predictions(BaseModel):
    """What an image shows, the most probable first."""

    predictions: list[Prediction]


class PredictionsOfMany(BaseModel):
    """The same for each of several images."""

    results: list[list[Prediction]]
    errors: dict[int, str]


@router.get("/photos/{photo_id}/similar", response_model=Matches, responses=UNCHANGED)
def similar(request: Request, held: Held, photo_id: PhotoId, asked: Annotated[SimilarQuery, Query()]) -> Response:
    """The photos that look most like one of the index."""
    where = asked.filter(held)
    photo = held.index.photo(photo_id)

    def make() -> dict[str, Any]:
        with held.state.searches:
            found = held.index.search(photo, asked.k, where=where, min_score=asked.min_score)
        return {"matches": held.seen(found)}

    return until_a_commit(request, held, make)


@router.post("/search", response_model=Matches, openapi_extra=body_of(SearchQuestion))
def search(held: Held, asked: Annotated[Asked, Depends(asks(SearchQuestion))]) -> Response:
    """The photos that look most like an image, a photo of the index or a vector, or fit words best.

    Scores of words are of another kind (`score_kind`): 0.3 is a lot.
    """
    question = asked.question
    with held.state.turns if question.text is not None else asked.turns(held):
        if question.text is not None:
            if question.vector is not None:
                raise ValueError("ask by words or by a vector, not by both.")
            images = asked.images_beside_words(held)
            found = held.index.search_text(question.text, images=images, **question.options_of_text(held))
        elif question.vector is not None:
            asked.check_alone()
            (found,) = held.index.search_vectors([question.vector], **question.options_of_vectors(held))
        else:
            found = held.index.search(asked.image(held), **question.options(held))
    return JSONResponse({"matches": held.seen(found)})


@router.post(
    "/search/many",
    response_model=MatchesOfMany,
    responses=LINES,
    openapi_extra=body_of(SearchManyQuestion, several=True),
)
def search_many(request: Request, held: Held, asked: Annotated[Asked, Depends(asks(SearchManyQuestion))]) -> Response:
    """The same for each of several images; a line for each, at once, for `Accept: application/x-ndjson`."""
    question = asked.question
    if question.vectors:
        asked.check_alone()
        with held.state.turns:
            found = held.index.search_vectors(question.vectors, **question.options_of_vectors(held))
        return JSONResponse({"results": held.seen(found), "errors": {}})
    options = question.options(held)

    def some(images: Sequence[ImageLike], errors: Any) -> list[list[Match]]:
        return held.index.search_many(images, errors=errors, **options)

    return _many(request, held, asked.images(held, question.photos), question.errors, some, "matches")


@router.post("/classify", response_model=Predictions, openapi_extra=body_of(ClassifyQuestion))
def classify(held: Held, asked: Annotated[Asked, Depends(asks(ClassifyQuestion))]) -> Response:
    """What an image, or a photo of the index, shows."""
    question = asked.question
    with held.state.turns, checklist_file(question.checklist) as files:
        found = held.index.classify(asked.image(held), checklist=files, **question.options())
    return JSONResponse({"predictions": held.seen(found)})


@router.post(
    "/classify/many",
    response_model=PredictionsOfMany,
    responses=LINES,
    openapi_extra=body_of(ClassifyManyQuestion, several=True),
)
def classify_many(
    request: Request, held: Held, asked: Annotated[Asked, Depends(asks(ClassifyManyQuestion))]
) -> Response:
    """The same for each of several images; with `burst` they are exposures of one moment and answer together."""
    question = asked.question

    def some(images: Sequence[ImageLike], errors: Any) -> list[list[Prediction]]:
        with checklist_file(question.checklist) as files:
            options = question.options()
            return held.index.classify_many(images, checklist=files, burst=question.burst, errors=errors, **options)

    images = asked.images(held, question.photos)
    together = len(images) if question.burst else _TOGETHER
    return _many(request, held, images, question.errors, some, "predictions", together)


@router.post(
    "/embed",
    response_model=list[list[float]],
    responses=OCTETS,
    openapi_extra=body_of(EmbedQuestion, several=True),
)
def embed(request: Request, held: Held, asked: Annotated[Asked, Depends(asks(EmbedQuestion))]) -> Response:
    """The unit vectors (n, dim) of images; for `Accept: application/octet-stream` as float32, lowest octet first."""
    question = asked.question
    with held.state.turns:
        images = asked.images(held, question.photos)
        return _vectors(request, held.index.embed(images, box=question.the_box(), region=question.region))


@router.get("/photos/{photo_id}/vector", response_model=list[float], responses=OCTETS)
def vector(request: Request, held: Held, photo_id: PhotoId) -> Response:
    """The unit vector (dim,) of a photo; for `Accept: application/octet-stream` as float32, lowest octet first."""
    return _vectors(request, held.index.vectors([photo_id])[0])


def _vectors(request: Request, found: Vectors) -> Response:
    if "application/octet-stream" in request.headers.get("accept", ""):
        return Response(found.astype("<f4").tobytes(), media_type="application/octet-stream")
    return JSONResponse(found.tolist())


def _many(
    request: Request,
    held: Serving,
    images: Sequence[ImageLike],
    errors: str,
    some: Callable[[Sequence[ImageLike], Any], list[list[Any]]],
    word: str,
    together: int = _TOGETHER,
) -> Response:
    """The answers for many images: all at once, or a line each."""

    def answers() -> Iterator[tuple[list[Any], str | None]]:
        for block in blocks(len(images), together):
            wrong: dict[int, str] = {}

            def skip(position: int, error: PhotoError, wrong: dict[int, str] = wrong) -> None:
                wrong[position] = held.seen(str(error))

            with held.state.turns:
                found = some(images[block], skip if errors == "skip" else "raise")
            for position, answer in enumerate(found):
                yield held.seen(answer), wrong.get(position)

    if "application/x-ndjson" in request.headers.get("accept", "") and errors == "skip":
        lines = (json.dumps({word: answer} | ({"error": e} if e else {})) + "\n" for answer, e in answers())
        return StreamingResponse(lines, media_type="application/x-ndjson")
    listed = list(answers())
    wrong = {position: error for position, (_, error) in enumerate(listed) if error}
    return JSONResponse({"results": [answer for answer, _ in listed], "errors": wrong})
