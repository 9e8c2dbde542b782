"""Which bird a name means: class strings of networks and people's folder names, by the AviList checklist."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from birdsearch.errors import InputFileError
from birdsearch.records import SpeciesCount
from birdsearch.sheets import is_yes, read_csv
from birdsearch.taxonomy import composite, fuzzy
from birdsearch.taxonomy.avilist import Taxon, key, older_names, own_rows, same_epithet, words, world
from birdsearch.taxonomy.meaning import Resolution as Resolution
from birdsearch.taxonomy.meaning import known, members, of_match, spellings, unresolved
from birdsearch.taxonomy.remembered import remembered

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
_KINGDOMS = {"Animalia", "Archaea", "Bacteria", "Chromista", "Fungi", "Plantae", "Protozoa", "Viruses"}
_SYNSET = re.compile(r"n\d{8}\b")
# Machine tags of Flickr and iNaturalist, and terms of Darwin Core.
_MACHINE_TAG = re.compile(
    r"(?:taxonomy:(?:binomial|trinomial|species|subspecies|common)|dwc:(?:scientificName|vernacularName))=(.+)",
    re.IGNORECASE,
)
_SURE = 0.95  # below it a scientific name was found again in another genus
_SUGGESTED = 5
_LONGEST = 200  # letters of a name: beyond it is a text, which names no bird


def resolve(name: str, *, overrides: Mapping[str, str] | None = None) -> Resolution:
    """The bird that a folder, a class of a network or a line of a checklist means.

    A name that AviList split becomes its genus with the candidates; one that fits no single species becomes the
    genus or family of its noun ("red-headed duck" -> Anatidae); everything else stays unresolved. `overrides` says
    what names mean (`read_overrides`); an empty meaning keeps a name unresolved.
    """
    return resolve_many([name], overrides=overrides)[0]


def resolve_many(names: Iterable[str], *, overrides: Mapping[str, str] | None = None) -> list[Resolution]:
    """`resolve` for each of the names, in their order."""
    meanings = {same(alias): species.strip() for alias, species in (overrides or {}).items()}
    return [_overridden(name, meanings.get(same(name))) for name in names]


def same(name: str) -> str:
    """What names that differ in case, spaces and signs only have in common: they have one meaning."""
    return key(name) or name


def _overridden(name: str, meant: str | None) -> Resolution:
    """What a name means by an override (`meant`), or by itself."""
    if meant is None:
        return _resolved(name)
    if not meant:
        return unresolved(name, "override")
    return replace(_resolved(meant), name=name, method="override", confidence=1.0)


def is_english(name: str) -> bool:
    """Whether this is AviList's English name of a species, as it writes it."""
    species = world().english.get(key(name))
    return species is not None and world().species[species].english == name


def read_overrides(path: str | Path) -> dict[str, str]:
    """A CSV with the columns name, species: what names mean, where birdsearch would not take them for that anyway.

    The table of `birdsearch names --csv` can be corrected and read. A guess is confirmed by yes in the column
    confirmed, by the species in other words, or by a line of one's own, without the column method; a line as it was
    printed changes nothing. An empty species keeps a name unresolved. An empty file has no overrides.
    """
    stated: dict[str, tuple[int, str, str]] = {}  # `same` of a name -> line, name, species
    overrides: dict[str, str] = {}
    for line, values in read_csv(path, ["name", "species"], may_be_empty=True):
        name, species = values["name"], values["species"].strip()
        meant, own = _meant(name, species), _meant(name, _own(name))
        if species and (meant[0] is None or not name.strip()):
            what = f"AviList has no bird called {species!r}" if name.strip() else f"no name that means {species!r}"
            raise InputFileError(
                f"{path}, line {line}: {what}. "
                "Write its scientific or English name, or leave it empty to keep the name unresolved"
            )
        first, other, before = stated.setdefault(same(name), (line, name, species))
        if _meant(other, before) != meant and (meant != own or other in overrides):
            raise InputFileError(
                f"{path}, line {line}: {name!r} is {species!r}, but line {first} has {other!r} as {before!r}. "
                "Names that differ in case, spaces and signs only are one name: say the same of both"
            )
        confirmed = is_yes(values.get("confirmed", ""), f"{path}, line {line}: confirmed")
        if meant != own or (species and _is_unsure(name) and (confirmed or not _as_printed(values))):
            overrides[name] = species
    return overrides


