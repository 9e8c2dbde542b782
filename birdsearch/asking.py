"""Asker: what an index says of photos that it is shown, its own or others."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from birdsearch.backbones.classes import Classes
from birdsearch.errors import BackboneMismatchError, BackboneUnavailableError
from birdsearch.photos import decode
from birdsearch.records import Filter, Match, Photo, Prediction, Vectors, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import Folder
from birdsearch.storage.vectors import Retrieval

if TYPE_CHECKING:
    from birdsearch.backbones import Backbone
    from birdsearch.species.gallery import Gathered

Image = decode.ImageLike


class Asker:
    """An open index that is asked about photos."""

    def __init__(
        self,
        folder: Folder,
        identity: dict[str, Any],
        backbone: "Backbone | None",
        *,
        runtime: str,
        device: str,
        precision: str,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._backbone = backbone
        self._runtime, self._device, self._precision = runtime, device, precision
        self._catalog = Catalog(folder.catalog)
        self._retrieval = Retrieval(folder, self._catalog, identity)
        self._classes: Classes | None = None
        self._tempered: tuple[int, float | None] | None = None  # generation, temperature
        self._last: tuple[tuple[int, Filter | None], Gathered] | None = None
        self._gathering = threading.Lock()
        self._loading = threading.Lock()  # the threads of a run ask for the backbone all at once

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Index {shown(str(self.path))}: {len(self)} photos, {self._identity['backbone']['name']}>"

    def __len__(self) -> int:
        return self._catalog.count()

    def close(self) -> None:
        """Give back the files; the index on disk stays as it is."""
        self._last = None
        self._catalog.close()

    @property
    def path(self) -> Path:
        """The folder of the index."""
        return self._folder.path

    @property
    def backbone(self) -> "Backbone":
        """The network that made the vectors, loaded at first use."""
        with self._loading:
            return self._loaded()

    def _loaded(self) -> "Backbone":
        if self._backbone is None:
            from birdsearch.backbones import load_backbone

            made_with = self._identity["backbone"]
            if self._identity.get("source") is None:
                raise BackboneUnavailableError(
                    f"the index {shown(str(self.path))} was made with your own backbone {made_with['name']}: "
                    "open it with birdsearch.open(path, backbone=that_object)."
                )
            loaded = load_backbone(
                self._identity["source"], runtime=self._runtime, device=self._device, precision=self._precision
            )
            if loaded.identity != made_with:
                raise BackboneMismatchError(
                    f"{self._identity['source']} is not what the index {shown(str(self.path))} was made with "
                    "(other weights or other preprocessing): bring the old file back, or make another index."
                )
            self._backbone = loaded
        return self._backbone

    # Asking

    def embed(self, images: Sequence[Image]) -> Vectors:
        """Vectors (n, dim) of photos; those of a Photo of this index come from the index."""
        return self._embed(images, self._own_ids(images))

    def _embed(self, images: Sequence[Image], own: list[int | None]) -> Vectors:
        vectors = np.empty((len(images), int(self._identity["backbone"]["dim"])), dtype=np.float32)
        stored = [row for row, photo_id in enumerate(own) if photo_id is not None]
        strange = [row for row, photo_id in enumerate(own) if photo_id is None]
        if stored:
            vectors[stored] = self._retrieval.rows([photo_id for photo_id in own if photo_id is not None])[0]
        if strange:
            vectors[strange] = self.backbone.embed([images[row] for row in strange])
        return vectors

    def _own_ids(self, images: Sequence[Image]) -> list[int | None]:
        """The id of each image that is a Photo of this index; one of another index is a picture like any other."""
        asked = {image.id for image in images if isinstance(image, Photo) and image.id is not None}
        held = self._catalog.known_photos(asked)

        def own_id(image: Image) -> int | None:
            here = held.get(image.id) if isinstance(image, Photo) and image.id is not None else None
            same = here and isinstance(image, Photo) and (here.sha256 == image.sha256 or here.path == image.path)
            return here.id if here and same else None

        return [own_id(image) for image in images]

    def search(
        self, image: Image, k: int = 10, *, where: Filter | None = None, min_score: float | None = None
    ) -> list[Match]:
        """The k photos that look most like this one, best first; a Photo never finds itself."""
        return self.search_many([image], k, where=where, min_score=min_score)[0]

    def search_many(
        self, images: Sequence[Image], k: int = 10, *, where: Filter | None = None, min_score: float | None = None
    ) -> list[list[Match]]:
        """The answers for several photos, in their order."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        own = self._own_ids(images)
        return self._retrieval.matches(self._embed(images, own), k, where, min_score, own)

    def search_vectors(
        self, vectors: Vectors, k: int = 10, *, where: Filter | None = None, min_score: float | None = None
    ) -> list[list[Match]]:
        """The answers for vectors (q, dim) of this index's backbone, of any length."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        dim = int(self._identity["backbone"]["dim"])
        queries = np.asarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != dim:
            raise ValueError(f"vectors must have the shape (q, {dim}), got {queries.shape}")
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1, keepdims=True)  # squares may leave float32
        if not np.isfinite(lengths).all() or (lengths == 0).any():
            raise ValueError("a vector with no direction (all zero, or not finite) cannot be searched")
        unit = (queries / lengths).astype(np.float32)
        return self._retrieval.matches(unit, k, where, min_score, [None] * len(unit))

    def classify(
        self,
        image: Image,
        k: int = 5,
        *,
        source: str = "backbone",
        checklist: Iterable[str | Path] | None = None,
        roll_up: float | None = None,
        calibrate: bool = False,
    ) -> list[Prediction]:
        """What one photo shows: the k most probable classes; see `classify_many`."""
        if source == "backbone" and checklist is None and roll_up is None and not calibrate:
            if k < 1:
                raise ValueError(f"k must be at least 1, got {k}")
            own = self._own_ids([image])[0]
            if own is not None and self._class_table().classifier is not None:
                return list(self._class_table().top(self.probabilities([own]), k)[0])
            return self.backbone.classify(image, k)
        how: dict[str, Any] = {"source": source, "checklist": checklist, "roll_up": roll_up, "calibrate": calibrate}
        return self.classify_many([image], k, **how)[0]

    def classify_many(
        self,
        images: Sequence[Image],
        k: int = 5,
        *,
        source: str = "backbone",
        checklist: Iterable[str | Path] | None = None,
        roll_up: float | None = None,
        burst: bool = False,
        calibrate: bool = False,
    ) -> list[list[Prediction]]:
        """What photos show, by the backbone's classes or ("neighbours") by the labelled photos of this index.

        `checklist` names files of species that are to be expected: the others are noted as possible vagrants, with
        their raw probability. With `roll_up` (0 to 1) a rank above the species, rank 0, comes first where no species
        reaches it. Neighbours also answer, at rank 0, that a photo is like nothing in this index. With `burst` the
        photos are exposures of one moment and answer together. With `calibrate` the backbone's probabilities are first
        tempered, so that on this index's labelled photos they are right as often as they say (Guo et al. 2017); `raw`
        is what they were. Too few labels change nothing, which is logged. A Photo of this index needs no network.
        """
        from birdsearch.species import classifier, prediction

        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if source not in ("backbone", "neighbours"):
            raise ValueError(f"source must be backbone or neighbours, got {source!r}")
        own = self._own_ids(images)
        if source == "neighbours":
            if checklist is not None or roll_up is not None:
                raise ValueError("checklist and roll_up weigh the backbone's classes: leave them out with neighbours")
            if calibrate:
                raise ValueError("neighbours are calibrated already: leave calibrate out with them")
            return prediction.by_neighbours(self._gathered(None), self._embed(images, own), own, k, burst=burst)
        probabilities = self._probabilities(images, own)
        if burst and len(images) > 1:
            probabilities = classifier.together(probabilities, np.zeros(len(images), dtype=np.int64))
        warmth = self._temperature() if calibrate else None
        return prediction.by_classes(
            self._class_table(), probabilities, k, checklist=checklist, roll_up=roll_up, temperature=warmth
        )

    def _temperature(self) -> float | None:
        """What tempers the backbone's probabilities, fitted anew after a commit."""
        from birdsearch.species import calibration

        generation = self._catalog.generation
        if self._tempered is None or self._tempered[0] != generation:
            fitted = calibration.temperature(self._catalog, self._retrieval, self._class_table())
            self._tempered = (generation, fitted)
        return self._tempered[1]

    def _probabilities(self, images: Sequence[Image], own: list[int | None]) -> Vectors:
        """All class probabilities (n, classes)."""
        linear = self._class_table().classifier is not None
        held = [photo_id for photo_id in own if photo_id is not None] if linear else []
        stored = dict(zip(held, self.probabilities(held), strict=True)) if held else {}
        rows = []
        for image, photo_id in zip(images, own, strict=True):
            if photo_id in stored:
                rows.append(stored[photo_id])
            else:
                pixels = decode.load(image, self.backbone.input_size)[None]
                given = self.backbone.embed_pixels(pixels).probabilities
                if given is None:
                    raise BackboneUnavailableError(f"{self.backbone.name} gives no probabilities: it knows no classes.")
                rows.append(given[0])
        return np.stack(rows) if rows else np.empty((0, len(self._class_table().names)), dtype=np.float32)

    def probabilities(self, ids: Sequence[int]) -> Vectors:
        """All class probabilities (n, classes) of indexed photos, from their vectors and the stored classifier."""
        vectors, norms = self._retrieval.rows(ids)
        return self._class_table().probabilities(vectors, norms)

    def _class_table(self) -> Classes:
        if self._classes is None:
            classes = self._folder.read_classes()
            if classes is None:
                raise BackboneUnavailableError(
                    f"{self._identity['backbone']['name']}, the backbone of this index, knows no classes. "
                    "Make an index with one that classifies: `birdsearch backbones` lists them."
                )
            self._classes = classes
        return self._classes

    def _gathered(self, where: Filter | None) -> "Gathered":
        """Photos with their vectors, and what was worked out of them already."""
        from birdsearch.species import gallery

        # One thread at a time: others wait for the photos that are being gathered, and the pair is never torn.
        with self._gathering:
            key = self._catalog.generation, where
            if self._last is None or self._last[0] != key:
                self._last = None  # two of them might not fit into the memory
                self._last = key, gallery.gather(self._catalog, self._retrieval, where)
            return self._last[1]
