"""Waiting times and memory of fresh processes: `python -m benchmarks.cold [PART...]`.

start    `birdsearch --help` and what else needs no network, beside Python and numpy alone
query    `birdsearch query` in a new process against 1,500 photos, and the same through birder
million  the same against 1M vectors of 512 dimensions (benchmarks.synthetic), with a DeiT3 M/14 of seeded weights
again    indexing 100k files that did not change; and, while half of them are indexed for the first time, the memory
         over time

Files are in the disk's cache and compiled networks in birdsearch's: an untimed run comes first.
"""

import argparse
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import checkpoints, pictures, synthetic
from benchmarks.checkpoints import Checkpoint
from benchmarks.common import (
    SHARED_PHOTOS,
    WORKERS,
    ContestantError,
    Figures,
    alternating,
    birdsearch_command,
    cached,
    command_line,
    median,
    note,
    publish,
    python_of,
    run,
    table,
    takes_parts,
    versions,
    worker,
)

ROUNDS = 5
ONE_VIEW = "efficientnet_lite0_imagenet"
FILES = 100_000
VECTORS = 1_000_000
EVERY = 0.25  # seconds between two looks at the memory


def cold(command: Sequence[str | Path]) -> Figures:
    """One fresh process: seconds and memory."""
    finished = run(command)
    return {"seconds": finished.seconds, "peak_mb": finished.peak_mb}


def race(contestants: dict[str, list[str | Path]], rounds: int) -> str:
    """The table of contestants that do the same in fresh processes."""
    for command in contestants.values():
        run(command)
    runs: dict[str, Callable[[], Figures]] = {name: partial(cold, command) for name, command in contestants.items()}
    rows = [
        [name, median(figures, "seconds"), median(figures, "peak_mb")]
        for name, figures in alternating(runs, rounds).items()
    ]
    return table(["", "seconds", "peak memory, MB"], rows)


def question() -> Path:
    """A photo to ask about that no index holds: of one that it holds it has the vector, and needs no network."""
    photo = cached("cold") / "question.jpg"
    photo.parent.mkdir(exist_ok=True)
    shutil.copyfile(known_photo(), photo)
    return photo


def known_photo() -> Path:
    """A photo that the indexes hold."""
    return sorted(SHARED_PHOTOS.glob("*/*.jpg"))[700]


def through_birder(vectors: Path, checkpoint: Checkpoint) -> list[str | Path]:
    """The command that answers with birder and numpy."""
    return [python_of(None), WORKERS / "cold_birder.py", question(), vectors, checkpoint.path, checkpoint.network]


def of_1500(*backbone: str) -> Path:
    """An index of the 1,500 photos, made with a backbone or the default one."""
    index = cached("cold") / "-".join(("birds300", *backbone))
    if not index.exists():
        note(f"indexing the 1,500 photos in {index.name}")
        chosen = [word for name in backbone for word in ("--backbone", name)]
        run(birdsearch_command("index", SHARED_PHOTOS, "--index", index, *chosen))
    return index


def start(options: argparse.Namespace) -> str:
    """Commands that need no network."""
    index, python = of_1500(), python_of(None)
    contestants: dict[str, list[str | Path]] = {
        "python -c pass": [python, "-c", "pass"],
        "python -c 'import numpy'": [python, "-c", "import numpy"],
        "birdsearch --help": birdsearch_command("--help"),
        "birdsearch query --help": birdsearch_command("query", "--help"),
        "birdsearch info": birdsearch_command("info", "--index", index),
        "birdsearch photos --limit 5": birdsearch_command("photos", "--index", index, "--limit", "5"),
    }
    return race(contestants, options.rounds)


def query(options: argparse.Namespace) -> str:
    """A question to 1,500 photos."""
    vectors = cached("cold") / "real.npy"
    np.save(vectors, synthetic.real()[0])
    index, one_view = of_1500(), of_1500(ONE_VIEW)
    contestants = {
        "birdsearch": birdsearch_command("query", question(), "--index", index, "--json"),
        f"birdsearch, {ONE_VIEW}": birdsearch_command("query", question(), "--index", one_view, "--json"),
        "birdsearch, a photo of the index": birdsearch_command("query", known_photo(), "--index", index, "--json"),
        "birder and numpy": through_birder(vectors, checkpoints.built_in()),
    }
    return race(contestants, options.rounds)


