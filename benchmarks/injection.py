"""Kills and failing calls at every file operation of apply and undo: `python -m benchmarks.injection`.

What must hold afterwards is in `tests/support/cleanup_faults.py`. A system without renames that replace nothing, and
one without hard links too, are simulated by calls that fail.
"""

import argparse
import logging
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.common import note, publish, table
from tests.support.cleanup_faults import ACTIONS, LACKING, PHASES, Trial, Worker, worker
from tests.support.disks import MEMORY, other_disk

FAULTS = ("", "EIO", "ENOSPC", "EACCES")  # the empty one is a kill
SYSTEMS = {"renames": "renames that replace nothing", "links": "hard links only", "neither": "neither"}

MEANING = """Two photos with copies; beside one copy an equal RAW, a movie, a JSON and an XMP. After each fault: no
content lost; nothing left half-way; files, companions and rows fit together; undo gives back every byte, name, mode,
time, owner, attribute, hard link and row."""


def tried(at_work: Worker, action: str, phase: str, lacking: str, every: int) -> tuple[Counter[str], list[str]]:
    """How many points each fault was tried at, and what was wrong afterwards."""
    points: Counter[str] = Counter()
    breaches: list[str] = []
    for n, error in enumerate(FAULTS):
        memory = MEMORY if MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(dir=memory) as folder, other_disk(Path(folder)) as disk:
            away = (disk if action == "other disk" else Path(folder)) / "away"
            trial = Trial(Path(folder) / "library", away, action, phase, lacking)
            step = every if error else 1
            at = n % step  # each fault begins at another call
            while trial.try_at(at_work, at, error) and not trial.breaches:
                points[error] += 1
                at += step
            breaches += trial.breaches
    return points, breaches


def main() -> None:
    """Try everything, and write the counts down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="let only every so many calls fail; kills are at each")
    parser.add_argument("--keep", action="store_true", help="write the table into RESULTS.md")
    arguments = parser.parse_args()
    logging.getLogger("birdsearch").setLevel(logging.ERROR)
    rows: list[list[Any]] = []
    wrong: list[str] = []
    with worker() as at_work:
        for lacking, system in SYSTEMS.items():
            for action in ACTIONS:
                if action == "hardlink" and "links" in LACKING[lacking]:
                    continue
                for phase in PHASES:
                    points, breaches = tried(at_work, action, phase, lacking, arguments.every)
                    rows.append([phase, action, system, *(points[error] for error in FAULTS), len(breaches)])
                    wrong += breaches
                    for breach in breaches:
                        note(breach)
                    note(f"{phase} {action} {system}: {sum(points.values())} points, {len(breaches)} breaches")
    sums = [sum(row[n] for row in rows) for n in range(3, 4 + len(FAULTS))]
    head = ["", "how", "system has", "killed", *(f"{error} once" for error in FAULTS[1:]), "breaches"]
    text = table(head, [*rows, ["all", "", "", *sums]])
    text += "\n\n" + "\n".join(wrong) if wrong else ""
    text += f"\n\n{MEANING}"
    command = f"python -m benchmarks.injection --every {arguments.every}"
    publish("Faults at every file operation of apply and undo", text, command=command, keep=arguments.keep)


if __name__ == "__main__":
    main()
