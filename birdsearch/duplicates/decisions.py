"""What a person has decided of groups of duplicates, kept with the index until files are moved.

A file of the index folder, one JSON object a line (`Decision`); of two lines about the same photos the last counts. A
line is on the disk before `decide` returns, and no lock is needed: a decision is kept while another process writes.
"""

import errno
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from birdsearch.files import sync_folder
from birdsearch.records import Decision, shown
from birdsearch.storage.folder import DECISIONS, writable
from birdsearch.storage.store import Store

logger = logging.getLogger("birdsearch")


def decide(store: Store, photos: Iterable[int], keep: Iterable[int], remove: Iterable[int]) -> None:
    """Keep what a person decides of a group; without `keep` and `remove` it is undecided again."""
    group, kept, removed = ({int(photo) for photo in ids} for ids in (photos, keep, remove))
    if others := (kept | removed) - group:
        raise ValueError(f"photo {min(others)} is not in the group of {', '.join(map(str, sorted(group)))}")
    if both := kept & removed:
        raise ValueError(f"photo {min(both)} cannot be both kept and removed")
    if len(group) < 2:
        raise ValueError("a group of duplicates has two photos or more")
    store.catalog.photos(sorted(group))  # raises for an unknown id
    place = store.folder.place
    _append(place.here(DECISIONS), Decision(*(tuple(sorted(ids)) for ids in (group, kept, removed))))
    place.publish(DECISIONS)


def decisions(store: Store) -> tuple[Decision, ...]:
    """The decisions that hold."""
    path = store.folder.place.here(DECISIONS)
    try:
        info = path.stat()
    except FileNotFoundError:
        return ()
    return _read(path, info.st_size, info.st_mtime_ns)


def _append(path: Path, decision: Decision) -> None:
    with writable(path), open(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        # A line that a full disk or a power cut has torn ends here.
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + json.dumps(asdict(decision)).encode() + b"\n"
        # In one call: what two processes write at once does not mix.
        if os.write(file.fileno(), line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file.fileno())
        if not size:
            sync_folder(path.parent)


@lru_cache(maxsize=4)
def _read(path: Path, size: int, mtime_ns: int) -> tuple[Decision, ...]:
    """The decisions of a file as it was at this size and time."""
    held: dict[tuple[int, ...], Decision] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            fields = json.loads(line)
            decision = Decision(*(tuple(map(int, fields[name])) for name in ("photos", "keep", "remove")))
        except (ValueError, TypeError, KeyError):
            if line.strip():
                logger.warning("%s, line %d cannot be read: it is passed over", shown(str(path)), number)
            continue
        held[decision.photos] = decision
    return tuple(decision for decision in held.values() if decision.keep or decision.remove)
