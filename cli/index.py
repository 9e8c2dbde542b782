"""Commands that build and keep an index."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.errors import IndexMissingError

from . import names, options, output
from .options import BackboneName, Device, IndexName, Json, Precision, Runtime
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.index import Index


def index(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of photos, or single photos.")],
    index: IndexName = None,
    backbone: BackboneName = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="none|folder|FILE.csv",
            help="Where species names come from: the name of a photo's folder, or a CSV with the columns path and "
            "species. Remembered: leaving it out keeps what was chosen before.",
        ),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget photos whose file is gone.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file failed.")] = False,
    runtime: Runtime = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Add folders of photos to an index. It is made when it does not exist; files that did not change cost nothing."""
    from birdsearch.photos import scan

    if labels not in (None, "none", "folder") and not Path(labels).is_file():
        raise typer.BadParameter(f"{labels!r} is neither none nor folder nor a CSV file", param_hint="'--labels'")
    scan.scan([os.fsencode(folder.absolute()) for folder in folders])  # a wrong folder shows before anything is made
    path = options.index_path(index)
    with open_or_create(path, backbone, runtime, device, precision) as opened, progress() as tell:
        report = opened.add(folders, labels=labels, prune=prune, progress=tell)
        unlisted = opened.unlisted_names() if labels not in (None, "none") else []
    if json:
        output.print_json(report)
    else:
        output.print_summary(report)
    output.note_failures(report, f"birdsearch failures{options.index_option(index)}")
    names.note_unlisted(unlisted, index)
    if not (report.added or report.changed or report.unchanged or report.moved or report.failed):
        output.note(
            "No photos there. birdsearch reads JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF and HEIC, hidden files aside."
        )
    elif report.added and not json:
        output.note(f"Next: birdsearch query PHOTO{options.index_option(index)}")
    if strict and report.failed:
        raise typer.Exit(1)


def open_or_create(
    path: Path, backbone: str | None, runtime: Runtime = "auto", device: Device = "auto", precision: Precision = "auto"
) -> "Index":
    """The index at a path, made with the chosen (or built-in) backbone when it is missing."""
    import birdsearch

    try:
        return birdsearch.open(path, backbone=backbone, runtime=runtime, device=device, precision=precision)
    except IndexMissingError:
        return _create(path, backbone or _unchosen(path), runtime, device, precision)


def _create(
    path: Path, backbone: str, runtime: Runtime = "auto", device: Device = "auto", precision: Precision = "auto"
) -> "Index":
    """A new index; the weights may have to be downloaded first."""
    import birdsearch

    with progress() as tell:
        loaded = birdsearch.load_backbone(backbone, runtime=runtime, device=device, precision=precision, progress=tell)
    return birdsearch.create(path, backbone=loaded, runtime=runtime, device=device, precision=precision)


def _unchosen(path: Path) -> str:
    """The backbone of a new index for which none was named; says so where it is the built-in one."""
    from birdsearch import backbones

    preferred = os.environ.get("BIRDSEARCH_BACKBONE")
    if preferred:
        return preferred
    others = ", ".join(backbones.BIRD_BACKBONES)
    output.note(
        f"New index {path}, with the built-in backbone {backbones.DEFAULT}: good for finding similar photos, but "
        f"it knows no species. --backbone takes one that does: {others}"
    )
    return backbones.DEFAULT
