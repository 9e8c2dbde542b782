"""A search along the neighbour graph: photos that others join to the query come before those that are merely near."""

import numpy as np

from birdsearch.records import Filter, Ids, Vectors, blocks
from birdsearch.search.exact import Neighbours
from birdsearch.search.graph import SOURCES, Flow
from birdsearch.storage.store import Store


def search(store: Store, queries: Vectors, k: int, where: Filter | None = None) -> Neighbours:
    """Region ids of visible photos for each query (q, dim) in the order of diffusion, with their scores (cosines).

    The first k photos that are reached, then those of the k nearest regions that are not, by score; each photo is there
    once, by its best region. `where` says which photos may answer; a query spreads over all. Raises GraphMissingError.
    """
    graph = store.vectors.graph()
    entering = store.vectors.search(queries, SOURCES)
    nearest = store.vectors.search(queries, k, where=where)
    answers = []
    for row, query in enumerate(queries):
        held = entering.ids[row] >= 0
        reached, arrived = graph.spread(entering.ids[row][held], entering.scores[row][held])
        if where is not None:
            answering = np.isin(reached, store.catalog.region_ids(where, among=reached.tolist()))
            reached, arrived = reached[answering], arrived[answering]
        flow = _first_photos(store, reached, arrived, k)
        answers.append(_ordered(store, query, flow, nearest.ids[row]))
    width = max((len(answer) for answer in answers), default=0)
    ids, scores = np.full((len(queries), width), -1), np.full((len(queries), width), -np.inf, np.float32)
    for row, answer in enumerate(answers):
        ids[row, : len(answer)] = [region_id for region_id, _ in answer]
        scores[row, : len(answer)] = [score for _, score in answer]
    return Neighbours(ids, scores)


def _first_photos(store: Store, reached: Ids, arrived: Flow, k: int) -> dict[int, float]:
    """The first k visible photos (or a few more) that are reached, and how much of the query arrives at each."""
    flow: dict[int, float] = {}
    for block in blocks(len(reached), max(2 * k, 32)):
        photo_of = store.catalog.visible(reached[block].tolist())
        for region_id, much in zip(reached[block].tolist(), arrived[block].tolist(), strict=True):
            if region_id in photo_of:
                flow.setdefault(photo_of[region_id], much)  # the most comes first
        if len(flow) >= k:
            break
    return flow


def _ordered(store: Store, query: Vectors, flow: dict[int, float], nearest: Ids) -> list[tuple[int, float]]:
    """The best region of each photo and its score, in the order of what arrives at the photos, then of the score."""
    regions = np.union1d(store.catalog.region_ids(Filter(ids=tuple(flow))), nearest[nearest >= 0])
    scored = store.vectors.search(query[None], len(regions), regions)
    photo_of = store.catalog.visible(regions.tolist())
    best: dict[int, tuple[int, float]] = {}
    for region_id, score in zip(scored.ids[0].tolist(), scored.scores[0].tolist(), strict=True):
        if region_id in photo_of:
            best.setdefault(photo_of[region_id], (region_id, score))
    return [best[photo_id] for photo_id in sorted(best, key=lambda photo_id: -flow.get(photo_id, 0.0))]
