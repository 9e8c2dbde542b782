"""Painting birds and places with numpy alone, for the sample photos.

A shape is a signed distance field: negative inside, in units of the bird (its body is about 1 long), so that one
line of arithmetic rounds, joins and softens it at any size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH = 480, 640

Field = npt.NDArray[np.floating[Any]]  # (HEIGHT, WIDTH): a distance, a weight in [0, 1] or noise in [0, 1]
Canvas = npt.NDArray[np.float32]  # (HEIGHT, WIDTH, 3) in [0, 1], sRGB
Colour = tuple[int, int, int]
Point = tuple[float, float]

# Fields


def noise(rng: np.random.Generator, cells: int, stretch: float = 1.0) -> Field:
    """Smooth noise in [0, 1] with about `cells` bumps from top to bottom, `stretch` times as wide as high."""
    rows, columns = cells + 1, max(2, round(cells * WIDTH / HEIGHT / stretch) + 1)
    grid = rng.random((rows, columns), dtype=np.float32)
    down, fade_down = _between(HEIGHT, rows)
    across, fade_across = _between(WIDTH, columns)
    lines = grid[down] * (1 - fade_down)[:, None] + grid[down + 1] * fade_down[:, None]
    return lines[:, across] * (1 - fade_across) + lines[:, across + 1] * fade_across


def _between(pixels: int, cells: int) -> tuple[npt.NDArray[np.intp], Field]:
    """For each pixel of a side: the grid cell before it, and how far it is on the way to the next, eased."""
    place = np.linspace(0, cells - 1.001, pixels, dtype=np.float32)
    cell = place.astype(np.intp)
    part = place - cell
    return cell, part * part * (3 - 2 * part)


def clouds(rng: np.random.Generator, cells: int, stretch: float = 1.0) -> Field:
    """Four octaves of noise, about [0.2, 0.8]."""
    total = np.full((HEIGHT, WIDTH), 0.03, np.float32)
    for n in range(4):
        total += noise(rng, cells << n, stretch) * 0.5 ** (n + 1)
    return total


def join(one: Field, other: Field, soft: float) -> Field:
    """Two shapes as one, the crease between them filled: a polynomial smooth minimum."""
    near = np.maximum(soft - np.abs(one - other), 0) / soft
    joined: Field = np.minimum(one, other) - near * near * soft / 4
    return joined


def shade(canvas: Canvas, weight: Field, colour: Colour) -> None:
    """Lay a colour over the canvas, as thick as the weight says."""
    rows, columns = np.flatnonzero(weight.any(axis=1)), np.flatnonzero(weight.any(axis=0))
    if rows.size:
        # Only the rectangle that gets paint: most shapes are small.
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        canvas[box] += (np.asarray(colour, np.float32) / 255 - canvas[box]) * weight[box][..., None]


def step(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, eased between."""
    part: Field = np.clip((values - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


_ROWS, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)


# Backdrops: each returns a fresh canvas


def _gradient(top: Colour, bottom: Colour) -> Canvas:
    down = (_ROWS / HEIGHT)[..., None]
    canvas: Canvas = ((1 - down) * np.asarray(top, np.float32) + down * np.asarray(bottom, np.float32)) / 255
    return canvas


def sky(rng: np.random.Generator) -> Canvas:
    canvas = _gradient((92, 150, 205), (190, 219, 236))
    shade(canvas, step(clouds(rng, 3, 2.2), 0.5, 0.75) * 0.85, (247, 248, 250))
    return canvas


def dusk(rng: np.random.Generator) -> Canvas:
    canvas = _gradient((104, 116, 160), (246, 190, 140))
    shade(canvas, step(clouds(rng, 4, 5), 0.52, 0.7) * 0.6, (236, 138, 118))
    return canvas


def leaves(rng: np.random.Generator) -> Canvas:
    return _bokeh(rng, (58, 92, 44), (28, 52, 30), [(104, 148, 62), (150, 182, 88), (66, 110, 52), (196, 208, 120)])


def autumn(rng: np.random.Generator) -> Canvas:
    return _bokeh(rng, (146, 98, 48), (74, 52, 34), [(206, 138, 52), (188, 92, 42), (226, 184, 92), (110, 96, 52)])


def _bokeh(rng: np.random.Generator, top: Colour, bottom: Colour, colours: Sequence[Colour]) -> Canvas:
    """Foliage far out of focus: soft discs of light."""
    canvas = _gradient(top, bottom)
    shade(canvas, step(clouds(rng, 4), 0.4, 0.7) * 0.7, colours[0])
    for _ in range(46):
        x, y, radius = rng.uniform(-20, WIDTH + 20), rng.uniform(-20, HEIGHT + 20), rng.uniform(12, 54)
        # Only the square around the disc: whole-canvas discs would be most of the drawing time.
        box = tuple(slice(max(0, int(at - radius * 1.1)), max(0, int(at + radius * 1.1))) for at in (y, x))
        distance = np.hypot(_COLUMNS[box] - x, _ROWS[box] - y) / radius
        shade(
            canvas[box],
            (1 - step(distance, 0.8, 1.05)) * rng.uniform(0.1, 0.4),
            colours[int(rng.integers(len(colours)))],
        )
    return canvas


def water(rng: np.random.Generator) -> Canvas:
    canvas = _gradient((146, 180, 196), (52, 98, 122))
    near = 0.35 + 0.65 * _ROWS / HEIGHT
    shade(canvas, step(clouds(rng, 26, 7), 0.5, 0.66) * 0.55 * near, (34, 72, 94))
    shade(canvas, step(clouds(rng, 22, 8), 0.58, 0.72) * 0.8 * near, (206, 228, 234))
    return canvas


def shore(rng: np.random.Generator) -> Canvas:
    """Water with a far bank of reeds."""
    canvas = water(rng)
    bank = HEIGHT * (rng.uniform(0.16, 0.26) + 0.04 * noise(rng, 3))
    shade(canvas, 1 - step(_ROWS - bank, -14, 10), (112, 128, 74))
    shade(canvas, (1 - step(_ROWS - bank, -14, 10)) * step(clouds(rng, 10, 0.2), 0.42, 0.66), (66, 88, 54))
    return canvas


def snow(rng: np.random.Generator) -> Canvas:
    return _snowed(rng, _gradient((150, 172, 196), (196, 208, 222)), (112, 132, 158))


def snow_at_dusk(rng: np.random.Generator) -> Canvas:
    return _snowed(rng, _gradient((86, 92, 140), (236, 180, 160)), (90, 84, 120))


def _snowed(rng: np.random.Generator, canvas: Canvas, woods: Colour) -> Canvas:
    """A field of snow before far woods."""
    shade(canvas, step(clouds(rng, 3, 1.6), 0.42, 0.7) * 0.5, woods)
    trees = HEIGHT * (0.5 + 0.3 * noise(rng, 9, 0.4) * noise(rng, 2))
    shade(canvas, step(_ROWS - trees, -6, 30) * 0.55, woods)
    field = HEIGHT * 0.74 + 26 * (noise(rng, 2, 2) - 0.5)
    shade(canvas, step(_ROWS - field, -3, 8), (238, 243, 249))
    shade(canvas, step(_ROWS - field, 0, 8) * step(clouds(rng, 6, 3), 0.45, 0.7) * 0.35, (178, 196, 222))
    return canvas


# The brush: shapes in the bird's own coordinates, x towards the bill, y up


@dataclass
class Pose:
    x: float  # of the bird's origin, pixels
    y: float
    scale: float  # pixels to one unit
    tilt: float  # radians, bill up is positive
    facing: int  # 1 looks right, -1 left


class Brush:
    """A canvas, and a bird's place on it."""

    def __init__(self, canvas: Canvas, rng: np.random.Generator) -> None:
        self.canvas, self.rng = canvas, rng
        self.place(Pose(320, 240, 200, 0, 1))

    def place(self, pose: Pose) -> None:
        """From now on shapes are drawn in this pose."""
        across, up = (_COLUMNS - pose.x) * pose.facing / pose.scale, (pose.y - _ROWS) / pose.scale
        cosine, sine = math.cos(pose.tilt), math.sin(pose.tilt)
        self.x: Field = across * cosine + up * sine
        self.y: Field = up * cosine - across * sine
        self.pose, self.pixel = pose, 1 / pose.scale

    def sit(self, size: float, *, height: float = 0.5, tilt: float = 0.12) -> None:
        """A pose near the middle, a little different every time."""
        rng = self.rng
        x, y = WIDTH * rng.uniform(0.4, 0.6), HEIGHT * (height + rng.uniform(-0.04, 0.04))
        facing = 1 if rng.random() < 0.5 else -1
        self.place(Pose(x, y, size * rng.uniform(0.82, 1.15), rng.uniform(-tilt, tilt), facing))

    def oval(self, centre: Point, radii: Point, turn: float = 0.0) -> Field:
        """An ellipse, `turn` in degrees; the distance is a close estimate."""
        cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        x, y = self.x - centre[0], self.y - centre[1]
        a, b = (x * cosine + y * sine) / radii[0], (y * cosine - x * sine) / radii[1]
        near = np.sqrt(a * a + b * b)
        a /= radii[0]
        b /= radii[1]
        shape: Field = near * (near - 1) / (np.sqrt(a * a + b * b) + np.float32(1e-6))
        return shape

    def limb(self, points: Sequence[Point], widths: Sequence[float]) -> Field:
        """A bent, tapering stroke through the points; `widths` are radii there."""
        shape = np.full(self.x.shape, np.inf, np.float32)
        for (ax, ay), (bx, by), wide, thin in zip(points, points[1:], widths, widths[1:], strict=False):
            dx, dy = bx - ax, by - ay
            part = np.clip(((self.x - ax) * dx + (self.y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
            x, y = self.x - (ax + part * dx), self.y - (ay + part * dy)
            shape = np.minimum(shape, np.sqrt(x * x + y * y) - (wide + part * (thin - wide)))
        return shape

    def fill(
        self, shape: Field, colour: Colour, *, within: Field | None = None, soft: float = 0.0, thick: float = 1.0
    ) -> None:
        """Paint a shape, its edge `soft` units wide, only inside `within` where that is given."""
        edge = max(soft, self.pixel)
        weight = step(-shape, -edge / 2, edge / 2) * thick
        if within is not None:
            weight = weight * step(-within, -self.pixel / 2, self.pixel / 2)
        shade(self.canvas, weight, colour)

    def round_off(self, shape: Field) -> None:
        """Make a painted shape look round and feathered: lit from above, darker at its edge and below, streaked."""
        inside = step(-shape, -self.pixel / 2, self.pixel / 2)
        rows = self.y[shape < 0]
        if not rows.size:
            return  # a leaf beyond the edge of the photo
        height = (self.y - rows.min()) / (rows.max() - rows.min())
        light = 0.66 + 0.3 * step(height, 0.0, 0.9) + 0.14 * step(-shape, 0.0, 0.2)
        light += 0.16 * (noise(self.rng, 90, 2.5) - 0.5)
        self.canvas *= (1 + inside * (light - 1))[..., None]

    def eye(self, centre: Point, radius: float, iris: Colour = (24, 18, 16), ring: Colour | None = None) -> None:
        """An eye with the light in it."""
        if ring is not None:
            self.fill(self.oval(centre, (radius * 1.35, radius * 1.35)), ring)
        self.fill(self.oval(centre, (radius, radius)), iris)
        if iris != (24, 18, 16):
            self.fill(self.oval(centre, (radius * 0.6, radius * 0.6)), (14, 12, 12))
        spot = (centre[0] + radius * 0.3, centre[1] + radius * 0.38)
        self.fill(self.oval(spot, (radius * 0.3, radius * 0.3)), (255, 255, 255))
