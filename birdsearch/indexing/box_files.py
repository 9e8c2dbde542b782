"""Boxes that a person or a detector wrote down: CSV, JSON of COCO, MegaDetector and SpeciesNet, Camtrap DP."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.files import absolute
from birdsearch.indexing import camtrap, coco, speciesnet
from birdsearch.indexing.json_lists import JsonLists
from birdsearch.records import Box, Photo, Prediction, shown
from birdsearch.regions.choice import is_animal
from birdsearch.sheets import read_csv

JUTS_OUT = 0.02  # share of the picture by which the box of a detector may lie outside, and is cut
_LEAST_PIXELS = 2  # of a side, so that shares that are too large are not taken for pixels
_ADVICE = "Give a CSV (path,x,y,width,height), JSON of COCO, MegaDetector or SpeciesNet, or a package of Camtrap DP."
# What MegaDetector and SpeciesNet find, where a file does not say how it calls that.
_FOUND = {"1": "animal", "2": "person", "3": "vehicle"}


@dataclass(frozen=True, slots=True)
class GivenBox:
    """One box of a file, or the word of the file that a photo has none."""

    place: str  # for messages: "boxes.csv, line 3"
    photo: str  # as the file names it
    path: bytes  # absolute
    corners: tuple[float, float, float, float] | None  # x, y, width, height; None: the photo has no box
    category: str | None = None
    confidence: float | None = None
    in_pixels: bool = False
    size: tuple[int, int] | None = None  # of the picture in which these count, where the file says; else of the photo
    file: str = ""  # the name of the photo's file, where the path may be another one

    def box(self, photo: Photo) -> Box:
        """The box in shares of a photo as it is shown. Raises InputFileError for one that lies outside."""
        assert self.corners is not None
        x, y, width, height = self.corners
        try:
            if self.in_pixels:
                across, down = self._size_of(photo)
                x, y, width, height = x / across, y / down, width / across, height / down
            return Box.clipped(x, y, width, height, JUTS_OUT)
        except ValueError as error:
            raise InputFileError(f"{self.place}: {shown(self.photo)}: {error}.") from error

    def _size_of(self, photo: Photo) -> tuple[int, int]:
        """Width and height of the picture that the box is of. Raises ValueError where it is not the photo as shown."""
        if not photo.width or not photo.height:
            raise ValueError("its size is not known: give shares of the picture (0 to 1)")
        if self.size is None:
            return photo.width, photo.height
        across, down = self.size
        skew = math.log((across / down) / (photo.width / photo.height))
        if abs(skew) > math.log(1.1):
            raise ValueError(
                f"the box is of a picture of {across} x {down} pixels, and the photo is shown as {photo.width} x "
                f"{photo.height}. Was it turned or cut? Boxes count in the picture as it is shown (EXIF)"
            )
        return across, down


@dataclass(frozen=True, slots=True)
class BoxFile:
    """What a file says of photos."""

    name: str  # as it is shown
    source: str  # what its boxes are remembered to come from
    rows: Sequence[GivenBox]
    # Absolute path -> what the program says that the photo shows; empty: it names nothing. None: it names no species.
    predictions: Mapping[bytes, tuple[Prediction, ...]] | None = None
    unread: Mapping[str, int] = field(default_factory=dict)  # why the detector could not read photos -> how many


def read_boxes(path: str | os.PathLike[str]) -> BoxFile:
    """A CSV with the columns path, x, y, width, height (perhaps category, confidence), or what a detector has written.

    That is the JSON of COCO, MegaDetector or SpeciesNet, or the datapackage.json of Camtrap DP. A relative path counts
    from the folder of the file. Raises InputFileError, with the line, for what cannot be used.
    """
    file = Path(path)
    name, folder = shown(str(file)), os.fsencode(os.path.abspath(file.parent))
    if file.suffix.lower() != ".json":
        return BoxFile(name, file.name, list(_csv_rows(file, name, folder)))
    stored = JsonLists(file, _ADVICE)
    if "resources" in stored:
        return BoxFile(name, file.name, list(_camtrap_rows(camtrap.read_package(stored, file.parent), folder)))
    if "predictions" in stored:
        return _detections(stored, speciesnet.images(stored), "SpeciesNet", folder)
    if "images" not in stored:
        raise InputFileError(f"{name} is not a file of boxes: it has no list of images. {_ADVICE}")
    if "annotations" in stored or stored.values.get("annotations") is not None:
        return BoxFile(name, file.name, list(_coco_rows(stored, folder)))
    if "detection_categories" in stored.values or any("detections" in image for _, image in stored.objects("images")):
        return _detections(stored, speciesnet.of_megadetector(stored), _detector(stored) or file.name, folder)
    raise InputFileError(f"{name} is not a file of boxes: it has neither annotations nor detections. {_ADVICE}")


def check_boxes(path: str | os.PathLike[str]) -> None:
    """Raise InputFileError, with the line, for a file of boxes that `Index.add` could not use.

    >>> birdsearch.check_boxes("boxes.csv")
    """
    read_boxes(path)


# CSV ------------------------------------------------------------------------------------------------------------------


def _csv_rows(path: Path, name: str, folder: bytes) -> Iterator[GivenBox]:
    columns = ["x", "y", "width", "height"]
    for line, values in read_csv(path, columns, any_of=["path"], optional=["category", "confidence"]):
        place = f"{name}, line {line}"
        cells = [values[column].strip() for column in ("x", "y", "width", "height")]
        photo = values["path"]
        if not photo:
            raise InputFileError(f"{place}: no path. Write path,x,y,width,height in every line.")
        confidence = _number(values.get("confidence", ""), place, "confidence") if values.get("confidence") else None
        corners = _corners(cells, place)
        in_pixels = corners is not None and min(corners[2:]) >= _LEAST_PIXELS  # no share is above 1
        category = values.get("category", "").strip() or None
        path_of = absolute(photo, folder)
        yield GivenBox(place, photo, path_of, corners, category, _confidence(confidence, place), in_pixels)


def _corners(cells: Sequence[str], place: str) -> tuple[float, float, float, float] | None:
    """Four numbers, in shares or in pixels; None where all cells are empty."""
    if not any(cells):
        return None
    names = ("x", "y", "width", "height")
    in_pixels = [cell.lower().endswith("px") for cell in cells]
    numbers = [re.sub(r"\s*px$", "", cell, flags=re.IGNORECASE) for cell in cells]
    x, y, width, height = (_number(number, place, of) for number, of in zip(numbers, names, strict=True))
    outside = x < -JUTS_OUT or y < -JUTS_OUT or width <= 0 or height <= 0
    one_kind = min(width, height) >= _LEAST_PIXELS or max(width, height) <= 1 + JUTS_OUT
    if (any(in_pixels) and min(width, height) < _LEAST_PIXELS) or not one_kind or outside:
        raise InputFileError(
            f"{place}: {','.join(map(shown, cells))} is no box. Write x,y,width,height in shares of the picture "
            "(0 to 1), or in pixels of the picture as it is shown."
        )
    return x, y, width, height


def _number(text: Any, place: str, of: str) -> float:
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(text, bool):
        raise InputFileError(f"{place}: {of} is {shown(str(text))!r:.80}. Write a number.")
    return number


def _confidence(value: float | None, place: str) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise InputFileError(f"{place}: confidence is {value:g}. Write a number from 0 to 1.")
    return value


# Detectors -----------------------------------------------------------------------------------------------------------


def _detector(stored: JsonLists) -> str | None:
    """The detector that MegaDetector's JSON names."""
    info = stored.values.get("info")
    detector = info.get("detector") if isinstance(info, dict) else None
    return detector if isinstance(detector, str) and detector else None


