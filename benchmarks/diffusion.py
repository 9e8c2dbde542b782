"""What `query --diffuse` costs: `python -m benchmarks.diffusion`.

Drawn vectors of 512 dimensions (species of 100 photos), in an index that `optimize` has seen. One question at a time in
one process, with and without diffusion in turn, by vector, so that neither network nor file is in it; the ratio counts.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import birdsearch
from benchmarks.common import command_line, note, publish, table
from benchmarks.workers.cold_index import Given, take_in
from birdsearch.records import Vectors

DIM = 512
COUNTS = (1_500, 100_000)
QUESTIONS = 100


def drawn(count: int) -> tuple[Vectors, Vectors]:
    """Vectors (count, 512) and questions (100, 512) of the same species."""
    random = np.random.default_rng(count)
    means = random.standard_normal((max(15, count // 100), DIM), dtype=np.float32)
    rows = means[random.integers(len(means), size=count + QUESTIONS)]
    rows += 1.2 * random.standard_normal(rows.shape, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[:count], rows[count:]


def measure(count: int, folder: Path) -> list[object]:
    """A row of the table."""
    vectors, questions = drawn(count)
    path = folder / f"{count}"
    with birdsearch.create(path, backbone=Given(DIM)) as index:
        take_in(index, vectors)
        note(f"{count} vectors are in")
        index.optimize(engine="auto" if count < 20_000 else "hnsw")
        graph = next(path.glob("graph-*.npz")).stat().st_size
        times: dict[bool, list[float]] = {False: [], True: []}
        for diffuse in (False, True):
            index.search_vectors(questions[:1], diffuse=diffuse)
        for question in questions:
            for diffuse in (False, True):
                began = time.perf_counter()
                index.search_vectors(question[None], diffuse=diffuse)
                times[diffuse].append(1000 * (time.perf_counter() - began))
    plain, spread = (statistics.median(times[diffuse]) for diffuse in (False, True))
    return [f"{count:,}", f"{plain:.1f}", f"{spread:.1f}", f"{spread / plain:.1f}", f"{graph / count:.0f}"]


def main() -> None:
    """Measure and publish."""
    parser = command_line("diffusion", __doc__)
    parser.add_argument("--quick", action="store_true", help="the small index only, nothing written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = [measure(count, Path(temporary)) for count in (COUNTS[:1] if options.quick else COUNTS)]
    head = ("vectors", "query, ms", "--diffuse, ms", "ratio", "bytes of graph a photo")
    publish("Diffusion", table(head, rows), command="python -m benchmarks.diffusion", keep=not options.quick)


if __name__ == "__main__":
    main()
