"""The few steps that move, link, write or remove a user's file, each safe to be killed in and safe to fail in. No other
module does any of them.

At every moment a content has at least one name, and nothing is overwritten. A name is removed only while it is hidden,
where nobody saves, and after the file that makes it superfluous was found under its own name once more: two names that
lead to one file, by links or by mounts, are not two copies.

The hidden names lie beside the file and belong to one run: N is a copy that is not whole yet, N-old a file that is
about to be removed, N-new a second name of the kept file, or what is written, N-own a copy that will take the place of
a hard link, or of what was written.
"""

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from birdsearch.actions import attributes, delta, renames
from birdsearch.actions.journal import Intent
from birdsearch.actions.renames import UnsupportedError
from birdsearch.errors import PlanError, os_error_text
from birdsearch.files import sync_folder
from birdsearch.records import shown

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF, errno.ENOENT}
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_BLOCK = 2**20  # bytes copied at a time
_HELD_SECONDS = 0.1  # for which a program that looks at files may hold a folder
TRASH = ".birdsearch-trash"  # hidden, so that no index takes it for photos


class SkipFile(Exception):  # noqa: N818 - not an error
    """A file stays as it is; the text says why."""


# Looking ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """A regular file at one moment: while this stays the same, so do its bytes."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> "Seen | None":
        """None for what is not a regular file."""
        return cls(info.st_ino, info.st_size, info.st_mtime_ns) if stat.S_ISREG(info.st_mode) else None


