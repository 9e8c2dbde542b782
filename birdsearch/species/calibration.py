"""Temperature scaling: probabilities that are right as often as they say, by one number fitted on labelled photos.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from birdsearch.backbones.classes import Classes, softmax
from birdsearch.records import Ids, Vectors, blocks
from birdsearch.species import names
from birdsearch.storage.catalog.catalog import PhotoSummary
from birdsearch.storage.store import Store
from birdsearch.taxonomy import resolve

logger = logging.getLogger("birdsearch")

FOLDS = 5
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MAX_PHOTOS = 3_000  # that a temperature is fitted on; of more they are drawn at random
MIN_PHOTOS, MIN_SPECIES = 50, 5  # for a temperature; guesses
BINS = 15  # of the calibration error
CELLS = 4_000_000  # probabilities worked on at a time
BLOCK = 512  # photos whose probabilities are computed at a time
_PRECISION = 1e-3  # of the logarithm of a temperature
_FLOOR = np.finfo(np.float32).smallest_subnormal  # a probability of 0 is one that was rounded


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far first choices are from being right as often as they say, before and after."""

    accuracy: float  # of the first choices; a temperature does not change them
    error: float  # expected calibration error of the probabilities as they are
    error_scaled: float | None  # of each fold at the temperature of the others; None where there is one group only
    temperature: float | None  # fitted on all; above 1 the probabilities were too sure of themselves


def fit_temperature(probabilities: Vectors, own: Ids) -> float:
    """The temperature at which probabilities (n, classes) make the photos' own classes (n,) most likely."""
    from scipy.optimize import minimize_scalar

    if probabilities.ndim != 2 or not len(own) or len(own) != len(probabilities):
        raise ValueError(f"{len(own)} classes for probabilities of shape {probabilities.shape}: one class a photo")
    logs = _logs(probabilities)
    logs -= logs.max(axis=1, keepdims=True)  # else the powers of many even classes would vanish
    right = float(logs[np.arange(len(own)), own].sum(dtype=np.float64))
    step = max(1, CELLS // logs.shape[1])

    def mean_loss(log_temperature: float) -> float:
        sharpness = np.float32(np.exp(-log_temperature))
        parts = (np.exp(logs[block] * sharpness) for block in blocks(len(logs), step))
        total = sum(float(np.log(part.sum(axis=1, dtype=np.float64)).sum()) for part in parts)
        return (total - float(sharpness) * right) / len(logs)

    # Convex in 1 / T, so there is one lowest point.
    bounds = float(np.log(MIN_TEMPERATURE)), float(np.log(MAX_TEMPERATURE))
    lowest = minimize_scalar(mean_loss, bounds=bounds, method="bounded", options={"xatol": _PRECISION})
    return float(np.exp(lowest.x))


def scaled(probabilities: Vectors, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities (n, classes) as softmax(log p / T); the order of the classes stays."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    return np.asarray(softmax(_logs(probabilities).astype(np.float64) / temperature), dtype=np.float64)


def cross_validate(probabilities: Vectors, own: Ids, groups: Ids, *, seed: int = 0) -> Calibration:
    """What a temperature does for photos that it was not fitted on; photos of one group (n,) share a fold."""
    right = probabilities.argmax(axis=1) == own
    names, which = np.unique(groups, return_inverse=True)
    folds = min(FOLDS, len(names))
    fold = np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)[which]
    confidence = np.empty(len(own), dtype=np.float32)
    for number in range(folds if folds > 1 else 0):
        inside = fold == number
        temperature = fit_temperature(probabilities[~inside], own[~inside])
        confidence[inside] = scaled(probabilities[inside], temperature).max(axis=1)
    return Calibration(
        accuracy=float(right.mean()),
        error=calibration_error(probabilities.max(axis=1), right),
        error_scaled=calibration_error(confidence, right) if folds > 1 else None,
        temperature=fit_temperature(probabilities, own),
    )


def _logs(probabilities: Vectors) -> Vectors:
    return np.log(np.maximum(probabilities, _FLOOR), dtype=np.float32)


def calibration_error(confidence: Vectors, right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error of first choices (n,): how far confidence is from the share that is right.

    Mean over 15 bins of equal width, weighted by their photos (Naeini et al. 2015, Guo et al. 2017).
    """
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    surplus = np.bincount(bins, weights=confidence.astype(np.float64) - right, minlength=BINS)
    return float(np.abs(surplus).sum() / len(confidence))


@dataclass(frozen=True)
class LabelledOutputs:
    """Photos whose label is a class of the backbone, and the backbone's probabilities."""

    positions: Ids  # (n,) among the photos that were given
    own: Ids  # (n,) the classes of their labels
    probabilities: Vectors  # (n, classes)

    @property
    def enough(self) -> bool:
        """Whether they are enough to fit a temperature on."""
        return len(self.own) >= MIN_PHOTOS and len(np.unique(self.own)) >= MIN_SPECIES

    def calibration(self, groups: Ids, seed: int) -> Calibration:
        """Accuracy and calibration of at least one photo, given the groups (n,); no temperature unless enough."""
        figures = cross_validate(self.probabilities, self.own, groups, seed=seed)
        return figures if self.enough else replace(figures, error_scaled=None, temperature=None)


def labelled_outputs(
    store: Store, classes: Classes, photos: Sequence[PhotoSummary], *, seed: int = 0
) -> LabelledOutputs | None:
    """The backbone's probabilities for labelled photos; None where stored vectors do not give them."""
    if not classes.from_vectors:
        return None
    class_of = classes_of_species(classes)
    labels = [photo.label for photo in photos]
    species_of = names.species_of(labels, names.overrides(store.catalog))
    code_of = {label: class_of[species] for label, species in species_of.items() if species in class_of}
    codes = np.array([code_of.get(label or "", -1) for label in labels], dtype=np.int64)
    # Drawn before anything is computed: the probabilities of all photos would not fit into memory.
    positions = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(codes >= 0))[:MAX_PHOTOS])
    vectors, norms = store.vectors.fetch([photos[position].photo_id for position in positions.tolist()])
    probabilities = np.empty((len(positions), len(classes.names)), dtype=np.float32)
    for block in blocks(len(positions), BLOCK):
        probabilities[block] = classes.probabilities(vectors[block], norms[block])
    return LabelledOutputs(positions, codes[positions], probabilities)


