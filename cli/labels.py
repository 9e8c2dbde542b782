"""The commands audit, label and split: labels are checked, corrected and divided."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsearch.export.tables import photo_row, taxon_of
from birdsearch.export.target import check_target
from birdsearch.records import as_json, counted, date_text, percent

from . import options, output
from .options import Checklist, Seed, Shared
from .output import LISTED
from .progress import progress

if TYPE_CHECKING:
    from birdsearch import Index
    from birdsearch.records import AuditReport, LabelReport, SplitReport

ORIGIN = ("sha256", "index_id", "relative_path")  # what every table of labels says of a photo, beside id and path
ROUNDED = 0.011  # what three rounded shares may lack: 0.33,0.33,0.33
OFF = 0.03  # of a share from what was asked for, from which on it is noted
LISTS = ("train.csv", "validation.csv", "test.csv", "proof.csv")
LEAKAGE_COLUMNS = ("rule", "groups", "pairs", "violations", "not_compared")

From = Annotated[
    Path | None,
    options.file_option(
        "A CSV in which species were corrected or confirmed, of audit --csv, of the audit page, or of label --list "
        "--csv; what classify --csv printed; or your own, with the columns species and path or sha256.",
        "--from",
    ),
]
MinProbability = Annotated[
    float,
    typer.Option(
        metavar="P",
        callback=options.number_within("--min-probability", 0, 1),
        help="Take of a CSV of classify what is at least so probable.",
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Also list labels that a person has confirmed or corrected.")]
MaxSuspects = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Exit with 1 if more labels than this are doubtful, for automatic checks."),
]
As = Annotated[str | None, typer.Option("--as", metavar="SPECIES", help="The species that these photos show.")]
ListAll = Annotated[bool, typer.Option("--list", help="List every label, with its source, author and time.")]
Clear = Annotated[bool, typer.Option("--clear", help="Remove the labels that were set by hand.")]
Author = Annotated[str | None, typer.Option(metavar="NAME", help="Name recorded with the label.")]
Fractions = Annotated[
    str, typer.Option(metavar="A,B,C", help="Shares of train, validation and test that sum to 1, or parts: 8,1,1.")
]


# Audit and label


@options.command(where=True, formats=("json", "csv", "html"))
def audit(
    checklist: Checklist = None, again: Again = False, max_suspects: MaxSuspects = None, *, shared: Shared
) -> None:
    with shared.open() as index, progress() as callback:
        report = index.audit(shared.where, checklist=checklist or None, again=again, progress=callback)
        provenance, labelled = index.provenance, 0 if report.photos else index.info()["labelled"]
        if shared.html is not None:
            from birdsearch.export.html import album
            from birdsearch.export.html.species import audit_page

            chosen = album.of_audit(index, report, shared.where)
            page = audit_page(report, chosen, origin=shared.origin, provenance=provenance)
            output.write_page(shared.html, page, shared.force)
    if shared.json:
        output.print_json(report)
    elif shared.csv:
        columns = ("path", "id", "label", "proposed", "doubt", "reasons", "species", "confirmed", *ORIGIN)
        output.print_csv(columns, (
            (s.photo.path, s.photo.id, s.label, s.proposed, round(s.doubt, 4), "; ".join(s.reasons), None, None,
             *photo_row(s.photo, ORIGIN, provenance))
            for s in report.suspects
        ))  # fmt: skip
        output.note(
            "Write the right species into the column species, or yes into confirmed where the label is right, then: "
            f"birdsearch label --from FILE{shared.index_option}. Lines where both are empty change nothing."
        )
    else:
        _print_audit(report, labelled, shared)
    if max_suspects is not None and len(report.suspects) > max_suspects:
        output.fail(f"{counted(len(report.suspects), 'label')} are doubtful, more than --max-suspects {max_suspects:,}")


def _print_audit(report: "AuditReport", labelled: int, shared: Shared) -> None:
    if not report.photos:
        output.say("no photo has a label that can be checked")
        output.note_unlabelled(labelled, shared.index_option)
        return
    if report.suspects:
        rows = [
            (f"{s.doubt:.2f}", str(s.photo.id), s.label, s.proposed or "", s.photo.path, "; ".join(s.reasons))
            for s in report.suspects[:LISTED]
        ]
        columns = ("doubt", "id", "label", "proposed", "path", "reason")
        output.print_table(columns, rows, numbers=("doubt", "id"))
        output.say("")
        output.note_cut(len(report.suspects), "labels")
    doubtful, checked = counted(len(report.suspects), "doubtful label"), counted(report.photos, "labelled photo")
    output.say(f"{doubtful} among {checked}, in {report.seconds:.1f} s; nothing was changed")
    if report.lone:
        names, have = counted(len(report.lone), "label"), "has" if len(report.lone) == 1 else "have"
        output.note(
            f"{names} {have} a single photo, or photos of one moment: their nearest photos were asked, but no other "
            f"photo of the species could be: {output.some(report.lone)}"
        )
    if report.confirmed:
        output.note(f"{counted(report.confirmed, 'doubtful label')} that a person confirmed: --again lists them too")


@options.command(formats=("json", "csv"))
def label(
    photos: Annotated[list[str] | None, typer.Argument(metavar="[PHOTO...]", help="Paths or ids.")] = None,
    from_: From = None,
    as_: As = None,
    clear: Clear = False,
    list_: ListAll = False,
    author: Author = None,
    min_probability: MinProbability = 0.0,
    *,
    shared: Shared,
) -> None:
    if sum((from_ is not None, as_ is not None, clear, list_)) != 1:
        raise typer.BadParameter("give exactly one of --from FILE, --as SPECIES, --clear, --list")
    if (as_ is None and not clear) == bool(photos):
        raise typer.BadParameter("name photos with --as and --clear, and only with these")
    if (shared.json or shared.csv) and not list_:
        raise typer.BadParameter("--json and --csv go with --list")
    if as_ is not None and not as_.strip():
        raise typer.BadParameter("is empty: name a species, or remove a label with --clear", param_hint="'--as'")
    with shared.open() as index:
        if list_:
            _print_labels(index, shared)
        elif from_ is not None:
            output.say(_counts(index.label_from(from_, author=author, min_probability=min_probability)))
        else:
            output.say(_counts(index.label(dict.fromkeys(_ids(index, photos or []), as_), author=author)))


def _counts(report: "LabelReport") -> str:
    """What became of labels that were given by hand, in words."""
    more = {
        "confirmed": report.confirmed,
        "as they were": report.unchanged,
        "older than the correction that the index has, which stays": report.older,
        "of photos that are not in this index": report.unknown,
    }
    words = [f"{count:,} {what}" for what, count in more.items() if count]
    return ", ".join([f"{counted(report.changed, 'label')} changed", *words])


def _print_labels(index: "Index", shared: Shared) -> None:
    labels, provenance = {label.photo_id: label for label in index.labels()}, index.provenance
    about = (
        (labels[photo.id or 0], photo_row(photo, (*ORIGIN, "path"), provenance))
        for photo in index.each_photo(ids=labels)
    )
    if shared.json:
        output.print_json(as_json(label) | dict(zip((*ORIGIN, "path"), row, strict=True)) for label, row in about)
    elif shared.csv:
        # The column label tells an edited species from one that is as it was.
        columns = ("id", "label", "species", "source", "author", "created_at", *ORIGIN, "path")
        output.print_csv(columns, (
            (one.photo_id, one.species, one.species, one.source, one.author, one.created_at, *row)
            for one, row in about
        ))  # fmt: skip
    elif labels:
        given = sorted(labels.values(), key=lambda label: label.source != "correction")[:LISTED]
        photos = {photo.id: photo for photo in index.each_photo(ids=[label.photo_id for label in given])}
        rows = [
            (str(one.photo_id), one.species, one.source, one.author or "", _minute(one.created_at), photo.path)
            for one in given
            if (photo := photos.get(one.photo_id)) is not None
        ]
        output.print_table(("id", "species", "source", "author", "time", "path"), rows, numbers=("id",))
        if len(labels) > LISTED:
            output.note(f"Only the first {LISTED} of {len(labels):,} labels are shown: --csv lists all.")
    else:
        output.say("no labels")
        output.note(f"Next: birdsearch index DIR --labels folder{shared.index_option}")


def _minute(moment: str | None) -> str:
    return date_text((moment or "")[:16])


def _ids(index: "Index", named: Sequence[str]) -> Iterator[int]:
    """The ids of photos that are named by id or path."""
    for name in named:
        yield int(name) if name.isascii() and name.isdigit() and len(name) < 19 else index.find(name).id or 0


# Split


@options.command(where=True, formats=("json", "force"))
def split(
    out: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="The folder to write the lists to.")],
    fractions: Fractions = "0.8,0.1,0.1",
    seed: Seed = 0,
    *,
    shared: Shared,
) -> None:
    shares = _parse_fractions(fractions)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot be created: {error.strerror}", param_hint="'DIR'") from error
    for name in LISTS:
        check_target(out / name, force=shared.force)
    with shared.open() as index, progress() as callback:
        report = index.split(shared.where, fractions=shares, seed=seed, progress=callback)
        if not report.splits:
            output.fail("no photo to split: nothing was written")
        earlier = _earlier_lists(out, report.counts)
        now: dict[str, str] = {}
        columns = ("path", "species", "taxon", "english", "group", *ORIGIN)
        tables: dict[Path, Any] = {
            out / f"{name}.csv": (columns, _split_rows(index, report, name, now)) for name in report.counts
        }
        checks = ([getattr(check, column) for column in LEAKAGE_COLUMNS] for check in report.leakage)
        output.write_csvs({**tables, out / "proof.csv": (LEAKAGE_COLUMNS, list(checks))}, shared.force)
    if shared.json:
        output.print_json(report)
    else:
        _print_split(report, out, shares)
    _note_not_compared(report)
    _note_changes(earlier, now)


def _split_rows(index: "Index", report: "SplitReport", name: str, now: dict[str, str]) -> Iterator[Sequence[Any]]:
    """The lines of one list; notes in `now` that the photos of these bytes are in it."""
    provenance = index.provenance
    for photo in index.each_photo(ids=(number for number, part in report.splits.items() if part == name)):
        now[photo.sha256 or ""] = name
        taxon, group = taxon_of(photo.label, provenance.names), report.group_of.get(photo.id or 0)
        yield photo.path, photo.label, *taxon, group, *photo_row(photo, ORIGIN, provenance)


def _note_not_compared(report: "SplitReport") -> None:
    """That the proof has a hole; the lists are usable all the same, so the exit code stays 0."""
    unseen = sum(check.not_compared for check in report.leakage)
    if unseen:
        output.note(
            f"{counted(unseen, 'photo')} {'was' if unseen == 1 else 'were'} not compared, for their files are not here "
            "or cannot be read. Those that hashes or earlier comparisons take for copies stay together; other copies "
            "among them may be divided. With the files here, split again."
        )


def _earlier_lists(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Sha256 of a photo -> the list of a folder that has it; nothing where there are no lists yet."""
    earlier: dict[str, str] = {}
    for name in names:
        path = folder / f"{name}.csv"
        with suppress(OSError, UnicodeDecodeError, csv.Error), path.open(encoding="utf-8-sig") as file:
            earlier |= {row["sha256"]: name for row in csv.DictReader(file) if row.get("sha256")}
    return earlier


