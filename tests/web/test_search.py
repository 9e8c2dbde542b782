"""Searching, classifying and embedding over HTTP: the same answers as in Python."""

import io
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import birdsearch
from birdsearch import Filter, Index
from birdsearch.records import as_json
from birdsearch.web.serving import Settings
from birdsearch.web.turns import CORES
from tests.conftest import write_garden_photos
from tests.support.colours import Colours
from tests.web.conftest import Served, client_of

API = "/api/v1"


def picture(index: Index, photo_id: int = 1) -> bytes:
    """The bytes of a photo, turned a bit: a picture that is not in the index."""
    with Image.open(index.photo(photo_id).path) as image:
        image.rotate(3).save(data := io.BytesIO(), "PNG")
    return data.getvalue()


def upload(*images: bytes, **question: Any) -> dict[str, Any]:
    """What a client sends with images."""
    files: list[tuple[str, Any]] = [("image", ("mystery.png", data)) for data in images]
    return {"files": files, "data": {"question": json.dumps(question)} if question else None}


def test_a_photo_finds_what_it_finds_in_python(client: TestClient, own: Index) -> None:
    found = as_json(own.search(own.photo(4), 3))
    assert client.get(f"{API}/photos/4/similar", params={"k": 3}).json()["matches"] == found
    assert client.post(f"{API}/search", json={"photo": 4, "k": 3}).json()["matches"] == found


def test_an_upload_finds_what_it_finds_in_python(client: TestClient, own: Index) -> None:
    data = picture(own)
    found = client.post(f"{API}/search", **upload(data, k=2, where={"species": "Wren"})).json()["matches"]
    assert found == as_json(own.search(data, 2, where=Filter(species="Wren")))
    box = {"x": 0.2, "y": 0.2, "width": 0.5, "height": 0.5}
    boxed = client.post(f"{API}/search", **upload(data, box=box)).json()["matches"]
    assert [one["photo"]["id"] for one in boxed] != []
    assert client.post(f"{API}/search", **upload(data)).json()["matches"] != boxed


def test_a_vector_finds_its_photo(client: TestClient) -> None:
    vector = client.get(f"{API}/photos/5/vector").json()
    assert client.post(f"{API}/search", json={"vector": vector, "k": 1}).json()["matches"][0]["photo"]["id"] == 5
    many = client.post(f"{API}/search/many", json={"vectors": [vector, vector], "k": 1}).json()["results"]
    assert [matches[0]["photo"]["id"] for matches in many] == [5, 5]


