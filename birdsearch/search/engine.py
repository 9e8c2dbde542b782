"""Engines: what finds the nearest of many vectors. A new one is a class like `Engine`, named in ENGINES."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from birdsearch.errors import IndexDamagedError
from birdsearch.records import Filter, Ids, Vectors, shown
from birdsearch.search.coded import FlatFp16, Hnsw, Ivf, Pq
from birdsearch.search.exact import Neighbours
from birdsearch.search.local import Flat, LocalEngine, StoredSettings

REBUILD = "Run `birdsearch repair`: the engine is a cache and is rebuilt from the stored vectors."


class Engine(Protocol):
    """What finds the nearest of many vectors; rows are known by the caller's ids."""

    @property
    def kind(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def ids(self) -> Ids:
        """(n,) of the rows that may answer."""
        ...

    def __len__(self) -> int: ...
    def add(self, vectors: Vectors, ids: Ids, facets: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Take in rows (n, dim) under ids (n,), with facts to filter by; an id that is there already is replaced."""

    def search(self, vectors: Vectors, k: int, only: Ids | None = None, where: Filter | None = None) -> Neighbours:
        """The k best rows for each query (q, dim) by cosine; only those in `only`, and that satisfy `where`."""
        ...

    def remove(self, ids: Ids) -> None:
        """Let these rows answer no more; ids that are not there are ignored."""


ENGINES: dict[str, type[LocalEngine]] = {engine.kind: engine for engine in (Flat, FlatFp16, Ivf, Hnsw, Pq)}
ENTRY_POINTS = "birdsearch.engines"  # the group under which other packages offer theirs: a callable dim -> Engine


def engine_class(kind: str) -> Callable[[int], Engine]:
    """What makes an empty engine of this kind for rows (n, dim). Raises ValueError for an unknown kind."""
    if kind in ENGINES:
        return ENGINES[kind]
    from importlib import metadata  # slow to load, for few

    for offered in metadata.entry_points(group=ENTRY_POINTS, name=kind):
        made: Callable[[int], Engine] = offered.load()
        return made
    others = sorted(offered.name for offered in metadata.entry_points(group=ENTRY_POINTS))
    raise ValueError(f"engine must be 'auto' or one of {', '.join([*ENGINES, *others])}, got {kind!r}")


def load(path: Path, kind: str, settings: StoredSettings | None = None, *, mapped: bool = True) -> LocalEngine:
    """Open a saved engine: mapped for readers (instant, shared between processes), in memory for a writer.

    Raises IndexDamagedError where the file cannot be read.
    """
    try:
        engine = ENGINES[kind]
        return engine.read(path, engine.settings_type.read(settings or {}), mapped)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, EOFError, MemoryError) as error:
        raise IndexDamagedError(f"the engine {shown(str(path))} cannot be read ({error}). {REBUILD}") from error
