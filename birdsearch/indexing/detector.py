"""ChangeDetector: what each file of a scan is against the catalog, by its state, then by content."""

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from birdsearch import objects
from birdsearch.arrays import IdSet
from birdsearch.files import FileState, PathSet, above, is_url
from birdsearch.indexing.listing import Listed
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Failure, Photo
from birdsearch.storage.catalog.catalog import Catalog, KnownFile

TOGETHER = 1000  # files that the catalog is asked for at a time
_KEPT = 16 * TOGETHER  # answers that are kept: more than there are files between a first look and a commit
_CONTENTS = 16_384  # that this run brought, and are kept: more than wait for their commit or are decoded before it


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A photo of the index whose file has the same content as before."""

    photo_id: int
    was_missing: bool = False
    damaged: str | None = None
    state: FileState | None = None  # to be stored, where less was known of the file before


@dataclass(frozen=True, slots=True)
class Moved:
    """A photo of the index whose file lies at another path now."""

    photo_id: int
    old_path: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """The photos of the index whose file was not found."""

    ids: IdSet
    left_out: int  # of them, those that were visible and lie where files are left out now


@dataclass(frozen=True, slots=True)
class _Holders:
    """The photos of one content that the index held when it was first needed: id -> path."""

    all: dict[int, bytes]
    gone: dict[int, bytes]  # those whose file is not there any more


@dataclass(slots=True)
class ChangeDetector:
    """Compares files with what the catalog knows of them, and remembers which of its photos and failures it met.

    A photo takes a bit of memory: the catalog is asked for the files of a scan many at a time, and once for the rest.
    """

    catalog: Catalog
    folders: Sequence[bytes]  # that are looked through
    _newest: int  # photo when the run began: later ones came with it
    moves_objects: bool = False  # whether objects are followed as files are, with a request for each old place
    _known: dict[bytes, KnownFile | None] = field(default_factory=dict)  # of the files that were asked for last
    _contents: dict[str, None] = field(default_factory=dict)  # sha256 that came last with this run
    _found: IdSet = field(default_factory=IdSet)  # photos whose file was found, here or moved
    _read: IdSet = field(default_factory=IdSet)  # photos whose file is read in this run
    _moved: IdSet = field(default_factory=IdSet)
    _failed_again: set[bytes] = field(default_factory=set)  # paths that failed before and were found again
    _holders: dict[str, _Holders] = field(default_factory=dict)  # by sha256

    @classmethod
    def of(cls, catalog: Catalog, folders: Sequence[bytes]) -> "ChangeDetector":
        """A detector for the files under some folders."""
        return cls(catalog, folders, catalog.newest_photo())

    # One file

    def look_up(self, paths: Sequence[bytes]) -> None:
        """Ask the catalog for files, all at once: questions for each of them need no more of it."""
        known = self.catalog.files_at(paths)
        for path in paths:
            self._keep(path, known.get(path))

    def _keep(self, path: bytes, known: KnownFile | None) -> None:
        self._known.pop(path, None)  # so that it is the last one
        self._known[path] = known
        if len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]

    def listed(self, files: Iterable[FoundFile]) -> list[Listed]:
        """These files with what is known of them, as it is to hold for the rest of the run."""
        return [Listed(file, self.known(file.path)) for file in files]

    def recalled(self, listing: Iterable[Listed]) -> Iterator[FoundFile]:
        """The files of a listing, one after the other; of each is known again what was known of it then."""
        for one in listing:
            self._keep(one.file.path, one.known)
            yield one.file

    def known(self, path: bytes) -> KnownFile | None:
        """What the catalog knows of a file; None where it knows nothing."""
        try:
            return self._known[path]
        except KeyError:
            return self.catalog.files_at([path]).get(path)

    def by_state(self, file: FoundFile) -> Unchanged | Failure | None:
        """What a file is without a look inside: a photo, the failure of an earlier run, or (None) to be read."""
        known = self.known(file.path)
        if known is None or not file.state.is_same(known.state):
            return None
        self.mark_found(file.path)
        if known.failure is not None:
            self._failed_again.add(file.path)
            return known.failure
        assert known.photo_id is not None  # a known file is a photo or a failure
        more = file.state if known.state.ctime_ns is None and file.state.ctime_ns is not None else None
        return Unchanged(known.photo_id, known.missing, known.damaged, more)

    def photo_id(self, path: bytes) -> int | None:
        """The photo that the catalog has at a path."""
        known = self.known(path)
        return None if known is None else known.photo_id

    def had_failed(self, path: bytes) -> bool:
        """Whether the file of a path could not be indexed before."""
        known = self.known(path)
        return known is not None and known.failure is not None

    def mark_found(self, path: bytes, *, failed: bool = False) -> None:
        """Remember that the file of a path was found, so that its photo is not missing."""
        if (photo_id := self.photo_id(path)) is not None:
            self._found.add(photo_id)
        if failed:
            self._failed_again.add(path)

    def mark_photo_found(self, photo_id: int) -> None:
        """The same of a photo."""
        self._found.add(photo_id)

    def is_there(self, photo_id: int) -> bool:
        """Whether the file of a photo was found in this run, or the photo came with it."""
        return photo_id in self._found or photo_id > self._newest

    def mark_read(self, path: bytes) -> None:
        """Remember that the file of a path is read in this run."""
        if (photo_id := self.photo_id(path)) is not None:
            self._read.add(photo_id)

    def was_read(self, photo_id: int) -> bool:
        """Whether the file of a photo that the catalog knew before is read in this run."""
        return photo_id in self._read

    # Content

    def is_known(self, sha256: str) -> bool:
        """Whether a photo of the index or of this run has this content and a vector."""
        return self.has_come(sha256) or self.catalog.has_bytes(sha256)

    def has_come(self, sha256: str) -> bool:
        """Whether a photo of this run has this content, as far as the catalog was asked before it had it."""
        return sha256 in self._contents

    def add_content(self, sha256: str) -> None:
        """Count a content as known from now on."""
        self._contents[sha256] = None
        if len(self._contents) > _CONTENTS:
            del self._contents[next(iter(self._contents))]

    def drop_content(self, sha256: str) -> None:
        """Count a content as new: the photo that had it could not be embedded, or shows something else now."""
        self._contents.pop(sha256, None)

    def by_content(self, photo: Photo) -> Unchanged | Moved | None:
        """What a file of known content is: the same file touched, a file that moved, or (None) another copy."""
        assert photo.sha256 is not None  # set by scan.read
        holders, path = self._holders_of(photo.sha256), os.fsencode(photo.path)
        if (known := self.known(path)) is not None and known.photo_id is not None:
            return Unchanged(known.photo_id, damaged=known.damaged) if known.photo_id in holders.all else None
        follows = self.moves_objects or not is_url(photo.path)
        for photo_id, old_path in holders.gone.items() if follows else ():
            if photo_id not in self._moved:
                for ids in (self._moved, self._found, self._read):
                    ids.add(photo_id)
                return Moved(photo_id, old_path)
        return None

    def _holders_of(self, sha256: str) -> _Holders:
        if sha256 not in self._holders:
            same = self.catalog.paths_with_bytes(sha256)
            embedded = self.catalog.locations(same)  # a photo may have come back that could not be embedded anew
            same = {photo_id: path for photo_id, path in same.items() if photo_id in embedded}
            if len(self._holders) >= _KEPT:
                self._holders.clear()
            gone = {photo_id: path for photo_id, path in same.items() if self._is_gone(path)}
            self._holders[sha256] = _Holders(same, gone)
        return self._holders[sha256]

    def _is_gone(self, path: bytes) -> bool:
        """Whether nothing lies at a path any more; asked of a store only where the user wants that."""
        if not is_url(path):
            return not os.path.lexists(path)
        try:
            return self.moves_objects and objects.state_of(os.fsdecode(path)) is None
        except OSError:
            return False

    # What was not met

    def missing(self, unreachable: Sequence[bytes], left_out: Sequence[bytes] = ()) -> Missing:
        """Photos whose file was not found; nothing is known of what lies below an unreachable folder."""
        ids, hidden, away, without = IdSet(), 0, PathSet(unreachable), PathSet(left_out)
        for photo_id, path, visible in self._photos():
            if photo_id not in self._found:
                hidden += visible and path in without
                if path not in away:
                    ids.add(photo_id)
        return Missing(ids, hidden)

    def photos_under(self, folders: Sequence[bytes], among: Container[int] | None = None) -> Counter[bytes]:
        """How many photos of the index (among these) lie under each of some folders."""
        named, counts = set(folders), Counter[bytes]()
        for photo_id, path, _ in self._photos():
            if among is None or photo_id in among:
                while path != (folder := above(path)):
                    path = folder
                    counts.update({path} & named)
        return counts

    def _photos(self) -> Iterator[tuple[int, bytes, bool]]:
        """Those that the index held when the run began: id, path, and whether it is visible."""
        photos = self.catalog.photos_under(self.folders)
        return ((photo.id, photo.path, not photo.missing) for photo in photos if photo.id <= self._newest)

    def resolved_failures(self, unreachable: Sequence[bytes]) -> list[str]:
        """Paths of failures whose file is not there any more."""
        below, away = PathSet(self.folders), PathSet(unreachable)
        failed = ((os.fsencode(failure.path), failure.path) for failure in self.catalog.failures())
        return [name for path, name in failed if path not in self._failed_again and path in below and path not in away]
