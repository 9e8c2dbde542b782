"""The file of an engine: what faiss writes, then the ids, a JSON footer, its length and eight magic bytes.

faiss ignores what follows its own bytes, so it can map the file as it is. docs: `indexes/README.md`.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from birdsearch.files import atomic_write
from birdsearch.records import Ids

MAGIC = b"BIRDVEC1"
TAIL = len(MAGIC) + 8  # bytes: the length of the footer as uint64, and the magic


def damage(path: Path) -> str | None:
    """What is wrong with an engine file, or None; reads the whole file, which opening it does not."""
    try:
        with path.open("rb") as file:
            footer, ids = read_footer(file)
            file.seek(0)
            checksum, left = 0, int(footer["faiss_bytes"])
            while left and (block := file.read(min(left, 1 << 24))):
                checksum, left = zlib.crc32(block, checksum), left - len(block)
            checksum = zlib.crc32(ids.tobytes(), checksum)
    except (OSError, ValueError) as error:
        return f"{path} cannot be read ({error})"
    return None if checksum == footer.get("crc32") else f"{path} does not have the checksum it was written with"


def save(path: Path, dump: Callable[[Callable[[bytes], int]], None], ids: Ids, footer: dict[str, Any]) -> None:
    """Write a file so that a crash leaves the old one or the new one; `dump(write)` hands over the faiss bytes."""
    with atomic_write(path) as file:
        write(file, dump, ids, footer)


def write(file: BinaryIO, dump: Callable[[Callable[[bytes], int]], None], ids: Ids, footer: dict[str, Any]) -> None:
    """Lay down faiss bytes, ids (n,) int64, footer, its length, the magic bytes."""
    failures: list[BaseException] = []
    checksum = size = 0

    def take(data: bytes) -> int:
        nonlocal checksum, size
        try:
            file.write(data)
        # faiss turns an exception of its callback into one of its own: keep "no space left" for the caller.
        except BaseException as error:
            failures.append(error)
            return 0
        checksum, size = zlib.crc32(data, checksum), size + len(data)
        return len(data)

    try:
        dump(take)
    except RuntimeError:
        if not failures:
            raise
    if failures:
        raise failures[0]
    names = np.ascontiguousarray(ids, dtype="<i8").tobytes()
    footer = {**footer, "rows": len(ids), "faiss_bytes": size, "crc32": zlib.crc32(names, checksum)}
    text = json.dumps(footer).encode()
    file.write(names + text + struct.pack("<Q", len(text)) + MAGIC)


def stamp_of(path: Path) -> dict[str, Any]:
    """What an engine was saved with, read without opening it; empty where there is no engine that can be read."""
    try:
        with path.open("rb") as file:
            stamp: dict[str, Any] = _read_end(file)["stamp"]
            return stamp
    except (OSError, ValueError):
        return {}


def read_footer(file: BinaryIO) -> tuple[dict[str, Any], Ids]:
    """The footer and the ids of an engine file; ValueError where it does not end as one."""
    footer = _read_end(file)
    file.seek(footer["faiss_bytes"])
    return footer, np.frombuffer(file.read(8 * footer["rows"]), dtype="<i8").astype(np.int64)


def _read_end(file: BinaryIO) -> dict[str, Any]:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    end = file.read(TAIL)
    if not end.endswith(MAGIC) or len(end) < TAIL:
        raise ValueError("its end is missing")
    (length,) = struct.unpack("<Q", end[:8])
    if length > size - TAIL:
        raise ValueError("its footer is broken")
    file.seek(size - TAIL - length)
    match footer := json.loads(file.read(length)):
        case {"stamp": dict(), "faiss_bytes": int(own), "rows": int(rows)}:
            if own + 8 * rows + length + TAIL != size:
                raise ValueError("its size is not what its footer says")
            return cast("dict[str, Any]", footer)
    raise ValueError("its footer is broken")
