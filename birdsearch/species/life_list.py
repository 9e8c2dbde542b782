"""The life list: what was seen, when and where, as the photos know it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from birdsearch.memory import RECORD, check_room
from birdsearch.records import MONTHS, Ids, LifeList, LifeListEntry, Photo, Place
from birdsearch.species.gallery import Gallery
from birdsearch.storage.store import Store
from birdsearch.taxonomy import resolve

EXAMPLES = 4  # photos that show a species
EXAMPLES_OF_MANY = 60  # best photos, of as many species, that show anything else
PLACE_KM = 5.0  # around the densest spot that count as one place; a guess
_SPOT = 0.01  # degrees: photos closer than that are one spot
_EARTH_KM = 6371.0


def of(gallery: Gallery, store: Store, by: str = "species") -> LifeList:
    """What the photos of a gallery show, by one of GROUPINGS. Raises ValueError for another one."""
    if by not in GROUPINGS:
        raise ValueError(f"a life list goes by one of {', '.join(GROUPINGS)}, not by {by!r}")
    started = time.monotonic()
    check_room(len(gallery.photos), RECORD)
    known = store.catalog.photos(gallery.ids.tolist())
    names = Counter(photo.species for photo in gallery.photos if photo.species)
    shown, guesses = _species_names(names, gallery.corrections)
    # One species is one entry, however its labels are spelled.
    photos = [
        replace(photo, species=shown.get(same.species or "", same.species))
        for photo, same in zip(known, gallery.photos, strict=True)
    ]
    sightings = _Sightings(photos, _typical(gallery), gallery.groups, frozenset(shown.values()))
    entries = sightings.entries(by)
    count = gallery.count_species(names)
    return LifeList(
        by,
        photos=len(photos),
        entries=entries,
        places=sightings.places,
        species=count.species,
        unnamed=sum(photo.species is None for photo in photos),
        undated=sum(photo.taken_at is None for photo in photos),
        unplaced=int((sightings.place_of < 0).sum()),
        seconds=time.monotonic() - started,
        groups=count.groups,
        no_birds=count.no_birds,
        guesses=guesses,
    )


def _species_names(names: Mapping[str, int], corrections: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Name -> the one to show for its species, for names (with their photos) that mean one; and those by a guess."""
    guesses = {meant.name for meant in resolve.resolve_many(names, overrides=corrections) if meant.method == "guess"}
    keys = resolve.species_keys(names, corrections)
    usual: dict[str, str] = {}
    for name in sorted(keys, key=lambda name: (name in guesses, -names[name], name)):
        usual.setdefault(keys[name], name)
    return {name: usual[at] for name, at in keys.items()}, tuple(sorted(guesses & keys.keys(), key=str.casefold))


def _typical(gallery: Gallery) -> npt.NDArray[np.float64]:
    """How close each photo (n,) is to the mean of its species; 0 for a photo without one."""
    typical = np.zeros(len(gallery.photos))
    members: dict[str, list[int]] = {}
    for row, photo in enumerate(gallery.photos):
        if photo.species is not None:
            members.setdefault(photo.species, []).append(row)
    for rows in members.values():
        vectors = gallery.raw[rows]
        typical[rows] = (vectors @ vectors.mean(axis=0)).round(5)
    return typical


