"""From images, vectors or words and a filter to matches: what a search does, one step after the other."""

import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from birdsearch import objects
from birdsearch.errors import PhotoError, WordsError
from birdsearch.files import FileState, absolute, is_url, known_spelling
from birdsearch.photos import decode
from birdsearch.photos.decode import ImageLike
from birdsearch.records import BIRD, FRAME, MOST_REGIONS, Box, Filter, Ids, Match, Photo, Pixels, Vectors, blocks, shown
from birdsearch.regions.choice import chosen
from birdsearch.search.exact import Neighbours
from birdsearch.search.graph import REACH
from birdsearch.storage import diffusion
from birdsearch.storage.catalog.tables import FINDER
from birdsearch.storage.store import Store

logger = logging.getLogger("birdsearch")

BATCH = 16  # photos that are held in memory at a time
_SIGN = re.compile(r"(?:^|(?<=\s))([+-])(?=\s|$)")  # between phrases; a hyphen within a word is none
_NOTHING = 1e-6  # length of a sum of directions that is only rounding
ROWS = 4096  # vectors that are normalised at a time
VECTORS = 1 + MOST_REGIONS  # of one photo, at most: its frame's and those of other regions
Errors = str | Callable[[int, PhotoError], None]  # what becomes of an image that cannot be read
Asked = Box | str | None  # which part of an image asks: a box, BIRD (known or found in it), or None for all of it


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which photos answer, and in which order."""

    k: int
    where: Filter | None = None
    min_score: float | None = None
    diffuse: bool = False  # in the order of diffusion, not of the score

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if self.min_score is not None and math.isnan(self.min_score):
            raise ValueError("min_score must be a number, got nan, which no score reaches")


@dataclass(frozen=True, slots=True)
class OwnPhoto:
    """The photo of the index that an image is."""

    id: int
    unchanged: bool  # whether the vector that the index has is that of the image


def by_images(
    store: Store,
    images: Sequence[ImageLike],
    wanted: Wanted,
    errors: Errors,
    asked: Asked = None,
) -> list[list[Match]]:
    """The photos wanted for each image; a photo of the index never finds itself, which is noted where a path names it.

    What is `asked` of each image asks alone. An image that cannot be read has no matches where `errors` lets it pass.
    """
    own = own_photos(store, images)
    vectors = embed(store, images, own, errors, asked)
    for image, photo in zip(images, own, strict=True):
        if photo is not None and isinstance(image, str | os.PathLike):
            logger.info("%s is in the index: it is left out of its own matches.", shown(os.fspath(image)))
    read = np.flatnonzero(np.isfinite(vectors[:, 0]))
    found = _matches(store, vectors[read], wanted, [own_id(own[row]) for row in read.tolist()])
    matches: list[list[Match]] = [[] for _ in images]
    for row, answer in zip(read.tolist(), found, strict=True):
        matches[row] = answer
    return matches


def by_vectors(store: Store, vectors: Any, wanted: Wanted) -> list[list[Match]]:
    """The photos wanted for each vector (q, dim) of any length. Raises ValueError for another shape or no direction."""
    unit, _ = unit_vectors(store, vectors)
    return _matches(store, unit, wanted, [None] * len(unit))


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that pull photos near, or push them away."""

    text: str
    sign: float = 1.0


def phrases(text: str) -> list[Phrase]:
    """`heron with a fish - zoo + reeds`: what stands after a minus between spaces pushes, all else pulls.

    Raises WordsError where a sign has no words.
    """
    pieces = [piece.strip() for piece in _SIGN.split(text)]
    if not pieces[0]:
        del pieces[0]  # it begins with a sign, or is empty
    else:
        pieces.insert(0, "+")
    signs, words = pieces[::2], pieces[1::2]
    if not words or not all(words):
        raise WordsError(f"{shown(text)!r} has no words" + (" after one of its signs" if signs else ""))
    return [Phrase(word, -1.0 if sign == "-" else 1.0) for sign, word in zip(signs, words, strict=True)]


