"""The few steps that move, link or remove a user's file, each safe to be killed in. No other module does any of them.

At every moment a content has at least one name. Nothing is overwritten but a name whose bytes lie elsewhere too.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress

from birdsearch.duplicates.cleanup.journal import Intent
from birdsearch.errors import os_error_text
from birdsearch.files import sha256_of, sync_folder
from birdsearch.records import shown

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_BLOCK = 2**20  # bytes copied at a time
TRASH = ".birdsearch-trash"  # hidden, so that no index takes it for photos


class SkipFile(Exception):  # noqa: N818 - not an error
    """A file stays as it is; the text says why."""


def move(source: str, target: str, run: str, intent: Intent) -> None:
    """Give a file another name, which must be free; on another disk it is a copy, checked before the old one goes.

    Folders are made for it. Raises SkipFile for a file that changes meanwhile, and OSError.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        rename(source, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    before, hidden = os.lstat(source), temporary(target, run, intent)
    copy(source, hidden, intent.sha256)
    try:
        rename(hidden, target)
        sync_folder(os.path.dirname(target))
    except OSError:
        unlink_if_exists(hidden)
        raise
    after = os.lstat(source)
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        os.unlink(target)
        raise SkipFile("changed while it was copied")
    _unlink_or_take_back(source, target)


def _unlink_or_take_back(source: str, target: str) -> None:
    """Remove the old name; where that cannot be, remove the new one."""
    try:
        os.unlink(source)
    except OSError:
        os.unlink(target)
        raise


def rename(source: str, target: str) -> None:
    """Rename without ever overwriting; between the two steps the file has both names."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        os.rename(source, target)  # a file system without links, such as that of a memory card
        return
    _unlink_or_take_back(source, target)


def remove_second_name(intent: Intent) -> None:
    """Remove the new name of a file that still has its old one, with the same bytes."""
    if has_content(intent.path, intent.sha256) and has_content(intent.to, intent.sha256):
        os.unlink(intent.to)


def copy(source: str, target: str, sha256: str) -> None:
    """Copy bytes, mode, times and attributes durably; SkipFile where the copy does not have the sha256."""
    if shutil.disk_usage(os.path.dirname(target)).free < os.stat(source).st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
    try:
        with open(source, "rb") as old, open(target, "xb") as new:
            shutil.copyfileobj(old, new, _BLOCK)
            new.flush()
            shutil.copystat(source, target)
            info = os.fstat(old.fileno())
            with suppress(OSError, AttributeError):
                os.chown(target, info.st_uid, info.st_gid)
            os.fsync(new.fileno())
        if sha256_of(target) != sha256:
            raise SkipFile("changed while it was copied")
    except BaseException:
        unlink_if_exists(target)
        raise


def link_names(intent: Intent, run: str) -> tuple[str, str]:
    """The hidden names that a link uses on its way: of the new file, and of the old one."""
    name = temporary(intent.path, run, intent)
    return f"{name}-new", f"{name}-old"


def link(intent: Intent, run: str) -> int:
    """Lay a name on the bytes of the kept file, in one step; returns the bytes freed."""
    new, old = link_names(intent, run)
    freed = intent.size if os.lstat(intent.path).st_nlink == 1 else 0
    try:
        os.link(os.path.realpath(intent.kept), new)
        os.link(intent.path, old)
    except OSError as error:
        unlink_if_exists(new)
        if error.errno in _NO_LINKS:
            raise SkipFile("hard links are not possible here") from error
        raise
    if inode(new) != intent.kept_inode:
        unlink_if_exists(new)
        unlink_if_exists(old)
        raise SkipFile(f"the kept photo {shown(intent.kept)} was replaced a moment ago")
    os.replace(new, intent.path)
    # Had it been written to since it was checked, its bytes would be lost with its last name.
    last = os.lstat(old)
    if (last.st_size, last.st_mtime_ns) != (intent.size, intent.mtime_ns):
        os.replace(old, intent.path)
        raise SkipFile("changed since the plan was made")
    os.unlink(old)
    return freed


def unlink_from_kept(source: str, intent: Intent, run: str) -> None:
    """Give a name that leads to the bytes of the kept file a file of its own again, a copy of `source`."""
    own = link_names(intent, run)[0]
    copy(source, own, intent.sha256)
    restore_stat(own, intent)
    os.replace(own, intent.path)


def is_linked(intent: Intent) -> bool:
    """Whether the name of a file leads to the bytes of the kept one.

    The recorded device does not count: the same disk may have another number after a reboot.
    """
    here = inode(intent.path)
    return here is not None and (here == inode(intent.kept) or here[1] == intent.kept_inode[1])


def drop_links(intent: Intent, run: str) -> None:
    """Take back what a killed run had begun to link."""
    new, old = link_names(intent, run)
    unlink_if_exists(new)
    if not os.path.lexists(old):
        return
    if inode(intent.path) not in (None, inode(old)) and not is_linked(intent):
        text = f"another file stands in its place, its own is {shown(old)}: move that one away, then undo again"
        raise SkipFile(text)
    os.replace(old, intent.path)
    unlink_if_exists(old)  # a rename between two names of one file does nothing


def restore_stat(path: str, intent: Intent) -> None:
    """Owner, attributes, mode and times as they were."""
    info = os.lstat(path)
    if (info.st_uid, info.st_gid) != intent.owner and hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(path, *intent.owner)
    if intent.kind == "link" and hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in set(os.listxattr(path)) - set(intent.attributes):
                os.removexattr(path, name)
            for name, value in intent.attributes.items():
                os.setxattr(path, name, bytes.fromhex(value))
    if stat.S_IMODE(os.lstat(path).st_mode) != intent.mode:
        os.chmod(path, intent.mode)
    if info.st_mtime_ns != intent.mtime_ns:
        os.utime(path, ns=(intent.atime_ns, intent.mtime_ns))


def has_content(path: str, sha256: str) -> bool:
    """Whether there is a regular file of these bytes."""
    with suppress(FileNotFoundError):
        return stat.S_ISREG(os.lstat(path).st_mode) and sha256_of(path) == sha256
    return False


def unlink_if_exists(name: str) -> None:
    """Remove a temporary file, where it is there."""
    with suppress(FileNotFoundError):
        os.unlink(name)


def temporary(target: str, run: str, intent: Intent) -> str:
    """A hidden name beside the target, of this run alone."""
    return os.path.join(os.path.dirname(target), f".birdsearch-{run}-{intent.number}")


def sync(intents: Iterable[Intent]) -> None:
    """What was moved is on the disk when this returns."""
    names = {name for intent in intents for name in (intent.path, intent.to, *intent.made) if name}
    for folder in {os.path.dirname(name) for name in names}:
        with suppress(OSError):
            sync_folder(folder)


def inode(path: str) -> tuple[int, int] | None:
    """Device and inode of what a name leads to; None where there is nothing."""
    with suppress(OSError):
        info = os.stat(path)
        return info.st_dev, info.st_ino
    return None


def remove_made(intents: Iterable[Intent]) -> None:
    """Remove the folders that the run made, where they are empty."""
    made = {folder for intent in intents for folder in intent.made}
    trash = {folder[: folder.index(TRASH) + len(TRASH)] for folder in made if TRASH in folder}
    for folder in sorted(made | trash, key=len, reverse=True):
        with suppress(OSError):
            os.rmdir(folder)


def reason(error: SkipFile | OSError) -> str:
    """Why a file was left, in words."""
    if isinstance(error, SkipFile):
        return str(error)
    return "the name where it should go is taken" if error.errno == errno.EEXIST else os_error_text(error)
