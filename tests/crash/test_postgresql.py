"""Several writers, and kills, where the catalog lies in PostgreSQL: one moment of each; benchmarks.killing has five."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter
from birdsearch.errors import IndexLockedError, IndexUnreachableError
from birdsearch.storage import query
from birdsearch.storage.folder import Folder
from birdsearch.storage.store import Store
from tests.crash.test_index import kill_in_lines, scenes
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.index_worker import backbone, work
from tests.support.killing import Campaign, Victim, until
from tests.support.postgresql import Server, why_not
from tests.support.worker_process import Worker
from tests.web.test_crash import server as serving

WRITERS = 4


@pytest.fixture(scope="module")
def safe_server() -> Iterator[Server]:
    """One that survives a kill."""
    if (why := why_not()) is not None:
        pytest.skip(why)
    server = Server.made(safe=True)
    yield server
    server.stop()


@pytest.fixture
def campaign(safe_server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Campaign:
    """An empty index for this test, and 24 photos."""
    made = Campaign(safe_server, tmp_path, 24)
    made.begin(request.node.name)
    return made


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Processes that write at the same time."""
    made = [Worker(tmp_path_factory.mktemp(f"worker{number}")) for number in range(WRITERS)]
    yield made
    for worker in made:
        worker.close()


@pytest.mark.parametrize("victim", ["writer", "server"])
def test_a_kill_costs_nothing_that_was_acknowledged(victim: Victim, campaign: Campaign, workers: list[Worker]) -> None:
    campaign.check(campaign.kill(victim, workers[0], 0.4, random.Random(victim)))


def test_four_writers_bring_nothing_twice_and_readers_see_whole_commits(
    campaign: Campaign, workers: list[Worker], tmp_path: Path
) -> None:
    """Each writer has a folder of its own, and all have one in common."""
    for number, worker in enumerate(workers):
        for photo in range(8):
            write(tmp_path / f"own{number}/Wren/{photo}.jpg", bird(100 + 8 * number + photo, 72, 54))
        step = {"call": "add", "folders": [str(campaign.photos), str(tmp_path / f"own{number}")], "labels": "folder"}
        worker.start({**campaign.plan(delay=0.02), "step": step})
    done, seen = threading.Event(), list[int]()

    def look() -> None:
        with closing(Store.open(campaign.address, backbone())) as store:
            while not done.is_set():
                with store.catalog.snapshot():
                    counts, parts = store.catalog.counts(), store.catalog.parts()
                    regions = sum(len(store.catalog.regions_of_part(part.id)) for part in parts)
                    labelled = len(store.catalog.labels())
                assert counts["photos"] == counts["regions"] == counts["labelled"] == regions == labelled
                assert counts["parts"] == len(parts)
                assert counts["vectors"] == sum(part.rows for part in parts) >= counts["photos"]
                seen.append(counts["photos"])

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for worker in workers:
            assert worker.wait() == 0, worker.said()
    finally:
        done.set()
        reader.join()
    count = campaign.count + 8 * WRITERS
    with birdsearch.open(campaign.address, backbone=backbone()) as index:
        paths = [photo.path for photo in index.photos()]
        assert len(paths) == len(set(paths)) == count == len(index.search_vectors(np.ones((1, 16)), k=999)[0])
        assert index.verify().ok
        assert index.info()["regions"] == count
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


def test_what_must_be_alone_waits_and_what_is_short_does_not(campaign: Campaign, workers: list[Worker]) -> None:
    """While a process indexes, another one may label and remove, and not embed everything anew."""
    pid = workers[0].start(campaign.plan(delay=0.3))
    until(lambda: campaign.committed() > 0)
    with birdsearch.open(campaign.address, backbone=backbone()) as index:
        with pytest.raises(IndexLockedError, match=f"is being written by process {pid} on .*: wait until it is done"):
            index.repair()
        first = index.photos()[0]
        index.label({first.id or 0: "Linnet"})
        index.remove(Filter(ids=[index.photos()[1].id or 0]))
    assert workers[0].wait() == 0, workers[0].said()
    work(campaign.plan())
    with birdsearch.open(campaign.address, backbone=backbone()) as index:
        assert len(index) == campaign.count
        assert index.photo(first.id or 0).label == "Linnet"
        assert index.verify().ok


def test_a_reader_outlives_a_restart_of_the_server(campaign: Campaign) -> None:
    work(campaign.plan())
    with birdsearch.open(campaign.address, backbone=backbone()) as index:
        assert len(index) == campaign.count
        campaign.server.kill()
        with pytest.raises(IndexUnreachableError, match=r"cannot use birds\+postgresql://.*run the same command again"):
            index.photos()
        campaign.server.start()
        assert len(index) == campaign.count
        assert index.search_vectors(np.ones((1, FakeBackbone.dim), np.float32), k=5)[0]


