"""A backbone of the user's own: any object with `name`, `dim` and `embed(images)`."""

from typing import Any

import numpy as np

from birdsearch.backbones.backbone import Backbone, Facts, Raw
from birdsearch.errors import BackboneError
from birdsearch.records import Pixels, Vectors

_SIZE = (224, 224)  # where the object names no input_size


class OwnNetwork:
    """Calls the user's object and checks what it answers."""

    runtime = "own"
    device = "own"
    precision = "own"

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def run(self, pixels: Pixels) -> Raw:
        """(n, h, w, 3) uint8 -> (n, dim) float32, of any length."""
        name, expected = self._thing.name, (len(pixels), int(self._thing.dim))
        try:
            embeddings = np.asarray(self._thing.embed(pixels), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise BackboneError(f"embed of the backbone {name} failed or gave no array of numbers: {error}") from error
        if embeddings.shape != expected:
            raise BackboneError(
                f"embed of the backbone {name} gave an array of shape {embeddings.shape} for {len(pixels)} images, "
                f"expected {expected}: one row of `dim` numbers per image"
            )
        return Raw(embeddings)

    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        """A user's object has none."""
        raise BackboneError(f"the backbone {self._thing.name} is a user's own object: it has no feature map")


def from_object(thing: Any) -> Backbone:
    """The user's object as a Backbone."""
    name, dim = getattr(thing, "name", None), getattr(thing, "dim", None)
    if not isinstance(name, str) or not name or not callable(getattr(thing, "embed", None)):
        raise TypeError(
            f"a backbone is a name, the path of a checkpoint, or an object with name, dim and embed(images); "
            f"got {thing!r}"
        )
    if not isinstance(dim, int | np.integer) or dim < 1:
        raise TypeError(f"the dim of the backbone {name} must be a positive whole number, got {dim!r}")
    size = getattr(thing, "input_size", _SIZE)
    height, width = (size, size) if isinstance(size, int) else size
    return Backbone(Facts(name, int(dim), (int(height), int(width))), OwnNetwork(thing))
