"""Parts: append-only Parquet files of vectors, and how any file of an index is put in place."""

import hashlib
import os
import threading
from collections import OrderedDict
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
from birdsearch.storage.place import Place, as_told

SUFFIX = ".parquet"
ROWS = 256  # of a part that are laid together, and read together where one of them is wanted: 1.4 ms at 1,280 numbers
KEPT = 128 << 20  # bytes of rows that are kept of what was read last


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one part."""

    region_ids: Ids  # (n,)
    vectors: Vectors  # (n, dim), rows of length 1
    norms: Vectors  # (n,), lengths before normalisation

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        return self.region_ids.nbytes + self.vectors.nbytes + self.norms.nbytes


def name_of(part_id: int) -> str:
    """What the file of a part is called: 00000001.parquet."""
    return f"{part_id:08d}{SUFFIX}"


def file_of(place: Place, part_id: int, sha256: str | None = None) -> Path:
    """Where a part can be read, which should have this sha256; see `Place.here`."""
    return place.here(name_of(part_id), sha256)


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
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, sink, row_group_size=ROWS, **options)
    data = memoryview(sink.getvalue())
    with _reserved(path):
        write_durably(path, data)
    return hashlib.sha256(data).hexdigest()


def listed(place: Place, part_id: int, part: Part, runtime: str) -> PartRow:
    """Write a part into the place of vectors as `write` does; returns what makes it count in a commit."""
    name = name_of(part_id)
    place.free(name)
    sha256 = write(place.path / name, part)
    try:
        place.publish(name, new=True)
    except FileExistsError as error:
        raise _taken(place.where(name)) from error
    return PartRow(part_id, len(part.norms), sha256, runtime)


@contextmanager
def _reserved(path: Path) -> Iterator[None]:
    """Take the name of a part, which no other process can then take; on any error it is free again."""
    try:
        path.open("xb").close()
    except FileExistsError as error:
        raise _taken(shown(str(path))) from error
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _taken(name: str) -> IndexLockedError:
    return IndexLockedError(
        f"{name} is there already: another process writes to this index. What was committed is safe; run the same "
        "command again when the other is done."
    )


def read(path: Path, sha256: str) -> Part:
    """Read a part back. Raises IndexDamagedError where the file is missing or not what a writer wrote."""
    with _translated(path, sha256):
        import pyarrow as pa

        # The bytes, not the name: pyarrow takes no name that is not UTF-8.
        return _part(_parquet(pa.BufferReader(path.read_bytes())).read(use_threads=False))


def read_at(place: Place, part_id: int, sha256: str) -> Part:
    """Read a part out of its place; see `read`."""
    with as_told(place):
        return read(file_of(place, part_id, sha256), sha256)


def _read_around(path: Path, sha256: str, row: int) -> tuple[int, Part]:
    """The rows of a part that are laid together with one, and the number of the first; see `read`."""
    with _translated(path, sha256), path.open("rb") as file:
        stored = _parquet(file)
        start = 0
        for number in range(stored.num_row_groups):
            end = start + stored.metadata.row_group(number).num_rows
            if row < end or number == stored.num_row_groups - 1:
                return start, _part(stored.read_row_group(number, use_threads=False))
            start = end
        raise ValueError("it holds no rows")


def _parquet(file: Any) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file)


def _part(table: Any) -> Part:
    """The rows of a table that was read."""
    # Neither read_table nor to_numpy: they import pandas, which takes longer than the query that wants one row.
    vectors = table["vector"].combine_chunks()
    part = Part(
        region_ids=_numbers(table["region_id"].combine_chunks(), np.int64),
        vectors=_numbers(vectors.flatten(), np.float32).reshape(len(vectors), vectors.type.list_size),
        norms=_numbers(table["norm"].combine_chunks(), np.float32),
    )
    if not np.isfinite(np.vdot(part.vectors, part.vectors)):
        raise ValueError("some of its numbers are not finite")
    return part


@contextmanager
def _translated(path: Path, sha256: str) -> Iterator[None]:
    """Checks the file of a part, and says in words what is wrong with it or with what is read of it inside."""
    import pyarrow as pa

    if (problem := file_problem(path, sha256)) is not None:
        raise IndexDamagedError(f"{problem}: run `birdsearch repair`.")
    try:
        yield
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


class KeptRows:
    """What was read of parts last, up to so many bytes: a click costs no file. Any number of threads.

    A part never changes, and its name is never used twice; a file that was tampered with since is read, and checked,
    again.
    """

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[_File, int], Part] = OrderedDict()  # by the first row; used last at the end
        self._starts: dict[_File, list[int]] = {}  # the first rows of what is kept

    def around(self, path: Path, sha256: str, row: int) -> tuple[int, Part]:
        """Some rows of a part around one, and the number of the first of them; see `read`."""
        file = _File.of(path, sha256)
        with self._lock:
            for start in self._starts.get(file, ()):
                part = self._kept[file, start]
                if start <= row < start + len(part.norms):
                    self._kept.move_to_end((file, start))
                    return start, part
        start, part = _read_around(path, sha256, row)
        with self._lock:
            self._keep(file, start, part)
        return start, part

    def _keep(self, file: "_File", start: int, part: Part) -> None:
        if (file, start) not in self._kept:
            self._starts.setdefault(file, []).append(start)
        self._kept[file, start] = part
        self._kept.move_to_end((file, start))
        while len(self._kept) > 1 and sum(each.bytes for each in self._kept.values()) > self._most:
            (old, first), _ = self._kept.popitem(last=False)
            self._starts[old].remove(first)
            if not self._starts[old]:
                del self._starts[old]

    def forget(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._kept.clear()
            self._starts.clear()


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was when it was looked at."""

    path: Path
    sha256: str  # that it should have
    state: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, sha256: str) -> "_File":
        """The file that lies there now; reading it tells where there is none."""
        try:
            info = os.stat(path)
        except OSError:
            return cls(path, sha256, ())
        return cls(path, sha256, (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))


class PartReader:
    """Single rows out of many parts, of one state of the catalog."""

    def __init__(self, place: Place, listed: Iterable[PartRow], kept: KeptRows | None = None) -> None:
        self._place = place
        self._sha256 = {part.id: part.sha256 for part in listed}
        self._kept = KeptRows() if kept is None else kept
        self._at: tuple[int, int, Part] | None = None  # part, first row: rows asked for together mostly lie together

    def row(self, location: Location) -> tuple[Vectors, float]:
        """The vector (dim,) and the norm that lie there. Raises IndexDamagedError where they are another region's."""
        name = self._place.where(name_of(location.part_id))
        if (sha256 := self._sha256.get(location.part_id)) is None:
            raise IndexDamagedError(f"the catalog lists no {name}: run `birdsearch repair`.")
        at = self._at
        if at is None or at[0] != location.part_id or not 0 <= location.row - at[1] < len(at[2].norms):
            path = file_of(self._place, location.part_id, sha256)
            with as_told(self._place):
                at = (location.part_id, *self._kept.around(path, sha256, location.row))
            self._at = at
        _, start, part = at
        row = location.row - start
        if not 0 <= row < len(part.norms) or part.region_ids[row] != location.region_id:
            raise IndexDamagedError(
                f"{name} does not hold region {location.region_id} in row {location.row}: run `birdsearch repair`."
            )
        return part.vectors[row], float(part.norms[row])


def vector_column(vectors: Vectors) -> Any:
    """Vectors (n, dim) as an Arrow array of lists of `dim` float32."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
