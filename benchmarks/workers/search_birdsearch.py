"""birdsearch's own engines: `vectors.build(engine="auto", recall=...)`, one engine per recall asked for."""

import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.workers.searching import Ids, Rows, main
from birdsearch.search import engine as engines
from birdsearch.search import tuning
from birdsearch.search.local import LocalEngine


class Birdsearch:
    """The knob is the recall that the engine is asked to have, in thousandths."""

    packages = ("birdsearch",)
    how = "engine auto, one per recall; batch"
    knob = "recall asked for (1/1000)"
    ladder = (950, 990, 995)
    filters = True

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        np.save(folder / "bucket.npy", buckets)
        (folder / "source").write_text(str(vectors.filename), encoding="utf-8")  # type: ignore[attr-defined]
        self.open(folder)
        for value in (950, 990):
            self.turn(value)

    def open(self, folder: Path) -> None:
        self.folder = folder
        self.buckets = np.load(folder / "bucket.npy")

    def turn(self, value: int) -> None:
        path, about_path = self.folder / f"{value}.engine", self.folder / f"{value}.json"
        if not path.exists():  # the recall came out lower than asked on these questions: one more is built
            rows = np.load((self.folder / "source").read_text(encoding="utf-8"), mmap_mode="r")
            started = time.perf_counter()
            made = tuning.build(np.asarray(rows), engine="auto", recall=value / 1000)
            assert isinstance(made, LocalEngine)
            with path.open("wb") as file:
                made.write(file)
            seconds = time.perf_counter() - started
            about = {"engine": made.kind, "build_seconds": seconds, "file_mb": path.stat().st_size / 2**20}
            about["settings"] = made.settings.as_json()
            about_path.write_text(json.dumps(about), encoding="utf-8")
        about = json.loads(about_path.read_text(encoding="utf-8"))
        self.engine = engines.load(path, about["engine"], about["settings"])

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        only = None if below is None else np.flatnonzero(self.buckets < below)
        return self.engine.search(queries, k, only=only).ids


main(Birdsearch())
