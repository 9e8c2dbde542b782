"""How the labels of an index are understood: by the taxonomy, and above it by what somebody said that names mean."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from birdsearch.records import Filter, Name, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.store import Store
from birdsearch.taxonomy import resolve

logger = logging.getLogger("birdsearch")

STATE = "names"  # under which the catalog remembers what was said


def overrides(catalog: Catalog) -> dict[str, str]:
    """What somebody said names mean: name -> a bird, or "" to keep it unresolved."""
    return dict(catalog.get_state(STATE, {}))


def names(catalog: Catalog, where: Filter | None) -> list[Name]:
    """Each label of the visible photos that satisfy the filter, the least sure first."""
    with catalog.snapshot():
        photos, said = catalog.label_counts(where), overrides(catalog)
    found = []
    for meant in resolve.resolve_many(photos, overrides=said):
        scientific, english = (meant.taxon.scientific, meant.taxon.english) if meant.taxon else ("", "")
        found.append(
            Name(
                label=meant.name,
                photos=photos[meant.name],
                rank=meant.rank,
                scientific=scientific or None,
                english=english or None,
                candidates=meant.candidates,
                method=meant.method,
                confidence=meant.confidence,
            )
        )
    return sorted(found, key=lambda name: (name.confidence, name.label))


def unlisted(catalog: Catalog) -> list[str]:
    """Labels that AviList does not have and nobody has said anything of."""
    with catalog.snapshot():
        labels, said = catalog.label_counts(), overrides(catalog)
    known = {resolve.same(name) for name in said}
    return sorted(label for label in labels if resolve.same(label) not in known and not resolve.is_listed(label))


def strangers(catalog: Catalog, said: Iterable[str]) -> list[str]:
    """Those of the names that are no label of the index."""
    held = {resolve.same(label) for label in catalog.label_counts()}
    return [name for name in said if resolve.same(name) not in held]


def species_of(labels: Iterable[str | None], said: Mapping[str, str]) -> dict[str, str]:
    """Label -> scientific name, for those that mean one species; `said` are the overrides."""
    named = sorted({label for label in labels if label})
    return {
        meant.name: meant.candidates[0]
        for meant in resolve.resolve_many(named, overrides=said)
        if meant.rank == "species" and len(meant.candidates) == 1
    }


def set_overrides(store: Store, path: Path) -> int:
    """Replace every correction of names by those of a CSV; returns how many there are."""
    corrections = resolve.read_overrides(path)
    with store.writing() as catalog, catalog.transaction() as connection:
        catalog.set_state(connection, STATE, corrections)
        catalog.bump(connection)
    if unused := strangers(store.catalog, corrections):
        examples = ", ".join(shown(name) for name in unused[:3])
        logger.warning("names that are not labels in this index: %d (%s)", len(unused), examples)
    return len(corrections)
