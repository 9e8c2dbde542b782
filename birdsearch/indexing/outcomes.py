"""Outcomes: what a file that is to be indexed holds, or why it holds no photo."""

from collections.abc import Callable
from dataclasses import dataclass

from birdsearch.errors import PhotoError
from birdsearch.photos import decode, memory, scan
from birdsearch.records import Photo, bytes_text


@dataclass(frozen=True, slots=True)
class KnownContent:
    """A file whose content is known already: it is neither decoded nor embedded."""

    photo: Photo  # path, size, mtime_ns, sha256, and what is written in it


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is no photo ("ignored"), cannot be read ("read"), broken ("decode"), or without vector ("embed")."""

    file: scan.FoundFile
    stage: str
    reason: str

    @property
    def photo(self) -> Photo:
        """The file as far as it is known."""
        return self.file.photo


@dataclass(frozen=True, slots=True)
class Costly:
    """A file whose decode takes so much memory that it waits for the end of the run."""

    file: scan.FoundFile
    why: str

    @property
    def photo(self) -> Photo:
        """The file as far as it is known."""
        return self.file.photo


Outcome = decode.Decoded | KnownContent | Rejected


def outcome_of(
    entry: scan.FoundFile, take: Callable[[scan.FileBytes], decode.Decoded | KnownContent], *, raw: bool = True
) -> Outcome:
    """What `take` makes of a file's bytes, or why there is nothing to be made; `raw` as `scan.read` takes it.

    Raises CostlyError as `decode` does.
    """
    try:
        file = scan.read(entry, raw=raw)
    except scan.NotAPhotoError as error:
        return Rejected(entry, "ignored", error.reason)
    except PhotoError as error:
        return Rejected(entry, "read", str(error))
    try:
        return take(file)
    except scan.NotAPhotoError as error:
        return Rejected(entry, "ignored", error.reason)
    except PhotoError as error:
        return Rejected(entry, "decode", str(error))


def unless_costly(entry: scan.FoundFile, most: int, prepare: Callable[[], Outcome]) -> Outcome | Costly:
    """What `prepare` gives, unless it would take more than `most` bytes of memory, and raises CostlyError."""
    if (entry.state.size or 0) > most:
        return Costly(entry, f"{bytes_text(entry.state.size or 0)} long")
    try:
        return prepare()
    except memory.CostlyError as error:
        return Costly(entry, str(error))
