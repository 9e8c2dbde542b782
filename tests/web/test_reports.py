"""Reports over HTTP, and photos that leave the index."""

from fastapi.testclient import TestClient

from birdsearch import Index
from birdsearch.records import as_json
from tests.web.test_jobs import finished

API = "/api/v1"


def test_an_audit_is_made_once_and_kept(client: TestClient, own: Index) -> None:
    own.label({1: "Wren"})
    first = client.get(f"{API}/audit", params={"again": True, "species": ["Wren", "Robin"]})
    assert first.status_code == 202
    finished(client, first.json())
    asked = client.get(f"{API}/audit", params={"again": True, "species": ["Wren", "Robin"]})
    assert asked.status_code == 200
    assert asked.headers["x-job"] == str(first.json()["id"])
    assert client.get(f"{API}/audit").status_code == 202
    assert client.get(f"{API}/audit?nothing=1").status_code == 422


def test_a_viewer_reads_a_report_that_is_there_and_starts_none(client: TestClient, viewer: TestClient) -> None:
    assert viewer.get(f"{API}/audit").status_code == 403
    assert client.get(f"{API}/audit").status_code == 202


def test_lists_answer_as_in_python(client: TestClient, own: Index) -> None:
    assert client.get(f"{API}/failures").json() == as_json(own.failures())
    assert client.get(f"{API}/regions").json() == as_json(own.regions())
    assert client.get(f"{API}/trash").json() == as_json(own.trash())
    listed = client.get(f"{API}/life-list", params={"by": "year"}).json()
    assert [entry["name"] for entry in listed["entries"]] == ["2023", "2024"]


def test_a_viewer_sees_no_list_that_says_where(viewer: TestClient) -> None:
    assert viewer.get(f"{API}/failures").status_code == 403
    assert viewer.get(f"{API}/life-list").status_code == 403
    assert viewer.get(f"{API}/trash").status_code == 403


def test_photos_are_removed_only_where_they_are_as_many_as_was_said(client: TestClient, own: Index) -> None:
    wrong = client.post(f"{API}/photos/remove", json={"where": {"species": "Wren"}, "expect": 2})
    assert wrong.status_code == 409
    assert "3 photos" in wrong.json()["detail"]
    everything = client.post(f"{API}/photos/remove", json={"where": {}, "expect": 6})
    assert everything.status_code == 422
    assert len(own) == 6
    assert client.post(f"{API}/photos/remove", json={"where": {"species": "Wren"}, "expect": 3}).json()["removed"] == 3
    assert len(own) == 3
