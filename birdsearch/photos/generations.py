"""Which of two files of one picture was made from the other, by what their pixels keep of it.

A JPEG leaves its quantisation steps in whatever is made from it at the same size (Fan and de Queiroz 2003), and of two
sizes each follows from the one it was made from better than the other way round.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from birdsearch.photos.decode import picture

_ALL_PIXELS = 1_000_000  # pixels of the longest side: no picture is larger
_PIECE = 1024  # pixels of the sides of the piece in the middle of a picture that is looked at
_BLOCK = 8
_LEAST_STEP = 3  # grey levels of a quantisation step that rounding to whole levels does not hide
_LEAST_VALUES = 50  # coefficients that must be there to say anything
# Mean distance to the nearest multiple of the step, in steps: by chance it is 0.25. Of 60 photos it was 0.17 and more
# against the table of their own coarser copy, and 0.13 and less in their copies by a clearly finer JPEG, HEIC and PNG.
_ON_STEPS = 0.15
# The share of the other error below which a larger picture follows from the smaller one. Of 60 photos it was 0.94 and
# less in 95 % of the enlarged ones, and 0.99 and more in all that were reduced, soft ones too.
_FOLLOWS = 0.95
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)

Grey = npt.NDArray[np.uint8]  # (h, w)


def read_grey(path: str) -> Grey:
    """The brightness (h, w) of a photo, upright, in all its pixels. Raises PhotoError."""
    return np.asarray(Image.fromarray(picture(path, _ALL_PIXELS)).convert("L"), dtype=np.uint8)


def keeps_steps(grey: Grey, table: tuple[int, ...]) -> bool:
    """Whether a picture was made from a JPEG of its size with this table of 64 steps.

    Both lie as the JPEG is stored: a turned one has its blocks elsewhere.
    """
    height, width = (min(side // _BLOCK * _BLOCK, _PIECE) for side in grey.shape)
    top, left = ((side - own) // 2 // _BLOCK * _BLOCK for side, own in zip(grey.shape, (height, width), strict=True))
    piece = grey[top : top + height, left : left + width].astype(np.float32) - 128
    blocks = piece.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(0, 2, 1, 3)
    cosines = _cosines()
    coefficients = (cosines @ blocks @ cosines.T).reshape(-1, _BLOCK * _BLOCK)
    steps = np.array(table, dtype=np.float32)
    used = [place for place in range(1, len(steps)) if steps[place] >= _LEAST_STEP]
    scaled = coefficients[:, used] / steps[used]
    values = scaled[np.abs(scaled) > 0.6]  # those that were not rounded to zero
    return len(values) >= _LEAST_VALUES and float(np.abs(values - np.rint(values)).mean()) < _ON_STEPS


def _cosines() -> npt.NDArray[np.float32]:
    """The matrix (8, 8) of the discrete cosine transform."""
    frequency, place = np.mgrid[:_BLOCK, :_BLOCK]
    matrix = np.cos(np.pi * (2 * place + 1) * frequency / (2 * _BLOCK)) / 2
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, dtype=np.float32)


def is_enlarged(larger: Grey, smaller: Grey) -> bool:
    """Whether the larger of two whole pictures of one view follows from the smaller one, and not the other way."""
    return _error(larger, smaller) < _FOLLOWS * _error(smaller, larger)


def _error(picture: Grey, source: Grey) -> float:
    """Grey levels by which the middle of a picture differs from the other one at its size, by the usual filters."""
    sides = tuple(min(side, _PIECE) for side in picture.shape)
    top, left = ((side - own) // 2 for side, own in zip(picture.shape, sides, strict=True))
    piece = picture[top : top + sides[0], left : left + sides[1]].astype(np.float32)
    down, across = (theirs / own for theirs, own in zip(source.shape, picture.shape, strict=True))
    box = left * across, top * down, (left + sides[1]) * across, (top + sides[0]) * down
    image = Image.fromarray(source)
    made = (image.resize((sides[1], sides[0]), how, box=box) for how in _FILTERS)
    return min(float(np.abs(np.asarray(each, dtype=np.float32) - piece).mean()) for each in made)
