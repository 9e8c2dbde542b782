"""The process of tests.support.index_worker, as a test starts and kills it."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.support import ROOT
from tests.support.index_worker import Plan
from tests.support.postgresql import HOST


class Worker:
    """The process that forks a child for every plan."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.index_worker"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # threads of OpenMP do not survive a fork
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def start(self, plan: Plan) -> int:
        """Begin a plan; returns the child's process id."""
        self.log.unlink(missing_ok=True)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"log": str(self.log), "postgresql": os.environ.get(HOST), **plan}) + "\n")
        self.process.stdin.flush()
        self.pid = self._number("started")
        return self.pid

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the child, which may have ended."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit status of the child."""
        return self._number("ended")

    def run(self, plan: Plan) -> int:
        """Begin and wait."""
        self.start(plan)
        return self.wait()

    def close(self) -> None:
        """End it."""
        with suppress(BrokenPipeError):
            self.process.communicate()

    def said(self) -> str:
        """What the last child left in its log."""
        return self.log.read_text() if self.log.exists() else ""

    def _number(self, word: str) -> int:
        assert self.process.stdout is not None
        said, number = self.process.stdout.readline().split()
        # A test that failed half-way must not make the next one take an exit status for a process to be killed.
        assert said == word
        return int(number)
