"""Classes and their probabilities, without a network; and what a network has in place of classes: a projection."""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from birdsearch.files import read_arrays
from birdsearch.records import Prediction, Vectors

_NUMBERED = re.compile(r"class \d+")  # what birdsearch once called the outputs of a network without a list of classes
_TEXTS = ("class_names", "class_species", "class_levels")  # keys of the file, of a frozen format


@dataclass(frozen=True, slots=True)
class Classifier:
    """The last layer of a backbone: logits are `weights @ embedding + bias`."""

    weights: Vectors  # (classes, dim)
    bias: Vectors  # (classes,)


@dataclass(frozen=True, slots=True)
class Projection:
    """The last layer of an encoder, into the space of texts: a photo lies there at `weights @ embedding + bias`."""

    weights: Vectors  # (joint, dim)
    bias: Vectors  # (joint,), zero for most networks


@dataclass(frozen=True, slots=True)
class Classes:
    """The last layer of a backbone as an index keeps it, so that probabilities need no network.

    It tells classes, or has no classes and, where the network is an encoder of pictures and texts, a projection.
    """

    names: tuple[str, ...]
    species: tuple[str | None, ...]
    ranks: tuple[str, ...]  # as in BackboneSpec.class_ranks
    classifier: Classifier | None  # None where class scores are not linear in the embedding
    projection: Projection | None = None
    mistaken: bool = False  # read from a file of a birdsearch that took a projection for classes

    @property
    def from_vectors(self) -> bool:
        """Whether stored vectors give probabilities, without a network."""
        return self.classifier is not None

    def probabilities(self, vectors: Vectors, norms: Vectors) -> Vectors:  # (n, dim), (n,) -> (n, classes)
        """Class probabilities of stored vectors: softmax of the last layer over vector times norm."""
        if self.classifier is None:
            raise ValueError("this backbone has no linear classifier")
        embeddings: Vectors = vectors * norms[:, None]
        logits = np.asarray(embeddings @ self.classifier.weights.T + self.classifier.bias, dtype=np.float32)
        return np.asarray(softmax(logits.astype(np.float64)), dtype=np.float32)

    def top(self, probabilities: Vectors, k: int) -> list[tuple[Prediction, ...]]:
        """The k most probable classes of each row (n, classes), best first; equal ones in the order of the classes."""
        k = min(k, len(self.names))
        result = []
        for row in probabilities:
            # The k-th largest value, then all that reach it: exact under ties, and no full sort of 10,000 classes.
            candidates = np.flatnonzero(row >= np.partition(row, -k)[-k]) if k else np.empty(0, np.int64)
            best = candidates[np.argsort(-row[candidates], kind="stable")][:k].tolist()
            result.append(
                tuple(
                    Prediction(self.species[c], float(row[c]), position, self.ranks[c], self.names[c])
                    for position, c in enumerate(best, start=1)
                )
            )
        return result

    def as_npz(self) -> bytes:
        """The classes as the bytes of an .npz file, whose keys are a frozen format."""
        # Keys: these four; of linear classes "weights" (classes, dim) and "bias" (classes,); of a projection, without
        # classes, "projection" (joint, dim) and "projection_bias" (joint,).
        arrays: dict[str, Any] = {
            "kind": np.array("classes" if self.projection is None else "projection"),
            "class_names": np.array(self.names, dtype=str),
            "class_species": np.array([species or "" for species in self.species], dtype=str),
            "class_levels": np.array(self.ranks, dtype=str),
        }
        if self.classifier is not None:
            arrays |= {"weights": self.classifier.weights, "bias": self.classifier.bias}
        if self.projection is not None:
            arrays |= {"projection": self.projection.weights, "projection_bias": self.projection.bias}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `as_npz` wrote, or an older birdsearch. Raises ValueError for any other file."""
        stored = read_arrays(path)
        if lacking := set(_TEXTS) - set(stored):
            raise ValueError(f"it lacks {min(lacking)}")
        texts = [stored[name] for name in _TEXTS]
        if any(text.dtype.kind != "U" or text.shape != (len(texts[0]),) for text in texts):
            raise ValueError("its names are not three lists of one length")
        names, species, ranks = (tuple(text.tolist()) for text in texts)
        linear = _layer(stored, "weights", "bias", len(names))
        projection = _layer(stored, "projection", "projection_bias", None)
        if names and are_numbers(names):
            return cls((), (), (), None, linear and Projection(*linear), mistaken=True)
        return cls(
            names,
            tuple(name or None for name in species),
            ranks,
            linear and Classifier(*linear),
            projection and Projection(*projection),
        )


def are_numbers(names: Iterable[str]) -> bool:
    """Whether these are no names of classes but numbers: so a list looks that an encoder carries, or none at all."""
    return not any(re.search(r"[^\W\d_]", _NUMBERED.sub("", name)) for name in names)


def _layer(stored: dict[str, Any], weights: str, bias: str, outputs: int | None) -> tuple[Vectors, Vectors] | None:
    """The weights (outputs, dim) and the bias (outputs,) of a layer in a file; None where it holds none."""
    if not {weights, bias} <= set(stored):
        return None
    matrix, offset = stored[weights], stored[bias]
    if not (
        matrix.dtype == offset.dtype == np.float32
        and matrix.ndim == 2
        and offset.shape == (len(matrix) if outputs is None else outputs,) == matrix.shape[:1]
    ):
        raise ValueError(f"its last layer is {matrix.shape} and {offset.shape}")
    return matrix, offset


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logits (n, classes) as probabilities, in the precision of the logits: rows that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
