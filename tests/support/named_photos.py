"""Photos in folders named as people name birds, and an index labelled by them."""

from pathlib import Path

import numpy as np
from PIL import Image

import birdsearch
from birdsearch import Index
from birdsearch.backbones.backbone import Backbone
from tests.support.fake_backbone import FakeBackbone

FOX = "00004_Animalia_Chordata_Mammalia_Carnivora_Canidae_Vulpes_vulpes"
LABELS = {"Great Tit": 3, "MANDRIN DUCK": 2, "OSTRICH": 1, "TEAL DUCK": 1, "garden, misc": 1, FOX: 1}


def photos(folder: Path, labels: dict[str, int]) -> Path:
    """So many photos in a folder of each name, all of them different."""
    draw = np.random.default_rng(0)
    for label, count in labels.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(folder / label / f"{number}.png")
    return folder


def labelled(place: Path, labels: dict[str, int], backbone: FakeBackbone | Backbone | None = None) -> Index:
    made = birdsearch.create(place / "indexes" / "own", backbone=backbone or FakeBackbone())
    made.add(photos(place / "photos", labels), labels="folder")
    return made


def names_table(place: Path, text: str) -> Path:
    """A table with this text, as `set_names` and `birdsearch names --from` take it."""
    path = place / "names.csv"
    path.write_text(text, encoding="utf-8")
    return path
