"""Write tags into the files of photos: on copies, which are checked before they take the place of a file.

Nothing that a file says is lost: every tag of before is still in the copy with its value, every new one is there, and
the pixels of a picture are the same. Then the journal has what makes the bytes of before again, the copy takes the
name of the file in one step, and the catalog follows. A kill at any moment leaves the old file or the new one, whole,
and at most hidden copies, which the next run removes.
"""

import os
import re
import secrets
import stat
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, BinaryIO, NamedTuple

from birdsearch.actions import attributes, delta, filesystem, journal, runs
from birdsearch.actions.filesystem import Seen, SkipFile
from birdsearch.actions.journal import Intent
from birdsearch.errors import PhotoError, PlanError
from birdsearch.files import sha256_of
from birdsearch.photos.decode import fingerprint
from birdsearch.photos.filetype import has_raw_name
from birdsearch.records import ActionReport, Progress, TagChange, TagPlan, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import Folder
from birdsearch.tags import exiftool
from birdsearch.tags.plan import DIGEST, DIGIKAM, FLAT, IPTC, OWNER, PATHS, RATING, Tags, listed

BATCH_BYTES = 256_000_000  # of copies that lie beside the files at a time
MOST_PIECES = 32_000_000  # characters of what the journal keeps of one file
MOST_OF_RAW = 100_000  # bytes of a RAW that may be other ones, a guess: directories and tags take some thousand
_COPY = re.compile(r"\.[0-9a-f]{16}\.birdsearch\.[a-z0-9]+(_exiftool_tmp)?")
_COPIES = re.compile(r":Copy\d+(?=:)")
_LISTS, _SINGLE = (FLAT, PATHS, DIGIKAM, IPTC), (OWNER, RATING, DIGEST)
# What ExifTool says of the file itself, of its own work, and of where things lie in it.
_NOT_TAGS = ("SourceFile", "System:", "File:", "ExifTool:", "Composite:", "XMP-x:XMPToolkit")
_PLACES = re.compile(
    r".*:((Strip|Tile|Free|Thumbnail|Preview|MediaData)(Image)?(Offsets?|Start)|MediaData(Size)?|MPImageStart|"
    r"JpgFromRawStart|OtherImageStart|WebP_Flags)"
)
# An empty packet, as ExifTool writes it.
_EMPTY = (
    "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>\n<x:xmpmeta xmlns:x='adobe:ns:meta/'>\n"
    "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end='w'?>"
).encode()


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of one file, to be written and to take its place."""

    changes: tuple[TagChange, ...]  # of all photos whose file this is
    path: str  # of the copy
    before: Seen | None  # of the file; None where it is made
    info: os.stat_result | None

    @property
    def file(self) -> str:
        return self.changes[0].file

    @property
    def is_picture(self) -> bool:
        return self.file == self.changes[0].path

    @property
    def added(self) -> dict[str, list[str]]:
        """What all its photos add."""
        added: dict[str, list[str]] = {}
        for change in self.changes:
            for name, values in change.added.items():
                have = added.setdefault(name, [])
                have += [value for value in values if value not in have]
        return added


class _Answers(NamedTuple):
    """What ExifTool answers about one copy."""

    before: exiftool.Answer
    written: exiftool.Answer
    after: exiftool.Answer


def write(folder: Folder, catalog: Catalog, plan: TagPlan, progress: Progress | None = None) -> ActionReport:
    """Carry a plan out; a file that changed since it was made is left alone, and said.

    The caller holds the lock of the index. Raises InstallationError without ExifTool, PlanError for a plan that
    `Index.tags` did not make.
    """
    started = time.monotonic()
    exiftool.check_installed()
    _check(plan, catalog)
    runs.finish_killed(folder, catalog)
    _sweep(plan)
    return _Writing(folder, catalog, progress).run(plan, started)


def _check(plan: TagPlan, catalog: Catalog) -> None:
    """Raises PlanError for a change of anything but a photo of the index or a sidecar beside it."""
    known = catalog.ids_at([os.fsencode(change.path) for change in plan.changes])
    for change in plan.changes:
        beside = os.path.dirname(change.file) == os.path.dirname(change.path) and change.file.lower().endswith(".xmp")
        if change.added.keys() - {*_LISTS, *_SINGLE} or not (beside or change.file == change.path):
            raise PlanError(f"tags cannot be written into {shown(change.file)}: make the plan anew with Index.tags.")
        if known.get(os.fsencode(change.path)) != change.photo_id:
            raise PlanError(f"{shown(change.path)} is no longer that photo of the index: make the plan anew.")


def _sweep(plan: TagPlan) -> None:
    """Remove the copies that a killed run has left in the folders of a plan: none of them took a file's place."""
    for folder in {os.path.dirname(change.file) for change in plan.changes}:
        with suppress(OSError), os.scandir(folder) as entries:
            for name in [entry.name for entry in entries if _COPY.fullmatch(entry.name)]:
                filesystem.unlink_if_exists(os.path.join(folder, name))


