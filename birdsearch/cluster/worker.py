"""Worker: what runs on the hosts of a cluster: processors decode files, actors hold the network, on GPUs if any."""

import os
import pickle
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray

import birdsearch
from birdsearch.backbones import Backbone, load_backbone
from birdsearch.backbones.classes import Classes
from birdsearch.backbones.weights import Brought
from birdsearch.cluster import results
from birdsearch.cluster.runs import Attempts, Begun
from birdsearch.errors import BackboneMismatchError, BirdsearchError, ClusterError, IndexFolderError, os_error_text
from birdsearch.files import FileState, is_url
from birdsearch.indexing.clusters import Elsewhere, Way
from birdsearch.indexing.embedder import NETWORK_BATCH, EmbeddedPhoto, Embedder, NotEmbedded
from birdsearch.indexing.outcomes import Costly, Rejected, outcome_of, unless_costly
from birdsearch.photos import decode
from birdsearch.photos.scan import FileBytes, FoundFile
from birdsearch.records import Identity, Recipe, blocks, shown
from birdsearch.storage.place import visited
from birdsearch.storage.store import Execution

_AT_ONCE = 2  # files in the hands of one task: one is read while another is decoded
_TOGETHER = 32  # files that a task hands on together
_IN_MEMORY = 16 << 20  # bytes of them that Ray lets lie in one piece

Failure = tuple[str, str]  # the name of an error of birdsearch, and its words
_FAILURE = pa.struct([("error", pa.string()), ("words", pa.string())])
_KILLS = "processes died while they {} this file (it may take too much memory); touch it to try it again"
_STARTS = 3  # attempts to load a network


@dataclass(frozen=True, slots=True)
class Network:
    """What makes the vectors; each host takes it once."""

    own: bytes | None  # the pickle of a user's backbone; else it is loaded by its name
    weights: Brought | None  # None where an installed package has them
    classes: Classes | None  # that the index was made with


@dataclass(frozen=True, slots=True)
class Job:
    """What every host is told of a run."""

    run: str  # the address of the place of `listings` and `results`, which all hosts reach
    way: Way
    size: tuple[int, int]  # (height, width) of the pixels that the network sees
    identity: Identity  # of the index
    execution: Execution
    network: Any  # the reference of a Network in Ray's memory
    together: int  # files of one listing
    version: str  # of birdsearch


def embed_all(job: Job, listings: Sequence[str]) -> Failure | None:
    """Embed the files of these listings that have no result yet; returns the error that ended it, where one did.

    It is a task of its own: the datasets of Ray do not work in a client, which `ray://` makes of this computer. Where
    the host of this task dies Ray starts it again on another one.
    """
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = _IN_MEMORY
    try:
        done = ray.put(np.array(_done(job), np.int64))
    except BirdsearchError as error:
        return _failure(error)
    attempts: Any = ray.remote(Attempts)
    attempts = attempts.options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    files = ray.data.from_items([{"listing": name} for name in listings], override_num_blocks=len(listings))
    decoded: Any = _decoded  # Ray's types know no further arguments
    pixels = files.map_batches(
        decoded,
        fn_args=(job, done, attempts),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
    )
    embedded = pixels.map_batches(
        _Embedding,
        fn_constructor_args=(job, attempts),
        batch_size=min(NETWORK_BATCH, job.together),
        batch_format="pyarrow",
        **_placement(job),
    )
    answers: Any = embedded.iter_batches(batch_size=None, batch_format="pyarrow")
    for answer in answers:
        if failures := answer["failure"].drop_null().to_pylist():
            return failures[0]["error"], failures[0]["words"]
    return None


def _placement(job: Job) -> dict[str, Any]:
    """A network on each GPU, else one on each host: OpenVINO takes all its processors, while tasks decode beside it."""
    import ray.data

    nodes: Any = ray.nodes  # it has no types
    alive = [node["Resources"] for node in nodes() if node["Alive"]]
    gpus = int(sum(resources.get("GPU", 0) for resources in alive))
    able = job.execution.device in ("auto", "cuda") and job.execution.runtime != "openvino"
    if gpus and able and job.identity.source is not None:
        return {"num_gpus": 1, "num_cpus": 0, "compute": ray.data.ActorPoolStrategy(size=gpus)}
    hosts = sum(resources.get("CPU", 0) > 0 for resources in alive)
    return {"num_cpus": 0, "compute": ray.data.ActorPoolStrategy(size=max(1, hosts))}


