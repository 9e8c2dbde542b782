"""Texts of more than one name: several taxa ("Greater/Lesser Scaup", "gull sp."), or two names of one taxon.

Several taxa become their lowest common group with all of them as candidates, never one of them. Two names must agree:
"Wren (Troglodytes troglodytes)" is a species, "Mallard (Anas crecca)" stays unresolved with both as candidates.
"""

import re
from dataclasses import replace

from birdsearch.taxonomy import fuzzy
from birdsearch.taxonomy.avilist import key, older_names, words, world
from birdsearch.taxonomy.meaning import (
    Resolution,
    known,
    members,
    of_group,
    of_match,
    of_species,
    spellings,
    unresolved,
)

_BRACKETS = re.compile(r"[(\[{](.*?)[)\]}]")
_BETWEEN_NAMES = re.compile(r"\s+[-\u2013\u2014]+\s+|\s*[,;|:=]\s*")
# One of these, or an unknown one of them; "and" is also a part of names, so what it joins must all be known.
_EITHER = re.compile(r"\s*[/\u00d7]\s*|\s+(?:or|x|vs\.?|ou|oder)\s+", re.IGNORECASE)
_AND = re.compile(r"\s*[,;+&]\s*|\s+(?:and|und|et|y|en)\s+", re.IGNORECASE)
# Words that say that the species is not known.
_OPEN = re.compile(
    r"(?<![^\W_])(?:spp?|species|unknown|unidentified|unid|undetermined|indet|cf|aff|hybrids?|intergrades?)(?![^\W_])\.?",
    re.IGNORECASE,
)


def read(text: str) -> Resolution | None:
    """The meaning of a text of several names; None where it is none."""
    plain = text.replace("_", " ")
    for way in (_open, _two_names, _several, _with_scientific, _side_by_side):
        if (meaning := way(plain)) is not None:
            return replace(meaning, name=text)
    return None


def names_several(text: str) -> bool:
    """Whether a text says by its signs or words that it is of several species, or of one that is not known."""
    return any(sign.search(text.replace("_", " ")) for sign in (_EITHER, _AND, _OPEN))


def without_remark(text: str) -> str:
    """A text without what stands in brackets."""
    return _BRACKETS.sub(" ", text)


def _part(text: str) -> Resolution | None:
    """The meaning of one of the names: known, in another form, several taxa, or birds called by one noun."""
    if not key(text):
        return None
    return known(text) or _spelled(text) or _open(text) or _several(text) or _kind(text)


def _spelled(text: str) -> Resolution | None:
    match = fuzzy.spelled(words(text))
    return None if match is None else of_match(text, match)


def _kind(text: str) -> Resolution | None:
    match = fuzzy.kind(words(text))
    return None if match is None else of_match(text, match)


def _open(text: str) -> Resolution | None:
    """ "Empidonax sp.", "unknown gull", "Mallard hybrid": a group, and its species as candidates."""
    rest = " ".join(_OPEN.sub(" ", text).split())
    if rest == " ".join(text.split()):
        return None
    meaning = (known(rest) or read(rest) or _guessed(spellings(rest)[-1])) if key(rest) else None
    if meaning is None or meaning.taxon is None:
        return unresolved(text, candidates=() if meaning is None else meaning.candidates)
    if meaning.rank != "species":
        return meaning
    rank, genus = world().groups[meaning.taxon.genus.casefold()]
    return Resolution(text, rank, genus, members(rank, genus), "guess", 0.8)


def _guessed(text: str) -> Resolution | None:
    match = fuzzy.match(words(text))
    return None if match is None else of_match(text, match)


def _two_names(text: str) -> Resolution | None:
    """Two names with a sign between them, or one in brackets: "Gadwall - Mareca strepera"."""
    found = _BRACKETS.search(text)
    if found is not None:
        return _with_brackets(text, f"{text[: found.start()]} {text[found.end() :]}".strip(), found[1])
    for sign in _BETWEEN_NAMES.finditer(text):
        left, right = text[: sign.start()], text[sign.end() :]
        if sign[0].strip() == "," and (turned := known(f"{right} {left}")) is not None:
            return turned  # "Owl, Barn"
        a, b = _part(left), _part(right) or _two_names(right)
        if b is not None and b.rank is None:
            return unresolved(text, candidates=_union([b] if a is None else [a, b]))  # the others contradict each other
        if a is not None and b is not None:
            return _agreed(text, a, b)
        one = a or b
        if one is not None and one.method in ("exact", "synonym"):
            return replace(one, method="spelling", confidence=0.9)
    return None


def _with_brackets(text: str, before: str, inside: str) -> Resolution | None:
    """A name and what stands in brackets: another name of it, or a remark ("Dark-eyed Junco (Slate-colored)")."""
    a, b = _part(before) or read(before), _part(inside)
    if b is None or (b.rank is None and not b.candidates):
        if a is None or a.rank == "species":
            return a
        part = known(f"{inside} {before}")  # "Herring Gull (American)"
        return a if part is None or not set(part.candidates) <= set(a.candidates) else part
    if a is None:
        return replace(b, method="spelling", confidence=0.9) if b.method in ("exact", "synonym") else None
    return _agreed(text, a, b)


