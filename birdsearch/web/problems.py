"""What went wrong, as a program (RFC 9457) or a person reads it; made from the tree of errors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from birdsearch import errors
from birdsearch.records import shown
from birdsearch.web.jobs import BusyError, JobUnknownError
from birdsearch.web.keys import EDIT
from birdsearch.web.rendering import page
from birdsearch.web.serving import ForbiddenError, NoIndexError
from birdsearch.web.turns import TooManyError

MISTAKE = "This is a mistake in birdsearch: the terminal where it runs says more."
MEDIA = "application/problem+json"
# The first class that fits; one that is not here, and its children, are 500.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NoIndexError, 409),
    (ForbiddenError, 403),
    (JobUnknownError, 404),
    (BusyError, 503),
    (TooManyError, 429),
    (errors.IndexLockedError, 409),
    (errors.IndexUnreachableError, 503),
    (errors.IndexUnwritableError, 507),
    (errors.IndexExistsError, 409),
    (errors.PhotoUnknownError, 404),
    (errors.ReportUnknownError, 404),
    (errors.PhotoMissingError, 410),
    (errors.PhotoChangedError, 410),
    (errors.PhotoUnreadableError, 422),
    (errors.PhotoError, 422),
    (errors.BackboneUnavailableError, 503),
    (errors.BackboneMismatchError, 409),
    (errors.BackboneError, 422),
    (errors.WordsError, 422),
    (errors.PruneRefusedError, 409),
    (errors.EngineUnreachableError, 503),
    (errors.GraphMissingError, 409),
    (errors.RecallUnreachableError, 409),
    (errors.PlanError, 409),
    (errors.InputFileError, 422),
    (errors.OutputFileError, 507),
    (errors.BirdsearchError, 500),
    (ValueError, 422),
    (TypeError, 422),
)
_PASSING = (errors.IndexLockedError, errors.IndexUnreachableError, BusyError, TooManyError)
KNOWN = (errors.BirdsearchError, ValueError, TypeError)
_MEANINGS = {
    400: "The body cannot be read", 401: "No key", 403: "The key, or a server that only reads, does not allow this",
    404: "There is no such thing", 408: "The body came too slowly",
    409: "It cannot be done as things are: another process writes, the plan no longer fits, there is no index yet...",
    410: "The file is gone, or is not the one that was indexed", 413: "The body is too large",
    415: "A body of this kind is not understood", 421: "The server has another name",
    422: "What was asked cannot be meant; `errors` point to it", 429: "Too many questions wait already",
    503: "The network, or the server of the catalog or of vectors, is not available, or a job lets nothing in between",
    507: "There is no room",
}  # fmt: skip
SCHEMA = {  # of a problem, in the OpenAPI
    "type": "object", "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, where, and what to do next."},
        "errors": {"type": "array", "items": {
            "type": "object", "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
        }},
    },
}  # fmt: skip


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI says of these statuses, each a problem."""
    content = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


EVERYWHERE = documented(400, 401, 403, 404, 408, 409, 413, 421, 422, 503, 507)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong."""

    status: int
    title: str
    detail: str
    kind: str  # its anchor on the page /help/errors
    errors: tuple[dict[str, str], ...] = ()  # of a body or a query: pointer to each wrong value, and what is wrong
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """What RFC 9457 says of it."""
        said = {"type": f"/help/errors#{self.kind}", "title": self.title, "status": self.status, "detail": self.detail}
        return said | ({"errors": list(self.errors)} if self.errors else {})


def kind_of(error: type[Exception]) -> str:
    """The name of an error in addresses: PhotoUnknownError is "photo-unknown"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__.removesuffix("Error")).lower()


def status_of(cls: type[Exception]) -> int:
    """The status of HTTP that an error of the library has."""
    return next(status for known, status in _STATUS if issubclass(cls, known))


def meaning_of(cls: type[Exception]) -> str:
    """What an error says of its kind, in a sentence."""
    return (cls.__doc__ or "").split("\n")[0]


def of_error(error: Exception) -> Problem:
    """The problem that an error of the library is."""
    cls = type(error) if isinstance(error, errors.BirdsearchError) else ValueError
    title = meaning_of(cls).rstrip(".") if cls is not ValueError else "This cannot be meant"
    headers = {"Retry-After": "5"} if isinstance(error, _PASSING) else {}
    return Problem(status_of(type(error)), title, shown(str(error)), kind_of(cls), headers=headers)


def of_status(status: int, detail: str = "", headers: dict[str, str] | None = None) -> Problem:
    """The problem that has a status of HTTP and no error of the library."""
    phrase = HTTPStatus(status).phrase
    return Problem(status, phrase, detail or phrase, phrase.lower().replace(" ", "-"), headers=headers or {})


def of_validation(found: Sequence[Any]) -> Problem:
    """The problem of a query or a body that is not as documented: a JSON pointer to each wrong value."""
    wrong = tuple(
        {"pointer": "/" + "/".join(shown(str(step)) for step in one["loc"]), "detail": shown(one["msg"])}
        for one in found
    )
    detail = "; ".join(f"{one['pointer']}: {one['detail']}" for one in wrong[:3])
    unreadable = any(one["type"] == "json_invalid" for one in found)
    title = "The body cannot be read" if unreadable else "What was asked is not as documented"
    return Problem(400 if unreadable else 422, title, detail, "unreadable" if unreadable else "value", wrong)


def answer(request: Request, problem: Problem) -> Response:
    """A problem for a program, or as a page for a person."""
    if "app" in request.scope and request.scope["state"]["role"] != EDIT:
        problem = replace(problem, detail=request.app.state.serving.hiding_paths()(problem.detail))
    if request.scope["path"].startswith(("/api/", "/static/")):
        return JSONResponse(problem.fields, problem.status, problem.headers, media_type=MEDIA)
    made = page(request, "problem.html", status=problem.status, problem=problem)
    made.headers.update(problem.headers)
    return made


def install(app: FastAPI) -> None:
    """Have an app answer its errors in this way."""

    async def error(request: Request, raised: Exception) -> Response:
        return answer(request, of_error(raised))

    async def status(request: Request, raised: Exception) -> Response:
        assert isinstance(raised, HTTPException)
        detail = "" if raised.detail == HTTPStatus(raised.status_code).phrase else str(raised.detail)
        return answer(request, of_status(raised.status_code, detail, dict(raised.headers or {})))

    async def validation(request: Request, raised: Exception) -> Response:
        assert isinstance(raised, RequestValidationError)
        return answer(request, of_validation(raised.errors()))

    for cls in KNOWN:
        app.add_exception_handler(cls, error)
    app.add_exception_handler(HTTPException, status)
    app.add_exception_handler(RequestValidationError, validation)
