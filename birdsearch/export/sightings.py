"""Sightings: photos as programs of biodiversity take them, each without what must not leave."""

import hashlib
import math
import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from birdsearch.export.deployments import Deployment, Gathered, Stations
from birdsearch.export.moments import clock_of, instant, moment_of, zone_of
from birdsearch.export.privacy import Place, Protected, may_leave, place_of, scrubbed
from birdsearch.export.selection import Selection
from birdsearch.export.texts import one_line
from birdsearch.records import ExportReport, Label, Photo, Region, shown
from birdsearch.regions.choice import is_animal

if TYPE_CHECKING:
    from birdsearch.taxonomy.meaning import Resolution

_HOME = re.compile(r"/(?:home|Users|media|run/media)/[^/]+(?=/)|/root(?=/)|[A-Za-z]:[/\\]Users[/\\][^/\\]+(?=[/\\])")
EVENT = 120  # seconds without a photo, after which the next one is of another event
NO_LABEL = "no label"
UNSURE = "a label that is not the sure name of an animal (birdsearch names says what it means)"
NO_PLACE = "no position"
TELLING = "the name of its file or folder tells the place that is rounded"


@dataclass(frozen=True, slots=True)
class SightingOptions:
    """What is told of where, when and who. Raises ValueError for options that mean nothing."""

    deployments: Path | None = field(
        default=None,
        metadata={"help": "A CSV of cameras: deployment, latitude, longitude; folder, place, start, end, camera."},
    )
    timezone: str = field(
        default="", metadata={"help": "Of times without an offset from UTC: Europe/Berlin, or +02:00."}
    )
    sensitive: Path | None = field(
        default=None,
        metadata={"help": "Species whose places are rounded besides those that AviList has as NT to CR, one a line."},
    )
    exact_positions: bool = field(default=False, metadata={"help": "Round no place, of no threatened species."})
    people: bool = field(
        default=False, metadata={"help": "Name photographers and those who gave labels; write boxes of people too."}
    )

    def __post_init__(self) -> None:
        zone_of(self.timezone)
        if self.exact_positions and self.sensitive is not None:
            raise ValueError("exact_positions rounds no place: leave it out, or leave out sensitive")


@dataclass(frozen=True, slots=True)
class DatasetOptions(SightingOptions):
    """What is told of a data set as well."""

    title: str = field(default="Photos of birds", metadata={"help": "The title of the data set."})
    contributor: str = field(default="Anonymous", metadata={"help": "Who the data set is by."})
    license: str = field(
        default="", metadata={"help": "The licence of data and photos: CC-BY-4.0, or the address of another."}
    )
    predictions: bool = field(
        default=False,
        metadata={"help": "Also what the network says of photos without a label, marked as a machine's, unverified."},
    )
    url: str = field(default="", metadata={"help": "Where the photos are on the web: their paths follow it."})

    def __post_init__(self) -> None:
        SightingOptions.__post_init__(self)
        for name in ("title", "contributor", "license", "url"):
            object.__setattr__(self, name, " ".join(one_line(getattr(self, name)).split()))
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError(f"url must begin with https://, got {self.url!r}")
        if self.url and self.url[-1] not in "/=":
            object.__setattr__(self, "url", f"{self.url}/")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a person says that a photo shows, or a network."""

    scientific: str
    rank: str  # "species", "subspecies", "genus"...
    english: str
    ranks: tuple[str, ...]  # kingdom, phylum, class, order, family, genus; "" where there is none
    source: str  # of the label: "correction", "csv", "keywords", "folder"; of a prediction the classifier
    by: str = ""  # the network and the first digits of its weights; a person's name only where that may be told
    at: datetime | None = None  # when a person said so
    probability: float | None = None  # None: a person says so

    @property
    def by_machine(self) -> bool:
        """Whether a network says so, which is unverified."""
        return self.probability is not None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A photo as it may leave; what is not here must not be told."""

    photo: Photo  # only what may leave; its path is below its root folder
    place: Place | None  # rounded where it must be
    moment: datetime | None  # with its offset from UTC; None where that is not known
    deployment: Deployment | None  # None: a table of deployments has none for it
    event: str  # the same for photos that follow each other within EVENT seconds in a deployment; "" without a time
    claim: Claim | None
    unnamed: str = ""  # why there is no claim
    boxes: tuple[Region, ...] = ()
    barred: str = ""  # why it must not leave at all

    @property
    def parts(self) -> list[tuple[Region | None, Claim | None]]:
        """What is said of the photo, and of each box: of several animals nobody said which one the label means."""
        animals = [one for one in self.boxes if is_animal(one.category)]
        if len(animals) == 1 and self.claim is not None:
            return [(one, self.claim if one is animals[0] else None) for one in self.boxes]
        whole: list[tuple[Region | None, Claim | None]] = [] if self.claim is None else [(None, self.claim)]
        return whole + [(one, None) for one in self.boxes]


