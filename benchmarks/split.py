"""Whether photos keep their split when others come, and how far shares are off: `python -m benchmarks.split`.

On birds300 (1,500 photos of 300 species; ../shared/data/birds300 or the folder named). 200 photos are split, five
of another species are added, and the lists are compared; then the same photos are indexed in the opposite order. Shares
are those of 100 seeds. Nothing is written to RESULTS.md without `--keep`.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import birdsearch
from benchmarks.common import SHARED_PHOTOS, command_line, note, publish, table
from birdsearch import DuplicateReport, Index
from birdsearch.records import SAME_PICTURE

SEEDS = 100
Sides = dict[str, str]  # path -> split


def photos_of(folders: Sequence[Path]) -> list[Path]:
    """The photos of folders, in this order."""
    return [photo for folder in folders for photo in sorted(folder.iterdir())]


def sides(index: Index) -> Sides:
    """Where each photo lies."""
    paths = {photo.id: photo.path for photo in index.photos()}
    return {paths[number]: side for number, side in index.split().splits.items()}


def moved(before: Sides, after: Sides) -> tuple[int, int]:
    """How many photos of the first lists lie elsewhere in the second, and how many of these were in test."""
    other = [path for path, side in before.items() if after[path] != side]
    return len(other), sum(before[path] == "test" for path in other)


def stability(folders: Sequence[Path], place: Path) -> str:
    """What becomes of the lists of 200 photos."""
    with birdsearch.create(place / "one") as index:
        index.add(photos_of(folders[:40]), labels="folder")
        first = sides(index)
        index.add(photos_of(folders[40:41]), labels="folder")
        grown = sides(index)
    with birdsearch.create(place / "two") as index:
        index.add(photos_of(folders[:41])[::-1], labels="folder")
        reverse = sides(index)
    rows = [("200 photos, then 5 more", len(first), *moved(first, grown))]
    rows.append(("the same 205, indexed in the opposite order", len(grown), *moved(grown, reverse)))
    return table(("lists", "photos", "in another split", "of these from test"), rows)


def shares(folders: Sequence[Path], place: Path) -> str:
    """How far the shares of many seeds are from 80, 10 and 10 %."""
    rows = []
    with birdsearch.create(place / "all") as index:
        index.add(folders[0].parent, labels="folder")
        same = index.duplicates(relations=SAME_PICTURE)
        names = sorted({photo.label for photo in index.photos() if photo.label})
        for species in (40, 300):
            where = birdsearch.Filter(label=tuple(names[:species]))
            rows.append(_row(index, where, same))
            note(f"{species} species done")
    head = ("photos", "train", "validation", "test", "moved so that a species is in train", "species without test")
    return table(head, rows)


def _row(index: Index, where: birdsearch.Filter, same: DuplicateReport) -> list[object]:
    reports = [index.split(where, seed=seed, same=same) for seed in range(SEEDS)]
    photos = index.count(where)
    cells: list[object] = [photos]
    for name in ("train", "validation", "test"):
        found = 100 * np.array([report.counts[name] for report in reports]) / photos
        cells.append(f"{found.mean():.1f} ± {found.std():.1f} % ({found.min():.1f} to {found.max():.1f})")
    cells.append(f"{np.mean([report.for_training for report in reports]):.2f}")
    bare = [sum(sides["test"] == 0 for sides in report.per_species.values()) for report in reports]
    return [*cells, f"{np.mean(bare):.0f} of {len(reports[0].per_species)}"]


def main() -> None:
    """Try it on real photos."""
    parser = command_line("split", __doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED_PHOTOS)
    parser.add_argument("--keep", action="store_true", help="write the tables to RESULTS.md")
    options = parser.parse_args()
    folders = sorted(path for path in options.folder.iterdir() if path.is_dir())
    with tempfile.TemporaryDirectory() as folder:
        body = f"{stability(folders, Path(folder))}\n\n{shares(folders, Path(folder))}"
    publish("Splits", body, command="python -m benchmarks.split", keep=options.keep)


if __name__ == "__main__":
    main()
