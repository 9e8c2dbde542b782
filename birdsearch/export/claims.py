"""Claims: what a person says that a photo shows, or a network, if it is the sure name of an animal."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from birdsearch.export.moments import clock_of, instant
from birdsearch.records import BackboneIdentity, Label, Photo, shown

if TYPE_CHECKING:
    from birdsearch.taxonomy.meaning import Resolution

_LETTERS = re.compile(r"[^\W\d_]+")
Meaning = Callable[[str], "Resolution"]  # what a name means in this index


@dataclass(frozen=True, slots=True)
class Claim:
    """What a person says that a photo shows, or a network."""

    scientific: str
    rank: str  # "species", "subspecies", "genus"...
    english: str
    ranks: tuple[str, ...]  # kingdom, phylum, class, order, family, genus; "" where there is none
    source: str  # of the label: "correction", "csv", "keywords", "folder"; of a prediction the classifier
    by: str = ""  # the network and the first digits of its weights; a person's name only where that may be told
    at: datetime | None = None  # when a person said so
    probability: float | None = None  # None: a person says so

    @property
    def by_machine(self) -> bool:
        """Whether a network says so, which is unverified."""
        return self.probability is not None


class Claims:
    """What may be claimed of photos; `people` may be named, `predictions` told."""

    def __init__(self, meaning: Meaning, backbone: BackboneIdentity, *, people: bool, predictions: bool) -> None:
        self._meaning, self._people, self._predictions = meaning, people, predictions
        self._taxon = cache(self._taxon_of)
        name = os.path.basename(backbone.name)  # one of a user's own may be called by its path
        self._network = f"{name}@{backbone.weights_sha256[:8]}" if backbone.weights_sha256 else name

    def of_label(self, label: Label) -> Claim | None:
        """What a person says; None for what is not the sure name of an animal."""
        claim = self._taxon(label.species)
        by = shown(label.author or "") if self._people else ""
        return claim and replace(claim, source=label.source, by=by, at=instant(clock_of(label.created_at), None))

    def of_predictions(self, photo: Photo) -> Claim | None:
        """What the network says, where that may be told and is a taxon: classes of ImageNet are none."""
        from birdsearch.taxonomy.resolve import RANKS

        guesses = photo.predictions if self._predictions else ()
        for guess in guesses:
            of_taxon = guess.species or (guess.class_name if guess.rank in RANKS else "")
            if guess.position == 1 and of_taxon and (claim := self._taxon(of_taxon)) is not None:
                by = self._network if guess.source == "backbone" else guess.source
                return replace(claim, source=guess.source, by=by, probability=guess.probability)
        return None

    def _taxon_of(self, name: str) -> Claim | None:
        from birdsearch.taxonomy import avilist
        from birdsearch.taxonomy.resolve import RANKS, is_bird, lineage

        meaning = self._meaning(name)
        taxon, rank = meaning.taxon, meaning.rank
        if taxon is None or rank is None or meaning.guessed or not taxon.scientific:
            return None
        ranks = lineage(taxon.scientific if is_bird(meaning) else name)
        if not ranks or ranks[0] != "Animalia":
            return None
        scientific = taxon.scientific
        if rank == "species" and meaning.method == "exact" and avilist.is_subspecies(avilist.key(name)):
            scientific, rank = f"{scientific} {_LETTERS.findall(name)[-1].lower()}", "subspecies"
        return Claim(scientific, rank, taxon.english, tuple(one or "" for one in ranks[: len(RANKS) - 1]), "")
