"""An index whose engine lies in Milvus (Lite): its answers are those of the engine in a folder."""

import contextlib
import itertools
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from milvus_lite.server_manager import server_manager_instance
from PIL import Image

import birdsearch
from birdsearch import Filter, Index
from birdsearch.cluster import milvus
from birdsearch.cluster.milvus import Milvus, MilvusEngine
from birdsearch.errors import EngineUnreachableError
from birdsearch.search import engine as engine_module
from birdsearch.search.engine import EngineServer, ServedEngine
from birdsearch.storage import served
from birdsearch.storage.address import Address
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from tests.support.fake_backbone import FakeBackbone
from tests.support.milvus_server import LiteServer
from tests.support.postgresql import Server

ROWS = np.random.default_rng(5).standard_normal((200, 16)).astype(np.float32)
ASKED = np.random.default_rng(6).standard_normal((7, 16)).astype(np.float32)
SPECIES = ("Eurasian Wren", "European Robin", "Dunnock", "Common Blackbird")
FILTERS = (
    Filter(species="Wren"),
    Filter(species=["european robin", "Dunnock"], taken_after="2021"),
    Filter(label="Dunnock") | Filter(camera="canon"),
    ~Filter(taken_before="2022-06"),
    Filter(near=(50.0, 10.0, 400.0)),
    Filter(under="PHOTOS", min_width=8),
    Filter(species="Turdus"),
    Filter(ids=range(5, 40), camera="Nikon"),
    Filter(species="Ostrich"),
)


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Milvus Lite that is open as long as the module is tested."""
    address = f"milvus://{tmp_path_factory.mktemp('lite')}/birds.db"
    with closing(Milvus(address)):
        yield address


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred tiny photos."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(100):
        Image.new("RGB", (8 + number % 5, 8), (number, 2 * number, 90)).save(folder / f"{number:03}.jpg")
    return folder


def give(index: Index, photos: Path, numbers: Sequence[int]) -> None:
    """Add some of the photos, with vectors and facts that are made up."""
    facts: dict[str, Any] = {
        "label": [SPECIES[n % 4] for n in numbers],
        "taken_at": [f"202{n % 5}-05-17T06:30:00" for n in numbers],
        "camera": [f"{'Canon' if n % 2 else 'Nikon'} {n % 3}" for n in numbers],
        "latitude": [46.0 + n / 20 for n in numbers],
        "longitude": [10.0] * len(numbers),
    }
    index.add_vectors([photos / f"{n:03}.jpg" for n in numbers], ROWS[list(numbers)], facts)


def at(folder: Path, server: str) -> str:
    """The address of an index in a folder whose engine lies on a server."""
    return f"birds+sqlite://{folder}?vectors={server}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, photos: Path, lite: str) -> Iterator[tuple[Index, Index]]:
    """The same photos in an index of its own, and in one whose engine lies in Milvus; for tests that only ask."""
    place = tmp_path_factory.mktemp("pair")
    with (
        birdsearch.create(place / "own", backbone=FakeBackbone()) as own,
        birdsearch.create(at(place / "served", lite), backbone=FakeBackbone()) as other,
    ):
        for index in (own, other):
            give(index, photos, range(60))
            give(index, photos, range(60, 100))
        yield own, other


@pytest.fixture
def index(tmp_path: Path, photos: Path, lite: str) -> Iterator[Index]:
    """Forty photos in an index whose engine lies in Milvus; for tests that change it."""
    with birdsearch.create(at(tmp_path / "index", lite), backbone=FakeBackbone()) as made:
        give(made, photos, range(40))
        yield made


def answers(index: Index, k: int = 9, where: Filter | None = None) -> list[list[tuple[int | None, float]]]:
    """Ids and scores."""
    found = index.search_vectors(ASKED, k, where=where)
    return [[(match.photo.id, round(match.score, 5)) for match in row] for row in found]


def engine_of(index: Index, lite: str) -> ServedEngine:
    """The engine in force, as another client sees it."""
    server = Milvus(lite)
    (name,) = [name for name in server.names("birds_") if index.info()["engine"] == "milvus" and name in state(index)]
    engine = server.open(name)
    assert engine is not None
    return engine


def state(index: Index) -> str:
    """What the catalog says of the engine."""
    with closing(SQLiteCatalog(Path(Address.parse(index.info()["path"]).parts) / "catalog.sqlite")) as catalog:
        return str(catalog.get_state("engine_on_server"))


# Answers


def test_answers_are_those_of_the_engine_in_a_folder(pair: tuple[Index, Index]) -> None:
    own, other = pair
    assert (own.info()["engine"], other.info()["engine"]) == ("flat", "milvus")
    for k in (1, 9, 100, 500):
        assert answers(other, k) == answers(own, k)
    photos = own.photos()[::9]
    mine, others = (index.search_many(photos, 5) for index in pair)
    assert [[match.photo.id for match in row] for row in mine] == [[match.photo.id for match in row] for row in others]


@pytest.mark.parametrize("where", FILTERS)
def test_filtered_answers_are_those_of_the_engine_in_a_folder(
    pair: tuple[Index, Index], photos: Path, monkeypatch: pytest.MonkeyPatch, where: Filter
) -> None:
    if where.under is not None:
        where = replace(where, under=photos)
    own, other = pair
    expected = [answers(own, k, where) for k in (2, 12, 90)]
    assert [answers(other, k, where) for k in (2, 12, 90)] == expected  # compared one by one: they are few
    monkeypatch.setattr(served, "EXACT", 0)  # asked of the server
    monkeypatch.setattr(served, "SPARE", 0)
    assert [answers(other, k, where) for k in (2, 12, 90)] == expected
    monkeypatch.setattr(served, "DEEPEST", 1)  # so many are asked for that the parts are read
    assert [answers(other, k, where) for k in (2, 12, 90)] == expected


def test_all_else_that_asks_neighbours_works(pair: tuple[Index, Index]) -> None:
    own, other = (
        {
            "clusters": [sorted(cluster.photos) for cluster in index.clusters().clusters],
            "duplicates": [sorted((group.keep, *group.others)) for group in index.duplicates().groups],
        }
        for index in pair
    )
    assert own == other


# Following the catalog


def test_what_comes_and_goes_is_followed(index: Index, photos: Path, lite: str) -> None:
    give(index, photos, range(40, 50))
    assert len(engine_of(index, lite)) == 50
    gone = index.photos()[3]
    assert gone.id in [photo for photo, _ in answers(index, 50)[0]]
    assert index.remove(Filter(ids=[gone.id or 0])) == 1
    assert gone.id not in [photo for photo, _ in answers(index, 50)[0]]
    assert len(engine_of(index, lite)) == 49
    assert index.verify().ok


def test_an_engine_that_is_behind_loses_nothing(
    index: Index, photos: Path, tmp_path: Path, lite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "EXACT", 0)
    with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as beside:  # knows nothing of Milvus
        give(beside, photos, range(40, 45))
        give(beside, photos, [7])  # a new vector
        beside.label({1: "Great Tit", 2: "Great Tit"})
        beside.remove(Filter(ids=[3, 4]))
        for where in (None, Filter(species="Great Tit"), Filter(species="Wren"), ~Filter(label="Great Tit")):
            for k in (2, 45):  # a row that is in both engines must not take the place of another one
                assert answers(index, k, where) == answers(beside, k, where)
        behind = index.info()["engine_state"]
    assert behind["rows"] == 40
    assert behind["behind"] >= 6
    assert index.verify().ok
    index.label({9: "Great Tit"})  # a writer brings all of it
    assert index.info()["engine_state"]["behind"] == 0
    engine = engine_of(index, lite)
    assert len(engine) == 43
    assert index.verify().ok
    stored = engine.stored(engine.ids)
    labels = dict(zip(stored.facets["photo"], stored.facets["species"], strict=True))
    assert [labels[photo] for photo in (1, 2, 9)] == ["Great Tit"] * 3


def test_a_stale_copy_of_a_label_shows_no_wrong_photo(index: Index, lite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(index, lite)
    stored = engine.stored(engine.ids)
    facets = {name: list(values) for name, values in stored.facets.items()}
    facets["species"] = facets["label"] = ["Eurasian Wren"] * 40
    engine.add(stored.vectors, stored.ids, facets)
    monkeypatch.setattr(served, "EXACT", 0)
    wrens = Filter(species="Eurasian Wren")
    assert {photo for photo, _ in answers(index, 40, wrens)[0]} == {photo.id for photo in index.photos(wrens)}
    robins = Filter(species="European Robin")
    assert {photo for photo, _ in answers(index, 40, robins)[0]} == {photo.id for photo in index.photos(robins)}
    report = index.verify()
    assert not report.ok
    assert "30 rows that differ from the stored vectors and the catalog" in " ".join(report.problems)


def test_repair_makes_good_what_verify_finds(index: Index, lite: str) -> None:
    engine = engine_of(index, lite)
    expected = answers(index, 40)
    stored = engine.stored(engine.ids)
    engine.remove(stored.ids[:3])
    engine.add(stored.vectors[5:6], stored.ids[6:7], {name: v[6:7] for name, v in stored.facets.items()})
    engine.add(stored.vectors[:1], np.array([999_999]))
    problems = " ".join(index.verify().problems)
    assert "lacks 3 rows" in problems
    assert "1 row that differ" in problems
    assert "1 row of regions that the index does not have" in problems
    assert "built the engine anew" in index.repair()
    assert index.verify().ok
    assert len(engine_of(index, lite)) == 40
    assert answers(index, 40) == expected


def test_repair_makes_good_what_verify_finds_in_an_engine_that_is_behind(
    index: Index, photos: Path, tmp_path: Path, lite: str
) -> None:
    with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as beside:  # knows nothing of Milvus
        give(beside, photos, range(40, 60))
    engine = engine_of(index, lite)
    engine.remove(engine.ids[:3])
    assert "built the engine anew" in index.repair()
    assert index.verify().problems == ()
    assert len(engine_of(index, lite)) == 60


def test_rows_that_a_server_took_and_does_not_have_are_given_again(
    index: Index, photos: Path, lite: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add, times = MilvusEngine.add, [1]  # that the first three rows are forgotten

    def forgetful(engine: MilvusEngine, rows: Any, ids: Any, facets: Any = None) -> None:
        out = 3 if times[0] > 0 else 0
        times[0] -= 1
        add(engine, rows[out:], ids[out:], {name: values[out:] for name, values in facets.items()})

    monkeypatch.setattr(MilvusEngine, "add", forgetful)
    give(index, photos, range(40, 50))
    assert index.verify().ok
    assert len(engine_of(index, lite)) == 50
    times[0] = 99
    monkeypatch.setattr(served, "PATIENCE", 1)
    with caplog.at_level(logging.WARNING, "birdsearch"):
        give(index, photos, range(50, 60))
    assert "does not have 3 rows that it took" in caplog.text
    assert len(answers(index, 60)[0]) == 60


def test_a_collection_that_is_lost_is_filled_again(index: Index, lite: str) -> None:
    expected = answers(index, 40)
    name = engine_of(index, lite).name
    Milvus(lite).drop(name)
    assert answers(index, 40) == expected
    assert "does not hold" in " ".join(index.verify().problems)
    index.repair()
    assert index.verify().ok
    assert engine_of(index, lite).name != name
    assert answers(index, 40) == expected


def test_a_restored_catalog_does_not_trust_an_engine_that_went_on(
    index: Index, photos: Path, tmp_path: Path, lite: str
) -> None:
    shutil.copytree(tmp_path / "index", tmp_path / "backup")
    give(index, photos, range(40, 60))
    shutil.rmtree(tmp_path / "index")
    shutil.copytree(tmp_path / "backup", tmp_path / "index")
    with birdsearch.open(at(tmp_path / "index", lite), backbone=FakeBackbone()) as again:
        give(again, photos, range(60, 80))  # under the ids that the lost photos had
        with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as own:
            assert answers(again, 60) == answers(own, 60)
        assert again.verify().ok
        assert len(engine_of(again, lite)) == 60


def test_optimize_swaps_a_new_collection_in(index: Index, tmp_path: Path, lite: str) -> None:
    before = engine_of(index, lite).name
    report = index.optimize(recall=1.0)
    assert report.engine == "milvus"
    assert report.trials[0].recall == 1
    after = engine_of(index, lite).name
    assert after != before
    with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as own:
        assert answers(index, 40) == answers(own, 40)
    assert index.search(index.photos()[0], 3, diffuse=True)
    index.label({1: "Great Tit"})  # the next writer removes what is left
    assert before not in Milvus(lite).names("birds_")
    assert index.verify().ok
    with pytest.raises(ValueError, match="auto, flat or hnsw, got 'ivf'"):
        index.optimize(engine="ivf")


@pytest.mark.parametrize("value", [5, [], {"name": "users"}, {"photos": ["x"]}])
@pytest.mark.parametrize("key", ["engine_on_server", "changed_photos"])
def test_a_state_that_cannot_be_is_made_anew(index: Index, tmp_path: Path, lite: str, key: str, value: Any) -> None:
    expected = answers(index, 40)
    with closing(SQLiteCatalog(tmp_path / "index" / "catalog.sqlite")) as catalog:
        catalog.set_state(key, value, bump=True)
    with birdsearch.open(at(tmp_path / "index", lite), backbone=FakeBackbone()) as again:
        assert answers(again, 40) == expected
        again.label({1: "Great Tit"})
        assert again.verify().ok
        assert again.info()["engine_state"]["behind"] == 0
        assert len(engine_of(again, lite)) == 40


@pytest.mark.slow
@pytest.mark.parametrize("error", [EngineUnreachableError("it went away"), KeyboardInterrupt()])
@pytest.mark.parametrize("optimizes", [False, True])
def test_a_write_that_ends_at_any_call_of_the_server_is_brought_by_the_next(
    index: Index, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, optimizes: bool
) -> None:
    calls = ("create", "point", "unpoint", "names", "name_of", "open", "drop")
    methods = [(Milvus, name) for name in calls] + [(MilvusEngine, n) for n in ("add", "remove", "settle", "__len__")]
    left = [10_000]  # calls until one fails

    def failing(method: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                raise error
            return method(*args, **options)

        return call

    for owner, name in methods:
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
    for nth in itertools.count(1):
        left[0] = nth
        with contextlib.suppress(KeyboardInterrupt, EngineUnreachableError):
            if optimizes:
                index.optimize(recall=1.0)
            else:
                give(index, photos, [39 + nth, 7])
                index.label({1 + nth % 20: f"Great {nth}"})
                index.remove(Filter(ids=[nth + 20]))
        ended, left[0] = left[0] <= 0, 10_000
        with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as own:
            assert answers(index, 80) == answers(own, 80), nth
        index.label({1: f"Coal Tit {nth}"})  # the next writer
        report = index.verify()
        assert report.ok, (nth, report.problems)
        assert index.info()["engine_state"]["behind"] == 0
        if not ended:
            break
    assert nth > 5


# A server that is not there


def test_without_its_server_an_index_compares_what_is_stored(
    index: Index, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(index, 40)
    nowhere = at(tmp_path / "index", "milvus://127.0.0.1:9")
    with birdsearch.open(nowhere, backbone=FakeBackbone()) as away, caplog.at_level(logging.WARNING, "birdsearch"):
        assert answers(away, 40) == expected
        assert "milvus://127.0.0.1:9 does not answer" in caplog.text
        assert "The stored vectors are compared meanwhile" in caplog.text
        monkeypatch.setattr(engine_module, "AGAIN", -1)  # the server is asked again each time
        assert answers(away, 40) == expected
        caplog.clear()
        give(away, photos, range(40, 44))
        assert "What was committed is safe" in caplog.text
        assert len(answers(away, 50)[0]) == 44
        assert away.info()["engine"] == "none"
        assert "does not answer" in " ".join(away.verify().problems)
        away.close()
    monkeypatch.setattr(served, "SCANNED", 30)
    with (
        birdsearch.open(nowhere, backbone=FakeBackbone()) as away,
        pytest.raises(EngineUnreachableError, match=r"start it, or check the address"),
    ):
        answers(away)
    assert len(answers(index, 50)[0]) == 44  # the index that has its server goes on


@pytest.mark.slow
def test_a_server_that_goes_is_done_without_and_is_filled_when_it_is_back(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = LiteServer(tmp_path / "lite.db")
    with birdsearch.create(at(tmp_path / "index", server.address), backbone=FakeBackbone()) as index:
        give(index, photos, range(30))
        expected = answers(index)
        assert index.info()["engine"] == "milvus"
        server.kill()
        assert answers(index) == expected
        with caplog.at_level(logging.WARNING, "birdsearch"):
            give(index, photos, range(30, 50))
        assert "What was committed is safe" in caplog.text
        assert index.info()["engine"] == "none"
        assert "does not answer" in " ".join(index.verify().problems)
        assert "anew" not in " ".join(index.repair())
        with pytest.raises(EngineUnreachableError, match="start it, or check the address"):
            index.optimize(recall=1.0)
        server.start()
        assert "built the engine anew" in index.repair()
        assert index.info()["engine"] == "milvus"
        assert index.verify().ok
        assert len(answers(index, 60)[0]) == 50
    server.kill()


@pytest.mark.slow
def test_a_server_that_hangs_is_waited_for_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(milvus, "ASKING", 3)
    monkeypatch.setattr(milvus, "CONNECTING", 3)
    server = LiteServer(tmp_path / "lite.db")
    connect, asked = engine_module.engine_server, []

    def counted(address: str) -> EngineServer:
        asked.append(address)
        return connect(address)

    monkeypatch.setattr(engine_module, "engine_server", counted)
    with birdsearch.create(at(tmp_path / "index", server.address), backbone=FakeBackbone()) as index:
        give(index, photos, range(30))
        expected = answers(index)
        server.pause()
        for _ in range(3):
            assert answers(index) == expected
        assert index.info()["engine"] == "none"
        index.label({1: "Great Tit"})
        assert not index.verify().ok
        assert len(asked) <= 3  # at first, by the search that found it away, and by the write
        server.go_on()
        index.label({2: "Great Tit"})  # a write asks anew
        assert index.info()["engine"] == "milvus"
        assert index.verify().ok
    server.kill()


def test_a_server_that_opens_an_engine_and_cannot_search_it_is_done_without(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = answers(index)
    monkeypatch.setattr(MilvusEngine, "search", raising(EngineUnreachableError("channel not available.")))
    with monkeypatch.context() as large:
        large.setattr(served, "SCANNED", 30)
        with pytest.raises(EngineUnreachableError, match="channel not available"):
            answers(index)
    with caplog.at_level(logging.WARNING, "birdsearch"):
        assert answers(index) == expected
    assert "channel not available. The stored vectors are compared meanwhile" in caplog.text


def raising(error: Exception) -> Any:
    """A function that raises an error."""

    def fail(*args: Any, **options: Any) -> None:
        raise error

    return fail


def test_a_file_of_milvus_lite_that_is_damaged_is_filled_again(photos: Path, tmp_path: Path) -> None:
    address = at(tmp_path / "index", f"milvus://{tmp_path}/lite.db")
    with birdsearch.create(address, backbone=FakeBackbone()) as index:
        give(index, photos, range(30))
        expected = answers(index)
    server_manager_instance.release_server(f"{tmp_path}/lite.db")  # as where the process ends
    (graph,) = (tmp_path / "lite.db").rglob("*.idx")
    graph.write_bytes(b"")  # a process was killed while it wrote it
    with birdsearch.open(address, backbone=FakeBackbone()) as index:
        assert answers(index) == expected
        assert "does not hold" in " ".join(index.verify().problems)
        assert "built the engine anew" in index.repair()
        assert index.verify().ok
        assert index.info()["engine"] == "milvus"
        assert answers(index) == expected


def test_what_a_run_that_was_cut_off_left_on_the_server_goes_with_the_next(
    photos: Path, tmp_path: Path, lite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with birdsearch.create(at(tmp_path / "index", lite), backbone=FakeBackbone()) as index:
        with monkeypatch.context() as patched:
            patched.setattr(MilvusEngine, "settle", raising(EngineUnreachableError("it went away.")))
            give(index, photos, range(20))
        give(index, photos, range(20, 40))
        assert len(Milvus(lite).names(f"birds_{index.provenance.index_id}")) == 1
        assert index.verify().ok


def test_an_address_of_a_folder_is_read_and_written(tmp_path: Path) -> None:
    address = Address.parse(f"birds+sqlite://{tmp_path}/my birds%3F?vectors=milvus://host:19530")
    assert address == Address("", "", f"{tmp_path}/my birds?", "milvus://host:19530")
    assert Address.parse(str(address)) == address
    for wrong in (
        "birds+sqlite://host/x?vectors=milvus://h",
        "birds+sqlite:///x?index=a",
        "birds+sqlite:///x?vectors=y",
    ):
        with pytest.raises(ValueError, match="names no index"):
            Address.parse(wrong)


# A catalog in PostgreSQL


def test_an_index_in_postgresql_with_its_engine_in_milvus_is_the_index_of_a_folder(
    pair: tuple[Index, Index],
    tmp_path: Path,
    photos: Path,
    lite: str,
    postgresql: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, _ = pair
    (tmp_path / "parts").mkdir()
    address = str(replace(Address.parse(postgresql.address(tmp_path / "parts", "served")), vectors=lite))
    with birdsearch.create(address, backbone=FakeBackbone()) as index:
        give(index, photos, range(60))
        give(index, photos, range(60, 100))
        monkeypatch.setattr(served, "EXACT", 0)
        for where in (None, *FILTERS[:5]):
            assert answers(index, 20, where) == answers(own, 20, where)
        assert index.info()["engine"] == "milvus"
        with birdsearch.open(address, backbone=FakeBackbone()) as reader:
            before = answers(reader, 100)
            index.label({1: "Great Tit"})
            index.remove(Filter(ids=[5, 6]))
            assert len(answers(reader, 100)[0]) == len(before[0]) - 2
            assert {photo for photo, _ in answers(reader, 9, Filter(species="Great Tit"))[0]} == {1}
        assert index.info()["engine_state"]["behind"] == 0
        assert index.verify().ok
