"""The command new: which photos of a card or folder are not in the index yet, and copying them."""

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsearch.records import RELATIONS, bytes_text, counted

from . import options, output
from .options import Shared
from .output import LISTED
from .progress import MAKING_PAGE, progress, working

if TYPE_CHECKING:
    from birdsearch.records import CopyReport, FolderReport

COLUMNS = (
    "status", "path", "relation", "score", "id", "indexed", "remark", "taken_at", "width", "height", "size", "sha256",
    "copy",
)  # fmt: skip

Folder = Annotated[Path, typer.Argument(metavar="DIR", exists=True, help="A memory card, or another folder of photos.")]
CopyTo = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Copy the new photos here, with the files that belong to them. Every copy is checked; nothing is "
        "overwritten; the same command goes on where it was stopped.",
    ),
]


@options.command(formats=("json", "csv", "html"))
def new(folder: Folder, copy_to: CopyTo = None, *, shared: Shared) -> None:
    """Show which photos of a memory card or folder are not in the index yet. Adds nothing to the index."""
    import birdsearch

    if copy_to is not None and copy_to.resolve().is_relative_to(folder.resolve()):
        raise typer.BadParameter(f"lies in {folder}: name a folder outside it", param_hint="'--copy-to'")
    with shared.open() as index, progress() as callback:
        report = index.compare_folder(folder, progress=callback)
        copied = None if copy_to is None else birdsearch.copy_new(report, copy_to, callback)
    if shared.html is not None:
        from birdsearch.export.html import new_photos

        with working(MAKING_PAGE):
            page = new_photos.new_photos_page(report, origin=shared.origin)
        output.write_page(shared.html, page, shared.force)
    if shared.json:
        output.print_json({"compared": report, "copied": copied})
    elif shared.csv:
        output.print_csv(COLUMNS, _rows(report, copied))
    else:
        _print(report, copied)
    _note(report, copied)
    if copied is not None and (copied.copied or copied.present):
        copies = shlex.quote(str(copied.folder))
        output.note(f"Next: birdsearch index {copies}{shared.index_option}")
    if copied is not None and copied.failed:
        raise typer.Exit(1)


def _rows(report: "FolderReport", copied: "CopyReport | None") -> Iterator[list[Any]]:  # in the order of COLUMNS
    copies = dict((*copied.copied, *copied.present)) if copied is not None else {}
    for photo in report.new:
        facts = [photo.taken_at, photo.width, photo.height, photo.size, photo.sha256]
        yield ["new", photo.path, None, None, None, None, None, *facts, copies.get(photo.path)]
    for one in report.known:
        photo, indexed = one.photo, one.indexed
        facts = [photo.taken_at, photo.width, photo.height, photo.size, photo.sha256]
        yield [
            "known",
            photo.path,
            one.relation,
            one.score,
            indexed.id,
            indexed.path,
            "; ".join(one.more),
            *facts,
            None,
        ]
    for failure in report.failed:
        yield ["unreadable", failure.path, None, None, None, None, failure.reason, *[None] * 6]


def _print(report: "FolderReport", copied: "CopyReport | None") -> None:
    """New photos first, then those that the index has, and the counts."""
    if report.new:
        rows = [("new", output.photo_date(photo), photo.path) for photo in report.new[:LISTED]]
        output.print_table(("", "taken", "path"), rows)
        output.say("")
    if report.known:
        known = [(one.relation, one.photo.path, str(one.indexed.id), one.indexed.path) for one in report.known[:LISTED]]
        output.print_table(("relation", "path", "id", "indexed as"), known, numbers=("id",))
        output.say("")
    output.note_cut(max(len(report.new), len(report.known)), "photos")
    photos, have = len(report.new) + len(report.known), len(report.known)
    if not photos:
        output.say(f"no photos in {report.folder}")
    else:
        kinds = Counter(one.relation for one in report.known)
        words = ", ".join(f"{kinds[name]:,} {name}" for name in RELATIONS if kinds[name])
        output.say(
            f"of {counted(photos, 'photo')} in {report.folder} you have {have:,}{f' ({words})' if words else ''}; "
            f"{len(report.new):,} {'is' if len(report.new) == 1 else 'are'} new"
        )
    if copied is not None:
        output.say(
            f"copied {counted(len(copied.copied), 'photo')} and {counted(copied.companions, 'companion file')} "
            f"({bytes_text(copied.bytes)}) to {copied.folder}; {len(copied.present):,} were there already"
        )


def _note(report: "FolderReport", copied: "CopyReport | None") -> None:
    """What a person should know besides."""
    for failure in report.failed:
        output.note(f"unreadable: {output.printable(failure.path)}: {failure.reason}")
    for photo in (*report.new, *(one.photo for one in report.known)):
        if photo.damaged:
            output.note(f"damaged: {output.printable(photo.path)}: {photo.damaged}")
    if report.ignored:
        kinds = ", ".join(f"{count:,} {output.printable(reason)}" for reason, count in sorted(report.ignored.items()))
        output.note(f"not compared: {kinds}")
    for one in report.known:
        if one.more:
            output.note(f"more here than in the index: {output.printable(one.photo.path)}: {', '.join(one.more)}")
    if away := sum(not one.reachable for one in report.known):
        output.note(f"{counted(away, 'photo')} that you have lie in folders that are not there now")
    if report.unreadable:
        output.note(
            f"{counted(report.unreadable, 'photo')} of the index could not be read, so edited copies of them count as "
            "new: try again when their disk is there"
        )
    for failure in () if copied is None else copied.failed:
        output.note(f"not copied: {output.printable(failure.path)}: {failure.reason}")
