"""The pages of jobs, failures and help."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from birdsearch.errors import BirdsearchError
from birdsearch.web import problems
from birdsearch.web.api.jobs import seen as job_seen
from birdsearch.web.rendering import page
from birdsearch.web.serving import Held

router = APIRouter(include_in_schema=False)

_FAILURES = 500  # of one kind on a page
_STAGES = {
    "scan": "Cannot be found", "read": "Cannot be read", "decode": "Cannot be decoded",
    "embed": "Cannot be looked at", "damaged": "Damaged, and indexed as far as they can be read",
}  # fmt: skip

# Problems that are no errors of the library.
_STATUSES = (400, 401, 403, 404, 405, 408, 413, 415, 421, 429, 500)
_HTTP = {
    401: "A key is needed: open the link that the terminal shows, or give the key.",
    403: "The page of another site asked, or this key may not do this.",
    421: "The server was called by a name that is not its own: start it with --allow-host NAME.",
    429: "Too much is asked at once: ask again in a moment.",
    500: problems.MISTAKE,
}
_WRONG = {
    ("unreadable", 400, "The body is no JSON."),
    ("value", 422, "What was asked cannot be meant; `errors` points to each wrong value."),
}


@router.get("/jobs")
def jobs(request: Request, held: Held) -> Response:
    """What runs, waits and has ended; adding a folder."""
    known = [job_seen(held, job) for job in held.jobs.all()]
    index = held.state.index if held.sees_all else None
    folders, failures = (index.provenance.folders, len(index.failures())) if index is not None else ((), 0)
    return page(request, "jobs.html", jobs=known, folders=folders, failures=failures)


@router.get("/failures")
def failures(request: Request, held: Held) -> Response:
    """The files that could not be indexed, by what was wrong; for the role edit, as they are named by their paths."""
    held.check_sees_files()
    found = held.seen(held.index.failures())
    kinds: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        kinds.setdefault(one["stage"], []).append(one)
    groups = [(stage, _STAGES.get(stage, stage), some) for stage, some in kinds.items()]
    return page(request, "failures.html", failures=groups, total=len(found), most=_FAILURES)


@router.get("/help")
def help(request: Request) -> Response:
    """What the pages are for, and their keys."""
    return page(request, "help.html")


@router.get("/help/errors")
def help_errors(request: Request) -> Response:
    """What each error means."""
    own = {
        (problems.kind_of(cls), problems.status_of(cls), problems.meaning_of(cls)) for cls in _below(BirdsearchError)
    }
    of_http = {
        (problem.kind, status, _HTTP.get(status, HTTPStatus(status).description) or problem.title)
        for status in _STATUSES
        for problem in [problems.of_status(status)]
    }
    return page(request, "help_errors.html", errors=sorted(own | of_http | _WRONG))


def _below(cls: type[BirdsearchError]) -> Iterable[type[BirdsearchError]]:
    for one in cls.__subclasses__():
        yield one
        yield from _below(one)


@dataclass(frozen=True, slots=True)
class Field:
    """A value that a route takes."""

    name: str
    kind: str  # "text", "number, at most 1000"
    required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the API, as its page shows it."""

    method: str
    path: str
    words: str
    fields: Sequence[Field]
    body: Sequence[Field]
    statuses: Sequence[str]

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return f"{self.method}{self.path}".lower().replace("/", "-").replace("{", "").replace("}", "").strip("-")


@router.get("/help/api")
def help_api(request: Request) -> Response:
    """Every route of the API, made from the OpenAPI that programs read."""
    described = request.app.openapi()
    parts: dict[str, list[Route]] = {}
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            part = (said.get("tags") or ["others"])[0]
            parts.setdefault(part, []).append(_route(method, path, said, described))
    return page(request, "help_api.html", parts=parts, version=described["info"]["version"])


def _route(method: str, path: str, said: dict[str, Any], described: dict[str, Any]) -> Route:
    fields = [
        Field(one["name"], _kind(one["schema"], described), one.get("required", False), one.get("description", ""))
        for one in said.get("parameters", ())
    ]
    bodies = said.get("requestBody", {}).get("content", {})
    body = [field for schema in bodies.values() for field in _body(schema.get("schema", {}), described)]
    return Route(method.upper(), path, said.get("description", ""), fields, body, tuple(said["responses"]))


def _body(schema: dict[str, Any], described: dict[str, Any]) -> Iterable[Field]:
    """The fields of a body; of one of several kinds those of each of them."""
    schema = _found(schema, described)
    for kind in schema.get("oneOf", schema.get("anyOf", ())):
        yield from _body(kind, described)
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        yield Field(name, _kind(one, described), name in required, one.get("description", ""))


def _kind(schema: dict[str, Any], described: dict[str, Any]) -> str:
    """What values a schema takes, in words."""
    named = _found(schema, described)
    if several := named.get("anyOf") or named.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(one, described) for one in several if one.get("type") != "null"))
    if "const" in named or "enum" in named:
        return " or ".join(f"“{one}”" for one in named.get("enum", [named.get("const")]))
    if named.get("type") == "array":
        return f"list of {_kind(named.get('items', {}), described)}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    kind = words.get(named.get("type", ""), "object")
    limits = [f"{said} {named[name]}" for name, said in (("minimum", "from"), ("maximum", "to")) if name in named]
    return " ".join([kind, *limits])


def _found(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """A schema, or the one that it refers to."""
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema
