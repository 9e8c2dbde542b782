"""The journal of what was done to a user's files: written and synced first, so that it can be undone.

One file a run, one JSON object a line (`Line`):
- first the header: birdsearch ("actions"), format, at (local time), by (`_mark`), action, relations
- {"intent": the fields of `Intent`}, before the file is touched
- {"done": numbers of intents, "left": numbers}, when a batch was carried out, or skipped
- {"merged": [{number, kept_id, columns, ...}]}, what kept photos take over, before it is in the catalog
- {"back": numbers}, what `undo` has brought back
- {"emptied": numbers}, what was deleted from the trash for good
- {"end": true}, with "undone": true where the run was undone
"""

import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from birdsearch.actions import delta
from birdsearch.errors import IndexDamagedError, PlanError
from birdsearch.files import sync_folder, whole_number
from birdsearch.homes import user_key
from birdsearch.records import RunSummary, shown
from birdsearch.storage.catalog.removal import Merge
from birdsearch.storage.folder import Folder

logger = logging.getLogger("birdsearch")

BATCH = 100  # files between two syncs of the journal
SUFFIX = ".jsonl"
_FOLDER = "actions"  # of an index
_FORMAT = 4
_RENAMED = {  # table -> column in a journal of format 1 -> its name since tables 0003
    "photos": {"observer": "photographer"},
    "predictions": {"rank": "position", "level": "rank"},
}

Line = dict[str, Any]  # one line of a journal, as JSON has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One file that is about to be moved, written, or replaced by a hard link, and all that brings it back."""

    number: int  # in its run, from 0
    kind: str  # "move", "link" or "write"
    path: str  # absolute
    to: str = ""  # where it goes; empty for a link, and for what is written
    kept: str = ""  # the file that makes it superfluous; empty for a sidecar; of what is written, its photo
    kept_sha256: str = ""
    kept_inode: tuple[int, int] = (0, 0)  # device, inode; of a link
    sha256: str  # empty for a file that is made
    size: int  # bytes
    mode: int
    mtime_ns: int
    atime_ns: int
    owner: tuple[int, int]  # user, group
    attributes: dict[str, str] | None = None  # extended ones, values in hex; None: not known
    made: tuple[str, ...] = ()  # folders that are made for it, outermost first
    beside: int | None = None  # of a companion: the number of the photo that it goes with
    relation: str = ""
    photo_id: int | None = None  # None: a sidecar, or a photo that the index does not hold
    kept_id: int | None = None
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # table -> the rows of the photo
    new_sha256: str = ""  # of what is written in its place...
    pieces: tuple[delta.Piece, ...] = ()  # ...out of which, with these, its own bytes are made again

    @property
    def photo(self) -> bool:
        """Whether the plan named this file, rather than one beside it."""
        return bool(self.relation) or self.kind == "write"


@dataclass(slots=True)
class Log:
    """What a journal says."""

    path: Path
    header: Line
    length: int = 0  # bytes up to the last whole line
    intents: list[Intent] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)  # intents that were not carried out
    back: set[int] = field(default_factory=set)
    emptied: set[int] = field(default_factory=set)
    merges: dict[int, Merge] = field(default_factory=dict)  # intent -> what the kept photo took over
    ended: bool = False
    undone: bool = False

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.path.name.removesuffix(SUFFIX)

    def is_own(self) -> bool:
        """Whether this user recorded the run, on this computer; a stranger's journal could name any file."""
        return hmac.compare_digest(str(self.header.get("by")), _mark(self.run))

    def check_own(self) -> None:
        """Raises PlanError for a run that was recorded elsewhere."""
        if not self.is_own():
            raise PlanError(
                f"run {self.run} was not recorded by you on this computer, and what it says of your files may not be "
                f"true. Read {shown(str(self.path))}; if you trust it: `birdsearch undo {self.run} --foreign`."
            )

    def open(self) -> list[Intent]:
        """What was done, or may have been when the run was killed, and is not back yet."""
        settled = self.left | self.back | self.emptied
        return [intent for intent in self.intents if intent.number not in settled]

    def summary(self, has_gone: Callable[[Intent], bool]) -> RunSummary:
        """One line for people; `has_gone` looks where the run was stopped."""
        away = [i for i in self.open() if i.number in self.done or (not self.ended and has_gone(i))]
        photos = 0 if self.undone else sum(intent.photo for intent in away)
        total = 0 if self.undone else sum(intent.size for intent in away)
        return RunSummary(self.run, str(self.header["at"]), str(self.header["action"]), photos, total, self._state())

    def _state(self) -> str:
        if self.undone:
            return "undone"
        if self.emptied:
            return "partly emptied" if self.open() else "emptied"
        return "partly undone" if self.back else "done" if self.ended else "stopped"


