"""What a look for duplicates sees of an index: rows to ask about, and pictures to lay on each other."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.errors import PhotoError
from birdsearch.photos import decode
from birdsearch.records import Ids, Photo

if TYPE_CHECKING:
    from birdsearch.duplicates.alignment import Alignment, Look

LOOKS = 6_000  # photos whose features are kept in memory, of about 60 kB each
AT_ONCE = 256  # pairs whose photos are in memory together


class Eyes:
    """Compares photos by their pixels; keeps what it made of the last ones."""

    def __init__(self, known: Callable[[Sequence[int]], dict[int, Photo]]) -> None:
        self._known = known
        self._looks: OrderedDict[int, Look | None] = OrderedDict()
        self.unreadable: set[int] = set()
        self._pixels: dict[int, str | None] = {}

    def compare(self, wanted: Ids) -> Iterator[tuple[int, int, "Alignment | None"]]:
        """What the pixels of each pair (m, 2) say, in an order in which pairs that share photos come together."""
        from threadpoolctl import threadpool_limits

        from birdsearch.duplicates.alignment import compare

        def seen(pair: list[int]) -> "Alignment | None":
            one, other = (self._looks[photo_id] for photo_id in pair)
            return None if one is None or other is None else compare(one, other)

        ordered = in_order(wanted)
        # A pair is so little work that threads inside it cost more than they bring: pairs go side by side instead.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for start in range(0, len(ordered), AT_ONCE):
                some = ordered[start : start + AT_ONCE]
                self._look_at(np.unique(some).tolist(), pool)
                for (a, b), alignment in zip(some.tolist(), pool.map(seen, some.tolist()), strict=True):
                    yield a, b, alignment

    def pixels_of(self, photo: Photo) -> str | None:
        """The sha256 of every pixel of a photo; None where it cannot be read."""
        assert photo.id is not None  # of the index, or below 0
        if photo.id not in self._pixels:
            try:
                self._pixels[photo.id] = decode.pixels_sha256(photo.path)
            except PhotoError:
                self._pixels[photo.id] = None
        return self._pixels[photo.id]

    def _look_at(self, ids: list[int], pool: ThreadPoolExecutor) -> None:
        missing = [photo_id for photo_id in ids if photo_id not in self._looks]
        known = self._known(missing)
        for photo_id, look in zip(missing, pool.map(lambda i: self._look(known[i]), missing), strict=True):
            self._looks[photo_id] = look
            if look is None:
                self.unreadable.add(photo_id)
        for photo_id in ids:
            self._looks.move_to_end(photo_id)
        while len(self._looks) > max(LOOKS, len(ids)):
            self._looks.popitem(last=False)

    def _look(self, photo: Photo) -> "Look | None":
        from birdsearch.duplicates.alignment import LONGEST, look

        try:
            return look(decode.picture(photo.path, LONGEST))
        except PhotoError:
            return None


def file_of(path: str) -> object:
    """What two names of one file have in common; the real path where there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def in_order(proposed: Ids) -> Ids:
    """The pairs (m, 2) so that those which share photos follow each other (reverse Cuthill-McKee)."""
    if not len(proposed):
        return proposed
    ids, ends = np.unique(proposed, return_inverse=True)
    a, b = (pairs := ends.reshape(-1, 2)).T
    place = np.empty(len(ids), dtype=np.int64)
    place[close_order(len(ids), pairs)] = np.arange(len(ids))
    return proposed[np.lexsort((np.minimum(place[a], place[b]), np.maximum(place[a], place[b])))]


def close_order(count: int, pairs: Ids) -> Ids:
    """The numbers from 0 to `count` in an order that brings those of each pair (m, 2) close together.

    It is that of the reverse Cuthill-McKee algorithm (George 1971).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    a, b = pairs.T
    both = np.concatenate([a, b]), np.concatenate([b, a])
    graph = coo_array((np.ones(2 * len(a), dtype=np.int8), both), shape=(count, count)).tocsr()
    return np.asarray(reverse_cuthill_mckee(graph, symmetric_mode=True), dtype=np.int64)
