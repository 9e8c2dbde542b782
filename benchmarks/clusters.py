"""Clusters that see no labels, against the labels: communities at the automatic setting, and what else there is.

`python -m benchmarks.clusters` compares them on birds300 (all 300 species, and each half of them by itself) in the
refined space. Settings that were chosen with the labels, to the contestant's advantage, say so: "told".
`python -m benchmarks.clusters 1000000` times communities on that many synthetic vectors, once their neighbour lists
are there (made by the engine and kept). Nothing is written to RESULTS.md without `--keep`.
"""

import resource
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import synthetic
from benchmarks.common import command_line, note, publish, table, versions
from birdsearch.records import Vectors
from birdsearch.search import tuning, whitening
from birdsearch.search.exact import Neighbours
from birdsearch.species import clusters

LIST = clusters.NEIGHBOURS + 1  # the engine finds the photo itself too
THRESHOLDS = np.arange(0.1, 0.95, 0.05)  # scores from which on two photos are linked
HEAD = ("photos", "method", "AMI", "ARI", "homogeneity", "purity", "clusters", "seconds")
Codes = npt.NDArray[np.int64]


def lists(rows: Vectors) -> Neighbours:
    """The neighbour lists of all rows, by the exact engine."""
    return tuning.build(rows, engine="flat").search(rows, LIST)


def communities(rows: Vectors, found: Neighbours, *, resolution: float | None = None, seed: int = 0) -> Codes:
    """Communities, at the automatic setting where no resolution is given."""
    return clusters.communities(rows, found, resolution=resolution, seed=seed).labels


def kmeans(rows: Vectors, count: int) -> Codes:
    """Spherical k-means."""
    return clusters.spherical_kmeans(rows, count).labels


def hdbscan(rows: Vectors, least: int) -> Codes:
    """HDBSCAN of scikit-learn; every photo that it calls noise is a cluster of its own."""
    from sklearn.cluster import HDBSCAN

    return singled(HDBSCAN(min_cluster_size=least, copy=True).fit_predict(rows))


def components(found: Neighbours, threshold: float) -> Codes:
    """Connected components of the links of at least this score, as fastdup makes clusters."""
    from scipy.sparse import coo_matrix, csgraph

    start, column = np.nonzero((found.scores >= threshold) & (found.ids >= 0))
    links = coo_matrix((np.ones(len(start)), (start, found.ids[start, column])), (len(found.ids), len(found.ids)))
    return np.asarray(csgraph.connected_components(links, directed=False)[1], dtype=np.int64)


def singled(labels: Codes) -> Codes:
    """Labels with a cluster of its own for each row that has -1."""
    return np.where(labels < 0, labels.max(initial=0) + 1 + np.arange(len(labels)), labels).astype(np.int64)


def contestants(
    rows: Vectors, found: Neighbours, names: Sequence[str]
) -> Iterator[tuple[str, Sequence[Callable[[], Codes]]]]:
    """Each method with the settings among which the labels choose; one setting where they choose nothing."""
    for seed in range(3):
        yield f"communities, automatic, seed {seed}", [partial(communities, rows, found, seed=seed)]
    ceilings = 3 * 1.2 ** np.arange(25)
    told = [partial(communities, rows, found, resolution=1 / ceiling) for ceiling in ceilings]
    yield "communities, resolution told", told
    count = clusters.communities(rows, found).count
    yield "spherical k-means, as many as communities", [partial(kmeans, rows, count)]
    yield "spherical k-means, number of species told", [partial(kmeans, rows, len(set(names)))]
    yield "HDBSCAN, as it comes (at least 5)", [partial(hdbscan, rows, 5)]
    yield "HDBSCAN, smallest cluster told", [partial(hdbscan, rows, least) for least in (2, 3, 4, 5)]
    linked = [partial(components, found, threshold) for threshold in THRESHOLDS]
    yield "connected components, threshold told", linked


