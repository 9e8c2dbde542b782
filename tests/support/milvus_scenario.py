"""What a real Milvus server is put through, in the namespace of `milvus_server.command`; says each step that holds.

python -m tests.support.milvus_scenario FOLDER [MOMENT …]

Without moments (numbers of MOMENTS) an index goes through one kill, and an engine through all that it must do; with
some, an index goes through each of them.
"""

import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import birdsearch
from birdsearch import Filter, Index
from birdsearch.cluster.milvus import Milvus, MilvusEngine
from birdsearch.errors import EngineUnreachableError
from birdsearch.records import Ids, Vectors
from birdsearch.search import tuning
from birdsearch.storage import served
from tests.support.fake_backbone import FakeBackbone
from tests.support.milvus_server import Server

ROWS, DIM = 30_000, 64
PHOTOS = 240
SPECIES = ("Eurasian Wren", "European Robin", "Dunnock")


def clustered(count: int, seed: int) -> Vectors:
    """Unit rows around some centres, as photos of species lie."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((150, DIM))
    rows = centres[random.integers(150, size=count)] + 0.7 * random.standard_normal((count, DIM))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def recall(engine: MilvusEngine, rows: Vectors, asked: Vectors, below: int) -> float:
    """Of the ten nearest among so many per cent of the rows, whose width says so."""
    ids = np.flatnonzero(np.arange(len(rows)) * 7919 % 100 < below)
    truth = tuning.build(rows[ids], ids=ids, engine="flat").search(asked, 10).scores[:, -1]
    where = None if below == 100 else ~Filter(min_width=below + 1)
    found = engine.search(asked, 10, where=where, share=below / 100)
    assert np.isin(found.ids, ids).all()
    return float((found.scores >= truth[:, None] - 1e-5).mean())


def facets(ids: Ids) -> dict[str, Any]:
    """A photo for each row, whose width says how many per cent keep it."""
    return {"photo": ids.tolist(), "width": [1 + n * 7919 % 100 for n in ids.tolist()]}


def engines(server: Server) -> None:
    """Recall under filters, answers right after rows are removed, and what a kill leaves of acknowledged rows."""
    at = Milvus(server.address)
    rows, ids, asked = clustered(ROWS, 1), np.arange(ROWS), clustered(200, 2)
    engine = at.create("birds_graph", DIM, exact=False)
    engine.add(rows, ids, facets(ids))
    engine.settle()
    for below in (100, 50, 10, 1):
        found = recall(engine, rows, asked, below)
        say(f"recall at 10 among {below} %: {found:.4f}")
        assert found > 0.95
    many = np.tile(asked, (90, 1))  # more than Milvus takes in a request
    np.testing.assert_array_equal(engine.search(many, 1).ids[-200:], engine.search(asked, 1).ids)
    dead = 0
    for _ in range(5):
        gone = np.unique(engine.search(asked[:50], 3).ids)
        engine.remove(gone)
        dead += int(np.isin(engine.search(asked[:50], 10).ids, gone).sum())
    assert dead == 0
    say("no removed row answers")
    expected = np.union1d(engine.ids, ids[-9:])  # one of them may be among those that were removed
    engine.add(rows[-9:], ids[-9:], facets(ids[-9:]))
    np.testing.assert_array_equal(engine.ids, expected)
    assert len(engine) == len(expected)
    say("a row that is written twice is there once")
    crashed = at.create("birds_crash", DIM, exact=True)
    acknowledged: list[Ids] = []
    try:
        for start in range(0, ROWS, 500):
            block = ids[start : start + 500]
            crashed.add(rows[block], block, facets(block))
            acknowledged.append(block)
            if len(acknowledged) == 12:
                threading.Timer(0.02, server.kill).start()
    except EngineUnreachableError:
        pass
    assert len(acknowledged) < ROWS // 500
    server.start()
    at = Milvus(server.address)
    again = patiently(lambda: at.open("birds_crash"))
    assert again is not None
    there = patiently(lambda: again.stored(np.concatenate(acknowledged)[::7]))
    np.testing.assert_array_equal(there.ids, np.concatenate(acknowledged)[::7])
    assert len(again) >= sum(map(len, acknowledged))
    say(f"{sum(map(len, acknowledged))} rows were acknowledged before a kill, {len(again)} are there")


def patiently(ask: Callable[[], Any]) -> Any:
    """What a server answers that has just been started."""
    for _ in range(120):
        try:
            return ask()
        except EngineUnreachableError:
            time.sleep(1)
    return ask()


@dataclass(frozen=True, slots=True)
class Moment:
    """A call at which a server is killed, in the course of an index."""

    name: str
    owner: type
    call: str
    nth: int = 1


MOMENTS = (
    Moment("the first rows are written", MilvusEngine, "add"),
    Moment("later rows are written", MilvusEngine, "add", 4),
    Moment("rows settle", MilvusEngine, "settle"),
    Moment("another engine takes its place", Milvus, "point", 7),
    Moment("a filtered search runs", MilvusEngine, "search"),
)


HEAD = (
    "| killed while | photos committed | of them to be brought | after the next run, here and there | verify | "
    "answers before and after it |\n|---|---|---|---|---|---|"
)


def course(index: Index, folder: Path, rows: Vectors) -> None:
    """What a server is there for: a first engine, five writes to it, a search with a filter, another engine."""
    give(index, folder, rows, range(100))
    for start in range(100, 200, 20):
        give(index, folder, rows, range(start, start + 20))
    index.search_vectors(rows[:20], 5, where=Filter(species=SPECIES[0]))
    with suppress(EngineUnreachableError):
        index.optimize(recall=1.0)


def killed(server: Server, folder: Path, moment: Moment) -> str:
    """Kill the server at a moment of the course, and check what is left; a row of a table.

    Answers are right while it is away and when it is back; one run later it holds each row once.
    """
    rows = np.random.default_rng(3).standard_normal((PHOTOS, 16)).astype(np.float32)
    place = folder / f"{moment.call}{moment.nth}"
    address = f"birds+sqlite://{place}?vectors={server.address}"
    with birdsearch.create(address, backbone=FakeBackbone()) as index, killing(server, moment):
        course(index, folder, rows)
        same(index, place, rows)
        acknowledged = len(index.photos())
    server.start()
    patiently(lambda: Milvus(server.address).names(""))
    with birdsearch.open(address, backbone=FakeBackbone()) as index:
        same(index, place, rows)
        behind = index.info()["engine_state"]["behind"]
        give(index, folder, rows, range(200, PHOTOS))
        whole(index, server, place, rows)
        assert index.optimize(recall=1.0).engine == "milvus"
        index.label({1: "Great Tit", 2: "Great Tit"})
        assert index.remove(Filter(ids=[3, 4, 5])) == 3
        whole(index, server, place, rows)
    return f"| {moment.name} | {acknowledged} | {behind} | {PHOTOS}, once each | clean | those of the parts |"


def whole(index: Index, server: Server, place: Path, rows: Vectors) -> None:
    """The catalog, the parts and the server hold the same photos, each once, and answer alike."""
    paths = [photo.path for photo in index.photos()]
    state = index.info()
    assert (state["engine"], state["engine_state"]["behind"]) == ("milvus", 0), state
    at = Milvus(server.address)
    (name,) = at.names(f"birds_{index.provenance.index_id}_")
    engine = at.open(name)
    assert engine is not None
    assert len(paths) == len(set(paths)) == state["photos"] == len(engine) == len(engine.ids)
    assert index.verify().ok, index.verify().problems
    same(index, place, rows)


@contextmanager
def killing(server: Server, moment: Moment) -> Iterator[None]:
    """Kill the server a few milliseconds after a call of it has begun."""
    method, calls = getattr(moment.owner, moment.call), itertools.count(1)

    def call(*arguments: Any, **options: Any) -> Any:
        if next(calls) == moment.nth:
            threading.Timer(0.01 * random.random(), server.kill).start()
        return method(*arguments, **options)

    setattr(moment.owner, moment.call, call)
    try:
        yield
        assert next(calls) > moment.nth, "the server has not been killed"
    finally:
        setattr(moment.owner, moment.call, method)


def draw(folder: Path) -> None:
    """Photos for the indexes."""
    (folder / "photos").mkdir()
    for number in range(PHOTOS):
        Image.new("RGB", (8, 8), (number, 90, 255 - number)).save(folder / "photos" / f"{number:03}.png")


def indexes(server: Server, folder: Path, moments: Sequence[Moment]) -> None:
    """Indexes through kills of their server; a table."""
    draw(folder)
    served.EXACT = 20  # so that filters are answered by the server
    say(HEAD)
    for moment in moments:
        say(killed(server, folder, moment))


def give(index: Index, folder: Path, rows: Vectors, numbers: range) -> None:
    """Add photos, with vectors and facts that are made up."""
    paths = [folder / "photos" / f"{n:03}.png" for n in numbers]
    facts = {"label": [SPECIES[n % 3] for n in numbers], "taken_at": [f"202{n % 5}-05-17" for n in numbers]}
    index.add_vectors(paths, rows[numbers.start : numbers.stop], facts)


def same(index: Index, place: Path, rows: Vectors) -> None:
    """Answers are those of the same index without a server."""
    with birdsearch.open(place, backbone=FakeBackbone()) as own:
        for where in (None, Filter(species="Eurasian Wren"), Filter(taken_after="2022") & ~Filter(label="Dunnock")):
            for k in (5, 300):
                asked = [one.search_vectors(rows[:20] + 0.1, k, where=where) for one in (index, own)]
                found, expected = (
                    [[(match.photo.id, round(match.score, 4)) for match in row] for row in answer] for answer in asked
                )
                assert found == expected, (where, k)


def say(words: str) -> None:
    print(words, flush=True)


def main(arguments: Sequence[str]) -> None:
    """See above."""
    folder, asked = Path(arguments[0]), [MOMENTS[int(number)] for number in arguments[1:]]
    server = Server(folder / "milvus")
    server.start()
    try:
        indexes(server, folder, asked or MOMENTS[1:2])
        if not asked:
            engines(server)
    finally:
        server.kill()


if __name__ == "__main__":
    main(sys.argv[1:])
