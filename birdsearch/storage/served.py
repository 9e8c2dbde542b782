"""The engine of an index on a server of vectors, such as Milvus: a cache of the parts that other hosts search too.

The catalog names the engine in force and says what it holds. What the engine lacks (later parts, photos that changed)
is compared row by row, and every answer is checked in the catalog: a copy that is behind may lose photos, and shows
none that it should not.
"""

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from birdsearch.errors import EngineUnreachableError, IndexDamagedError, RecallUnreachableError
from birdsearch.files import is_sha256
from birdsearch.records import EngineState, Filter, Identity, Ids, Progress, Trial, Vectors, blocks, counted
from birdsearch.search import engine as engine_module
from birdsearch.search import exact, tuning
from birdsearch.search.engine import FACETS, EngineServer, ServedEngine, kept_text
from birdsearch.search.exact import Mask, Neighbours
from birdsearch.search.graph import NeighbourGraph
from birdsearch.search.local import FLAT_UP_TO, LocalEngine
from birdsearch.search.whitening import Whitening
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.changes import COPIED, changed
from birdsearch.storage.catalog.commits import PartRow
from birdsearch.storage.catalog.tables import CHANGED
from birdsearch.storage.folder import Folder
from birdsearch.storage.vectors import MAX_DELETED_FRACTION, ON_SERVER, PartVectors, whitening_sha256

logger = logging.getLogger("birdsearch")

EXACT = 10_000  # photos that a filter leaves, up to which their vectors are compared one by one
BLOCK = 10_000  # rows that are read, or written, at a time
DEEPEST = 16_000  # answers that the engine is asked for at most: those that do not count are left out of them
SPARE = 8  # answers more than asked for: some may not be valid
SCANNED = 500_000  # rows that are read from the parts and compared where the engine is not there
EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # that are tried, up to the recall asked for
TRIED_ON = 200  # queries
PATIENCE = 20  # seconds that a server is given to have what it took


@dataclass(frozen=True, slots=True)
class Served:
    """The engine in force on the server, as the catalog's state names it."""

    kind: str
    name: str  # birds_<id of the index>_<16 digits>
    mark: str  # an alias of it there, as long as it holds no more and no less than is said here
    coming: str | None  # the alias that it gets next, while a writer is changing it
    dim: int  # of its rows, which went through the whitening
    whitening: str | None
    is_exact: bool  # compares every row
    effort: int
    rows: int
    built_with: int
    generation: int  # it holds the live rows of the parts of the commits up to this one
    graph: str | None = None


