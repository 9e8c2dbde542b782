"""The neighbour graph: every row is linked with its nearest ones, and a query spreads along the links.

A link is as strong as two rows are close, measured by how close the neighbours of both usually are (self-tuning scale,
Zelnik-Manor and Perona 2004): so one rule serves raw and whitened vectors, dense species and sparse ones. Two photos
of one species that look unlike are often joined by others that lie between them. A query therefore enters at the rows
nearest to it and flows along the links; where most arrives comes first (diffusion, Zhou et al. 2003; on the part of the
graph around the query, Iscen et al. 2017).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from birdsearch.files import read_arrays
from birdsearch.records import Ids, Vectors, blocks
from birdsearch.search.engine import Engine
from birdsearch.search.exact import Neighbours
from birdsearch.search.local import Positions

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEIGHBOURS = 10  # with which a row is linked
SOURCES = 10  # rows nearest to a query, at which it enters
REACH = 300  # rows that a query spreads over
DAMPING = 0.6  # of what arrives at a row, the share that flows on
STEEP = 5.0  # how fast a link fades beyond the scale of its rows
SCALE = 5  # the neighbour whose distance is a row's own scale
_LEAST_SCALE = 1e-3
_STEPS = 41  # along the links: DAMPING**41 is beyond the decimals that count
_DECIMALS = 9  # of what arrives; more is rounding, and must not order rows that are equal
_BLOCK = 4096  # rows that ask for their neighbours at a time

Flow = npt.NDArray[np.float64]  # (n,) how much of a query is at each row


@dataclass(frozen=True, slots=True)
class NeighbourGraph:
    """Rows under their ids, and the links between them."""

    ids: Ids  # (n,) ascending
    scale: Vectors  # (n,)
    links: "csr_matrix"  # (n, n) float32, symmetric

    def __len__(self) -> int:
        return len(self.ids)

    def write(self, file: BinaryIO) -> None:
        """Write the graph as an .npz file."""
        links = {name: getattr(self.links, name) for name in ("indptr", "indices", "data")}
        np.savez(file, ids=self.ids, scale=self.scale, **links)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote. Raises ValueError for any other file."""
        from scipy.sparse import csr_matrix

        stored = read_arrays(path)
        try:
            ids, scale = stored["ids"], stored["scale"]
            links = csr_matrix((stored["data"], stored["indices"], stored["indptr"]), (len(ids), len(ids)))
            links.check_format(full_check=True)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"it is no graph ({error})") from error
        named = ids.ndim == 1 and ids.dtype == np.int64 and bool(np.all(ids[1:] > ids[:-1]))
        strong = links.data.dtype == np.float32 and bool((links.data >= 0).all())
        if not named or not strong or scale.shape != ids.shape or scale.dtype != np.float32:
            raise ValueError(f"it holds {ids.dtype} {ids.shape}, {scale.dtype} {scale.shape} and {links.data.dtype}")
        return cls(ids, scale, links)

    def restricted(self, ids: Ids) -> Self:
        """The graph of those rows alone whose id is among these (m,)."""
        kept = np.flatnonzero(np.isin(self.ids, ids))
        if len(kept) == len(self.ids):
            return self
        return type(self)(self.ids[kept], self.scale[kept], self.links[kept][:, kept].tocsr())

    def spread(self, nearest: Ids, scores: Vectors) -> tuple[Ids, Flow]:
        """Ids (r,) of the rows that a query reaches from those nearest to it (m,), best first, and what arrives there.

        A nearest row that the graph does not hold is reached too, but leads no further.
        """
        far = np.clip(1 - scores.astype(np.float64), 0, 2)
        own = max(float(np.sort(far)[:SCALE][-1]), _LEAST_SCALE) if len(far) else 1.0
        entering = np.exp(-STEEP * (far**2 - far.min(initial=2) ** 2) / own**2)
        at = _positions(self.ids, nearest)
        held = at >= 0
        rows = self._around(at[held], entering[held])
        arrived = np.concatenate([self._diffused(rows, entering[held]), entering[~held]])
        ids, arrived = np.concatenate([self.ids[rows], nearest[~held]]), arrived.round(_DECIMALS)
        order = np.lexsort((ids, -arrived))
        return ids[order], arrived[order]

    def _around(self, rows: Positions, entering: Flow) -> Positions:
        """The rows that a query enters at, then those around them step by step, the most strongly linked first."""
        reached: Positions = rows
        edge: Positions = rows
        while len(edge) and len(reached) < REACH:
            links = self.links[edge]
            found, place = np.unique(links.indices, return_inverse=True)
            arriving = links.data * np.repeat(entering, np.diff(links.indptr))
            strength: Flow = np.asarray(np.bincount(place, arriving, len(found)), dtype=np.float64)
            new = np.flatnonzero(~np.isin(found, reached))
            best = new[np.lexsort((found[new], -strength[new]))][: REACH - len(reached)]
            edge, entering = found[best], strength[best]
            reached = np.concatenate([reached, edge])
        return reached

    def _diffused(self, rows: Positions, entering: Flow) -> Flow:
        """How much of what enters at the first of these rows arrives at each of them (r,)."""
        links = self.links[rows]
        total = np.asarray(links.sum(axis=1), dtype=np.float64).ravel()
        evened = 1 / np.sqrt(np.where(total > 0, total, 1))
        inside = links[:, rows].astype(np.float64)
        inside.data *= DAMPING * np.repeat(evened, np.diff(inside.indptr)) * evened[inside.indices]
        start = np.pad(entering, (0, len(rows) - len(entering)))
        arrived = start
        for _ in range(_STEPS):
            arrived = start + inside @ arrived
        return np.asarray(arrived)


