"""The world's birds offline: AviList 2025 and three older lists, read from the files of the package birdnames.

AviList Core Team. 2025. AviList: The Global Avian Checklist, v2025. https://doi.org/10.2173/avilist.v2025 (CC BY 4.0).
"""

import csv
import importlib.util
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from birdsearch.errors import InstallationError

_AVILIST = "data/processed/avilist_2025_taxonomy.csv"
# Read for the names that AviList changed, oldest first: people's folders and networks keep the names of their year.
_OLDER = ("ebird_2021", "ebird_2024", "birdlife_2024")
_THREATENED = ("NT", "VU", "EN", "CR", "EW", "EX")
_SPELLINGS = {"gray": "grey", "color": "colour", "mustache": "moustache", "sulfur": "sulphur"}
_APOSTROPHES = str.maketrans("", "", "'\u2019\u2018`\u00b4\u02bb")
_MARKS = str.maketrans("", "", " '-_.,&()")
_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d"})  # that no decomposition takes apart
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


class Taxon(NamedTuple):
    """One species, with the groups it belongs to; a group itself has "" in the fields below its rank.

    A tuple, because 11,000 dataclasses take as long to make as the checklist to read.
    """

    scientific: str  # of the species, or of the group where it is none
    english: str  # "" where there is none
    genus: str
    family: str
    order: str


@dataclass(frozen=True, slots=True)
class World:
    """The checklist as dictionaries; keys are made by `key`."""

    species: dict[str, Taxon]  # scientific name -> species
    scientific: dict[str, str]  # key -> scientific name
    english: dict[str, str]  # key -> scientific name
    groups: dict[str, tuple[str, Taxon]]  # key of a genus, family or order -> rank, taxon


def words(name: str) -> list[str]:
    """The words of a name in small letters, without accents, apostrophes and hyphens, in British spelling."""
    letters = _plain(name.translate(_APOSTROPHES).replace("&", " and ")).replace("-", " ")
    if not letters.replace(" ", "").isalnum():
        letters = "".join(c if c.isalnum() else " " for c in letters)
    return letters.split()


def key(name: str) -> str:
    """What all spellings of one name have in common: its letters."""
    letters = _plain(name.replace("&", "and")).translate(_MARKS)
    # Checked first: to filter letter by letter takes most of the time of reading the checklist.
    return letters if letters.isalnum() else "".join(c for c in letters if c.isalnum())


def keys(name: str) -> tuple[str, ...]:
    """The key of a name, and where it has umlauts that of their spelling with an e: "Gruenspecht"."""
    if name.isascii():
        return (key(name),)
    return tuple(dict.fromkeys([key(name), key(unicodedata.normalize("NFC", name).casefold().translate(_UMLAUTS))]))


def _plain(name: str) -> str:
    """A name in small letters, without accents, in British spelling."""
    plain = name.casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
        plain = plain.translate(_LETTERS)
    for american, british in _SPELLINGS.items():
        if american in plain:
            plain = plain.replace(american, british)
    return plain


def epithet_stem(epithet: str) -> str:
    """An epithet without the ending that follows the gender of its genus: badius, badia -> badi."""
    for ending in ("us", "um", "is", "er", "ra", "a", "e", "i"):
        if epithet.endswith(ending) and len(epithet) > len(ending) + 2:
            return epithet[: -len(ending)]
    return epithet


@lru_cache(maxsize=1)
def world() -> World:
    """AviList, read once at its first use."""
    families = dict(own_table("family_names.csv"))
    species: dict[str, Taxon] = {}
    groups: dict[str, tuple[str, Taxon]] = {}
    with _file(_AVILIST).open(encoding="utf-8", newline="") as file:
        # Only the lines of species are parsed: most of the file is subspecies.
        for name, english, _, order, family, _, _, genus in csv.reader(line for line in file if ",species," in line):
            species[name] = Taxon(name, english, genus, family, order)
            if genus.casefold() not in groups:
                groups[genus.casefold()] = "genus", Taxon(genus, "", genus, family, order)
                whole_family = Taxon(family, families.get(family, ""), "", family, order)
                groups.setdefault(family.casefold(), ("family", whole_family))
                groups.setdefault(order.casefold(), ("order", Taxon(order, "", "", "", order)))
    english_names = {at: name for name, taxon in species.items() for at in keys(taxon.english)}
    return World(species, {key(name): name for name in species}, english_names, groups)


@lru_cache(maxsize=1)
def threatened() -> frozenset[str]:
    """The scientific names of the species that the IUCN calls near threatened or worse (AviList's column)."""
    with _file(_AVILIST).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(line for line in file if ",species," in line)
        return frozenset(row[0] for row in rows if row[5].partition(" ")[0] in _THREATENED)  # "CR (PE)" is CR too


@lru_cache(maxsize=1)
def genera() -> dict[str, tuple[str, ...]]:
    """Genus -> the scientific names of its species."""
    species: dict[str, list[str]] = defaultdict(list)
    for name, taxon in world().species.items():
        species[taxon.genus].append(name)
    return {genus: tuple(names) for genus, names in species.items()}


@lru_cache(maxsize=1)
def _epithets() -> dict[tuple[str, str], tuple[str, ...]]:
    """Family and stem of the epithet -> the scientific names of the species."""
    species: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, taxon in world().species.items():
        species[taxon.family, epithet_stem(name.split()[-1])].append(name)
    return {at: tuple(names) for at, names in species.items()}


