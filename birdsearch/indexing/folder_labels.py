"""Which folder above a photo names its bird: the nearest that means a taxon, and never a year, a card or a program."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from birdsearch.taxonomy.avilist import own_table, words
from birdsearch.taxonomy.resolve import Resolution, resolve

_DATE = re.compile(r"\D{0,3}(?:(?:19|20)\d\d(?!\d{5})|\d{1,2}[-._ ]\d{1,2}[-._ ](?:\d\d){1,2}\b)")
_CARD = re.compile(r"\d{3}[A-Z0-9_]{5}|(?:IMG|DSC|DSCF|DSCN|PXL|GOPR?|MVI|P)[-_]?\d+", re.IGNORECASE)
_NUMBER_OF_DATE = re.compile(r"\d{1,2}|(?:19|20)\d\d(?:\d\d){0,2}")


def folder_label(above: Sequence[str], named: str, overrides: Mapping[str, str] | None = None) -> str | None:
    """The label that folders give a photo: `above` are those below the folder that a user named, the nearest first.

    The nearest that means a taxon (`names --from` counts) is the label. A noun or a guess yields to a species above it:
    in "Eurasian Wren/Martin" nobody saw a martin. Where none means a taxon, the nearest that is no date, card,
    program or plumage is the label, for not all life is in AviList; the named folder itself must mean a taxon.
    """
    meant = [(name, meaning) for name in (*above, named) if (meaning := _meaning(name, overrides)) is not None]
    if meant:
        nearest = meant[0]
        if nearest[1].method == "guess":
            return next((name for name, meaning in meant if _is_sure(meaning)), nearest[0])
        return nearest[0]
    return next((name for name in above if not is_no_name(name)), None)


def _meaning(name: str, overrides: Mapping[str, str] | None) -> Resolution | None:
    """What a folder's name means; None where it names no taxon."""
    meaning = resolve(name, overrides=overrides)
    passed_over = meaning.rank is None or (meaning.method != "override" and is_no_name(name))
    return None if passed_over else meaning


def _is_sure(meaning: Resolution) -> bool:
    return meaning.rank == "species" and meaning.method in ("exact", "synonym", "override")


@lru_cache(maxsize=4096)
def is_no_name(name: str) -> bool:
    """Whether a folder is called by a date, a card, a program, a plumage or what was done with the photos."""
    bare = name.strip()
    if _CARD.fullmatch(bare) or (_DATE.match(bare) and resolve(bare).rank is None):
        return True
    return all(part in _passed_over() or _NUMBER_OF_DATE.fullmatch(part) for part in words(bare))


@lru_cache(maxsize=1)
def _passed_over() -> frozenset[str]:
    return frozenset(word for _, listed in own_table("folder_words.csv") for word in listed.split())
