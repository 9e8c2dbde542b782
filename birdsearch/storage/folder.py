"""The folder of an index: where everything lies, who may write, and index.json."""

import errno
import json
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from birdsearch.backbones.classes import Classes
from birdsearch.cache import file_problem
from birdsearch.errors import (
    MAKE_ROOM,
    BirdsearchError,
    IndexDamagedError,
    IndexExistsError,
    IndexMissingError,
    IndexUnwritableError,
    IndexVersionError,
    refusal,
)
from birdsearch.files import UNFINISHED, is_sha256, named_by_content
from birdsearch.homes import missing_words
from birdsearch.records import BackboneIdentity, Identity, Recipe, as_json, shown
from birdsearch.storage import parts
from birdsearch.storage.address import Address
from birdsearch.storage.locks import FolderLock, WriterLock
from birdsearch.storage.place import LocalPlace, own_folder, place_of

FORMAT = 1
_NO_ROOM = {
    None,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EFBIG,
}  # None: numpy
DECISIONS = "decisions.jsonl"  # of a person about groups of duplicates
_OURS = {"lock", "writer.json", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.sqlite-journal"}
_OURS |= {DECISIONS, "classifier.npz", "vectors", "vectors.faiss", "index.json", "actions"}
RUN = "embedding-"  # what the folder of a run on a cluster is called, until all of it is committed
_CLASSIFIER = "classifier.npz"
_FOLDERS = ("vectors", "actions")  # of an index
_WRITTEN_IN_PLACE = ("lock", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm")
# What `files` had not yet put in place when it was killed.
_HALF_DONE = r"\.?(index\.json|classifier\.npz|engine|graph|whitening|\d{8,19}\.parquet)\b.*" + re.escape(UNFINISHED)
_LARGEST_IDENTITY = 1 << 20  # bytes of index.json
_turns: dict[str, threading.RLock] = {}  # folder -> what the threads of this process that write there queue for
if hasattr(os, "register_at_fork"):  # the thread that writes is not in a child
    os.register_at_fork(after_in_child=_turns.clear)


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(("engine-", RUN)) or re.fullmatch(_HALF_DONE, name) is not None


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """What the disk refuses inside (no room, no permission) becomes an IndexUnwritableError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BirdsearchError) or error.errno not in _NO_ROOM:  # of a photo, which has no number either
            raise
        where = shown(os.fsdecode(error.filename)) if error.filename else shown(str(path))
        raise IndexUnwritableError(f"cannot write {where}: {refusal(error)}. {MAKE_ROOM}") from error


def identity_of(stored: Any) -> Identity:
    """The identity in JSON; entries that this birdsearch does not know are passed over.

    Raises ValueError where one has a value that birdsearch does not write.
    """
    backbone = _entry(stored, "backbone", dict)
    classifier = _entry(stored, "classifier_sha256", str, None)
    if classifier is not None and not is_sha256(classifier):
        raise ValueError(f"its classifier_sha256 is {classifier!r:.80}")
    return Identity(
        format=_entry(stored, "format", int),
        id=_entry(stored, "id", str),
        backbone=BackboneIdentity(
            _entry(backbone, "name", str),
            _entry(backbone, "dim", int),
            _entry(backbone, "weights_sha256", str, None),
            _entry(backbone, "preprocessing", dict, None),
            Recipe.of(_entry(backbone, "recipe", dict, None)).stored,
        ),
        created=_entry(stored, "created", str),
        source=_entry(stored, "source", str, None),
        classifier_sha256=classifier,
        catalog=_entry(stored, "catalog", str, "sqlite"),
    )


_REQUIRED: Any = object()


def _entry(stored: Any, name: str, kind: type, otherwise: Any = _REQUIRED) -> Any:
    """One entry of a JSON object; where it is missing or null, what is `otherwise`."""
    value = stored.get(name) if isinstance(stored, dict) else None
    if value is None and otherwise is not _REQUIRED:
        return otherwise
    if type(value) is not kind or (type(value) is int and not 0 < value < 2**31):
        raise ValueError(f"its {name} is {value!r:.80}")
    return value


def _whitening(sha256: str) -> str:
    return f"whitening-{sha256[:16]}.npz"


def _graph(sha256: str) -> str:
    return f"graph-{sha256[:16]}.npz"


class Folder:
    """The files of one index."""

    def __init__(self, address: str | os.PathLike[str] | Address, lock_timeout: float = 0) -> None:
        self.address = Address.parse(address)
        self.place = place_of(self.address.parts)
        self.path = own_folder(self.address.parts)  # of what is locked, or written in place
        self.where = shown(str(self.address))  # the index, as messages name it and as it is typed
        self._lock_timeout = lock_timeout  # seconds that a writer waits for another process; for a thread without end
        self.identity = self.place.path / "index.json"
        self.catalog = self.path / "catalog.sqlite"
        self.classifier = self.place.path / _CLASSIFIER
        self.vectors = self.place.below("vectors")

    def keep(self, stem: str, suffix: str, write: Callable[[BinaryIO], None]) -> tuple[str, str]:
        """Put a file in place that is named by its content; its name and sha256. See `named_by_content`."""
        path, sha256 = named_by_content(self.place.path, stem, suffix, write)
        self.place.publish(path.name)
        return path.name, sha256

    def whitening(self, sha256: str, *, anew: bool = False) -> Path:
        """The file of the whitening transform, looked at `anew`; one never overwrites another that readers may use."""
        return self.place.here(_whitening(sha256), None if anew else sha256)

    def drop_whitenings(self, keep: str | None) -> None:
        """Remove the transforms but the one in use, of this sha256."""
        self.place.drop(r"whitening-[0-9a-f]{16}\.npz", () if keep is None else (_whitening(keep),))

    def drop_engines(self, keep: str | None) -> None:
        """Remove the engines but the one of this name; a reader that has one open keeps it."""
        self.place.drop(r"engine-[0-9a-f]{16}\.(npy|faiss)|vectors\.faiss", () if keep is None else (keep,))

    def graph(self, sha256: str, *, anew: bool = False) -> Path:
        """The file of the neighbour graph, looked at `anew`."""
        return self.place.here(_graph(sha256), None if anew else sha256)

    def drop_graphs(self, *keep: str | None) -> None:
        """Remove the neighbour graphs but those in use, of these sha256."""
        self.place.drop(r"graph-[0-9a-f]{16}\.npz", [_graph(sha256) for sha256 in keep if sha256 is not None])

    def drop_parts(self, keep: Iterable[int]) -> None:
        """Remove the parts but those with these ids."""
        self.vectors.drop(r"\d{8,19}" + re.escape(parts.SUFFIX), set(map(parts.name_of, keep)))

    def drop_unfinished_index(self) -> None:
        """Remove what a killed `create` may have left; without index.json and parts it is no index."""
        self.place.drop(re.escape(_CLASSIFIER))
        LocalPlace(self.path).drop(r"catalog\.sqlite(-wal|-shm|-journal)?")

    def rename_refinement(self) -> None:
        """Give the whitening the name that it has since tables 0003."""
        for path in self.path.glob("refinement-*.npz"):
            if not path.is_symlink():
                path.rename(path.with_name(path.name.replace("refinement-", "whitening-")))

    def check_plain(self) -> None:
        """Raises IndexDamagedError for a link in the index: it leads a writer to files that are not the index's."""
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink() or _is_another_name(entry):
                        raise IndexDamagedError(
                            f"{shown(entry.path)} is a link, through which a file outside the index would be written: "
                            "if you made it, put the file or folder itself there; if this index came from somebody "
                            "else, do not use it."
                        )

    # index.json

    def read_identity(self) -> Identity:
        """What index.json says. Raises the error that tells why this is not an index that can be opened."""
        self.place.here(self.identity.name)
        try:
            if self.identity.is_symlink() or self.identity.stat().st_size > _LARGEST_IDENTITY:
                raise self._damaged("is not what birdsearch wrote")
            text = self.identity.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            if self.address.catalog or self._holds_parts():
                raise self._damaged("is missing") from None
            raise IndexMissingError(missing_words(self.path)) from None
        except OSError as error:
            raise IndexMissingError(f"cannot read {shown(str(self.identity))}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise self._damaged("is not text") from error
        try:
            stored = json.loads(text)
            version = stored["format"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._damaged("is not what birdsearch wrote") from error
        if isinstance(version, int) and version > FORMAT:
            raise IndexVersionError(
                f"the index {self.where} has format {version}, this birdsearch reads up to {FORMAT}: "
                "upgrade birdsearch (`pip install --upgrade birdsearch`)."
            )
        try:
            return identity_of(stored)
        except ValueError as error:
            raise self._damaged(f"is not what birdsearch wrote ({error})") from error

    def write_identity(self, identity: Identity) -> None:
        """Replace index.json atomically."""
        text = json.dumps(as_json(identity), indent=2, ensure_ascii=False)
        parts.write_durably(self.identity, text.encode() + b"\n")
        self.place.publish(self.identity.name)

    def _damaged(self, why: str) -> IndexDamagedError:
        return IndexDamagedError(
            f"{self.place.where(self.identity.name)} {why}: run `birdsearch repair --index {shlex.quote(self.where)}`."
        )

    def _holds_parts(self) -> bool:
        return self.catalog.exists() and any(name.endswith(parts.SUFFIX) for name in self.vectors.names())

    def bytes(self) -> int:
        """How much disk the index takes."""
        return self.place.bytes()

    def changed(self) -> str | None:
        """When the catalog was last written, in local time; None where it is not there."""
        files = [path for name in _WRITTEN_IN_PLACE[1:3] if (path := self.path / name).exists()]
        latest = max((path.stat().st_mtime for path in files), default=None)
        return None if latest is None else datetime.fromtimestamp(latest).isoformat(timespec="seconds")

    def check_free(self) -> None:
        """Raises IndexExistsError unless a new index may be made here."""
        if self.place.here(self.identity.name).exists():
            other = "parts=" if self.address.catalog else "name"
            raise IndexExistsError(
                f"there is an index at {shown(self.address.parts)} already: open it, or choose another {other}."
            )
        deepest = next(p for p in (self.path, *self.path.parents) if p.exists())
        if not deepest.is_dir():
            raise IndexExistsError(f"{shown(str(deepest))} is a file: choose another place for the index.")
        if deepest != self.path:
            return
        if self._holds_parts():
            raise self._damaged("is missing")  # a new index would mix its vectors with what lies here
        foreign = sorted(p.name for p in self.path.iterdir() if not _is_ours(p.name))
        foreign += sorted(name for name in self.place.names() if not _is_ours(name))
        if foreign:
            raise IndexExistsError(
                f"{shown(self.address.parts)} holds other files ({shown(foreign[0])}): "
                "choose a new or empty folder for the index."
            )

    # classifier.npz

    def write_classes(self, classes: Classes) -> None:
        """Keep the class names and, where there is one, the linear classifier; or the projection."""
        parts.write_durably(self.classifier, classes.as_npz())
        self.place.publish(_CLASSIFIER)

    def read_classes(self, identity: Identity) -> Classes | None:
        """The last layer that the index was made with; None where its backbone has neither classes nor a projection."""
        if identity.classifier_sha256 is None:
            return None
        self.place.here(_CLASSIFIER, identity.classifier_sha256)
        if (problem := file_problem(self.classifier, identity.classifier_sha256)) is not None:
            raise IndexDamagedError(f"{self.place.told(problem)}: run `birdsearch repair`.")
        try:
            classes = Classes.read(self.classifier)
            layer = classes.classifier or classes.projection
            if layer and layer.weights.shape[1] != identity.backbone.dim:
                raise ValueError(f"it is for vectors of {layer.weights.shape[1]} numbers")
            return classes
        except ValueError as error:
            raise IndexDamagedError(
                f"{self.place.where(_CLASSIFIER)} cannot be read ({error}): run `birdsearch repair`."
            ) from error

    # Writing

    @cached_property
    def lock(self) -> WriterLock:
        """What keeps other writers away: of the folder, or where the catalog lies in a database, of that."""
        if self.address.catalog:
            from birdsearch.storage.catalog.postgresql_database import AdvisoryLock

            return AdvisoryLock(self.address, self._lock_timeout)
        return FolderLock(self.path, self._lock_timeout)

    def lock_of(self, run: str) -> WriterLock:
        """What keeps other processes from a run on a cluster, by its name; kept where `lock` is."""
        if self.address.catalog:
            from birdsearch.storage.catalog.postgresql_database import AdvisoryLock

            return AdvisoryLock(self.address, 0, run)
        return FolderLock(self.path / run, 0)

    @contextmanager
    def writing(self, *, shared: bool = False) -> Iterator[bool]:
        """Be a writer of this index while the block lasts: the only one, unless `shared` and its lock allow others.

        Gives whether there is no other one. Other threads of this process wait for their turn in any case.
        """
        with _turn_of_thread(self.path), writable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self.place.make()
            self.check_plain()
            self.vectors.make()
            with self.lock.held(shared=shared) as alone:
                if alone:
                    self._tidy()
                yield alone

    def _tidy(self) -> None:
        """Remove what a killed writer left half done."""
        for folder in (self.place.path, self.vectors.path):
            LocalPlace(folder).drop(_HALF_DONE)


def _turn_of_thread(folder: Path) -> threading.RLock:
    """What one thread of this process holds while it writes; one that holds it already meets the lock of the folder."""
    return _turns.setdefault(os.path.realpath(folder), threading.RLock())


def _is_another_name(entry: os.DirEntry[str]) -> bool:
    """Whether a file that is written in place is also known by another name, which would change with it."""
    in_place = entry.name in _WRITTEN_IN_PLACE or entry.name.endswith(".jsonl")
    return in_place and entry.is_file() and entry.stat().st_nlink > 1