@dataclass(frozen=True)
class _Sightings:
    """Photos, how typical each is of its species, and the moment that each belongs to."""

    photos: Sequence[Photo]
    typical: npt.NDArray[np.float64]  # (n,)
    moments: Ids  # (n,) photos of one burst, and copies of one picture, share a number
    names: Set[str]  # those of species; the others are groups, and what is no bird

    @cached_property
    def species(self) -> Mapping[str, str | None]:
        """The earliest time that each species was photographed at; None where no photo of it has one."""
        first: dict[str, str | None] = {}
        for photo in self.photos:
            if photo.species is not None and photo.species in self.names:
                known = [moment for moment in (first.get(photo.species), photo.taken_at) if moment is not None]
                first[photo.species] = min(known, default=None)
        return first

    @cached_property
    def place_of(self) -> Ids:
        """The place (n,) of each photo, the most photographed one 0; -1 for photos without a position."""
        place_of = np.full(len(self.photos), -1, dtype=np.int64)
        known = [(p.latitude, p.longitude) if p.longitude is not None else None for p in self.photos]
        rows = [row for row, position in enumerate(known) if position is not None and position[0] is not None]
        if rows:
            place_of[rows] = places_of(np.array([known[row] for row in rows], dtype=np.float64))
        return place_of

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The places, each at its mean position."""
        places = []
        for number in range(int(self.place_of.max(initial=-1)) + 1):
            here = [self.photos[row] for row in np.flatnonzero(self.place_of == number).tolist()]
            species = {photo.species for photo in here} & self.names
            # Not across the date line, where a mean would lie on the other side of the world.
            middle = here[0].longitude or 0.0
            east = [((photo.longitude or 0.0) - middle + 180) % 360 - 180 for photo in here]
            longitude = (middle + float(np.mean(east)) + 180) % 360 - 180
            latitude = float(np.mean([photo.latitude for photo in here]))
            places.append(Place(round(latitude, 5), round(longitude, 5), len(here), len(species)))
        return tuple(places)

    def entries(self, by: str) -> tuple[LifeListEntry, ...]:
        """The entries of a list, in its order; last the photos that fit none."""
        rows_of: dict[tuple[Any, str] | None, list[int]] = {}
        for row, photo in enumerate(self.photos):
            rows_of.setdefault(GROUPINGS[by](photo, int(self.place_of[row]), self.places), []).append(row)
        keys = sorted(key for key in rows_of if key is not None)
        if by == "species":
            keys.sort(key=lambda key: key[1] not in self.names)
        unknown = [self._entry(None, rows_of[None])] if None in rows_of else []
        return (*(self._entry(key[1], rows_of[key]) for key in keys), *unknown)

    def _entry(self, name: str | None, rows: Sequence[int]) -> LifeListEntry:
        photos = [self.photos[row] for row in rows]
        times = sorted(photo.taken_at for photo in photos if photo.taken_at is not None)
        labels = Counter(photo.species for photo in photos if photo.species is not None)
        ordered = sorted(labels, key=str.casefold)
        months = Counter(month_of(photo) for photo in photos)
        places = Counter(int(number) for number in self.place_of[rows] if number >= 0)
        first_seen = {
            photo.species
            for photo in photos
            if photo.species and photo.taken_at and photo.taken_at == self.species.get(photo.species)
        }
        ranked = sorted(rows, key=self._rank)
        alone = len({photo.species for photo in photos}) == 1
        return LifeListEntry(
            name,
            len(photos),
            {name: labels[name] for name in ordered if name in self.names},
            tuple(sorted(first_seen, key=str.casefold)),
            first=times[0] if times else None,
            last=times[-1] if times else None,
            best=self.photos[ranked[0]].id or 0,
            examples=self._typical_of(rows) if alone else self._best_of_each(ranked),
            months=tuple(months[number] for number in range(1, 13)),
            places=tuple(number for number, _ in places.most_common()),
            undated=sum(photo.taken_at is None for photo in photos),
            unplaced=len(photos) - places.total(),
            other={name: labels[name] for name in ordered if name not in self.names},
        )

    def _rank(self, row: int) -> tuple[float, ...]:
        """Smaller for a better photo."""
        photo = self.photos[row]
        pixels = (photo.width or 0) * (photo.height or 0)
        return (-(photo.rating or 0), photo.damaged is not None, -pixels, -self.typical[row], photo.id or 0)

    def _typical_of(self, rows: Sequence[int]) -> tuple[int, ...]:
        """The ids of the most typical photos, one of each moment."""
        chosen: dict[int, int] = {}
        for row in sorted(rows, key=lambda row: (-self.typical[row], row)):
            chosen.setdefault(int(self.moments[row]), self.photos[row].id or 0)
        return tuple(chosen.values())[:EXAMPLES]

    def _best_of_each(self, ranked: Sequence[int]) -> tuple[int, ...]:
        """The id of the best photo of each species, the best ones first."""
        chosen: dict[str, int] = {}
        for row in ranked:
            chosen.setdefault(self.photos[row].species or "", self.photos[row].id or 0)
        return tuple(chosen.values())[:EXAMPLES_OF_MANY]


def month_of(photo: Photo) -> int | None:
    """The month of the year that a photo was taken in, from 1; None where that is not known."""
    digits = (photo.taken_at or "")[5:7]
    return int(digits) if digits.isdigit() and 1 <= int(digits) <= len(MONTHS) else None


def _named(name: str | None) -> tuple[str, str] | None:
    """The key of a name, so that names are sorted without regard to case."""
    return (name.strip().casefold(), name.strip()) if name and name.strip() else None


def _by_month(photo: Photo, place: int, places: Sequence[Place]) -> tuple[Any, str] | None:
    number = month_of(photo)
    return None if number is None else (number, MONTHS[number - 1])


# What a list may go by: a photo, the number of its place (-1 for none) and the places -> what its entries are sorted
# by, and the name of its entry; None where that is not known.
GROUPINGS: dict[str, Callable[[Photo, int, Sequence[Place]], tuple[Any, str] | None]] = {
    "species": lambda photo, place, places: _named(photo.species),
    "month": _by_month,
    "year": lambda photo, place, places: _named((photo.taken_at or "")[:4]),
    "place": lambda photo, place, places: (place, places[place].name) if place >= 0 else None,
    "photographer": lambda photo, place, places: _named(photo.photographer),
}


def places_of(positions: npt.NDArray[np.float64]) -> Ids:
    """The place (n,) of each position (n, 2), latitude and longitude in degrees; 0 is the one with the most positions.

    The densest spot and all within PLACE_KM of it are one place; then the densest of what is left, and so on.
    """
    spots, spot_of, counts = np.unique((positions / _SPOT).round(), axis=0, return_inverse=True, return_counts=True)
    spot_of = spot_of.reshape(-1)
    centres = np.radians(np.stack([np.bincount(spot_of, weights=side) / counts for side in positions.T], axis=1))
    place = np.full(len(spots), -1, dtype=np.int64)
    for spot in np.argsort(-counts, kind="stable"):
        if place[spot] < 0:
            left = np.flatnonzero(place < 0)
            place[left[_kilometres(centres[spot], centres[left]) <= PLACE_KM]] = place.max() + 1
    order = np.argsort(-np.bincount(place, weights=counts), kind="stable")
    return np.asarray(np.argsort(order, kind="stable")[place][spot_of], dtype=np.int64)


def _kilometres(one: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The distances (n,) of positions (n, 2) from one (2,), in radians, on a sphere."""
    half = (others - one) / 2
    part = np.sin(half[:, 0]) ** 2 + np.cos(one[0]) * np.cos(others[:, 0]) * np.sin(half[:, 1]) ** 2
    return np.asarray(2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(part, 0, 1))), dtype=np.float64)
