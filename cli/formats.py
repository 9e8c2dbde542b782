"""The option --format and the options of each export format, made from the registry of exporters."""

import dataclasses
import enum
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional, get_type_hints

import typer

from birdsearch.export.exporter import Exporter, exporter_of

from . import options

PANEL = "Options of one format"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A format, and its options as they were given."""

    exporter: Exporter
    options: Any  # of the type exporter.options


def takes_format(exporters: Mapping[str, Exporter]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command --format and the options of these exporters; it receives them as one `chosen`.

    Without --format the name of its `file` says which. A field `longest_side` of an exporter's options becomes
    --longest-side.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        kinds = _options(exporters)

        @functools.wraps(command)
        def wrapper(file: str | Path, format: str | None = None, **values: Any) -> None:
            given = {name: value for name in kinds if (value := values.pop(name)) is not None}
            exporter = exporter_of(Path(file), format, exporters)
            command(file, **values, chosen=Chosen(exporter, _chosen(exporter, given)))

        own = [p for p in inspect.signature(command).parameters.values() if p.name != "chosen"]
        added = [_format(exporters), *(options.parameter(name, kind) for name, kind in kinds.items())]
        return options.with_parameters(wrapper, [*own, *added])

    return decorate


def _format(exporters: Mapping[str, Exporter]) -> inspect.Parameter:
    words = ". ".join(f"{exporter.name}: {exporter.help}" for exporter in exporters.values()) + "."
    choices: Any = enum.StrEnum("Format", {name: name for name in exporters})  # type: ignore[misc]
    help = f"As the name of the file ends, unless it is given. {words}"
    return options.parameter("format", Annotated[Optional[choices], typer.Option("--format", help=help)])  # noqa: UP045


def _options(exporters: Mapping[str, Exporter]) -> dict[str, Any]:
    """What typer needs to know of each option that an exporter has; formats may share one."""
    takes: dict[str, list[str]] = {}
    kinds: dict[str, Any] = {}
    for exporter in exporters.values():
        hints = get_type_hints(exporter.options)
        for field in dataclasses.fields(exporter.options):
            takes.setdefault(field.name, []).append(exporter.name)
            usual = f"; default: {field.default}" if field.default or type(field.default) is int else ""
            words = f"{field.metadata['help']} ({', '.join(takes[field.name])}{usual})"  # brackets would be markup
            kinds[field.name] = _option(field.name, hints[field.name], words)
    return kinds


def _option(name: str, kind: Any, words: str) -> Any:
    """What typer needs to know of one: a field that is off by default has no opposite, a path names a file."""
    how: dict[str, Any] = {"help": words, "show_default": False, "rich_help_panel": PANEL}
    if kind is str:
        how["metavar"] = "TEXT"
    elif kind == Path | None:
        how |= {"metavar": "FILE", "exists": True, "dir_okay": False}
    flags = [f"--{name.replace('_', '-')}"] if kind is bool else []
    return Annotated[Optional[kind], typer.Option(*flags, **how)]  # noqa: UP045 -- a type made at run time


def _chosen(exporter: Exporter, given: Mapping[str, Any]) -> Any:
    """The options of an exporter. Raises BadParameter for one that it does not have, or that means nothing."""
    known = {field.name for field in dataclasses.fields(exporter.options)}
    for name in given:
        if name not in known:
            option = "--" + name.replace("_", "-")
            raise typer.BadParameter(f"is not an option of --format {exporter.name}", param_hint=f"'{option}'")
    try:
        return exporter.options(**given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=f"'--format {exporter.name}'") from error
