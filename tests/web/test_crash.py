"""A server that is killed: what it has acknowledged is on the disk, and the index is whole."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import ROOT
from tests.support.drawing import bird, write
from tests.support.index_worker import open_or_create

PHOTOS = 24
DELAY = 0.1  # seconds for two photos: the whole folder takes more than one
MOMENTS = 3


@contextmanager
def server(index: str | Path, delay: float) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client]]:
    """A server of an index in a process of its own, and a client with its key."""
    command = [sys.executable, "-m", "tests.support.server_worker", str(index), str(delay)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address, key = process.stdout.readline().split()
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn photos."""
    folder = tmp_path_factory.mktemp("crash") / "photos"
    for number in range(PHOTOS):
        write(folder / f"{number}.png", bird(number, 72, 54))
    return folder


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_kill_in_a_job_loses_nothing_that_was_acknowledged(moment: int, photos: Path, tmp_path: Path) -> None:
    acknowledged: dict[int, str] = {}
    said: dict[int, str] = {}  # what was asked for last: it may have been written, and its answer not sent
    while_adding = set[int]()
    with server(tmp_path / "index", DELAY) as (process, client):
        job = client.post("/api/v1/jobs", json={"do": "add", "folders": [str(photos)]}).json()
        turn, until = 0, time.monotonic() + 30
        try:
            while time.monotonic() < until:
                for photo_id in client.get("/api/v1/photos/ids", params={"order": "id"}).json():
                    author = f"tab {turn}"
                    said = {photo_id: author}
                    answer = client.put(f"/api/v1/photos/{photo_id}/label", json={"species": "Wren", "author": author})
                    assert answer.status_code == 200, answer.text
                    acknowledged[photo_id] = author
                    if client.get(f"/api/v1/jobs/{job['id']}").json()["state"] == "running":
                        while_adding.add(photo_id)
                    if len(while_adding) > 2 * moment:
                        # Somewhere in the next steps of the server, whatever they are.
                        later = random.Random(moment).random() / 4
                        threading.Timer(later, process.send_signal, [signal.SIGKILL]).start()
                        until = time.monotonic() + 5
                    turn += 1
                time.sleep(0.01)
        except httpx.TransportError:
            pass  # it was killed
    with open_or_create(tmp_path / "index") as index:
        assert index.verify().problems == ()
        here = {label.photo_id: label.author for label in index.labels()}
        lost = {one: here[one] for one, author in acknowledged.items() if here[one] not in (author, said.get(one))}
        assert lost == {}
        assert while_adding, "no label came in between the commits of the job"
        index.add(photos)
        assert len(index) == PHOTOS
        assert index.verify().problems == ()
