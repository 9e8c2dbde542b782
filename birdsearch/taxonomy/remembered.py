"""What names meant before, kept in the user's cache: the lists that tell it take a second to read."""

import atexit
import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from birdsearch.cache import stamp_of, stamped_file
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
        try:
            return known[name]
        except KeyError:
            found = question(name)
        if len(known) >= LARGEST:
            known.clear()
        known[name] = found
        _changed.set()
        return found

    return answer


_kept: dict[str, dict[str, Resolution | None]] = {}  # question -> name -> answer
_changed, _loaded = threading.Event(), threading.Event()
_loading = threading.Lock()


def _load() -> None:
    """Read what is kept, once; from then on the end of the process keeps what is new."""
    if _loaded.is_set():
        return
    with _loading:
        if not _loaded.is_set():
            _read()
            _loaded.set()
            atexit.register(keep)


def _read() -> None:
    with suppress(OSError, ValueError, TypeError, AttributeError):  # missing or damaged: all is found anew
        file = _file()
        stored = {} if file is None else json.loads(file.read_text(encoding="utf-8"))
        for question, kept in _kept.items():
            answers = {name: _unpacked(name, packed) for name, packed in stored.get(question, {}).items()}
            if len(kept) + len(answers) <= LARGEST:
                kept |= answers


def keep() -> None:
    """Write what is new, beside what other processes kept meanwhile, where there is room and permission."""
    if not _changed.is_set():
        return
    _changed.clear()
    _read()
    packed = {question: {name: _packed(one) for name, one in kept.copy().items()} for question, kept in _kept.items()}
    try:
        if (place := _file()) is not None:
            with atomic_write(place) as file:
                file.write(json.dumps(packed).encode())
    except OSError as error:
        logger.debug("what names mean is not kept: %s", error)


def _file() -> Path | None:
    return stamped_file("names", ".json", _stamp())


def _packed(meaning: Resolution | None) -> list[Any] | None:
    if meaning is None:
        return None
    return [meaning.rank, meaning.taxon, meaning.candidates, meaning.method, meaning.confidence]


def _unpacked(name: str, packed: list[Any] | None) -> Resolution | None:
    if packed is None:
        return None
    rank, taxon, candidates, method, confidence = packed
    return Resolution(name, rank, None if taxon is None else Taxon(*taxon), tuple(candidates), method, confidence)


@cache
def _stamp() -> str:
    """The stamp of everything that decides what a name means: the rules, and the lists."""
    rules = (path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".csv"))
    infos = ((path.name, path.stat()) for path in lists())
    return stamp_of(rules, (f"{name} {info.st_size} {info.st_mtime_ns}" for name, info in infos))
