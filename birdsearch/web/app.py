"""The app: its doors, routes, pages and static files."""

import mimetypes
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope
from threadpoolctl import threadpool_limits

from birdsearch.errors import BirdsearchError
from birdsearch.index import Index
from birdsearch.web import help_pages, images, pages, problems, rendering, species_pages
from birdsearch.web.api import duplicates, jobs, labels, map, names, photos, regions, reports, search, species, uploads
from birdsearch.web.doors import Doors
from birdsearch.web.serving import Settings, State

API = "/api/v1"
# Of the API.
_PARTS = (photos, uploads, images, search, regions, labels, names, duplicates, species, map, reports, jobs)
_STOP_SECONDS = 2  # that open streams get when the server ends
_ABOUT = "Search, classify and compare the photos of one index. The words are those of Python."


def make_app(index: Index | None, settings: Settings) -> FastAPI:
    """The app of an index, or of a server that has none yet."""
    app = _App(
        title="birdsearch",
        version=version("birdsearch"),
        description=_ABOUT,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.serving = State(index, settings)
    problems.install(app)
    for part in _PARTS:
        app.include_router(part.router, prefix=API, responses=problems.EVERYWHERE)
    for part in (pages, species_pages, help_pages):
        app.include_router(part.router)
    app.mount("/static", _Static(directory=rendering.STATIC))
    app.add_middleware(Doors, settings=settings)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """From the first request to the last; then jobs are cancelled, which keeps what they have committed.

    Meanwhile a product of matrices takes one core: eight questions at once are answered 36 times faster so.
    """
    with threadpool_limits(1):
        yield
        app.state.serving.close()


def run(index: Index | None, settings: Settings, listening: socket.socket) -> None:
    """Answer what comes through a socket, until Ctrl-C."""
    if index is not None:
        threading.Thread(target=_warm, args=(index,), name="birdsearch warming", daemon=True).start()
    Server(make_app(index, settings)).run(sockets=[listening])


def _warm(index: Index) -> None:
    """Load what the first questions would wait for: names of birds, the network, the labelled photos that classify."""
    with suppress(BirdsearchError, ValueError):  # whoever asks will be told
        index.names_like("a", 1)
        _ = index.backbone
        for photo in index.photos(limit=1):
            index.classify(photo)


class Server(uvicorn.Server):
    """The server of an app, which ends its open streams when it is asked to end."""

    def __init__(self, app: FastAPI) -> None:
        self._state: State = app.state.serving
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=_STOP_SECONDS, ws="none",
        )  # fmt: skip
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer. asyncio sees no TCP in these sockets, and would let each answer wait 40 ms for an ACK."""
        for listening in sockets or ():
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # those that it accepts inherit it
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C, or a request to end."""
        self._state.stopping.set()
        super().handle_exit(sig, frame)


class _App(FastAPI):
    """FastAPI, whose OpenAPI says once what a problem is."""

    def openapi(self) -> dict[str, Any]:
        """What the API is, as programs read it."""
        schema = super().openapi()
        schema["components"]["schemas"]["Problem"] = problems.SCHEMA
        return schema


class _Static(StaticFiles):
    """Static files; one that is asked for by its version never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One of them."""
        answer = await super().get_response(path, scope)
        asked = scope["query_string"].decode("latin-1") == f"v={rendering.version()}"
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if asked else "no-cache"
        return answer


mimetypes.add_type("text/javascript", ".js")  # whatever the system has noted for it
