"""A finder for tests in which the networks do not matter: it finds what is red."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from birdsearch.backbones import finders
from birdsearch.backbones.finders import Found
from birdsearch.photos.decode import Upright
from birdsearch.records import BIRD, SMALL, Box, Region


class RedFinder:
    """Boxes the red part of a picture."""

    def __init__(self, name: str = "red 1") -> None:
        self.name = name
        self.size = (240, 320)
        self.searched = 0  # pictures

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """One region for each picture with something red."""
        self.searched += len(pictures)
        return [self._found(picture.whole.astype(int)) for picture in pictures]

    def _found(self, picture: npt.NDArray[np.int64]) -> Found:
        height, width = picture.shape[:2]
        rows, columns = np.nonzero((picture[..., 0] > 180) & (picture[..., 1:].max(axis=2) < 90))
        if not len(rows):
            return Found((), small=False)
        left, upper = columns.min() / width, rows.min() / height
        box = Box(left, upper, (columns.max() + 1) / width - left, (rows.max() + 1) / height - upper)
        return Found((Region(None, box, BIRD, "bird", 0.9, self.name),), box.area < SMALL)


def install(monkeypatch: pytest.MonkeyPatch, name: str = "red 1") -> RedFinder:
    """Every name of a finder gives this one."""
    made = RedFinder(name)
    monkeypatch.setattr(finders, "finder", lambda name="auto": made)
    monkeypatch.setattr(finders, "version_of", lambda name: made.name)
    return made
