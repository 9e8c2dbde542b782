"""A backbone of the user's own: any object with `name`, `dim` and, unless all vectors are given, `embed(images)`."""

from typing import Any

import numpy as np

from birdsearch.backbones.backbone import Backbone, BackboneSpec, NetworkOutput, PooledMap
from birdsearch.errors import BackboneError
from birdsearch.records import Pixels, Vectors

_SIZE = (224, 224)  # where the object names no input_size


class CustomNetwork:
    """Calls the user's object and checks its answers."""

    runtime = "own"
    device = "own"
    precision = "own"

    def __init__(self, user_object: Any) -> None:
        self.user_object = user_object

    def run(self, pixels: Pixels) -> NetworkOutput:
        """(n, h, w, 3) uint8 -> (n, dim) float32, of any length."""
        name, expected = self.user_object.name, (len(pixels), int(self.user_object.dim))
        if not hasattr(self.user_object, "embed"):
            raise BackboneError(
                f"the backbone {name} has no embed(images), so no picture becomes a vector: add photos with their "
                "vectors (Index.add_vectors) and ask by vectors (Index.search_vectors), or open the index with an "
                "object that has embed"
            )
        try:
            embeddings = np.asarray(self.user_object.embed(pixels), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise BackboneError(f"embed of the backbone {name} failed or gave no array of numbers: {error}") from error
        if embeddings.shape != expected:
            raise BackboneError(
                f"embed of the backbone {name} gave an array of shape {embeddings.shape} for {len(pixels)} images, "
                f"expected {expected}: one row of `dim` numbers per image"
            )
        return NetworkOutput(embeddings)

    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        """A user's object has none."""
        raise self._no_map

    def pooled_map(self, pixels: Pixels) -> PooledMap:
        """Neither has it one that is pooled."""
        raise self._no_map

    @property
    def _no_map(self) -> BackboneError:
        name = self.user_object.name
        return BackboneError(
            f"the backbone {name} is a user's own object: it has no feature map, so nothing tells where in a photo it "
            "sees what. The built-in network and those of birder have one"
        )


def from_object(user_object: Any) -> Backbone:
    """The user's object as a Backbone."""
    name, dim = getattr(user_object, "name", None), getattr(user_object, "dim", None)
    if not isinstance(name, str) or not name or dim is None or not callable(getattr(user_object, "embed", len)):
        raise TypeError(
            f"a backbone is a name, the path of a checkpoint, or an object with name, dim and embed(images); "
            f"got {user_object!r}"
        )
    if not isinstance(dim, int | np.integer) or dim < 1:
        raise TypeError(f"the dim of the backbone {name} must be a positive whole number, got {dim!r}")
    size = getattr(user_object, "input_size", _SIZE)
    height, width = (size, size) if isinstance(size, int) else size
    spec = BackboneSpec(name, int(dim), (int(height), int(width)))
    return Backbone.of(spec, CustomNetwork(user_object))