def million(options: argparse.Namespace) -> str:
    """A question to a million vectors."""
    count = 5_000 if options.quick else VECTORS
    checkpoint = checkpoints.card("deit3")
    data = synthetic.load(count)
    index = cached("cold") / f"vectors-{count}"
    if not index.exists():
        note(f"making an index of {count} vectors")
        note(str(worker(None, "cold_index", index, checkpoint.path, str(count))))
        optimize(index)
    contestants = {
        "birdsearch": birdsearch_command("query", question(), "--index", index, "--json"),
        "birder and numpy": through_birder(data.folder / "vectors.npy", checkpoint),
    }
    about = run(birdsearch_command("info", "--index", index)).stdout
    engine = next((line.strip() for line in about.splitlines() if "engine" in line), "")
    return f"{count:,} vectors of {synthetic.DIM}; {engine}.\n\n" + race(contestants, options.rounds)


def optimize(index: Path) -> None:
    """Have birdsearch choose an engine."""
    try:
        note(f"optimized in {run(birdsearch_command('optimize', '--index', index)).seconds:.0f} s")
    except ContestantError as error:
        note(f"not optimized: {error}")


def again(options: argparse.Namespace) -> str:
    """Indexing many files, then again."""
    count = 300 if options.quick else FILES
    folder, index = pictures.tiny(count), cached("cold") / f"files-{count}"
    shutil.rmtree(index, ignore_errors=True)
    command = birdsearch_command("index", folder, "--index", index)
    folders = sorted(folder.iterdir())
    half = folders[: -(-len(folders) // 2)]
    first = sum(1 for one in half for _ in one.iterdir())
    note(f"indexing {first} files for the first time")
    seconds, samples = watched(birdsearch_command("index", *half, "--index", index))
    note("indexing the others")
    run(command)
    network = worker(None, "network_memory", checkpoints.BUILT_IN)["peak_mb"]
    repeats = alternating({"again": partial(cold, command)}, options.rounds)["again"]
    quarters = [quarter.mean() for quarter in np.array_split(np.array(samples), 4)]
    rows: list[list[object]] = [
        [f"the first {first:,} for the first time, s", seconds],
        ["the same, photos/s", first / seconds],
        [f"all {count:,} again, nothing changed, s", median(repeats, "seconds")],
        ["memory of the network alone, MB", network],
        *([f"memory in quarter {number} of the first time, mean, MB", mean] for number, mean in enumerate(quarters, 1)),
        ["peak, MB", max(samples)],
        ["peak beyond the network, MB", max(samples) - network],
    ]
    return table([f"{count:,} JPEGs of {pictures.TINY_SIZE[0]} px", ""], rows)


def watched(command: Sequence[str | Path]) -> tuple[float, list[float]]:
    """Run a command; the seconds it took, and the memory (MB) of it and its children, looked at again and again."""
    started = time.perf_counter()
    # A pipe that nobody reads would stop the process once it is full.
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    samples: list[float] = []
    while process.poll() is None:
        samples.append(sum(map(_resident_mb, _family(process.pid))))
        time.sleep(EVERY)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return time.perf_counter() - started, samples


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in _family(int(child)))]


def _resident_mb(pid: int) -> float:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):  # it has just ended
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


PARTS = {
    "start": ("Starts of commands that need no network", start),
    "query": ("Cold query, 1,500 photos", query),
    "million": ("Cold query, 1M vectors", million),
    "again": ("Indexing 100k files: memory, and once more", again),
}


def main() -> None:
    """Parse the command line, run the parts, publish."""
    parser = command_line("cold", __doc__)
    takes_parts(parser, PARTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rebuild", action="store_true", help="make the indexes that are asked anew")
    parser.add_argument("--quick", action="store_true", help="a few files and vectors, one round, nothing written")
    options = parser.parse_args()
    if options.rebuild:
        shutil.rmtree(cached("cold"), ignore_errors=True)
    cached("cold").mkdir(exist_ok=True)
    os.environ["BIRDSEARCH_CACHE"] = str(cached("birdsearch"))
    options.rounds = 1 if options.quick else options.rounds
    for name in options.parts:
        title, part = PARTS[name]
        body = part(options) + "\n\n" + versions("torch", "birder", "openvino", "faiss-gpu", "faiss-cpu") + "."
        publish(title, body, command=f"python -m benchmarks.cold {name}", keep=not options.quick)


if __name__ == "__main__":
    main()
