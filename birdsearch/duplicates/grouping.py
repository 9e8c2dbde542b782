"""What follows from verified pairs: bursts, groups of which one photo is kept, and pairs implied by a third photo."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from birdsearch.records import RELATIONS, DuplicateGroup, Ids, Pair

if TYPE_CHECKING:
    from birdsearch.duplicates.keeper import Choice

Choose = Callable[
    [Sequence[int]], "Choice"
]  # ids, ascending -> the one to keep, and why not each of the others in turn

SAME = ("identical", "pixels")  # relations that carry over: a ~ b and b ~ c make a ~ c
MIN_OVERLAP = 0.3  # two crops of a quarter of each side, from opposite corners, still share 0.44 of either
MOST_BY_ONE = 300  # photos that one photo between them can relate to each other

Edges = Sequence[tuple[int, int]] | npt.NDArray[np.int64]  # (m, 2), numbers of rows
Square = npt.NDArray[np.float64]  # (corners, 2), x right and y down
Matrix = npt.NDArray[np.float64]  # (3, 3), from one unit square to another


# Bursts -------------------------------------------------------------------------------------------------------------


# Groups -------------------------------------------------------------------------------------------------------------


def grouped(
    pairs: Iterable[Pair], choose: Choose, refused: AbstractSet[tuple[int, int]] = frozenset()
) -> list[DuplicateGroup]:
    """Groups of photos of which one is kept, each other being related to that one itself; bursts are left out.

    Photos of the same bytes or pixels are one picture, so of a thousand copies the pairs with one of them are enough.
    `choose` names the photo to keep of all that hang together; who is not related to it forms groups of its own.
    `refused` holds pairs (a, b), a < b, that somebody said are not the same: such a photo is in no group of the other.
    """
    told = [pair for pair in pairs if pair.relation in RELATIONS[:3]]
    ids, ends = _ends(told)
    rank = np.array([RELATIONS.index(pair.relation) for pair in told], dtype=np.int64)
    exact, same = (numbered(len(ids), ends[rank <= level]) for level in (0, 1))
    variants: dict[int, set[int]] = defaultdict(set)  # of a picture, other pictures
    for one, other in same[ends[rank == 2]]:
        if one != other:
            variants[int(one)].add(int(other))
            variants[int(other)].add(int(one))
    members: dict[int, list[int]] = defaultdict(list)  # of a picture, rows of photos, ascending
    for row, picture in enumerate(same.tolist()):
        members[picture].append(row)
    groups: list[DuplicateGroup] = []
    waiting = list(_apart(set(members), variants))
    while waiting:
        pictures = waiting.pop()
        rows = sorted(row for picture in pictures for row in members[picture])
        if len(rows) < 2:
            continue
        choice = choose(ids[rows].tolist())
        kept = rows[int(np.searchsorted(ids[rows], choice.keep))]
        near = {int(same[kept]), *(variants[int(same[kept])] & pictures)}
        apart = {int(ids[row]) for row in rows if _in_order(ids[row], ids[kept]) in refused}
        others = [row for row in rows if int(same[row]) in near and row != kept and int(ids[row]) not in apart]
        level = [0 if exact[row] == exact[kept] else 1 if same[row] == same[kept] else 2 for row in others]
        if others:
            groups.append(_group(ids, kept, others, level, rows, choice, choose))
        waiting += _apart(pictures - near, variants)
    return sorted(groups, key=lambda group: min(group.keep, *group.others))


def _in_order(a: np.int64, b: np.int64) -> tuple[int, int]:
    return (int(a), int(b)) if a < b else (int(b), int(a))


def together(pairs: Iterable[Pair]) -> list[list[int]]:
    """Ids of the photos that hang together by pairs, ascending; chains count."""
    ids, ends = _ends(pairs)
    return [ids[rows].tolist() for rows in _components(len(ids), ends)]


def _ends(pairs: Iterable[Pair]) -> tuple[Ids, Ids]:
    """Ids of the photos of pairs (n,), ascending, and which of them each pair joins (m, 2)."""
    ends = np.array([(pair.a, pair.b) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    ids = np.unique(ends)
    return ids, np.searchsorted(ids, ends)


def _group(
    ids: Ids, kept: int, others: list[int], level: list[int], rows: list[int], choice: "Choice", choose: Choose
) -> DuplicateGroup:
    """The record, with reasons that speak of its own photos."""
    if len(others) + 1 < len(rows):
        # It was chosen out of more: what was said of those left out must not be shown.
        again = choose(ids[sorted([kept, *others])].tolist())
        if again.keep == choice.keep:
            choice, rows = again, sorted([kept, *others])
    said = dict(zip((row for row in rows if row != kept), choice.reasons, strict=True))
    return DuplicateGroup(
        relation=RELATIONS[max(level)],
        keep=int(ids[kept]),
        others=tuple(ids[others].tolist()),
        reason=choice.reason,
        relations=tuple(RELATIONS[number] for number in level),
        reasons=tuple(said[row] for row in others),
    )


def _apart(left: set[int], variants: dict[int, set[int]]) -> Iterator[set[int]]:
    """Pictures in parts that hang together by variants; empties `left`."""
    while left:
        part, fringe = set(), [left.pop()]
        while fringe:
            picture = fringe.pop()
            part.add(picture)
            fringe += (found := variants[picture] & left)
            left -= found
        yield part


def numbered(count: int, edges: Edges) -> Ids:
    """For each of `count` rows the number of the group (count,) that edges between rows make; single rows have one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not count:
        return np.empty(0, dtype=np.int64)
    a, b = np.asarray(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def tied(numbers: Ids) -> Ids:
    """Edges (m, 2) that hold rows with the same number (n,) together; a number below 0 ties a row to nobody."""
    rows = np.flatnonzero(numbers >= 0)
    _, first, which = np.unique(numbers[rows], return_index=True, return_inverse=True)
    return np.stack([rows, rows[first][which]], axis=1)


def _components(count: int, edges: Edges) -> list[Ids]:
    """The rows of each group, ascending."""
    if not count:
        return []
    labels = numbered(count, edges)
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


# Implied pairs ------------------------------------------------------------------------------------------------------


def closed(
    pairs: Iterable[Pair], *, min_overlap: float = MIN_OVERLAP, refused: AbstractSet[tuple[int, int]] = frozenset()
) -> Iterator[Pair]:
    """Pairs that verified variants imply: a and b both show what h shows, and share enough of it.

    A `Pair` tells by evidence["matrix"], six numbers row by row, where the unit square of its `a` lies in that of its
    `b` (x right, y down). Shared is what lies in all three pictures, as a part of the smaller of a and b; of several h
    the one with the most of it counts. `refused` holds pairs (a, b), a < b, that somebody said are not the same. Where
    one photo has more than 300 variants, the 300 with the lowest ids imply pairs.
    """
    told = [pair for pair in pairs if pair.relation in RELATIONS[:3]]
    known = {(pair.a, pair.b) for pair in told} | set(refused)
    ids, ends = _ends(told)
    labels = numbered(len(ids), ends[np.array([pair.relation in SAME for pair in told], dtype=bool)])
    picture = dict(zip(ids.tolist(), labels.tolist(), strict=True))
    around: dict[int, dict[int, tuple[int, Matrix]]] = defaultdict(dict)  # picture -> photo -> hub, matrix to the hub
    for pair in sorted((pair for pair in told if pair.relation == "variant"), key=lambda pair: (pair.a, pair.b)):
        matrix = _square_matrix(pair)
        if matrix is not None:
            around[picture[pair.b]].setdefault(pair.a, (pair.b, matrix))
            around[picture[pair.a]].setdefault(pair.b, (pair.a, _inverse(matrix)))
    best: dict[tuple[int, int], tuple[float, int, Matrix]] = {}
    for near in around.values():
        for a, b in combinations(sorted(near)[:MOST_BY_ONE], 2):
            if (a, b) not in known and picture[a] != picture[b]:
                overlap = shared(near[a][1], near[b][1])
                if overlap >= min_overlap and ((a, b) not in best or overlap > best[a, b][0]):
                    best[a, b] = overlap, near[a][0], _inverse(near[b][1]) @ near[a][1]
    for (a, b), (overlap, hub, matrix) in sorted(best.items(), key=lambda item: item[0]):
        numbers = tuple(matrix[:2].ravel().tolist())
        yield Pair(a, b, "variant", None, {"through": hub, "overlap": round(overlap, 3), "matrix": numbers})


def inverted(matrix: Sequence[float]) -> tuple[float, ...]:
    """The other way round: six numbers that map b's unit square to a's, of those that map a's to b's."""
    whole = np.vstack([np.asarray(matrix, dtype=np.float64).reshape(2, 3), [0.0, 0.0, 1.0]])
    return tuple(np.linalg.inv(whole)[:2].ravel().tolist())


def is_plain(matrix: Sequence[float], within: float = 0.01) -> bool:
    """Whether a picture lies on another one as it is: not mirrored, turned, cropped or moved."""
    return bool(np.abs(np.asarray(matrix) - (1, 0, 0, 0, 1, 0)).max() <= within)


def _square_matrix(pair: Pair) -> Matrix | None:
    """Where a's unit square lies in b's; None where that is not known, or impossible."""
    numbers = pair.evidence.get("matrix")
    if numbers is None:
        return None
    matrix = np.vstack([np.asarray(numbers, dtype=np.float64).reshape(2, 3), [0.0, 0.0, 1.0]])
    return matrix if np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-6 else None


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def shared(a: Matrix, b: Matrix) -> float:
    """How much of the smaller of two pictures lies in the other and in a third, given their places (3, 3) in it."""
    square = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    one, other = (_anticlockwise(square @ matrix[:2, :2].T + matrix[:2, 2]) for matrix in (a, b))
    common = _clipped(_clipped(one, square), other)
    smaller = min(_area(one), _area(other))
    return min(1.0, _area(common) / smaller) if len(common) > 2 else 0.0


def _anticlockwise(corners: Square) -> Square:
    return corners if _signed(corners) > 0 else corners[::-1]


def _signed(corners: Square) -> float:
    """The area, negative where the corners run the other way round (shoelace formula)."""
    x, y = corners.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def _area(corners: Square) -> float:
    return abs(_signed(corners))


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
