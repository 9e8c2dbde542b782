"""How records are printed: tables for people, JSON and CSV for programs."""

import io
import os
import re
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import typer

from birdsearch.words import counted, date_text, percent, shown

# What every command loads to say something must be quick to load: what prints records loads those.
if TYPE_CHECKING:
    from rich.console import Console

    from birdsearch.records import (
        AddReport,
        Explanation,
        Match,
        Photo,
        Prediction,
        ReembedReport,
        RegionReport,
    )

GAP = 2  # cells between the columns of a table
MOST_NAMED = 10  # in a sentence
LISTED = 30  # rows of a table that may be cut
FAILURES_SHOWN = 5
PAIRS = 8  # of places that look alike
READY_SECONDS = 2  # that need no words
LONGEST = 2000  # characters of a message: what was typed or read may be of any length
# Columns that are folded where there is no room; none is cut.
FOLDED = frozenset(
    (
        "path",
        "indexed as",
        "species",
        "label",
        "proposed",
        "nearest",
        "confused with",
        "english",
        "reason",
        "name",
        "class",
        "file",
        "adds",
    )
)
WIDE = frozenset(("path", "indexed as", "reason"))  # of those the ones that get twice as much of the room
LEAST_WIDTH = 8  # of a folded column, in the narrowest terminal


def printable(text: str) -> str:
    """A text on one line that cannot steer the terminal: control and direction characters become escapes."""
    text = shown(text)
    if text.isprintable():
        return text
    return "".join(c if c == " " or _is_plain(c) else c.encode("unicode_escape").decode() for c in text)


def _is_plain(character: str) -> bool:
    # Cf holds the direction marks (which reorder a line) but also the joiners that emoji and scripts need.
    return character in "\u200c\u200d" or unicodedata.category(character)[0] not in "CZ"


# The words that name the index of this run, for commands that the library proposes: it does not know --index.
index_option: ContextVar[str] = ContextVar("index_option", default="")


# What the user typed, for the footers of pages.
command_line: ContextVar[str] = ContextVar("command_line", default="birdsearch")


def with_index(message: str) -> str:
    """A message of the library in which every proposed command names the index of this run."""
    option = index_option.get()
    return re.sub(
        r"`birdsearch (?!(?:backbones|export|import|indexes)\b)[a-z]+[^`]*`",
        lambda found: found[0] if not option or "--index" in found[0] else f"{found[0][:-1]}{option}`",
        message,
    )


def one_line(message: str) -> str:
    """A message on one line: a line break in it belongs to a file's name. What happened stands at both ends."""
    line = printable(with_index(message))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def note(text: str) -> None:
    """Print something beside the results, on standard error."""
    typer.echo("\n".join(printable(line) for line in text.splitlines()), err=True)


def fail(text: str) -> NoReturn:
    """End with exit code 1 after the results, because they are not as good as the user demands."""
    note(f"birdsearch: {text}")
    raise typer.Exit(1)


def end_failed(errors: Mapping[int, Exception]) -> None:
    """End with exit code 1, after the answers for the others, where images could not be read; says which and why."""
    for error in errors.values():
        note(one_line(f"birdsearch: {error}"))
    if errors:
        raise typer.Exit(1)


def answers(results: Sequence[tuple[str, Any]], what: str, errors: Mapping[int, Exception]) -> list[dict[str, Any]]:
    """Images and their answers as JSON has them; an image that could not be read has an error."""
    return [
        {"query": image, what: answer} | ({"error": str(errors[number])} if number in errors else {})
        for number, (image, answer) in enumerate(results)
    ]


def say(text: str) -> None:
    """Print a line of the result."""
    typer.echo(printable(text))


def print_json(record: Any) -> None:
    """Print a record, or a list of them, as JSON; the records of an iterator one after the other, as they come."""
    if not isinstance(record, Iterator):
        typer.echo(_json(record))
        return
    before = "["
    for one in record:
        typer.echo(before + textwrap.indent(f"\n{_json(one)}", "  "), nl=False)
        before = ","
    typer.echo("[]" if before == "[" else "\n]")


