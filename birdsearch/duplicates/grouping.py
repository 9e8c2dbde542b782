"""What follows from verified pairs: groups of photos of which one is kept."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates.keeper import Choice
from birdsearch.records import RELATIONS, DuplicateGroup, Ids, Pair

# Ids, ascending, and for each its picture (the same for equal pixels) -> the one to keep, and why not the others.
Choose = Callable[[Sequence[int], Sequence[int]], Choice]
Edges = Sequence[tuple[int, int]] | npt.NDArray[np.int64]  # (m, 2), numbers of rows


def grouped(
    pairs: Iterable[Pair], choose: Choose, refused: AbstractSet[tuple[int, int]] = frozenset()
) -> list[DuplicateGroup]:
    """Groups of photos of which one is kept, each other being related to that one itself.

    Only relations of the same picture make groups here, so bursts are left out. Photos of the same bytes or pixels are
    one picture, so of a thousand copies the pairs with one of them are enough. `choose` names the photo to keep of all
    that are connected; those not related to that photo form groups of their own. `refused` holds pairs (a, b), a < b,
    that a person marked as different: such a photo is in no group of the other.
    """
    ties = _Ties([pair for pair in pairs if RELATIONS[pair.relation].same_picture])
    groups: list[DuplicateGroup] = []
    waiting = list(_connected(set(ties.members), ties.neighbours))
    while waiting:
        pictures = waiting.pop()
        rows = sorted(row for picture in pictures for row in ties.members[picture])
        if len(rows) < 2:
            continue
        choice = choose(ties.ids[rows].tolist(), ties.pictures[rows].tolist())
        kept = rows[int(np.searchsorted(ties.ids[rows], choice.keep))]
        picture = int(ties.pictures[kept])
        near = {picture, *(ties.neighbours[picture].keys() & pictures)}
        others = [row for row in rows if row != kept and int(ties.pictures[row]) in near]
        ends = [sorted((int(ties.ids[row]), choice.keep)) for row in others]
        others = [row for row, (a, b) in zip(others, ends, strict=True) if (a, b) not in refused]
        if others:
            groups.append(_group(ties, (kept, *others), rows, choice, choose))
        waiting += _connected(pictures - near, ties.neighbours)
    return sorted(groups, key=lambda group: min(group.keep, *group.others))


class _Ties:
    """How the photos of some pairs are related: those of equal pixels are one picture, other relations join two."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.ids, ends = ends_of(pairs)  # (n,), ascending; (m, 2) rows of `ids`
        strength = np.array([RELATIONS[pair.relation].strength for pair in pairs], dtype=np.int64)
        transitive = [relation for relation in RELATIONS.values() if relation.same_pixels]
        transitive.sort(key=lambda relation: -relation.strength)
        # Name of a transitive relation -> the component of each row (n,) under it and all stronger ones.
        self._components = {
            relation.name: component_labels(len(self.ids), ends[strength >= relation.strength])
            for relation in transitive
        }
        self.pictures = self._components[transitive[-1].name]  # (n,) the picture of each row
        self.neighbours: dict[int, dict[int, str]] = defaultdict(dict)  # picture -> other picture -> strongest relation
        for pair, (one, other) in zip(pairs, self.pictures[ends].tolist(), strict=True):
            if one != other:
                known = self.neighbours[one].get(other, pair.relation)
                stronger = max(known, pair.relation, key=lambda name: RELATIONS[name].strength)
                self.neighbours[one][other] = self.neighbours[other][one] = stronger
        self.members: dict[int, list[int]] = defaultdict(list)  # picture -> its rows, ascending
        for row, picture in enumerate(self.pictures.tolist()):
            self.members[picture].append(row)

    def relation(self, row: int, other: int) -> str:
        """The strongest relation between two rows whose pictures are equal or neighbours."""
        for name, labels in self._components.items():
            if labels[row] == labels[other]:
                return name
        return self.neighbours[int(self.pictures[row])][int(self.pictures[other])]


def connected(pairs: Iterable[Pair]) -> list[list[int]]:
    """Ids of the photos that pairs connect, ascending; chains count."""
    ids, ends = ends_of(pairs)
    return [ids[rows].tolist() for rows in components(len(ids), ends)]


def ends_of(pairs: Iterable[Pair]) -> tuple[Ids, Ids]:
    """Ids of the photos of pairs (n,), ascending, and which of them each pair joins (m, 2)."""
    ends = np.array([(pair.a, pair.b) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    ids = np.unique(ends)
    return ids, np.searchsorted(ids, ends)


def _group(ties: _Ties, members: Sequence[int], rows: list[int], choice: Choice, choose: Choose) -> DuplicateGroup:
    """The record of these rows, the kept one first, with reasons that speak of them alone; `rows` were chosen from."""
    kept, *others = members
    if len(members) < len(rows):
        again = choose(ties.ids[sorted(members)].tolist(), ties.pictures[sorted(members)].tolist())
        if again.keep == choice.keep:
            choice, rows = again, sorted(members)
    reasons = dict(zip((row for row in rows if row != kept), choice.reasons, strict=True))
    relations = tuple(ties.relation(row, kept) for row in others)
    weakest = min(relations, key=lambda name: RELATIONS[name].strength)
    ids = tuple(ties.ids[others].tolist())
    protected = tuple(photo_id for photo_id in ids if photo_id in choice.protected)
    of_others = tuple(reasons[row] for row in others)
    return DuplicateGroup(weakest, choice.keep, ids, choice.reason, relations, of_others, protected)


def _connected(left: set[int], neighbours: Mapping[int, Mapping[int, str]]) -> Iterator[set[int]]:
    """Pictures in parts that relations connect; empties `left`."""
    while left:
        part, fringe = set(), [left.pop()]
        while fringe:
            picture = fringe.pop()
            part.add(picture)
            fringe += (near := neighbours.get(picture, {}).keys() & left)
            left -= near
        yield part


class Joined:
    """Which ids pairs have joined so far (union-find)."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}  # id -> another one of its group, nearer to the one that stands for it
        self._sizes: dict[int, int] = {}  # the id that stands for a group -> how many are in it

    def add(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Join the two ids of each pair."""
        for pair in pairs:
            larger, smaller = sorted(map(self._first, pair), key=lambda first: -self._sizes.get(first, 1))
            if larger != smaller:
                self._above[smaller] = larger
                self._sizes[larger] = self._sizes.get(larger, 1) + self._sizes.pop(smaller, 1)

    def are_joined(self, a: int, b: int) -> bool:
        """Whether two ids are in one group."""
        return self._first(a) == self._first(b)

    def size(self, number: int) -> int:
        """How many ids are in the group of this one."""
        return self._sizes.get(self._first(number), 1)

    def _first(self, number: int) -> int:
        while (above := self._above.get(number, number)) != number:
            self._above[number] = self._above.get(above, above)
            number = above
        return number


def component_labels(count: int, edges: Edges) -> Ids:
    """For each of `count` rows the number (count,) of its component under edges between rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not count:
        return np.empty(0, dtype=np.int64)
    a, b = np.asarray(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def edges_from_groups(numbers: Ids) -> Ids:
    """Edges (m, 2) that hold rows with the same number (n,) together; a row with a number below 0 has no edge."""
    rows = np.flatnonzero(numbers >= 0)
    _, first, group = np.unique(numbers[rows], return_index=True, return_inverse=True)
    return np.stack([rows, rows[first][group]], axis=1)


def components(count: int, edges: Edges) -> list[Ids]:
    """The rows of each group, ascending."""
    if not count:
        return []
    labels = component_labels(count, edges)
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
