"""The export of an index: one Parquet file of photos, species, predictions and vectors, written and read."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from birdsearch.errors import InputFileError
from birdsearch.files import atomic_write
from birdsearch.records import Photo, Prediction, Vectors, shown
from birdsearch.storage.parts import vector_column

_PREDICTION = pa.struct(
    [
        ("species", pa.string()),
        ("probability", pa.float64()),
        ("position", pa.int32()),
        ("rank", pa.string()),
        ("class_name", pa.string()),
    ]
)
_TEXTS = (
    "sha256",
    "phash",
    "format",
    "taken_at",
    "taken_offset",
    "camera",
    "camera_serial",
    "lens",
    "photographer",
    "notes",
)
_PHOTO = pa.schema(
    [
        ("id", pa.int64()),
        ("path", pa.string()),  # readable: bytes that are not UTF-8 as backslash escapes
        ("path_bytes", pa.binary()),  # exact
        *((name, pa.string()) for name in _TEXTS),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("rating", pa.int32()),
        ("label", pa.string()),
        ("label_source", pa.string()),  # "correction", "csv" or "folder"
        ("species", pa.string()),
        ("species_source", pa.string()),
        ("predictions", pa.list_(_PREDICTION)),
        ("norm", pa.float32()),
    ]
)
_PLAIN = [name for name in _PHOTO.names if name not in ("path", "path_bytes", "label_source", "predictions", "norm")]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some photos of an export, with their vectors."""

    photos: list[Photo]
    label_sources: list[str | None]
    vectors: Vectors  # (n, dim)
    norms: Vectors  # (n,)


def write_export(path: Path, rows: Iterable[Rows], about: dict[str, Any]) -> int:
    """Write one Parquet file that other tools read too; it appears whole or not at all. Returns how many photos."""
    schema = _PHOTO.append(pa.field("vector", pa.list_(pa.float32(), int(about["backbone"]["dim"]))))
    schema = schema.with_metadata({"birdsearch": json.dumps(about)})
    count = 0
    with atomic_write(path) as file, pq.ParquetWriter(file, schema) as writer:
        for some in rows:
            columns = _columns(some)
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
            count += len(some.photos)
    return count


def _columns(some: Rows) -> dict[str, Any]:
    columns: dict[str, Any] = {name: [getattr(p, name) for p in some.photos] for name in _PLAIN}
    for name in (*_TEXTS, "label", "species"):
        columns[name] = [None if value is None else shown(value) for value in columns[name]]
    columns["path"] = [shown(p.path) for p in some.photos]
    columns["path_bytes"] = [os.fsencode(p.path) for p in some.photos]
    columns["label_source"] = some.label_sources
    columns["predictions"] = [
        [{name: getattr(guess, name) for name in _PREDICTION.names} for guess in p.predictions] for p in some.photos
    ]
    columns["norm"] = some.norms
    columns["vector"] = vector_column(some.vectors)
    return columns


def read_about(path: Path) -> dict[str, Any]:
    """What an export says of the index it came from. Raises InputFileError for a file that is no export."""
    try:
        with path.open("rb") as file:
            schema = pq.read_schema(file)
    except FileNotFoundError as error:
        raise InputFileError(f"no such file: {shown(str(path))}. Name one that `birdsearch export` wrote.") from error
    except (OSError, pa.ArrowException) as error:
        raise InputFileError(
            f"{shown(str(path))} is not a Parquet file that can be read ({error}). Export the photos again."
        ) from error
    try:
        about: dict[str, Any] = json.loads((schema.metadata or {})[b"birdsearch"])
        vector = pa.list_(pa.float32(), int(about["backbone"]["dim"]))
        same = all(schema.field(field.name).type == field.type for field in [*_PHOTO, pa.field("vector", vector)])
        whole = same and bool(about["backbone"]["name"]) and all(isinstance(name, str) for name in about["folders"])
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise InputFileError(
            f"{shown(str(path))} was not written by `birdsearch export --format parquet`: export the photos again."
        )
    return about


def read_export(path: Path, batch: int) -> Iterator[Rows]:
    """The rows of an export, some at a time; check it with `read_about` first. InputFileError where it is damaged."""
    start = 0
    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            for table in file.iter_batches(batch_size=batch):
                yield _rows_of(table, start)
                start += len(table)
    except (OSError, pa.ArrowException, TypeError, ValueError) as error:
        raise InputFileError(f"{shown(str(path))} is damaged ({error}). Export the photos again.") from error


def _rows_of(table: pa.RecordBatch, start: int) -> Rows:
    vectors = table["vector"]
    rows = np.asarray(vectors.flatten(), dtype=np.float32).reshape(-1, vectors.type.list_size)
    norms = np.asarray(table["norm"], dtype=np.float32)
    if len(rows) != len(table):
        raise ValueError(f"a vector is missing in the rows from {start}")
    wrong = ~np.isclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3) | ~np.isfinite(norms)
    if wrong.any():
        raise ValueError(f"row {start + int(np.argmax(wrong))}: the vector does not have length 1")
    listed = table.drop_columns(["vector"]).to_pylist()
    photos = [
        Photo(
            **{name: row[name] for name in _PLAIN},
            path=os.fsdecode(row["path_bytes"]),
            predictions=tuple(Prediction(**guess) for guess in row["predictions"]),
        )
        for row in listed
    ]
    return Rows(photos, [row["label_source"] for row in listed], rows, norms)


BATCH = 4096  # photos in one commit, or read at a time
