"""COCO's JSON, and COCO Camera Traps: images, and what was annotated in each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.indexing.json_lists import JsonLists, path_in
from birdsearch.regions.choice import is_animal

_GENERIC = frozenset(("animal", "bird", "unknown", "unidentified", "unclassified", "misfire", "setup", "problem"))


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation of an image."""

    number: int  # in the file, from 1 on
    category: str | None
    bbox: Any = None  # as it stands in the file; None: all of the image is annotated
    score: Any = None  # of a detector or classifier; None: a person has annotated it

    @property
    def species(self) -> str | None:
        """What a person has called what is in the image; None where that is a machine's word or no kind of animal."""
        name = (self.category or "").strip()
        known = self.score is None and name and is_animal(name) and name.casefold() not in _GENERIC
        return name if known else None


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a file, with all of its annotations."""

    number: int  # in the file, from 1 on
    file_name: str
    size: tuple[int, int] | None  # in pixels, where the file says it
    annotations: tuple[Annotation, ...]


def images(file: JsonLists) -> Iterator[Image]:
    """The images in the order of the file. Raises InputFileError for what cannot be used."""
    by_image = _annotations(file)
    seen: set[Any] = set()
    for number, one in file.objects("images"):
        place = f"{file.name}, image {number}"
        key, name = _key(one.get("id")), path_in(one.get("file_name"), place, "file_name")
        if key is None or key in seen:
            why = "has no id" if key is None else f"has the id {key!r:.80}, as another image has"
            raise InputFileError(f"{place} {why}. Give each image an id of its own.")
        seen.add(key)
        yield Image(number, name, _size(one, place), tuple(by_image.pop(key, ())))
    for key, (first, *_) in by_image.items():
        raise InputFileError(f"{file.name}, annotation {first.number}: the file has no image {key!r:.80}.")


def _annotations(file: JsonLists) -> dict[Any, list[Annotation]]:
    """Id of an image -> its annotations."""
    names: dict[Any, str | None] = {}
    for number, one in file.objects("categories"):
        name = one.get("name")
        if name is not None and not isinstance(name, str):
            raise InputFileError(f"{file.name}, category {number}: its name is {name!r:.80}. Write a text.")
        names[_key(one.get("id"))] = name
    by_image: dict[Any, list[Annotation]] = {}
    for number, one in file.objects("annotations"):
        category = names.get(_key(one.get("category_id")))
        annotation = Annotation(number, category, one.get("bbox") or None, one.get("score"))
        by_image.setdefault(_key(one.get("image_id")), []).append(annotation)
    return by_image


def _key(value: Any) -> int | str | None:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _size(one: dict[str, Any], place: str) -> tuple[int, int] | None:
    width, height = one.get("width"), one.get("height")
    if width is None and height is None:
        return None
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise InputFileError(f"{place}: its width and height are {width!r:.40} and {height!r:.40}. Write its pixels.")
    return width, height
