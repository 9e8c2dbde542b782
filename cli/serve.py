"""The command that opens an index in the browser, and to other programs."""

import logging
import os
import socket
import sys
import threading
import webbrowser
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.errors import IndexMissingError, InstallationError

from . import options, output
from .options import Shared
from .progress import collect_often

if TYPE_CHECKING:
    from birdsearch import Index
PORT = 8377
_PORTS_TRIED = 20


@options.command()
def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen at; 0.0.0.0 is every one of this computer.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=1, max=65535, show_default=False, help=f"Default: {PORT}, or the next free."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A name by which browsers may call the server, as behind a proxy (repeatable)."
        ),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Change nothing, whatever the key.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link and open no browser.")] = False,
    *,
    shared: Shared,
) -> None:
    # Answers of several people at once are faster when each of them takes one core; read when numpy is loaded.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _check_installed()
    from birdsearch.web.app import run
    from birdsearch.web.keys import EDIT, VIEW, Keys
    from birdsearch.web.serving import Settings

    with closing(_listen(host, port)) as listening:
        bound = listening.getsockname()[1]
        place = options.index_path(shared.index)
        settings = Settings(host, bound, tuple(allow_host or ()), read_only, place, Keys.kept())
        index = _index(shared)
        address = f"http://{_in_address(host)}:{bound}"
        link = address + settings.links.make(EDIT)
        output.say(f"birdsearch serves {index.name if index is not None else 'no index yet'} at {address}")
        output.say(f"Open it once with {link}")
        if not settings.is_local:
            output.say(f"To look only: {address}{settings.links.make(VIEW)}")
            output.note(
                f"warning: everybody who can reach {host} may try these links, and reads along what is sent: use it in "
                "your own network, or behind a proxy with TLS."
            )
        output.note(f"Programs find their keys in {Keys.file()}. Ctrl-C ends the server.")
        if not no_browser and _has_windows():
            threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
        # What a search tells who typed it is an answer here, and not for the one at the terminal.
        logging.getLogger("birdsearch").setLevel(logging.ERROR)
        try:
            collect_often()
            run(index, settings, listening)
        finally:
            if index is not None:
                index.close()


def _check_installed() -> None:
    """Raises InstallationError where the extra is not installed."""
    missing = [name for name in ("fastapi", "uvicorn", "python_multipart") if find_spec(name) is None]
    if missing:
        raise InstallationError(f"serve needs {missing[0]}, which is not installed: pip install 'birdsearch[web]'")


def _index(shared: Shared) -> "Index | None":
    """The index, None where there is none yet."""
    import birdsearch
    from birdsearch.web.serving import LOCK_SECONDS

    try:
        return birdsearch.open(options.index_path(shared.index), lock_timeout=LOCK_SECONDS)
    except IndexMissingError as error:
        if "Did you mean" in str(error):  # a slip, and no new index
            raise
        return None


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens at the port, or at the first that is free where the user named none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for tried in [port] if port is not None else range(PORT, PORT + _PORTS_TRIED):
        try:
            return socket.create_server((host.strip("[]"), tried), family=family, backlog=128)
        except OSError as error:
            problem = error.strerror or str(error)
    raise typer.BadParameter(f"cannot listen at {host}, port {tried}: {problem}", param_hint="'--port'")


def _has_windows() -> bool:
    """Whether a browser can open a window: one that lives in the terminal would take that from the server."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _in_address(host: str) -> str:
    """A host as addresses have it."""
    if host == "0.0.0.0":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect(("192.0.2.1", 9))  # sends nothing: which of the own addresses leads to others?
                host = asking.getsockname()[0]
            except OSError:  # no network
                host = "127.0.0.1"
    host = "::1" if host == "::" else host
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
