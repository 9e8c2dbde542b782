"""Pairs implied by a third photo: two crops of one picture are the same picture, as far as they overlap in it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates.grouping import component_labels, ends_of
from birdsearch.records import RELATIONS, VARIANT, Pair

MIN_OVERLAP = 0.3  # two crops of a quarter of each side, from opposite corners, still share 0.44 of either
MOST_BY_ONE = 300  # photos that one photo between them can relate to each other

Square = npt.NDArray[np.float64]  # (corners, 2), x right and y down
Matrix = npt.NDArray[np.floating]  # (3, 3), from one unit square to another
_UNIT: Square = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])


def implied_pairs(
    pairs: Iterable[Pair], *, min_overlap: float = MIN_OVERLAP, refused: AbstractSet[tuple[int, int]] = frozenset()
) -> Iterator[Pair]:
    """Pairs that verified variants imply: a and b both show what a hub h shows, and share enough of it.

    A `Pair` says by evidence["matrix"], six numbers row by row, where the unit square of its `a` lies in that of its
    `b` (x right, y down). Shared is what lies in all three pictures, as a part of the smaller of a and b; of several h
    the one with the most of it counts. `refused` holds pairs (a, b), a < b, that a person marked as different. Where
    one photo has more than 300 variants, the 300 with the lowest ids imply pairs.
    """
    verified = [pair for pair in pairs if RELATIONS[pair.relation].same_picture]
    known = {(pair.a, pair.b) for pair in verified} | set(refused)
    ids, ends = ends_of(verified)
    equal = np.array([RELATIONS[pair.relation].same_pixels for pair in verified], dtype=bool)
    labels = component_labels(len(ids), ends[equal])
    picture = dict(zip(ids.tolist(), labels.tolist(), strict=True))
    around: dict[int, dict[int, tuple[int, Matrix]]] = defaultdict(dict)  # picture -> photo -> hub, matrix to the hub
    for pair in sorted((pair for pair in verified if pair.relation == VARIANT.name), key=lambda pair: (pair.a, pair.b)):
        matrix = _matrix(pair.evidence.get("matrix", [np.nan] * 6))
        if np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-6:
            around[picture[pair.b]].setdefault(pair.a, (pair.b, matrix))
            around[picture[pair.a]].setdefault(pair.b, (pair.a, np.asarray(np.linalg.inv(matrix), dtype=np.float64)))
    best: dict[tuple[int, int], tuple[float, int, Matrix]] = {}
    for near in around.values():
        for a, b in combinations(sorted(near)[:MOST_BY_ONE], 2):
            if (a, b) not in known and picture[a] != picture[b]:
                overlap = shared(near[a][1], near[b][1])
                if overlap >= min_overlap and ((a, b) not in best or overlap > best[a, b][0]):
                    best[a, b] = overlap, near[a][0], np.linalg.inv(near[b][1]) @ near[a][1]
    for (a, b), (overlap, hub, matrix) in sorted(best.items(), key=lambda item: item[0]):
        numbers = tuple(matrix[:2].ravel().tolist())
        yield Pair(a, b, VARIANT.name, None, {"through": hub, "overlap": round(overlap, 3), "matrix": numbers})


def inverted(matrix: Sequence[float]) -> tuple[float, ...]:
    """The other way round: six numbers that map b's unit square to a's, of those that map a's to b's."""
    return tuple(np.linalg.inv(_matrix(matrix))[:2].ravel().tolist())


def is_plain(matrix: Sequence[float], within: float = 0.01) -> bool:
    """Whether a picture lies on another one as it is: not mirrored, turned, cropped or moved."""
    return bool(np.abs(np.asarray(matrix) - (1, 0, 0, 0, 1, 0)).max() <= within)


def _matrix(numbers: Sequence[float]) -> Matrix:
    """Six numbers row by row as a matrix (3, 3)."""
    return np.vstack([np.asarray(numbers, dtype=np.float64).reshape(2, 3), [0.0, 0.0, 1.0]])


def shared(a: Matrix, b: Matrix) -> float:
    """How much of the smaller of two pictures lies in the other and in a third, given their places (3, 3) in it.

    cv2.intersectConvexConvex is 10 times as fast and was tried: of 300 random sets of pairs it lost a pair in one and
    gave another overlap in three, even at 1,024 pixels for the unit square.
    """
    placed = (_UNIT @ matrix[:2, :2].T + matrix[:2, 2] for matrix in (a, b))
    one, other = (corners if _area(corners) > 0 else corners[::-1] for corners in placed)  # all run anticlockwise
    common = _clipped(_clipped(one, _UNIT), other)
    return min(1.0, abs(_area(common)) / min(_area(one), _area(other))) if len(common) > 2 else 0.0


def _area(corners: Square) -> float:
    """The area, negative where the corners run clockwise (shoelace formula)."""
    x, y = corners.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def _clipped(corners: Square, window: Square) -> Square:
    """The part of a convex shape inside another one that runs anticlockwise (Sutherland and Hodgman)."""
    for start, end in zip(window, np.roll(window, -1, axis=0), strict=True):
        if not len(corners):
            break
        edge = end - start
        side = edge[0] * (corners[:, 1] - start[1]) - edge[1] * (corners[:, 0] - start[0])
        kept: list[Square] = []
        for number, corner in enumerate(corners):
            before = number - 1
            if side[before] * side[number] < 0:
                part = side[before] / (side[before] - side[number])
                kept.append(corners[before] + part * (corner - corners[before]))
            if side[number] >= 0:
                kept.append(corner)
        corners = np.array(kept).reshape(-1, 2)
    return corners
