"""Boxes that a person or a detector wrote down: in a CSV, in COCO's JSON or in MegaDetector's."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.files import absolute
from birdsearch.records import Box, Photo, shown
from birdsearch.sheets import read_csv, read_text

JUTS_OUT = 0.02  # share of the picture by which the box of a detector may lie outside, and is cut
_LEAST_PIXELS = 2  # of a side, so that shares that are too large are not taken for pixels
_ADVICE = "Give a CSV (path,x,y,width,height), or the JSON of COCO or MegaDetector."


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


def read_boxes(path: str | os.PathLike[str]) -> BoxFile:
    """A CSV with the columns path, x, y, width, height (perhaps category, confidence), COCO's or MegaDetector's JSON.

    A relative path counts from the folder of the file. Raises InputFileError, with the line, for what cannot be used.
    """
    file = Path(path)
    name, folder = shown(str(file)), os.fsencode(os.path.abspath(file.parent))
    if file.suffix.lower() != ".json":
        return BoxFile(name, file.name, list(_csv_rows(file, name, folder)))
    text = read_text(file, _ADVICE)
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise InputFileError(f"{name}, line {line}: this is not JSON ({error}). {_ADVICE}") from error
    rows = list(_json_rows(stored, name, folder))
    return BoxFile(name, _source(stored) or file.name, rows)


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


# JSON -----------------------------------------------------------------------------------------------------------------


def _source(stored: Mapping[str, Any]) -> str | None:
    """The detector that MegaDetector's JSON names."""
    info = stored.get("info")
    detector = info.get("detector") if isinstance(info, dict) else None
    return detector if isinstance(detector, str) and detector else None


def _json_rows(stored: Any, name: str, folder: bytes) -> Iterator[GivenBox]:
    images = stored.get("images") if isinstance(stored, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise InputFileError(f"{name} is not a file of boxes: it has no list of images. {_ADVICE}")
    if "annotations" in stored:
        return _coco_rows(stored, name, folder)
    if "detection_categories" in stored or any("detections" in image for image in images):
        return _megadetector_rows(stored, name, folder)
    raise InputFileError(f"{name} is not a file of boxes: it has neither annotations nor detections. {_ADVICE}")


def _megadetector_rows(stored: Mapping[str, Any], name: str, folder: bytes) -> Iterator[GivenBox]:
    """As its batch output has them: boxes in shares; an image that it could not read says nothing."""
    known = stored.get("detection_categories")
    categories = known if isinstance(known, dict) else {}
    for number, image in enumerate(stored["images"], start=1):
        place, photo = f"{name}, image {number}", _text(image.get("file"), f"{name}, image {number}", "file")
        detections = image.get("detections")
        if detections is None:
            continue
        path = absolute(photo, folder)
        if not detections:
            yield GivenBox(place, photo, path, None)
        for n, one in enumerate(_objects(detections, place, "detections"), start=1):
            where = f"{place}, detection {n}"
            category = categories.get(str(one.get("category")), one.get("category"))
            confidence = _confidence(_number(one.get("conf"), where, "conf"), where)
            corners = _bbox(one.get("bbox"), where)
            yield GivenBox(where, photo, path, corners, _category(category), confidence)


def _coco_rows(stored: Mapping[str, Any], name: str, folder: bytes) -> Iterator[GivenBox]:
    """As COCO has them: boxes in pixels; an image without an annotation has no box."""
    categories = {
        _key(one.get("id")): one.get("name") for one in _objects(stored.get("categories") or [], name, "categories")
    }
    by_image: dict[Any, list[tuple[str, dict[str, Any]]]] = {}
    for number, one in enumerate(_objects(stored["annotations"], name, "annotations"), start=1):
        by_image.setdefault(_key(one.get("image_id")), []).append((f"{name}, annotation {number}", one))
    for number, image in enumerate(stored["images"], start=1):
        place = f"{name}, image {number}"
        photo = _text(image.get("file_name"), place, "file_name")
        path, size = absolute(photo, folder), _size(image, place)
        annotations = by_image.pop(_key(image.get("id")), [])
        if not annotations:
            yield GivenBox(place, photo, path, None)
        for where, one in annotations:
            score = one.get("score")
            confidence = None if score is None else _confidence(_number(score, where, "score"), where)
            category = _category(categories.get(_key(one.get("category_id"))))
            yield GivenBox(where, photo, path, _bbox(one.get("bbox"), where), category, confidence, True, size)
    for where, one in (each for left in by_image.values() for each in left):
        raise InputFileError(f"{where}: the file has no image {one.get('image_id')!r:.80}.")


def _key(value: Any) -> Any:
    return value if isinstance(value, int | str) else None


def _size(image: Mapping[str, Any], place: str) -> tuple[int, int]:
    width, height = image.get("width"), image.get("height")
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise InputFileError(f"{place}: its width and height are {width!r:.40} and {height!r:.40}. Write its pixels.")
    return width, height


def _bbox(value: Any, place: str) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4:
        raise InputFileError(f"{place}: bbox is {value!r:.80}. Write [x, y, width, height].")
    x, y, width, height = (_number(number, place, "bbox") for number in value)
    if width <= 0 or height <= 0:
        raise InputFileError(f"{place}: bbox is {value!r:.80}. Its width and height must be above 0.")
    return x, y, width, height


def _text(value: Any, place: str, of: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputFileError(f"{place}: {of} is {value!r:.80}. Write the path of a photo.")
    return value


def _category(value: Any) -> str | None:
    return None if value is None or value == "" else shown(str(value))


def _objects(value: Any, place: str, of: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputFileError(f"{place}: {of} is not a list of objects. {_ADVICE}")
    return value
