"""Why two photos match, drawn: rings around the places that look alike, and the score as colour over both photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from birdsearch.export.html.heatmap import share_heatmap
from birdsearch.export.html.pictures import Origin, data_uri, named, render, text
from birdsearch.photos import decode
from birdsearch.photos.decode import ImageLike
from birdsearch.records import Box, Explanation, Match, PatchPair, Photo, Vectors
from birdsearch.storage.explanation import compared

_LONGEST = 460  # pixels of a drawn photo
_PAIRS = 8  # that are drawn: more hide the photo
_LEAST = 0.75  # of the mean share of a place: what brings less is not drawn
_APART = 0.11  # of the frame: rings that are nearer would lie on each other
_RING, _TAG = 0.042, 0.03  # radius of a ring and of its number, of the longest side
# Told apart by most who see colours otherwise (Okabe and Ito 2008), darkened so that white numbers can be read.
_COLOURS = ("#0072b2", "#b34700", "#00785a", "#9b3d7a", "#7a5c00", "#3b3b98", "#a3142e", "#4d4d4d")


@dataclass(frozen=True, slots=True)
class _Mark:
    """A ring with its number, in pixels of the drawing."""

    number: int
    colour: str
    x: float
    y: float
    radius: float
    tag_x: float
    tag_y: float
    tag_radius: float


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two photos."""

    name: str
    path: str
    link: str | None  # opens the full photo; None for a picture without a file
    species: str | None
    width: int
    height: int
    photo: str  # data URIs
    heat: str
    marks: tuple[_Mark, ...]
    brightest: str  # in words: where most of it lies


@dataclass(frozen=True, slots=True)
class Why:
    """One explanation as the templates draw it."""

    score: float
    exact: bool
    note: str
    half: tuple[str, str]  # how many places of each photo bring half of the score: "9 of 49"
    query: _Side
    match: _Side


def explain_page(why: Why, *, origin: Origin | None = None) -> str:
    """A page that says why two photos match."""
    return render("explain.html", "Why these two photos match", origin, why=why, shape="1.333")


def drawn(image: ImageLike, photo: ImageLike | Match, explanation: Explanation, box: Box | None = None) -> Why:
    """An explanation as drawings of what was compared. Raises PhotoError where a photo cannot be read any more."""
    seen = compared(image, photo, box, _LONGEST)
    pairs = _apart([pair for pair in explanation.pairs if _counts(pair, explanation)] or explanation.pairs)
    match = photo.photo if isinstance(photo, Match) else photo
    first, second = explanation.places_of_half
    return Why(
        explanation.score,
        explanation.exact,
        text(explanation.note),
        (f"{first} of {explanation.share.size}", f"{second} of {explanation.share_of_match.size}"),
        _side(image, seen[0], explanation.share, [pair.place for pair in pairs]),
        _side(match, seen[1], explanation.share_of_match, [pair.place_in_match for pair in pairs]),
    )


def _counts(pair: PatchPair, explanation: Explanation) -> bool:
    """Whether both places bring so much of the score that they say something about it: sky looks like sky."""
    return not explanation.exact or all(
        share[int(y * share.shape[0]), int(x * share.shape[1])] >= _LEAST * share.mean()
        for share, (x, y) in ((explanation.share, pair.place), (explanation.share_of_match, pair.place_in_match))
    )


def _apart(pairs: Sequence[PatchPair]) -> list[PatchPair]:
    """The most similar pairs, none of which lies on another one in either photo."""
    chosen: list[PatchPair] = []
    for pair in pairs:
        if len(chosen) == _PAIRS:
            break
        if all(
            min(_distance(pair.place, other.place), _distance(pair.place_in_match, other.place_in_match)) >= _APART
            for other in chosen
        ):
            chosen.append(pair)
    return chosen


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _side(image: ImageLike, seen: ImageLike, share: Vectors, places: Sequence[tuple[float, float]]) -> _Side:
    pixels = decode.picture(seen, _LONGEST)
    height, width = pixels.shape[:2]
    path = image.path if isinstance(image, Photo) else image if isinstance(image, str | Path) else None
    name, whole, link = ("This photo", "", "") if path is None else named(path)
    marks = (_mark(number, place, width, height) for number, place in enumerate(places, start=1))
    return _Side(
        name,
        whole,
        link or None,
        text(image.species) if isinstance(image, Photo) and image.species else None,
        width,
        height,
        data_uri(decode.encode(pixels, "JPEG")),
        data_uri(decode.encode(share_heatmap(pixels, share), "JPEG")),
        tuple(marks),
        _where(share),
    )


def _where(share: Vectors) -> str:
    """The middle of what all cells bring, in words for those who do not see it."""
    weights = np.maximum(share, 0).astype(np.float64)
    total = weights.sum() or 1.0
    down = (weights.sum(axis=1) @ (np.arange(len(share)) + 0.5)) / total / len(share)
    right = (weights.sum(axis=0) @ (np.arange(share.shape[1]) + 0.5)) / total / share.shape[1]
    rows, columns = ("upper", "", "lower"), ("left", "", "right")
    words = [rows[int(min(max((down - 0.2) / 0.2, 0), 2))], columns[int(min(max((right - 0.2) / 0.2, 0), 2))]]
    return f"most lies around the {' '.join(word for word in words if word) or 'middle'} of the photo"


def _mark(number: int, place: tuple[float, float], width: int, height: int) -> _Mark:
    """A ring at a place, its number at the ring's upper right, or where that leaves the photo at another side."""
    longest = max(width, height)
    x, y, ring, tag = place[0] * width, place[1] * height, _RING * longest, _TAG * longest
    right, up = x + ring + tag < width, y - ring - tag > 0
    return _Mark(
        number,
        _COLOURS[(number - 1) % len(_COLOURS)],
        *(round(value, 1) for value in (x, y, ring, x + (ring if right else -ring), y - (ring if up else -ring), tag)),
    )