def _json(record: Any) -> str:
    import json

    from birdsearch.records import as_json

    def sign(found: re.Match[str]) -> str:
        return found[0] if _is_plain(found[0]) else json.dumps(found[0])[1:-1]  # the same to a program

    return re.sub(r"[^\n -~]", sign, json.dumps(as_json(record), indent=2, ensure_ascii=False))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as CSV, an unknown value as an empty field; a pipe gets every character as it is."""
    from birdsearch.export.tables import write_rows
    from birdsearch.records import as_json

    plain = (as_json(list(row)) for row in rows)
    if sys.stdout.isatty():
        plain = ([printable(cell) if isinstance(cell, str) else cell for cell in row] for row in plain)
    write_rows(sys.stdout, columns, plain)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table that fits the terminal: long columns share the room, and are folded, never cut.

    Where there is not enough room, the folder that all paths share is said once above, and a reason stands below its
    path. A pipe gets everything in full.
    """
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    listed = [[printable(cell) for cell in row] for row in rows]
    console, names = _console(), list(columns)

    def widths() -> list[int]:
        return [max(map(cell_len, column)) for column in zip(names, *listed, strict=True)]

    def is_too_wide() -> bool:
        return sum(widths()) + GAP * (len(names) - 1) > console.width

    if "path" in names and is_too_wide():
        _drop_shared_folder(listed, names.index("path"))
        if "reason" in names and is_too_wide():
            _put_reasons_below(names, listed)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for name, width in zip(names, _fitting(names, widths(), console.width), strict=True):
        justify: Literal["left", "right"] = "right" if name in numbers else "left"
        table.add_column(name, justify=justify, no_wrap=name not in FOLDED, max_width=width)
    for row in listed:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    with console.capture() as capture:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _fitting(columns: Sequence[str], widths: Sequence[int], room: int) -> list[int]:
    """Widths with which a table fits into so many cells: folded columns that need more than a fair share get that."""
    found = list(widths)
    room -= GAP * (len(columns) - 1)
    open_ = {number: 2 if name in WIDE else 1 for number, name in enumerate(columns) if name in FOLDED}
    room -= sum(width for number, width in enumerate(widths) if number not in open_)
    while open_:
        share = max(room, 0) / sum(open_.values())
        small = [number for number, weight in open_.items() if widths[number] <= share * weight]
        for number in small or open_:
            found[number] = widths[number] if small else max(LEAST_WIDTH, int(share * open_[number]))
        if not small:
            break
        room -= sum(widths[number] for number in small)
        open_ = {number: weight for number, weight in open_.items() if number not in small}
    return found


def _put_reasons_below(columns: list[str], rows: list[list[str]]) -> None:
    """Move the reason of each row below its path."""
    path, reason = columns.index("path"), columns.index("reason")
    for row in rows:
        row[path] = "\n".join(filter(None, (row[path], row[reason])))
        del row[reason]
    del columns[reason]


def _drop_shared_folder(rows: list[list[str]], column: int) -> None:
    """Take the folder that all paths of a column lie in out of them, and print it."""
    try:
        shared = os.path.commonpath([os.path.dirname(row[column]) for row in rows])
    except ValueError:  # no rows, or relative paths among absolute ones
        return
    if os.path.dirname(shared) == shared:
        return  # nothing, or the root
    say(f"paths below {shared}:")
    for row in rows:
        row[column] = row[column][len(shared) + 1 :]


def _console() -> "Console":
    from rich.console import Console

    # A pipe has no width, so nothing is cut there unless the user set one.
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 4096
    return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)


def confirmed(question: str) -> bool:
    """The answer to a question; where nobody can give one, the command ends with 1."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        note("nothing was done, as nobody can answer here: give --yes to go on without the question")
        raise typer.Exit(1) from None


def write_page(html: Path, page: str, force: bool) -> None:
    """Write a page that the user asked for, and note where it is."""
    from birdsearch.export.target import write_file

    write_file(html, page.encode("utf-8", "backslashreplace"), force=force)
    note(f"page written to {html}")


def some(names: Sequence[str]) -> str:
    """Names for a sentence: all of a few, the first ten of many."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(printable, names[:MOST_NAMED])) + more


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], force: bool) -> None:
    """Write rows as a CSV that opens in a spreadsheet and names every file byte by byte."""
    write_csvs({path: (columns, rows)}, force)


