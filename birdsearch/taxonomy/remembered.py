"""What names meant before, kept in the user's cache: the lists that tell it take a second to read."""

import atexit
import hashlib
import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from birdsearch.cache import cache_folder, make_private, others_may_write
from birdsearch.files import atomic_write
from birdsearch.taxonomy.avilist import Taxon, lists
from birdsearch.taxonomy.meaning import Resolution

LARGEST = 50_000  # answers to one question: when there are more, all are found once more
Question = Callable[[str], Resolution | None]

logger = logging.getLogger("birdsearch")


def remembered(question: Question) -> Question:
    """A question about a name whose answers this process and the user's cache keep, until a list or a rule changes."""
    known: dict[str, Resolution | None] = {}
    _kept[question.__name__] = known

    def answer(name: str) -> Resolution | None:
        _load()
        if name not in known:
            if len(known) >= LARGEST:
                known.clear()
            known[name] = question(name)
            _changed.set()
        return known[name]

    return answer


_kept: dict[str, dict[str, Resolution | None]] = {}  # question -> name -> answer
_changed = threading.Event()
_loading = threading.Lock()
_file: Path | None = None


def _load() -> None:
    """Read what is kept, once; from then on the end of the process keeps what is new."""
    global _file
    if _file is not None:
        return
    with _loading:
        if _file is None:
            file = cache_folder() / f"names-{_stamp()}.json"
            _read(file)
            _file = file
            atexit.register(keep)


def _read(file: Path) -> None:
    with suppress(OSError, ValueError, TypeError, AttributeError):  # missing or damaged: all is found anew
        if others_may_write(file.parent):
            return
        stored = json.loads(file.read_text(encoding="utf-8"))
        for question, kept in _kept.items():
            answers = {name: _unpacked(name, packed) for name, packed in stored.get(question, {}).items()}
            if len(kept) + len(answers) <= LARGEST:
                kept |= answers


def keep() -> None:
    """Write what is new, beside what other processes kept meanwhile, where there is room and permission."""
    if _file is None or not _changed.is_set():
        return
    _changed.clear()
    _read(_file)
    try:
        make_private(_file.parent)
        if others_may_write(_file.parent):
            return
        for older in set(_file.parent.glob("names-*.json")) - {_file}:
            older.unlink(missing_ok=True)
        packed = {question: {name: _packed(one) for name, one in kept.items()} for question, kept in _kept.items()}
        with atomic_write(_file) as file:
            file.write(json.dumps(packed).encode())
    except OSError as error:
        logger.debug("what names mean is not kept: %s", error)


def _packed(meaning: Resolution | None) -> list[Any] | None:
    if meaning is None:
        return None
    return [meaning.rank, meaning.taxon, meaning.candidates, meaning.method, meaning.confidence]


def _unpacked(name: str, packed: list[Any] | None) -> Resolution | None:
    if packed is None:
        return None
    rank, taxon, candidates, method, confidence = packed
    return Resolution(name, rank, None if taxon is None else Taxon(*taxon), tuple(candidates), method, confidence)


def _stamp() -> str:
    """16 letters for everything that decides what a name means: the rules, and the lists."""
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".csv")):
        digest.update(path.read_bytes())
    for path in lists():
        info = path.stat()
        digest.update(f"{path.name} {info.st_size} {info.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