def _is_unsure(name: str) -> bool:
    """Whether a person should confirm what a name means, be it only where it is a keyword."""
    meaning = _resolved(name)
    return meaning.guessed or (is_one_bird(meaning) and species_of_keyword(name) is None)


def _as_printed(values: Mapping[str, str]) -> bool:
    """Whether a line is as the table of names printed it: a guess that nobody has looked at."""
    return values.get("method", "").strip() in ("guess", "spelling") and values["species"] == _own(values["name"])


def _own(name: str) -> str:
    """What a table of names shows as the species of a name without an override."""
    taxon = _resolved(name).taxon
    return "" if taxon is None else taxon.scientific


def _meant(name: str, species: str) -> tuple[str | None, Taxon | None]:
    """Rank and taxon that a table gives a name; (None, None) where it keeps it unresolved, or says no bird's name."""
    if species and species == _own(name):  # also what needs the whole name: other life, a genus called like a bird
        meaning = _resolved(name)
    else:
        meaning = _resolved(species)
        if not _is_a_birds(meaning):
            return None, None
    return meaning.rank, meaning.taxon


def is_named(name: str) -> bool:
    """Whether a list has a bird, or a group of birds, of this very name."""
    return _is_a_birds(_resolved(name.strip()))


def _is_a_birds(meaning: Resolution) -> bool:
    return meaning.method in ("exact", "synonym") and is_bird(meaning)


def meaning_any(stored: Iterable[str], wanted: Iterable[str], overrides: Mapping[str, str] | None = None) -> list[str]:
    """Those of the stored names that mean a wanted taxon, or belong to a wanted group, however they are spelled.

    Nothing is guessed: "Larus" finds every gull of that genus, "wren" what is called so and nothing else.
    """
    asked = taxon_keys(wanted, overrides)
    keys = set(asked.values())
    groups = [group for name in asked if (group := _group(name)) is not None]
    return [
        name
        for name, at in taxon_keys(stored, overrides).items()
        if at in keys or any(_belongs(at, group) for group in groups)
    ]


def guessed_as(stored: Iterable[str], wanted: Iterable[str], overrides: Mapping[str, str] | None = None) -> list[str]:
    """Those of the stored names that are guessed to mean the species of a wanted one, which a filter never takes."""
    species = set(species_keys(wanted, overrides).values())
    close = [name for name, at in species_keys(stored, overrides).items() if at in species]
    return [meant.name for meant in resolve_many(close, overrides=overrides) if meant.method == "guess"]


def similar(wanted: Iterable[str], stored: Sequence[str]) -> list[str]:
    """At most five of the stored names that somebody may have meant who finds none of the wanted ones."""
    keys, letters = taxon_keys(stored), {key(name): name for name in stored}
    found: dict[str, None] = {}
    for name in wanted:
        parts, candidates = set(words(name)), set(resolve(name).candidates)
        found.update(
            (other, None) for other in stored if parts and (parts <= set(words(other)) or keys[other] in candidates)
        )
        near = difflib.get_close_matches(key(name), letters, n=_SUGGESTED, cutoff=0.75)
        found.update((letters[at], None) for at in near)
    return list(found)[:_SUGGESTED]


def beginning(wanted: str) -> list[tuple[str, str]]:
    """English and scientific names of species that begin so, or one of whose words does (`words`, joined by spaces).

    Those that begin so come first, then the shorter ones.
    """
    found = [
        (not english.startswith(wanted), len(english), taxon.english or taxon.scientific, taxon.scientific)
        for english, scientific, taxon in _written()
        if f" {wanted}" in f" {english}" or f" {wanted}" in f" {scientific}"
    ]
    return [(name, scientific) for _, _, name, scientific in sorted(found)]


@lru_cache(maxsize=1)
def _written() -> list[tuple[str, str, Taxon]]:
    """Of each species the words of its English and its scientific name, joined by spaces."""
    species = world().species.values()
    return [(" ".join(words(taxon.english)), " ".join(words(taxon.scientific)), taxon) for taxon in species]


def _group(name: str) -> Resolution | None:
    """The genus, family, order or split species that a name means; None where it means one species, or is a guess."""
    meaning = recognised(name)
    sure = meaning is not None and meaning.method in ("exact", "synonym") and is_bird(meaning)
    return meaning if meaning is not None and sure and meaning.rank != "species" else None


