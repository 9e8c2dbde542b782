"""How the labels of an index are understood: by AviList, and above it by the corrections of a user."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from birdsearch.indexing.labels import Labeller
from birdsearch.records import Filter, KnownName, Photo, TaxonMatch, batched, shown
from birdsearch.storage.catalog.catalog import Catalog, PhotoSummary
from birdsearch.storage.catalog.commits import COMMIT_CHANGES, Batch
from birdsearch.storage.catalog.tables import NAMES
from birdsearch.storage.store import Store
from birdsearch.taxonomy import avilist, resolve

logger = logging.getLogger("birdsearch")

_OF_KEYWORD = 0.5  # sureness, at most, of what a keyword means that nobody has confirmed

Named = TypeVar("Named", Photo, PhotoSummary)


def overrides(catalog: Catalog) -> dict[str, str]:
    """The corrections: name -> a bird, or "" to keep it unresolved."""
    return dict(catalog.get_state(NAMES, {}))


def taxa(catalog: Catalog, where: Filter | None = None) -> list[TaxonMatch]:
    """Each label of the visible photos that satisfy the filter, and keywords that may be some, the least sure first."""
    with catalog.snapshot():
        photos, corrections = catalog.label_counts(where), overrides(catalog)
        keywords = Labeller(catalog).unsure_keywords(where)
    matches = [_match(meant, photos[meant.name]) for meant in resolve.resolve_many(photos, overrides=corrections)]
    for meant in resolve.resolve_many(keywords.keys() - photos.keys(), overrides=corrections):
        if meant.method == "override":
            matches.append(replace(_match(meant, keywords[meant.name]), is_keyword=True))
        elif resolve.is_bird(meant) and meant.candidates and (meant.rank == "species" or meant.method != "exact"):
            # What a list has for the name of a folder is a guess where the name is a keyword.
            guess = replace(meant, method="guess", confidence=min(meant.confidence, _OF_KEYWORD))
            matches.append(replace(_match(guess, keywords[meant.name]), is_keyword=True))
    return sorted(matches, key=lambda match: (match.confidence, match.label))


def _match(meant: resolve.Resolution, photos: int) -> TaxonMatch:
    scientific, english = (meant.taxon.scientific, meant.taxon.english) if meant.taxon else (None, None)
    taxon = meant.rank, scientific or None, english or None, meant.candidates
    return TaxonMatch(meant.name, photos, *taxon, meant.method, meant.confidence)


def one_spelling(photos: Sequence[Named], corrections: Mapping[str, str]) -> list[Named]:
    """The photos with one name for each taxon: its commonest label, or where it has none its commonest prediction."""
    labels: Counter[str] = Counter(photo.label for photo in photos if photo.label)
    species: Counter[str] = Counter(photo.species for photo in photos if photo.species)
    keys = resolve.taxon_keys({*labels, *species}, corrections)
    shown: dict[str, str] = {}
    for names in (labels, species):
        # Of equally common ones AviList's own English name.
        for name in sorted(names, key=lambda name: (-names[name], not resolve.is_english(name), name)):
            shown.setdefault(keys[name], name)
    other = {name: shown[at] for name, at in keys.items() if shown[at] != name}
    return [
        replace(
            photo,
            label=other.get(photo.label or "", photo.label),
            species=other.get(photo.species or "", photo.species),
        )
        if photo.label in other or photo.species in other
        else photo
        for photo in photos
    ]


def species_of(labels: Iterable[str | None], corrections: Mapping[str, str]) -> dict[str, str]:
    """Label -> scientific name, for those that mean one species."""
    named = sorted({label for label in labels if label})
    return {
        meant.name: meant.candidates[0]
        for meant in resolve.resolve_many(named, overrides=corrections)
        if meant.rank == "species" and len(meant.candidates) == 1
    }


def take_overrides(catalog: Catalog, theirs: Mapping[str, str]) -> None:
    """Corrections of names from another index; where there is one here it stays, which is told."""
    ours = overrides(catalog)
    meanings = {resolve.same(name): meaning for name, meaning in ours.items()}
    new = {name: meaning for name, meaning in theirs.items() if resolve.same(name) not in meanings}
    if new:
        catalog.set_state(NAMES, {**ours, **new}, bump=True)
    if other := [name for name in theirs.keys() - new.keys() if meanings[resolve.same(name)] != theirs[name]]:
        examples = ", ".join(shown(name) for name in sorted(other)[:3])
        logger.warning("names that mean something else here, which stays: %d (%s)", len(other), examples)


def set_overrides(store: Store, path: Path) -> int:
    """Replace every correction of names by those of a CSV; returns how many there are.

    Raises InputFileError, with the line, for what is not a bird.
    """
    corrections = resolve.read_overrides(path)
    with store.changing() as catalog:
        _set(catalog, corrections)
    labels = {resolve.same(match.label) for match in taxa(store.catalog)}
    if names := [name for name in corrections if resolve.same(name) not in labels]:
        examples = ", ".join(shown(name) for name in names[:3])
        logger.warning("names that are neither labels nor keywords in this index: %d (%s)", len(names), examples)
    return len(corrections)


def correct(store: Store, corrections: Mapping[str, str | None]) -> None:
    """Some corrections more: name -> the bird that it means, "" for none, None to take the correction back.

    Raises ValueError, and changes nothing, for what is not a bird.
    """
    for species in corrections.values():
        if species and not resolve.is_named(species):
            raise ValueError(f"AviList has no bird called {shown(species)!r}: give its scientific or English name")
    given = {resolve.same(name): (name, species) for name, species in corrections.items()}
    with store.changing() as catalog:
        before = overrides(catalog)
        after = {name: species for name, species in before.items() if resolve.same(name) not in given}
        after |= {name: species.strip() for name, species in given.values() if species is not None}
        if after != before:
            _set(catalog, after)


def _set(catalog: Catalog, corrections: Mapping[str, str]) -> None:
    """Set all corrections, and the labels of those photos that get them from keywords."""
    catalog.set_state(NAMES, corrections, bump=True)
    for changed in batched(Labeller(catalog).refresh_keywords(), COMMIT_CHANGES):
        catalog.commit(Batch(labels=dict(changed)))


def like(catalog: Catalog, text: str, limit: int) -> list[KnownName]:
    """Names that begin so, or one of whose words does: the commonest labels first, then AviList's English names."""
    wanted = " ".join(avilist.words(text))
    if not wanted or limit < 1:
        return []
    with catalog.snapshot():
        photos, corrections = catalog.label_counts(), overrides(catalog)
    labels = [name for name in photos if f" {wanted}" in f" {' '.join(avilist.words(name))}"]
    labels.sort(key=lambda name: (not _begins(name, wanted), -photos[name], name))
    meant = species_of(labels, corrections)
    found = [KnownName(name, meant.get(name), photos[name]) for name in labels[:limit]]
    taken = set(meant.values())
    for name, scientific in resolve.beginning(wanted):
        if len(found) >= limit:
            break
        if scientific not in taken:
            found.append(KnownName(name, scientific, 0))
    return found


def _begins(name: str, wanted: str) -> bool:
    return " ".join(avilist.words(name)).startswith(wanted)
