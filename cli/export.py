"""Commands that exchange photos with other tools and other indexes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.errors import IndexMissingError
from birdsearch.export.exporter import EXPORTERS
from birdsearch.records import counted

from . import formats, options, output
from .index import _create
from .options import BackboneName, IndexName, Json
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import Filter


@options.takes_filter
@formats.takes_format(EXPORTERS)
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; some formats make a folder of this name.")
    ],
    index: IndexName = None,
    json: Json = False,
    where: "Filter | None" = None,
    chosen: "formats.Chosen | None" = None,
) -> None:
    """Write photos with species, predictions and vectors for other tools."""
    assert chosen is not None  # takes_format gives it
    with options.open_index(index) as opened, progress() as tell:
        report = opened.export(file, where, format=chosen.exporter.name, options=chosen.options, progress=tell)
    if json:
        output.print_json(report)
        return
    output.say(f"{report.written:,} photos written to {file}")
    for reason, count in report.left_out.items():
        output.note(f"{counted(count, 'photo')} left out: {reason}")
    if report.rounded:
        output.note(f"coordinates of {counted(report.rounded, 'photo')} rounded")
    if hint := chosen.exporter.next_step(file, report):
        output.note(hint)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", help="A file that birdsearch export wrote.")],
    index: IndexName = None,
    backbone: BackboneName = None,
    json: Json = False,
) -> None:
    """Add the photos of an exported file to an index without embedding them again; a missing index is made."""
    import birdsearch
    from birdsearch.export.parquet import read_origin

    made_with = read_origin(file).backbone.name
    path = options.index_path(index)
    try:
        opened = birdsearch.open(path, backbone=backbone)
    except IndexMissingError:
        opened = _create(path, backbone or made_with)
    with opened:
        report = opened.import_photos(file)
    if json:
        output.print_json(report)
    else:
        output.print_summary(report)
    output.note_failures(report, f"birdsearch failures{options.index_option(index)}")
