"""Heat maps as boxes: what is hot, where it is hottest, and how far it reaches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from birdsearch.records import Box, Vectors

Heat = npt.NDArray[np.float64]  # (GRID, GRID), 0 to 1
Point = tuple[int, int]  # row and column of a Heat

GRID = 112  # cells of a side on which a heat map becomes boxes
SHIFT = 0.25  # of a cell of the map, right and down: there the built-in network's maps agree best with the pictures
_SIMILAR = 0.2  # cosine from which on two cells count as alike (tau of TokenCut)
_HOTTEST = 0.95  # level above which nothing is cut off
_APART = 1e-5  # what ties two cells that are not


@dataclass(frozen=True, slots=True)
class Spot:
    """A hot part of a picture."""

    box: Box
    peak: Point
    height: float  # heat at the peak, 1 for the hottest spot


def smooth(cells: npt.NDArray[Any], shift: float = 0.0) -> Heat:  # (h, w)
    """A map of few cells as a heat map, from 0 to 1, by cubic interpolation."""
    from scipy import ndimage

    rows, columns = ((np.arange(GRID) + 0.5) / GRID * side - 0.5 - shift for side in cells.shape)
    grid = np.meshgrid(rows, columns, indexing="ij")
    heat: Heat = ndimage.map_coordinates(cells.astype(np.float64), grid, order=3, mode="nearest")
    return unit_range(heat)


def unit_range(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values scaled to 0 to 1."""
    return np.asarray((values - values.min()) / max(float(np.ptp(values)), 1e-9))


def spots(heat: Heat) -> list[Spot]:
    """The parts of a heat map that are hotter than Otsu's threshold, the highest peak first."""
    from scipy import ndimage

    labels, _ = ndimage.label(heat > min(threshold(heat), _HOTTEST))
    found = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        inside = np.where(labels[place] == number, heat[place], -1.0)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        peak = (int(row) + place[0].start, int(column) + place[1].start)
        found.append(Spot(_box(place), peak, float(heat[peak])))
    return sorted(found, key=lambda spot: -spot.height)


def spot_at(heat: Heat, point: Point, share: float = 1.0) -> Box | None:
    """The box of the part that holds a point and is hotter than this share of the threshold; None where it is not."""
    from scipy import ndimage

    labels, _ = ndimage.label(heat > share * threshold(heat))
    number = labels[point]
    return _box(ndimage.find_objects(labels)[number - 1]) if number else None


def _box(place: tuple[slice, slice]) -> Box:
    down, across = place
    return Box(
        across.start / GRID, down.start / GRID, (across.stop - across.start) / GRID, (down.stop - down.start) / GRID
    )


def threshold(heat: Heat) -> float:
    """The level that parts a heat map best in two (Otsu 1979), always below its peak."""
    counts = np.bincount(np.rint(heat * 255).astype(np.int64).ravel(), minlength=256).astype(np.float64)
    levels = np.arange(256)
    below, sums = np.cumsum(counts), np.cumsum(counts * levels)
    above = below[-1] - below
    with np.errstate(all="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return min(float(np.nan_to_num(between).argmax()) / 255, 0.999)


def energy(cells: Vectors) -> npt.NDArray[Any]:  # (channels, h, w) -> (h, w)
    """The length of each cell's vector."""
    return np.asarray(np.linalg.norm(cells, axis=0))


def graph_cut(cells: Vectors) -> npt.NDArray[Any]:  # (channels, h, w) -> (h, w)
    """Which side of the normalised cut of the graph of cells each lies on; the border is low (TokenCut, Wang 2022)."""
    from scipy import linalg

    shape = cells.shape[1:]
    rows = cells.reshape(len(cells), -1).T.astype(np.float64)
    rows = rows - rows.mean(axis=0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    ties = np.where(rows @ rows.T > _SIMILAR, 1.0, _APART)
    degrees = ties.sum(axis=1)
    laplacian = (np.diag(degrees) - ties) / np.sqrt(np.outer(degrees, degrees))
    side: npt.NDArray[Any] = linalg.eigh(laplacian, subset_by_index=(1, 1))[1][:, 0] / np.sqrt(degrees)
    side = (side if abs(side.max()) > abs(side.min()) else -side).reshape(shape)
    border = np.concatenate([side[0], side[-1], side[1:-1, 0], side[1:-1, -1]])
    return side if border.mean() <= side.mean() else -side


def object_heat(cells: Vectors, shift: float = 0.0) -> Heat:  # (channels, h, w)
    """Energy and graph cut together: how far the object reaches, whatever it is."""
    return smooth(unit_range(energy(cells)) + unit_range(graph_cut(cells)), shift)
