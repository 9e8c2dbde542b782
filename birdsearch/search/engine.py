"""Engines: what finds the nearest of many vectors. A new one is a class like `Engine`, named in ENGINES."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from birdsearch.errors import EngineUnreachableError, IndexDamagedError
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


# What an engine on a server may keep of each row, to filter by: its photo, and facts of that.
FACETS: dict[str, type] = {
    "photo": int,
    "species": str,
    "label": str,
    "taken_at": str,
    "latitude": float,
    "longitude": float,
    "camera": str,
    "width": int,
}


_LONGEST = 1_000  # bytes of a text among them


def kept_text(text: str) -> str:
    """As much of a text as a facet has room for, without what no expression can quote."""
    plain = "".join(one if one.isprintable() else "\ufffd" for one in text)
    return plain.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")


def is_kept_whole(text: str) -> bool:
    """Whether no other text is kept as the same."""
    return text.isprintable() and "\ufffd" not in text and len(text.encode("utf-8", "replace")) < _LONGEST - 4


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows as a server keeps them."""

    ids: Ids  # (n,) ascending
    vectors: Vectors  # (n, dim)
    facets: Mapping[str, Sequence[Any]]  # of FACETS: n values each, None where a photo does not know


class ServedEngine(Engine, Protocol):
    """An engine whose rows lie on a server: what one process adds and removes is so for all."""

    name: str
    is_exact: bool  # whether it compares every row
    effort: int  # how hard it searches where it does not

    def search(
        self, vectors: Vectors, k: int, only: Ids | None = None, where: Filter | None = None, share: float = 1.0
    ) -> Neighbours:
        """The same; names in `where` are compared as they are spelled, what facets do not tell of it is not asked.

        `share` is how many of the rows are expected to satisfy it.
        """
        ...

    def settle(self) -> None:
        """Wait until what was added is found as fast as it will be."""

    def stored(self, ids: Ids) -> StoredRows:
        """The rows that are there under these ids."""
        ...

    def present(self, ids: Ids) -> Ids:
        """Those of the ids that are there, ascending."""
        ...

    def ids_of_photos(self, photo_ids: Sequence[int]) -> Ids:
        """The rows of these photos, ascending."""
        ...


class EngineServer(Protocol):
    """A server of engines, each under a name; `cluster.milvus.Milvus` is one. Raises EngineUnreachableError."""

    def close(self) -> None: ...
    def names(self, prefix: str) -> list[str]:
        """The engines whose names begin so."""
        ...

    def open(self, name: str) -> ServedEngine | None:
        """The engine of a name; None where there is none."""
        ...

    def create(self, name: str, dim: int, exact: bool) -> ServedEngine:
        """An empty engine for rows (n, dim), which compares every row or finds its way by an index."""
        ...

    def drop(self, name: str) -> None:
        """Remove an engine with its aliases."""

    def name_of(self, alias: str) -> str | None:
        """The engine that an alias stands for."""
        ...

    def point(self, alias: str, name: str) -> None:
        """Let a new alias stand for an engine."""

    def unpoint(self, alias: str) -> None:
        """Forget an alias, if it is there."""


ENGINES: dict[str, type[LocalEngine]] = {engine.kind: engine for engine in (Flat, FlatFp16, Ivf, Hnsw, Pq)}
# The group under which other packages offer theirs: a callable dim -> Engine. If it lives on servers, its attribute
# `server` is a callable address -> EngineServer; its name is the scheme of such an address.
ENTRY_POINTS = "birdsearch.engines"
AGAIN = 30  # seconds after which a server that did not answer is asked again


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


def is_offered(kind: str) -> bool:
    """Whether an installed package offers engines of this kind."""
    from importlib import metadata  # slow to load, for few

    return bool(metadata.entry_points(group=ENTRY_POINTS, name=kind))


def engine_server(address: str) -> EngineServer:
    """The server of engines at an address such as milvus://host:19530. Raises EngineUnreachableError."""
    from importlib import metadata

    kind = address.partition(":")[0].partition("+")[0]
    for offered in metadata.entry_points(group=ENTRY_POINTS, name=kind):
        opened = getattr(offered.load(), "server", None)
        if opened is not None:
            server: EngineServer = opened(address)
            return server
    raise EngineUnreachableError(
        f"no installed package keeps engines at {shown(address)}: Milvus is reached by milvus://host:19530 with "
        'pip install "birdsearch[cluster]"'
    )


class Connection:
    """The way to the server at an address. Where it did not answer, it is not asked again for half a minute."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._server: EngineServer | None = None
        self._missed: tuple[float, EngineUnreachableError] | None = None  # when it did not answer, and what was said

    @property
    def is_away(self) -> bool:
        """Whether it did not answer a moment ago."""
        return self._missed is not None and time.monotonic() < self._missed[0] + AGAIN

    def server(self) -> EngineServer:
        """The server. Raises EngineUnreachableError; while it is away, the one that was raised then."""
        if self._missed is not None and self.is_away:
            raise self._missed[1]
        if self._server is None:
            self._server = engine_server(self._address)
        return self._server

    def miss(self, error: EngineUnreachableError) -> bool:
        """Note that it did not answer; False where that is known."""
        if self._missed is not None and self._missed[1] is error:
            return False
        self.close()
        self._missed = time.monotonic(), error
        return True

    def ask_again(self) -> None:
        """Let the next question go there, however short ago it did not answer."""
        self._missed = None

    def close(self) -> None:
        """Give the connection back: over a new one a server that has gone is missed in no time."""
        if self._server is not None:
            self._server.close()
        self._server = self._missed = None


def load(path: Path, kind: str, settings: StoredSettings | None = None, *, mapped: bool = True) -> LocalEngine:
    """Open a saved engine: mapped for readers (instant, shared between processes), in memory for a writer.

    Raises IndexDamagedError where the file cannot be read.
    """
    try:
        engine = ENGINES[kind]
        return engine.read(path, engine.settings_type.read(settings or {}), mapped)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, EOFError, MemoryError) as error:
        raise IndexDamagedError(f"the engine {shown(str(path))} cannot be read ({error}). {REBUILD}") from error
