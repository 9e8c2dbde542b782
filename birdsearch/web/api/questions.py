"""Questions with images: they come as JSON about photos of the index, or as uploads beside their options."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from birdsearch.photos import decode
from birdsearch.photos.decode import ImageLike
from birdsearch.records import Box, Filter
from birdsearch.web.api.asked import LARGEST_ID, MOST_SPECIES, filter_of
from birdsearch.web.serving import Serving
from birdsearch.web.turns import Turns

MOST_PARTS = 32  # images of one request
MOST_K = 1000
MOST_LETTERS = 1000  # of words that are asked
MOST_PIXELS = 100_000_000  # of an upload; of a JPEG, of which no more is decoded than is looked at, the library's most
_IMAGE = {"type": "string", "format": "binary"}

OneId = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class BoxAsked(BaseModel):
    """A rectangle of the picture as it is shown: in shares of its sides, or in pixels."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    x: float
    y: float
    width: float
    height: float
    pixels: bool = False


class Question(BaseModel):
    """What is asked of images."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    photo: OneId | None = Field(None, description="A photo of the index, by its id.")


class PartQuestion(Question):
    """What is asked of images, or of a part of them."""

    box: BoxAsked | None = Field(None, description="This part of the image asks, alone.")
    region: Literal["frame", "bird"] = Field("frame", description="All of the image asks, or the bird in it.")

    def the_box(self) -> Box | None:
        """The box as the library takes it. Raises ValueError for one that lies outside."""
        return None if self.box is None else Box(**self.box.model_dump())


class MatchesQuestion(PartQuestion):
    """How many photos, how alike, and which."""

    k: int = Field(10, ge=1, le=MOST_K)
    min_score: float | None = None
    where: dict[str, Any] | None = Field(None, description="A Filter.")
    diffuse: bool = False

    def options(self, held: Serving) -> dict[str, Any]:
        """What `Index.search` takes."""
        return {**self.options_of_vectors(held), "box": self.the_box(), "region": self.region}

    def options_of_vectors(self, held: Serving) -> dict[str, Any]:
        """What `Index.search_vectors` takes."""
        where: Filter | None = filter_of(self.where, held)
        return {"k": self.k, "min_score": self.min_score, "where": where, "diffuse": self.diffuse}


class SearchQuestion(MatchesQuestion):
    """Which photos look most like an image."""

    vector: list[float] | None = Field(None, description="Instead of an image: its vector, of any length.")
    text: Annotated[str, Field(max_length=MOST_LETTERS)] | None = Field(
        None, description='Words: "heron with a fish - zoo". Beside an image both ask together.'
    )

    def options_of_text(self, held: Serving) -> dict[str, Any]:
        """What `Index.search_text` takes, but for the images. Raises ValueError for what is of images alone."""
        options = self.options(held)
        if options.pop("diffuse"):
            raise ValueError("words cannot be asked with diffuse: the graph joins photos.")
        return options


class SearchManyQuestion(MatchesQuestion):
    """Which photos look most like each of several images."""

    photos: list[OneId] = Field([], max_length=1000)
    vectors: list[list[float]] = Field([], max_length=1000)
    errors: Literal["raise", "skip"] = Field("raise", description="skip: an image that cannot be read has no matches.")


class ClassifyQuestion(PartQuestion):
    """What an image shows."""

    k: int = Field(5, ge=1, le=MOST_K)
    source: Literal["auto", "backbone", "neighbours", "names"] = "auto"
    checklist: list[str] | None = Field(
        None, description="The species that are to be expected.", max_length=MOST_SPECIES
    )
    roll_up: float | None = Field(None, ge=0, le=1)
    calibrate: bool = False

    def options(self) -> dict[str, Any]:
        """What `Index.classify` takes, but for the checklist."""
        chosen = self.model_dump(include={"k", "source", "roll_up", "calibrate", "region"})
        return {**chosen, "box": self.the_box()}


class ClassifyManyQuestion(ClassifyQuestion):
    """What several images show."""

    photos: list[OneId] = Field([], max_length=1000)
    burst: bool = False
    errors: Literal["raise", "skip"] = "raise"


class EmbedQuestion(PartQuestion):
    """The vectors of images."""

    photos: list[OneId] = Field([], max_length=1000)


Q = TypeVar("Q", bound=Question)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, with the images that came with it."""

    question: Any
    uploads: tuple[bytes, ...]

    def image(self, held: Serving) -> ImageLike:
        """The one image that is asked about."""
        if len(self.uploads) > 1:
            raise ValueError("several images were uploaded: ask /many about them.")
        return self.images(held, [])[0]

    def turns(self, held: Serving) -> Turns:
        """Whose turn it is to search: few may wait for a picture that has to be embedded first."""
        embeds = self.uploads or self.question.box or self.question.region != "frame"
        return held.state.turns if embeds else held.state.searches

    def images_beside_words(self, held: Serving) -> list[ImageLike]:
        """The images that ask together with words: none, or the one that is asked about."""
        return self.images(held, []) if self.uploads or self.question.photo is not None else []

    def check_alone(self) -> None:
        """Raises ValueError where a vector is asked about, and an image too."""
        asked = self.question
        named = asked.photo or getattr(asked, "photos", None)
        if self.uploads or named or asked.box or asked.region != "frame":
            raise ValueError("ask about a vector or about an image, not about both.")

    def images(self, held: Serving, photos: list[int]) -> list[ImageLike]:
        """What is asked about: the uploads, or photos of the index. Raises ValueError for neither, and for both."""
        named = [*([self.question.photo] if self.question.photo is not None else []), *photos]
        if bool(named) == bool(self.uploads):
            raise ValueError("ask about an image: upload it as a part named image, or name a photo by its id.")
        for upload in self.uploads:
            decode.check_pixels(upload, MOST_PIXELS)
        return [*self.uploads] if self.uploads else [*held.index.photos(ids=named)]


