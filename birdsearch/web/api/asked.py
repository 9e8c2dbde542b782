"""What requests have in common: filters in addresses, answers that hold until the next commit."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, Json, model_validator

from birdsearch.records import Filter
from birdsearch.web.serving import ForbiddenError, Serving

# What the OpenAPI says of other forms of answers.
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing was committed since."}}
LINES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {}}}}
OCTETS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
LARGEST_ID = 2**63 - 1
DEEPEST, MOST_FILTERS, MOST_NAMES = 8, 100, 1000  # of a filter: more makes a question that SQLite refuses
MOST_SPECIES = 12_000  # of a checklist: all birds of the world


class FilterQuery(BaseModel):
    """The fields of a Filter as the query of an address has them; `where` is a whole Filter in JSON."""

    model_config = ConfigDict(extra="forbid")

    species: list[str] | None = Field(None, description="Any of these names, in any spelling.")
    label: list[str] | None = None
    predicted: list[str] | None = None
    min_probability: float | None = Field(None, ge=0, le=1)
    taken_after: str | None = Field(None, description="Date or time, inclusive, as ISO 8601 has it, from the year on.")
    taken_before: str | None = Field(None, description="Date or time, exclusive.")
    under: str | None = Field(None, description="A folder. Only with the role edit.")
    near: str | None = Field(None, description="LAT,LON,KM. Only with the role edit.")
    camera: str | None = Field(None, description="Part of its name.")
    min_width: int | None = Field(None, ge=1)
    sample: int | None = Field(None, ge=1, description="At most so many of them, drawn evenly over the species.")
    where: Json[dict[str, Any]] | None = Field(None, description="A Filter in JSON, which must hold too.")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """A form sends the fields too that were left empty."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value not in ("", []) and value != [""]}

    def filter(self, held: Serving) -> Filter | None:
        """The filter that they describe, None for an empty one. Raises ValueError for what cannot be meant."""
        names = [name for name in FilterQuery.model_fields if name not in ("near", "where")]
        given: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) not in (None, "", [])}
        if self.near:
            given["near"] = self.near.split(",")
        asked = Filter(**given)
        if self.where:
            asked = asked & Filter(**self.where)
        check_filter(asked, held)
        return None if asked.takes_all else asked


def filter_of(fields: dict[str, Any] | None, held: Serving) -> Filter | None:
    """The Filter of an object of JSON. Raises ValueError for what cannot be meant."""
    if not fields:
        return None
    asked = Filter(**fields)
    check_filter(asked, held)
    return asked


def check_filter(asked: Filter, held: Serving) -> None:
    """Raises ValueError for a filter that no catalog can answer soon.

    Raises ForbiddenError where the answer would tell a viewer what viewers are not to know.
    """
    filters = list(_within(asked, DEEPEST))
    names = sum(len(value) for one in filters for value in (one.species, one.label, one.predicted) if _several(value))
    if len(filters) > MOST_FILTERS or names > MOST_NAMES:
        raise ValueError(f"a filter may hold {MOST_FILTERS} others and {MOST_NAMES:,} names: ask in several parts.")
    if not held.sees_all and any(one.near is not None or one.under is not None for one in filters):
        raise ForbiddenError("this key may not ask by folders and places: it would learn where they are.")


def _within(asked: Filter, deepest: int) -> Iterator[Filter]:
    """A filter and all within it."""
    if deepest < 0:
        raise ValueError(f"filters may lie {DEEPEST} deep in each other: say it otherwise.")
    yield asked
    for one in (*asked.any_of, *asked.none_of):
        yield from _within(one, deepest - 1)


def _several(value: str | Sequence[str] | None) -> TypeGuard[Sequence[str]]:
    return value is not None and not isinstance(value, str)


def tags_of(request: Request) -> Sequence[str]:
    """The ETags of the answers that the asker has already."""
    return [one.strip() for one in request.headers.get("if-none-match", "").split(",")]


def until_a_commit(request: Request, held: Serving, make: Callable[[], Any]) -> Response:
    """An answer in JSON, with its ETag; 304 where the asker has it and nothing was committed since."""
    tag = held.tag()  # before it is made: a commit meanwhile makes it old, never wrong
    headers = {"ETag": tag, "X-Generation": str(held.index.generation), "Cache-Control": "private, no-cache"}
    if tag in tags_of(request):
        return Response(status_code=304, headers=headers)
    return JSONResponse(make(), headers=headers)


@contextmanager
def checklist_file(species: list[str] | None) -> Iterator[list[Path] | None]:
    """The species of a checklist as the file that the library reads."""
    if not species:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checklist.txt")
        path.write_text("\n".join(" ".join(name.split()) for name in species) + "\n", encoding="utf-8")
        yield [path]
