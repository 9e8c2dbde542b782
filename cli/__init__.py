"""The command line: each command opens an index, calls one method and prints the result."""

import gc
import os
import sys
import threading
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from .commands import COMMANDS
from .runner import Guarded, Later

app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: birdsearch demo",
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"birdsearch {version('birdsearch')}")
        raise typer.Exit


@app.callback()
def birdsearch(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Search, classify and compare bird photos by what they show."""


for _one in COMMANDS:
    app.command(_one.name, cls=Later, help=_one.help, rich_help_panel=_one.panel, epilog=f"Example: {_one.example}")(
        _one.load
    )


def _replace_closed_streams() -> None:
    """Give closed standard streams (`2>&-`) a stand-in: else what is written to them ends up in files of the index.

    Ends where standard output is closed: no answer could be read.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 -- open until the end
    if sys.stdout is None:
        sys.exit("birdsearch: standard output is closed: redirect it to a file, or to /dev/null.")


def main() -> None:
    """Run the command line."""
    _replace_closed_streams()
    # Imports make 100,000 objects that stay: looking for garbage among them takes a tenth of a query.
    gc.set_threshold(200_000)
    # For speed alone (the library silences OpenVINO): its converter takes half of its import, and no command needs it.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]  # None: an import of it fails at once
    code: int | str | None = 0
    try:
        app(prog_name="birdsearch")
    except SystemExit as done:
        code = done.code
    except KeyboardInterrupt:  # outside every command
        code = 130
    gc.freeze()  # nor are they looked through at the end, which would take a fifth of a second
    if any(thread.daemon for thread in threading.enumerate()):
        _leave(code if isinstance(code, int) else 1)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End at once: Ctrl-C has left a thread behind that may be inside OpenVINO, which would abort where Python ends."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
