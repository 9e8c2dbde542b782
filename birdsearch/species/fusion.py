"""From features of species to probabilities, and to an open-set score: whether a photo shows any of them at all."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from birdsearch.backbones.classes import softmax
from birdsearch.records import Vectors
from birdsearch.species.features import NO_GALLERY, TYPICAL_WEIGHTS

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fusion:
    """Weights of features, fitted on photos that the features' own models were not fitted on."""

    weights: Floats  # (3,)
    novelty: Floats | None  # (novelty features + 1,), the last is the bias; None: too few species to fit it

    @classmethod
    def fit(cls, features: Vectors) -> Self:
        """From features (q, alternatives, 3) of photos whose own species is the first alternative."""
        if not len(features) or features.shape[1] < 2:
            return cls(TYPICAL_WEIGHTS, None)
        weights = TYPICAL_WEIGHTS * _conditional_logit(features * TYPICAL_WEIGHTS, np.ones(3), floor=0.0)
        if features.shape[1] < 3:  # without its own species a photo needs at least two others
            return cls(weights, None)
        known, unknown = _novelty_features(features, weights), _novelty_features(features[:, 1:], weights)
        rows = np.concatenate([known, unknown])
        middle, unit = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        inputs = np.concatenate([(rows - middle) / unit, np.ones((len(rows), 1))], axis=1)
        is_unknown = np.arange(len(rows)) >= len(features)
        # A choice between two: the one with these inputs is "unknown class", the one with zeros is not.
        choice = np.where(is_unknown[:, None, None], 1, -1) * np.stack([inputs, 0 * inputs], axis=1)
        fitted = _conditional_logit(choice, np.zeros(inputs.shape[1]), floor=None)
        return cls(weights, np.append(fitted[:-1] / unit, fitted[-1] - (fitted[:-1] * middle / unit).sum()))

    def predict(self, features: Vectors) -> tuple[Vectors, Vectors]:
        """Probabilities (q, species) and novelty (q,) from features (q, species, 3).

        All probabilities are zero, and novelty is NaN, where no species had a photo to compare.
        """
        logits = features @ self.weights.astype(np.float32)
        compared = features[:, :, 1] > NO_GALLERY
        answerable = np.asarray(compared.any(axis=1))
        logits[~compared] = -np.inf
        probabilities = np.zeros(logits.shape, dtype=np.float32)
        probabilities[answerable] = softmax(logits[answerable])
        novelty = np.full(len(logits), np.nan, dtype=np.float32)
        if self.novelty is not None:
            sums = _novelty_features(features[answerable], self.weights) @ self.novelty[:-1] + self.novelty[-1]
            novelty[answerable] = 0.5 + 0.5 * np.tanh(sums / 2)  # the logistic function, which cannot overflow so
        return probabilities, novelty


def _novelty_features(features: Vectors, weights: Floats) -> Floats:
    """What tells an unknown class (q, 5): the best of each feature, the best logit, and the log-sum of all logits."""
    logits = features @ weights
    best = logits.max(axis=1)
    total = np.log(np.exp(logits - best[:, None]).sum(axis=1))
    return np.concatenate([features.max(axis=1), best[:, None], total[:, None]], axis=1)


def _conditional_logit(alternatives: npt.NDArray[np.floating], start: Floats, floor: float | None) -> Floats:
    """Weights (f,) that make the first alternative of each row (q, alternatives, f) likely.

    The penalty, one observation's worth, keeps the weights near `start` where the rows say little (McFadden 1974).
    """
    from scipy.optimize import minimize

    values = alternatives.astype(np.float64)

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = values @ weights
        slope = (np.einsum("qa,qaf->f", softmax(logits), values) - values[:, 0].sum(axis=0)) / len(values)
        top = logits.max(axis=1)
        missed = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[:, 0]
        away = (weights - start) / len(values)
        return float(missed.mean() + 0.5 * (away * (weights - start)).sum()), slope + away

    bounds = None if floor is None else [(floor, None)] * len(start)
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)
