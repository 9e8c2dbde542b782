"""Milvus as an engine: the vectors of an index on a server, which several machines share. Only here is pymilvus used.

Milvus is a cache of the parts: whatever it has lost, or still holds, the catalog and the parts say what is right.
"""

import json
import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from birdsearch.errors import EngineUnreachableError
from birdsearch.records import Filter, Ids, Vectors, blocks, shown
from birdsearch.search.engine import FACETS, StoredRows, is_kept_whole, kept_text
from birdsearch.search.exact import Neighbours, merge_top_k, no_neighbours, top_k
from birdsearch.search.local import OVERFETCH, checked, checked_ids
from birdsearch.storage.catalog.filters import EARTH_KM

MOST = 16_384  # neighbours of a query that Milvus takes
QUERIES = 1_000  # of a request: Milvus takes 16,384, but an answer has to come in time
REQUEST = 32 << 20  # bytes of a request, of which Milvus takes 64 MB; and of an answer
ROWS = 2_000  # that are written at a time
SOME = 10_000  # ids in one expression
NOT_CONNECTED = 2  # pymilvus's code where no connection came about
CONNECTING, ASKING, WRITING, BUILDING = 10, 60, 120, 3600  # seconds after which Milvus counts as not there
GRAPH = {"M": 32, "efConstruction": 128}  # of HNSW
EFFORT = 64  # candidates that HNSW keeps at least
HARDEST = 16  # times more, where a filter leaves little
SLICES = 64  # of the rows, by their ids
COMPARED = 0.05  # share of the rows below which Milvus compares them all (7 % in 2.3)
STRONG = "Strong"  # with any other consistency rows that were removed a moment ago are still found
# Milvus 2.3 has no NULL: what a photo does not know is a value that no photo has.
_UNKNOWN: dict[type, Any] = {str: "", int: -1, float: 1000.0}
_BYTES_PER_HIT = 24  # an id twice, and a score
_LENGTH = 1024  # bytes of a text, which Milvus wants to know; a little more than any has


