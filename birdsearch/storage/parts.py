"""Parts: append-only Parquet files of vectors, and how any file of an index is put in place."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from birdsearch.cache import file_problem
from birdsearch.errors import IndexDamagedError, IndexLockedError
from birdsearch.files import atomic_write
from birdsearch.records import Ids, Vectors, shown
from birdsearch.storage.catalog.catalog import Location
from birdsearch.storage.catalog.commits import PartRow

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
    """Write a part durably; returns the sha256 of the file. Raises IndexLockedError where there is one already."""
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
    with _reserved(path):
        write_durably(path, data)
    return hashlib.sha256(data).hexdigest()


def listed(folder: Path, part_id: int, part: Part, runtime: str) -> PartRow:
    """Write a part into the folder of vectors as `write` does; returns what makes it count in a commit."""
    return PartRow(part_id, len(part.norms), write(file_of(folder, part_id), part), runtime)


@contextmanager
def _reserved(path: Path) -> Iterator[None]:
    """Take the name of a part, which no other process can then take; on any error it is free again."""
    try:
        path.open("xb").close()
    except FileExistsError as error:
        raise IndexLockedError(
            f"{shown(str(path))} is there already: another process writes to this index. What was committed is safe; "
            "run the same command again when the other is done."
        ) from error
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read(path: Path, sha256: str) -> Part:
    """Read a part back. Raises IndexDamagedError where the file is missing or not what a writer wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if (problem := file_problem(path, sha256)) is not None:
        raise IndexDamagedError(f"{problem}: run `birdsearch repair`.")
    try:
        # The bytes, not the name: pyarrow takes no name that is not UTF-8. Neither read_table nor to_numpy: they import
        # pandas, which takes longer than the query that wants one row.
        table = pq.ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False)
        vectors = table["vector"].combine_chunks()
        part = Part(
            region_ids=_numbers(table["region_id"].combine_chunks(), np.int64),
            vectors=_numbers(vectors.flatten(), np.float32).reshape(len(vectors), vectors.type.list_size),
            norms=_numbers(table["norm"].combine_chunks(), np.float32),
        )
        if not np.isfinite(np.vdot(part.vectors, part.vectors)):
            raise ValueError("some of its numbers are not finite")
        return part
    except (
        OSError,
        pa.ArrowException,
        KeyError,
        AttributeError,
        ValueError,
        TypeError,
        BufferError,
        MemoryError,
    ) as error:
        raise IndexDamagedError(f"{shown(str(path))} cannot be read ({error}): run `birdsearch repair`.") from error


def _numbers(column: Any, kind: type[np.generic]) -> Any:
    """An Arrow array without nulls as a numpy array of one kind, in place where it is that kind already."""
    return np.from_dlpack(column).astype(kind, copy=False)


class PartReader:
    """Single rows out of many parts, keeping the last part at hand: rows asked for together mostly lie together."""

    def __init__(self, folder: Path, listed: Iterable[PartRow]) -> None:
        self._folder = folder
        self._sha256 = {part.id: part.sha256 for part in listed}
        self._open: tuple[int, Part] | None = None

    def row(self, location: Location) -> tuple[Vectors, float]:
        """The vector (dim,) and the norm that lie there. Raises IndexDamagedError where they are another region's."""
        path = file_of(self._folder, location.part_id)
        if location.part_id not in self._sha256:
            raise IndexDamagedError(f"the catalog lists no {shown(str(path))}: run `birdsearch repair`.")
        if self._open is None or self._open[0] != location.part_id:
            self._open = (location.part_id, read(path, self._sha256[location.part_id]))
        part = self._open[1]
        if not 0 <= location.row < len(part.norms) or part.region_ids[location.row] != location.region_id:
            raise IndexDamagedError(
                f"{shown(str(path))} does not hold region {location.region_id} in row {location.row}: "
                "run `birdsearch repair`."
            )
        return part.vectors[location.row], float(part.norms[location.row])


def vector_column(vectors: Vectors) -> Any:
    """Vectors (n, dim) as an Arrow array of lists of `dim` float32."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
