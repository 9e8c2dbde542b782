"""Clusters: hosts that read, decode and embed the files of a run; what offers them lies in another package."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Protocol

from birdsearch.errors import ClusterError
from birdsearch.files import FileState
from birdsearch.indexing.embedder import EmbeddedPhoto
from birdsearch.indexing.outcomes import Costly, Rejected
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Photo
from birdsearch.storage.store import Store

LOCAL = "local"  # a cluster of this computer alone, for as long as the run lasts
_RAY = "ray"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the network of another process made of a file."""

    embedded: EmbeddedPhoto
    state: FileState  # of the file when it was read
    provenance: str  # what made the vector

    @property
    def photo(self) -> Photo:
        """The photo, with all that is written in its file."""
        return self.embedded.photo


@dataclass(frozen=True, slots=True)
class Way:
    """How the files of a run are read and embedded, on whatever host."""

    raw: bool  # whether a camera RAW is a photo
    most: int  # bytes of memory that the decode of one file may take
    proven: bool  # whether the backbone has ever worked for this index


class Cluster(Protocol):
    """Hosts for one run of `add`. It connects when the first file is to be read."""

    def outcomes(
        self, files: Callable[[], Iterable[FoundFile]], count: int, way: Way, idle: Callable[[], None]
    ) -> Generator[Elsewhere | Rejected | Costly]:
        """What became of each file, in their order; `idle` is called while none is ready.

        `files` gives the same `count` files whenever it is called: first they are listed for the hosts, then gone
        through beside their outcomes. What an earlier run left that did not come to its end is taken up. Raises
        ClusterError, and what the backbone raises.
        """

    def forget(self) -> None:
        """Remove what was kept for a next run: all outcomes are committed."""

    def close(self) -> None:
        """End all work, and the connection."""


def cluster_at(address: str, store: Store) -> Cluster:
    """The cluster at an address, "local" or "ray://HOST:PORT". Raises ClusterError where nothing here can reach it."""
    scheme, _, place = address.partition("://")
    name = _RAY if address == LOCAL else scheme
    if address != LOCAL and not (scheme and place):
        raise ClusterError(f'cluster is "{LOCAL}" or an address such as ray://head:10001, not {address!r}')
    for offered in metadata.entry_points(group="birdsearch.clusters", name=name):
        made: Cluster = offered.load()(address, store)
        return made
    raise ClusterError(
        f"no installed package reaches the cluster {address}: addresses are {LOCAL} and {_RAY}://HOST:PORT, which need "
        'pip install "birdsearch[cluster]"'
    )
