"""Searching large sets of vectors, birdsearch beside the tools people would use: `python -m benchmarks.search`.

Everyone indexes the same vectors (see benchmarks.synthetic), then climbs its own knob until the ten nearest are found
with the recall asked for, and is timed there: a process per measurement, taking turns, the median of the rounds. Two
threads for everyone; questions are asked in the way that lets the tool answer most of them per second, and then one
after the other ("one alone"). Indexes are kept in the cache and reused, with the time that building them took
(`--rebuild` builds anew).
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import (
    ROUNDS,
    THREADS,
    ContestantError,
    Figures,
    alternating,
    command_line,
    median,
    note,
    publish,
    table,
    worker,
)
from benchmarks.synthetic import DIM, QUESTIONS, SELECTIVITIES, SHAPES, load

TARGETS = (0.95, 0.99)
COUNTS = (200_000, 1_000_000)
QUICK_COUNT = 5_000
LONGEST_BUILD = 7200.0  # seconds; nobody waits longer for an index
LONGEST_ANSWER = 600.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """One tool with one kind of index."""

    name: str
    environment: str | None  # None: that of birdsearch
    program: str
    kind: tuple[str, ...] = ()
    up_to: int = COUNTS[-1]  # vectors; among more, the other index of the same tool stands for it

    def ask(self, action: str, data: Path, *options: object, timeout: float = LONGEST_ANSWER) -> Figures:
        """Run the worker of this tool."""
        folder = data / "engines" / self.name.replace(" ", "-")
        words = [*self.kind, action, str(data), str(folder), *map(str, options)]
        return worker(self.environment, self.program, *words, timeout=timeout)

    def about(self, data: Path, value: int) -> Figures:
        """What was noted when the index for this value of the knob was built."""
        folder = data / "engines" / self.name.replace(" ", "-")
        noted: Figures = json.loads((folder / "build.json").read_text(encoding="utf-8"))
        own = folder / f"{value}.json"
        return noted | (json.loads(own.read_text(encoding="utf-8")) if own.exists() else {})


CONTESTANTS = (
    Contestant("birdsearch", None, "search_birdsearch"),
    Contestant("FAISS HNSW32", None, "search_faiss", ("hnsw",)),
    Contestant("FAISS IVF", None, "search_faiss", ("ivf",)),
    Contestant("FAISS AutoTune", None, "search_faiss", ("auto",)),
    Contestant("hnswlib", "search", "search_hnswlib"),
    Contestant("usearch bf16", "search", "search_usearch", ("bf16",), up_to=COUNTS[0]),
    Contestant("usearch f16", "search", "search_usearch", ("f16",)),
    Contestant("ScaNN", "search", "search_scann"),
    Contestant("LanceDB HNSW", "search", "search_lancedb", ("hnsw",), up_to=COUNTS[0]),
    Contestant("LanceDB RQ", "search", "search_lancedb", ("rq",)),
    Contestant("Milvus Lite", "milvus", "search_milvus"),
    Contestant("Chroma", "chroma", "search_chroma"),
    Contestant("sqlite-vec", "search", "search_sqlite_vec"),
)


def build(contestant: Contestant, data: Path, *, again: bool) -> bool:
    """Have the index of a contestant built where it is not there yet; False where that failed."""
    folder = data / "engines" / contestant.name.replace(" ", "-")
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / "build.json").exists():
        return True
    note(f"{contestant.name} builds its index")
    try:
        figures = contestant.ask("build", data, timeout=LONGEST_BUILD)
    except ContestantError as error:
        note(f"{contestant.name} is left out: {error}")
        return False
    (folder / "build.json").write_text(json.dumps(figures), encoding="utf-8")
    note(f"{contestant.name}: {figures['build_seconds']:.0f} s")
    return True


def climb(contestant: Contestant, data: Path) -> Figures | None:
    """Where the knob of a contestant reaches each target."""
    try:
        figures = contestant.ask("climb", data, "--targets", *TARGETS)
    except ContestantError as error:
        note(f"{contestant.name} is left out: {error}")
        return None
    note(f"{contestant.name}: {figures['reached']}")
    return figures


def unfiltered(contestants: Sequence[Contestant], climbs: dict[str, Figures], data: Path, rounds: int) -> str:
    """The table of plain searches."""
    measured: dict[float, dict[str, list[Figures]]] = {}
    for target in TARGETS:
        runs = {
            one.name: partial(one.ask, "measure", data, "--value", _value(climbs[one.name], target))
            for one in contestants
        }
        note(f"recall {target}")
        measured[target] = alternating(runs, rounds)
    head = ["", "settings", "versions", "built in, s", "files, MB", "peak memory, MB"]
    head += [f"{what} for {target}" for target in TARGETS for what in ("knob", "recall", "queries/s", "one alone, µs")]
    rows: list[list[object]] = []
    for one in contestants:
        about = one.about(data, _value(climbs[one.name], TARGETS[0]))
        row: list[object] = [one.name, about["how"], about["versions"], about["build_seconds"], about["file_mb"]]
        row.append(max((f["peak_mb"] for target in TARGETS for f in measured[target].get(one.name, [])), default=None))
        for target in TARGETS:
            row += _cells(one, about, climbs[one.name], target, measured[target].get(one.name))
        rows.append(row)
    return table(head, rows)


def _value(figures: Figures, target: float) -> int:
    """The knob for this target, or for the best recall where it was not reached."""
    return int(figures["reached"].get(str(target), figures["best"])["value"])


def _cells(
    one: Contestant, about: Figures, climbed: Figures, target: float, figures: list[Figures] | None
) -> list[object]:
    if not figures:
        return ["failed", None, None, None]
    missed = "" if str(target) in climbed["reached"] else " (its best)"
    recall = f"{median(figures, 'recall'):.3f}{missed}"
    alone = f"{median(figures, 'alone_us'):,.0f} (p99 {median(figures, 'alone_p99_us'):,.0f})"
    return [f"{about['knob']} {_value(climbed, target)}", recall, median(figures, "queries_per_second"), alone]


def filtered(contestants: Sequence[Contestant], climbs: dict[str, Figures], data: Path, rounds: int) -> str:
    """The table of searches among the rows that a filter keeps, at the knob that gives 0.95 without one."""
    asking = [one for one in contestants if one.about(data, 0)["filters"]]
    measured: dict[int, dict[str, list[Figures]]] = {}
    for percent in SELECTIVITIES:
        runs = {
            one.name: partial(
                one.ask, "measure", data, "--value", _value(climbs[one.name], TARGETS[0]), "--below", percent
            )
            for one in asking
        }
        note(f"filter that keeps {percent} %")
        measured[percent] = alternating(runs, rounds)
    head = ["", *(f"{what}, {percent} % kept" for percent in SELECTIVITIES for what in ("recall", "queries/s"))]
    rows: list[list[object]] = []
    for one in asking:
        row: list[object] = [one.name]
        for percent in SELECTIVITIES:
            figures = measured[percent].get(one.name)
            row += (
                [f"{median(figures, 'recall'):.3f}", median(figures, "queries_per_second")] if figures else [None] * 2
            )
        rows.append(row)
    return table(head, rows)


def compare(count: int, options: argparse.Namespace) -> str:
    """Everything for one number of vectors, as Markdown."""
    data = load(count, options.shape).folder
    able = [one for one in CONTESTANTS if count <= one.up_to]
    wanted = [one for one in able if not options.only or any(word in one.name for word in options.only)]
    built = [one for one in wanted if build(one, data, again=options.rebuild)]
    climbs = {one.name: figures for one in built if (figures := climb(one, data)) is not None}
    standing = [one for one in built if one.name in climbs]
    parts = [
        f"{count:,} vectors of {DIM}, {QUESTIONS:,} questions, 10 nearest, {THREADS} threads, median of"
        f" {options.rounds} rounds. Where a recall was not reached, the best that was is shown.",
        unfiltered(standing, climbs, data, options.rounds),
        "With a filter on a number beside the vector, at the knob that gives 0.95 without one; recall is against the"
        " exact answer among the rows kept:",
        filtered(standing, climbs, data, options.rounds),
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Parse the command line, let everyone run, publish."""
    parser = command_line("search", __doc__)
    parser.add_argument("counts", type=int, nargs="*", metavar="N", help="numbers of vectors (200000 1000000)")
    parser.add_argument("--shape", choices=SHAPES, default="birds", help="of the vectors (benchmarks.synthetic)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="contestants whose name has one of these words")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rebuild", action="store_true", help="build indexes anew")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_COUNT} vectors, one round, nothing written")
    options: Any = parser.parse_args()
    if options.quick:
        options.counts, options.rounds = options.counts or [QUICK_COUNT], 1
    for count in options.counts or COUNTS:
        body = compare(count, options)
        command, title = f"python -m benchmarks.search {count}", f"Search, {count:,} vectors"
        if options.shape != "birds":
            command, title = f"{command} --shape {options.shape}", f"{title}, {options.shape}"
        if options.only:
            command, title = f"{command} --only {' '.join(options.only)}", f"{title}, {' and '.join(options.only)}"
        publish(title, body, command=command, keep=not options.quick)


if __name__ == "__main__":
    main()