def _mark(run: str) -> str:
    """What only this user can write beside the name of a run: its HMAC-SHA256 with the user's key."""
    return hmac.new(user_key(), os.fsencode(run), hashlib.sha256).hexdigest()


def create(folder: Folder, run: str, header: Line) -> BinaryIO:
    """A new journal, open to be written; it and its folder are synced before anything is done."""
    place = folder.path / _FOLDER
    if not place.exists():
        place.mkdir()
        sync_folder(place.parent)
    own_journal = place / (run + SUFFIX)
    file = own_journal.open("xb", buffering=0)
    now = time.strftime("%Y-%m-%dT%H:%M:%S")
    try:
        write(file, [{"birdsearch": "actions", "format": _FORMAT, "at": now, "by": _mark(run), **header}])
        sync_folder(place)
    except OSError:
        file.close()
        own_journal.unlink(missing_ok=True)
        raise
    return file


def append(log: Log) -> BinaryIO:
    """Go on with a journal; half a line that a killed process left is cut off."""
    file = log.path.open("r+b", buffering=0)
    file.truncate(log.length)
    file.seek(log.length)
    return file


def write(file: BinaryIO, lines: Iterable[Intent | Line]) -> None:
    """Append lines to a journal; they are on the disk when this returns."""
    plain = [{"intent": asdict(line)} if isinstance(line, Intent) else line for line in lines]
    # Names that are not UTF-8 are lone surrogates, which ASCII escapes carry and UTF-8 does not.
    data = "".join(json.dumps(line) + "\n" for line in plain).encode("ascii")
    while data:
        data = data[os.write(file.fileno(), data) :]
    os.fsync(file.fileno())


def next_run(folder: Folder) -> str:
    """A name for a new run: the next number, and the time."""
    used = [_number(path.name) for path in _files(folder)]
    return f"{max(used, default=0) + 1:04d}-{time.strftime('%Y%m%d-%H%M%S')}"


def _number(run: str) -> int:
    """The number of a run by its name; -1 of what is not a run."""
    digits = run.partition("-")[0]
    return int(digits) if digits.isdecimal() else -1


def _files(folder: Folder) -> list[Path]:
    """Every journal, oldest first."""
    journals = [path for path in (folder.path / _FOLDER).glob(f"*{SUFFIX}") if _number(path.name) >= 0]
    return sorted(journals, key=lambda path: _number(path.name))


def logs(folder: Folder) -> list[Log]:
    """Every run, oldest first; one that was killed before its first line was written did nothing and is left out."""
    return [log for path in _files(folder) if (log := read(path)) is not None]


def select_run(folder: Folder, run: str | None, can_be_back: Callable[[Log, Intent], bool]) -> Log:
    """The run of this name or number, or the last one of which something can be brought back. Raises PlanError."""
    every = logs(folder)
    if run is None:
        # Where an undo was killed just before its end, that end is still to come.
        rest = [log for log in every if not log.undone and (log.open() or (log.back and not log.emptied))]
        if not rest:
            raise PlanError(f"nothing to undo in {folder.where}: {_why_nothing(every)}.")
        # What is no longer where it was put must not keep earlier runs from being undone.
        last = next((log for log in reversed(rest) if _is_within_reach(log, can_be_back)), rest[-1])
        for log in rest[rest.index(last) + 1 :]:
            logger.warning(
                "nothing of run %s lies where it was put: if its folder was moved, index it in its new place, then "
                "`birdsearch undo %s`",
                log.run,
                log.run,
            )
        return last
    number = whole_number(run)
    named = [log for log in every if log.run == run or _number(log.run) == number]
    if not named:
        raise PlanError(f"no run {shown(run)} in {folder.where}: `birdsearch undo --list` lists them.")
    if named[0].undone:
        raise PlanError(f"run {named[0].run} is undone already: `birdsearch undo --list` shows what can be undone.")
    if named[0].emptied and not named[0].open():
        raise PlanError(f"run {named[0].run} cannot be undone: its trash was emptied, the files are deleted.")
    return named[0]


