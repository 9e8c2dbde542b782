"""Temperature scaling: probabilities that are right as often as they say, by one number fitted on labelled photos.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from birdsearch import weighing
from birdsearch.evaluate import calibration_error
from birdsearch.records import Ids, Vectors

FOLDS = 5
COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are tried
_PRECISION = 1e-3  # of the logarithm of a temperature
_CELLS = 4_000_000  # probabilities worked on at a time
_FLOOR = np.finfo(np.float32).smallest_subnormal  # a probability of 0 is one that was rounded


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far first choices are from being right as often as they say, before and after."""

    accuracy: float  # of the first choices; a temperature does not change them
    error: float  # expected calibration error of the probabilities as they are
    error_tempered: float | None  # of each fold at the temperature of the others; None where there is one group only
    temperature: float | None  # fitted on all; above 1 the probabilities were too sure of themselves


def fit_temperature(probabilities: Vectors, own: Ids) -> float:
    """The temperature at which probabilities (n, classes) make the photos' own classes (n,) most likely."""
    from scipy.optimize import minimize_scalar

    if probabilities.ndim != 2 or not len(own) or len(own) != len(probabilities):
        raise ValueError(f"{len(own)} classes for probabilities of shape {probabilities.shape}: one class a photo")
    logs = _logs(probabilities)
    logs -= logs.max(axis=1, keepdims=True)  # else the powers of many even classes would vanish
    right = float(logs[np.arange(len(own)), own].sum(dtype=np.float64))
    step = max(1, _CELLS // logs.shape[1])

    def missed(log_temperature: float) -> float:
        sharpness = np.float32(np.exp(-log_temperature))
        parts = (np.exp(logs[start : start + step] * sharpness) for start in range(0, len(logs), step))
        total = sum(float(np.log(part.sum(axis=1, dtype=np.float64)).sum()) for part in parts)
        return (total - float(sharpness) * right) / len(logs)

    # Convex in 1 / T, so there is one lowest point.
    bounds = float(np.log(COLDEST)), float(np.log(HOTTEST))
    found = minimize_scalar(missed, bounds=bounds, method="bounded", options={"xatol": _PRECISION})
    return float(np.exp(found.x))


def tempered(probabilities: Vectors, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities (n, classes) as softmax(log p / T); the order of the classes stays."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    return np.asarray(weighing.softmax(_logs(probabilities).astype(np.float64) / temperature), dtype=np.float64)


def cross_fitted(probabilities: Vectors, own: Ids, groups: Ids, *, seed: int = 0) -> Calibration:
    """What a temperature does for photos that it was not fitted on; photos of one group (n,) share a fold."""
    right = probabilities.argmax(axis=1) == own
    names, which = np.unique(groups, return_inverse=True)
    folds = min(FOLDS, len(names))
    fold = np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)[which]
    confidence = np.empty(len(own), dtype=np.float32)
    for number in range(folds if folds > 1 else 0):
        inside = fold == number
        temperature = fit_temperature(probabilities[~inside], own[~inside])
        confidence[inside] = tempered(probabilities[inside], temperature).max(axis=1)
    return Calibration(
        accuracy=float(right.mean()),
        error=calibration_error(probabilities.max(axis=1), right),
        error_tempered=calibration_error(confidence, right) if folds > 1 else None,
        temperature=fit_temperature(probabilities, own),
    )


def _logs(probabilities: Vectors) -> Vectors:
    return np.log(np.maximum(probabilities, _FLOOR), dtype=np.float32)
