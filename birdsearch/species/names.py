"""How the labels of an index are understood: by AviList, and above it by the corrections of a user."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from birdsearch.records import Filter, TaxonMatch, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.store import Store
from birdsearch.taxonomy import resolve

logger = logging.getLogger("birdsearch")

STATE = "names"  # of the catalog, under which it keeps the corrections


def overrides(catalog: Catalog) -> dict[str, str]:
    """The corrections: name -> a bird, or "" to keep it unresolved."""
    return dict(catalog.get_state(STATE, {}))


def taxa(catalog: Catalog, where: Filter | None = None) -> list[TaxonMatch]:
    """Each label of the visible photos that satisfy the filter, the least sure first."""
    with catalog.snapshot():
        photos, corrections = catalog.label_counts(where), overrides(catalog)
    matches = []
    for meant in resolve.resolve_many(photos, overrides=corrections):
        scientific, english = (meant.taxon.scientific, meant.taxon.english) if meant.taxon else (None, None)
        taxon = meant.rank, scientific or None, english or None, meant.candidates
        matches.append(TaxonMatch(meant.name, photos[meant.name], *taxon, meant.method, meant.confidence))
    return sorted(matches, key=lambda match: (match.confidence, match.label))


def not_in_avilist(catalog: Catalog) -> list[str]:
    """Labels that AviList does not have and no correction explains."""
    with catalog.snapshot():
        labels, corrections = catalog.label_counts(), overrides(catalog)
    known = {resolve.same(name) for name in corrections}
    return sorted(label for label in labels if resolve.same(label) not in known and not resolve.is_listed(label))


def species_of(labels: Iterable[str | None], corrections: Mapping[str, str]) -> dict[str, str]:
    """Label -> scientific name, for those that mean one species."""
    named = sorted({label for label in labels if label})
    return {
        meant.name: meant.candidates[0]
        for meant in resolve.resolve_many(named, overrides=corrections)
        if meant.rank == "species" and len(meant.candidates) == 1
    }


def set_overrides(store: Store, path: Path) -> int:
    """Replace every correction of names by those of a CSV; returns how many there are.

    Raises InputFileError, with the line, for what is not a bird.
    """
    corrections = resolve.read_overrides(path)
    with store.writing() as catalog:
        catalog.set_state(STATE, corrections, bump=True)
    labels = {resolve.same(label) for label in store.catalog.label_counts()}
    if names := [name for name in corrections if resolve.same(name) not in labels]:
        examples = ", ".join(shown(name) for name in names[:3])
        logger.warning("names that are not labels in this index: %d (%s)", len(names), examples)
    return len(corrections)
