"""One flipped bit at random places of every kind of file: `python -m benchmarks.bitflips [--flips N] [--seconds N]`.

An index of 600 photos (small: flat engine, whitened) and one of 24,000 (large: flat-fp16, ivf, hnsw) of drawn vectors,
and a cached network. After each flip a child asks what comes out of that file; some are verified and repaired.
"""

import json
import logging
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import birdsearch
from benchmarks.common import command_line, note, publish, table
from birdsearch import BirdsearchError, Photo
from birdsearch.backbones import DEFAULT, load_backbone, openvino_runtime
from birdsearch.storage import parts
from birdsearch.storage.catalog.commits import Batch, Entry, Said
from birdsearch.storage.store import Store
from tests.support import frozen_index
from tests.support.engine_file import engine_of

FLIPS = 2_000
SMALL, LARGE, PART, DIM = 600, 24_000, 3_000, 16
OUTCOMES = ("refused", "answered from the parts, with a warning", "no effect", "OTHER ANSWERS", "TRACEBACK", "CRASH")
REFUSED, REPLACED, SAME, OTHER, TRACEBACK, CRASH = OUTCOMES
Answers = list[Any]


@dataclass(frozen=True)
class Limits:
    """How much is tried of each kind of file."""

    flips: int
    seconds: float


