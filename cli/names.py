"""The command names: which AviList taxon each label or keyword of an index is matched to, and corrections of that."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.export.tables import photo_row
from birdsearch.records import counted

from . import options, output
from .labels import ORIGIN
from .options import Shared

if TYPE_CHECKING:
    from birdsearch.records import TaxonMatch

LISTED = 100  # names in a table
EXAMPLES = 3  # names in a note

From = Annotated[
    Path | None,
    options.file_option(
        "First read corrections from a CSV with the columns name and species, such as an edited one of names --csv. "
        "They replace all earlier corrections; an empty species leaves the name unmatched, yes in the column "
        "confirmed makes a guess certain.",
        "--from",
    ),
]
Several = Annotated[
    bool,
    typer.Option(
        "--several", help="List the photos that have no label, for keywords or a file of labels name several species."
    ),
]
Guessed = Annotated[bool, typer.Option("--guessed", help="Leave out names that are spelled as in AviList.")]


@options.command(formats=("json", "csv"))
def names(from_: From = None, guessed: Guessed = False, several: Several = False, *, shared: Shared) -> None:
    if several:
        if from_ is not None or guessed:
            raise typer.BadParameter("goes without --from and --guessed", param_hint="'--several'")
        _print_several(shared)
        return
    with shared.working("Looking the labels up") as index:
        saved = None if from_ is None else index.set_names(from_)
        matches = index.names()
    if saved is not None:
        output.note(f"{counted(saved, 'override')} saved")
    listed = [match for match in matches if match.method != "exact" or not guessed]
    if shared.json:
        output.print_json(listed)
    elif shared.csv:
        columns = ("name", "photos", "rank", "species", "english", "method", "confirmed", "candidates", "keyword")
        output.print_csv(columns, (
            (m.label, m.photos, m.rank, m.scientific, m.english, m.method, None, "; ".join(m.candidates),
             "yes" if m.is_keyword else None)
            for m in listed
        ))  # fmt: skip
    else:
        _print_names(matches, listed)
    if not matches:
        output.note(f"Next: birdsearch index DIR --labels folder{shared.index_option}")
    elif from_ is None and not shared.json:
        what = "Correct the column species" if shared.csv else "To correct names, edit the column species of --csv"
        output.note(
            f"{what} (empty: unmatched), or write yes into confirmed where a guess is right, then: "
            f"birdsearch names --from FILE{shared.index_option}"
        )


def _print_several(shared: Shared) -> None:
    with shared.open() as index:
        found, provenance = index.several_species(), index.provenance
        photos = index.photos(ids=[one.photo_id for one in found])
    if shared.json:
        output.print_json(found)
    elif shared.csv:
        columns = ("path", "id", "keywords", "species", *ORIGIN)
        output.print_csv(columns, (
            (one.path, one.photo_id, "; ".join(one.species), None, *photo_row(photo, ORIGIN, provenance))
            for one, photo in zip(found, photos, strict=True)
        ))  # fmt: skip
    elif found:
        rows = ([str(one.photo_id), ", ".join(one.species), one.path] for one in found)
        output.print_table(("id", "species", "path"), rows, numbers=("id",))
    else:
        output.say("of no photo without a label are several species named")
    if found and not shared.json:
        output.note(
            f"Write the right species into the column species of --csv, then: birdsearch label --from FILE"
            f"{shared.index_option}. Lines where it is empty change nothing."
        )


def _print_names(matches: "Sequence[TaxonMatch]", listed: "Sequence[TaxonMatch]") -> None:
    if not matches:
        output.say("no labelled photos in the index")
        return
    if listed:
        rows = [(m.label, f"{m.photos:,}", m.rank or "", _taxon(m), m.english or "", m.method) for m in listed[:LISTED]]
        output.print_table(("name", "photos", "rank", "species", "english", "method"), rows, numbers=("photos",))
        output.say("")
    if len(listed) > LISTED:
        output.note(f"Only the {LISTED} least certain of {len(listed):,} names are shown: --csv lists all.")
    methods = Counter(match.method for match in matches).most_common()
    output.say(f"{counted(len(matches), 'name')}: {', '.join(f'{count:,} {method}' for method, count in methods)}")


def _taxon(match: "TaxonMatch") -> str:
    """The taxon; of names that contradict each other, both."""
    if match.scientific is None and match.candidates:
        return " or ".join(match.candidates[:EXAMPLES]) + "?"
    return match.scientific or ""


def note_unlisted(matches: "Sequence[TaxonMatch]", shared: Shared) -> None:
    """Lines about labels that mean no bird, that AviList calls otherwise, or whose bird is a guess."""
    keywords = sorted(match.label for match in matches if match.is_keyword and match.method != "override")
    matches = [match for match in matches if not match.is_keyword]
    without = sorted(match.label for match in matches if match.rank is None and match.method != "override")
    guessed = sorted(m.label for m in matches if m.rank is not None and m.method in ("guess", "spelling"))
    other = sorted(m.label for m in matches if m.rank is not None and m.method == "synonym")
    for what, labels in (
        ("mean no bird", without),
        ("AviList has under another name", other),
        ("are matched to a bird by a guess", guessed),
        ("are none yet but keywords that may mean a bird", keywords),
    ):
        if labels:
            examples = ", ".join(labels[:EXAMPLES]) + (", …" if len(labels) > EXAMPLES else "")
            output.note(f"labels that {what}: {len(labels):,} ({examples})")
    if without or guessed or keywords:
        output.note(f"birdsearch names --guessed{shared.index_option} shows what they are matched to")
