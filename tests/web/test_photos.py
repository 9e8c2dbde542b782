"""Photos over HTTP: lists, one of them, ids."""

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from birdsearch import Index
from birdsearch.errors import PhotoMissingError
from birdsearch.web.serving import Serving, Settings
from tests.support import card
from tests.web.conftest import client_of

PHOTOS = "/api/v1/photos"


def test_pages_follow_each_other(client: TestClient) -> None:
    first = client.get(PHOTOS, params={"limit": 4, "order": "oldest"}).json()
    second = client.get(PHOTOS, params={"limit": 4, "order": "oldest", "after": first["next"]}).json()
    taken = [photo["taken_at"] for photo in first["photos"] + second["photos"]]
    assert (len(taken), taken) == (6, sorted(taken))
    assert (first["total"], second["next"]) == (6, None)


def test_a_filter_has_the_fields_of_python(client: TestClient) -> None:
    for query in ("species=Wren", "label=wren&min_width=320", "near=52.5,13.4,5", 'where={"species": "Wren"}'):
        found = client.get(f"{PHOTOS}?{query}").json()
        assert {photo["species"] for photo in found["photos"]} == {"Wren"}, query
        assert found["total"] == 3


def test_what_cannot_be_meant_is_said(client: TestClient) -> None:
    for query in (
        "near=1,2",
        "wher=1",
        "limit=0",
        "after=99999999999999999999",
        "where=1",
        'where={"a": 1}',
        "order=x",
    ):
        problem = client.get(f"{PHOTOS}?{query}")
        assert problem.status_code == 422, query
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.json()["detail"]


def test_ids_come_as_octets(client: TestClient) -> None:
    listed = client.get(f"{PHOTOS}/ids", params={"order": "id"}).json()
    octets = client.get(f"{PHOTOS}/ids", params={"order": "id"}, headers={"Accept": "application/octet-stream"})
    assert np.frombuffer(octets.content, "<u4").tolist() == listed == sorted(listed)


def test_all_photos_come_a_line_each(client: TestClient) -> None:
    answer = client.get(PHOTOS, params={"limit": 1}, headers={"Accept": "application/x-ndjson"})
    assert len([json.loads(line) for line in answer.text.splitlines()]) == 6


def test_nothing_is_sent_again_before_a_commit(client: TestClient, own: Index) -> None:
    first = client.get(PHOTOS)
    again = {"If-None-Match": first.headers["etag"]}
    assert client.get(PHOTOS, headers=again).status_code == 304
    own.label({1: "Dunnock"})
    assert client.get(PHOTOS, headers=again).status_code == 200


def test_a_photo_that_is_not_there(client: TestClient) -> None:
    problem = client.get(f"{PHOTOS}/99")
    assert problem.status_code == 404
    assert problem.json()["type"] == "/help/errors#photo-unknown"
    assert 'id="photo-unknown"' in client.get("/help/errors").text


def test_a_viewer_learns_no_place(viewer: TestClient, own: Index) -> None:
    seen = viewer.get(f"{PHOTOS}/1").json()
    assert (seen["latitude"], seen["longitude"], seen["camera_serial"]) == (None, None, None)
    assert seen["path"] == "Robin/1.jpg"
    for path in ("/photos", "/api/v1/", PHOTOS, f"{PHOTOS}?ids=1"):
        assert str(own.path.parent) not in viewer.get(path).text
    for query in ("near=1,2,3", "under=/", 'where={"any_of": [{"near": [1, 2, 3]}]}'):
        assert viewer.get(f"{PHOTOS}?{query}").status_code == 403, query


def test_a_server_without_an_index_says_what_to_do() -> None:
    with client_of(None, Settings()) as client:
        assert "Add a folder" in client.get("/").text
        assert client.get("/api/v1/").json()["info"] is None
        assert client.get(PHOTOS).status_code == 409


def test_no_text_tells_a_viewer_where_files_lie(viewer: TestClient, own: Index) -> None:
    hide = viewer.app.state.serving.hiding_paths()  # type: ignore[attr-defined]
    (root,) = own.provenance.folders
    said = f"no such file: {root}/Wren/1.jpg. Look in /home/ana/My-birds/2024."
    assert hide(said) == "no such file: Wren/1.jpg. Look in 2024."
    assert hide("move:/media/Ana Smith/My birds/away") == "move:away"
    assert hide(r"C:\Users\Ana Smith\birds\1.jpg is gone") == "1.jpg is gone"
    said = "cannot use birds+postgresql://ana@db/b?index=a&parts=s3://raw/x: no. Milvus at milvus://m:19530 is away."
    assert hide(said) == "cannot use birds+postgresql://…: no. Milvus at milvus://… is away."
    names = "Larus fuscus/argentatus, 1/2, Gull / Tern / Skua, http://a.example/b/c"
    assert hide(names) == names
    serving = Serving(viewer.app.state.serving, "view")  # type: ignore[attr-defined]
    assert serving.seen({f"{root}/Wren/1.xmp cannot go": 2}) == {"Wren/1.xmp cannot go": 2}
    before = viewer.get("/api/v1/audit", params={"again": True})
    own.label({1: "Wren"})
    for answer in (before, viewer.get("/api/v1/audit", params={"again": True}), viewer.get(f"{PHOTOS}/1")):
        assert answer.status_code == 200
        assert root not in answer.text
        assert '"latitude":-' not in answer.text


def test_what_goes_wrong_with_a_photo_tells_a_viewer_no_folder(
    own: Index, viewer: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root,) = own.provenance.folders

    def gone(*_: object, **__: object) -> None:
        raise PhotoMissingError(f"no such photo: {root}/Wren/1.jpg")

    for name in ("search", "classify"):
        monkeypatch.setattr(Index, name, gone)
    page = viewer.get("/photos/4")
    assert page.text.count("no such photo: Wren/1.jpg") == 2
    assert root not in page.text


def test_a_filter_that_no_catalog_could_answer_is_refused(client: TestClient) -> None:
    deep: dict[str, object] = {"species": "Wren"}
    for _ in range(30):
        deep = {"any_of": [deep]}
    wide = {"any_of": [{"min_width": width} for width in range(1, 3000)]}
    named = {"species": [f"Bird {number}" for number in range(2000)]}
    for where in (deep, wide, named):
        refused = client.post("/api/v1/search", json={"photo": 1, "where": where})
        assert refused.status_code == 422
        assert client.post("/api/v1/jobs", json={"do": "audit", "where": where}).status_code == 422


def test_what_goes_with_a_photo_is_shown_and_tells_a_viewer_no_folder(
    tmp_path: Path, index: Index, settings: Settings
) -> None:
    _, raw = card.pair(tmp_path / "card", "IMG_1", 1)
    index.add(tmp_path / "card")
    for key, path in ((settings.keys.edit, str(raw)), (settings.keys.view, raw.name)):
        with client_of(index, settings, key) as asking:
            assert asking.get(f"{PHOTOS}/1").json()["companions"] == [path]
            assert raw.name in asking.get("/photos/1").text
            assert (str(tmp_path) in asking.get("/photos/1").text) is (key == settings.keys.edit)
