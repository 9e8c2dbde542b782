"""Pages: what they show without JavaScript, and that they open in a browser."""

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from birdsearch import Index
from birdsearch.web.rendering import NAV, STATIC, static
from birdsearch.web.serving import Settings
from tests.web.conftest import Served, client_of


def test_photos_are_shown_without_javascript(client: TestClient) -> None:
    page = client.get("/photos?limit=4").text
    assert page.count('class="card"') == 4
    assert 'href="?limit=4&amp;after=' in page
    assert 'aria-current="page">Photos' in page


def test_a_problem_is_a_page_for_a_person(client: TestClient) -> None:
    page = client.get("/photos?limit=x")
    assert page.status_code == 422
    assert "text/html" in page.headers["content-type"]
    assert "/query/limit" in page.text


def test_static_files_are_kept_by_their_version(client: TestClient) -> None:
    assert "immutable" in client.get(static("style.css")).headers["cache-control"]
    assert client.get("/static/style.css?v=old").headers["cache-control"] == "no-cache"
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/vendor"):
        assert client.get(path).status_code == 404


def test_vendored_files_carry_their_licences() -> None:
    for file in (STATIC / "vendor").iterdir():
        assert "Permission to use" in file.read_text() or "Redistribution and use" in file.read_text()


def test_a_browser_opens_the_photos(page: Any) -> None:
    assert page.url.endswith("/")
    assert page.get_by_role("heading", level=1).inner_text() == "Photos"
    assert page.get_by_role("navigation").get_by_role("link").count() == len(NAV)


def test_an_answer_waits_for_no_ack(served: Served) -> None:
    assert httpx.get(served.address).status_code == 401
    assert served.listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("role", ["edit", "view"])
def test_an_index_that_cannot_be_read_is_said_on_a_page(role: str, own: Index, settings: Settings) -> None:
    with client_of(own, settings, getattr(settings.keys, role)) as client:
        assert client.get("/photos").status_code == 200
        for file in Path(own.path).glob("catalog.sqlite*"):
            file.write_bytes(b"no catalog" * 1000)
        for path in ("/photos", "/api/v1/photos/ids"):
            answer = client.get(path)
            assert answer.status_code == 500
            assert "is damaged" in answer.text
            assert (str(own.path) in answer.text) == (role == "edit")
