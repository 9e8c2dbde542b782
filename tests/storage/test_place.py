"""Parts, engine, index.json and classifier of an index in an object store; copies of them are read."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter, objects
from birdsearch.backbones import Backbone
from birdsearch.cache import cache_folder
from birdsearch.errors import IndexDamagedError, IndexExistsError, IndexFolderError, RemoteError
from birdsearch.index import Index
from birdsearch.storage.address import Address
from birdsearch.storage.place import LocalPlace, StorePlace, place_of
from birdsearch.storage.store import Store
from birdsearch.storage.vectors import EngineFile, engine_file, load_engine
from tests.conftest import write_garden_photos
from tests.support.drawing import bird, write
from tests.support.fake_backbone import classifying
from tests.support.object_store import Bucket
from tests.support.postgresql import Server


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of five photos."""
    for seed in range(5):
        write(tmp_path / "photos" / f"{seed}.jpg", bird(seed, 80, 60))
    return tmp_path / "photos"


@pytest.fixture
def address(bucket: Bucket) -> Address:
    """An index whose catalog is a SQLite file of this computer, and whose other files lie in the bucket."""
    return Address("", "", f"{bucket.url}/index", "")


@pytest.fixture
def network() -> Backbone:
    """A backbone with two classes."""
    return classifying(("Wren", "Robin"), np.eye(2, 16, dtype=np.float32), np.zeros(2, np.float32))


@pytest.fixture
def index(address: Address, network: Backbone) -> Iterator[Index]:
    """A new index there."""
    with closing(Index(Store.create(address, network))) as made:
        yield made


def test_a_new_index_and_its_parts_lie_in_the_store(index: Index, bucket: Bucket, photos: Path) -> None:
    assert index.add(photos).added == 5
    names = bucket.keys("index/")
    assert {"index/index.json", "index/classifier.npz", "index/vectors/00000001.parquet"} <= set(names)
    assert [name.partition("-")[0] for name in names if "engine" in name] == ["index/engine"]
    assert index.info()["bytes"] == sum(len(bucket.get(name)) for name in names)
    assert index.verify().ok
    assert index.search(photos / "1.jpg", k=2)


def test_another_computer_reads_what_lies_in_the_store(
    index: Index, address: Address, photos: Path, network: Backbone
) -> None:
    index.add(photos)
    wanted = [(match.photo.path, match.score) for match in index.search(photos / "1.jpg", k=3)]
    vectors = index.vectors([1, 2, 3])
    shutil.rmtree(cache_folder() / "places")  # as on a computer that has no copies yet
    with closing(Index(Store.open(address, network))) as other:
        assert [(match.photo.path, match.score) for match in other.search(photos / "1.jpg", k=3)] == wanted
        assert np.array_equal(other.vectors([1, 2, 3]), vectors)
        assert other.verify().ok


def test_what_no_commit_lists_is_removed_by_the_next_writer(index: Index, bucket: Bucket, photos: Path) -> None:
    index.add(photos)
    bucket.put("index/vectors/00000009.parquet", b"left by a killed writer")
    bucket.put("index/engine-0123456789abcdef.faiss", b"the same")
    bucket.put("index/notes.txt", b"a user's own")
    (photos / "4.jpg").unlink()
    index.add(photos)
    names = set(bucket.keys("index/"))
    assert not names & {"index/vectors/00000009.parquet", "index/engine-0123456789abcdef.faiss"}
    assert "index/notes.txt" in names


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("index/vectors/00000001.parquet", "does not have the checksum"),
        ("index/classifier.npz", "does not have the checksum"),
    ],
)
def test_verify_looks_into_the_store_and_repair_puts_it_right(
    index: Index, bucket: Bucket, photos: Path, key: str, words: str
) -> None:
    index.add(photos)
    bucket.put(key, bucket.get(key)[:-1] + b"x")
    assert any(words in problem for problem in index.verify().problems)
    assert index.repair()
    assert index.verify().ok
    bucket.delete(*[name for name in bucket.keys("index/") if name.endswith(".parquet")])
    assert any(f"{bucket.url}/index/vectors/" in one and "is missing" in one for one in index.verify().problems)
    index.repair()
    assert index.verify().ok
    assert index.search(photos / "1.jpg", k=2)


@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        (".parquet", lambda store: store.vectors.fetch([1])),
        (".parquet", lambda store: list(store.vectors.blocks())),
        ("classifier", lambda store: store.last_layer),
        ("engine-", lambda store: load_engine(store.folder, cast(EngineFile, engine_file(store.catalog)))),
    ],
)
def test_what_is_damaged_is_named_as_it_lies_in_the_store(
    index: Index,
    address: Address,
    bucket: Bucket,
    photos: Path,
    network: Backbone,
    kind: str,
    ask: Callable[[Store], Any],
) -> None:
    index.add(photos)
    (name,) = [name for name in bucket.keys("index/") if kind in name]
    bucket.put(name, bucket.get(name)[:-1] + b"x")
    shutil.rmtree(cache_folder() / "places")
    with (
        closing(Store.open(address, network)) as other,
        pytest.raises(IndexDamagedError, match=f"{bucket.url}/{name} does not have the checksum") as raised,
    ):
        ask(other)
    assert str(cache_folder()) not in str(raised.value)


