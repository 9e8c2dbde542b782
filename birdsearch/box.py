"""Box: a rectangle of a picture, as a person or a detector gives it."""

import math
import re
from dataclasses import dataclass
from typing import Any, Self

MARGIN = 0.1  # of a box, on each side, that a network sees around it
_LEAST = 8  # pixels of a side that a network is given, where the picture has so many
_ROUNDING = 1e-6  # by which shares may add up to more than 1
_HOW = "give X,Y,WIDTH,HEIGHT in shares of the picture (0.4,0.3,0.2,0.25), or in pixels (1200,800,600,500px)"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a picture as it is shown, in shares of its width and height, or in pixels.

    Raises TypeError or ValueError for what is no rectangle, or lies outside the picture.

    >>> Box(0.4, 0.3, 0.2, 0.25), Box(1200, 800, 600, 500, pixels=True)
    """

    x: float  # of the left edge, from the left
    y: float  # of the upper edge, from the top
    width: float
    height: float
    pixels: bool = False

    def __post_init__(self) -> None:
        for name in ("x", "y", "width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__float__"):
                raise TypeError(f"{name} of a Box cannot be {value!r}: give a number")
            if not math.isfinite(value):
                raise ValueError(f"{name} of a Box cannot be {value!r}: give a number")
            object.__setattr__(self, name, float(value))
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"the box {self} is empty: its width and height must be above 0")
        if self.x < 0 or self.y < 0:
            raise ValueError(f"the box {self} lies outside the picture: x and y count from its upper left corner")
        if not self.pixels and max(self.x + self.width, self.y + self.height) > 1 + _ROUNDING:
            raise ValueError(f"the box {self} lies outside the picture, which ends at 1: {_HOW}")

    def __str__(self) -> str:
        numbers = ",".join(f"{value:.6g}" for value in (self.x, self.y, self.width, self.height))
        return f"{numbers}px" if self.pixels else numbers

    @property
    def rounded(self) -> str:
        """The box as people read it: shares to three digits, which name a pixel or a few."""
        numbers = (self.x, self.y, self.width, self.height)
        return str(self) if self.pixels else ",".join(f"{value:.3g}" for value in numbers)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The box that a text names, X,Y,WIDTH,HEIGHT; in pixels where px follows the last number, or each."""
        cells = [cell.strip().lower() for cell in text.split(",")]
        in_pixels = [cell.endswith("px") for cell in cells]
        numbers = [re.sub(r"\s*px$", "", cell) for cell in cells]
        try:
            if len(cells) != 4 or (any(in_pixels[:-1]) and not all(in_pixels)):
                raise ValueError("not four numbers of one kind")
            x, y, width, height = (float(number) for number in numbers)
        except ValueError:
            raise ValueError(f"{text!r} is not a box: {_HOW}") from None
        return cls(x, y, width, height, in_pixels[-1])

    @classmethod
    def clipped(cls, x: float, y: float, width: float, height: float, most: float) -> Self:
        """A box in shares, cut to the picture where it juts out by `most` or less, as that of a detector may."""
        left, top, right, bottom = x, y, x + width, y + height
        juts_out = min(left, top) < 0 or max(right, bottom) > 1
        if not juts_out or min(left, top) < -most or max(right, bottom) > 1 + most or min(width, height) <= 0:
            return cls(x, y, width, height)
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0)
        return cls(left, top, right - left, bottom - top)

    @property
    def area(self) -> float:
        """The share of the picture that it covers; of a box in pixels how many."""
        return self.width * self.height

    def in_shares(self, width: int, height: int) -> "Box":
        """The same box in shares of a picture of so many pixels. Raises ValueError for one that lies beyond it."""
        if not self.pixels:
            return self
        if self.x + self.width > width or self.y + self.height > height:
            raise ValueError(f"the box {self} lies outside the picture, which is {width} x {height} pixels as shown")
        return Box(self.x / width, self.y / height, self.width / width, self.height / height)

    def seen(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What a network sees for this box in a picture of so many pixels: left, upper, right and lower edge.

        The box with its margin, made square as far as the picture goes, and moved inside where it juts out.
        """
        box = self.in_shares(width, height)
        side = max(box.width * width, box.height * height) * (1 + 2 * MARGIN)
        across, down = (min(max(side, _LEAST), most) for most in (width, height))
        left = min(max(0.0, (box.x + box.width / 2) * width - across / 2), width - across)
        upper = min(max(0.0, (box.y + box.height / 2) * height - down / 2), height - down)
        return round(left), round(upper), round(left + across), round(upper + down)

    def out_of(self, part: "Box") -> "Box":
        """This box, whose shares are of a part of a picture, in shares of the picture."""
        corner = part.x + self.x * part.width, part.y + self.y * part.height
        return Box(*corner, self.width * part.width, self.height * part.height)

    def overlap(self, other: "Box") -> float:
        """Intersection over union of two boxes of one kind, 0 to 1."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        common = max(0.0, across) * max(0.0, down)
        return common / (self.area + other.area - common)


WHOLE = Box(0, 0, 1, 1)


def box_given(value: Any) -> Box | None:
    """A box that a caller gave, also as four numbers. Raises TypeError or ValueError for anything else."""
    if value is None or isinstance(value, Box):
        return value
    if isinstance(value, str):
        return Box.parse(value)
    try:
        x, y, width, height = value
    except (TypeError, ValueError):
        raise TypeError(f"a box must be a Box, such as Box(0.4, 0.3, 0.2, 0.25), not {value!r}") from None
    return Box(x, y, width, height)
