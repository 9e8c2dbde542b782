"""The nouns of birdsearch: frozen records, and how a record becomes JSON. Read this file first."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # (n, dim), rows of length 1 unless said otherwise
Ids = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]  # (height, width, 3), sRGB

# progress(stage, done, total, path): called from the thread that runs the job; total is None until known
Progress = Callable[[str, int, int | None, str], None]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier says of one photo."""

    species: str | None  # None where the class is no species (an ImageNet class, say)
    probability: float
    rank: int  # 1 is the most probable
    level: str  # "species", "genus", "family"...; for other classes the vocabulary they come from ("ImageNet")
    class_name: str  # as the backbone spells it
    source: str = "backbone"
    evidence: tuple[int, ...] = ()  # ids of the photos that speak for it

    @property
    def name(self) -> str:
        """The words to show a person: the species, or the class with its vocabulary."""
        return self.species or f"{self.level}: {self.class_name}"


@dataclass(frozen=True, slots=True)
class Photo:
    """One image file. A name that is not UTF-8 keeps its bytes as surrogates, so `path` always opens the file."""

    id: int | None
    path: str  # absolute
    sha256: str | None = None  # of the file's bytes, 64 hex digits
    phash: str | None = None  # 64-bit perceptual hash, 16 hex digits
    size: int = 0  # bytes
    mtime_ns: int = 0
    width: int | None = None  # pixels, upright
    height: int | None = None
    format: str | None = None  # "JPEG", "PNG", "HEIF"...
    taken_at: str | None = None  # ISO 8601 as the camera's clock showed it, with sub-seconds where known
    taken_offset: str | None = None  # "+02:00"
    camera: str | None = None  # make and model
    camera_serial: str | None = None
    lens: str | None = None
    latitude: float | None = None  # degrees, north positive
    longitude: float | None = None  # degrees, east positive
    observer: str | None = None
    notes: str | None = None
    rating: int | None = None  # stars, 0 to 5
    label: str | None = None
    species: str | None = None
    species_source: str | None = None  # "label", "prediction" or None
    predictions: tuple[Prediction, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which photos may answer. Every field that is set must hold; names are compared without regard to case."""

    species: str | tuple[str, ...] | None = None  # any of these
    label: str | tuple[str, ...] | None = None
    predicted: str | tuple[str, ...] | None = None  # species or class among the stored predictions
    min_probability: float | None = None  # of `predicted`, or of the first prediction where `predicted` is not set
    taken_after: str | None = None  # ISO date or time, inclusive
    taken_before: str | None = None  # ISO date or time, exclusive
    under: str | None = None  # a folder
    near: tuple[float, float, float] | None = None  # latitude, longitude (degrees), radius (km)
    camera: str | None = None  # part of the camera's name
    min_width: int | None = None  # pixels


@dataclass(frozen=True, slots=True)
class Match:
    """One answer to a search."""

    photo: Photo
    score: float  # cosine similarity, 1 is the same direction


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that could not be indexed, and why."""

    path: str
    stage: str  # "scan", "decode", "embed"
    reason: str


@dataclass(frozen=True, slots=True)
class AddReport:
    """What became of every file under the named folders: each is in exactly one count (`missing` counts photos)."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    ignored: dict[str, int] = field(default_factory=dict)  # reason -> files
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What one engine did on vectors of the user's own."""

    engine: str
    settings: str
    recall: float  # share of the 10 true neighbours that were found
    queries_per_second: float
    build_seconds: float
    bytes: int
    rows: int  # it was tried on so many


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """Which engine was chosen and why, and what became of the refined space."""

    engine: str
    trials: tuple[Trial, ...]
    refined: bool  # whether searches use a refined space now
    refinement: str  # what was done about it, in words; empty where it was not asked for
    recall_at_1_before: float | None  # of labelled photos, before and after this call; None where there are no labels
    recall_at_1_after: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Whether an index keeps every promise of its format, and each breach in words."""

    ok: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Answers of an engine: best first; id -1 and score -inf where there are fewer than k."""

    ids: Ids  # (q, k)
    scores: Vectors  # (q, k)


@dataclass(frozen=True, slots=True)
class Classifier:
    """The last layer of a backbone: class scores are `weights @ embedding + bias`."""

    weights: Vectors  # (classes, dim)
    bias: Vectors  # (classes,)
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a backbone makes of n photos."""

    vectors: Vectors  # (n, dim), rows of length 1
    norms: Vectors  # (n,), lengths before normalisation
    probabilities: Vectors | None  # (n, classes)


def shown(text: str) -> str:
    """A text as it can be printed: bytes that are not UTF-8 become backslash escapes."""
    return os.fsencode(text).decode("utf-8", "backslashreplace") if not text.isascii() else text


def as_json(record: Any) -> Any:
    """A record (or a list of records) as the plain dicts, lists and texts that `json.dumps` takes."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: as_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {as_json(key): as_json(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [as_json(value) for value in record]
    return shown(record) if isinstance(record, str) else record
