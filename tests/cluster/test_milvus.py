"""Milvus answers as brute force does, in Milvus Lite; tests/cluster/test_milvus_server.py asks a real server."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from birdsearch import Filter
from birdsearch.cluster import milvus
from birdsearch.cluster.milvus import MOST, Milvus, MilvusEngine
from birdsearch.errors import EngineUnreachableError
from birdsearch.records import Ids, Vectors
from birdsearch.search import engine as engine_module
from birdsearch.search import exact, tuning
from birdsearch.storage.catalog.filters import distance_km
from tests.search.test_engine import assert_same, brute_force, unit_rows
from tests.support.milvus_server import LiteServer

SPECIES = ("Wren", 'The "Great" Auk', "O'Neil's\\bird\n", "Ørnæ", None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
    """Milvus Lite in a file of its own."""
    lite = Milvus(f"milvus://{tmp_path_factory.mktemp('lite')}/birds.db")
    yield lite
    lite.close()


def facets_of(ids: Ids) -> Mapping[str, Sequence[Any]]:
    """Facts of made-up photos, one for each row."""
    numbers = ids.tolist()
    return {
        "photo": [1000 + n for n in numbers],
        "species": [SPECIES[n % 5] for n in numbers],
        "label": [None if n % 2 else "Wren" for n in numbers],
        "taken_at": [None if n % 7 == 0 else f"20{n % 30:02}-05-17T06:30:00" for n in numbers],
        "latitude": [None if n % 3 == 0 else n / 10 - 30 for n in numbers],
        "longitude": [None if n % 3 == 0 else -170.0 + n for n in numbers],
        "camera": [None if n % 4 == 0 else f"Canon {n % 3}" for n in numbers],
        "width": [None if n % 9 == 0 else 100 * (n % 9) for n in numbers],
    }


def filled(server: Milvus, rows: Vectors, ids: Ids, exact: bool = True) -> MilvusEngine:
    """A new engine of these rows."""
    engine = server.create(f"birds_{uuid.uuid4().hex}", rows.shape[1], exact)
    engine.add(rows, ids, facets_of(ids))
    return engine


def test_search_is_exact(server: Milvus) -> None:
    rows, ids = unit_rows(300), 2 * np.arange(300) + 5
    engine = filled(server, rows, ids)
    assert len(engine) == 300
    np.testing.assert_array_equal(engine.ids, ids)
    asked = unit_rows(9, seed=1)
    assert_same(engine.search(asked, 7), brute_force(rows, ids, asked, 7))
    assert_same(engine.search(asked, 7, only=ids[40:60]), brute_force(rows, ids, asked, 7, ids[40:60]))
    assert_same(engine.search(asked, 30, only=ids[:4]), brute_force(rows, ids, asked, 30, ids[:4]))
    assert (engine.search(asked, 3, only=ids[:0]).ids == -1).all()


def test_more_neighbours_and_queries_than_a_request_takes(server: Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, ids = unit_rows(40), np.arange(40) * 1000 + 7
    engine = filled(server, rows, ids)
    assert_same(engine.search(rows[:2], MOST + 5), brute_force(rows, ids, rows[:2], MOST + 5))
    monkeypatch.setattr(milvus, "QUERIES", 7)
    monkeypatch.setattr(milvus, "SOME", 9)
    assert_same(engine.search(rows, 3, only=ids[:31]), brute_force(rows, ids, rows, 3, ids[:31]))


def test_an_id_that_is_there_is_replaced(server: Milvus) -> None:
    rows, ids = unit_rows(50), np.arange(50)
    engine = filled(server, rows, ids)
    engine.add(rows[:1], ids[49:])
    assert len(engine) == 50
    assert engine.search(rows[:1], 2).ids[0].tolist() == [0, 49]
    assert engine.search(rows[49:], 1).ids[0, 0] != 49


def test_removed_rows_answer_no_more_at_once(server: Milvus) -> None:
    rows, ids = unit_rows(200), np.arange(200)
    engine = filled(server, rows, ids)
    for start in range(0, 100, 10):
        engine.remove(ids[start : start + 10])
        found = engine.search(rows[start : start + 10], 5).ids
        assert not np.isin(found, ids[: start + 10]).any()
    engine.remove(np.array([3, 777]))
    assert len(engine) == 100


def test_rows_come_back_as_they_were_written(server: Milvus) -> None:
    rows, ids = unit_rows(30), np.arange(30)
    engine = filled(server, rows, ids)
    stored = engine.stored(np.array([29, 4, 99, 0]))
    assert stored.ids.tolist() == [0, 4, 29]
    np.testing.assert_array_equal(stored.vectors, rows[[0, 4, 29]])
    expected = facets_of(stored.ids)
    assert stored.facets["taken_at"] == expected["taken_at"]
    assert stored.facets["latitude"] == expected["latitude"]
    assert stored.facets["width"] == expected["width"]
    assert engine.ids_of_photos([1004, 1029, 3]).tolist() == [4, 29]


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        (Filter(species="Wren"), lambda n: n % 5 == 0),
        (Filter(species=['The "Great" Auk', "O'Neil's\\bird\n"]), lambda n: n % 5 in (1, 2)),
        (Filter(species="Ørnæ", label="Wren"), lambda n: n % 5 == 3 and n % 2 == 0),
        (Filter(species=[]), lambda n: False),
        (Filter(taken_after="2010"), lambda n: n % 7 and n % 30 >= 10),
        (Filter(taken_before="2010"), lambda n: n % 7 and n % 30 < 10),
        (Filter(camera="Canon 1"), lambda n: n % 4 and n % 3 == 1),
        (Filter(min_width=500), lambda n: n % 9 >= 5),
        (Filter(species="Wren") | Filter(min_width=800), lambda n: n % 5 == 0 or n % 9 == 8),
        (~Filter(species="Wren"), lambda n: n % 5 != 0),
        (Filter(label="Wren") & ~Filter(taken_before="2010"), lambda n: n % 2 == 0 and not (n % 7 and n % 30 < 10)),
        (~(Filter(species="Wren") & ~Filter(label="Wren")), lambda n: not (n % 5 == 0 and n % 2)),
        (~(Filter(species="Wren") | Filter(camera="Canon 2")), lambda n: not (n % 5 == 0 or (n % 4 and n % 3 == 2))),
        (Filter(near=(-28, -150, 300)), lambda n: n % 3 and 17 <= n <= 23),
        (Filter(near=(-28, 178, 1500)), lambda n: n % 3 and n <= 3),  # across the date line
        (Filter(near=(-89, 0, 7000)), lambda n: n % 3 and n < 40),  # around a pole: by latitude alone
        # What no facet tells is not asked, however it stands in the filter.
        (Filter(predicted="Wren", under="/nowhere", ids=[1]), lambda n: True),
        (~Filter(species="Wren", predicted="Wren"), lambda n: True),
        (Filter(species="Wren") | Filter(predicted="Wren"), lambda n: True),
        (~Filter(species="O'Neil's\\bird\n"), lambda n: True),  # it cannot be quoted, so another one may look like it
    ],
)
def test_filters_are_those_of_the_facets(server: Milvus, where: Filter, holds: Any) -> None:
    rows, ids = unit_rows(160), np.arange(160)
    engine = shared(server, rows, ids)
    allowed = np.array([n for n in ids.tolist() if holds(n)], dtype=np.int64)
    assert_same(engine.search(rows[:3], 160, where=where), brute_force(rows, ids, rows[:3], 160, allowed))
    some = allowed[::2]
    assert_same(engine.search(rows[:3], 9, only=some, where=where), brute_force(rows, ids, rows[:3], 9, some))


def test_no_place_within_the_radius_is_denied() -> None:
    random = np.random.default_rng(4)
    denied = 0
    for _ in range(300):
        latitude, longitude = random.uniform(-90, 90), random.choice([random.uniform(-180, 180), 180, -180, 179.9])
        radius = float(10 ** random.uniform(-1, 4.2))
        expression = compile(milvus.implied(Filter(near=(latitude, longitude, radius))), "filter", "eval")
        for _ in range(60):
            spread = 1.5 * radius / 111
            place = np.clip(latitude + random.uniform(-spread, spread), -90, 90), random.uniform(-180, 180)
            told = eval(expression, {"latitude": place[0], "longitude": place[1]})
            assert told or (distance_km(*place, latitude, longitude) or 0) > radius
            denied += not told
    assert denied > 9000


def test_an_answer_holds_no_vectors(server: Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    search = server.client.search

    def heard(*words: Any, **more: Any) -> Any:
        answers.append(search(*words, **more))
        return answers[-1]

    monkeypatch.setattr(server.client, "search", heard)
    shared(server, unit_rows(160), np.arange(160)).search(unit_rows(2), 9)
    told = [set(hit["entity"]) for hits in answers[0] for hit in hits]
    assert len(told) >= 18
    assert set.union(*told) <= {"id"}


def shared(server: Milvus, rows: Vectors, ids: Ids) -> MilvusEngine:
    """One engine for the tests that change nothing."""
    engine = server.open("birds_shared")
    if engine is None:
        engine = server.create("birds_shared", rows.shape[1], True)
        engine.add(rows, ids, facets_of(ids))
    return engine


def test_a_graph_finds_what_brute_force_finds(server: Milvus) -> None:
    rows, ids = unit_rows(2000), np.arange(2000)
    engine = filled(server, rows, ids, exact=False)
    engine.settle()
    expected = brute_force(rows, ids, rows[:50], 10).ids
    assert (
        np.mean([len(set(a) & set(b)) / 10 for a, b in zip(engine.search(rows[:50], 10).ids, expected, strict=True)])
        > 0.95
    )


def test_an_engine_is_reached_by_aliases_and_dropped_with_them(server: Milvus) -> None:
    rows = unit_rows(20)
    engine = filled(server, rows, np.arange(20))
    assert server.name_of("birds_now") is None
    server.point("birds_now", engine.name)
    assert server.name_of("birds_now") == engine.name
    through = server.open("birds_now")
    assert through is not None
    assert (len(through), through.dim, through.name) == (20, 24, engine.name)
    assert engine.name in server.names("birds_")
    server.drop(engine.name)
    assert engine.name not in server.names("birds_")
    assert server.name_of("birds_now") is None
    assert server.open(engine.name) is None
    server.unpoint("birds_now")


def test_the_entry_point_makes_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="MILVUS_URI"):
        engine_module.engine_class("milvus")(24)
    monkeypatch.setenv("MILVUS_URI", f"milvus://{tmp_path}/a.db")
    rows = unit_rows(60)
    engine = tuning.build(rows, engine="milvus")
    assert_same(engine.search(rows[:4], 3), tuning.build(rows).search(rows[:4], 3))
    assert isinstance(engine, MilvusEngine)
    engine.close()
    assert engine_module.engine_server(f"milvus://{tmp_path}/a.db").names("") == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("milvus://127.0.0.1:9", "Milvus at milvus://127.0.0.1:9 does not answer .*start it"),
        ("milvus:///nowhere/at/all/birds.db", "a file of Milvus Lite ends with .db, lies in a folder that exists"),
        ("milvus:///tmp/birds.sqlite", "ends with .db"),
        ("milvus://root:secret@127.0.0.1:9", "secrets do not belong there: put the token into MILVUS_TOKEN"),
        ("milvus://host?token=secret", "secrets do not belong there"),
        ("milvus://host:port", "no address of Milvus"),
        ("milvus://", "it lacks the host"),
        ("milvus://127.0.0.1:9", "Connection refused"),
        ("weaviate://host", "no installed package keeps engines at weaviate://host"),
    ],
)
def test_what_cannot_be_reached_says_so_in_a_line(address: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineUnreachableError, match=words) as caught:
        engine_module.engine_server(address)
    assert "secret@" not in str(caught.value)
    assert "token=" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("UNAUTHENTICATED", r"does not answer \(said by UNAUTHENTICATED\): start it, or check .* MILVUS_TOKEN"),
        ("UNIMPLEMENTED", r"refuses \(.*your uri points to a Milvus gRPC port.*\): check the address"),
        ("UNAVAILABLE", r"does not answer \(said by UNAVAILABLE\)"),
    ],
)
def test_what_a_server_says_is_told(status: str, words: str) -> None:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refusing(status)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(EngineUnreachableError, match=words):
        Milvus(f"milvus://127.0.0.1:{port}")
    server.stop(None)


class Refusing(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Every question is refused, with the same status."""

    def __init__(self, status: str) -> None:
        self.status = status

    def service(self, details: Any) -> Any:
        def refuse(request: bytes, context: Any) -> None:
            context.abort(grpc.StatusCode[self.status], f"said by {self.status}")

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.mark.slow
def test_a_server_that_is_back_is_reached_at_once(tmp_path: Path) -> None:
    server = LiteServer(tmp_path / "lite.db")
    at = Milvus(server.address)
    server.kill()
    for _ in range(90):  # over a shared connection each would wait longer than the one before
        time.sleep(0.5)
        with pytest.raises(EngineUnreachableError, match="connect"):
            Milvus(server.address).names("")
    server.start()
    assert Milvus(server.address).names("") == at.names("") == []
    server.kill()


