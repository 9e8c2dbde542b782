"""What MegaDetector and SpeciesNet write of images: detections, and in SpeciesNet's words what each shows.

SpeciesNet says what an image shows, since its version 5 what each detection shows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.indexing.json_lists import JsonLists, path_in
from birdsearch.records import SPECIESNET, Prediction, shown

_RANKS = ("class", "order", "family", "genus", "species")  # behind an id, before the English name
_KEPT = 5  # predictions of an image, as of a network
_NOBODY = ("blank", "human", "vehicle", "no cv result")  # English names of what is no animal to be looked at


@dataclass(frozen=True, slots=True)
class DetectedImage:
    """One image of a file."""

    number: int  # in the file, from 1 on
    place: str  # "image 7"
    photo: str  # as the file names it
    detections: tuple[dict[str, Any], ...]
    failure: str = ""  # why the detector could not read it
    taxa: tuple[tuple[Any, Any], ...] = ()  # what it shows, and how sure that is, as they stand in the file

    @property
    def is_classified(self) -> bool:
        """Whether the file says what the image shows."""
        return bool(self.taxa)

    def predictions(self, place: str) -> tuple[Prediction, ...]:
        """The taxa that it shows, the surest first. Raises InputFileError for what is no taxon."""
        surest: dict[tuple[str, str], float] = {}
        for label, score in self.taxa:
            if not _is_share(score):
                raise InputFileError(f"{place}: the score of {shown(str(label))!r:.80} is {score!r:.40}. Write 0 to 1.")
            if (taxon := _taxon(label, place)) is not None:
                surest[taxon] = max(float(score), surest.get(taxon, 0.0))
        order = sorted(surest, key=lambda taxon: -surest[taxon])[:_KEPT]
        return tuple(
            Prediction(name if rank == "species" else None, surest[rank, name], position, rank, name, SPECIESNET)
            for position, (rank, name) in enumerate(order, start=1)
        )


def images(file: JsonLists) -> Iterator[DetectedImage]:
    """The images of SpeciesNet's file, of any of its versions. Raises InputFileError for what cannot be used."""
    for number, one in file.objects("predictions"):
        place = f"image {number}"
        photo = path_in(one.get("filepath"), f"{file.name}, {place}", "filepath")
        failed = one.get("failures") or ()
        if not isinstance(failed, list | tuple) or not all(isinstance(part, str) for part in failed):
            raise InputFileError(f"{file.name}, {place}: failures is {failed!r:.80}. Write a list of texts.")
        if "DETECTOR" in failed or one.get("detections") is None:
            failure = ", ".join(map(shown, failed)) or "no detections"
            yield DetectedImage(number, place, photo, (), failure)
            continue
        detections = _objects(one.get("detections"), f"{file.name}, {place}")
        each = [taxon for detection in detections if (taxon := _processed(detection)) is not None]
        whole = [] if one.get("prediction") is None else [(one["prediction"], one.get("prediction_score"))]
        yield DetectedImage(number, place, photo, detections, taxa=tuple(each or whole))


def of_megadetector(file: JsonLists) -> Iterator[DetectedImage]:
    """The images of MegaDetector's file. Raises InputFileError for what cannot be used."""
    described = file.values.get("classification_category_descriptions") or {}
    names = file.values.get("classification_categories") or {}
    # Of the names of a classifier only SpeciesNet's say which taxon is meant.
    known = [*_texts(names), *_texts(described)]
    taxa = {key: text for key, text in known if text.count(";") == len(_RANKS) + 1}
    for number, one in file.objects("images"):
        place = f"image {number}"
        photo = path_in(one.get("file"), f"{file.name}, {place}", "file")
        if one.get("detections") is None:
            yield DetectedImage(number, place, photo, (), shown(str(one.get("failure") or "no detections")))
            continue
        detections = _objects(one["detections"], f"{file.name}, {place}")
        said = [first for detection in detections if (first := _first(detection, taxa)) is not None]
        yield DetectedImage(number, place, photo, detections, taxa=tuple(said))


def no_animal(detection: dict[str, Any]) -> str | None:
    """What a detection is called whose own classification says that it is a person, a vehicle or nothing."""
    processed = _processed(detection)
    name = str(processed[0]).rsplit(";", 1)[-1].strip().lower() if processed is not None else ""
    return name if name in _NOBODY else None


def _processed(detection: dict[str, Any]) -> tuple[Any, Any] | None:
    """What a detection shows and how sure that is, where the file says it of each."""
    said = detection.get("processed_classification")
    return (said.get("class"), said.get("score")) if isinstance(said, dict) else None


def _first(detection: dict[str, Any], taxa: dict[str, str]) -> tuple[Any, Any] | None:
    """The surest class of a detection in MegaDetector's file; None where that is no taxon."""
    classes = detection.get("classifications")
    pairs = [one for one in classes if isinstance(one, list) and len(one) == 2] if isinstance(classes, list) else []
    sure = max((one for one in pairs if _is_share(one[1])), key=lambda one: float(one[1]), default=None)
    return None if sure is None or str(sure[0]) not in taxa else (taxa[str(sure[0])], sure[1])


def _taxon(label: Any, place: str) -> tuple[str, str] | None:
    """The finest rank that "id;class;order;family;genus;species;name" names, and what it is; None for no animal."""
    parts = [part.strip() for part in label.split(";")] if isinstance(label, str) else []
    if len(parts) != len(_RANKS) + 2:
        raise InputFileError(
            f"{place}: {shown(str(label))!r:.80} is no taxon of SpeciesNet (id;class;order;family;genus;species;name)."
        )
    named = dict(zip(_RANKS, parts[1:-1], strict=True))
    if parts[-1].lower() in _NOBODY or named["genus"].lower() == "homo":
        return None
    if named["species"] and named["genus"]:
        return "species", shown(f"{named['genus']} {named['species']}".capitalize())
    rank = next((rank for rank in reversed(_RANKS[:-1]) if named[rank]), None)
    return None if rank is None else (rank, shown(named[rank].capitalize()))


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1


def _texts(value: Any) -> list[tuple[str, str]]:
    pairs = value.items() if isinstance(value, dict) else ()
    return [(str(key), text) for key, text in pairs if isinstance(text, str)]


def _objects(value: Any, place: str) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputFileError(f"{place}: detections is not a list of objects.")
    return tuple(value)
