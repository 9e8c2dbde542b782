"""What must hold after a fault at any call of apply or undo, and a library to try it on.

No content is lost at any moment; a photo is in its place with its companions, or away with them; what a failed call has
left is known; undo gives back every byte, name, mode, time, owner, attribute, hard link and row.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from birdsearch.duplicates.cleanup.plan import read_plan, write_plan
from birdsearch.errors import PlanError
from tests.support import ROOT, card
from tests.support.cleanup_worker import Job
from tests.support.photo_library import contents, copy, files, indexed

ACTIONS = ("trash", "move", "other disk", "hardlink")
LACKING: dict[str, tuple[str, ...]] = {"renames": (), "links": ("renames",), "neither": ("renames", "links")}
PHASES = ("apply", "undo")
# Beside the copies: two are pairs with their RAW, of which the second kept photo has one of the same bytes.
COMPANIONS = ("0.CR2", "0.CR2.xmp", "1.CR2", "1.MOV", "1.jpg.json", "1.jpg.xmp")
GROUPS = (("Wren/0.jpg", "copies/0.jpg"), ("Wren/1.jpg", "copies/1.jpg"))


class Worker:
    """Runs jobs in children of a waiting process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.cleanup_worker"]
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, job: Job) -> dict[str, Any]:
        """What became of a job."""
        source, sink = self._process.stdin, self._process.stdout
        assert source is not None
        assert sink is not None
        source.write(json.dumps(asdict(job)) + "\n")
        source.flush()
        answer: dict[str, Any] = json.loads(sink.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@contextmanager
def worker() -> Iterator[Worker]:
    """A worker that ends with the block."""
    made = Worker()
    try:
        yield made
    finally:
        made.close()


@dataclass
class Trial:
    """A library with copies and companions, and the faults that are tried on it."""

    place: Path
    away: Path  # where the photos are moved to
    action: str
    phase: str
    lacking: str = "renames"  # the best that this system is said to have
    breaches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        photos, copies = self.place / "photos", self.place / "photos/copies"
        for n, (kept, gone) in enumerate(GROUPS):
            taken_at = f"2024:05:17 06:07:0{n}"
            card.front(photos / kept, n, taken_at)
            copy(photos, kept, gone, mtime=1_400_000_000 + n)
            card.raw_header(copies / f"{n}.CR2", taken_at)
        for name in COMPANIONS:
            if not name.endswith(".CR2"):
                (copies / name).write_bytes(b"beside " + name.encode())
        shutil.copy(copies / "1.CR2", photos / "Wren/1.CR2")
        (photos / "Wren/1.jpg.xmp").write_bytes(b"the kept photo has one")
        self.library = indexed(self.place)
        with suppress(OSError):
            os.setxattr(copies / "0.jpg", "user.tags", b"wren")
        if os.geteuid() == 0:
            os.chown(copies / "0.jpg", 1234, 4321)
        (copies / "1.jpg").chmod(0o604)
        self.plan = self.place / "plan.csv"
        write_plan(self.library.plan(*GROUPS), self.plan)
        self.word = self.action if self.action in ("trash", "hardlink") else f"move:{self.away}"
        self.before, self.rows, self.had = self._files(), self.library.rows(), contents(self.library.photos)

    def _files(self) -> dict[str, Any]:
        return files(self.library.photos, *([self.away] if self.away.exists() else []))

    def try_at(self, worker: Worker, at: int, error: str) -> bool:
        """One fault; False where there are not so many calls. What is wrong afterwards is added to `breaches`."""
        if self.phase == "undo":
            self.library.apply(read_plan(self.plan), self.word)
        place = {"photos": str(self.library.photos), "index": str(self.library.index), "plan": str(self.plan)}
        job = Job(call=self.phase, **place, action=self.word, at=at, error=error, lacking=LACKING[self.lacking])
        answer = worker.run(job)
        what = f"{self.phase} {self.action}, {self.lacking}, call {at} {answer.get('hit')} {error or 'killed'}"
        hit = bool(answer.get("killed") or answer["hit"])
        problems = list(self._problems(answer))
        if problems:
            self.breaches += [f"{what}: {problem}" for problem in problems]
        return hit

    def _problems(self, answer: dict[str, Any]) -> Iterator[str]:
        if answer.get("broken"):
            yield answer["said"]
        if lost := self.had - contents(self.library.photos, self.away):
            yield f"LOST {len(lost)} contents"
        if answer.get("report"):
            yield from self._unknown()
        try:
            while True:
                if skipped := self.library.undo().skipped:
                    yield f"undo skipped {skipped}"
                    break
        except PlanError:
            pass
        now, rows = self._files(), self.library.rows()
        if now != self.before:
            paths = [path for path in now.keys() | self.before.keys() if now.get(path) != self.before.get(path)]
            yield "not as before: " + str([(path, self.before.get(path), now.get(path)) for path in paths])
        if rows != self.rows:
            yield "rows differ"

    def _unknown(self) -> Iterator[str]:
        """After a call that failed and was survived: nothing on its way is left, and files and rows fit together."""
        folder = self.library.photos / "copies"
        for path in self._files():
            if os.path.basename(path).startswith(".birdsearch-") and os.path.isfile(path):
                yield f"left on its way: {path}"
        known = {os.fsdecode(row[2]) for row in self.library.rows()["photos"]}
        for n in range(len(GROUPS)):
            name = f"copies/{n}.jpg"
            if (name in known) != os.path.lexists(self.library.photos / name):
                yield f"{name}: the file and its row do not fit together"
            if self.action != "hardlink" and not os.path.lexists(self.library.photos / name):
                yield from (
                    f"{one} without its photo" for one in COMPANIONS if one[0] == str(n) and (folder / one).exists()
                )