def classes_of_species(classes: Classes) -> dict[str, int]:
    """Scientific name -> the class that stands for this species, where it is one class alone."""
    codes: dict[str, list[int]] = {}
    for code, (name, rank) in enumerate(zip(classes.names, classes.ranks, strict=True)):
        meant = resolve.recognised(name)
        # Other vocabularies have words of their own: a "knot" of ImageNet is one in a rope.
        sure = ("exact", "synonym") if rank in resolve.RANKS else ("exact",)
        if meant is not None and meant.rank == "species" and meant.candidates and meant.method in sure:
            codes.setdefault(meant.candidates[0], []).append(code)
    return {species: of_species[0] for species, of_species in codes.items() if len(of_species) == 1}


def temperature(store: Store, classes: Classes) -> float | None:
    """The temperature fitted on the labels of an index; None, with a warning why, where they are too few."""
    with store.catalog.snapshot():
        outputs = labelled_outputs(store, classes, store.catalog.summaries())
    if outputs is not None and outputs.enough:
        return fit_temperature(outputs.probabilities, outputs.own)
    if outputs is None:
        logger.warning(
            "not calibrated: the class probabilities of this backbone cannot be computed from stored vectors. "
            "--source neighbours is calibrated"
        )
    else:
        logger.warning(
            "not calibrated: %d photos of %d species have a label that is a class of the backbone, it takes %d of %d. "
            "Label more photos; `birdsearch names` shows which species labels mean",
            *(len(outputs.own), len(np.unique(outputs.own)), MIN_PHOTOS, MIN_SPECIES),
        )
    return None
