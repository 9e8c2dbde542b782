"""How records are printed: tables for people, JSON and CSV for programs."""

import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import typer

from birdsearch.export.tables import write_rows
from birdsearch.export.target import csv_bytes, write_file
from birdsearch.records import AddReport, Match, Photo, Prediction, as_json, date_text, percent, shown

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

LISTED = 30  # rows of a table that may be cut
FAILURES_SHOWN = 5
SHORTEST_PATH = 24  # terminal cells
SHRINKABLE = ("path", "species", "english", "reason", "name", "class")  # columns that are shortened first


def printable(text: str) -> str:
    """A text on one line that cannot steer the terminal: control and direction characters become escapes."""
    text = shown(text)
    if text.isprintable():
        return text
    return "".join(c if c == " " or _is_plain(c) else c.encode("unicode_escape").decode() for c in text)


def _is_plain(character: str) -> bool:
    # Cf holds the direction marks (which reorder a line) but also the joiners that emoji and scripts need.
    return character in "\u200c\u200d" or unicodedata.category(character)[0] not in "CZ"


def note(text: str) -> None:
    """Print something beside the results, on standard error."""
    typer.echo("\n".join(printable(line) for line in text.splitlines()), err=True)


def fail(text: str) -> NoReturn:
    """End with exit code 1 after the results, because they are not as good as the user demands."""
    note(f"birdsearch: {text}")
    raise typer.Exit(1)


def say(text: str) -> None:
    """Print a line of the result."""
    typer.echo(printable(text))


def print_json(record: Any) -> None:
    """Print a record, or a list of them, as JSON."""
    import json

    def sign(found: re.Match[str]) -> str:
        return found[0] if _is_plain(found[0]) else json.dumps(found[0])[1:-1]  # the same to a program

    typer.echo(re.sub(r"[^\n -~]", sign, json.dumps(as_json(record), indent=2, ensure_ascii=False)))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as CSV, an unknown value as an empty field; a pipe gets every character as it is."""
    plain = (as_json(list(row)) for row in rows)
    if sys.stdout.isatty():
        plain = ([printable(cell) if isinstance(cell, str) else cell for cell in row] for row in plain)
    write_rows(sys.stdout, columns, plain)


class MiddleCut:
    """A path in a table: where there is no room it loses its middle, never the file's name first."""

    def __init__(self, text: str) -> None:
        self.text = printable(text)

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        from rich.cells import cell_len
        from rich.measure import Measurement

        width = cell_len(self.text)
        return Measurement(min(width, SHORTEST_PATH), width)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        yield Text(shorten(self.text, options.max_width), no_wrap=True, overflow="crop")


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that is wider than `width` terminal cells; its end gets two thirds of the room."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    room = width - 1
    tail = text
    while cell_len(tail) > (room * 2 + 2) // 3:
        tail = tail[1:]
    return set_cell_size(text, room - cell_len(tail)).rstrip() + "…" + tail


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table that fits the terminal: long columns share the room. A pipe gets everything in full."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in numbers else "left"
        table.add_column(column, justify=justify, no_wrap=column not in SHRINKABLE)
    for row in rows:
        cells = zip(columns, row, strict=True)
        table.add_row(
            *(
                MiddleCut(cell) if column == "path" else Text(printable(cell), no_wrap=True, overflow="ellipsis")
                for column, cell in cells
            )
        )
    _print(table)


def _print(table: Any) -> None:
    from rich.console import Console

    on_terminal = sys.stdout.isatty()
    # A pipe has no width, so nothing is cut there unless the user set one.
    width = None if on_terminal or os.environ.get("COLUMNS") else 4096
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def write_page(html: Path, page: str, force: bool) -> None:
    """Write a page that the user asked for, and note where it is."""
    write_file(html, page.encode("utf-8", "backslashreplace"), force=force)
    note(f"page written to {html}")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], force: bool) -> None:
    """Write rows as a CSV that opens in a spreadsheet and names every file byte by byte."""
    text = io.StringIO()
    write_rows(text, columns, rows)
    write_file(path, csv_bytes(text.getvalue()), force=force)


def print_heading(image: str, position: int, count: int) -> None:
    """The image that the next table is about, where there are several."""
    if position:
        say("")
    if count > 1:
        say(image)