def test_many_are_asked_at_once(client: TestClient, own: Index) -> None:
    data = picture(own)
    asked = upload(data, b"broken", data, k=2, errors="skip")
    answer = client.post(f"{API}/search/many", **asked).json()
    assert [len(matches) for matches in answer["results"]] == [2, 0, 2]
    assert list(answer["errors"]) == ["1"]
    lines = client.post(f"{API}/search/many", **asked, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert [len(json.loads(line)["matches"]) for line in lines] == [2, 0, 2]
    assert client.post(f"{API}/search/many", **upload(data, b"broken")).status_code == 422
    own_photos = client.post(f"{API}/search/many", json={"photos": [1, 4], "k": 1}).json()["results"]
    assert own_photos == as_json(own.search_many(own.photos(ids=[1, 4]), 1))


def test_classifying_answers_as_in_python(client: TestClient, own: Index) -> None:
    data = picture(own)
    said = client.post(f"{API}/classify", **upload(data, source="neighbours")).json()["predictions"]
    assert said == as_json(own.classify(data, source="neighbours"))
    listed = client.post(f"{API}/classify", json={"photo": 1, "source": "neighbours", "checklist": ["Wren"]}).json()
    assert "vagrant" in listed["predictions"][0]["note"]
    many = client.post(f"{API}/classify/many", **upload(data, data, burst=True, source="neighbours")).json()
    assert len(many["results"]) == 2


def test_vectors_come_as_octets(client: TestClient, own: Index) -> None:
    accept = {"Accept": "application/octet-stream"}
    octets = client.post(f"{API}/embed", json={"photos": [1, 4]}, headers=accept).content
    assert np.array_equal(np.frombuffer(octets, "<f4").reshape(2, -1), own.vectors([1, 4]))
    assert len(client.post(f"{API}/embed", **upload(picture(own))).json()) == 1


WRONG: list[dict[str, Any]] = [
    {"json": {}},
    {"json": {"photo": 1, "k": 0}},
    {"json": {"photo": 1, "k": 1001}},
    {"json": {"photo": 1, "vector": [1.0]}},
    {"json": {"vector": [0.0] * 16}},
    {"json": {"photo": 1, "box": {"x": 0.9, "y": 0, "width": 0.5, "height": 1}}},
    {"json": {"photo": 1, "where": {"nothing": 1}}},
    {"json": {"photo": "1; DROP"}},
    {"content": '{"photo": 1, "min_score": NaN}', "headers": {"Content-Type": "application/json"}},
    {"files": [("image", ("a.jpg", b"no picture"))]},
    {"files": [("image", ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"))]},
    {"files": [("image", ("a.jpg", b""))]},
    {"files": [("picture", ("a.jpg", b""))]},
    {"files": [("image", ("a.jpg", b"")), ("image", ("b.jpg", b""))]},
]


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        ("search/many", {"photos": [1], "vector": [1.0] * 16}, "/body/vector"),
        ("search/many", {"photos": [1], "vectors": [[1.0] * 16]}, "not about both"),
        ("find", {"photo": 1, "region": "bird"}, "/body/region"),
    ],
)
def test_what_nobody_would_look_at_is_refused(client: TestClient, path: str, asked: dict[str, Any], said: str) -> None:
    refused = client.post(f"{API}/{path}", json=asked)
    assert refused.status_code == 422
    assert said in refused.json()["detail"]


@pytest.mark.parametrize("asked", WRONG)
def test_what_cannot_be_meant_is_said(client: TestClient, asked: dict[str, Any]) -> None:
    problem = client.post(f"{API}/search", **asked)
    assert problem.status_code == 422, problem.text
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["detail"]


def test_bodies_that_cannot_be_read(client: TestClient) -> None:
    html = {"Content-Type": "text/html"}
    assert client.post(f"{API}/search", content="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert client.post(f"{API}/search", content="<p>", headers=html).status_code == 415
    cut = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post(f"{API}/search", content=b"--x\r\nContent-Disp", headers=cut).status_code in (400, 422)
    many = [("image", ("a.png", b"x"))] * 33
    assert client.post(f"{API}/search/many", files=many).status_code == 400


def test_a_picture_of_too_many_pixels_is_refused(client: TestClient) -> None:
    Image.new("1", (11_000, 11_000)).save(data := io.BytesIO(), "PNG")
    problem = client.post(f"{API}/search", **upload(data.getvalue()))
    assert problem.status_code == 422
    assert "121 megapixels" in problem.json()["detail"]


def test_too_many_questions_are_told_to_come_again(client: TestClient, own: Index) -> None:
    turns = client.app.state.serving.turns  # type: ignore[attr-defined]
    taken = 0
    while turns._room.acquire(blocking=False):
        taken += 1
    data = picture(own)
    refused = client.post(f"{API}/search", **upload(data))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert taken == 3 * CORES
    assert client.post(f"{API}/search", json={"photo": 1}).status_code == 200  # its vector is known
    turns._room.release()
    assert client.post(f"{API}/search", **upload(data)).status_code == 200


def test_twenty_searches_at_once_are_all_answered(served: Served) -> None:
    together = threading.Barrier(20)

    def ask(number: int) -> list[int]:
        with httpx.Client(headers={"Authorization": f"Bearer {served.keys.view}"}) as client:
            together.wait(30)
            similar = [
                client.get(f"{served.address}{API}/photos/{1 + n % 6}/similar") for n in range(number, number + 3)
            ]
            return [answer.status_code for answer in similar]

    with ThreadPoolExecutor(20) as pool:
        assert [status for each in pool.map(ask, range(20)) for status in each] == [200] * 60


def test_a_viewer_asks_and_learns_no_place(viewer: TestClient, own: Index) -> None:
    for answer in (
        viewer.post(f"{API}/search", json={"photo": 1}),
        viewer.get(f"{API}/photos/1/similar"),
        viewer.post(f"{API}/search/many", json={"photos": [1]}),
    ):
        assert answer.status_code == 200
        assert str(own.path.parent) not in answer.text
        assert '"latitude":null' in answer.text
        assert '"latitude":-' not in answer.text
    assert viewer.post(f"{API}/search", json={"photo": 1, "where": {"near": [1, 2, 3]}}).status_code == 403


def test_a_viewer_learns_no_folder_from_a_photo_that_is_gone(tmp_path: Path, fake_built_in: None) -> None:
    write_garden_photos(tmp_path / "photos")
    settings = Settings()
    with birdsearch.create(tmp_path / "index") as index, client_of(index, settings, settings.keys.view) as viewer:
        index.add(tmp_path / "photos", labels="folder")
        os.unlink(index.photo(4).path)
        asked = {"photos": [1, 4], "box": {"x": 0.2, "y": 0.2, "width": 0.5, "height": 0.5}, "errors": "skip"}
        errors = viewer.post(f"{API}/search/many", json=asked).json()["errors"]
    assert list(errors) == ["1"]
    assert "Wren/" in errors["1"]
    assert str(tmp_path) not in errors["1"]


@pytest.fixture
def coloured(tmp_path: Path) -> Iterator[TestClient]:
    """A client of an index whose backbone knows the words for colours."""
    with birdsearch.create(tmp_path / "colours", backbone=Colours()) as index:
        for name, shade in {"one": (220, 20, 30), "two": (20, 200, 40), "three": (30, 20, 220)}.items():
            (tmp_path / "photos").mkdir(exist_ok=True)
            Image.new("RGB", (40, 40), shade).save(tmp_path / "photos" / f"{name}.png")
        index.add(tmp_path / "photos")
        with client_of(index, Settings()) as made:
            yield made


def test_words_are_asked(coloured: TestClient) -> None:
    matches = coloured.post(f"{API}/search", json={"text": "red bird - blue", "k": 2}).json()["matches"]
    assert Path(matches[0]["photo"]["path"]).name == "one.png"
    assert {match["score_kind"] for match in matches} == {"text"}
    photo = matches[0]["photo"]["id"]
    both = coloured.post(f"{API}/search", json={"text": "blue - red", "photo": photo, "k": 1}).json()["matches"]
    assert Path(both[0]["photo"]["path"]).name == "three.png"
    assert coloured.post(f"{API}/search", json={"text": "red", "min_score": 0.99}).json()["matches"][0]["score"] > 0.99


@pytest.mark.parametrize(
    "question",
    [
        {"text": "red - red"}, {"text": ""}, {"text": "red -"}, {"text": "red", "diffuse": True},
        {"text": "red", "vector": [1, 0, 0]}, {"text": "x" * 2000},
    ],
)  # fmt: skip
def test_words_that_cannot_be_asked_are_refused(question: dict[str, Any], coloured: TestClient) -> None:
    answer = coloured.post(f"{API}/search", json=question)
    assert answer.status_code == 422, answer.text


def test_an_index_that_knows_no_words_says_who_does(client: TestClient) -> None:
    answer = client.post(f"{API}/search", json={"text": "a wren"})
    assert answer.status_code == 503
    assert "bioclip-v2" in answer.json()["detail"]
