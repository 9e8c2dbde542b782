"""Embedder: decoded photos in, photos with vectors and predictions out, in batches that adapt to the network."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.attended import waited
from birdsearch.backbones.backbone import Embedded
from birdsearch.backbones.classes import Classes
from birdsearch.errors import BackboneError
from birdsearch.photos.decode import Decoded
from birdsearch.records import Label, Photo, Pixels, Region, Vectors
from birdsearch.storage.catalog.commits import GIVEN

if TYPE_CHECKING:
    from birdsearch.backbones import Backbone

NETWORK_BATCH = 128  # photos that the network sees at a time, at most; fewer where it is slow...
NETWORK_SECONDS = 1.5  # ...so that progress moves and a run can be ended; at the end of each batch some cores wait
PREDICTIONS = 5  # stored with every photo


@dataclass(frozen=True, slots=True)
class EmbeddedPart:
    """A part of a photo with its vector."""

    region: Region
    vector: Vectors  # (dim,), of length 1
    norm: float


@dataclass(frozen=True, slots=True)
class EmbeddedPhoto:
    """A photo with its predictions and its vector, ready to be committed."""

    photo: Photo  # its id where the catalog has one for its path
    vector: Vectors  # (dim,), of length 1
    norm: float
    correction: Label | None = None  # that a person gives it by hand at the same time
    found_by: str | None = None  # the finder that has searched it for small birds...
    parts: tuple[EmbeddedPart, ...] = ()  # ...and those that it found


@dataclass(frozen=True, slots=True)
class NotEmbedded:
    """A photo that the network cannot take, and why."""

    photo: Photo
    reason: str


@dataclass(frozen=True, slots=True)
class GivenVector:
    """What a user gives for one photo."""

    vector: Vectors  # (dim,), of length 1
    norm: float
    facts: Mapping[str, object] = field(default_factory=dict)  # fields of Photo that count above those of the file
    label: Label | None = None

    def of(self, photo: Photo) -> EmbeddedPhoto:
        """The photo with this vector."""
        return EmbeddedPhoto(replace(photo, **dict(self.facts)), self.vector, self.norm, self.label)  # type: ignore[arg-type]


@dataclass(slots=True)
class GivenVectors:
    """Stands in for the embedder where a user gives the vectors; `taken` are the paths that have theirs."""

    by_path: Mapping[bytes, GivenVector]
    taken: set[bytes] = field(default_factory=set)
    input_size = (224, 224)  # nothing looks at the pixels, but for the perceptual hash
    provenance = GIVEN

    def __len__(self) -> int:
        return 0

    def add(self, decoded: Decoded) -> "list[EmbeddedPhoto | NotEmbedded]":
        """The photo with its vector, at once."""
        return [self.of(decoded.photo)]

    def flush(self) -> "list[EmbeddedPhoto | NotEmbedded]":
        """Nothing waits."""
        return []

    def of(self, photo: Photo) -> EmbeddedPhoto:
        """A photo with the vector that is given for its path."""
        path = os.fsencode(photo.path)
        self.taken.add(path)
        return self.by_path[path].of(photo)


@dataclass(slots=True)
class Embedder:
    """Runs photos through a backbone; `proven` is whether that backbone has ever worked for this index."""

    backbone: "Backbone"
    classes: Classes | None
    proven: bool
    idle: Callable[[], None] | None = None  # called while the network is at work; what it raises ends the wait
    batch_size: int = field(default_factory=lambda: min(16, NETWORK_BATCH))  # photos; adapts to the network
    _waiting: list[Decoded] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def provenance(self) -> str:
        """What makes the vectors, as an index remembers it."""
        return self.backbone.provenance

    def add(self, decoded: Decoded) -> list[EmbeddedPhoto | NotEmbedded]:
        """Take in one photo; returns a whole batch of results when it is full, else nothing."""
        self._waiting.append(decoded)
        return self.flush() if len(self._waiting) >= self.batch_size else []

    def flush(self) -> list[EmbeddedPhoto | NotEmbedded]:
        """The results of all photos that wait. Raises BackboneError where a backbone takes none of its first photos."""
        waiting, self._waiting = self._waiting, []
        return list(self._embed(waiting)) if waiting else []

    def _embed(self, batch: list[Decoded]) -> Iterator[EmbeddedPhoto | NotEmbedded]:
        began = time.monotonic()
        try:
            pixels = _pixels(batch)
            embedded = waited(lambda: self.backbone.embed_pixels(pixels), self.idle)
        except BackboneError as error:
            yield from self._embed_singly(batch, error)
            return
        self.proven = True
        if len(batch) >= self.batch_size:
            self._adapt(len(batch), time.monotonic() - began)
        yield from self._results(batch, embedded)

    def _embed_singly(self, batch: list[Decoded], error: BackboneError) -> Iterator[EmbeddedPhoto | NotEmbedded]:
        """One by one, after a batch failed: a photo that the network cannot take costs only itself."""
        rejected: list[NotEmbedded] = []
        # Without what was found in a photo: it counts as not searched, and why a part cannot be embedded is told then.
        for decoded in (replace(decoded, found_by=None, parts=()) for decoded in batch):
            try:
                embedded = self.backbone.embed_pixels(_pixels([decoded]))
            except BackboneError as why:
                rejected.append(NotEmbedded(decoded.photo, str(why)))
            else:
                self.proven = True
                yield from self._results([decoded], embedded)
        if not self.proven:
            raise error  # the backbone is broken, not the photos
        yield from rejected

    def _results(self, batch: list[Decoded], embedded: Embedded) -> Iterator[EmbeddedPhoto]:
        """What was made of `_pixels(batch)`."""
        vectors, norms = embedded.vectors, [float(norm) for norm in embedded.norms]
        of_parts = itertools.count(len(batch))
        for row, decoded in enumerate(batch):
            photo = decoded.photo
            if embedded.probabilities is not None and self.classes is not None:
                predictions = self.classes.top(embedded.probabilities[row : row + 1], PREDICTIONS)[0]
                photo = replace(photo, predictions=predictions)
            rows = [(region, next(of_parts)) for region, _ in decoded.parts]
            parts = tuple(EmbeddedPart(region, vectors[at], norms[at]) for region, at in rows)
            yield EmbeddedPhoto(photo, vectors[row], norms[row], found_by=decoded.found_by, parts=parts)

    def _adapt(self, count: int, seconds: float) -> None:
        """Make the next batch take about NETWORK_SECONDS; streams of a processor share multiples of four evenly."""
        fitting = min(int(NETWORK_SECONDS * count / (seconds + 1e-6)), 2 * self.batch_size) // 4 * 4
        self.batch_size = min(NETWORK_BATCH, max(4, fitting))


def _pixels(batch: Sequence[Decoded]) -> Pixels:
    """Those of the photos, then those of their parts."""
    return np.stack([decoded.pixels for decoded in batch] + [part for decoded in batch for _, part in decoded.parts])