def _done(job: Job) -> list[int]:
    """The places of the files that have a result: some have where Ray starts the task that leads again."""
    with visited(f"{job.run}/results") as place:
        names = [name for name in place.names() if name.endswith(results.SUFFIX)]
        return [at for name in names for at, _, _ in results.read_files(place.here(name))]


def _failure(error: BirdsearchError) -> Failure:
    """An error as it travels; of a store that a host cannot use it says which host."""
    if isinstance(error, OSError | IndexFolderError):
        error = ClusterError(
            f"{socket.gethostname()}, a host of the cluster: {error} All hosts have to reach the place of the parts, "
            "with the same variables and credentials as this computer"
        )
    return type(error).__name__, str(error)


# Files become pixels


def _decoded(batch: pa.Table, job: Job, done: Any, attempts: Any) -> Iterator[pa.Table]:
    """A task: the files of a listing as pickles of `_prepared`; a pickle is only ever in Ray's memory."""
    skipped = ray.get(done)
    for name in batch["listing"].to_pylist():
        try:
            with visited(f"{job.run}/listings") as place:
                files = results.read_listing(place.here(name))
        except (BirdsearchError, FileNotFoundError) as error:
            yield _table([-1], [pickle.dumps((_not_listed(error, f"{job.run}/listings/{name}"), FileState()))])
            return
        left = [one for one, out in zip(files, np.isin([place for place, _ in files], skipped), strict=True) if not out]
        work = f"decode {name}"
        begun: Begun = ray.get(attempts.begin.remote(work))

        def prepared(file: tuple[int, FoundFile], begun: Begun = begun, work: str = work) -> bytes:
            if file[0] in begun.kills:
                return pickle.dumps((Rejected(file[1], "decode", _KILLS.format("decoded")), file[1].state), 5)
            if begun.careful:
                ray.get(attempts.note.remote(work, file[0]))
            return pickle.dumps(_prepared(file[1], job.way, job.size), 5)

        with ThreadPoolExecutor(1 if begun.careful else _AT_ONCE) as pool:
            for block in blocks(len(left), _TOGETHER):
                yield _table([place for place, _ in left[block]], pool.map(prepared, left[block]))
        ray.get(attempts.end.remote(work))


def _not_listed(error: BirdsearchError | FileNotFoundError, listing: str) -> BirdsearchError:
    """Why a host cannot read what it is to do."""
    if isinstance(error, BirdsearchError):
        return error
    what = (
        "lie in a store that all hosts reach" if is_url(listing) else "lie where all hosts reach it under the same path"
    )
    return ClusterError(
        f"{socket.gethostname()}, a host of the cluster, does not find {shown(listing)}: the index must {what}"
    )


def _table(places: Sequence[int], outcomes: Iterable[bytes]) -> pa.Table:
    return pa.table({"place": pa.array(places, pa.int64()), "outcome": pa.array(outcomes, pa.large_binary())})


def _prepared(
    entry: FoundFile, way: Way, size: tuple[int, int]
) -> tuple[decode.Decoded | Rejected | Costly, FileState]:
    """A file decoded, and its state when it was read."""
    state = entry.state

    def take(file: FileBytes) -> decode.Decoded:
        nonlocal state
        # Hosts may number the files of one disk differently: a file that is as it was listed keeps what was seen there.
        if (file.state.size, file.state.mtime_ns, file.state.etag) != (state.size, state.mtime_ns, state.etag):
            state = file.state
        return decode.decode(file.data, file.photo, size, file.format, most=way.most)

    outcome = unless_costly(entry, way.most, lambda: outcome_of(entry, take, raw=way.raw))
    assert isinstance(outcome, decode.Decoded | Rejected | Costly)  # `take` gives nothing else
    return outcome, state


# Pixels become vectors


