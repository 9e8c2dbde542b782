"""Species, look-alikes, clusters and the map over HTTP, and their pages without JavaScript."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import birdsearch
from birdsearch import Index
from birdsearch.web import made
from birdsearch.web.serving import Settings
from tests.support.drawing import bird
from tests.web.conftest import client_of
from tests.web.test_jobs import until

BAD = '"><img src=x onerror=alert(1)>'
OCTETS = {"Accept": "application/octet-stream"}


@pytest.fixture
def hostile(fake_built_in: None, tmp_path: Path) -> Iterator[Index]:
    """An index whose species and files have names that are markup, not UTF-8, or hold slashes."""
    root = os.fsencode(tmp_path / "photos")
    for species in (BAD.encode(), b"Robin\xff"):
        os.makedirs(root + b"/" + species)
        for number in range(3):
            path = root + b"/" + species + b"/" + BAD.encode() + str(number).encode() + b"\xfe.png"
            bird(len(species) + number).save(os.fsdecode(path))
    with birdsearch.create(tmp_path / "hostile") as index:
        index.add(tmp_path / "photos", labels="folder")
        index.label({1: "Gull / Tern", 4: "Gull / Tern"})
        yield index


def map_of(client: TestClient, **params: Any) -> Any:
    """The map, once the job that draws it is done."""
    answer = client.get("/api/v1/map", params=params)
    if answer.status_code == 202:
        job = answer.headers["location"]
        until(lambda: client.get(job).json(), lambda one: one["state"] == "done")
        answer = client.get("/api/v1/map")
    return answer


def test_reports_are_those_of_python(client: TestClient, own: Index) -> None:
    species, clusters = client.get("/api/v1/species").json(), client.get("/api/v1/clusters").json()
    assert [one["species"] for one in species["species"]] == ["Robin", "Wren"]
    assert sum(len(one["photos"]) for one in clusters["clusters"]) == len(own)
    assert [one["species"] for one in client.get("/api/v1/species?species=Wren").json()["species"]] == ["Wren"]


def test_a_report_of_many_photos_is_a_job_and_is_kept(
    client: TestClient, own: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made.Question, "takes_long", lambda self, index: True)
    first = client.get("/api/v1/species")
    assert first.status_code == 202
    assert "Compare species" in client.get("/species").text or "Robin" in client.get("/species").text
    for _ in range(200):
        if (answer := client.get("/api/v1/species")).status_code == 200:
            break
        time.sleep(0.02)
    assert len(answer.json()["species"]) == 2
    own.label({1: "Dunnock"})
    assert len(client.get("/api/v1/species").json()["species"]) == 2  # what was made before does
    assert "before the last changes" in client.get("/species").text
    assert client.get("/api/v1/species", params={"fresh": True}).status_code == 202


def test_a_viewer_starts_no_report_of_their_own(viewer: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.Question, "takes_long", lambda self, index: True)
    assert viewer.get("/api/v1/clusters?camera=Canon").status_code == 403
    assert viewer.get("/api/v1/clusters").status_code == 202


def test_the_map_comes_as_octets_and_as_json(client: TestClient, own: Index) -> None:
    listed = map_of(client).json()
    assert listed["ids"] == [1, 2, 3, 4, 5, 6]
    assert len(listed["places"]) == 6
    assert [listed["names"]["species"][code] for code in listed["species"]] == ["Robin"] * 3 + ["Wren"] * 3
    assert [listed["names"]["camera"][code] for code in listed["camera"]][3:] == ["Canon Model X"] * 3
    octets = client.get("/api/v1/map", headers=OCTETS).content
    length = int(np.frombuffer(octets, "<u4", 1)[0])
    facts = json.loads(octets[4 : 4 + length])
    assert length % 4 == 0
    assert (facts["total"], facts["names"]) == (6, listed["names"])
    assert np.frombuffer(octets, "<u4", 6, 4 + length).tolist() == listed["ids"]
    places = np.frombuffer(octets, "<f4", 12, 4 + length + 24).reshape(6, 2)
    np.testing.assert_allclose(places, listed["places"])
    columns = np.frombuffer(octets, "<u2", 18, 4 + length + 24 + 48).reshape(3, 6)
    assert columns.tolist() == [listed["species"], listed["cluster"], listed["camera"]]


def test_the_map_is_sent_again_only_when_it_changed(client: TestClient, own: Index) -> None:
    first = map_of(client)
    again = OCTETS | {"If-None-Match": client.get("/api/v1/map", headers=OCTETS).headers["etag"]}
    assert client.get("/api/v1/map", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.get("/api/v1/map", headers=again).status_code == 304
    assert client.get("/api/v1/map", headers={"If-None-Match": again["If-None-Match"]}).status_code == 200
    own.label({1: "Dunnock", 2: "Rotkehlchen", 3: "European Robin"})
    names = client.get("/api/v1/map", headers={"If-None-Match": first.headers["etag"]}).json()["names"]["species"]
    assert sorted(names)[::2] == ["Dunnock", "Wren"]  # and one name for the robins


def test_the_map_has_the_labels_of_today_and_says_what_is_new(client: TestClient, own: Index, tmp_path: Path) -> None:
    map_of(client)
    own.label({1: "Dunnock"})
    own.remove(birdsearch.Filter(ids=[6]))
    (tmp_path / "more").mkdir()
    bird(77).save(tmp_path / "more" / "new.png")
    own.add(tmp_path / "more")
    old = client.get("/api/v1/map").json()
    assert old["names"]["species"][old["species"][0]] == "Dunnock"
    assert (old["ids"], old["new"]) == ([1, 2, 3, 4, 5], 1)
    anew = map_of(client, fresh=True).json()
    assert (anew["total"], anew["new"]) == (6, 0)


def test_an_empty_index_has_an_empty_map(fake_built_in: None, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "empty") as index, client_of(index, Settings()) as client:
        assert map_of(client).json()["total"] == 0
        for page in ("/species", "/clusters", "/map"):
            assert client.get(page).status_code == 200


def test_pages_show_look_alikes_without_javascript(client: TestClient) -> None:
    page = client.get("/species").text
    assert 'href="/species/Wren"' in page
    assert 'href="/species/Wren/Robin"' in page
    assert "Robin" not in client.get("/species?q=wre").text.split("<main")[1].split('href="/species/Wren"')[0]
    both = client.get("/species/Wren/Robin").text
    assert both.count('class="side"') == 2
    assert both.count('<li class="card">') == 6  # all three photos of each are typical
    assert client.get("/species/Wren").text.count('class="side"') == 1
    assert client.get("/species/Dodo").status_code == 404
    assert client.get("/species/Wren/Wren").status_code == 404
    clusters = client.get("/clusters").text
    assert 'href="/clusters/0"' in clusters
    assert client.get("/clusters/0").text.count('class="card"') >= 1
    assert client.get("/clusters/99").status_code == 404


def test_hostile_names_are_text_and_lead_to_their_pages(hostile: Index) -> None:
    with client_of(hostile, Settings()) as client:
        names = [one["species"] for one in client.get("/api/v1/species").json()["species"]]
        assert len(names) == 3
        page = client.get("/species").text
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page
        assert "Robin\\xff" in page
        links = {part.split('"')[0] for part in page.split('href="/species/')[1:]}
        assert len(links) >= 3
        for link in links:
            assert client.get(f"/species/{link}").status_code == 200, link
        for path in ("/clusters", "/clusters/0", "/map", "/failures", "/jobs"):
            assert "<img src=x" not in client.get(path).text
