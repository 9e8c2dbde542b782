"""The cache of downloaded weights: what is in it has been verified, and every failure says what to do."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from birdsearch.backbones import DEFAULT, brought
from birdsearch.backbones import weights as module
from birdsearch.backbones.weights import Brought, Weights, fetch
from birdsearch.cache import cache_folder
from birdsearch.errors import BackboneUnavailableError
from tests.support.object_store import answering

DATA = bytes(range(256)) * 20_000  # 5 MB: several chunks
SHA256 = hashlib.sha256(DATA).hexdigest()
ADVICE = "Take the built-in one."


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Weights behind a file:// URL, and an empty cache."""
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    (tmp_path / "served/net.pt").write_bytes(DATA)
    return Weights("net", "net.pt", (tmp_path / "served/net.pt").as_uri(), SHA256, 5.1)


def leftovers() -> set[str]:
    return {path.name for path in (cache_folder() / "weights").glob("*")} - {"net.pt.lock"}


def test_fetch_downloads_once_with_progress(published: Weights) -> None:
    seen: list[tuple[str, int, int | None, str]] = []
    path = fetch(published, ADVICE, lambda *step: seen.append(step))
    assert path == cache_folder() / "weights/net.pt"
    assert path.read_bytes() == DATA
    assert [step[1] for step in seen] == sorted({step[1] for step in seen})
    assert seen[-1] == ("download", len(DATA), len(DATA), "net.pt")
    assert leftovers() == {"net.pt"}
    again: list[object] = []
    assert fetch(published, ADVICE, lambda *step: again.append(step)) == path
    assert not again


def test_fetch_takes_a_file_put_there_by_hand(published: Weights) -> None:
    offline = replace(published, url="http://127.0.0.1:9/net.pt")
    offline.path.parent.mkdir(parents=True)
    offline.path.write_bytes(DATA)
    assert fetch(offline, ADVICE) == offline.path


@pytest.mark.parametrize("found", [b"not the weights", DATA[:-1] + b"x"])
def test_fetch_downloads_a_damaged_file_again_and_says_so(
    published: Weights, found: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    published.path.parent.mkdir(parents=True)
    published.path.write_bytes(found)
    assert fetch(published, ADVICE).read_bytes() == DATA
    assert "checksum" in caplog.text
    assert "downloading it again" in caplog.text


def test_fetch_refuses_a_damaged_file_where_no_other_is_to_be_had(published: Weights) -> None:
    offline = replace(published, url="http://127.0.0.1:9/net.pt")
    offline.path.parent.mkdir(parents=True)
    offline.path.write_bytes(b"not the weights")
    with pytest.raises(BackboneUnavailableError) as caught:
        fetch(offline, ADVICE)
    for part in (str(published.path), SHA256, "by hand", ADVICE):
        assert part in str(caught.value)
    assert offline.path.read_bytes() == b"not the weights"


def test_fetch_refuses_a_download_with_another_sha256(published: Weights) -> None:
    wrong = replace(published, sha256="0" * 64)
    with pytest.raises(BackboneUnavailableError, match=SHA256):
        fetch(wrong, ADVICE)
    assert leftovers() == set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/net.pt", "file:///nowhere/net.pt"])
def test_fetch_says_what_to_do_offline(published: Weights, url: str) -> None:
    with pytest.raises(BackboneUnavailableError) as caught:
        fetch(replace(published, url=url), ADVICE)
    for part in ("net.pt", url, SHA256, str(published.path), "by hand", ADVICE):
        assert part in str(caught.value)
    assert leftovers() == set()


def test_fetch_starts_again_after_a_killed_download(published: Weights) -> None:
    published.path.parent.mkdir(parents=True)
    published.path.with_name("net.pt.part").write_bytes(b"half of something")
    assert fetch(published, ADVICE).read_bytes() == DATA
    assert leftovers() == {"net.pt"}


def test_fetch_cleans_up_when_interrupted(published: Weights) -> None:
    def interrupt(*step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(published, ADVICE, interrupt)
    assert leftovers() == set()


def test_fetch_by_two_at_once_downloads_once(published: Weights) -> None:
    downloads: list[int] = []

    def count(stage: str, done: int, total: int | None, path: str) -> None:
        if done == total:
            downloads.append(done)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: fetch(published, ADVICE, count), range(2)))
    assert downloads == [len(DATA)]


def test_fetch_says_when_the_cache_cannot_be_written(published: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = cache_folder()
    blocked.write_text("a file where the folder should be")
    with pytest.raises(BackboneUnavailableError, match="by hand"):
        fetch(published, ADVICE)


@contextmanager
def serving(send: int, *, stall: bool = False) -> Iterator[str]:
    """A server that promises all of DATA, sends `send` bytes of it, then hangs up or stalls."""
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA[:send])
            if stall:
                self.wfile.flush()
                release.wait(10)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with answering(Handler) as address:
        try:
            yield f"{address}/net.pt"
        finally:
            release.set()


def test_fetch_over_http(published: Weights) -> None:
    with serving(len(DATA)) as url:
        assert fetch(replace(published, url=url), ADVICE).read_bytes() == DATA


def test_fetch_refuses_half_a_file(published: Weights) -> None:
    with serving(2_000_000) as url, pytest.raises(BackboneUnavailableError, match="2000000 of 5120000"):
        fetch(replace(published, url=url), ADVICE)
    assert leftovers() == set()


def test_fetch_gives_up_on_a_server_that_stalls(published: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with serving(100, stall=True) as url, pytest.raises(BackboneUnavailableError, match="timed out"):
        fetch(replace(published, url=url), ADVICE)


def test_weights_are_brought_to_a_computer_that_has_none_and_no_network(published: Weights) -> None:
    given = Brought("net", "net.pt", SHA256, DATA)
    (cache_folder() / "weights").mkdir(parents=True)
    (cache_folder() / "weights/net.pt").write_bytes(DATA[:-1] + b"x")  # damaged: they are put in its place
    for _ in range(2):
        assert given.unpacked() == "net"
        assert (cache_folder() / "weights/net.pt").read_bytes() == DATA
    own = replace(given, source=None, file="0123/net.pt").unpacked()
    assert Path(own).read_bytes() == DATA


def test_other_bytes_than_those_that_were_promised_are_not_taken(published: Weights) -> None:
    with pytest.raises(BackboneUnavailableError, match="what came has sha256"):
        Brought("net", "net.pt", SHA256, DATA[:-1] + b"x").unpacked()
    assert leftovers() == set()


def test_a_checkpoint_is_brought_as_it_lies_there(published: Weights, tmp_path: Path) -> None:
    found = brought(str(tmp_path / "served/net.pt"))
    assert found == Brought(None, f"{SHA256[:16]}/net.pt", SHA256, DATA)
    assert brought(DEFAULT) is None  # a package of all hosts has them


def test_cache_folder_is_the_platforms_unless_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("BIRDSEARCH_CACHE")
    assert cache_folder().name == "birdsearch"
    assert cache_folder().is_absolute()
