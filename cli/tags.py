"""The command tags: what is known of photos, into their files, where other programs read it."""

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from birdsearch.records import TAG_FIELDS, TagChange, TagPlan, as_json, counted

from . import options, output
from .options import Shared
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import ActionReport

Into = Annotated[
    Literal["auto", "sidecar", "file"],
    typer.Option(
        help="Where tags go: into the XMP sidecar of a photo, or into the photo's own file. auto takes the sidecar "
        "that is there, else makes one: IMG.xmp of a RAW, IMG.jpg.xmp of other photos."
    ),
]
Fields = Annotated[
    str,
    typer.Option(metavar="LIST", help="What is written: the species, stars where a file has none, or both."),
]
Predictions = Annotated[
    bool,
    typer.Option(
        "--predictions",
        help="For photos without a label write the predicted species below birdsearch|unverified, and nowhere else.",
    ),
]
Apply = Annotated[bool, typer.Option("--apply", help="Write it. birdsearch undo takes it back.")]
_HIDDEN = {"XMP-photoshop:SidecarForExtension", "Photoshop:IPTCDigest"}  # for programs alone
_SEEN_BY = (
    "To see it in Lightroom: Metadata > Read Metadata from File (it reads no sidecar of a JPEG: --into file); in "
    'digiKam: Item > Reread Metadata From File; in darktable: selected images > refresh EXIF, or start it with "look '
    'for updated XMP files" set.'
)


@options.command(where=True, formats=("json",))
def tags(
    into: Into = "auto",
    fields: Fields = "species,rating",
    predictions: Predictions = False,
    apply: Apply = False,
    *,
    shared: Shared,
) -> None:
    named = [name.strip() for name in fields.split(",")]
    for name in named:
        if name not in TAG_FIELDS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(TAG_FIELDS)}", param_hint="'--fields'")
    with shared.open() as index:
        with progress() as callback:
            plan = index.tags(shared.where, into=into, fields=named, predictions=predictions, progress=callback)
        if not apply:
            _print_plan(plan, shared)
            return
        with progress() as callback:
            report = index.write_tags(plan, progress=callback)
    _print_report(plan, report, shared)
    if report.failed or plan.skipped:
        raise typer.Exit(1)


def _print_plan(plan: TagPlan, shared: Shared) -> None:
    if shared.json:
        output.print_json(plan)
        return
    if plan.changes:
        listed = plan.changes[: output.LISTED]
        rows = ([str(one.photo_id), one.path, _file(one), _added(one)] for one in listed)
        output.print_table(("id", "path", "file", "adds"), rows, numbers=("id",))
        if len(plan.changes) > len(listed):
            output.note(f"Only the first {len(listed)} of {len(plan.changes):,} files are shown: --json lists all.")
    _print_counts(plan)
    if plan.changes:
        output.note(f"Next: {output.command_line.get()} --apply")


def _file(change: TagChange) -> str:
    """What is written, which lies beside its photo."""
    if change.file == change.path:
        return "itself"
    name = os.path.basename(change.file)
    return name if change.sha256 is not None else f"{name} (new)"


def _added(change: TagChange) -> str:
    """The values, each once, as people read them."""
    said: dict[str, None] = {}
    for name, values in change.added.items():
        if name not in _HIDDEN:
            said |= dict.fromkeys(f"{value} stars" if name == "XMP-xmp:Rating" else value for value in values)
    return ", ".join(said)


def _print_counts(plan: TagPlan) -> None:
    output.say(f"{'to write':<10} {counted(len(plan.changes), 'photo')}")
    if plan.complete:
        output.say(f"{'complete':<10} {counted(plan.complete, 'photo')} whose file has all of it")
    for reason, photos in plan.left_out.items():
        output.say(f"{'left out':<10} {counted(photos, 'photo')}: {reason}")
    _note_skipped(plan.skipped)
    if plan.unsure:
        output.note(
            f"labels that are not the sure name of a species, written as they stand: {output.some(plan.unsure)}. "
            "birdsearch names corrects that."
        )


def _print_report(plan: TagPlan, report: "ActionReport", shared: Shared) -> None:
    if shared.json:
        output.print_json({"plan": as_json(plan), "report": as_json(report)})
        return
    output.say(f"wrote tags of {counted(report.done, 'photo')} in {report.seconds:.1f} s")
    _note_skipped((*plan.skipped, *report.skipped))
    if report.done:
        output.note(_SEEN_BY)
        output.note(f"To take it back: birdsearch undo {report.run}{shared.index_option}")


def _note_skipped(skipped: tuple[tuple[str, str], ...]) -> None:
    for path, reason in skipped[: output.FAILURES_SHOWN]:
        output.note(f"skipped: {output.printable(path)}: {reason}")
    if len(skipped) > output.FAILURES_SHOWN:
        output.note(f"and {len(skipped) - output.FAILURES_SHOWN:,} more: --json lists them all")