def _note_changes(earlier: Mapping[str, str], now: Mapping[str, str]) -> None:
    """How the lists differ from those that were in their place."""
    if not earlier:
        return
    moves = Counter((earlier[one], part) for one, part in now.items() if earlier.get(one, part) != part)
    words = [f"{count:,} from {before} to {after}" for (before, after), count in sorted(moves.items())]
    moved = f"{counted(moves.total(), 'photo')} changed sides" + (f" ({', '.join(words)})" if words else "")
    new, gone = (counted(len(one), "photo") for one in (now.keys() - earlier.keys(), earlier.keys() - now.keys()))
    output.note(f"Compared with the lists that were here: {new} new, {gone} gone, {moved}.")
    if moves:
        output.note(
            "Photos change sides when groups merge, when their species gets its first photo in train, and with other "
            "--fractions or --seed."
        )


def _parse_fractions(text: str) -> tuple[float, float, float]:
    def wrong(why: str) -> typer.BadParameter:
        return typer.BadParameter(
            f"{text!r} {why}: give three that sum to 1, such as 0.8,0.1,0.1, or parts such as 8,1,1",
            param_hint="'--fractions'",
        )

    try:
        first, second, third = (float(piece) for piece in text.split(","))
    except ValueError:
        raise wrong("is not three numbers") from None
    if not (min(first, second, third) >= 0 and 0 < first + second + third < float("inf")):
        raise wrong("are not fractions")
    parts = all(share.is_integer() for share in (first, second, third))
    if not parts and abs(first + second + third - 1) > ROUNDED:
        raise wrong(f"sum to {first + second + third:g}, not to 1")
    return first, second, third


