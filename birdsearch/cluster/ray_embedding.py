"""Ray: reads, decodes and embeds the files of a run on many hosts, and hands back what became of each."""

import importlib.util
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import birdsearch
from birdsearch import errors, objects
from birdsearch.backbones import Backbone
from birdsearch.cluster import results
from birdsearch.cluster.runs import Inbox, Left, Run, left_behind, left_results
from birdsearch.errors import ClusterError
from birdsearch.files import is_url
from birdsearch.indexing.clusters import LOCAL, Way
from birdsearch.indexing.outcomes import Rejected
from birdsearch.photos.overlap import REMOTE_WORKERS, overlapped
from birdsearch.photos.scan import GONE, FoundFile
from birdsearch.records import as_json, batched, shown
from birdsearch.storage.place import LocalPlace
from birdsearch.storage.store import Store

_MOST, _LEAST, _TASKS = 256, 16, 64  # files of one task, and tasks of a small run: each host gets some of it
_LOOK_SECONDS = 0.5  # from one look for results to the next
_ANSWER_SECONDS = 10.0  # that the head of a cluster may take to answer
_PORT = 10001  # of Ray for clients, where an address names none
_MEMORY = 512 << 20  # bytes that the processes of a cluster of this computer may share, taken as they are used
_TRIES = 3  # to connect
_ATTEMPTS = 5  # of the task that leads a run: its host may die
# Nothing is told to anybody; what Ray starts has the priority of this process; gRPC, which Milvus needs too, is silent.
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_metrics_collection": "0", "RAY_worker_niceness": "0"}
_SETTINGS["GRPC_VERBOSITY"] = "NONE"


class RayCluster:
    """The hosts of a Ray cluster, for one run; see `indexing.clusters.Cluster`."""

    def __init__(self, address: str, store: Store) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ClusterError(f'the cluster {address} needs Ray: pip install "birdsearch[cluster]"')
        self._address = address
        self._store = store
        self._connection = ExitStack()
        self._network: Any = None  # the reference of what makes the vectors, once it was handed over
        self._runs: list[Run] = []  # of this run, and of those before that did not come to their end

    def outcomes(
        self, files: Callable[[], Iterable[FoundFile]], count: int, way: Way, idle: Callable[[], None]
    ) -> Generator[results.Result, None, None]:
        """What became of each file, in their order."""
        inbox = Inbox(count)
        run, listings = self._listed(files(), count, way, inbox)
        work = self._begun(run, listings, count, way) if listings else None
        for place, file in enumerate(files()):
            while (result := inbox.result(place)) is None:
                ended = self._has_ended(work)
                if not inbox.look(run, again=ended):
                    if ended:
                        raise ClusterError(f"the cluster has left no result of {shown(file.photo.path)}: run it again")
                    idle()
            if isinstance(result, Rejected) and (why := _not_reached(result)):
                raise ClusterError(
                    f"a host of the cluster does not find {shown(file.photo.path)}, which is here: {why}"
                )
            yield result

    def _listed(self, files: Iterable[FoundFile], count: int, way: Way, inbox: Inbox) -> tuple[Run, list[str]]:
        """A new run, and the listings of the files of which no earlier one has left a result."""
        folder = self._store.folder
        facts = {"backbone": as_json(self._store.identity.backbone), "raw": way.raw, "version": birdsearch.__version__}
        left = left_behind(folder)
        self._runs += left
        there = left_results(run for run in left if run.facts() == facts)
        # The processes of this computer need nothing carried to a store.
        run = Run.new(folder, LocalPlace(folder.path) if self._address == LOCAL else folder.place, facts)
        self._runs.append(run)

        def listed(numbered: tuple[int, list[tuple[int, FoundFile]]]) -> str:
            name = f"{numbered[0]:08d}{results.SUFFIX}"
            results.write_listing(run.listings.path / name, numbered[1])
            run.listings.publish(name)
            return name

        blocks = enumerate(batched(self._without_result(files, there, inbox), _together(count)))
        return run, list(overlapped(blocks, listed, ahead=2 * REMOTE_WORKERS, workers=REMOTE_WORKERS))

    @staticmethod
    def _without_result(
        files: Iterable[FoundFile], there: Mapping[bytes, Left], inbox: Inbox
    ) -> Iterator[tuple[int, FoundFile]]:
        """Files with their places; those of which there is a result go into the inbox."""
        for place, file in enumerate(files):
            left = there.get(file.path)
            if left is not None and file.state.is_same(left.state):
                inbox.put(place, left.path, left.row)
            else:
                yield place, file

    def forget(self) -> None:
        """Remove what was kept for a next run."""
        self._runs += left_behind(self._store.folder)  # of one that was killed at its end, where nothing was to be read
        for run in self._runs:
            run.remove()

    def close(self) -> None:
        """End all work, and the connection; another run may take up what is left."""
        self._connection.close()
        for run in self._runs:
            run.release()

    def _begun(self, run: Run, listings: Sequence[str], count: int, way: Way) -> Any:
        """The reference of the task that leads the run on the cluster."""
        import ray

        from birdsearch.cluster import worker

        if self._network is None:
            self._network = self._handed_over()
        job = worker.Job(
            run.place.address, way, self._size, self._store.identity, self._store.execution, self._network,
            _together(count), birdsearch.__version__,
        )  # fmt: skip
        task = ray.remote(worker.embed_all).options(num_cpus=0, max_retries=_ATTEMPTS)
        return task.remote(job, listings)

    @property
    def _size(self) -> tuple[int, int]:
        """Of the pixels that the network sees; where the index does not say, the network does."""
        known = (self._store.identity.backbone.preprocessing or {}).get("size")
        height, width = self._store.backbone.input_size if known is None else known
        return int(height), int(width)

    def _handed_over(self) -> Any:
        """Connect, and put what makes the vectors into Ray's memory."""
        import ray

        from birdsearch.cluster import worker

        store = self._store
        own, weights = _pickled(store.backbone) if store.identity.source is None else None, store.brought_weights()
        self._connection.enter_context(_connected(self._address))
        return ray.put(worker.Network(own, weights, store.stored_classes))

    def _has_ended(self, work: Any) -> bool:
        """Whether the task that leads the run is done, after a moment. Raises the error that ended it."""
        import ray

        try:
            if not ray.wait([work], timeout=_LOOK_SECONDS)[0]:
                return False
            failure = ray.get(work)
        except Exception as error:  # Ray's own errors have no base that a client and a driver share
            raise ClusterError(f"the cluster {self._address} has failed: {_words(error)}") from error
        if failure is not None:
            name, text = failure
            raise getattr(errors, name)(text)
        return True


