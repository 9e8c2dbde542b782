"""From images or vectors and a filter to matches: what a search does, one step after the other."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from birdsearch.errors import PhotoError
from birdsearch.photos import decode
from birdsearch.photos.decode import ImageLike
from birdsearch.records import Filter, Match, Photo, Pixels, Vectors, blocks
from birdsearch.storage.store import Store

logger = logging.getLogger("birdsearch")

BATCH = 16  # photos that are held in memory at a time
Errors = str | Callable[[int, PhotoError], None]  # what becomes of an image that cannot be read


def by_images(
    store: Store, images: Sequence[ImageLike], k: int, where: Filter | None, min_score: float | None, errors: Errors
) -> list[list[Match]]:
    """The k best photos for each image; a Photo of the index never finds itself.

    An image that cannot be read has no matches where `errors` lets it pass.
    """
    _check_k(k)
    own = own_ids(store, images)
    vectors = embed(store, images, own, errors)
    read = np.flatnonzero(np.isfinite(vectors[:, 0]))
    found = _matches(store, vectors[read], k, where, min_score, [own[row] for row in read.tolist()])
    matches: list[list[Match]] = [[] for _ in images]
    for row, answer in zip(read.tolist(), found, strict=True):
        matches[row] = answer
    return matches


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


def embed(store: Store, images: Sequence[ImageLike], own: Sequence[int | None], errors: Errors = "raise") -> Vectors:
    """Unit vectors (n, dim) of images; those with an id of their own (`own_ids`) come from the index.

    The row of an image that cannot be read is NaN where `errors` lets it pass.
    """
    vectors = np.full((len(images), store.identity.backbone.dim), np.nan, dtype=np.float32)
    stored = [row for row, photo_id in enumerate(own) if photo_id is not None]
    other = [row for row, photo_id in enumerate(own) if photo_id is None]
    if stored:
        vectors[stored] = store.vectors.fetch([photo_id for photo_id in own if photo_id is not None])[0]
    for block in blocks(len(other), BATCH):
        pixels = dict(readable(images, other[block], store.backbone.input_size, errors))
        if pixels:
            vectors[list(pixels)] = store.backbone.embed_pixels(np.stack(list(pixels.values()))).vectors
    return vectors


def readable(
    images: Sequence[ImageLike], rows: Sequence[int], size: tuple[int, int], errors: Errors
) -> Iterator[tuple[int, Pixels]]:
    """Position and pixels of each of these images that can be read.

    What cannot be read raises PhotoError ("raise"), is logged ("skip") or goes to a function with its position.
    """
    for row in rows:
        try:
            yield row, decode.load(images[row], size)
        except PhotoError as error:
            if errors == "raise":
                raise
            if errors == "skip":
                logger.warning("left out: %s", error)
            elif callable(errors):
                errors(row, error)


def check_images(images: Sequence[ImageLike], errors: Errors = "raise") -> list[ImageLike]:
    """The images of a batch. Raises TypeError for one image alone, ValueError for `errors` of another kind."""
    if isinstance(images, str | bytes | Path | Photo) or (isinstance(images, np.ndarray) and images.ndim != 4):
        raise TypeError("this takes a list of images; give one image as [image]")
    if errors not in ("raise", "skip") and not callable(errors):
        raise ValueError(f"errors must be 'raise', 'skip' or a function of position and error, got {errors!r}")
    return list(images)


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
