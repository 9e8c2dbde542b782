"""Which boxes of a photo get a vector."""

import re
from collections.abc import Sequence

from birdsearch.records import BOX, MOST_REGIONS, Region

# What MegaDetector, COCO and others call that which is no animal. Any other word may be a bird's.
_PERSONS = ("person", "people", "human", "man", "woman", "child", "face", "homo sapiens")
_VEHICLES = (
    "vehicle", "car", "truck", "bus", "van", "bicycle", "bike", "motorcycle", "motorbike", "train", "boat", "ship",
    "airplane", "aeroplane", "plane", "suv",
)  # fmt: skip
_THINGS = (
    "empty", "blank", "background", "nothing", "other", "traffic light", "fire hydrant", "stop sign", "street sign",
    "parking meter", "bench", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "sofa", "potted plant", "bed", "dining table",
    "toilet", "tv", "tvmonitor", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
    "plant", "tree", "flower", "house", "building", "street lights", "feeder", "bird feeder", "nest", "bird nest",
)  # fmt: skip
ANIMAL, HUMAN, VEHICLE, THING = "animal", "human", "vehicle", "thing"
_KINDS = {name: kind for names, kind in ((_THINGS, THING), (_VEHICLES, VEHICLE), (_PERSONS, HUMAN)) for name in names}


def kind_of(category: str | None) -> str:
    """ANIMAL, HUMAN, VEHICLE or THING: what a category is; one that nobody has named may be a bird's."""
    words = re.sub(r"[\W_]+", " ", category or "").strip().casefold()
    return _KINDS.get(words) or _KINDS.get(words.removesuffix("s"), ANIMAL)


def is_animal(category: str | None) -> bool:
    """Whether a category may be a bird's or another animal's."""
    return kind_of(category) == ANIMAL


def chosen(regions: Sequence[Region]) -> list[int]:
    """Positions of those regions of one photo that get a vector: of animals, the surest ones, given before found.

    A box without a confidence is one that a person has drawn: nothing is surer.
    """

    def order(position: int) -> tuple[bool, float, int]:
        confidence = regions[position].confidence
        return regions[position].kind != BOX, -(2.0 if confidence is None else confidence), position

    animals = [position for position, region in enumerate(regions) if is_animal(region.category)]
    return sorted(animals, key=order)[:MOST_REGIONS]
