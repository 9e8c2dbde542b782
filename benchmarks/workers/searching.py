"""What the search workers share: build once, climb the tool's own ladder to a recall, measure one setting."""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

K = 10
THREADS = 2
PROBE = 20  # questions asked first, to see how many fit in the time
LONGEST = 9.0  # seconds that one measurement may take
SHORTEST = 2.0  # seconds below which the same questions are asked again

Rows = npt.NDArray[np.float32]  # (n, dim)
Ids = npt.NDArray[np.int64]  # (q, k)


class Searcher(Protocol):
    """A tool, its index settings, and the one knob that trades its speed for recall."""

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages whose versions the table shows."""

    @property
    def how(self) -> str:
        """Index settings, and how several questions are asked at once."""

    @property
    def knob(self) -> str:
        """What the tool calls its knob."""

    @property
    def ladder(self) -> Sequence[int]:
        """Values of the knob, fast and rough first."""

    @property
    def filters(self) -> bool:
        """Whether it can be asked with `below`."""

    def build(self, vectors: Rows, buckets: npt.NDArray[np.int64], folder: Path) -> None:
        """Index (n, dim) unit rows, with the attribute `bucket` (n,) beside them, into files in `folder`."""

    def open(self, folder: Path) -> None:
        """Open what `build` wrote, in another process."""

    def turn(self, value: int) -> None:
        """Set the knob."""

    def search(self, queries: Rows, k: int, below: int | None) -> Ids:
        """Row numbers of the k nearest of each query, among bucket < below; -1 where there are fewer."""


def one_by_one(ask: Callable[[Any], Iterable[int]], queries: Rows, k: int) -> Ids:
    """Ask a tool that takes one question at a time from two threads at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        return padded(pool.map(ask, queries), len(queries), k)


def padded(answers: Iterable[Iterable[int]], count: int, k: int) -> Ids:
    """Answers of any length as one array (count, k), -1 where there are fewer than k."""
    ids = np.full((count, k), -1, dtype=np.int64)
    for row, answer in zip(ids, answers, strict=True):
        found = list(answer)[:k]
        row[: len(found)] = found
    return ids


def recall(found: Ids, truth: Ids) -> float:
    """Share of the true k nearest that were found; truth may hold more columns and -1 where there are fewer."""
    true = truth[: len(found), : found.shape[1]]
    hits = sum(len(np.intersect1d(row[row >= 0], right)) for row, right in zip(found, true, strict=True))
    return float(hits / (true >= 0).sum())


def main(searcher: Searcher) -> None:
    """The worker's command line; the last line printed is the answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("build", "climb", "measure"))
    parser.add_argument("data", type=Path, help="a folder of benchmarks.synthetic")
    parser.add_argument("folder", type=Path, help="where this tool keeps its index")
    parser.add_argument("--targets", type=float, nargs="+", default=[0.95, 0.99])
    parser.add_argument("--value", type=int, help="of the knob")
    parser.add_argument("--below", type=int, help="per cent of the rows that the filter keeps")
    options = parser.parse_args()
    if options.action == "build":
        figures = _build(searcher, options.data, options.folder)
    else:
        _read(options.folder)
        searcher.open(options.folder)
        if options.action == "climb":
            figures = _climb(searcher, options.data, sorted(options.targets))
        else:
            searcher.turn(options.value)
            figures = _measure(searcher, options.data, options.below, LONGEST)
            if options.below is None:
                figures |= _alone(searcher, options.data)
    print(json.dumps(figures | {"peak_mb": peak_mb()}))


def _read(folder: Path) -> None:
    """Bring the files into the disk's cache: some tools read all of them when they open, some when they are asked."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def peak_mb() -> float:
    """The most memory this process ever held; what the parent reads of a child begins at the parent's own."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _build(searcher: Searcher, data: Path, folder: Path) -> dict[str, Any]:
    from importlib.metadata import version

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    vectors, buckets = np.load(data / "vectors.npy", mmap_mode="r"), np.load(data / "bucket.npy")
    started = time.perf_counter()
    searcher.build(vectors, buckets, folder)
    return {
        "build_seconds": time.perf_counter() - started,
        "file_mb": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20,
        "versions": ", ".join(f"{package} {version(package)}" for package in searcher.packages),
        "how": searcher.how,
        "knob": searcher.knob,
        "filters": searcher.filters,
    }


def _climb(searcher: Searcher, data: Path, targets: list[float]) -> dict[str, Any]:
    """The first value of the knob that reaches each target; the best one where none does."""
    reached: dict[str, dict[str, float]] = {}
    tried: list[dict[str, float]] = []
    left = list(targets)
    for value in searcher.ladder:
        searcher.turn(value)
        tried.append({"value": value, **_measure(searcher, data, None, LONGEST / 3)})
        while left and tried[-1]["recall"] >= left[0]:
            reached[str(left.pop(0))] = tried[-1]
        if not left:
            break
    return {"reached": reached, "best": max(tried, key=lambda trial: trial["recall"]), "tried": tried}


def _measure(searcher: Searcher, data: Path, below: int | None, longest: float) -> dict[str, Any]:
    queries = np.load(data / "queries.npy")
    truth = np.load(data / ("truth.npy" if below is None else f"truth-{below}.npy"))
    searcher.search(queries[:PROBE], K, below)  # warms caches and lazy loading
    started = time.perf_counter()
    searcher.search(queries[:PROBE], K, below)
    each = (time.perf_counter() - started) / PROBE
    asked = queries[: max(PROBE, min(len(queries), int(longest / each)))]
    rounds = 0
    started = time.perf_counter()
    while not rounds or time.perf_counter() - started < SHORTEST:
        found = searcher.search(asked, K, below)
        rounds += 1
    seconds = time.perf_counter() - started
    return {
        "recall": recall(found, truth),
        "queries_per_second": rounds * len(asked) / seconds,
        "questions": len(asked),
    }


def _alone(searcher: Searcher, data: Path) -> dict[str, float]:
    """Microseconds for a question, where they are asked one after the other for a while."""
    taken: list[float] = []
    for query in np.load(data / "queries.npy"):
        started = time.perf_counter()
        searcher.search(query[None], K, None)
        taken.append(time.perf_counter() - started)
        if sum(taken) > SHORTEST:
            break
    return {"alone_us": float(1e6 * np.median(taken)), "alone_p99_us": float(1e6 * np.percentile(taken, 99))}