def note_cut(count: int, things: str) -> None:
    """Note that a table is cut after LISTED rows, where it is."""
    if count > LISTED:
        note(f"Only the first {LISTED} of {count:,} {things} are shown: --csv lists all, --html shows them.")


# Records and numbers in words


def share(value: float | None) -> str:
    """A share as it is printed: "83 %"; nothing for None."""
    return "" if value is None else percent(value)


def score(value: float | None) -> str:
    """A score as it is printed: "0.953"; nothing for None."""
    return "" if value is None else f"{value:.3f}"


def photo_species(photo: Photo) -> str:
    """The species, or the network's first prediction with its probability."""
    first = photo.predictions[0] if photo.predictions else None
    if photo.species is not None and photo.species_source == "label":
        return photo.species
    if first is not None:
        return prediction_text(first)
    return photo.species or ""


def prediction_text(prediction: Prediction) -> str:
    """A prediction in a few words: "Turdus merula 83 %"."""
    return f"{prediction.name} {percent(prediction.probability)}"


def photo_date(photo: Photo) -> str:
    """When a photo was taken, to the minute."""
    return date_text((photo.taken_at or "")[:16])


def print_photos(photos: Sequence[Photo]) -> None:
    """The table of photos."""
    rows = ([str(photo.id), photo_species(photo), photo_date(photo), photo.path] for photo in photos)
    print_table(("id", "species", "taken", "path"), rows, numbers=("id",))


def print_matches(matches: Sequence[Match]) -> None:
    """The table of one answer."""
    print_table(("#", "score", "species", "taken", "path"), _match_rows(matches), numbers=("#", "score"))


def _match_rows(matches: Sequence[Match]) -> Iterator[list[str]]:
    for position, match in enumerate(matches, start=1):
        photo = match.photo
        yield [str(position), score(match.score), photo_species(photo), photo_date(photo), photo.path]


def print_predictions(predictions: Sequence[Prediction]) -> None:
    """A sentence where a photo is like none of the species, then the table of predictions."""
    for p in predictions:
        if p.rank == "abstain":
            say(f"Probably none of your species ({percent(p.probability)})")
    listed = [p for p in predictions if p.rank != "abstain"]
    columns, rows = ["#", "probability", "name"], [[str(p.position), percent(p.probability, 1), p.name] for p in listed]
    if any(p.class_name not in p.name for p in listed):
        columns.append("class")
        rows = [[*row, p.class_name] for row, p in zip(rows, listed, strict=True)]
    print_table(columns, rows, numbers=("#", "probability"))


def print_summary(report: AddReport) -> None:
    """The counts of a run: every file is in exactly one line above the total."""
    ignored = sum(report.ignored.values())
    reasons = ", ".join(f"{count} {printable(reason)}" for reason, count in sorted(report.ignored.items()))
    failed = len(report.failed)
    counts = [
        ("added", report.added, ""), ("changed", report.changed, ""), ("unchanged", report.unchanged, ""),
        ("moved", report.moved, ""), ("failed", failed, ""), ("ignored", ignored, reasons),
    ]  # fmt: skip
    total = sum(count for _, count, _ in counts)
    embedded = report.added + report.changed
    rate = f", {embedded / report.seconds:.0f} photos/s" if embedded and report.seconds > 0 else ""
    width = max(len(f"{total:,}"), len(f"{report.missing:,}"))
    for name, count, remark in counts:
        typer.echo(f"{name:<10} {count:>{width},}  {remark}".rstrip())
    typer.echo(f"{'files':<10} {total:>{width},}  in {report.seconds:.1f} s{rate}")
    if report.missing:
        remark = "photos whose file is gone or left out; they stay in the index, hidden (--prune removes them)"
        typer.echo(f"{'missing':<10} {report.missing:>{width},}  {remark}")


def note_failures(report: AddReport, more: str) -> None:
    """The first files that failed, why, and the command that lists them all."""
    for failure in report.failed[:FAILURES_SHOWN]:
        note(f"failed: {printable(failure.path)}: {failure.reason}")
    hidden = len(report.failed) - FAILURES_SHOWN
    if report.failed:
        note(f"{f'and {hidden:,} more; all of them' if hidden > 0 else 'all of them'}: {more}")