def linked(engine: Engine, ids: Ids, rows: Vectors, known: NeighbourGraph | None = None) -> NeighbourGraph:
    """The graph of unit rows (n, dim), which an engine holds under these ids (n,).

    Where one is known of other rows of that engine, these are linked with all of them; its own links stay as they are.
    """
    every = np.sort(ids) if known is None else np.union1d(known.ids, ids)
    only = every if len(every) < len(engine) else None
    at, k = _positions(every, ids), min(NEIGHBOURS, max(len(every) - 1, 0))
    near, scores = np.full((len(ids), k), -1), np.zeros((len(ids), k), np.float32)
    for block in blocks(len(ids), _BLOCK):
        found = engine.search(rows[block], k + 1, only)
        near[block], scores[block] = others(Neighbours(_positions(every, found.ids), found.scores), at[block], k)
    scale = np.ones(len(every), np.float32)
    scale[at] = scales(near, scores)
    if known is None:
        return NeighbourGraph(every, scale, _compact(symmetric_links(at, near, scores, scale, STEEP)))
    from scipy.sparse import coo_matrix

    places, before = _positions(every, known.ids), known.links.tocoo()
    scale[places] = known.scale
    moved = coo_matrix((before.data, (places[before.row], places[before.col])), (len(every), len(every)))
    return NeighbourGraph(every, scale, _compact(moved.tocsr() + symmetric_links(at, near, scores, scale, STEEP)))


def others(neighbours: Neighbours, rows: Positions, k: int) -> tuple[Positions, Vectors]:
    """Row numbers (n, k) and scores (n, k) of the neighbours of these rows (n,) but themselves; -1 for none."""
    own = neighbours.ids == rows[:, None]
    # The row itself goes to the end of its list, behind the others in their order; a list without it is left whole.
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(neighbours.scores, order, axis=1)
    near, own = np.take_along_axis(neighbours.ids, order, axis=1), np.take_along_axis(own, order, axis=1)
    return np.where(own | ~np.isfinite(scores), -1, near), np.asarray(scores, dtype=np.float32)


def scales(near: Positions, scores: Vectors) -> Vectors:
    """How far the neighbours (n, k) of each row usually are: its own scale (n,)."""
    width = near.shape[1]
    if not width:
        return np.ones(len(near), dtype=np.float32)
    return np.maximum(_distances(near, scores)[:, min(SCALE, width) - 1], np.float32(_LEAST_SCALE))


def symmetric_links(rows: Positions, near: Positions, scores: Vectors, scale: Vectors, steep: float) -> "csr_matrix":
    """The links (n, n) between these rows (m,) of n, whose scales are given (n,), and their neighbours (m, k).

    Those of two that name each other count twice.
    """
    from scipy.sparse import coo_matrix

    far = _distances(near, scores)
    strength = np.exp(-steep * far**2 / (scale[rows][:, None] * scale[near])).astype(np.float64)
    kept = (near >= 0) & (strength > 1e-9)
    ends = np.repeat(rows, kept.sum(axis=1)), near[kept]
    one_way = coo_matrix((strength[kept], ends), (len(scale), len(scale))).tocsr()
    both = (one_way + one_way.T).tocsr()
    both.sort_indices()
    return both


def _distances(near: Positions, scores: Vectors) -> Vectors:
    return np.where(near >= 0, np.clip(1 - scores, 0, 2), 2).astype(np.float32)


def _compact(links: Any) -> "csr_matrix":
    """The links in half the memory."""
    links = links.tocsr().astype(np.float32)
    links.sort_indices()
    return links


def _positions(ascending: Ids, ids: Ids) -> Positions:
    """Where these ids stand among the ascending ones, in their shape; -1 for those that do not."""
    if not len(ascending):
        return np.full(ids.shape, -1)
    at = np.minimum(np.searchsorted(ascending, ids), len(ascending) - 1)
    return np.where(ascending[at] == ids, at, -1)
