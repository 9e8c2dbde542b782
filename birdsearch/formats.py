"""Photos as files for other tools: CSV, a Parquet file for Embedding Atlas, a folder for FiftyOne."""

import codecs
import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from birdsearch.files import durable, durable_folder
from birdsearch.records import Neighbours, Photo, Vectors, as_json

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from birdsearch.exports import Rows

Format = Literal["parquet", "csv", "embedding-atlas", "fiftyone"]
FORMATS: tuple[str, ...] = get_args(Format)
PHOTO_COLUMNS = (
    "id", "species", "species_source", "label", "prediction", "probability", "taken_at", "taken_offset", "camera",
    "camera_serial", "lens", "latitude", "longitude", "observer", "notes", "rating", "width", "height", "format",
    "size", "mtime_ns", "sha256", "phash", "path",
)  # fmt: skip
_ATLAS = {
    "id": "int64", "path": "string", "species": "string", "label": "string", "predicted": "string",
    "probability": "float64", "taken_at": "string", "camera": "string", "latitude": "float64",
    "longitude": "float64", "rating": "int32", "width": "int32", "height": "int32",
}  # fmt: skip
_ATTRIBUTES = (
    "species", "species_source", "predicted", "probability", "taken_at", "camera", "latitude", "longitude",
)  # fmt: skip
_LONGEST = 200  # pixels, of a thumbnail


def photo_row(photo: Photo, columns: Sequence[str] = PHOTO_COLUMNS) -> list[Any]:
    """A photo as one row; of its predictions the first."""
    first = photo.predictions[0] if photo.predictions else None
    name, probability = (first.name, first.probability) if first else (None, None)
    guess = {"prediction": name, "predicted": name, "probability": probability}
    return [guess[column] if column in guess else getattr(photo, column) for column in columns]


# CSV ----------------------------------------------------------------------------------------------------------------


def write_rows(file: "SupportsWrite[str]", columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a CSV table, an unknown value as an empty field; returns how many rows."""
    plain, quoted = (
        csv.writer(file, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC)
    )
    plain.writerow(columns)
    count = 0
    for cells in rows:
        # Before Python 3.13 a carriage return is not quoted, and who reads the table takes it for the end of a row.
        alone = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if alone else plain).writerow(cells)
        count += 1
    return count


def write_csv(path: Path, photos: Iterable[Photo]) -> int:
    """Write photos as CSV (UTF-8) that appears whole or not at all; returns how many."""
    with durable(path) as file:
        return write_rows(codecs.getwriter("utf-8")(file), PHOTO_COLUMNS, map(as_json, map(photo_row, photos)))


# Embedding Atlas ----------------------------------------------------------------------------------------------------


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

    from birdsearch.photos import thumbnails

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    near = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
    drawn = [("image", image), ("x", pa.float32()), ("y", pa.float32()), ("neighbors", near)]
    schema = pa.schema([*_ATLAS.items(), *drawn])
    count = 0
    with durable(path) as file, pq.ParquetWriter(file, schema) as writer:
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


# FiftyOne -----------------------------------------------------------------------------------------------------------


def write_fiftyone(path: Path, blocks: Iterable["Rows"], shape: tuple[int, int]) -> int:
    """Make a folder that FiftyOne loads as FiftyOneImageClassificationDataset; returns how many photos.

    Vectors, of this shape (n, dim), lie beside it in the order in which FiftyOne takes the photos. The folder appears
    whole or not at all.
    """
    count = 0
    with (
        durable_folder(path) as folder,
        durable(folder / "data.json") as paths,
        durable(folder / "labels.json") as labels,
        durable(folder / "embeddings.npy") as vectors,
    ):
        facts = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(vectors, facts)
        paths.write(b"{")
        labels.write(b'{"labels": {')
        for some in blocks:
            for photo in some.photos:
                start = f'{"," if count else ""}\n"{photo.id:012d}": '  # in the order of texts they stay in that of ids
                paths.write(f"{start}{json.dumps(as_json(photo.path))}".encode())
                labels.write(f"{start}{json.dumps(as_json(_classification(photo)))}".encode())
                count += 1
            vectors.write(some.vectors.astype("<f4").tobytes())
        paths.write(b"\n}\n")
        labels.write(b"\n}}\n")
    return count


def _classification(photo: Photo) -> dict[str, Any] | None:
    """What FiftyOne calls a classification; None for a photo without a label."""
    if photo.label is None:
        return None
    known = zip(("photo_id", *_ATTRIBUTES), photo_row(photo, ("id", *_ATTRIBUTES)), strict=True)  # "id" is FiftyOne's
    return {"label": photo.label, "attributes": {name: value for name, value in known if value is not None}}
