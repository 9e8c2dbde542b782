"""Fixtures of the tests of the server."""

import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import birdsearch
from birdsearch import Index
from birdsearch.web.app import Server, make_app
from birdsearch.web.keys import Keys
from birdsearch.web.serving import Settings
from tests.conftest import Garden

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
def own(garden: Garden, tmp_path: Path) -> Iterator[Index]:
    """The index of a copy of the garden, photos included, for tests that change it."""
    shutil.copytree(garden.index, tmp_path / "own")
    with birdsearch.open(tmp_path / "own") as index:
        yield index


@pytest.fixture
def settings() -> Settings:
    """Those of a server that was started without options; override it for others."""
    return Settings()


def client_of(index: Index | None, settings: Settings, key: str | None = None) -> TestClient:
    """A client of a server, which has the key of the role edit unless it is given another one, or an empty one."""
    key = settings.keys.edit if key is None else key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return TestClient(make_app(index, settings), base_url="http://127.0.0.1", headers=headers, follow_redirects=False)


@pytest.fixture
def client(own: Index, settings: Settings) -> Iterator[TestClient]:
    """A client of the role edit."""
    with client_of(own, settings) as made:
        yield made


@pytest.fixture
def viewer(own: Index, settings: Settings) -> Iterator[TestClient]:
    """A client of the role view."""
    with client_of(own, settings, settings.keys.view) as made:
        yield made


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    address: str  # "http://127.0.0.1:40123"
    settings: Settings
    index: Index | None
    listening: socket.socket

    @property
    def keys(self) -> Keys:
        """Its keys."""
        return self.settings.keys

    def link(self, role: str = "edit") -> str:
        """An address that gives a browser a role, once."""
        return self.address + self.settings.links.make(role)


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server on a free port: `serve(index, read_only=True)`; it ends with the test."""
    running: list[tuple[Any, threading.Thread]] = []

    def start(index: Index | None, **options: Any) -> Served:
        listening = socket.create_server(("127.0.0.1", 0))
        settings = Settings(port=listening.getsockname()[1], **options)
        server = Server(make_app(index, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return Served(f"http://127.0.0.1:{settings.port}", settings, index, listening)

    yield start
    for server, thread in running:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(10)


@pytest.fixture
def served(own: Index, serve: Serve) -> Served:
    """A server of a copy of the garden."""
    return serve(own)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, once for all tests."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL without a GPU
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Opens a tab that has come in by the link of a server: `open_page(served, role="view", color_scheme="dark")`.

    At the end no tab may have written an error to its console, or have done what the policy of contents forbids.
    """
    contexts: list[Any] = []
    problems: list[str] = []

    def open_(served: Served, role: str = "edit", **options: Any) -> Any:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(served.link(role))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(served: Served, open_page: OpenPage) -> Any:
    """A tab of Chromium, 1280 x 800, on the photos of `served`, with the role edit."""
    return open_page(served, viewport={"width": 1280, "height": 800})
