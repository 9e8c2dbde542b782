"""Paints the sample photos: six birds in many poses and places, no two pictures alike.

`python -m tests.support.painting.samples` made cli/samples, 8 photos of each species, and the first 3 of each
in birdsearch/backbones/pictures, without loss.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from birdsearch.records import Pixels
from tests.support.painting.brush import (
    Brush,
    Canvas,
    Colour,
    Field,
    autumn,
    dusk,
    join,
    leaves,
    noise,
    shore,
    sky,
    snow,
    snow_at_dusk,
    water,
)


def draw(folder: Path, *, species: Sequence[str] | None = None, per_species: int = 8) -> list[Path]:
    """Paint sample photos as `folder`/SPECIES/SPECIES NUMBER.jpg and name them."""
    paths = []
    for name in SPECIES if species is None else species:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for variant in range(per_species):
            paths.append(folder / name / f"{name} {variant + 1}.jpg")
            Image.fromarray(picture(name, variant)).save(paths[-1], quality=85, exif=_exif(name, variant))
    return paths


def draw_check_pictures(folder: Path) -> None:
    """Paint the first three photos of each species as `folder`/SPECIES NUMBER.webp, without loss."""
    for name in SPECIES:
        for variant in range(3):
            path = folder / f"{name} {variant + 1}.webp"
            Image.fromarray(picture(name, variant)).save(path, lossless=True, quality=100, method=6)


def picture(species: str, variant: int = 0) -> Pixels:
    """One sample photo, (480, 640, 3), always the same for the same species and variant."""
    if species not in _BIRDS:
        raise ValueError(f"no sample bird is called {species!r}, only {', '.join(SPECIES)}")
    bird, backdrops = _BIRDS[species]
    rng = np.random.default_rng([SPECIES.index(species), variant])
    canvas = backdrops[variant % len(backdrops)](rng)
    brush = Brush(canvas, rng)
    bird(brush)
    light = 1 + 0.12 * (noise(rng, 2) - 0.5) + rng.uniform(-0.06, 0.06)
    grain = rng.normal(0, 0.012, canvas.shape[:2]).astype(np.float32)
    finished = brush.canvas * light[..., None] * rng.uniform(0.97, 1.03, 3).astype(np.float32) + grain[..., None]
    return (np.clip(finished, 0, 1) * 255 + 0.5).astype(np.uint8)


cached_picture = lru_cache(maxsize=64)(picture)  # painting one takes a third of a second


# When and where


def _exif(species: str, variant: int) -> Image.Exif:
    """A capture time, a camera and a place."""
    rng = np.random.default_rng([variant, SPECIES.index(species)])
    latitude, longitude = PLACES[species] + rng.uniform(-0.05, 0.05, 2)
    moment = datetime(2024, 1 + int(rng.integers(12)), 1 + int(rng.integers(28)), 6 + int(rng.integers(13)))
    moment += timedelta(seconds=int(rng.integers(3600)))
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "birdsearch", "paintbrush"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{moment:%Y:%m:%d %H:%M:%S}"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: _degrees(latitude), 3: "E", 4: _degrees(longitude)})
    return exif


def _degrees(angle: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Degrees, minutes and seconds to a hundredth, as EXIF has them."""
    minutes, hundredths = divmod(round(angle * 360_000), 6000)
    return IFDRational(minutes // 60), IFDRational(minutes % 60), IFDRational(hundredths, 100)


# Perches


def _branch(brush: Brush) -> None:
    rng = brush.rng
    ends = rng.uniform(-0.25, 0.1), rng.uniform(-0.2, 0.25)
    points = [(-2.6, -0.66 + ends[0]), (-0.6, -0.6), (0.5, -0.57), (2.6, -0.5 + ends[1])]
    wood = brush.limb(points, [0.1, 0.075, 0.07, 0.03])
    brush.fill(wood, (104, 82, 62))
    brush.round_off(wood)
    for _ in range(rng.integers(2, 6)):
        x = rng.choice([-1, 1]) * rng.uniform(0.75, 1.4)
        leaf = brush.oval((x, -0.6 + rng.choice([-1, 1]) * 0.14), (0.17, 0.065), rng.uniform(30, 150))
        brush.fill(leaf, (96, 134, 58))
        brush.round_off(leaf)


def _reed(brush: Brush) -> None:
    for x in (*brush.rng.uniform(-1.6, 1.6, 5), 0.05):
        stem = brush.limb([(x - 0.1, -2.5), (x, -0.5), (x + 0.25, 2.2)], [0.05, 0.04, 0.012])
        brush.fill(stem, (138, 136, 74))
        brush.round_off(stem)


# Birds


def _feet(brush: Brush, colour: Colour, top: float = -0.3) -> None:
    for x in (0.0, 0.13):
        brush.fill(brush.limb([(x, top), (x + 0.05, -0.54)], [0.022, 0.018]), colour)
        brush.fill(brush.limb([(x - 0.02, -0.55), (x + 0.13, -0.545)], [0.02, 0.014]), colour)


def _wing(brush: Brush, body: Field, colour: Colour, edge: Colour) -> None:
    """A folded wing with flight feathers, along the flank."""
    wing = brush.limb([(0.14, 0.06), (-0.2, -0.06), (-0.66, -0.3)], [0.2, 0.19, 0.035])
    brush.fill(wing + 0.0, edge, within=join(wing, body, 0.01))
    brush.fill(wing + 0.02, colour)
    for n in range(4):
        start, stop = (-0.02 - 0.07 * n, -0.1 + 0.012 * n), (-0.6 + 0.05 * n, -0.31 + 0.045 * n)
        brush.fill(brush.limb([start, stop], [0.006, 0.009]), edge, within=wing, thick=0.8)


def _songbird(brush: Brush, back: Colour, belly: Colour) -> Field:
    """Tail, body and head of a small perched bird; returns its outline."""
    body = join(brush.oval((0, 0), (0.47, 0.35), 35), brush.oval((0.3, 0.36), (0.245, 0.23)), 0.22)
    tail = brush.limb([(-0.3, -0.16), (-1.0, -0.5)], [0.11, 0.075])
    outline = join(body, tail, 0.12)
    brush.fill(outline, back)
    brush.fill(brush.oval((0.24, -0.2), (0.5, 0.3), 30), belly, within=outline, soft=0.12)
    return outline


def _robin(brush: Brush) -> None:
    brush.sit(225)
    _branch(brush)
    _feet(brush, (120, 84, 60))
    outline = _songbird(brush, (122, 104, 78), (236, 230, 218))
    brush.fill(brush.oval((0.42, 0.2), (0.2, 0.34), 10), (228, 108, 42), within=outline, soft=0.05)
    _wing(brush, outline, (108, 90, 66), (150, 128, 94))
    brush.round_off(outline)
    brush.fill(brush.limb([(0.5, 0.36), (0.68, 0.33)], [0.04, 0.004]), (52, 44, 42))
    brush.eye((0.39, 0.42), 0.042)


def _blue_tit(brush: Brush) -> None:
    brush.sit(225)
    _branch(brush)
    _feet(brush, (84, 98, 116))
    outline = _songbird(brush, (122, 150, 98), (244, 214, 76))
    head = brush.oval((0.32, 0.37), (0.25, 0.235))
    brush.fill(head, (240, 242, 240), within=outline)
    brush.fill(brush.oval((0.27, 0.56), (0.27, 0.13), -14), (62, 122, 196), within=outline)
    brush.fill(brush.limb([(0.04, 0.42), (0.52, 0.4)], [0.03, 0.024]), (34, 44, 70), within=outline)
    brush.fill(
        brush.limb([(0.06, 0.44), (0.1, 0.26), (0.34, 0.12), (0.5, 0.28)], [0.05, 0.045, 0.04, 0.045]),
        (34, 48, 80),
        within=outline,
    )
    _wing(brush, outline, (78, 122, 176), (206, 222, 236))
    brush.round_off(outline)
    brush.fill(brush.limb([(0.53, 0.37), (0.64, 0.35)], [0.04, 0.006]), (44, 46, 54))
    brush.eye((0.41, 0.41), 0.036)


def _kingfisher(brush: Brush) -> None:
    brush.sit(200)
    _reed(brush)
    _branch(brush)
    _feet(brush, (214, 84, 50))
    body = join(brush.oval((0.02, -0.02), (0.43, 0.31), 50), brush.oval((0.26, 0.37), (0.29, 0.23), 8), 0.16)
    outline = join(body, brush.limb([(-0.2, -0.25), (-0.46, -0.62)], [0.09, 0.06]), 0.1)
    brush.fill(outline, (24, 128, 158))
    brush.fill(brush.oval((0.26, -0.12), (0.5, 0.24), 52), (230, 130, 46), within=outline, soft=0.05)
    brush.fill(brush.oval((0.36, 0.34), (0.15, 0.07), -8), (226, 122, 44), within=outline)
    brush.fill(brush.oval((0.08, 0.28), (0.13, 0.06), -38), (246, 242, 234), within=outline)
    brush.fill(brush.oval((0.42, 0.19), (0.13, 0.08), -10), (246, 242, 234), within=outline)
    _wing(brush, outline, (18, 104, 138), (44, 164, 186))
    spots = noise(brush.rng, 70)
    brush.fill(0.74 - spots, (110, 208, 222), within=np.maximum(outline, 0.44 - brush.y), soft=0.06)
    brush.round_off(outline)
    brush.fill(brush.limb([(0.5, 0.36), (1.04, 0.3)], [0.055, 0.006]), (36, 36, 42))
    brush.eye((0.37, 0.42), 0.044)


def _flamingo(brush: Brush) -> None:
    brush.sit(172, height=0.46, tilt=0.05)
    water = -1.32 + brush.rng.uniform(-0.05, 0.05)
    for hip, knee, foot in (((0.04, -0.2), (0.0, -0.8), (0.06, -1.7)), ((-0.1, -0.2), (-0.16, -0.8), (-0.14, -1.7))):
        brush.fill(brush.limb([hip, knee, foot], [0.05, 0.032, 0.026]), (224, 120, 130), within=water - brush.y)
        brush.fill(brush.oval(knee, (0.042, 0.05)), (206, 92, 108))
        brush.fill(brush.oval((foot[0] - 0.02, water), (0.16, 0.024)), (224, 236, 240), thick=0.7)
    neck = brush.limb(
        [(0.34, 0.0), (0.56, 0.18), (0.52, 0.46), (0.36, 0.7), (0.36, 0.92), (0.5, 1.02)],
        [0.13, 0.085, 0.07, 0.062, 0.06, 0.07],
    )
    head = brush.oval((0.52, 1.0), (0.125, 0.1), -14)
    body = join(brush.oval((0, 0), (0.5, 0.28), 8), brush.limb([(-0.3, 0.0), (-0.66, -0.16)], [0.14, 0.02]), 0.15)
    outline = join(body, join(neck, head, 0.08), 0.08)
    brush.fill(outline, (246, 168, 172))
    brush.fill(brush.oval((-0.14, -0.02), (0.42, 0.2), 14), (240, 134, 142), within=outline, soft=0.08)
    for n in range(5):
        feather = brush.limb([(0.08 - 0.1 * n, 0.1 - 0.03 * n), (-0.36 - 0.06 * n, -0.06 - 0.03 * n)], [0.012, 0.02])
        brush.fill(feather, (228, 96, 112), within=outline, soft=0.02, thick=0.7)
    brush.round_off(outline)
    bill = brush.limb([(0.6, 1.0), (0.72, 0.95), (0.75, 0.84)], [0.07, 0.06, 0.02])
    brush.fill(bill, (248, 206, 196))
    brush.fill(bill, (38, 32, 36), within=brush.y - 0.93)
    brush.eye((0.55, 1.03), 0.026, (240, 214, 96))


def _mallard(brush: Brush) -> None:
    brush.sit(215, height=0.56, tilt=0.03)
    brush.fill(brush.oval((0.0, -0.34), (0.8, 0.15)), (36, 56, 66), soft=0.25, thick=0.7)
    neck = join(brush.limb([(0.4, 0.0), (0.5, 0.34)], [0.2, 0.13]), brush.oval((0.57, 0.46), (0.19, 0.165), -6), 0.1)
    body = join(brush.oval((0, -0.08), (0.6, 0.27), 2), brush.limb([(-0.4, 0.0), (-0.86, 0.14)], [0.17, 0.03]), 0.2)
    above = -0.2 - brush.y + 0.012 * np.sin(brush.x * 24)
    outline = np.maximum(join(body, neck, 0.14), above)
    brush.fill(outline, (196, 192, 184))
    brush.fill(brush.x + 0.5 + 0.3 * brush.y, (46, 44, 46), within=outline, soft=0.06)
    brush.fill(brush.x + 0.62 + 0.3 * brush.y, (238, 236, 230), within=outline, soft=0.04)
    brush.fill(brush.oval((0.52, -0.1), (0.3, 0.36), -18), (112, 66, 46), within=outline, soft=0.06)
    collar = brush.y - 0.3 * brush.x - 0.1
    brush.fill(0.06 - collar, (16, 98, 68), within=np.maximum(outline, 0.2 - brush.x))
    brush.fill(np.abs(collar - 0.05) - 0.022, (244, 244, 240), within=np.maximum(outline, 0.2 - brush.x))
    wing = brush.limb([(0.14, 0.02), (-0.2, 0.02), (-0.6, 0.1)], [0.12, 0.15, 0.03])
    brush.fill(wing, (150, 140, 126), within=outline, soft=0.02)
    mirror = brush.limb([(-0.3, -0.05), (-0.14, -0.06)], [0.05, 0.05])
    brush.fill(mirror - 0.02, (240, 240, 238))
    brush.fill(mirror, (56, 82, 180))
    brush.round_off(outline)
    brush.fill(brush.limb([(0.7, 0.44), (0.94, 0.38)], [0.065, 0.045]), (226, 190, 62))
    brush.eye((0.64, 0.52), 0.032)
    for n in range(3):
        ripple = np.abs(brush.oval((0.04, -0.2), (0.82 + 0.24 * n, 0.1 + 0.05 * n))) - 0.007
        brush.fill(ripple, (222, 236, 240), within=brush.y + 0.2, soft=0.03, thick=0.6 - 0.15 * n)


def _snowy_owl(brush: Brush) -> None:
    brush.sit(225, height=0.56, tilt=0.07)
    brush.fill(brush.oval((0, -0.64), (0.66, 0.1)), (120, 140, 170), soft=0.2, thick=0.6)
    outline = join(brush.oval((0, -0.08), (0.46, 0.6)), brush.oval((0.02, 0.5), (0.33, 0.3)), 0.22)
    brush.fill(outline, (246, 246, 244))
    row = np.floor((0.34 - brush.y + 0.3 * brush.x**2) / 0.105)
    across = (brush.x + 0.0475 * (row % 2) + 0.0475) % 0.095 - 0.0475
    down = (0.34 - brush.y + 0.3 * brush.x**2) - (row + 0.5) * 0.105
    bars = np.maximum(np.abs(down + 9 * across**2) - 0.011, np.abs(across) - 0.03)
    speckle = noise(brush.rng, 40) * 0.02
    brush.fill(bars + speckle, (84, 80, 78), within=np.maximum(outline, brush.y - 0.3), thick=0.9)
    for side in (-1, 1):
        wing = brush.limb([(0.36 * side, 0.18), (0.44 * side, -0.2), (0.3 * side, -0.6)], [0.1, 0.13, 0.04])
        brush.fill(np.abs(wing) - 0.008, (176, 178, 184), within=outline, soft=0.03)
        brush.fill(brush.oval((0.02 + 0.14 * side, 0.5), (0.16, 0.18), -12 * side), (255, 255, 255), soft=0.05)
    brush.round_off(outline)
    for side in (-1, 1):
        brush.eye((0.02 + 0.13 * side, 0.53), 0.058, (246, 200, 46), ring=(40, 36, 36))
        brush.fill(brush.limb([(-0.1 * side, -0.62), (-0.18 * side, -0.66)], [0.07, 0.05]), (238, 238, 236))
    brush.fill(brush.limb([(0.02, 0.44), (0.02, 0.35)], [0.042, 0.012]), (44, 42, 46))


_Backdrop = Callable[[np.random.Generator], Canvas]
_BIRDS: dict[str, tuple[Callable[[Brush], None], tuple[_Backdrop, ...]]] = {
    "European Robin": (_robin, (leaves, sky, autumn, dusk)),
    "Blue Tit": (_blue_tit, (autumn, leaves, sky)),
    "Common Kingfisher": (_kingfisher, (shore, leaves, water)),
    "Greater Flamingo": (_flamingo, (water, shore)),
    "Mallard": (_mallard, (shore, water)),
    "Snowy Owl": (_snowy_owl, (snow, snow_at_dusk)),
}
SPECIES = tuple(_BIRDS)
PLACES = {  # degrees north and east
    "European Robin": (52.52, 13.38),
    "Blue Tit": (52.52, 13.38),
    "Common Kingfisher": (48.14, 11.59),
    "Greater Flamingo": (43.49, 4.45),
    "Mallard": (48.14, 11.59),
    "Snowy Owl": (70.37, 31.10),
}

if __name__ == "__main__":
    root = Path(__file__).parents[3]
    draw(root / "cli" / "samples")
    draw_check_pictures(root / "birdsearch" / "backbones" / "pictures")
