"""A process that applies or undoes plans until it is killed: `python -m tests.support.cleanup_worker` reads one job
(JSON) a line.

A child is forked for each job. It dies by SIGKILL just before the `at`-th step that touches the disk.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any
from unittest.mock import patch

from birdsearch.duplicates.cleanup.plan import read_plan
from birdsearch.storage.catalog.database import Database
from tests.support.photo_library import Library

STEPS = ("link", "unlink", "rename", "replace", "fsync", "mkdir", "rmdir", "chmod", "utime")


class Countdown:
    """Kills the process when it has been told of enough steps."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self) -> None:
        """One step is about to be made."""
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def carry_out(job: dict[str, Any]) -> None:
    """Do one job, counting."""
    library = Library(Path(job["photos"]), Path(job["index"]))
    count = Countdown(job["at"])

    def counted(name: str) -> Any:
        real = getattr(os, name)

        def call(*given: Any, **named: Any) -> Any:
            count.step()
            # A killed process takes nothing from the page cache along: syncing would only make the test slow.
            return None if name == "fsync" else real(*given, **named)

        return call

    begin = Database.bump

    def bump(database: Database, connection: Any) -> int:
        count.step()
        return begin(database, connection)

    with patch.multiple(os, **{name: counted(name) for name in STEPS}), patch.object(Database, "bump", bump):
        if job["call"] == "undo":
            library.undo()
        else:
            library.apply(read_plan(job["plan"]), job["action"])
        count.step()


def main() -> None:
    """Fork a child for every job; print how it ended."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                carry_out(json.loads(line))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