def seen(path: str) -> Seen | None:
    """The regular file of this name; None where there is none. Links are not followed."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return Seen.of(os.lstat(path))
    return None


def checked(path: str, sha256: str) -> Seen | None:
    """The regular file of this name if it has these bytes and keeps still; never waits for a pipe."""
    try:
        handle = os.open(path, _READ)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    with open(handle, "rb") as file:
        before = Seen.of(os.fstat(handle))
        if before is None or hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return None
        return before if before == Seen.of(os.fstat(handle)) == seen(path) else None


def _are_two_names(one: str, other: str) -> bool:
    """Whether these are two hard links of one file; a file that is mounted under another name has one link only."""
    info = os.lstat(one)
    return info.st_nlink > 1 and os.path.samestat(info, os.lstat(other))


def _is_still(path: str, file: Seen, sha256: str) -> bool:
    """Whether this name leads to a file that was checked under another one."""
    now = seen(path)
    if now is None or (now.size, now.mtime_ns) != (file.size, file.mtime_ns):
        return False
    return now.inode == file.inode or checked(path, sha256) is not None  # some file systems number files anew


def inode(path: str) -> tuple[int, int] | None:
    """Device and inode of what a name leads to; None where there is nothing. Raises OSError where nobody can tell."""
    with suppress(FileNotFoundError, NotADirectoryError):
        info = os.stat(path)
        return info.st_dev, info.st_ino
    return None


# Moving -------------------------------------------------------------------------------------------------------------


def move(source: str, target: str, run: str, intent: Intent, file: Seen) -> None:
    """Give a checked file another name, which must be free; on another disk it is a copy, checked before the old goes.

    Folders are made for it. Raises SkipFile for a file that changes meanwhile, and OSError; `settle` then says where
    the file is, and puts right what was begun.
    """
    attributes.make_folder(os.path.dirname(target), os.path.dirname(source))
    try:
        rename(source, target, _hidden(source, run, intent, "-old"))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_by_copy(source, target, run, intent, file)
        return
    if not _is_still(target, file, intent.sha256):
        _put_back(target, source)
        raise SkipFile("changed a moment ago")


def rename(source: str, target: str, aside: str = "") -> None:
    """Rename without ever overwriting, in one step where the system has it; else by way of a hidden name."""
    try:
        renames.rename_noreplace(source, target)
        return
    except UnsupportedError:
        pass
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        os.rename(source, target)  # a file system without links, such as that of a memory card
        return
    linked = seen(target)
    if linked is not None:
        _remove(source, aside or f"{source}-old", linked, lambda: seen(target) == linked)


def _move_by_copy(source: str, target: str, run: str, intent: Intent, file: Seen) -> None:
    copied = _copy_to(target, source, run, intent)
    try:
        sync_folder(os.path.dirname(target))
        _remove(source, _hidden(source, run, intent, "-old"), file, lambda: seen(target) == copied)
    except (SkipFile, OSError):
        if seen(source) not in (None, copied) and seen(target) == copied:
            os.unlink(target)  # our own copy, of a file that is there
        raise


def _remove(name: str, aside: str, file: Seen, is_superfluous: Callable[[], bool]) -> None:
    """Remove a name of a checked file, where what makes it superfluous is found while the name is hidden."""
    _put_back(name, aside)
    try:
        if seen(aside) != file:
            raise SkipFile("changed a moment ago")
        if not is_superfluous():
            text = "what was taken for a second file is the same one by another name, or is gone"
            raise SkipFile(f"{shown(name)} is the only file of these bytes: {text}")
        os.unlink(aside)
    except BaseException:
        if os.path.lexists(aside):
            _put_back(aside, name)
        raise


def _put_back(source: str, target: str) -> None:
    """Rename within a folder or a disk; SkipFile where another file was saved under the name."""
    try:
        try:
            renames.rename_noreplace(source, target)
        except UnsupportedError:
            if os.path.lexists(target):
                raise FileExistsError from None
            os.rename(source, target)
    except FileExistsError as error:
        text = f"another file was saved as {shown(target)} meanwhile; its own is {shown(source)}: move one of them away"
        raise SkipFile(text) from error


def settle(intent: Intent, run: str) -> bool:
    """Whether a file has gone to its new place, or its name to the kept file; what was only begun is put right.

    Raises SkipFile and OSError where that cannot be told: `undo` will say what stands in the way.
    """
    if intent.kind == "link":
        drop_links(intent, run)
        return is_linked(intent)
    if intent.kind == "write":
        _drop_written(intent, run)
        return is_written(intent)
    unhide(intent, run)
    if seen(intent.to) is None:
        return False
    gone = checked(intent.to, intent.sha256)
    if os.path.lexists(intent.path):
        if gone is None or checked(intent.path, intent.sha256) is None:
            raise SkipFile(f"{shown(intent.to)} and {shown(intent.path)} differ: look at both")
        remove_second(intent, run, gone)
        return False
    if gone is None:
        raise SkipFile(f"its copy {shown(intent.to)} has been changed: look at it and put it back by hand")
    return True


def remove_second(intent: Intent, run: str, file: Seen) -> None:
    """Remove the new name of a file that lies under its old name too. SkipFile where the two names are one file."""
    aside = _hidden(intent.to, run, intent, "-old")
    beside = os.path.join(os.path.dirname(intent.path), os.path.basename(aside))

    def is_superfluous() -> bool:
        # A name never asked for before is in no cache of a network: where it is seen, the two folders are one.
        one_folder = os.path.lexists(beside) and os.path.basename(intent.to) == os.path.basename(intent.path)
        if one_folder or checked(intent.path, intent.sha256) is None:
            return False
        return _are_two_names(aside, intent.path) or not os.path.samefile(aside, intent.path)

    _remove(intent.to, aside, file, is_superfluous)


def unhide(intent: Intent, run: str) -> None:
    """Give a file that a move had hidden its name back, and remove a copy that is not whole."""
    for place in (intent.path, intent.to):
        old = _hidden(place, run, intent, "-old")
        if not os.path.lexists(old):
            continue
        if os.path.lexists(place) and _are_two_names(old, place):
            os.unlink(old)  # its second name
        else:
            _put_back(old, place)
    for place in (intent.path, intent.to):
        unlink_if_exists(_hidden(place, run, intent))


# Copying ------------------------------------------------------------------------------------------------------------


def copy(source: str, target: str, sha256: str) -> Seen:
    """Copy a file durably with all that the disk can keep; SkipFile where the copy does not have the sha256."""
    info = os.stat(source)
    if shutil.disk_usage(os.path.dirname(target)).free < min(info.st_size, getattr(info, "st_blocks", 2**53) * 512):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
    old = os.open(source, _READ)
    try:
        new = os.open(target, _WRITE, 0o600)
        try:
            _copy_bytes(old, new)
            attributes.imitate(target, source)
            os.fsync(new)
        finally:
            os.close(new)
        if copied := checked(target, sha256):
            return copied
        raise SkipFile("changed while it was copied")
    except FileExistsError:
        raise
    except BaseException:
        unlink_if_exists(target)
        raise
    finally:
        os.close(old)


def _copy_to(target: str, source: str, run: str, intent: Intent) -> Seen:
    """A copy that has its name when it is whole."""
    hidden = _hidden(target, run, intent)
    copied = copy(source, hidden, intent.sha256)
    try:
        rename(hidden, target)
    except BaseException:
        unlink_if_exists(hidden)
        raise
    return copied


def _copy_bytes(old: int, new: int) -> None:
    """All bytes from one descriptor to another; holes stay holes."""
    size, at = os.fstat(old).st_size, 0
    while at < size:
        at, end = _extent(old, at, size)
        os.lseek(old, at, os.SEEK_SET)
        os.lseek(new, at, os.SEEK_SET)
        while at < end and (block := os.read(old, min(_BLOCK, end - at))):
            at += len(block)
            while block:
                block = block[os.write(new, block) :]
        if at < end:
            break  # it has become shorter: its sha256 will tell
    os.ftruncate(new, size)


def _extent(handle: int, at: int, size: int) -> tuple[int, int]:
    """Where the next bytes begin that are not a hole, and where they end."""
    if not hasattr(os, "SEEK_DATA"):
        return at, size
    try:
        begin = os.lseek(handle, at, os.SEEK_DATA)
        return begin, os.lseek(handle, begin, os.SEEK_HOLE)
    except OSError as error:
        return (size, size) if error.errno == errno.ENXIO else (at, size)


# Hard links ---------------------------------------------------------------------------------------------------------


def link(intent: Intent, run: str, file: Seen, kept: Seen) -> None:
    """Lay the name of a checked file on the bytes of the kept one, in one step. `settle` puts a failure right."""
    new = _hidden(intent.path, run, intent, "-new")
    place = os.path.realpath(intent.kept)
    try:
        os.link(place, new)
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise SkipFile("hard links are not possible here") from error
        raise
    if seen(new) != kept:
        raise SkipFile(f"the kept photo {shown(intent.kept)} was replaced a moment ago")
    old = _swap(new, intent.path, _hidden(intent.path, run, intent, "-old"))
    if seen(old) != file:
        raise SkipFile("changed since the plan was made")
    if not seen(intent.path) == seen(place) == kept:
        raise SkipFile(f"the kept photo {shown(intent.kept)} was replaced a moment ago")
    os.unlink(old)


def _swap(new: str, path: str, aside: str) -> str:
    """Lay a hidden file under a name that is taken; returns the hidden name which the file of that name has now."""
    try:
        renames.exchange(new, path)
        return new
    except UnsupportedError:
        _put_back(path, aside)
    try:
        os.link(new, path)
    except OSError:
        _put_back(aside, path)
        raise
    os.unlink(new)
    return aside


def unlink_from_kept(source: str, intent: Intent, run: str) -> None:
    """Give a name that leads to the bytes of the kept file a file of its own again, a copy of `source`."""
    own = _hidden(intent.path, run, intent, "-own")
    before = seen(intent.path)
    _copy_to(own, source, run, intent)
    if before is None:
        _put_back(own, intent.path)
        return
    try:
        old = _swap(own, intent.path, _hidden(intent.path, run, intent, "-old"))
    except OSError:
        if seen(intent.path) is not None:
            unlink_if_exists(own)  # our own copy, of a file that is there
        raise
    if seen(old) == before or inode(old) == inode(intent.kept):
        os.unlink(old)
        return
    spare = _swap(old, intent.path, _hidden(intent.path, run, intent, "-spare"))
    if checked(spare, intent.sha256) and checked(intent.kept, intent.sha256):
        os.unlink(spare)
    raise SkipFile("it was saved a moment ago: what was saved stays")


def is_linked(intent: Intent) -> bool:
    """Whether the name of a file leads to the bytes of the kept one.

    The recorded device does not count: the same disk may have another number after a reboot.
    """
    here = inode(intent.path)
    return here is not None and (here == inode(intent.kept) or here[1] == intent.kept_inode[1])


def has_gone(intent: Intent) -> bool:
    """Whether a file is no longer in its place but where the run puts it, by names alone; or is as the run wrote it."""
    if intent.kind == "link":
        return is_linked(intent)
    if intent.kind == "write":
        return is_written(intent)
    return os.path.lexists(intent.to) and not os.path.lexists(intent.path)


def drop_links(intent: Intent, run: str) -> None:
    """Take back, or bring to its end, what was begun to be linked or to be given a file of its own."""
    unlink_if_exists(_hidden(intent.path, run, intent))
    for word in ("-old", "-new", "-own", "-spare"):
        name = _hidden(intent.path, run, intent, word)
        if not os.path.lexists(name):
            continue
        if not os.path.lexists(intent.path):
            _put_back(name, intent.path)
        elif _is_second(name, intent):
            os.unlink(name)
        elif is_linked(intent):
            spare = _swap(name, intent.path, _hidden(intent.path, run, intent, "-spare"))
            if _is_second(spare, intent):
                os.unlink(spare)
        else:
            raise SkipFile(f"another file stands in its place, its own is {shown(name)}: move that one away")


def _is_second(name: str, intent: Intent) -> bool:
    """Whether the bytes of a hidden name have another name, or lie in the file's own place too."""
    names = (intent.path, os.path.realpath(intent.kept))
    if any(os.path.lexists(other) and _are_two_names(name, other) for other in names):
        return True
    return bool(checked(name, intent.sha256) and checked(intent.path, intent.sha256))


