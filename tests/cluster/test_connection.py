"""A cluster that cannot be reached is told in words before anything is written."""

import socket
import sys
from pathlib import Path

import pytest

from birdsearch import Index
from birdsearch.errors import ClusterError
from tests.support import drawing
from tests.support.ray_hosts import free_port


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    drawing.write(tmp_path / "photos/1.png", drawing.bird(1, 72, 54))
    return tmp_path / "photos"


def refused(index: Index, photos: Path, address: str) -> str:
    """What is said."""
    with pytest.raises(ClusterError) as caught:
        index.add(photos, cluster=address)
    assert len(index) == 0
    assert not list(index.path.glob("embedding-*"))
    assert index.add(photos).added == 1  # nothing is in the way of a run without it
    return str(caught.value)


def test_nobody_answers(index: Index, photos: Path) -> None:
    pytest.importorskip("ray")
    port = free_port()
    said = refused(index, photos, f"ray://127.0.0.1:{port}")
    assert said.startswith(f"nothing answers at ray://127.0.0.1:{port} (")
    assert "is the cluster up" in said


def test_the_port_is_no_number(index: Index, photos: Path) -> None:
    pytest.importorskip("ray")
    assert "nothing answers at ray://127.0.0.1:http" in refused(index, photos, "ray://127.0.0.1:http")


def test_ray_of_another_version(index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def init(*_: object, **__: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.10.1\n")

    monkeypatch.setattr(ray, "init", init)
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = refused(index, photos, f"ray://127.0.0.1:{server.getsockname()[1]}")
    assert "cannot be used: Version mismatch: The cluster was started with: Ray: 2.9.0 Python: 3.10.1" in said
    assert not ray.is_initialized()


def test_ray_is_not_installed(index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert 'pip install "birdsearch[cluster]"' in refused(index, photos, "local")


def test_a_process_that_uses_ray_already(index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("ray"), "is_initialized", lambda: True)
    assert "call ray.shutdown() before" in refused(index, photos, "local")


def test_a_head_that_is_busy_is_asked_again(index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray, asked = pytest.importorskip("ray"), []

    def init(address: str, **_: object) -> None:
        asked.append(address)
        raise ConnectionAbortedError(
            "Initialization failure from server:\nTraceback (most recent call last):\nTwice dead"
        )

    monkeypatch.setattr(ray, "init", init)
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = refused(index, photos, f"ray://127.0.0.1:{server.getsockname()[1]}")
    assert said.endswith("cannot be used: Twice dead")
    assert len(asked) == 3
