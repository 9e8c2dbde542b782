"""Thumbnails, a map and neighbours for Embedding Atlas."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.export.tables import photo_row
from birdsearch.files import atomic_write
from birdsearch.records import Neighbours, Photo, Vectors, as_json

if TYPE_CHECKING:
    pass


_ATLAS = {
    "id": "int64", "path": "string", "species": "string", "label": "string", "predicted": "string",
    "probability": "float64", "taken_at": "string", "camera": "string", "latitude": "float64",
    "longitude": "float64", "rating": "int32", "width": "int32", "height": "int32",
}  # fmt: skip
_LONGEST = 200  # pixels, of a thumbnail


@dataclass(frozen=True, slots=True)
class Mapped:
    """Some photos of a map."""

    photos: list[Photo]
    places: Vectors  # (n, 2)
    near: Neighbours  # (n, k); ids are rows of the whole file, from 0 on


def write_atlas(path: Path, blocks: Iterable[Mapped]) -> int:
    """Write a Parquet file with thumbnails, a map and neighbours, whole or not at all; returns how many photos."""
    import pyarrow as pa  # slow to load, and tables for people need only what stands above
    import pyarrow.parquet as pq

    from birdsearch.photos.decode import thumbnails

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    near = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
    drawn = [("image", image), ("x", pa.float32()), ("y", pa.float32()), ("neighbors", near)]
    schema = pa.schema([*_ATLAS.items(), *drawn])
    count = 0
    with atomic_write(path) as file, pq.ParquetWriter(file, schema) as writer:
        for some in blocks:
            rows = [dict(zip(_ATLAS, as_json(photo_row(photo, tuple(_ATLAS))), strict=True)) for photo in some.photos]
            pictures = thumbnails([photo.path for photo in some.photos], _LONGEST)
            distances = np.maximum(0, 1 - some.near.scores)  # rounding must not put a copy nearer than itself
            found = zip(rows, pictures, some.places.tolist(), some.near.ids.tolist(), distances.tolist(), strict=True)
            for row, picture, (x, y), ids, away in found:
                shown = None if picture is None else {"bytes": picture, "path": row["path"]}
                row |= {"image": shown, "x": x, "y": y, "neighbors": {"ids": ids, "distances": away}}
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += len(rows)
    return count
