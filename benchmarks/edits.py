"""Edited copies of photos with a table of the truth: `python -m benchmarks.edits FOLDER [--photos DIR] [--seed N]`.

FOLDER receives every photo untouched, some pictures again in several edits of random strength, and `truth.csv` (file,
picture, edit, strength): two files are the same picture exactly where the column `picture` is equal.
"""

import csv
import hashlib
import io
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from benchmarks.common import SHARED_PHOTOS, command_line, note

Random = np.random.Generator
Colour = tuple[int, int, int]
# Photos of birds300 that are crops of one picture, found by birdsearch and seen by eye: no false alarms.
SAME = (
    ("ASHY THRUSHBIRD/5.jpg", "VEERY/4.jpg"),
    ("BAIKAL TEAL/4.jpg", "BAIKAL TEAL/5.jpg"),
    ("BORNEAN PHEASANT/1.jpg", "BORNEAN PHEASANT/2.jpg"),
    ("EUROPEAN TURTLE DOVE/3.jpg", "EUROPEAN TURTLE DOVE/5.jpg"),
    ("RED FACED WARBLER/1.jpg", "RED FACED WARBLER/2.jpg"),
)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Edited:
    """A picture after an edit, how strong the edit was, and how it is to be stored."""

    image: Image.Image
    strength: str
    format: str = "jpeg"
    quality: int = 92


@dataclass(frozen=True, slots=True)
class Truth:
    """One file of the made folder."""

    file: str  # below the folder
    picture: str  # the same for all files of one picture
    edit: str  # "none" for the untouched photo; chains are joined by "+"
    strength: str


Edit = Callable[[Image.Image, Random], Edited]


# Stored otherwise ---------------------------------------------------------------------------------------------------


def _jpeg(image: Image.Image, rng: Random) -> Edited:
    quality = int(rng.integers(30, 91))
    return Edited(image, f"quality {quality}", "jpeg", quality)


def _webp(image: Image.Image, rng: Random) -> Edited:
    quality = int(rng.integers(30, 91))
    return Edited(image, f"quality {quality}", "webp", quality)


def _png(image: Image.Image, _rng: Random) -> Edited:
    return Edited(image, "lossless", "png")


def _heic(image: Image.Image, rng: Random) -> Edited:
    quality = int(rng.integers(30, 91))
    return Edited(image, f"quality {quality}", "heic", quality)


def _resized(image: Image.Image, rng: Random) -> Edited:
    factor = float(np.exp(rng.uniform(math.log(0.4), math.log(2))))
    size = tuple(max(1, round(side * factor)) for side in image.size)
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    return Edited(image.resize((size[0], size[1]), filters[rng.integers(3)]), f"x{factor:.2f}")


# A part of it, or turned --------------------------------------------------------------------------------------------


def _cropped(image: Image.Image, rng: Random) -> Edited:
    """Up to a quarter of the area goes: off every side at random, or all of it off one side."""
    width, height = image.size
    lost = rng.uniform(0.03, 0.25)
    if rng.random() < 0.4:
        keep = (1 - lost, 1.0) if rng.random() < 0.5 else (1.0, 1 - lost)
    else:
        share = rng.uniform(0.3, 0.7)
        keep = ((1 - lost) ** share, (1 - lost) ** (1 - share))
    wide, high = max(1, round(width * keep[0])), max(1, round(height * keep[1]))
    left = rng.choice((0.0, 1.0, rng.random())) * (width - wide)
    top = rng.choice((0.0, 1.0, rng.random())) * (height - high)
    box = (round(left), round(top), round(left) + wide, round(top) + high)
    return Edited(image.crop(box), f"{keep[0]:.0%} x {keep[1]:.0%} at {box[0]},{box[1]}")


def _quarter_cropped(image: Image.Image, rng: Random) -> Edited:
    """Up to a quarter of both sides goes, at one of the four corners: the hardest reading of "cropped up to 25 %"."""
    width, height = image.size
    keep = rng.uniform(0.75, 0.95)
    wide, high = max(1, round(width * keep)), max(1, round(height * keep))
    left, top = int(rng.integers(2)) * (width - wide), int(rng.integers(2)) * (height - high)
    return Edited(image.crop((left, top, left + wide, top + high)), f"{keep:.0%} of both sides at {left},{top}")


def _mirrored(image: Image.Image, rng: Random) -> Edited:
    if rng.random() < 0.5:
        return Edited(ImageOps.mirror(image), "left to right")
    return Edited(ImageOps.flip(image), "top to bottom")


def _turned(image: Image.Image, rng: Random) -> Edited:
    quarters = int(rng.integers(1, 4))
    turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return Edited(image.transpose(turns[quarters - 1]), f"{90 * quarters} degrees")


def _tilt(image: Image.Image, rng: Random, corners: Colour) -> tuple[Image.Image, float]:
    degrees = float(rng.uniform(0.5, 5)) * (1 if rng.random() < 0.5 else -1)
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=bool(rng.random() < 0.5), fillcolor=corners), degrees


