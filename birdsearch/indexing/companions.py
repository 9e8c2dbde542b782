"""Which files of a run go with which photos: a RAW with its JPEG, sidecars, movies and sounds."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from birdsearch import objects
from birdsearch.errors import PhotoError
from birdsearch.files import FileState, PathSet, is_url, sha256_of, shard_of
from birdsearch.indexing.detector import ChangeDetector
from birdsearch.photos import pairs
from birdsearch.photos.filetype import IMAGE_SUFFIXES, has_raw_name
from birdsearch.photos.scan import FoundFile
from birdsearch.photos.sidecars import RAW, FolderListing, beside_photos, companion_kind, names_in
from birdsearch.records import PAIR, Photo
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.companion_rows import Companion

_home = lru_cache(1024)(beside_photos)  # by folder
_PLAIN = frozenset(map(os.fsencode, IMAGE_SUFFIXES))


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the files of a run that are no photos, and what the catalog is to know of those that have some."""

    paired: int
    ignored: tuple[tuple[bytes, str], ...]  # path, and why it is no photo
    unknown: tuple[FoundFile, ...]  # whose photo has gone: nobody has looked yet at what they are
    rows: dict[int, list[Companion]]  # photo -> all its companions, where they are others than before
    heirs: dict[int, int]  # photo whose RAW is a photo now -> that one


