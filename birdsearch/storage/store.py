"""Store: what an open index holds. Every question reads through it, every change goes through `writing`."""

import logging
import os
import shlex
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from birdsearch.backbones import check_execution
from birdsearch.backbones.classes import Classes
from birdsearch.cache import file_problem
from birdsearch.errors import (
    BackboneMismatchError,
    BackboneUnavailableError,
    IndexAddressError,
    IndexDamagedError,
    IndexExistsError,
    IndexMissingError,
    IndexVersionError,
)
from birdsearch.files import sha256_of
from birdsearch.records import BackboneIdentity, Identity, Progress, Provenance, Recipe, as_json, shown
from birdsearch.search.local import FLAT_UP_TO
from birdsearch.storage.address import SCHEME, Address
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.database import replaced_error
from birdsearch.storage.catalog.renewal import Renewal
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from birdsearch.storage.catalog.tables import IDENTITY_BEFORE, NAMES, PLACE
from birdsearch.storage.folder import FORMAT, Folder
from birdsearch.storage.pictures import Pictures
from birdsearch.storage.served import ServedVectors
from birdsearch.storage.text import TextSearch, TextSpace
from birdsearch.storage.vectors import PartVectors, VectorStore, stored_identity, whitening_sha256

if TYPE_CHECKING:
    from birdsearch.backbones import Backbone
    from birdsearch.backbones.text import Texts
    from birdsearch.backbones.weights import Brought


logger = logging.getLogger("birdsearch")


@dataclass(frozen=True, slots=True)
class Execution:
    """What executes a backbone, where, and with which numbers; see `load_backbone`."""

    runtime: str = "auto"
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_execution(self.runtime, self.device, self.precision)


AUTOMATIC = Execution()
POSTGRESQL = "postgresql"


def _in_postgresql(folder: Folder) -> Catalog:
    from birdsearch.storage.catalog.postgresql_database import PostgreSQLCatalog  # of few indexes

    return PostgreSQLCatalog(folder.address)


CATALOGS: dict[str, Callable[[Folder], Catalog]] = {
    "sqlite": lambda folder: SQLiteCatalog(folder.catalog),
    POSTGRESQL: _in_postgresql,
}


def catalog_there(folder: Folder) -> Catalog | None:
    """The catalog that lies where an address says, whatever index.json says; None where the folder has none.

    Raises IndexMissingError where a database holds no such index, IndexAddressError where its parts lie elsewhere.
    """
    if not folder.address.catalog:
        return SQLiteCatalog(folder.catalog) if folder.catalog.exists() else None
    catalog = _in_postgresql(folder)
    try:
        catalog.version()
        _check_parts(folder, catalog)
    except IndexMissingError as error:
        catalog.close()
        if not _came_back(folder):
            raise
        raise IndexMissingError(
            f"the database holds the catalog of {shown(folder.address.name)}, as a dump brings it back, and does not "
            f"list it: run `birdsearch repair --index {shlex.quote(folder.where)}`."
        ) from error
    except BaseException:
        catalog.close()
        raise
    return catalog


def list_again(folder: Folder) -> bool:
    """List an index in its database whose catalog came back by a dump; False where the parts name none."""
    from birdsearch.storage.catalog import postgresql_database as database

    index_id = _id_at(folder)
    return index_id is not None and database.list_again(folder.address, index_id)


def _came_back(folder: Folder) -> bool:
    from birdsearch.storage.catalog import postgresql_database as database

    index_id = _id_at(folder)
    return index_id is not None and database.is_unlisted(folder.address, index_id)


def _id_at(folder: Folder) -> str | None:
    """The id of the index whose parts lie where an address in a database says; None where there is none."""
    with suppress(IndexDamagedError, IndexMissingError):
        identity = folder.read_identity()
        return identity.id if folder.address.catalog and identity.catalog == POSTGRESQL else None
    return None


