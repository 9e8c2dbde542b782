"""An index of drawn vectors whose photos do not exist, made through export and import; the seconds it took, as JSON."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import birdsearch
from benchmarks import synthetic
from birdsearch import Photo
from birdsearch.export import parquet

ROWS = 10_000  # in memory at a time


def main(path: Path, checkpoint: Path, count: int) -> None:
    """Make the index at `path`."""
    export = path.with_suffix(".parquet")
    with birdsearch.create(path, backbone=checkpoint) as index:
        about = {"backbone": index.backbone.identity, "folders": ["/photos"]}
        parquet.write_export(export, _rows(synthetic.load(count)), about)
        report = index.import_photos(export)
    export.unlink()
    print(json.dumps({"added": report.added, "import_seconds": report.seconds}))


def _rows(data: synthetic.Synthetic) -> Iterator[parquet.Rows]:
    for start in range(0, len(data.vectors), ROWS):
        vectors = np.array(data.vectors[start : start + ROWS])
        photos = [
            Photo(
                id=None,
                path=f"/photos/{number // 1000:04d}/{number:07d}.jpg",
                sha256=f"{number:064x}",
                width=4000,
                height=3000,
                taken_at=f"20{10 + number % 15:02d}-05-{1 + number % 28:02d}T08:00:00",
            )
            for number in range(start, start + len(vectors))
        ]
        yield parquet.Rows(photos, [None] * len(photos), vectors, np.full(len(vectors), 10, np.float32))


main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