def _detections(stored: JsonLists, images: Iterable[speciesnet.DetectedImage], source: str, folder: bytes) -> BoxFile:
    """As the batch output of detectors has them: boxes in shares; an image that could not be read says nothing."""
    known = stored.values.get("detection_categories")
    categories = {**_FOUND, **known} if isinstance(known, dict) else _FOUND
    rows: list[GivenBox] = []
    seen: dict[bytes, int] = {}
    predictions: dict[bytes, tuple[Prediction, ...]] = {}
    unread = Counter[str]()
    names_species = False
    for image in images:
        path = absolute(image.photo, folder)
        place = f"{stored.name}, {image.place}"
        if (before := seen.setdefault(path, image.number)) != image.number:
            raise InputFileError(f"{place}: image {before} is {shown(image.photo)} too. Leave one of the two out.")
        if image.failure:
            unread[image.failure] += 1
            continue
        rows += _detected(image, place, path, categories)
        predictions[path] = image.predictions(place)
        names_species = names_species or image.is_classified
    return BoxFile(stored.name, source, rows, predictions if names_species else None, unread)


def _detected(
    image: speciesnet.DetectedImage, place: str, path: bytes, categories: Mapping[str, Any]
) -> Iterator[GivenBox]:
    """The boxes of an image."""
    if not image.detections:
        yield GivenBox(place, image.photo, path, None)
    for n, one in enumerate(image.detections, start=1):
        where = f"{place}, detection {n}"
        number = str(one.get("category"))
        category = speciesnet.no_animal(one) or one.get("label") or categories.get(number, one.get("category"))
        confidence = _confidence(_number(one.get("conf"), where, "conf"), where)
        yield GivenBox(where, image.photo, path, _bbox(one.get("bbox"), where), _category(category), confidence)


