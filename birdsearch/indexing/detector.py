"""ChangeDetector: what each file of a scan is against the catalog, by its state, then by content."""

import os
from collections import Counter, deque
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from birdsearch import objects
from birdsearch.files import FileState, PathSet, above, is_url
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Failure, Photo
from birdsearch.storage.catalog.catalog import Catalog, KnownFile, sha256_prefix


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


@dataclass(slots=True)
class _Holders:
    """The photos of one content that the index holds."""

    ids: set[int]
    gone: deque[tuple[int, bytes]]  # id and path of those whose file is not there any more


@dataclass(slots=True)
class ChangeDetector:
    """Compares files with what the catalog knows of them, and remembers which of its photos and failures it met."""

    catalog: Catalog
    known: dict[bytes, KnownFile]  # every file under the named folders that the catalog knows
    moves_objects: bool = False  # whether objects are followed as files are, with a request for each old place
    _sha256_prefixes: set[int] = field(default_factory=set)  # of all content that is known
    _found_ids: set[int] = field(default_factory=set)  # of photos whose file was found, here or moved
    _failed_again: set[bytes] = field(default_factory=set)  # paths that failed before and were found again
    _holders: dict[str, _Holders] = field(default_factory=dict)  # sha256 -> who held this content when first needed

    @classmethod
    def of(cls, catalog: Catalog, folders: Sequence[bytes]) -> "ChangeDetector":
        """A detector for the files under some folders."""
        return cls(catalog, catalog.known_files(folders))

    def by_state(self, file: FoundFile) -> Unchanged | Failure | None:
        """What a file is without a look inside: a photo, the failure of an earlier run, or (None) to be read."""
        known = self.known.get(file.path)
        if known is None or not file.state.is_same(known.state):
            return None
        self.mark_found(file.path)
        if known.failure is not None:
            self._failed_again.add(file.path)
            return known.failure
        assert known.photo_id is not None  # a known file is a photo or a failure
        more = file.state if known.state.ctime_ns is None and file.state.ctime_ns is not None else None
        return Unchanged(known.photo_id, known.missing, known.damaged, more)

    def read_contents(self) -> None:
        """Read which contents the catalog knows; needed before `is_known`, and costly for a run without new files."""
        self._sha256_prefixes = self.catalog.sha256_prefixes()

    def is_known(self, sha256: str) -> bool:
        """Whether a photo may have this content already; now and then a new content looks known."""
        return sha256_prefix(sha256) in self._sha256_prefixes

    def add_content(self, sha256: str) -> None:
        """Count a content as known from now on."""
        self._sha256_prefixes.add(sha256_prefix(sha256))

    def drop_content(self, sha256: str) -> None:
        """Count a content as new: the photo that had it could not be embedded, or shows something else now."""
        self._sha256_prefixes.discard(sha256_prefix(sha256))

    def by_content(self, photo: Photo) -> Unchanged | Moved | None:
        """What a file of known content is: the same file touched, a file that moved, or (None) another copy."""
        assert photo.sha256 is not None  # set by scan.read
        holders = self._holders.get(photo.sha256)
        if holders is None:
            same = self.catalog.paths_with_bytes(photo.sha256)
            embedded = self.catalog.locations(same)  # a photo may have come back that could not be embedded anew
            same = {photo_id: path for photo_id, path in same.items() if photo_id in embedded}
            gone = deque((photo_id, path) for photo_id, path in same.items() if self._is_gone(path))
            holders = self._holders[photo.sha256] = _Holders(set(same), gone)
        photo_id = self.photo_id(os.fsencode(photo.path))
        if photo_id is not None:
            damaged = self.known[os.fsencode(photo.path)].damaged
            return Unchanged(photo_id, damaged=damaged) if photo_id in holders.ids else None
        if not holders.gone or (is_url(photo.path) and not self.moves_objects):
            return None
        moved = Moved(*holders.gone.popleft())
        self._found_ids.add(moved.photo_id)
        return moved

    def _is_gone(self, path: bytes) -> bool:
        """Whether nothing lies at a path any more; asked of a store only where the user wants that."""
        if not is_url(path):
            return not os.path.lexists(path)
        try:
            return self.moves_objects and objects.state_of(os.fsdecode(path)) is None
        except OSError:
            return False

    def mark_found(self, path: bytes, *, failed: bool = False) -> None:
        """Remember that the file of a path was found, so that its photo is not missing."""
        if (photo_id := self.photo_id(path)) is not None:
            self._found_ids.add(photo_id)
        if failed:
            self._failed_again.add(path)

    def photo_id(self, path: bytes) -> int | None:
        """The photo that the catalog has at a path."""
        known = self.known.get(path)
        return None if known is None else known.photo_id

    def had_failed(self, path: bytes) -> bool:
        """Whether the file of a path could not be indexed before."""
        known = self.known.get(path)
        return known is not None and known.failure is not None

    def missing(self, unreachable: Sequence[bytes]) -> list[int]:
        """Photos whose file was not found; nothing is known of what lies below an unreachable folder."""
        gone = (known.photo_id for _, known in self._reachable(unreachable))
        return [photo_id for photo_id in gone if photo_id is not None and photo_id not in self._found_ids]

    def newly_left_out(self, left_out: Sequence[bytes]) -> int:
        """How many photos of the index that are not hidden yet lie where files are left out now."""
        below = PathSet(left_out)
        visible = (path for path, known in self.known.items() if known.photo_id is not None and not known.missing)
        return sum(path in below for path in visible)

    def photos_under(self, folders: Sequence[bytes], among: Container[int] | None = None) -> Counter[bytes]:
        """How many photos of the index (among these) lie under each of some folders."""
        named, counts = set(folders), Counter[bytes]()
        for path, known in self.known.items():
            if known.photo_id is not None and (among is None or known.photo_id in among):
                while path != (folder := above(path)):
                    path = folder
                    counts.update({path} & named)
        return counts

    def resolved_failures(self, unreachable: Sequence[bytes]) -> list[str]:
        """Paths of failures whose file is not there any more."""
        failed = [path for path, known in self._reachable(unreachable) if known.failure]
        return [os.fsdecode(path) for path in failed if path not in self._failed_again]

    def _reachable(self, unreachable: Sequence[bytes]) -> Iterator[tuple[bytes, KnownFile]]:
        below = PathSet(unreachable)
        return ((path, known) for path, known in self.known.items() if path not in below)
