"""What lies only on a card is copied, photos with their companions: each copy is checked, nothing is overwritten."""

import errno
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from birdsearch.actions import filesystem
from birdsearch.arguments import checked
from birdsearch.errors import OutputFileError, os_error_text
from birdsearch.files import UNFINISHED, is_url, lies_in, sha256_of, sync_folder
from birdsearch.photos.filetype import SIDECAR_OWNERS
from birdsearch.photos.sidecars import companions_of
from birdsearch.records import CopyReport, Failure, FolderReport, Progress, counted, shown

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # no other file could be copied either
_NAMES = 10_000  # that may be taken


@checked
def copy_new(report: FolderReport, target: str | os.PathLike[str], progress: Progress | None = None) -> CopyReport:
    """Copy what a comparison found only in its folder, to where it lies below that: see `FolderReport.only_here`.

    Photos take their companions along. A copy counts when its sha256 is that of the original, and keeps its times. A
    file whose name is taken by other bytes gets " (2)"; one that is there with its bytes is left, so that the same call
    goes on where it was stopped.
    Raises OutputFileError for a target that lies in the compared folder, or where nothing more can be written.

    >>> len(birdsearch.copy_new(index.compare_folder("card"), "photos/2026").copied)
    1
    """
    if is_url(target):
        raise OutputFileError(
            f"{shown(os.fspath(target))} is no folder of this computer: birdsearch writes no photos into stores of "
            "objects. Copy them there with the tools of that store."
        )
    return _Copying(report, os.path.abspath(target), progress).run()


class _Copying:
    """One run."""

    def __init__(self, report: FolderReport, target: str, progress: Progress | None) -> None:
        self._report, self._target, self._progress = report, target, progress
        self._copied: dict[str, str] = {}  # file -> its copy
        self._present: dict[str, str] = {}
        self._failed: list[Failure] = []
        self._bytes = 0

    def run(self) -> CopyReport:
        """Copy all."""
        started = time.monotonic()
        if lies_in(self._target, self._report.folder):
            where = shown(self._report.folder)
            raise OutputFileError(f"{shown(self._target)} lies in {where}, which is compared: name another folder.")
        only_here = set(self._report.only_here)
        every = (*self._report.new, *(one.photo for one in self._report.known))
        photos = {photo.path: photo.sha256 or "" for photo in every if photo.path in only_here}
        others = {one.path: one.sha256 or "" for one in self._report.others if one.path in only_here}
        known = photos | others
        self._make(self._target)
        sets = _sets(photos, others)
        for done, files in enumerate(sets, 1):
            self._copy_set(files, known)
            if self._progress is not None:
                self._progress("copy", done, len(sets), files[0])
        for folder in {os.path.dirname(copy) for copy in self._copied.values()}:
            with suppress(OSError):
                sync_folder(folder)
        copied, present = (
            tuple(pair for pair in made.items() if pair[0] in photos) for made in (self._copied, self._present)
        )
        return CopyReport(
            self._target,
            copied,
            present,
            companions=len(self._copied) - len(copied),
            failed=tuple(self._failed),
            bytes=self._bytes,
            seconds=time.monotonic() - started,
            others=tuple(pair for pair in (*self._copied.items(), *self._present.items()) if pair[0] not in photos),
        )

    def _copy_set(self, files: Sequence[str], known: Mapping[str, str]) -> None:
        """Copy files of one stem, photos with their companions, under one name."""
        content = {}
        for file in files:
            try:
                content[file] = known.get(file) or sha256_of(file)
            except OSError as error:
                self._failed.append(Failure(file, "copy", os_error_text(error)))
        for file, target in self._names(content).items():
            if os.path.lexists(target):
                self._present[file] = target
                continue
            try:
                self._make(os.path.dirname(target))
                self._copy(file, target, content[file])
            except (OSError, filesystem.SkipFile) as error:
                if isinstance(error, OSError) and error.errno in _FULL:
                    done = f"{counted(len(self._copied), 'file')} copied, all of them whole"
                    text = f"cannot write to {shown(self._target)}: {os_error_text(error)} ({done})"
                    raise OutputFileError(f"{text}. Make room, then run the same command: it goes on there.") from error
                self._failed.append(Failure(file, "copy", filesystem.reason(error)))

    def _names(self, content: Mapping[str, str]) -> dict[str, str]:
        """Where each file goes: to a name that is free, or that has its bytes; files of one stem get one number."""
        stem = _stem(next(iter(content), ""))
        for number in range(1, _NAMES):
            names = {file: self._name(file, stem, number) for file in content}
            free = (not os.path.lexists(to) or filesystem.checked(to, content[file]) for file, to in names.items())
            if all(free) and not _joins_strangers(names):
                return names
        raise OutputFileError(
            f"{shown(self._target)} has {_NAMES:,} files named like {shown(stem)}: name another folder."
        )

    def _name(self, file: str, stem: str, number: int) -> str:
        folder, name = os.path.split(file)
        if number > 1:
            own = stem if name.casefold().startswith(stem.casefold()) else os.path.splitext(name)[0]
            name = f"{name[: len(own)]} ({number}){name[len(own) :]}"
        below = os.path.relpath(folder, self._report.folder) if lies_in(folder, self._report.folder) else "."
        return os.path.normpath(os.path.join(self._target, below, name))

    def _make(self, folder: str) -> None:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise OutputFileError(f"cannot make the folder {shown(folder)}: {os_error_text(error)}.") from error

    def _copy(self, source: str, target: str, sha256: str) -> None:
        """One file: under a hidden name first, so that a name always means a whole file."""
        folder, name = os.path.split(target)
        hidden = os.path.join(folder, f".{name}{UNFINISHED}")
        filesystem.unlink_if_exists(hidden)  # of a run that was killed
        filesystem.copy(source, hidden, sha256)
        try:
            filesystem.rename(hidden, target)
        except BaseException:
            filesystem.unlink_if_exists(hidden)
            raise
        self._copied[source] = target
        self._bytes += os.path.getsize(target)


