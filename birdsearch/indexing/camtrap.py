"""Camtrap DP, the package in which camera trap projects exchange their data: media, and what was observed in them."""

import os
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.files import absolute
from birdsearch.indexing.json_lists import JsonLists
from birdsearch.indexing.label_rows import moment
from birdsearch.records import shown
from birdsearch.sheets import read_csv

_ADVICE = "Give the datapackage.json of a Camtrap DP 1.0 package, beside its tables."
_BBOX = ("bboxx", "bboxy", "bboxwidth", "bboxheight")  # columns as `read_csv` names them
_MEDIA = ("mediaid", "deploymentid", "timestamp", "filepath")
_OBSERVED = ("deploymentid", "mediaid", "eventstart", "eventend", "observationlevel", "observationtype")
_OPTIONAL = (
    "eventid",
    "scientificname",
    "classificationmethod",
    "classifiedby",
    "classificationtimestamp",
    "classificationprobability",
    *_BBOX,
)
# What a person may have seen besides an animal, which says that the photo shows no species.
_NO_SPECIES = ("blank", "human", "vehicle", "unknown")
_ON_THE_WEB = "which lies on the web"
_TYPES = ("animal", "unclassified", *_NO_SPECIES)


@dataclass(frozen=True, slots=True)
class Observation:
    """What somebody, or a machine, said of a file, or of all files of an event."""

    line: int  # in the table of observations
    kind: str  # the observationType
    method: str  # "human", "machine" or empty
    name: str  # scientific; empty where it is none
    author: str | None = None
    created_at: str | None = None
    bbox: tuple[str, ...] | None = None  # x, y, width, height in shares of the picture, as they stand in the table
    probability: str = ""  # as it stands in the table


@dataclass(slots=True)
class Medium:
    """A file of the package, with what was observed in it."""

    id: str
    line: int  # in the table of media
    path: str  # below the package; empty where it lies on the web
    url: str  # empty where it does not
    name: str  # of the file; empty where another one of the package has it too, as cards of two cameras do
    observed: list[Observation] = field(default_factory=list)
    in_event: list[Observation] = field(default_factory=list)  # of an event that it is a part of

    def at(self, folder: bytes) -> bytes:
        """A path of its own: the absolute one of its file, where the package lies in this folder."""
        return absolute(self.path or self.url, folder)

    @property
    def is_blank(self) -> bool:
        """Whether a person has said that it shows nothing."""
        return any(one.kind == "blank" and one.method == "human" for one in self.observed)

    @property
    def claims(self) -> list[Observation]:
        """What people said that it shows: of it alone, or else of its event. Nothing where that is no species."""
        own = [one for one in self.observed if one.method == "human" and one.kind != "unclassified"]
        said = own or [one for one in self.in_event if one.method == "human"]
        return [one for one in said if one.kind == "animal" and one.name]


@dataclass(frozen=True, slots=True)
class Package:
    """The tables of a package that say something of photos."""

    media_table: str  # as they are shown
    observations_table: str
    media: Sequence[Medium]
    by_machine: int  # observations that no person has made


def read_package(file: JsonLists, folder: Path) -> Package:
    """The media of the package that a file describes, which lies in a folder.

    Raises InputFileError, with the line, for what cannot be used.
    """
    tables = _tables(file, folder)
    by_id, deployments = _media(tables["media"])
    events: dict[tuple[str, str], list[Medium]] = {}  # deployment and event -> media with observations of that event
    waiting: list[tuple[str, str, _Span, Observation]] = []
    methods: Counter[str] = Counter()
    table = shown(str(tables["observations"]))
    for line, row in read_csv(tables["observations"], _OBSERVED, optional=_OPTIONAL):
        observation = _observation(row, f"{table}, line {line}", line)
        methods[observation.method] += observation.kind != "unclassified"
        deployment, event = row["deploymentid"], row.get("eventid", "")
        if row["mediaid"]:
            medium = by_id.get(row["mediaid"])
            if medium is None:
                raise InputFileError(f"{table}, line {line}: there is no media {shown(row['mediaid'])!r:.80}.")
            medium.observed.append(observation)
            if event:
                events.setdefault((deployment, event), []).append(medium)
        elif row["observationlevel"] == "event":
            waiting.append((deployment, event, _Span.of(row, f"{table}, line {line}"), observation))
        else:
            raise InputFileError(f"{table}, line {line}: an observation of media has no mediaID.")
    for deployment, event, span, observation in waiting:
        found = {id(one): one for one in events.get((deployment, event), ())} if event else {}
        found |= {id(one): one for one in deployments.get(deployment, _NONE).within(span)}
        for medium in found.values():
            medium.in_event.append(observation)
    names = Counter(medium.name for medium in by_id.values())
    for medium in by_id.values():
        medium.name = medium.name if names[medium.name] == 1 else ""
    others = sum(methods.values()) - methods["human"]
    return Package(shown(str(tables["media"])), table, list(by_id.values()), others)


