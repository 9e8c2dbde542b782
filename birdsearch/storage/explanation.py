"""Why two photos match: where in each their score comes from, and which of their places look alike."""

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from birdsearch.backbones import Network, PooledMap
from birdsearch.errors import BackboneUnavailableError
from birdsearch.photos import decode
from birdsearch.photos.decode import ImageLike
from birdsearch.records import FRAME, Box, Explanation, Match, Pixels, Vectors
from birdsearch.regions import sharing
from birdsearch.search.whitening import Whitening
from birdsearch.storage import query
from birdsearch.storage.store import Store

Other = ImageLike | Match | SupportsIndex  # a photo by its id, a match, or any image

_FINE = 12  # cells a side: of two stages of the built-in network the finer one places better, 14 against 7
_SAME_SCORE = 0.02  # what rounding, or a crop of a file that was read at another size, makes of a score
_ROUNDING = 0.99  # cosine of a vector and the same at 32 bits; below it is of another picture or network

_NO_AVERAGE = (
    "A guess: the vector of this network is not an average over places (it is a token that has seen the whole photo, "
    "or the average was changed again). The colours show which places look like the other photo by themselves."
)
_OTHER_VECTOR = (
    "A guess: the score is that of the vectors in the index, and of one photo the network makes another vector now. "
    "Its file has changed, or its vector was given by hand."
)


def explain(store: Store, image: ImageLike, photo: Other, box: Box | None) -> Explanation:
    """The score of an image, or of a box in it, and a photo, and where it comes from; see `Index.explain`."""
    if isinstance(photo, SupportsIndex) and not isinstance(photo, np.ndarray):
        photo = store.catalog.photos([int(photo)])[0]
    size = store.backbone.input_size
    given = compared(image, photo, box, max(size))
    own = query.own_photos(store, given)
    pixels = [decode.load(one, size) for one in given]
    vectors = query.embed(store, pixels, own)
    network = store.backbone.network
    maps = [network.pooled_map(seen) for seen in pixels]

    whitening = store.vectors.whitening()
    searched = vectors if whitening is None else whitening.apply(vectors)
    score = float(searched[0] @ searched[1])
    if isinstance(photo, Match) and abs(photo.score - score) < _SAME_SCORE:
        score = photo.score
    note = _doubt(maps, vectors)
    share, share_of_match = (
        _share(maps[n].cells, vectors[n], searched[1 - n], whitening, None if note else score) for n in (0, 1)
    )
    pairs = sharing.patch_pairs(
        *(_fine_map(network, seen, last.cells) for seen, last in zip(pixels, maps, strict=True))
    )
    return Explanation(score, share, share_of_match, pairs, not note, note)


def compared(image: ImageLike, photo: Other, box: Box | None, longest: int) -> list[ImageLike]:
    """The two pictures that are compared: of an image what its box shows, of a match the region that matches."""
    match, region = (photo.photo, photo.region) if isinstance(photo, Match) else (photo, None)
    assert not isinstance(match, SupportsIndex) or isinstance(match, np.ndarray)  # ids have been looked up
    return [
        image if box is None else decode.crop(image, box, longest),
        match if region is None or region.kind == FRAME else decode.crop(match, region.box, longest),
    ]


def _doubt(maps: Sequence[PooledMap], vectors: Vectors) -> str:
    """Why the maps are not what the vectors are the mean of; empty where they are."""
    if not all(pooled.exact for pooled in maps):
        return _NO_AVERAGE
    same = (sharing.unit_mean(pooled.cells) @ vector for pooled, vector in zip(maps, vectors, strict=True))
    return "" if min(same) >= _ROUNDING else _OTHER_VECTOR


def _share(
    cells: Vectors, vector: Vectors, other: Vectors, whitening: Whitening | None, score: float | None
) -> Vectors:  # (h, w)
    """The shares of one photo, adding up to the score where there is one; `other` is the searched vector of the other.

    A vector that was made at fewer digits than the map is off by up to some thousandths, which all cells bear alike.
    """
    if whitening is None:
        share = sharing.shares(cells, other.astype(np.float64))
    else:
        at = vector.astype(np.float64) if score is None else sharing.unit_mean(cells)
        share = sharing.shares(cells, *whitening.as_linear(at, other))
    return share if score is None else share + np.float32((score - share.sum(dtype=np.float64)) / share.size)


def _fine_map(network: Network, pixels: Pixels, last: Vectors) -> Vectors:  # (channels, h, w)
    """The map in which places are found best: the last one that is fine enough."""
    try:
        stages = list(network.feature_map(pixels).values())
    except BackboneUnavailableError:  # it has no stages
        stages = [last]
    fine = [stage for stage in stages if min(stage.shape[1:]) >= _FINE]
    return fine[-1] if fine else max(stages, key=lambda stage: stage[0].size)
