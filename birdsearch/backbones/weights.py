"""Downloaded weights in the user's cache: nothing is used before its sha256 has been checked."""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from birdsearch.cache import cache_folder, file_problem, make_private
from birdsearch.errors import BackboneUnavailableError
from birdsearch.records import Progress

logger = logging.getLogger("birdsearch")

TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights: where it comes from, and what proves that it is the right one."""

    name: str  # of the backbone
    file: str  # its name in the cache folder
    url: str
    sha256: str
    size_mb: float

    @property
    def path(self) -> Path:
        """Where the file lies once it has been downloaded, or put by hand."""
        return cache_folder() / "weights" / self.file


def fetch(weights: Weights, advice: str, progress: Progress | None = None) -> Path:
    """The verified file, downloaded where the cache has none or a damaged one; `advice` says what to use instead."""
    problem = file_problem(weights.path, weights.sha256)
    if problem is not None:
        if weights.path.exists():
            logger.warning("%s: downloading it again.", problem)
        _download_once(weights, advice, progress)
    return weights.path


@dataclass(frozen=True, slots=True)
class Brought:
    """A file of weights on its way to another computer."""

    source: str | None  # what `load_backbone` takes there: the name of the backbone; None: the path of the file
    file: str  # its name below the folder of weights
    sha256: str
    data: bytes

    def unpacked(self) -> str:
        """What `load_backbone` takes, once the file lies in the cache of this computer. Raises as `fetch` does."""
        path = cache_folder() / "weights" / self.file
        if file_problem(path, self.sha256) is not None:
            try:
                _put(path, self.sha256, self._written)
            except (OSError, ValueError) as error:
                raise BackboneUnavailableError(f"cannot keep weights at {path} ({error})") from error
        return str(path) if self.source is None else self.source

    def _written(self, part: Path) -> str:
        with part.open("wb") as file:
            file.write(self.data)
            file.flush()
            os.fsync(file.fileno())
        return hashlib.sha256(self.data).hexdigest()


def _put(path: Path, sha256: str, write: Callable[[Path], str]) -> None:
    """Put a file in place that `write` makes, and says the sha256 of; a second process waits, and then finds it."""
    import filelock

    part = path.with_name(path.name + ".part")
    make_private(part.parent)
    with filelock.FileLock(f"{path}.lock"):
        if file_problem(path, sha256) is not None:
            try:
                if (found := write(part)) != sha256:
                    raise ValueError(f"what came has sha256 {found}")
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)


def _download_once(weights: Weights, advice: str, progress: Progress | None) -> None:
    import http.client

    try:
        _put(weights.path, weights.sha256, lambda part: _download(weights, part, progress))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BackboneUnavailableError(
            f"the weights of {weights.name} are not available: {weights.file} from {weights.url}, "
            f"sha256 {weights.sha256} ({error}). Put the file at {weights.path} by hand and try again. {advice}"
        ) from error


def _download(weights: Weights, part: Path, progress: Progress | None) -> str:
    """The sha256 of what the URL delivered into `part`."""
    import urllib.request

    digest = hashlib.sha256()
    request = urllib.request.Request(weights.url, headers={"User-Agent": "birdsearch"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, part.open("wb") as file:
        length = answer.headers.get("Content-Length")
        total = int(length) if length else None
        done = 0
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress:
                progress("download", done, total, weights.file)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done != total:
        raise ValueError(f"the connection ended after {done} of {total} bytes")
    return digest.hexdigest()
