"""Records and kinds that hold arrays; apart from the others, because numpy takes longer to load than all of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # (n, dim), rows of length 1 unless said otherwise
Ids = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]  # (height, width, 3), sRGB


class IdSet:
    """A set of ids, none negative, that takes a bit for each where they lie close together."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._pages: dict[int, bytearray] = {}  # number -> the bits of 65,536 ids
        self.update(ids)

    def add(self, one: int) -> None:
        """Take in an id."""
        page = self._pages.get(one >> 16)
        if page is None:
            page = self._pages[one >> 16] = bytearray(8192)
        page[(one >> 3) & 8191] |= 1 << (one & 7)

    def update(self, ids: Iterable[int]) -> None:
        """Take in several."""
        for one in ids:
            self.add(one)

    def __contains__(self, one: object) -> bool:
        if not isinstance(one, int):
            return False
        page = self._pages.get(one >> 16)
        return page is not None and bool(page[(one >> 3) & 8191] & (1 << (one & 7)))

    def __len__(self) -> int:
        return sum(int.from_bytes(page).bit_count() for page in self._pages.values())

    def __iter__(self) -> Iterator[int]:
        """Ascending."""
        for number, page in sorted(self._pages.items()):
            bits = np.unpackbits(np.frombuffer(bytes(page), np.uint8), bitorder="little")
            yield from (np.flatnonzero(bits) + (number << 16)).tolist()


@dataclass(frozen=True, slots=True)
class PatchPair:
    """Two places that are each other's most similar one, in two photos."""

    place: tuple[float, float]  # in the photo that was asked: shares of the frame from its left and its top
    place_in_match: tuple[float, float]
    similarity: float  # cosine of what the network sees there beyond the whole photo; 1 is the same


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why two photos have the score that they have: where in each it comes from, and which places look alike."""

    score: float  # that of the search
    share: Vectors  # (h, w) of the photo that was asked: the score of each cell of a grid over the frame
    share_of_match: Vectors  # (h, w) of the other photo
    pairs: tuple[PatchPair, ...]  # the most similar first
    exact: bool  # whether the shares of each photo are its score and add up to it; else they are a guess
    note: str = ""  # what else a person should know; says why where it is a guess

    @property
    def places_of_half(self) -> tuple[int, int]:
        """How many cells of each photo are enough for half of what all its cells bring."""

        def count(share: Vectors) -> int:
            most = np.sort(np.maximum(share, 0), axis=None)[::-1].cumsum(dtype=np.float64)
            return int(np.searchsorted(most, most[-1] / 2)) + 1

        return count(self.share), count(self.share_of_match)
