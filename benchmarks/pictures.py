"""Photos to index, made once from `../shared/data/birds300` and kept in the cache: small ones, camera ones, tiny ones.

Every file differs from every other in its bytes and in what it shows, because birdsearch embeds identical bytes once.
"""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFilter

from benchmarks.common import SHARED_PHOTOS, THREADS, cached, note

CAMERA_SIZE = (4000, 3000)  # 12 megapixels
CAMERA_QUALITY = 92
CAMERA_NOISE = 6.0  # of 255, before the camera's own smoothing: files of about 3 MB
SMALL_SIZE = (224, 224)
TINY_SIZE = (64, 64)
PER_FOLDER = 500


def small(count: int) -> Path:
    """A folder of `count` JPEGs of 224 px: the real ones first, then crops and mirror images of them."""
    return _folder(f"small-{count}", count, draw_small)


def camera(count: int) -> Path:
    """A folder of `count` JPEGs of 12 megapixels and about 3 MB, with EXIF, a third of them turned by it."""
    return _folder(f"camera-{count}", count, draw_camera)


def tiny(count: int) -> Path:
    """A folder of `count` JPEGs of 64 px, for counts at which size does not matter."""
    return _folder(f"tiny-{count}", count, draw_tiny)


def _folder(name: str, count: int, draw: Callable[[int, Path], None]) -> Path:
    folder = cached(name)
    if folder.is_dir():
        return folder
    if not SHARED_PHOTOS.is_dir():
        raise SystemExit(f"no photos at {SHARED_PHOTOS}: the benchmark's photos are made from them")
    note(f"drawing {count} photos into {folder}")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, ProcessPoolExecutor(THREADS) as pool:
        made = Path(temporary) / "made"  # renamed when complete
        paths = [made / f"{number // PER_FOLDER:03d}" / f"{number:06d}.jpg" for number in range(count)]
        for parent in {path.parent for path in paths}:
            parent.mkdir(parents=True)
        for _ in pool.map(draw, range(count), paths, chunksize=8):
            pass
        os.replace(made, folder)
    return folder


def _real(number: int) -> Path:
    photos = sorted(SHARED_PHOTOS.glob("*/*.jpg"))
    return photos[number % len(photos)]


def draw_small(number: int, path: Path) -> None:
    """Photo `number`: the real file itself while there are any, then a crop of one."""
    total = len(list(SHARED_PHOTOS.glob("*/*.jpg")))
    if number < total:
        path.write_bytes(_real(number).read_bytes())
        return
    _crop(number, 0.8).resize(SMALL_SIZE, Image.Resampling.BICUBIC).save(path, quality=92)


def draw_tiny(number: int, path: Path) -> None:
    """Photo `number` as a thumbnail of some part of a real one."""
    _crop(number, 0.5).resize(TINY_SIZE, Image.Resampling.BILINEAR).save(path, quality=85)


def _crop(number: int, smallest: float) -> Image.Image:
    """A random part of a real photo, at least `smallest` of its width and height, perhaps mirrored."""
    random = np.random.default_rng(number)
    with Image.open(_real(number)) as opened:
        photo = opened.convert("RGB")
    width, height = (int(side * random.uniform(smallest, 0.95)) for side in photo.size)
    left = int(random.integers(photo.width - width))
    top = int(random.integers(photo.height - height))
    part = photo.crop((left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else part


def draw_camera(number: int, path: Path) -> None:
    """Photo `number` as a camera would write it.

    A sharp bird covers a part of a soft background. Fine texture (real photos laid small side by side) replaces the
    detail that enlarging cannot make, and sensor noise, smoothed as cameras do, gives the file a camera's entropy.
    """
    random = np.random.default_rng(number)
    with Image.open(_real(number)) as opened:
        bird = opened.convert("RGB")
    with Image.open(_real(number * 7 + 3)) as opened:
        tile = opened.convert("L").resize((250, 250))
    background = (
        bird.resize((400, 300)).filter(ImageFilter.GaussianBlur(12)).resize(CAMERA_SIZE, Image.Resampling.BICUBIC)
    )
    side = int(random.integers(1800, 2800))
    place = (int(random.integers(CAMERA_SIZE[0] - side)), int(random.integers(CAMERA_SIZE[1] - side)))
    background.paste(bird.resize((side, side), Image.Resampling.LANCZOS), place)
    pixels = np.asarray(background, dtype=np.float32)
    texture = np.asarray(tile, dtype=np.float32) - np.asarray(
        tile.filter(ImageFilter.GaussianBlur(4)), dtype=np.float32
    )
    tiled = np.tile(texture, (CAMERA_SIZE[1] // 250, CAMERA_SIZE[0] // 250))
    noise = random.standard_normal((CAMERA_SIZE[1], CAMERA_SIZE[0], 1), dtype=np.float32) * CAMERA_NOISE
    noisy = np.clip(pixels + 0.4 * tiled[:, :, None] + noise, 0, 255).astype(np.uint8)
    photo = Image.fromarray(noisy).filter(ImageFilter.GaussianBlur(0.6))
    photo.save(path, quality=CAMERA_QUALITY, subsampling="4:2:0", exif=_exif(number))


def _exif(number: int) -> Image.Exif:
    """Camera, time, place and orientation; every third photo was taken upright."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Benchmark"
    exif[ExifTags.Base.Model] = "B-12"
    exif[ExifTags.Base.Orientation] = 6 if number % 3 == 0 else 1
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = f"2024:05:{1 + number % 28:02d} 08:{number % 60:02d}:00"
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSLatitude] = "N", (52.0, 30.0, float(number % 60))
    place[ExifTags.GPS.GPSLongitudeRef], place[ExifTags.GPS.GPSLongitude] = "E", (13.0, 24.0, float(number % 60))
    return exif