@dataclass(frozen=True, slots=True)
class OlderNames:
    """What older lists call the species of AviList."""

    english: dict[str, tuple[str, tuple[str, ...]]]  # key -> the name as it was spelled, species it may mean now
    scientific: dict[str, tuple[str, ...]]  # key -> species it may mean now, the one that kept the name first


@lru_cache(maxsize=1)
def older_names() -> OlderNames:
    """The names that eBird, BirdLife and older books use where AviList uses another, or has split the species."""
    english: dict[str, tuple[str, tuple[str, ...]]] = {}
    scientific: dict[str, tuple[str, ...]] = {}
    known = world()
    for list_name in _OLDER:
        for name, common, meant in _meanings(list_name):
            # The oldest list comes first, and so the widest meaning of a name that later ones narrowed.
            scientific.setdefault(key(name), meant)
            at = key(common)
            if at not in known.english:
                before = english.get(at, (common, meant))[1]
                if before[0] == meant[0]:
                    # A list that has this name and tells another species apart does not mean that one.
                    english[at] = common, tuple(one for one in before if one in meant)
                else:
                    english[at] = common, tuple(dict.fromkeys([*before, *meant]))
    for common, meant_text in own_table("former_names.csv"):
        if key(common) not in known.english:
            english[key(common)] = common, tuple(meant_text.split(";"))
    return OlderNames(english, scientific)


def species_called(scientific: str) -> tuple[str, ...]:
    """The species that a scientific name of this or an older list means, with or without a subspecies."""
    binomial = " ".join("".join(c for c in scientific if c.isalpha() or c.isspace()).split()[:2])
    return (binomial,) if binomial in world().species else older_names().scientific.get(key(binomial), ())


def _meanings(list_name: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Scientific and English name of each species of an older list, and the species of AviList that it may mean."""
    known = world()
    rows = [(row[0], row[1], row[-2]) for row in table(list_name)]
    current_names = {name: _current_name(name, common, family) for name, common, family in rows}
    known_names = set(current_names.values())
    new: dict[str, list[str]] = defaultdict(list)  # genus -> species that the older list did not tell apart
    for name, one in known.species.items():
        if name not in known_names:
            new[one.genus].append(name)
    for name, common, _ in rows:
        current = current_names[name]
        if current is not None:
            split = [] if key(common) in known.english else new[known.species[current].genus]
            yield name, common, (current, *_parts(common, current, split))


def _parts(common: str, current: str, new: list[str]) -> list[str]:
    """Which new species of the genus may once have been a part of the species with this English name.

    "House Wren" became "Northern House Wren" and "Southern House Wren"; where names do not say it like that, a
    species called by the same noun may be one: better the genus than a wrong species.
    """
    if not new:
        return []
    species = world().species
    name, head = words(common), words(species[current].english)[-1:]
    ends = [other for other in new if words(species[other].english)[-len(name) :] == name]
    return ends or [other for other in new if words(species[other].english)[-1:] == head]


def _current_name(name: str, common: str, family: str) -> str | None:
    """The species of AviList that bears an older list's scientific or English name, or its epithet in the family."""
    known = world()
    if name in known.species:
        return name
    if key(common) in known.english:
        return known.english[key(common)]
    return same_epithet(name, family) or _subspecies().get((family, epithet_stem(name.split()[-1])))


@lru_cache(maxsize=1)
def _subspecies() -> dict[tuple[str, str], str]:
    """Family and stem of the last word of each subspecies -> its species, where no other has the same."""
    parents: dict[tuple[str, str], set[str]] = defaultdict(set)
    with _file(_AVILIST).open(encoding="utf-8", newline="") as file:
        for row in csv.reader(line for line in file if ",subspecies," in line):
            parts = row[0].split()
            parents[row[4], epithet_stem(parts[-1])].add(" ".join(parts[:2]))
    return {at: species.pop() for at, species in parents.items() if len(species) == 1}


@lru_cache(maxsize=1)
def _trinomials() -> frozenset[str]:
    with _file(_AVILIST).open(encoding="utf-8", newline="") as file:
        return frozenset(key(line.split(",", 1)[0]) for line in file if ",subspecies," in line)


def is_subspecies(at: str) -> bool:
    """Whether a key is that of a subspecies of AviList."""
    return at in _trinomials()


def same_epithet(name: str, family: str) -> str | None:
    """The only species of a family with the epithet of `name`, whatever its genus is now; else None."""
    species = _epithets().get((family, epithet_stem(name.split()[-1])), ())
    return species[0] if len(species) == 1 else None


def own_table(name: str) -> list[tuple[str, str]]:
    """The first two columns of a table in taxonomy/data, without the heading."""
    return [(row[0], row[1]) for row in own_rows(name)]


def own_rows(name: str) -> list[list[str]]:
    """The rows of a table in taxonomy/data, without the heading."""
    text = (resources.files("birdsearch.taxonomy") / "data" / name).read_text(encoding="utf-8")
    return [row for row in csv.reader(text.splitlines()) if row and not row[0].startswith("#")][1:]


def table(list_name: str) -> list[list[str]]:
    """The rows of a list of birdnames, such as "ebird_2024", without the heading."""
    with _file(f"data/processed/{list_name}_taxonomy.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def lists() -> list[Path]:
    """The files of all lists."""
    return sorted(_file(_AVILIST).parent.glob("*.csv"))


def _file(name: str) -> Path:
    """A file of the package birdnames, found without importing it: that would import pandas."""
    spec = importlib.util.find_spec("birdnames")
    path = Path(spec.origin).parent / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InstallationError(
            f"the AviList checklist is missing: the installed package birdnames has no {name}. "
            "Reinstall it with: pip install --force-reinstall birdnames"
        )
    return path