Need = Callable[[Sighting], str]  # why a sighting does not fulfil it, in words; "" where it does


def has_claim(one: Sighting) -> str:
    """The need of formats whose rows are species."""
    return one.unnamed


def has_place(one: Sighting) -> str:
    """The need of formats whose rows have coordinates."""
    return "" if one.place is not None else NO_PLACE


def has_moment(one: Sighting) -> str:
    """The need of formats whose times are instants."""
    if one.moment is not None:
        return ""
    offset = "a time without an offset from UTC (--timezone gives one)"
    return has_day(one) or (offset if clock_of(one.photo.taken_at) else "no time of the day")


def has_day(one: Sighting) -> str:
    """The need of formats whose rows have a date."""
    return "" if one.photo.taken_at else "no time"


class Sightings:
    """The sightings of one export, in order of id.

    All photos are looked through first: what is known of one can forbid to tell the place of another.
    """

    def __init__(self, photos: Selection, options: SightingOptions) -> None:
        provenance = photos.provenance
        self._photos, self._options = photos, options
        self._zone = zone_of(options.timezone)
        self._corrections = dict(provenance.names)
        self._meaning, self._taxon = cache(self._resolved), cache(self._claimed)
        self._protected = Protected.of(options.sensitive, self._meaning, exact=options.exact_positions)
        self._stations = None if options.deployments is None else Stations.read(options.deployments, self._zone)
        self._paths = Paths(provenance.folders)
        self._salt = provenance.index_id
        self._near: set[tuple[int, int]] = set()  # cells of places that must not be told
        self._gathered: list[Gathered] = []
        self._deployment_of, self._event_of = array("q"), array("q")
        self._look_through()
        self.deployments = [one.deployment for one in self._gathered]
        self._written = self._rounded = 0
        self._left_out, self._unnamed = Counter[str](), Counter[str]()

    def fit(self, *needs: Need) -> Iterator[Sighting]:
        """Those that fulfil the needs of a format; the others are counted as left out, for the first that fails."""
        for one in self:
            why = one.barred or next(filter(None, (need(one) for need in needs)), "")
            if why:
                self._left_out[why] += 1
                continue
            self._written += 1
            self._rounded += one.place is not None and one.place.rounded
            if one.unnamed:
                self._unnamed[one.unnamed] += 1
            yield one

    @property
    def report(self) -> ExportReport:
        """What became of the photos that `fit` has looked at."""
        return ExportReport(self._written, dict(self._left_out), self._rounded, dict(self._unnamed))

    def __iter__(self) -> Iterator[Sighting]:
        rows = iter(zip(self._deployment_of, self._event_of, strict=True))
        for batch in self._photos.described():
            for photo, label, boxes in zip(batch.photos, batch.labels, batch.boxes, strict=True):
                yield self._sighting(photo, label, boxes, *next(rows))

    # One photo

    def _sighting(self, photo: Photo, label: Label | None, boxes: list[Region], row: int, event: int) -> Sighting:
        exact, deployment = self._exact(photo, row), self.deployments[row] if row >= 0 else None
        place = exact.coarse if exact is not None and self._is_hidden(photo, exact, row) else exact
        path = self._paths.below(photo.path)
        told = place is not None and place.rounded and exact is not None and exact.is_told_by(path)
        people = self._options.people
        claim, unnamed = self._claim(photo, label)
        return Sighting(
            scrubbed(photo, path, people=people),
            place,
            moment_of(photo, self._zone),
            deployment,
            f"{deployment.id}-{event}" if deployment is not None and event else "",
            claim,
            unnamed,
            tuple(one for one in boxes if may_leave(one, people=people)),
            TELLING if told else "",
        )

    def _exact(self, photo: Photo, row: int) -> Place | None:
        station = self._gathered[row].station if row >= 0 else None
        return place_of(photo.latitude, photo.longitude) or (station.place if station is not None else None)

    def _is_hidden(self, photo: Photo, place: Place, row: int) -> bool:
        here = row >= 0 and self._gathered[row].station is not None and self._gathered[row].sensitive
        return here or place.cell in self._near or self._protected.shown_by(photo)

    def _claim(self, photo: Photo, label: Label | None) -> tuple[Claim | None, str]:
        if photo.label is not None:
            claim = self._taxon(photo.label)
            if claim is None:
                return None, UNSURE
            if label is None:
                return claim, ""
            by = shown(label.author or "") if self._options.people else ""
            at = instant(clock_of(label.created_at), None)
            return replace(claim, source=label.source, by=by, at=at), ""
        return self._prediction(photo), NO_LABEL if self._prediction(photo) is None else ""

    def _prediction(self, photo: Photo) -> Claim | None:
        """What the network says, where that may be told and is a taxon: classes of ImageNet are none."""
        from birdsearch.taxonomy.resolve import RANKS

        if not getattr(self._options, "predictions", False):
            return None
        for guess in photo.predictions:
            if guess.position == 1 and (guess.species or guess.rank in RANKS):
                claim = self._taxon(guess.species or guess.class_name)
                by = self.model if guess.source == "backbone" else guess.source
                return claim and replace(claim, source=guess.source, by=by, probability=guess.probability)
        return None

    @cached_property
    def model(self) -> str:
        """The network and the first digits of its weights."""
        backbone = self._photos.backbone
        name = os.path.basename(backbone.name)  # one of a user's own may be called by its path
        return f"{name}@{backbone.weights_sha256[:8]}" if backbone.weights_sha256 else name

    def _resolved(self, name: str) -> "Resolution":
        from birdsearch.taxonomy.resolve import resolve

        return resolve(name, overrides=self._corrections)

    def _claimed(self, name: str) -> Claim | None:
        """The taxon of a name, if it is sure."""
        from birdsearch.taxonomy import avilist
        from birdsearch.taxonomy.resolve import RANKS, is_bird, lineage

        meaning = self._meaning(name)
        taxon, rank = meaning.taxon, meaning.rank
        if taxon is None or rank is None or meaning.guessed or not taxon.scientific:
            return None
        ranks = lineage(taxon.scientific if is_bird(meaning) else name)
        if not ranks or ranks[0] != "Animalia":
            return None
        scientific = taxon.scientific
        if rank == "species" and meaning.method == "exact" and avilist.is_subspecies(avilist.key(name)):
            scientific, rank = f"{scientific} {avilist.words(name)[-1]}", "subspecies"
        return Claim(scientific, rank, taxon.english, tuple(one or "" for one in ranks[: len(RANKS) - 1]), "")

    # All photos

    def _look_through(self) -> None:
        """Learn what protects places, and of which deployments and events the photos are."""
        rows: dict[str, int] = {}
        clocks = array("d")
        for photo in self._photos.looked_through():
            row = self._row(photo, rows)
            clock = clock_of(photo.taken_at)
            clocks.append(math.nan if clock is None else clock.replace(tzinfo=UTC).timestamp())
            self._deployment_of.append(row)
            place, sensitive = self._exact(photo, row), self._protected.shown_by(photo)
            if row >= 0:
                moment = moment_of(photo, self._zone)
                self._gathered[row].take(place, moment, photo.camera, sensitive=sensitive)
            if sensitive and place is not None:
                self._near |= place.cells_around
        for one in self._gathered:
            if one.sensitive and one.station is not None:
                self._near |= one.station.place.cells_around
        for one in self._gathered:
            one.sensitive |= not self._near.isdisjoint(one.cells)
        self._event_of = _events(self._deployment_of, clocks)

    def _row(self, photo: Photo, rows: dict[str, int]) -> int:
        """Which of the deployments a photo is of; -1 for one of none."""
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
