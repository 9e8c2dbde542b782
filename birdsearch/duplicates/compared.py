"""What comparing pixels found, kept in the user's cache by the content of the files: no pixel is compared twice.

The catalog would be the other place. The cache is chosen because a wrong "the same picture" can cost a photo, and an
index may be a stranger's: the cache is the user's alone. There a reader of an index needs neither its lock nor a right
to write into it, photos outside every index (a memory card) are kept as well, and what is lost is only found once more.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2

from birdsearch import objects
from birdsearch.cache import KeptTable, stamped_file
from birdsearch.duplicates import alignment, keeper
from birdsearch.files import FileState, is_url, sha256_of
from birdsearch.photos import decode
from birdsearch.records import Photo, blocks

LARGEST = 2 << 30  # bytes of the file, for 100 million pairs; a full one is begun anew
ASKED_AT_ONCE = 4096  # SQLite takes 32,766 values in one IN
_PAGE = 4096  # bytes
UNKNOWN: Any = object()  # nothing was found yet; None is a finding


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one or two contents, in JSON's types; the order of the contents counts."""

    contents: tuple[str, ...]  # sha256
    value: Any


class Compared:
    """Findings by question and content. Any number of threads and processes; without room or permission it is empty.

    A row is 8 bytes of a hash of question, contents and arithmetic, and the value; a finding that is not None repeats
    its contents, so that two which share a hash are not taken for each other.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        schema = (
            f"PRAGMA max_page_count = {largest // _PAGE}",
            "CREATE TABLE IF NOT EXISTS findings (key INTEGER PRIMARY KEY, value TEXT)",
        )
        self._kept = KeptTable(lambda: _begun(largest), schema)

    def close(self) -> None:
        """Give the file back."""
        self._kept.close()

    def ask(self, question: str, contents: Sequence[tuple[str, ...]]) -> list[Any]:
        """What was found about each of these contents; UNKNOWN where that is nothing yet."""
        keys = [_key(question, each) for each in contents]
        rows: dict[int, str | None] = {}
        with self._kept.trying() as table:
            for block in (keys[each] for each in blocks(len(keys), ASKED_AT_ONCE)):
                if table is None:
                    break
                marks = ", ".join("?" * len(block))
                rows.update(table.execute(f"SELECT key, value FROM findings WHERE key IN ({marks})", block))
        return [_value(rows[key], each) if key in rows else UNKNOWN for key, each in zip(keys, contents, strict=True)]

    def keep(self, question: str, findings: Iterable[Finding]) -> None:
        """Keep what was found, where there is room, permission, and no other process that writes for long."""
        rows = [
            (_key(question, one.contents), None if one.value is None else json.dumps([one.contents, one.value]))
            for one in findings
        ]
        with self._kept.trying() as table:
            if table is not None and rows:
                with table:
                    table.executemany("INSERT OR REPLACE INTO findings VALUES (?, ?)", rows)

    def known(self, question: str, photos: Sequence[Photo], find: Callable[[], Any]) -> Any:
        """What was found about the contents of photos, or what `find` gives now: None is not kept."""
        about = tuple(map(content_of, photos))
        found = self.ask(question, [about])[0] if all(about) else UNKNOWN
        if found is UNKNOWN:
            found = find()
            if found is not None and all(about) and all(map(_has_content, photos)):
                self.keep(question, [Finding(about, found)])
        return found


def content_of(photo: Photo) -> str:
    """The sha256 of a photo whose file is there as it was indexed; empty where it changed, is damaged or away."""
    if not photo.sha256 or photo.damaged:
        return ""
    if is_url(photo.path):  # the index knows its ETag: a look at each would cost a request
        return photo.sha256
    with suppress(OSError):
        state = FileState.of(os.stat(photo.path))
        if (state.size, state.mtime_ns) == (photo.size, photo.mtime_ns):
            return photo.sha256
    return ""


def _has_content(photo: Photo) -> bool:
    """Whether a file really has the bytes that its record speaks of: what is kept must be true of them for ever."""
    with suppress(OSError):
        found = hashlib.sha256(objects.read(photo.path)).hexdigest() if is_url(photo.path) else sha256_of(photo.path)
        return found == photo.sha256
    return False


@cache
def arithmetic() -> str:
    """The stamp of everything that findings depend on besides the content: another release finds anew."""
    return decode.stamp((Path(alignment.__file__), Path(keeper.__file__)), (f"cv2 {cv2.__version__}",))


def _key(question: str, contents: tuple[str, ...]) -> int:
    digest = hashlib.blake2b(" ".join((question, *contents)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _value(stored: str | None, contents: tuple[str, ...]) -> Any:
    if stored is None:
        return None
    with suppress(ValueError, TypeError):
        theirs, value = json.loads(stored)
        if tuple(theirs) == contents:
            return value
    return UNKNOWN


def _begun(largest: int) -> Path | None:
    """The file of findings, begun anew where it is full."""
    file = stamped_file("compared", ".sqlite", arithmetic())
    if file is not None and file.exists() and file.stat().st_size > 0.9 * largest:
        file.unlink(missing_ok=True)
    return file
