"""A Ray cluster of several hosts on this computer, and runs on it that can be killed.

`python -m tests.support.ray_hosts INDEX PHOTOS ADDRESS DELAY` is one run; its backbone takes DELAY seconds a photo.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import birdsearch
from birdsearch.errors import IndexMissingError
from birdsearch.index import Index
from tests.support import ROOT
from tests.support.fake_backbone import FakeBackbone

MEMORY = 100 << 20  # bytes that the processes of a host share
PATIENCE = 300.0  # seconds, for a busy computer
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_metrics_collection": "0", "RAY_worker_niceness": "0"}
EMBEDS, DECODES, LEADS = "ray::MapWorker", "ray::MapBatches", "ray::embed_all"  # what Ray calls the processes of a run


@dataclass(frozen=True)
class Hosts:
    """A head without processors, and hosts with one each."""

    address: str
    cluster: Any

    def add(self) -> None:
        """One more host."""
        self.cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

    def kill_host(self) -> bool:
        """A host dies at once, with all its processes."""
        self.cluster.remove_node(next(iter(self.cluster.worker_nodes)), allow_graceful=False)
        return True

    def kill_process(self, name: str) -> bool:
        """A process of a run dies at once; False where there is none of this name."""
        raylets = {node.all_processes["raylet"][0].process.pid for node in self.cluster.list_all_nodes()}
        for pid in _below(raylets):
            if _title(pid).startswith(name):
                os.kill(pid, signal.SIGKILL)
                return True
        return False


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """A head and so many hosts, for as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:  # gives back these variables and no others
        for name, value in _SETTINGS.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        from ray.cluster_utils import Cluster

        folder, port = tempfile.mkdtemp(prefix="birds-", dir="/tmp"), free_port()
        head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False, "temp_dir": folder}
        cluster: Any = Cluster(initialize_head=True, head_node_args={**head, "ray_client_server_port": port})
        try:
            made = Hosts(f"ray://127.0.0.1:{port}", cluster)
            for _ in range(count):
                made.add()
            yield made
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def started(index: Path | str, photos: Path, address: str, delay: float = 0.0) -> "subprocess.Popen[str]":
    """A process that does one run."""
    command = [sys.executable, "-m", "tests.support.ray_hosts", str(index), str(photos), address, str(delay)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def results(index: Path) -> int:
    """For how many files the runs on this index have left a result so far."""
    return sum(pq.read_metadata(path).num_rows for path in index.glob("embedding-*/results/*.parquet"))


def wait_until(there: Callable[[], bool], run: "subprocess.Popen[str]") -> bool:
    """Wait for a moment of a run; False where the run has ended before."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and run.poll() is None:
        if there():
            return True
        time.sleep(0.02)
    return False


def open_or_create(path: Path | str, delay: float = 0.0) -> Index:
    """The index, with a backbone of the user's own."""
    try:
        return birdsearch.open(path, backbone=FakeBackbone(delay))
    except IndexMissingError:
        return birdsearch.create(path, backbone=FakeBackbone(delay))


def free_port() -> int:
    """A port of this computer that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def _below(parents: set[int]) -> list[int]:
    """The children of these processes."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            if int(place.read_text().rpartition(")")[2].split()[1]) in parents:
                found.append(int(place.parent.name))
    return found


def main() -> None:
    """One run."""
    index, photos, address, delay = sys.argv[1:]
    with open_or_create(index, float(delay)) as opened:
        report = opened.add(photos, cluster=address)
        print(f"{report.added} added, {report.unchanged} unchanged, {len(report.failed)} failed", flush=True)


if __name__ == "__main__":
    main()