def delete(intent: Intent) -> None:
    """Delete a file from the trash for good; SkipFile where it is not what was put there."""
    if checked(intent.to, intent.sha256) is None:
        raise SkipFile("it has been changed since it was put there: look at it")
    os.unlink(intent.to)


# Writing ------------------------------------------------------------------------------------------------------------


def new_copy(target: str, source: str, sha256: str) -> Seen:
    """A copy of a file to write in, checked and durable; the original, as it was seen."""
    if (file := checked(source, sha256)) is None:
        raise SkipFile("changed since the plan was made")
    copy(source, target, sha256)
    return file


def make_durable(copied: str, like: str | None) -> None:
    """All of a finished copy is on the disk, and it has what the file beside its bytes has whose place it takes."""
    if like is not None:
        attributes.imitate(copied, like)
        with suppress(OSError):
            os.utime(copied)  # other programs look by the time whether they have to read it again
    handle = os.open(copied, os.O_RDWR if os.name == "nt" else _READ)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(copied: str, intent: Intent, run: str, file: Seen | None) -> None:
    """Lay a finished copy in the place of a checked file, in one step, or under a name that is free.

    `settle` puts a failure right.
    """
    new = _hidden(intent.path, run, intent, "-new")
    os.rename(copied, new)
    _lay(new, intent.path, file)


