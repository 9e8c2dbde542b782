"""How time and memory grow with the photos: `python -m benchmarks.growth` (`--counts 1000 10000` for fewer).

Drawn vectors (benchmarks.maps), 100 photos to a species on average, are imported with their labels; then each question
is asked of that index in a process of its own. The photos do not exist, so `dedupe` ends where it would open files. The
exponent is the slope of the seconds between the last two counts on log-log axes: 1 is in proportion, 2 all with all.
Seconds are those of the processor, which other programs change little.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import birdsearch
from benchmarks import maps
from benchmarks.common import alone_within, command_line, publish, table, versions
from benchmarks.workers.cold_index import Given, take_in
from benchmarks.workers.searching import peak_mb

COUNTS = (1_000, 10_000, 100_000)
ASKED = 1_000
SPREAD = 0.4  # the cosine of two photos of a species is 0.56 on average
LONGEST = 1_800.0  # seconds that nobody waits


def add(path: Path, count: int) -> None:
    """Import photos, with the engine that searches them."""
    vectors, species = maps.drawn(count, SPREAD)
    names = species_names(int(species.max()) + 1)
    with birdsearch.create(path, backbone=Given(maps.DIM)) as index:
        take_in(index, vectors, [names[one] for one in species])


def species_names(count: int) -> list[str]:
    """So many species."""
    from birdsearch.taxonomy import avilist

    return list(avilist.world().species)[:count]


def search(index: birdsearch.Index) -> None:
    ids = index.photo_ids()
    index.search_vectors(index.vectors(ids[:: max(1, len(ids) // ASKED)][:ASKED].tolist()), k=10)


def export(index: birdsearch.Index) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index.export(Path(folder) / "all.parquet")


PARTS: dict[str, Callable[[birdsearch.Index], Any]] = {
    "search, 1,000 questions": search,
    "dedupe": lambda index: index.duplicates(),
    "clusters": lambda index: index.clusters(),
    "audit": lambda index: index.audit(),
    "evaluate": lambda index: index.evaluate(),
    "species": lambda index: index.species_report(),
    "export": export,
}


def measure(part: str, path: Path, count: int) -> dict[str, float]:
    """Seconds of the processor, and the most memory."""
    began = time.process_time()
    if part == "add":
        add(path, count)
    else:
        with birdsearch.open(path) as index:
            PARTS[part](index)
    return {"cpu": time.process_time() - began, "peak_mb": peak_mb()}


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("growth", __doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--alone", nargs=2, metavar=("PART", "INDEX"), help="measure in this process, and print JSON")
    options = parser.parse_args()
    counts = sorted(options.counts)
    if options.alone:
        print(json.dumps(measure(options.alone[0], Path(options.alone[1]), counts[0])))
        return
    found: dict[str, list[dict[str, float] | None]] = {part: [] for part in ("add", *PARTS)}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            for part, figures in found.items():
                path = Path(folder) / str(count)
                figures.append(alone_within(LONGEST, "growth", part, path, "--counts", str(count)))
    rows: list[list[object]] = []
    for part, figures in found.items():
        row: list[object] = [part]
        for one in figures:
            row += [one and one["cpu"], one and one["peak_mb"]]
        rows.append([*row, _exponent(counts, figures)])
    head = ["", *(f"{count:,} photos, {what}" for count in counts for what in ("s", "MB")), "exponent"]
    publish(
        "Growth",
        f"{versions('faiss-cpu', 'sqlalchemy', 'pyarrow')}. Vectors of {maps.DIM}.\n\n{table(head, rows)}",
        command="python -m benchmarks.growth",
        keep=tuple(counts) == COUNTS,
    )


def _exponent(counts: list[int], figures: list[dict[str, float] | None]) -> float | None:
    if len(counts) < 2 or figures[-1] is None or figures[-2] is None:
        return None
    return math.log(figures[-1]["cpu"] / figures[-2]["cpu"]) / math.log(counts[-1] / counts[-2])


if __name__ == "__main__":
    main()
