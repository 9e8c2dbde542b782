"""Words against all photos of an index, exactly: a text is far from every photo, which no engine of photos is made for.

With W and b the projection of the network, v the stored vector of a photo and n its length before it was normalised,
the photo lies in the space of texts at W v n + b, and the score of a text t is the cosine

    t (W v + b / n) / |W v + b / n|

so that of a photo that was indexed only the length of W v + b / n is computed, once.
"""

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from birdsearch.backbones.classes import Projection
from birdsearch.cache import KeptTable, kept_file
from birdsearch.errors import BackboneUnavailableError
from birdsearch.records import Filter, Ids, Vectors, blocks, counted
from birdsearch.search.exact import Neighbours, no_neighbours, top_k
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.vectors import Section, VectorStore

logger = logging.getLogger("birdsearch")

KEPT = 2 << 30  # bytes of vectors that are kept in memory between questions; beyond it parts are read for each
_SAID = 50_000_000  # bytes of vectors: to read more is said
_ROWS = 8192  # projected at a time
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS lengths (part TEXT, space TEXT, lengths BLOB NOT NULL, PRIMARY KEY (part, space))",
)


@dataclass(frozen=True)
class TextSpace:
    """The space in which words and photos of an index are compared."""

    projection: Projection | None  # None where the vectors of photos lie in it
    dim: int  # of the vectors of photos

    @classmethod
    def of(cls, projection: Projection | None, dim: int, joint: int) -> "TextSpace":
        """The space of texts of `joint` numbers. Raises BackboneUnavailableError where photos do not lead there."""
        leads = (dim, dim) if projection is None else projection.weights.shape
        if leads != (joint, dim):
            raise BackboneUnavailableError(
                f"words are vectors of {joint} numbers here, but photos of {dim} become {leads[0]}: the text tower is "
                "not that of this backbone"
            )
        return cls(projection, dim)

    @cached_property
    def key(self) -> str:
        """What lengths in this space depend on, beside the vectors."""
        digest = hashlib.sha256()
        for array in () if self.projection is None else (self.projection.weights, self.projection.bias):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @cached_property
    def is_shifted(self) -> bool:
        """Whether the lengths of photos before normalisation count."""
        return self.projection is not None and bool(self.projection.bias.any())

    def lengths(self, vectors: Vectors, norms: Vectors) -> Vectors:  # (n, dim), (n,) -> (n,)
        """|W v + b / n| of each photo."""
        if self.projection is None:
            return np.ones(len(vectors), np.float32)
        lengths = np.empty(len(vectors), np.float32)
        for block in blocks(len(vectors), _ROWS):
            lengths[block] = np.linalg.norm(self._projected(vectors[block], norms[block]), axis=1)
        return lengths

    def photos(self, vectors: Vectors, norms: Vectors) -> Vectors:  # (n, dim), (n,) -> (n, joint)
        """Where photos lie among the texts, as rows of length 1."""
        if self.projection is None:
            return vectors
        projected = self._projected(vectors, norms)
        return np.asarray(projected / np.linalg.norm(projected, axis=1, keepdims=True), dtype=np.float32)

    def _projected(self, vectors: Vectors, norms: Vectors) -> Vectors:
        assert self.projection is not None
        projected = vectors @ self.projection.weights.T
        return np.asarray(projected + self.projection.bias / norms[:, None] if self.is_shifted else projected)

    def folded(self, texts: Vectors) -> "Folded":  # (q, joint)
        """Texts as photos are compared with them."""
        if self.projection is None:
            return Folded(np.asarray(texts, np.float32), np.zeros(len(texts), np.float32))
        return Folded(
            np.asarray(texts @ self.projection.weights, np.float32),
            np.asarray(texts @ self.projection.bias, np.float32),
        )


