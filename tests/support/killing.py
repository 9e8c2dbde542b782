"""Kill a writer, or the PostgreSQL server, while photos are indexed into it; and what must hold afterwards."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import birdsearch
from birdsearch.storage.store import Store
from tests.support.drawing import bird, write
from tests.support.index_worker import REFUSED, Plan, backbone, work
from tests.support.postgresql import Server
from tests.support.worker_process import Worker

Victim = Literal["writer", "server"]


@dataclass
class Campaign:
    """Photos, and an index of them in a server that survives kills."""

    server: Server
    folder: Path
    count: int = 40
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.photos = self.folder / "photos"
        for number in range(self.count):
            write(self.photos / f"Wren/{number:03}.jpg", bird(number, 72, 54))

    def begin(self, name: str) -> None:
        """A new, empty index."""
        self.address = self.server.address(self.folder / name, name)
        birdsearch.create(self.address, backbone=backbone()).close()

    def plan(self, delay: float = 0.0) -> Plan:
        """A run of `add` in small commits."""
        step = {"call": "add", "folders": str(self.photos), "labels": "folder"}
        return {"index": self.address, "batch": 2, "commit": 4, "delay": delay, "step": step}

    def committed(self) -> int:
        """How many photos the catalog holds."""
        with closing(Store.open(self.address, backbone())) as store:
            return store.catalog.count()

    def kill(self, victim: Victim, worker: Worker, at: float, chance: random.Random) -> int:
        """Kill at this share of a run; returns how many photos were acknowledged before. Then let the server answer."""
        worker.start(self.plan(delay=0.05))
        until(lambda: self.committed() >= at * self.count)
        time.sleep(0.1 * chance.random())
        acknowledged = self.committed()
        if victim == "writer":
            worker.kill()
            assert worker.wait() == -signal.SIGKILL, worker.said()
        else:
            self.server.kill()
            assert worker.wait() == REFUSED, worker.said()
            assert worker.said().startswith("IndexUnreachableError: cannot use birds+postgresql://"), worker.said()
            assert "run the same command again" in worker.said()
            self.server.start()
        return acknowledged

    def check(self, acknowledged: int) -> None:
        """Nothing that was acknowledged is lost; after the next run each file is in the index once, and it is whole."""
        assert self.committed() >= acknowledged
        work(self.plan())
        with birdsearch.open(self.address, backbone=backbone()) as index:
            paths = [photo.path for photo in index.photos()]
            assert len(paths) == len(set(paths)) == self.count
            assert index.info()["regions"] == self.count
            report = index.verify()
            assert report.ok, report.problems
            assert len({match.photo.id for match in index.search(index.photos()[0], k=self.count)}) == self.count - 1
        parts = {path.name for path in (Path(index.path) / "vectors").iterdir()}
        with closing(Store.open(self.address, backbone())) as store:
            assert parts == {f"{part.id:08d}.parquet" for part in store.catalog.parts()}


def until(what: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"waited in vain, process {os.getpid()}"
        time.sleep(0.01)
