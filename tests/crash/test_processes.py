"""One writer and many readers, in processes and in threads."""

import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter
from birdsearch.errors import IndexLockedError
from birdsearch.index import Index
from birdsearch.storage import query
from birdsearch.storage.folder import Folder
from birdsearch.storage.store import Store
from tests.crash.test_index import draw
from tests.support import drawing
from tests.support.fake_backbone import FakeBackbone
from tests.support.index_worker import Plan, backbone, work
from tests.support.killing import until
from tests.support.worker_process import Worker

PHOTOS = 14  # what `draw(folder, 12)` makes: twelve and two twins
ASK = np.ones((1, FakeBackbone.dim), np.float32)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Three processes, so that three things can happen at once."""
    made = [Worker(tmp_path_factory.mktemp(f"worker{number}")) for number in range(3)]
    yield made
    for worker in made:
        worker.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos."""
    draw(tmp_path / "photos", 12)
    return tmp_path / "photos"


def plan_of(tmp_path: Path, photos: Path, **changes: object) -> Plan:
    """A run over the photos."""
    step = {"call": "add", "folders": str(photos), "labels": "folder"}
    return {"index": str(tmp_path / "index"), "batch": 2, "commit": 4, "step": step, **changes}


def opened(tmp_path: Path) -> Index:
    """The index as another program would open it."""
    return birdsearch.open(tmp_path / "index", backbone=backbone())


def test_second_writer_is_told_who_holds_the_lock(workers: list[Worker], photos: Path, tmp_path: Path) -> None:
    """Adding, removing, importing and repairing all wait for nobody; reading goes on."""
    work(plan_of(tmp_path, photos))
    drawing.write(photos / "Wren/new.png", drawing.bird(99, 72, 54))
    pid = workers[0].start(plan_of(tmp_path, photos, delay=2))
    until((tmp_path / "index/writer.json").exists)
    with opened(tmp_path) as index:
        for write in (
            lambda: index.add(photos),
            lambda: index.remove(Filter(label="Wren")),
            lambda: index.repair(),
        ):
            with pytest.raises(IndexLockedError, match=f"process {pid} on {socket.gethostname()} since .*wait"):
                write()
        assert len(index.search_vectors(ASK, k=99)[0]) == PHOTOS
    assert workers[0].wait() == 0, workers[0].said()


def test_two_creators_make_one_index(workers: list[Worker], photos: Path, tmp_path: Path) -> None:
    """Whoever is later finds the index of the other, or its lock; nobody overwrites anything."""
    for number in range(4):
        plan = {**plan_of(tmp_path, photos), "index": str(tmp_path / f"index{number}")}
        for worker in workers:
            worker.start(plan)
        for worker in workers:
            assert worker.wait() in (0, 3), worker.said()
            assert worker.said().startswith(("done", "IndexLockedError", "IndexExistsError")), worker.said()
        work(plan)
        with birdsearch.open(plan["index"], backbone=backbone()) as index:
            assert len(index) == PHOTOS
            assert index.verify().ok


def test_lock_dies_with_its_process(workers: list[Worker], photos: Path, tmp_path: Path) -> None:
    """After a SIGKILL the next writer starts at once."""
    workers[0].start(plan_of(tmp_path, photos, delay=5))
    until((tmp_path / "index/index.json").exists)
    until((tmp_path / "index/writer.json").exists)
    workers[0].kill()
    assert workers[0].wait() == -signal.SIGKILL
    report = work(plan_of(tmp_path, photos))
    assert report is not None
    assert report.added == PHOTOS


def test_lock_dies_though_a_child_of_the_writer_lives(photos: Path, tmp_path: Path) -> None:
    """What the writer starts does not hold its lock."""
    with birdsearch.create(tmp_path / "index", backbone=backbone()) as index, Folder(index.path).writing():
        child = subprocess.Popen(["sleep", "20"])
    with opened(tmp_path) as index:
        index.add(photos)
    child.kill()
    child.wait()


def test_readers_while_a_writer_adds(workers: list[Worker], photos: Path, tmp_path: Path) -> None:
    """Readers in two processes never fail, never see half a commit, and see newer photos."""
    work(plan_of(tmp_path, photos))
    stop = tmp_path / "stop"
    looking = {**plan_of(tmp_path, photos), "step": {"call": "look", "until": str(stop)}}
    workers[1].start(looking)
    workers[2].start(looking)
    with opened(tmp_path) as reader:
        for n in range(100, 130):
            drawing.write(photos / f"Wren/{n}.png", drawing.bird(n, 72, 54))
        workers[0].start(plan_of(tmp_path, photos, delay=0.02))
        until(lambda: len(reader.search_vectors(ASK, k=999)[0]) > PHOTOS)
        assert workers[0].wait() == 0, workers[0].said()
        assert len(reader.search_vectors(ASK, k=999)[0]) == PHOTOS + 30
        _shuffle(workers[0], photos, tmp_path)
        assert len(reader.search_vectors(ASK, k=999)[0]) == len(reader)
    stop.touch()
    for worker in workers[1:]:
        assert worker.wait() == 0, worker.said()


