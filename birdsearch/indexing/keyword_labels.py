"""Which keyword of a photo is its label: that of the one species that all of them name; two species are none."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from birdsearch.records import UNVERIFIED
from birdsearch.taxonomy.resolve import is_english, name_in

# A name -> what all names of its species have in common; None where it names none for certain.
SpeciesOf = Callable[[str], str | None]


def species_named(keywords: Sequence[str], below: str, species_of: SpeciesOf) -> tuple[str, ...]:
    """The species that keywords name, each by one of its keywords, if there is one by AviList's own English name.

    With `below` only keywords below that one count ("Birds", or a path as "Animals|Birds"). Of a keyword with others
    above it the nearest to its end counts that names a species.
    """
    found: dict[str, str] = {}
    for words in _upwards(keywords, below):
        word, species = next(((word, at) for word in words if (at := species_of(word))), ("", None))
        if species is not None and (species not in found or (is_english(word) and not is_english(found[species]))):
            found[species] = word
    return tuple(found.values())


def last_words(keywords: Sequence[str], below: str) -> list[str]:
    """What a person meant to say by each of the keywords: of one with others above it the last."""
    return [words[0] for words in _upwards(keywords, below)]


def _upwards(keywords: Sequence[str], below: str) -> Iterator[list[str]]:
    """The names in each keyword that counts, the last first."""
    paths = [keyword.split("|") for keyword in keywords]
    # Programs write what they have as a path once more without it: the path says more.
    in_paths = {part.casefold() for path in paths if len(path) > 1 for part in path}
    for path in paths:
        folded = _folded(path)
        if folded[: len(UNVERIFIED)] == [*UNVERIFIED] or (len(path) == 1 and folded[0] in in_paths):
            continue
        if words := _below(path, below.split("|")) if below else path:
            yield [name_in(word) for word in reversed(words)]


def _below(path: Sequence[str], above: Sequence[str]) -> Sequence[str]:
    """The part of a path behind these words; nothing where they are not in it."""
    folded, wanted = _folded(path), _folded(above)
    starts = (at + len(wanted) for at in range(len(folded)) if folded[at : at + len(wanted)] == wanted)
    return path[next(starts, len(path)) :]


def _folded(words: Iterable[str]) -> list[str]:
    return [word.strip().casefold() for word in words]