def _sets(photos: Iterable[str], others: Iterable[str]) -> list[list[str]]:
    """The files of one folder and stem, each photo with its companions behind it."""
    companions = companions_of(photos)
    along = {file for beside in companions.values() for file in beside}
    sets: dict[tuple[str, str], list[str]] = {}
    for path, beside in (*companions.items(), *((file, ()) for file in others if file not in along)):
        sets.setdefault((os.path.dirname(path), _stem(path).casefold()), []).extend((path, *beside))
    return [list(dict.fromkeys(files)) for files in sets.values()]


def _joins_strangers(names: Mapping[str, str]) -> bool:
    """Whether copies would lie beside a picture of their stem that is not the card's, and seem to belong to it."""
    file, to = next(iter(names.items()), ("", ""))
    folder, name, own = os.path.dirname(to), _stem(to), os.path.join(os.path.dirname(file), _stem(file))
    if not os.path.isdir(folder) or any(map(os.path.lexists, names.values())):
        return False
    beside = [os.path.splitext(other) for other in os.listdir(folder)]
    suffixes = [end for start, end in beside if start.casefold() == name.casefold() and end.lower() in SIDECAR_OWNERS]
    return bool(suffixes) and not any(_is_same(own + end, os.path.join(folder, name + end)) for end in suffixes)


def _stem(path: str) -> str:
    """What the files of one photo have in common: "IMG_1" of IMG_1.jpg, IMG_1.CR3, IMG_1.xmp and IMG_1.jpg.xmp."""
    stem = os.path.splitext(os.path.basename(path))[0]
    inner, suffix = os.path.splitext(stem)
    return inner if suffix.lower() in SIDECAR_OWNERS else stem


def _is_same(file: str, other: str) -> bool:
    with suppress(OSError):
        return os.path.getsize(file) == os.path.getsize(other) and sha256_of(file) == sha256_of(other)
    return False
