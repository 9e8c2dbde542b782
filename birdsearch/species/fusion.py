"""From what witnesses say of each species to probabilities, and to whether a photo shows any of them at all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from birdsearch.records import Vectors

Floats = npt.NDArray[np.float64]

TYPICAL = np.array([0.05, 7.0, 2.0])  # weights of the three witnesses where there is little to fit them on
NOBODY = -1e3  # what every witness says of a species of which no photo is left to ask


@dataclass(frozen=True, slots=True)
class Scales:
    """What turns witnesses into probabilities; both are fitted on photos that the witnesses had not seen."""

    weights: Floats  # (3,)
    novelty: Floats | None  # (signs + 1,), the last is the bias; None: no photo could play the stranger


def fit(heard: Vectors) -> Scales:
    """Weights from witnesses (q, alternatives, 3) for photos whose own species is the first alternative."""
    if not len(heard) or heard.shape[1] < 2:
        return Scales(TYPICAL, None)
    weights = TYPICAL * _weighed(heard * TYPICAL, np.ones(3), floor=0.0)
    if heard.shape[1] < 3:  # a stranger is a photo without its own species: at least two others must be left
        return Scales(weights, None)
    signs = np.concatenate([_signs(heard, weights), _signs(heard[:, 1:], weights)])
    middle, unit = signs.mean(axis=0), np.maximum(signs.std(axis=0), 1e-6)
    inputs = np.concatenate([(signs - middle) / unit, np.ones((len(signs), 1))], axis=1)
    strange = np.arange(len(signs)) >= len(heard)
    # A choice between two: the one with these inputs is "strange", the one with zeros is not.
    choice = np.where(strange[:, None, None], 1, -1) * np.stack([inputs, 0 * inputs], axis=1)
    fitted = _weighed(choice, np.zeros(inputs.shape[1]), floor=None)
    return Scales(weights, np.append(fitted[:-1] / unit, fitted[-1] - (fitted[:-1] * middle / unit).sum()))


def judged(witnesses: Vectors, scales: Scales) -> tuple[Vectors, Vectors]:
    """Probabilities (q, species) and novelty (q,) of photos from their witnesses (q, species, 3)."""
    logits = witnesses @ scales.weights.astype(np.float32)
    known = witnesses[:, :, 1] > NOBODY
    heard = np.asarray(known.any(axis=1))
    logits[~known] = -np.inf
    probabilities = np.zeros(logits.shape, dtype=np.float32)
    probabilities[heard] = softmax(logits[heard])
    novelty = np.full(len(logits), np.nan, dtype=np.float32)
    if scales.novelty is not None:
        sums = _signs(witnesses[heard], scales.weights) @ scales.novelty[:-1] + scales.novelty[-1]
        novelty[heard] = 0.5 + 0.5 * np.tanh(sums / 2)  # the logistic function, which cannot overflow so
    return probabilities, novelty


def _signs(witnesses: Vectors, weights: Floats) -> Floats:
    """What tells a stranger (q, 5): the best of each witness, all together, and how sure the first choice is."""
    logits = witnesses @ weights
    best = logits.max(axis=1)
    total = np.log(np.exp(logits - best[:, None]).sum(axis=1))
    return np.concatenate([witnesses.max(axis=1), best[:, None], total[:, None]], axis=1)


def _weighed(alternatives: npt.NDArray[np.floating], start: Floats, floor: float | None) -> Floats:
    """Weights (f,) that make the first alternative of each row (q, alternatives, f) likely: a conditional logit.

    The penalty, one observation's worth, keeps the weights near `start` where the rows say little (McFadden 1974).
    """
    from scipy.optimize import minimize

    values = alternatives.astype(np.float64)

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = values @ weights
        shares = softmax(logits)
        slope = (np.einsum("qa,qaf->f", shares, values) - values[:, 0].sum(axis=0)) / len(values)
        top = logits.max(axis=1)
        missed = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[:, 0]
        away = (weights - start) / len(values)
        return float(missed.mean() + 0.5 * (away * (weights - start)).sum()), slope + away

    bounds = None if floor is None else [(floor, None)] * len(start)
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Rows (q, n) that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
