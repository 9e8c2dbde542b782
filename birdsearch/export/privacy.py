"""What must not leave with photos unless their owner says so: where threatened birds are, and people."""

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from birdsearch.errors import InputFileError
from birdsearch.export.claims import Meaning
from birdsearch.records import Photo, Region, counted, shown
from birdsearch.regions.choice import ANIMAL, HUMAN, VEHICLE, kind_of

if TYPE_CHECKING:
    from birdsearch.taxonomy.meaning import Resolution

UNCERTAINTY = 7900  # metres from the middle of a cell of 0.1 degree to its farthest corner, at the equator
GENERALIZED = "coordinates rounded to the middle of a 0.1 degree cell, to protect a species"
_HOME = re.compile(r"/(?:home|Users|media|run/media)/[^/]+(?=/)|/root(?=/)|[A-Za-z]:[/\\]Users[/\\][^/\\]+(?=[/\\])")
_NEAR = 0.01  # degrees of latitude: a kilometre
_AROUND = 36_000  # cells of that width around the earth
_DECIMALS = re.compile(r"(?<!\d)\d{1,3}[.,_]\d{2,}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was, as exactly as it may be told."""

    latitude: float  # degrees, north positive
    longitude: float  # degrees, east positive
    uncertainty: int | None = None  # metres; None where it is not known
    rounded: bool = False

    @property
    def coarse(self) -> "Place":
        """The middle of its cell of 0.1 degree."""
        latitude, longitude = _middle(self.latitude, 90), _middle(self.longitude, 180)
        return Place(latitude, longitude, max(UNCERTAINTY, self.uncertainty or 0), rounded=True)

    @property
    def cell(self) -> tuple[int, int]:
        """Its cell of a kilometre from south to north, and up to that from west to east."""
        return math.floor(self.latitude / _NEAR), math.floor(self.longitude / _NEAR) % _AROUND

    @property
    def cells_around(self) -> set[tuple[int, int]]:
        """Its cell and those within a kilometre, which are narrower towards the poles."""
        north, east = self.cell
        width = math.cos(math.radians(self.latitude))  # of a cell, against one of the equator
        reach = _AROUND // 2 if width * _AROUND < 2 else math.ceil(1 / width)
        return {(north + n, (east + e) % _AROUND) for n in (-1, 0, 1) for e in range(-reach, reach + 1)}

    def is_told_by(self, text: str) -> bool:
        """Whether a text, such as the name of a file, has one of its coordinates to a kilometre."""
        numbers = [float(re.sub("[,_]", ".", one)) for one in _DECIMALS.findall(text)]
        return any(abs(one - abs(mine)) < _NEAR for one in numbers for mine in (self.latitude, self.longitude))


def place_of(latitude: float | None, longitude: float | None) -> Place | None:
    """A place, if both coordinates are some."""
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    return Place(latitude, longitude)


def _middle(degrees: float, most: int) -> float:
    cell = min(math.floor(degrees * 10), most * 10 - 1)  # the pole is no cell of its own
    return (cell + 0.5) / 10


class Protected:
    """The species whose places are rounded, and which photos may show one."""

    def __init__(self, species: frozenset[str], meaning: Meaning) -> None:
        self._species = species
        self._meaning = meaning
        self._judged = cache(self._judge)

    @classmethod
    def of(cls, file: Path | None, meaning: Meaning, *, exact: bool) -> "Protected":
        """Those that AviList calls near threatened or worse, and those of a user's file; none where all is `exact`.

        `meaning` says what a name means. Raises InputFileError where a line of the file names no bird.
        """
        from birdsearch.taxonomy.avilist import threatened

        if exact:
            return cls(frozenset(), meaning)
        return cls(threatened() | (frozenset() if file is None else _listed(file)), meaning)

    def shown_by(self, photo: Photo) -> bool:
        """Whether a photo shows such a species, as far as anything says; where its label is sure, that alone counts."""
        if not self._species:
            return False
        if photo.label:
            sure, protected = self._judged(photo.label)
            if sure or protected:
                return protected
        return any(self._judged(name)[1] for name in _hints(photo))

    def among(self, names: Iterable[str]) -> list[str]:
        """Those of the names that may mean such a species."""
        return [name for name in names if self._species and self._judged(name)[1]]

    def _judge(self, name: str) -> tuple[bool, bool]:
        """Whether a name is sure to mean one bird, and whether it may mean one of these."""
        from birdsearch.taxonomy.resolve import is_one_bird

        meaning = self._meaning(name)
        # Most families have a threatened species: their own name protects a place only if all of them are protected.
        protected = not self._species.isdisjoint(meaning.candidates) or self._species.issuperset(_members(meaning))
        return is_one_bird(meaning), meaning.taxon is not None and protected


def _members(meaning: "Resolution") -> Iterator[str]:
    """All species of a family or order; of anything else the name itself."""
    from birdsearch.taxonomy.avilist import world

    taxon, rank = meaning.taxon, meaning.rank
    if taxon is None:
        return
    if rank not in ("family", "order"):
        yield taxon.scientific
    else:
        yield from (name for name, one in world().species.items() if getattr(one, rank) == getattr(taxon, rank))


def _hints(photo: Photo) -> Iterator[str]:
    """The names that say what a photo without a sure label may show."""
    from birdsearch.taxonomy.resolve import RANKS, species_of_keyword

    for guess in photo.predictions:
        if guess.position == 1 and (guess.species or guess.rank in RANKS):
            yield guess.species or guess.class_name
    for word in (*(photo.keywords or ()), *Path(photo.path).parts[-2:-1]):
        if species_of_keyword(word) is not None:
            yield word


def _listed(file: Path) -> frozenset[str]:
    """The species of a user's file."""
    from birdsearch.taxonomy.checklist import read_checklist

    listed = read_checklist(file)
    if not listed.species or listed.unresolved:
        what = f"{listed.unresolved[0]}: no bird is called so" if listed.unresolved else f"{file} names no bird"
        more = f" ({counted(len(listed.unresolved), 'such line')})" if len(listed.unresolved) > 1 else ""
        raise InputFileError(f"{what}{more}, so no place would be protected. Correct the name; nothing was written.")
    return listed.species


def scrubbed(photo: Photo, path: str, *, people: bool) -> Photo:
    """What of a photo may leave: neither its place, which is told apart, nor serials, notes or absolute paths."""
    kept = Photo(photo.id, path, photo.sha256, width=photo.width, height=photo.height, format=photo.format)
    kept = replace(kept, taken_at=photo.taken_at, taken_offset=photo.taken_offset, camera=photo.camera)
    return replace(kept, photographer=photo.photographer) if people else kept


def may_leave(box: Region, *, people: bool) -> bool:
    """Whether a box may be told: of an animal always, of people and what they drive where they may be named."""
    kind = kind_of(box.category)
    return kind == ANIMAL or (people and kind in (HUMAN, VEHICLE))


class Paths:
    """Paths below the root folders, as anybody may see them; no two photos share one."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._roots = sorted(enumerate(folders, start=1), key=lambda one: -len(one[1]))  # the deepest first
        self._taken: dict[int, int] = {}  # hash of a path -> number of the root that has it first

    def plain(self, path: str) -> str:
        """A photo's path below its root folder."""
        return self._split(path)[1]

    def below(self, path: str) -> str:
        """The same, in a folder of its own where another root has such a path too."""
        number, below = self._split(path)
        below = shown(below)
        if len(self._roots) < 2:
            return below
        first = self._taken.setdefault(hash(below), number)
        return below if first == number else f"root-{number}/{below}"

    def _split(self, path: str) -> tuple[int, str]:
        home = _HOME.match(path)
        for number, root in self._roots:
            if path.startswith(f"{root.rstrip('/')}/"):
                start = max(len(root), home.end() if home else 0)  # nobody's name, whatever folder was indexed
                return number, path[start:].lstrip("/")
        return 0, os.path.basename(path)
