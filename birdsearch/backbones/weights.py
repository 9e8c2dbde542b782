"""The cache folder of downloaded weights: nothing in it is used before its sha256 has been checked."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from birdsearch.errors import BackboneUnavailableError
from birdsearch.files import sha256_of
from birdsearch.records import Progress

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


def cache_folder() -> Path:
    """The folder of what can be made or downloaded again: BIRDSEARCH_CACHE, else the platform's place for caches."""
    chosen = os.environ.get("BIRDSEARCH_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("birdsearch", appauthor=False)


def fetch(weights: Weights, advice: str, progress: Progress | None = None) -> Path:
    """The verified file, downloaded first where it is not in the cache; `advice` says what to use instead."""
    if not weights.path.exists():
        _download_once(weights, advice, progress)
    try:
        sha256 = sha256_of(weights.path)
    except OSError as error:
        raise BackboneUnavailableError(f"{weights.path} cannot be read ({error}). {advice}") from error
    if sha256 != weights.sha256:
        raise BackboneUnavailableError(
            f"{weights.path} is not the file that {weights.name} needs: its sha256 is {sha256}, expected "
            f"{weights.sha256}. Delete it to download it again from {weights.url}, or put the right file there. "
            f"{advice}"
        )
    return weights.path


def _download_once(weights: Weights, advice: str, progress: Progress | None) -> None:
    """Downloads under a temporary name; a second process waits for the first and then finds the file."""
    import http.client

    import filelock

    part = weights.path.with_name(weights.file + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{weights.path}.lock"):
            if not weights.path.exists():
                try:
                    sha256 = _download(weights, part, progress)
                    if sha256 != weights.sha256:
                        raise ValueError(f"what came has sha256 {sha256}")
                    part.replace(weights.path)
                finally:
                    part.unlink(missing_ok=True)
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
