"""Nearest vectors of an index: the saved engine, and the rows that are newer than it."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from birdsearch.errors import IndexDamagedError, RecallUnreachableError
from birdsearch.files import named_by_content, sha256_of
from birdsearch.records import Filter, Identity, Ids, Vectors, shown
from birdsearch.search import engine as engine_module
from birdsearch.search import exact, tuning
from birdsearch.search.engine import ENGINES
from birdsearch.search.exact import Neighbours
from birdsearch.search.local import FLAT_UP_TO, LocalEngine
from birdsearch.search.whitening import Whitening
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import PartRow
from birdsearch.storage.folder import Folder

logger = logging.getLogger("birdsearch")

RECALL = 0.95  # of the ten nearest, which an engine is chosen for unless `optimize` was given another
STATE = "engine_file"  # key of the catalog's state under which the engine in force stands
MAX_GROWTH = 4  # times as many rows as an engine was chosen for, and it is chosen again (a guess)
MAX_DELETED_FRACTION = 0.25  # of the rows of an engine; beyond it is built anew (a guess)
_PARTS = 32  # that enter an engine at a time: it sorts all its ids anew each time
_ROUNDS = 3  # searches in which removed rows are taken out of the engine as they are found; then all of them are


@dataclass(frozen=True, slots=True)
class EngineFile:
    """The engine in force, as the catalog's state names it."""

    file: str  # engine-<first 16 digits of its sha256>.npy or .faiss, in the folder of the index
    sha256: str
    kind: str
    settings: dict[str, Any]  # of that kind
    last_part: int  # it holds the live rows of the parts up to this one
    whitening: str | None  # sha256 of the transform that its rows went through
    built_with: int  # rows that its kind and settings were chosen on
    rows: int


def engine_file(catalog: Catalog) -> EngineFile | None:
    """The engine in force; None before the first run has ended, and where it no longer fits."""
    stored = catalog.get_state(STATE)
    chosen = catalog.get_state("whitening")
    if stored is None or stored["whitening"] != (chosen and chosen["sha256"]):
        return None  # of before or after `optimize`
    return EngineFile(**stored)


def load_engine(folder: Folder, named: EngineFile, *, mapped: bool = True) -> LocalEngine:
    """The engine that the catalog names. Raises IndexDamagedError where it is missing or damaged."""
    engine = engine_module.load(folder.path / named.file, named.kind, named.settings, mapped=mapped)
    if len(engine) != named.rows:
        raise IndexDamagedError(
            f"the engine {folder.path / named.file} cannot be read ({len(engine)} rows, not {named.rows}). "
            + engine_module.REBUILD
        )
    return engine


