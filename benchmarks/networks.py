"""The built-in networks beside one another: `python -m benchmarks.networks`.

How well each brings the 1,500 photos of birds300 together, raw and whitened; how often its likeliest class is a bird;
and, taking turns, photos per second from files of 12 megapixels and of 224 px to an index, and a cold query.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

import birdsearch
from benchmarks import cold, indexing, pictures
from benchmarks.common import (
    ROUNDS,
    SHARED_PHOTOS,
    Figures,
    alternating,
    birdsearch_command,
    cached,
    command_line,
    median,
    note,
    publish,
    run,
    table,
    versions,
)
from benchmarks.retrieval import measure
from birdsearch.backbones import BUILT_IN

QUICKEST = "efficientnet_lite0_imagenet"
BIRDS = (*range(7, 25), *range(80, 101), *range(127, 147))  # of the classes of ImageNet
PHOTOS = {"camera": 120, "small": 1500}


def asked(name: str) -> Figures:
    """A question to 1,500 photos in a fresh process."""
    index = cached("networks") / name
    if not index.exists():
        note(f"indexing the 1,500 photos with {name}")
        run(birdsearch_command("index", SHARED_PHOTOS, "--index", index, "--backbone", name))
    return cold.cold(birdsearch_command("query", cold.question(), "--index", index, "--json"))


def birds(name: str) -> float:
    """The share of the photos whose likeliest class is a bird."""
    with birdsearch.open(cached("networks") / name) as index:
        names = {index.backbone.class_names[number] for number in BIRDS}
        first = [photo.predictions[0].class_name in names for photo in index.photos()]
    return float(np.mean(first))


def compare(rounds: int, quick: bool) -> str:
    """The table."""
    runs: dict[str, Callable[[], Figures]] = {}
    for name in BUILT_IN:
        contestant = indexing.birdsearch(name, "--backbone", name)
        indexing.timed(contestant, pictures.small(indexing.FEW))  # exports, compiles
        asked(name)
        runs[f"asked {name}"] = partial(asked, name)
        for kind, photos in PHOTOS.items():
            count = indexing.FEW * 2 if quick else photos
            runs[f"{kind} {name}"] = partial(indexing.measure, contestant, indexing.CASES[kind], count)
    results = alternating(runs, rounds)
    rates = {(kind, name): median(results[f"{kind} {name}"], "rate") for kind in PHOTOS for name in BUILT_IN}
    rows = []
    for name in BUILT_IN:
        raw, whitened, _ = measure(SHARED_PHOTOS, name)
        row: list[object] = [name + (" (default)" if name == birdsearch.DEFAULT_BACKBONE else "")]
        row += [f"{found.recall_at_1:.3f}/{found.mean_average_precision:.3f}" for found in (raw, whitened)]
        row += [f"{birds(name):.3f}"]
        for kind in PHOTOS:
            row += [rates[kind, name], f"{rates[kind, name] / rates[kind, QUICKEST]:.2f}"]
        rows.append([*row, median(results[f"asked {name}"], "seconds")])
    head = ["", "recall@1/mAP raw", "whitened", "likeliest is a bird", "12 MP, photos/s", "of the quickest"]
    head += ["224 px, photos/s", "of the quickest", "cold query, s"]
    return (
        f"Median of {rounds} rounds. {versions('torch', 'openvino', 'faiss-gpu', 'faiss-cpu')}.\n\n{table(head, rows)}"
    )


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("networks", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="few photos, one round, nothing written")
    options = parser.parse_args()
    body = compare(1 if options.quick else options.rounds, options.quick)
    publish("The built-in networks", body, command="python -m benchmarks.networks", keep=not options.quick)


if __name__ == "__main__":
    main()