def _print_split(report: "SplitReport", out: Path, shares: Sequence[float]) -> None:
    photos = max(sum(report.counts.values()), 1)
    asked = [share / sum(shares) for share in shares]
    rows: list[tuple[str, ...]] = []
    for name, count in report.counts.items():
        species = report.species[name].species
        path = str(out / f"{name}.csv")
        rows.append((name, f"{count:,}", percent(count / photos), f"{species:,}", path))
    output.print_table(("split", "photos", "share", "species", "path"), rows, numbers=("photos", "share", "species"))
    output.say("")
    columns = LEAKAGE_COLUMNS[:-1]
    checks = [(c.rule, f"{c.groups:,}", f"{c.pairs:,}", f"{c.violations:,}") for c in report.leakage]
    output.print_table(columns, checks, numbers=columns[1:])
    output.say("")
    output.say(
        f"{counted(report.groups, 'group')}; {counted(report.followed, 'photo')} went where the rest of a group went, "
        f"{report.for_training:,} to train so that every species is there"
    )
    untested = sorted(name for name, counts in report.per_species.items() if not counts.get("test"))
    if untested and report.counts.get("test"):
        output.note(
            f"{len(untested):,} of {counted(len(report.per_species), 'label')} have no photo in test: "
            f"{output.some(untested)}"
        )
    shares_met = zip(report.counts.values(), asked, strict=False)  # no counts without photos
    if any(abs(count / photos - share) > OFF for count, share in shares_met):
        output.note("The shares are drawn by lot, group by group: another --seed gives others. A seed stays as it is.")
