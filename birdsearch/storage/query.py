"""From images or vectors and a filter to matches: what a search does, one step after the other."""

from collections.abc import Sequence

import numpy as np

from birdsearch.photos.decode import ImageLike
from birdsearch.records import Filter, Match, Photo, Vectors
from birdsearch.storage.store import Store


def by_images(
    store: Store, images: Sequence[ImageLike], k: int, where: Filter | None, min_score: float | None
) -> list[list[Match]]:
    """The k best photos for each image; a Photo of the index never finds itself."""
    _check_k(k)
    own = own_ids(store, images)
    return _matches(store, embed(store, images, own), k, where, min_score, own)


def by_vectors(
    store: Store, vectors: Vectors, k: int, where: Filter | None, min_score: float | None
) -> list[list[Match]]:
    """The k best photos for each vector (q, dim) of any length. Raises ValueError for another shape or no direction."""
    _check_k(k)
    dim = store.identity.backbone.dim
    queries = np.asarray(vectors, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(f"vectors must have the shape (q, {dim}), got {queries.shape}")
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1, keepdims=True)  # squares may leave float32
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ValueError("a vector with no direction (all zero, or not finite) cannot be searched")
    unit = (queries / lengths).astype(np.float32)
    return _matches(store, unit, k, where, min_score, [None] * len(unit))


def embed(store: Store, images: Sequence[ImageLike], own: Sequence[int | None]) -> Vectors:
    """Unit vectors (n, dim) of images; those with an id of their own (`own_ids`) come from the index."""
    vectors = np.empty((len(images), store.identity.backbone.dim), dtype=np.float32)
    stored = [row for row, photo_id in enumerate(own) if photo_id is not None]
    other = [row for row, photo_id in enumerate(own) if photo_id is None]
    if stored:
        vectors[stored] = store.vectors.fetch([photo_id for photo_id in own if photo_id is not None])[0]
    if other:
        vectors[other] = store.backbone.embed([images[row] for row in other])
    return vectors


def own_ids(store: Store, images: Sequence[ImageLike]) -> list[int | None]:
    """The id of each image that is a Photo of this index; a Photo of another index is an image like any other."""
    ids = {image.id for image in images if isinstance(image, Photo) and image.id is not None}
    known = store.catalog.known_photos(ids) if ids else {}

    def own_id(image: ImageLike) -> int | None:
        if not isinstance(image, Photo) or image.id not in known:
            return None
        stored = known[image.id]
        return image.id if stored.sha256 == image.sha256 or stored.path == image.path else None

    return [own_id(image) for image in images]


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")


def _matches(
    store: Store, queries: Vectors, k: int, where: Filter | None, min_score: float | None, own: Sequence[int | None]
) -> list[list[Match]]:
    """The k best visible photos for each query (q, dim); `own` are the photos that must not find themselves."""
    with store.catalog.snapshot():
        only = None if where is None else store.catalog.region_ids(where)
        nearest = store.vectors.search(queries, k + any(photo_id is not None for photo_id in own), only)
        photo_of = store.catalog.visible(np.unique(nearest.ids[nearest.ids >= 0]).tolist())
        rows = [
            [(n, photo_of[i]) for n, i in enumerate(row.tolist()) if i in photo_of and photo_of[i] != own[q]]
            for q, row in enumerate(nearest.ids)
        ]
        photo_ids = sorted({photo_id for row in rows for _, photo_id in row[:k]})
        photos = dict(zip(photo_ids, store.catalog.photos(photo_ids), strict=True))
    matches = [[Match(photos[p], float(nearest.scores[q, n])) for n, p in row[:k]] for q, row in enumerate(rows)]
    return [[m for m in row if min_score is None or m.score >= min_score] for row in matches]
