"""The command line: each command opens an index, calls one method and prints the result."""

import gc
import os
import sys
from contextlib import suppress
from typing import Annotated

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
    code: object = 0
    _replace_closed_streams()
    # Imports create many objects that stay: looking for garbage as often as by default takes a tenth of a query.
    gc.set_threshold(50_000)
    # For speed alone (the library silences OpenVINO): its converter takes half of its import, and no command needs it.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]  # None: an import of it fails at once
    try:
        app(prog_name="birdsearch")
    except SystemExit as done:
        code = done.code
    except KeyboardInterrupt:  # outside every command
        code = 130
    if "openvino" not in sys.modules or not isinstance(code, int | None):
        raise SystemExit(code)
    # Everything is printed and closed; OpenVINO's teardown would only take another fifth of a second.
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)
