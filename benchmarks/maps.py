"""What the map of an index costs and keeps, for drawn vectors: `python -m benchmarks.maps`.

Photos of as many species as there are hundreds of photos, each around a direction of its own, of 256 numbers. Seconds
are those of the processor, in a process of its own: a third of those of few photos is numba getting UMAP ready. Of more
than `birdsearch.species.map.FITTED` photos UMAP looks at so many, and the others are placed beside those that they are
most like. "Same species" is the share of the five nearest photos that are of a photo's own species, for 1,000 photos.
"""

import json
import time

import numpy as np

from benchmarks.common import alone, command_line, publish, table, versions
from birdsearch.records import Ids, Vectors
from birdsearch.search.exact import brute_force_knn

DIM = 256
COUNTS = (1_500, 20_000, 100_000)
ASKED = 1_000


def drawn(count: int, spread: float = 1.0) -> tuple[Vectors, Ids]:
    """Unit vectors (count, DIM) and the species of each; `spread` is that inside a species."""
    rng = np.random.default_rng(7)
    species = rng.integers(0, count // 100, count)
    vectors = 0.45 * rng.standard_normal((count // 100, DIM), dtype=np.float32)[species]
    vectors += np.float32(spread) * rng.standard_normal((count, DIM), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), species


def same_species(near: Ids, species: Ids, asked: Ids) -> float:
    """The share of the five nearest of each (n, 6), without the photo itself, that are of its species."""
    found = [[row for row in rows if row != one][:5] for rows, one in zip(near.tolist(), asked.tolist(), strict=True)]
    return float((species[np.array(found)] == species[asked][:, None]).mean())


def measure(count: int) -> dict[str, float]:
    """Seconds of the processor, and the two shares."""
    from birdsearch.species import map

    vectors, species = drawn(count)
    start = time.process_time()
    places = map.coordinates(vectors)
    seconds = time.process_time() - start
    asked = np.sort(np.random.default_rng(1).permutation(count)[:ASKED])
    whole = brute_force_knn(vectors, np.arange(count), vectors[asked], 6).ids
    far = ((places[asked, None] - places[None]) ** 2).sum(axis=2)
    flat = np.argpartition(far, 6, axis=1)[:, :6]
    ordered = np.take_along_axis(flat, np.argsort(np.take_along_axis(far, flat, axis=1), axis=1), axis=1)
    return {
        "seconds": seconds,
        "vectors": same_species(whole, species, asked),
        "map": same_species(ordered, species, asked),
    }


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("maps", __doc__)
    parser.add_argument("--alone", type=int, help="measure so many photos in this process, and print JSON")
    options = parser.parse_args()
    if options.alone is not None:
        print(json.dumps(measure(options.alone)))
        return
    rows: list[list[object]] = []
    for count in COUNTS:
        found = alone("maps", str(count))
        rows.append([f"{count:,}", found["seconds"], found["vectors"], found["map"]])
    publish(
        "Maps",
        f"{versions('umap-learn', 'numba', 'faiss-cpu')}.\n\n"
        + table(["photos", "s of the processor", "same species, by vectors", "on the map"], rows),
        command="python -m benchmarks.maps",
        keep=True,
    )


if __name__ == "__main__":
    main()
