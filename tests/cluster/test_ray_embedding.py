"""Hosts of Ray make of files what one process makes of them, and what cannot be done is said in words."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch import Filter, Index
from birdsearch.errors import BackboneMismatchError, ClusterError
from birdsearch.indexing import pipeline
from birdsearch.records import AddReport
from birdsearch.storage.address import Address
from birdsearch.storage.store import Store
from tests.support import checkpoints, drawing, fake_backbone, object_store
from tests.support.fake_backbone import FakeBackbone
from tests.support.object_store import Bucket
from tests.support.postgresql import Server
from tests.support.ray_hosts import Hosts, hosts

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves its logs to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def cluster(_s3: str) -> Iterator[Hosts]:
    with pytest.MonkeyPatch.context() as patch:
        object_store.name_store(patch, _s3)  # as the hosts of a museum know it
        with hosts(2) as made:
            yield made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(40):
        drawing.write(folder / f"{('Wren', 'Robin')[number % 2]}/{number}.png", drawing.bird(number, 72, 54))
    return folder


class Keyed(FakeBackbone):
    """Holds what no process can hand to another one."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Blind(FakeBackbone):
    """Takes no photo that is all black."""

    def embed(self, images: Any) -> Any:
        """Zeros, of which no vector can be made, for those."""
        return super().embed(images) * (images.max(axis=(1, 2, 3)) > 0)[:, None]


class Fatal(FakeBackbone):
    """Ends the process at the first photo that is all black, as one that runs out of memory does."""

    def embed(self, images: Any) -> Any:
        """The vectors, unless there is such a photo."""
        if not images.max(axis=(1, 2, 3)).all():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(images)


