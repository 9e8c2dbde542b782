"""Which keywords and stars the files of photos lack, and which file of each they go into. Reads files, writes none."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from birdsearch.errors import os_error_text
from birdsearch.files import is_url, open_regular, sha256_of
from birdsearch.photos import sidecars, xmp
from birdsearch.photos.filetype import has_raw_name
from birdsearch.photos.sidecars import FolderListing
from birdsearch.records import TAG_FIELDS, TAG_PLACES, Filter, Photo, Progress, TagChange, TagPlan, blocks
from birdsearch.species import names
from birdsearch.storage.store import Store
from birdsearch.tags import exiftool, words
from birdsearch.tags.words import Words

BLOCK = 100  # files that one ExifTool reads
# Formats that ExifTool writes without touching what makes a photo of them; a camera's RAW is never written.
WRITTEN = ("JPEG", "TIFF", "PNG", "WEBP", "HEIF", "AVIF", "DNG")
LARGEST_SIDECAR = 50_000_000  # bytes
FLAT, PATHS, DIGIKAM, IPTC = "XMP-dc:Subject", "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList", "IPTC:Keywords"
RATING, OWNER = "XMP-xmp:Rating", "XMP-photoshop:SidecarForExtension"
DIGEST, DIGEST_NOW = "Photoshop:IPTCDigest", "File:CurrentIPTCDigest"
_STARS = (RATING, "IFD0:Rating", "IFD0:RatingPercent", "XMP-microsoft:RatingPercent")
_IPTC_LONGEST = 64  # bytes of a keyword

Tags = Mapping[str, Any]  # of ExifTool: "XMP-dc:Subject" -> a value, or a list of them
Added = dict[str, tuple[str, ...]]


class CannotBeWrittenError(Exception):
    """A file that gets no tags; the text says why."""


@dataclass(frozen=True, slots=True)
class TagOptions:
    """What is written, and where. Raises ValueError for a place or a field that there is not."""

    into: str = "auto"  # of TAG_PLACES
    fields: Sequence[str] = TAG_FIELDS
    predictions: bool = False

    def __post_init__(self) -> None:
        if self.into not in TAG_PLACES:
            raise ValueError(f"into must be one of {', '.join(TAG_PLACES)}, got {self.into!r}")
        for field in self.fields:
            if field not in TAG_FIELDS:
                raise ValueError(f"fields are {', '.join(TAG_FIELDS)}, got {field!r}")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the file of one photo should hold."""

    photo: Photo
    words: Words
    rating: int | None
    file: str = ""
    sha256: str | None = None  # of the file; None where there is none yet


def make(store: Store, where: Filter | None, options: TagOptions, progress: Progress) -> TagPlan:
    """What is to be written for the photos that satisfy the filter. Raises InstallationError without ExifTool."""
    exiftool.check_installed()
    with store.catalog.snapshot():
        ids, corrections = store.catalog.photo_ids(where), names.overrides(store.catalog)
        planner = _Planner(options, corrections)
        for block in blocks(len(ids), BLOCK):
            planner.take(store.catalog.photos(ids[block]))
            progress("tags", min(block.stop, len(ids)), len(ids), "")
    return planner.plan()


