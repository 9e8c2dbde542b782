"""What a real Milvus server is put through, in the namespace of `milvus_server.command`; says each step that holds.

python -m tests.support.milvus_scenario FOLDER
"""

import sys
import threading
import time
from collections.abc import Callable
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


def indexes(server: Server, folder: Path) -> None:
    """An index through a kill of its server while it is written to."""
    rows = np.random.default_rng(3).standard_normal((PHOTOS, 16)).astype(np.float32)
    (folder / "photos").mkdir()
    for number in range(PHOTOS):
        Image.new("RGB", (8, 8), (number, 90, 255 - number)).save(folder / "photos" / f"{number:03}.png")
    served.EXACT = 20  # so that filters are answered by the server
    with birdsearch.create(f"birds+sqlite://{folder}/index?vectors={server.address}", backbone=FakeBackbone()) as index:
        give(index, folder, rows, range(100))
        assert index.info()["engine"] == "milvus"
        threading.Timer(0.3, server.kill).start()
        for start in range(100, PHOTOS, 20):
            give(index, folder, rows, range(start, start + 20))
        same(index, folder, rows)  # from the parts
        say("an index whose server was killed is written to and answers")
        server.start()
        patiently(lambda: Milvus(server.address).names(""))
        index.close()
    with birdsearch.open(f"birds+sqlite://{folder}/index?vectors={server.address}", backbone=FakeBackbone()) as index:
        for _ in range(10):
            index.repair()
            if index.verify().ok:
                break
            time.sleep(5)
        assert index.info()["engine"] == "milvus", index.info()
        assert index.info()["engine_state"]["behind"] == 0
        assert index.verify().ok, index.verify().problems
        same(index, folder, rows)
        index.label({1: "Great Tit", 2: "Great Tit"})
        index.remove(Filter(ids=[3, 4, 5]))
        same(index, folder, rows)
        assert index.verify().ok, index.verify().problems
        say("after its server is back it is repaired, whole, and answers as before")
        assert index.optimize(recall=1.0).engine == "milvus"
        index.label({6: "Great Tit"})
        assert len(Milvus(server.address).names(f"birds_{index.provenance.index_id}")) == 1
        same(index, folder, rows)
        say("a new collection was swapped in")


def give(index: Index, folder: Path, rows: Vectors, numbers: range) -> None:
    """Add photos, with vectors and facts that are made up."""
    paths = [folder / "photos" / f"{n:03}.png" for n in numbers]
    facts = {"label": [SPECIES[n % 3] for n in numbers], "taken_at": [f"202{n % 5}-05-17" for n in numbers]}
    index.add_vectors(paths, rows[numbers.start : numbers.stop], facts)


def same(index: Index, folder: Path, rows: Vectors) -> None:
    """Answers are those of the same index without a server."""
    with birdsearch.open(folder / "index", backbone=FakeBackbone()) as own:
        for where in (None, Filter(species="Eurasian Wren"), Filter(taken_after="2022") & ~Filter(label="Dunnock")):
            for k in (5, 200):
                asked = [one.search_vectors(rows[:20] + 0.1, k, where=where) for one in (index, own)]
                found, expected = (
                    [[(match.photo.id, round(match.score, 4)) for match in row] for row in answer] for answer in asked
                )
                assert found == expected, (where, k)


def say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    one = Server(place / "milvus")
    one.start()
    try:
        indexes(one, place)
        engines(one)
    finally:
        one.kill()
