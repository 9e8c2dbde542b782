"""Large sets of bird-like vectors for the search tables: `python -m benchmarks.synthetic 200000 1000000`.

No million labelled bird photos can be had here, so the vectors are drawn from what 1,500 real photos show
(`../shared/data/birds300`, 300 species, the built-in backbone):

1. The 1,280 dimensions become 512 by an uncentred PCA, a rotation that keeps the cosines (98 % of the energy).
2. Per species the mean, and over all species the pooled covariance of the photos around their means.
3. A new species lies between a real one and one of the 30 most like it, drawn at random, as relatives do: grand mean +
   cos(t) * (one mean - grand mean) + sin(t) * (other mean - grand mean), scaled so that new species lie as far from the
   grand mean as real ones (a plain average would crowd them together). The means of five photos carry a fifth of the
   spread inside a species as noise; they are shrunk by that share, or species would be too easy to tell apart. Mixing
   any two species instead of relatives makes recall@1 0.08 too high against the real photos (`--check`).
4. A photo is its species' mean plus a Gaussian step with the pooled covariance. Its length is scaled by how far a real
   photo, drawn at random, lies from its species' mean: some photos are odd ones. Rows then get length 1.
5. One species in 100 photos on average, with sizes as uneven as a birder's (log-normal: few favourites, many rarities).

Questions come from the same process and are not in the set. Truth is exact. `bucket` is a number from 0 to 99 per row,
independent of the vector, for filters: `bucket < 10` keeps 10 %. `python -m benchmarks.synthetic --check` compares the
drawn vectors with the real ones.

Three other shapes (`--shape`) find out an engine that is good on one only: `spectrum`, 600 wide clusters whose spread
falls off slowly; `sphere`, uniform, where no neighbour is nearer than others by much; `copies`, narrow clusters in
which every fifth row comes twice.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common import SHARED_PHOTOS, cached, command_line
from benchmarks.retrieval import Labels, leave_one_out
from birdsearch.records import Ids, Vectors

DIM = 512
QUESTIONS = 1000
DEPTH = 100  # true neighbours kept per question
PHOTOS_PER_SPECIES = 100
RELATIVES = 30  # a new species lies between a real one and one of so many most like it
UNEVENNESS = 1.0  # sigma of the log of a species' size
SELECTIVITIES = (1, 10, 50)  # per cent of the rows that a filter keeps
CHUNK = 20_000  # rows at a time
SEED = 2026


@dataclass(frozen=True, slots=True)
class Synthetic:
    """One set of vectors, its questions, and the exact answers."""

    folder: Path
    vectors: Vectors  # (n, 512), unit rows, mapped from disk
    queries: Vectors  # (1000, 512), unit rows, none of them in `vectors`
    truth: Ids  # (1000, 100) row numbers, best first
    bucket: npt.NDArray[np.int64]  # (n,), 0 to 99
    filtered: dict[int, Ids]  # per cent -> (1000, 100) true rows among bucket < per cent; -1 where there are fewer


@dataclass(frozen=True, slots=True)
class Shape:
    """What the real photos say about how species and photos lie."""

    centre: Vectors  # (512,) grand mean of the species
    offsets: Vectors  # (species, 512) species minus centre, sampling noise shrunk away
    step: Vectors  # (512, 512): standard normal row @ step has the covariance of photos around their species
    lengths: Vectors  # (photos,) how far each real photo strays, 1 on average (root mean square)


def real() -> tuple[Vectors, Labels]:
    """The raw vectors (1500, 1280) and species (1500,) of birds300, embedded once with the built-in backbone."""
    path = cached("real.npz")
    if not path.exists():
        _embed_real(path)
    with np.load(path) as stored:
        return stored["vectors"], stored["labels"]


def _embed_real(path: Path) -> None:
    import birdsearch

    if not SHARED_PHOTOS.is_dir():
        raise SystemExit(f"no photos at {SHARED_PHOTOS}: the synthetic vectors are modelled on them")
    with tempfile.TemporaryDirectory() as temporary:
        with birdsearch.create(Path(temporary) / "index", precision="fp32") as index:
            index.add(SHARED_PHOTOS, labels="folder")
            photos = index.photos()
            vectors = index.vectors([photo.id for photo in photos if photo.id is not None])
        np.savez(Path(temporary) / "real.npz", vectors=vectors, labels=np.array([photo.label for photo in photos]))
        shutil.move(Path(temporary) / "real.npz", path)


def reduced(vectors: Vectors) -> Vectors:
    """The vectors in their 512 strongest directions, unit rows again; (n, dim) -> (n, 512)."""
    _, _, directions = np.linalg.svd(vectors, full_matrices=False)
    return unit(vectors @ directions[:DIM].T)


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def shape(vectors: Vectors, labels: Labels) -> Shape:
    """Learn the shape of (n, 512) unit rows with their species."""
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.stack([vectors[classes == number].mean(axis=0) for number in range(len(sizes))])
    residuals = vectors - means[classes]
    freedom = len(vectors) - len(sizes)
    covariance = residuals.T @ residuals / freedom
    centre = means.mean(axis=0)
    offsets = means - centre
    noise = np.trace(covariance) / sizes.mean()  # share of the means' spread that is only the luck of five photos
    spread = (offsets**2).sum(axis=1).mean()
    values, directions = np.linalg.eigh(covariance.astype(np.float64))
    lengths = np.linalg.norm(residuals, axis=1)
    return Shape(
        centre=centre,
        offsets=(offsets * np.sqrt(1 - noise / spread)).astype(np.float32),
        step=(np.sqrt(np.maximum(values, 0))[:, None] * directions.T).astype(np.float32),
        lengths=(lengths / np.sqrt((lengths**2).mean())).astype(np.float32),
    )


def species_means(learned: Shape, count: int, random: np.random.Generator) -> Vectors:
    """`count` new species, each between two real relatives; (count, 512)."""
    directions = unit(learned.offsets)
    likeness = directions @ directions.T  # (species, species)
    np.fill_diagonal(likeness, -1)
    relatives = np.argsort(-likeness, axis=1)[:, :RELATIVES]
    one = random.integers(len(likeness), size=count)
    other = relatives[one, random.integers(relatives.shape[1], size=count)]
    angle = random.uniform(0, np.pi / 2, size=(count, 1))
    mixed = np.cos(angle) * learned.offsets[one] + np.sin(angle) * learned.offsets[other]
    lengthened = np.sqrt(1 + np.sin(2 * angle) * likeness[one, other][:, None])  # what mixing did to unit vectors
    return np.asarray(learned.centre + mixed / lengthened, dtype=np.float32)


def photos(learned: Shape, means: Vectors, random: np.random.Generator) -> Vectors:
    """One photo for every row of `means`; (n, 512) -> (n, 512) unit rows."""
    steps = random.standard_normal((len(means), DIM), dtype=np.float32) @ learned.step
    return unit(means + steps * random.choice(learned.lengths, size=(len(means), 1)))


def exact(vectors: Vectors, queries: Vectors, rows: Ids | None = None) -> Ids:
    """True neighbours of each query among `rows` (all where None), best first; (q, 512) -> (q, 100), -1 as filling."""
    best_ids = np.full((len(queries), DEPTH), -1, dtype=np.int64)
    best = np.full((len(queries), DEPTH), -np.inf, dtype=np.float32)
    candidates = np.arange(len(vectors)) if rows is None else rows
    for start in range(0, len(candidates), CHUNK):
        chosen = candidates[start : start + CHUNK]
        scores = np.concatenate([best, queries @ np.asarray(vectors[chosen]).T], axis=1)
        ids = np.concatenate([best_ids, np.broadcast_to(chosen, (len(queries), len(chosen)))], axis=1)
        top = np.argpartition(-scores, DEPTH - 1, axis=1)[:, :DEPTH]
        best, best_ids = np.take_along_axis(scores, top, axis=1), np.take_along_axis(ids, top, axis=1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.asarray(np.take_along_axis(best_ids, order, axis=1))


Draw = Callable[[int], Vectors]  # so many more unit rows (n, 512) of one set


def bird_like(count: int, random: np.random.Generator) -> Draw:
    """Photos of species as uneven in number as a birder's."""
    vectors, labels = real()
    learned = shape(reduced(vectors), labels)
    means = species_means(learned, max(2, count // PHOTOS_PER_SPECIES), random)
    popularity = random.lognormal(sigma=UNEVENNESS, size=len(means))
    popularity /= popularity.sum()
    return lambda size: photos(learned, means[random.choice(len(means), size, p=popularity)], random)


def spectrum(count: int, random: np.random.Generator) -> Draw:
    """600 clusters, as wide as they lie apart; the spread falls with the root of a direction's number."""
    scale = np.arange(1, DIM + 1, dtype=np.float32) ** -0.5
    centres = random.standard_normal((600, DIM), dtype=np.float32)

    def draw(size: int) -> Vectors:
        steps = random.standard_normal((size, DIM), dtype=np.float32)
        return unit((centres[random.integers(len(centres), size=size)] + steps) * scale)

    return draw


def sphere(count: int, random: np.random.Generator) -> Draw:
    """Every direction as likely as any other."""
    return lambda size: unit(random.standard_normal((size, DIM), dtype=np.float32))


def copies(count: int, random: np.random.Generator) -> Draw:
    """200 narrow clusters; every fifth row is the one before it."""
    centres = random.standard_normal((200, DIM), dtype=np.float32)

    def draw(size: int) -> Vectors:
        steps = random.standard_normal((size, DIM), dtype=np.float32)
        rows = unit(centres[random.integers(len(centres), size=size)] + 0.3 * steps)
        rows[4::5] = rows[3::5][: len(rows[4::5])]
        return rows

    return draw


SHAPES: dict[str, Callable[[int, np.random.Generator], Draw]] = {
    "birds": bird_like,
    "spectrum": spectrum,
    "sphere": sphere,
    "copies": copies,
}


def load(count: int, kind: str = "birds") -> Synthetic:
    """The set of `count` vectors, made at first use (1M takes some minutes and 2.1 GB of disk) and then mapped."""
    folder = cached(f"synthetic-{count}" if kind == "birds" else f"synthetic-{kind}-{count}")
    if not folder.is_dir():
        _make(count, SHAPES[kind], folder)
    return Synthetic(
        folder=folder,
        vectors=np.load(folder / "vectors.npy", mmap_mode="r"),
        queries=np.load(folder / "queries.npy"),
        truth=np.load(folder / "truth.npy"),
        bucket=np.load(folder / "bucket.npy"),
        filtered={percent: np.load(folder / f"truth-{percent}.npy") for percent in SELECTIVITIES},
    )


def _make(count: int, kind: Callable[[int, np.random.Generator], Draw], folder: Path) -> None:
    random = np.random.default_rng([SEED, count])
    draw = kind(count, random)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / "made"  # renamed when complete: an interrupted run leaves nothing to trust
        made.mkdir()
        rows = np.lib.format.open_memmap(made / "vectors.npy", mode="w+", dtype=np.float32, shape=(count, DIM))
        for start in range(0, count, CHUNK):
            rows[start : start + CHUNK] = draw(min(CHUNK, count - start))
        rows.flush()
        queries = draw(QUESTIONS)
        bucket = random.integers(100, size=count)
        np.save(made / "queries.npy", queries)
        np.save(made / "bucket.npy", bucket)
        np.save(made / "truth.npy", exact(rows, queries))
        for percent in SELECTIVITIES:
            np.save(made / f"truth-{percent}.npy", exact(rows, queries, np.flatnonzero(bucket < percent)))
        os.replace(made, folder)


def check() -> None:
    """Print figures of the real vectors beside drawn ones of the same number of species and photos."""
    vectors, labels = real()
    small = reduced(vectors)
    learned = shape(small, labels)
    random = np.random.default_rng(SEED)
    species, classes = np.unique(labels, return_inverse=True)
    drawn = photos(learned, species_means(learned, len(species), random)[classes], random)
    for name, rows in (("real, 1280", vectors), ("real, PCA 512", small), ("drawn, 512", drawn)):
        figures = leave_one_out(rows, labels)
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        nearest = np.sort(scores, axis=1)[:, -10:]
        spread = scores[~np.eye(len(rows), dtype=bool)]
        print(
            f"{name:14} recall@1 {figures.recall_at_1:.3f}  mAP {figures.mean_average_precision:.3f}"
            f"  score: any two {spread.mean():.3f} +- {spread.std():.3f}, 1st neighbour {nearest[:, -1].mean():.3f},"
            f" 10th {nearest[:, 0].mean():.3f}, 1st - 10th {(nearest[:, -1] - nearest[:, 0]).mean():.3f}"
        )


def main() -> None:
    """Make the sets that are asked for, or compare drawn with real vectors."""
    parser = command_line("synthetic", __doc__)
    parser.add_argument("counts", type=int, nargs="*", metavar="N", help="how many vectors (200000 1000000)")
    parser.add_argument("--shape", choices=SHAPES, default="birds")
    parser.add_argument("--check", action="store_true", help="compare drawn vectors with the real ones")
    options = parser.parse_args()
    if options.check:
        check()
    for count in options.counts:
        made = load(count, options.shape)
        print(f"{made.folder}: {len(made.vectors)} vectors, {len(made.queries)} questions")


if __name__ == "__main__":
    main()