def by_text(
    store: Store, texts: Sequence[str], images: Sequence[ImageLike], wanted: Wanted, errors: Errors, asked: Asked
) -> list[Match]:
    """The photos wanted for all these words, and images that ask together with them, as one question.

    In the space of texts each phrase and each image is a direction of length 1, of which the signed sum asks.
    """
    if wanted.diffuse:
        raise ValueError("words cannot be asked with diffuse: the graph joins photos")
    said = [phrase for text in texts for phrase in phrases(text)]
    vectors = store.texts.embed([phrase.text for phrase in said])
    space = store.text_space(vectors.shape[1])
    own = own_photos(store, images)
    seen, norms = embed_with_norms(store, images, own, errors, asked)
    read = np.flatnonzero(np.isfinite(norms))
    signed = [[phrase.sign] for phrase in said] + [[1.0]] * len(read)
    parts = np.concatenate([vectors, space.photos(seen[read], norms[read])])
    total = (np.array(signed) * parts).sum(axis=0, keepdims=True)
    length = np.linalg.norm(total)
    if length < _NOTHING:
        raise WordsError(f"{shown(' '.join(texts))!r} asks for nothing: what it adds it takes away")
    search = partial(store.text.search, space)
    return _matches(store, np.asarray(total / length, np.float32), wanted, [None], search, "text")[0]


def unit_vectors(store: Store, vectors: Any) -> tuple[Vectors, Vectors]:
    """A user's vectors (n, dim) of any length as unit vectors (n, dim), and their lengths (n,), in float32.

    Raises ValueError for another shape, for what are no numbers, and for a vector that has no direction.
    """
    dim = store.identity.backbone.dim
    try:
        given = np.asarray(vectors)
    except (TypeError, ValueError) as error:
        raise ValueError(f"vectors must be an array of shape (n, {dim}): {error}") from None
    if given.shape == (0,):
        given = np.empty((0, dim), np.float32)
    if given.ndim != 2 or given.shape[1] != dim:
        hint = ": give one vector as [vector]" if given.shape == (dim,) else ""
        raise ValueError(f"vectors must have the shape (n, {dim}), got {given.shape}{hint}")
    if not np.issubdtype(given.dtype, np.integer) and not np.issubdtype(given.dtype, np.floating):
        raise ValueError(f"vectors must be numbers such as float32, not {given.dtype}")
    unit, lengths = np.empty(given.shape, np.float32), np.empty(len(given), np.float32)
    for block in blocks(len(given), ROWS):
        wide = given[block].astype(np.float64)
        with np.errstate(all="ignore"):  # what has no direction is refused below
            largest = np.abs(wide).max(axis=1, initial=0)
            wide /= largest[:, None]  # squares of large and small numbers leave float64
            long = np.linalg.norm(wide, axis=1)
            unit[block] = wide / long[:, None]
            lengths[block] = largest * long
    without = np.flatnonzero(~np.isfinite(unit).all(axis=1))
    if len(without):
        raise ValueError(f"vector {without[0]} has no direction: it is all zero, or not finite")
    return unit, lengths


def embed(
    store: Store,
    images: Sequence[ImageLike],
    own: Sequence[OwnPhoto | None],
    errors: Errors = "raise",
    asked: Asked = None,
) -> Vectors:
    """Unit vectors (n, dim) of images; those of photos of the index (`own_photos`) that are unchanged come from it.

    They are those of the part of each image that is `asked`. The row of an image that cannot be read is NaN where
    `errors` lets it pass.
    """
    return embed_with_norms(store, images, own, errors, asked)[0]


def embed_with_norms(
    store: Store, images: Sequence[ImageLike], own: Sequence[OwnPhoto | None], errors: Errors, asked: Asked
) -> tuple[Vectors, Vectors]:
    """The same, and the lengths (n,) of the vectors before they were normalised."""
    vectors = np.full((len(images), store.identity.backbone.dim), np.nan, dtype=np.float32)
    norms = np.full(len(images), np.nan, dtype=np.float32)
    stored = stored_ids(own) if asked is None else {}
    other = [row for row in range(len(images)) if row not in stored]
    if stored:
        vectors[list(stored)], norms[list(stored)] = store.vectors.fetch(list(stored.values()))
    for block in blocks(len(other), BATCH):
        pixels = dict(readable(store, images, other[block], own, errors, asked))
        if pixels:
            embedded = store.backbone.embed_pixels(np.stack(list(pixels.values())))
            vectors[list(pixels)], norms[list(pixels)] = embedded.vectors, embedded.norms
    return vectors, norms


