"""Deployments: the places where cameras stood, each with its photos; one a folder, or as a table says."""

import hashlib
import math
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from birdsearch.errors import InputFileError
from birdsearch.export.moments import instant, written_time
from birdsearch.export.privacy import Place
from birdsearch.records import shown
from birdsearch.sheets import read_csv

_OPTIONAL = ("folder", "place", "start", "end", "camera", "uncertainty")
_NO_VALUES = ("NA", "NaN", "nan")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A camera at a place for a time."""

    id: str
    name: str  # of the place; "" where it has none, or what a table calls it could tell where it is rounded
    place: Place | None  # where it is not one place, with that uncertainty
    start: datetime | None
    end: datetime | None
    camera: str | None  # make and model, where all its photos are of one


@dataclass(frozen=True, slots=True)
class Station:
    """A line of a table of deployments."""

    id: str
    folder: str  # of its photos: a path, absolute or below the root, or its last part; "": called as id or name
    name: str
    place: Place
    start: datetime | None  # without an offset where neither the table nor the user gives one
    end: datetime | None
    camera: str | None

    def covers(self, clock: datetime | None, moment: datetime | None) -> bool:
        """Whether a photo of a time can be of this one; one without a time can."""
        for limit, sign in ((self.start, 1), (self.end, -1)):
            time = clock if limit is None or limit.tzinfo is None else moment
            if limit is not None and time is not None:
                aware = time if limit.tzinfo else time.replace(tzinfo=None)
                if (aware - limit).total_seconds() * sign < 0:
                    return False
        return True


class Stations:
    """The deployments of a table, by their folders."""

    def __init__(self, stations: list[Station]) -> None:
        self._by_folder: dict[str, list[Station]] = {}
        for one in stations:
            for folder in filter(None, [one.folder] if one.folder else dict.fromkeys([one.id, one.name])):
                self._by_folder.setdefault(_plain(folder), []).append(one)

    @classmethod
    def read(cls, path: Path, zone: tzinfo | None) -> "Stations":
        """The deployments of a CSV: deployment (deploymentID), latitude, longitude; folder, place, start, end and more.

        Raises InputFileError, with the line, for what is none.
        """
        rows = read_csv(path, ["deployment", "latitude", "longitude"], optional=_OPTIONAL)
        stations = [_station(row, f"{shown(str(path))}, line {line}", zone) for line, row in rows]
        places: dict[str, Station] = {}
        for one in stations:
            if places.setdefault(one.id, one) is not one:
                raise InputFileError(
                    f"{shown(str(path))}: two lines are of the deployment {one.id!r}. Give each its name."
                )
        return cls(stations)

    def of(self, path: str, root_length: int, clock: datetime | None, moment: datetime | None) -> Station | None:
        """The deployment of a photo, by its path; its first `root_length` letters are the root folder."""
        for folder in _upwards(os.path.dirname(path), root_length):
            here = [one for name in folder for one in self._by_folder.get(_plain(name), ())]
            if found := next((one for one in here if one.covers(clock, moment)), None):
                return found
        return None


def _upwards(folder: str, root_length: int) -> Iterator[tuple[str, str, str]]:
    """A folder and those above it, down to the root: each as its absolute path, its path below the root, its name."""
    while len(folder) >= root_length:
        yield folder, folder[root_length:], os.path.basename(folder)
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return


def _plain(folder: str) -> str:
    """A folder as tables of any system write it."""
    return unicodedata.normalize("NFC", folder).replace("\\", "/").strip("/ ")


def _station(row: dict[str, str], where: str, zone: tzinfo | None) -> Station:
    name = " ".join(row["deployment"].split())
    if not name:
        raise InputFileError(f"{where}: the deployment has no name. Give each line one.")
    if name in _NO_VALUES:
        raise InputFileError(f"{where}: the deployment is called {name}, which means nothing in Camtrap DP. Rename it.")
    latitude, longitude = (_number(row, one, where, most) for one, most in (("latitude", 90), ("longitude", 180)))
    uncertainty = _number(row, "uncertainty", where, 40_000_000) if row.get("uncertainty", "").strip() else None
    times = []
    for column in ("start", "end"):
        text = row.get(column, "").strip()
        time = written_time(text, end=column == "end")
        if text and time is None:
            raise InputFileError(
                f"{where}: {column} is {shown(text)!r}. Write a time as 2024-05-17T18:30 or 2024-05-17."
            )
        times.append(instant(time, zone) or time)
    start, end = times
    if start and end and (start.tzinfo is None) == (end.tzinfo is None) and end < start:
        raise InputFileError(f"{where}: the end is before the start. Exchange the two.")
    place = Place(latitude, longitude, None if uncertainty is None else max(1, math.ceil(uncertainty)))
    said = " ".join(row.get("place", "").split())
    return Station(name, row.get("folder", "").strip(), said, place, start, end, row.get("camera", "").strip() or None)


def _number(row: dict[str, str], column: str, where: str, most: int) -> float:
    """A number with a point or a comma. Raises InputFileError for any other, and one beyond `most`."""
    text = row[column].strip()
    try:
        number = float(text.replace(",", ".").rstrip("°"))
    except ValueError:
        number = math.nan
    if not abs(number) <= most:
        raise InputFileError(
            f"{where}: {column} is {shown(text)!r}. Write a number from -{most} to {most}, as 52.5201."
        )
    return number


@dataclass(slots=True)
class Gathered:
    """What is learnt of one deployment while its photos are looked through."""

    key: str
    name: str
    station: Station | None = None
    sensitive: bool = False
    start: datetime | None = None
    end: datetime | None = None
    cameras: set[str] = field(default_factory=set)
    first: Place | None = None
    corners: list[float] = field(default_factory=list)  # south, west, north, east
    cells: set[tuple[int, int]] = field(default_factory=set)  # of its places

    def take(self, place: Place | None, moment: datetime | None, camera: str | None) -> None:
        """The next photo of it."""
        if camera and len(self.cameras) < 2:
            self.cameras.add(camera)
        if place is not None:
            self.first = self.first or place
            self.cells.add(place.cell)
            south, west, north, east = self.corners or [90.0, 180.0, -90.0, -180.0]
            self.corners = [min(south, place.latitude), min(west, place.longitude)]
            self.corners += [max(north, place.latitude), max(east, place.longitude)]
        if moment is not None and (self.station is not None or place is not None):
            self.start = min(self.start or moment, moment)
            self.end = max(self.end or moment, moment)

    @property
    def deployment(self) -> Deployment:
        """What is known of it in the end; its place is rounded where that of one of its photos is."""
        station, place = self.station, self._place()
        start, end, cameras = self.start, self.end, list(self.cameras)
        if station is not None:  # a camera stood there before its first photo
            start, end = _aware(station.start) or start, _aware(station.end) or end
            cameras = [station.camera] if station.camera else cameras
        key, name = self.key, self.name
        if place is not None and place.rounded:
            name = "" if station is not None or self._is_told_by(name) else name  # "Miller's pond" is a place too
            key = hashlib.sha256(key.encode()).hexdigest()[:12] if self._is_told_by(key) else key
        return Deployment(key, name, place, start, end, cameras[0] if len(cameras) == 1 else None)

    def _place(self) -> Place | None:
        if self.station is not None:
            return self.station.place.coarse if self.sensitive else self.station.place
        if self.first is None:
            return None
        anchor, corners = self.first, list(self._corners())
        if self.sensitive:
            corners = [place.coarse for place in corners]
            anchor = anchor.coarse
        reach = max(_metres(anchor, corner) for corner in corners)
        uncertainty = (anchor.uncertainty or 0) + math.ceil(reach)
        return Place(anchor.latitude, anchor.longitude, uncertainty or None, rounded=self.sensitive)

    def _corners(self) -> Iterator[Place]:
        south, west, north, east = self.corners
        for latitude in (south, north):
            for longitude in (west, east):
                yield Place(latitude, longitude)

    def _is_told_by(self, text: str) -> bool:
        places = [self.station.place] if self.station is not None else list(self._corners()) if self.corners else []
        return any(place.is_told_by(text) for place in places)


def _aware(time: datetime | None) -> datetime | None:
    return time if time is not None and time.tzinfo is not None else None


def _metres(a: Place, b: Place) -> float:
    """How far two places are apart."""
    from birdsearch.storage.catalog.filters import distance_km  # SQLAlchemy, which --help does not need

    return 1000 * (distance_km(a.latitude, a.longitude, b.latitude, b.longitude) or 0)
