"""Nearest vectors of an index: the saved engine, and the rows that are newer than it."""

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from birdsearch.cache import file_problem
from birdsearch.errors import (
    BackboneMismatchError,
    GraphMissingError,
    IndexDamagedError,
    MemoryNeededError,
    RecallUnreachableError,
)
from birdsearch.files import is_sha256
from birdsearch.memory import check_room
from birdsearch.records import EngineState, Filter, Identity, Ids, Progress, Trial, Vectors, shown
from birdsearch.search import engine as engine_module
from birdsearch.search import exact, tuning
from birdsearch.search.coded import MAX_DEPTH
from birdsearch.search.engine import ENGINES
from birdsearch.search.exact import Mask, Neighbours
from birdsearch.search.graph import NeighbourGraph, linked
from birdsearch.search.local import FLAT_UP_TO, LocalEngine, StoredSettings
from birdsearch.search.whitening import Whitening
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog, Location
from birdsearch.storage.catalog.commits import PartRow
from birdsearch.storage.catalog.database import RESTORE
from birdsearch.storage.catalog.tables import IDENTITY
from birdsearch.storage.folder import Folder, identity_of
from birdsearch.storage.place import as_told

logger = logging.getLogger("birdsearch")

RECALL = 0.95  # of the ten nearest, which an engine is chosen for unless `optimize` was given another
STATE = "engine_file"  # key of the catalog's state under which the engine in force stands
ON_SERVER = "engine_on_server"  # and the one of those that open the index with a server of vectors (served.py)
MAX_GROWTH = 4  # times as many rows as an engine was chosen for, and it is chosen again (a guess)
MAX_DELETED_FRACTION = 0.25  # of the rows of an engine; beyond it is built anew (a guess)
FEW = 10_000  # rows that a filter leaves, up to which all of them are looked up (a guess)
_PARTS = 32  # that enter an engine at a time: it sorts all its ids anew each time
_ELSEWHERE = "A computer with more memory is needed, or a server of vectors (vectors=milvus://HOST:19530)."
_ROUNDS = 3  # searches in which removed rows are taken out of the engine as they are found; then all of them are


@dataclass(frozen=True, slots=True)
class EngineFile:
    """The engine in force, as the catalog's state names it."""

    file: str  # engine-<first 16 digits of its sha256>.npy or .faiss, in the folder of the index
    sha256: str
    kind: str
    settings: StoredSettings  # of that kind
    last_part: int  # it holds the live rows of the parts up to this one
    whitening: str | None  # sha256 of the transform that its rows went through
    built_with: int  # rows that its kind and settings were chosen on
    rows: int
    graph: str | None = None  # sha256 of the neighbour graph of its frames; None before the first `optimize`


def engine_file(catalog: Catalog) -> EngineFile | None:
    """The engine in force; None before the first run has ended, and where it no longer fits."""
    stored = catalog.get_state(STATE)
    try:
        named = None if stored is None else EngineFile(**stored)
    except TypeError:
        named = None
    # What cannot be used is made again by the next writer, as what is missing; so is that of before `optimize`.
    if named is None or not _is_sound(named) or named.whitening != whitening_sha256(catalog):
        return None
    return named


def _is_sound(named: EngineFile) -> bool:
    """Whether these are values of the kinds that `keep` writes; above all no path that leads elsewhere."""
    numbers = (named.last_part, named.built_with, named.rows)
    return (
        is_sha256(named.sha256)
        and (named.graph is None or is_sha256(named.graph))
        and named.kind in ENGINES
        and named.file == f"engine-{named.sha256[:16]}{ENGINES[named.kind].suffix}"
        and all(type(number) is int and number >= 0 for number in numbers)
    )


def stored_identity(catalog: Catalog, key: str = IDENTITY) -> Identity | None:
    """The catalog's copy of index.json; None where it has lost it."""
    try:
        return identity_of(catalog.get_state(key))
    except ValueError:
        return None


def whitening_sha256(catalog: Catalog) -> str | None:
    """The checksum of the whitening transform in force; None where there is none."""
    stored = catalog.get_state("whitening")
    if stored is None:
        return None
    if not isinstance(stored, dict) or not is_sha256(stored.get("sha256")):
        raise IndexDamagedError(f"the catalog names a whitening that cannot be: {stored!r:.80}. {RESTORE}")
    return str(stored["sha256"])


