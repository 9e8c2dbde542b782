"""What a file has beside its bytes: owner, mode, times, extended attributes; and how open a folder is."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress

from birdsearch.actions.journal import Intent
from birdsearch.errors import os_error_text

_NO_ATTRIBUTES = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class NotRestoredError(Exception):
    """A file is in its place, but without all that it had beside its bytes; the text says what is missing."""


def extended(path: str) -> dict[str, str] | None:
    """The extended attributes of a file (tags, ACLs), values in hex; None where they cannot be known."""
    if not hasattr(os, "listxattr"):
        return None
    try:
        return {name: os.getxattr(path, name).hex() for name in os.listxattr(path)}
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return None
        raise


def recorded(number: int, kind: str, path: str, info: os.stat_result, sha256: str) -> Intent:
    """The intent for a file as it is, with all that `restore` needs; `info` is what `os.lstat` says of it."""
    return Intent(
        number=number,
        kind=kind,
        path=path,
        sha256=sha256,
        size=info.st_size,
        mode=stat.S_IMODE(info.st_mode),
        mtime_ns=info.st_mtime_ns,
        atime_ns=info.st_atime_ns,
        owner=(info.st_uid, info.st_gid),
        attributes=extended(path),
    )


def restore(path: str, intent: Intent) -> None:
    """Give a file back all that it had before the run. Raises NotRestoredError for what cannot be set."""
    what = "what it had beside its bytes"
    try:
        for name, change in _changes(path, intent):
            what = name
            change()
    except OSError as error:
        why = f"{what} could not be set ({os_error_text(error)})"
        raise NotRestoredError(f"it is back, but {why}: undo again where that is possible") from error
    with suppress(OSError):  # the last reading is not worth an error
        if os.lstat(path).st_atime_ns != intent.atime_ns:
            os.utime(path, ns=(intent.atime_ns, intent.mtime_ns))


def imitate(copy: str, original: str) -> None:
    """Give a copy what its disk can keep of all that the original has beside its bytes."""
    info = os.stat(original)
    with suppress(OSError, AttributeError):
        os.chown(copy, info.st_uid, info.st_gid)
    for name, value in (extended(original) or {}).items():
        with suppress(OSError):
            os.setxattr(copy, name, bytes.fromhex(value))
    with suppress(OSError):
        os.chmod(copy, stat.S_IMODE(info.st_mode))
    with suppress(OSError):
        os.utime(copy, ns=(info.st_atime_ns, info.st_mtime_ns))


def _changes(path: str, intent: Intent) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is not as before, in words, and what sets it; in the order in which one does not undo the other."""
    info = os.lstat(path)
    if (info.st_uid, info.st_gid) != intent.owner and hasattr(os, "chown"):
        yield "its owner", lambda: os.chown(path, *intent.owner)
    if intent.attributes is not None:
        had = extended(path) or {}
        for name in had.keys() - intent.attributes.keys():
            yield f"the lack of {name}", lambda name=name: os.removexattr(path, name)  # type: ignore[misc]
        for name, value in intent.attributes.items():
            if had.get(name) != value:
                new = bytes.fromhex(value)
                yield name, lambda name=name, new=new: os.setxattr(path, name, new)  # type: ignore[misc]
    if stat.S_IMODE(os.lstat(path).st_mode) != intent.mode:
        yield "its mode", lambda: os.chmod(path, intent.mode)
    if os.lstat(path).st_mtime_ns != intent.mtime_ns:
        yield "its times", lambda: os.utime(path, ns=(intent.atime_ns, intent.mtime_ns))


def can_own(owner: tuple[int, int]) -> bool:
    """Whether this process may give a copy to an owner (user, group)."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        return True
    return owner[0] == os.geteuid() and owner[1] in {os.getegid(), *os.getgroups()}


def lost_on(folder: str) -> tuple[str, ...]:
    """What the disk of a folder cannot keep of a file, in words; found out with a file that has no name."""
    lost = []
    with tempfile.TemporaryFile(dir=folder) as probe:
        handle = probe.fileno()
        if hasattr(os, "setxattr"):
            try:
                os.setxattr(handle, "user.birdsearch", b"1")
            except OSError:
                lost.append("extended attributes (tags, ACLs)")
        with suppress(OSError):
            os.chmod(handle, 0o604)
        if stat.S_IMODE(os.fstat(handle).st_mode) != 0o604:
            lost.append("modes and owners")
        with suppress(OSError):
            os.utime(handle, ns=(10**18 + 1, 10**18 + 1))
        if os.fstat(handle).st_mtime_ns != 10**18 + 1:
            lost.append("exact times")
    return tuple(lost)


# Folders ------------------------------------------------------------------------------------------------------------


def openness(folder: str, below: str = os.sep) -> int:
    """What a folder grants, and every folder on the way from `below` into it."""
    mode = 0o777
    while True:
        mode &= stat.S_IMODE(os.stat(folder).st_mode)
        if folder == below or folder == (above := os.path.dirname(folder)):
            return mode
        folder = above


def is_more_open(folder: str, other: str) -> bool:
    """Whether a folder lets in somebody who is kept out of the other one, below the folder that both lie in."""
    if os.path.splitdrive(folder)[0] != os.path.splitdrive(other)[0]:
        return False  # Windows, where these bits mean nothing
    both = os.path.commonpath([folder, other])
    return bool(openness(folder, both) & ~openness(other, both))


def make_folder(folder: str, like: str) -> None:
    """Make a folder, and those above it, each no more open than the folder `like`."""
    missing: list[str] = []
    while not os.path.lexists(folder):
        missing, folder = [folder, *missing], os.path.dirname(folder)
    for each in missing:
        os.mkdir(each, 0o700)
        mode, group = openness(like) | 0o700, os.stat(like).st_gid
        if os.stat(each).st_gid != group:
            try:
                os.chown(each, -1, group)
            except (OSError, AttributeError):
                mode &= ~0o070
        os.chmod(each, mode)
