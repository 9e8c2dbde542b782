"""The lines of a CSV or the rows of a Parquet file, as people and programs write them."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.records import shown
from birdsearch.sheets import columns_named, read_csv

_ROWS = 4096  # of a Parquet file that are read at a time


def is_parquet(file: Path) -> bool:
    """Whether a table is a Parquet file, by its name."""
    return file.suffix.lower() == ".parquet"


def table_rows(
    file: Path, required: Sequence[str], any_of: Sequence[str] = (), *, optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """What `read_csv` gives, also of a Parquet file, which is read a part at a time. Raises InputFileError."""
    if not is_parquet(file):
        yield from read_csv(file, required, any_of, optional=optional)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = shown(str(file))
    try:
        with pq.ParquetFile(file) as table:
            wanted = (*required, *any_of, *optional)
            named = columns_named(table.schema_arrow.names, wanted)
            columns = {one: table.schema_arrow.names[named.index(one)] for one in wanted if one in named}
            missing = [one for one in required if one not in columns]
            missing += [any_of[-1]] if any_of and not columns.keys() & set(any_of) else []
            if missing:
                raise InputFileError(f"{name}: no column {' and no column '.join(missing)}.")
            batches = table.iter_batches(_ROWS, columns=list(dict.fromkeys(columns.values())))
            for number, row in enumerate(chain.from_iterable(batch.to_pylist() for batch in batches), start=1):
                yield number, {one: _text(row[column]) for one, column in columns.items()}
    except InputFileError:
        raise
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise InputFileError(f"{name} cannot be read: {error}.") from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return os.fsdecode(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