def _check_parts(folder: Folder, catalog: Catalog) -> None:
    """Raises IndexAddressError where the parts of an index in a database lie elsewhere than its address says.

    A repair there would forget every part.
    """
    stored, known = stored_identity(catalog), catalog.get_state(PLACE)
    there, here = shown(str(known)), shown(folder.address.parts)
    try:
        identity = folder.read_identity()
    except IndexDamagedError:
        if known is None or known == folder.address.parts:
            return
        raise IndexAddressError(
            f"{here} holds no index: the parts of {shown(folder.address.name)} lie in {there}, as its catalog knows. "
            f"Write parts={there}; where they were moved, index.json goes with them."
        ) from None
    if stored is not None and stored.id != identity.id:
        hint = "" if known in (None, folder.address.parts) else f", which lie in {there}"
        raise IndexAddressError(
            f"{here} holds the parts of another index than {shown(folder.address.name)}{hint}: "
            "correct parts= or index=."
        )


def open_catalog(folder: Folder, identity: Identity) -> Catalog:
    """The catalog that an index names: of this package, or of another one under the entry points birdsearch.catalogs.

    Raises IndexVersionError where no installed package offers it.
    """
    in_database = identity.catalog == POSTGRESQL
    if in_database != bool(folder.address.catalog):
        where = folder.where
        raise IndexAddressError(
            f"the catalog of {where} is in PostgreSQL: name the index by its address, which begins with {SCHEME}://"
            if in_database
            else f"{where}, which parts= names, is an index with its catalog beside it: name it by this path."
        )
    if identity.catalog in CATALOGS:
        return CATALOGS[identity.catalog](folder)
    from importlib import metadata  # slow to load, for few

    for offered in metadata.entry_points(group="birdsearch.catalogs", name=identity.catalog):
        catalog: Catalog = offered.load()(folder)
        return catalog
    raise IndexVersionError(
        f"the index {folder.where} keeps its catalog in {identity.catalog!r}, which no installed package "
        "offers: install the one that it was made with."
    )