def _belongs(at: str, group: Resolution) -> bool:
    """Whether the key of a name is a species, or several, of the group."""
    taxon, names = group.taxon, at.split("/")
    if taxon is None or group.rank is None or not all(name in world().species for name in names):
        return False
    if group.candidates:
        return set(names) <= set(group.candidates)
    return all(getattr(world().species[name], group.rank) == getattr(taxon, group.rank) for name in names)


def is_one_bird(meaning: Resolution) -> bool:
    """Whether a name means one species of bird, and no guess led to it."""
    return meaning.rank == "species" and meaning.method in ("exact", "synonym", "override") and is_bird(meaning)


def name_in(keyword: str) -> str:
    """The name in a keyword: "Parus major" of the machine tag "taxonomy:binomial=Parus major"."""
    machine_tag = _MACHINE_TAG.fullmatch(keyword.strip())
    return machine_tag[1].strip(" \"'") if machine_tag else keyword


def species_of_keyword(name: str, meant: str | None = None) -> Resolution | None:
    """The species that a keyword names for certain: unlike the name of a folder of birds it may be about anything.

    An override (`meant`) says so, or a list has that very name, or the scientific name stands in it. Codes do not count
    ("LEGO" is one of a goldfinch), nor do names that are as often something else ("Star", "Redhead").
    """
    if meant is None:
        return _sure_keyword(name)
    meaning = _overridden(name, meant.strip())
    return meaning if is_one_bird(meaning) else None


@remembered
def _sure_keyword(name: str) -> Resolution | None:
    meaning = recognised(name)
    if meaning is None or not is_one_bird(meaning):
        return None
    if known(name, codes=False) is None:
        return meaning if meaning.taxon and key(meaning.taxon.scientific) in key(name) else None
    first = words(name)[0] if meaning.confidence < _SURE else ""
    return None if {same(name), first} & _words_like_birds() else meaning


@lru_cache(maxsize=1)
def _words_like_birds() -> frozenset[str]:
    return frozenset(same(word) for row in own_rows("words_like_birds.csv") for word in row[1].split())


@lru_cache(maxsize=65536)
def species_of_class(class_name: str) -> tuple[str | None, str]:
    """The species that a class stands for, and its rank: ("Accipiter badius", "species"), or (None, "class")."""
    parts = _lineage_parts(class_name)
    if parts is not None:
        return (parts[-1], "species") if len(parts) == len(RANKS) and parts[-1] else (None, RANKS[len(parts) - 1])
    known, at = world(), key(class_name)
    if at in known.scientific:
        return known.scientific[at], "species"
    if at in known.english:
        return known.species[known.english[at]].english, "species"
    return None, "class"


def is_bird(meaning: Resolution) -> bool:
    """Whether a name means a bird of AviList, or a group of them."""
    taxon = meaning.taxon
    return taxon is not None and (taxon.family or taxon.order).casefold() in world().groups


def lineage(class_name: str) -> tuple[str | None, ...]:
    """The names of a class at each of RANKS, None where unknown: AviList's for birds, the string's own for the rest."""
    meaning = resolve(class_name)
    parts, taxon = _lineage_parts(class_name) or (), meaning.taxon
    if taxon is None or not is_bird(meaning):
        return (*parts, *([None] * (len(RANKS) - len(parts))))
    own = parts[-1] if len(parts) == len(RANKS) else None
    species = taxon.scientific if meaning.rank == "species" else own
    ranks = ("Animalia", "Chordata", "Aves", taxon.order, taxon.family, taxon.genus, species)
    return tuple(name or None for name in ranks)


def _lineage_parts(class_name: str) -> tuple[str | None, ...] | None:
    """Splits `03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter_badius`; None for other names."""
    parts = [part for part in class_name.replace(" ", "_").split("_") if part]
    if parts and parts[0].isdigit():
        parts = parts[1:]
    if not parts or parts[0] not in _KINGDOMS:
        return None
    higher = 0
    while higher < len(parts) and parts[higher][0].isupper():
        higher += 1
    epithet, ranks = parts[higher:], parts[: min(higher, len(RANKS) - 1)]
    if not epithet or higher < 2:
        return tuple(ranks)
    # A hybrid's "x" and further words stay: two classes must never become one species.
    missing = [None] * (len(RANKS) - 1 - len(ranks))
    return (*ranks, *missing, " ".join([parts[higher - 1], *epithet]))


