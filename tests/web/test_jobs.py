"""Jobs over HTTP: started, watched, cancelled; short changes come in between."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

import birdsearch
from birdsearch import Index
from birdsearch.records import Progress
from birdsearch.web.jobs import Jobs
from birdsearch.web.serving import Settings
from tests.conftest import write_garden_photos
from tests.support.drawing import bird, write
from tests.support.object_store import Bucket
from tests.web.conftest import Served, client_of

JOBS = "/api/v1/jobs"


def finished(client: TestClient, job: Any) -> Any:
    """A job, when it has ended."""
    return until(lambda: client.get(f"{JOBS}/{job['id']}").json(), lambda one: one["ended"] is not None)


def until(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    """What is seen, once it is so."""
    for _ in range(400):
        if is_so(found := look()):
            return found
        time.sleep(0.05)
    raise AssertionError(f"it stayed {found}")


def test_a_folder_is_added(client: TestClient, own: Index, tmp_path: Path) -> None:
    write(tmp_path / "more/new.jpg", bird(7))
    started = client.post(JOBS, json={"do": "add", "folders": [str(tmp_path / "more")]})
    assert started.status_code == 202
    job = finished(client, started.json())
    assert started.headers["location"] == f"{JOBS}/{job['id']}"
    assert (job["state"], job["error"]) == ("done", None)
    assert client.get(f"{JOBS}/{job['id']}/result").json()["added"] == 1
    assert [one["id"] for one in client.get(JOBS).json()["jobs"]] == [job["id"]]
    assert len(own) == 7


def test_photos_in_a_store_are_added_and_none_is_written_there(
    client: TestClient, own: Index, bucket: Bucket, tmp_path: Path
) -> None:
    write(tmp_path / "more/new.jpg", bird(7))
    bucket.put_folder(tmp_path / "more", "more")
    place = f"{bucket.url}/more"
    job = finished(client, client.post(JOBS, json={"do": "add", "folders": [place]}).json())
    assert (job["state"], job["error"]) == ("done", None)
    assert own.find(f"{place}/new.jpg").width
    asked = client.get("/ask").text
    assert own.provenance.folders[0] in asked
    assert place not in asked
    with (tmp_path / "more/new.jpg").open("rb") as picture:
        sent = client.post("/api/v1/photos", files={"image": picture}, data={"folder": place})
    assert sent.status_code == 422
    with client_of(own, Settings(host="192.168.7.7")) as elsewhere:
        for folder, status in ((place, 202), (f"{place}s", 403), (bucket.url, 403)):
            assert elsewhere.post(JOBS, json={"do": "add", "folders": [folder]}).status_code == status


def test_the_first_folder_makes_the_index(tmp_path: Path, fake_built_in: None) -> None:
    write_garden_photos(tmp_path / "photos")
    with client_of(None, Settings(place=tmp_path / "index")) as client:
        job = client.post(JOBS, json={"do": "add", "folders": [str(tmp_path / "photos")], "labels": "folder"})
        assert finished(client, job.json())["state"] == "done"
        assert client.get("/api/v1/photos", params={"species": "Wren"}).json()["total"] == 3
    with birdsearch.open(tmp_path / "index") as index:
        assert index.verify().ok


def test_a_job_that_fails_says_why(client: TestClient, tmp_path: Path) -> None:
    job = finished(client, client.post(JOBS, json={"do": "add", "folders": [str(tmp_path / "nothing")]}).json())
    assert job["state"] == "failed"
    assert "no such" in job["error"]["detail"]
    assert client.get(f"{JOBS}/{job['id']}/result").json() == job["error"]


@pytest.mark.parametrize(
    "asked",
    [
        {"do": "add", "folders": ["relative"]},
        {"do": "add", "folders": ["http://127.0.0.1/private.jpg"]},
        {"do": "add", "folder": "/"},
        {"do": "nothing"},
        {"do": "duplicates", "relations": ["alike"]},
        {"do": "duplicates", "where": {"nothing": 1}},
        {"do": "apply", "report": "x", "action": "delete"},
        {"do": "apply", "report": "x", "action": "move:s3://bucket/away"},
        {},
    ],
)
def test_what_cannot_be_meant_starts_nothing(client: TestClient, asked: Any) -> None:
    assert client.post(JOBS, json=asked).status_code == 422
    assert client.get(JOBS).json()["jobs"] == []


def test_who_is_elsewhere_names_no_folder_that_the_index_does_not_know(own: Index, tmp_path: Path) -> None:
    with client_of(own, Settings(host="192.168.7.7")) as client:
        for folder in (str(tmp_path), "/", f"{own.provenance.folders[0]}/../.."):
            assert client.post(JOBS, json={"do": "add", "folders": [folder]}).status_code == 403
        known = client.post(JOBS, json={"do": "add", "folders": [own.provenance.folders[0]]})
        assert finished(client, known.json())["state"] == "done"
        moved = {"do": "apply", "report": "x", "action": f"move:{tmp_path}"}
        assert client.post(JOBS, json=moved).status_code == 403


def test_reports_are_found_by_jobs(client: TestClient) -> None:
    for asked in ({"do": "audit", "checklist": ["Wren", "Robin"]}, {"do": "evaluate"}, {"do": "verify"}):
        job = finished(client, client.post(JOBS, json=asked).json())
        assert job["state"] == "done", job
        assert client.get(f"{JOBS}/{job['id']}/result").status_code == 200


def test_an_export_is_fetched_as_a_file(client: TestClient, tmp_path: Path) -> None:
    job = finished(client, client.post(JOBS, json={"do": "export", "where": {"species": "Wren"}}).json())
    fetched = client.get(f"{JOBS}/{job['id']}/result")
    assert 'filename="own.parquet"' in fetched.headers["content-disposition"]
    (tmp_path / "fetched.parquet").write_bytes(fetched.content)
    assert pq.read_table(tmp_path / "fetched.parquet").num_rows == 3


def test_copies_are_moved_away_and_brought_back(tmp_path: Path, fake_built_in: None) -> None:
    write_garden_photos(tmp_path / "photos")
    copy = shutil.copy(tmp_path / "photos/Wren/1.jpg", tmp_path / "photos/copy.jpg")
    settings = Settings()
    with birdsearch.create(tmp_path / "index") as index:
        index.add(tmp_path / "photos")
        with client_of(index, settings) as client:

            def done(**asked: object) -> Any:
                job = finished(client, client.post(JOBS, json=asked).json())
                assert job["state"] == "done", job
                return client.get(f"{JOBS}/{job['id']}/result").json()

            report = done(do="duplicates", relations=["identical"])
            applied = done(do="apply", report=report["report"], action=f"move:{tmp_path / 'away'}")
            assert (applied["done"], len(index)) == (1, 6)
            for role, told in (("edit", True), ("view", False)):
                headers = {"Authorization": f"Bearer {getattr(settings.keys, role)}"}
                assert (str(tmp_path) in client.get("/api/v1/runs", headers=headers).text) is told
            assert done(do="undo")["done"] == 1
        assert (Path(copy).exists(), len(index)) == (True, 7)


def test_a_viewer_starts_nothing_and_reads_no_result(own: Index, settings: Settings, client: TestClient) -> None:
    job = finished(client, client.post(JOBS, json={"do": "verify"}).json())
    headers = {"Authorization": f"Bearer {settings.keys.view}"}
    assert client.post(JOBS, json={"do": "verify"}, headers=headers).status_code == 403
    assert client.get(f"{JOBS}/{job['id']}/result", headers=headers).status_code == 403
    assert client.get(f"{JOBS}/{job['id']}", headers=headers).json()["title"] == "verify"


def test_a_server_that_only_reads_starts_no_change(own: Index) -> None:
    with client_of(own, Settings(read_only=True)) as client:
        assert client.post(JOBS, json={"do": "optimize"}).status_code == 403
        assert client.post(JOBS, json={"do": "verify"}).status_code == 202


def test_a_job_that_is_not_there(client: TestClient) -> None:
    for answer in (client.get(f"{JOBS}/9"), client.delete(f"{JOBS}/9"), client.get(f"{JOBS}/9/result")):
        assert answer.status_code == 404
        assert answer.json()["type"] == "/help/errors#job-unknown"


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    """The jobs of no server."""
    made = Jobs()
    yield made
    made.close()


def test_a_change_is_made_between_the_commits_of_a_job(jobs: Jobs) -> None:
    begun, committed, ended = threading.Event(), threading.Event(), threading.Event()

    def work(progress: Progress) -> str:
        begun.set()
        while not ended.wait(0.01):
            if committed.is_set():
                jobs.write_waiting()
        return "all"

    job = jobs.start("add", "Add", work, writes=True)
    assert begun.wait(10)
    answer = list[str]()
    changing = threading.Thread(target=lambda: answer.append(jobs.write(lambda: "changed")))
    changing.start()
    time.sleep(0.05)
    assert answer == []
    committed.set()
    changing.join(10)
    assert answer == ["changed"]
    assert jobs.get(job.id).state == "running"
    ended.set()
    until(lambda: jobs.get(job.id).state, lambda state: state == "done")
    assert jobs.outcome(job.id) == ("all", None)


def test_what_a_change_raises_reaches_who_asked(jobs: Jobs) -> None:
    def change() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        jobs.write(change)
    assert jobs.write(lambda: 7) == 7


def test_jobs_that_read_run_beside_one_that_writes(jobs: Jobs) -> None:
    ended = threading.Event()
    writing = jobs.start("add", "Add", lambda progress: ended.wait(10), writes=True)
    second = jobs.start("undo", "Undo", lambda progress: None, writes=True)
    reading = jobs.start("audit", "Audit", lambda progress: None, writes=False)
    until(lambda: jobs.get(reading.id).state, lambda state: state == "done")
    assert (jobs.get(writing.id).state, jobs.get(second.id).state) == ("running", "queued")
    assert jobs.cancel(second.id).state == "cancelled"
    ended.set()


def test_a_job_is_cancelled_at_its_next_progress(jobs: Jobs) -> None:
    seen = threading.Event()

    def work(progress: Progress) -> None:
        for done in range(10_000):
            progress("embed", done, 10_000, "")
            seen.set()
            time.sleep(0.01)

    job = jobs.start("add", "Add", work, writes=True)
    seen.wait(10)
    assert jobs.get(job.id).stage == "embed"
    assert jobs.cancel(job.id).can_cancel is False
    assert until(lambda: jobs.get(job.id), lambda one: one.ended is not None).state == "cancelled"


def test_news_of_jobs_come_as_a_stream(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.keys.edit}"}
    with (
        httpx.Client(base_url=served.address, headers=headers, timeout=10) as client,
        client.stream("GET", f"{JOBS}/events") as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        client.post(JOBS, json={"do": "verify"})
        said = (json.loads(line.removeprefix("data:")) for line in stream.iter_lines() if line.startswith("data:"))
        assert next(job for job in said if job["ended"])["state"] == "done"
