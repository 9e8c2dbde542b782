"""Camera RAW by its preview or by its sensor, against the full JPEG: what the network sees, and how fast.

Frames of 24 megapixels are made of real photos. The preview is made as cameras do: 1,620 pixels, quality 80, sharpened.
The sensor's values are a mosaic of colours of 3 megapixels; LibRaw develops it at half size.
"""

import io
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

import birdsearch
from benchmarks.common import SHARED_PHOTOS, THREADS, command_line, note, publish, table, versions
from birdsearch.backbones import DEFAULT
from birdsearch.photos import decode, scan
from birdsearch.records import Pixels
from tests.support.camera_raw import jpeg, write_dng

FRAME, PREVIEW, SENSOR = (6000, 4000), (1620, 1080), (2160, 1440)  # pixels of the camera's frame, its preview, a mosaic
THUMBNAIL = (160, 120)
SIZE = (224, 224)
WAYS = ("full JPEG", "preview", "sensor at half size", "thumbnail of 160 px")


def seen(path: Path) -> Pixels:
    """What the network sees of a file."""
    file = scan.read(scan.FoundFile(os.fsencode(path)))
    return decode.decode(file.data, file.photo, SIZE, file.format).pixels


def preview_of(frame: Image.Image) -> bytes:
    """The preview as a camera lays it into its RAW file."""
    sharpened = frame.resize(PREVIEW, Image.Resampling.LANCZOS).filter(ImageFilter.UnsharpMask(1.0, 80, 2))
    return jpeg(sharpened, 80)


def frame_of(photo: Path) -> Image.Image:
    """A real photo as large as a camera's frame."""
    with Image.open(photo) as picture:
        return picture.convert("RGB").resize(FRAME, Image.Resampling.BICUBIC)


def pixels_of(photo: Path, folder: Path) -> list[Pixels]:
    """What the network sees of one photo in each of WAYS."""
    frame, name = frame_of(photo), folder / f"{photo.parent.name}-{photo.stem}"
    full, raw, developed = name.with_suffix(".jpg"), name.with_suffix(".dng"), name.with_suffix(".sensor.dng")
    small = frame.resize(SENSOR, Image.Resampling.BOX)
    full.write_bytes(jpeg(frame, 92))
    write_dng(raw, small.crop((0, 0, 64, 64)), previews=(preview_of(frame),))
    write_dng(developed, small, previews=())
    found = [seen(path) for path in (full, raw, developed)]
    thumbnail = Image.open(io.BytesIO(jpeg(frame.resize(THUMBNAIL, Image.Resampling.BOX), 80)))
    found.append(np.asarray(thumbnail.resize(SIZE, Image.Resampling.BICUBIC)))
    for path in (full, raw, developed):
        path.unlink()
    return found


def cosines(count: int) -> str:
    """The table of cosines with the full JPEG."""
    every = sorted(SHARED_PHOTOS.glob("*/*.jpg"))
    photos = every[:: max(1, len(every) // count)][:count]
    spawn = get_context("spawn")  # LibRaw has threads, which a fork would not take along
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(THREADS, spawn) as pool:
        pixels = np.array(list(pool.map(partial(pixels_of, folder=Path(folder)), photos, chunksize=4)))
    backbone = birdsearch.load_backbone(DEFAULT)
    vectors = [backbone.embed_pixels(pixels[:, way]).vectors for way in range(len(WAYS))]
    rows = []
    for way, each in zip(WAYS[1:], vectors[1:], strict=True):
        found = np.sort(np.einsum("nd,nd->n", vectors[0], each))
        rows.append([way, f"{np.median(found):.4f}", f"{found[len(found) // 20]:.4f}", f"{found[0]:.4f}"])
    head = [f"cosine with the full JPEG, {len(photos)} photos", "median", "5 % are below", "worst"]
    return table(head, rows)


def speeds(count: int) -> str:
    """The table of photos a second, one file of each kind after the other."""
    photo = next(iter(sorted(SHARED_PHOTOS.glob("*/*.jpg"))))
    frame = frame_of(photo)
    noise = np.random.default_rng(0).normal(0, 4, (FRAME[1], FRAME[0], 3)).astype(np.float32)
    frame = Image.fromarray((np.asarray(frame, np.float32) + noise).clip(0, 255).astype(np.uint8))
    kinds = {"JPEG": "jpg", "RAW by its preview": "dng", "RAW by its sensor": "sensor.dng"}
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    sizes = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "0.jpg").write_bytes(jpeg(frame, 92))
        write_dng(folder / "0.dng", frame, previews=(preview_of(frame),))
        write_dng(folder / "0.sensor.dng", frame, previews=())
        for kind, suffix in kinds.items():
            sizes[kind] = (folder / f"0.{suffix}").stat().st_size / 1e6
        for number in range(count + 1):
            for kind, suffix in kinds.items():
                path = folder / f"1.{suffix}"
                shutil.copy(folder / f"0.{suffix}", path)
                began = time.perf_counter()
                file = scan.read(scan.FoundFile(os.fsencode(path)))
                read = time.perf_counter() - began
                decode.decode(file.data, file.photo, SIZE, file.format)
                if number:  # the first one imports what it needs
                    taken[kind].append((read, time.perf_counter() - began))
    rows = []
    for kind in kinds:
        read, whole = (statistics.median(each) for each in zip(*taken[kind], strict=True))
        shares = f"{1 / whole:.1f}", f"{read / whole:.0%}", f"{1000 * (whole - read):.0f}"
        rows.append([kind, f"{sizes[kind]:.0f}", *shares])
    head = ["24 megapixels, one thread", "MB", "photos/s", "of that reading and hashing", "decoding, ms"]
    return table(head, rows)


def main() -> None:
    """Measure and publish."""
    parser = command_line("raw", __doc__)
    parser.add_argument("--photos", type=int, default=200, help="for the cosines; 0 leaves them out")
    parser.add_argument("--files", type=int, default=8, help="of each kind for the speeds")
    parser.add_argument("--keep", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    parts = [speeds(options.files)]
    if options.photos:
        note(f"{options.photos} photos in {len(WAYS)} ways")
        parts.insert(0, cosines(options.photos))
    about = (
        f"{versions('rawpy', 'pillow', 'birder')}. Frames of 24 megapixels made of real photos of 224 px; the preview "
        f"has 1,620 x 1,080 pixels, quality 80, sharpened; the sensor whose development is compared has {SENSOR[0]} x "
        f"{SENSOR[1]} cells. Files were read from memory, where they had just been written."
    )
    publish("Camera RAW", "\n\n".join((about, *parts)), command="python -m benchmarks.raw", keep=options.keep)


if __name__ == "__main__":
    main()
