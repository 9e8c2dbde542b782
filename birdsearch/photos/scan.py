"""Files under the named folders, and the bytes of those that are photos."""

import errno
import hashlib
import io
import itertools
import os
import queue
import re
import stat
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from birdsearch import objects
from birdsearch.arguments import checked
from birdsearch.errors import InputFileError, PhotoMissingError, PhotoUnreadableError, missing_file_error, os_error_text
from birdsearch.files import (
    FileState,
    PathSet,
    above,
    absolute,
    identity_of,
    is_index,
    is_url,
    known_spelling,
    open_regular,
    shard_of,
)
from birdsearch.photos import places
from birdsearch.photos.exclusions import IGNORE_FILE, Exclusions
from birdsearch.photos.filetype import HEAD, RAW_FORMATS, Kind, identify
from birdsearch.records import Failure, Photo, bytes_text, shown
from birdsearch.words import without_secrets

MAX_BYTES = 8 * 10**8  # of one file, a guess: larger ones are refused, as they are read whole
_TAR = re.compile(rb"\.tar$", re.IGNORECASE)
_FOLDERS_KEPT = 10_000  # of a listing of objects
MOST_COUNTED = 100_000  # files of one folder that is left out: the snapshots of a disk hold it many times
BLOCK = 2**22  # bytes that are read at a time
ANSWER_SECONDS = 60.0  # that a file may take for one block, a guess: slow networks bring it in time

GONE = "no longer there"  # why a file that was listed cannot be read
RAW_LEFT_OUT = "camera RAW"  # why a RAW file is no photo, where the user wants none

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file that a scan has seen and not opened."""

    path: bytes  # absolute, as os.fsencode gives it
    state: FileState = field(default_factory=FileState)
    said: Photo | None = None  # what a list says of it beyond its own file

    @property
    def photo(self) -> Photo:
        """The file as far as it is known."""
        return Photo(None, os.fsdecode(self.path), size=self.state.size or 0, mtime_ns=self.state.mtime_ns or 0)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that cannot be a photo, or a file or folder that is left out, and why."""

    path: str
    reason: str
    files: int = 1  # of a folder: how many lie in it
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A photo's file read in one piece."""

    photo: Photo  # of which path, size, mtime_ns and sha256 are known
    data: bytes
    format: str  # of decoders.DECODERS
    state: FileState  # when it was read