def engine_lacks(folder: Folder, catalog: Catalog, regions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the engine in force was built without some of these regions, whose parts it should hold."""
    named = engine_file(catalog)
    if named is None:
        return False
    try:
        held = load_engine(folder, named).ids
    except IndexDamagedError:
        return True
    ids = np.array([region["id"] for region in regions if region["part_id"] <= named.last_part], dtype=np.int64)
    return not np.isin(ids, held).all()


class VectorStore(Protocol):
    """The vectors of an index, as the packages above need them; `PartVectors` documents each method.

    Fetched vectors are raw; a search goes through the whitening. Handed to `Store` where they lie elsewhere.
    """

    def __len__(self) -> int: ...
    def fetch(self, ids: Sequence[int]) -> tuple[Vectors, Vectors]: ...
    def search(self, queries: Vectors, k: int, only: Ids | None = None) -> Neighbours: ...
    def blocks(self) -> Iterator[tuple[Ids, Vectors]]: ...
    def gathered(self) -> tuple[Ids, Vectors]: ...
    def whitening(self) -> Whitening | None: ...
    def engine_name(self) -> str: ...
    def keep(self, engine: engine_module.Engine, built_with: int) -> None: ...
    def forget_engine(self) -> None: ...
    def refresh(self) -> bool: ...
    def remove_leftovers(self) -> None: ...


class PartVectors:
    """Vectors in Parquet parts, searched by an engine in the folder of the index.

    It answers from one state of the index, and follows when a writer commits.
    """

    def __init__(self, folder: Folder, catalog: Catalog, identity: Identity) -> None:
        self._folder = folder
        self._catalog = catalog
        self._identity = identity
        # One value, replaced as a whole: threads may search while another one notices a commit.
        self._state = _State(-1)
        self._warned = ""  # the engine that a warning named

    def __len__(self) -> int:
        return len(self._current())

    def fetch(self, ids: Sequence[int]) -> tuple[Vectors, Vectors]:  # (n, dim), (n,)
        """The raw unit vectors of these photos, in their order, and their norms."""
        wanted = [int(photo_id) for photo_id in ids]
        with self._catalog.snapshot():
            places = self._catalog.locations(wanted)
            if len(places) < len(set(wanted)):
                self._catalog.photos(wanted)  # raises for an unknown id
        if len(places) < len(set(wanted)):
            where = shown(str(self._folder.path))
            raise IndexDamagedError(f"a photo of {where} has lost its vector: run `birdsearch repair`.")
        vectors = np.empty((len(wanted), self._identity.backbone.dim), dtype=np.float32)
        norms = np.empty(len(wanted), dtype=np.float32)
        reader = parts.PartReader(self._folder.vectors)
        for row in sorted(range(len(wanted)), key=lambda n: places[wanted[n]]):
            vectors[row], norms[row] = reader.row(*places[wanted[row]])
        return vectors, norms

    def engine_name(self) -> str:
        """Which kind of engine is saved; "none" before the first run has ended."""
        named, engine = self._saved()
        return named.kind if named and engine else "none"

    # Search

    def search(self, queries: Vectors, k: int, only: Ids | None = None) -> Neighbours:
        """The k best region ids of visible photos for each query (q, dim); `only` must name regions of visible ones.

        Fewer than k columns where there are fewer rows.
        """
        state = self._current()
        if state.whitening is not None:
            queries = state.whitening.apply(queries)
        for _ in range(_ROUNDS):
            found = state.search(queries, k, only)
            if only is not None or state.checked > len(state):
                return found
            ids = np.unique(found.ids[found.ids >= 0])
            visible = self._catalog.visible(ids.tolist())
            gone = ids[[region_id not in visible for region_id in ids.tolist()]] if len(visible) < len(ids) else ids[:0]
            state = self._without(state, gone, len(ids))
            if not len(gone):
                return found
        everything = np.unique(np.concatenate([engine.ids for engine in state.engines]))
        gone = np.setdiff1d(everything, self._catalog.region_ids(Filter()), assume_unique=True)
        return self._without(state, gone, 1 + len(everything)).search(queries, k, only)

    def _without(self, state: "_State", gone: Ids, checked: int) -> "_State":
        """The state whose engines answer no more with these rows, for this search and later ones."""
        engines = [copy(engine) for engine in state.engines] if len(gone) else state.engines
        for engine in engines if len(gone) else ():
            engine.remove(gone)
        smaller = replace(state, engines=engines, checked=state.checked + checked)
        if self._state is state:
            self._state = smaller
        return smaller

    def _current(self) -> "_State":
        generation = self._catalog.generation
        state = self._state
        if generation != state.generation:
            whitening = self.whitening()
            engine, newer = self._load()
            both = (engine, self._flat(newer, whitening) if newer else None)
            engines = [one for one in both if one is not None and len(one)]
            self._state = state = _State(generation, engines, whitening)
        return state

    def whitening(self) -> Whitening | None:
        """The transform into the whitened space, where the index has one."""
        chosen = self._catalog.get_state("whitening")
        if chosen is None:
            return None
        path = self._folder.whitening(chosen["sha256"])
        try:
            if sha256_of(path) == chosen["sha256"]:
                return Whitening.read(path)
            why = "it does not have the checksum it was written with"
        except OSError as error:
            why = str(error)
        raise IndexDamagedError(f"{shown(str(path))} cannot be used ({why}): run `birdsearch repair`.")

    def _load(self) -> tuple[LocalEngine | None, list[PartRow]]:
        """The saved engine where it can be used, and the parts that it does not hold."""
        named, engine = self._saved()
        last = named.last_part if named and engine else 0
        return engine, [part for part in self._catalog.parts() if part.id > last]

    def _saved(self) -> tuple[EngineFile | None, LocalEngine | None]:
        """The engine that the catalog names, and what could be read of it."""
        named = engine_file(self._catalog)
        try:
            return named, None if named is None else load_engine(self._folder, named)
        except IndexDamagedError as error:
            if named and self._warned != named.file:
                logger.warning("%s Searching the stored vectors meanwhile.", error)
                self._warned = named.file
            return named, None

    def _flat(self, listed: list[PartRow], whitening: Whitening | None) -> engine_module.Engine:
        """An exact engine over the live rows of these parts."""
        ids, rows = self._rows_of(listed, whitening)
        return tuning.build(rows, ids=ids, engine="flat")

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Region ids (n,) and raw vectors (n, dim) of every live row, one part after the other."""
        return (self.live_rows(part) for part in self._catalog.parts())

    def gathered(self) -> tuple[Ids, Vectors]:
        """Region ids (n,) and raw vectors (n, dim) of every live row."""
        return self._rows_of(self._catalog.parts(), None)

    def _rows_of(self, listed: list[PartRow], whitening: Whitening | None) -> tuple[Ids, Vectors]:
        """Region ids (n,) and vectors (n, dim or whitened) of the live rows of these parts."""
        dim = self._identity.backbone.dim if whitening is None else whitening.dim
        ids = np.empty(sum(part.rows for part in listed), dtype=np.int64)
        rows = np.empty((len(ids), dim), dtype=np.float32)
        count = 0
        for part in listed:
            some, living = self.live_rows(part)
            ids[count : count + len(some)] = some
            rows[count : count + len(some)] = living if whitening is None else whitening.apply(living)
            count += len(some)
        return ids[:count], rows[:count]

    def live_rows(self, part: PartRow) -> tuple[Ids, Vectors]:
        """Region ids (n,) and vectors (n, dim) of those rows of a part that the catalog still wants."""
        path = parts.file_of(self._folder.vectors, part.id)
        stored = parts.read(path)
        places = np.array(self._catalog.regions_of_part(part.id), dtype=np.int64).reshape(-1, 2)
        if (places[:, 1] >= len(stored.norms)).any():
            raise IndexDamagedError(f"{shown(str(path))} lacks rows that the catalog lists: run `birdsearch repair`.")
        return places[:, 0], stored.vectors[places[:, 1]]

    # Writing, by the one that holds the lock

    def refresh(self) -> bool:
        """Bring the saved engine up to date. Returns whether anything was written."""
        listed = self._catalog.parts()
        regions = self._catalog.counts()["regions"]
        choice = self._catalog.get_state("engine", {"name": "auto", "recall": RECALL})
        named, saved = self._saved()
        newer = [part for part in listed if named is None or saved is None or part.id > named.last_part]
        if named is not None and saved is not None:
            held = named.rows + sum(part.rows for part in newer)
            # What was fastest among few rows is not among many.
            if held - regions > MAX_DELETED_FRACTION * held or _needs_retuning(named, choice["name"], regions):
                named = saved = None
            elif not newer:
                return False
        whitening = self.whitening()
        if named is None or saved is None:
            ids, rows = self._rows_of(listed, whitening)
            # Few rows are searched exactly at once, and too few to build another engine on.
            kind = choice["name"] if len(ids) >= FLAT_UP_TO else "flat"
            try:
                built = tuning.build(rows, ids=ids, engine=kind, recall=choice["recall"])
            except RecallUnreachableError as error:
                logger.warning("%s Every photo is compared meanwhile.", error)
                built = tuning.build(rows, ids=ids, engine="flat")
            self.keep(built, len(ids))
        else:
            engine = load_engine(self._folder, named, mapped=False)
            for start in range(0, len(newer), _PARTS):
                ids, rows = self._rows_of(newer[start : start + _PARTS], whitening)
                engine.add(rows, ids)
            self.keep(engine, named.built_with)
        return True

    def keep(self, engine: engine_module.Engine, built_with: int) -> None:
        """Save an engine that holds every live row of the last commit: first the file, then the commit that names it.

        Raises ValueError for an engine that cannot be kept in a file.
        """
        if not isinstance(engine, LocalEngine):
            raise ValueError(f"an engine of the kind {engine.kind} cannot be kept in a file")
        path, sha256 = named_by_content(self._folder.path, "engine", engine.suffix, engine.write)
        chosen = self._catalog.get_state("whitening")
        named = EngineFile(
            file=path.name,
            sha256=sha256,
            kind=engine.kind,
            settings=engine.settings.as_json(),
            last_part=max((part.id for part in self._catalog.parts()), default=0),
            whitening=None if chosen is None else str(chosen["sha256"]),
            built_with=built_with,
            rows=len(engine),
        )
        self._catalog.set_state(STATE, asdict(named))
        self._state = _State(-1)

    def forget_engine(self) -> None:
        """Let the next `refresh` build an engine from the parts."""
        self._catalog.set_state(STATE, None)

    def remove_leftovers(self) -> None:
        """Remove the engines that the catalog does not name; a reader that has one open keeps it."""
        stored = self._catalog.get_state(STATE)
        for path in [*self._folder.path.glob("engine-*"), *self._folder.path.glob("vectors.faiss")]:
            if stored is None or path.name != stored["file"]:
                path.unlink()


@dataclass(frozen=True, slots=True)
class _State:
    """What answers searches at one commit."""

    generation: int
    engines: Sequence[engine_module.Engine] = ()
    whitening: Whitening | None = None
    checked: int = (
        0  # answers that were looked up in the catalog: more than there are rows when all removed ones are out
    )

    def __len__(self) -> int:
        return sum(len(engine) for engine in self.engines)

    def search(self, queries: Vectors, k: int, only: Ids | None) -> Neighbours:
        """The best of all engines; fewer than k columns where there are fewer rows."""
        k = min(k, len(self) if only is None else len(only))
        found = Neighbours(
            np.full((len(queries), 0), -1, dtype=np.int64), np.empty((len(queries), 0), dtype=np.float32)
        )
        for engine in self.engines if k else ():
            found = exact.merge_top_k(found, engine.search(queries, k, only=only), k)
        return found


def _needs_retuning(named: EngineFile, choice: str, rows: int) -> bool:
    """Whether an engine that was chosen by measuring has so many more rows now that it should be chosen again."""
    if rows < FLAT_UP_TO:
        return False
    if choice in ENGINES and ENGINES[choice].exact:
        return named.kind != choice
    few = ENGINES[named.kind].exact and named.built_with < FLAT_UP_TO  # it was not measured then
    return few or rows > MAX_GROWTH * named.built_with
