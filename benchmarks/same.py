"""The same photos through one process and through all that a cluster has; `python -m benchmarks.hosts same` runs it.

    python -m benchmarks.same FOLDER [--server]    prints the tables; --server is for a namespace that can have a Milvus

3,000 photos (birds300, each twice with other bytes) lie in S3 as moto plays it, and a list gives each a label, a date
and a place. One process with SQLite and FAISS indexes them, and three hosts of Ray on this computer with PostgreSQL,
parts in S3 and Milvus. Compared are the rows, the vectors to the bit, the answers to 200 questions under ten filters,
duplicates and predictions of species. birdsearch compares what a filter leaves itself, up to 10,000 photos: each
question is also put to Milvus.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import birdsearch
from benchmarks.common import SHARED_PHOTOS, command_line, note, table
from birdsearch import Filter, Index, Match, Photo
from birdsearch.cluster import milvus
from birdsearch.records import AddReport
from birdsearch.storage import served
from birdsearch.storage.address import Address
from tests.support import milvus_server, object_store, postgresql
from tests.support.object_store import Bucket
from tests.support.ray_hosts import hosts

COPIES = 2  # of each photo, each with other bytes behind its end
QUESTIONS, ANSWERS = 200, 10
ROUNDING = 1e-6  # of a probability, which depends on the photos that the network sees together; of a score of Milvus
PATIENCE = 1200  # seconds that Milvus may take for an answer on a busy computer
_FIRST = date(2016, 1, 1)
_HOUR = "06:30:00"


@dataclass(frozen=True, slots=True)
class Contestant:
    """An index, and what Milvus is behind it."""

    name: str
    index: Index
    report: AddReport | None  # of the run that made it; None where it was made by another


def same(place: Path, server: str | None) -> str:
    """The tables, with a Milvus at an address too."""
    with _store() as bucket, _postgresql() as database:
        listing = _put(bucket, place / "photos.parquet")
        addresses = {"Milvus Lite": f"milvus://{place}/birds.db"}
        if server is not None:
            addresses[f"Milvus {milvus_server.VERSION}"] = server
        own = replace(Address.parse(database.address(place, "same")), parts=f"{bucket.url}/index")
        at = {name: str(replace(own, vectors=address)) for name, address in addresses.items()}
        with birdsearch.create(place / "alone") as alone:
            one = Contestant("one process, SQLite and FAISS", alone, alone.add(listing=listing))
            note("one process is done")
            made: AddReport | None = None
            compared = []
            for name, address in at.items():
                with birdsearch.open(address) if made else birdsearch.create(address) as many:
                    if made is None:
                        with hosts(3) as cluster:
                            made = many.add(listing=listing, cluster=cluster.address)
                        other = Contestant(name, many, made)
                    else:
                        many.add(listing=listing)  # the other Milvus is filled
                        other = Contestant(name, many, None)
                    compared.append(_compared(one, other))
                    note(f"{name} is done")
    return "\n\n".join(compared)


@contextmanager
def _store() -> Iterator[Bucket]:
    """A bucket of an S3 that the environment names, also that of the hosts."""
    with object_store.s3_server() as endpoint, pytest.MonkeyPatch.context() as environment:
        object_store.name_store(environment, endpoint)
        yield object_store.new_bucket(endpoint, "museum")


@contextmanager
def _postgresql() -> Iterator[postgresql.Server]:
    server = postgresql.Server.made()
    try:
        yield server
    finally:
        server.stop()


def _put(bucket: Bucket, listing: Path) -> Path:
    """The photos in the bucket, none a twin of another to the byte, and the list of them."""
    rows: list[dict[str, object]] = []
    for photo in sorted(SHARED_PHOTOS.rglob("*.jpg")):
        for copy in range(COPIES):
            key = f"raw/{photo.parent.name}/{copy}-{photo.name}"
            number = len(rows)
            day = _FIRST + timedelta(days=number * 7919 % (COPIES * 1500))
            rows.append(
                {
                    "path": bucket.put(key, photo.read_bytes() + copy.to_bytes(2, "big")),
                    "label": photo.parent.name,
                    "taken_at": f"{day}T{_HOUR}",
                    "latitude": 40 + number % 50 * 0.2,
                    "longitude": number // 50 * 0.2,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), listing)
    return listing


def _filters(photos: Sequence[Photo]) -> dict[str, Filter | None]:
    days = sorted(str(photo.taken_at) for photo in photos)
    after = {share: Filter(taken_after=days[-len(days) * share // 100]) for share in (1, 10, 50)}
    species = sorted({photo.species for photo in photos if photo.species})
    near = Filter(near=(45.0, 6.0, 300.0))
    return {
        "none": None,
        "a species": Filter(species=species[0]),
        "three labels": Filter(label=("PARUS MAJOR", "MALLARD DUCK", "HOUSE SPARROW")),
        **{f"a date that leaves {share} %": where for share, where in after.items()},
        "a place": near,
        "a place, from a date on": near & after[50],
        "a date or a species": after[1] | Filter(species=species[1]),
        "all but a place, from a date on": ~near & after[50],
        "all but twenty species": ~Filter(species=tuple(species[:20])),
    }


def _compared(one: Contestant, other: Contestant) -> str:
    """Two tables: what the index holds and says of species and duplicates, and what it answers under filters."""
    ids = one.index.photo_ids(order="path").tolist()
    own = other.index.photo_ids(order="path").tolist()
    given, made = one.index.vectors(ids), other.index.vectors(own)
    pairs = list(zip(one.index.photos(order="path"), other.index.photos(order="path"), strict=True))
    counts = [
        "" if report is None else f"{report.added}, {len(report.failed)}, {report.unlabelled}"
        for report in (one.report, other.report)
    ]
    rows = sum(_row(a) == _row(b) for a, b in pairs)
    chosen = np.random.default_rng(1).choice(len(given), QUESTIONS, replace=False)
    asked = [[pairs[n][side] for n in chosen] for side in (0, 1)]
    lines: list[Sequence[object]] = [
        ["photos added, failed, without label", *counts],
        ["rows of photos that are equal", "", f"{rows:,} of {len(pairs):,}"],
        [f"predictions in them, within {ROUNDING:g}", "", _of(_alike(a.predictions, b.predictions) for a, b in pairs)],
        ["vectors that are equal to the bit", "", _of((given == made).all(axis=1).tolist())],
        ["pairs of duplicates", *_duplicates(one.index, other.index)],
    ]
    for source in ("backbone", "neighbours"):
        said = [
            index.classify_many(photos, source=source)
            for index, photos in zip((one.index, other.index), asked, strict=True)
        ]
        lines.append([f"photos of {QUESTIONS} classified alike, by {source}", "", _of(map(_alike, *said))])
    lines.append(["`verify`", *("clean" if index.verify().ok else "PROBLEMS" for index in (one.index, other.index))])
    note(f"{other.name} is compared")
    head = ["", one.name, f"Ray, three hosts, PostgreSQL, S3, {other.name}"]
    heads = ["filter", "photos it leaves", "answers as in a folder", "scores apart", "put to Milvus", "scores apart"]
    return f"{table(head, lines)}\n\n{table(heads, _answered(one.index, other.index, given[chosen]))}"


def _answered(one: Index, other: Index, questions: npt.NDArray[np.float32]) -> list[list[object]]:
    lines: list[list[object]] = []
    for name, where in _filters(list(one.photos())).items():
        expected = one.search_vectors(questions, ANSWERS, where=where)
        line: list[object] = [name, one.count(where)]
        for exact in (served.EXACT, 0):
            with patch.object(served, "EXACT", exact):
                found = other.search_vectors(questions, ANSWERS, where=where)
            line += [_of(map(_same_answers, expected, found)), f"{_difference(expected, found):.1g}"]
        lines.append(line)
        note(str(line))
    return lines


def _row(photo: Photo) -> Photo:
    """All of it but its predictions."""
    return replace(photo, predictions=())


def _alike(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two lists of predictions say the same, but for the rounding of probabilities."""
    return len(one) == len(other) and all(
        replace(a, probability=b.probability, raw=b.raw) == b and abs(a.probability - b.probability) <= ROUNDING
        for a, b in zip(one, other, strict=True)
    )


