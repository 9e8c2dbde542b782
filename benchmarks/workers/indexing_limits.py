"""What the parts of birdsearch reach alone: the network on decoded photos, and the decoder on files; img/s."""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from birdsearch.backbones import load_backbone
from birdsearch.photos.decode import load
from birdsearch.records import Pixels

THREADS = 2
SECONDS = 8.0
LOADED = 64  # photos decoded for the network; it is asked for them over and over


def rate(work: Callable[[], int]) -> float:
    """Photos per second of `work`, which returns how many it did; warmed up once."""
    work()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        done += work()
    return done / (time.perf_counter() - started)


def main(photos: Path, name: str) -> None:
    """Print both rates as one line of JSON."""
    backbone = load_backbone(name)
    files = sorted(photos.rglob("*.jpg"))[:LOADED]

    def decode() -> list[Pixels]:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda file: load(file, backbone.input_size), files))

    def undo() -> int:
        """What no smaller picture saves: the compression of every pixel, undone for grey ones at an eighth the size."""

        def smallest(file: Path) -> None:
            with Image.open(file) as image:
                image.draft("L", (image.width // 8, image.height // 8))
                image.load()

        with ThreadPoolExecutor(THREADS) as pool:
            return len(list(pool.map(smallest, files)))

    pixels = np.stack(decode())
    alone = rate(lambda: len(backbone.embed_pixels(pixels).vectors))
    decoding = rate(lambda: len(decode()))
    undoing = rate(undo)
    made_with = f"{backbone.runtime} {backbone.precision}"
    rates = {"network_rate": alone, "decode_rate": decoding, "undo_rate": undoing}
    print(json.dumps(rates | {"runtime": made_with}))


main(Path(sys.argv[1]), sys.argv[2])
