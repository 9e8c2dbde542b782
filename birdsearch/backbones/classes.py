"""Classes and their probabilities, without a network."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

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
        """What `as_npz` wrote. Raises what numpy raises for a damaged file."""
        with np.load(path, allow_pickle=False) as stored:
            names = tuple(stored["class_names"].tolist())
            species = tuple(name or None for name in stored["class_species"].tolist())
            ranks = tuple(stored["class_levels"].tolist())
            linear = Classifier(stored["weights"], stored["bias"]) if "weights" in stored else None
        return cls(names, species, ranks, linear)


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logits (n, classes) as probabilities, in the precision of the logits: rows that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
