"""Why two photos match: where in each their score comes from, and which of their places look alike."""

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from birdsearch.backbones import BUILT_IN, Network, PooledMap
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
_SAME_SCORE = 0.05  # of two scores that only rounding tells apart: 0.01 was seen at 16 bits in a whitened space
_ROUNDING = 0.99  # cosine of a vector and the same at 32 bits; below it is of another picture or network

_OLD_DRIFT = -0.75  # cells by which the built-in network's maps lie off when it is padded as birder pads it
_OLD_PADDING = (
    "This index is of a birdsearch that padded photos otherwise than the network was trained: the colours lie up to a "
    "tenth of the photo too far to the right and below. `birdsearch index --reembed` puts that right."
)
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
    shares = [_shares(maps[n], vectors[n], searched[1 - n], whitening) for n in (0, 1)]
    left_over = [score - float(share.sum(dtype=np.float64)) for share in shares]
    doubt = _doubt(maps, vectors, left_over)
    if not doubt:  # what rounding leaves over, all places bear alike
        shares = [share + np.float32(rest / share.size) for share, rest in zip(shares, left_over, strict=True)]
    old = store.backbone.source in BUILT_IN and store.backbone.recipe.padding == "birder"
    first, second = (_fine_map(network, seen, last.cells) for seen, last in zip(pixels, maps, strict=True))
    pairs = sharing.patch_pairs(first, second, _OLD_DRIFT if old else 0.0)
    note = " ".join([*([doubt] if doubt else []), *([_OLD_PADDING] if old else [])])
    return Explanation(score, shares[0], shares[1], pairs, not doubt, note)


def compared(image: ImageLike, photo: Other, box: Box | None, longest: int) -> list[ImageLike]:
    """The two pictures that are compared: of an image what its box shows, of a match the region that matches."""
    match, region = (photo.photo, photo.region) if isinstance(photo, Match) else (photo, None)
    assert not isinstance(match, SupportsIndex) or isinstance(match, np.ndarray)  # ids have been looked up
    return [
        image if box is None else decode.crop(image, box, longest),
        match if region is None or region.kind == FRAME else decode.crop(match, region.box, longest),
    ]


def _doubt(maps: Sequence[PooledMap], vectors: Vectors, left_over: Sequence[float]) -> str:
    """Why the maps are not what the vectors are the mean of, or do not add up; empty where they are and do."""
    if not all(pooled.exact for pooled in maps):
        return _NO_AVERAGE
    same = (sharing.unit_mean(pooled.cells) @ vector for pooled, vector in zip(maps, vectors, strict=True))
    adds_up = max(map(abs, left_over)) < _SAME_SCORE
    return "" if adds_up and min(same) >= _ROUNDING else _OTHER_VECTOR


def _shares(pooled: PooledMap, vector: Vectors, other: Vectors, whitening: Whitening | None) -> Vectors:  # (h, w)
    """The shares of one photo, as its map has them; `other` is the vector of the other one that is searched."""
    if whitening is None:
        return sharing.shares(pooled.cells, other.astype(np.float64))
    at = sharing.unit_mean(pooled.cells) if pooled.exact else vector.astype(np.float64)
    return sharing.shares(pooled.cells, *whitening.as_linear(at, other))


def _fine_map(network: Network, pixels: Pixels, last: Vectors) -> Vectors:  # (channels, h, w)
    """The map in which places are found best: the last one that is fine enough."""
    try:
        stages = list(network.feature_map(pixels).values())
    except BackboneUnavailableError:  # it has no stages
        stages = [last]
    fine = [stage for stage in stages if min(stage.shape[1:]) >= _FINE]
    return fine[-1] if fine else max(stages, key=lambda stage: stage[0].size)