def load_engine(folder: Folder, named: EngineFile, *, mapped: bool = True) -> LocalEngine:
    """The engine that the catalog names. Raises IndexDamagedError where it is missing or damaged."""
    path = folder.place.here(named.file, named.sha256)
    with as_told(folder.place):
        # First: FAISS may take the process down over a damaged file.
        problem = file_problem(path, named.sha256)
        if problem is None:
            if not mapped:
                check_room(1, path.stat().st_size, _ELSEWHERE)
            engine = engine_module.load(path, named.kind, named.settings, mapped=mapped)
            if len(engine) == named.rows:
                return engine
            problem = f"{shown(str(path))} holds {len(engine)} rows, not {named.rows}"
        raise IndexDamagedError(f"the engine cannot be read ({problem}). {engine_module.REBUILD}")


def load_graph(folder: Folder, sha256: str) -> NeighbourGraph:
    """The neighbour graph that the catalog names. Raises IndexDamagedError where it is missing or damaged."""
    path = folder.graph(sha256)
    problem = file_problem(path, sha256)
    if problem is None:
        try:
            return NeighbourGraph.read(path)
        except ValueError as error:
            problem = f"{shown(str(path))}: {error}"
    told = folder.place.told(problem)
    raise IndexDamagedError(f"the neighbour graph cannot be read ({told}). {engine_module.REBUILD}")


def engine_lacks(folder: Folder, catalog: Catalog, part_of: Mapping[int, int]) -> bool:
    """Whether the engine in force lacks one of these regions (id -> part id) though it should hold that part."""
    if (named := engine_file(catalog)) is None:
        return False
    region_ids = [region_id for region_id, part_id in part_of.items() if part_id <= named.last_part]
    try:
        return not np.isin(region_ids, load_engine(folder, named).ids).all()
    except IndexDamagedError:
        return True


@dataclass(frozen=True, slots=True)
class Section:
    """The live rows of one part, which never changes."""

    sha256: str
    ids: Ids  # (n,) regions
    rows: Ids  # (n,) where the vector of each lies in the part
    read: Callable[[], parts.Part]