@pytest.mark.slow
def test_a_server_that_hangs_is_not_waited_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = LiteServer(tmp_path / "lite.db")
    engine = filled(Milvus(server.address), unit_rows(10), np.arange(10))
    server.pause()
    for name in ("CONNECTING", "ASKING", "WRITING"):
        monkeypatch.setattr(milvus, name, 2)
    with pytest.raises(EngineUnreachableError, match="does not answer"):
        engine.settle()
    server.go_on()
    engine.settle()
    server.kill()


def test_a_server_that_works_for_long_is_waited_for(monkeypatch: pytest.MonkeyPatch, server: Milvus) -> None:
    engine, times = filled(server, unit_rows(10), np.arange(10)), []

    def flush(name: str, timeout: float) -> None:
        times.append(timeout)
        if len(times) == 1:
            time.sleep(timeout)
            raise MilvusException(message="wait for flush timeout")
        if len(times) == 3:
            raise MilvusException(message="no space is left")

    monkeypatch.setattr(server.client, "flush", flush)
    monkeypatch.setattr(milvus, "ASKING", 2)
    engine.settle()
    assert times == [2, 2]
    with pytest.raises(EngineUnreachableError, match="no space is left"):
        engine.settle()
    assert times == [2, 2, 2]


def test_an_engine_of_other_fields_is_none(server: Milvus) -> None:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=24)
    server.client.create_collection("birds_of_another_version", schema=schema)
    assert server.open("birds_of_another_version") is None
    server.drop("birds_of_another_version")


def test_an_engine_that_has_gone_says_so(server: Milvus) -> None:
    rows = unit_rows(10)
    engine = filled(server, rows, np.arange(10))
    server.drop(engine.name)
    with pytest.raises(EngineUnreachableError, match="does not exist"):
        engine.search(rows, 3)


def test_merging_with_another_engine_keeps_ties_in_order(server: Milvus) -> None:
    row = unit_rows(1)
    engine = filled(server, np.repeat(row, 30, axis=0), np.arange(30) * 2)
    beside = tuning.build(np.repeat(row, 30, axis=0), ids=np.arange(30) * 2 + 1)
    merged = exact.merge_top_k(engine.search(row, 5), beside.search(row, 5), 5)
    assert merged.ids[0].tolist() == [0, 1, 2, 3, 4]
