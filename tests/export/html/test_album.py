"""Which photos a page shows, of a source that is not an index."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import pytest

from birdsearch.export.html import album
from birdsearch.records import (
    AuditReport,
    Cluster,
    ClusterReport,
    DuplicateGroup,
    DuplicateReport,
    Filter,
    Photo,
    SpeciesEntry,
    SpeciesReport,
    Suspect,
    TaxonMatch,
    Vectors,
)


class Source:
    """Six photos; the last two have neither label nor species."""

    held: ClassVar = {
        n: Photo(n, f"/{n}.jpg", label="Wren" if n < 4 else None, species="Wren" if n < 5 else None)
        for n in range(1, 7)
    }

    def photos(self, where: Filter | None = None, *, ids: Iterable[int] | None = None) -> list[Photo]:
        return [self.held[number] for number in (self.held if ids is None else ids)]

    def names(self, where: Filter | None = None) -> list[TaxonMatch]:
        return [TaxonMatch("Zaunkönig", 1, "species", "Troglodytes troglodytes", None, (), "override", 1.0)]

    def map(self, ids: Sequence[int], where: Filter | None = None) -> Vectors:
        return np.array([[number, 0] for number in ids], dtype=np.float32)


def test_each_page_maps_the_photos_of_its_report() -> None:
    clusters = album.of_clusters(Source(), ClusterReport((Cluster(0, (2, 6), (6,), None, None),), (2,)))
    assert (list(clusters.photos), clusters.ids) == ([1, 2, 3, 4, 5, 6], [2, 6])
    assert clusters.coordinates is not None
    assert clusters.coordinates.tolist() == [[2, 0], [6, 0]]
    entry = SpeciesEntry("Wren", 4, None, None, None, None, (3,), (1,))
    assert album.of_species(Source(), SpeciesReport((entry,))).ids == [1, 2, 3, 4]
    audit = AuditReport((Suspect(Source.held[3], "Wren", None, 0.5, (), (2,)),), 3)
    assert album.of_audit(Source(), audit).ids == [1, 2, 3]


def test_a_page_of_nothing_has_no_map() -> None:
    nothing = album.of_clusters(Source(), ClusterReport())
    assert (nothing.ids, nothing.coordinates) == ([], None)


def test_duplicates_need_the_photos_of_their_groups_only() -> None:
    report = DuplicateReport((), (DuplicateGroup("identical", 2, (4,), ""),))
    assert album.of_duplicates(Source(), report) == {2: Source.held[2], 4: Source.held[4]}


def test_names_of_one_species_are_one_name_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("Great Tit", "Great Tit", "Parus major", "Eurasian Wren", "Zaunkönig", None)
    held = {n: Photo(n, f"/{n}.jpg", label=name, species=name) for n, name in enumerate(names, start=1)}
    monkeypatch.setattr(Source, "held", held)
    shown = album.of_species(Source(), SpeciesReport())
    assert len({photo.species for photo in shown.photos.values()}) == 3
    assert [shown.photos[number].label for number in (1, 2, 3)] == ["Great Tit"] * 3
    assert shown.photos[4].label == shown.photos[5].label