class _Planner:
    """One plan while it is made."""

    def __init__(self, options: TagOptions, corrections: Mapping[str, str]) -> None:
        self._options, self._corrections = options, corrections
        self._listing = cache(FolderListing.read)
        self._added: dict[str, Added] = {}  # file -> what it gets for photos that came before
        self._changes: list[TagChange] = []
        self._left_out: Counter[str] = Counter()
        self._skipped: list[tuple[str, str]] = []
        self._unsure: dict[str, None] = {}
        self._complete = 0

    def plan(self) -> TagPlan:
        """All of it."""
        counts = dict(self._left_out)
        return TagPlan(tuple(self._changes), self._complete, counts, tuple(self._skipped), tuple(self._unsure))

    def take(self, photos: Sequence[Photo]) -> None:
        """The next photos."""
        wishes: list[_Wish] = []
        for wish in self._wishes(photos):
            try:
                file = self._file(wish.photo)
                sha256 = _check_file(file, wish.photo) if os.path.lexists(file) else None
                wishes.append(replace(wish, file=file, sha256=sha256))
            except (CannotBeWrittenError, OSError) as error:
                self._skip(wish.photo, error)
        held = _read([wish.file for wish in wishes if wish.sha256 is not None])
        for wish in wishes:
            try:
                self._add(wish, held)
            except (CannotBeWrittenError, OSError) as error:
                self._skip(wish.photo, error)

    def _skip(self, photo: Photo, error: CannotBeWrittenError | OSError) -> None:
        self._skipped.append((photo.path, os_error_text(error) if isinstance(error, OSError) else str(error)))

    def _wishes(self, photos: Sequence[Photo]) -> Iterator[_Wish]:
        """What is known of each photo; one of which nothing is counted."""
        meanings = words.of_labels((photo.label for photo in photos if photo.label), self._corrections)
        for photo in photos:
            found, why = Words(), "no label"
            if "species" not in self._options.fields:
                why = "no rating"
            elif photo.label:
                found, why = meanings[photo.label] or Words(), "a label that names no bird"
                if found.flat and not found.sure:
                    self._unsure[photo.label] = None
            elif self._options.predictions and photo.species:
                found = words.of_prediction(photo.species)
            rating = photo.rating or None if "rating" in self._options.fields else None
            if found.path or rating:
                yield _Wish(photo, found, rating)
            else:
                self._left_out[why] += 1

    # Which file

    def _file(self, photo: Photo) -> str:
        if is_url(photo.path):
            raise CannotBeWrittenError("in a store of objects, where birdsearch writes nothing")
        if not exiftool.can_be_named(photo.path):
            raise CannotBeWrittenError("a line break in its name, which ExifTool cannot be given")
        if not os.path.lexists(photo.path):
            raise CannotBeWrittenError("no longer there: is its disk connected?")
        if self._options.into == "file":
            _check_picture(photo)
            return photo.path
        for sidecar in _own_sidecars(photo, self._listing(os.path.dirname(photo.path))):
            return sidecar
        owner = os.path.splitext(photo.path)[0] if has_raw_name(photo.path) else photo.path
        return f"{owner}.xmp"

    # What it lacks

    def _add(self, wish: _Wish, held: Mapping[str, Tags | None]) -> None:
        file, photo, sha256 = wish.file, wish.photo, wish.sha256
        tags = {} if sha256 is None else _checked_tags(held[file], is_sidecar=file != photo.path)
        tags = _with(tags, self._added.get(file, {}))
        added = missing(wish.words, wish.rating, tags)
        if sha256 is None and [*added] == [RATING] and file not in self._added and self._has_stars(photo):
            added = {}  # a sidecar that says no more than the photo itself
        if not added:
            self._complete += 1
            return
        if sha256 is None and file == f"{os.path.splitext(photo.path)[0]}.xmp" and file not in self._added:
            added[OWNER] = (os.path.splitext(photo.path)[1][1:],)
        self._added[file] = _with(self._added.get(file, {}), added)
        self._changes.append(TagChange(photo.id or 0, photo.path, file, added, sha256))

    def _has_stars(self, photo: Photo) -> bool:
        return _is_rated(_read([photo.path]).get(photo.path) or {})


def missing(found: Words, rating: int | None, tags: Tags) -> Added:
    """What a file with these tags lacks: tag -> values. What is there stays, a rating as well."""
    path = {PATHS: "|".join(found.path)} if found.path else {}
    if found.flat and found.path and any(name.startswith("XMP-digiKam:") for name in tags):
        path[DIGIKAM] = "/".join(found.path)
    wanted: Added = {FLAT: found.flat, **{name: (value,) for name, value in path.items()}}
    if any(name.startswith("IPTC:") for name in tags):  # MWG: where both are, both say the same
        wanted[IPTC] = tuple(word for word in found.flat if _fits_iptc(word, tags))
    added: Added = {}
    for name, values in wanted.items():
        held = {str(one).casefold() for one in listed(tags.get(name))}
        if new := tuple(value for value in values if value.casefold() not in held):
            added[name] = new
    if IPTC in added and tags.get(DIGEST) and tags.get(DIGEST) == tags.get(DIGEST_NOW):
        added[DIGEST] = ("new",)  # else readers would take IPTC for newer than XMP
    if rating and not _is_rated(tags):
        added[RATING] = (str(rating),)
    return added


