"""From files to an index on disk, birdsearch beside what people would use: `python -m benchmarks.indexing [CASE...]`.

Every contestant is a process that is given a folder and ends when its vectors are on disk. Each round runs it on a few
photos (the start) and on many; photos per second are (many - few) / (their difference in time), so that a long start
neither helps nor hurts, and the start is shown beside it. Two threads or loading processes for everyone. The caches of
compiled networks and of the disk are warm: an untimed run comes first.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import checkpoints, pictures
from benchmarks.checkpoints import Checkpoint
from benchmarks.common import (
    ROUNDS,
    WORKERS,
    ContestantError,
    Figures,
    Finished,
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
    versions,
    worker,
)

FEW = 32  # photos of the run that shows the start
LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A tool and the command that indexes a folder with it."""

    name: str
    command: Callable[[Path, Path], Sequence[str | Path]]  # (photos, empty folder for what it writes) -> command
    share: float = 1.0  # of the case's photos: who needs minutes shows the same rate on fewer


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of photo and one network, and who competes there."""

    title: str
    draw: Callable[[int], Path]
    photos: int
    checkpoint: Callable[[], Checkpoint]
    contestants: tuple[str, ...]


CASES = {
    "small": Case(
        "Indexing photos of 224 px, built-in backbone",
        pictures.small,
        1500,
        checkpoints.built_in,
        ("birdsearch", "birder predict", "birder predict --amp", "tutorial script", "fastdup", "imagededup"),
    ),
    "camera": Case(
        "Indexing JPEGs of 12 megapixels, built-in backbone",
        pictures.camera,
        120,
        checkpoints.built_in,
        ("birdsearch", "birder predict", "birder predict --amp", "tutorial script", "fastdup", "imagededup"),
    ),
    "deit3": Case(
        "Indexing with RoPE DeiT3 M/14, 252 px (seeded weights)",
        pictures.small,
        200,
        partial(checkpoints.card, "deit3"),
        ("birdsearch", "birder predict", "birder predict --amp"),
    ),
    "vit": Case(
        "Indexing with RoPE ViT B/14, 336 px (seeded weights)",
        pictures.small,
        120,
        partial(checkpoints.card, "inat21"),
        ("birdsearch", "birder predict --amp"),
    ),
}


def birdsearch(name: str, *options: str) -> Contestant:
    """`birdsearch index` with these options."""
    return Contestant(name, lambda folder, out: birdsearch_command("index", folder, "--index", out / "index", *options))


def contestants(checkpoint: Checkpoint, photos: int) -> dict[str, Contestant]:
    """Everyone, for one network."""
    here = python_of(None)
    # Its own weights for the built-in one, which then needs no checkpoint.
    backbone = checkpoints.BUILT_IN if checkpoint.path.stem == checkpoints.BUILT_IN else str(checkpoint.path)
    predict: list[str | Path] = [here, "-m", "birder.scripts.predict", "-n", checkpoint.network, "-t", checkpoint.tag]
    predict += ["--save-embeddings", "-j", "2"]
    same: list[str | Path] = [checkpoint.path, checkpoint.network]
    slow = 0.25 if photos > 1000 else 1.0
    everyone = (
        birdsearch("birdsearch", "--backbone", backbone),
        Contestant("birder predict", lambda folder, out: [*predict, folder], slow),
        Contestant(
            "birder predict --amp", lambda folder, out: [*predict, "--amp", "--amp-dtype", "bfloat16", folder], slow
        ),
        Contestant(
            "tutorial script",
            lambda folder, out: [here, WORKERS / "indexing_tutorial.py", folder, *same, out],
            slow,
        ),
        Contestant(
            "fastdup", lambda folder, out: [python_of("fastdup"), WORKERS / "indexing_fastdup.py", folder, out / "work"]
        ),
        Contestant(
            "imagededup",
            lambda folder, out: [python_of("imagededup"), WORKERS / "indexing_imagededup.py", folder, *same, out],
            slow,
        ),
    )
    return {one.name: one for one in everyone}


def timed(contestant: Contestant, photos: Path) -> Finished:
    """One run."""
    shutil.rmtree(checkpoints.home() / "results", ignore_errors=True)
    checkpoints.home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached("")) as out:
        return run(
            contestant.command(photos, Path(out)),
            timeout=LONGEST,
            cwd=checkpoints.home(),
            BIRDSEARCH_CACHE=str(cached("birdsearch")),
        )


def measure(contestant: Contestant, case: Case, photos: int) -> Figures:
    """One round: the start, then the rate."""
    many = max(FEW * 2, int(photos * contestant.share))
    start, whole = timed(contestant, case.draw(FEW)), timed(contestant, case.draw(many))
    return {
        "rate": (many - FEW) / (whole.seconds - start.seconds),
        "start": start.seconds,
        "whole": whole.seconds,
        "photos": many,
        "peak_mb": whole.peak_mb,
        "user_ms": 1000 * (whole.user_seconds - start.user_seconds) / (many - FEW),  # of a processor, for each photo
    }


def limits(case: Case, checkpoint: Checkpoint) -> Figures:
    """How fast birdsearch's network and decoder are alone."""
    backbone = checkpoints.BUILT_IN if checkpoint.path.stem == checkpoints.BUILT_IN else str(checkpoint.path)
    return worker(None, "indexing_limits", case.draw(FEW * 2), backbone, BIRDSEARCH_CACHE=str(cached("birdsearch")))