async def read(request: Request, kind: type[Q]) -> tuple[Q, tuple[bytes, ...]]:
    """The question in a body, JSON or multipart, and the images beside it."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "multipart/form-data":
        try:
            async with request.form(max_files=MOST_PARTS, max_fields=MOST_PARTS) as form:
                parts = form.multi_items()
                if unknown := [name for name, _ in parts if name not in ("image", "question")]:
                    raise HTTPException(422, f"There is a part named {unknown[0]!r}: they are image and question.")
                images = [await part.read() for name, part in parts if name == "image" and isinstance(part, UploadFile)]
                said = [part for name, part in parts if name == "question"]
                text = await said[0].read() if said and isinstance(said[0], UploadFile) else (said or ["{}"])[0]
        except MultiPartException as error:
            raise HTTPException(400, error.message) from None
        return _validated(kind, text), tuple(images)
    if media not in ("application/json", ""):
        raise HTTPException(415, "Send application/json, or multipart/form-data with parts named image and question.")
    return _validated(kind, await request.body()), ()


def _validated(kind: type[Q], text: Any) -> Q:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        wrong = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_context=False)]
        raise RequestValidationError(wrong) from None


def asks(kind: type[Q]) -> Callable[..., Any]:
    """A dependency: the question of this kind, with its images."""

    async def asked(request: Request) -> Asked:
        question, uploads = await read(request, kind)
        return Asked(question, uploads)

    return asked


def body_of(kind: type[Question], *, several: bool = False) -> dict[str, Any]:
    """What the OpenAPI says of the body of a question."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    if "box" in schema["properties"]:
        schema["properties"]["box"]["anyOf"][0] = schema.pop("$defs")["BoxAsked"]
    parts = {
        "image": {"type": "array", "items": _IMAGE, "maxItems": MOST_PARTS} if several else _IMAGE,
        "question": {"type": "string", "contentMediaType": "application/json", "description": "The same as JSON."},
    }
    content = {
        "application/json": {"schema": schema},
        "multipart/form-data": {"schema": {"type": "object", "properties": parts, "required": ["image"]}},
    }
    return {"requestBody": {"required": True, "content": content}}
