"""How long a caller waits between two calls of `progress`, which is how long it takes to end a long method.

python -m benchmarks.progress ../shared/data/birds300

Each method runs once on an index of the photos in a folder, with a cache of its own that is empty at the start. The
table has its seconds, how often it called, and the longest time without a call: before the first one, between two, and
after the last one.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import birdsearch
from birdsearch import Filter, Index
from birdsearch.records import Progress


class Gaps:
    """A progress callback that watches the clock."""

    def __init__(self) -> None:
        self.calls, self.longest, self.stage = 0, 0.0, ""
        self._before, self._last = "start", time.monotonic()

    def __call__(self, stage: str, done: int, total: int | None, path: str) -> None:
        self.calls += 1
        self.end(f"{stage} {done}")

    def end(self, now: str = "end") -> None:
        """Count the time up to now."""
        moment = time.monotonic()
        if moment - self._last > self.longest:
            self.longest, self.stage = moment - self._last, f"{self._before} - {now}"
        self._before, self._last = now, moment


def measured(name: str, call: Callable[[Progress], Any]) -> Any:
    """Run one method and print its line."""
    gaps, began = Gaps(), time.monotonic()
    result = call(gaps)
    gaps.end()
    seconds = time.monotonic() - began
    print(f"| {name} | {seconds:.1f} | {gaps.calls:,} | {gaps.longest:.2f} | {gaps.stage} |", flush=True)
    return result


def measure(index: Index, photos: Path, place: Path) -> None:
    """Every long method, one after the other."""
    measured("add", lambda p: index.add(photos, labels="folder", progress=p))
    measured("add, nothing new", lambda p: index.add(photos, progress=p))
    for name in ("audit", "clusters", "species_report", "evaluate", "verify", "repair"):
        measured(name, partial(_call, getattr(index, name)))
    measured("map", lambda p: index.map([1], progress=p))
    measured("optimize", lambda p: index.optimize(whiten=True, progress=p))
    measured("export, Parquet", lambda p: index.export(place / "all.parquet", progress=p))
    measured(
        "export, Embedding Atlas",
        lambda p: index.export(place / "atlas.parquet", format="embedding-atlas", progress=p),
    )
    ids = [photo.id for photo in index.photos() if photo.id is not None]
    vectors = index.vectors(ids)
    measured("add_vectors", lambda p: index.add_vectors(ids, vectors, progress=p))
    card = shutil.copytree(photos, place / "card")
    for number, path in enumerate(sorted(card.rglob("*.jpg"))):
        if number % 2:
            path.write_bytes(path.read_bytes()[:-2] + b"\x00\xff\xd9")  # other bytes, the same picture
    index.add(card)
    same = index.duplicates(relations=("identical",))
    done = measured("apply", lambda p: index.apply(index.plan(same), "trash", progress=p))
    measured(f"undo of {done.done} photos", lambda p: index.undo(progress=p))
    index.remove(Filter(under=str(card)))
    measured("duplicates", lambda p: index.duplicates(progress=p))
    measured("split", lambda p: index.split(progress=p))
    measured("compare_folder", lambda p: index.compare_folder(card, progress=p))


def _call(method: Callable[..., Any], progress: Progress) -> Any:
    return method(progress=progress)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BIRDSEARCH_CACHE"] = f"{folder}/cache"
        photos = shutil.copytree(sys.argv[1], Path(folder, "photos"))
        print("| method | seconds | calls | longest gap, s | where |\n|---|---|---|---|---|")
        with birdsearch.create(Path(folder, "index")) as index:
            measure(index, photos, Path(folder))


if __name__ == "__main__":
    main()
