"""Commands about labels: which are doubtful, how to correct them, how well they are learnt, how to divide them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.errors import PhotoUnknownError
from birdsearch.records import counted

from . import options, output
from .options import OUTPUT, Csv, Html, IndexName, Json
from .progress import progress
from .species import LISTED, Seed, _more, _share

if TYPE_CHECKING:
    from birdsearch.index import Index
    from birdsearch.records import AuditReport, Evaluation, Filter, SplitReport

PROOF = ("must stay together", "groups", "pairs", "parted")


Checklist = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Species to be expected, one a line, scientific or English (repeatable).",
    ),
]


Author = Annotated[str | None, typer.Option(metavar="NAME", help="Who says so; kept with the label.")]


@options.takes_filter
def audit(
    index: IndexName = None,
    checklist: Checklist = None,
    json: Json = False,
    csv: Csv = False,
    html: Html = None,
    where: "Filter | None" = None,
) -> None:
    """List the labels that may be wrong, worst first, each with reasons. Changes nothing; label --from does."""
    options.only_one(json, csv)
    with options.open_index(index) as opened, progress() as tell:
        report = opened.audit(where, checklist=checklist or None, progress=tell)
        if html is not None:
            from birdsearch.export.html import album
            from birdsearch.export.html.species import audit_page

            output.write_page(html, audit_page(report, album.of_audit(opened, report, where)))
    if json:
        output.print_json(report)
    elif csv:
        columns = ("path", "id", "label", "proposed", "doubt", "reasons", "species")
        output.print_csv(columns, (
            (s.photo.path, s.photo.id, s.label, s.proposed, round(s.doubt, 4), "; ".join(s.reasons), None)
            for s in report.suspects
        ))  # fmt: skip
        output.note("Write what a photo shows into the column species, then: birdsearch label --from FILE"
                  f"{options.index_option(index)}. Lines left empty change nothing.")  # fmt: skip
    else:
        _print_audit(report, index)


def _print_audit(report: "AuditReport", index: str | None) -> None:
    if not report.photos:
        output.say("no photo has a label that could be judged")
        output.note(f"Next: birdsearch index DIR --labels folder{options.index_option(index)}")
        return
    if report.suspects:
        rows = [
            (f"{s.doubt:.2f}", str(s.photo.id), s.label, s.proposed or "", s.photo.path, "; ".join(s.reasons))
            for s in report.suspects[:LISTED]
        ]
        columns = ("doubt", "id", "label", "proposed", "path", "reason")
        output.print_table(columns, rows, numbers=("doubt", "id"))
        output.say("")
        _more(len(report.suspects), "labels")
    count = counted(len(report.suspects), "doubtful label")
    output.say(
        f"{count} among {counted(report.photos, 'labelled photo')}, in {report.seconds:.1f} s; nothing was changed"
    )


def label(
    photos: Annotated[list[str] | None, typer.Argument(metavar="[PHOTO...]", help="Paths or ids.")] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A CSV with the columns species and id or path, such as a corrected one of audit --csv.",
        ),
    ] = None,
    as_: Annotated[str | None, typer.Option("--as", metavar="SPECIES", help="What these photos show.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the corrected labels of these photos.")] = False,
    author: Author = None,
    index: IndexName = None,
) -> None:
    """Say what photos show; this counts above the names of folders and CSV files, and stays when they change."""
    said = [
        name for name, given in (("--from", from_), ("--as", as_), ("--clear", clear)) if given not in (None, False)
    ]
    if len(said) != 1:
        raise typer.BadParameter("give exactly one of --from FILE, --as SPECIES, --clear")
    if (from_ is None) == (not photos):
        raise typer.BadParameter("name photos with --as and --clear, and none with --from")
    if as_ is not None and not as_.strip():
        raise typer.BadParameter("is empty: name a species, or take a label back with --clear", param_hint="'--as'")
    with options.open_index(index) as opened:
        if from_ is not None:
            changed = opened.label_from(from_, author=author)
        else:
            changed = opened.label(dict.fromkeys(_ids(opened, photos or []), as_), author=author)
    output.say(f"{counted(changed, 'photo')} changed")


def _ids(opened: "Index", named: Sequence[str]) -> list[int]:
    """The ids of photos that are named by id or path."""
    ids = [int(name) for name in named if name.isascii() and name.isdigit()]
    paths = [os.path.abspath(name) for name in named if not (name.isascii() and name.isdigit())]
    if paths:
        held = {photo.path: photo.id for photo in opened.photos() if photo.id is not None}
        for path in paths:
            if path not in held:
                raise PhotoUnknownError(
                    f"the index holds no photo {path}. birdsearch photos lists them, with their ids"
                )
            ids.append(held[path])
    return ids


@options.takes_filter
def evaluate(index: IndexName = None, json: Json = False, csv: Csv = False, where: "Filter | None" = None) -> None:
    """Measure how well the labelled photos know each other, each asked as if it were not there."""
    options.only_one(json, csv)
    with options.open_index(index) as opened:
        result = opened.evaluate(where)
    if json:
        output.print_json(result)
    elif csv:
        columns = list(dict.fromkeys(name for known in result.per_species.values() for name in known))
        rows = ([name, *(known.get(column) for column in columns)] for name, known in result.per_species.items())
        output.print_csv(("species", *columns), rows)
    else:
        _print_evaluation(result, index)


def _print_evaluation(result: "Evaluation", index: str | None) -> None:
    output.say(f"photos asked          {result.photos:,}")
    if not result.photos:
        output.note("Two photos of one species must have a label, or nobody can be asked.")
        output.note(f"Next: birdsearch index DIR --labels folder{options.index_option(index)}")
    else:
        _print_figures(
            ("nearest is right", result.recall_at_1),
            ("one of 5 is right", result.recall_at_5),
            ("mean avg. precision", result.mean_average_precision),
            ("classified right", result.knn_accuracy),
            ("among first five", result.knn_accuracy_top5),
            ("calibration error", result.calibration_error),
        )
    if result.backbone_photos:
        output.say(f"backbone asked about  {result.backbone_photos:,} (photos whose label is one of its classes)")
        _print_figures(
            ("its first is right", result.backbone_accuracy),
            ("its calibration error", result.backbone_calibration_error),
            ("same, --calibrate", result.backbone_calibration_error_scaled),
            ("its temperature", result.temperature),
        )
    if result.photos:
        output.say(f"in {result.seconds:.1f} s")


def _print_figures(*figures: tuple[str, float | None]) -> None:
    for words, value in figures:
        output.say(f"{words:<21} {'not known' if value is None else f'{value:.3f}'}")


@options.takes_filter
def split(
    out: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="Where the lists go.")],
    fractions: Annotated[str, typer.Option(metavar="A,B,C", help="Of train, validation and test.")] = "0.8,0.1,0.1",
    seed: Seed = 0,
    index: IndexName = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)] = False,
    where: "Filter | None" = None,
) -> None:
    """Write train.csv, validation.csv and test.csv; no duplicate, burst or outing of one observer lies on two sides."""
    wanted = _fractions(fractions)
    with options.open_index(index) as opened, progress() as tell:
        report = opened.split(where, fractions=wanted, seed=seed, progress=tell)
        photos = {photo.id: photo for photo in opened.photos(where)}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot be made: {error.strerror}", param_hint="'DIR'") from error
    for side in report.counts:
        chosen = [photos[number] for number, where_to in report.splits.items() if where_to == side and number in photos]
        output.write_csv(out / f"{side}.csv", ("path", "species"), [(photo.path, photo.label) for photo in chosen])
    rules = [(check.rule, check.groups, check.pairs, check.violations) for check in report.leakage]
    output.write_csv(out / "proof.csv", PROOF, rules)
    if json:
        output.print_json(report)
        return
    _print_split(report, out)


def _fractions(given: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(piece) for piece in given.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{given!r} is not three numbers: such as 0.8,0.1,0.1", param_hint="'--fractions'"
        ) from None
    if not (min(first, second, third) >= 0 and 0 < first + second + third < float("inf")):
        raise typer.BadParameter(f"{given!r} are not fractions: such as 0.8,0.1,0.1", param_hint="'--fractions'")
    return first, second, third


def _print_split(report: "SplitReport", out: Path) -> None:
    everyone = max(sum(report.counts.values()), 1)
    rows = [
        (side, f"{count:,}", _share(count / everyone), f"{_species_on(report, side):,}", str(out / f"{side}.csv"))
        for side, count in report.counts.items()
    ]
    output.print_table(("side", "photos", "share", "species", "path"), rows, numbers=("photos", "share", "species"))
    output.say("")
    rules = [(p.rule, f"{p.groups:,}", f"{p.pairs:,}", f"{p.violations:,}") for p in report.leakage]
    output.print_table(PROOF, rules, numbers=PROOF[1:])


def _species_on(report: "SplitReport", side: str) -> int:
    return sum(counts.get(side, 0) > 0 for counts in report.per_species.values())