def write_csvs(tables: Mapping[Path, tuple[Sequence[str], Iterable[Sequence[Any]]]], force: bool) -> None:
    """The same for columns and rows of several files: if one of them has the mark of UTF-8, all have."""
    from birdsearch.export.tables import write_rows
    from birdsearch.export.target import csv_bytes, write_file

    texts: dict[Path, str] = {}
    for path, (columns, rows) in tables.items():
        write_rows(text := io.StringIO(), columns, rows)
        texts[path] = text.getvalue()
    marked = not all(text.isascii() for text in texts.values())
    for path, written in texts.items():
        write_file(path, csv_bytes(written, marked=marked), force=force)


def print_heading(image: str, position: int, count: int) -> None:
    """The image that the next table is about, where there are several."""
    if position:
        say("")
    if count > 1:
        say(image)


def note_unlabelled(labelled: int, index_option: str) -> None:
    """What to do where labels are too few to compare; `labelled` photos have one."""
    if labelled:
        note(f"{counted(labelled, 'photo')} with a label, none of which has another photo of its species to compare.")
    else:
        note(f"Next: birdsearch index DIR --labels folder{index_option}")


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


def photo_species(photo: "Photo") -> str:
    """The species, or the network's first prediction with its probability."""
    first = photo.predictions[0] if photo.predictions else None
    if photo.species is not None and photo.species_source == "label":
        return photo.species
    if first is not None:
        return prediction_text(first)
    return photo.species or ""


def prediction_text(prediction: "Prediction") -> str:
    """A prediction in a few words: "Turdus merula 83 %"."""
    return f"{prediction.name} {percent(prediction.probability)}"


def photo_date(photo: "Photo") -> str:
    """When a photo was taken, to the minute."""
    return date_text((photo.taken_at or "")[:16])


def print_photos(photos: "Sequence[Photo]") -> None:
    """The table of photos."""
    rows = ([str(photo.id), photo_species(photo), photo_date(photo), photo.path] for photo in photos)
    print_table(("id", "species", "taken", "path"), rows, numbers=("id",))


def print_matches(matches: "Sequence[Match]") -> None:
    """The table of one answer."""
    from birdsearch.records import FRAME

    heading = "text score" if any(match.score_kind == "text" for match in matches) else "score"  # of another kind
    columns, rows = ["#", heading, "id", "species", "taken", "path"], list(_match_rows(matches))
    parts = [match.region for match in matches if match.region is not None and match.region.kind != FRAME]
    if parts:
        columns.insert(-1, "region")
        for row, match in zip(rows, matches, strict=True):
            row.insert(-1, f"{match.region.kind} {match.region.box.rounded}" if match.region in parts else "")
    print_table(columns, rows, numbers=("#", heading, "id"))


def _match_rows(matches: "Sequence[Match]") -> Iterator[list[str]]:
    for position, match in enumerate(matches, start=1):
        photo = match.photo
        yield [str(position), score(match.score), str(photo.id), photo_species(photo), photo_date(photo), photo.path]


def print_explanation(explanation: "Explanation") -> None:
    """The score, how many places it comes from, and the places that look most alike."""
    say(f"score {score(explanation.score)}")
    if explanation.exact:
        first, second = explanation.places_of_half
        say(
            f"Half of it comes from {first} of {explanation.share.size} places of the first photo, "
            f"and {second} of {explanation.share_of_match.size} of the second."
        )
    else:
        note(explanation.note)
    if explanation.pairs:
        say("places that look most alike, from the left and the top:")
        columns = ("#", "similarity", "first photo", "second photo")
        print_table(columns, _pair_rows(explanation), numbers=columns)


def _pair_rows(explanation: "Explanation") -> Iterator[list[str]]:
    for position, pair in enumerate(explanation.pairs[:PAIRS], start=1):
        places = (", ".join(map(percent, place)) for place in (pair.place, pair.place_in_match))
        yield [str(position), score(pair.similarity), *places]


