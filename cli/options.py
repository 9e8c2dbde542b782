"""Options that several commands share, and what their values mean."""

import functools
import inspect
import math
import os
import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from birdsearch.index import Index
    from birdsearch.records import Filter

FILTERS = "Which photos"
OUTPUT = "Output"

IndexName = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="NAME|PATH",
        show_default=False,
        help="A name (garden is the folder indexes/garden) or a path with a slash in it. "
        "Without it: BIRDSEARCH_INDEX, then indexes/default.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.", rich_help_panel=OUTPUT)]
Html = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write one HTML page with pictures.", rich_help_panel=OUTPUT),
]
Runtime = Annotated[Literal["auto", "openvino", "torch"], typer.Option(help="What executes the backbone.")]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where it runs.")]
Precision = Annotated[Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="The numbers it computes with.")]
BackboneName = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="A backbone (birdsearch backbones) or a birder checkpoint file."),
]

Images = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Photos to ask about.")]
TopK = Annotated[int, typer.Option("-k", metavar="K", min=1, help="How many answers.")]


def index_path(name: str | None) -> Path:
    """The folder of an index: a name lies under indexes/, a value with a separator in it is a path."""
    value = name if name is not None else os.environ.get("BIRDSEARCH_INDEX") or "default"
    if not value.strip():
        raise typer.BadParameter("is empty: give a name or a path", param_hint="'--index'")
    separators = (os.sep, os.altsep) if os.altsep else (os.sep,)
    if any(separator in value for separator in separators) or value in (".", ".."):
        return Path(value).expanduser()
    return Path("indexes") / value


def index_option(name: str | None) -> str:
    """The words that name the same index in a command we propose."""
    return "" if name is None else f" --index {name}"


def open_index(name: str | None) -> "Index":
    """The index that the options name, which must exist."""
    import birdsearch

    return birdsearch.open(index_path(name))


def only_one(json: bool, csv: bool) -> None:
    """Standard output carries one format."""
    if json and csv:
        raise typer.BadParameter("cannot be combined with --csv", param_hint="'--json'")


def parse_near(text: str) -> tuple[float, float, float]:
    """LAT,LON,KM as numbers in their ranges."""

    def wrong(why: str) -> typer.BadParameter:
        return typer.BadParameter(f"{text!r} {why}: give LAT,LON,KM, for example 52.52,13.40,5", param_hint="'--near'")

    try:
        latitude, longitude, radius = (float(piece) for piece in text.split(","))
    except ValueError:
        raise wrong("is not three numbers") from None
    # Written so that nan fails too.
    if not -90 <= latitude <= 90:
        raise wrong("has a latitude outside -90 to 90")
    if not -180 <= longitude <= 180:
        raise wrong("has a longitude outside -180 to 180")
    if not 0 <= radius < math.inf:
        raise wrong("has a radius that is no distance")
    return latitude, longitude, radius


def parse_date(text: str, option: str) -> str:
    """A year, month, day or time in the order of ISO 8601, completed to a whole day."""
    value = text.strip()
    if re.fullmatch(r"\d{4}(-\d{2})?", value):
        value += "-01-01"[3 * value.count("-") :]
    try:
        if len(value) == 10:
            return date.fromisoformat(value).isoformat()
        moment = datetime.fromisoformat(value)
    except ValueError:
        message = f"{text!r} is no date: write 2024, 2024-05, 2024-05-01 or 2024-05-01T18:30"
        raise typer.BadParameter(message, param_hint=f"'{option}'") from None
    if moment.tzinfo is not None:
        message = f"{text!r} names a time zone, but photos are dated by their camera's clock: leave it out"
        raise typer.BadParameter(message, param_hint=f"'{option}'")
    return moment.isoformat()


def number_within(option: str, low: float, high: float) -> Callable[[float | None], float | None]:
    """A check that a number lies in a range; typer's own lets nan pass."""

    def check(value: float | None) -> float | None:
        if value is not None and not low <= value <= high:
            raise typer.BadParameter(f"{value} is not between {low:g} and {high:g}", param_hint=f"'{option}'")
        return value

    return check


# An option that --help lists among the filters.
_option = functools.partial(typer.Option, rich_help_panel=FILTERS)


def _filter(
    species: Annotated[
        list[str] | None, _option(metavar="NAME", help="Of this species (repeat for any of several).")
    ] = None,
    label: Annotated[list[str] | None, _option(metavar="NAME", help="Labelled so by a person (repeatable).")] = None,
    predicted: Annotated[
        list[str] | None, _option(metavar="NAME", help="With this among the stored predictions (repeatable).")
    ] = None,
    min_probability: Annotated[
        float | None,
        _option(
            metavar="P", help="Of that prediction, or of the first.", callback=number_within("--min-probability", 0, 1)
        ),
    ] = None,
    after: Annotated[str | None, _option(metavar="DATE", help="Taken on this date or later.")] = None,
    before: Annotated[str | None, _option(metavar="DATE", help="Taken before this date.")] = None,
    under: Annotated[str | None, _option(metavar="DIR", help="In this folder or below it.")] = None,
    near: Annotated[str | None, _option(metavar="LAT,LON,KM", help="Taken within so many kilometres.")] = None,
    camera: Annotated[str | None, _option(metavar="TEXT", help="Part of the camera's name.")] = None,
    min_width: Annotated[int | None, _option(metavar="PIXELS", help="At least so wide.", min=1)] = None,
) -> "Filter | None":
    """The filter that the options ask for, None where none is given."""
    from birdsearch.records import Filter

    taken_after = parse_date(after, "--after") if after is not None else None
    taken_before = parse_date(before, "--before") if before is not None else None
    if taken_after and taken_before and taken_before <= taken_after:
        message = f"{before!r} leaves nothing after --after {after!r}"
        raise typer.BadParameter(message, param_hint="'--before'")
    where = Filter(
        species=tuple(species) if species else None,
        label=tuple(label) if label else None,
        predicted=tuple(predicted) if predicted else None,
        min_probability=min_probability,
        taken_after=taken_after,
        taken_before=taken_before,
        under=under,
        near=parse_near(near) if near is not None else None,
        camera=camera,
        min_width=min_width,
    )
    return None if where == Filter() else where


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every filter option; it receives them as one `where`."""
    offered = inspect.signature(_filter).parameters
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "where"]
    added = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in offered.values()]

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        where = _filter(**{name: values.pop(name) for name in offered})
        command(**values, where=where)

    # typer reads the options of a command from its signature.
    wrapper.__signature__ = inspect.Signature(own + added)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in own + added}
    return wrapper
