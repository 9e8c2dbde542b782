"""Files of labels: a CSV, the JSON of COCO Camera Traps, a package of Camtrap DP, or the export of iNaturalist."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from birdsearch.arguments import checked
from birdsearch.errors import InputFileError
from birdsearch.files import absolute
from birdsearch.indexing import camtrap, coco
from birdsearch.indexing.json_lists import JsonLists
from birdsearch.indexing.label_rows import LabelRow, contradiction, moment, read_rows
from birdsearch.indexing.moved_paths import moved_paths
from birdsearch.records import counted, shown
from birdsearch.sheets import columns_of, read_csv, read_text
from birdsearch.storage.catalog.catalog import FolderLabel
from birdsearch.storage.catalog.commits import FILE, Said
from birdsearch.taxonomy.resolve import recognised, same

_ADVICE = "Give a CSV (path,species), the JSON of COCO Camera Traps, or the datapackage.json of Camtrap DP."
_NUMBER = re.compile(r"\d+")
# Columns of iNaturalist's export of observations, of which the photo has the number in its name.
_OBSERVED = ("quality_grade", "user_login", "observed_on", "image_url")
Key = TypeVar("Key", bytes, str)


@dataclass(frozen=True, slots=True)
class Named:
    """A photo as a file names it."""

    place: str  # in the file: "line 3", "image 7"
    photo: str
    file: str = ""  # the name of its file, where the path may be another one


@dataclass(frozen=True, slots=True)
class LabelTable:
    """What a file of labels says: of files by their path, of contents, and of observations by their number."""

    by_path: Mapping[bytes, Said]  # absolute path -> its species
    by_sha256: Mapping[str, Said]
    named: Mapping[tuple[bytes | None, str], Named]  # path, and sha256 or number -> the first line that names it
    several: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)  # path -> its species, more than one
    by_number: Mapping[str, Said] = field(default_factory=dict)  # that stands in the name of the photo's file
    moved: Mapping[bytes, bytes] = field(default_factory=dict)  # path of a photo -> what the table has for it
    entries: str = "lines of the CSV"  # what it consists of, for messages
    note: str = ""  # what a user should know of it

    @property
    def names_several(self) -> bool:
        """Whether it may name several species of one photo."""
        return bool(self.several or self.by_number)

    def said(self, path: bytes, sha256: str) -> Said | None:
        """What it says of a photo; None where that is nothing, or several species."""
        at = self.moved.get(path, path)
        if at in self.several:
            return None
        if (known := self.by_path.get(at) or self.by_sha256.get(sha256)) is not None:
            return known
        observed = self._observed(path)
        return observed[0] if len({one.species for one in observed}) == 1 else None

    def several_species(self, path: bytes) -> tuple[str, ...]:
        """The species that it names of a photo, where they are more than one."""
        at = self.moved.get(path, path)
        observed = tuple(dict.fromkeys(one.species for one in self._observed(path)))
        return self.several.get(at) or (observed if len(observed) > 1 else ())

    def found_among(self, photos: Callable[[], Iterable[bytes]]) -> "LabelTable":
        """The same table where paths of another disk or system are those of these photos, as far as that is sure."""
        paths = {at for at, _ in self.named}
        here = {photo for photo in photos() if photo in paths}
        left = [(at, one) for (at, _), one in self.named.items() if at is not None and at not in here]
        moved: dict[bytes, bytes] = {}
        for texts in ({at: one.photo for at, one in left if one.photo}, {at: one.file for at, one in left if one.file}):
            rest = {at: text for at, text in texts.items() if at not in moved.values()}
            before = set(moved)
            others = (photo for photo in photos() if photo not in self._paths and photo not in before) if rest else ()
            claimed: dict[bytes, list[bytes]] = {}
            for at, photo in moved_paths(rest, others).items():
                claimed.setdefault(photo, []).append(at)
            moved |= {photo: at[0] for photo, at in claimed.items() if len({self.by_path.get(one) for one in at}) == 1}
        return replace(self, moved=moved)

    @property
    def _paths(self) -> Collection[bytes]:
        return self.by_path.keys() | self.several.keys() if self.several else self.by_path.keys()

    def unmatched(self, photos: Iterable[FolderLabel]) -> list[Named]:
        """The lines that name none of these photos."""
        paths, contents = {at for at, _ in self.named}, {of for _, of in self.named}
        met_paths, met = set[bytes | None](self.moved.values()), set[str]()
        for photo in photos:
            if photo.path in paths:
                met_paths.add(photo.path)
            met |= contents.intersection((photo.sha256, *(_numbers(photo.path) if self.by_number else ())))
        return [one for (at, of), one in self.named.items() if at not in met_paths and of not in met]

    def _observed(self, path: bytes) -> list[Said]:
        """What is said of the observations whose numbers stand in the name of a photo's file."""
        known = self.by_number
        return [known[number] for number in _numbers(path) if number in known] if known else []


