"""Objects in stores: what goes wrong is told in words, without what a server or an address may give away."""

import json
import sys
import unicodedata
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

import pytest

import birdsearch
from birdsearch import objects
from birdsearch.errors import InstallationError, PhotoMissingError, RemoteError
from birdsearch.words import shown
from tests.support.object_store import Bucket, answering


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        first = self.path.strip("/").split("/")[0]
        self.send_response(int(first) if first.isdecimal() else 200)
        self.send_header("Content-Length", "6")
        self.send_header("ETag", self.path)
        self.send_header("Last-Modified", "Fri, 27 Nov 2026 10:00:00 GMT")
        self.end_headers()
        self.wfile.write(b"secret")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """A web server that answers /CODE with this code, and all else with an object whose ETag is the path asked for."""
    with answering(_Answers) as address:
        yield address


@pytest.mark.parametrize(("code", "words"), [(403, "no permission"), (401, "refuses these credentials")])
def test_what_a_server_refuses_is_told_in_words(site: str, code: int, words: str) -> None:
    with pytest.raises(RemoteError, match=words) as caught:
        objects.read(f"{site}/{code}/wren.jpg")
    assert "secret" not in str(caught.value)


def test_an_object_is_written_whole_and_taken_away(bucket: Bucket) -> None:
    url = f"{bucket.url}/a/part"
    objects.write(url, b"first", new=True)
    with pytest.raises(FileExistsError):
        objects.write(url, b"second", new=True)
    assert objects.read(url) == b"first"
    objects.write(url, b"second")
    assert [(one.url, one.state.size) for one in objects.listed(bucket.url)] == [(url, 6)]
    objects.delete([url, url])
    assert objects.state_of(url) is None


def test_without_credentials_the_error_says_how_to_give_them(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="no credentials were found: give them in the environment"):
        list(objects.listed(bucket.url))
    monkeypatch.setenv("BIRDSEARCH_ANONYMOUS", "1")
    assert list(objects.listed(bucket.url)) == []


@pytest.mark.parametrize("scheme", ["az", "azure", "abfs", "abfss", "adl"])
def test_an_object_of_azure_lies_in_a_container_of_the_account_of_the_environment(
    site: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", site)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "museum")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    with objects.opened(f"{scheme}://photos/raw/Wren 1.jpg") as (state, _):
        assert state.etag == "/photos/raw/Wren%201.jpg"


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_an_object_of_google_is_read_as_its_key_file_says(
    site: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    key = {"gcs_base_url": site, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
    with objects.opened(f"{scheme}://photos/raw/Wren 1.jpg") as (state, _):
        assert unquote(state.etag or "") == "/photos/raw/Wren 1.jpg"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gs://photos/raw", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://photos/raw", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://pho.tos/raw", "write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"),
    ],
)
def test_what_a_cloud_needs_is_told_in_its_own_names(url: str, words: str) -> None:
    with pytest.raises(PhotoMissingError, match=words):
        birdsearch.check_folders([url])


def test_without_obstore_the_error_says_what_to_install(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(InstallationError, match=r'pip install "birdsearch\[cluster\]"'):
        list(objects.listed(bucket.url))


@pytest.mark.parametrize(
    "key", ["Blue Tit/1 (2).jpg", "übung#1.jpg", "100%.jpg", "a+b&c=d.jpg", "what?.jpg", "%20.jpg", "tilde~[1].jpg"]
)
def test_every_key_is_read_as_it_is_listed(bucket: Bucket, key: str) -> None:
    bucket.put(key, key.encode())
    (listed,) = objects.listed(bucket.url)
    assert listed.url == f"{bucket.url}/{key}"
    assert objects.read(listed.url) == key.encode()
    assert objects.state_of(listed.url) == listed.state


def test_names_that_look_alike_are_two_objects(bucket: Bucket) -> None:
    for form in ("NFC", "NFD"):
        bucket.put(unicodedata.normalize(form, "Tüpfelsumpfhuhn.jpg"), form.encode())
    assert [objects.read(one.url) for one in objects.listed(bucket.url)] == [b"NFD", b"NFC"]


@pytest.mark.parametrize(
    ("odd", "others"),
    [
        ("raw/b//2.jpg", ["raw/a/1.jpg", "raw/b/3.jpg", "raw/c.jpg", "raw/c/3.jpg"]),
        ("raw//2.jpg", ["raw/a/1.jpg", "raw/c.jpg"]),
        ("raw/../2.jpg", ["raw/a/1.jpg", "raw/c.jpg"]),
        ("raw/a/./2.jpg", ["raw/a/1.jpg", "raw/b/1.jpg"]),
        ("raw/a/\t2.jpg", ["raw/a/1.jpg", "raw/b/1.jpg"]),
    ],
)
def test_a_key_that_cannot_be_listed_spoils_no_other_folder(bucket: Bucket, odd: str, others: list[str]) -> None:
    for key in (odd, *others):
        bucket.put(key, b"x")
    found = set[str]()
    listing = (one.url.removeprefix(f"{bucket.url}/") for one in objects.listed(f"{bucket.url}/raw"))
    with pytest.raises(RemoteError, match="Give it another name") as caught:
        found.update(listing)
    assert found == set(others)
    assert shown(odd) in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://ana:robin@example.org/wren.jpg",
        "https://example.org/wren.jpg?X-Amz-Signature=robin",
        "https://example.org/wren.jpg?size=2&access_token=robin",
    ],
)
def test_an_address_that_opens_itself_is_not_kept(url: str) -> None:
    with pytest.raises(PhotoMissingError, match="leave it out") as caught:
        birdsearch.check_folders([url])
    assert "robin" not in str(caught.value)
