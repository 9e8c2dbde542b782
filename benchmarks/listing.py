"""What a large collection costs: `python -m benchmarks.listing` (`--counts 100000 500000` for fewer).

`index` again of photos that the catalog knows, none of which exists: names and states alone, through the real run;
the first time it gives each the label of its folder. The memory is the most that the process holds (VmHWM), less what
it held before the run, and its PSS at the end. Then an import of a generated export, five predictions to a photo and
labels for three of five, with the engine left out, which takes most of the time and has not changed, and `index`
again and a query of a small index. `--before` is a checkout of another commit, measured side by side: `git worktree
add --detach /tmp/before 34deb55`. Seconds are those of the processor. `--stored 100000` measures nothing but `index`
again of so many objects of a store, which moto plays in another process, with a sidecar to every hundredth of them.
"""

import hashlib
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np

import birdsearch
from benchmarks.common import HERE, Figures, command_line, note, publish, run, table, versions
from benchmarks.workers.cold_index import Given
from birdsearch import Label, Photo
from birdsearch.export.parquet import Parquet
from birdsearch.export.selection import Batch, NoOptions, Selection
from birdsearch.files import FileState
from birdsearch.indexing import pipeline
from birdsearch.photos import scan
from birdsearch.records import Prediction, Provenance, Vectors
from tests.support.sidecar_shapes import SHAPES

COUNTS = (100_000, 500_000, 2_000_000)
IMPORTED = 1_000_000
SMALL = 1_500
SIDECARS = 100  # one to so many objects
DIM = 64
FOLDER, PREFIX = b"/photos", b"s3://museum/raw"
BLOCK = 10_000  # rows of the export that are made at once
SIZE, MOMENT = 3_000_000, 1_700_000_000_000_000_000  # of the first file


