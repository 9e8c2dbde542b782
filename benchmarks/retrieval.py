"""How well the vectors bring the photos of one species together: `python -m benchmarks.retrieval DIR`.

DIR holds one folder per species. Every photo asks once and never answers itself (leave-one-out), so no split and no
training is involved. The photos go through the public door: a fresh index in a temporary folder, `labels="folder"`.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import birdsearch
from benchmarks.common import command_line
from birdsearch.records import Vectors
from birdsearch.search import tuning, whitening
from birdsearch.search.graph import SOURCES, NeighbourGraph, linked

Labels = npt.NDArray[np.str_]  # (n,)
Rows = npt.NDArray[np.int64]
ORDERS = ("diffused", "diffused from outside")
CHUNK = 1024  # questions at a time: the score matrix stays small whatever the collection
NEIGHBOURS = 5
SHARPNESS = 20.0  # of the vote: a score higher by 0.05 weighs e times more


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Leave-one-out figures of one set of labelled vectors; species with a single photo ask nothing."""

    photos: int
    species: int
    questions: int
    recall_at_1: float
    recall_at_5: float
    mean_average_precision: float  # over all other photos of the same species
    vote_accuracy: float  # species that the nearest photos elect, each weighing exp(SHARPNESS * score)


def leave_one_out(vectors: Vectors, labels: Labels, order: str = "score") -> Retrieval:
    """Let every row ask for the others of its label; vectors (n, dim) of unit rows, labels (n,).

    In the `order` "diffused" what `diffused` says comes before the score; in "diffused from outside" the row that asks
    is not in the graph.
    """
    ids = np.arange(len(vectors))
    graph = None if order == "score" else linked(tuning.build(vectors), ids, vectors)
    names, classes = np.unique(labels, return_inverse=True)
    sizes = np.bincount(classes)
    asking = np.flatnonzero(sizes[classes] > 1)
    if not len(asking):
        raise ValueError("no species has two photos, so no photo can find another of its species")
    first, five, precision, vote = [], [], [], []
    for start in range(0, len(asking), CHUNK):
        rows = asking[start : start + CHUNK]
        scores = vectors[rows] @ vectors.T  # (rows, n)
        scores[np.arange(len(rows)), rows] = -np.inf
        arrived = np.zeros_like(scores) if graph is None else diffused(graph, vectors, rows, order == "diffused")
        best = np.lexsort((-scores, -arrived))[:, :-1]  # the photo itself sorts last
        hit = classes[best] == classes[rows][:, None]  # (rows, n - 1)
        first.append(hit[:, 0])
        five.append(hit[:, :5].any(axis=1))
        precision.append(_average_precision(hit))
        near = best[:, :NEIGHBOURS]
        weights = np.exp(SHARPNESS * np.take_along_axis(scores, near, axis=1))
        vote.append(_elected(classes[near], weights) == classes[rows])
    return Retrieval(
        photos=len(vectors),
        species=len(names),
        questions=len(asking),
        recall_at_1=float(np.concatenate(first).mean()),
        recall_at_5=float(np.concatenate(five).mean()),
        mean_average_precision=float(np.concatenate(precision).mean()),
        vote_accuracy=float(np.concatenate(vote).mean()),
    )


def diffused(graph: NeighbourGraph, vectors: Vectors, rows: Rows, inside: bool) -> Vectors:
    """How much of what these rows ask arrives at every row (q, n); at themselves -inf."""
    arrived = np.zeros((len(rows), len(vectors)), dtype=np.float32)
    for number, row in enumerate(rows.tolist()):
        scores = vectors @ vectors[row]
        if not inside:
            scores[row] = -np.inf
        near = np.argsort(-scores, kind="stable")[:SOURCES]
        known = graph if inside else graph.restricted(np.delete(graph.ids, row))
        reached, much = known.spread(near, scores[near])
        arrived[number, reached] = much
        arrived[number, row] = -np.inf
    return arrived


def _average_precision(hit: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Mean, over the right answers of each ranking, of the share of right answers down to it; hit (q, n)."""
    ranks = np.arange(1, hit.shape[1] + 1)
    shares = np.cumsum(hit, axis=1) / ranks
    return np.asarray((shares * hit).sum(axis=1) / hit.sum(axis=1))


def _elected(candidates: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The class with the greatest summed weight in each row; both (q, k)."""
    same = candidates[:, :, None] == candidates[:, None, :]  # (q, k, k)
    totals = (same * weights[:, None, :]).sum(axis=2)
    return np.asarray(np.take_along_axis(candidates, totals.argmax(axis=1)[:, None], axis=1)[:, 0])


def embedded(folder: Path, backbone: str | None) -> tuple[Vectors, Labels, dict[str, object]]:
    """Index `folder` afresh: its vectors and labels; the third answer says what was indexed, and how."""
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        with birdsearch.create(Path(temporary) / "index", backbone=backbone) as index:
            report = index.add(folder, labels="folder")
            seconds = time.perf_counter() - started
            photos = [photo for photo in index.photos() if photo.label is not None and photo.id is not None]
            ids = [photo.id for photo in photos if photo.id is not None]
            labels = np.array([photo.label for photo in photos], dtype=np.str_)
            vectors = index.vectors(ids)
            name = index.backbone.name
    about = {"folder": str(folder), "backbone": name, "indexed": report.added, "failed": len(report.failed)}
    return vectors, labels, {**about, "seconds": round(seconds, 1)}


def measure(folder: Path, backbone: str | None) -> tuple[Retrieval, Retrieval, dict[str, object]]:
    """Index `folder` afresh and ask raw and whitened vectors; the third answer says what was indexed, and how."""
    vectors, labels, about = embedded(folder, backbone)
    whitened = whitening.fit(vectors).apply(vectors)
    return leave_one_out(vectors, labels), leave_one_out(whitened, labels), about


def main() -> None:
    """Parse the command line, measure, print."""
    parser = command_line("retrieval", __doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="one folder per species")
    parser.add_argument("--backbone", help="name or checkpoint; default: the built-in one")
    parser.add_argument("--diffuse", action="store_true", help="also in the order of diffusion (query --diffuse)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    if not options.folder.is_dir():
        sys.exit(f"no folder at {options.folder}: name a folder with one folder of photos per species")
    vectors, labels, about = embedded(options.folder.absolute(), options.backbone)
    figures: dict[str, object] = {**about, **asdict(leave_one_out(vectors, labels))}
    for space, rows in (("", vectors), ("whitened ", whitening.fit(vectors).apply(vectors))):
        for order in ("score", *(ORDERS if options.diffuse else ())):
            found = leave_one_out(rows, labels, order)
            name = space + ("" if order == "score" else f"{order} ")
            shown = {n: getattr(found, n) for n in ("recall_at_1", "recall_at_5", "mean_average_precision")}
            figures |= {f"{name}{n}".replace(" ", "_"): value for n, value in shown.items()}
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):46}{value:.4f}" if isinstance(value, float) else f"{name:46}{value}")


if __name__ == "__main__":
    main()