def _not_reached(result: Rejected) -> str:
    """What a host lacks that cannot read a file which this computer can; nothing where the file is to blame."""
    path = result.file.path
    if not is_url(path):
        there = result.reason == GONE and os.path.lexists(path)
        return "photos must lie where all hosts reach them under the same path" if there else ""
    with suppress(OSError):
        if objects.is_of_computer(result.reason) and objects.state_of(os.fsdecode(path)) is not None:
            return f"{result.reason}. All hosts need the variables and credentials of its store that this computer has"
    return ""


def _together(count: int) -> int:
    """How many of so many files one task takes: of a small run each host gets some."""
    return min(_MOST, max(_LEAST, count // _TASKS))


def _pickled(backbone: Backbone) -> bytes:
    """A user's own backbone, for other processes. Raises ClusterError where it cannot be carried there."""
    from ray import cloudpickle

    dumps: Callable[[Backbone], bytes] = cloudpickle.dumps
    try:
        return dumps(backbone)
    except Exception as error:  # pickle raises whatever an object raises
        raise ClusterError(
            f"your own backbone {backbone.name} cannot be carried to other processes ({_words(error)}): give an object "
            "that pickle takes, or index without a cluster"
        ) from error


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster, or one that is started on this computer. Raises ClusterError."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        raise ClusterError("this process is connected to a cluster of Ray already: call ray.shutdown() before")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with ExitStack() as stack:
        try:
            with _own_signals():
                if address == LOCAL:
                    # In a folder of its own, where no other user and no cluster that was left behind is in the way.
                    folder = tempfile.mkdtemp(prefix="birds-", dir=_short_folder())
                    stack.callback(shutil.rmtree, folder, ignore_errors=True)
                    stack.callback(ray.shutdown, wait_for_processes=True)
                    here: dict[str, Any] = {
                        "include_dashboard": False,
                        "object_store_memory": _MEMORY,
                        "_temp_dir": folder,
                    }
                    ray.init(LOCAL, **here, **quiet)
                else:
                    _check_answers(address)
                    stack.callback(ray.shutdown)
                    _join(address, quiet)
        except ClusterError:
            raise
        except Exception as error:  # ConnectionError, RuntimeError for another version, ValueError, ...
            raise ClusterError(f"the cluster {address} cannot be used: {_words(error)}") from error
        yield


def _join(address: str, options: Mapping[str, Any]) -> None:
    """Connect to a cluster: its head starts a process for each client, and a busy one now and then gives that up."""
    import ray

    for left in reversed(range(_TRIES)):
        try:
            ray.init(address, **options)
            return
        except ConnectionAbortedError:
            if not left:
                raise
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises ClusterError where nothing answers: Ray would try for half a minute."""
    host, _, port = address.partition("://")[2].partition(":")
    try:
        socket.create_connection((host, int(port or _PORT)), _ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"nothing answers at {address} ({error}): is the cluster up, and its port for clients ({_PORT}) open?"
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """SIGTERM stays what it was: Ray would end the process with it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _short_folder() -> str | None:
    """Where sockets may lie, whose paths have 107 bytes at most."""
    return None if sys.platform == "win32" else "/tmp"


def _words(error: BaseException) -> str:
    """What an error of Ray's says, without the traces of other processes that it quotes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("Traceback" in line or line.startswith("ray::") for line in lines):
        lines = lines[-1:]
    return " ".join(lines)[:400] or type(error).__name__