def name(number: int) -> bytes:
    """A photo of 1,000 in its folder."""
    return b"%05d/IMG_%08d.jpg" % (number // 1000, number)


def sha256(number: int) -> str:
    """Of bytes that nobody has."""
    return f"{number * 2_654_435_761 % 2**60:060x}{number % 65_536:04x}"


# Again ----------------------------------------------------------------------------------------------------------------


def fill(path: Path, count: int, folder: bytes = FOLDER) -> Figures:
    """An index that knows so many photos, without vectors; those of a prefix have one byte."""
    birdsearch.create(path, backbone=Given(DIM)).close()
    columns = "id, root_id, relative, missing, sha256, rendered, size, mtime_ns"
    of_store = {"etag": f'"{hashlib.md5(b"x").hexdigest()}"', "keywords": "[]"} if folder == PREFIX else {}
    columns = ", ".join((columns, *of_store))
    states = ((1, 0) if of_store else (SIZE + number, MOMENT + number) for number in range(count))
    rows = ((n + 1, name(n), sha256(n), *state, *of_store.values()) for n, state in enumerate(states))
    values = f"?, 1, ?, 0, ?, 'file', ?, ?{', ?' * len(of_store)}"
    with sqlite3.connect(path / "catalog.sqlite") as catalog:
        catalog.execute("INSERT INTO roots (id, path) VALUES (1, ?)", (folder,))
        catalog.execute("INSERT INTO label_sources VALUES (?, ?)", (folder, b"folder"))
        catalog.executemany(f"INSERT INTO photos ({columns}) VALUES ({values})", rows)
    catalog.close()
    return {}


def found(count: int) -> Iterator[scan.FoundFile]:
    """The same photos as a scan finds them."""
    for number in range(count):
        yield scan.FoundFile(FOLDER + b"/" + name(number), FileState(SIZE + number, MOMENT + number))


def again(path: Path, count: int) -> Figures:
    """`index` again of an index of so many photos."""
    is_folder = os.path.isdir
    with (
        birdsearch.open(path, backbone=Given(DIM)) as index,
        mock.patch("birdsearch.photos.scan.scan", side_effect=lambda *_: found(count)),
        mock.patch.object(pipeline if hasattr(pipeline, "has_entries") else scan, "has_entries", return_value=True),
        mock.patch("os.path.isdir", lambda folder: os.fsencode(folder) == FOLDER or is_folder(folder)),
    ):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the most memory is that from here on
        before, began = memory("status", "VmRSS"), time.process_time()
        report = index.add(os.fsdecode(FOLDER))
    if (report.unchanged, report.missing) != (count, 0):
        raise AssertionError(f"another count than {count}: {report}")
    took = time.process_time() - began
    return {"cpu": took, "peak_mb": memory("status", "VmHWM") - before, "pss_mb": memory("smaps_rollup", "Pss")}


def memory(file: str, field: str) -> float:
    """A figure of this process in MB."""
    lines = Path(f"/proc/self/{file}").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


# Import ---------------------------------------------------------------------------------------------------------------


def export(path: Path, count: int) -> None:
    """An export of so many photos: a block that was written as any export is, again and again under other names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        with birdsearch.create(Path(folder) / "index", backbone=Given(DIM)) as index:
            about = SimpleNamespace(
                backbone=index.backbone.identity,
                provenance=Provenance("", (os.fsdecode(FOLDER),)),
                said={},
                batches=lambda: iter([_block()]),
            )
            Parquet().write(cast(Selection, about), Path(folder) / "block", NoOptions())
        block = pq.read_table(Path(folder) / "block")
    with pq.ParquetWriter(path, block.schema) as writer:
        for start in range(0, count, BLOCK):
            rows = block.slice(0, min(BLOCK, count - start))
            numbers = range(start, start + len(rows))
            paths = [FOLDER + b"/" + name(number) for number in numbers]
            new: dict[str, Sequence[Any]] = {
                "path_bytes": paths, "path": list(map(os.fsdecode, paths)), "sha256": list(map(sha256, numbers)),
            }  # fmt: skip
            # Else each photo would have copies in every block.
            new |= {"phash": _hashes(start, len(rows)), "vector": list(_near(rows["vector"], start))}
            for column, values in new.items():
                field = rows.schema.field(column)
                rows = rows.set_column(rows.schema.get_field_index(column), field, pa.array(values, field.type))
            writer.write_table(rows)


def _hashes(start: int, count: int) -> list[str]:
    """Perceptual hashes of which hardly two are near."""
    drawn = np.random.default_rng([2, start]).integers(0, 2**63, count)
    return [f"{one:016x}" for one in drawn.tolist()]


def _near(vectors: Any, start: int) -> Vectors:
    """Other vectors near these of an Arrow column."""
    rows = np.stack(vectors.to_numpy())
    moved = rows + np.random.default_rng([3, start]).normal(0, 0.06, rows.shape).astype(np.float32)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


def _block() -> Batch:
    from birdsearch.taxonomy import avilist

    species = list(avilist.world().species)[:500]
    photos: list[Photo] = []
    labels: list[Label | None] = []
    for number in range(BLOCK):
        likely = [species[(number + rank) % len(species)] for rank in range(5)]
        guesses = [Prediction(one, 0.5 / (n + 1), n + 1, "species", one) for n, one in enumerate(likely)]
        labels.append(Label(number, likely[0], "folder") if number % 5 < 3 else None)
        told = {"camera": f"Canon {number % 9}", "lens": "RF100-500", "format": "JPEG", "width": 4000, "height": 3000}
        where = {"latitude": 52 + number / BLOCK, "longitude": 13.0, "taken_at": f"2020-05-{1 + number % 28:02d}"}
        rest: dict[str, Any] = {**told, **where, "phash": f"{number * 7919:016x}", "predictions": tuple(guesses)}
        photos.append(Photo(number, f"/{number}", sha256(number), size=SIZE, mtime_ns=MOMENT, label=likely[0], **rest))
    vectors = np.random.default_rng(1).standard_normal((BLOCK, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Batch(photos, labels, vectors, np.full(BLOCK, 10, np.float32), [[] for _ in photos], [None] * BLOCK)


def take_in(path: Path, source: Path) -> Figures:
    """Import an export into a new index, without the engine."""
    with (
        birdsearch.create(path, backbone=Given(DIM)) as index,
        mock.patch("birdsearch.storage.vectors.PartVectors.refresh", return_value=False),
    ):
        began, started = time.process_time(), time.perf_counter()
        report = index.import_photos(source)
        return {
            "cpu": time.process_time() - began,
            "commits_per_s": -(-report.added // 4096) / (time.perf_counter() - started),
            "peak_mb": memory("status", "VmHWM"),
        }


# Stored ---------------------------------------------------------------------------------------------------------------


@contextmanager
def store(count: int) -> Iterator[None]:
    """A store with so many objects, in a process of its own; the environment names it meanwhile."""
    given = [sys.executable, "-P", __file__, "--alone", "serve", str(count)]
    with subprocess.Popen(given, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        endpoint = server.stdout.readline().decode().strip()
        names = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1"}
        names |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
        try:
            with mock.patch.dict(os.environ, names):
                yield
        finally:
            server.terminate()


def serve(count: int) -> Figures:
    """Play the store until this process is ended."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket("museum", "us-east-1")
    for number in range(count):
        backend.put_object("museum", f"raw/{os.fsdecode(name(number))}", b"x")
        if number % SIDECARS == 0:
            backend.put_object("museum", f"raw/{os.fsdecode(name(number))}.xmp", SHAPES["f-stop"].encode())
    print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
    signal.pause()
    return {}


def stored(path: Path, count: int) -> Figures:
    """`index` again of so many objects, the listing alone before."""
    from birdsearch import objects

    fill(path, count, PREFIX)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, began, started = memory("status", "VmRSS"), time.process_time(), time.perf_counter()
    listed = sum(1 for _ in objects.listed(os.fsdecode(PREFIX)))
    figures = {"objects": listed, "list_cpu": time.process_time() - began, "list_s": time.perf_counter() - started}
    figures["list_mb"] = memory("status", "VmHWM") - before
    with birdsearch.open(path, backbone=Given(DIM)) as index:
        index.add(os.fsdecode(PREFIX))  # reads the sidecars
        with mock.patch.object(objects, "opened", wraps=objects.opened) as opened:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before, began, started = memory("status", "VmRSS"), time.process_time(), time.perf_counter()
            report = index.add(os.fsdecode(PREFIX))
        if (report.unchanged, report.missing, report.paired) != (count, 0, -(-count // SIDECARS)):
            raise AssertionError(f"another count than {count}: {report}")
    figures |= {"cpu": time.process_time() - began, "s": time.perf_counter() - started, "read": opened.call_count}
    return {**figures, "peak_mb": memory("status", "VmHWM") - before}


def stored_table(place: Path, count: int) -> str:
    """The figures of a store."""
    with store(count):
        one = alone(HERE.parent, "stored", place / "index", count)
    rows = [
        ["listing", one["objects"], one["list_cpu"], one["list_s"], one["list_mb"], ""],
        ["`index` again", one["objects"], one["cpu"], one["s"], one["peak_mb"], one["read"]],
    ]
    return table(["", "objects", "CPU s", "s, most of them moto's", "memory that it adds, MB", "objects read"], rows)


# Small ----------------------------------------------------------------------------------------------------------------


def small(folder: Path) -> Figures:
    """`index` again of some photos that exist, and the first query: the least of nine."""
    from PIL import Image

    photos, path = folder / "photos", folder / "index"
    if not photos.exists():
        for number in range(SMALL):
            file = photos / f"{number // 100}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (number % 256, number // 256, 7)).save(file)
    index = birdsearch.open(path) if path.exists() else birdsearch.create(path)
    with index:
        index.add(photos)
    took: dict[str, list[float]] = {"again": [], "query": []}
    for _ in range(9):
        with birdsearch.open(path) as opened:
            began = time.process_time()
            opened.add(photos)
            took["again"].append(time.process_time() - began)
        with birdsearch.open(path) as opened:
            began = time.process_time()
            opened.search(opened.photo(1), k=10)
            took["query"].append(time.process_time() - began)
    return {f"{what}_ms": 1000 * min(each) for what, each in took.items()}


# All ------------------------------------------------------------------------------------------------------------------


PARTS: dict[str, Callable[..., Figures]] = {
    "fill": fill,
    "again": again,
    "take_in": take_in,
    "small": small,
    "stored": stored,
    "serve": serve,
}


def alone(checkout: Path, part: str, *where: str | int | Path) -> Figures:
    """One of these measured in a process of its own, by the birdsearch of a checkout."""
    # -P: the folder of this file holds modules that are called as those of other packages.
    command = [sys.executable, "-P", __file__, "--alone", part, *map(str, where)]
    figures = run(command, PYTHONPATH=str(checkout)).answer
    note(f"{checkout.name} {part} {[str(one) for one in where]}: {figures}")
    return figures


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("listing", __doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--imported", type=int, default=IMPORTED)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout of another commit to compare with")
    parser.add_argument("--stored", type=int, metavar="COUNT", help="measure a store of so many objects alone")
    parser.add_argument("--alone", nargs="+", help="measure one part in this process, and print JSON")
    options = parser.parse_args()
    if options.alone:
        part, *where = options.alone
        print(json.dumps(PARTS[part](*(int(one) if one.isdecimal() else Path(one) for one in where))))
        return
    if options.stored:
        with tempfile.TemporaryDirectory() as place:
            body = stored_table(Path(place), options.stored)
        publish(
            "A store of many objects",
            f"{versions('obstore', 'moto')}.\n\n{body}",
            command=f"python -m benchmarks.listing --stored {options.stored}",
            keep=options.stored == COUNTS[0],
        )
        return
    checkouts = {"now": HERE.parent} | ({"before": options.before} if options.before else {})
    with tempfile.TemporaryDirectory() as place:
        rows = [row for count in options.counts for row in _again(Path(place), checkouts, count)]
        head = ["`index` again", "which", "", "CPU s", "memory that the run adds, MB", "PSS at its end, MB"]
        body = table(head, rows) + "\n\n"
        source = Path(place) / "all.parquet"
        export(source, options.imported)
        rows = []
        for when, checkout in checkouts.items():
            one = alone(checkout, "take_in", Path(place) / f"into {when}", source)
            rows.append([f"{options.imported:,}", when, one["cpu"], one["commits_per_s"], one["peak_mb"]])
        body += table(["import", "", "CPU s", "commits of 4,096 a second", "most memory, MB"], rows) + "\n\n"
        rows = []
        for when, checkout in checkouts.items():
            one = alone(checkout, "small", Path(place) / when)
            rows.append([f"{SMALL:,}", when, one["again_ms"], one["query_ms"]])
        body += table(["photos that exist", "", "`index` again, CPU ms", "first query, CPU ms"], rows)
    publish(
        "Collections that grow",
        f"{versions('sqlalchemy', 'pyarrow')}.\n\n{body}",
        command="python -m benchmarks.listing" + (" --before /tmp/before" if options.before else ""),
        keep=tuple(options.counts) == COUNTS,
    )


def _again(place: Path, checkouts: dict[str, Path], count: int) -> Sequence[Sequence[object]]:
    rows = []
    for when, checkout in checkouts.items():
        path = place / f"index of {count} {when}"  # each makes its own: an older one does not open that of a newer one
        alone(checkout, "fill", path, count)
        for what in ("gives labels", "changes nothing"):
            one = alone(checkout, "again", path, count)
            rows.append([f"{count:,}", what, when, one["cpu"], one["peak_mb"], one["pss_mb"]])
    return rows


if __name__ == "__main__":
    main()