def print_predictions(predictions: "Sequence[Prediction]") -> None:
    """A sentence where a photo is like none of the species, then the table of predictions."""
    for p in predictions:
        if p.rank == "abstain":
            say(f"Probably none of your species ({percent(p.probability)}). If it is one of them:")
    listed = [p for p in predictions if p.rank != "abstain"]
    columns, rows = ["#", "probability", "name"], [[str(p.position), percent(p.probability, 1), p.name] for p in listed]
    if any(p.class_name not in p.name for p in listed):
        columns.append("class")
        rows = [[*row, p.class_name] for row, p in zip(rows, listed, strict=True)]
    print_table(columns, rows, numbers=("#", "probability"))


def print_summary(report: "AddReport", *, pruned: bool = False, ready_after: float = 0.0) -> None:
    """The counts of a run: every file is in exactly one line above the total.

    `pruned`: missing photos were removed. `ready_after`: seconds that passed before, to make the network ready.
    """
    ignored = sum(report.ignored.values())
    reasons = ", ".join(f"{count} {printable(reason)}" for reason, count in sorted(report.ignored.items()))
    failed = len(report.failed)
    counts = [
        ("added", report.added, ""), ("changed", report.changed, ""), ("unchanged", report.unchanged, ""),
        ("moved", report.moved, ""), ("paired", report.paired, "RAW, sidecars and the like that go with photos"),
        ("failed", failed, ""), ("ignored", ignored, reasons),
    ]  # fmt: skip
    counts = [each for each in counts if each[0] != "paired" or report.paired]
    total = sum(count for _, count, _ in counts)
    embedded = report.added + report.changed
    rate = f", {embedded / report.seconds:.0f} photos/s" if embedded and report.seconds > 0 else ""
    before = f", after {ready_after:.0f} s to make the network ready" if ready_after >= READY_SECONDS else ""
    width = max(len(f"{total:,}"), len(f"{report.missing:,}"))
    for name, count, remark in counts:
        typer.echo(f"{name:<10} {count:>{width},}  {remark}".rstrip())
    typer.echo(f"{'files':<10} {total:>{width},}  in {report.seconds:.1f} s{rate}{before}")
    if report.missing:
        photos, stay = ("photo", "it stays") if report.missing == 1 else ("photos", "they stay")
        name, remark = "forgotten", f"{photos} whose file is gone or left out"
        if not pruned:
            name, remark = "missing", f"{remark}; {stay} in the index, hidden (--prune removes them)"
        typer.echo(f"{name:<10} {report.missing:>{width},}  {remark}")
    print_regions(report.regions)


def print_regions(report: "RegionReport", tell: Callable[[str], None] = say) -> None:
    """What became of boxes, where there were any; `tell` is `note` where the answer is for another program."""
    counts = [("new", report.boxes), ("unchanged", report.unchanged), ("removed", report.removed)]
    counts += [("found", report.found), ("embedded", report.embedded), ("failed", len(report.failed))]
    words = [f"{count:,} {name}" for name, count in counts if count]
    words += [f"{count:,} {printable(reason)}" for reason, count in report.left_out.items()]
    if report.searched:
        words.append(f"{counted(report.searched, 'photo')} searched")
    if report.predicted:
        words.append(f"predictions of {counted(report.predicted, 'photo')}")
    if words:
        tell(f"{'regions':<10} {', '.join(words)}")
    for failure in report.failed[:FAILURES_SHOWN]:
        note(f"no vector for the regions of {printable(failure.path)}: {failure.reason}. The next run tries again.")


def note_failures(report: "AddReport | ReembedReport", more: str) -> None:
    """The first files that failed, why, and the command that lists them all."""
    for failure in report.failed[:FAILURES_SHOWN]:
        note(f"failed: {printable(failure.path)}: {failure.reason}")
    hidden = len(report.failed) - FAILURES_SHOWN
    if report.failed:
        note(f"{f'and {hidden:,} more; all of them' if hidden > 0 else 'all of them'}: {more}")
