"""Exports for biodiversity programs as the photos grow: `python -m benchmarks.exchange` (`--counts 10000` for fewer).

Photos that do not exist are imported with labels of all species of AviList, one in ten without, with predictions,
times, cameras and places in 500 folders; then each format is written by a process of its own, which also imports
birdsearch and opens the index. `csv` is beside them for comparison. Seconds are those of the processor, which other
programs change little.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import birdsearch
from benchmarks.common import alone, command_line, note, publish, table
from benchmarks.workers.cold_index import Given, take_in
from benchmarks.workers.searching import peak_mb
from birdsearch.export.exporter import EXPORTERS
from birdsearch.export.selection import NoOptions
from birdsearch.records import Photo, Prediction

COUNTS = (1_000, 10_000, 100_000)
DIM = 8
FORMATS = ("csv", *(name for name, one in EXPORTERS.items() if one.options is not NoOptions))


def make(path: Path, count: int) -> None:
    """The index."""
    from birdsearch.taxonomy import avilist

    names = list(avilist.world().species)
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def drawn(number: int, photo: Photo) -> Photo:
        guess = Prediction(names[number * 7 % len(names)], 0.7, 1, "species", names[number * 7 % len(names)])
        north, east = -60 + number % 500 / 5, -170 + number * 7 % 500 / 1.6
        path = f"/photos/{number % 500:03d}/{number:07d}.jpg"
        known = replace(photo, path=path, taken_offset="+02:00", camera="Canon EOS R5", format="JPEG")
        return replace(known, predictions=(guess,), camera_serial="SN123", notes="x", latitude=north, longitude=east)

    with birdsearch.create(path, backbone=Given(DIM)) as index:
        labels = [names[number % len(names)] if number % 10 else None for number in range(count)]
        take_in(index, vectors, labels, drawn)


def measure(format: str, path: Path) -> dict[str, float]:
    """Write one file; seconds of the processor, the most memory, photos written."""
    exporter = EXPORTERS[format]
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, birdsearch.open(path) as index:
        report = index.export(Path(folder) / f"out{exporter.suffix}", format=format)
    return {"cpu": time.process_time() - began, "peak_mb": peak_mb(), "written": report.written}


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("exchange", __doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--alone", nargs=2, metavar=("FORMAT", "INDEX"), help="measure in this process, and print JSON")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(measure(options.alone[0], Path(options.alone[1]))))
        return
    counts = sorted(options.counts)
    with tempfile.TemporaryDirectory() as folder:
        found = [each(Path(folder) / str(count), count) for count in counts]
    head: list[str] = ["format", *(f"{count:,} photos, {what}" for count in counts for what in ("s", "MB", "written"))]
    rows: list[list[object]] = [[name, *(value for figures in found for value in figures[name])] for name in FORMATS]
    publish("Exchange", table(head, rows), command="python -m benchmarks.exchange", keep=tuple(counts) == COUNTS)


def each(path: Path, count: int) -> dict[str, Sequence[float]]:
    """The figures of every format."""
    make(path, count)
    figures: dict[str, Sequence[float]] = {}
    for name in FORMATS:
        one = alone("exchange", name, path)
        note(f"{name}, {count:,}: {one}")
        figures[name] = (one["cpu"], one["peak_mb"], int(one["written"]))
    return figures


if __name__ == "__main__":
    main()
