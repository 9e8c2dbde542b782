"""What else the species are called: codes of banders and of eBird, and names in other languages.

The package birdnames has the codes (eBird, the Institute for Bird Populations, the Bird Banding Laboratory) and the
laboratory's French names of North American birds. data/vernacular_names.csv has German, French, Spanish and Dutch
names of the birds of Europe, written for birdsearch: no package carries a larger list with a licence that fits.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

from birdsearch.taxonomy.avilist import keys, own_rows, species_called, table, words

# Each table and its columns of codes. Where two tables differ, a code means the species of both.
_CODES = (("ebird_2024", (2,)), ("ibp_2024", (2, 3)), ("bbl_2025", (2,)))
_OLDER_CODES = ("ebird_2021", (2,))  # only for codes that eBird has given up
_WORDS = {"test", "home", "blue", "cape"}  # codes too, but a folder is called so for another reason
_LETTERS = 4  # of a bander's code


@dataclass(frozen=True, slots=True)
class Vernacular:
    """Names in other languages than English."""

    species: dict[str, tuple[str, ...]]  # key -> the species that some language calls so
    words: frozenset[str]  # of which the names consist, as `avilist.words` writes them


def species_of_code(code: str) -> tuple[str, ...]:
    """The species that a code stands for: "AMRO", "amro", "TURMIG", "amerob"; none for other texts."""
    in_one_case = code.isupper() or code.islower()
    if not (in_one_case and code.isascii() and code.isalnum()) or len(code) < _LETTERS:
        return ()
    if code.lower() in _WORDS or code in _small_words():
        return ()
    return _codes().get(code.lower(), ())


@lru_cache(maxsize=1)
def _small_words() -> frozenset[str]:
    """Codes that are, in small letters, rather a word of some language, or the name of a person or a place."""
    return frozenset(row[0] for row in own_rows("words_like_codes.csv"))


@lru_cache(maxsize=1)
def _codes() -> dict[str, tuple[str, ...]]:
    """Code in small letters -> species."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for list_name, columns in _CODES:
        for code, species in _codes_of(list_name, columns):
            found[code].update(dict.fromkeys(species))
    given_up = [(code, species) for code, species in _codes_of(*_OLDER_CODES) if code not in found]
    return {code: tuple(species) for code, species in found.items()} | dict(given_up)


def _codes_of(list_name: str, columns: tuple[int, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """The codes of a table, and what each means; a hybrid's code means no species."""
    rows = [row for row in table(list_name) if " x " not in row[0]]
    return [(row[column].lower(), species_called(row[0])) for row in rows for column in columns if row[column]]


@lru_cache(maxsize=1)
def vernacular() -> Vernacular:
    """The names of all languages."""
    species: dict[str, dict[str, None]] = defaultdict(dict)
    parts: set[str] = set()
    named = [(species_called(row[0]), [row[3]]) for row in table("bbl_2025") if row[3] and len(row[0].split()) == 2]
    named += [(tuple(row[0].split(";")), ";".join(row[1:]).split(";")) for row in own_rows("vernacular_names.csv")]
    for meant, names in named:
        for name in names:
            for at in keys(name):
                species[at].update(dict.fromkeys(meant))
            parts.update(words(name))
    return Vernacular({at: tuple(meant) for at, meant in species.items() if at and meant}, frozenset(parts))
