"""Parts: append-only Parquet files of vectors, and how any file of an index is put in place."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from birdsearch.errors import IndexDamagedError
from birdsearch.files import atomic_write
from birdsearch.records import Ids, Vectors

SUFFIX = ".parquet"


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
    with atomic_write(path) as file:
        file.write(data)


def write(path: Path, part: Part) -> str:
    """Write a part durably; returns the sha256 of the file."""
    import pyarrow as pa  # slow to load, and most commands only read an engine
    import pyarrow.parquet as pq

    dim = part.vectors.shape[1]
    table = pa.table(
        {
            "region_id": pa.array(part.region_ids, pa.int64()),
            "vector": vector_column(part.vectors),
            "norm": pa.array(part.norms, pa.float32()),
        },
        metadata={"birdsearch": "part", "dim": str(dim)},
    )
    sink = pa.BufferOutputStream()
    # Random-looking floats neither compress nor repeat.
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    data = memoryview(sink.getvalue())
    write_durably(path, data)
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> Part:
    """Read a part back. Raises IndexDamagedError where the file is missing or not what a writer wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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


def vector_column(vectors: Vectors) -> Any:
    """Vectors (n, dim) as an Arrow array of lists of `dim` float32."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