def compare(case: Case, photos: int, rounds: int) -> str:
    """The table of one case."""
    checkpoint = case.checkpoint()
    everyone = contestants(checkpoint, photos)
    runs: dict[str, Callable[[], Figures]] = {}
    for name in case.contestants:
        try:
            timed(everyone[name], case.draw(FEW))  # compiles, caches, reads from disk
        except ContestantError as error:
            note(f"{name} is left out: {error}")
        else:
            runs[name] = partial(measure, everyone[name], case, photos)
    runs["alone"] = partial(limits, case, checkpoint)
    results = alternating(runs, rounds)
    alone = results.pop("alone")
    ours = median(results["birdsearch"], "rate")
    rows = [
        [
            name,
            int(median(figures, "photos")),
            median(figures, "rate"),
            "" if name == "birdsearch" else f"{ours / median(figures, 'rate'):.1f}x",
            median(figures, "start"),
            median(figures, "peak_mb"),
        ]
        for name, figures in results.items()
    ]
    network, decoding = median(alone, "network_rate"), median(alone, "decode_rate")
    return "\n\n".join(
        [
            f"Median of {rounds} rounds. {versions('torch', 'birder', 'openvino', 'pillow', 'faiss-gpu', 'faiss-cpu')};"
            f" {_foreign_versions(results)}.",
            table(["", "photos", "photos/s", "birdsearch is", f"start ({FEW} photos), s", "peak memory, MB"], rows),
            f"birdsearch's parts alone: network {network:.3g} photos/s ({alone[0]['runtime']}), decoding"
            f" {decoding:.3g} photos/s on two threads; to undo the compression alone, which no smaller picture saves,"
            f" {median(alone, 'undo_rate'):.3g} photos/s. End to end it reaches {ours / network:.2f} of the network"
            f" alone and {ours / decoding:.2f} of the decoder alone.",
        ]
    )


def _foreign_versions(results: dict[str, list[Figures]]) -> str:
    code = "import importlib.metadata, sys; print(sys.argv[1], importlib.metadata.version(sys.argv[1]))"
    names = [name for name in ("fastdup", "imagededup") if name in results]
    return ", ".join(run([python_of(name), "-c", code, name]).stdout.strip() for name in names) or "no other tools"


def main() -> None:
    """Parse the command line, let everyone run, publish."""
    parser = command_line("indexing", __doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help=f"{FEW * 2} photos, one round, nothing written")
    options: Any = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case is called {', '.join(sorted(unknown))}: there are {', '.join(CASES)}")
    for name in options.cases or CASES:
        case = CASES[name]
        photos, rounds = (FEW * 2, 1) if options.quick else (case.photos, options.rounds)
        body = compare(case, photos, rounds)
        publish(case.title, body, command=f"python -m benchmarks.indexing {name}", keep=not options.quick)


if __name__ == "__main__":
    main()
