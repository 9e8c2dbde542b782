"""Where photos lie on a map: those that look alike lie together."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from birdsearch.records import Vectors, blocks
from birdsearch.search import tuning
from birdsearch.search.engine import Engine
from birdsearch.species.gallery import Gallery
from birdsearch.storage.store import Store

FITTED = 50_000  # photos that UMAP looks at; an exact engine compares them, so that the same photos give the same map
_NEIGHBOURS = 15  # that UMAP joins a photo with, itself among them
_FEWEST = 30  # photos of which there is more to say than their principal components
_STEEP = 10  # how fast the pull of a neighbour fades beyond the distance of the nearest
_ALIKE = 1e-6  # distances that are rounding
_BLOCK = 4096  # rows that ask for their neighbours at a time

Positions = npt.NDArray[np.int64]


def coordinates(rows: Vectors, seed: int = 0) -> Vectors:
    """A map (n, 2) of unit rows by UMAP (McInnes et al. 2018), the same for the same seed.

    It starts from the first two principal components, and where photos are few or all alike these are the map. UMAP
    looks at `FITTED` rows at most; the others come to lie with those of them that they are most like.
    """
    start = _principal(rows)
    if len(rows) <= _FEWEST or not np.ptp(start, axis=0).min() > _ALIKE:
        return start
    drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:FITTED])
    engine = tuning.build(rows[drawn], engine="flat")
    near, far = _nearest_of(engine, rows[drawn])
    mapped = _umap(rows[drawn], start[drawn], (near, far), seed)
    if len(drawn) == len(rows):
        return mapped
    placed = np.empty((len(rows), 2), dtype=np.float32)
    placed[drawn] = mapped
    others = np.setdiff1d(np.arange(len(rows)), drawn)
    for block in blocks(len(others), _BLOCK):
        near, far = _nearest_of(engine, rows[others[block]])
        placed[others[block]] = _among(mapped[near], far)
    return placed


def _among(places: Vectors, far: Vectors) -> Vectors:
    """Where a photo lies (n, 2) whose neighbours have these places (n, k, 2) and distances (n, k), the nearest first.

    Where most of them lie together, and not in the middle between two groups, where nothing is.
    """
    near = np.exp(-_STEEP * (far / np.maximum(far[:, :1], _ALIKE) - 1))
    apart = ((places[:, :, None] - places[:, None]) ** 2).sum(axis=3)  # (n, k, k), in units of UMAP's spread
    together = np.exp(-apart)
    centre = np.einsum("nij,nj->ni", together, near).argmax(axis=1)
    weight = near * together[np.arange(len(places)), centre]
    return np.asarray(np.einsum("nk,nkd->nd", weight / weight.sum(axis=1, keepdims=True), places))


def _nearest_of(engine: Engine, rows: Vectors) -> tuple[Positions, Vectors]:
    """The nearest of an engine's rows to each of these (n, dim): positions (n, k) and distances (n, k), 0 to 2."""
    found = [engine.search(rows[block], _NEIGHBOURS) for block in blocks(len(rows), _BLOCK)]
    far = np.concatenate([1 - part.scores for part in found]).clip(0, 2)
    return np.concatenate([part.ids for part in found]), far


def _umap(rows: Vectors, start: Vectors, near: tuple[Positions, Vectors], seed: int) -> Vectors:
    """The map (n, 2) of rows (n, dim) whose neighbours are known, from where they are at the start (n, 2)."""
    with warnings.catch_warnings():
        # They are of what birdsearch does not ask for: TensorFlow, and places for new rows.
        warnings.simplefilter("ignore")
        import umap  # seconds, for numba

        model = umap.UMAP(
            n_neighbors=near[0].shape[1],
            metric="cosine",
            precomputed_knn=near,
            force_approximation_algorithm=True,  # else few rows are compared anew
            init=start,
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(model.fit_transform(rows), dtype=np.float32)


def _principal(rows: Vectors) -> Vectors:
    """The first two principal components (n, 2) of rows (n, dim)."""
    if len(rows) < 3:
        return np.zeros((len(rows), 2), dtype=np.float32)
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    first = np.asarray(centred @ directions[:, :-3:-1], dtype=np.float32)
    return np.pad(first, ((0, 0), (0, 2 - first.shape[1])))


def coordinates_of(gallery: Gallery, store: Store, ids: Sequence[int]) -> Vectors:
    """The coordinates (n, 2) of these photos on the map.

    Raises PhotoUnknownError for an unknown id, ValueError for a photo that is not in the gallery.
    """
    if away := [photo_id for photo_id in ids if photo_id not in gallery.position_of]:
        store.catalog.photos(away)  # raises for an unknown id
        raise ValueError(f"photo {away[0]} is missing, or does not satisfy the filter: it has no place on the map")
    return coordinates(gallery.vectors)[[gallery.position_of[photo_id] for photo_id in ids]]
