"""What the labelled photos of an index tell of its backbone's own probabilities."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from birdsearch import calibration, naming, taxonomy
from birdsearch.catalog import About, Catalog
from birdsearch.classify import Classes
from birdsearch.records import Ids, Vectors
from birdsearch.retrieval import Retrieval

logger = logging.getLogger("birdsearch")

MOST = 3_000  # photos that are asked; among more they are drawn at random
LEAST_PHOTOS, LEAST_SPECIES = 50, 5  # for a temperature
_BLOCK = 512


@dataclass(frozen=True)
class Answered:
    """Photos whose label is a class of the backbone, and what the backbone says of them."""

    rows: Ids  # (n,) their places among the photos that were given
    own: Ids  # (n,) the classes of their labels
    probabilities: Vectors  # (n, classes)

    @property
    def enough(self) -> bool:
        """Whether they are enough to fit a temperature on."""
        return len(self.own) >= LEAST_PHOTOS and len(np.unique(self.own)) >= LEAST_SPECIES

    def measured(self, groups: Ids, seed: int) -> calibration.Calibration:
        """Accuracy and calibration of at least one photo, given the groups (n,); no temperature unless enough."""
        found = calibration.cross_fitted(self.probabilities, self.own, groups, seed=seed)
        return found if self.enough else replace(found, error_tempered=None, temperature=None)


def answered(
    photos: Sequence[About], catalog: Catalog, retrieval: Retrieval, classes: Classes, *, seed: int = 0
) -> Answered | None:
    """Ask the backbone about labelled photos; None where its probabilities cannot be had from stored vectors."""
    if classes.classifier is None:
        return None
    class_of = classes_of_species(classes)
    labels = [photo.label for photo in photos]
    species_of = naming.species_of(labels, naming.overrides(catalog))
    code_of = {label: class_of[species] for label, species in species_of.items() if species in class_of}
    codes = np.array([code_of.get(label or "", -1) for label in labels], dtype=np.int64)
    # Drawn before anything is computed: the probabilities of all photos would not fit into memory.
    rows = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(codes >= 0))[:MOST])
    vectors, norms = retrieval.rows([photos[row].photo_id for row in rows.tolist()])
    probabilities = np.empty((len(rows), len(classes.names)), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        some = slice(start, start + _BLOCK)
        probabilities[some] = classes.probabilities(vectors[some], norms[some])
    return Answered(rows, codes[rows], probabilities)


def classes_of_species(classes: Classes) -> dict[str, int]:
    """Scientific name -> the class that stands for this species, where it is one class alone."""
    found: dict[str, list[int]] = {}
    for code, (name, level) in enumerate(zip(classes.names, classes.levels, strict=True)):
        meant = taxonomy.resolve(name)
        # Other vocabularies have words of their own: a "knot" of ImageNet is one in a rope.
        sure = ("exact", "synonym") if level in taxonomy.RANKS else ("exact",)
        if meant.rank == "species" and meant.candidates and meant.how in sure:
            found.setdefault(meant.candidates[0], []).append(code)
    return {species: codes[0] for species, codes in found.items() if len(codes) == 1}


def temperature(catalog: Catalog, retrieval: Retrieval, classes: Classes) -> float | None:
    """The temperature that the labels of an index give its backbone; None, and a word why, where they cannot tell."""
    with catalog.snapshot():
        told = answered(catalog.about(), catalog, retrieval, classes)
    if told is not None and told.enough:
        return calibration.fit_temperature(told.probabilities, told.own)
    if told is None:
        logger.warning(
            "not calibrated: the class probabilities of this backbone cannot be had from stored vectors. "
            "--source neighbours is calibrated"
        )
    else:
        logger.warning(
            "not calibrated: %d photos of %d species have a label that is a class of the backbone, it takes %d of %d. "
            "Label more photos; `birdsearch names` shows what labels are taken for",
            *(len(told.own), len(np.unique(told.own)), LEAST_PHOTOS, LEAST_SPECIES),
        )
    return None