def _with_scientific(text: str) -> Resolution | None:
    """A scientific name with another name beside it, or with other words: "Common Blackbird Turdus merula"."""
    parts = re.split(r"[\s,;:]+", text.strip())
    for start in range(len(parts) - 1):
        binomial = " ".join(parts[start : start + 2])
        if key(binomial) not in world().scientific and key(binomial) not in older_names().scientific:
            continue
        meaning = known(binomial)
        for rest in (" ".join(parts[:start]), " ".join(parts[start + 2 :])):
            other = _with_scientific(rest) or _part(rest)
            if meaning is not None and other is not None:
                meaning = _agreed(text, meaning, other)
        return meaning
    return None


def _side_by_side(text: str) -> Resolution | None:
    """Two names without a sign between them, both known, or one and a noun: "Great Tit Kohlmeise"."""
    parts = text.split()
    for cut in range(1, len(parts)):
        left, right = " ".join(parts[:cut]), " ".join(parts[cut:])
        a, b = known(left), known(right)
        if a is not None and b is not None:
            return _agreed(text, a, b)
        if a is not None or b is not None:
            one, kind = (a, _kind(right)) if a is not None else (b, _kind(left))
            if one is not None and kind is not None and not set(one.candidates).isdisjoint(kind.candidates):
                return _agreed(text, one, kind)
    return None


def _agreed(text: str, a: Resolution, b: Resolution) -> Resolution:
    """What both names mean; unresolved, with the candidates of both, where they contradict each other."""
    if b.rank is None or (a.rank is not None and _sureness(b) > _sureness(a)):
        a, b = b, a
    both = tuple(one for one in a.candidates if one in b.candidates)
    if both:
        return of_species(text, both, a.method, a.confidence)
    if _within(b, a):
        return replace(b, name=text)
    if _within(a, b) or (b.method == "guess" and _called_so(a, b)):
        return replace(a, name=text)
    return unresolved(text, candidates=_union([a, b]))


def _union(meanings: list[Resolution]) -> tuple[str, ...]:
    """The candidates of all the meanings, each once."""
    return tuple(dict.fromkeys(one for meaning in meanings for one in meaning.candidates))


def _sureness(meaning: Resolution) -> tuple[bool, bool, float]:
    return meaning.method in ("exact", "synonym"), meaning.rank == "species", meaning.confidence


def _within(small: Resolution, large: Resolution) -> bool:
    """Whether a taxon belongs to a family or order that is named for itself, without candidates."""
    if small.taxon is None or large.taxon is None or large.candidates or large.rank is None:
        return False
    return bool(getattr(small.taxon, large.rank) == getattr(large.taxon, large.rank))


def _called_so(sure: Resolution, kind: Resolution) -> bool:
    """Whether a bird is of a family with birds that are called by its one noun: any "Robin (Turdus merula)"."""
    noun, species = words(kind.name), world().species
    families = {species[one].family for one in fuzzy.called(*noun)} if len(noun) == 1 else set()
    return sure.taxon is not None and sure.taxon.family in families


def _several(text: str) -> Resolution | None:
    """Taxa with "/", "or", "x", "and" between them; what they share may be written once."""
    for between, all_known in ((_EITHER, False), (_AND, True)):
        for spelling in spellings(text):
            pieces = between.split(without_remark(spelling).strip())
            if len(pieces) < 2:
                continue
            meanings = [_piece(pieces, number) for number in range(len(pieces))]
            found = [meaning for meaning in meanings if meaning is not None]
            if len(found) == len(pieces):
                return _united(text, found)
            if not all_known:
                return unresolved(text, candidates=_union(found))
    return None


def _piece(pieces: list[str], number: int) -> Resolution | None:
    """One of several taxa, where it is incomplete with the noun of the last or the genus of the first."""
    piece, head = pieces[number], (words(pieces[0]) or [""])[0]
    if not key(piece):
        return None
    # First, for a genus may be called like the epithet: "Sterna hirundo/paradisaea".
    *initial, epithet = words(piece)
    of_head = number > 0 and head in world().groups and (not initial or initial == [head[:1]])  # "B. lagopus"
    if of_head and (meaning := known(f"{head} {epithet}")) is not None:
        return meaning
    whole = known(piece)
    if whole is not None and (whole.rank == "species" or number in (0, len(pieces) - 1)):
        return whole
    ends = _ends(piece, words(pieces[-1])) if number < len(pieces) - 1 else []
    completed = [piece.removesuffix("-") + end for end in ends]
    for look_up in (known, _kind):  # "Tree/House Sparrow": there are two Tree Sparrows
        if (meaning := next(filter(None, map(look_up, completed)), None)) is not None:
            return meaning
    return whole or _spelled(piece) or _open(piece) or _kind(piece)


def _ends(piece: str, last: list[str]) -> list[str]:
    """What may be missing behind one of several taxa, taken from the last: its noun, the end of its only word."""
    if piece.endswith("-") and len(last) == 1:
        return [last[0][start:] for start in range(1, len(last[0]) - 2)]  # "Kohl-/Blaumeise"
    return [" ".join(["", *last[start:]]) for start in range(len(last) - 1, 0, -1)]


def _united(text: str, meanings: list[Resolution]) -> Resolution:
    """The lowest group that holds all the meanings."""
    candidates = _union(meanings)
    least = min(meanings, key=_sureness)
    if len(candidates) == 1 and all(meaning.candidates for meaning in meanings):
        return of_species(text, candidates, least.method, least.confidence)
    taxa = [meaning.taxon for meaning in meanings if meaning.taxon is not None]
    if len(taxa) < len(meanings):
        return unresolved(text, candidates=candidates)
    return of_group(text, taxa, candidates, least.method, least.confidence)
