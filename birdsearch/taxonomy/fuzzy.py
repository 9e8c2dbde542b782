"""Finds the bird of a misspelt or incomplete English name, word by word; rather none than a wrong one.

A word that occurs in any name of the checklist is taken as meant: only unknown words are corrected. So "black throated
warbler" never becomes a babbler, however few letters are between them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from birdsearch.taxonomy.avilist import older_names, words, world
from birdsearch.taxonomy.other_names import vernacular

# Words for the sex, plumage or age of a bird, also in German, French, Spanish and Dutch.
_PLUMAGES = {
    "male", "female", "adult", "juvenile", "juv", "immature", "imm", "subadult", "breeding", "nonbreeding", "chick",
    "nestling", "fledgling", "mannchen", "maennchen", "weibchen", "jungvogel", "femelle", "adulte", "macho", "hembra",
    "juvenil", "mannetje", "vrouwtje",
}  # fmt: skip
_IRREGULAR = {"golden": "gold", "geese": "goose", "legged": "leg", "mice": "mouse"}
_SAME_LETTER = re.compile(r"(.)\1+")
_VOWELS = re.compile("[aeiouy]")
_LONG = 6  # letters
_MOST_READINGS = 20_000  # of one misspelt name, a guess: beyond it no bird is found


@dataclass(frozen=True, slots=True)
class FuzzyMatch:
    """The species that a name may mean."""

    species: tuple[str, ...]  # scientific names
    method: str  # "spelling", "guess"; "noun" where only the kind of bird is known
    confidence: float


@dataclass(frozen=True, slots=True)
class _Name:
    """One English name, as stems."""

    stems: tuple[str, ...]
    units: tuple[frozenset[str], ...]  # words joined by hyphens belong together, the last unit is the noun
    species: tuple[str, ...]
    current: bool  # whether AviList uses it


@dataclass(frozen=True, slots=True)
class _Names:
    """All English names, to be looked up by their words."""

    names: tuple[_Name, ...]
    whole: dict[str, tuple[str, ...]]  # joined stems -> species
    having: dict[str, frozenset[int]]  # stem -> positions in names
    ending: dict[str, tuple[int, ...]]  # joined last stems -> positions of AviList's names
    vocabulary: dict[str, list[str]]  # first letter -> words as they are written, to find wrong letters
    tails: dict[str, list[str]]  # all letters but the first -> words
    written: frozenset[str]  # all words as they are written


def match(given: list[str]) -> FuzzyMatch | None:
    """The bird of a name's words (`avilist.words`), or the birds called by its noun; None where nothing fits."""
    kept = without_plumage(given)
    if not kept or _foreign(kept):
        return None
    variants = list(_variants(kept))
    for way in (_same_stems, _misspelt, _group, _shortened, _lengthened, _noun):
        for variant in variants:
            if (meaning := way(variant)) is not None:
                return meaning
    return None


def spelled(given: list[str]) -> FuzzyMatch | None:
    """The bird of a name in another form of its words, without any guess."""
    kept = without_plumage(given)
    if not kept or _foreign(kept):
        return None
    ways = [way(variant) for way in (_same_stems, _lengthened) for variant in _variants(kept)]
    return next((meaning for meaning in ways if meaning is not None and meaning.method == "spelling"), None)


def kind(given: list[str]) -> FuzzyMatch | None:
    """The birds whose names end with the whole of this one: "duck", "scaups", "screech owl"."""
    kept = without_plumage(given)
    return None if not kept or _foreign(kept) else _group(kept)


@lru_cache(maxsize=1024)
def called(*given: str) -> frozenset[str]:
    """The species that any list calls by these last words, alone or in a compound: "wren", "fairywren"."""
    stems = tuple(map(stem, given))
    return frozenset(
        one
        for name in _names().names
        if name.stems[-len(stems) :] == stems or (len(stems) == 1 and _is_noun(stems[0], name.stems[-1]))
        for one in name.species
    )