class NotAPhotoError(Exception):
    """The file is whole, but it is something else: counted as ignored, for the reason given."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def scan(
    folders: Sequence[bytes | str | os.PathLike[str]],
    exclude: Mapping[bytes, Sequence[str]] | None = None,
    roots: Iterable[bytes] = (),
) -> Iterator[FoundFile | Failure | Ignored]:
    """Every file under the folders, once, in a fixed order; a named file or folder stands for itself.

    Hidden files and folders (leading dot) are left alone, unless they are named. What `places` and `exclusions` leave
    out is only counted; `exclude` is folder -> patterns. Links to files are files; linked folders come last, so that a
    file which is reached both ways is known by its real path. A folder that is one of `roots` is spelled as there, and
    left out where that root is not below the named folders.
    What lies in a store of objects is named by an URL; a tar file there stands for the files in it.
    Raises PhotoMissingError at once where a named folder does not exist or a store does not answer.
    """
    check_folders(folders)
    named = [absolute(folder) for folder in folders]
    return _Scan(named, exclude or {}, roots).run()


@checked
def check_folders(folders: Sequence[str | bytes | os.PathLike[str]]) -> None:
    """Raise PhotoMissingError for a folder, file or URL that `Index.add` could not look through.

    >>> birdsearch.check_folders(["photos"])
    """
    for path in map(absolute, folders):
        if is_url(path):
            _check_answers(os.fsdecode(path))
        elif not os.path.lexists(path):
            raise missing_file_error(os.fsdecode(path), "file or folder")


def _check_answers(url: str) -> None:
    """Raises PhotoMissingError where nothing lies at an URL, or below it, or its store does not answer."""
    try:
        if next(objects.found(url), None) is None:
            raise PhotoMissingError(f"nothing lies at {shown(url)} or below it. Is the name right?")
    except OSError as error:
        if isinstance(error, PhotoMissingError):
            raise
        raise PhotoMissingError(f"{shown(without_secrets(url))} cannot be read: {os_error_text(error)}.") from error


@checked
def find_photos(folder: str | os.PathLike[str], errors: Callable[[Failure], None] | None = None) -> list[str]:
    """The paths of the photos in a folder and below it; `errors` gets what should be one and cannot be read.

    Raises PhotoMissingError where there is no such folder.

    >>> len(birdsearch.find_photos("photos/Wren"))
    3
    """
    photos: list[str] = []
    for file in scan([folder]):
        failure = file if isinstance(file, Failure) else None
        if isinstance(file, FoundFile):
            path = os.fsdecode(file.path)
            try:
                require_photo(identify(_head(path), path))
                photos.append(path)
            except NotAPhotoError:
                continue
            except (OSError, PhotoUnreadableError) as error:
                why = os_error_text(error) if isinstance(error, OSError) else str(error)
                failure = Failure(path, "scan", why)
        if failure is not None and errors is not None:
            errors(failure)
    return photos


def _head(path: str) -> bytes:
    """The first bytes of a file."""
    if is_url(path):
        with objects.opened(path) as (_, blocks):
            return next(blocks, b"")[:HEAD]
    with open_regular(path) as opened:
        return opened.read(HEAD)


class _Scan:
    """One walk over the named folders, remembering where it has been."""

    def __init__(self, named: Sequence[bytes], exclude: Mapping[bytes, Sequence[str]], roots: Iterable[bytes]) -> None:
        self.named = dict.fromkeys(named)
        self.roots = {identity: root for root in roots if (identity := identity_of(root)) is not None}
        self.exclude = exclude
        self.folders: set[tuple[int, int]] = set()  # device and inode of the folders listed so far
        self.files: set[tuple[int, int, bytes]] = set()  # folder (device, inode) and name of the files named
        self.linked: list[tuple[bytes, Exclusions]] = []  # folders that only a link leads to

    def run(self) -> Iterator[FoundFile | Failure | Ignored]:
        done: list[bytes] = []
        for path in self.named:
            if is_url(path):
                yield from self._objects(path, PathSet(done))
                done.append(path)
                continue
            try:
                info = os.stat(path)
                if stat.S_ISDIR(info.st_mode):
                    yield from self._tree(path, Exclusions.above(path, self.exclude))
                    continue
                parent = os.stat(os.path.dirname(path))
            except (OSError, InputFileError) as error:
                yield _unreachable(path, error)
                continue
            name = os.path.basename(path)
            key = (parent.st_dev, parent.st_ino, name)
            seen = key[:2] in self.folders and not name.startswith(b".")
            if key not in self.files and not seen:
                self.files.add(key)
                yield _found(path, info)
        while self.linked:
            path, exclusions = self.linked.pop(0)
            spelled = known_spelling(path, self.roots.values())
            if spelled == path or spelled in PathSet(self.named):
                yield from self._tree(path, exclusions)
            else:
                yield self._left_out(path, f"in the index as {shown(os.fsdecode(spelled))}")

    def _tree(self, top: bytes, above: Exclusions) -> Iterator[FoundFile | Failure | Ignored]:
        waiting = [(top, above)]
        while waiting:
            folder, exclusions = waiting.pop()
            try:
                info = os.stat(folder)
                identity = info.st_dev, info.st_ino
                if identity in self.folders:
                    continue
                root = self.roots.get(identity, folder)
                if root != folder and root not in PathSet(self.named):
                    yield self._left_out(folder, f"in the index as {shown(os.fsdecode(root))}")
                    continue
                folder = root
                self.folders.add(identity)
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
                names = {entry.name for entry in entries}
                exclusions = exclusions.within(folder, os.fsencode(IGNORE_FILE) in names)
            except (OSError, InputFileError) as error:
                yield _unreachable(folder, error)
                continue
            if is_index(names) and folder not in self.named:
                yield self._left_out(folder, "in an index of birdsearch")
                continue
            below: list[bytes] = []
            yield from self._entries(entries, identity, exclusions, below)
            waiting += [(path, exclusions) for path in reversed(below)]

    def _entries(
        self, entries: list[os.DirEntry[bytes]], identity: tuple[int, int], exclusions: Exclusions, below: list[bytes]
    ) -> Iterator[FoundFile | Failure | Ignored]:
        for entry in entries:
            if entry.name.startswith(b".") or (self.files and (*identity, entry.name) in self.files):
                continue
            try:
                is_linked = entry.is_symlink()
                is_folder = entry.is_dir()
                info = None if is_folder else entry.stat()
            except OSError as error:
                yield _unreachable(entry.path, error)
                continue
            if reason := _reason(entry.path, is_folder, exclusions):
                if entry.path not in self.named:
                    yield self._left_out(entry.path, reason) if is_folder else Ignored(os.fsdecode(entry.path), reason)
                    continue
                if is_folder:
                    continue  # its turn comes as a folder that was named
            if info is not None:
                yield _found(entry.path, info)
            elif is_linked:
                self.linked.append((entry.path, exclusions))
            else:
                below.append(entry.path)

    def _objects(self, top: bytes, done: PathSet) -> Iterator[FoundFile | Failure | Ignored]:
        """What lies below an URL, or the object that it names, in the order of the store."""
        try:
            folders = _Folders(top, Exclusions.above(top, self.exclude))
            for one in objects.found(os.fsdecode(top)):
                path = os.fsencode(one.url)
                if path in done:
                    continue
                if _TAR.search(path) and shard_of(path) is None:
                    yield from self._shard(one, folders)
                else:
                    yield from folders.judged(path, one.state)
        except (OSError, InputFileError) as error:
            yield _unreachable(top, error)

    def _shard(self, shard: objects.StoredObject, folders: "_Folders") -> Iterator[FoundFile | Failure | Ignored]:
        """What lies in a tar file."""
        try:
            for member in objects.members(shard.url, shard.state):
                yield from folders.judged(os.fsencode(member.url), member.state)
        except OSError as error:
            yield _unreachable(os.fsencode(shard.url), error)

    def _left_out(self, folder: bytes, reason: str) -> Ignored:
        """A folder that is not read, with the number of its files."""
        files = sum(1 for _ in itertools.islice(self._listed(folder), MOST_COUNTED))
        return Ignored(os.fsdecode(folder), reason, files, is_folder=True)

    def _listed(self, folder: bytes) -> Iterator[bytes]:
        """The files under a folder that are neither hidden nor named, by listings alone."""
        waiting = [folder]
        while waiting:
            with suppress(OSError), os.scandir(waiting.pop()) as listing:
                for entry in listing:
                    if entry.name.startswith(b".") or entry.path in self.named:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.path


class _Folders:
    """Which objects below an URL are left out: as the files of folders would be."""

    def __init__(self, top: bytes, exclusions: Exclusions) -> None:
        self._top = top
        self._start: tuple[Exclusions, str | None] = exclusions.within(top, False), None
        self._known: dict[bytes, tuple[Exclusions, str | None]] = {}  # folder -> its patterns, and why it is left out

    def judged(self, path: bytes, state: FileState) -> Iterator[FoundFile | Ignored]:
        """The object as it counts; nothing where it is hidden."""
        if path == self._top:  # named itself
            yield FoundFile(path, state)
            return
        name = os.path.basename(path)
        if any(part.startswith(b".") for part in re.split(b"[/#]", path[len(self._top) + 1 :])):
            return
        rules, reason = self._of(above(path))
        if not state.size and b"." not in name:
            yield Ignored(os.fsdecode(path), "the mark of a folder")
        elif reason := reason or _reason(path, False, rules):
            yield Ignored(os.fsdecode(path), reason)
        else:
            yield FoundFile(path, state)

    def _of(self, folder: bytes) -> tuple[Exclusions, str | None]:
        if len(folder) <= len(self._top):
            return self._start
        if folder not in self._known:
            rules, reason = self._of(above(folder))
            reason = reason or _reason(folder, True, rules) or None
            if len(self._known) > _FOLDERS_KEPT:
                self._known.clear()
            self._known[folder] = rules.within(folder, False), reason
        return self._known[folder]


def _reason(path: bytes, is_folder: bool, exclusions: Exclusions) -> str | None:
    """Why a file or folder is left out; a pattern with ! brings a place of the system back too."""
    if (reason := exclusions.reason(path, is_folder)) is not None:
        return reason
    name = os.fsdecode(os.path.basename(path))
    if is_folder:
        return places.folder_reason(os.fsdecode(os.path.basename(os.path.dirname(path))), name)
    return places.file_reason(name)


def _found(path: bytes, info: os.stat_result) -> FoundFile | Ignored:
    if stat.S_ISREG(info.st_mode):
        return FoundFile(path, FileState.of(info))
    # Opening a pipe could wait for ever, opening a device could do something.
    return Ignored(os.fsdecode(path), "not a regular file")


def _unreachable(path: bytes, error: OSError | InputFileError) -> Failure:
    if isinstance(error, InputFileError):
        return Failure(os.fsdecode(path), "scan", str(error))
    broken = error.errno == errno.ENOENT and os.path.islink(path)
    return Failure(os.fsdecode(path), "scan", "broken symlink" if broken else os_error_text(error))


def is_folder(path: bytes) -> bool:
    """Whether a path is a folder, or an URL below which objects lie."""
    if not is_url(path):
        return os.path.isdir(path)
    with suppress(OSError):
        return objects.state_of(os.fsdecode(path)) is None and objects.has_any(os.fsdecode(path))
    return False


def has_entries(folder: bytes) -> bool:
    """Whether anything that is not hidden lies in a folder; True for a file."""
    if is_url(folder):
        with suppress(OSError):
            return next(objects.found(os.fsdecode(folder)), None) is not None
        return False
    return not os.path.isdir(folder) or any(not name.startswith(b".") for name in os.listdir(folder))


def read(file: FoundFile, *, raw: bool = True) -> FileBytes:
    """A file's bytes with their sha256; where `raw` is false, a camera RAW is no photo (RAW_LEFT_OUT).

    Raises NotAPhotoError after the first 4 KiB where they show something else, PhotoMissingError where the file has
    gone, PhotoUnreadableError where it cannot be read, does not answer or changes twice while it is read. The last two
    have the bare reason as their text.
    """
    path = os.fsdecode(file.path)
    try:
        if is_url(file.path):
            return _read_object(file, raw)
        for _ in range(2):
            if (whole := _answered(lambda alive: _read_once(path, alive, raw))) is not None:
                return whole
    except FileNotFoundError as error:
        raise PhotoMissingError(GONE) from error
    except OSError as error:
        raise PhotoUnreadableError(os_error_text(error)) from error
    raise PhotoUnreadableError("changed while it was read; index it again when it is complete")


def _answered(work: Callable[[Callable[[], None]], T]) -> T:
    """The result of work that a file may hold up for ever: a dead disk or network, a driver that hangs.

    It runs in a second thread of the caller's, which is left behind where it has not called `alive` for ANSWER_SECONDS:
    nothing can end a thread that waits for the operating system. It does not keep the process from ending.
    """
    results: queue.SimpleQueue[Future[T] | None] = queue.SimpleQueue()

    def run() -> None:
        result: Future[T] = Future()
        try:
            result.set_result(work(lambda: results.put(None)))
        except BaseException as error:
            result.set_exception(error)
        results.put(result)

    if not hasattr(_second, "thread"):
        _second.thread = _SecondThread()
    _second.thread.tasks.put(run)
    try:
        while (result := results.get(timeout=ANSWER_SECONDS)) is None:
            pass
    except queue.Empty:
        del _second.thread
        raise PhotoUnreadableError(
            f"the file has not answered for {ANSWER_SECONDS:.0f} seconds; is its disk or network there?"
        ) from None
    return result.result()


class _SecondThread:
    """A thread that does one task after another, and ends when nobody has this object any more."""

    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(self.tasks,), name="birdsearch-read", daemon=True).start()
        weakref.finalize(self, self.tasks.put, None)


def _serve(tasks: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
    """Runs in the second thread."""
    while (task := tasks.get()) is not None:
        task()
        del task  # with the bytes of the file that it read


_second = threading.local()  # to start a thread for every file takes a tenth of what decoding takes


def _read_once(path: str, alive: Callable[[], None], raw: bool) -> FileBytes | None:
    """The file, or None where it changed meanwhile."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise NotAPhotoError("not a regular file")
    # Should a pipe have taken its place since, opening it must not wait.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb", buffering=0) as file:
        before = os.fstat(handle)
        head = file.read(HEAD) or b""
        _require(head, path, raw)
        _check_size(before.st_size)
        file.seek(0)
        data = read_up_to(file, before.st_size + 1, alive)
        after = os.fstat(handle)
        format = _require(data, path, raw)  # now that all tags of a TIFF are there
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != before.st_size:
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    photo = Photo(None, path, sha256=sha256, size=before.st_size, mtime_ns=before.st_mtime_ns)
    return FileBytes(photo, data, format, FileState.of(before))


