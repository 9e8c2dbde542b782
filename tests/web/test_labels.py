"""Labels over HTTP: given, confirmed, taken back."""

import threading

import pytest
from fastapi.testclient import TestClient

from birdsearch import Filter, Index
from birdsearch.records import as_json
from birdsearch.web.serving import Settings
from tests.web.conftest import client_of

API = "/api/v1"


def test_a_label_is_given_and_taken_back(client: TestClient, own: Index) -> None:
    given = client.put(f"{API}/photos/4/label", json={"species": "Dunnock", "author": "Ana"}).json()
    assert (given["before"]["species"], given["before"]["source"]) == ("Wren", "folder")
    assert given["photo"]["label"] == "Dunnock"
    assert own.labels(Filter(ids=[4]))[0].author == "Ana"
    back = client.delete(f"{API}/photos/4/label").json()
    assert (back["before"]["species"], back["photo"]["label"]) == ("Dunnock", "Wren")


def test_labels_are_put_back_as_they_were(client: TestClient, own: Index) -> None:
    own.label({4: "Dunnock", 5: "Wren"}, author="Ana")
    before = as_json(own.labels())
    changed = client.post(
        f"{API}/labels", json={"labels": {"4": "Robin", "5": None, "6": "Robin"}, "author": "Bo"}
    ).json()
    assert (changed["changed"], sorted(changed["before"])) == (2, ["4", "5", "6"])
    assert as_json(own.labels()) != before
    client.post(f"{API}/labels/restore", json={"labels": changed["before"]})
    assert as_json(own.labels()) == before


def test_labels_are_listed_with_their_source(client: TestClient, own: Index) -> None:
    assert client.get(f"{API}/labels").json() == as_json(own.labels())
    assert [one["photo_id"] for one in client.get(f"{API}/labels?ids=4&ids=1").json()] == [1, 4]


@pytest.mark.parametrize("labels", [{"99": "Wren"}, {"0": "Wren"}, {"1": ""}, {"1": " "}, {"x": "Wren"}, {"1": 7}, []])
def test_what_cannot_be_meant_changes_nothing(client: TestClient, own: Index, labels: object) -> None:
    before = own.generation
    assert client.post(f"{API}/labels", json={"labels": labels}).status_code in (404, 422)
    assert own.generation == before


def test_two_tabs_write_at_once(client: TestClient, own: Index) -> None:
    answers = list[int]()

    def label(species: str) -> None:
        for photo in range(1, 7):
            answers.append(client.put(f"{API}/photos/{photo}/label", json={"species": species}).status_code)

    tabs = [threading.Thread(target=label, args=(species,)) for species in ("Dunnock", "Siskin")]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert answers == [200] * 12
    assert {one.species for one in own.labels()} <= {"Dunnock", "Siskin"}
    assert own.verify().ok


def test_nobody_else_labels(viewer: TestClient, own: Index) -> None:
    with client_of(own, Settings(read_only=True)) as reader:
        for client in (viewer, reader):
            assert client.put(f"{API}/photos/1/label", json={"species": "Dodo"}).status_code == 403
            assert client.post(f"{API}/labels", json={"labels": {"1": "Dodo"}}).status_code == 403
            assert client.get(f"{API}/labels").status_code == 200