def test_what_the_store_does_not_take_is_not_committed(
    index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, *_: object, **__: object) -> None:
        raise RemoteError(13, "no permission (403)", url)

    with monkeypatch.context() as patch:
        patch.setattr(objects, "write", refuse)
        with pytest.raises(RemoteError, match=r"00000001\.parquet: no permission \(403\)"):
            index.add(photos)
    assert (len(index), index.verify().ok) == (0, True)
    assert index.add(photos).added == 5


def test_a_store_that_does_not_answer_is_told_in_words(
    index: Index, address: Address, network: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, *_: object) -> None:
        raise RemoteError(113, "nothing answers there", url)

    monkeypatch.setattr(objects, "opened", refuse)
    with pytest.raises(IndexFolderError, match=r"cannot read s3://.*/index/index\.json: nothing answers there"):
        Store.open(address, network)


def test_a_prefix_with_other_objects_takes_no_index(address: Address, bucket: Bucket, network: Backbone) -> None:
    bucket.put("index/holiday.jpg", b"mine")
    with pytest.raises(IndexExistsError, match=r"s3://.*/index holds other files \(holiday\.jpg\)"):
        Store.create(address, network)


def test_decisions_are_kept_in_the_store(
    index: Index, address: Address, bucket: Bucket, photos: Path, network: Backbone
) -> None:
    index.add(photos)
    index.decide([1, 2], keep=[1], remove=[2])
    shutil.rmtree(cache_folder() / "places")
    with closing(Index(Store.open(address, network))) as other:
        assert [one.keep for one in other.decisions()] == [(1,)]


def test_a_path_is_a_place_of_its_own(tmp_path: Path) -> None:
    place = place_of(str(tmp_path))
    assert isinstance(place, LocalPlace)
    assert isinstance(place_of("s3://bucket/prefix"), StorePlace)
    (tmp_path / "a.txt").write_text("a")
    assert list(place.names()) == ["a.txt"]
    place.drop(r".*\.txt", keep=("b.txt",))
    assert list(place.names()) == []


def test_a_whole_index_beyond_one_machine(
    postgresql: Server, bucket: Bucket, tmp_path: Path, network: Backbone
) -> None:
    database = postgresql.new_database()
    address = postgresql.address(f"{bucket.url}/index", database=database)
    write_garden_photos(tmp_path / "photos")
    bucket.put_folder(tmp_path / "photos", "raw")
    with birdsearch.create(address, backbone=network) as index:
        assert index.add(f"{bucket.url}/raw", labels="folder").added == 6
        wanted = [(match.photo.path, match.score) for match in index.search(index.photo(1), 5)]
    shutil.rmtree(cache_folder() / "places")
    with birdsearch.open(address, backbone=network) as index:
        assert index.add().unchanged == 6
        assert [(match.photo.path, match.score) for match in index.search(index.photo(1), 5)] == wanted
        assert [photo.label for photo in index.photos(Filter(near=(52.5, 13.4, 10)))] == ["Wren"] * 3
        assert index.verify().ok
        assert str(tmp_path) not in repr(index)
        assert index.name == "garden"
    bucket.delete("index/index.json")
    with pytest.raises(IndexDamagedError, match=r"s3://.*/index/index\.json is missing: run `birdsearch repair"):
        birdsearch.open(address)
    assert birdsearch.restore(address) == ["wrote index.json again from the catalog"]


def test_an_index_that_is_made_anew_in_the_store_meets_copies_of_the_one_before(
    index: Index, address: Address, bucket: Bucket, photos: Path, network: Backbone, tmp_path: Path
) -> None:
    index.add(photos)
    bucket.delete(*bucket.keys("index/"))
    shutil.rmtree(tmp_path / "data")  # its catalog
    (photos / "3.jpg").unlink()
    with closing(Index(Store.create(address, network))) as anew:
        assert anew.add(photos).added == 4
        assert anew.verify().ok


def test_a_bucket_that_is_away_costs_no_part(index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add(photos)

    def refuse(url: str, *_: object) -> None:
        raise RemoteError(2, "there is no such bucket", url)

    with monkeypatch.context() as patch:
        patch.setattr(objects, "opened", refuse)
        with pytest.raises(IndexFolderError, match="there is no such bucket"):
            index.repair()
    assert (index.verify().ok, len(index)) == (True, 5)