def _duplicates(one: Index, other: Index) -> tuple[str, str]:
    """How many pairs there are, and how many of them the other index has too."""
    found = [{(pair.a, pair.b, pair.relation) for pair in index.duplicates().pairs} for index in (one, other)]
    return f"{len(found[0]):,}", f"{len(found[1]):,}, {len(found[0] & found[1]):,} of them the same"


def _same_answers(expected: Sequence[Match], found: Sequence[Match]) -> bool:
    return [match.photo.path for match in expected] == [match.photo.path for match in found]


def _difference(expected: Sequence[Sequence[Match]], found: Sequence[Sequence[Match]]) -> float:
    """The largest between two scores in the same place."""
    both = [pair for pairs in map(zip_longest, expected, found) for pair in pairs]
    return max((abs(a.score - b.score) if a and b else 1.0 for a, b in both), default=0.0)


def _of(alike: Iterable[bool]) -> str:
    each = list(alike)
    return f"{sum(each):,} of {len(each):,}"


def main() -> None:
    """Print the tables."""
    parser = command_line("same", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--server", action="store_true", help="ask a real Milvus too")
    options = parser.parse_args()
    with ExitStack() as stack:
        stack.enter_context(patch.object(milvus, "ASKING", PATIENCE))
        stack.enter_context(patch.object(milvus, "WRITING", PATIENCE))
        if options.server:
            server = milvus_server.Server(options.folder / "milvus")
            server.start()
            stack.callback(server.kill)
        print(same(options.folder, server.address if options.server else None))


if __name__ == "__main__":
    main()