def read_labels(path: Path, index_id: str = "") -> LabelTable:
    """A CSV with the columns path or sha256, and species; JSON of COCO or of Camtrap DP; iNaturalist's export.

    A relative path counts from the folder of the file. Raises InputFileError, with the line, for what cannot be used.
    """
    if path.suffix.lower() == ".json":
        file = JsonLists(path, _ADVICE)
        if "resources" in file:
            return _of_package(camtrap.read_package(file, path.parent), path.parent)
        if "annotations" in file and "images" in file:
            return _of_coco(file, path.parent)
        raise InputFileError(f"{file.name} is no file of labels: it lists neither annotations nor resources. {_ADVICE}")
    text = read_text(path, "Give a CSV: path,species")
    columns = columns_of(text, ("path", "sha256"))
    if {"id", "scientific_name"} <= columns and columns & {*_OBSERVED} and not columns & {"path", "sha256"}:
        return _of_observations(path, text)
    return _of_csv(path, text, index_id)


@checked
def check_labels(path: str | os.PathLike[str]) -> None:
    """Raise InputFileError, with the line, for a file of labels that `Index.add` could not use.

    >>> birdsearch.check_labels("corrections.csv")
    """
    read_labels(Path(path))


# CSV ------------------------------------------------------------------------------------------------------------------


def _of_csv(path: Path, text: str, index_id: str) -> LabelTable:
    """In a line with the sha256 of a photo the path counts only where the column index_id names this index.

    Elsewhere another picture may lie there.
    """
    by_path: dict[bytes, tuple[int, str]] = {}
    alone: dict[str, tuple[int, str]] = {}  # of lines with no path
    by_sha256: dict[str, set[str]] = {}
    named: dict[tuple[bytes | None, str], Named] = {}
    for row in read_rows(path, ["sha256", "path"], text=text):
        if row.path is None and not row.sha256:
            raise InputFileError(f"{row.place}: no path. Write path,species in every line.")
        if not row.species or row.is_guess:
            continue
        at = row.path if not row.sha256 or row.index_id == index_id else None
        named.setdefault((at, row.sha256), Named(f"line {row.line}", row.photo))
        if at is not None:
            _unique(by_path, at, row)
        elif row.path is None:
            _unique(alone, row.sha256, row)
        if row.sha256:
            by_sha256.setdefault(row.sha256, set()).add(row.species)
    of_contents = {sha256: Said(FILE, species.pop()) for sha256, species in by_sha256.items() if len(species) == 1}
    return LabelTable({at: Said(FILE, species) for at, (_, species) in by_path.items()}, of_contents, named)


def _unique(known: dict[Key, tuple[int, str]], key: Key, row: LabelRow) -> None:
    """Note a line. Raises InputFileError where another one gives the same photo another species."""
    line, species = known.setdefault(key, (row.line, row.species))
    if species != row.species:
        raise contradiction(row, line, species)