def compare(part: str, rows: Vectors, names: Sequence[str]) -> list[Sequence[object]]:
    """One line for each method."""
    rows = whitening.fit(rows).apply(rows)
    found = lists(rows)
    lines: list[Sequence[object]] = []
    for method, settings in contestants(rows, found, names):
        best: tuple[float, dict[str, float], int] | None = None
        started = time.perf_counter()
        for make in settings:
            labels = make()
            agreed = clusters.agreement(list(names), labels)
            if best is None or agreed["ami"] + agreed["ari"] > best[0]:
                best = agreed["ami"] + agreed["ari"], agreed, len(set(labels.tolist()))
        if best is not None:
            figures = [round(best[1][name], 3) for name in ("ami", "ari", "homogeneity", "purity")]
            lines.append((part, method, *figures, best[2], (time.perf_counter() - started) / len(settings)))
            note(f"{part}: {method}: {figures}")
    return lines


def birds() -> str:
    """The table of birds300."""
    rows, labels = synthetic.real()
    species = np.unique(labels)
    first = np.isin(labels, np.random.default_rng(0).permutation(species)[: len(species) // 2])
    lines = []
    for part, chosen in (("all", np.ones(len(rows), dtype=bool)), ("half A", first), ("half B", ~first)):
        lines += compare(part, rows[chosen], [str(label) for label in labels[chosen]])
    return table(HEAD, lines)


def many(count: int) -> str:
    """How long communities of so many synthetic vectors take, and the memory beyond vectors and lists."""
    made = synthetic.load(count)
    path = made.folder / f"neighbours-{LIST}.npz"
    lists_took = "kept from an earlier run"
    if not path.exists():
        started = time.perf_counter()
        engine = tuning.build(np.asarray(made.vectors))
        built = time.perf_counter() - started
        found = engine.search(np.asarray(made.vectors), LIST)
        lists_took = (
            f"{engine.kind}: tuned and built in {built:.0f} s, {time.perf_counter() - started - built:.0f} s more"
        )
        lists_took += f" for the lists, peak {peak():.1f} GiB"
        np.savez(path, ids=found.ids, scores=found.scores)
        note(lists_took)
    with np.load(path) as stored:
        found = Neighbours(stored["ids"], stored["scores"])
    begun = resident()
    seconds: list[float] = []
    watch = Watch()
    for _ in range(2):
        started = time.perf_counter()
        partition = clusters.communities(made.vectors, found)
        seconds.append(time.perf_counter() - started)
        note(f"{partition.count} communities in {seconds[-1]:.0f} s")
    most = watch.stop()
    head = (
        "vectors",
        "communities",
        "resolution",
        "seconds, first",
        "again",
        "memory before, GiB",
        "most, GiB",
        "lists",
    )
    line = (count, partition.count, partition.resolution, *seconds, begun, most, lists_took)
    return table(head, [line])


class Watch:
    """The most memory that this process holds while it is watched."""

    def __init__(self) -> None:
        self._most, self._over = resident(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self._most = max(self._most, resident())

    def stop(self) -> float:
        """End the watch and say how much it was, in GiB."""
        self._over.set()
        self._thread.join()
        return self._most


def resident() -> float:
    """Memory that this process holds now, in GiB, mapped files that it has read included."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**30


def peak() -> float:
    """The most memory that this process ever held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Compare on the real photos, or time on synthetic vectors."""
    parser = command_line("clusters", __doc__)
    parser.add_argument("counts", type=int, nargs="*", metavar="N", help="time so many synthetic vectors instead")
    parser.add_argument("--keep", action="store_true", help="write the tables to RESULTS.md")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
    used = versions("graspologic-native", "scikit-learn", "faiss-gpu", "faiss-cpu", "numpy")
    for count in options.counts:
        title, command = f"Clusters of {count:,} vectors", f"python -m benchmarks.clusters {count}"
        publish(title, f"{many(count)}\n\n{used}", command=command, keep=options.keep)
    if not options.counts:
        publish("Clusters", f"{birds()}\n\n{used}", command="python -m benchmarks.clusters", keep=options.keep)


if __name__ == "__main__":
    main()
