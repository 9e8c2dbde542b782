"""Kills of what a run on a cluster consists of: each photo is in the index once, as one process would put it there."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from birdsearch.index import Index
from birdsearch.storage.address import Address
from tests.support import drawing, object_store
from tests.support.object_store import Bucket
from tests.support.postgresql import Server
from tests.support.ray_hosts import DECODES, EMBEDS, LEADS, Hosts, hosts, open_or_create, results, started, wait_until

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves its logs to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(900),  # a host that is dead is missed after a while
]
PHOTOS = 200
DELAY = 0.05  # seconds a photo: a run lasts long enough to be killed


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        drawing.write(folder / f"{number % 7}/{number}.png", drawing.bird(number, 72, 54))
    return folder


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The same photos, indexed by one process."""
    with open_or_create(tmp_path_factory.mktemp("alone") / "index") as index:
        index.add(photos)
        yield index


@pytest.fixture(scope="module")
def cluster(_s3: str) -> Iterator[Hosts]:
    with pytest.MonkeyPatch.context() as patch:
        object_store.name_store(patch, _s3)  # as the hosts of a museum know it
        with hosts(2) as made:
            yield made


def check(path: Path | str, photos: Path, alone: Index) -> None:
    """Nothing is missing, nothing twice, nothing left over, and all as one process makes it."""
    with open_or_create(path) as index:
        report = index.add(photos)
        assert (report.added, report.unchanged, report.failed) == (0, PHOTOS, ())
        assert [photo.path for photo in index.photos(order="path")] == [p.path for p in alone.photos(order="path")]
        ids, others = index.photo_ids(order="path").tolist(), alone.photo_ids(order="path").tolist()
        np.testing.assert_array_equal(index.vectors(ids), alone.vectors(others))
        assert index.verify().ok
    assert isinstance(path, str) or not list(path.glob("embedding-*"))


@pytest.mark.parametrize("victim", ["network", "decoder", "leader", "host"])
def test_a_run_outlives_its_parts(cluster: Hosts, photos: Path, alone: Index, tmp_path: Path, victim: str) -> None:
    run = started(tmp_path / "index", photos, cluster.address, DELAY)
    kills: dict[str, Callable[[], bool]] = {
        "network": lambda: cluster.kill_process(EMBEDS),
        "decoder": lambda: cluster.kill_process(DECODES),
        "leader": lambda: cluster.kill_process(LEADS),
        "host": cluster.kill_host,
    }
    least = 0 if victim == "decoder" else 1  # what is decoded waits for the network: that is over soon
    assert wait_until(lambda: results(tmp_path / "index") >= least and kills[victim](), run), run.communicate()[0]
    if victim == "host":
        cluster.add()
    said = run.communicate()[0]
    assert run.returncode == 0, said
    assert said == f"{PHOTOS} added, 0 unchanged, 0 failed\n"
    check(tmp_path / "index", photos, alone)


@pytest.mark.parametrize("address", ["cluster", "local"])
def test_the_next_run_goes_on_where_a_killed_one_was(
    cluster: Hosts, photos: Path, alone: Index, tmp_path: Path, address: str
) -> None:
    where = cluster.address if address == "cluster" else address
    run = started(tmp_path / "index", photos, where, DELAY)
    assert wait_until(lambda: results(tmp_path / "index") > 0, run), run.communicate()[0]
    run.send_signal(signal.SIGKILL)
    run.communicate()
    again = started(tmp_path / "index", photos, where)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    assert said.endswith(" 0 failed\n")
    check(tmp_path / "index", photos, alone)


def test_two_runs_at_once_share_a_cluster(cluster: Hosts, photos: Path, alone: Index, tmp_path: Path) -> None:
    runs = [started(tmp_path / name, photos, cluster.address) for name in ("one", "two")]
    for run in runs:
        assert run.communicate()[0] == f"{PHOTOS} added, 0 unchanged, 0 failed\n"
    for name in ("one", "two"):
        check(tmp_path / name, photos, alone)


def test_two_runs_on_one_index_do_not_mix(cluster: Hosts, photos: Path, alone: Index, tmp_path: Path) -> None:
    first = started(tmp_path / "index", photos, cluster.address, DELAY)
    assert wait_until(lambda: results(tmp_path / "index") > 0, first), first.communicate()[0]
    second = started(tmp_path / "index", photos, cluster.address)
    assert "IndexLockedError" in second.communicate()[0]
    assert first.communicate()[0] == f"{PHOTOS} added, 0 unchanged, 0 failed\n"
    check(tmp_path / "index", photos, alone)


def test_two_runs_on_one_index_in_postgresql_bring_each_photo_once(
    cluster: Hosts, photos: Path, alone: Index, tmp_path: Path, postgresql: Server
) -> None:
    index = postgresql.address(tmp_path / "parts", "two")
    open_or_create(index).close()
    runs = [started(index, photos, cluster.address) for _ in range(2)]
    for run in runs:
        said = run.communicate()[0]
        assert run.returncode == 0, said
        assert said.endswith(" 0 failed\n")
    with open_or_create(index) as opened:
        assert [photo.path for photo in opened.photos(order="path")] == [p.path for p in alone.photos(order="path")]
        ids, others = opened.photo_ids(order="path").tolist(), alone.photo_ids(order="path").tolist()
        np.testing.assert_array_equal(opened.vectors(ids), alone.vectors(others))
        assert opened.verify().ok
    assert not list((tmp_path / "parts").glob("embedding-*"))


@pytest.mark.parametrize("victim", ["network", "host", "run", "run on another computer"])
def test_a_run_with_parts_in_a_store_outlives_its_parts(
    cluster: Hosts,
    photos: Path,
    alone: Index,
    tmp_path: Path,
    victim: str,
    bucket: Bucket,
    postgresql: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    catalog = Address.parse(postgresql.address(tmp_path, f"in a store, {victim} dies"))
    index = str(replace(catalog, parts=f"{bucket.url}/index"))
    run = started(index, photos, cluster.address, DELAY)

    def killed() -> bool:
        if victim == "network":
            return cluster.kill_process(EMBEDS)
        if victim == "host":
            return cluster.kill_host()
        run.kill()
        return True

    assert wait_until(lambda: bucket.holds("/results/") and killed(), run), run.communicate()[0]
    if victim == "host":
        cluster.add()
    said = run.communicate()[0]
    if victim.startswith("run"):
        if victim != "run":
            monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data of another"))
            monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache of another"))
        again = started(index, photos, cluster.address)
        said = again.communicate()[0]
        assert again.returncode == 0, said
    assert said.endswith(" 0 failed\n"), said
    check(index, photos, alone)
    assert not bucket.holds("/embedding-")
