"""Servers of Milvus for tests and benchmarks: a real one, that of the wheel `milvus`, and Milvus Lite on the loopback.

The real one listens on all interfaces, so it is started in a network namespace that has nothing but a loopback:
`command()` gives the command line that runs a module there.
"""

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support import ROOT

VERSION = "2.3.5"  # the last one that PyPI has with a server inside
PORT = 19530
WHEEL = ROOT / "build" / f"milvus-{VERSION}"  # git ignores it
_START = """
import socket, sys, time

class Socket(socket.socket):
    def bind(self, address):  # else the server listens elsewhere for a minute after it was killed
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        super().bind(address)

socket.socket = Socket
from milvus import MilvusServer
server = MilvusServer(None, debug=False)
server.set_base_dir(sys.argv[1])
server.listen_port = int(sys.argv[2])
server.start()
print("up", server.server_proc.pid, flush=True)
while server.server_proc.poll() is None:
    time.sleep(0.2)
"""


def why_not() -> str:
    """Why no server can be started here, in words; empty where one can. The wheel is fetched once (58 MB)."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the wheel milvus holds a server for Linux on x86-64"
    if not _namespace():
        return "no network namespace can be made here (unshare -n)"
    if not (WHEEL / "milvus").exists():
        WHEEL.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WHEEL.parent) as place:
            fetch = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place]
            done = subprocess.run([*fetch, f"milvus=={VERSION}"], capture_output=True, text=True, check=False)
            if done.returncode:
                return f"the wheel milvus {VERSION} cannot be fetched: {done.stderr.strip()[-200:]}"
            Path(place).rename(WHEEL)
            Path(place).mkdir()  # that is then removed
    return ""


def command(module: str, *words: str) -> list[str]:
    """The command line that runs a Python module in a network namespace of its own."""
    inside = 'ip link set lo up && exec "$@"'
    return [*_namespace(), "sh", "-c", inside, "sh", sys.executable, "-m", module, *words]


def _namespace() -> Sequence[str]:
    """The command that makes the namespace; empty where none may."""
    ways = (["unshare", "-n"], ["unshare", "-rn"])
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return ()
    return next(
        (way for way in ways if not subprocess.run([*way, "true"], capture_output=True, check=False).returncode), ()
    )


class Server:
    """A server over a folder, to be used inside of the namespace."""

    address = f"milvus://127.0.0.1:{PORT}"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pid = 0
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]  # grpc would ask a proxy even for the loopback

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        words = [sys.executable, "-c", _START, str(self.folder), str(PORT)]
        self._starter = subprocess.Popen(
            words,
            env={**os.environ, "PYTHONPATH": str(WHEEL)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._starter.stdout is not None
        line = self._starter.stdout.readline().split()
        if line[:1] != ["up"]:
            raise RuntimeError("the Milvus server has not started")
        self._pid = int(line[1])

    def kill(self, how: int = signal.SIGKILL) -> None:
        """End it at once."""
        os.kill(self._pid, how)
        self._starter.wait(60)


class LiteServer:
    """Milvus Lite as a server of the loopback: up at once, and as dead or as slow as one may be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            self._port = place.getsockname()[1]
        self.address = f"milvus://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        where = ["--host", "127.0.0.1", "--port", str(self._port), "--data-dir", str(self.folder)]
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "milvus_lite", "server", *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        assert b"listening" in self._process.stdout.readline()

    def pause(self) -> None:
        """Let it answer no more, and refuse nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.communicate()