def _tilted_black(image: Image.Image, rng: Random) -> Edited:
    tilted, degrees = _tilt(image, rng, (0, 0, 0))
    return Edited(tilted, f"{degrees:.1f} degrees, black corners")


def _tilted_white(image: Image.Image, rng: Random) -> Edited:
    tilted, degrees = _tilt(image, rng, (255, 255, 255))
    return Edited(tilted, f"{degrees:.1f} degrees, white corners")


def _tilted_cropped(image: Image.Image, rng: Random) -> Edited:
    """Tilted, and the largest rectangle of the same shape without corners is kept."""
    degrees = float(rng.uniform(0.5, 5)) * (1 if rng.random() < 0.5 else -1)
    tilted = image.rotate(degrees, Image.Resampling.BICUBIC)
    width, height = image.size
    sine, cosine = math.sin(math.radians(abs(degrees))), math.cos(math.radians(degrees))
    keep = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    wide, high = max(1, int(width * keep) - 1), max(1, int(height * keep) - 1)
    left, top = (width - wide) // 2, (height - high) // 2
    return Edited(tilted.crop((left, top, left + wide, top + high)), f"{degrees:.1f} degrees, {keep:.0%} of both sides")


# Light and colour ---------------------------------------------------------------------------------------------------


def _enhanced(image: Image.Image, rng: Random, kind: type, least: float, most: float) -> Edited:
    factor = float(np.exp(rng.uniform(math.log(least), math.log(most))))
    return Edited(kind(image).enhance(factor), f"x{factor:.2f}")


def _brightness(image: Image.Image, rng: Random) -> Edited:
    return _enhanced(image, rng, ImageEnhance.Brightness, 0.5, 1.6)


def _contrast(image: Image.Image, rng: Random) -> Edited:
    return _enhanced(image, rng, ImageEnhance.Contrast, 0.5, 1.7)


def _saturation(image: Image.Image, rng: Random) -> Edited:
    return _enhanced(image, rng, ImageEnhance.Color, 0.2, 2.5)


def _greyscale(image: Image.Image, _rng: Random) -> Edited:
    return Edited(ImageOps.grayscale(image).convert("RGB"), "no colour")


# Something added ----------------------------------------------------------------------------------------------------

_WORDS = ("© Anna Wren", "birds.example", "PHOTO", "Field Notes", "www.wing.example", "SAMPLE", "J. Finch 2024")


def _painted(image: Image.Image, layer: Image.Image) -> Image.Image:
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _mark(image: Image.Image, rng: Random) -> Edited:
    """A half transparent or opaque text or logo anywhere, up to almost half of the width."""
    width, height = image.size
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    across, opacity = rng.uniform(0.15, 0.45) * width, int(rng.integers(110, 256))
    shade = (255, 255, 255) if rng.random() < 0.6 else tuple(int(part) for part in rng.integers(0, 256, 3))
    fill = (*shade, opacity)
    x, y = rng.uniform(0.02, 0.55) * width, rng.uniform(0.02, 0.75) * height
    if rng.random() < 0.4:
        high = across * rng.uniform(0.4, 0.7)
        draw.ellipse((x, y, x + across, y + high), outline=fill, width=max(1, round(across / 12)))
        draw.polygon([(x + across * 0.2, y + high * 0.6), (x + across * 0.8, y + high * 0.3), (x, y)], fill=fill)
        kind = "logo"
    else:
        word = _WORDS[rng.integers(len(_WORDS))]
        size = max(6.0, 1.7 * across / len(word))
        draw.text((x, y), word, fill=fill, font=ImageFont.load_default(size))
        kind = "text"
    return Edited(_painted(image, layer), f"{kind} {across / width:.0%} wide, {opacity / 255:.0%} opaque")


def _caption(image: Image.Image, rng: Random) -> Edited:
    """A strip with words along the top or the bottom, over the picture or added to it."""
    width, height = image.size
    strip = max(8, round(height * rng.uniform(0.07, 0.14)))
    dark = rng.random() < 0.5
    paper, ink = ((16, 16, 16), (240, 240, 240)) if dark else ((250, 250, 250), (10, 10, 10))
    added, top = bool(rng.random() < 0.5), bool(rng.random() < 0.3)
    made = Image.new("RGB", (width, height + strip if added else height), paper)
    made.paste(image, (0, strip if added and top else 0))
    y = 0 if top else made.height - strip
    draw = ImageDraw.Draw(made)
    draw.rectangle((0, y, width, y + strip), fill=paper)
    word = _WORDS[rng.integers(len(_WORDS))]
    draw.text((width * 0.04, y + strip * 0.15), word, fill=ink, font=ImageFont.load_default(max(6.0, strip * 0.6)))
    return Edited(made, f"{strip / height:.0%} high, {'added' if added else 'over it'}, {'top' if top else 'bottom'}")


