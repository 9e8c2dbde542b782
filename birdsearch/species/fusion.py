"""From features of species to probabilities, and to an open-set score: whether a photo shows any of them at all."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from birdsearch.backbones.classes import softmax
from birdsearch.records import Vectors
from birdsearch.species.features import NO_GALLERY, TYPICAL_WEIGHTS

Floats = npt.NDArray[np.float64]

_STRANGERS = 10  # photos, below which nothing is said; a guess
_LOGISTIC = 1.7  # the logistic function of 1.7 z is nearly the normal distribution's share up to z


@dataclass(frozen=True, slots=True)
class Fusion:
    """Weights of features, fitted on photos that the features' own models were not fitted on."""

    weights: Floats  # (3,)
    novelty: tuple[float, float] | None  # slope and height of its log odds over the best logit; None: too few species

    @classmethod
    def fit(cls, features: Vectors) -> Self:
        """From features (q, alternatives, 3) of photos whose own species is the first alternative.

        Where no other photo shows the own species of any of them, all others are strangers to each.
        """
        if not len(features) or features.shape[1] < 2:
            return cls(TYPICAL_WEIGHTS, None)
        alone = not (features[:, 0, 1] > NO_GALLERY).any()
        weights = TYPICAL_WEIGHTS
        if not alone:
            weights = weights * _conditional_logit(features * weights, np.ones(3), floor=0.0)
        if features.shape[1] < 3:  # without its own species a photo needs at least two others
            return cls(weights, None)
        unknown = _best_logits(features[:, 1:], weights)
        if alone:
            return cls(weights, _of_strangers(unknown[(features[:, 1:, 1] > NO_GALLERY).any(axis=1)]))
        best = np.concatenate([_best_logits(features, weights), unknown])
        middle, unit = float(best.mean()), max(float(best.std()), 1e-6)
        inputs = np.stack([(best - middle) / unit, np.ones(len(best))], axis=1)
        is_unknown = np.arange(len(best)) >= len(features)
        # A choice between two: the one with these inputs is "unknown class", the one with zeros is not.
        choice = np.where(is_unknown[:, None, None], 1, -1) * np.stack([inputs, 0 * inputs], axis=1)
        slope, height = _conditional_logit(choice, np.zeros(2), floor=None) / np.array([unit, 1])
        return cls(weights, (float(slope), float(height - slope * middle)))

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
            slope, height = self.novelty
            sums = slope * _best_logits(features[answerable], self.weights) + height
            novelty[answerable] = 0.5 + 0.5 * np.tanh(sums / 2)  # the logistic function, which cannot overflow so
        return probabilities, novelty


def _of_strangers(logits: Floats) -> tuple[float, float] | None:
    """Novelty where only strangers are known, by the best logits (q,) of photos with them: the share that is higher."""
    spread = float(logits.std()) if len(logits) >= _STRANGERS else 0.0
    return (-_LOGISTIC / spread, _LOGISTIC / spread * float(logits.mean())) if spread > 1e-6 else None


def _best_logits(features: Vectors, weights: Floats) -> Floats:
    """What tells an unknown class (q,): in single features the own species of a fit stands with one photo less."""
    best: Floats = (features @ weights).max(axis=1)
    return best


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
