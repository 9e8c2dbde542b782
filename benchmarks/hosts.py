"""What a cluster costs, and what it outlives: `python -m benchmarks.hosts [PART ...]`.

same   3,000 photos by one process with SQLite and FAISS, and by three hosts of Ray on this computer with PostgreSQL, S3
       and Milvus: all that `benchmarks.same` compares; with a real Milvus too, where one can be had
cost   processor seconds of all processes for 16 and for 3,000 of them, by one process and by `--cluster local`
kills  SIGKILL of a process that embeds, of one that decodes, of a host and of the run itself, each at five moments of a
       run over 300 drawn photos; what the index holds after the next run
stores the same with the catalog in PostgreSQL and the parts in a store that moto plays, each at two moments; the next
       run is one of another computer, which has no copies
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.common import (
    SHARED_PHOTOS,
    birdsearch_command,
    command_line,
    note,
    publish,
    stat_of,
    table,
    takes_parts,
    versions,
)
from birdsearch import Index
from birdsearch.storage.address import Address
from tests.support import ROOT, drawing, milvus_server, object_store
from tests.support.object_store import Bucket
from tests.support.postgresql import Server
from tests.support.ray_hosts import DECODES, EMBEDS, Hosts, hosts, open_or_create, results, started, wait_until

COPIES = 2  # of each photo, each with other bytes behind its end
FEW = 16  # photos that tell what the start takes
DRAWN, SIZE = 300, (1000, 750)  # photos of a run that is killed, and their pixels
DELAY = 0.04  # seconds that the backbone takes for one
MOMENTS = 5


def copies(folder: Path) -> Path:
    """The photos of birds300 several times, none a twin of another to the byte."""
    for photo in sorted(SHARED_PHOTOS.rglob("*.jpg")):
        target = folder / photo.parent.name
        target.mkdir(parents=True, exist_ok=True)
        for copy in range(COPIES):
            (target / f"{copy}-{photo.name}").write_bytes(photo.read_bytes() + copy.to_bytes(2, "big"))
    return folder


# same


def same(place: Path) -> str:
    """One process beside all that a cluster has, in a namespace where a Milvus may listen."""
    reason = milvus_server.why_not()
    words = ["benchmarks.same", str(place)]
    command = [sys.executable, "-m", *words] if reason else milvus_server.command(*words, "--server")
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return f"{done.stdout}\nA real Milvus was not asked: {reason}." if reason else done.stdout


# cost


def cost(place: Path) -> str:
    """Processor seconds by one process and by a local cluster."""
    photos = copies(place / "photos")
    few = place / "few"
    few.mkdir()
    for photo in sorted(photos.rglob("*.jpg"))[:FEW]:
        shutil.copy(photo, few / f"{photo.parent.name}-{photo.name}")
    count = sum(1 for _ in photos.rglob("*.jpg"))
    _taken(birdsearch_command("index", few, "--index", place / "warm"))  # the export of the network is made
    rows: list[Sequence[object]] = []
    for name, option in (("one process", []), ("--cluster local", ["--cluster", "local"])):
        took = [
            _taken(birdsearch_command("index", which, "--index", place / f"{name}-{which.name}", *option))
            for which in (few, photos)
        ]
        a_photo = (took[1] - took[0]) / (count - FEW) * 1000
        rows.append([name, *(f"{seconds:.1f}" for seconds in took), f"{a_photo:.1f}"])
        note(f"{name}: {rows[-1]}")
    head = ["", f"{FEW} photos: mostly the start, s", f"{count:,} photos, s", "a photo beyond the start, ms"]
    return table(head, rows)


def _taken(command: list[str | Path]) -> float:
    """The processor seconds of a process and of all that it starts."""
    run = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    spent: dict[int, float] = {}
    while run.poll() is None:
        for pid, (parent, seconds) in _processes().items():
            if pid == run.pid or parent in spent or pid in spent:
                spent[pid] = max(seconds, spent.get(pid, 0.0))
        time.sleep(0.1)
    assert run.returncode == 0
    return sum(spent.values())


def _processes() -> dict[int, tuple[int, float]]:
    """Process -> its parent, and the processor seconds that it took; parents come before children."""
    found: dict[int, tuple[int, float]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found[int(place.parent.name)] = stat_of(place)
    return dict(sorted(found.items()))


# kills


def kills(place: Path) -> str:
    """Every victim at every moment."""
    photos = place / "drawn"
    for number in range(DRAWN):
        drawing.write(photos / f"{number % 7}/{number}.png", drawing.bird(number, *SIZE))
    rows: list[Sequence[object]] = []
    with open_or_create(place / "alone") as alone, hosts(2) as cluster:
        alone.add(photos)
        for victim in ("embeds", "decodes", "host", "run", "run on local"):
            for moment in range(MOMENTS):
                rows.append(_killed(place / f"{victim}-{moment}", photos, alone, cluster, victim, moment))
                note(str(rows[-1]))
    return table(_KILLED, rows)


_KILLED = ("killed", "results then", "that run", "the next one", "listed, rows, distinct", "vectors", "`verify`")


def stores(place: Path) -> str:
    """Victims of a run whose parts lie in a store, and what is left there."""
    photos = place / "drawn"
    for number in range(DRAWN):
        drawing.write(photos / f"{number % 7}/{number}.png", drawing.bird(number, *SIZE))
    rows: list[Sequence[object]] = []
    with ExitStack() as stack:
        endpoint = stack.enter_context(object_store.s3_server())
        object_store.name_store(stack.enter_context(pytest.MonkeyPatch.context()), endpoint)
        server = Server.made()
        stack.callback(server.stop)
        alone = stack.enter_context(open_or_create(place / "alone"))
        alone.add(photos)
        cluster = stack.enter_context(hosts(2))
        for victim in ("embeds", "host", "run"):
            for moment in (1, 3):
                bucket = object_store.new_bucket(endpoint, f"{victim}-{moment}")
                catalog = Address.parse(server.address(place, bucket.name))
                at = str(replace(catalog, parts=f"{bucket.url}/index"))
                row = _killed(at, photos, alone, cluster, victim, moment, partial(_in_store, bucket))
                rows.append([*row, "SOME" if bucket.holds("/embedding-") else "none"])
                note(str(rows[-1]))
    return table([*_KILLED, "results left in the store"], rows)


def _in_store(bucket: Bucket) -> int:
    """For how many files the runs have left a result in a store so far."""
    keys = [key for key in bucket.keys("index/") if "/results/" in key]
    return sum(pq.read_metadata(io.BytesIO(bucket.get(key))).num_rows for key in keys)


def _killed(
    path: Path | str,
    photos: Path,
    alone: Index,
    cluster: Hosts,
    victim: str,
    moment: int,
    count: Callable[[], int] | None = None,
) -> list[object]:
    address = "local" if victim.endswith("local") else cluster.address
    there_now = count or partial(results, Path(path))
    run = started(path, photos, address, DELAY)

    def kill() -> bool:
        if victim == "host":
            cluster.kill_host()
        elif victim.startswith("run"):
            run.kill()
        else:
            return cluster.kill_process(EMBEDS if victim == "embeds" else DECODES)
        return True

    least = DRAWN * moment // MOMENTS
    killed = wait_until(lambda: there_now() >= least and kill(), run)
    there = str(there_now()) if killed else "none was left to kill"
    if victim == "host":
        cluster.add()
    said = run.communicate()[0].strip() or "killed"
    with tempfile.TemporaryDirectory() as other, patch.dict(os.environ, {"BIRDSEARCH_CACHE": other} if count else {}):
        then = started(path, photos, address).communicate()[0].strip()
    with open_or_create(path) as index:
        paths = [photo.path for photo in index.photos(order="path")]
        ids = index.photo_ids(order="path").tolist(), alone.photo_ids(order="path").tolist()
        same = np.array_equal(index.vectors(ids[0]), alone.vectors(ids[1]))
        clean = index.verify().ok
    counts = f"{DRAWN}, {len(paths)}, {len(set(paths))}"
    return [victim, there, said, then, counts, "equal" if same else "NOT EQUAL", "clean" if clean else "PROBLEMS"]


PARTS: dict[str, tuple[str, Callable[[Path], str]]] = {
    "same": ("A cluster makes what one process makes", same),
    "cost": ("What a cluster costs", cost),
    "kills": ("What a run on a cluster outlives", kills),
    "stores": ("What a run on a cluster outlives whose parts lie in a store", stores),
}


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("hosts", __doc__)
    takes_parts(parser, PARTS)
    parser.add_argument("--dry", action="store_true", help="write nothing into RESULTS.md")
    options: Any = parser.parse_args()
    for name in options.parts:
        title, part = PARTS[name]
        with tempfile.TemporaryDirectory(prefix="birds-") as place:
            body = part(Path(place))
        publish(
            title,
            f"{versions('ray', 'pyarrow', 'faiss-cpu', 'pymilvus', 'milvus-lite', 'psycopg', 'moto')}.\n\n{body}",
            command=f"python -m benchmarks.hosts {name}",
            keep=not options.dry,
        )


if __name__ == "__main__":
    main()