@dataclass(frozen=True, slots=True)
class _Now:
    """What answers searches at one commit."""

    generation: int
    whitening: Whitening | None = None
    named: Served | None = None
    engine: ServedEngine | None = None
    beside: LocalEngine | None = None  # rows that the engine lacks, or has otherwise
    is_away: bool = False  # the server did not answer
    counted: dict[Filter, int] = field(default_factory=dict)  # photos that filters leave


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where the catalog stood when an engine began to be filled."""

    generation: int
    noted: int | None  # changed photos that were remembered; None where they may be any


class ServedVectors(PartVectors):
    """Vectors in Parquet parts, searched by an engine on a server; the rest is that of any index."""

    def __init__(self, folder: Folder, catalog: Catalog, identity: Identity) -> None:
        super().__init__(folder, catalog, identity)
        self._now = _Now(-1)
        self._connection = engine_module.Connection(folder.address.vectors)
        self._few: tuple[object, LocalEngine] | None = None  # the last filter that left few rows, and those
        self._stands: _Stand | None = None  # of the engine that is being filled

    def close(self) -> None:
        """Give back files, memory and the connection."""
        super().close()
        self._forget()
        self._connection.close()

    def _forget(self) -> None:
        self._now, self._few = _Now(-1), None

    def _miss(self, error: EngineUnreachableError) -> None:
        """Do without the server for half a minute: it did not answer."""
        if self._connection.miss(error):
            self._forget()

    def server(self) -> EngineServer:
        """The server of the address that the index was opened with. Raises EngineUnreachableError."""
        return self._connection.server()

    # What there is

    def named(self) -> Served | None:
        """The engine that the catalog names; None before the first run has ended, and where it no longer fits."""
        stored = self._catalog.get_state(ON_SERVER)
        try:
            named = None if stored is None else Served(**stored)
        except TypeError:
            return None
        if named is None or not self._is_sound(named) or named.whitening != whitening_sha256(self._catalog):
            return None
        return named

    def _is_sound(self, named: Served) -> bool:
        """Whether these are values of the kinds that are written; above all no name of something else there."""
        numbers = (named.dim, named.effort, named.rows, named.built_with, named.generation)
        names = (named.name, named.mark, *([named.coming] if named.coming is not None else []))
        return (
            all(isinstance(name, str) and name.startswith(self._prefix) for name in names)
            and all(type(number) is int and number >= 0 for number in numbers)
            and type(named.is_exact) is bool
            and (named.graph is None or is_sha256(named.graph))
        )

    @property
    def _prefix(self) -> str:
        return f"birds_{self._identity.id}_"

    def _new_name(self) -> str:
        return f"{self._prefix}{uuid.uuid4().hex[:16]}"

    def _opened(self, named: Served | None) -> ServedEngine | None:
        """The engine itself; None where the server has it no longer, or has it as another catalog left it."""
        if named is None:
            return None
        server = self.server()
        # A restored backup of the catalog, or a copy of the index, meets an engine that has gone on without it.
        if not self._marks_in_force(named):
            return None
        engine = server.open(named.name)
        if engine is not None:
            engine.effort, engine.is_exact = named.effort, named.is_exact
        return engine if engine is None or engine.dim == named.dim else None

    def _marks_in_force(self, named: Served) -> list[str]:
        """Which of the aliases that an engine may have by now it has."""
        marks = [mark for mark in (named.mark, named.coming) if mark is not None]
        return [mark for mark in marks if self.server().name_of(mark) == named.name]

    def engine_name(self) -> str:
        """Which kind of engine answers; "none" before the first run has ended, and where the server does not answer."""
        try:
            named = self.named()
            return named.kind if named is not None and self._opened(named) is not None else "none"
        except EngineUnreachableError as error:
            logger.warning("%s", error)
            return "none"

    def engine_state(self) -> EngineState:
        """How far the engine has come, as the catalog knows it."""
        named = self.named()
        newer, noted = self._newer_than(named), changed(self._catalog.get_state(CHANGED))
        rows, generation = (0, 0) if named is None else (named.rows, named.generation)
        behind = sum(part.rows for part in newer) + (rows if noted is None else len(set(noted)))
        return EngineState(rows=rows, behind=behind, generation=generation, of=self._catalog.generation)

    def _newer_than(self, named: Served | None) -> list[PartRow]:
        return [part for part in self._catalog.parts() if named is None or part.generation > named.generation]

    def graph(self) -> NeighbourGraph:
        """The neighbour graph, without photos that are newer. Raises GraphMissingError where there is none."""
        named = self.named()
        return self._loaded_graph(None if named is None else named.graph)

    # Search

    def __len__(self) -> int:
        now = self._searched()
        return (now.named.rows if now.named and now.engine else 0) + len(now.beside or ())

    def search(self, queries: Vectors, k: int, only: Ids | None = None, where: Filter | None = None) -> Neighbours:
        """The k best region ids of visible photos for each query (q, dim); `only` must name regions of visible ones.

        With `where` those of photos that satisfy it. Fewer than k columns where there are fewer rows. Raises
        EngineUnreachableError where the server does not answer and the rows are too many to compare without it.
        """
        if only is not None:
            whitening = self.whitening()
            return self._among(only, queries if whitening is None else whitening.apply(queries), k, whitening)
        try:
            return self._search(queries, k, where)
        except EngineUnreachableError:  # it may have been started anew meanwhile
            self._forget()
            self._connection.close()
        try:
            return self._search(queries, k, where)
        except EngineUnreachableError as error:
            if self._now.engine is None:
                raise
            self._miss(error)  # a server that has just been started knows its engines before it can search them
            return self._search(queries, k, where)

    def _search(self, queries: Vectors, k: int, where: Filter | None) -> Neighbours:
        now = self._searched()
        if now.whitening is not None:
            queries = now.whitening.apply(queries)
        count = self._count(now, where)
        if not count:
            return exact.no_neighbours(len(queries), 0)
        if where is not None and count <= EXACT:
            return self._among_few(now, where, queries, k)
        asked: list[Neighbours | None] = []
        if now.engine is not None:
            share = min(1.0, count / max(1, self._count(now, None)))
            told = None if where is None else self._catalog.in_stored_words(where)
            ask = partial(now.engine.search, queries, where=told, share=share)
            asked.append(exact.valid_answers(ask, k, partial(self._are_valid, where, now.beside), k + SPARE, DEEPEST))
        if now.beside is not None and len(now.beside):
            ask = partial(now.beside.search, queries)
            asked.append(exact.valid_answers(ask, k, partial(self._are_valid, where, None), k + SPARE, DEEPEST))
        best = exact.no_neighbours(len(queries), 0)
        for found in asked:
            best = best if found is None else exact.merge_top_k(best, found, k)
        # An engine whose copies of facts are far behind knows too few rows; to read very many would take too long.
        short = int((best.ids >= 0).sum(axis=1).min(initial=k)) < min(k, count)
        if None in asked or (short and count <= SCANNED):
            return self._among(self._catalog.region_ids(where or Filter()), queries, k, now.whitening)
        return exact.trimmed(best)

    def _count(self, now: _Now, where: Filter | None) -> int:
        """How many photos satisfy a filter."""
        asked = where or Filter()
        if asked not in now.counted:
            now.counted[asked] = self._catalog.count(asked)
        return now.counted[asked]

    def _are_valid(self, where: Filter | None, but: LocalEngine | None, ids: Ids) -> Mask:
        """Which answers (q, k) are regions of visible photos that satisfy the filter, and are in no other engine."""
        valid = self._satisfy(where or Filter(), ids)
        return valid if but is None else valid & np.isin(ids, but.ids, invert=True)

    def _among_few(self, now: _Now, where: Filter, queries: Vectors, k: int) -> Neighbours:
        """The best of the few rows that a filter leaves; they are kept for the next question."""
        key = (now.generation, where)
        if self._few is None or self._few[0] != key:
            ids = self._catalog.region_ids(where)
            self._few = key, self._read_rows(ids, now.whitening)
        return exact.trimmed(self._few[1].search(queries, k))

    def _among(self, ids: Ids, queries: Vectors, k: int, whitening: Whitening | None) -> Neighbours:
        """The best of these rows, which are read from the parts and compared."""
        best = exact.no_neighbours(len(queries), 0)
        for block in blocks(len(ids), BLOCK):
            rows = self._read_rows(ids[block], whitening)
            best = exact.merge_top_k(best, rows.search(queries, k), k)
        return exact.trimmed(best)

    def _read_rows(self, ids: Ids, whitening: Whitening | None) -> LocalEngine:
        """An engine of these regions alone."""
        rows = self._rows_of_regions(ids, whitening)
        engine = engine_module.ENGINES["flat"](rows.shape[1])
        engine.add(rows, ids)
        return engine

    def _rows_of_regions(self, ids: Ids, whitening: Whitening | None) -> Vectors:
        """The vectors (n, dim) of these regions in the space that is searched."""
        rows, _ = self.fetch_regions(ids.tolist())
        return rows if whitening is None else whitening.apply(rows)

    def _searched(self) -> _Now:
        """What answers now; it follows when a writer commits, and when a server is back."""
        generation, now = self._catalog.generation, self._now
        if generation == now.generation and (self._connection.is_away or not now.is_away):
            return now
        self._check_backbone()
        named, engine, is_away = self.named(), None, False
        try:
            engine = self._opened(named)
        except EngineUnreachableError as error:
            if sum(part.rows for part in self._catalog.parts()) > SCANNED:
                raise
            logger.warning("%s The stored vectors are compared meanwhile.", error)
            self._miss(error)
            if now.is_away and now.generation == generation:  # what is compared meanwhile is in memory already
                self._now = now
                return now
            is_away = True
        whitening = self.whitening()
        beside = self._lacking(named if engine is not None else None, whitening)
        self._forget()
        self._now = now = _Now(generation, whitening, named, engine, beside, is_away)
        return now

    def _lacking(self, named: Served | None, whitening: Whitening | None) -> LocalEngine:
        """The rows that an engine lacks, or has as they were: those of later parts, and of photos that changed."""
        newer = self._newer_than(named)
        if (count := sum(part.rows for part in newer)) > SCANNED:
            raise EngineUnreachableError(
                f"{counted(count, 'row')} are not yet on {self._folder.address.vectors}, too many to compare one by "
                "one: run `birdsearch repair`, which brings them there."
            )
        ids, rows = self._rows_of(newer, whitening)
        noted = changed(self._catalog.get_state(CHANGED)) if named is not None else []
        engine = tuning.build(rows, ids=ids, engine="flat")
        assert isinstance(engine, LocalEngine)
        if noted:
            again = np.setdiff1d(self._live_regions(sorted(set(noted))), ids)
            engine.add(self._rows_of_regions(again, whitening), again)
        return engine

    # Writing, by the one that holds the lock

    def refresh(self) -> bool:
        """Bring the engine up to date. Returns whether anything was written; a server that is away is told of."""
        try:
            return self._refreshed()
        except EngineUnreachableError as error:
            logger.warning(
                "%s What was committed is safe, and is compared from the parts meanwhile; the next run, or `birdsearch "
                "repair`, brings it there.",
                error,
            )
            self._miss(error)
            return False

    def _refreshed(self) -> bool:
        generation = self._catalog.generation  # before the parts are listed: another host may commit meanwhile
        named = self.named()
        engine = self._opened(named)
        newer, noted = self._newer_than(named), changed(self._catalog.get_state(CHANGED))
        regions, (chosen, recall) = self._catalog.counts()["regions"], self._choice()
        is_exact = _is_exact(chosen, recall, regions)
        if named is not None and engine is not None and not _is_outgrown(named, is_exact, regions, newer):
            if newer or noted is None or noted:
                self._bring(named, generation, engine, newer, noted)
                return True
            return False
        if not regions:
            return False
        self.keep(self._filled(is_exact, self._all_rows()), regions)
        return True

    def _bring(
        self, named: Served, generation: int, engine: ServedEngine, newer: list[PartRow], noted: list[int] | None
    ) -> None:
        """Add later parts, up to a generation, and what changed; what a killed process left, the next one brings."""
        server = self.server()
        marks, coming = self._marks_in_force(named), self._new_name()
        self._catalog.set_state(ON_SERVER, asdict(replace(named, mark=marks[-1], coming=coming)))
        server.point(coming, named.name)
        for mark in marks:
            server.unpoint(mark)
        whitening = self.whitening()
        for part in newer:
            self._add(engine, *self._rows_of([part], whitening))
        if noted is None:
            self._mend(engine, generation)
        elif noted:
            self._tell(engine, sorted(set(noted)))
        now = replace(
            named, mark=coming, coming=None, rows=len(engine), generation=generation,
            graph=self._graph_of(engine, newer, named),
        )  # fmt: skip
        self._catalog.set_state(ON_SERVER, asdict(now))
        self._catalog.heard(None if noted is None else len(noted))
        self._forget()

    def _graph_of(self, engine: ServedEngine, newer: list[PartRow], named: Served) -> str | None:
        """The sha256 of the graph that goes on from the one there is, where there is one."""
        if named.graph is None or not newer:
            return named.graph
        try:
            known = self._loaded_graph(named.graph)
        except IndexDamagedError:
            return None
        linked = self._linked(engine, *self._rows_of(newer, self.whitening()), known)
        return self._folder.keep("graph", ".npz", linked.write)[1]

    def _tell(self, engine: ServedEngine, photo_ids: Sequence[int]) -> None:
        """Bring the rows of these photos as they are now, and take away those that are no more."""
        whitening = self.whitening()
        for block in blocks(len(photo_ids), BLOCK):
            live = self._live_regions(photo_ids[block])
            self._add(engine, live, self._rows_of_regions(live, whitening))
            engine.remove(np.setdiff1d(engine.ids_of_photos(photo_ids[block]), live))

    def _live_regions(self, photo_ids: Sequence[int]) -> Ids:
        """The regions with a vector of photos, of missing ones too."""
        frames = [location.region_id for location in self._catalog.locations(photo_ids).values()]
        boxes = [one for regions in self._catalog.boxes(photo_ids).values() for one in regions]
        return np.array(sorted([*frames, *(one.id for one in boxes if one.region.embedded)]), dtype=np.int64)

    def _add(self, engine: ServedEngine, ids: Ids, rows: Vectors) -> None:
        """Put rows there with the facets of their photos."""
        for block in blocks(len(ids), BLOCK):
            engine.add(rows[block], ids[block], self._facets(ids[block]))
            # A server that was killed a moment ago has acknowledged rows that it did not have.
            for _ in range(PATIENCE):
                lost = np.flatnonzero(~np.isin(ids[block], engine.present(ids[block]))) + block.start
                if not len(lost):
                    break
                time.sleep(1)
                engine.add(rows[lost], ids[lost], self._facets(ids[lost]))
            else:
                raise EngineUnreachableError(
                    f"{self._folder.address.vectors} does not have {counted(len(lost), 'row')} that it took: look into "
                    "its log, or start it again."
                )

    def _facets(self, ids: Ids) -> Mapping[str, Sequence[Any]]:
        """The facets of these regions."""
        known = self._catalog.facets(ids.tolist())
        columns = list(zip(*(known.get(one, _NOTHING) for one in ids.tolist()), strict=True)) or [()] * len(FACETS)
        return dict(zip(("photo", *COPIED), columns, strict=True))

    def _all_rows(self) -> Iterator[tuple[Ids, Vectors]]:
        """Every live row, in the space that is searched; the parts are listed when the first one is asked for."""
        whitening = self.whitening()
        for part in self._catalog.parts():
            yield self._rows_of([part], whitening)

    def _filled(self, is_exact: bool, rows: Iterator[tuple[Ids, Vectors]]) -> ServedEngine:
        """A new engine on the server that holds these rows."""
        noted = changed(self._catalog.get_state(CHANGED, {"photos": []}))
        # Before `rows` lists the parts: another host may commit meanwhile.
        self._stands = _Stand(self._catalog.generation, None if noted is None else len(noted))
        if self._catalog.get_state(CHANGED) is None:
            self._catalog.set_state(CHANGED, {"photos": []})  # what changes from now on is to be told
        engine: ServedEngine | None = None
        for ids, block in rows:
            if engine is None:
                engine = self.server().create(self._new_name(), block.shape[1], is_exact)
            self._add(engine, ids, block)
        assert engine is not None  # the caller has rows
        engine.settle()
        return engine

    def tuned(
        self, rows: Vectors, ids: Ids, name: str, recall: float, progress: Progress | None
    ) -> tuple[engine_module.Engine, list[Trial]]:
        """A new engine on the server, with the least effort that reaches the recall; for `keep`.

        Raises RecallUnreachableError where no effort does.
        """
        if name not in ("auto", "flat", "hnsw"):
            raise ValueError(f"on a server of vectors the engine must be auto, flat or hnsw, got {name!r}")
        began, is_exact = time.perf_counter(), _is_exact(name, recall, len(ids))
        asked = np.sort(np.random.default_rng(0).permutation(len(rows))[:TRIED_ON])
        # A graph that holds a row finds its neighbours by its own links.
        others = np.arange(len(rows)) if is_exact else np.setdiff1d(np.arange(len(rows)), asked)
        engine = self._filled(is_exact, iter([(ids[others], rows[others])]))
        seconds = time.perf_counter() - began
        truth = tuning.build(rows[others], ids=ids[others], engine="flat").search(rows[asked], 10).scores[:, -1]
        trials = []
        for effort in EFFORTS[-1:] if engine.is_exact else EFFORTS:
            engine.effort = effort
            started = time.perf_counter()
            found = engine.search(rows[asked], 10)
            speed = len(asked) / max(time.perf_counter() - started, 1e-9)
            reached = float((found.scores >= truth[:, None] - tuning.SCORE_EPSILON).mean())
            trials.append(Trial(engine.kind, f"effort {effort}", reached, speed, seconds, 0, len(rows)))
            if progress is not None:
                progress("tune", len(trials), None, f"effort {effort}")
            if reached >= recall:
                self._add(engine, ids[asked], rows[asked])
                return engine, trials
        raise RecallUnreachableError(
            f"{engine.kind} reached a recall of {reached:.4f}, not {recall}: ask for less, or take the engine 'flat'."
        )

    def keep(self, engine: engine_module.Engine, built_with: int, graph: NeighbourGraph | None = None) -> None:
        """Let an engine that holds every live row of the last commit be the one in force, with the graph of its frames.

        Raises ValueError for an engine that is not on the server.
        """
        name, stands = getattr(engine, "name", ""), self._stands
        if stands is None or not str(name).startswith(self._prefix):
            raise ValueError(f"an engine of the kind {engine.kind} is not on {self._folder.address.vectors}")
        graph_sha256 = None if graph is None else self._folder.keep("graph", ".npz", graph.write)[1]
        mark = self._new_name()
        named = Served(
            kind=engine.kind, name=str(name), mark=mark, coming=None, dim=engine.dim,
            whitening=whitening_sha256(self._catalog), is_exact=bool(getattr(engine, "is_exact", True)),
            effort=int(getattr(engine, "effort", 0)), rows=len(engine), built_with=built_with,
            generation=stands.generation, graph=graph_sha256,
        )  # fmt: skip
        self.server().point(mark, named.name)
        self._catalog.set_state(ON_SERVER, asdict(named))
        self._catalog.heard(stands.noted)
        self._stands = None
        self._forget()

    def forget_engine(self) -> None:
        """Let the next `refresh` compare the engine with the parts row by row, or fill a new one."""
        try:
            is_lost = self._opened(self.named()) is None
        except EngineUnreachableError as error:
            self._miss(error)  # `refresh` tells of it; what the engine holds is not known to be wrong
            return
        if is_lost:
            self._catalog.set_state(ON_SERVER, None)
        else:
            self._catalog.set_state(CHANGED, {"photos": None})

    def remove_leftovers(self) -> None:
        """Remove what the catalog does not name, here and on the server: a writer was killed, or made a new engine."""
        super().remove_leftovers()
        named = self.named()
        self._connection.ask_again()
        try:
            server = self.server()
            for name in server.names(self._prefix):
                if named is None or name != named.name:
                    server.drop(name)
        except EngineUnreachableError as error:
            self._miss(error)  # `refresh` tells of it

    # Checking

    def problems(self) -> Iterator[str]:
        """What is wrong with the engine on the server: rows that it lacks, has otherwise, or should not have."""
        named = self.named()
        if named is None:
            return
        where = self._folder.address.vectors
        try:
            engine = self._opened(named)
            if engine is None:
                yield f"{where} does not hold {named.name} as it was left"
                return
            lacking = other = live = 0
            for ids, missing, differing in self._compared(engine, named.generation):
                lacking, other, live = lacking + len(missing), other + len(differing), live + len(ids)
            if lacking:
                yield f"{where} lacks {counted(lacking, 'row')} that it should hold"
            if other:
                yield f"{where} holds {counted(other, 'row')} that differ from the stored vectors and the catalog"
            noted = changed(self._catalog.get_state(CHANGED))
            if not noted and noted is not None and (extra := len(engine) - live + lacking) > 0:
                yield f"{where} holds {counted(extra, 'row')} of regions that the index does not have"
        except EngineUnreachableError as error:
            yield f"{error} What it holds was not compared."

    def _compared(self, engine: ServedEngine, generation: int) -> Iterator[tuple[Ids, Ids, Ids]]:
        """Of each part up to a generation: the live rows, those that the engine lacks, and those it has otherwise."""
        whitening = self.whitening()
        noted = changed(self._catalog.get_state(CHANGED))
        known = self._live_regions(sorted(set(noted or ())))
        for part in self._catalog.parts():
            if part.generation > generation:
                continue
            ids, rows = self._rows_of([part], whitening)
            order = np.argsort(ids)
            ids, rows = ids[order], rows[order]
            stored = engine.stored(ids)
            there = np.isin(ids, stored.ids)
            facets, same = self._facets(stored.ids), np.ones(len(stored.ids), dtype=bool)
            # Of a part whitened in other blocks the last digits differ.
            same &= (np.abs(stored.vectors - rows[there]) < 1e-5).all(axis=1)
            for name, values in facets.items():
                pairs = zip(values, stored.facets[name], strict=True)
                same &= np.array([_as_kept(one) == there_is for one, there_is in pairs], dtype=bool)
            yield ids, np.setdiff1d(ids[~there], known), np.setdiff1d(stored.ids[~same], known)

    def _mend(self, engine: ServedEngine, generation: int) -> None:
        """Compare all rows with the parts up to a generation and the catalog, and make good what differs."""
        live, whitening = [], self.whitening()
        for ids, missing, differing in self._compared(engine, generation):
            again = np.union1d(missing, differing)
            self._add(engine, again, self._rows_of_regions(again, whitening))
            live.append(ids)
        kept = np.concatenate([np.empty(0, np.int64), *live])
        if len(engine) > len(kept):
            engine.remove(np.setdiff1d(engine.ids, kept))


_NOTHING = (None,) * len(FACETS)


def _is_exact(chosen: str, recall: float, rows: int) -> bool:
    """Whether so few rows are compared one by one, or so much is asked that no graph will do."""
    return chosen == "flat" or recall >= 1 or rows < FLAT_UP_TO


def _is_outgrown(named: Served, is_exact: bool, regions: int, newer: list[PartRow]) -> bool:
    """Whether an engine that compares every row has too many of them, or one holds too many that are gone."""
    count = named.rows + sum(part.rows for part in newer)
    return count - regions > MAX_DELETED_FRACTION * count or (named.is_exact and not is_exact)


def _as_kept(facet: Any) -> Any:
    """A facet as a server gives it back."""
    return (kept_text(facet) or None) if isinstance(facet, str) else facet
