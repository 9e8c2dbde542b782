"""An index of drawn vectors whose photos do not exist, made through export and import; the seconds it took, as JSON."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

import birdsearch
from benchmarks import synthetic
from birdsearch import AddReport, Index, Label, Photo
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


def take_in(
    index: Index,
    vectors: Vectors,
    species: Sequence[str | None] = (),
    drawn: Callable[[int, Photo], Photo] | None = None,
) -> AddReport:
    """Give an index photos that do not exist, with these vectors (n, dim) and, where there are any, labels (n).

    `drawn` adds to the photo of a number what else is known of it.
    """
    export = index.path.with_suffix(".parquet")
    selection = _Drawn(vectors, index.backbone.identity, species, drawn or (lambda _, photo: photo))
    Parquet().write(cast(Selection, selection), export, NoOptions())
    report = index.import_photos(export)
    export.unlink()
    return report


@dataclass
class _Drawn:
    """What the exporter reads of a selection."""

    vectors: Vectors
    backbone: BackboneIdentity
    species: Sequence[str | None]
    drawn: Callable[[int, Photo], Photo]
    provenance: Provenance = field(default_factory=lambda: Provenance("", ("/photos",)))
    said: Mapping[str, object] = field(default_factory=dict)

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.vectors), ROWS):
            vectors = np.array(self.vectors[start : start + ROWS])
            names: Sequence[str | None] = self.species[start : start + ROWS] or [None] * len(vectors)
            photos = [self.drawn(start + n, _photo(start + n, name)) for n, name in enumerate(names)]
            labels: list[Label | None] = [None if name is None else Label(0, name, "csv") for name in names]
            norms = np.full(len(vectors), 10, np.float32)
            yield Batch(photos, labels, vectors, norms, [[] for _ in photos], [None] * len(photos))


def _photo(number: int, species: str | None) -> Photo:
    return Photo(
        id=None,
        path=f"/photos/{number // 1000:04d}/{number:07d}.jpg",
        sha256=f"{number:064x}",
        width=4000,
        height=3000,
        taken_at=f"20{10 + number % 15:02d}-05-{1 + number % 28:02d}T08:00:00",
        label=species,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
