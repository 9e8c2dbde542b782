"""Candidates for duplicates among many vectors and hashes, with planted pairs: `python -m benchmarks.pairs [N...]`.

The vectors are those of benchmarks.synthetic, where no two reach a score of 0.9 by chance; the hashes are random. Into
them are planted: pairs with a score between 0.9 and 1, whose hashes differ in up to 8 bits in a random orientation,
cliques of 50 rows, and 1,000 copies of one row. Each tool is a process of its own. What compares all with all answers
for some of the rows only (`asked`), and its time for all is worked out from that.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import (
    CACHE,
    ROUNDS,
    ContestantError,
    Figures,
    alternating,
    command_line,
    median,
    note,
    publish,
    table,
    worker,
)
from benchmarks.synthetic import CHUNK, DIM, load, unit
from birdsearch.duplicates.hashes import orientations, reach
from birdsearch.records import Ids, Vectors

COUNTS = (200_000, 1_000_000)
QUICK_COUNT = 5_000
MIN_SCORE = 0.9
PLANTED = 1_000  # pairs
CLIQUES, CLIQUE = 10, 50
COPIES = 1_000
LONGEST = 900.0  # seconds that anyone may take; building the engine is not counted
PATIENCE = 300.0  # the same for imagededup, whose time grows with the square...
PATIENT_UP_TO = 200_000  # ...and which is not asked about more: it was not done with so many
SEED = 44


def planted(count: int) -> Path:
    """A folder with vectors.npy (n, 512), hashes.npy (n,) and the planted pairs (m, 2): near.npy, hashed.npy."""
    folder = CACHE / f"pairs-{count}"
    if folder.is_dir():
        return folder
    source = load(count).vectors
    random = np.random.default_rng([SEED, count])
    rows = random.permutation(count)
    pairs, rows = rows[: 2 * PLANTED].reshape(-1, 2), rows[2 * PLANTED :]
    cliques, rows = rows[: CLIQUES * CLIQUE].reshape(CLIQUES, CLIQUE), rows[CLIQUES * CLIQUE :]
    copies = rows[:COPIES]
    hashes = random.integers(1 << 64, size=count, dtype=np.uint64, endpoint=False)
    for number, (a, b) in enumerate(pairs):
        hashes[b] = _flipped(random, orientations(hashes[a : a + 1])[int(random.integers(8)), 0], number % 9)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / "made"  # renamed when complete
        made.mkdir()
        vectors = np.lib.format.open_memmap(made / "vectors.npy", mode="w+", dtype=np.float32, shape=source.shape)
        for start in range(0, count, CHUNK):
            vectors[start : start + CHUNK] = source[start : start + CHUNK]
        vectors[pairs[:, 1]] = _at(vectors[pairs[:, 0]], random.uniform(MIN_SCORE + 0.001, 1, len(pairs)), random)
        for clique in cliques:
            vectors[clique[1:]] = _at(np.repeat(vectors[clique[:1]], CLIQUE - 1, axis=0), np.full(49, 0.98), random)
        vectors[copies] = vectors[copies[0]]
        vectors.flush()
        inside = [np.sort(clique)[np.stack(np.triu_indices(CLIQUE, 1), axis=1)] for clique in cliques]
        np.save(made / "near.npy", np.sort(np.concatenate([pairs, *inside]), axis=1))
        np.save(made / "copies.npy", np.sort(copies))
        np.save(made / "hashed.npy", np.sort(pairs, axis=1))
        np.save(made / "hashes.npy", hashes)
        os.replace(made, folder)
    return folder


def _at(rows: Vectors, scores: npt.NDArray[np.float64], random: np.random.Generator) -> Vectors:
    """Rows (n, 512) that have these scores (n,) with the given ones."""
    aside = random.standard_normal((len(rows), DIM), dtype=np.float32)
    aside = unit(aside - np.einsum("nd,nd->n", aside, rows)[:, None] * rows)
    return unit((scores[:, None] * rows + np.sqrt(1 - scores**2)[:, None] * aside).astype(np.float32))


def _flipped(random: np.random.Generator, value: np.uint64, bits: int) -> np.uint64:
    flips = np.uint64(1) << random.choice(64, bits, replace=False).astype(np.uint64)
    return np.uint64(np.bitwise_xor.reduce(flips, initial=value))


def recall(found: Ids, truth: Ids) -> float:
    """Share of the true pairs (m, 2) among those found; the lower row first in both."""
    keys, wanted = (pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1] for pairs in (found, truth))
    return float(np.isin(wanted, keys).mean())


def compare(count: int, rounds: int) -> str:
    """The table for one number of photos."""
    data = planted(count)
    if not (data / "engine.json").exists():
        note("birdsearch builds its engine")
        worker(None, "pairs_birdsearch", "build", data)
    contestants: dict[str, Callable[[], Figures]] = {
        "birdsearch near_blocks": partial(worker, None, "pairs_birdsearch", "near", data, timeout=LONGEST),
        "FAISS flat range search": partial(worker, None, "pairs_faiss", data, timeout=LONGEST),
        "birdsearch hash_pairs": partial(worker, None, "pairs_birdsearch", "hash", data, timeout=LONGEST),
        "imagededup PHash": partial(worker, "imagededup", "pairs_imagededup", data, timeout=PATIENCE),
    }
    if count > PATIENT_UP_TO:
        del contestants["imagededup PHash"]
    measured = alternating(contestants, rounds)
    head = [
        "",
        "pairs",
        "planted pairs found",
        "rows asked",
        "seconds for all",
        "peak memory, MB",
        "beyond its data, MB",
    ]
    rows: list[list[object]] = []
    for name in contestants:
        figures = measured.get(name)
        if not figures:
            waited = PATIENCE if "imagededup" in name else LONGEST
            rows.append([name, f"failed, or not done after {waited:.0f} s", None, None, None, None, None])
            continue
        keys = ("pairs", "recall", "asked", "seconds", "peak_mb", "beyond_mb")
        rows.append([name, *(round(median(figures, key), 4) for key in keys)])
    return "\n\n".join(
        [
            f"{count:,} photos; {PLANTED:,} planted pairs, {CLIQUES} cliques of {CLIQUE}, {COPIES:,} equal vectors."
            f" Vectors: score {MIN_SCORE} and above. Hashes: up to 8 bits differ in the planted pairs; birdsearch looks"
            f" in eight orientations and as far as {reach(count)} bits, imagededup in one orientation and as far as 8"
            f" (an eighth of the planted pairs is all it can find). Median of {rounds} rounds. birdsearch's data is its"
            " engine, else the vectors or the hashes.",
            table(head, rows),
        ]
    )


def main() -> None:
    """Parse the command line, let everyone run, publish."""
    parser = command_line("pairs", __doc__)
    parser.add_argument("counts", type=int, nargs="*", metavar="N", help="numbers of photos (200000 1000000)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_COUNT} photos, one round, nothing written")
    parser.add_argument("--print", action="store_true", help="write nothing into RESULTS.md")
    options: Any = parser.parse_args()
    if options.quick:
        options.counts, options.rounds = options.counts or [QUICK_COUNT], 1
    for count in options.counts or COUNTS:
        try:
            body = compare(count, options.rounds)
        except ContestantError as error:
            raise SystemExit(f"birdsearch itself failed: {error}") from error
        command = f"python -m benchmarks.pairs {count}"
        publish(
            f"Candidates for duplicates, {count:,} photos",
            body,
            command=command,
            keep=not (options.quick or options.print),
        )


if __name__ == "__main__":
    main()
