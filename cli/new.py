"""The command new: what of a card or folder is not on this computer yet, and copying it."""

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsearch.errors import PhotoMissingError, missing_file_error
from birdsearch.records import RELATIONS, bytes_text, counted

from . import options, output
from .options import Shared
from .output import LISTED
from .progress import MAKING_PAGE, progress, working

if TYPE_CHECKING:
    from birdsearch.records import CopyReport, FolderReport, KnownPhoto

COLUMNS = (
    "status", "path", "relation", "score", "id", "indexed", "remark", "taken_at", "width", "height", "size", "sha256",
    "copy",
)  # fmt: skip

NOT_HERE, THERE = "not on this computer", "there already"

Folder = Annotated[str, typer.Argument(metavar="DIR", help="A memory card, or another folder of photos.")]
CopyTo = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Copy here what is not on this computer: new photos with the files that belong to them, RAW files, "
        "movies and all else. Every copy is checked; nothing is overwritten; the same command goes on where it was "
        "stopped. Exits with 1 if something of DIR is not on this computer afterwards.",
    ),
]


@options.command(formats=("json", "csv", "html"))
def new(folder: Folder, copy_to: CopyTo = None, *, shared: Shared) -> None:
    import birdsearch

    if not options.is_url(folder) and not os.path.lexists(folder):
        raise PhotoMissingError(f"{missing_file_error(os.path.abspath(folder), 'file or folder')} Is the card in?")
    if copy_to is not None and copy_to.resolve().is_relative_to(Path(folder).resolve()):
        raise typer.BadParameter(f"lies in {folder}: name a folder outside it", param_hint="'--copy-to'")
    with shared.open() as index, progress() as callback:
        report = index.compare_folder(folder, progress=callback)
        copied = None if copy_to is None else birdsearch.copy_new(report, copy_to, callback)
    if shared.html is not None:
        from birdsearch.export.html import new_photos

        with working(MAKING_PAGE):
            page = new_photos.new_photos_page(report, copied, origin=shared.origin)
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
    if copied is not None and (copied.failed or copied.left(report)):
        raise typer.Exit(1)


def _rows(report: "FolderReport", copied: "CopyReport | None") -> Iterator[list[Any]]:  # in the order of COLUMNS
    copies = dict((*copied.copied, *copied.present, *copied.others)) if copied is not None else {}
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
            "; ".join(_more(one)),
            *facts,
            copies.get(photo.path),
        ]
    for other in report.others:
        status, facts = NOT_HERE if other.there is None else THERE, [None] * 3
        where = [None, None, None, other.there, other.kind]
        yield [status, other.path, *where, *facts, other.size, other.sha256, copies.get(other.path)]
    for failure in report.unreached:
        yield ["unreadable", failure.path, None, None, None, None, failure.reason, *[None] * 6]


def _more(one: "KnownPhoto") -> tuple[str, ...]:
    """What of a known photo is on the card alone."""
    return one.more if one.elsewhere else (*one.more, "the index has this very file, and no other one")


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
    if report.others:
        # What is at risk comes first.
        others = [
            (NOT_HERE if other.there is None else THERE, other.path, other.kind, other.there or "")
            for other in sorted(report.others, key=lambda other: other.there is not None)[:LISTED]
        ]
        output.print_table(("other files", "path", "what", "where"), others)
        output.say("")
    output.note_cut(max(len(report.new), len(report.known), len(report.others)), "files")
    _print_counts(report)
    if copied is not None:
        output.say(
            f"copied {counted(len(copied.copied), 'photo')} and {counted(copied.companions, 'other file')} "
            f"({bytes_text(copied.bytes)}) to {copied.folder}; "
            f"{len(copied.present) + len(copied.others) - copied.companions:,} were there already"
        )
    _print_left(report, copied)


def _print_counts(report: "FolderReport") -> None:
    """How many photos and other files there are, and how many of them are known."""
    photos, have = len(report.new) + len(report.known), len(report.known)
    if not photos:
        output.say(f"no photos in {report.folder}")
    else:
        kinds = Counter(one.relation for one in report.known)
        words = ", ".join(f"{kinds[name]:,} {name}" for name in RELATIONS if kinds[name])
        output.say(
            f"of {counted(photos, 'photo')} in {report.folder} you have {have:,}{f' ({words})' if words else ''}; "
            f"{len(report.new):,} {_be(len(report.new))} new"
        )
    if report.others:
        broken = {failure.path for failure in report.failed}
        kinds = Counter("unreadable" if one.path in broken else one.kind for one in report.others)
        away = sum(one.there is None for one in report.others)
        there = len(report.others) - away
        output.say(
            f"of {counted(len(report.others), 'other file')} there ({_listed(kinds.items())}) "
            f"{there:,} {_be(there)} {THERE}; {away:,} {_be(away)} {NOT_HERE}"
        )


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _print_left(report: "FolderReport", copied: "CopyReport | None") -> None:
    """Whether all of the folder is on this computer now: what a person asks who wants to empty a card."""
    left = report.only_here if copied is None else copied.left(report)
    if left:
        still = "" if copied is None else "still "
        output.say(f"{counted(len(left), 'file')} of {report.folder} {_be(len(left))} {still}{NOT_HERE}")
    elif report.new or report.known or report.others:
        but = "".join(f"; {words}" for words in report.reservations)
        output.say(f"all of {report.folder} is on this computer{but}")


def _listed(kinds: Iterable[tuple[str, int]]) -> str:
    """Kinds of files with their number: "3 camera RAW, 1 video"."""
    return ", ".join(f"{count:,} {output.printable(kind)}" for kind, count in sorted(kinds))


def _note(report: "FolderReport", copied: "CopyReport | None") -> None:
    """What a person should know besides."""
    for failure in report.failed:
        output.note(f"unreadable: {output.printable(failure.path)}: {failure.reason}")
    for photo in (*report.new, *(one.photo for one in report.known)):
        if photo.damaged:
            output.note(f"damaged: {output.printable(photo.path)}: {photo.damaged}")
    if report.ignored:
        output.note(f"left out: {_listed(report.ignored.items())}")
    for one in report.known:
        if more := _more(one):
            output.note(f"only here: {output.printable(one.photo.path)}: {', '.join(more)}")
    if away := sum(not one.reachable for one in report.known):
        output.note(f"{counted(away, 'photo')} that you have lie in folders that are not there now")
    if report.unreadable:
        output.note(
            f"{counted(report.unreadable, 'photo')} of the index could not be read, so edited copies of them count as "
            "new: try again when their disk is there"
        )
    for failure in () if copied is None else copied.failed:
        output.note(f"not copied: {output.printable(failure.path)}: {failure.reason}")