def without_plumage(given: list[str]) -> list[str]:
    """The words that name a bird; none where that is only "bird"."""
    kept = [word for word in given if word not in _PLUMAGES] or given
    return [] if [stem(word) for word in kept] == ["bird"] else kept


def _foreign(given: list[str]) -> bool:
    """Whether a word is that of another language, which no letter makes English: "canard" is not a canary."""
    known = _names()
    strange = [word for word in given if stem(word) not in known.having]
    if any(word in vernacular().words for word in strange):
        return True
    # A silent e may be lost within a name ("blond-crested"), but alone "terne" is a word of its own.
    return len(given) == 1 and given[0].endswith("e") and given[0] not in known.written and not strange


def stem(word: str) -> str:
    """A word without plural, possessive, -ed, double end and silent e: "tailed", "tails" -> "tail"."""
    word = _IRREGULAR.get(word, word)
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        word = word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word[:-1]
    if word.endswith("ed") and len(word) > 4:
        word = word[:-2]
    if len(word) > 3:
        word = word.removesuffix("e")
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


@lru_cache(maxsize=1)
def _names() -> _Names:
    """The names of AviList and of older lists, with their words."""
    names: list[_Name] = []
    whole: dict[str, dict[str, None]] = defaultdict(dict)
    having: dict[str, set[int]] = defaultdict(set)
    ending: dict[str, list[int]] = defaultdict(list)
    vocabulary: dict[str, None] = {}
    for english, species, current in _english():
        written = [words(unit) for unit in english.split()]
        units = [tuple(stem(word) for word in unit) for unit in written]
        stems = tuple(word for unit in units for word in unit)
        for word in stems:
            having[word].add(len(names))
        for unit in written:
            vocabulary.update(dict.fromkeys(unit))
        whole["".join(stems)].update(dict.fromkeys(species))
        if current:
            # Never from the middle of a modifier: "bellied pitta" is not a kind of pitta.
            starts = [sum(map(len, units[:i])) for i in range(len(units))]
            for start in {*starts, *range(starts[-1], len(stems))}:
                ending["".join(stems[start:])].append(len(names))
        names.append(_Name(stems, tuple(frozenset(unit) for unit in units), species, current))
    return _Names(
        tuple(names),
        {at: tuple(species) for at, species in whole.items()},
        {at: frozenset(positions) for at, positions in having.items()},
        {at: tuple(positions) for at, positions in ending.items()},
        *_by_first_letter(word for word in vocabulary if len(word) > 2),
        frozenset(vocabulary),
    )


