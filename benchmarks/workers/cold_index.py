"""An index of drawn vectors whose photos do not exist, made through export and import; the seconds it took, as JSON."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

import birdsearch
from benchmarks import synthetic
from birdsearch import AddReport, Index, Photo
from birdsearch.export.parquet import Parquet
from birdsearch.export.selection import Batch, NoOptions, Selection
from birdsearch.records import BackboneIdentity, Provenance, Vectors

ROWS = 10_000  # in memory at a time


def main(path: Path, checkpoint: Path, count: int) -> None:
    """Make the index at `path`."""
    with birdsearch.create(path, backbone=checkpoint) as index:
        report = take_in(index, synthetic.load(count).vectors)
    print(json.dumps({"added": report.added, "import_seconds": report.seconds}))


@dataclass(frozen=True)
class Given:
    """Stands for a network that nothing is embedded with: all vectors are given."""

    dim: int
    name: str = "given"


def take_in(index: Index, vectors: Vectors) -> AddReport:
    """Give an index photos that do not exist, with these vectors (n, dim)."""
    export = index.path.with_suffix(".parquet")
    Parquet().write(cast(Selection, _Drawn(vectors, index.backbone.identity)), export, NoOptions())
    report = index.import_photos(export)
    export.unlink()
    return report


@dataclass
class _Drawn:
    """What the exporter reads of a selection."""

    vectors: Vectors
    backbone: BackboneIdentity
    provenance: Provenance = field(default_factory=lambda: Provenance("", ("/photos",)))
    said: Mapping[str, object] = field(default_factory=dict)

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.vectors), ROWS):
            vectors = np.array(self.vectors[start : start + ROWS])
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
            none = [None] * len(photos)
            yield Batch(
                photos, list(none), vectors, np.full(len(vectors), 10, np.float32), [[] for _ in none], list(none)
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
