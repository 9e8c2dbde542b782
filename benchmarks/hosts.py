"""What a cluster costs, and what it outlives: `python -m benchmarks.hosts [PART ...]`.

same   3,000 photos by one process with SQLite and FAISS, and by three hosts of Ray on this computer with PostgreSQL, S3
       and Milvus: all that `benchmarks.same` compares; with a real Milvus too, where one can be had
cost   processor seconds of all processes for 16 and for 3,000 of them, by one process and by `--cluster local`
kills  SIGKILL of a process that embeds, of one that decodes, of a host and of the run itself, each at five moments of a
       run over 300 drawn photos; what the index holds after the next run
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import SHARED_PHOTOS, birdsearch_command, command_line, note, publish, table, versions
from birdsearch import Index
from tests.support import ROOT, drawing, milvus_server
from tests.support.ray_hosts import DECODES, EMBEDS, Hosts, hosts, open_or_create, results, started, wait_until

COPIES = 2  # of each photo, each with other bytes behind its end
FEW = 16  # photos that tell what the start takes
DRAWN, SIZE = 300, (1000, 750)  # photos of a run that is killed, and their pixels
DELAY = 0.04  # seconds that the backbone takes for one
MOMENTS = 5
_TICK = os.sysconf("SC_CLK_TCK")


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
            told = place.read_text().rpartition(")")[2].split()
            found[int(place.parent.name)] = int(told[1]), (int(told[11]) + int(told[12])) / _TICK
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
    head = ["killed", "results then", "that run", "the next one", "listed, rows, distinct", "vectors", "`verify`"]
    return table(head, rows)


def _killed(path: Path, photos: Path, alone: Index, cluster: Hosts, victim: str, moment: int) -> list[object]:
    address = "local" if victim.endswith("local") else cluster.address
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
    killed = wait_until(lambda: results(path) >= least and kill(), run)
    there = str(results(path)) if killed else "none was left to kill"
    if victim == "host":
        cluster.add()
    said = run.communicate()[0].strip() or "killed"
    again = started(path, photos, address)
    then = again.communicate()[0].strip()
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
}


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("hosts", __doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--dry", action="store_true", help="write nothing into RESULTS.md")
    options: Any = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    for name in options.parts or PARTS:
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
