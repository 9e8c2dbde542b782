"""What two photos share: how much of their score comes from each place, and which places look alike."""

import numpy as np
import numpy.typing as npt

from birdsearch.records import PatchPair, Vectors


def unit_mean(cells: Vectors) -> npt.NDArray[np.float64]:
    """The direction (dim,) of the mean over the cells of a map (dim, h, w)."""
    mean = cells.mean(axis=(1, 2), dtype=np.float64)
    return np.asarray(mean / (np.linalg.norm(mean) or 1.0))


def shares(cells: Vectors, weights: npt.NDArray[np.float64], constant: float = 0.0) -> Vectors:  # (h, w)
    """How much of a score comes from each cell of a map F (dim, h, w), where the vector is the mean over its cells.

    With f = mean(F) and n cells, a score that is linear in the unit vector is a sum over the cells:
    f/|f| . weights + constant = sum_i (F_i . weights / |f| + constant) / n. For a cosine the weights are the other
    photo's unit vector; for one of whitened vectors they are what `Whitening.as_linear` gives. It is the class
    activation map (Zhou et al. 2016) of a class whose weights are the other photo.
    """
    length = np.linalg.norm(cells.mean(axis=(1, 2), dtype=np.float64)) or 1.0
    each = (np.tensordot(weights, cells.astype(np.float64), axes=1) / length + constant) / cells[0].size
    return np.asarray(each, np.float32)


def patch_pairs(a: Vectors, b: Vectors, drift: float = 0.0) -> tuple[PatchPair, ...]:
    """The cells of two maps (channels, h, w) that are each other's most similar ones, the most similar first.

    What all cells of a photo have in common is taken off, so that places are compared and not photos. The outermost
    ring is left out: the network sees the border of a photo there, and borders look like borders. `drift` is how many
    cells to the right of a cell, and below, what it shows lies.
    """
    first, second = _unlike_the_mean(a), _unlike_the_mean(b)
    similarity = first @ second.T
    nearest, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    mutual = np.flatnonzero(back[nearest] == np.arange(len(first)))
    mutual = mutual[_inside(a)[mutual] & _inside(b)[nearest[mutual]]]
    order = np.argsort(-similarity[mutual, nearest[mutual]], kind="stable")
    return tuple(
        PatchPair(_place(int(n), a, drift), _place(int(nearest[n]), b, drift), float(similarity[n, nearest[n]]))
        for n in mutual[order]
    )


def _unlike_the_mean(cells: Vectors) -> Vectors:  # (channels, h, w) -> (h * w, channels), rows of length 1 or 0
    rows = cells.reshape(len(cells), -1).T
    rows = rows - rows.mean(axis=0)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths == 0, 1, lengths), np.float32)


def _inside(cells: Vectors) -> npt.NDArray[np.bool_]:  # (h * w,)
    """Which cells do not lie in the outermost ring."""
    inside = np.zeros(cells.shape[1:], bool)
    inside[1:-1, 1:-1] = True
    return inside.ravel()


def _place(cell: int, cells: Vectors, drift: float) -> tuple[float, float]:
    """The middle of what a cell shows, in shares of the frame from its left and its top."""
    height, width = cells.shape[1:]
    return (cell % width + 0.5 + drift) / width, (cell // width + 0.5 + drift) / height