@remembered
def recognised(name: str) -> Resolution | None:
    """The taxon of a name by what lists and the name itself say, without any guess at letters or missing words."""
    parts = _lineage_parts(name)
    if parts is not None:
        return _of_lineage(name, parts)
    if _SYNSET.match(name) or len(name) > _LONGEST:
        return unresolved(name)  # ImageNet's classes are not species of a checklist
    meaning = known(name) or composite.read(name)
    if meaning is not None:
        return meaning
    given = words(spellings(name)[-1])
    kept = fuzzy.without_plumage(given)
    if kept and kept != given and (meaning := known(" ".join(kept))) is not None:
        return replace(meaning, name=name, method="spelling", confidence=0.95)
    match = fuzzy.spelled(given)
    return None if match is None else of_match(name, match)


def _resolved(name: str) -> Resolution:
    """The bird of one name, by the surest way that leads to one."""
    return recognised(name) or _guessed(name) or unresolved(name)


@remembered
def _guessed(name: str) -> Resolution | None:
    """The bird of a name that no list has, by its words and letters."""
    match = fuzzy.match(words(composite.without_remark(spellings(name)[-1])))
    return None if match is None else of_match(name, match)


def taxon_keys(names: Iterable[str], overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name -> what all names of its taxon have in common, to compare labels by: never by a guess.

    A species is its scientific name, several taxa are their scientific names; another name is its letters (`same`).
    """
    meanings = {same(alias): species.strip() for alias, species in (overrides or {}).items()}
    keys: dict[str, str] = {}
    for name in names:
        meant = meanings.get(same(name))
        meaning = recognised(name) if meant is None else _overridden(name, meant)
        if meaning is None or meaning.taxon is None or meaning.method == "guess":
            keys[name] = same(name)
        else:
            keys[name] = "/".join(sorted(meaning.candidates)) or meaning.taxon.scientific or same(name)
    return keys


def species_keys(names: Iterable[str], overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name -> what all names of its species have in common, for those that mean a species, be it by a guess.

    A name that AviList has split since ("Barn Owl") is one of the species named beside it, else a species of its own.
    """
    meant = {meaning.name: meaning for meaning in resolve_many(dict.fromkeys(names), overrides=overrides)}
    keys = {
        name: meaning.candidates[0]
        for name, meaning in meant.items()
        if meaning.rank == "species" and meaning.candidates
    }
    clear = set(keys.values())
    for name, meaning in meant.items():
        if name not in keys and meaning.method == "synonym" and not composite.names_several(name):
            keys[name] = next((one for one in meaning.candidates if one in clear), "/".join(sorted(meaning.candidates)))
    return keys


def count_species(names: Iterable[str], overrides: Mapping[str, str] | None = None) -> SpeciesCount:
    """How many species names mean, and how many of the names mean something else."""
    names = list(names)
    species = species_keys(names, overrides)
    keys = taxon_keys((name for name in names if name not in species), overrides)
    groups = {keys[meant.name] for meant in resolve_many(keys, overrides=overrides) if meant.taxon is not None}
    return SpeciesCount(len(set(species.values())), len(groups), len(set(keys.values())) - len(groups))


def _of_lineage(name: str, parts: tuple[str | None, ...]) -> Resolution:
    """A class of a network that names the whole lineage; birds become AviList's, with what they may mean now."""
    rank = RANKS[len(parts) - 1]
    ranks = dict(zip(RANKS, parts, strict=False))  # a short lineage lacks the lower ranks
    order, family, genus, species = (ranks.get(one) for one in ("order", "family", "genus", "species"))
    if ranks.get("class") == "Aves" and species is not None:
        bird = _bird_of_lineage(species, family or "")
        if bird:
            return Resolution(name, "species", world().species[bird[0]], bird, "exact", 1.0)
    elif ranks.get("class") == "Aves" and rank in ("genus", "family", "order"):
        group = world().groups.get((parts[-1] or "").casefold())
        if group is not None:
            return Resolution(name, *group, members(*group), "exact", 1.0)
    own = Taxon(species or parts[-1] or "", "", genus or "", family or "", order or "")
    return Resolution(name, rank, own, (species,) if species else (), "exact", 1.0)


def _bird_of_lineage(species: str, family: str) -> tuple[str, ...]:
    """What AviList calls a bird of a lineage, and after it the species split from it since."""
    meant = older_names().scientific.get(key(species))
    if species in world().species:
        return meant if meant and meant[0] == species else (species,)
    if meant:
        return meant
    current = same_epithet(species, family)
    return (current,) if current else ()
