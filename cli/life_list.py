"""The command list: what was seen, when and where."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.records import MONTHS, counted

from . import options, output
from .options import Shared

if TYPE_CHECKING:
    from birdsearch.records import LifeList, LifeListEntry

COLUMNS = (
    "photos", "species_count", "other_labels", "first_seen_count", "first", "last", "places", "best",
    *(month[:3].lower() for month in MONTHS), "undated", "unplaced",
)  # fmt: skip
DATES = ("first", "last")
NOT_KNOWN = "not known"

By = Annotated[
    Literal["species", "month", "year", "place", "photographer"],
    typer.Option(help="What each line is about. month shows in which months of the year each species was seen."),
]


@options.command(where=True, formats=("json", "csv", "html"))
def life_list(by: By = "species", *, shared: Shared) -> None:
    with shared.working("Collecting the list") as index:
        report = index.life_list(shared.where, by=by)
        best = {photo.id: photo.path for photo in index.photos(ids=[entry.best for entry in report.entries])}
        if shared.html is not None:
            from birdsearch.export.html import album, life_list

            page = life_list.life_list_page(report, album.of_life_list(index, report), origin=shared.origin)
            output.write_page(shared.html, page, shared.force)
    if shared.json:
        output.print_json(report)
    elif shared.csv:
        output.print_csv((by, *COLUMNS, "path"), (_row(entry, best) for entry in report.entries))
    else:
        _print(report, shared)


def _row(entry: "LifeListEntry", best: dict[int | None, str]) -> list[Any]:  # in the order of COLUMNS
    counts = [entry.photos, len(entry.species), len(entry.other), len(entry.first_seen)]
    facts = [*counts, entry.first, entry.last, len(entry.places)]
    return [entry.name, *facts, entry.best, *entry.months, entry.undated, entry.unplaced, best[entry.best]]


def _print(report: "LifeList", shared: Shared) -> None:
    if not report.photos:
        output.say("no photo fits the filter" if shared.where else "no photos")
        return
    for columns, rows in _tables(report):
        output.print_table(columns, rows, numbers=[column for column in columns[1:] if column not in DATES])
        output.say("")
    places = f" from {counted(len(report.places), 'place')}" if report.places else ""
    output.say(f"{report.count.words} on {counted(report.photos, 'photo')}{places}")
    for count, what in ((report.unnamed, "species"), (report.undated, "date"), (report.unplaced, "position")):
        if count:
            output.say(f"{counted(count, 'photo')} without a {what}")
    _note_names(report, shared)
    if shared.html is None:
        output.note(f"With pictures and a map: birdsearch list{shared.index_option} --html birds.html")


def _note_names(report: "LifeList", shared: Shared) -> None:
    """What to do about labels that were guessed, or that mean no species."""
    if report.guesses:
        output.note(f"counted as a species by a guess: {', '.join(report.guesses)}")
    if report.guesses or report.groups or report.no_birds:
        output.note(f"birdsearch names --guessed{shared.index_option} shows what labels mean, and how to correct it")


def _tables(report: "LifeList") -> Iterator[tuple[Sequence[str], Iterable[Sequence[str]]]]:
    """What to print; of a list of species what is no species apart."""
    if report.by == "month":
        yield _by_month(report)
    elif report.by != "species":
        yield _by_entry(report, report.entries, report.by)
    else:
        species = [entry for entry in report.entries if entry.name is None or entry.species]
        other = [entry for entry in report.entries if entry.name is not None and not entry.species]
        for name, entries in (("species", species), ("other label", other)):
            if entries:
                yield _by_entry(report, entries, name)


def _by_entry(
    report: "LifeList", entries: "Sequence[LifeListEntry]", name: str
) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    """A line for each entry."""
    several = report.by != "species"
    rows = []
    for entry in entries:
        counts = [entry.photos, *((len(entry.species), len(entry.first_seen)) if several else ()), len(entry.places)]
        dates = [(moment or "")[:10] for moment in (entry.first, entry.last)]
        rows.append([entry.name or NOT_KNOWN, *(f"{count:,}" for count in counts), *dates, str(entry.best)])
    return (name, "photos", *(("species", "new") if several else ()), "places", *DATES, "best"), rows


def _by_month(report: "LifeList") -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    """A line for each species, a column for each month, and last how many species and photos each month has."""
    of = {entry.name: entry for entry in report.entries}
    months = [*MONTHS, *([None] if None in of else [])]
    seen = [of[month].species if month in of else {} for month in months]
    rows = []
    for shown in (seen, [of[month].other if month in of else {} for month in months]):
        rows += [
            [name, *(f"{count:,}" if count else "·" for count in (kinds.get(name, 0) for kinds in shown))]
            for name in sorted({name for kinds in shown for name in kinds}, key=str.casefold)
        ]
    rows.append(["", *("" for _ in months)])
    rows.append(["species", *(f"{len(kinds):,}" for kinds in seen)])
    rows.append(["photos", *(f"{of[month].photos:,}" if month in of else "0" for month in months)])
    return ("species", *("no date" if month is None else month[:3] for month in months)), rows
