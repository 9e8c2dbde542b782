"""COCO Camera Traps, the JSON of MegaDetector and LILA: images, what is on them, and where. It has no coordinates."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from birdsearch.export.claims import Claim
from birdsearch.export.moments import clock_of
from birdsearch.export.selection import Selection
from birdsearch.export.sightings import DatasetOptions, Sighting, Sightings
from birdsearch.export.target import new_file
from birdsearch.export.texts import is_address
from birdsearch.records import BY_HAND, ExportReport, Region
from birdsearch.regions.choice import HUMAN, kind_of


class CocoCameraTraps:
    """Photos as COCO Camera Traps."""

    name = "coco-ct"
    suffix = ".json"
    help = "labels and boxes for MegaDetector and others, COCO Camera Traps"
    options = DatasetOptions

    def write(self, photos: Selection, path: Path, options: DatasetOptions) -> ExportReport:
        """Write an image for each photo, and an annotation for its species and each box."""
        sightings, categories = Sightings(photos, options), _Categories()
        with new_file(path) as file, tempfile.TemporaryFile() as annotations:  # they follow the images in the file
            file.write(b'{"info": ' + _json(_info(options)) + b',\n"images": [')
            images, notes = _List(file), _List(annotations)
            for one in sightings.fit():
                images.add(_image(one, options))
                for note in _annotations(one, categories):
                    notes.add(note)
            annotations.seek(0)
            file.write(b'\n],\n"annotations": [')
            shutil.copyfileobj(annotations, file)
            file.write(b'\n],\n"categories": ' + _json(categories.listed) + _licenses(options.license) + b"}\n")
        return replace(sightings.report, rounded=0)

    def next_step(self, path: Path, report: ExportReport) -> str:
        """Many tools read it: no hint."""
        return ""


class _List:
    """A list of JSON in a file, item by item."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._comma = file, b"\n"

    def add(self, item: Any) -> None:
        self._file.write(self._comma + _json(item))
        self._comma = b",\n"


class _Categories:
    """The names of what is on the images, numbered as they come; 0 is for images of nothing."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = [{"id": 0, "name": "empty"}]
        self._numbers: dict[str, int] = {}

    def number(self, name: str, **more: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self.listed)
            self.listed.append({"id": len(self.listed), "name": name, **more})
        return self._numbers[name]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _info(options: DatasetOptions) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"version": "1.0", "description": options.title, "contributor": options.contributor}
    return {**about, "year": now[:4], "date_created": now}


def _licenses(license: str) -> bytes:
    """The licence of all images, as COCO has it."""
    if not license:
        return b""
    return b',\n"licenses": ' + _json([{"id": 1, "name": license, "url": license if is_address(license) else ""}])


def _image(one: Sighting, options: DatasetOptions) -> dict[str, Any]:
    photo, clock = one.photo, clock_of(one.photo.taken_at)
    image: dict[str, Any] = {"id": str(photo.id), "file_name": photo.path}
    if photo.width and photo.height:
        image |= {"width": photo.width, "height": photo.height}
    if clock is not None:
        image["datetime"] = clock.replace(tzinfo=None).isoformat(" ", "seconds")  # as the camera's clock showed it
    image["location"] = one.deployment.id if options.deployments and one.deployment else _folder(one)
    if one.event:
        image["seq_id"] = one.event
    if options.url:
        image["coco_url"] = options.url + quote(photo.path)
    return image | ({"license": 1} if options.license else {})


def _folder(one: Sighting) -> str:
    return one.photo.path.rpartition("/")[0] or "photos"


def _annotations(one: Sighting, categories: _Categories) -> Iterator[dict[str, Any]]:
    for number, (box, claim) in enumerate(one.parts, start=1):
        note: dict[str, Any] = {"id": f"{one.photo.id}-{number}", "image_id": str(one.photo.id)}
        if box is not None and one.photo.width and one.photo.height:
            width, height = one.photo.width, one.photo.height
            sides = (box.box.x * width, box.box.y * height, box.box.width * width, box.box.height * height)
            note["bbox"] = list(sides)  # pixels, from the upper left corner
        elif claim is None:
            continue
        yield note | (_found(box, categories) if claim is None and box is not None else _named(claim, categories))


def _named(claim: Claim | None, categories: _Categories) -> dict[str, Any]:
    """What somebody, or a network, says that it is."""
    assert claim is not None
    english = {"common_name": claim.english} if claim.english else {}
    note: dict[str, Any] = {"category_id": categories.number(claim.scientific, **english)}
    if claim.by_machine:
        return note | {"machine": True, "verified": False, "model": claim.by, "score": claim.probability}
    return note | {"source": claim.source} | ({"author": claim.by} if claim.by else {})


def _found(region: Region, categories: _Categories) -> dict[str, Any]:
    """A box of which nobody says what species it shows."""
    kind, category = kind_of(region.category), (region.category or "").casefold()
    name = "person" if kind == HUMAN else "bird" if category == "bird" else kind  # as MegaDetector calls them
    note: dict[str, Any] = {"category_id": categories.number(name)}
    if region.source == BY_HAND:
        return note
    return note | {"machine": True, "verified": False} | ({"score": region.confidence} if region.confidence else {})