@dataclass(slots=True)
class Companions:
    """Collects the files of a run that may go with photos, and finds theirs when those are committed.

    Names say what may belong together, and for a RAW also the camera and the time. What a file is its content decides:
    a photo is nobody's sidecar, whatever its name. What lies in a store is known by the listing of the run alone.
    """

    catalog: Catalog
    detector: ChangeDetector
    raw: str  # of RAW_CHOICES
    folders: Sequence[bytes]  # that are indexed
    _named: set[str] = field(default_factory=set)  # folders of files named by themselves: others lie there too
    _stored: dict[bytes, list[Companion]] = field(default_factory=lambda: defaultdict(list))  # by path
    _files: dict[str, dict[str, FoundFile]] = field(default_factory=lambda: defaultdict(dict))  # home -> name -> file
    _beside: dict[str, dict[str, FileState]] = field(default_factory=lambda: defaultdict(dict))  # named objects
    _waiting: dict[bytes, FoundFile] = field(default_factory=dict)  # RAW files that may have a JPEG, known sidecars
    _no_photos: dict[bytes, str] = field(default_factory=dict)  # path -> why
    _fronts: dict[bytes, bytes] = field(default_factory=dict)  # RAW -> its JPEG or HEIC
    _away: PathSet = field(default_factory=lambda: PathSet(()))  # of which nobody knows what is there

    def __post_init__(self) -> None:
        self._named = {_place(path)[0] for path in self.folders if not (os.path.isdir(path) or is_url(path))}
        for one in self.catalog.companions_under(self.folders):
            self._stored[one.path].append(one)

    # While files are found and read

    def waits(self, file: FoundFile) -> bool:
        """Whether it is seen later what a file is; all files of a scan have to be shown here."""
        if is_url(file.path) and file.path in self.folders:
            self._look_beside(file.path)
        if os.path.splitext(file.path)[1].lower() in _PLAIN:
            return False
        home, name = _place(file.path)
        kind = companion_kind(name)
        if kind is None or (kind == RAW and self.raw != PAIR):
            return False
        self._files[home][name] = file
        if kind == RAW or (self._is_known(file) and self.detector.photo_id(file.path) is None):
            self._waiting[file.path] = file
            return True
        return False

    def _look_beside(self, path: bytes) -> None:
        """Note what a store lists that begins with the stem of an object which was named by itself."""
        home, name = _place(path)
        stem = os.path.splitext(name)[0]
        self._named.add(home)
        with suppress(OSError):  # who may read an object may not list its folder
            for one in () if shard_of(path) else objects.listed(home, stem):
                other = one.url[len(home) + 1 :]
                if not other.startswith(stem):
                    break
                if "/" not in other:
                    self._beside[home][other] = one.state

    def alone(self) -> list[FoundFile]:
        """When all files were seen: those RAW files that have no picture of their name beside them.

        Of a store that is told when its photos are committed: names of pictures are not kept.
        """
        without: list[FoundFile] = []
        for home, files in self._files.items():
            raws = [file for name, file in files.items() if has_raw_name(name) and not is_url(home)]
            stems = pairs.front_stems(self._names(home)) if raws else set()
            without += [file for file in raws if pairs.stem(file.path) not in stems]
        return self._no_longer_waiting(without)

    def takes(self, path: bytes, reason: str) -> bool:
        """Whether a file that is no photo may go with one: it is counted later."""
        home, name = _place(path)
        if name not in self._files.get(home, {}):
            return False
        self._no_photos[path] = reason
        return True

    # When the photos are committed

    def pair(self, left_out: PathSet, unreachable: Sequence[bytes]) -> tuple[dict[int, int], list[FoundFile]]:
        """Find the JPEG of each RAW, where the photos of all other files are committed.

        Returns the photos that are companions from now on (id -> photo that they go with), and the RAW files without.
        """
        self._away = PathSet(unreachable)
        for home in self._homes_of_raws() if self.raw == PAIR else ():
            names = self._names(home)
            raws = [os.fsencode(os.path.join(home, name)) for name in names if has_raw_name(name)]
            seen = self._files.get(home, {}).values()
            judged = {file.path for file in seen if file.path not in self._waiting}
            if raws := [path for path in raws if path not in judged and path not in left_out]:
                self._fronts |= self._pairs_in(home, names, raws)
        known = self.catalog.ids_at(list(self._fronts))
        for photo_id in known.values():
            self.detector.mark_photo_found(photo_id)
        fronts = self.catalog.ids_at(list(self._fronts.values()))
        known |= self._moved([path for path in self._fronts if path in self._waiting and path not in known])
        heirs = {photo_id: fronts[self._fronts[path]] for path, photo_id in known.items()}
        without = [file for path, file in self._waiting.items() if has_raw_name(path) and path not in self._fronts]
        return heirs, self._no_longer_waiting(without)

    def _moved(self, raws: Sequence[bytes]) -> dict[bytes, int]:
        """Those of some RAW files that were photos, in another place where they are no more: path -> id."""
        new = [path for path in raws if path not in self._stored and not is_url(path)]  # objects are not followed
        photos = self.catalog.photos_under(self.folders) if new else ()
        away = {
            photo.path: photo.id
            for photo in photos
            if has_raw_name(photo.path) and not is_url(photo.path) and not os.path.lexists(photo.path)
        }
        sizes: dict[int | None, list[int]] = defaultdict(list)
        for path, file in self.catalog.files_at(list(away)).items():
            sizes[file.state.size].append(away[path])
        moved = {}
        for path in new:
            for photo_id in sizes.get(self._waiting[path].state.size, ()):
                with suppress(OSError):
                    if photo_id in self.catalog.ids_with_bytes([sha := sha256_of(os.fsdecode(path))]).get(sha, ()):
                        self.detector.mark_photo_found(photo_id)
                        moved[path] = photo_id
        return moved

    def _pairs_in(self, home: str, names: Sequence[str], raws: Sequence[bytes]) -> dict[bytes, bytes]:
        """RAW -> the photo that it goes with, of the pictures of a folder."""
        by_stem: dict[str, list[bytes]] = defaultdict(list)
        for path in raws:
            by_stem[pairs.stem(path)].append(path)
        named = [name for name in names if _is_picture(name) and pairs.stem(name) in by_stem]
        ids = self.catalog.ids_at([os.fsencode(os.path.join(home, name)) for name in named], visible=True)
        fronts: dict[str, list[Photo]] = defaultdict(list)
        for photo in self.catalog.known_photos(ids.values()).values():
            fronts[pairs.stem(photo.path)].append(photo)
        found = {}
        for stem, beside in fronts.items():
            group = by_stem[stem]
            if len(beside) == len(group) == 1 and self._is_still(group[0], beside[0]):
                found[group[0]] = os.fsencode(beside[0].path)
            else:
                made = pairs.pairs([*beside, *map(_written, group)])
                found |= {os.fsencode(raw): os.fsencode(front) for raw, front in made.items()}
        return found

    def _is_still(self, raw: bytes, front: Photo) -> bool:
        """Whether two files were a pair before and neither has changed."""
        if (
            front.id is None
            or self.detector.was_read(front.id)
            or all(one.photo_id != front.id for one in self._stored.get(raw, ()))
        ):
            return False
        if raw in self._waiting:
            return self._is_known(self._waiting[raw])
        state = self._seen(*_place(raw), raw)
        return state is not None and self._is_known(FoundFile(raw, state))

    def _no_longer_waiting(self, files: list[FoundFile]) -> list[FoundFile]:
        for file in files:
            del self._waiting[file.path]
        return files

    def _is_known(self, file: FoundFile) -> bool:
        """Whether a file was a companion in this state."""
        return any((one.size, one.mtime_ns) == _stamp(file.state) for one in self._stored.get(file.path, ()))

    def settle(self, left_out: PathSet, unreachable: Sequence[bytes]) -> Settled:
        """What goes with which photo, where all photos of the run are committed."""
        new: dict[tuple[int, bytes], Companion] = {}
        photos: set[int] = set()
        for home in self._homes(unreachable):
            ids, found = self._in_folder(home, left_out)
            photos |= set(ids.values())
            new |= {(one.photo_id, one.path): one for one in found}
        stored = [*chain(*self.catalog.companions(photos).values())]
        stored += [one for one in chain(*self._stored.values()) if one.photo_id not in photos]
        away = PathSet(unreachable)
        old = {(one.photo_id, one.path): one for one in stored}
        gone = {key for key in old if key not in new and key[1] not in away}
        changed = {photo_id for photo_id, _ in gone} | {one.photo_id for key, one in new.items() if old.get(key) != one}
        rows: dict[int, list[Companion]] = {photo_id: [] for photo_id in changed}
        for key, one in (old | new).items():
            if one.photo_id in rows and key not in gone:
                rows[one.photo_id].append(one)
        now = self.catalog.ids_at([path for _, path in gone], visible=True)
        paired = {path for _, path in new}
        return Settled(
            paired=sum(file.path in paired for files in self._files.values() for file in files.values()),
            ignored=tuple((path, reason) for path, reason in self._no_photos.items() if path not in paired),
            unknown=tuple(file for path, file in self._waiting.items() if path not in paired),
            rows=rows,
            heirs={photo_id: now[path] for photo_id, path in gone if path in now},
        )

    def _homes(self, unreachable: Sequence[bytes]) -> set[str]:
        """The folders whose photos are to be looked at: of files that may go with them, or did, or were named."""
        away = PathSet(unreachable)
        folders = {os.path.dirname(path) for path in self._stored}
        return {
            *self._files,
            *self._named,
            *(_home(os.fsdecode(folder))[0] for folder in folders if folder not in away),
        }

    def _homes_of_raws(self) -> set[str]:
        return {*self._named, *(home for home, files in self._files.items() if any(map(has_raw_name, files)))}

    def _in_folder(self, home: str, left_out: PathSet) -> tuple[dict[bytes, int], list[Companion]]:
        """The photos of a folder, and what goes with them."""
        paths = {name: os.fsencode(os.path.join(home, name)) for name in self._names(home)}
        ids = self.catalog.ids_at(list(paths.values()), visible=True)
        listing = FolderListing(paths, {name for name, path in paths.items() if path in ids})
        owners = {name: [paths[owner] for owner in belongs] for name, belongs in listing.owners.items()}
        owners |= {name: [path] for name, path in paths.items() if path in self._fronts}
        found = []
        for name, belongs in owners.items():
            path = paths[name]
            if path in ids or path in left_out or (state := self._state(home, name, path)) is None:
                continue
            its = {ids[front] for owner in belongs if (front := self._fronts.get(owner, owner)) in ids}
            found += [Companion(path, photo_id, companion_kind(name) or "", *_stamp(state)) for photo_id in its]
        return ids, found

    def _state(self, home: str, name: str, path: bytes) -> FileState | None:
        """The state of a file that may be a companion; None where it is something else, or gone."""
        file = self._files[home].get(name) if home in self._files else None
        if file is not None:
            return file.state if path in self._no_photos or path in self._waiting else None
        return self._seen(home, name, path)

    def _seen(self, home: str, name: str, path: bytes) -> FileState | None:
        """The state of a file beside a photo that was named by itself; None where it is gone."""
        if is_url(path):
            return self._beside[home].get(name) if home in self._beside else None
        with suppress(OSError):
            return FileState.of(os.stat(path))
        return None

    def _names(self, home: str) -> list[str]:
        """The files that may go with photos of a folder, and these; none is hidden."""
        if not is_url(home):
            return [name for name in names_in(home) if not name.startswith(".")]
        named = [*self._files.get(home, ()), *self._beside.get(home, ()), *self._photos_in(home)]
        return list(dict.fromkeys(named))

    def _photos_in(self, home: str) -> Iterator[str]:
        """The photos right below a prefix of a store that this run has found, or has not looked for to the end."""
        for photo in self.catalog.photos_under([os.fsencode(home)]):
            folder, name = os.path.split(os.fsdecode(photo.path))
            if folder == home and (self.detector.is_there(photo.id) or photo.path in self._away):
                yield name


def _place(path: bytes) -> tuple[str, str]:
    """The folder of the photos that a file may go with, and what the file is called from there."""
    folder, name = os.path.split(os.fsdecode(path))
    home, within = _home(folder)
    return home, os.path.join(within, name)


def _stamp(state: FileState) -> tuple[int, int]:
    """Size and time stamp as they are kept of a companion; of an object a number made from its ETag."""
    if not state.etag:
        return state.size or 0, state.mtime_ns or 0
    return state.size or 0, int.from_bytes(hashlib.sha256(state.etag.encode()).digest()[:7], "big")


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _written(path: bytes) -> Photo:
    """What is written in a RAW file; nothing where it cannot be read."""
    with suppress(PhotoError, OSError):
        return pairs.written(os.fsdecode(path))
    return Photo(None, os.fsdecode(path))
