"""What an index says of itself: doubtful labels, failures, boxes, a life list; and photos that leave it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from birdsearch.records import AuditReport, Failure, LifeList, Region, TrashedRun
from birdsearch.web import problems
from birdsearch.web.api.asked import MOST_SPECIES, UNCHANGED, FilterQuery, filter_of, until_a_commit
from birdsearch.web.api.species import WAITS, ReportQuery, answer
from birdsearch.web.api.work import of_audit
from birdsearch.web.serving import ForbiddenError, Held

router = APIRouter(tags=["reports"])


class AuditQuery(ReportQuery):
    """Of which photos, and what is expected there."""

    checklist: list[str] | None = Field(
        None, description="The species that are to be expected.", max_length=MOST_SPECIES
    )
    again: bool = Field(False, description="Doubt also what somebody gave or confirmed by hand.")


class LifeListQuery(FilterQuery):
    """Of which photos, and by what."""

    by: Literal["species", "month", "year", "place", "photographer"] = "species"


class Removal(BaseModel):
    """Which photos leave the index, and how many they are."""

    model_config = ConfigDict(extra="forbid")

    where: dict[str, Any] = Field(description="A Filter, which not every photo may satisfy.")
    expect: int = Field(ge=0, description="How many it was said to be: where they are others by now nothing is done.")


class Removed(BaseModel):
    """How many photos left the index; their files stay."""

    removed: int


@router.get("/audit", response_model=AuditReport, responses=WAITS)
def audit(request: Request, held: Held, asked: Annotated[AuditQuery, Query()]) -> Response:
    """Labels that may be wrong, worst first; a job where there are many photos."""
    return answer(request, held, of_audit(asked.filter(held), asked.checklist, asked.again), fresh=asked.fresh)


@router.get("/failures", response_model=list[Failure], responses=UNCHANGED)
def failures(request: Request, held: Held) -> Response:
    """The files that could not be indexed, and why. Only with the role edit: they are named by their paths."""
    held.check_sees_files()
    return until_a_commit(request, held, lambda: held.seen(held.index.failures()))


@router.get("/trash", response_model=list[TrashedRun])
def trash(held: Held) -> Response:
    """What lies in the trash of each clean-up. Only with the role edit: it says in which folders."""
    held.check_sees_files()
    return JSONResponse(held.seen(held.index.trash()))


@router.get("/regions", response_model=list[Region], responses=UNCHANGED)
def regions(request: Request, held: Held, asked: Annotated[FilterQuery, Query()]) -> Response:
    """The boxes in photos, by photo."""
    where = asked.filter(held)
    return until_a_commit(request, held, lambda: held.seen(held.index.regions(where)))


@router.get("/life-list", response_model=LifeList, responses=UNCHANGED)
def life_list(request: Request, held: Held, asked: Annotated[LifeListQuery, Query()]) -> Response:
    """What was seen, when and where. Only with the role edit: it says where."""
    if not held.sees_all:
        raise ForbiddenError("this key may not see where photos were taken.")
    where = asked.filter(held)

    def make() -> Any:
        with held.state.turns:
            return held.seen(held.index.life_list(where, by=asked.by))

    return until_a_commit(request, held, make)


@router.post("/photos/remove", response_model=Removed)
def remove(request: Request, held: Held, asked: Removal) -> Response:
    """Remove photos from the index; their files stay."""
    where, index = filter_of(asked.where, held), held.index

    def change() -> tuple[int, int]:
        there = index.count(where)
        return (there, index.remove(where)) if there == asked.expect else (there, 0)

    there, removed = held.jobs.write(change)
    if there != asked.expect:
        detail = f"{there} photos satisfy the filter by now, not {asked.expect}: nothing was removed."
        return problems.answer(request, problems.of_status(409, detail))
    return JSONResponse({"removed": removed})
