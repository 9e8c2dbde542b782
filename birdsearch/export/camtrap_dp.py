"""Camtrap DP 1.0.2, the format of camera traps: a folder of deployments, media and observations, and what it is."""

import codecs
import json
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from birdsearch.export.claims import Claim
from birdsearch.export.deployments import Deployment
from birdsearch.export.privacy import GENERALIZED
from birdsearch.export.selection import Selection
from birdsearch.export.sightings import DatasetOptions, Sighting, Sightings, has_moment, has_place
from birdsearch.export.target import new_folder
from birdsearch.export.texts import Table, is_address
from birdsearch.files import atomic_write
from birdsearch.photos.filetype import MEDIA_TYPES
from birdsearch.records import BY_HAND, ExportReport, Region
from birdsearch.regions.choice import kind_of
from birdsearch.sheets import guarded

_STANDARD = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/"
# All columns of the standard, in its order.
_COLUMNS = {
    "deployments": (
        "deploymentID", "locationID", "locationName", "latitude", "longitude", "coordinateUncertainty",
        "deploymentStart", "deploymentEnd", "setupBy", "cameraID", "cameraModel", "cameraDelay", "cameraHeight",
        "cameraDepth", "cameraTilt", "cameraHeading", "detectionDistance", "timestampIssues", "baitUse", "featureType",
        "habitat", "deploymentGroups", "deploymentTags", "deploymentComments",
    ),
    "media": (
        "mediaID", "deploymentID", "captureMethod", "timestamp", "filePath", "filePublic", "fileName", "fileMediatype",
        "exifData", "favorite", "mediaComments",
    ),
    "observations": (
        "observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationLevel",
        "observationType", "cameraSetupType", "scientificName", "count", "lifeStage", "sex", "behavior", "individualID",
        "individualPositionRadius", "individualPositionAngle", "individualSpeed", "bboxX", "bboxY", "bboxWidth",
        "bboxHeight", "classificationMethod", "classifiedBy", "classificationTimestamp", "classificationProbability",
        "observationTags", "observationComments",
    ),
}  # fmt: skip
_FILE_PATH = re.compile(r"(?![./~])(?!.*\.\.)[^\n\r]+")
NO_DEPLOYMENT = "in none of the deployments of the table"
NAME = "a path that Camtrap DP does not allow (a dot or ~ first, two dots, a line break)"
RUN = "a path that a spreadsheet would run"
NOT_ANOTHER = "where one is, not another one"  # of a box beside the species of the photo


class CamtrapDp:
    """Photos as a Camtrap DP package."""

    name = "camtrap-dp"
    suffix = ""
    help = "a folder for programs of camera traps, Camtrap DP 1.0.2"
    options = DatasetOptions

    def write(self, photos: Selection, path: Path, options: DatasetOptions) -> ExportReport:
        """Write the photos that have an instant and a place, with what is said of each."""
        sightings, package = Sightings(photos, options), _Package(options)
        rounded = 0
        with new_folder(path) as folder, ExitStack() as stack:
            files = {name: stack.enter_context(atomic_write(folder / f"{name}.csv")) for name in _COLUMNS}
            tables = {name: Table(codecs.getwriter("utf-8")(files[name]), of) for name, of in _COLUMNS.items()}
            for one in sightings.fit(_fits, has_moment, _in_deployment, has_place):
                place = _deployment(one).place
                rounded += place is not None and place.rounded
                package.take(one)
                tables["media"].write(_medium(one, options), as_they_are=("filePath",))
                for row in _observations(one):
                    tables["observations"].write(row)
            for deployment in package.deployments.values():
                tables["deployments"].write(_row(deployment))
            about = stack.enter_context(atomic_write(folder / "datapackage.json"))
            about.write(json.dumps(package.described, indent=1, ensure_ascii=False).encode() + b"\n")
        return replace(sightings.report, rounded=rounded)

    def next_step(self, path: Path, report: ExportReport) -> str:
        """What else is handed on."""
        return "The photos are not in the folder: media.csv has their paths below the root folder of the index"


# Needs ----------------------------------------------------------------------------------------------------------------


def _fits(one: Sighting) -> str:
    if not _FILE_PATH.fullmatch(one.photo.path) or one.photo.path in ("NA", "NaN", "nan"):
        return NAME
    return RUN if guarded(one.photo.path) != one.photo.path else ""


def _in_deployment(one: Sighting) -> str:
    return "" if one.deployment is not None else NO_DEPLOYMENT


# Rows -----------------------------------------------------------------------------------------------------------------


def _deployment(one: Sighting) -> Deployment:
    assert one.deployment is not None
    return one.deployment


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


def _row(one: Deployment) -> dict[str, Any]:
    """A line of deployments.csv."""
    assert one.place is not None
    return {
        "deploymentID": one.id,
        "locationName": one.name,
        "latitude": f"{one.place.latitude:.6f}",
        "longitude": f"{one.place.longitude:.6f}",
        "coordinateUncertainty": one.place.uncertainty,
        "deploymentStart": _time(one.start),
        "deploymentEnd": _time(one.end),
        "cameraModel": one.camera,
        "deploymentComments": GENERALIZED if one.place.rounded else "",
    }


