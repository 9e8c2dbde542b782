"""Pictures of photos over HTTP."""

import io
import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import birdsearch
from birdsearch import Index
from birdsearch.web.serving import Settings
from tests.conftest import write_garden_photos
from tests.support.object_store import Bucket
from tests.support.postgresql import Server
from tests.web.conftest import client_of

PHOTOS = "/api/v1/photos"


def test_a_thumbnail_is_kept_by_its_version(client: TestClient, own: Index) -> None:
    made = client.get(f"{PHOTOS}/1/thumbnail", params={"size": 160})
    with Image.open(io.BytesIO(made.content)) as picture:
        assert max(picture.size) == 160
    assert "sandbox" in made.headers["content-security-policy"]
    assert made.headers["cache-control"] == "private, no-cache"
    again = client.get(f"{PHOTOS}/1/thumbnail?size=160", headers={"If-None-Match": made.headers["etag"]})
    assert again.status_code == 304
    version = (own.photo(1).sha256 or "")[:16]
    assert "immutable" in client.get(f"{PHOTOS}/1/thumbnail?v={version}").headers["cache-control"]
    assert "immutable" not in client.get(f"{PHOTOS}/1/thumbnail?v=0123456789abcdef").headers["cache-control"]
    assert client.get(f"{PHOTOS}/99/thumbnail").status_code == 404
    assert client.get(f"{PHOTOS}/1/thumbnail?size=99999").status_code == 422


def test_the_file_comes_whole_or_in_part(client: TestClient, own: Index) -> None:
    data = Path(own.photo(1).path).read_bytes()
    whole = client.get(f"{PHOTOS}/1/file")
    assert (whole.content, whole.headers["content-type"]) == (data, "image/jpeg")
    for asked, part in (("0-9", data[:10]), ("10-", data[10:]), ("-7", data[-7:]), ("5-999999999", data[5:])):
        answer = client.get(f"{PHOTOS}/1/file", headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, part), asked
    assert client.get(f"{PHOTOS}/1/file", headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    for odd in ("bytes=-", "bytes=9-3,1-2", "lines=1-2", f"bytes={'9' * 40}-"):
        assert client.get(f"{PHOTOS}/1/file", headers={"Range": odd}).status_code == 200, odd


@pytest.fixture
def changing(tmp_path: Path, fake_built_in: None) -> Index:
    """An index of photos that a test may change."""
    write_garden_photos(tmp_path / "photos")
    index = birdsearch.create(tmp_path / "index")
    index.add(tmp_path / "photos")
    return index


def test_an_index_in_a_database_is_shown_by_its_name_and_photos_in_a_store_as_others(
    postgresql: Server, bucket: Bucket, tmp_path: Path, fake_built_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))
    write_garden_photos(tmp_path / "photos")
    bucket.put_folder(tmp_path / "photos", "raw")
    address = postgresql.address(f"{bucket.url}/index", "The Museum", postgresql.new_database())
    with birdsearch.create(address) as index, client_of(index, Settings()) as client:
        index.add(f"{bucket.url}/raw", labels="folder")
        assert "The Museum" in client.get("/photos").text
        for form in ("thumbnail", "preview"):
            with Image.open(io.BytesIO(client.get(f"{PHOTOS}/1/{form}").content)) as picture:
                assert picture.width > 100
        path = Path(index.photo(1).path.removeprefix(f"{bucket.url}/raw/"))
        assert client.get(f"{PHOTOS}/1/file").content == (tmp_path / "photos" / path).read_bytes()
        exported = client.post("/api/v1/jobs", json={"do": "export", "format": "csv"})
        assert exported.status_code in (200, 202)
        bucket.delete(f"raw/{path}")
        assert client.get(f"{PHOTOS}/1/file").status_code == 410


def test_another_file_in_the_place_of_a_photo_is_not_shown(changing: Index, tmp_path: Path) -> None:
    path = Path(changing.photo(1).path)
    secret = tmp_path / "secret"
    secret.write_text("-----BEGIN PRIVATE KEY-----")
    with client_of(changing, Settings()) as client:
        path.unlink()
        assert client.get(f"{PHOTOS}/1/file").status_code == 410
        os.symlink(secret, path)
        for place in (f"{PHOTOS}/1/file", f"{PHOTOS}/1/preview", f"{PHOTOS}/1/thumbnail"):
            answer = client.get(place)
            assert b"PRIVATE" not in answer.content
            assert answer.status_code in (410, 422) or answer.content.startswith(b"RIFF")  # kept by the photo's bytes
    changing.close()


def test_a_viewer_gets_previews_alone(viewer: TestClient) -> None:
    assert viewer.get(f"{PHOTOS}/1/file").status_code == 403
    preview = viewer.get(f"{PHOTOS}/1/preview")
    with Image.open(io.BytesIO(preview.content)) as picture:
        assert not picture.getexif()


def test_what_browsers_do_not_show_is_drawn_anew(changing: Index, tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (40, 120, 60)).save(tmp_path / "photos/scan.tif")
    changing.add(tmp_path / "photos")
    scan = changing.find(tmp_path / "photos/scan.tif")
    with client_of(changing, Settings()) as client:
        shown = client.get(f"{PHOTOS}/{scan.id}/file")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    changing.close()
