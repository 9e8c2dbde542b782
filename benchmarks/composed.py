"""Small birds in wide scenes, with known boxes: birds300 cut out by GrabCut and set into drawn scenes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from birdsearch import Box

WIDTH, HEIGHT = 1200, 900  # pixels of a scene
SIDE, CUT = 224, 112  # pixels of a photo, and of what GrabCut sees
Mask = npt.NDArray[np.uint8]  # (SIDE, SIDE), 1 where the bird is


@dataclass(frozen=True, slots=True)
class Scene:
    """A bird in a scene."""

    photo: Path  # that the bird was cut out of
    picture: Image.Image
    box: Box
    kind: str  # of SCENES


def scenes(photos: list[Path], size: float, seed: int = 0) -> Iterator[Scene]:
    """One scene for each photo that can be cut out; the longer side of its bird is `size` of the scene's height."""
    for number, photo in enumerate(photos):
        mask = cut(photo)
        if mask is None:
            continue
        rng = np.random.default_rng([seed, number, round(1000 * size)])
        kind = list(SCENES)[number % len(SCENES)]
        picture = SCENES[kind](rng, photos)
        yield Scene(photo, picture, _paste(picture, photo, mask, size, rng), kind)


@cache
def cut(photo: Path) -> Mask | None:
    """The bird of a tight photo, by GrabCut from a centred rectangle (Rother 2004); None where that looks wrong."""
    with Image.open(photo) as image:
        small = cv2.cvtColor(np.asarray(image.convert("RGB").resize((CUT, CUT))), cv2.COLOR_RGB2BGR)
    mask = np.zeros((CUT, CUT), np.uint8)
    cv2.setRNGSeed(0)
    try:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small, mask, (5, 5, CUT - 10, CUT - 10), *models, 3, cv2.GC_INIT_WITH_RECT)
    except cv2.error:
        return None
    bird = cv2.morphologyEx(np.isin(mask, (1, 3)).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(bird)
    if count < 2:
        return None
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    if not 0.08 < facts[largest, cv2.CC_STAT_AREA] / CUT**2 < 0.7:
        return None
    return np.asarray(cv2.resize((labels == largest).astype(np.float32), (SIDE, SIDE)) > 0.5, dtype=np.uint8)


def _paste(scene: Image.Image, photo: Path, mask: Mask, size: float, rng: np.random.Generator) -> Box:
    """Set the bird somewhere into the scene; returns where it is."""
    rows, columns = np.nonzero(mask)
    left, upper, right, lower = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    scale = size * HEIGHT / max(right - left, lower - upper)
    side = max(2, round(SIDE * scale))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2)
    alpha = Image.fromarray((soft * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    with Image.open(photo) as image:
        bird = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    width, height = (right - left) * scale, (lower - upper) * scale
    x, y = rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height)
    scene.paste(bird, (round(x - left * scale), round(y - upper * scale)), alpha)
    return Box(x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT)


# Scenes ---------------------------------------------------------------------------------------------------------------


def foliage(rng: np.random.Generator, _photos: list[Path]) -> Image.Image:
    """Leaves of many sizes and greens, with branches between them."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), tuple(rng.integers(20, 90, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    base = rng.integers((30, 70, 10), (120, 160, 60))
    for size in (160, 90, 50, 26):
        for _ in range(int(60_000 / size)):
            x, y = rng.uniform(-size, WIDTH), rng.uniform(-size, HEIGHT)
            colour = np.clip(base + rng.normal(0, 32, 3), 0, 255).astype(int)
            across, down = size * rng.uniform(0.3, 1, 2)
            draw.ellipse((x, y, x + across, y + down), fill=tuple(colour.tolist()))
    for _ in range(int(rng.integers(4, 12))):
        ends = [(float(rng.uniform(0, WIDTH)), float(rng.uniform(0, HEIGHT))) for _ in range(2)]
        draw.line(ends, fill=tuple(rng.integers(40, 110, 3).tolist()), width=int(rng.integers(4, 22)))
    return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 2.5))))


def branches(rng: np.random.Generator, _photos: list[Path]) -> Image.Image:
    """A bright sky behind bare twigs."""
    top, bottom = rng.integers(120, 250, (2, 3))
    ramp = np.linspace(0, 1, HEIGHT)[:, None, None]
    sky = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (HEIGHT, WIDTH, 3))
    picture = Image.fromarray(np.clip(sky + _noise(rng, 3) * 25, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(40, 120))):
        x, y, angle = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(0, np.pi)
        length, width = rng.uniform(60, 700), int(rng.integers(2, 18))
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        draw.line([(x, y), end], fill=tuple(rng.integers(30, 120, 3).tolist()), width=width)
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def ground(rng: np.random.Generator, _photos: list[Path]) -> Image.Image:
    """Water, sand or grass: noise of many scales under a horizon."""
    far, near = rng.integers(50, 210, (2, 3)).astype(float)
    horizon = int(rng.uniform(0.1, 0.6) * HEIGHT)
    colours = np.where(np.arange(HEIGHT)[:, None, None] < horizon, far, near)
    rough = np.where(np.arange(HEIGHT)[:, None, None] < horizon, 15, 55)
    picture = np.clip(colours + rough * _noise(rng, int(rng.integers(1, 4))), 0, 255)
    return Image.fromarray(picture.astype(np.uint8))


def backgrounds(rng: np.random.Generator, photos: list[Path]) -> Image.Image:
    """Patches of what lies around the birds of other photos, enlarged, turned and laid over each other."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (110, 120, 90))
    for _ in range(40):
        photo = photos[int(rng.integers(len(photos)))]
        mask = cut(photo)
        corners = [(y, x) for y in (0, SIDE - 72) for x in (0, SIDE - 72)]
        free = [(y, x) for y, x in corners if mask is not None and not mask[y : y + 72, x : x + 72].any()]
        if not free:
            continue
        y, x = free[int(rng.integers(len(free)))]
        with Image.open(photo) as image:
            patch = image.convert("RGB").resize((SIDE, SIDE)).crop((x, y, x + 72, y + 72))
        side = int(rng.integers(240, 520))
        patch = patch.rotate(90 * int(rng.integers(4))).resize((side, side), Image.Resampling.BICUBIC)
        soft = Image.new("L", (side, side))
        ImageDraw.Draw(soft).ellipse((side // 10, side // 10, side * 9 // 10, side * 9 // 10), fill=255)
        place = int(rng.integers(-side // 2, WIDTH)), int(rng.integers(-side // 2, HEIGHT))
        picture.paste(patch, place, soft.filter(ImageFilter.GaussianBlur(side / 14)))
    return picture


SCENES = {"foliage": foliage, "branches": branches, "ground": ground, "backgrounds": backgrounds}


def _noise(rng: np.random.Generator, coarsest: int) -> npt.NDArray[np.float32]:
    """Noise of several scales (HEIGHT, WIDTH, 3), about -1 to 1."""
    total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for level in range(coarsest, coarsest + 5):
        cells = rng.normal(size=(3 * 2**level // 2, 2 ** (level + 1), 3)).astype(np.float32)
        finer = np.asarray(cv2.resize(cells, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)
        total += finer / np.float32(level - coarsest + 1.5)
    return np.asarray(total / 2, np.float32)