class _Embedding:
    """An actor: the network, loaded once, which leaves its results in the place of the run."""

    def __init__(self, job: Job, attempts: Any) -> None:
        self._job = job
        self._attempts = attempts
        self._refused: BirdsearchError | None = None
        start = f"start {ray.get_runtime_context().get_actor_id()}"
        begun: Begun = ray.get(attempts.begin.remote(start))
        try:
            if begun.before >= _STARTS:
                raise _not_started(job, begun.before)
            network: Network = ray.get(job.network)
            self._embedder = Embedder(_loaded(job, network), network.classes, job.way.proven)
        except BirdsearchError as error:  # raised here it would be the death of an actor, whom Ray starts again
            self._refused = error
        ray.get(attempts.end.remote(start))

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed decoded files; returns how many, or the error that ends the run: what is raised Ray would wrap."""
        files, failure = 0, None
        try:
            files = self._embedded(batch)
        except BirdsearchError as error:
            failure = dict(zip(_FAILURE.names, _failure(error), strict=True))
        return pa.table({"files": [files], "failure": pa.array([failure], _FAILURE)})

    def _embedded(self, batch: pa.Table) -> int:
        if self._refused is not None:
            raise self._refused
        places: list[int] = batch["place"].to_pylist()
        work = f"embed {places[0]}"
        begun: Begun = ray.get(self._attempts.begin.remote(work))
        states: dict[int, FileState] = {}
        ended: list[tuple[int, results.Result]] = []
        embedded: list[EmbeddedPhoto | NotEmbedded] = []
        for place, pickled in zip(places, batch["outcome"].to_pylist(), strict=True):
            outcome, states[place] = pickle.loads(pickled)
            if isinstance(outcome, BirdsearchError):
                raise outcome
            if not isinstance(outcome, decode.Decoded):
                ended.append((place, outcome))
            elif place in begun.kills:
                embedded.append(NotEmbedded(replace(outcome.photo, id=place), _KILLS.format("embedded")))
            else:
                embedded += self._made(replace(outcome, photo=replace(outcome.photo, id=place)), begun, work)
        embedded += self._embedder.flush()
        ended += [(one.photo.id or 0, self._result(one, states[one.photo.id or 0])) for one in embedded]
        ended.sort(key=lambda one: one[0])
        self._leave(ended)
        ray.get(self._attempts.end.remote(work))
        return len(ended)

    def _made(self, decoded: decode.Decoded, begun: Begun, work: str) -> list[EmbeddedPhoto | NotEmbedded]:
        """What has become ready with one more photo; this one where processes have died of one of the batch."""
        if begun.careful:
            ray.get(self._attempts.note.remote(work, decoded.photo.id))
            return self._embedder.add(decoded) + self._embedder.flush()
        return self._embedder.add(decoded)

    def _leave(self, ended: list[tuple[int, results.Result]]) -> None:
        """Lay down a file of results."""
        name = results.new_name()
        with visited(f"{self._job.run}/results") as place:
            try:
                results.write(place.path / name, ended, self._job.identity.backbone.dim)
                place.publish(name)
            except OSError as error:
                raise ClusterError(
                    f"{socket.gethostname()}, a host of the cluster, cannot write {place.where(name)}: "
                    f"{os_error_text(error)}. Nothing that was made is lost: run the same command again"
                ) from error

    def _result(self, made: EmbeddedPhoto | NotEmbedded, state: FileState) -> results.Result:
        if isinstance(made, NotEmbedded):
            return Rejected(FoundFile(os.fsencode(made.photo.path), state), "embed", made.reason)
        return Elsewhere(made, state, self._embedder.provenance)


def _not_started(job: Job, times: int) -> ClusterError:
    return ClusterError(
        f"on {socket.gethostname()}, a host of the cluster, the process that loads {job.identity.backbone.name} has "
        f"died {times} times before it was ready: it may lack memory, or its packages may be broken. Its own words are "
        "in the logs of Ray there (/tmp/ray/session_latest/logs). Mend that, or leave this host out of the cluster, "
        "and run the same command again"
    )


def _loaded(job: Job, network: Network) -> Backbone:
    """The network of the index, on this host. Raises BackboneMismatchError where it is another one here."""
    host = socket.gethostname()
    if birdsearch.__version__ != job.version:
        raise ClusterError(
            f"{host} has birdsearch {birdsearch.__version__}, and the computer that indexes has {job.version}: "
            "install the same on all hosts of the cluster"
        )
    if network.own is not None:
        try:
            own: Backbone = pickle.loads(network.own)
        except Exception as error:  # whatever its modules raise, where they are there at all
            raise ClusterError(
                f"{host}, a host of the cluster, cannot load your own backbone ({type(error).__name__}: {error}): "
                "install what it needs on all hosts"
            ) from error
        return own
    made, source = job.identity.backbone, job.identity.source
    if network.weights is not None:
        source = network.weights.unpacked()
    loaded = load_backbone(source, recipe=Recipe.of(made.recipe), **asdict(job.execution))
    if loaded.identity != made:
        raise BackboneMismatchError(
            f"the backbone on {host} is {loaded.identity}, and the index was made with "
            f"{made.told_from(loaded.identity)}: install the same packages on all hosts of the cluster"
        )
    return loaded