class _Writing:
    """One run."""

    def __init__(self, folder: Folder, catalog: Catalog, progress: Progress | None) -> None:
        self._folder, self._catalog, self._progress = folder, catalog, progress
        self._name = journal.next_run(folder)
        self._journal: BinaryIO | None = None  # made when there is something to do
        self._numbers = count()
        self._skipped: list[tuple[str, str]] = []
        self._done = 0  # photos

    def run(self, plan: TagPlan, started: float) -> ActionReport:
        """Everything, in batches."""
        try:
            told = 0
            for batch in _batches(plan.changes):
                if self._progress:
                    self._progress("tags", told, len(plan.changes), batch[0][0].file)
                self._batch(batch)
                told += sum(map(len, batch))
            if self._progress and plan.changes:
                self._progress("tags", told, told, plan.changes[-1].file)
            if self._journal:
                journal.write(self._journal, [{"end": True}])
        finally:
            if self._journal:
                self._journal.close()
        run, skipped = self._name if self._journal else None, tuple(self._skipped)
        return ActionReport(run, self._done, skipped, 0, time.monotonic() - started, len(skipped))

    def _batch(self, batch: Sequence[tuple[TagChange, ...]]) -> None:
        copies: list[_Copy] = []
        try:
            for changes in batch:
                try:
                    copies.append(_copied(changes))
                except (SkipFile, OSError) as error:
                    self._skip(changes[0].file, error)
            self._carry_out(self._written(copies, _asked(copies)))
            return
        except exiftool.NoAnswerError:
            again = [one.changes for one in copies]  # one of them is to blame
        finally:
            for one in copies:
                filesystem.unlink_if_exists(one.path)
                filesystem.unlink_if_exists(f"{one.path}_exiftool_tmp")
        if len(again) == 1:
            self._skip(again[0][0].file, SkipFile("ExifTool came to no end with it"))
            return
        for part in (again[: len(again) // 2], again[len(again) // 2 :]):
            self._batch(part)

    def _skip(self, file: str, error: SkipFile | OSError) -> None:
        self._skipped.append((file, filesystem.reason(error)))

    def _written(self, copies: Sequence[_Copy], answers: Sequence[_Answers]) -> list[tuple[_Copy, Intent]]:
        """The copies that ExifTool has written well."""
        ready = []
        for copied, answered in zip(copies, answers, strict=True):
            try:
                ready.append((copied, _checked(copied, answered, next(self._numbers))))
            except (SkipFile, OSError) as error:
                self._skip(copied.file, error)
        return ready

    def _carry_out(self, ready: Sequence[tuple[_Copy, Intent]]) -> None:
        """Journal what will be done, do it, journal what was done; then the catalog follows."""
        if not ready:
            return
        if self._journal is None:
            self._journal = journal.create(self._folder, self._name, {"action": "tags", "relations": []})
        journal.write(self._journal, [intent for _, intent in ready])
        done: list[Intent] = []
        left: list[int] = []
        for copied, intent in ready:
            try:
                filesystem.write(copied.path, intent, self._name, copied.before)
            except (SkipFile, OSError) as error:
                self._skip(intent.path, error)
                with suppress(SkipFile, OSError):  # `undo` says what stands in the way
                    if not filesystem.settle(intent, self._name):
                        left.append(intent.number)
                continue
            done.append(intent)
            self._done += len(copied.changes)
        filesystem.sync(done)
        journal.write(self._journal, [{"done": [intent.number for intent in done], "left": left}])
        runs.follow(self._catalog, self._journal, done)


def _batches(changes: Iterable[TagChange]) -> Iterator[list[tuple[TagChange, ...]]]:
    """The changes of each file together, as many files as may be copied at a time."""
    of_file: dict[str, tuple[TagChange, ...]] = {}
    for change in changes:
        of_file[change.file] = (*of_file.get(change.file, ()), change)
    batch: list[tuple[TagChange, ...]] = []
    size = 0
    for file, changes in of_file.items():
        with suppress(OSError):
            size += os.lstat(file).st_size
        batch.append(changes)
        if len(batch) == journal.BATCH or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


# One file -----------------------------------------------------------------------------------------------------------


def _copied(changes: tuple[TagChange, ...]) -> _Copy:
    """A copy of a file beside it, or an empty sidecar, under a name that nobody can have put there before."""
    file, sha256 = changes[0].file, changes[0].sha256
    suffix = os.path.splitext(file)[1].lower()
    suffix = suffix if re.fullmatch(r"\.[a-z0-9]+", suffix) else ".copy"
    path = os.path.join(os.path.dirname(file), f".{secrets.token_hex(8)}.birdsearch{suffix}")
    if sha256 is None:
        if os.path.lexists(file):
            raise SkipFile("it was made by another program since the plan was")
        if not os.path.lexists(changes[0].path):
            raise SkipFile("its photo is no longer there")
        with open(path, "xb") as empty:
            empty.write(_EMPTY)
        return _Copy(changes, path, None, None)
    info = os.lstat(file)
    if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:
        raise SkipFile("changed since the plan was made")
    return _Copy(changes, path, filesystem.new_copy(path, file, sha256), info)


def _asked(copies: Sequence[_Copy]) -> list[_Answers]:
    """What ExifTool reads in each copy, says when it writes it, and reads after that."""
    answers = exiftool.run(
        [
            command
            for one in copies
            for command in (
                exiftool.reading(one.path), exiftool.writing(_arguments(one), one.path), exiftool.reading(one.path)
            )
        ]
    )  # fmt: skip
    return [_Answers(*answers[at : at + 3]) for at in range(0, len(answers), 3)]


def _arguments(copied: _Copy) -> list[str]:
    each = ((name, value) for name, values in copied.added.items() for value in values)
    return [f"-{name}{'+=' if name in _LISTS else '='}{value}" for name, value in each]


def _checked(copied: _Copy, answers: _Answers, number: int) -> Intent:
    """What the journal says of a copy that may take its file's place. Raises SkipFile for one that may not."""
    before, after = exiftool.tags(answers.before), exiftool.tags(answers.after)
    if answers.written.error:
        raise SkipFile(f"ExifTool does not write it: {answers.written.error}")
    if before is None or after is None:
        raise SkipFile(f"ExifTool cannot read it: {answers.before.error or answers.after.error}")
    if lost := _lost(before, after, copied.added):
        raise SkipFile(f"ExifTool would not keep all of it: {lost}")
    file, info, first = copied.file, copied.info, copied.changes[0]
    if info is None:
        intent = Intent(
            number=number, kind="write", path=file, sha256="", size=0, mode=0, mtime_ns=0, atime_ns=0, owner=(0, 0)
        )  # fmt: skip
    else:
        if copied.is_picture:
            _check_pixels(file, copied.path)
        intent = attributes.recorded(number, "write", file, info, first.sha256 or "")
        intent = replace(intent, pieces=_pieces(file, copied))
    filesystem.make_durable(copied.path, like=None if info is None else file)
    return replace(intent, kept=first.path, kept_id=first.photo_id, new_sha256=sha256_of(copied.path))


def _lost(before: Tags, after: Tags, added: dict[str, list[str]]) -> str:
    """What a file does not say any more, or not yet, in words; empty where it says all of it."""
    values: dict[str, list[Any]] = defaultdict(list)  # a tag that stood there twice may stand there once
    for name, value in after.items():
        values[_COPIES.sub("", name)].append(value)
    for name, value in before.items():
        if name.startswith(_NOT_TAGS) or _PLACES.fullmatch(name) or value in ("", []):
            continue  # an empty list says the same as none
        if name in added:
            gone = [one for one in listed(value) if name in _LISTS and one not in listed(after.get(name))]
        else:
            gone = [] if value in values[_COPIES.sub("", name)] else [value]
        if gone:
            return f"{name} {gone[0]!r:.100} would become {after.get(name)!r:.100}"
    for name, wanted in added.items():
        for value in wanted if name != DIGEST else ():
            if value not in map(str, listed(after.get(name))):
                return f"{name} {value} was not written"
    warned = [value for name, value in after.items() if name.endswith(":Warning") and value not in before.values()]
    return f"it then warns of {warned[0]}" if warned else ""


def _check_pixels(file: str, copied: str) -> None:
    try:
        same = fingerprint(file) == fingerprint(copied)
    except PhotoError as error:
        raise SkipFile(f"its pixels cannot be compared: {error}") from error
    if not same:
        raise SkipFile("its pixels, or what lies beside them in the file, would not be the same")


def _pieces(file: str, copied: _Copy) -> tuple[delta.Piece, ...]:
    with open(file, "rb") as old, open(copied.path, "rb") as new:
        pieces = delta.difference(old.read(), new.read())
        length = old.tell()
    if delta.size(pieces) > MOST_PIECES:
        raise SkipFile("so many of its bytes would change that they cannot be kept for undo")
    # Of a RAW with a preview that is all which is decoded: the sensor's values must be among the bytes that only moved.
    if has_raw_name(file) and length - delta.kept(pieces) > MOST_OF_RAW:
        raise SkipFile("more of it than its tags would change")
    return pieces