def listed(value: Any) -> list[Any]:
    """The values of a tag; one alone is no list in ExifTool's answers."""
    return [] if value in (None, "") else value if isinstance(value, list) else [value]


def _is_rated(tags: Tags) -> bool:
    """Whether a file has stars already, or is rejected; zero stars are none."""
    return any(str(tags.get(name, 0)) not in ("0", "") for name in _STARS)


def _fits_iptc(word: str, tags: Tags) -> bool:
    """Whether IPTC can hold a keyword in the letters that this file uses."""
    letters = "utf-8" if tags.get("IPTC:CodedCharacterSet") == "\x1b%G" else "cp1252"
    try:
        return len(word.encode(letters)) <= _IPTC_LONGEST
    except UnicodeEncodeError:
        return False


def _with(tags: Tags, added: Added) -> dict[str, Any]:
    return {**tags, **{name: (*listed(tags.get(name)), *values) for name, values in added.items()}}


# Files --------------------------------------------------------------------------------------------------------------


def _own_sidecars(photo: Photo, listing: FolderListing) -> Iterator[str]:
    """The XMP sidecars of a photo, the one that counts first; not those that say to be of another file.

    That of its RAW is its own: Lightroom and others read no other one where both are.
    """
    folder, name = os.path.split(photo.path)
    raws = [os.path.basename(one) for one in photo.companions if has_raw_name(one)]
    mine = {"", *(os.path.splitext(one)[1].lower()[1:] for one in (name, *raws))}
    for sidecar in sidecars.with_facts([name, *raws], listing.sidecars(name)):
        path = os.path.join(folder, sidecar)
        if os.path.dirname(path) != folder or not sidecar.lower().endswith(".xmp"):
            continue
        if sidecar.casefold() == f"{name}.xmp".casefold() or _owner(path) in mine:
            yield path


def _owner(sidecar: str) -> str:
    """The suffix of the file whose sidecar this says to be; empty where it does not say."""
    with open_regular(sidecar) as file:
        said = xmp.properties(file.read(LARGEST_SIDECAR)).get("photoshop:SidecarForExtension", ("",))
    return said[0].casefold()


def _check_picture(photo: Photo) -> None:
    if photo.format not in WRITTEN:
        text = f"tags are not written into a {photo.format}; --into sidecar writes them beside it"
        raise CannotBeWrittenError(text)


def _check_file(file: str, photo: Photo) -> str:
    """The sha256 of a file that may be replaced by one with more tags."""
    info = os.lstat(file)
    name = "" if file == photo.path else f"its sidecar {os.path.basename(file)} is "
    if stat.S_ISLNK(info.st_mode):
        raise CannotBeWrittenError(f"{name}a symbolic link: left alone")
    if not stat.S_ISREG(info.st_mode):
        raise CannotBeWrittenError(f"{name}not a regular file")
    if info.st_nlink > 1:
        raise CannotBeWrittenError(f"{name}known by other names too (hard links), which would keep the old tags")
    if not info.st_mode & stat.S_IWUSR:
        raise CannotBeWrittenError(f"{name}read-only")
    if file != photo.path:
        if info.st_size > LARGEST_SIDECAR:
            raise CannotBeWrittenError(f"{name}larger than a sidecar can be")
        return sha256_of(file)
    if (sha256 := sha256_of(file)) != photo.sha256:
        raise CannotBeWrittenError("changed since it was indexed: run birdsearch index, then try again")
    return sha256


def _checked_tags(tags: Tags | None, *, is_sidecar: bool) -> Tags:
    if tags is None:
        raise CannotBeWrittenError("ExifTool cannot read it")
    if is_sidecar and tags.get("File:FileType") != "XMP":
        raise CannotBeWrittenError("its sidecar is not XMP")
    return tags


def _read(files: Sequence[str]) -> dict[str, Tags | None]:
    """The tags of files that are there."""
    files = list(dict.fromkeys(files))
    if not files:
        return {}
    try:
        answers = exiftool.run([exiftool.reading(file) for file in files])
    except exiftool.NoAnswerError:
        if len(files) == 1:
            return {files[0]: None}
        half = len(files) // 2
        return _read(files[:half]) | _read(files[half:])
    return {file: exiftool.tags(answer) for file, answer in zip(files, answers, strict=True)}
