"""What the label of a photo, or a prediction, is in the keywords of other programs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from birdsearch.records import UNVERIFIED
from birdsearch.taxonomy import resolve
from birdsearch.taxonomy.meaning import Resolution

ROOT = "Birds"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]|[\ud800-\udfff]")  # most of them no XML can hold


@dataclass(frozen=True, slots=True)
class Words:
    """The keywords of one species."""

    flat: tuple[str, ...] = ()  # English and scientific name
    path: tuple[str, ...] = ()  # from the root down: "Birds", "Paridae", "Eurasian Blue Tit"
    sure: bool = True  # whether AviList knows the name; else it stands as the user wrote it


def of_labels(labels: Iterable[str], corrections: Mapping[str, str]) -> dict[str, Words | None]:
    """Label -> its keywords; None for what names no bird."""
    return {meant.name: _words(meant) for meant in resolve.resolve_many(dict.fromkeys(labels), overrides=corrections)}


def of_prediction(species: str) -> Words:
    """A guess of a network, where it can be found and removed, and never as the species."""
    return Words(path=(*UNVERIFIED, _part(species))) if _part(species) else Words()


def _words(meant: Resolution) -> Words | None:
    taxon, label = meant.taxon, _part(meant.name)
    if taxon is None or not label or not resolve.is_bird(meant):
        return None
    if meant.rank == "species" and len(meant.candidates) == 1 and not meant.guessed:
        names = tuple(dict.fromkeys(filter(None, (taxon.english, taxon.scientific))))
        return Words(names, (ROOT, taxon.family, names[0]))
    family = taxon.family if not meant.guessed and taxon.family != label else ""
    return Words((label,), tuple(filter(None, (ROOT, family, label))), sure=not meant.guessed)


def _part(name: str) -> str:
    """A name as one step of a path of keywords; empty for what is not text."""
    if _UNPRINTABLE.search(name.strip()):
        return ""
    return " ".join(name.replace("|", " ").replace("/", " ").split())
