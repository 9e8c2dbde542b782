"""A process that applies or undoes plans with a fault in it: `python -m tests.support.cleanup_worker` reads one job
(JSON) a line and answers with one.

A child is forked for each job. At the `at`-th call of the cleanup that touches the disk it dies by SIGKILL, or that one
call fails with an errno. `lacking` are calls that this system is said not to have: "renames", "links".
"""

import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from birdsearch.actions import renames
from birdsearch.duplicates.cleanup.plan import read_plan
from birdsearch.errors import BirdsearchError
from birdsearch.storage.catalog.database import Database
from tests.support.photo_library import Library

CHANGING = (
    "link", "unlink", "rename", "replace", "fsync", "mkdir", "rmdir", "chmod", "chown", "utime", "setxattr",
    "removexattr", "write", "ftruncate",
)  # fmt: skip
LOOKING = ("open", "stat", "lstat", "fstat", "read", "lseek", "listxattr", "getxattr")  # they fail, nothing dies there
RENAMES = ("rename_noreplace", "exchange")
_OURS = ("birdsearch/actions", "birdsearch/tags", "duplicates/cleanup", "birdsearch/files.py")  # whose calls count


@dataclass(frozen=True)
class Job:
    """One apply or undo, and its fault."""

    call: str  # "apply", "undo" or "tags"
    photos: str
    index: str
    plan: str
    action: str
    at: int  # the call with the fault, from 0
    error: str = ""  # name of an errno; empty: SIGKILL
    lacking: tuple[str, ...] = ()


class Faults:
    """Counts calls; the one that was chosen has a fault."""

    def __init__(self, job: Job) -> None:
        self.job, self.left = job, job.at
        self.hit = ""  # the name of that call

    def step(self, name: str) -> None:
        """A call is about to be made."""
        self.left -= 1
        if self.left != -1:
            return
        self.hit = name
        if not self.job.error:
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.job.error)
        raise OSError(number, os.strerror(number))

    def around(self, name: str, real: Callable[..., Any], everywhere: bool) -> Callable[..., Any]:
        """The same call, counted where the cleanup makes it."""

        def call(*given: Any, **named: Any) -> Any:
            callers = [sys._getframe(depth).f_code.co_filename for depth in (1, 2)]  # os.path and shutil ask for us
            if everywhere or any(part in caller for caller in callers for part in _OURS):
                self.step(name)
            # A killed process takes nothing from the page cache along: syncing would only make the test slow.
            return None if name == "fsync" else real(*given, **named)

        return call


def carry_out(job: Job) -> dict[str, Any]:
    """Do one job; what became of it."""
    library, faults = Library(Path(job.photos), Path(job.index)), Faults(job)

    def unsupported(*_: object) -> None:
        raise renames.UnsupportedError

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    begin = Database.bump

    def bump(database: Database, connection: Any) -> int:
        faults.step("commit")
        return begin(database, connection)

    lacking = {name: unsupported for name in RENAMES if "renames" in job.lacking}
    counted = CHANGING if not job.error else CHANGING + LOOKING
    with ExitStack() as stack:
        for name in counted:
            real = no_links if name == "link" and "links" in job.lacking else getattr(os, name)
            stack.enter_context(patch.object(os, name, faults.around(name, real, everywhere=name == "fsync")))
        for name in RENAMES:
            real = lacking.get(name, getattr(renames, name))
            stack.enter_context(patch.object(renames, name, faults.around(name, real, everywhere=True)))
        stack.enter_context(patch.object(Database, "bump", bump))
        report, said = None, ""
        try:
            if job.call == "tags":
                report = library.tags(job.action)
            else:
                report = library.undo() if job.call == "undo" else library.apply(read_plan(job.plan), job.action)
        except BirdsearchError as error:
            said = str(error)
        if not job.error:
            faults.step("end")
    return {"hit": faults.hit, "said": said, "report": report and asdict(report)}


def main() -> None:
    """Fork a child for every job; print its answer, or how it died."""
    for line in sys.stdin:
        values = json.loads(line)
        job = Job(**{**values, "lacking": tuple(values["lacking"])})
        source, sink = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                answer = carry_out(job)
            except BaseException:
                answer = {"hit": "?", "said": traceback.format_exc(), "report": None, "broken": True}
            os.write(sink, json.dumps(answer).encode())
            os._exit(0)
        os.close(sink)
        with open(source, "rb") as pipe:
            said = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(said.decode() if status == 0 else json.dumps({"killed": True}), flush=True)


if __name__ == "__main__":
    main()