def _medium(one: Sighting, options: DatasetOptions) -> dict[str, Any]:
    """A line of media.csv."""
    return {
        "mediaID": str(one.photo.id),
        "deploymentID": _deployment(one).id,
        "timestamp": _time(one.moment),
        "filePath": options.url + quote(one.photo.path) if options.url else one.photo.path,
        "filePublic": "true" if options.url else "false",
        "fileName": os.path.basename(one.photo.path),
        "fileMediatype": MEDIA_TYPES.get(one.photo.format or "", "image/jpeg"),
    }


def _observations(one: Sighting) -> list[dict[str, Any]]:
    """The lines of observations.csv of a photo: what it shows, and where; none says how many."""
    time = _time(one.moment)
    same = {"deploymentID": _deployment(one).id, "mediaID": str(one.photo.id), "eventID": one.event}
    same |= {"eventStart": time, "eventEnd": time, "observationLevel": "media"}
    rows = []
    for number, (box, claim) in enumerate(one.parts or [(None, None)], start=1):
        row = same | {"observationID": f"{one.photo.id}-{number}", "observationType": "unclassified"}
        if box is not None:
            row |= _boxed(box)
            row["observationComments"] = NOT_ANOTHER if claim is None and one.claim is not None else ""
        if claim is not None:
            row |= _named(claim)
        rows.append(row)
    return rows


def _boxed(region: Region) -> dict[str, Any]:
    """Where something is, and who found it; never how many."""
    box = region.box
    by_hand = region.source == BY_HAND
    return {
        "observationType": kind_of(region.category),
        **dict(zip(("bboxX", "bboxY", "bboxWidth", "bboxHeight"), (box.x, box.y, box.width, box.height), strict=True)),
        "classificationMethod": "human" if by_hand else "machine",
        "classifiedBy": "" if by_hand else os.path.basename(region.source or ""),
        "classificationProbability": None if by_hand else region.confidence,
    }


def _named(claim: Claim) -> dict[str, Any]:
    """What somebody, or a network, says that it is."""
    return {
        "observationType": "animal",
        "scientificName": claim.scientific,
        "classificationMethod": "machine" if claim.by_machine else "human",
        "classifiedBy": claim.by,
        "classificationTimestamp": _time(claim.at),
        "classificationProbability": claim.probability,
        "observationTags": "verified:no" if claim.by_machine else f"label:{claim.source}",
    }


# The package ----------------------------------------------------------------------------------------------------------


class _Package:
    """What a package says of itself, gathered while its photos are written."""

    def __init__(self, options: DatasetOptions) -> None:
        self._options = options
        self._taxa: dict[str, Claim] = {}
        self.deployments: dict[str, Deployment] = {}  # those that have a photo

    def take(self, one: Sighting) -> None:
        """The next photo."""
        self.deployments[_deployment(one).id] = _deployment(one)
        if one.claim is not None:
            self._taxa.setdefault(one.claim.scientific, one.claim)

    @property
    def described(self) -> dict[str, Any]:
        """The contents of datapackage.json."""
        options, now = self._options, datetime.now(UTC)
        resources = [
            {"name": name, "path": f"{name}.csv", "profile": "tabular-data-resource", "format": "csv",
             "mediatype": "text/csv", "encoding": "utf-8", "schema": f"{_STANDARD}{name}-table-schema.json"}
            for name in _COLUMNS
        ]  # fmt: skip
        project = {
            "title": options.title, "samplingDesign": "opportunistic", "captureMethod": ["activityDetection"],
            "individualAnimals": False, "observationLevel": ["media"],
        }  # fmt: skip
        rounded = any(one.place is not None and one.place.rounded for one in self.deployments.values())
        return {
            "resources": resources,
            "profile": f"{_STANDARD}camtrap-dp-profile.json",
            "name": "birdsearch-export",
            "created": now.isoformat(timespec="seconds"),
            "title": options.title,
            "contributors": [{"title": options.contributor, "role": "contact"}],
            **({"licenses": _licenses(options.license)} if options.license else {}),
            "project": project,
            **({"coordinatePrecision": 0.1} if rounded else {}),
            "spatial": self._spatial,
            "temporal": self._temporal(now),
            "taxonomic": [_taxon(claim) for _, claim in sorted(self._taxa.items())],
        }

    @property
    def _spatial(self) -> dict[str, Any]:
        places = [one.place for one in self.deployments.values() if one.place is not None]
        if not places:
            return {"type": "GeometryCollection", "geometries": []}
        south, north = (choose(one.latitude for one in places) for choose in (min, max))
        west, east = (choose(one.longitude for one in places) for choose in (min, max))
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {"type": "Polygon", "coordinates": [[[round(x, 6), round(y, 6)] for x, y in ring]]}

    def _temporal(self, now: datetime) -> dict[str, str]:
        starts = [one.start for one in self.deployments.values() if one.start is not None]
        ends = [one.end for one in self.deployments.values() if one.end is not None]
        return {"start": min(starts, default=now).date().isoformat(), "end": max(ends, default=now).date().isoformat()}


def _licenses(license: str) -> list[dict[str, str]]:
    """One licence, of the data and of the photos."""
    name = "path" if is_address(license) else "name"
    return [{name: license, "scope": scope} for scope in ("data", "media")]


def _taxon(claim: Claim) -> dict[str, Any]:
    ranks = zip(("kingdom", "phylum", "class", "order", "family", "genus"), claim.ranks, strict=False)
    english = {"vernacularNames": {"eng": claim.english}} if claim.english else {}
    known = {rank: name for rank, name in ranks if name}
    return {"scientificName": claim.scientific, "taxonRank": claim.rank, **known, **english}
