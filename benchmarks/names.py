"""Names that people give birds: `python -m benchmarks.names [DIR]`.

The table tests/data/names.csv has names of every kind and their right answers; DIR has one folder per species (default:
the shared photos), whose names are only counted.
"""

import csv
import sys
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.common import SHARED_PHOTOS, command_line, note, publish, table
from birdsearch.taxonomy.resolve import resolve, resolve_many

NAMES = Path(__file__).parent.parent / "tests" / "data" / "names.csv"


def judged() -> str:
    """The table of names: how many of each kind are right, not resolved, or wrong."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with NAMES.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found, right = resolve(row["name"]), (row["rank"], row["scientific"])
            got = (found.rank, found.taxon.scientific) if found.rank and found.taxon else ("", "")
            verdict = "right" if got == right else "missed" if got == ("", "") else "wrong"
            counts[row["kind"]][verdict] += 1
            if verdict != "right":
                note(f"{verdict}: {row['name']!r} is {right}, got {got}")
    whole = sum(counts.values(), Counter[str]())
    rows = [
        (kind, found.total(), found["right"], found["missed"], found["wrong"])
        for kind, found in [*counts.items(), ("all", whole)]
    ]
    return table(("kind", "names", "right", "resolved to nothing instead", "wrong"), rows)


def folders(photos: Path) -> str:
    """What the folder names of a collection resolve to."""
    found = Counter(one.rank or "nothing" for one in resolve_many(folder.name for folder in photos.iterdir()))
    shares = ", ".join(f"{count} {rank}" for rank, count in found.most_common())
    return f"Of {found.total()} folder names of a real collection: {shares}."


def main(arguments: list[str]) -> int:
    """Print the table, and with --keep write it to RESULTS.md."""
    parser = command_line("names", __doc__)
    parser.add_argument("photos", nargs="?", type=Path, default=SHARED_PHOTOS, metavar="DIR")
    parser.add_argument("--keep", action="store_true", help="write the table to RESULTS.md")
    options = parser.parse_args(arguments)
    body = judged()
    if options.photos.is_dir():
        body += "\n\n" + folders(options.photos)
    publish("Names and what they mean", body, command="python -m benchmarks.names", keep=options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
