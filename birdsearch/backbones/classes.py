"""Classes and their probabilities, without a network."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from birdsearch.files import read_arrays
from birdsearch.records import Prediction, Vectors


@dataclass(frozen=True, slots=True)
class Classifier:
    """The last layer of a backbone: logits are `weights @ embedding + bias`."""

    weights: Vectors  # (classes, dim)
    bias: Vectors  # (classes,)


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a backbone as an index keeps them, so that probabilities need no network."""

    names: tuple[str, ...]
    species: tuple[str | None, ...]
    ranks: tuple[str, ...]  # as in BackboneSpec.class_ranks
    classifier: Classifier | None  # None where class scores are not linear in the embedding

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
        # Keys: these three, and of linear classes "weights" (classes, dim) and "bias" (classes,).
        arrays: dict[str, Any] = {
            "class_names": np.array(self.names, dtype=str),
            "class_species": np.array([species or "" for species in self.species], dtype=str),
            "class_levels": np.array(self.ranks, dtype=str),
        }
        if self.classifier is not None:
            arrays |= {"weights": self.classifier.weights, "bias": self.classifier.bias}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `as_npz` wrote. Raises ValueError for any other file."""
        stored = read_arrays(path)
        if lacking := {"class_names", "class_species", "class_levels"} - set(stored):
            raise ValueError(f"it lacks {min(lacking)}")
        texts = [stored[name] for name in ("class_names", "class_species", "class_levels")]
        if any(text.dtype.kind != "U" or text.shape != (len(texts[0]),) for text in texts):
            raise ValueError("its names are not three lists of one length")
        names, species, ranks = (tuple(text.tolist()) for text in texts)
        linear = Classifier(stored["weights"], stored["bias"]) if {"weights", "bias"} <= set(stored) else None
        if linear and not (
            linear.weights.dtype == linear.bias.dtype == np.float32
            and linear.weights.ndim == 2
            and linear.weights.shape[:1] == linear.bias.shape == (len(names),)
        ):
            raise ValueError(f"its last layer is {linear.weights.shape} and {linear.bias.shape}")
        return cls(names, tuple(name or None for name in species), ranks, linear)


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logits (n, classes) as probabilities, in the precision of the logits: rows that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