class VectorStore(Protocol):
    """The vectors of an index, as the packages above need them; `PartVectors` documents each method.

    Fetched vectors are raw; a search goes through the whitening. Handed to `Store` where they lie elsewhere.
    """

    def __len__(self) -> int: ...
    def fetch(self, ids: Sequence[int]) -> tuple[Vectors, Vectors]: ...
    def fetch_regions(self, region_ids: Sequence[int]) -> tuple[Vectors, Vectors]: ...
    def search(self, queries: Vectors, k: int, only: Ids | None = None, where: Filter | None = None) -> Neighbours: ...
    def blocks(self) -> Iterator[tuple[Ids, Vectors]]: ...
    def gathered(self) -> tuple[Ids, Vectors]: ...
    def sections(self) -> list[Section]: ...
    def whitening(self) -> Whitening | None: ...
    def engine_name(self) -> str: ...
    def graph(self) -> NeighbourGraph: ...
    def engine_state(self) -> EngineState: ...
    def problems(self) -> Iterator[str]: ...
    def tuned(
        self, rows: Vectors, ids: Ids, name: str, recall: float, progress: Progress | None
    ) -> tuple[engine_module.Engine, list[Trial]]: ...
    def keep(self, engine: engine_module.Engine, built_with: int, graph: NeighbourGraph | None = None) -> None: ...
    def close(self) -> None: ...
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
        self._graph: tuple[str, NeighbourGraph] | None = None  # its sha256
        self._warned = ""  # the engine that a warning named
        self._kept = parts.KeptRows()

    def __len__(self) -> int:
        return len(self._current())

    def close(self) -> None:
        """Give back the files of the engine and of the graph, whoever still knows this object."""
        self._state, self._graph = _State(-1), None
        self._kept.forget()

    def fetch(self, ids: Sequence[int]) -> tuple[Vectors, Vectors]:  # (n, dim), (n,)
        """The raw unit vectors of the frames of these photos, in their order, and their norms."""
        photo_ids = [int(photo_id) for photo_id in ids]
        with self._catalog.snapshot():
            self._check_backbone()
            locations = self._catalog.locations(photo_ids)
            if len(locations) < len(set(photo_ids)):
                self._catalog.photos(photo_ids)  # raises for an unknown id
                where = self._folder.where
                raise IndexDamagedError(
                    f"a photo of {where} has lost its vector: run `birdsearch repair`, or, where its file was away, "
                    "`birdsearch index` when it is back."
                )
            return self._read([locations[photo_id] for photo_id in photo_ids])

    def fetch_regions(self, region_ids: Sequence[int]) -> tuple[Vectors, Vectors]:  # (n, dim), (n,)
        """The same of these regions, which have a vector each."""
        with self._catalog.snapshot():
            locations = self._catalog.region_locations(region_ids)
            return self._read([locations[region_id] for region_id in region_ids])

    def _read(self, locations: Sequence[Location]) -> tuple[Vectors, Vectors]:
        vectors = np.empty((len(locations), self._identity.backbone.dim), dtype=np.float32)
        norms = np.empty(len(locations), dtype=np.float32)
        reader = parts.PartReader(self._folder.vectors, self._catalog.parts(), self._kept)
        for row in sorted(range(len(locations)), key=lambda n: locations[n]):
            vector, norms[row] = reader.row(locations[row])
            vectors[row] = self._of_my_dim(vector)
        return vectors, norms

    def _check_backbone(self) -> None:
        """Raises BackboneMismatchError where another process has embedded the photos anew since it was opened."""
        stored = stored_identity(self._catalog)
        if stored is not None and stored.backbone != self._identity.backbone:
            raise BackboneMismatchError(
                f"the photos of {self._folder.where} have been embedded anew since it was opened: open it again."
            )

    def engine_name(self) -> str:
        """Which kind of engine is saved; "none" before the first run has ended."""
        named, engine = self._saved()
        return named.kind if named and engine else "none"

    # Search

    def search(self, queries: Vectors, k: int, only: Ids | None = None, where: Filter | None = None) -> Neighbours:
        """The k best region ids of visible photos for each query (q, dim); `only` must name regions of visible ones.

        With `where` those of photos that satisfy it. Fewer than k columns where there are fewer rows.
        """
        state = self._current()
        if state.whitening is not None:
            queries = state.whitening.apply(queries)
        if where is not None:
            only = self._catalog.region_ids(where, limit=FEW + 1)
            if len(only) > FEW:
                if (found := self._of_filter(state, queries, k, where)) is not None:
                    return found
                only = self._catalog.region_ids(where)
        for _ in range(_ROUNDS):
            nearest = state.search(queries, k, only)
            if only is not None or state.removed_are_out:
                return nearest
            if state.checked > len(state):
                break  # so many answers were looked up that looking up every row costs no more
            # No np.unique: it loads masked arrays, for longer than this takes.
            ids = set(nearest.ids[nearest.ids >= 0].tolist())
            gone = np.array(sorted(ids.difference(self._catalog.visible(ids))), dtype=np.int64)
            state = self._without(state, gone, checked=state.checked + len(ids))
            if not len(gone):
                return nearest
        everything = np.unique(np.concatenate([engine.ids for engine in state.engines]))
        gone = np.setdiff1d(everything, self._catalog.region_ids(Filter()), assume_unique=True)
        return self._without(state, gone, removed_are_out=True).search(queries, k, only)

    def _of_filter(self, state: "_State", queries: Vectors, k: int, where: Filter) -> Neighbours | None:
        """The best of the many rows that satisfy a filter, where so many of the nearest of all rows do.

        Only these are looked up then, not every row of the filter. None where it leaves too few of the nearest.
        """
        if where.draws:
            return None  # a sample is drawn anew for each look
        deepest = min(MAX_DEPTH, len(state) // max(1, 4 * len(queries)))  # deeper, to look up every row costs no more
        ask = partial(state.search, queries, only=None)
        found = exact.valid_answers(ask, k, partial(self._satisfy, where), 2 * k, deepest)
        return None if found is None else exact.trimmed(found)

    def _satisfy(self, where: Filter, region_ids: Ids) -> Mask:
        """Which answers (q, k) are regions of photos that satisfy a filter."""
        return np.isin(region_ids, self._catalog.region_ids(where, among=set(region_ids[region_ids >= 0].tolist())))

    def _without(self, state: "_State", gone: Ids, checked: int = 0, removed_are_out: bool = False) -> "_State":
        """The state whose engines answer no more with these rows, for this search and later ones."""
        engines = [copy(engine) for engine in state.engines] if len(gone) else state.engines
        for engine in engines if len(gone) else ():
            engine.remove(gone)
        smaller = replace(state, engines=engines, checked=checked, removed_are_out=removed_are_out)
        if self._state is state:
            self._state = smaller
        return smaller

    def _current(self) -> "_State":
        generation = self._catalog.generation
        state = self._state
        if generation != state.generation:
            self._check_backbone()
            whitening = self.whitening()
            named, saved = self._saved()
            ids, rows = self._rows_of(self._newer(named, saved), whitening)
            if saved is not None and saved.dim != rows.shape[1]:
                raise IndexDamagedError(
                    f"the engine of {self._folder.where} holds rows of {saved.dim} numbers, "
                    f"not {rows.shape[1]}. {engine_module.REBUILD}"
                )
            flat = tuning.build(rows, ids=ids, engine="flat")
            engines = [engine for engine in (saved, flat) if engine is not None and len(engine)]
            self._state = state = _State(generation, engines, whitening)
        return state

    def whitening(self) -> Whitening | None:
        """The transform into the whitened space, where the index has one."""
        sha256 = whitening_sha256(self._catalog)
        if sha256 is None:
            return None
        path = self._folder.whitening(sha256)
        place = self._folder.place
        if (problem := file_problem(path, sha256)) is not None:
            raise IndexDamagedError(f"{place.told(problem)}: run `birdsearch repair`.")
        try:
            return Whitening.read(path, self._identity.backbone.dim)
        except ValueError as error:
            raise IndexDamagedError(f"{place.where(path.name)} cannot be used ({error}): index again.") from error

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

    def graph(self) -> NeighbourGraph:
        """The neighbour graph, without photos that are newer. Raises GraphMissingError where there is none."""
        named = engine_file(self._catalog)
        return self._loaded_graph(None if named is None else named.graph)

    def _loaded_graph(self, sha256: str | None) -> NeighbourGraph:
        """The graph of this sha256."""
        if sha256 is None:
            where = self._folder.where
            raise GraphMissingError(
                f"{where} has no neighbour graph, which diffusion spreads over. "
                f"Make it: birdsearch optimize --index {shlex.quote(where)}"
            )
        known = self._graph
        if known is None or known[0] != sha256:
            self._graph = known = sha256, load_graph(self._folder, sha256)
        return known[1]

    def engine_state(self) -> EngineState:
        """How far the saved engine has come."""
        named, saved = self._saved()
        newer = self._newer(named, saved)
        later = {part.id for part in newer}
        here = [part.generation for part in self._catalog.parts() if part.id not in later]
        rows = named.rows if named is not None and saved is not None else 0
        return EngineState(
            rows=rows,
            behind=sum(part.rows for part in newer),
            generation=max(here, default=0),
            of=self._catalog.generation,
        )

    def problems(self) -> Iterator[str]:
        """What is wrong with the engine that the catalog names and with its graph, which may be older."""
        named = engine_file(self._catalog)
        if named is None:
            return  # searches read the parts until the next writer builds one
        path = self._folder.place.here(named.file)
        if (problem := file_problem(path, named.sha256, anew=True)) is not None:
            yield problem
            return
        if named.graph is not None:
            problem = file_problem(self._folder.graph(named.graph, anew=True), named.graph, anew=True)
            if problem is not None:
                yield problem
        part_of = {
            region_id: part.id
            for part in self._catalog.parts()
            for region_id, _ in self._catalog.regions_of_part(part.id)
        }
        if engine_lacks(self._folder, self._catalog, part_of):
            yield f"{shown(str(path))} lacks regions that it should hold"

    def _newer(self, named: EngineFile | None, saved: LocalEngine | None) -> list[PartRow]:
        """The parts that the saved engine does not hold."""
        last = 0 if named is None or saved is None else named.last_part
        return [part for part in self._catalog.parts() if part.id > last]

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
        check_room(len(ids), 4 * dim, _ELSEWHERE)
        rows = np.empty((len(ids), dim), dtype=np.float32)
        count = 0
        for part in listed:
            live_ids, live = self.live_rows(part)
            end = count + len(live_ids)
            ids[count:end], rows[count:end] = live_ids, live if whitening is None else whitening.apply(live)
            count = end
        return ids[:count], rows[:count]

    def sections(self) -> list[Section]:
        """The parts that hold live rows; each is read when its `read` is called."""
        return [section for section in map(self._section, self._catalog.parts()) if len(section.ids)]

    def _section(self, part: PartRow) -> Section:
        """Those rows of a part that the catalog still lists."""
        ids, rows = np.array(self._catalog.regions_of_part(part.id), dtype=np.int64).reshape(-1, 2).T
        return Section(part.sha256, ids, rows, partial(self._read_part, part, ids, rows))

    def live_rows(self, part: PartRow) -> tuple[Ids, Vectors]:
        """Region ids (n,) and vectors (n, dim) of those rows of a part that the catalog still lists."""
        section = self._section(part)
        if not len(section.ids):  # all removed, or not in force yet: `reembed` collects parts
            return section.ids, np.empty((0, self._identity.backbone.dim), dtype=np.float32)
        return section.ids, section.read().vectors[section.rows]

    def _read_part(self, part: PartRow, ids: Ids, rows: Ids) -> parts.Part:
        """A part. Raises IndexDamagedError where these rows are not those of these regions."""
        stored = parts.read_at(self._folder.vectors, part.id, part.sha256)
        inside = (rows >= 0) & (rows < len(stored.norms))
        if not inside.all() or not np.array_equal(stored.region_ids[rows], ids):
            name = self._folder.vectors.where(parts.name_of(part.id))
            raise IndexDamagedError(f"{name} does not hold what the catalog says it does: run `birdsearch repair`.")
        self._of_my_dim(stored.vectors)
        return stored

    def _of_my_dim(self, vectors: Vectors) -> Vectors:
        """The vectors (..., dim). Raises IndexDamagedError for those of another backbone."""
        if vectors.shape[-1] != (dim := self._identity.backbone.dim):
            where = self._folder.where
            raise IndexDamagedError(f"{where} holds vectors of {vectors.shape[-1]} numbers, not {dim}: index again.")
        return vectors

    # Writing, by the one that holds the lock

    def refresh(self) -> bool:
        """Bring the saved engine up to date. Returns whether anything was written; what cannot fit is told of."""
        try:
            return self._refreshed()
        except MemoryNeededError as error:  # the photos are committed, whatever becomes of a cache
            logger.warning("the engine is not brought up to date: %s", error)
            return False

    def _refreshed(self) -> bool:
        listed = self._catalog.parts()
        last_part = max((part.id for part in listed), default=0)
        regions = self._catalog.counts()["regions"]
        chosen, recall = self._choice()
        named, saved = self._saved()
        newer = self._newer(named, saved)
        optimized = self._catalog.get_state("engine") is not None  # since then a graph is kept
        if named is not None and saved is not None:
            count = named.rows + sum(part.rows for part in newer)
            # What was fastest among few rows is not among many.
            if count - regions > MAX_DELETED_FRACTION * count or _needs_retuning(named, chosen, regions):
                named = saved = None
            elif not newer and (not optimized or self._has_graph(named)):
                return False
        whitening = self.whitening()
        if named is None or saved is None:
            ids, rows = self._rows_of(listed, whitening)
            # Few rows are searched exactly at once, and too few to build another engine on.
            kind = chosen if len(ids) >= FLAT_UP_TO else "flat"
            try:
                built = tuning.build(rows, ids=ids, engine=kind, recall=recall)
            except RecallUnreachableError as error:
                logger.warning("%s Every photo is compared meanwhile.", error)
                built = tuning.build(rows, ids=ids, engine="flat")
            self._keep(built, len(ids), last_part, self._linked(built, ids, rows) if optimized else None)
        else:
            engine = load_engine(self._folder, named, mapped=False)
            for start in range(0, len(newer), _PARTS):
                ids, rows = self._rows_of(newer[start : start + _PARTS], whitening)
                engine.add(rows, ids)
            graph = None
            if optimized:
                known = load_graph(self._folder, str(named.graph)) if self._has_graph(named) else None
                graph = self._linked(engine, *self._rows_of(listed if known is None else newer, whitening), known)
            self._keep(engine, named.built_with, last_part, graph)
        return True

    def _has_graph(self, named: EngineFile) -> bool:
        """Whether the neighbour graph that belongs to an engine is there and whole."""
        return named.graph is not None and file_problem(self._folder.graph(named.graph), named.graph) is None

    def _linked(
        self, engine: engine_module.Engine, ids: Ids, rows: Vectors, known: NeighbourGraph | None = None
    ) -> NeighbourGraph:
        """The neighbour graph of the frames among these rows (n, dim) of an engine, and of those that are known."""
        frame_ids = self._catalog.frame_ids()
        if known is not None:
            known = known.restricted(np.setdiff1d(frame_ids, ids))
        is_frame = np.isin(ids, frame_ids)
        return linked(engine, ids[is_frame], rows if is_frame.all() else rows[is_frame], known)

    def _choice(self) -> tuple[str, float]:
        """The engine and the recall that `optimize` was given; what cannot be, or is gone, is auto."""
        stored = self._catalog.get_state("engine")
        try:
            name, recall = str(stored["name"]), float(stored["recall"])
            if name != "auto":
                engine_module.engine_class(name)
            return name, recall if 0 < recall <= 1 else RECALL
        except (TypeError, KeyError, ValueError):
            return "auto", RECALL

    def keep(self, engine: engine_module.Engine, built_with: int, graph: NeighbourGraph | None = None) -> None:
        """Save an engine that holds every live row of the last commit, and the graph of its frames.

        First the files, then the commit that names them.

        Raises ValueError for an engine that cannot be kept in a file.
        """
        self._keep(engine, built_with, max((part.id for part in self._catalog.parts()), default=0), graph)

    def _keep(
        self, engine: engine_module.Engine, built_with: int, last_part: int, graph: NeighbourGraph | None
    ) -> None:
        """The same, of an engine that holds the parts up to this one: others may have been committed meanwhile."""
        if not isinstance(engine, LocalEngine):
            raise ValueError(f"an engine of the kind {engine.kind} cannot be kept in a file")
        name, sha256 = self._folder.keep("engine", engine.suffix, engine.write)
        graph_sha256 = None if graph is None else self._folder.keep("graph", ".npz", graph.write)[1]
        named = EngineFile(
            file=name,
            sha256=sha256,
            kind=engine.kind,
            settings=engine.settings.as_json(),
            last_part=last_part,
            whitening=whitening_sha256(self._catalog),
            built_with=built_with,
            rows=len(engine),
            graph=graph_sha256,
        )
        self._catalog.set_state(STATE, asdict(named))
        self._state = _State(-1)

    def tuned(
        self, rows: Vectors, ids: Ids, name: str, recall: float, progress: Progress | None
    ) -> tuple[engine_module.Engine, list[Trial]]:
        """The fastest engine over these rows (n, dim) that reaches the recall, of one kind or "auto"; for `keep`."""
        kinds = None if name == "auto" else [name]
        return tuning.tune(rows, ids=ids, recall=recall, candidates=kinds, progress=progress)

    def forget_engine(self) -> None:
        """Let the next `refresh` build an engine from the parts."""
        self._catalog.set_state(STATE, None)

    def remove_leftovers(self) -> None:
        """Remove the engines and neighbour graphs that the catalog does not name."""
        named = engine_file(self._catalog)
        self._folder.drop_engines(None if named is None else named.file)
        self._folder.drop_graphs(None if named is None else named.graph, *self._other_graphs())

    def _other_graphs(self) -> list[str]:
        """Graphs of the engine that the index has on a server."""
        stored = self._catalog.get_state(ON_SERVER)
        graph = stored.get("graph") if isinstance(stored, dict) else None
        return [graph] if is_sha256(graph) else []


@dataclass(frozen=True, slots=True)
class _State:
    """What answers searches at one commit."""

    generation: int
    engines: Sequence[engine_module.Engine] = ()
    whitening: Whitening | None = None
    checked: int = 0  # answers that were looked up in the catalog
    removed_are_out: bool = False  # whether no engine holds a row that the catalog does not show

    def __len__(self) -> int:
        return sum(len(engine) for engine in self.engines)

    def search(self, queries: Vectors, k: int, only: Ids | None) -> Neighbours:
        """The best of all engines; fewer than k columns where there are fewer rows."""
        k = min(k, len(self) if only is None else len(only))
        best = exact.no_neighbours(len(queries), 0)
        for engine in self.engines if k else ():
            best = exact.merge_top_k(best, engine.search(queries, k, only=only), k)
        return best


def _needs_retuning(named: EngineFile, choice: str, rows: int) -> bool:
    """Whether an engine that was chosen by measuring has so many more rows now that it should be chosen again."""
    if rows < FLAT_UP_TO:
        return False
    if choice in ENGINES and ENGINES[choice].exact:
        return named.kind != choice
    few = ENGINES[named.kind].exact and named.built_with < FLAT_UP_TO  # it was not measured then
    return few or rows > MAX_GROWTH * named.built_with
