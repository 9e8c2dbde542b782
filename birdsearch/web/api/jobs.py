"""Jobs over HTTP: what takes long is started here, watched, cancelled, and its result fetched."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from birdsearch.web import problems
from birdsearch.web.api.asked import LARGEST_ID
from birdsearch.web.api.work import Asked, Work
from birdsearch.web.jobs import DONE, FAILED, QUEUED, RUNNING, Job
from birdsearch.web.serving import ForbiddenError, Held, Serving

router = APIRouter(tags=["jobs"])

JobId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
_PAUSE = 0.25  # seconds between two looks for news


@dataclass(frozen=True, slots=True)
class JobSeen(Job):
    """A job, with what went wrong."""

    error: dict[str, Any] | None


class JobsSeen(BaseModel):
    """Every job that the server remembers, the newest first."""

    jobs: list[JobSeen]


@router.post("/jobs", status_code=202, response_model=JobSeen)
def start(held: Held, asked: Asked) -> Response:
    """Start a job; one that writes waits for those that write, one that reads for those that read."""
    return accepted(held, start_job(held, asked))


@router.get("/jobs", response_model=JobsSeen)
def jobs(held: Held) -> Response:
    """Every job that the server remembers, the newest first."""
    return JSONResponse({"jobs": [seen(held, job) for job in held.jobs.all()]})


@router.get("/jobs/events", response_class=EventSourceResponse)
async def events(held: Held) -> AsyncIterator[ServerSentEvent]:
    """A stream of jobs, each where it has changed; those that are known come first."""
    change = 0
    while not held.state.stopping.is_set():
        change, late = held.jobs.changed_since(change)
        for job in late:
            yield ServerSentEvent(data=seen(held, job))
        await asyncio.sleep(_PAUSE)


@router.get("/jobs/{job_id}", response_model=JobSeen)
def job(held: Held, job_id: JobId) -> Response:
    """One job."""
    return JSONResponse(seen(held, held.jobs.get(job_id)))


@router.get("/jobs/{job_id}/result")
def result(request: Request, held: Held, job_id: JobId) -> Response:
    """What a job that is done has found: a record as Python has it, or a file; what went wrong, for one that failed."""
    found = held.jobs.get(job_id)
    if not held.sees_all:
        raise ForbiddenError("this key may see that a job runs, and not what it finds.")
    outcome, error = held.jobs.outcome(job_id)
    if found.state == FAILED and error is not None:
        return problems.answer(request, problem_of(error))
    if found.state != DONE:
        detail = f"Job {job_id} is {found.state}: it has no result{_YET.get(found.state, '')}."
        return problems.answer(request, problems.of_status(409, detail))
    if isinstance(outcome, FileResponse):
        return outcome
    return JSONResponse(held.seen(outcome))


_YET = {QUEUED: " yet", RUNNING: " yet"}


@router.delete("/jobs/{job_id}", status_code=202, response_model=JobSeen)
def cancel(held: Held, job_id: JobId) -> Response:
    """End a job at its next commit; what was committed stays."""
    return JSONResponse(seen(held, held.jobs.cancel(job_id)), 202)


def start_job(held: Serving, asked: Work) -> Job:
    """Start what was asked for. Raises ForbiddenError where who asks may not."""
    if not held.sees_all:
        raise ForbiddenError("this key may look and ask, and not start what takes long: who holds the other one can.")
    if asked.writes and held.settings.read_only:
        raise ForbiddenError("this server was started with --read-only: it changes nothing.")
    asked.check(held)
    work = asked.work
    return held.jobs.start(asked.do, asked.title, lambda progress: work(held, progress), writes=asked.writes)


def accepted(held: Serving, job: Job) -> Response:
    """The answer to who has started a job, or has asked for what a job is still finding."""
    return JSONResponse(seen(held, job), 202, {"Location": f"/api/v1/jobs/{job.id}"})


def seen(held: Serving, job: Job) -> dict[str, Any]:
    """A job as who asks may see it: the titles and errors of jobs name folders."""
    fields: dict[str, Any] = held.seen(job)
    if not held.sees_all:
        return {**fields, "title": job.do, "error": None}
    error = held.jobs.outcome(job.id)[1]
    return {**fields, "error": None if error is None else problem_of(error).fields}


def problem_of(error: Exception) -> problems.Problem:
    """What went wrong in a job."""
    if isinstance(error, problems.KNOWN):
        return problems.of_error(error)
    return problems.of_status(500, problems.MISTAKE)
