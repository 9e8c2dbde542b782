"""Classification by an index's own labels, and strangers: `python -m benchmarks.species [DIR]`.

DIR holds one folder per species (default: the shared photos). It is indexed afresh through the public door. The mix of
witnesses was chosen on every second species by name (A), so the others (B) are printed beside them. The single
witnesses had been looked at on both. The vectors may come from `--npz` (arrays X and labels) instead.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

import birdsearch
from benchmarks.common import SHARED_PHOTOS, command_line
from benchmarks.retrieval import leave_one_out
from birdsearch.records import Vectors
from birdsearch.search import whitening
from birdsearch.species import classifier
from birdsearch.species.evaluation import evaluate

Names = npt.NDArray[np.str_]
REMOVED = 0.2  # of the species, for strangers
DRAWS = 3  # of removed species
ROUNDS = 5  # in each, another fifth of the photos of the species that stay is kept out


def halves(species: Names) -> dict[str, Names]:
    """All species, the half that the mix of witnesses was chosen on, the other half; every second one by name."""
    return {"all": species, "A": species[::2], "B": species[1::2]}


def strangers(vectors: Vectors, labels: Names, seed: int) -> npt.NDArray[np.float64]:
    """AUROC of telling photos of removed species from others, by novelty and by 1 - probability: (rounds, 2).

    In each round a fifth of the photos of the species that stay is kept out of the fit, and one classifier judges them
    and the strangers. Scores of two classifiers (cross-fitted ones for the known, a whole fit for the strangers) must
    not be mixed: their scales differ a little, which raised the figure by 0.01 at 1,500 photos and 0.04 at 600.
    """
    from sklearn.metrics import roc_auc_score

    draw, species = np.random.default_rng(seed), np.unique(labels)
    gone = np.isin(labels, draw.permutation(species)[: int(REMOVED * len(species))])
    part = np.empty(len(labels), dtype=np.int64)
    for name in species:
        same = np.flatnonzero(labels == name)
        part[same] = draw.permutation(np.arange(len(same)) % ROUNDS)
    areas = []
    for number in range(ROUNDS):
        known, outside = ~gone & (part != number), ~gone & (part == number)
        fitted = classifier.GalleryClassifier.fit(vectors[known], [str(label) for label in labels[known]])
        if fitted is None:
            raise ValueError("no species is left")
        output = fitted.predict(np.concatenate([vectors[outside], vectors[gone]]))
        truth = np.arange(len(output.novelty)) >= np.count_nonzero(outside)
        doubt = 1 - output.probabilities.max(axis=1)
        areas.append([roc_auc_score(truth, output.novelty), roc_auc_score(truth, doubt)])
    return np.array(areas)


def scaled(photos: int, dim: int, species: int) -> None:
    """Time and memory of made photos."""
    import resource

    draw = np.random.default_rng(0)
    own = draw.integers(0, species, photos)
    rows = draw.standard_normal((species, dim), dtype=np.float32)[own]
    for start in range(0, photos, 4096):
        rows[start : start + 4096] += 2 * draw.standard_normal(rows[start : start + 4096].shape, dtype=np.float32)
        rows[start : start + 4096] /= np.linalg.norm(rows[start : start + 4096], axis=1, keepdims=True)
    labels: list[str | None] = [f"species {number:05d}" for number in own]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, job in (("fit", classifier.GalleryClassifier.fit), ("cross_validate", classifier.cross_validate)):
        started, cpu = time.perf_counter(), time.process_time()
        job(rows, labels)
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        took = f"{time.perf_counter() - started:.1f} s ({time.process_time() - cpu:.1f} s of processor)"
        print(f"{name}: {photos} x {dim}, {species} species: {took}, {more:.0f} MB beyond the rows", flush=True)


def table(vectors: Vectors, labels: Names) -> None:
    """Print the figures of point 1: leave-one-out, calibration, strangers."""
    print("| species | photos | raw vote | refined vote | top-1 | top-5 | ECE | AUROC novelty | of 1 - probability |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, chosen in halves(np.unique(labels)).items():
        some = np.isin(labels, chosen)
        rows, own = vectors[some], labels[some]
        plain = leave_one_out(rows, own).vote_accuracy
        refined = leave_one_out(whitening.fit(rows).apply(rows), own).vote_accuracy
        figures = evaluate(rows, [str(label) for label in own])
        areas = np.concatenate([strangers(rows, own, seed) for seed in range(DRAWS)])
        spread = zip(areas.mean(0), areas.min(0), areas.max(0), strict=True)
        shown = " | ".join(f"{mean:.3f} ({low:.3f}-{high:.3f})" for mean, low, high in spread)
        known = f"{figures.knn_accuracy:.4f} | {figures.knn_accuracy_top5:.4f} | {figures.calibration_error:.4f}"
        print(f"| {name} ({len(chosen)}) | {len(own)} | {plain:.3f} | {refined:.3f} | {known} | {shown} |", flush=True)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = command_line("species", __doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED_PHOTOS, metavar="DIR")
    parser.add_argument("--npz", type=Path, help="arrays X (n, dim) and labels (n,) instead of photos")
    parser.add_argument("--scale", type=int, nargs=3, metavar=("PHOTOS", "DIM", "SPECIES"), help="time made photos")
    options = parser.parse_args()
    if options.scale:
        scaled(*options.scale)
        return
    if options.npz:
        with np.load(options.npz) as stored:
            table(stored["X"], stored["labels"])
        return
    if not options.folder.is_dir():
        sys.exit(f"no folder at {options.folder}: name a folder with one folder of photos per species")
    with tempfile.TemporaryDirectory() as temporary, birdsearch.create(Path(temporary) / "index") as index:
        index.add(options.folder, labels="folder")
        photos = [photo for photo in index.photos() if photo.label is not None and photo.id is not None]
        vectors = index.vectors([photo.id for photo in photos if photo.id is not None])
        table(vectors, np.array([photo.label for photo in photos], dtype=np.str_))


if __name__ == "__main__":
    main()