# COCO, Camtrap DP ----------------------------------------------------------------------------------------------------


def _coco_rows(stored: JsonLists, folder: bytes) -> Iterator[GivenBox]:
    """As COCO has them: boxes in pixels; an image without an annotation, or called empty, has no box.

    An annotation of a whole image says nothing of boxes. Raises InputFileError where all are.
    """
    boxes = whole = 0
    for image in coco.images(stored):
        place, path = f"{stored.name}, image {image.number}", absolute(image.file_name, folder)
        given = [one for one in image.annotations if one.bbox is not None]
        if all(not is_animal(one.category) for one in image.annotations) and not given:
            yield GivenBox(place, image.file_name, path, None)
        if given and image.size is None:
            raise InputFileError(f"{place}: its width and height are None and None. Write its pixels.")
        for one in given:
            where = f"{stored.name}, annotation {one.number}"
            score = one.score
            confidence = None if score is None else _confidence(_number(score, where, "score"), where)
            category, corners = _category(one.category), _bbox(one.bbox, where)
            yield GivenBox(where, image.file_name, path, corners, category, confidence, True, image.size)
        boxes, whole = boxes + len(given), whole + len(image.annotations) - len(given)
    if whole and not boxes:
        raise InputFileError(
            f"{stored.name} has no boxes: it says what whole images show. birdsearch index --labels FILE takes that."
        )


def _camtrap_rows(package: camtrap.Package, folder: bytes) -> Iterator[GivenBox]:
    """As Camtrap DP has them: boxes in shares; where a person has drawn some, those of machines do not count."""
    for medium in package.media:
        place, path = f"{package.media_table}, line {medium.line}", medium.at(folder)
        photo = medium.path or medium.name or medium.id
        drawn = [one for one in medium.observed if one.bbox]
        by_hand = [one for one in drawn if one.method == "human"]
        if not drawn and medium.is_blank:
            yield GivenBox(place, photo, path, None, file=medium.name)
        for one in by_hand or drawn:
            where = f"{package.observations_table}, line {one.line}"
            corners = _corners(one.bbox.split(","), where)
            category = one.name if one.kind == "animal" and one.name else one.kind
            stated = one.probability if one.method == "machine" else ""
            confidence = _confidence(_number(stated, where, "classificationProbability"), where) if stated else None
            yield GivenBox(where, photo, path, corners, category, confidence, file=medium.name)


def _bbox(value: Any, place: str) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4:
        raise InputFileError(f"{place}: bbox is {value!r:.80}. Write [x, y, width, height].")
    x, y, width, height = (_number(number, place, "bbox") for number in value)
    if width <= 0 or height <= 0:
        raise InputFileError(f"{place}: bbox is {value!r:.80}. Its width and height must be above 0.")
    return x, y, width, height


def _category(value: Any) -> str | None:
    return None if value is None or value == "" else shown(str(value))
