"""Words: a cold question, 100,000 photos, and names of species against photos.

The tower is a CLIP ViT-B/16 with seeded weights in the files of open_clip and birder: what it says means nothing, but
what it costs is that of BioCLIP 1. Its projection and that of the drawn vectors are as large as BioCLIP 2's.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import birdsearch
from benchmarks.common import birdsearch_command, command_line, publish, run, table, versions
from benchmarks.synthetic import unit
from benchmarks.workers.cold_index import take_in
from birdsearch import Index
from birdsearch.backbones.backbone import Backbone, BackboneSpec
from birdsearch.backbones.classes import Projection
from birdsearch.backbones.custom import CustomNetwork
from birdsearch.records import Vectors
from birdsearch.species.zero_shot import TEMPLATES, named_species
from birdsearch.storage.store import Store
from birdsearch.taxonomy.avilist import world
from tests.support import clips

DIM, PHOTOS, NAMED, NAMES = 1024, 100_000, 2_000, 256
ROUNDS = 5


class Drawn:
    """A backbone whose vectors are given and whose words are drawn."""

    name = "drawn"
    dim = DIM

    def embed_text(self, texts: list[str]) -> Vectors:
        """(n, dim), the same for the same text."""
        rows = [np.random.default_rng(abs(hash(text)) % 2**32).normal(size=DIM) for text in texts]
        return np.asarray(rows, dtype=np.float32)


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of some rounds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def cold(folder: Path, names: int) -> list[list[object]]:
    """A question by words in a new process, and the names of some species, by a text tower of ViT-B/16."""
    pair = clips.clip(folder, "cold", full=True)
    start = time.perf_counter()
    place = birdsearch.pull_text(pair.checkpoint, pair.source)
    pulled = time.perf_counter() - start
    path = folder / "cold index"
    with birdsearch.create(path, backbone=pair.checkpoint, runtime="torch") as index:
        rng = np.random.default_rng(1)
        take_in(index, unit(rng.standard_normal((1_000, index.backbone.dim), dtype=np.float32)))
    command = birdsearch_command("query", "--text", "a heron with a fish", "--index", path, "--json")
    run(command)
    asked = seconds(lambda: run(command))
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6
    some = list(world().species)[:names]
    store = Store.open(path)
    start = time.perf_counter()
    named_species(store, some)
    embedded = time.perf_counter() - start
    store.close()
    whole = embedded / names * len(world().species)
    return [
        ["pull-text of a ViT-B/16, the checkpoint on disk", f"{pulled:.0f} s; {size:,.0f} MB in the cache"],
        ["`query --text` in a new process, 1,000 photos", f"{asked:.2f} s"],
        [
            f"names of {names} species embedded, {len(TEMPLATES)} prompts each",
            f"{embedded:.0f} s; all {len(world().species):,} would take {whole / 60:.0f} min",
        ],
    ]


def warm(folder: Path) -> list[list[object]]:
    """Words against many photos, and names against some, vectors in memory."""
    rng = np.random.default_rng(2)
    projection = Projection(rng.normal(size=(DIM, DIM)).astype(np.float32), np.zeros(DIM, np.float32))
    backbone = Backbone.of(BackboneSpec("drawn", DIM, (8, 8), projection=projection), CustomNetwork(Drawn()))
    with birdsearch.create(folder / "warm", backbone=backbone) as index:
        take_in(index, unit(rng.standard_normal((PHOTOS, DIM), dtype=np.float32)))
        first = seconds(lambda: index.search_text("a heron with a fish"), 1)
        asked = seconds(lambda: index.search_text("a heron with a fish"))
        again = _again(folder / "warm", backbone)
        photos = index.photos(limit=NAMED)
        index.classify_many(photos[:1], 1, source="names")
        named = seconds(lambda: index.classify_many(photos, 5, source="names"), 3)
    kept = len(world().species) * DIM * 2 / 1e6
    return [
        [f"the first question to {PHOTOS:,} x {DIM}: parts read, lengths computed", f"{first:.2f} s"],
        ["the first question of another process: parts read, lengths known", f"{again:.2f} s"],
        ["each further question", f"{asked:.3f} s"],
        [f"{NAMED:,} photos against {len(world().species):,} names, five answers each", f"{named:.2f} s"],
        ["the names of AviList in the cache", f"{kept:.0f} MB"],
    ]


def _again(path: Path, backbone: Backbone) -> float:
    index: Index
    with birdsearch.open(path, backbone=backbone) as index:
        return seconds(lambda: index.search_text("a heron with a fish"), 1)


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("text", __doc__)
    parser.add_argument("--names", type=int, default=NAMES, help="species whose names are embedded for real")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["BIRDSEARCH_CACHE"] = f"{place}/cache"
        rows = [*warm(Path(place)), *cold(Path(place), options.names)]
    with_ = versions("numpy", "openvino", "open-clip-torch", "tokenizers")
    publish(
        "Words",
        f"{with_}. Wall clock.\n\n{table(['what', 'takes'], rows)}",
        command="python -m benchmarks.text",
        keep=options.names == NAMES,
    )


if __name__ == "__main__":
    main()