def unwrite(intent: Intent, run: str, file: Seen) -> None:
    """Lay the bytes of before in the place of what was written; a file that was made goes. `settle` puts it right."""
    if not intent.sha256:
        _remove(intent.path, _hidden(intent.path, run, intent, "-old"), file, lambda: True)
        return
    with open(intent.path, "rb") as written:
        data = delta.restored(intent.pieces, written.read())
    half, own = _hidden(intent.path, run, intent), _hidden(intent.path, run, intent, "-own")
    handle = os.open(half, _WRITE, 0o600)
    with open(handle, "wb") as again:
        again.write(data)
        again.flush()
        os.fsync(handle)
    attributes.imitate(half, intent.path)
    if checked(half, intent.sha256) is None:
        unlink_if_exists(half)
        raise SkipFile("its bytes of before cannot be made of what the journal says: restore it from a backup")
    os.rename(half, own)
    _lay(own, intent.path, file)


def is_written(intent: Intent) -> bool:
    """Whether a file is as the run wrote it."""
    return checked(intent.path, intent.new_sha256) is not None


def is_as_before(intent: Intent) -> bool:
    """Whether a file has the bytes of before it was written; one that was made is not there."""
    return checked(intent.path, intent.sha256) is not None if intent.sha256 else not os.path.lexists(intent.path)