class Milvus:
    """A server, or a file of Milvus Lite, by its address: `milvus://host:19530[/database]`, `milvus:///folder/file.db`.

    The token is read from MILVUS_TOKEN. `milvus+https://` is a server behind TLS.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_file = address.startswith("milvus:///")  # of Milvus Lite, which is no server
        uri, database = _place(address)
        # gRPC's own lines, such as of pings that Milvus Lite finds too many, are nothing for a terminal.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        with self.answering():
            from pymilvus import MilvusClient

            for name in ("pymilvus", "milvus_lite"):  # they print each error with a traceback; ours say what to do
                logging.getLogger(name).setLevel(logging.CRITICAL)
            # A connection that is shared, with others or with earlier ones, misses a server that is back for minutes.
            own: dict[str, Any] = {"dedicated": True, "grpc_options": {"grpc.use_local_subchannel_pool": 1}}
            self.client = MilvusClient(
                uri, token=os.environ.get("MILVUS_TOKEN", ""), db_name=database, timeout=CONNECTING,
                **({} if self.is_file else own),
            )  # fmt: skip

    @contextmanager
    def answering(self) -> Iterator[None]:
        """What Milvus refuses inside, or does not answer, becomes an EngineUnreachableError."""
        try:
            from grpc import RpcError
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise EngineUnreachableError(
                f'{self} cannot be asked without pymilvus ({error}): pip install "birdsearch[cluster]"'
            ) from error
        try:
            yield
        except (MilvusException, RpcError) as error:
            raise EngineUnreachableError(f"{self} {self._told(error)}.") from error

    def _told(self, error: Exception) -> str:
        """What an error of pymilvus or gRPC says of the server, and what can be done."""
        code = getattr(error, "code", None)
        origin: Any = error.__context__ if code == NOT_CONNECTED else error
        said = origin.details() if hasattr(origin, "details") else getattr(error, "message", error)
        reason = " ".join(str(said).split())[:200]
        if self.is_file:
            return (
                f"cannot be used ({reason}): a file of Milvus Lite ends with .db, lies in a folder that exists, and "
                "serves one process"
            )
        if isinstance(code, int) and code != NOT_CONNECTED:
            return f"refuses ({reason}): check the address, and look into its log"
        return f"does not answer ({reason}): start it, or check the address and MILVUS_TOKEN"

    def __str__(self) -> str:
        return f"Milvus at {shown(self.address)}"

    def close(self) -> None:
        """Give the connection back."""
        self.client.close()

    def names(self, prefix: str) -> list[str]:
        """The engines that are there under names that begin so."""
        with self.answering():
            return [name for name in self.client.list_collections(timeout=CONNECTING) if name.startswith(prefix)]

    def open(self, name: str) -> "MilvusEngine | None":
        """The engine of a name or of an alias; None where there is none that `create` could have made."""
        with self.answering():
            if not self.client.has_collection(name, timeout=CONNECTING):
                return None
            about = self.client.describe_collection(name, timeout=ASKING)
        fields = {field["name"]: field for field in about["fields"]}
        if not fields.keys() >= {"id", "slice", "vector", *FACETS}:
            return None
        try:
            with self.answering():
                self.client.load_collection(about["collection_name"], timeout=WRITING)
        except EngineUnreachableError:
            if not self.is_file:
                raise
            return None  # Milvus Lite was killed while it wrote the graph, and will not do better
        return MilvusEngine(int(fields["vector"]["params"]["dim"]), self, about["collection_name"])

    def create(self, name: str, dim: int, exact: bool) -> "MilvusEngine":
        """An empty engine for rows (n, dim), which compares every row, or finds its way by a graph (HNSW)."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("slice", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        for facet, kind in FACETS.items():
            if kind is str:
                schema.add_field(facet, DataType.VARCHAR, max_length=_LENGTH)
            else:
                schema.add_field(facet, DataType.INT64 if kind is int else DataType.DOUBLE)
        index = MilvusClient.prepare_index_params()
        kind_of_index = ("FLAT", {}) if exact else ("HNSW", GRAPH)
        index.add_index("vector", index_type=kind_of_index[0], metric_type="IP", params=kind_of_index[1])
        with self.answering():
            self.client.create_collection(name, schema=schema, consistency_level=STRONG, timeout=WRITING)
            self.client.create_index(name, index, timeout=WRITING, sync=False)  # nothing is there to wait for
            self.client.load_collection(name, timeout=WRITING)
        engine = MilvusEngine(dim, self, name)
        engine.is_exact = exact
        return engine

    def drop(self, name: str) -> None:
        """Remove an engine and the aliases of it."""
        with self.answering():
            # With an alias a server keeps it, and Milvus Lite keeps the alias.
            for alias in self.client.describe_collection(name, timeout=ASKING).get("aliases", ()):
                self.client.drop_alias(alias, timeout=WRITING)
            self.client.drop_collection(name, timeout=WRITING)

    def name_of(self, alias: str) -> str | None:
        """The engine that an alias stands for; None where there is no such alias."""
        with self.answering():
            if not self.client.has_collection(alias, timeout=CONNECTING):
                return None
            return str(self.client.describe_collection(alias, timeout=ASKING)["collection_name"])

    def point(self, alias: str, name: str) -> None:
        """Let an alias stand for an engine."""
        with self.answering():
            self.client.create_alias(name, alias, timeout=WRITING)

    def unpoint(self, alias: str) -> None:
        """Forget an alias."""
        with self.answering():
            if self.client.has_collection(alias, timeout=CONNECTING):
                self.client.drop_alias(alias, timeout=WRITING)