def readable(
    store: Store,
    images: Sequence[ImageLike],
    rows: Sequence[int],
    own: Sequence[OwnPhoto | None],
    errors: Errors,
    asked: Asked,
) -> Iterator[tuple[int, Pixels]]:
    """Position and pixels, as the backbone sees them, of the asked part of each of these images that can be read.

    What cannot be read raises PhotoError ("raise"), is logged ("skip") or goes to a function with its position.
    """
    for row in rows:
        try:
            yield row, _pixels(store, images[row], own[row], asked)
        except PhotoError as error:
            if errors == "raise":
                raise
            if errors == "skip":
                logger.warning("left out: %s", error)
            elif callable(errors):
                errors(row, error)


def asked_part(box: Box | None, region: str) -> Asked:
    """What the arguments `box` and `region` of a search mean. Raises ValueError for both, or for another region."""
    if region not in (FRAME, BIRD):
        raise ValueError(f"region must be {FRAME} or {BIRD}, got {region!r}")
    if box is not None and region == BIRD:
        raise ValueError("give either a box or region='bird', which finds one")
    return BIRD if region == BIRD else box


def _pixels(store: Store, image: ImageLike, own: OwnPhoto | None, asked: Asked) -> Pixels:
    """The asked part of an image at the size of the backbone."""
    size = store.backbone.input_size
    if not isinstance(asked, str):
        return decode.load(image, size, asked)
    if not isinstance(image, str | Photo) and (read := getattr(image, "read", None)) is not None:
        image = read()  # an open file is read once
    return decode.load(image, size, _bird(store, image, own))


def _bird(store: Store, image: ImageLike, own: OwnPhoto | None) -> Box | None:
    """Where the bird is in an image: as the index knows it of its photo, or as a finder finds it."""
    known = store.catalog.boxes([own.id]).get(own.id, []) if own is not None and own.unchanged else []
    regions = [one.region for one in known]
    if best := chosen(regions):
        return regions[best[0]].box
    found = store.backbone.find(image, finder=store.catalog.get_state(FINDER, "auto"))
    path = image.path if isinstance(image, Photo) else image
    name = shown(os.fspath(path)) if isinstance(path, str | os.PathLike) else "this picture"
    if not found:
        logger.info("no bird was found in %s: all of it asks.", name)
        return None
    logger.info("%s: the bird at %s asks, found by %s.", name, found[0].box.rounded, found[0].source)
    return found[0].box


def check_images(images: Sequence[ImageLike], errors: Errors = "raise") -> list[ImageLike]:
    """The images of a batch. Raises TypeError for one image alone, ValueError for `errors` of another kind."""
    if isinstance(images, str | bytes | Path | Photo) or (isinstance(images, np.ndarray) and images.ndim != 4):
        raise TypeError("this takes a list of images; give one image as [image]")
    if not isinstance(images, Iterable):
        raise TypeError(f"this takes a list of images, not a {type(images).__name__}")
    if errors not in ("raise", "skip") and not callable(errors):
        raise ValueError(f"errors must be 'raise', 'skip' or a function of position and error, got {errors!r}")
    return list(images)


def own_photos(store: Store, images: Sequence[ImageLike]) -> list[OwnPhoto | None]:
    """What each image is that is a Photo of this index, or the path of one; None for all others.

    A Photo of another index is an image like any other.
    """
    by_path = _ids_by_path(store, {image for image in images if isinstance(image, str | os.PathLike)})
    ids = {image.id for image in images if isinstance(image, Photo) and image.id is not None}
    known = store.catalog.known_photos({*ids, *by_path.values()}) if ids or by_path else {}

    def own(image: ImageLike) -> OwnPhoto | None:
        if isinstance(image, str | os.PathLike) and image in by_path:
            return OwnPhoto(by_path[image], _is_as_indexed(store, image, known[by_path[image]]))
        if not isinstance(image, Photo) or image.id not in known:
            return None
        stored = known[image.id]
        return OwnPhoto(image.id, True) if stored.sha256 == image.sha256 or stored.path == image.path else None

    return [own(image) for image in images]


