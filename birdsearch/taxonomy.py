"""Which species a class name means: by its full lineage, or by the AviList checklist (in the package birdnames)."""

import csv
import importlib.util
import unicodedata
from functools import lru_cache
from pathlib import Path

from birdsearch.errors import InputFileError

_KINGDOMS = {"Animalia", "Archaea", "Bacteria", "Chromista", "Fungi", "Plantae", "Protozoa", "Viruses"}
_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
_CHECKLIST = "data/processed/avilist_2025_taxonomy.csv"  # AviList 2025, CC BY 4.0


@lru_cache(maxsize=65536)
def species_of_class(class_name: str) -> tuple[str | None, str]:
    """The species that a class stands for, and its level: ("Accipiter badius", "species"), or (None, "class")."""
    return _of_lineage(class_name) or _of_checklist(class_name) or (None, "class")


def _of_lineage(class_name: str) -> tuple[str | None, str] | None:
    """Reads `03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter_badius`; None for other names."""
    parts = [part for part in class_name.replace(" ", "_").split("_") if part]
    if parts and parts[0].isdigit():
        parts = parts[1:]
    if not parts or parts[0] not in _KINGDOMS:
        return None
    higher = 0
    while higher < len(parts) and parts[higher][0].isupper():
        higher += 1
    epithet = parts[higher:]
    if epithet and higher > 1:
        # A hybrid's "x" and further words stay: two classes must never become one species.
        return " ".join([parts[higher - 1], *epithet]), "species"
    return None, _RANKS[min(higher, len(_RANKS)) - 1]


def _of_checklist(class_name: str) -> tuple[str, str] | None:
    species = _checklist().get(_key(class_name))
    return None if species is None else (species, "species")


def _key(name: str) -> str:
    """A name without case, accents, spaces, hyphens, apostrophes, and in British spelling."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if c.isalnum())
    return letters.replace("gray", "grey")


@lru_cache(maxsize=1)
def _checklist() -> dict[str, str]:
    """Key -> English or scientific name as the checklist spells it."""
    # Read as a file: importing birdnames would import pandas.
    spec = importlib.util.find_spec("birdnames")
    path = Path(spec.origin).parent / _CHECKLIST if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputFileError(
            f"the AviList checklist is missing: the installed package birdnames has no {_CHECKLIST}. "
            "Reinstall it with: pip install --force-reinstall birdnames"
        )
    names: dict[str, str] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["avilist_taxon_rank"] == "species":
                for name in (row["scientific_name"], row["avilist_common_name"]):
                    names[_key(name)] = name
    return names
