"""Species told by their names alone: how near a photo is to the words for each, without any training.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 3.1: several
prompts a name, averaged. What a network was not shown under a name it does not know by it.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.backbones.classes import Classes, softmax
from birdsearch.cache import kept_file
from birdsearch.files import atomic_write, read_arrays
from birdsearch.records import Vectors, blocks
from birdsearch.storage.store import Store
from birdsearch.storage.text import Folded, TextSpace
from birdsearch.taxonomy.avilist import world

if TYPE_CHECKING:
    from birdsearch.backbones.text import Texts

logger = logging.getLogger("birdsearch")

TEMPLATES = (
    "a photo of {english}.",
    "a photo of {scientific}.",
    "a photo of {scientific} with common name {english}.",
)
_TOGETHER = 256  # species whose prompts are embedded at a time
_BLOCK = 512  # photos compared at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSpecies(Classes):
    """Species as classes, each known by the words for it."""

    space: TextSpace
    folded: Folded  # the mean of the prompts of each species
    scale: float  # of the cosines

    @property
    def from_vectors(self) -> bool:
        """Stored vectors give probabilities."""
        return True

    def probabilities(self, vectors: Vectors, norms: Vectors) -> Vectors:  # (n, dim), (n,) -> (n, species)
        """Softmax over the species of the scaled cosines."""
        found = np.empty((len(vectors), len(self.names)), np.float32)
        for block in blocks(len(vectors), _BLOCK):
            lengths = self.space.lengths(vectors[block], norms[block])
            scores = self.folded.scores(vectors[block], norms[block], lengths)
            found[block] = softmax(scores * np.float32(self.scale))
        return found


def named_species(store: Store, species: Iterable[str] | None = None) -> NamedSpecies:
    """These species (scientific names), or all of AviList, as classes of an index whose backbone knows words.

    The vectors of their names are made once and kept in the cache. Raises BackboneUnavailableError for an index that
    knows no words.
    """
    texts = store.texts
    chosen = tuple(world().species) if species is None else tuple(sorted(species))
    rows = _rows(texts, chosen)
    space = store.text_space(rows.shape[1])
    return NamedSpecies(
        names=chosen,
        species=chosen,
        ranks=("species",) * len(chosen),
        classifier=None,
        space=space,
        folded=space.folded(rows),
        scale=texts.scale,
    )


def prompts(scientific: str) -> list[str]:
    """What is said of a species."""
    english = world().species[scientific].english or scientific
    return [template.format(english=english, scientific=scientific) for template in TEMPLATES]


def _rows(texts: "Texts", species: Sequence[str]) -> Vectors:  # (species, joint), rows of length 1
    """The vector of each species: from the cache of this list, or that of all, or made and kept now."""
    everything = tuple(world().species)
    for kept in dict.fromkeys((tuple(species), everything)):
        if (found := _kept(texts, kept)) is not None:
            place = {name: row for row, name in enumerate(kept)}
            return found[[place[name] for name in species]]
    made = _made(texts, species).astype(np.float16)  # as they are kept, so that later answers are the same
    with suppress(OSError):  # without room or permission they are made each time
        if (file := _file(texts, species)) is not None:
            with atomic_write(file) as out:
                np.savez(out, rows=made)
    return made.astype(np.float32)


def _file(texts: "Texts", species: Sequence[str]) -> Path | None:
    """Where the names of a list are kept; None where nothing is. Raises OSError."""
    if texts.key is None:
        return None
    said = "\n".join([*TEMPLATES, *(f"{name} {world().species[name].english}" for name in species)])
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return kept_file(f"text/names/{texts.key}-{digest}.npz")


def _kept(texts: "Texts", species: Sequence[str]) -> Vectors | None:
    """The rows that are kept of a list; None where there is no file with so many."""
    try:
        if (file := _file(texts, species)) is None:
            return None
        rows = read_arrays(file)["rows"].astype(np.float32)
    except (OSError, ValueError, KeyError):
        return None
    return rows if rows.ndim == 2 and len(rows) == len(species) and np.isfinite(rows).all() else None


def _made(texts: "Texts", species: Sequence[str]) -> Vectors:
    said = len(species) * len(TEMPLATES)
    logger.info("embedding the names of %d species, once: %d texts", len(species), said)
    means = []
    for block in blocks(len(species), _TOGETHER):
        some = species[block]
        vectors = texts.embed([prompt for name in some for prompt in prompts(name)])
        means.append(vectors.reshape(len(some), len(TEMPLATES), -1).mean(axis=1))
    mean = np.concatenate(means)
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), dtype=np.float32)
