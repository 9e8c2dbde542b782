"""Kills and failing calls at every file operation of apply and undo: `python -m benchmarks.injection`.

What must hold afterwards is in `tests/support/cleanup_faults.py`. A system without renames that replace nothing, and
one without hard links too, are simulated by calls that fail.
"""

import logging
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.common import command_line, note, publish, table
from tests.support.cleanup_faults import ACTIONS, LACKING, PHASES, Trial, worker
from tests.support.disks import MEMORY, other_disk

FAULTS = ("", "EIO", "ENOSPC", "EACCES")  # the empty one is a kill
SYSTEMS = {"renames": "renames that replace nothing", "links": "hard links only", "neither": "neither"}

MEANING = """Two photos with copies; beside one copy its RAW with an XMP, which the kept photo lacks; beside the other a
RAW that the kept photo has too, a movie, a JSON and an XMP. After each fault: no content lost; nothing left half-way;
files, companions and rows fit together; undo gives back every byte, name, mode, time, owner, attribute, hard link and
row."""


def tried(lacking: str, action: str, phase: str, every: int) -> tuple[Counter[str], list[str]]:
    """How many points each fault was tried at, and what was wrong afterwards."""
    points: Counter[str] = Counter()
    breaches: list[str] = []
    memory = MEMORY if MEMORY.is_dir() else None
    logging.getLogger("birdsearch").setLevel(logging.ERROR)
    for n, error in enumerate(FAULTS):
        with worker() as at_work, tempfile.TemporaryDirectory(dir=memory) as folder, other_disk(Path(folder)) as disk:
            away = (disk if action == "other disk" else Path(folder)) / "away"
            trial = Trial(Path(folder) / "library", away, action, phase, lacking)
            step = every if error else 1
            at = n % step  # each fault begins at another call
            while trial.try_at(at_work, at, error) and not trial.breaches:
                points[error] += 1
                at += step
            breaches += trial.breaches
    note(f"{phase}, {action}, {lacking}: {points.total()} points, {len(breaches)} breaches")
    return points, breaches


def main() -> None:
    """Try everything, and write the counts down."""
    parser = command_line("injection", __doc__)
    parser.add_argument("--every", type=int, default=1, help="let only every so many calls fail; kills are at each")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--keep", action="store_true", help="write the table into RESULTS.md")
    arguments = parser.parse_args()
    asked = [
        (lacking, action, phase, arguments.every)
        for lacking in SYSTEMS
        for action in ACTIONS
        for phase in PHASES
        if action != "hardlink" or "links" not in LACKING[lacking]
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = list(pool.map(tried, *zip(*asked, strict=True)))
    rows = [
        [phase, action, SYSTEMS[lacking], *(points[error] for error in FAULTS), len(breaches)]
        for (lacking, action, phase, _), (points, breaches) in zip(asked, found, strict=True)
    ]
    sums = [sum(column) for column in list(zip(*rows, strict=True))[3:]]
    head = ["", "how", "system has", "killed", *(f"{error} once" for error in FAULTS[1:]), "breaches"]
    wrong = [breach for _, breaches in found for breach in breaches]
    text = "\n\n".join([table(head, [*rows, ["all", "", "", *sums]]), MEANING, *wrong])
    command = f"python -m benchmarks.injection --every {arguments.every}"
    publish("Faults at every file operation of apply and undo", text, command=command, keep=arguments.keep)


if __name__ == "__main__":
    main()
