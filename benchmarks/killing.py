"""What kills cost an index whose catalog lies in PostgreSQL, or its engine in Milvus; commits a second.

    python -m benchmarks.killing            SIGKILL of a writer and of the server at five moments; two writers at once
    python -m benchmarks.killing --commits  commits and photos a second on SQLite and on PostgreSQL, one writer and four
    python -m benchmarks.killing --milvus   SIGKILL of a real Milvus server at five calls (about eight minutes)

The servers are those that the tests start, PostgreSQL with fsync on. There a moment is a share of the photos committed.
"""

import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.common import command_line, note, table
from birdsearch.records import Photo, Prediction
from birdsearch.storage.address import Address
from birdsearch.storage.catalog.commits import Batch, Entry, PartRow, Said
from birdsearch.storage.catalog.postgresql_database import PostgreSQLCatalog
from birdsearch.storage.catalog.sql import SQLCatalog
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from tests.support import ROOT, milvus_scenario, milvus_server
from tests.support.killing import Campaign, Victim
from tests.support.postgresql import Server, why_not
from tests.support.worker_process import Worker

MOMENTS = (0.0, 0.2, 0.4, 0.6, 0.8)
VICTIMS: tuple[Victim, ...] = ("writer", "server")
SEED = 18
BATCH = 1024  # photos in a commit
COMMITS = 12  # of each writer


def kills(server: Server, folder: Path) -> str:
    """A table: what was killed when, what was acknowledged before, and that nothing is missing afterwards."""
    places = [folder / f"worker{number}" for number in range(2)]
    for place in places:
        place.mkdir()
    workers = [Worker(place) for place in places]
    chance = random.Random(SEED)
    campaign = Campaign(server, folder)
    whole = f"all {campaign.count}, once each"
    rows: list[list[object]] = []
    for victim in VICTIMS:
        for moment in MOMENTS:
            campaign.begin(f"{victim} {moment}")
            acknowledged = campaign.kill(victim, workers[0], moment, chance)
            campaign.check(acknowledged)
            rows.append([victim, f"{moment:.0%}", acknowledged, whole, "clean"])
            note(str(rows[-1]))
    for number in range(len(MOMENTS)):
        campaign.begin(f"two {number}")
        for worker in workers:
            worker.start(campaign.plan(delay=0.01 * number))
        ended = [worker.wait() for worker in workers]
        campaign.check(0)
        rows.append(["nothing: two writers, one folder", "", f"exit codes {ended}", whole, "clean"])
        note(str(rows[-1]))
    for worker in workers:
        worker.close()
    return table(["killed", "at", "photos acknowledged", "after the next run", "verify"], rows)


def commits(server: Server, folder: Path) -> str:
    """A table: commits a second of photos with five predictions and a label each, without their vectors."""
    rows: list[list[object]] = []
    for name, writers in (("SQLite", 1), ("PostgreSQL", 1), ("PostgreSQL", 4)):
        place = folder / f"{name}{writers}"
        place.mkdir()
        address = server.address(place, place.name) if name == "PostgreSQL" else str(place)
        with closing(_catalog(address)) as catalog:
            catalog.create({"id": f"{name.lower()}{writers}"})
            catalog.ensure_root(b"/photos")
        started = time.monotonic()
        jobs = [multiprocessing.Process(target=_commit, args=(address, number)) for number in range(writers)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        seconds = time.monotonic() - started
        with closing(_catalog(address)) as catalog:
            count = catalog.count()
        assert count == writers * COMMITS * BATCH, f"{count} photos"
        rows.append([name, writers, writers * COMMITS / seconds, count / seconds])
        note(str(rows[-1]))
    return table(["catalog", "writers", "commits/s", "photos/s"], rows)


def of_milvus() -> None:
    """A table: at which call Milvus was killed, and that nothing is missing afterwards."""
    if reason := milvus_server.why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="killing-") as folder:
        moments = map(str, range(len(milvus_scenario.MOMENTS)))
        words = milvus_server.command("tests.support.milvus_scenario", folder, *moments)
        if failed := subprocess.run(words, cwd=ROOT, check=False).returncode:
            sys.exit(failed)


def _catalog(address: str) -> SQLCatalog:
    place = Address.parse(address)
    return PostgreSQLCatalog(place) if place.catalog else SQLiteCatalog(Path(place.parts) / "catalog.sqlite")


def _commit(address: str, writer: int) -> None:
    guesses = tuple(Prediction(f"Species {n}", 0.2, n, "species", f"c{n}") for n in range(1, 6))
    with closing(_catalog(address)) as catalog:
        for number in range(COMMITS):
            first, frame = catalog.new_ids(BATCH, BATCH)
            batch = Batch()
            for n in range(BATCH):
                path = f"/photos/{writer}/{number}/{n}.jpg"
                photo = Photo(first + n, path, sha256=f"{first + n:064x}", size=1, mtime_ns=1, predictions=guesses)
                batch.entries.append(Entry(photo, False, frame + n, Said("folder", f"Species {n % 300}")))
            catalog.commit(batch, lambda part_id: PartRow(part_id, BATCH, "0" * 64, "test"))


def main() -> None:
    """See above."""
    parser = command_line("killing", __doc__)
    parser.add_argument("--commits", action="store_true")
    parser.add_argument("--milvus", action="store_true")
    wanted = parser.parse_args()
    if wanted.milvus:
        return of_milvus()
    if (why := why_not()) is not None:
        sys.exit(why)
    server = Server.made(safe=True)
    try:
        with tempfile.TemporaryDirectory(prefix="killing-") as folder:
            print((commits if wanted.commits else kills)(server, Path(folder)))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
