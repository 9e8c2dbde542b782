"""Reports over HTTP, and photos that leave the index."""

import pytest
from fastapi.testclient import TestClient

from birdsearch import Filter, Index
from birdsearch.records import as_json
from birdsearch.web.api import work
from tests.web.test_jobs import finished

API = "/api/v1"


def test_an_audit_is_answered_by_the_last_one(client: TestClient, own: Index) -> None:
    own.label({1: "Wren"})
    asked: dict[str, bool | list[str]] = {"again": True, "species": ["Wren", "Robin"]}
    report = own.audit(Filter(species=("Wren", "Robin")), again=True)
    answer = client.get(f"{API}/audit", params=asked).json()
    assert [one["photo"]["id"] for one in answer["suspects"]] == [one.photo.id for one in report.suspects]
    assert client.get(f"{API}/audit?nothing=1").status_code == 422


def test_an_audit_of_many_photos_is_a_job(client: TestClient, own: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_AUDITED_AT_ONCE", 0)
    started = client.get(f"{API}/audit")
    assert started.status_code == 202
    job = finished(client, started.json())
    assert client.get(f"{API}/audit").json()["photos"] == own.audit().photos
    own.label({1: "Wren"})
    old = client.get(f"{API}/audit")  # of before the label
    assert (old.status_code, int(old.headers["x-generation"])) == (200, own.generation - 1)
    finished(client, client.post(f"{API}/jobs", json={"do": "audit"}).json())
    assert client.get(f"{API}/audit").headers["x-generation"] == str(own.generation)
    assert client.get(f"{API}/jobs").json()["jobs"][-1]["id"] == job["id"]


def test_a_viewer_has_no_audit_of_many_photos_made(viewer: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert viewer.get(f"{API}/audit").status_code == 200
    monkeypatch.setattr(work, "_AUDITED_AT_ONCE", 0)
    assert viewer.get(f"{API}/audit", params={"again": True, "species": "Wren"}).status_code == 403


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
    assert viewer.get("/failures").status_code == 403
    assert "/failures" not in viewer.get("/jobs").text


def test_photos_are_removed_only_where_they_are_as_many_as_was_said(client: TestClient, own: Index) -> None:
    wrong = client.post(f"{API}/photos/remove", json={"where": {"species": "Wren"}, "expect": 2})
    assert wrong.status_code == 409
    assert "3 photos" in wrong.json()["detail"]
    everything = client.post(f"{API}/photos/remove", json={"where": {}, "expect": 6})
    assert everything.status_code == 422
    assert len(own) == 6
    assert client.post(f"{API}/photos/remove", json={"where": {"species": "Wren"}, "expect": 3}).json()["removed"] == 3
    assert len(own) == 3