@dataclass(frozen=True, slots=True)
class Folded:
    """Texts, each as what its product with the vector of a photo is, before the length of the photo divides it."""

    rows: Vectors  # (q, dim): t W
    offsets: Vectors  # (q,): t b

    def scores(self, vectors: Vectors, norms: Vectors, lengths: Vectors) -> Vectors:  # n photos -> (n, q)
        """The cosines."""
        scores = vectors @ self.rows.T
        if self.offsets.any():
            scores += self.offsets / norms[:, None]
        scores /= lengths[:, None]
        return np.asarray(scores)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is known of the photos of one part."""

    vectors: Vectors
    norms: Vectors
    lengths: Vectors


@dataclass(frozen=True, slots=True)
class _State:
    """The live rows at one commit."""

    generation: int
    sections: list[Section]
    ids: Ids  # (n,) of all sections, in their order
    visible: npt.NDArray[np.bool_]  # (n,)


class TextSearch:
    """Texts against the vectors of one index, which are read at the first question. Any number of threads."""

    def __init__(self, catalog: Catalog, vectors: VectorStore) -> None:
        self._catalog = catalog
        self._vectors = vectors
        self._state: _State | None = None
        self._kept: dict[tuple[str, str], _Rows] = {}  # by part and space
        self._lengths = KeptTable(partial(kept_file, "text/lengths.sqlite"), _SCHEMA)

    def close(self) -> None:
        """Give files and memory back."""
        self._lengths.close()
        self._state, self._kept = None, {}

    def search(self, space: TextSpace, texts: Vectors, k: int, where: Filter | None = None) -> Neighbours:
        """The k best region ids of visible photos for each text (q, joint), of those that satisfy `where`.

        Fewer than k columns where there are fewer rows.
        """
        state = self._current()
        answering = state.visible if where is None else np.isin(state.ids, self._catalog.region_ids(where))
        k = min(k, int(answering.sum()))
        if not k:
            return no_neighbours(len(texts), 0)
        folded = space.folded(texts)
        found = [self._rows(space, section, state) for section in state.sections]
        scores = np.concatenate(
            [folded.scores(rows.vectors, rows.norms, rows.lengths)[section.rows]
             for rows, section in zip(found, state.sections, strict=True)]
        )[answering].T  # fmt: skip
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]  # sorting all of them would take longer than comparing
        return top_k(state.ids[answering][best], np.take_along_axis(scores, best, axis=1), k)

    def _current(self) -> _State:
        generation, state = self._catalog.generation, self._state
        if state is None or state.generation != generation:
            sections = self._vectors.sections()
            ids = np.concatenate([np.empty(0, np.int64), *(section.ids for section in sections)])
            visible = np.isin(ids, self._catalog.region_ids(Filter()))
            self._state = state = _State(generation, sections, ids, visible)
            live = {section.sha256 for section in sections}
            self._kept = {key: rows for key, rows in self._kept.items() if key[0] in live}
        return state

    def _rows(self, space: TextSpace, section: Section, state: _State) -> _Rows:
        """The rows of a part, from memory where they are kept there."""
        key = section.sha256, space.key
        if (known := self._kept.get(key)) is not None:
            return known
        size = len(state.ids) * space.dim * 4
        if size > _SAID and section is state.sections[0]:
            logger.info(
                "reading the vectors of %s, %.1f GB, to compare words with",
                counted(len(state.ids), "photo"),
                size / 1e9,
            )
        part = section.read()
        rows = _Rows(part.vectors, part.norms, self._lengths_of(space, section, part))
        if sum(each.vectors.nbytes for each in self._kept.values()) + part.vectors.nbytes <= KEPT:
            self._kept[key] = rows
        return rows

    def _lengths_of(self, space: TextSpace, section: Section, part: parts.Part) -> Vectors:
        """The lengths of the photos of a part in a space: of a part that never changes they are computed once."""
        if space.projection is None:
            return space.lengths(part.vectors, part.norms)
        key = section.sha256, space.key
        with self._lengths.trying() as table:
            if table is not None:
                row = table.execute("SELECT lengths FROM lengths WHERE part = ? AND space = ?", key).fetchone()
                if row is not None and len(row[0]) == 4 * len(part.norms):
                    return np.frombuffer(row[0], dtype="<f4").astype(np.float32)
        lengths = space.lengths(part.vectors, part.norms)
        with self._lengths.trying() as table:
            if table is not None:
                values = (*key, lengths.astype("<f4").tobytes())
                table.execute("INSERT OR REPLACE INTO lengths VALUES (?, ?, ?)", values)
                table.commit()
        return lengths
