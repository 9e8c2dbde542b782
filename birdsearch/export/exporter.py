"""Exporters: one object for each format in which photos leave an index, and the registry of them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from birdsearch.export.embedding_atlas import EmbeddingAtlas
from birdsearch.export.fiftyone import FiftyOne
from birdsearch.export.parquet import Parquet
from birdsearch.export.selection import Selection
from birdsearch.export.tables import Csv
from birdsearch.export.target import check_target
from birdsearch.records import ExportReport, Filter, Progress

if TYPE_CHECKING:
    from birdsearch.storage.store import Store


class Exporter(Protocol):
    """A format. To add one, write a class in its own file and list it in `EXPORTERS`.

    A `Selection` is an iterator of photos: a `write` that needs no more may ask for `Iterator[Photo]`.
    """

    name: str  # what --format takes
    help: str  # one line
    options: type[Any]  # a frozen dataclass; every field has a default and `metadata={"help": ...}`

    def write(self, photos: Selection, path: Path, options: Any) -> ExportReport:
        """Write the photos, whole or not at all (`target.new_file`, `target.new_folder`)."""

    def next_step(self, path: Path, report: ExportReport) -> str:
        """What the user can do with the result, one line; empty where there is nothing to say."""


EXPORTERS: dict[str, Exporter] = {
    exporter.name: exporter for exporter in (Parquet(), Csv(), EmbeddingAtlas(), FiftyOne())
}


def export(
    store: "Store",
    path: Path,
    where: Filter | None = None,
    format: str = "parquet",
    options: Any = None,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> ExportReport:
    """Write the photos that satisfy the filter in one of the `EXPORTERS`; `options` are those of the format.

    Raises ValueError for an unknown format, OutputFileError where the file cannot be written.
    """
    if format not in EXPORTERS:
        raise ValueError(f"format must be one of {', '.join(EXPORTERS)}, got {format!r}")
    exporter = EXPORTERS[format]
    chosen = exporter.options() if options is None else options
    if not isinstance(chosen, exporter.options):
        raise TypeError(f"options of {format} must be {exporter.options.__name__}, got {type(chosen).__name__}")
    if not os.path.isdir(path):  # else it is the exporter that knows whether it may fill the folder
        check_target(path, force=force)
    with store.catalog.snapshot():
        return exporter.write(Selection(store, where, progress), path, chosen)