def _of_observations(path: Path, text: str) -> LabelTable:
    """iNaturalist's export: the photos are those with the number of an observation in the names of their files."""
    file = shown(str(path))
    by_number: dict[str, Said] = {}
    lines: dict[str, int] = {}
    named: dict[tuple[bytes | None, str], Named] = {}
    grades: Counter[str] = Counter()
    for line, row in read_csv(path, ["id", "scientific_name"], optional=_OBSERVED, text=text):
        number, species = row["id"].strip(), shown(row["scientific_name"].strip())
        if not (number.isascii() and number.isdigit()):
            place = f"{file}, line {line}"
            raise InputFileError(f"{place}: id is {shown(number)!r:.80}. Write the number of an observation.")
        if not species:
            continue
        observer, day = (row.get(column, "").strip() for column in ("user_login", "observed_on"))
        if day and moment(day) is None:
            raise InputFileError(f"{file}, line {line}: observed_on is {shown(day)!r:.80}. Write a day as 2026-05-01.")
        said = Said(FILE, species, shown(observer) or None, day or None)
        if by_number.setdefault(number, said).species != species:
            raise InputFileError(
                f"{file}, lines {lines[number]} and {line}: observation {number} is {by_number[number].species} and "
                f"{species}. Leave one of the two lines out."
            )
        lines.setdefault(number, line)
        named.setdefault((None, number), Named(f"line {line}", number))
        grades[row.get("quality_grade", "").strip() or "unknown"] += 1
    unsure, count = sum(grades.values()) - grades["research"], sum(grades.values())
    note = f"{file}: {unsure:,} of {count:,} observations are not of research grade" if unsure else ""
    return LabelTable({}, {}, named, by_number=by_number, note=note)


def _numbers(path: bytes) -> list[str]:
    return _NUMBER.findall(os.path.splitext(os.fsdecode(os.path.basename(path)))[0])


# COCO Camera Traps, Camtrap DP ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Statements:
    """The table that grows while the images of a file are gone through."""

    by_path: dict[bytes, Said] = field(default_factory=dict)
    several: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    named: dict[tuple[bytes | None, str], Named] = field(default_factory=dict)

    def add(self, one: Named, at: bytes, said: Sequence[Said]) -> None:
        """Note what is said of the photo at a path. Raises InputFileError where another image is the same one."""
        if (known := self.named.get((at, ""))) is not None:
            raise InputFileError(
                f"{one.place} and {known.place}: both are {shown(one.photo or one.file)}. Leave one of them out."
            )
        species = _different(one.species for one in said)
        if not species:
            return
        self.named[at, ""] = one
        if len(species) == 1:
            self.by_path[at] = next(each for each in said if each.species == species[0])
        else:
            self.several[at] = species

    def table(self, note: str = "") -> LabelTable:
        return LabelTable(self.by_path, {}, self.named, self.several, entries="images of the file", note=note)


def _different(names: Iterable[str]) -> tuple[str, ...]:
    """The names that mean different species, each as it is written first."""
    different = tuple(dict.fromkeys(names))
    if len(different) < 2:
        return different
    found: dict[object, str] = {}
    for name in different:
        found.setdefault(_meant(name), name)
    return tuple(found.values())


@lru_cache(maxsize=65_536)
def _meant(name: str) -> object:
    """What names of one species have in common."""
    meaning = recognised(name)
    return meaning.candidates if meaning and meaning.candidates else same(name)


def _of_coco(file: JsonLists, folder: Path) -> LabelTable:
    statements = _Statements()
    for image in coco.images(file):
        said = [Said(FILE, name) for one in image.annotations if (name := one.species) is not None]
        at = absolute(image.file_name, os.fsencode(folder))
        statements.add(Named(f"image {image.number}", image.file_name), at, said)
    return statements.table()


def _of_package(package: camtrap.Package, folder: Path) -> LabelTable:
    statements = _Statements()
    for medium in package.media:
        said = [Said(FILE, one.name, one.author, one.created_at) for one in medium.claims]
        named = Named(f"media line {medium.line}", medium.path, medium.name)
        statements.add(named, medium.at(os.fsencode(folder)), said)
    machines = counted(package.by_machine, "observation") if package.by_machine else ""
    return statements.table(machines and f"{package.observations_table}: {machines} not made by a person give no label")
