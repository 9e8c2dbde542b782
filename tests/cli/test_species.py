"""The commands clusters and species: what they ask of the index, and how they show its answer."""

from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

from birdsearch.index import Index
from birdsearch.records import (
    Cluster,
    ClusterReport,
    Confusion,
    Filter,
    SpeciesCount,
    SpeciesEntry,
    SpeciesReport,
    as_json,
)
from tests.conftest import Garden
from tests.support.command_line import Answer, run
from tests.support.index_stub import IndexStub, garden

__all__ = ["garden"]  # a fixture


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> IndexStub:
    monkeypatch.setattr(Index, "map", lambda _, ids, _where=None: np.zeros((len(ids), 2), np.float32))
    return IndexStub(monkeypatch, {"clusters": cluster_report(), "species_report": species_report()})


def command(garden: Garden, name: str, *arguments: object, code: int = 0) -> Answer:
    return run(name, *arguments, "--index", garden.index, code=code)


def cluster_report() -> ClusterReport:
    clusters = (
        Cluster(0, (1, 2, 3, 4), (2, 1), "Wren", 0.75, {"Wren": 3, "Robin": 1}),
        Cluster(1, (5, 6), (5,), "Robin", 1.0, {"Robin": 2}),
    )
    return ClusterReport(clusters, (6,), {"ami": 0.613}, "Leiden communities", 0.5)


def species_report() -> SpeciesReport:
    entries = (
        SpeciesEntry("Robin", 3, 0.8, "Wren", 0.7, 0.5, (4, 5), (4,)),
        SpeciesEntry("Wren", 3, None, None, None, None, (1,), ()),
    )
    return SpeciesReport(entries, (Confusion("Robin", "Wren", 2, 0.4, ((4, 1),)),), 0.5, SpeciesCount(2, 1))


def test_clusters_are_listed_with_what_they_mix(garden: Garden, stub: IndexStub) -> None:
    lines = command(garden, "clusters").out.splitlines()
    assert lines[0].split() == ["cluster", "photos", "purity", "species"]
    assert lines[1].split() == ["0", "4", "75", "%", "Wren", "3,", "Robin", "1"]
    assert "6 photos in 2 clusters, 1 outlier, in 0.5 s" in lines
    assert "agreement with labels: AMI 0.613" in lines


def test_clusters_as_json_csv_and_page(garden: Garden, stub: IndexStub) -> None:
    assert command(garden, "clusters", "--json").json == as_json(cluster_report())
    answer = command(garden, "clusters", "--csv", "--html", "page.html")
    assert len(answer.rows) == 6
    second = answer.rows[1]
    assert (second["cluster"], second["id"], second["label"], second["medoid"]) == ("0", "2", "Robin", "1")
    assert answer.rows[5]["outlier"] == "1"
    assert Path(second["path"]).is_file()
    assert "page written to page.html" in answer.err
    assert '"ids":[1,2,3,4,5,6]' in Path("page.html").read_text(encoding="utf-8")


def test_options_of_clusters_reach_the_index(garden: Garden, stub: IndexStub) -> None:
    command(garden, "clusters")
    usual = {"method": "leiden", "resolution": None, "clusters": None, "only_species": None, "seed": 0, "progress": ANY}
    assert stub.last("clusters") == ((None,), usual)
    command(garden, "clusters", "--resolution", 0.2, "--only-species", "Wren", "--seed", 3, "--after", "2024")
    where, options = stub.last("clusters")
    assert where == (Filter(taken_after="2024-01-01"),)
    assert options == {**usual, "resolution": 0.2, "only_species": "Wren", "seed": 3}
    command(garden, "clusters", "--method", "kmeans", "--clusters", 2)
    assert stub.last("clusters")[1]["clusters"] == 2
    for wrong in (
        ("--clusters", 2),
        ("--method", "kmeans", "--resolution", 0.1),
        ("--resolution", 2),
        ("--json", "--csv"),
    ):
        command(garden, "clusters", *wrong, code=2)


def test_species_are_listed_and_drawn(garden: Garden, stub: IndexStub) -> None:
    out = command(garden, "species", "--html", "page.html").out
    assert "confused with" in out
    assert "6 photos of 2 species, 1 other label (1 group), 1 confusable pair" in out
    assert "Look-alikes" in Path("page.html").read_text(encoding="utf-8")
    assert command(garden, "species", "--json").json == as_json(species_report())
    rows = command(garden, "species", "--csv").rows
    assert rows[0]["medoids"] == "4 5"
    assert rows[1]["cohesion"] == ""
    assert [(row["confused_with"], row["confused_photos"]) for row in rows] == [("Wren", "2"), ("Robin", "2")]
