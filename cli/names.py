"""The command about names: what the labels of an index are taken for, and corrections of that."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output
from .options import Csv, IndexName, Json

if TYPE_CHECKING:
    from birdsearch.records import TaxonMatch

LISTED = 100  # names that are enough to look at in a table
TOLD = 3  # that are named as examples


def names(
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="First take in what names mean, from a CSV with the columns name and species, such as a corrected one "
            "of names --csv. It replaces what was taken in before; an empty species keeps a name unresolved.",
        ),
    ] = None,
    guessed: Annotated[
        bool, typer.Option("--guessed", help="Leave out the names that are spelled as AviList spells them.")
    ] = False,
    index: IndexName = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Show which birds the labels of an index are taken for, the least sure first; --from corrects that."""
    options.only_one(json, csv)
    with options.open_index(index) as opened:
        if from_ is not None:
            output.note(f"names with a meaning of their own: {opened.set_names(from_):,}")
        found = opened.names()
    listed = [name for name in found if name.method != "exact" or not guessed]
    if json:
        output.print_json(listed)
    elif csv:
        columns = ("name", "photos", "rank", "species", "english", "method", "candidates")
        output.print_csv(columns, (
            (n.label, n.photos, n.rank, n.scientific, n.english, n.method, "; ".join(n.candidates)) for n in listed
        ))  # fmt: skip
    else:
        _print(found, listed)
    if not found:
        output.note(f"Next: birdsearch index DIR --labels folder{options.index_option(index)}")
    elif from_ is None and not json:
        what = "Correct the column species" if csv else "To correct names, correct the column species of --csv"
        output.note(f"{what} (empty: no bird), then: birdsearch names --from FILE{options.index_option(index)}")


def _print(found: "Sequence[TaxonMatch]", listed: "Sequence[TaxonMatch]") -> None:
    if not found:
        output.say("no photo has a label")
        return
    if listed:
        rows = [
            (name.label, f"{name.photos:,}", name.rank or "", name.scientific or "", name.english or "", name.method)
            for name in listed[:LISTED]
        ]
        output.print_table(("name", "photos", "rank", "species", "english", "method"), rows, numbers=("photos",))
        output.say("")
    if len(listed) > LISTED:
        output.note(f"Only the first {LISTED} of {len(listed):,} names are shown, the least sure: --csv lists all.")
    ways = ", ".join(f"{count:,} {how}" for how, count in Counter(name.method for name in found).most_common())
    output.say(f"{len(found):,} {'name' if len(found) == 1 else 'names'}: {ways}")


def note_unlisted(unlisted: Sequence[str], index: str | None) -> None:
    """One line about labels that AviList does not have, where there are any."""
    if unlisted:
        some = ", ".join(unlisted[:TOLD]) + (", …" if len(unlisted) > TOLD else "")
        output.note(
            f"names that AviList does not have: {len(unlisted):,} ({some}). "
            f"birdsearch names --guessed{options.index_option(index)} shows what they are taken for"
        )