class Store:
    """An open index: its folder, identity, catalog, vectors and backbone. Any number of threads may read through it."""

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        backbone: "Backbone | None" = None,
        execution: Execution = AUTOMATIC,
        *,
        catalog: Catalog | None = None,
        vectors: VectorStore | None = None,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.catalog = open_catalog(folder, identity) if catalog is None else catalog
        self.vectors = self._vectors(identity) if vectors is None else vectors
        self.pictures = Pictures(self.catalog)
        self.text = TextSearch(self.catalog, self.vectors)
        self._backbone = backbone
        self._execution = execution
        self._loading = threading.Lock()  # the threads of a run ask for the backbone all at once
        self._let_in: int | None = None  # the thread whose run lets short changes in between its commits

    @classmethod
    def create(
        cls, path: str | os.PathLike[str] | Address, backbone: Any = None, execution: Execution = AUTOMATIC
    ) -> Self:
        """A new, empty index in a folder that does not exist or is empty; see `birdsearch.create`."""
        from birdsearch.backbones import DEFAULT, load_backbone

        folder = Folder(path)
        folder.check_free()
        loaded = load_backbone(backbone or DEFAULT, **asdict(execution))
        identity = Identity(
            format=FORMAT,
            id=uuid.uuid4().hex,
            backbone=loaded.identity,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            source=loaded.source,
            catalog=POSTGRESQL if folder.address.catalog else "sqlite",
        )
        with folder.writing():
            folder.check_free()  # another process may have been faster
            _check_unlisted(folder)
            folder.drop_unfinished_index()
            if loaded.class_names or loaded.projection is not None:
                folder.write_classes(loaded.classes)
                identity = replace(identity, classifier_sha256=sha256_of(folder.classifier))
            with closing(open_catalog(folder, identity)) as catalog:
                catalog.create(as_json(identity))
                _remember_place(folder, catalog)
            # Last, because its presence is what makes the folder an index.
            folder.write_identity(identity)
        return cls(folder, identity, loaded, execution)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | Address,
        backbone: Any = None,
        execution: Execution = AUTOMATIC,
        lock_timeout: float = 0,
    ) -> Self:
        """An index that exists; see `birdsearch.open`. An index of an older birdsearch is migrated."""
        folder = Folder(path, lock_timeout)
        if folder.address.catalog and (there := catalog_there(folder)):
            there.close()  # it is listed: else what lies in the folder means nothing
        identity = folder.read_identity()
        if identity.catalog == "sqlite" and not folder.catalog.exists():
            raise IndexDamagedError(
                f"{shown(str(folder.catalog))} is missing: restore it from a backup, "
                f"or move {folder.where} away and index again."
            )
        store = cls(folder, identity, None, execution)
        try:
            store._migrate()
            store._check_identity()
            store._backbone = store._given(backbone)
            store._note_old_recipe()
        except BaseException:
            store.close()
            raise
        return store

    def _check_identity(self) -> None:
        """Raises IndexDamagedError where index.json is not what the catalog remembers of it."""
        stored = stored_identity(self.catalog)
        if stored is not None and stored_identity(self.catalog, IDENTITY_BEFORE) == self.identity:
            self.reopen(stored)  # embedded anew, and killed before index.json was written
        if stored != self.identity:
            where = self.folder.where
            raise IndexDamagedError(
                f"index.json of {where} is damaged or of another index: its catalog remembers it otherwise. "
                f"Run `birdsearch repair --index {shlex.quote(where)}`."
            )

    def _given(self, backbone: Any) -> "Backbone | None":
        """The backbone that the user opens the index with, where that is an object; no other than its own will do."""
        if isinstance(backbone, str | Path):
            if str(backbone) not in (self.identity.backbone.name, self.identity.source):
                raise _mismatch(self.folder, self.identity, str(backbone))
            return None
        if backbone is None:
            return None
        from birdsearch.backbones import load_backbone

        loaded = load_backbone(backbone)
        if loaded.identity != self.identity.backbone:
            raise _mismatch(self.folder, self.identity, loaded.identity)
        return loaded

    def _note_old_recipe(self) -> None:
        """Say how an index that the built-in network was made for with birder's padding gets better vectors."""
        from birdsearch.backbones import BUILT_IN

        if self.identity.source in BUILT_IN and self.identity.backbone.recipe is None:
            where = self.folder.where
            logger.warning(
                "%s was made when birdsearch padded photos otherwise than the built-in network was trained. It answers "
                "as before; to find more, embed its photos anew, which keeps labels and decisions: "
                "birdsearch index --reembed --index %s",
                where, shlex.quote(where),
            )  # fmt: skip

    def _migrate(self) -> None:
        """Bring the tables of an older birdsearch up to date."""
        if self.catalog.is_current():
            return
        if self.catalog.version() is None:
            where = self.folder.where
            raise IndexDamagedError(f"the catalog of {where} is empty: restore it from a backup, or index again.")
        with self.folder.writing():
            self.folder.rename_refinement()
            self.catalog.upgrade()
        if self.catalog.counts()["regions"] >= FLAT_UP_TO:
            # Before tables 0003 the engine had a stamp of its own; today's catalog names none of those.
            logger.warning(
                "%s was made by an older birdsearch, whose engine is not used any more: every photo is compared until "
                "`birdsearch index` or `birdsearch optimize` builds a new one.",
                self.folder.where,
            )

    def close(self) -> None:
        """Give back the files; the index on disk stays as it is."""
        self.catalog.close()
        self.vectors.close()
        self.pictures.close()
        self.text.close()

    # Reading

    @property
    def execution(self) -> Execution:
        """What executes the backbone, where, and with which numbers."""
        return self._execution

    @property
    def backbone(self) -> "Backbone":
        """The network that made the vectors, loaded and checked at first use, once for all threads.

        Raises BackboneUnavailableError or BackboneMismatchError where it is not available or not the same any more.
        """
        with self._loading:
            if self._backbone is None:
                self._backbone = self._load_backbone()
            return self._backbone

    def _load_backbone(self) -> "Backbone":
        from birdsearch.backbones import is_path, load_backbone

        where, source = self.folder.where, self.identity.source
        if source is None:
            raise BackboneUnavailableError(
                f"the index {where} was made with your own backbone {self.identity.backbone.name}: "
                "open it with birdsearch.open(path, backbone=that_object), or ask by vectors (Index.search_vectors)."
            )
        if is_path(source) and os.path.exists(source):
            # Who wrote index.json may have named any file: it is opened only if it is the one that the vectors are of.
            sha256 = self.identity.backbone.weights_sha256 or ""
            if not os.path.isabs(source) or file_problem(Path(source), sha256) is not None:
                raise self._changed(source)
        loaded = load_backbone(source, recipe=Recipe.of(self.identity.backbone.recipe), **asdict(self._execution))
        if loaded.identity != self.identity.backbone:
            raise self._changed(source)
        return loaded

    def _changed(self, source: str) -> BackboneMismatchError:
        return BackboneMismatchError(
            f"{shown(source)} is not what the index {self.folder.where} was made with "
            "(other weights or other preprocessing): bring the old file back, or make another index."
        )

    def brought_weights(self) -> "Brought | None":
        """The weights of the backbone, for other computers; see `backbones.brought`. Raises BackboneMismatchError."""
        from birdsearch.backbones import brought

        source = self.identity.source
        weights = None if source is None else brought(source)
        if weights is not None and weights.sha256 != self.identity.backbone.weights_sha256:
            raise self._changed(source or "")
        return weights

    def backbone_of_today(self, other: Any = None, progress: Progress | None = None) -> "Backbone":
        """Another backbone, or that of the index as a new index of today would run it."""
        from birdsearch.backbones import load_backbone

        if other is None and self.identity.source is None:
            return self.backbone
        return load_backbone(other or self.identity.source, **asdict(self._execution), progress=progress)

    @property
    def provenance(self) -> Provenance:
        """The id of the index, its root folders, and the corrections of names, as tables of photos carry them."""
        folders = tuple(os.fsdecode(folder) for folder in self.catalog.roots_in_use())
        return Provenance(self.identity.id, folders, tuple(self.catalog.get_state(NAMES, {}).items()))

    @cached_property
    def last_layer(self) -> Classes | None:
        """What the index keeps of its backbone's last layer: classes or a projection; None where there is neither."""
        return self.folder.read_classes(self.identity)

    @property
    def stored_classes(self) -> Classes | None:
        """The classes that the index was made with; None where its backbone has none."""
        return self.last_layer if self.last_layer is not None and self.last_layer.names else None

    @cached_property
    def texts(self) -> "Texts":
        """What makes vectors of words for this index; the network of the photos is not loaded, unless it is an object.

        Raises BackboneUnavailableError, which names backbones that know words, where nothing does.
        """
        from birdsearch.backbones import texts_of

        made = self.identity.backbone
        own = getattr(self.backbone.network, "user_object", None) if self.identity.source is None else None
        return texts_of(made.name, made.weights_sha256, own)

    def text_space(self, joint: int) -> TextSpace:
        """The space in which words, vectors of `joint` numbers, are compared with the photos."""
        if joint not in self._text_spaces:
            stored = None if self.last_layer is None else self.last_layer.projection
            projection = stored or self.texts.projection
            self._text_spaces[joint] = TextSpace.of(projection, self.identity.backbone.dim, joint)
        return self._text_spaces[joint]

    @cached_property
    def _text_spaces(self) -> dict[int, TextSpace]:
        """Those that were made: what a space knows of its projection takes longer than to ask a small index."""
        return {}

    @property
    def classes(self) -> Classes:
        """The same. Raises BackboneUnavailableError where the backbone has no classes."""
        if self.stored_classes is None:
            raise BackboneUnavailableError(
                f"{self.identity.backbone.name}, the backbone of this index, knows no classes. "
                "Make an index with one that classifies: `birdsearch backbones` lists them."
            )
        return self.stored_classes

    # Writing

    @contextmanager
    def writing(self, *, shared: bool = False) -> Iterator[Catalog]:
        """The one write path: lock, remove what a killed writer left, yield, bring the engine up to date.

        `shared` is for what may go on beside other hosts where the catalog is in a database: their commits queue.
        Other threads of this process wait for their turn. Raises IndexLockedError where another process is writing.
        """
        if self._let_in == threading.get_ident():
            raise ValueError(
                "this cannot be done between the commits of a run, where labels, names, pairs that are not duplicates "
                "and removals can: do it before or after the run"
            )
        lock = self.folder.lock
        with self.folder.writing(shared=shared) as alone, self.catalog.guarded(lock.check):
            self._check_place()
            if alone:
                self._settle()
            if shared:
                lock.share()
            yield self.catalog
            with lock.building():
                if not alone:
                    self.vectors.remove_leftovers()
                self.vectors.refresh()

    @contextmanager
    def changing(self) -> Iterator[Catalog]:
        """The same for a change of a moment that makes no ids: a run lets it in between its commits, under its lock."""
        if self._let_in == threading.get_ident():
            yield self.catalog
            return
        with self.writing(shared=True) as catalog:
            yield catalog

    def let_in(self, change: Callable[[], None]) -> None:
        """Call a function that may use `changing`; this thread is `writing`, and no commit of it is under way."""
        self._let_in = threading.get_ident()
        try:
            change()
        finally:
            self._let_in = None

    def _check_place(self) -> None:
        """Raises IndexReplacedError where another index, or a copy, lies now where this one was when it was opened."""
        if self.folder.read_identity().id != self.identity.id or not self.catalog.is_in_place():
            raise replaced_error(self.folder.path)
        _remember_place(self.folder, self.catalog)

    def renew(self, renewal: Renewal, backbone: "Backbone") -> None:
        """Stand on new vectors of another network from now on. The caller holds the lock."""
        self.catalog.renew(renewal)
        identity = stored_identity(self.catalog)
        assert identity is not None  # it is part of the renewal
        self.reopen(identity)
        self._backbone = backbone
        self._settle()

    def _settle(self) -> None:
        """Make the files what the catalog says."""
        if self.catalog.get_state(IDENTITY_BEFORE) is not None:
            self.folder.write_identity(self.identity)
            self.catalog.set_state(IDENTITY_BEFORE, None)
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Remove files that the catalog does not list: no commit made them count."""
        self.vectors.remove_leftovers()
        self.folder.drop_whitenings(keep=whitening_sha256(self.catalog))
        self.folder.drop_parts(keep=[part.id for part in self.catalog.parts()])

    def _vectors(self, identity: Identity) -> VectorStore:
        """The vectors, searched where the address of the index says."""
        kind = ServedVectors if self.folder.address.vectors else PartVectors
        return kind(self.folder, self.catalog, identity)

    def reopen(self, identity: Identity) -> None:
        """Forget what was read from files that have been written anew."""
        self.identity = identity
        for kept in ("last_layer", "texts", "_text_spaces"):
            self.__dict__.pop(kept, None)
        self.vectors.close()
        self.vectors = self._vectors(identity)
        self.text.close()
        self.text = TextSearch(self.catalog, self.vectors)


def _remember_place(folder: Folder, catalog: Catalog) -> None:
    """Let the catalog know where the parts lie, for `_check_parts`; that of a folder lies among them."""
    here = folder.address.parts
    if not folder.address.catalog or (known := catalog.get_state(PLACE)) == here:
        return
    if known is not None:
        logger.warning(
            "the parts of %s are written in %s from now on; they lay in %s before.",
            shown(folder.address.name),
            here,
            known,
        )
    catalog.set_state(PLACE, here)


def _check_unlisted(folder: Folder) -> None:
    """Raises IndexExistsError where a database has the index: files in the folder are its own, index.json or not."""
    if folder.address.catalog:
        with suppress(IndexMissingError), closing(_in_postgresql(folder)) as catalog:
            catalog.version()
            raise IndexExistsError(f"there is an index at {folder.where} already: open it, or choose another name.")


def _mismatch(folder: Folder, identity: Identity, other: object) -> BackboneMismatchError:
    made = identity.backbone
    if isinstance(other, BackboneIdentity) and str(other) == str(made):
        return BackboneMismatchError(
            f"the index {folder.where} was made with {made.told_from(other)}: leave the backbone out to use "
            "its own, or make another index."
        )
    return BackboneMismatchError(
        f"the index {folder.where} was made with the backbone {made}, not with {other}: "
        "leave the backbone out to use its own, or make another index."
    )