def _is_within_reach(log: Log, can_be_back: Callable[[Log, Intent], bool]) -> bool:
    return not log.open() or any(can_be_back(log, intent) for intent in log.open())


def _why_nothing(every: Sequence[Log]) -> str:
    """Why no run can be undone."""
    if not every:
        return "there was no run"
    emptied = [log.run for log in every if log.emptied and not log.undone]
    if not emptied:
        return "every run is undone, or carried nothing out"
    others = "; every other run is undone" if len(emptied) < len(every) else ""
    return f"the trash of {', '.join(emptied[-5:])} was emptied, the files are deleted for good{others}"


def read(path: Path) -> Log | None:
    """What a journal says up to its last whole line; None where not even its header is whole."""
    data = path.read_bytes()
    lines = data.split(b"\n")[:-1]
    parsed: list[Line] = [*takewhile(bool, map(_parsed, lines))]
    whole = len(parsed)
    if any(map(_parsed, lines[whole + 1 :])):
        raise _damaged(path, whole + 1)
    if not parsed or parsed[0].get("birdsearch") != "actions":
        return None
    if parsed[0].get("format") not in range(1, _FORMAT + 1):
        raise PlanError(f"{shown(str(path))} was written by a newer birdsearch: upgrade birdsearch, then undo.")
    log = Log(path, parsed[0], length=sum(len(line) + 1 for line in lines[:whole]))
    for line, entry in enumerate(parsed[1:], 2):
        try:
            _take(log, _as_today(entry, parsed[0]["format"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, line) from error
    return log


def _damaged(path: Path, line: int) -> IndexDamagedError:
    return IndexDamagedError(
        f"{shown(str(path))}, line {line} is not what birdsearch wrote: restore it from a backup. "
        "The files it speaks of lie where its other lines say."
    )


def _as_today(entry: Line, format: int) -> Line:
    """An entry of an older format: 1 had other names of columns, 2 the attributes of hard links only."""
    if format < 3 and entry.get("intent", {}).get("kind") == "move":
        entry["intent"]["attributes"] = None
    if format > 1:
        return entry
    photo = _RENAMED["photos"]
    for table, rows in entry.get("intent", {}).get("rows", {}).items():
        names = _RENAMED.get(table, {})
        rows[:] = [{names.get(name, name): value for name, value in row.items()} for row in rows]
    for merge in entry.get("merged", ()):
        merge["columns"] = {photo.get(name, name): values for name, values in merge["columns"].items()}
    return entry


def _parsed(line: bytes) -> Line:
    """A line as it was written; empty where it is damaged."""
    with suppress(ValueError):
        parsed = json.loads(line)
        return parsed if isinstance(parsed, dict) else {}
    return {}


def _take(log: Log, entry: Line) -> None:
    """One line of a journal after its header."""
    if "intent" in entry:
        values = entry["intent"]
        pairs = {name: tuple(values[name]) for name in ("kept_inode", "owner", "made")}
        log.intents.append(Intent(**{**values, **pairs}))
    elif "merged" in entry:
        log.merges |= {merge["number"]: Merge.from_json(merge) for merge in entry["merged"]}
    else:
        log.done.update(entry.get("done", ()))
        log.left.update(entry.get("left", ()))
        log.back.update(entry.get("back", ()))
        log.emptied.update(entry.get("emptied", ()))
        log.ended |= bool(entry.get("end"))
        log.undone |= bool(entry.get("undone"))
