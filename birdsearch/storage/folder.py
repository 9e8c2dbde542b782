"""The folder of an index: where everything lies, who may write, and index.json."""

import difflib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from birdsearch.backbones.classes import Classes
from birdsearch.errors import (
    IndexDamagedError,
    IndexExistsError,
    IndexLockedError,
    IndexMissingError,
    IndexUnwritableError,
    IndexVersionError,
)
from birdsearch.files import UNFINISHED
from birdsearch.records import BackboneIdentity, Identity, as_json, shown
from birdsearch.storage import parts

FORMAT = 1
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
_OURS = {"lock", "writer.json", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.sqlite-journal"}
_OURS |= {"classifier.npz", "vectors", "vectors.faiss", "index.json", "actions"}


def _is_ours(name: str) -> bool:
    return name.removesuffix(UNFINISHED) in _OURS or name.startswith(("engine-", "engine."))


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """What the disk refuses inside (no room, no permission) becomes an IndexUnwritableError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        where = shown(os.fsdecode(error.filename)) if error.filename else shown(str(path))
        raise IndexUnwritableError(
            f"cannot write {where}: {error.strerror}. What was committed is safe: "
            "make room or permission, then run the same command again."
        ) from error


def identity_of(stored: Mapping[str, Any]) -> Identity:
    """The identity in JSON; entries that this birdsearch does not know are passed over."""
    backbone = stored["backbone"]
    optional = {name: backbone.get(name) for name in ("weights_sha256", "preprocessing")}
    return Identity(
        format=int(stored["format"]),
        id=str(stored["id"]),
        backbone=BackboneIdentity(str(backbone["name"]), int(backbone["dim"]), **optional),
        created=str(stored["created"]),
        source=stored.get("source"),
        classifier_sha256=stored.get("classifier_sha256"),
        catalog=stored.get("catalog", "sqlite"),
    )


class Folder:
    """The files of one index."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        self.identity = self.path / "index.json"
        self.catalog = self.path / "catalog.sqlite"
        self.classifier = self.path / "classifier.npz"
        self.vectors = self.path / "vectors"
        self.writer = self.path / "writer.json"

    def whitening(self, sha256: str) -> Path:
        """The file of the whitening transform; a new one never overwrites one that readers may use."""
        return self.path / f"whitening-{sha256[:16]}.npz"

    def drop_whitenings(self, keep: str | None) -> None:
        """Remove the transforms but the one in use, of this sha256."""
        used = None if keep is None else self.whitening(keep)
        for path in self.path.glob("whitening-*.npz"):
            if path != used:
                path.unlink()

    # index.json

    def read_identity(self) -> Identity:
        """What index.json says. Raises the error that tells why this is not an index that can be opened."""
        try:
            text = self.identity.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing() from None
        except OSError as error:
            raise IndexMissingError(f"cannot read {shown(str(self.identity))}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise self._damaged("is not text") from error
        try:
            stored = json.loads(text)
            version = stored["format"]
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged("is not what birdsearch wrote") from error
        if not isinstance(version, int) or version > FORMAT:
            raise IndexVersionError(
                f"the index {shown(str(self.path))} has format {version}, this birdsearch reads up to {FORMAT}: "
                "upgrade birdsearch (`pip install --upgrade birdsearch`)."
            )
        try:
            return identity_of(stored)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged("lacks entries") from error

    def write_identity(self, identity: Identity) -> None:
        """Replace index.json atomically."""
        text = json.dumps(as_json(identity), indent=2, ensure_ascii=False)
        parts.write_durably(self.identity, text.encode() + b"\n")

    def _damaged(self, why: str) -> IndexDamagedError:
        return IndexDamagedError(
            f"{shown(str(self.identity))} {why}: run `birdsearch repair --index {shown(str(self.path))}`."
        )

    def _missing(self) -> IndexMissingError | IndexDamagedError:
        if self._holds_parts():
            return self._damaged("is missing")
        name = shown(str(self.path))
        folder = self.path.parent
        others = [p.name for p in folder.iterdir() if os.path.exists(p / "index.json")] if folder.is_dir() else []
        close = difflib.get_close_matches(self.path.name, others, n=1)
        hint = f"Did you mean {shown(str(folder / close[0]))}?" if close else "Make it with `birdsearch index PHOTOS`."
        return IndexMissingError(f"no index at {name}. {hint}")

    def _holds_parts(self) -> bool:
        return self.catalog.exists() and self.vectors.is_dir() and any(self.vectors.glob(f"*{parts.SUFFIX}"))

    def bytes(self) -> int:
        """How much disk the index takes."""
        total = 0
        for path in self.path.rglob("*"):
            with suppress(OSError):  # a writer at work renames and removes
                total += path.stat().st_size if path.is_file() else 0
        return total

    def check_free(self) -> None:
        """Raises IndexExistsError unless a new index may be made here."""
        if self.identity.exists():
            raise IndexExistsError(
                f"there is an index at {shown(str(self.path))} already: open it, or choose another name."
            )
        deepest = next(p for p in (self.path, *self.path.parents) if p.exists())
        if not deepest.is_dir():
            raise IndexExistsError(f"{shown(str(deepest))} is a file: choose another place for the index.")
        if deepest != self.path:
            return
        if self._holds_parts():
            raise self._damaged("is missing")  # a new index would mix its vectors with what lies here
        foreign = sorted(p.name for p in self.path.iterdir() if not _is_ours(p.name))
        if foreign:
            raise IndexExistsError(
                f"{shown(str(self.path))} holds other files ({shown(foreign[0])}): "
                "choose a new or empty folder for the index."
            )
        if isinstance(lost := self._missing(), IndexDamagedError):
            raise lost  # only index.json is gone

    # classifier.npz

    def write_classes(self, classes: Classes) -> None:
        """Keep the class names and, where there is one, the linear classifier."""
        parts.write_durably(self.classifier, classes.as_npz())

    def read_classes(self) -> Classes | None:
        """The classes that the index was made with; None where its backbone has none."""
        if not self.classifier.exists():
            return None
        try:
            return Classes.read(self.classifier)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise IndexDamagedError(
                f"{shown(str(self.classifier))} cannot be read ({error}): run `birdsearch repair`."
            ) from error

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer of this index, for as long as the block lasts."""
        import filelock

        with writable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock = filelock.FileLock(self.path / "lock").acquire(timeout=0)
            except filelock.Timeout as error:
                name = shown(str(self.path))
                raise IndexLockedError(
                    f"{name} is being written by {self._writer_text()}: wait until it is done."
                ) from error
            with lock:
                self.sign()
                try:
                    self._tidy()
                    yield
                finally:
                    with suppress(OSError):
                        self.writer.unlink()

    def sign(self) -> None:
        """Write into writer.json who writes, for those that find the index locked. Needs the lock."""
        writer = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        self.writer.write_text(json.dumps(writer), encoding="utf-8")

    def _writer_text(self) -> str:
        try:
            writer = json.loads(self.writer.read_text(encoding="utf-8"))
            return f"process {writer['pid']} on {writer['host']} since {writer['since']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def _tidy(self) -> None:
        """Remove what a killed writer left half done."""
        for path in [*self.path.glob(f"*{UNFINISHED}"), *self.vectors.glob(f"*{UNFINISHED}")]:
            if path.is_file():
                path.unlink()

    def unlisted(self, listed: set[int]) -> list[Path]:
        """Parts that the catalog does not list; what else lies among the parts is not ours."""
        files = {parts.file_of(self.vectors, part_id) for part_id in listed}
        present = self.vectors.glob(f"*{parts.SUFFIX}")
        return sorted(p for p in present if p not in files and p.stem.isdecimal())
