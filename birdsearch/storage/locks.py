"""What keeps writers of one index apart: a protocol, and the lock of a folder."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from birdsearch.errors import IndexLockedError
from birdsearch.records import shown

_POLL = 0.05  # seconds


class WriterLock(Protocol):
    """Keeps other processes from writing; it ends with the process that holds it."""

    def held(self, *, shared: bool = False) -> AbstractContextManager[bool]:
        """Hold it: the only one, or (`shared`) beside others that share it; gives whether there is no other one.

        Who is alone stays so until `share`. Raises IndexLockedError where others write for longer than is waited.
        """

    def share(self) -> None:
        """Let others in that share it, after what only one writer may do."""

    def building(self) -> AbstractContextManager[None]:
        """Of the writers that share it the one that builds the engine; the others wait."""

    def check(self) -> None:
        """Raises IndexLockedError where it may be held no longer."""


class FolderLock:
    """A lock on the folder of an index, which one process holds."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder
        self._timeout = timeout  # seconds that a writer waits for another process
        self._file = folder / "lock"
        self.writer = folder / "writer.json"
        self._held: os.stat_result | None = None  # while nothing but this file keeps other writers away

    @contextmanager
    def held(self, *, shared: bool = False) -> Iterator[bool]:
        """See `WriterLock`; it is never shared."""
        with ExitStack() as held:
            folder_is_locked = self._take_lock(held)
            self._held = None if folder_is_locked else self._file.stat()
            self.sign()
            try:
                yield True
            finally:
                self._held = None
                with suppress(OSError):
                    self.writer.unlink()

    def share(self) -> None:
        """Nobody is let in."""

    @contextmanager
    def building(self) -> Iterator[None]:
        """There is no other writer."""
        yield

    def _take_lock(self, held: ExitStack) -> bool:
        """Lock the index against other processes; whether its folder is locked, and not a file alone.

        Raises IndexLockedError where another process writes for longer than is waited.
        """
        import filelock

        end = time.monotonic() + self._timeout
        while True:
            try:
                with ExitStack() as taken:
                    folder_is_locked = taken.enter_context(_folder_lock(self._folder))
                    taken.enter_context(filelock.FileLock(self._file).acquire(timeout=0))
                    held.push(taken.pop_all())
                    return folder_is_locked
            except (filelock.Timeout, BlockingIOError) as error:
                if time.monotonic() >= end:
                    name = shown(str(self._folder))
                    raise IndexLockedError(
                        f"{name} is being written by {self._writer_text()}: wait until it is done."
                    ) from error
                time.sleep(_POLL)

    def check(self) -> None:
        """Raises IndexLockedError where another process may be writing, because the file of the lock was deleted."""
        if self._held is None:
            return
        with suppress(OSError):
            if os.path.samestat(self._held, self._file.lstat()):
                return
        raise IndexLockedError(
            f"{shown(str(self._file))} was deleted while this process was writing, so another one may write as well: "
            "nothing more was written. What was committed is safe; run the same command again."
        )

    def sign(self) -> None:
        """Write into writer.json who writes, for those that find the index locked. Needs the lock."""
        writer = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        self.writer.unlink(missing_ok=True)
        with self.writer.open("x", encoding="utf-8") as file:
            file.write(json.dumps(writer))

    def _writer_text(self) -> str:
        try:
            writer = json.loads(self.writer.read_text(encoding="utf-8"))
            return f"process {int(writer['pid'])} on {shown(str(writer['host']))} since {shown(str(writer['since']))}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process"


@contextmanager
def _folder_lock(folder: Path) -> Iterator[bool]:
    """A lock on the folder itself, which nobody deletes as "stale"; gives whether the system has such locks.

    Raises BlockingIOError where another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where a file that is open cannot be deleted
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a folder of the network
            yield False
        else:
            yield True
    finally:
        os.close(handle)