def _border(image: Image.Image, rng: Random) -> Edited:
    wide = max(1, round(min(image.size) * rng.uniform(0.02, 0.12)))
    shades: tuple[Colour, ...] = ((0, 0, 0), (255, 255, 255), (90, 60, 30), (128, 128, 128))
    shade = shades[rng.integers(len(shades))]
    return Edited(ImageOps.expand(image, wide, fill=shade), f"{wide / min(image.size):.0%} wide, {shade}")


EDITS: dict[str, Edit] = {
    "jpeg": _jpeg,
    "webp": _webp,
    "png": _png,
    "heic": _heic,
    "resized": _resized,
    "cropped": _cropped,
    "cropped 25 %": _quarter_cropped,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "greyscale": _greyscale,
    "mark": _mark,
    "caption": _caption,
    "border": _border,
    "mirrored": _mirrored,
    "turned": _turned,
    "tilted, black": _tilted_black,
    "tilted, white": _tilted_white,
    "tilted, cropped": _tilted_cropped,
}
REENCODED = ("jpeg", "webp", "png", "heic")


def edit(image: Image.Image, names: list[str], rng: Random) -> Edited:
    """A picture (RGB) after one edit or a chain of them; the last one that chooses a format has its way."""
    made = Edited(image, "", quality=int(rng.integers(75, 96)))
    strengths = []
    for name in names:
        step = EDITS[name](made.image, rng)
        strengths.append(step.strength)
        stored = step if name in REENCODED else made
        made = replace(made, image=step.image, format=stored.format, quality=stored.quality)
    return replace(made, strength="; ".join(strengths))


def encoded(made: Edited) -> tuple[bytes, str]:
    """The bytes of the file, and its suffix."""
    import pillow_heif

    buffer = io.BytesIO()
    if made.format == "heic":
        pillow_heif.from_pillow(made.image).save(buffer, quality=made.quality)
    else:
        made.image.save(buffer, made.format, quality=made.quality)
    return buffer.getvalue(), {"jpeg": ".jpg"}.get(made.format, f".{made.format}")


# The folder ---------------------------------------------------------------------------------------------------------


def make(folder: Path, photos: Path, *, pictures: int = 300, copies: int = 6, seed: int = 0) -> list[Truth]:
    """Fill `folder` from a folder of photos: all of them untouched, and `pictures` of them in `copies` edits each.

    The last of the copies is a chain of two edits; the edits take turns, so that all are equally frequent.
    """
    rng = np.random.default_rng(seed)
    sources = sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not sources:
        raise ValueError(f"no photos below {photos}")
    truth, first = [], dict[str, str]()
    for source in sources:
        name = source.relative_to(photos)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
        # Collections hold the same file twice: that is one picture.
        same = {other: one for one, other in SAME}.get(name.as_posix(), name.as_posix())
        picture = first.setdefault(hashlib.sha256(source.read_bytes()).hexdigest(), same)
        truth.append(Truth(name.as_posix(), picture, "none", ""))
    chosen = rng.permutation(len(sources))[:pictures]
    turns = _turns(rng)
    for number in sorted(chosen):
        source, original = sources[number], truth[number]
        with Image.open(source) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        for copy in range(copies):
            names = [next(turns), next(turns)] if copy == copies - 1 else [next(turns)]
            made = edit(image, names, rng)
            data, suffix = encoded(made)
            name = source.relative_to(photos).with_name(f"{source.stem} edit {copy + 1}{suffix}")
            (folder / name).write_bytes(data)
            truth.append(Truth(name.as_posix(), original.picture, "+".join(names), made.strength))
    with (folder / "truth.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "picture", "edit", "strength"))
        writer.writerows((row.file, row.picture, row.edit, row.strength) for row in truth)
    return truth


def _turns(rng: Random) -> Iterator[str]:
    """The names of all edits in random order, again and again."""
    while True:
        names = list(EDITS)
        rng.shuffle(names)
        yield from names


def read_truth(folder: Path) -> list[Truth]:
    """The table of a folder that was made."""
    with (folder / "truth.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Truth(row["file"], row["picture"], row["edit"], row["strength"]) for row in csv.DictReader(file)]


def main() -> None:
    """Make the folder and say what is in it."""
    parser = command_line("edits", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path, default=SHARED_PHOTOS, help="folder of photos to take")
    parser.add_argument("--pictures", type=int, default=300, help="how many of them are edited")
    parser.add_argument("--copies", type=int, default=6, help="edits of each, the last a chain of two")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth = make(options.folder, options.photos, pictures=options.pictures, copies=options.copies, seed=options.seed)
    edited = sum(row.edit != "none" for row in truth)
    note(f"{len(truth)} files in {options.folder}: {len(truth) - edited} untouched, {edited} edited; see truth.csv")


if __name__ == "__main__":
    main()
