"""Exporters: one object for each format in which photos leave an index, and the registry of them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from birdsearch.errors import OutputFileError
from birdsearch.export.camtrap_dp import CamtrapDp
from birdsearch.export.coco_camera_traps import CocoCameraTraps
from birdsearch.export.darwin_core import DarwinCore
from birdsearch.export.ebird import EBird
from birdsearch.export.embedding_atlas import EmbeddingAtlas
from birdsearch.export.fiftyone import FiftyOne
from birdsearch.export.inaturalist import INaturalist
from birdsearch.export.parquet import Parquet
from birdsearch.export.selection import Selection
from birdsearch.export.tables import Csv
from birdsearch.export.target import check_target
from birdsearch.records import ExportReport, Filter, Progress, shown

if TYPE_CHECKING:
    from birdsearch.storage.store import Store


class Exporter(Protocol):
    """A format. To add one, write a class in its own file and list it in `EXPORTERS`.

    A `Selection` is an iterator of photos: a `write` that needs no more may ask for `Iterator[Photo]`.
    """

    name: str  # what --format takes
    suffix: str  # how its files end, ".csv"; empty for a folder
    help: str  # one line
    options: type[Any]  # a frozen dataclass; every field has a default and `metadata={"help": ...}`

    def write(self, photos: Selection, path: Path, options: Any) -> ExportReport:
        """Write the photos, whole or not at all (`target.new_file`, `target.new_folder`)."""

    def next_step(self, path: Path, report: ExportReport) -> str:
        """What the user can do with the result, one line; empty where there is nothing to say."""


EXPORTERS: dict[str, Exporter] = {
    exporter.name: exporter
    for exporter in (
        Parquet(),
        Csv(),
        EmbeddingAtlas(),
        FiftyOne(),
        CamtrapDp(),
        DarwinCore(),
        CocoCameraTraps(),
        INaturalist(),
        EBird(),
    )
}


def exporter_of(path: Path, format: str | None = None, exporters: Mapping[str, Exporter] = EXPORTERS) -> Exporter:
    """The exporter of a format; where none is named, of the one called as a file's name ends: birds.csv.

    Raises OutputFileError for a name that says another format or none, ValueError for an unknown format.
    """
    if format is not None and format not in exporters:
        raise ValueError(f"format must be one of {', '.join(exporters)}, got {format!r}")
    ending = path.suffix.lower()
    by_name = next((exporter for exporter in exporters.values() if exporter.suffix == ending != ""), None)
    called = {f".{name}": exporter for name, exporter in exporters.items()}
    chosen = called.get(ending) if format is None else exporters[format]
    if chosen is not None and (by_name is None or chosen.suffix == ending):
        return chosen
    endings = " or ".join(one for one, exporter in called.items() if one == exporter.suffix)
    if chosen is None:
        why = f"its name does not say in which format. Let it end in {endings}, or name a format"
        raise OutputFileError(f"cannot write {shown(str(path))}: {why} ({', '.join(exporters)}).")
    what = f"let it end in {chosen.suffix}" if chosen.suffix else "name a folder"
    raise OutputFileError(f"cannot write {shown(str(path))}: its name does not say {chosen.name}; {what}.")


def export(
    store: "Store",
    path: Path,
    where: Filter | None = None,
    format: str | None = None,
    options: Any = None,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> ExportReport:
    """Write the photos that satisfy the filter by `exporter_of`; `options` are those of the format.

    Raises ValueError for an unknown format, OutputFileError where the file cannot be written.
    """
    # A folder that a format fills: it is the exporter that knows whether it may.
    if format is None or not os.path.isdir(path):
        check_target(path, force=force)
    exporter = exporter_of(path, format)
    chosen = exporter.options() if options is None else options
    if type(chosen) is not exporter.options:  # not even one with more, which might tell what this format must not
        raise TypeError(f"options of {exporter.name} must be {exporter.options.__name__}, got {type(chosen).__name__}")
    with store.catalog.snapshot():
        return exporter.write(Selection(store, where, progress), path, chosen)