def test_a_web_server_outlives_a_restart_of_the_database(campaign: Campaign) -> None:
    """What is asked meanwhile can be asked again, a job that ends keeps what was committed, and all goes on."""
    job = {"do": "add", "folders": [str(campaign.photos)]}
    with serving(campaign.address, 0.1) as (_, client):
        first = client.post("/api/v1/jobs", json=job).json()["id"]
        until(lambda: campaign.committed() > 4)
        kept = client.get("/api/v1/photos/ids").json()
        campaign.server.kill()
        for answer in (
            client.get("/api/v1/photos/ids"),
            client.get("/photos"),
            client.put(f"/api/v1/photos/{kept[0]}/label", json={"species": "Wren"}),
        ):
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), answer.text
            assert "run the same command again" in answer.text
        until(lambda: client.get(f"/api/v1/jobs/{first}").json()["state"] == "failed")
        campaign.server.start()
        assert set(kept) <= set(client.get("/api/v1/photos/ids").json())
        again = client.post("/api/v1/jobs", json=job).json()["id"]
        until(lambda: client.get(f"/api/v1/jobs/{again}").json()["state"] == "done")
        assert len(client.get("/api/v1/photos/ids").json()) == campaign.count
        assert client.put(f"/api/v1/photos/{kept[0]}/label", json={"species": "Wren"}).status_code == 200
    campaign.check(campaign.count)


@pytest.mark.parametrize("database", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True)
@pytest.mark.parametrize("name", ["fresh", "changed", "removed", "reembedded"])
def test_a_kill_in_a_line_that_writes_costs_nothing(name: str, workers: list[Worker], tmp_path: Path) -> None:
    (tmp_path / "attempt").mkdir()
    scene = scenes(tmp_path, 8, commit=4, batch=2, names=(name,))[name]
    kill_in_lines(scene, workers[0], tmp_path / "attempt", 2)


def test_processes_label_and_remove_while_others_index(
    campaign: Campaign, workers: list[Worker], tmp_path: Path
) -> None:
    """Two of each: none is refused, and what was acknowledged holds; what was removed comes with the next run."""
    stop, said = tmp_path / "stop", [tmp_path / "said0", tmp_path / "said1"]
    for worker in workers[:2]:
        worker.start(campaign.plan(delay=0.05))
    until(lambda: campaign.committed() > 4)
    for worker, file in zip(workers[2:], said, strict=True):
        worker.start({**campaign.plan(), "said": str(file), "step": {"call": "speak", "until": str(stop)}})
    ended = [worker.wait() for worker in workers[:2]]
    until(lambda: all(file.exists() for file in said))
    stop.touch()
    ended += [worker.wait() for worker in workers[2:]]
    assert ended == [0] * 4, [worker.said() for worker in workers]
    lines = [line.split() for file in said for line in file.read_text().splitlines()]
    removed = {int(gone) for _, gone in lines}
    with birdsearch.open(campaign.address, backbone=backbone()) as index:
        here = {photo.id: photo for photo in index.photos()}
        assert not removed & here.keys()
        for labelled in {int(one) for one, _ in lines} & here.keys():
            assert here[labelled].label == "Linnet"
    campaign.check(0)


def test_a_snapshot_answers_as_before_while_another_process_optimizes(campaign: Campaign) -> None:
    work(campaign.plan())
    ask = np.ones((1, FakeBackbone.dim), np.float32)
    with (
        closing(Store.open(campaign.address, backbone())) as reader,
        birdsearch.open(campaign.address, backbone=backbone()) as writer,
    ):

        def scores() -> list[tuple[str, float]]:
            found = query.by_vectors(reader, ask, query.Wanted(99))[0]
            return [(match.photo.path, match.score) for match in found]

        with reader.catalog.snapshot():
            before = scores()
            assert len(before) == campaign.count
            for engine in ("flat", "auto"):
                writer.optimize(engine=engine)
                writer.remove(Filter(ids=[writer.photos()[0].id or 0]))
                assert scores() == before
        assert len(scores()) == campaign.count - 2


def test_a_connection_that_was_lost_is_said_however_often_it_is_asked(campaign: Campaign) -> None:
    folder = Folder(campaign.address)
    with closing(Store.open(campaign.address, backbone())) as store:
        # The end of the snapshot says so too.
        with suppress(IndexUnreachableError), store.catalog.snapshot(), folder.writing():
            assert store.catalog.count() == 0
            campaign.server.kill()
            campaign.server.start()
            for ask in (store.catalog.count, folder.lock.check):
                for _ in range(2):
                    with pytest.raises(IndexUnreachableError, match="run the same command again"):
                        ask()
        assert store.catalog.count() == 0
        with folder.writing():
            folder.lock.check()
