"""Options that several commands share, and what their values mean."""

import functools
import inspect
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import output
from .progress import working

if TYPE_CHECKING:
    from birdsearch import Index
    from birdsearch.export.html.pictures import Origin
    from birdsearch.records import Box, Failure, Filter

WHICH = "Which photos"
OUTPUT = "Output"

IndexName = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="NAME|PATH|URL",
        show_default=False,
        help="The index: a name (birdsearch indexes lists them), a path with a slash in it or the URL of one in a "
        "database (birds+postgresql://…). Default: BIRDSEARCH_INDEX, then the name default.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.", rich_help_panel=OUTPUT)]


def file_option(help: str, *flags: str, **more: Any) -> Any:
    """An option that names a file which exists; `flags` where its name is not that of the parameter."""
    return typer.Option(*flags, metavar="FILE", exists=True, dir_okay=False, help=help, **more)


Html = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write one HTML page with pictures.", rich_help_panel=OUTPUT),
]
Runtime = Annotated[Literal["auto", "openvino", "torch"], typer.Option(help="The software that runs the backbone.")]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="The processor it runs on.")]
Precision = Annotated[Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Numeric precision.")]
BackboneName = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="A backbone (birdsearch backbones) or a birder checkpoint file."),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Replace a file that birdsearch did not write, or that changed.", rich_help_panel=OUTPUT
    ),
]
FORMATS: dict[str, Any] = {"json": Json, "csv": Csv, "html": Html, "force": Force}
Images = Annotated[list[str], typer.Argument(metavar="IMAGE", help="Photo files; - reads one from standard input.")]
ImagesOrWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGE|WORDS",
        show_default=False,
        help="Photo files (- reads one from standard input), or words of what is to be seen, such as "
        '"heron with a fish - zoo".',
    ),
]
ImagesOrFolders = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="Photo files, or folders of them; - reads one from standard input."),
]
Checklist = Annotated[
    list[Path] | None,
    file_option(
        "A regional checklist, one species a line, scientific or English (repeatable). Species that are not on it are "
        "reported as unlikely."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")]
TopK = Annotated[int, typer.Option("-k", metavar="K", min=1, help="Number of answers.")]


def _box(text: str) -> "Box":
    """X,Y,WIDTH,HEIGHT as a box."""
    from birdsearch.records import Box

    try:
        return Box.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--box'") from None


InBox = Annotated[
    Any,
    typer.Option(
        "--box",
        metavar="X,Y,W,H",
        parser=_box,
        help="Only this part of each image: its upper left corner, width and height in shares of the picture as it is "
        "shown (0.4,0.3,0.2,0.25), or in pixels (1200,800,600,500px).",
    ),
]


Region = Annotated[
    Literal["frame", "bird"],
    typer.Option(
        "--region",
        help="Which part of each image asks: all of it, or the bird, where it is known or found.",
    ),
]


def check_part(box: "Box | None", region: str) -> None:
    """Raise BadParameter for a box and a region."""
    if box is not None and region != "frame":
        raise typer.BadParameter("cannot be combined with --box, which says where the bird is", param_hint="'--region'")


def given(images: Sequence[str]) -> list[str | bytes]:
    """Images as the library takes them: - becomes the bytes that come through standard input."""
    if images.count("-") > 1:
        raise typer.BadParameter("- may be given once: standard input can be read once", param_hint="'IMAGE'")
    return [sys.stdin.buffer.read() if image == "-" else image for image in images]


_SUFFIX = re.compile(r"\.[A-Za-z]\w{0,4}$")


def are_words(value: str) -> bool:
    """Whether an argument is words: it is no file and does not look like one, without separator and suffix."""
    named = value == "-" or "/" in value or "\\" in value or _SUFFIX.search(value) is not None
    return bool(value.strip()) and not named and not os.path.lexists(value)


def in_folders(images: Sequence[str]) -> "tuple[list[str], list[Failure]]":
    """The images, with its photos in place of each folder; and what is there that cannot be read."""
    from birdsearch import find_photos

    unreadable: list[Failure] = []
    found = [path for one in images for path in (find_photos(one, unreadable.append) if _is_folder(one) else [one])]
    if not found and not unreadable:
        raise typer.BadParameter(f"there are no photos below {', '.join(images)}", param_hint="'IMAGE'")
    return found, unreadable


def is_url(path: str) -> bool:
    """Whether it is an address in a store or on the web, and no path."""
    return "://" in path


def full_path(path: str) -> str:
    """A path from here, as an index keeps it; an address as it is."""
    return path if is_url(path) else os.path.abspath(path)


def _is_folder(image: str) -> bool:
    """Whether photos are looked for below it: a folder, or the address of one in a store, which has no suffix."""
    return os.path.isdir(image) or (is_url(image) and _SUFFIX.search(image) is None)


def index_path(name: str | None) -> Path | str:
    """What opens an index: a name is looked for where indexes lie, a value with a separator in it is a path or URL."""
    import birdsearch

    value = name if name is not None else os.environ.get("BIRDSEARCH_INDEX") or "default"
    if not value.strip():
        raise typer.BadParameter("is empty: give a name or a path", param_hint="'--index'")
    if is_url(value):
        return value
    separators = (os.sep, os.altsep) if os.altsep else (os.sep,)
    if any(separator in value for separator in separators) or value in (".", ".."):
        return Path(value).expanduser()
    return birdsearch.find_index(value)


@dataclass(frozen=True, slots=True)
class Shared:
    """The options that many commands have, as they were given."""

    index: str | None = None
    json: bool = False
    csv: bool = False
    html: Path | None = None
    force: bool = False
    where: "Filter | None" = None

    def open(self) -> "Index":
        """The index that the options name, which must exist."""
        import birdsearch

        return birdsearch.open(index_path(self.index))

    @contextmanager
    def working(self, words: str) -> "Iterator[Index]":
        """The same, with a sign of life while it is opened and asked."""
        with working(words), self.open() as index:
            yield index

    @property
    def names_index(self) -> bool:
        """Whether the user said which index is meant."""
        return self.index is not None or bool(os.environ.get("BIRDSEARCH_INDEX"))

    @property
    def index_option(self) -> str:
        """The words that name the same index in a proposed command."""
        return "" if self.index is None else f" --index {shlex.quote(self.index)}"

    @property
    def origin(self) -> "Origin":
        """What the footer of a page says: the command, and its index where there is one."""
        from birdsearch.export.html.pictures import Origin

        place = index_path(self.index)
        there = isinstance(place, str) or place.is_dir()
        return Origin(str(place) if there else None, output.command_line.get())


def command(
    *, where: bool = False, formats: Iterable[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command --index, the formats (json, csv, html) it can print and, with `where`, every filter option.

    With html comes --force, which a command that writes other files asks for as a format. The command receives them as
    one `shared`.
    """
    formats = dict.fromkeys([*formats, *(["force"] if "html" in formats else [])])
    added = {"index": IndexName} | {name: FORMATS[name] for name in formats} | (FILTERS if where else {})
    flags = ("json", "csv", "force")

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapper(**values: Any) -> None:
            given = {name: values.pop(name) for name in added}
            chosen = {name: value for name, value in given.items() if name not in FILTERS}
            if chosen.get("json") and chosen.get("csv"):
                raise typer.BadParameter("cannot be combined with --csv", param_hint="'--json'")
            if chosen.get("html") is not None:
                from birdsearch.export.target import check_target

                check_target(chosen["html"], force=chosen["force"])  # before the work, which may take long
            shared = Shared(**chosen, where=_filter(given) if where else None)
            output.index_option.set(shared.index_option)
            function(**values, shared=shared)

        parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "shared"]
        parameters += [parameter(name, kind, False if name in flags else None) for name, kind in added.items()]
        return with_parameters(wrapper, parameters)

    return decorate


def parameter(name: str, kind: Any, default: Any = None) -> inspect.Parameter:
    """A keyword of a command that was made at run time."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def with_parameters(wrapper: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """The wrapper of a command, with the signature from which typer reads its options."""
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    wrapper.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in keywords}
    return wrapper


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
        raise wrong("has a radius that is not a distance")
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
        message = f"{text!r} is not a date: write 2024, 2024-05, 2024-05-01 or 2024-05-01T18:30"
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


def _option(kind: Any, metavar: str, help: str, **more: Any) -> Any:
    """An option that --help lists among the filters."""
    return Annotated[kind, typer.Option(metavar=metavar, help=help, rich_help_panel=WHICH, **more)]


FILTERS: dict[str, Any] = {
    "species": _option(list[str] | None, "NAME", "Photos of this species (repeatable: any of these)."),
    "label": _option(list[str] | None, "NAME", "Photos with this label (repeatable)."),
    "predicted": _option(list[str] | None, "NAME", "Photos with this among the stored predictions (repeatable)."),
    "min_probability": _option(
        float | None,
        "P",
        "Minimum probability of that prediction, or of the first one.",
        callback=number_within("--min-probability", 0, 1),
    ),
    "after": _option(str | None, "DATE", "Taken on this date or later."),
    "before": _option(str | None, "DATE", "Taken before this date."),
    "under": _option(str | None, "DIR", "In this folder or below it."),
    "not_species": _option(list[str] | None, "NAME", "No photos of this species (repeatable)."),
    "not_under": _option(list[str] | None, "DIR", "No photos in this folder or below it (repeatable)."),
    "near": _option(str | None, "LAT,LON,KM", "Taken within this many kilometres of a place."),
    "camera": _option(str | None, "TEXT", "Part of the camera's name."),
    "min_width": _option(int | None, "PIXELS", "At least this many pixels wide.", min=1),
    "sample": _option(int | None, "N", "At most this many of them, drawn evenly over the species.", min=1),
}


def _filter(given: Mapping[str, Any]) -> "Filter | None":
    """The filter that the options of FILTERS describe, None where none is given."""
    from birdsearch.records import Filter

    after, before = given["after"], given["before"]
    taken_after = parse_date(after, "--after") if after is not None else None
    taken_before = parse_date(before, "--before") if before is not None else None
    if taken_after and taken_before and taken_before <= taken_after:
        message = f"{before!r} leaves nothing after --after {after!r}"
        raise typer.BadParameter(message, param_hint="'--before'")
    names: dict[str, Any] = {n: tuple(given[n]) if given[n] else None for n in ("species", "label", "predicted")}
    try:
        where = Filter(
            **names,
            taken_after=taken_after,
            taken_before=taken_before,
            near=parse_near(given["near"]) if given["near"] is not None else None,
            **{name: given[name] for name in ("min_probability", "under", "camera", "min_width", "sample")},
            none_of=(
                *(Filter(species=name) for name in given["not_species"] or ()),
                *(Filter(under=folder) for folder in given["not_under"] or ()),
            ),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return None if where.takes_all else where
