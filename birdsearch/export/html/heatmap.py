"""Heatmaps: a number for each place of a photo as colour over the photo."""

import numpy as np
import numpy.typing as npt

from birdsearch.photos import decode
from birdsearch.photos.decode import ImageLike
from birdsearch.records import Pixels, Vectors

# Dark blue over magenta and orange to pale yellow: lighter is always more, also in grey print.
_COLOURS = np.array([(12, 7, 60), (93, 18, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164)], np.float32)


def heatmap_file(image: ImageLike, feature_map: Vectors, format: str = "PNG") -> bytes:
    """The activation heatmap of an image as the bytes of a picture file, PNG or JPEG.

    >>> maps = backbone.feature_map("wren.jpg")  # doctest: +SKIP
    >>> Path("heat.png").write_bytes(heatmap_file("wren.jpg", maps["stage4"]))  # doctest: +SKIP
    """
    return decode.encode(activation_heatmap(decode.picture(image), feature_map), format)


def activation_heatmap(photo: Pixels, feature_map: Vectors) -> Pixels:
    """The photo (h, w, 3) under the activation of each cell: the length of its vector in the map (channels, h, w)."""
    if photo.ndim != 3 or photo.shape[2] != 3 or feature_map.ndim != 3:
        raise ValueError(f"photo must be (h, w, 3) and feature_map (c, h, w), got {photo.shape}, {feature_map.shape}")
    return _coloured(photo, np.linalg.norm(feature_map, axis=0), least=None)


def share_heatmap(photo: Pixels, share: Vectors) -> Pixels:
    """The photo (h, w, 3) under the share (h, w) that each cell has of a score; dark is none, or less than none."""
    return _coloured(photo, share, least=0.0)


def _coloured(photo: Pixels, cells: Vectors, least: float | None) -> Pixels:
    """The photo under the values of cells (h, w); the lowest colour is that of `least`, or of the lowest value."""
    height, width = photo.shape[:2]
    values = _blend(height, cells.shape[0]) @ cells @ _blend(width, cells.shape[1]).T
    low, high = np.percentile(values, (1, 99))
    low = low if least is None else least
    values = np.clip((values - low) / max(high - low, 1e-12), 0, 1)  # (h, w)
    steps = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(values, steps, _COLOURS[:, channel]) for channel in range(3)], axis=2)
    # The photo stays visible where little is active, so that people see what the colour lies on.
    weight = (0.25 + 0.45 * values)[:, :, None]
    grey = photo.mean(axis=2, keepdims=True) * 0.6 + photo * 0.4
    mixed = grey * (1 - weight) + colours * weight
    result: Pixels = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return result


def _blend(pixels: int, cells: int) -> npt.NDArray[np.float64]:  # (pixels, cells), rows sum to 1
    """The weight of each cell in each pixel: a bell curve as wide as a cell, so that no grid shows."""
    position = (np.arange(pixels) + 0.5) / pixels * cells - 0.5
    weights = np.exp(-((position[:, None] - np.arange(cells)) ** 2) / (2 * 0.5**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)
