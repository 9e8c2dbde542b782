"""Species and clusters: which species look alike, and which photos lie together."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from birdsearch.records import ClusterReport, Filter, SpeciesReport
from birdsearch.web.api.asked import UNCHANGED, FilterQuery, until_a_commit
from birdsearch.web.jobs import Job
from birdsearch.web.made import Question
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["species"])

WAITS = UNCHANGED | {202: {"description": "A job makes it: ask again when that is done."}}


class ReportQuery(FilterQuery):
    """Of which photos, and whether what was made before the last changes does."""

    fresh: bool = Field(False, description="Do not answer with a report that was made before the last commit.")


def of_species(where: Filter | None) -> Question:
    """Which species look alike."""
    return Question("species", "Compare species", where, lambda index, tell: index.species_report(where, progress=tell))


def of_clusters(where: Filter | None) -> Question:
    """Which photos lie together."""
    return Question("clusters", "Find clusters", where, lambda index, tell: index.clusters(where, progress=tell))


@router.get("/species", response_model=SpeciesReport, responses=WAITS)
def species(request: Request, held: Held, asked: Annotated[ReportQuery, Query()]) -> Response:
    """Which species look alike and which get confused; a job where there are many photos."""
    return answer(request, held, of_species(asked.filter(held)), fresh=asked.fresh)


@router.get("/clusters", response_model=ClusterReport, responses=WAITS)
def clusters(request: Request, held: Held, asked: Annotated[ReportQuery, Query()]) -> Response:
    """Which photos lie together; a job where there are many photos."""
    return answer(request, held, of_clusters(asked.filter(held)), fresh=asked.fresh)


def answer(request: Request, held: Serving, question: Question, *, fresh: bool) -> Response:
    """A report in JSON, or 202 and the job that makes it."""
    made = held.answer(question, fresh=fresh)
    if isinstance(made, Job):
        return waiting(held, made)
    if made.generation != held.index.generation:
        return JSONResponse(held.seen(made.report), headers={"X-Generation": str(made.generation)})
    return until_a_commit(request, held, lambda: held.seen(made.report))


def waiting(held: Serving, job: Job) -> Response:
    """What to answer while a job makes it."""
    return JSONResponse(held.seen(job), 202, {"Location": f"/api/v1/jobs/{job.id}", "Retry-After": "2"})