def _shuffle(writer: Worker, photos: Path, tmp_path: Path) -> None:
    """Everything else that a writer does: change, move, flag as missing, bring back, remove, build the engine anew."""
    for n in range(100, 115):
        drawing.write(photos / f"Wren/{n}.png", drawing.bird(n + 500, 72, 54))
    (photos / "Wren").rename(photos / "Wren of old")
    assert writer.run(plan_of(tmp_path, photos)) == 0, writer.said()
    (photos / "Robin").rename(tmp_path / "away")
    assert writer.run(plan_of(tmp_path, photos)) == 0, writer.said()
    (tmp_path / "away").rename(photos / "Robin")
    assert writer.run(plan_of(tmp_path, photos)) == 0, writer.said()
    for label in ("Wren of old", "Robin"):
        step = {"call": "remove", "label": label}
        assert writer.run({**plan_of(tmp_path, photos), "step": step}) == 0, writer.said()
    assert writer.run(plan_of(tmp_path, photos)) == 0, writer.said()


def test_reader_keeps_a_mapped_engine_that_was_replaced(photos: Path, tmp_path: Path) -> None:
    """A snapshot answers as it did, whatever is written meanwhile; after it come the new photos, never an error."""
    work(plan_of(tmp_path, photos))
    with closing(Store.open(tmp_path / "index", backbone())) as store:

        def paths() -> set[str]:
            return {match.photo.path for match in query.by_vectors(store, ASK, query.Wanted(99))[0]}

        with store.catalog.snapshot():
            first = paths()
            assert len(first) == PHOTOS
            for n in range(100, 104):
                drawing.write(photos / f"Wren/{n}.png", drawing.bird(n, 72, 54))
            work(plan_of(tmp_path, photos))
            assert paths() == first
        second = paths()
        assert len(second) == PHOTOS + 4
        assert first < second


def test_index_object_follows_another_writer(photos: Path, tmp_path: Path) -> None:
    """After removal and a new engine by somebody else, an open Index answers for what is there now."""
    work(plan_of(tmp_path, photos))
    with opened(tmp_path) as reader, opened(tmp_path) as writer:
        wren = reader.photos(Filter(label="Wren"))[0]
        assert reader.search(wren, k=1)
        writer.remove(Filter(label=("Wren", "Robin", "Siskin")))
        found = reader.search_vectors(ASK, k=99)[0]
        assert {m.photo.label for m in found} == {"Dunnock"}
        assert len(found) == len(reader)
        assert {m.photo.label for m in reader.search(wren, k=99)} == {"Dunnock"}
        writer.add(photos)
        assert len(reader.search_vectors(ASK, k=99)[0]) == PHOTOS
        assert reader.verify().ok


def test_threads_share_one_index(photos: Path, tmp_path: Path) -> None:
    """Eight threads search one Index object while another object adds."""
    work(plan_of(tmp_path, photos))
    done = threading.Event()
    wrong: list[BaseException] = []

    def ask(index: Index) -> None:
        try:
            while not done.is_set():
                before = len(index)
                found = index.search_vectors(ASK, k=999)[0]
                assert len({m.photo.id for m in found}) == len(found)
                assert before <= len(found) <= len(index)
        except BaseException as error:
            wrong.append(error)

    with opened(tmp_path) as shared:
        threads = [threading.Thread(target=ask, args=(shared,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for n in range(100, 112):
            drawing.write(photos / f"Wren/{n}.png", drawing.bird(n, 72, 54))
            work(plan_of(tmp_path, photos, commit=1))
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[0]


def test_a_catalog_that_was_put_back_is_not_asked_through_a_later_engine(photos: Path, tmp_path: Path) -> None:
    """Ids of the later state may stand for other photos now: the engine must not answer for them."""
    work(plan_of(tmp_path, photos))
    path = tmp_path / "index"
    shutil.copy(path / "catalog.sqlite", tmp_path / "backup")
    other = tmp_path / "other"
    for n in range(100, 104):
        drawing.write(other / f"{n}.png", drawing.bird(n, 72, 54))
    work({**plan_of(tmp_path, other)})
    shutil.copy(tmp_path / "backup", path / "catalog.sqlite")
    shutil.rmtree(other)
    for n in range(200, 204):
        drawing.write(other / f"{n}.png", drawing.bird(n, 72, 54))
    with opened(tmp_path) as index:
        assert len(index.search_vectors(ASK, k=99)[0]) == PHOTOS
        assert index.verify().ok  # the catalog names its own engine, which the next writer would have removed
    work({**plan_of(tmp_path, other)})
    with opened(tmp_path) as index:
        assert index.verify().ok
        for photo in index.photos(Filter(under=str(other))):
            assert photo.id is not None
            best = index.search_vectors(index.vectors([photo.id]), k=1)[0][0]
            assert best.photo.id == photo.id
