"""The commands export and import: photos leave an index, and enter one."""

from pathlib import Path
from typing import Annotated

import typer

from birdsearch.errors import IndexMissingError
from birdsearch.export.exporter import EXPORTERS
from birdsearch.records import ExportReport, counted

from . import formats, options, output
from .index import create
from .options import BackboneName, Shared
from .progress import progress


@options.command(where=True, formats=("json", "force"))
@formats.takes_format(EXPORTERS)
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; some formats write a folder of this name.")
    ],
    *,
    shared: Shared,
    chosen: formats.Chosen,
) -> None:
    with shared.open() as index, progress() as callback:
        how = {"format": chosen.exporter.name, "options": chosen.options, "force": shared.force}
        report = index.export(file, shared.where, **how, progress=callback)
    if report == ExportReport() and shared.where is not None:
        output.note("No photo fits the filter.")
    if shared.json:
        output.print_json(report)
        return
    output.say(f"{counted(report.written, 'photo')} written to {file}")
    for reason, count in report.left_out.items():
        output.note(f"{counted(count, 'photo')} left out: {reason}")
    for reason, count in report.unnamed.items():
        output.note(f"{counted(count, 'photo')} written without a species: {reason}")
    if report.rounded:
        output.note(f"coordinates of {counted(report.rounded, 'photo')} rounded")
    if hint := chosen.exporter.next_step(file, report):
        output.note(hint)


@options.command(formats=("json",))
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", help="A file that birdsearch export wrote.")],
    backbone: BackboneName = None,
    *,
    shared: Shared,
) -> None:
    import birdsearch
    from birdsearch.export.parquet import read_origin

    made_with = read_origin(file).backbone.name
    path = options.index_path(shared.index)
    try:
        opened = birdsearch.open(path, backbone=backbone)
    except IndexMissingError:
        opened = create(path, backbone or made_with)
    with opened, progress() as callback:
        report = opened.import_photos(file, progress=callback)
    if shared.json:
        output.print_json(report)
    else:
        output.print_summary(report)
    output.note_failures(report, f"birdsearch failures{shared.index_option}")
