"""Whether what a question needs fits into the memory of this computer."""

import os
from collections.abc import Iterable
from pathlib import Path

from birdsearch.errors import MemoryNeededError

RECORD = 1500  # bytes of all that is known of a photo, as a Photo, at least
PHOTOS_AT_ONCE = 1024  # records that are held while many photos are gone through
_MEMINFO = Path("/proc/meminfo")
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")  # of a container


def available() -> int | None:
    """Bytes that this process may still take without swapping; None where the system does not tell."""
    free = [*_free(), *_left_of_container()]
    if free:
        return min(free)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; a system without these names
        return None


def check_room(photos: int, bytes_each: int, instead: str | None = None) -> None:
    """Raise MemoryNeededError where so many photos at once cannot fit, whatever else is done with them.

    `instead` says what to do where no filter narrows them.
    """
    needed, free = photos * bytes_each, available()
    if free is None or needed <= free:
        return
    fitting = 10 ** (len(str(max(1, free // (2 * bytes_each)))) - 1)
    narrow = (
        f"Narrow with --species, --under or --after, or take some of each species with --sample {fitting} (in Python: "
        "the fields of a Filter)."
    )
    raise MemoryNeededError(
        f"{photos:,} photos at once need more than {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are "
        f"free. {instead or narrow}"
    )


def _free() -> Iterable[int]:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _left_of_container() -> Iterable[int]:
    try:
        yield max(0, int(_LIMIT.read_text()) - int(_USED.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return
