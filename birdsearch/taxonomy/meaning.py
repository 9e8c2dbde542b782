"""What one plain name means: the lists are asked for it as it stands, and nothing is guessed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from birdsearch.taxonomy import fuzzy
from birdsearch.taxonomy.avilist import Taxon, genera, is_subspecies, key, older_names, same_epithet, words, world
from birdsearch.taxonomy.other_names import species_of_code, vernacular

# Numbers before or behind a name: "001.Black_footed_Albatross", "Great Tit 3", "wren_02", "Wren (2)".
_NUMBERS = re.compile(r"^(?:\d+[ ._-]+)+|(?:[ ._#-]+\d+|\s*\(\d+\))+$")


@dataclass(frozen=True, slots=True)
class Resolution:
    """The meaning of a name, and how sure it is."""

    name: str  # as it was given
    rank: str | None  # "species", "genus", "family", "order"; for other life any of RANKS; None where unresolved
    taxon: Taxon | None
    candidates: tuple[str, ...]  # scientific names that it may mean: one for a clear species
    method: str  # "exact", "synonym", "spelling", "guess", "override", "unresolved"
    confidence: float  # 1 for an exact name, 0 for an unresolved one

    @property
    def guessed(self) -> bool:
        """Whether a person should look at it."""
        return self.method in ("spelling", "guess")


def unresolved(name: str, method: str = "unresolved", candidates: tuple[str, ...] = ()) -> Resolution:
    """A name that means no single taxon; `candidates` where it names several that contradict each other."""
    return Resolution(name, None, None, candidates, method, 0.0)


def of_species(name: str, candidates: tuple[str, ...], method: str, confidence: float) -> Resolution:
    """One species, or the lowest group that holds all candidates."""
    species = [world().species[one] for one in candidates]
    if len(species) == 1:
        return Resolution(name, "species", species[0], candidates, method, confidence)
    return of_group(name, species, candidates, method, confidence)


def of_group(
    name: str, taxa: Iterable[Taxon], candidates: tuple[str, ...], method: str, confidence: float
) -> Resolution:
    """The lowest group that holds all the taxa, themselves species or groups."""
    lowest = list(taxa)
    for rank in ("genus", "family", "order"):
        group = getattr(lowest[0], rank)
        if group and all(getattr(taxon, rank) == group for taxon in lowest):
            return Resolution(name, rank, world().groups[group.casefold()][1], candidates, method, confidence)
    return unresolved(name, candidates=candidates)


def of_match(name: str, match: fuzzy.FuzzyMatch) -> Resolution:
    """The birds of a misspelt or incomplete name; those that share its noun only are never one species."""
    if match.method != "noun":
        return of_species(name, match.species, match.method, match.confidence)
    taxa = [world().species[one] for one in match.species]
    return of_group(name, taxa, match.species, "guess", match.confidence)


def spellings(name: str) -> list[str]:
    """A name as it is, and without numbers before and behind it."""
    return list(dict.fromkeys([name, _NUMBERS.sub("", name)]))


def known(name: str, *, codes: bool = True) -> Resolution | None:
    """A name that some list has: AviList, an older one, one in another language, and one of codes."""
    # The others are only read where AviList does not have the name.
    for look_up in (listed, _formerly, _in_other_languages, *([_coded] if codes else [])):
        for spelling in spellings(name):
            if (meaning := look_up(name, spelling)) is not None:
                return meaning
    return None


def listed(name: str, spelling: str) -> Resolution | None:
    """A name that AviList itself has: species, subspecies, genus, family or order."""
    lists, at = world(), key(spelling)
    species = lists.scientific.get(at) or lists.english.get(at)
    if species is not None:
        return Resolution(name, "species", lists.species[species], (species,), "exact", 1.0)
    if at in lists.groups:
        rank, taxon = lists.groups[at]
        return Resolution(name, rank, taxon, members(rank, taxon), "exact", 1.0)
    parts = words(spelling)
    binomial = "".join(parts[:2])
    if len(parts) == 3 and at.startswith(binomial) and binomial in lists.scientific and is_subspecies(at):
        species = lists.scientific[binomial]
        return Resolution(name, "species", lists.species[species], (species,), "exact", 1.0)
    return None


def members(rank: str, taxon: Taxon) -> tuple[str, ...]:
    """The species of a genus; of larger groups none, for they are too many to choose from."""
    return genera()[taxon.genus] if rank == "genus" else ()


def _formerly(name: str, spelling: str) -> Resolution | None:
    """A name of an older list, or a scientific name whose genus has changed."""
    older, at = older_names(), key(spelling)
    if at in older.scientific:
        return of_species(name, older.scientific[at][:1], "synonym", 0.95)
    if at in older.english:
        return of_species(name, older.english[at][1], "synonym", 0.95)
    parts = words(spelling)
    group = world().groups.get(parts[0]) if len(parts) == 2 else None
    if group is not None:
        current = same_epithet(" ".join(parts), group[1].family)
        if current is not None:
            return of_species(name, (current,), "synonym", 0.9)
    return None


def _in_other_languages(name: str, spelling: str) -> Resolution | None:
    species = vernacular().species.get(key(spelling), ())
    return of_species(name, species, "synonym", 0.95) if species else None


def _coded(name: str, spelling: str) -> Resolution | None:
    """A code that is no English word."""
    species = species_of_code(spelling.strip()) if fuzzy.kind(words(spelling)) is None else ()
    return of_species(name, species, "synonym", 0.95) if species else None