def _read_object(file: FoundFile, raw: bool) -> FileBytes:
    """An object with one request, which ends early where its first bytes show that it is no photo."""
    path, data, seen = os.fsdecode(file.path), io.BytesIO(), False
    if file.state.size == 0:  # it may be the mark of a folder, and have a slash at its end that no listing shows
        _require(b"", path, raw)
    with objects.opened(path, file.state) as (state, blocks):
        _check_size(state.size or 0)
        for block in blocks:
            data.write(block)
            if not seen and data.tell() >= HEAD:
                _require(data.getvalue()[:HEAD], path, raw)
                seen = True
    whole = data.getvalue()
    if len(whole) != state.size:
        raise PhotoUnreadableError("not all of it came; index it again")
    format = _require(whole, path, raw)
    sha256 = hashlib.sha256(whole).hexdigest()
    return FileBytes(Photo(None, path, sha256=sha256, size=len(whole)), whole, format, state)


def _require(data: bytes, path: str, raw: bool) -> str:
    format = require_photo(identify(data, path))
    if format in RAW_FORMATS and not raw:
        raise NotAPhotoError(RAW_LEFT_OUT)
    return format


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise PhotoUnreadableError(f"{bytes_text(size)}, more than the {bytes_text(MAX_BYTES)} that are read")


def content(path: str) -> bytes:
    """The bytes of any file. Raises PhotoUnreadableError or OSError where it cannot be read or does not answer."""
    if is_url(path):
        return objects.read(path)

    def work(alive: Callable[[], None]) -> bytes:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            _check_size(size)
            return read_up_to(file, size, alive)

    return _answered(work)


def read_up_to(file: io.FileIO | BinaryIO, count: int, alive: Callable[[], None]) -> bytes:
    """Up to `count` bytes, block by block: `alive` is called after each."""
    data = io.BytesIO()
    while data.tell() < count and (block := file.read(min(BLOCK, count - data.tell()))):
        data.write(block)
        alive()
    return data.getvalue()


def require_photo(kind: Kind) -> str:
    """The format of a photo; NotAPhotoError or PhotoUnreadableError for all else."""
    if kind.format is None:
        raise PhotoUnreadableError(kind.reason) if kind.broken else NotAPhotoError(kind.reason)
    return kind.format