class MilvusEngine:
    """One collection of a server. The rows stay there: what is added and removed is so for all that search it.

    Made with a length of rows alone it is an empty one of the server that MILVUS_URI names, until it is closed.
    """

    kind = "milvus"
    server = Milvus  # what opens the engines of an address

    def __init__(self, dim: int, at: Milvus | None = None, name: str = "") -> None:
        self.dim = dim
        self.name = name or f"birds_{uuid.uuid4().hex}"
        self.is_exact, self.effort = False, EFFORT
        if at is None:
            if not (address := os.environ.get("MILVUS_URI", "")):
                raise ValueError("the engine milvus lives on a server: set MILVUS_URI to its address, milvus://host")
            at = Milvus(address)
            at.create(self.name, dim, exact=True)
        self._at = at

    def close(self) -> None:
        """Remove the collection."""
        self._at.drop(self.name)

    def __len__(self) -> int:
        with self._at.answering():
            answer = self._at.client.query(
                self.name, filter="", output_fields=["count(*)"], consistency_level=STRONG, timeout=ASKING
            )
        return int(answer[0]["count(*)"])

    @property
    def ids(self) -> Ids:
        """(n,) of all rows, ascending."""
        found: list[int] = []
        with self._at.answering():
            pages = self._at.client.query_iterator(
                self.name, batch_size=SOME, filter="id >= 0", output_fields=["id"], consistency_level=STRONG,
                timeout=ASKING,
            )  # fmt: skip
            while page := pages.next():
                found += [row["id"] for row in page]
            pages.close()
        return np.unique(np.array(found, dtype=np.int64))

    # Writing

    def add(self, vectors: Vectors, ids: Ids, facets: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Put rows (n, dim) under ids (n,), each with its facets, in the place of what was there under these ids."""
        rows = checked(vectors, self.dim)
        names = checked_ids(ids, len(rows)).tolist()
        columns = {facet: _stored(kind, (facets or {}).get(facet), len(rows)) for facet, kind in FACETS.items()}
        step = max(1, min(ROWS, REQUEST // (4 * self.dim + 4 * _LENGTH)))
        for start in range(0, len(rows), step):
            here = range(start, min(start + step, len(rows)))
            entries = [
                {
                    "id": names[n],
                    "slice": names[n] % SLICES,
                    "vector": rows[n],
                    **{facet: values[n] for facet, values in columns.items()},
                }
                for n in here
            ]
            with self._at.answering():
                # An insert of an id that is there makes a second row.
                self._at.client.upsert(self.name, entries, timeout=WRITING)

    def remove(self, ids: Ids) -> None:
        """Take rows out of the collection; ids that are not there are ignored."""
        for block in blocks(len(ids), SOME):
            with self._at.answering():
                self._at.client.delete(self.name, ids=np.asarray(ids)[block].tolist(), timeout=WRITING)

    def settle(self) -> None:
        """Wait until the rows are on the server's disk, and their graph is built."""
        client, until = self._at.client, time.monotonic() + BUILDING
        self._awaited(client.flush)
        with self._at.answering():
            (index,) = client.list_indexes(self.name, timeout=ASKING)
            while client.describe_index(self.name, index, timeout=ASKING).get("pending_index_rows", 0):
                if time.monotonic() > until:
                    raise EngineUnreachableError(f"{self._at} has not built the graph of {self.name} in an hour.")
                time.sleep(0.2)
        if not self._at.is_file:  # Milvus Lite would read a graph that it is just writing
            # What is loaded would be searched by a makeshift index until the server gets round to the graph.
            with self._at.answering():
                client.release_collection(self.name, timeout=WRITING)
            self._awaited(client.load_collection)

    def _awaited(self, work: Callable[..., None]) -> None:
        """Let the server work on the collection for up to an hour, if it answers other questions meanwhile."""
        began = time.monotonic()
        while True:
            asked = time.monotonic()
            try:
                with self._at.answering():
                    return work(self.name, timeout=ASKING)
            except EngineUnreachableError:
                now = time.monotonic()
                if now < asked + ASKING or now > began + BUILDING or self._at.name_of(self.name) is None:
                    raise

    def stored(self, ids: Ids) -> StoredRows:
        """What the collection holds under these ids, in ascending order of id; ids that are not there are left out."""
        found = {row["id"]: row for row in self._rows_where("id", np.asarray(ids).tolist(), "vector", *FACETS)}
        there = sorted(found)
        vectors = np.array([found[one]["vector"] for one in there], dtype=np.float32).reshape(-1, self.dim)
        facets = {
            facet: [None if found[one][facet] == _UNKNOWN[kind] else found[one][facet] for one in there]
            for facet, kind in FACETS.items()
        }
        return StoredRows(np.array(there, dtype=np.int64), vectors, facets)

    def ids_of_photos(self, photo_ids: Sequence[int]) -> Ids:
        """The rows that are of these photos, ascending."""
        return np.unique(np.array([row["id"] for row in self._rows_where("photo", photo_ids)], dtype=np.int64))

    def present(self, ids: Ids) -> Ids:
        """Those of the ids that are there, ascending."""
        found = self._rows_where("id", np.asarray(ids).tolist())
        return np.unique(np.array([row["id"] for row in found], dtype=np.int64))

    def _rows_where(self, field: str, values: Sequence[int], *wanted: str) -> Iterator[dict[str, Any]]:
        """The rows in which a field has one of these values, as dicts of the id and of what is wanted beside it."""
        for block in blocks(len(values), 1000):  # a photo has a few regions
            with self._at.answering():
                rows = self._at.client.query(
                    self.name, filter=f"{field} in {_list(values[block])}", output_fields=["id", *wanted],
                    consistency_level=STRONG, timeout=ASKING,
                )  # fmt: skip
            yield from rows

    # Search

    def search(
        self, vectors: Vectors, k: int, only: Ids | None = None, where: Filter | None = None, share: float = 1.0
    ) -> Neighbours:
        """The k best rows for each query (q, dim) by cosine, ties by lower id, among those in `only`.

        With `where` no row answers whose facets deny it; what facets do not tell of it is not asked. Names are compared
        as they are spelled. `share` is how many of the rows are expected to satisfy it.
        """
        queries = checked(vectors, self.dim)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        told = "" if where is None else implied(where)
        if only is not None:
            among = np.unique(only)
            lists = [_list(among[block].tolist()) for block in blocks(len(among), SOME)]
            expressions = [_all([told, f"id in {those}"]) for those in lists]
        elif k + OVERFETCH > MOST:  # each of these holds no more rows than may be asked for
            most = int(self.ids.max(initial=-1)) + 1
            ranges = range(0, most, MOST)
            expressions = [_all([told, f"id >= {start} and id < {start + MOST}"]) for start in ranges]
        else:
            expressions = [told]
        best = no_neighbours(len(queries), 0)
        times = min(HARDEST, 1 / max(share, 1 / HARDEST))
        for expression in expressions:
            best = merge_top_k(best, self._asked(queries, min(k + OVERFETCH, MOST), expression, times), k)
        best = top_k(best.ids, best.scores, k)
        if told and only is None and not self.is_exact:
            short = np.flatnonzero(best.ids[:, -1] < 0)
            again = self._sliced(queries[short], k, told, share)
            best.ids[short], best.scores[short] = again.ids, again.scores
        return best

    def _sliced(self, queries: Vectors, k: int, told: str, share: float) -> Neighbours:
        """The same for queries that a filter has cut off from their neighbours: it leaves holes in the graph.

        Milvus compares rows one by one where a filter leaves few enough, so it is asked for a slice after another.
        """
        best = no_neighbours(len(queries), k)
        width = max(1, int(SLICES * COMPARED / share))
        for start in range(0, SLICES if len(queries) else 0, width):
            expression = _all([told, f"slice >= {start} and slice < {start + width}"])
            best = merge_top_k(best, self._asked(queries, min(k + OVERFETCH, MOST), expression, 1), k)
        return best

    def _asked(self, queries: Vectors, k: int, expression: str, times: float) -> Neighbours:
        """The k best for each query, in as many requests as Milvus has room for."""
        found = no_neighbours(len(queries), k)
        effort = max(int(self.effort * times), k)
        step = max(1, min(QUERIES, REQUEST // (4 * self.dim), REQUEST // (_BYTES_PER_HIT * k)))
        for start in range(0, len(queries), step):
            asked = list(queries[start : start + step])
            with self._at.answering():
                # Where no field is named Milvus Lite gives all of them, the vectors too.
                answers = self._at.client.search(
                    self.name, asked, limit=k, filter=expression, output_fields=["id"], consistency_level=STRONG,
                    search_params={"metric_type": "IP", "params": {"ef": effort}}, timeout=ASKING,
                )  # fmt: skip
            for row, hits in enumerate(answers, start):
                found.ids[row, : len(hits.ids)], found.scores[row, : len(hits.ids)] = hits.ids, hits.distances
        return found


def _place(address: str) -> tuple[str, str]:
    """What pymilvus calls a uri, and the database there."""
    try:
        split = urlsplit(address)
        if split.scheme not in ("milvus", "milvus+https"):
            raise ValueError("it begins with milvus:// or milvus+https://")
        if split.username is not None or split.password is not None or split.query:
            raise ValueError("secrets do not belong there: put the token into MILVUS_TOKEN")
        if split.scheme == "milvus" and not split.netloc and split.path.strip("/"):
            return split.path, ""
        if not split.hostname:
            raise ValueError("it lacks the host")
        protocol = "https" if split.scheme == "milvus+https" else "http"
        return f"{protocol}://{split.hostname}:{split.port or 19530}", split.path.strip("/")
    except ValueError as error:
        raise EngineUnreachableError(f"this is no address of Milvus, such as milvus://host:19530: {error}") from error


def _stored(kind: type, values: Sequence[Any] | None, count: int) -> list[Any]:
    """One facet of each row, as a collection keeps it."""
    if values is None:
        return [_UNKNOWN[kind]] * count
    return [_UNKNOWN[kind] if value is None else kept_text(value) if kind is str else kind(value) for value in values]


def _names(field: str | Sequence[str] | None) -> Sequence[str]:
    """The names that a field of a Filter has."""
    return () if field is None else (field,) if isinstance(field, str) else field


def implied(where: Filter) -> str:
    """What the facets of each photo that satisfies a filter satisfy, in Milvus's language; empty where they may be any.

    Names are compared as they are spelled, a camera by its whole name.
    """
    terms = _told(where)
    if where.any_of:
        choices = [implied(one) for one in where.any_of]
        terms.append(" or ".join(f"({one})" for one in choices) if all(choices) else "")
    terms += [f"not ({term})" for one in where.none_of if (term := _exactly(one)) is not None]
    return _all(terms)


def _exactly(where: Filter) -> str | None:
    """What the facets of a photo satisfy where it satisfies the filter, and never else; None where they do not tell."""
    untold = (where.predicted, where.min_probability, where.under, where.ids, where.near, where.sample)
    names = [one for field in (where.species, where.label, where.camera) for one in _names(field)]
    if any(one is not None for one in untold) or not all(map(is_kept_whole, names)):
        return None
    choices, others = ([_exactly(one) for one in within] for within in (where.any_of, where.none_of))
    if not all(choices) or not all(others):
        return None
    terms = _told(where) + ([" or ".join(f"({one})" for one in choices)] if choices else [])
    return _all(terms + [f"not ({one})" for one in others]) or None


def _told(where: Filter) -> list[str]:
    """What a filter itself asks of the facets."""
    terms = []
    for facet, names in (("species", where.species), ("label", where.label)):
        if names is not None:
            terms.append(f"{facet} in {_list(_names(names))}")
    if where.camera is not None:
        terms.append(f"camera in {_list([where.camera])}")
    if where.taken_after is not None:
        terms.append(f"taken_at >= {_text(str(where.taken_after))}")
    if where.taken_before is not None:
        terms.append(f'taken_at > "" and taken_at < {_text(str(where.taken_before))}')
    if where.min_width is not None:
        terms.append(f"width >= {min(where.min_width, 2**63 - 1)}")
    if where.near is not None:
        terms += _around(*where.near)
    return terms


def _around(latitude: float, longitude: float, radius: float) -> list[str]:
    """What the latitude and the longitude satisfy of each place within so many kilometres of one."""
    band = math.degrees(radius / EARTH_KM) + 1e-6
    terms = [f"latitude >= {latitude - band!r} and latitude <= {min(latitude + band, 90.0)!r}"]
    if abs(latitude) + band < 90:  # no pole is among them
        share = math.sin(math.radians(band)) / math.cos(math.radians(latitude))
        spread = math.degrees(math.asin(min(1.0, share))) + 1e-6
        west, east = longitude - spread, longitude + spread
        joined = "and" if west >= -180 and east <= 180 else "or"  # across the date line
        west, east = west + 360 * (west < -180), east - 360 * (east > 180)
        terms.append(f"longitude >= {west!r} {joined} longitude <= {east!r}")
    return terms


def _all(terms: Sequence[str]) -> str:
    """An expression that holds where all of these do."""
    asked = [term for term in terms if term]
    return asked[0] if len(asked) == 1 else " and ".join(f"({term})" for term in asked)


def _list(values: Sequence[Any]) -> str:
    return f"[{','.join(_text(one) if isinstance(one, str) else str(one) for one in values)}]"


def _text(text: str) -> str:
    """A text as an expression quotes it."""
    return json.dumps(kept_text(text), ensure_ascii=False)
