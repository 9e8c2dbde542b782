"""Searches among the photos of a filter."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter, Index, Match
from birdsearch.storage import vectors as vectors_module
from birdsearch.storage.catalog.sql import SQLCatalog
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone

PHOTOS = 80
MOST = Filter(label="Wren")  # three of four
FILTERS = (MOST, ~Filter(label="Robin"), Filter(sample=50), Filter(label="Robin"), Filter(camera="no such"))


@pytest.fixture
def index(tmp_path: Path, fake: FakeBackbone) -> Iterator[Index]:
    """Photos of which every fourth one is a robin; the first of all is missing."""
    for number in range(PHOTOS):
        folder = tmp_path / "photos" / ("Wren" if number % 4 else "Robin")
        write(folder / f"{number}.png", bird(number, 24, 24))
    with birdsearch.create(tmp_path / "index", backbone=fake) as made:
        made.add(tmp_path / "photos", labels="folder")
        next((tmp_path / "photos/Wren").iterdir()).unlink()
        made.add(tmp_path / "photos")
        yield made


def asked(index: Index, where: Filter, k: int = 3) -> list[list[tuple[int | None, float]]]:
    """What each of two photos finds."""
    found: list[list[Match]] = index.search_vectors(index.vectors(index.photo_ids()[:2].tolist()), k, where=where)
    return [[(match.photo.id, match.score) for match in matches] for matches in found]


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("k", [1, 3, 70])
def test_many_photos_of_a_filter_are_found_as_few_are(
    index: Index, where: Filter, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = asked(index, where, k)
    assert {match for row in few for match, _ in row} <= set(index.photo_ids(where).tolist())
    monkeypatch.setattr(vectors_module, "FEW", 2)
    many = asked(index, where, k)
    assert [[match for match, _ in row] for row in many] == [[match for match, _ in row] for row in few]
    for row, other in zip(many, few, strict=True):
        np.testing.assert_allclose([score for _, score in row], [score for _, score in other], atol=1e-6)


def test_a_filter_that_most_photos_satisfy_is_asked_of_the_nearest_alone(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_module, "FEW", 2)
    looked_up: list[int] = []
    region_ids = SQLCatalog.region_ids

    def spy(catalog: SQLCatalog, *where: Any, **how: Any) -> Any:
        found = region_ids(catalog, *where, **how)
        looked_up.append(len(found))
        return found

    monkeypatch.setattr(SQLCatalog, "region_ids", spy)
    assert len(asked(index, MOST, k=1)[0]) == 1
    assert looked_up
    assert max(looked_up) < 20
