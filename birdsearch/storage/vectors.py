"""Nearest vectors of an index: the saved engine, and the rows that are newer than it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from birdsearch.errors import IndexDamagedError, RecallUnreachableError
from birdsearch.files import sha256_of
from birdsearch.records import Identity, Ids, Neighbours, Vectors, shown
from birdsearch.search import engine as engine_module
from birdsearch.search import enginefile, exact, tuning
from birdsearch.search.whitening import Refinement
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import PartRow
from birdsearch.storage.folder import Folder

logger = logging.getLogger("birdsearch")

RECALL = 0.95  # of the ten nearest, which an engine is chosen for unless `optimize` was told another
_GROWTH = 4  # times as many rows as an engine was chosen for, and it is chosen again
_PARTS = 32  # that enter an engine at a time: it sorts all its ids anew each time
_DEAD_SHARE = 0.25  # removed rows that an engine may carry before it is built anew


class Retrieval:
    """Answers searches from one state of an index, and follows when a writer commits."""

    def __init__(self, folder: Folder, catalog: Catalog, identity: Identity) -> None:
        self._folder = folder
        self._catalog = catalog
        self._identity = identity
        # One value, replaced as a whole: threads may search while another one notices a commit.
        self._state = _State(-1, [], None)

    def __len__(self) -> int:
        return sum(len(engine) for engine in self._engines())

    def rows(self, ids: Sequence[int]) -> tuple[Vectors, Vectors]:  # (n, dim), (n,)
        """The raw unit vectors of these photos, in their order, and their norms."""
        wanted = [int(photo_id) for photo_id in ids]
        with self._catalog.snapshot():
            places = self._catalog.places(wanted)
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
        saved = self._saved()
        return "none" if saved is None else saved.name

    def nearest(self, queries: Vectors, k: int, only: Ids | None = None) -> Neighbours:
        """The k best region ids for each query (q, dim); removed regions may be among them."""
        found = Neighbours(
            np.full((len(queries), 0), -1, dtype=np.int64), np.empty((len(queries), 0), dtype=np.float32)
        )
        refinement = self._current().refinement
        if refinement is not None:
            queries = refinement.apply(queries)
        for engine in self._engines():
            found = exact.merge(found, engine.search(queries, k, only=only), k)
        return found

    def _engines(self) -> list[engine_module.Engine]:
        return self._current().engines

    def _current(self) -> "_State":
        generation = self._catalog.generation
        state = self._state
        if generation != state.generation:
            refinement = self.refinement()
            engine, newer = self._load()
            both = (engine, self._flat(newer, refinement) if newer else None)
            engines = [one for one in both if one is not None and len(one)]
            self._state = state = _State(generation, engines, refinement)
        return state

    def refinement(self) -> Refinement | None:
        """The transform into the refined space, where the index has one."""
        chosen = self._catalog.get_state("whitening")
        if chosen is None:
            return None
        path = self._folder.whitening(chosen["sha256"])
        try:
            if sha256_of(path) == chosen["sha256"]:
                return Refinement.read(path)
            why = "it does not have the checksum it was written with"
        except OSError as error:
            why = str(error)
        raise IndexDamagedError(f"{shown(str(path))} cannot be used ({why}): run `birdsearch repair`.")

    def is_ahead(self) -> bool:
        """Whether a writer has saved an engine since the snapshot was taken in which this is asked."""
        generation = self._catalog.generation
        return generation != self._state.generation and self._saved_generation() > generation

    def _load(self) -> tuple[engine_module.Engine | None, list[PartRow]]:
        """The saved engine where it can be used, and the parts that it does not hold."""
        listed = self._catalog.parts()
        engine = self._saved()
        if engine is None or _generation(engine.stamp) > self._catalog.generation:
            return None, listed
        return engine, [part for part in listed if part.id > int(engine.stamp.get("last_part", 0))]

    def drop_later_engine(self) -> None:
        """Remove an engine of a later commit than the last one: the catalog is an older one that was put back.

        The next commits would count up to the engine's and use its ids anew. The caller holds the lock.
        """
        if self._saved_generation() > self._catalog.generation:
            self._folder.engine.unlink()

    def _saved(self) -> engine_module.Engine | None:
        """The engine in the folder, if it can be read and is this index's."""
        try:
            engine = engine_module.load(self._folder.engine) if self._folder.engine.exists() else None
        except IndexDamagedError as error:
            logger.warning("%s Searching the stored vectors meanwhile.", error)
            return None
        return engine if engine is not None and self._fits(engine.stamp) else None

    def _saved_generation(self) -> int:
        """The commit of the engine in the folder, 0 where none can be used; asked without opening it."""
        stamp = enginefile.stamp_of(self._folder.engine)
        return _generation(stamp) if self._fits(stamp) else 0

    def _fits(self, stamp: dict[str, Any]) -> bool:
        """Whether an engine is this index's, in its space."""
        return stamp.get("index") == self._identity.id and stamp.get("whitening") == self._refinement_sha256()

    def _refinement_sha256(self) -> str | None:
        chosen = self._catalog.get_state("whitening")
        return None if chosen is None else str(chosen["sha256"])

    def _flat(self, listed: list[PartRow], refinement: Refinement | None) -> engine_module.Engine:
        """An exact engine over the living rows of these parts."""
        ids, rows = self.gathered(listed, refinement)
        return tuning.build(rows, ids=ids, engine="flat")

    def gathered(self, listed: list[PartRow], refinement: Refinement | None) -> tuple[Ids, Vectors]:
        """Region ids (n,) and vectors (n, dim or refined) of the living rows of these parts."""
        dim = self._identity.backbone.dim if refinement is None else refinement.dim
        ids = np.empty(sum(part.rows for part in listed), dtype=np.int64)
        rows = np.empty((len(ids), dim), dtype=np.float32)
        count = 0
        for part in listed:
            some, living = self.living(part)
            ids[count : count + len(some)] = some
            rows[count : count + len(some)] = living if refinement is None else refinement.apply(living)
            count += len(some)
        return ids[:count], rows[:count]

    def living(self, part: PartRow) -> tuple[Ids, Vectors]:
        """Region ids (n,) and vectors (n, dim) of those rows of a part that the catalog still wants."""
        path = parts.file_of(self._folder.vectors, part.id)
        stored = parts.read(path)
        places = np.array(self._catalog.regions_of_part(part.id), dtype=np.int64).reshape(-1, 2)
        if (places[:, 1] >= len(stored.norms)).any():
            raise IndexDamagedError(f"{shown(str(path))} lacks rows that the catalog lists: run `birdsearch repair`.")
        return places[:, 0], stored.vectors[places[:, 1]]

    def save_engine(self, *, rebuild: bool = False) -> bool:
        """Bring vectors.faiss up to date; the caller holds the lock. Returns whether anything was written."""
        listed = self._catalog.parts()
        wanted = self._catalog.counts()["regions"]
        choice = self._catalog.get_state("engine", {"name": "auto", "recall": RECALL})
        saved, newer = (None, listed) if rebuild else self._load()
        held = 0 if saved is None else len(saved) + sum(part.rows for part in newer)
        # An engine cannot forget, and what was fastest among few rows is not among many.
        stale = held - wanted > _DEAD_SHARE * held or _outgrown(saved, choice["name"], wanted)
        if saved is not None and not newer and not stale:
            return False
        refinement = self.refinement()
        if saved is None or stale:
            ids, rows = self.gathered(listed, refinement)
            # Few rows are searched exactly at once, and too few to build another engine on.
            name = choice["name"] if len(ids) >= engine_module.FLAT_UP_TO else "flat"
            try:
                engine = tuning.build(rows, ids=ids, engine=name, recall=choice["recall"])
            except RecallUnreachableError as error:
                logger.warning("%s Every photo is compared meanwhile.", error)
                engine = tuning.build(rows, ids=ids, engine="flat")
            built_with = len(ids)
        else:
            engine = engine_module.load(self._folder.engine, mapped=False)
            built_with = int(saved.stamp.get("built_with", len(saved)))
            for start in range(0, len(newer), _PARTS):
                ids, rows = self.gathered(newer[start : start + _PARTS], refinement)
                engine.add(rows, ids)
        self.keep(engine, built_with)
        return True

    def keep(self, engine: engine_module.Engine, built_with: int) -> None:
        """Save an engine that holds every living row of the last commit."""
        stamp = {
            "index": self._identity.id,
            "generation": self._catalog.generation,
            "last_part": max((part.id for part in self._catalog.parts()), default=0),
            "whitening": self._refinement_sha256(),
            "built_with": built_with,  # rows
        }
        engine.save(self._folder.engine, stamp)
        self._state = _State(-1, [], None)


@dataclass(frozen=True, slots=True)
class _State:
    """What answers searches at one commit."""

    generation: int
    engines: list[engine_module.Engine]
    refinement: Refinement | None


def _outgrown(engine: engine_module.Engine | None, choice: str, rows: int) -> bool:
    """Whether an engine that was chosen by measuring has so many more rows now that it should be chosen again."""
    if engine is None or rows < engine_module.FLAT_UP_TO:
        return False
    if choice.startswith("flat"):
        return engine.name != choice
    built_with = int(engine.stamp.get("built_with", len(engine)))
    return rows > _GROWTH * built_with or (engine.name == "flat" and built_with < engine_module.FLAT_UP_TO)


def _generation(stamp: dict[str, Any]) -> int:
    return int(stamp.get("generation", 0))
