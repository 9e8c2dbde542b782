"""Duplicates over HTTP: groups, what is decided of them, the plan, pairs kept apart, runs; and names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import birdsearch
from birdsearch import Index
from birdsearch.web.serving import Settings
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.web.conftest import client_of

API = "/api/v1"


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Index]:
    """Two pictures, each there three times."""
    for seed in (1, 2):
        for n in range(3):
            write(tmp_path / "photos" / f"bird {seed}{n}.png", bird(seed))
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        yield index


@pytest.fixture
def editor(copies: Index, settings: Settings) -> Iterator[TestClient]:
    with client_of(copies, settings) as made:
        yield made


@pytest.fixture
def report(copies: Index) -> str:
    return f"{API}/duplicates/{copies.duplicates().id}"


def group(editor: TestClient, report: str, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = editor.get(f"{report}/groups/{number}").json()
    return found


def ids(found: dict[str, Any]) -> list[int]:
    return [one["photo"]["id"] for one in found["photos"]]


def test_a_report_tells_its_groups(editor: TestClient, report: str) -> None:
    assert [one["id"] for one in editor.get(f"{API}/duplicates").json()] == [report.rpartition("/")[2]]
    overview = editor.get(report).json()
    assert overview["numbers"] == {"identical": [1, 2]}
    assert (overview["decided"], overview["begun"]) == ([], [])
    found = group(editor, report)
    assert found["keep"] == ids(found)[0]
    assert [one["relation"] for one in found["photos"]] == [None, "identical", "identical"]
    assert found["reason"]
    assert all(one["reason"] for one in found["photos"])


def test_groups_come_page_by_page(editor: TestClient, report: str) -> None:
    first = editor.get(f"{report}/groups", params={"limit": 1}).json()
    assert ([one["number"] for one in first["groups"]], first["next"], first["total"]) == ([1], 1, 2)
    second = editor.get(f"{report}/groups", params={"limit": 1, "after": first["next"]}).json()
    assert ([one["number"] for one in second["groups"]], second["next"]) == ([2], None)
    assert editor.get(f"{report}/groups", params={"relation": "burst"}).json()["groups"] == []


def test_what_is_not_there_is_said(editor: TestClient, report: str) -> None:
    for path in (
        f"{report}/groups/3",
        f"{API}/duplicates/none",
        f"{API}/duplicates/none/groups",
        f"{report}/groups/99999",
    ):
        assert editor.get(path).status_code == 404, path
    for path in (f"{report}/groups?relation=twin", f"{report}/plan?relations=twin", f"{report}/groups/0"):
        assert editor.get(path).status_code == 422, path


def test_a_decision_is_kept_at_once_and_rules_the_plan(editor: TestClient, copies: Index, report: str) -> None:
    nothing = editor.get(f"{report}/plan").json()
    assert nothing["remove"] == {"photos": 0, "bytes": 0}
    keep, remove, left = ids(group(editor, report))
    assert editor.put(f"{report}/groups/1", json={"keep": [keep], "remove": [remove]}).status_code == 200
    assert group(editor, report)["decision"] == {"keep": [keep], "remove": [remove]}
    assert editor.get(report).json()["begun"] == [1]
    planned = editor.get(f"{report}/plan").json()
    assert planned["remove"] == {"photos": 1, "bytes": copies.photo(remove).size}
    assert planned["paths"] == [copies.photo(remove).path]
    assert planned["by_relation"] == {"identical": planned["remove"]}
    assert planned["stays"]["not decided yet"] == 1
    also = editor.get(f"{report}/plan", params={"relations": ["identical"]}).json()
    assert also["remove"]["photos"] == 3
    editor.put(f"{report}/groups/1", json={"keep": [keep], "remove": [remove, left]})
    assert editor.get(report).json()["decided"] == [1]
    editor.put(f"{report}/groups/1", json={})
    assert editor.get(f"{report}/plan").json() == nothing


def test_what_cannot_be_decided_is_refused(editor: TestClient, report: str) -> None:
    one, other = ids(group(editor, report)), ids(group(editor, report, 2))
    for pick in ({"keep": [other[0]]}, {"keep": [one[0]], "remove": [one[0]]}, {"keep": ["x"]}, {"keep": [0]}):
        refused = editor.put(f"{report}/groups/1", json=pick)
        assert refused.status_code == 422, pick
        assert refused.headers["content-type"] == "application/problem+json"
    assert group(editor, report)["decision"] == {"keep": [], "remove": []}


def test_pairs_are_kept_apart_and_taken_back(editor: TestClient, copies: Index, report: str) -> None:
    keep, other, _ = ids(group(editor, report))
    assert editor.post(f"{API}/not-duplicates", json={"a": other, "b": keep}).status_code == 204
    assert [one["apart"] for one in group(editor, report)["photos"]] == [False, True, False]
    (pair,) = editor.get(f"{API}/not-duplicates").json()
    assert {pair["a"]["id"], pair["b"]["id"]} == {keep, other}
    assert editor.get(f"{report}/plan", params={"relations": ["identical"]}).json()["remove"]["photos"] == 3
    assert editor.request("DELETE", f"{API}/not-duplicates", json={"a": keep, "b": other}).status_code == 204
    assert editor.get(f"{API}/not-duplicates").json() == []
    assert editor.post(f"{API}/not-duplicates", json={"a": keep, "b": keep}).status_code == 422
    assert editor.post(f"{API}/not-duplicates", json={"a": keep, "b": 999}).status_code == 404


def test_photos_that_went_are_counted_as_gone(editor: TestClient, copies: Index, report: str) -> None:
    keep, other, left = ids(group(editor, report))
    editor.put(f"{report}/groups/1", json={"keep": [keep], "remove": [other]})
    run = copies.apply(copies.plan(copies.duplicate_report(report.rpartition("/")[2]), relations=()), "trash").run
    assert run
    assert (ids(group(editor, report)), group(editor, report)["gone"]) == ([keep, left], 1)
    assert [one["run"] for one in editor.get(f"{API}/runs").json()] == [run]
    assert editor.get(report).json()["numbers"] == {"identical": [1, 2]}
    copies.undo(run)
    assert sorted(ids(group(editor, report))) == sorted([keep, other, left])
    assert group(editor, report)["decision"] == {"keep": [keep], "remove": [other]}


def test_a_group_of_which_one_photo_is_left_is_no_longer_listed(editor: TestClient, copies: Index, report: str) -> None:
    found = copies.duplicate_report(report.rpartition("/")[2])
    run = copies.apply(copies.plan(found, relations=("identical",)), "trash").run
    assert editor.get(report).json()["numbers"] == {}
    assert (len(ids(group(editor, report))), group(editor, report)["gone"]) == (1, 2)
    copies.undo(run)
    assert editor.get(report).json()["numbers"] == {"identical": [1, 2]}


def test_a_viewer_sees_groups_and_decides_nothing(copies: Index, settings: Settings, report: str) -> None:
    with client_of(copies, settings, settings.keys.view) as viewer:
        found = group(viewer, report)
        assert not any(one["photo"]["path"].startswith("/") for one in found["photos"])
        assert viewer.put(f"{report}/groups/1", json={"keep": ids(found)}).status_code == 403
        assert viewer.post(f"{API}/not-duplicates", json={"a": 1, "b": 2}).status_code == 403
        assert viewer.get(f"{report}/plan", params={"relations": ["identical"]}).json()["paths"] == []


def test_names_are_told_corrected_and_completed(client: TestClient, own: Index) -> None:
    before = client.get(f"{API}/names").json()
    assert {name["label"] for name in before} == {"Robin", "Wren"}
    (changed,) = client.patch(f"{API}/names", json={"Wren": "Winter Wren"}).json()
    assert (changed["scientific"], changed["method"]) == ("Troglodytes hiemalis", "override")
    assert client.patch(f"{API}/names", json={"Wren": "Nobird"}).status_code == 422
    assert client.patch(f"{API}/names", json={"Wren": ""}).json()[0]["rank"] is None
    client.patch(f"{API}/names", json={"Wren": None})
    assert client.get(f"{API}/names").json() == before
    assert client.get(f"{API}/names/like", params={"text": "wre"}).json()[0]["name"] == "Wren"
    assert client.get(f"{API}/names/like", params={"text": "", "limit": 3}).json() == []
    assert client.get(f"{API}/names/like", params={"text": "a", "limit": 0}).status_code == 422


def test_the_pages_stand_without_javascript(editor: TestClient, report: str) -> None:
    for path, words in (
        ("/duplicates", "2 groups among 6 photos"),
        ("/audit", "Labels that may be wrong"),
        ("/names", "AviList"),
    ):
        assert words in editor.get(path).text
