"""The look at all photos before the first one leaves: what protects places, deployments, events."""

import hashlib
import math
import os
from array import array
from bisect import bisect_left
from datetime import UTC, tzinfo

from birdsearch.export.deployments import Gathered, Stations
from birdsearch.export.moments import clock_of, moment_of
from birdsearch.export.privacy import Paths, Place, Protected, place_of
from birdsearch.export.selection import Selection
from birdsearch.records import Photo, shown

EVENT = 120  # seconds without a photo, after which the next one is of another event


class Survey:
    """What is known of the photos of an export together.

    A protected species that the filter leaves out protects the place all the same: another export may have it.
    """

    def __init__(
        self, photos: Selection, protected: Protected, stations: Stations | None, paths: Paths, zone: tzinfo | None
    ) -> None:
        self._protected, self._stations, self._paths, self._zone = protected, stations, paths, zone
        self._salt = photos.provenance.index_id
        self._near: set[tuple[int, int]] = set()  # cells of places that must not be told
        self._unplaced = array("d")  # when protected species were seen of which no place is known, ascending
        self._gathered: list[Gathered] = []
        self._rows: dict[str, int] = {}  # folder, or id of a line of the table -> its row among the gathered
        self.deployment_of, self.event_of = array("q"), array("q")  # of each photo: a row, or -1; a number, or 0
        self._look_through(photos)
        self.deployments = [one.deployment for one in self._gathered]

    def place(self, photo: Photo, row: int) -> tuple[Place | None, Place | None]:
        """Where a photo of a deployment was taken: as it is known, and as it may be told."""
        exact = self._exact(photo, row)
        if exact is None:
            return None, None
        here = row >= 0 and self._gathered[row].station is not None and self._gathered[row].sensitive
        near = exact.cell in self._near or self._is_just_then(_seconds(photo))
        return exact, exact.coarse if here or near or self._protected.shown_by(photo) else exact

    def _exact(self, photo: Photo, row: int) -> Place | None:
        station = self._gathered[row].station if row >= 0 else None
        return place_of(photo.latitude, photo.longitude) or (station.place if station is not None else None)

    def _look_through(self, photos: Selection) -> None:
        clocks = array("d")
        for photo in photos.looked_through():
            row = self._row(photo)
            clocks.append(_seconds(photo))
            self.deployment_of.append(row)
            if row >= 0:
                place, moment = self._exact(photo, row), moment_of(photo, self._zone)
                self._gathered[row].take(place, moment, photo.camera)
            self._protect(photo, row)
        for photo in photos.left_out_by_filter(self._protected.among):
            self._protect(photo, self._row(photo))
        self._unplaced = array("d", sorted(self._unplaced))
        for row, time in zip(self.deployment_of, clocks, strict=True):
            if row >= 0 and self._is_just_then(time):
                self._gathered[row].sensitive = True
        for one in self._gathered:
            if one.sensitive and one.station is not None:
                self._near |= one.station.place.cells_around
        for one in self._gathered:
            one.sensitive |= not self._near.isdisjoint(one.cells)
        self.event_of = _events(self.deployment_of, clocks)

    def _protect(self, photo: Photo, row: int) -> None:
        if self._protected.shown_by(photo):
            if row >= 0:
                self._gathered[row].sensitive = True
            if (place := self._exact(photo, row)) is not None:
                self._near |= place.cells_around
            elif not math.isnan(time := _seconds(photo)):
                self._unplaced.append(time)

    def _is_just_then(self, time: float) -> bool:
        """Whether a protected species without a place was seen at about a time: a photo of then would tell it."""
        at = bisect_left(self._unplaced, time - EVENT)  # of no time, which is nan: none
        return at < len(self._unplaced) and self._unplaced[at] <= time + EVENT

    def _row(self, photo: Photo) -> int:
        """Which of the deployments a photo is of; -1 for one of none."""
        rows = self._rows
        if self._stations is None:
            folder = os.path.dirname(photo.path)
            if folder not in rows:
                rows[folder] = len(self._gathered)
                digest = hashlib.sha256(f"{self._salt} {shown(folder)}".encode()).hexdigest()[:12]
                below = os.path.dirname(self._paths.plain(photo.path))
                self._gathered.append(Gathered(digest, below or "photos"))
            return rows[folder]
        clock, moment = clock_of(photo.taken_at), moment_of(photo, self._zone)
        length = len(photo.path) - len(self._paths.plain(photo.path)) - 1
        station = self._stations.of(photo.path, max(0, length), clock, moment)
        if station is None:
            return -1
        if station.id not in rows:
            rows[station.id] = len(self._gathered)
            self._gathered.append(Gathered(station.id, station.name, station, cells={station.place.cell}))
        return rows[station.id]


def _seconds(photo: Photo) -> float:
    """When a photo was taken by its camera's clock; nan where the time of the day is not known."""
    clock = clock_of(photo.taken_at)
    return math.nan if clock is None else clock.replace(tzinfo=UTC).timestamp()


def _events(deployments: "array[int]", clocks: "array[float]") -> "array[int]":
    """The number of the event of each photo in its deployment, from 1; 0 without a time or a deployment."""
    numbers = array("q", bytes(8 * len(clocks)))
    known = [row for row, (one, time) in enumerate(zip(deployments, clocks, strict=True)) if one >= 0 and time == time]
    known.sort(key=lambda row: (deployments[row], clocks[row]))
    number, before = 0, -1
    for row in known:
        if before < 0 or deployments[before] != deployments[row]:
            number = 1
        elif clocks[row] - clocks[before] > EVENT:
            number += 1
        numbers[row], before = number, row
    return numbers
