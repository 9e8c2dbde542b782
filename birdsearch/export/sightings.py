"""Sightings: photos as programs of biodiversity take them, each without what must not leave."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from birdsearch.export.claims import Claim, Claims
from birdsearch.export.deployments import Deployment, Stations
from birdsearch.export.moments import clock_of, moment_of, zone_of
from birdsearch.export.privacy import Paths, Place, Protected, may_leave, scrubbed
from birdsearch.export.selection import Selection
from birdsearch.export.survey import Survey
from birdsearch.export.texts import is_address, one_line
from birdsearch.records import ExportReport, Label, Photo, Region
from birdsearch.regions.choice import is_animal

if TYPE_CHECKING:
    from birdsearch.taxonomy.meaning import Resolution

NO_LABEL = "no label"
UNSURE = "a label that is not the sure name of an animal (birdsearch names says what it means)"
NO_PLACE = "no position"
COPY = "a copy of a photo that is written"
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
        if self.url and not is_address(self.url):
            raise ValueError(f"url must begin with https://, got {self.url!r}")
        if self.url and self.url[-1] not in "/=":
            object.__setattr__(self, "url", f"{self.url}/")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A photo as it may leave; what is not here must not be told."""

    photo: Photo  # only what may leave; its path is below its root folder
    place: Place | None  # rounded where it must be
    moment: datetime | None  # with its offset from UTC; None where that is not known
    deployment: Deployment | None  # None: a table of deployments has none for it
    locality: str  # what a table of deployments calls its place; "" where it does not, or that is not told
    event: str  # the same for photos that follow each other in a deployment; "" without a time
    claim: Claim | None
    unnamed: str = ""  # why there is no claim
    boxes: tuple[Region, ...] = ()
    barred: str = ""  # why it must not leave at all

    @property
    def time(self) -> str:
        """When, as far as it is known: with its offset from UTC, as the clock showed it, or the day."""
        return self.moment.isoformat() if self.moment else (self.photo.taken_at or "").partition(".")[0]

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


def claim_of(one: Sighting) -> Claim:
    """The claim of a sighting that fulfils `has_claim`."""
    assert one.claim is not None
    return one.claim


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


class Once:
    """The need of formats of which no two rows may have one `key`."""

    def __init__(self, key: Callable[[Sighting], object], why: str = COPY) -> None:
        self._key, self._why = key, why
        self._seen: set[int] = set()  # hashes: a million texts would fill 200 MB

    def __call__(self, one: Sighting) -> str:
        key = hash(self._key(one))
        if key in self._seen:
            return self._why
        self._seen.add(key)
        return ""


def species_of_picture(one: Sighting) -> tuple[str | None, str]:
    """What stays the same in every export, and in copies of a photo: its bytes and the species."""
    return one.photo.sha256, one.claim.scientific if one.claim is not None else ""


class Sightings:
    """The sightings of one export, in order of id.

    All photos are looked through first: what is known of one can forbid to tell the place of another.
    """

    def __init__(self, photos: Selection, options: SightingOptions) -> None:
        provenance, zone = photos.provenance, zone_of(options.timezone)
        corrections = dict(provenance.names)

        @cache
        def meaning(name: str) -> "Resolution":
            from birdsearch.taxonomy.resolve import resolve

            return resolve(name, overrides=corrections)

        predictions = isinstance(options, DatasetOptions) and options.predictions
        stations = None if options.deployments is None else Stations.read(options.deployments, zone)
        protected = Protected.of(options.sensitive, meaning, exact=options.exact_positions)
        self._photos, self._zone, self._people = photos, zone, options.people
        self._tabled = stations is not None
        self._claims = Claims(meaning, photos.backbone, people=options.people, predictions=predictions)
        self._paths = Paths(provenance.folders)
        self._survey = Survey(photos, protected, stations, self._paths, zone)
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
        rows = zip(self._survey.deployment_of, self._survey.event_of, strict=True)
        for batch in self._photos.described():
            for photo, label, boxes in zip(batch.photos, batch.labels, batch.boxes, strict=True):
                yield self._sighting(photo, label, boxes, *next(rows))

    def _sighting(self, photo: Photo, label: Label | None, boxes: list[Region], row: int, event: int) -> Sighting:
        deployment = self._survey.deployments[row] if row >= 0 else None
        exact, place = self._survey.place(photo, row)
        path = self._paths.below(photo.path)
        is_told = exact is not None and place is not None and place.rounded and exact.is_told_by(path)
        claim = self._claims.of_predictions(photo) if label is None else self._claims.of_label(label)
        return Sighting(
            scrubbed(photo, path, people=self._people),
            place,
            moment_of(photo, self._zone),
            deployment,
            deployment.name if deployment is not None and self._tabled else "",
            f"{deployment.id}-{event}" if deployment is not None and event else "",
            claim,
            "" if claim is not None else NO_LABEL if label is None else UNSURE,
            tuple(one for one in boxes if may_leave(one, people=self._people)),
            TELLING if is_told else "",
        )