class Stillborn(FakeBackbone):
    """Ends every other process that loads it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """It is loaded."""
        os.kill(os.getpid(), signal.SIGKILL)


def told(report: AddReport) -> AddReport:
    """A report without its time."""
    return replace(report, seconds=0.0)


def assert_equal(one: Index, other: Index) -> None:
    """Rows, vectors and answers."""
    assert [asdict(photo) for photo in one.photos()] == [asdict(photo) for photo in other.photos()]
    ids = one.photo_ids().tolist()
    vectors = one.vectors(ids)
    np.testing.assert_array_equal(vectors, other.vectors(ids))
    assert one.search_vectors(vectors[:9], k=7) == other.search_vectors(vectors[:9], k=7)


def test_a_cluster_makes_what_one_process_makes(
    cluster: Hosts, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "COSTLY", 10**6)
    drawing.write(photos / "Wren/large.png", drawing.bird(99, 1500, 1200))  # comes last, alone
    drawing.write(photos / "Wren/black.png", Image.new("RGB", (72, 54)))
    shutil.copy(photos / "Wren/0.png", photos / "Robin/copy of 0.png")
    (photos / "Robin/cut off.png").write_bytes((photos / "Robin/1.png").read_bytes()[:300])
    (photos / "notes.txt").write_text("no photo")
    (photos / "Wren/0.xmp").write_text("no XMP")
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes((photos / "Wren/2.png").read_bytes() + b"x")
    with (
        birdsearch.create(tmp_path / "one", backbone=Blind()) as one,
        birdsearch.create(tmp_path / "many", backbone=Blind()) as many,
    ):
        ways: list[tuple[Index, str | None]] = [(one, None), (many, cluster.address)]
        reports = [told(index.add(photos, labels="folder", cluster=at)) for index, at in ways]
        assert reports[0] == reports[1]
        assert {failure.stage for failure in reports[0].failed} == {"decode", "embed"}
        assert_equal(one, many)

        # What was done to the files since: moved, copied, changed, broken, mended, gone, touched.
        (photos / "Wren/0.png").rename(photos / "Robin/moved.png")
        shutil.copy(photos / "Wren/4.png", photos / "Wren/4 again.png")
        drawing.write(photos / "Wren/6.png", drawing.bird(600, 72, 54))
        (photos / "Wren/8.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(90))
        drawing.write(photos / "Robin/cut off.png", drawing.bird(700, 72, 54))
        (photos / "Wren/10.png").unlink()
        os.utime(photos / "Wren/12.png", (1, 1))
        reports = [told(index.add(photos, cluster=at)) for index, at in ways]
        assert reports[0] == reports[1]
        assert (reports[0].moved, reports[0].missing) == (1, 1)
        assert_equal(one, many)
        reports = [told(index.add(photos, reread=True, cluster=at)) for index, at in ways]
        assert reports[0] == reports[1]
        assert_equal(one, many)
        assert many.verify().ok
        assert told(many.add(photos, cluster="ray://127.0.0.1:1")).added == 0  # nothing is read: no cluster is needed
    assert not list((tmp_path / "many").glob("embedding-*"))


def test_photos_in_a_store_and_a_catalog_in_postgresql(
    photos: Path, tmp_path: Path, bucket: Bucket, postgresql: Server
) -> None:
    bucket.put_folder(photos, "raw")
    bucket.put("raw/Wren/cut off.png", (photos / "Wren/0.png").read_bytes()[:300])
    with (
        birdsearch.create(tmp_path / "one", backbone=FakeBackbone()) as one,
        birdsearch.create(postgresql.address(tmp_path / "many"), backbone=FakeBackbone()) as many,
    ):
        reports = [told(one.add(f"{bucket.url}/raw", labels="folder"))]
        reports.append(told(many.add(f"{bucket.url}/raw", labels="folder", cluster="local")))
        assert reports[0] == reports[1]
        assert (reports[0].added, len(reports[0].failed)) == (40, 1)
        rows = [[replace(photo, id=None) for photo in index.photos(order="path")] for index in (one, many)]
        assert rows[0] == rows[1]
        vectors = [index.vectors(index.photo_ids(order="path").tolist()) for index in (one, many)]
        np.testing.assert_array_equal(vectors[0], vectors[1])
        assert many.verify().ok


def test_another_network_on_the_hosts_is_refused(cluster: Hosts, photos: Path, tmp_path: Path) -> None:
    # The name is that of the built-in network, which is what the hosts load.
    with birdsearch.create(tmp_path / "index", backbone=fake_backbone.built_in()) as index:
        with pytest.raises(BackboneMismatchError, match="install the same packages on all hosts"):
            index.add(photos, cluster=cluster.address)
        assert len(index) == 0
        assert told(index.add(photos)).added == 40


@pytest.mark.network
def test_hosts_without_weights_and_internet_are_given_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    file = checkpoints.write(tmp_path / "own", "mobilenet_v1_0_25", "tiny", class_names=("Wren", "Robin"), size=64)
    with ExitStack() as stack:
        with monkeypatch.context() as of_hosts:
            of_hosts.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache of the hosts"))
            for name in ("http_proxy", "https_proxy"):
                of_hosts.setenv(name, "http://127.0.0.1:9")
            cluster = stack.enter_context(hosts(1))
        handle = os.open(file.parent, os.O_RDONLY)
        stack.callback(os.close, handle)
        source = f"/proc/self/fd/{handle}/{file.name}"  # a path that leads nowhere in another process
        index = stack.enter_context(birdsearch.create(tmp_path / "index", backbone=source))
        assert told(index.add(photos, cluster=cluster.address)).added == 40
        kept = list((tmp_path / "cache of the hosts/weights").rglob("*.pt"))
        assert [path.read_bytes() for path in kept] == [file.read_bytes()]
        drawing.write(photos / "Wren/new.png", drawing.bird(1000, 72, 54))
        file.write_bytes(file.read_bytes() + b"x")
        with pytest.raises(BackboneMismatchError, match="bring the old file back"):
            index.add(photos, cluster=cluster.address)
        assert len(index) == 40


def test_photos_that_only_this_computer_sees_are_no_failures(cluster: Hosts, photos: Path, tmp_path: Path) -> None:
    handle = os.open(photos, os.O_RDONLY)
    os.dup2(handle, 250)
    try:
        with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
            with pytest.raises(ClusterError, match="where all hosts reach them under the same path"):
                index.add("/proc/self/fd/250/Wren", cluster=cluster.address)
            assert index.failures() == []
    finally:
        os.close(250)
        os.close(handle)


def test_hosts_without_credentials_are_told_of_and_no_photo_fails(
    photos: Path, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_folder(photos, "raw")
    with ExitStack() as stack:
        with monkeypatch.context() as of_hosts:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                of_hosts.delenv(name)
            cluster = stack.enter_context(hosts(1))
        with (
            birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index,
            pytest.raises(ClusterError, match=r"no credentials were found: .* All hosts need the variables"),
        ):
            index.add(f"{bucket.url}/raw", cluster=cluster.address)
        address = Address("", "", f"{bucket.url}/index", "")
        with (
            closing(Index(Store.create(address, FakeBackbone()))) as index,
            pytest.raises(
                ClusterError, match=r"a host of the cluster: .* no credentials were found: .* All hosts have"
            ),
        ):
            index.add(photos, cluster=cluster.address)
        assert bucket.keys("index/embedding-") == []


def test_a_backbone_that_cannot_be_carried_is_refused(photos: Path, tmp_path: Path) -> None:
    with (
        birdsearch.create(tmp_path / "index", backbone=Keyed()) as index,
        pytest.raises(ClusterError, match="fake cannot be carried to other processes"),
    ):
        index.add(photos, cluster="local")


def test_hosts_hand_over_what_they_make_in_the_store_of_the_parts(
    cluster: Hosts, photos: Path, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    (photos / "Wren/cut off.png").write_bytes((photos / "Wren/0.png").read_bytes()[:300])
    address = Address("", "", f"{bucket.url}/index", "")
    with (
        birdsearch.create(tmp_path / "one", backbone=FakeBackbone()) as one,
        closing(Index(Store.create(address, FakeBackbone()))) as many,
    ):
        reports = [told(index.add(photos, cluster=at)) for index, at in ((one, None), (many, cluster.address))]
        assert reports[0] == reports[1]
        assert_equal(one, many)
        assert many.verify().ok
        assert bucket.keys("index/embedding-") == []
        assert not list(tmp_path.rglob("embedding-*"))


def test_a_photo_that_kills_the_network_is_one_failure(cluster: Hosts, photos: Path, tmp_path: Path) -> None:
    for name in ("Wren/black.png", "Robin/black.png"):
        drawing.write(photos / name, Image.new("RGB", (72 + len(name), 54)))
    with birdsearch.create(tmp_path / "index", backbone=Fatal()) as index:
        report = index.add(photos, cluster=cluster.address)
        assert report.added == 40
        assert [(one.path.removeprefix(f"{photos}/"), one.stage) for one in report.failed] == [
            ("Robin/black.png", "embed"), ("Wren/black.png", "embed")
        ]  # fmt: skip
        assert "processes died while they embedded this file" in report.failed[0].reason
        assert told(index.add(photos, cluster=cluster.address)).unchanged == 40  # and nothing is tried again


def test_a_network_that_ends_every_process_is_told_in_words(cluster: Hosts, photos: Path, tmp_path: Path) -> None:
    with (
        birdsearch.create(tmp_path / "index", backbone=Stillborn()) as index,
        pytest.raises(ClusterError, match=r"the process that loads fake has died 3 times before it was ready"),
    ):
        index.add(photos, cluster=cluster.address)


def test_ray_postgresql_s3_and_milvus_together(
    photos: Path, tmp_path: Path, bucket: Bucket, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    bucket.put_folder(photos, "raw")
    catalog = Address.parse(postgresql.address(tmp_path, "together"))
    address = replace(catalog, parts=f"{bucket.url}/index", vectors=f"milvus://{tmp_path}/birds.db")
    with (
        birdsearch.create(tmp_path / "one", backbone=FakeBackbone()) as one,
        birdsearch.create(str(address), backbone=FakeBackbone()) as many,
    ):
        reports = [told(one.add(f"{bucket.url}/raw", labels="folder"))]
        reports.append(told(many.add(f"{bucket.url}/raw", labels="folder", cluster="local")))
        assert reports[0] == reports[1]
        ids = [index.photo_ids(order="path").tolist() for index in (one, many)]
        vectors = [index.vectors(own) for index, own in zip((one, many), ids, strict=True)]
        np.testing.assert_array_equal(vectors[0], vectors[1])
        for where in (None, Filter(species="Wren"), Filter(species="Wren", sample=3)):
            answers = [
                [
                    [(match.photo.path, match.score) for match in found]
                    for found in index.search_vectors(rows, k=5, where=where)
                ]
                for index, rows in zip((one, many), vectors, strict=True)
            ]
            for expected, found in zip(*answers, strict=True):
                assert [path for path, _ in found] == [path for path, _ in expected]
                np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)
        assert many.remove(Filter(species="Robin")) == 20
        assert all(match.photo.species == "Wren" for match in many.search_vectors(vectors[1][:1], k=20)[0])
        assert many.verify().ok
