"""Labels: who said what a photo shows; each change says what it replaced, so that it can be taken back."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from birdsearch.records import Filter, Label, LabelReport, Photo
from birdsearch.web.api.asked import UNCHANGED, FilterQuery, until_a_commit
from birdsearch.web.api.photos import PhotoId
from birdsearch.web.api.questions import OneId
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["labels"])

Author = Annotated[str | None, Field(max_length=200)]
Name = Annotated[str, Field(max_length=500)]


class LabelsQuery(FilterQuery):
    """Of which photos."""

    ids: list[OneId] | None = Field(None, description="Of these photos.")


class LabelGiven(BaseModel):
    """The species of a photo, and who says so."""

    model_config = ConfigDict(extra="forbid")

    species: Name
    author: Author = None


class LabelsGiven(BaseModel):
    """The species of photos, by id; null takes back what somebody gave by hand."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[OneId, Name | None] = Field(max_length=10_000)
    author: Author = None


class LabelsBefore(BaseModel):
    """Labels to put back, by id, as `before` had them; null where there was none."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[OneId, Label | None] = Field(max_length=10_000)
    kept: dict[str, Label] = Field({}, max_length=10_000)


class Labelled(BaseModel):
    """A photo with its new label, and the label before."""

    before: Label | None
    photo: Photo


class LabelledMany(BaseModel):
    """What became of labels, and the labels before, by id."""

    changed: int
    confirmed: int
    unchanged: int
    unknown: int
    before: dict[int, Label | None]
    kept: dict[str, Label] = Field(description="What was said of copies of these photos that were removed, by sha256.")


@router.get("/labels", response_model=list[Label], responses=UNCHANGED)
def labels(request: Request, held: Held, asked: Annotated[LabelsQuery, Query()]) -> Response:
    """The label of each photo that has one, with who gave it and when, in order of id."""
    where = asked.filter(held)
    if asked.ids is not None:
        where = (where or Filter()) & Filter(ids=asked.ids)
    return until_a_commit(request, held, lambda: held.seen(held.index.labels(where)))


@router.put("/photos/{photo_id}/label", response_model=Labelled)
def label(held: Held, photo_id: PhotoId, given: LabelGiven) -> Response:
    """Say what a photo shows; the label that it has already is confirmed."""
    return _one(held, photo_id, given.species, given.author)


@router.delete("/photos/{photo_id}/label", response_model=Labelled)
def unlabel(held: Held, photo_id: PhotoId) -> Response:
    """Take back what somebody gave by hand; what the folder or a CSV says holds again."""
    return _one(held, photo_id, None, None)


@router.post("/labels", response_model=LabelledMany)
def label_many(held: Held, given: LabelsGiven) -> Response:
    """Say what several photos show, all at once or none."""
    return JSONResponse(_many(held, _given(held, {**given.labels}, given.author)))


@router.post("/labels/restore", response_model=LabelledMany)
def restore(held: Held, given: LabelsBefore) -> Response:
    """Put labels back exactly as `before` had them."""
    index = held.index
    before = {photo_id: one and replace(one, photo_id=photo_id) for photo_id, one in given.labels.items()}
    asked = LabelReport(before=before, kept=given.kept)
    report = held.jobs.write(lambda: index.restore_labels(asked))
    return JSONResponse(_many(held, report))


def _one(held: Serving, photo_id: int, species: str | None, author: str | None) -> Response:
    report = _given(held, {photo_id: species}, author)
    return JSONResponse({
        "before": held.seen(report.before[photo_id]), "photo": held.seen(held.index.photo(photo_id))
    })  # fmt: skip


def _given(held: Serving, labels: dict[int, str | None], author: str | None) -> LabelReport:
    """What became of labels, with those before: of photos too whose label is the same, and nobody writes in between."""
    index = held.index

    def change() -> LabelReport:
        known = {one.photo_id: one for one in index.labels(Filter(ids=list(labels)))}
        report = index.label(labels, author=author)
        return replace(report, before={photo_id: known.get(photo_id) for photo_id in labels})

    return held.jobs.write(change)


def _many(held: Serving, report: LabelReport) -> Any:
    return held.seen({name: getattr(report, name) for name in LabelledMany.model_fields})
