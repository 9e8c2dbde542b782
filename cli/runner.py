"""Around every command: errors become one line and an exit code, signals a clean stop."""

import difflib
import logging
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from types import FrameType
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from birdsearch.errors import BirdsearchError, os_error_text
from birdsearch.words import shown

from . import output

# Commands that commit as they go.
WRITING = ("index", "import", "remove", "label", "new", "optimize", "repair", "demo", "undo", "trash", "tags")

# Words of other programs -> the command that does this here.
SYNONYMS = {
    "search": "query", "find": "query", "similar": "query", "identify": "classify", "recognize": "classify",
    "ls": "photos", "show": "photos", "add": "index", "update": "index", "create": "index", "rm": "remove",
    "delete": "remove", "duplicates": "dedupe", "dups": "dedupe", "stats": "info", "status": "info", "check": "verify",
    "fix": "repair", "models": "backbones", "networks": "backbones", "lifelist": "list", "errors": "failures",
    "scan": "index", "compare": "query", "match": "query", "view": "photos", "browse": "photos", "open": "info",
    "predict": "classify", "copy": "new", "card": "new", "dedup": "dedupe", "clean": "dedupe", "xmp": "tags",
    "labels": "label", "relabel": "label", "rename": "names", "taxonomy": "names", "group": "clusters",
    "restore": "undo", "revert": "undo", "doctor": "verify", "save": "export", "load": "import", "test": "evaluate",
    "databases": "indexes", "tune": "optimize", "mistakes": "audit",
    "web": "serve", "server": "serve", "browser": "serve", "gui": "serve",
}  # fmt: skip

# What pydantic says of a wrong value -> in our words.
_WORDS = {
    r"Input should be a valid number, .*": "is not a number",
    r"Input should be a valid integer, .*": "is not a whole number",
    r"Input should be (greater|less) than or equal to (\S+)": r"must be \2 or \1",
    r"Value error, ": "",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM: stops what Ctrl-C stops, in the same clean way."""


class Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> Any:
        """The options, without types that mean nothing to people."""
        return _plain(super().get_params(ctx))


class Guarded(Group):
    """The group of all commands, with the one place that turns an exception into an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with _surroundings():
                result = super().invoke(ctx)
                # A closed pipe shows here and not while Python shuts down.
                sys.stdout.flush()
                return result
        except BirdsearchError as error:
            self._end(f"birdsearch: {error}", 1)
        except KeyboardInterrupt as error:
            kept = ": finished work is kept, run the same command to continue" if _writes(ctx) else ""
            self._end(f"birdsearch: stopped{kept}", 143 if isinstance(error, Terminated) else 130)
        except BrokenPipeError:
            # `| head` has seen enough.
            _forget_output()
            raise typer.Exit(0) from None
        except OSError as error:
            where = os.fspath(error.filename) if error.filename else "standard output"
            if not error.filename:
                _forget_output()
            self._end(f"birdsearch: cannot use {shown(where)}: {os_error_text(error)}", 1)
        except MemoryError:
            self._end("birdsearch: not enough memory for this", 1)
        except Exception as error:
            # typer's own: wrong usage, exit, abort. Their base classes moved between its releases.
            if isinstance(error, typer.Exit | typer.Abort):
                raise
            if hasattr(error, "format_message"):
                error.message = _own_words(getattr(error, "message", ""))  # type: ignore[attr-defined]
                raise
            what = " ".join(f"{type(error).__name__}: {error}".split())
            self._end(f"birdsearch: internal error: {what}; set BIRDSEARCH_DEBUG=1 for the traceback", 1)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names; `help COMMAND` is `COMMAND --help`."""
        output.command_line.set(shlex.join(["birdsearch", *args]))
        if args[0] == "help":
            args = [*args[1:], "--help"]
            if len(args) == 1:
                typer.echo(ctx.get_help())
                raise typer.Exit
        near = difflib.get_close_matches(args[0], [*self.commands, *SYNONYMS], 1, cutoff=0.8)
        if near and near[0] in SYNONYMS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {SYNONYMS[near[0]]!r}?")
        return super().resolve_command(ctx, args)

    @staticmethod
    def _end(message: str, code: int) -> None:
        """Print what happened and leave."""
        if os.environ.get("BIRDSEARCH_DEBUG"):
            import traceback

            traceback.print_exc()
        typer.echo(output.one_line(message), err=True)
        raise typer.Exit(code) from None


class Command(TyperCommand):
    """One command."""

    def get_params(self, ctx: Any) -> Any:
        """The options, without types that mean nothing to people."""
        return _plain(super().get_params(ctx))


class Later(TyperCommand):
    """A command that --help lists, and of which the module is loaded when it is asked for."""

    @cached_property
    def loaded(self) -> Any:
        """The command itself, or the group."""
        assert self.callback is not None
        found = self.callback()
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(add_completion=False)
            found.command(self.name, cls=Command)(function)
        command = typer.main.get_command(found)
        command.help, command.epilog = self.help, self.epilog
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse what was typed."""
        return self.loaded.make_context(info_name, args, parent, **extra)


def _plain(parameters: list[Any]) -> list[Any]:
    """Parameters of which typer's help no longer says `--json <bool>` and `DIR <list[Path]>`."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: ""
    return parameters


def _forget_output() -> None:
    """Nothing may try standard output again, Python's exit included."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _own_words(message: str) -> str:
    for theirs, ours in _WORDS.items():
        message = re.sub(theirs, ours, message)
    return message


def _writes(ctx: Any) -> bool:
    return ctx.invoked_subcommand in WRITING


class _Notes(logging.Handler):
    """What the library logs as notes on standard error, each once."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        message = record.getMessage()
        if message not in self._printed:
            self._printed.add(message)
            output.note(f"note: {output.with_index(message)}")


@contextmanager
def _surroundings() -> Iterator[None]:
    """Log messages as notes, no Python warnings, SIGTERM as an exception; all of it put back afterwards."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter gets its escape instead of an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    output.index_option.set("")
    logger, notes = logging.getLogger("birdsearch"), _Notes(logging.INFO)
    logger.addHandler(notes)
    level = logger.level
    logger.setLevel(logging.INFO)
    propagated, logger.propagate = logger.propagate, False
    on_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if on_main_thread else None
    try:
        with warnings.catch_warnings():
            if not os.environ.get("BIRDSEARCH_DEBUG"):
                warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(notes)
        logger.propagate = propagated
        logger.setLevel(level)
        if on_main_thread:
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
