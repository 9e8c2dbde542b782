"""Files that are not compared as pictures: the same bytes are looked for in the folders of an index.

Sizes come first, then the beginning of the files, and only what agrees in both is read whole: cameras write RAW files
of one size by the thousand.
"""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

from birdsearch.files import lies_in, open_regular, sha256_of
from birdsearch.photos import places
from birdsearch.records import OtherFile, Progress

_BEGINNING = 2**16  # bytes, a guess: those of a RAW hold the time, and half of the preview


def look_for(
    files: Sequence[OtherFile], folders: Iterable[bytes], compared: str, progress: Progress | None = None
) -> tuple[OtherFile, ...]:
    """The files, each with the place of the same bytes under these folders, where there is one.

    What lies in the compared folder is no second one, and a file that cannot be read is nowhere else.
    """
    sizes = {file.size for file in files}
    candidates: dict[int, list[str]] = defaultdict(list)
    for path, size in _sizes(folders, compared) if files else ():
        if size in sizes and not lies_in(path, compared):  # a link may lead there
            candidates[size].append(path)
    beginning = cache(_beginning)
    found = []
    for done, file in enumerate(files, 1):
        found.append(_found(file, candidates[file.size], beginning))
        if progress is not None:
            progress("bytes", done, len(files), file.path)
    return tuple(found)


def _found(file: OtherFile, candidates: Sequence[str], beginning: Callable[[str], bytes]) -> OtherFile:
    name = os.path.basename(file.path).casefold()
    sha256 = None
    for other in sorted(candidates, key=lambda path: os.path.basename(path).casefold() != name):
        with suppress(OSError):
            if beginning(file.path) != beginning(other):
                continue
            sha256 = sha256 or sha256_of(file.path)
            if sha256_of(other) == sha256:
                return replace(file, sha256=sha256, there=other)
    return replace(file, sha256=sha256)


def _beginning(path: str) -> bytes:
    with open_regular(path) as file:
        return hashlib.sha256(file.read(_BEGINNING)).digest()


def _sizes(folders: Iterable[bytes], compared: str) -> Iterator[tuple[str, int]]:
    """Every file under the folders, and its size, but for hidden ones, recycle bins and the compared folder."""
    waiting = list(folders)
    seen: set[tuple[int, int]] = set()
    while waiting:
        path = waiting.pop()
        with suppress(OSError):
            info = os.stat(path)
            if stat.S_ISREG(info.st_mode):
                yield os.fsdecode(path), info.st_size
                continue
            if not stat.S_ISDIR(info.st_mode) or (info.st_dev, info.st_ino) in seen or lies_in(path, compared):
                continue
            seen.add((info.st_dev, info.st_ino))
            above = os.fsdecode(os.path.basename(path))
            with os.scandir(path) as listing:
                waiting += [entry.path for entry in listing if not _is_left_out(above, entry)]


def _is_left_out(above: str, entry: os.DirEntry[bytes]) -> bool:
    """Whether a file or folder is hidden, or a place that is emptied without a question, such as a recycle bin."""
    name = os.fsdecode(entry.name)
    return name.startswith(".") or (entry.is_dir() and places.folder_reason(above, name) is not None)
