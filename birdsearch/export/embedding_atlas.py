"""The format of Embedding Atlas: thumbnails, a map and neighbours in one Parquet file."""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from birdsearch.export.selection import MappedBatch, NoOptions, Selection
from birdsearch.export.tables import photo_row
from birdsearch.export.target import new_file
from birdsearch.records import ExportReport, Provenance, as_json

_COLUMNS = {
    "id": "int64", "path": "string", "species": "string", "taxon": "string", "english": "string", "label": "string",
    "predicted": "string", "probability": "float64", "taken_at": "string", "camera": "string", "latitude": "float64",
    "longitude": "float64", "rating": "int32", "width": "int32", "height": "int32",
}  # fmt: skip
_LONGEST = 200  # pixels, of a thumbnail
_NEIGHBOURS = 10  # of each photo


class EmbeddingAtlas:
    """Photos for Embedding Atlas."""

    name = "embedding-atlas"
    suffix = ".parquet"
    help = "thumbnails, a map and neighbours"
    options = NoOptions

    def write(self, photos: Selection, path: Path, options: NoOptions) -> ExportReport:
        """Write one row for each photo, with a thumbnail where its file is still a photo."""
        return ExportReport(write_atlas(path, photos.mapped(_NEIGHBOURS), photos.provenance, photos.tell_again))

    def next_step(self, path: Path, report: ExportReport) -> str:
        """The command that shows the map; Embedding Atlas draws none of a single photo."""
        if report.written < 2:
            return ""
        return f"Next: embedding-atlas {shlex.quote(str(path))} --image image --x x --y y --neighbors neighbors"


def write_atlas(
    path: Path,
    batches: Iterable[MappedBatch],
    provenance: Provenance | None = None,
    at_each: Callable[[], None] = lambda: None,
) -> int:
    """Write a Parquet file with thumbnails, a map and neighbours, whole or not at all; returns how many photos.

    `at_each` is called at each photo.
    """
    import pyarrow as pa  # slow to load, and --help lists this format
    import pyarrow.parquet as pq

    from birdsearch.photos.decode import thumbnails

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    near = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
    drawn = [("image", image), ("x", pa.float32()), ("y", pa.float32()), ("neighbors", near)]
    schema = pa.schema([*_COLUMNS.items(), *drawn])
    count = 0
    why = "Embedding Atlas reads a file with another ending as another format"
    with new_file(path, ".parquet", why) as file, pq.ParquetWriter(file, schema) as writer:
        for batch in batches:
            known = (photo_row(photo, tuple(_COLUMNS), provenance) for photo in batch.photos)
            rows = [dict(zip(_COLUMNS, as_json(row), strict=True)) for row in known]
            pictures = thumbnails([photo.path for photo in batch.photos], _LONGEST)
            coordinates, ids = batch.coordinates.tolist(), batch.neighbours.ids.tolist()
            distances = (1 - batch.neighbours.scores).clip(min=0)  # rounding must not put a copy nearer than itself
            for row, picture, (x, y), others, away in zip(rows, pictures, coordinates, ids, distances, strict=True):
                at_each()
                shown = None if picture is None else {"bytes": picture, "path": row["path"]}
                row |= {"image": shown, "x": x, "y": y, "neighbors": {"ids": others, "distances": away}}
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += len(rows)
    return count
