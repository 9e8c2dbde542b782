"""Camtrap DP, the package in which camera trap projects exchange their data: media, and what was observed in them."""

import heapq
import os
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from sys import intern
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
_MOST = 10  # species of an event that are told apart
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
    bbox: str = ""  # x, y, width, height in shares of the picture, as they stand in the table: "0.1,0.2,0.3,0.4"
    probability: str = ""  # as it stands in the table

    @property
    def is_claim(self) -> bool:
        """Whether a person has said which animal it is."""
        return self.method == "human" and self.kind == "animal" and bool(self.name)


@dataclass(slots=True)
class Medium:
    """A file of the package, with what was observed in it."""

    id: str
    line: int  # in the table of media
    path: str  # below the package; empty where it lies on the web
    url: str  # empty where it does not
    name: str  # of the file; empty where another one of the package has it too, as cards of two cameras do
    observed: list[Observation] = field(default_factory=list)
    in_event: tuple[Observation, ...] = ()  # what people said of an event that it is a part of

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
        return [one for one in own or self.in_event if one.is_claim]

    def join(self, said: Observation) -> None:
        """Note what was said of an event that it is a part of; two species are as good as a thousand."""
        if len(self.in_event) < _MOST and all(one.name != said.name for one in self.in_event):
            self.in_event += (said,)


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
    said: dict[tuple[str, str], list[Observation]] = {}  # the same -> what people said of the whole event
    methods: Counter[str] = Counter()
    table = shown(str(tables["observations"]))
    for line, row in read_csv(tables["observations"], _OBSERVED, optional=_OPTIONAL):
        place = f"{table}, line {line}"
        observation = _observation(row, place, line)
        methods[observation.method] += observation.kind != "unclassified"
        deployment, event = row["deploymentid"], row.get("eventid", "")
        if row["mediaid"]:
            medium = by_id.get(row["mediaid"])
            if medium is None:
                raise InputFileError(f"{place}: there is no media {shown(row['mediaid'])!r:.80}.")
            medium.observed.append(observation)
            if event:
                events.setdefault((deployment, event), []).append(medium)
        elif row["observationlevel"] == "event":
            span = _seconds(row["eventstart"], place, "eventStart"), _seconds(row["eventend"], place, "eventEnd")
            if observation.is_claim:
                deployments.setdefault(deployment, _Deployment()).events.append((*span, line, observation))
                of_event = said.setdefault((deployment, event), [])
                of_event += [observation] if event and len(of_event) < _MOST else []
        else:
            raise InputFileError(f"{place}: an observation of media has no mediaID.")
    for key, of_event in said.items():
        for medium in events.get(key, ()):
            for observation in of_event:
                medium.join(observation)
    for one in deployments.values():
        one.join_events()
    names = Counter(medium.name for medium in by_id.values())
    for medium in by_id.values():
        medium.name = medium.name if names[medium.name] == 1 else ""
    others = sum(methods.values()) - methods["human"]
    return Package(shown(str(tables["media"])), table, list(by_id.values()), others)


# The tables ----------------------------------------------------------------------------------------------------------


def _tables(file: JsonLists, folder: Path) -> dict[str, Path]:
    """The files of the tables media and observations."""
    stated: dict[str, Any] = {str(one.get("name")): one.get("path") for _, one in file.objects("resources")}
    found: dict[str, Path] = {}
    for table in ("media", "observations"):
        path = stated.get(table)
        if isinstance(path, list) and len(path) == 1:
            path = path[0]
        if not isinstance(path, str) or not path or shown(path) != path:
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
        taken = _seconds(row["timestamp"], place, "timestamp")
        deployments.setdefault(row["deploymentid"], _Deployment()).media.append((taken, line, medium))
    return by_id, deployments


def _observation(row: Mapping[str, str], place: str, line: int) -> Observation:
    kind, method = row["observationtype"].strip().lower(), row.get("classificationmethod", "").strip().lower()
    if kind not in _TYPES:
        raise InputFileError(f"{place}: observationType is {shown(kind)!r:.80}. It is one of {', '.join(_TYPES)}.")
    if method not in ("human", "machine", ""):
        raise InputFileError(f"{place}: classificationMethod is {shown(method)!r:.80}. It is human or machine.")
    bbox = ",".join(row.get(name, "").strip() for name in _BBOX)
    author, when = (row.get(name, "").strip() for name in ("classifiedby", "classificationtimestamp"))
    if when:
        _seconds(when, place, "classificationTimestamp")
    # Names are the same in thousands of lines: one text serves all.
    name, author = intern(shown(row.get("scientificname", "").strip())), intern(shown(author))
    probability = row.get("classificationprobability", "").strip()
    known = name, author or None, when or None, bbox.strip(",") and bbox, probability
    return Observation(line, intern(kind), intern(method), *known)


# Events --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Deployment:
    """The media of one camera at one place, and what people said of events there."""

    media: list[tuple[float, int, Medium]] = field(default_factory=list)  # time, line
    events: list[tuple[float, float, int, Observation]] = field(default_factory=list)  # from, to, line

    def join_events(self) -> None:
        """Let each medium know of the events in whose time it was taken: one walk through the time of all."""
        coming = deque(sorted(self.events, key=lambda event: event[:3]))
        current: list[tuple[float, int, Observation]] = []  # until when, line
        lasting: dict[str, dict[int, Observation]] = {}  # name -> line -> what was said of an event that goes on
        for taken, _, medium in sorted(self.media, key=lambda one: one[:2]) if self.events else ():
            while coming and coming[0][0] <= taken:
                _, end, line, said = coming.popleft()
                heapq.heappush(current, (end, line, said))
                lasting.setdefault(said.name, {})[line] = said
            while current and current[0][0] < taken:
                _, line, said = heapq.heappop(current)
                del lasting[said.name][line]
                if not lasting[said.name]:
                    del lasting[said.name]
            for of_name in islice(lasting.values(), _MOST):
                medium.join(next(iter(of_name.values())))


def _seconds(text: str, place: str, column: str) -> float:
    """A time as a number."""
    if (found := moment(text)) is None:
        raise InputFileError(f"{place}: {column} is {shown(text)!r:.80}. Write a time as 2026-05-01T07:30:00+02:00.")
    return found.timestamp()