def _by_first_letter(vocabulary: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """First letter -> words, and what follows it -> words."""
    first: dict[str, list[str]] = defaultdict(list)
    tails: dict[str, list[str]] = defaultdict(list)
    for word in vocabulary:
        first[word[0]].append(word)
        tails[word[1:]].append(word)
    return dict(first), dict(tails)


def _english() -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Each English name, its species, and whether AviList uses it now."""
    for name, taxon in world().species.items():
        yield taxon.english, (name,), True
    for english, species in older_names().english.values():
        yield english, species, False


def _variants(given: list[str]) -> Iterator[list[str]]:
    """A name as it is, then with two words joined ("tit mouse"), one split ("shrike tit"), "bird" added or taken."""
    yield given
    having = _names().having
    for i in range(len(given) - 1):
        if stem(given[i] + given[i + 1]) in having:
            yield [*given[:i], given[i] + given[i + 1], *given[i + 2 :]]
    for i, word in enumerate(given):
        for cut in range(3, len(word) - 2) if stem(word) not in having else ():
            if stem(word[:cut]) in having and stem(word[cut:]) in having:
                yield [*given[:i], word[:cut], word[cut:], *given[i + 1 :]]
    last = given[-1]
    if len(last) > 3 and stem(last + "bird") in having:
        yield [*given[:-1], last + "bird"]
    bare = stem(last).removesuffix("bird")
    if stem(last) not in having and bare and stem(bare) in having:
        yield [*given[:-1], bare]


def _same_stems(given: list[str]) -> FuzzyMatch | None:
    """Another form of the words: plural, "rough leg" for "rough-legged", "Forster" for "Forster's"."""
    species = _names().whole.get("".join(map(stem, given)))
    return None if species is None else FuzzyMatch(species, "spelling", 0.95)


def _misspelt(given: list[str]) -> FuzzyMatch | None:
    """Names with the same words in the same order, but for unknown words, which may have wrong letters."""
    corrections = _corrections(given)
    if all(0 in near.values() for near in corrections) or prod(map(len, corrections)) > _MOST_READINGS:
        return None
    letters = sum(map(len, given))
    if len(given) == 1:
        # A word alone may be of any language: only a long one with one wrong vowel, or a typing error, is corrected.
        corrections = [{near: cost for near, cost in corrections[0].items() if _is_slip(given[0], near)}]
    # A name without a known word must be nearly right.
    known = any(0 in near.values() for near in corrections)
    most = letters // (4 if known or len(given) > 1 else 6)
    best: tuple[int, set[tuple[str, ...]]] = (most + 1, set())
    for reading in product(*(near.items() for near in corrections)):
        cost = sum(wrong for _, wrong in reading)
        at = "".join(word for word, _ in reading)
        if cost <= min(best[0], most) and (at in _names().whole or at in _names().ending):
            species = _names().whole.get(at) or _species_at(_names().ending[at])
            best = (cost, {species} if cost < best[0] else best[1] | {species})
    cost, meant = best
    return FuzzyMatch(meant.pop(), "guess", round(1 - cost / letters, 3)) if len(meant) == 1 else None


def _corrections(given: list[str]) -> list[dict[str, int]]:
    """For each word the stems it may be -> wrong letters; a known word is itself."""
    having = _names().having
    return [{stem(word): 0} if stem(word) in having else _near(word) for word in given]


@lru_cache(maxsize=4096)
def _near(word: str) -> dict[str, int]:
    """Stems of known words with at most a third of other letters (a swap of two counts one): Damerau 1964.

    Another first letter is the only wrong one, so words of other letters are looked up and not compared.
    """
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    stems: dict[str, int] = {}
    alike = _names().vocabulary.get(word[0], ())
    found = [
        (near, int(distance))
        for near, distance, _ in process.extract(word, alike, scorer=OSA.distance, score_cutoff=3, limit=200)
    ]
    for near, distance in sorted([*found, *((near, 1) for near in _other_first_letter(word))], key=lambda one: one[1]):
        if distance <= max(len(word), len(near)) // 3:
            stems.setdefault(stem(near), distance)
    return stems


def _is_slip(word: str, near: str) -> bool:
    """Whether two stems differ by two swapped letters, a letter doubled or single, or in a long word by one vowel."""
    one, other = stem(word), near
    if sorted(one) == sorted(other) or _SAME_LETTER.sub(r"\1", one) == _SAME_LETTER.sub(r"\1", other):
        return True
    return min(len(one), len(other)) >= _LONG and _VOWELS.sub("", one) == _VOWELS.sub("", other)


def _other_first_letter(word: str) -> list[str]:
    """Known words that differ in the first letter alone: another one, one too few, one too many, or a swap."""
    names = _names()
    near = [*names.tails.get(word[1:], ()), *names.tails.get(word, ())]
    near += [one for one in (word[1:], word[1:2] + word[0] + word[2:]) if one in names.vocabulary.get(one[:1], ())]
    return [one for one in near if one[0] != word[0]]


def _positions(corrections: list[dict[str, int]]) -> set[int]:
    """Positions of the names that have, for every word, one that it may be."""
    having = _names().having
    fitting = [set[int]().union(*(having[word] for word in near)) for near in corrections]
    return set.intersection(*fitting) if fitting else set()


def _species_at(positions: Iterable[int]) -> tuple[str, ...]:
    names = _names().names
    return tuple(dict.fromkeys(one for position in positions for one in names[position].species))


def _of_one_family(species: tuple[str, ...]) -> bool:
    return len({world().species[one].family for one in species}) == 1


def _group(given: list[str]) -> FuzzyMatch | None:
    """Birds whose name ends with the whole of this one: "barn owl", "kookaburra", "blue heron"."""
    positions = _names().ending.get("".join(map(stem, given)))
    if positions is None:
        return None
    alone = [at for at in positions if len(_names().names[at].units[-1]) == 1]
    species = _species_at(alone if len(given) == 1 and alone else positions)  # a paradise-crow is not a crow
    if not _of_one_family(species):
        # A "Wood Hoopoe" is not a hoopoe: then only names with one word before the noun count.
        plain = _species_at(at for at in positions if len(_names().names[at].units) == 2)
        species = plain if plain and len(given) == 1 and _of_one_family(plain) else species
    return FuzzyMatch(species, "guess", 0.8 if len(species) == 1 else 0.9)


def _shortened(given: list[str]) -> FuzzyMatch | None:
    """Names that have all these words and more ("black throated huet"), never half of a hyphened pair."""
    corrections, noun = _corrections(given[:-1]), stem(given[-1])
    if not corrections or noun == "bird" or any(len(near) != 1 for near in corrections):
        return None
    has = {word for near in corrections for word in near}
    fitting: list[int] = []
    for position in sorted(_positions(corrections)):
        name = _names().names[position]
        whole_units = all(unit <= has or not unit & has for unit in name.units[:-1])
        if whole_units and has <= set(name.stems[:-1]) and _is_noun(noun, name.stems[-1]):
            fitting.append(position)
    # Older names make a guess doubtful, but alone they are too little: "white pigeon" is not an imperial pigeon.
    current = any(_names().names[at].current for at in fitting)
    return FuzzyMatch(_species_at(fitting), "guess", 0.7) if current else None


def _is_noun(noun: str, last: str) -> bool:
    """Whether the last word of a name is the noun, or another word and the noun: "wren" of "fairywren"."""
    return last == noun or (last.endswith(noun) and stem(last.removesuffix(noun)) in _names().having)


def _lengthened(given: list[str]) -> FuzzyMatch | None:
    """A name with a needless noun behind it: "mallard duck", where ducks are of the family of the Mallard."""
    species = _names().whole.get("".join(map(stem, given[:-1])), ())
    if len(species) != 1:
        return None
    noun = stem(given[-1])
    called = _species_at(_names().ending.get(noun, ()))
    fits = noun == "bird" or world().species[species[0]].family in {world().species[one].family for one in called}
    as_written = "".join(given[:-1]) in world().english
    return FuzzyMatch(species, "spelling" if as_written else "guess", 0.85) if fits else None


def _noun(given: list[str]) -> FuzzyMatch | None:
    """The birds called by the longest end of the name, where they are of one family: "jacobin pigeon"."""
    stems = [stem(word) for word in given]
    for start in range(1, len(stems) if stems[-1] != "bird" else 1):
        species = _species_at(_names().ending.get("".join(stems[start:]), ()))
        if species and start == len(stems) - 1:
            # A brushturkey is a turkey to many: compounds must be of the same family too.
            species = tuple(dict.fromkeys([*species, *_compounds(stems[-1])]))
        if species and _of_one_family(species):
            return FuzzyMatch(species, "noun", round(0.5 * (len(stems) - start) / len(stems), 3))
    return None


def _compounds(noun: str) -> tuple[str, ...]:
    """The birds whose last word ends with the noun: "nativehen" for "hen"."""
    return _species_at(
        at for at, name in enumerate(_names().names) if name.stems[-1] != noun and _is_noun(noun, name.stems[-1])
    )