class _Said(logging.Handler):
    """Counts warnings."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


said = _Said(logging.WARNING)


def make(path: Path, count: int) -> None:
    """An index of drawn vectors whose photos do not exist."""
    draw = np.random.default_rng(count)
    centres = draw.normal(size=(40, DIM))
    with closing(Store.create(path, frozen_index.backbone())) as store, store.writing() as catalog:
        catalog.ensure_root(b"/photos")
        for number, first in enumerate(range(1, count + 1, PART), 1):
            ids = range(first, min(first + PART, count + 1))
            rows = centres[draw.integers(40, size=len(ids))] + draw.normal(size=(len(ids), DIM)) * 0.4
            vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            part = parts.Part(np.array(ids), vectors, np.full(len(ids), 10, np.float32))
            row = parts.listed(store.folder.vectors, number, part, "drawn")
            photos = [
                Photo(i, f"/photos/{i}.jpg", sha256=f"{i:064x}", size=i, mtime_ns=i, notes=f"note {i}") for i in ids
            ]
            entries = [
                Entry(photo, False, i, Said("folder", f"Species {i % 9}")) for i, photo in zip(ids, photos, strict=True)
            ]
            catalog.commit(Batch(entries=entries, part=row))


def ask(path: Path, name: str) -> Answers:
    """All that an index says that comes, in part, out of the file of this name."""
    draw = np.random.default_rng(1)
    queries = draw.normal(size=(8, DIM)).astype(np.float32)
    with birdsearch.open(path, backbone=frozen_index.backbone()) as index:
        if name.startswith("classifier"):
            return list(index.probabilities(range(1, 50)).round(4).tolist())
        if name.endswith(".parquet"):
            return list(index.vectors(range(1, 50)).tolist())
        found = index.search_vectors(queries, 10)
        answers: Answers = [[(match.photo.path, round(match.score, 4)) for match in matches] for matches in found]
        if name.startswith("catalog"):
            ids = range(1, SMALL)
            answers += [index.vectors(ids).tolist(), repr(index.photos(ids=ids)), index.info()["labelled"]]
        return answers


def exact(file: Path, question: Callable[[], Answers]) -> Answers:
    """The answers without this file, where that is an engine: every row of the parts is compared."""
    aside = file.with_name("aside")
    file.rename(aside)
    try:
        return question() if file.name.startswith("engine") else []
    finally:
        aside.rename(file)


def outcome(question: Callable[[], Answers], sound: Answers, exact: Answers) -> str:
    """How a question to something damaged ended."""
    said.count = 0
    try:
        answers = question()
    except BirdsearchError:
        return REFUSED
    except Exception:
        return TRACEBACK
    if said.count:
        return REPLACED if answers == exact else OTHER
    return SAME if answers == sound else OTHER


def flip_all(
    file: Path, limits: Limits, question: Callable[[], Answers], look: Callable[[int, str], Counter[str]]
) -> Counter[str]:
    """How many flips ended in which way; a child that dies is one crash, and the next one goes on."""
    sound, without = question(), exact(file, question)
    counts, until = Counter[str](), time.monotonic() + limits.seconds
    data = file.read_bytes()
    while counts["flips"] < limits.flips and time.monotonic() < until:
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.close(reading)
            logging.getLogger("birdsearch").propagate = False
            logging.getLogger("birdsearch").addHandler(said)
            for number in range(counts["flips"], limits.flips):
                signal.alarm(120)
                flip(file, data, number)
                end = outcome(question, sound, without)
                os.write(writing, (json.dumps({"flips": 1, end: 1, **look(number, end)}) + "\n").encode())
                if time.monotonic() > until:
                    break
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                counts.update(json.loads(line))
        if os.waitpid(child, 0)[1]:
            counts.update((CRASH, "flips"))
    file.write_bytes(data)
    return counts


def flip(file: Path, data: bytes, number: int) -> None:
    """The file with one other bit: each number stands for a place."""
    chance, damaged = random.Random(number), bytearray(data)
    damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    for leftover in ("-wal", "-shm"):
        Path(f"{file}{leftover}").unlink(missing_ok=True)
    file.write_bytes(damaged)


@dataclass(frozen=True)
class Looked:
    """What `verify` says of some of the damaged indexes, and whether `repair` mends them."""

    index: Path

    def __call__(self, number: int, end: str) -> Counter[str]:
        """Ask after one flip."""
        counts: Counter[str] = Counter()
        if number % 50 == 0 and end != SAME:
            counts["verified"] = 1
            try:
                with birdsearch.open(self.index, backbone=frozen_index.backbone()) as index:
                    counts["noticed by verify"] = int(not index.verify().ok)
            except BirdsearchError:
                counts["noticed by verify"] = 1
        if number % 500 == 0 and end != SAME:
            counts["repaired"] = 1
            counts["mended"] = int(self._mends())
        return counts

    def _mends(self) -> bool:
        copy = self.index.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.index, copy)
        birdsearch.restore(copy)
        with birdsearch.open(copy, backbone=frozen_index.backbone()) as index:
            index.repair()
            # The photos of a dropped part do not exist here, so that nothing can embed them again.
            return all("has no vector" in line for line in index.verify().problems)


def row(title: str, counts: Counter[str]) -> list[object]:
    """One line of the table."""
    verified = f"{counts['noticed by verify']} of {counts['verified']}" if counts["verified"] else ""
    mended = f"{counts['mended']} of {counts['repaired']}" if counts["repaired"] else ""
    return [title, counts["flips"], *(counts[name] for name in OUTCOMES), verified, mended]


def index_rows(place: Path, limits: Limits) -> list[list[object]]:
    """Every file of a small and of a large index."""
    rows = []
    small, large = place / "small", place / "large"
    make(small, SMALL)
    make(large, LARGE)
    with birdsearch.open(small, backbone=frozen_index.backbone()) as index:
        index.optimize(whiten=True)
    for kind in ("", "flat-fp16", "ivf", "hnsw"):
        path = large if kind else small
        if kind:
            with birdsearch.open(path, backbone=frozen_index.backbone()) as index:
                index.optimize(engine=kind, recall=0.9)
        files = [engine_of(path)]
        if kind in ("", "flat-fp16"):
            files += [path / "vectors/00000001.parquet", path / "classifier.npz", path / "index.json"]
            files += [*path.glob("whitening-*"), path / "catalog.sqlite"]
        for file in files:
            title = f"{path.name} index: {file.name.partition('-')[0]}"
            title += f" ({kind or 'flat'})" if file.name.startswith("engine") else ""
            counts = flip_all(file, limits, partial(ask, path, file.name), Looked(path))
            rows.append(row(title, counts))
            note(f"{title}: {dict(counts)}")
    return rows


def network_rows(place: Path, limits: Limits) -> list[list[object]]:
    """Every file of the cached built-in network."""
    os.environ["BIRDSEARCH_CACHE"] = str(place / "cache")
    load_backbone(DEFAULT, runtime="openvino")
    (folder,) = (path for path in (place / "cache/networks").iterdir() if path.is_dir())
    pixels = np.random.default_rng(0).integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)

    def vectors() -> Answers:
        backbone = openvino_runtime.open_export(folder.name, "auto", lambda: load_backbone(DEFAULT, runtime="torch"))
        if backbone is None:
            raise BirdsearchError("it would be exported again")
        return [backbone.embed_pixels(pixels).vectors.round(5).tolist()]

    rows = []
    for file in sorted([*folder.iterdir(), *(folder / "compiled").iterdir()]):
        if file.is_file():
            file.chmod(0o600)
            counts = flip_all(file, limits, vectors, lambda number, end: Counter())
            title = f"cached network: {file.name if file.suffix != '.blob' else 'compiled'}"
            rows.append(row(title, counts))
            note(f"{title}: {dict(counts)}")
    return rows


def main() -> None:
    """Parse the command line, flip, publish."""
    parser = command_line("bitflips", __doc__)
    parser.add_argument("--flips", type=int, default=FLIPS, help="of each kind of file")
    parser.add_argument("--seconds", type=float, default=600, help="at most, for each kind of file")
    parser.add_argument("--quick", action="store_true", help="a few flips, nothing written")
    options = parser.parse_args()
    limits = Limits(20 if options.quick else options.flips, options.seconds)
    os.environ["OMP_NUM_THREADS"] = "1"  # threads of OpenMP do not survive a fork
    with tempfile.TemporaryDirectory() as name:
        rows = [*index_rows(Path(name), limits), *network_rows(Path(name), limits)]
    head = ["one flipped bit in", "flips", *OUTCOMES, "noticed by verify", "mended by repair"]
    command = f"python -m benchmarks.bitflips --flips {options.flips} --seconds {options.seconds:.0f}"
    publish("One flipped bit", table(head, rows), command=command, keep=not options.quick)


if __name__ == "__main__":
    main()