def own_id(photo: OwnPhoto | None) -> int | None:
    """The id of an image that is a photo of the index."""
    return None if photo is None else photo.id


def stored_ids(own: Sequence[OwnPhoto | None]) -> dict[int, int]:
    """Position -> id of the images whose vector is that of the index."""
    return {row: photo.id for row, photo in enumerate(own) if photo is not None and photo.unchanged}


def _ids_by_path(store: Store, paths: set[str | os.PathLike[str]]) -> dict[str | os.PathLike[str], int]:
    """Path as it was given -> id of the photo of the index that lies there."""
    at_path = {path: absolute(path) for path in paths if is_url(path) or os.path.isfile(path)}
    ids = store.catalog.ids_at(list(at_path.values())) if at_path else {}
    if strange := {path: at for path, at in at_path.items() if at not in ids}:
        roots = store.catalog.roots_in_use()
        at_path |= {path: known_spelling(at, roots) for path, at in strange.items()}
        ids |= store.catalog.ids_at([at_path[path] for path in strange])
    return {path: ids[at] for path, at in at_path.items() if at in ids}


def _is_as_indexed(store: Store, path: str | os.PathLike[str], photo: Photo) -> bool:
    """Whether a file is as it was when it was indexed; of a photo that lost its vector nothing is."""
    with suppress(OSError):
        if is_url(path):
            (indexed,) = store.catalog.file_states([photo.id or 0]).values()
            return photo.sha256 != "" and (objects.state_of(photo.path) or FileState()).is_same(indexed)
        info = os.stat(path)
        return (info.st_size, info.st_mtime_ns) == (photo.size, photo.mtime_ns)
    return False


def _matches(
    store: Store,
    queries: Vectors,
    wanted: Wanted,
    own: Sequence[int | None],
    search: Callable[[Vectors, int, Filter | None], Neighbours] | None = None,
    score_kind: str = "photo",
) -> list[list[Match]]:
    """The visible photos wanted for each query (q, dim), each by its best region, as a `search` finds them.

    `own` are the photos that must not find themselves.
    """
    if search is None:
        search = partial(diffusion.search, store) if wanted.diffuse else partial(_nearest, store)
    with store.catalog.snapshot():
        k = wanted.k + any(photo_id is not None for photo_id in own)  # photos
        if wanted.diffuse and wanted.min_score is not None:
            k = max(k, REACH)  # the order is not that of the score, so that any of them may be left out
        nearest = search(queries, k, wanted.where)
        best = _best_of_photos(store, nearest.ids)
        more = wanted.diffuse or nearest.ids.shape[1] >= k  # there may be more regions
        if more and any(len(row) < k for row in best):
            # Some photos answer with several regions: among so many rows there are enough others.
            nearest = search(queries, VECTORS * k, wanted.where)
            best = _best_of_photos(store, nearest.ids)
        least = -np.inf if wanted.min_score is None else wanted.min_score
        rows = [
            [(n, p) for p, n in row.items() if p != own[q] and nearest.scores[q, n] >= least][: wanted.k]
            for q, row in enumerate(best)
        ]
        photo_ids = sorted({photo_id for row in rows for _, photo_id in row})
        photos = dict(zip(photo_ids, store.catalog.photos(photo_ids), strict=True))
        regions = store.catalog.regions_by_id({int(nearest.ids[q, n]) for q, row in enumerate(rows) for n, _ in row})
    return [
        [Match(photos[p], float(nearest.scores[q, n]), regions[int(nearest.ids[q, n])], score_kind) for n, p in row]
        for q, row in enumerate(rows)
    ]


def _nearest(store: Store, queries: Vectors, k: int, where: Filter | None) -> Neighbours:
    return store.vectors.search(queries, k, where=where)


def _best_of_photos(store: Store, region_ids: Ids) -> list[dict[int, int]]:
    """For each row (q, k) of regions, best first: visible photo -> the column in which its best region stands."""
    photo_of = store.catalog.visible(set(region_ids[region_ids >= 0].tolist()))
    best: list[dict[int, int]] = []
    for row in region_ids.tolist():
        columns: dict[int, int] = {}
        for column, region_id in enumerate(row):
            if region_id in photo_of:
                columns.setdefault(photo_of[region_id], column)
        best.append(columns)
    return best
