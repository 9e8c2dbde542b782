"""`birdsearch serve`: what it prints, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import Garden
from tests.support import ROOT
from tests.support.command_line import run


@contextmanager
def serving(*arguments: object) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server in a process of its own, and the link that it prints."""
    command = [sys.executable, "-m", "birdsearch", "serve", "--no-browser", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        found = re.search(r"http://\S+once=\S+", said)
        assert found is not None, said + (process.stderr.read() if process.stderr else "")
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.server
def test_it_serves_until_ctrl_c_with_a_stream_open(own: Garden) -> None:
    with serving("--index", own.index) as (process, link), httpx.Client(timeout=20) as client:
        address = link.partition("/open")[0]
        assert client.get(link).status_code == 303
        assert client.get(f"{address}/api/v1/").json()["info"]["photos"] == 6
        with client.stream("GET", f"{address}/api/v1/jobs/events") as stream:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert stream.status_code == 200
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[1:] == ["birdsearch: stopped"]


@pytest.mark.server
def test_it_starts_without_an_index() -> None:
    with serving("--index", "new") as (_, link), httpx.Client(timeout=20, follow_redirects=True) as client:
        assert "Add a folder" in client.get(link).text


def test_a_name_that_is_nearly_that_of_an_index_is_no_new_index(own: Garden) -> None:
    said = run("serve", "--no-browser", "--index", str(own.index) + "n", code=1).err
    assert "Did you mean" in said


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in run("serve", "--no-browser", "--port", port, code=2).err


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsearch.cli import serve

    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert "pip install 'birdsearch[web]'" in run("serve", code=1).err


def test_whoever_listens_beyond_this_computer_is_warned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from birdsearch.web import app

    monkeypatch.setattr(app, "run", lambda index, settings, listening: None)
    said = run("serve", "--no-browser", "--host", "0.0.0.0", "--port", 1024 + os.getpid() % 50_000)
    assert "To look only: http://" in said.out
    assert "warning:" in said.err
    assert "To look only" not in run("serve", "--no-browser").out


def test_a_browser_is_opened_where_there_are_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    from birdsearch.web import app

    opened = list[str]()
    monkeypatch.setattr(app, "run", lambda index, settings, listening: None)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    run("serve")
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    run("serve", "--no-browser")
    assert opened == []
    run("serve")
    assert [link.partition("=")[0].rpartition("/")[2] for link in opened] == ["open?once"]
