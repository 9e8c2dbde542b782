"""Results: what the hosts of a cluster leave for the run that commits it, as Parquet in a folder that all reach.

A file of results is there whole or not at all, and says itself of which files it tells. So the results are also what
a run goes on from that was stopped: a list of what is done beside them could promise what is not there.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from birdsearch.export import parquet
from birdsearch.export.selection import Batch
from birdsearch.files import FileState, atomic_write
from birdsearch.indexing.clusters import Elsewhere
from birdsearch.indexing.embedder import EmbeddedPhoto
from birdsearch.indexing.outcomes import Costly, Rejected
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Provenance

Result = Elsewhere | Rejected | Costly

_LATE = 600 * 10**9  # nanoseconds that clocks may differ, and a file may be on its way
_DIGITS = 20
SUFFIX = ".parquet"
_COSTLY = "costly"  # a stage beside those of Rejected
_AGAIN = (_COSTLY, "read")  # what a later run has to find out anew
_FILE = [("id", pa.int64()), ("path_bytes", pa.binary()), ("size", pa.int64()), ("mtime_ns", pa.int64())]  # of exports
_STATE = [("ctime_ns", pa.int64()), ("inode", pa.int64()), ("etag", pa.string()), ("offset", pa.int64())]
_ENDED = [("stage", pa.string()), ("reason", pa.string()), ("provenance", pa.string())]
_NO_INDEX = Provenance("", ())  # what a label means is told by the index that takes the photos in


# Files that are to be read


def write_listing(path: Path, files: Sequence[tuple[int, FoundFile]]) -> None:
    """Lay down files with their places in the list of a run."""
    rows = [_row(place, file) for place, file in files]
    _put(path, pa.Table.from_pylist(rows, schema=pa.schema([*_FILE, *_STATE])))


def read_listing(path: Path) -> list[tuple[int, FoundFile]]:
    """The same."""
    return [(row["id"], _file(row)) for row in pq.read_table(path).to_pylist()]


def _row(place: int, file: FoundFile) -> dict[str, Any]:
    return {"id": place, "path_bytes": file.path, **asdict(file.state)}


def _file(row: dict[str, Any]) -> FoundFile:
    return FoundFile(row["path_bytes"], FileState(**{name: row[name] for name in FileState.__annotations__}))


# What became of them


def new_name() -> str:
    """The name of a new file of results: later ones sort behind it, as far as the clocks of hosts agree."""
    return f"{time.time_ns():0{_DIGITS}d}-{secrets.token_hex(4)}{SUFFIX}"


def before_all_to_come(name: str) -> str:
    """A name that sorts before all files of results that may still come once this one is there."""
    return f"{max(0, int(name[:_DIGITS]) - _LATE):0{_DIGITS}d}"


def write(path: Path, results: Sequence[tuple[int, Result]], dim: int) -> None:
    """Lay down what became of files, by their places in the list; vectors have `dim` numbers."""
    embedded = [(place, one) for place, one in results if isinstance(one, Elsewhere)]
    ended = [(place, one) for place, one in results if not isinstance(one, Elsewhere)]
    rows = [{**_row(place, one.file), **_why(one)} for place, one in ended]
    tables = [pa.Table.from_pylist(rows, schema=pa.schema([*_FILE, *_STATE, *_ENDED]))]
    if embedded:
        tables.append(_photos(embedded, dim))
    _put(path, pa.concat_tables(tables, promote_options="default"))


def _photos(embedded: Sequence[tuple[int, Elsewhere]], dim: int) -> pa.Table:
    """Rows of the export schema, and of the states of their files."""
    given = [one.embedded for _, one in embedded]
    photos = [replace(one.photo, id=place) for (place, _), one in zip(embedded, given, strict=True)]
    vectors, norms = np.stack([one.vector for one in given]), np.array([one.norm for one in given], np.float32)
    nothing: list[Any] = [None] * len(given)
    batch = Batch(photos, nothing, vectors, norms, [[] for _ in given], nothing)
    table = parquet.table_of(batch, parquet.schema_of(dim), _NO_INDEX)
    for name, kind in _STATE:
        table = table.append_column(name, pa.array([getattr(one.state, name) for _, one in embedded], kind))
    return table.append_column("provenance", pa.array([one.provenance for _, one in embedded], pa.string()))


def _why(ended: Rejected | Costly) -> dict[str, str]:
    if isinstance(ended, Costly):
        return {"stage": _COSTLY, "reason": ended.why}
    return {"stage": ended.stage, "reason": ended.reason}


def read(path: Path) -> list[Result]:
    """What became of files, in the order in which `read_files` names these."""
    table = pq.read_table(path)
    kept = table.filter(pc.is_null(table["stage"]))
    rows = parquet.Rows.of(kept.combine_chunks().to_batches()[0], 0) if len(kept) else None
    photos = [] if rows is None else rows.photos()
    results: list[Result] = []
    at = 0
    for row in table.select([name for name, _ in (*_FILE, *_STATE, *_ENDED)]).to_pylist():
        if row["stage"] is not None:
            file, stage, reason = _file(row), row["stage"], row["reason"]
            results.append(Costly(file, reason) if stage == _COSTLY else Rejected(file, stage, reason))
            continue
        assert rows is not None  # it holds this one
        photo = EmbeddedPhoto(replace(photos[at], id=None), rows.vectors[at], float(rows.norms[at]))
        results.append(Elsewhere(photo, _file(row).state, row["provenance"]))
        at += 1
    return results


def read_files(path: Path) -> list[tuple[int, FoundFile, bool]]:
    """The files that results tell of: place, file, and whether what is told holds for a later run too."""
    rows = pq.read_table(path, columns=[name for name, _ in (*_FILE, *_STATE, *_ENDED)]).to_pylist()
    return [(row["id"], _file(row), row["stage"] not in _AGAIN) for row in rows]


def _put(path: Path, table: pa.Table) -> None:
    with atomic_write(path) as file:
        pq.write_table(table, file)
