"""Commands that build and keep an index."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from birdsearch.errors import IndexMissingError
from birdsearch.export.exporter import EXPORTERS
from birdsearch.records import counted

from . import formats, names, options, show
from .options import BackboneName, Csv, Device, IndexName, Json, Precision, Runtime
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.index import Index
    from birdsearch.records import Filter


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
        show.print_json(report)
    else:
        show.print_summary(report)
    show.note_failures(report, f"birdsearch failures{options.index_option(index)}")
    names.note_unlisted(unlisted, index)
    if not (report.added or report.changed or report.unchanged or report.moved or report.failed):
        show.note(
            "No photos there. birdsearch reads JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF and HEIC, hidden files aside."
        )
    elif report.added and not json:
        show.note(f"Next: birdsearch query PHOTO{options.index_option(index)}")
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
    show.note(
        f"New index {path}, with the built-in backbone {backbones.DEFAULT}: good for finding similar photos, but "
        f"it knows no species. --backbone takes one that does: {others}"
    )
    return backbones.DEFAULT


def info(index: IndexName = None, json: Json = False) -> None:
    """What an index holds and which backbone made it."""
    with options.open_index(index) as opened:
        facts = opened.info()
    if json:
        show.print_json(facts)
        return
    lines = _flat(facts)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        show.say(f"{name:<{width}}  {value}")


def _flat(facts: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines: `backbone name`, `backbone dim`."""
    lines: list[tuple[str, str]] = []
    for name, value in facts.items():
        words = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            lines += _flat(value, f"{words} ")
        elif isinstance(value, list | tuple):
            lines.append((words, ", ".join(str(item) for item in value)))
        else:
            lines.append((words, f"{value:,}" if type(value) is int else "" if value is None else str(value)))
    return lines


def failures(index: IndexName = None, json: Json = False, csv: Csv = False) -> None:
    """List the files that could not be indexed, and why."""
    options.only_one(json, csv)
    with options.open_index(index) as opened:
        failed = opened.failures()
    columns, rows = ("stage", "reason", "path"), [(f.stage, f.reason, f.path) for f in failed]
    if json:
        show.print_json(failed)
    elif csv:
        show.print_csv(columns, rows)
    elif rows:
        show.print_table(columns, rows)
    else:
        show.say("no failures")


@options.takes_filter
def remove(
    index: IndexName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    where: "Filter | None" = None,
) -> None:
    """Take photos out of an index. Their files stay where they are."""
    if where is None:
        raise typer.BadParameter("say which photos: give at least one of the options under “Which photos”")
    with options.open_index(index) as opened:
        count = len(opened.photos(where))
        if count == 0:
            show.say("no photo fits: nothing removed")
            return
        question = f"Take {count:,} of {len(opened):,} photos out of the index? (The files stay.)"
        if not yes and not typer.confirm(question, err=True):
            show.note("nothing removed")
            return
        show.say(f"removed {opened.remove(where):,}")


def optimize(
    index: IndexName = None,
    recall: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of the true ten nearest to be found.")] = 0.95,
    engine: Annotated[
        Literal["auto", "flat", "flat-fp16", "ivf", "hnsw"], typer.Option(help="Which engine; auto measures them.")
    ] = "auto",
    whiten: Annotated[
        bool | None,
        typer.Option("--whiten/--no-whiten", help="Whiten the vectors (fitted on this index's photos), or stop it."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure which engine answers fastest on your photos, and improve ranking with --whiten."""
    with options.open_index(index) as opened, progress() as tell:
        report = opened.optimize(recall=recall, engine=engine, whiten=whiten, progress=tell)
    if json:
        show.print_json(report)
        return
    columns = ("engine", "recall@10", "questions/s", "build", "size", "tried on")
    show.print_table(
        columns,
        [
            (
                trial.engine,
                f"{trial.recall:.4f}",
                f"{trial.queries_per_second:,.0f}",
                f"{trial.build_seconds:.1f} s",
                f"{trial.bytes / 1e6:,.0f} MB",
                f"{trial.rows:,}",
            )
            for trial in report.trials
        ],
    )
    show.say(f"engine: {report.engine}")
    if report.whitening:
        show.say(f"whitening: {report.whitening}")
    if report.recall_at_1_before is not None and report.recall_at_1_after is not None:
        before, after = report.recall_at_1_before, report.recall_at_1_after
        show.say(f"the nearest photo has the same label: {before:.1%} before, {after:.1%} now")


def verify(index: IndexName = None, json: Json = False) -> None:
    """Check every promise of an index; exit with 1 if one is broken."""
    with options.open_index(index) as opened:
        report = opened.verify()
    if json:
        show.print_json(report)
    else:
        for problem in report.problems:
            show.say(problem)
        if report.ok:
            show.say("ok")
    if not report.ok:
        show.note(f"Next: birdsearch repair{options.index_option(index)}")
        raise typer.Exit(1)


def repair(index: IndexName = None, json: Json = False) -> None:
    """Put right what verify finds; only what cannot be rebuilt is embedded again."""
    import birdsearch

    done = birdsearch.restore(options.index_path(index))
    with options.open_index(index) as opened, progress() as tell:
        done += opened.repair(tell)
    if json:
        show.print_json(done)
        return
    for line in done or ["nothing to repair"]:
        show.say(line)


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
        show.print_json(report)
        return
    show.say(f"{report.written:,} photos written to {file}")
    for reason, count in report.left_out.items():
        show.note(f"{counted(count, 'photo')} left out: {reason}")
    if report.rounded:
        show.note(f"coordinates of {counted(report.rounded, 'photo')} rounded")
    if hint := chosen.exporter.next_step(file, report):
        show.note(hint)


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
        show.print_json(report)
    else:
        show.print_summary(report)
    show.note_failures(report, f"birdsearch failures{options.index_option(index)}")
