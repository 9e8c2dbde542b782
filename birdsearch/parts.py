"""Parts: append-only Parquet files of vectors; and the one-file export of an index."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from birdsearch.errors import IndexDamagedError, InputFileError
from birdsearch.records import Ids, Photo, Prediction, Vectors, shown

SUFFIX = ".parquet"
UNFINISHED = ".unfinished"  # what a temporary file ends with until it is renamed


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one part."""

    region_ids: Ids  # (n,)
    vectors: Vectors  # (n, dim), rows of length 1
    norms: Vectors  # (n,), lengths before normalisation


def file_of(folder: Path, part_id: int) -> Path:
    """Where a part lies: vectors/00000001.parquet."""
    return folder / f"{part_id:08d}{SUFFIX}"


def write_durably(path: Path, data: bytes | memoryview) -> None:
    """Put a file in place so that after a crash it is there whole or not at all."""
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in this folder survive a power cut, where the system lets folders be synced."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, part: Part) -> str:
    """Write a part durably; returns the sha256 of the file."""
    dim = part.vectors.shape[1]
    table = pa.table(
        {
            "region_id": pa.array(part.region_ids, pa.int64()),
            "vector": _vector_column(part.vectors),
            "norm": pa.array(part.norms, pa.float32()),
        },
        metadata={"birdsearch": "part", "dim": str(dim)},
    )
    sink = pa.BufferOutputStream()
    # Random-looking floats neither compress nor repeat.
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    data = memoryview(sink.getvalue())
    write_durably(path, data)
    return sha256(data)


def read(path: Path) -> Part:
    """Read a part back. Raises IndexDamagedError where the file is missing or not what a writer wrote."""
    try:
        # The bytes, not the name: pyarrow takes no name that is not UTF-8.
        table = pq.read_table(pa.BufferReader(path.read_bytes()), use_threads=False)
        vectors = table["vector"].combine_chunks()
        return Part(
            region_ids=table["region_id"].to_numpy().astype(np.int64, copy=False),
            vectors=np.asarray(vectors.flatten(), dtype=np.float32).reshape(len(vectors), vectors.type.list_size),
            norms=table["norm"].to_numpy().astype(np.float32, copy=False),
        )
    except (OSError, pa.ArrowException, KeyError, AttributeError, ValueError) as error:
        raise IndexDamagedError(f"{path} cannot be read ({error}): run `birdsearch repair`.") from error


class PartReader:
    """Single rows out of many parts, keeping the last part at hand: rows asked for together mostly lie together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: tuple[int, Part] | None = None

    def row(self, part_id: int, row: int) -> tuple[Vectors, float]:
        """The vector (dim,) and the norm in one row."""
        if self._open is None or self._open[0] != part_id:
            self._open = (part_id, read(file_of(self._folder, part_id)))
        part = self._open[1]
        if row >= len(part.norms):
            raise IndexDamagedError(f"{file_of(self._folder, part_id)} has no row {row}: run `birdsearch repair`.")
        return part.vectors[row], float(part.norms[row])


def sha256(data: bytes | memoryview) -> str:
    """The sha256 of some bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def checksum(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _vector_column(vectors: Vectors) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


# Export and import

_PREDICTION = pa.struct(
    [
        ("species", pa.string()),
        ("probability", pa.float64()),
        ("rank", pa.int32()),
        ("level", pa.string()),
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
    "observer",
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
    unfinished = path.with_name(path.name + UNFINISHED)
    count = 0
    try:
        with unfinished.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
            for some in rows:
                columns: dict[str, Any] = {name: [getattr(p, name) for p in some.photos] for name in _PLAIN}
                for name in (*_TEXTS, "label", "species"):
                    columns[name] = [None if value is None else shown(value) for value in columns[name]]
                columns["path"] = [shown(p.path) for p in some.photos]
                columns["path_bytes"] = [os.fsencode(p.path) for p in some.photos]
                columns["label_source"] = some.label_sources
                columns["predictions"] = [
                    [{name: getattr(guess, name) for name in _PREDICTION.names} for guess in p.predictions]
                    for p in some.photos
                ]
                columns["norm"] = some.norms
                columns["vector"] = _vector_column(some.vectors)
                writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
                count += len(some.photos)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return count


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
        raise InputFileError(f"{shown(str(path))} was not written by `birdsearch export`: export the photos again.")
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