# The tables ----------------------------------------------------------------------------------------------------------


def _tables(file: JsonLists, folder: Path) -> dict[str, Path]:
    """The files of the tables media and observations."""
    stated: dict[Any, Any] = {one.get("name"): one.get("path") for _, one in file.objects("resources")}
    found: dict[str, Path] = {}
    for table in ("media", "observations"):
        path = stated.get(table)
        if isinstance(path, list) and len(path) == 1:
            path = path[0]
        if not isinstance(path, str) or not path:
            raise InputFileError(f"{file.name}: it names no file of the table {table}. {_ADVICE}")
        if (why := _leaves(path)) is not None:
            raise InputFileError(f"{file.name}: the table {table} is {shown(path)!r:.200}, {why}. {_ADVICE}")
        found[table] = folder / path
    return found


def _leaves(path: str) -> str | None:
    """Why a path is none below the folder of the package; None where it is one."""
    if "\0" in path:
        return "which is no name of a file"
    if "://" in path:
        return _ON_THE_WEB
    if os.path.isabs(path) or PureWindowsPath(path).anchor or ".." in (*PurePosixPath(path).parts, *path.split("\\")):
        return "which leaves the folder of the package"
    return None


def _media(path: Path) -> tuple[dict[str, Medium], "dict[str, _Deployment]"]:
    """The media by their ids, and those of each deployment."""
    table = shown(str(path))
    by_id: dict[str, Medium] = {}
    deployments: dict[str, _Deployment] = {}
    for line, row in read_csv(path, _MEDIA, optional=["filename"]):
        place = f"{table}, line {line}"
        number, stated = row["mediaid"], row["filepath"]
        if not number or number in by_id:
            why = f"{shown(number)!r:.80} stands in line {by_id[number].line} too" if number else "it is empty"
            raise InputFileError(f"{place}: mediaID: {why}. Give each file an id of its own.")
        why_not = _leaves(stated)
        if not stated or (why_not is not None and why_not != _ON_THE_WEB):
            raise InputFileError(f"{place}: filePath is {shown(stated)!r:.200}, {why_not or 'which names no file'}.")
        name = row.get("filename", "").strip()
        by_id[number] = medium = Medium(
            number, line, *(("", stated) if why_not else (stated, "")), name or stated.rsplit("/", 1)[-1]
        )
        taken = _moment(row["timestamp"], place, "timestamp")
        deployments.setdefault(row["deploymentid"], _Deployment()).add(taken, medium)
    return by_id, deployments


def _observation(row: Mapping[str, str], place: str, line: int) -> Observation:
    kind, method = row["observationtype"].strip().lower(), row.get("classificationmethod", "").strip().lower()
    if kind not in _TYPES:
        raise InputFileError(f"{place}: observationType is {shown(kind)!r:.80}. It is one of {', '.join(_TYPES)}.")
    if method not in ("human", "machine", ""):
        raise InputFileError(f"{place}: classificationMethod is {shown(method)!r:.80}. It is human or machine.")
    bbox = tuple(row.get(name, "").strip() for name in _BBOX)
    author, when = (row.get(name, "").strip() or None for name in ("classifiedby", "classificationtimestamp"))
    if when:
        _moment(when, place, "classificationTimestamp")
    name = shown(row.get("scientificname", "").strip())
    probability = row.get("classificationprobability", "").strip()
    known = (name, author and shown(author), when, bbox if any(bbox) else None, probability)
    return Observation(line, kind, method, *known)


# Events --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Span:
    """From when to when an event lasted."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, row: Mapping[str, str], place: str) -> "_Span":
        return cls(_moment(row["eventstart"], place, "eventStart"), _moment(row["eventend"], place, "eventEnd"))


@dataclass(slots=True)
class _Deployment:
    """The media of one camera at one place."""

    times: list[datetime] = field(default_factory=list)
    media: list[Medium] = field(default_factory=list)
    sorted: bool = True

    def add(self, time: datetime, medium: Medium) -> None:
        self.sorted = self.sorted and (not self.times or self.times[-1] <= time)
        self.times.append(time)
        self.media.append(medium)

    def within(self, span: _Span) -> Iterator[Medium]:
        """The media of an event."""
        if not self.sorted:
            order = sorted(range(len(self.times)), key=self.times.__getitem__)
            self.times, self.media = [self.times[at] for at in order], [self.media[at] for at in order]
            self.sorted = True
        return iter(self.media[bisect_left(self.times, span.start) : bisect_right(self.times, span.end)])


_NONE = _Deployment()


def _moment(text: str, place: str, column: str) -> datetime:
    if (found := moment(text)) is None:
        raise InputFileError(f"{place}: {column} is {shown(text)!r:.80}. Write a time as 2026-05-01T07:30:00+02:00.")
    return found
