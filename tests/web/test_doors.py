"""Who may come in, and what every answer carries."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import birdsearch
from birdsearch import Index
from birdsearch.web.keys import Keys
from birdsearch.web.serving import Settings
from tests.support.postgresql import Server
from tests.web.conftest import client_of

PHOTOS = "/api/v1/photos"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.0.1:8377", "LOCALHOST:80", "[::1]:8377"])
def test_its_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get(PHOTOS, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "192.168.1.5",
        "10.0.0.1:8377",
        "",
        "127.0.0.1:x",
        "127.0.0.1/static/",
        "127.0.0.1:80/static/",
        "127.0.0.1#",
        "user@127.0.0.1",
        "127.0.0.1.",
        "[::1].evil.example",
    ],
)
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    refused = client.get(PHOTOS, headers={"Host": host})
    assert refused.status_code == 421
    assert refused.headers["content-type"] == "application/problem+json"
    assert "--allow-host" in refused.json()["detail"]


def test_a_name_that_was_allowed_is_answered(own: Index) -> None:
    with client_of(own, Settings(allow_hosts=("photos.example",))) as client:
        assert client.get(PHOTOS, headers={"Host": "photos.example"}).status_code == 200
        assert client.get(PHOTOS, headers={"Host": "a.photos.example"}).status_code == 421


ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_page_of_another_site_changes_nothing(client: TestClient, method: str, headers: dict[str, str]) -> None:
    refused = client.request(method, "/api/v1/photos/1/label", headers=headers, json={"species": "Dodo"})
    assert refused.status_code == 403
    assert client.get(f"{PHOTOS}/1").json()["label"] != "Dodo"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_reads_nothing(client: TestClient, site: str) -> None:
    inside = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    framed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get(PHOTOS, headers=inside).status_code == 403
    assert client.get("/photos", headers=framed).status_code == 403
    assert client.get("/photos", headers=link).status_code == 200


@pytest.mark.parametrize("key", ["", "wrong", "é", "\udce9"])
def test_who_has_no_key_gets_nothing(own: Index, settings: Settings, key: str) -> None:
    with client_of(own, settings, "") as client:
        headers = {b"Authorization": f"Bearer {key}".encode("utf-8", "surrogateescape")} if key else {}
        refused = client.get(PHOTOS, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/photos", "/help/errors", "/api/v1/openapi.json", "/nothing"):
            assert client.get(path, headers=headers).status_code == 401
        stranger = client.get("/photos").text
        assert "wren" not in stranger.lower()
        assert f">{own.path.name}<" not in stranger


def test_a_link_opens_the_door_once(own: Index, settings: Settings) -> None:
    link = settings.links.make("view")
    with client_of(own, settings, "") as client:
        opened = client.get(link)
        assert opened.status_code == 303
        assert opened.headers["location"] == "/"
        cookie = opened.headers["set-cookie"].lower()
        assert "birdsearch-8377=" in cookie
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get(PHOTOS).status_code == 200
        assert client.get("/api/v1/").json()["role"] == "view"
    with client_of(own, settings, "") as stranger:
        assert stranger.get(link).status_code == 401
        assert stranger.get("/open").status_code == 401


def test_a_link_in_a_letter_opens_the_door_too(own: Index, settings: Settings) -> None:
    # From there the strict cookie would not come along with a redirect.
    letter = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    with client_of(own, settings, "") as client:
        opened = client.get(settings.links.make("view"), headers=letter)
        assert opened.status_code == 200
        assert 'content="0;url=/"' in opened.text
        assert client.get("/").status_code == 200


def test_a_key_that_is_typed_in_opens_the_door(own: Index, settings: Settings) -> None:
    with client_of(own, settings, "") as client:
        assert client.post("/open", data={"key": "guess"}).status_code == 401
        assert client.post("/open", data={"key": settings.keys.edit}).status_code == 303
        assert client.get("/api/v1/").json()["role"] == "edit"


def test_keys_are_kept_for_the_user_alone() -> None:
    from birdsearch.homes import data_folder

    kept = Keys.kept()
    assert Keys.kept() == kept
    assert (data_folder() / "serve.json").stat().st_mode & 0o077 == 0
    assert kept.edit not in repr(kept)
    Keys.file().write_text('{"edit": "hal', encoding="ascii")
    again = Keys.kept()
    assert again not in (kept, Keys())
    assert Keys.kept() == again


@pytest.mark.parametrize(
    "path", ["/photos", PHOTOS, "/api/v1/photos/99", "/nothing", "/static/style.css", "/static/no"]
)
def test_every_answer_carries_the_headers(client: TestClient, path: str) -> None:
    check_headers(client.get(path).headers)


def test_refusals_carry_the_headers_too(client: TestClient, own: Index, settings: Settings) -> None:
    check_headers(client.get(PHOTOS, headers={"Host": "evil.example"}).headers)
    check_headers(client.post(PHOTOS, headers={"Origin": "null"}).headers)
    with client_of(own, settings, "") as stranger:
        check_headers(stranger.get("/").headers)


def check_headers(headers: object) -> None:
    """The policy of contents and its companions are there."""
    assert isinstance(headers, type(TestClient(None).headers))  # type: ignore[arg-type]
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] in ("no-store", "private, no-cache", "no-cache")


def test_a_body_that_is_too_large_is_refused(client: TestClient) -> None:
    assert client.post("/api/v1/search", content=b"0" * (65 << 20)).status_code == 413


def test_a_path_that_is_made_of_a_name_opens_nothing(own: Index, settings: Settings) -> None:
    with client_of(own, settings, "") as client:
        for path in ("/static/../api/v1/photos", "/static/..%2fapi/v1/photos", "//static/x", "/open/../photos"):
            assert client.get(path).status_code in (401, 404), path


def test_a_form_that_is_too_long_opens_nothing(own: Index, settings: Settings) -> None:
    with client_of(own, settings, "") as client:
        long = f"x={'y' * 5000}&key={settings.keys.edit}"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert client.post("/open", content=long, headers=form).status_code == 401
        assert client.post("/open", content=iter([b"0" * (65 << 20)]), headers=form).status_code == 413


def test_lengths_that_are_none(client: TestClient) -> None:
    for length, status in (("-5", 400), ("x", 400), ("1e3", 400), ("9" * 5000, 413)):
        assert client.post("/api/v1/search", content=b"{}", headers={"Content-Length": length}).status_code == status


def test_a_mistake_of_ours_is_a_problem_without_its_text(own: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Index) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Index, "failures", broken)
    with client_of(own, Settings()) as client:
        answer = client.get("/api/v1/failures")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    check_headers(answer.headers)


@pytest.mark.parametrize("role", ["edit", "view"])
def test_a_database_that_is_away_is_said_on_pages_and_to_programs(
    role: str, postgresql: Server, tmp_path: Path, fake_built_in: None, settings: Settings
) -> None:
    database = postgresql.new_database()
    key = getattr(settings.keys, role)
    with (
        birdsearch.create(postgresql.address(tmp_path / "index", database=database)) as index,
        client_of(index, settings, key) as client,
        postgresql.engine("postgres").connect() as connection,
    ):
        assert client.get("/photos").status_code == 200
        connection.execute(sa.text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false"))
        connection.execute(
            sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        )
        for path in ("/photos", "/api/v1/photos"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert "not currently accepting connections" in answer.text
            assert (str(tmp_path) in answer.text) == (role == "edit")
        connection.execute(sa.text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"))
        assert client.get("/photos").status_code == 200


def test_a_viewer_changes_nothing(viewer: TestClient) -> None:
    assert viewer.put("/api/v1/photos/1/label", json={"species": "Dodo"}).status_code == 403


def test_a_server_that_only_reads_changes_nothing(own: Index) -> None:
    with client_of(own, Settings(read_only=True)) as client:
        refused = client.put("/api/v1/photos/1/label", json={"species": "Dodo"})
        assert refused.status_code == 403
        assert "--read-only" in refused.json()["detail"]