def _lay(new: str, path: str, file: Seen | None) -> None:
    """Give a hidden file of ours the name of a checked one, which goes; or a free name."""
    ours = seen(new)
    try:
        if file is None:
            rename(new, path)
        else:
            _replace(new, path, file)
    except BaseException:
        if ours is not None and seen(new) == ours:
            os.unlink(new)
        raise


def _replace(new: str, path: str, file: Seen) -> None:
    if seen(path) != file:
        raise SkipFile("changed a moment ago")
    try:
        renames.exchange(new, path)
    except UnsupportedError:
        os.replace(new, path)
        return
    if seen(new) != file:
        renames.exchange(new, path)  # what was saved in this moment is back
        raise SkipFile("changed a moment ago")
    os.unlink(new)


def _drop_written(intent: Intent, run: str) -> None:
    """Remove what a killed run, or undo, has left beside a file that it wrote."""
    unlink_if_exists(_hidden(intent.path, run, intent))
    for word in ("-new", "-own", "-old"):
        name = _hidden(intent.path, run, intent, word)
        if not os.path.lexists(name):
            continue
        if not any(sha256 and checked(name, sha256) for sha256 in (intent.sha256, intent.new_sha256)):
            raise SkipFile(f"another file was saved at that moment, which is {shown(name)}: look at both")
        os.unlink(name)


# Around the steps ---------------------------------------------------------------------------------------------------


def unlink_if_exists(name: str) -> None:
    """Remove a copy that is not whole, where it is there."""
    with suppress(FileNotFoundError):
        os.unlink(name)


def _hidden(place: str, run: str, intent: Intent, word: str = "") -> str:
    """A hidden name beside a file, of this run alone."""
    return os.path.join(os.path.dirname(place), f".birdsearch-{run}-{intent.number}{word}")


def hidden_names(intent: Intent, run: str) -> list[str]:
    """Where a file may be that was on its way when the process was killed."""
    places = filter(None, (intent.path, intent.to))
    return [_hidden(place, run, intent, word) for place in places for word in ("", "-old", "-new", "-own", "-spare")]


def sync(intents: Iterable[Intent]) -> None:
    """What was moved is on the disk when this returns. Raises PlanError where the disk refuses."""
    names = {name for intent in intents for name in (intent.path, intent.to, *intent.made) if name}
    for folder in sorted({os.path.dirname(name) for name in names}):
        try:
            sync_folder(folder)
        except OSError as error:
            if error.errno not in _NO_SYNC:
                what = f"the disk of {shown(folder)} cannot be written: {os_error_text(error)}"
                raise PlanError(f"{what}. What was done is written down: `birdsearch undo` takes it back.") from error


def remove_made(intents: Iterable[Intent]) -> None:
    """Remove the folders that the run made, where they are empty."""
    made = {folder for intent in intents for folder in intent.made}
    trash = {folder[: folder.index(TRASH) + len(TRASH)] for folder in made if TRASH in folder}
    for folder in sorted(made | trash, key=len, reverse=True):
        try:
            os.rmdir(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                time.sleep(_HELD_SECONDS)
                with suppress(OSError):
                    os.rmdir(folder)


def reason(error: SkipFile | OSError | attributes.NotRestoredError) -> str:
    """Why a file was left, in words."""
    if not isinstance(error, OSError):
        return str(error)
    return "the name where it should go is taken" if error.errno == errno.EEXIST else os_error_text(error)
