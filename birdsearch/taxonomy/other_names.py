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
# Codes too, but what is called so in capitals has another reason.
_WORDS = frozenset(("test", "home", "blue", "cape"))
# The same of what is called so in small letters: words, names of people and of places, in several languages.
_SMALL_WORDS = frozenset(
    """
    agol ania ante arlo arta arte baan babe bago baha bais bana bans barg bars basa bash baso bate bays beth bian
    blan blow bobo bran brat brem brew bris brno broc bros bual buff bush calc cama cang cant capa capo cata cate
    cath chal chas chem chis chor cite coar coca coff come como comp coms coni copa cope copo copr cora core coro
    cors cosa cosh cote coto crow dick dove egos euro fish flow gael gant gape garg gash glib graf gram grap grat
    grau graw greg grep gret grew haak haga haha hama hara hard hast helg hola hoog hugo indo inte isca jama jams
    japa jape jato javi jean jumy kael kaka kama kanu kill kira lago lamo lara larb lasa lata leak lego leni lero
    lese levi libi limp lise lish lisp list lite liti loco loki losh luhu maan mago mall mamu mans manu mapa mara
    marc masa mash maso mast math mati mech medu merl mesh mill mima mime mimy mist mity moan moch modo mope mori
    moro mose moth napa nath nola nomo oban oran oven pali palm palo pape papi pare paro paso pata peco pich pisi
    plan post poul prio prow puma puro ragm razo riki rofl rosa rowe ruan runt rusa rush saal safi saha sals sand
    sapa sash sate savi sepl shas shos show sima slan snow sola soma soot sopa span stal stof stow sung surf tape
    tata tawa tesa than timo tomo tosh tres trop tuti undo unic vase vaso veer verd vesp vida visa waal whim whip
    whit whos will wisp yuni zara zend
    """.split()
)
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
    if code.lower() in _WORDS or code in _SMALL_WORDS:
        return ()
    return _codes().get(code.lower(), ())


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
