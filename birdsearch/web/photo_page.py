"""What the page of one photo shows: facts, label, predictions with their evidence, the most alike, those beside it."""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from birdsearch.errors import BirdsearchError
from birdsearch.records import IF_KNOWN, Filter, Ids, Label, Photo, Prediction, bytes_text, date_text, place_text
from birdsearch.web.serving import Serving

_ALIKE = 10
_AHEAD = 3  # photos whose previews are made before they are wanted
_GIVEN = {
    "correction": "by hand",
    "csv": "from a file of labels",
    "keywords": "from its keywords",
    "folder": "from its folder",
}
_CLASSIFIERS = {"backbone": "the network", "neighbours": "the labelled photos"}


@dataclass(frozen=True, slots=True)
class Beside:
    """Where a photo stands in a list of photos; place 0 is not in it."""

    place: int
    total: int
    before: int | None
    after: int | None
    ahead: tuple[int, ...]  # the photos that come next


def known(held: Serving, photo_id: int, *, brief: bool) -> dict[str, Any]:
    """What is known of a photo, as its template takes it; a brief one without predictions. Raises PhotoUnknownError."""
    index = held.index
    photo = index.photo(photo_id)
    label = next(iter(index.labels(Filter(ids=[photo_id]))), None)
    seen = held.seen(photo)
    with held.state.turns:
        alike = _alike(held, photo)
        said = {"predictions": None, "by": ""} if brief else _said(held, photo)
    return {
        "photo": seen,
        "facts": [(words, value) for words, value in _facts(seen) if value],
        "label": held.seen(label),
        "source": _source(label) if label is not None else "",
        **alike,
        **said,
    }


def _said(held: Serving, photo: Photo) -> dict[str, Any]:
    """What the photo shows, with the photos that speak for it, or why nothing says it."""
    predictions: list[Prediction] = []
    refusal = "Label some photos, so that they can speak."
    try:
        predictions = held.index.classify(photo)
    except BirdsearchError as error:
        refusal = held.seen(str(error))
    ids = sorted({number for one in predictions for number in one.evidence})
    others = [
        replace(one, note=one.note.removesuffix(IF_KNOWN).removesuffix("; "))
        for one in predictions
        if one.rank != "abstain"
    ]
    return {
        "none": next((one.probability for one in predictions if one.rank == "abstain"), None),
        "predictions": held.seen(others),
        "by": _CLASSIFIERS[predictions[0].source] if predictions else "",
        "no_predictions": refusal,
        "evidence": {one["id"]: one for one in held.seen(held.index.photos(ids=ids))},
    }


def beside(ids: Ids, photo_id: int) -> Beside:
    """Where a photo stands among ids."""
    found = np.flatnonzero(ids == photo_id)
    if not len(found):
        return Beside(0, len(ids), None, None, ())
    at = int(found[0])
    ahead = tuple(int(one) for one in ids[at + 1 : at + 1 + _AHEAD])
    return Beside(at + 1, len(ids), int(ids[at - 1]) if at else None, ahead[0] if ahead else None, ahead)


def _alike(held: Serving, photo: Photo) -> dict[str, Any]:
    """The photos that are most alike, or why there are none."""
    try:
        return {"matches": held.seen(held.index.search(photo, _ALIKE)), "no_matches": "Nothing here is like it."}
    except BirdsearchError as error:  # its file is gone, and its vector with it: the page says the rest
        return {"matches": [], "no_matches": held.seen(str(error))}


def _source(label: Label) -> str:
    """Who gave a label, and when."""
    by = f", by {label.author}" if label.author else ""
    when = f", {date_text(label.created_at[:16])}" if label.created_at and label.source == "correction" else ""
    return f"{_GIVEN.get(label.source, label.source)}{by}{when}"


def _facts(photo: dict[str, Any]) -> list[tuple[str, str]]:
    """What the file says, in words; empty where it says nothing."""
    size = f"{photo['width']:,} x {photo['height']:,} pixels" if photo["width"] and photo["height"] else ""
    seen = {"preview": "seen by the JPEG in it", "sensor": "developed from its sensor"}.get(photo["rendered"], "")
    kept = ", ".join(filter(None, (photo["format"] or "", bytes_text(photo["size"]) if photo["size"] else "", seen)))
    placed = photo["latitude"] is not None and photo["longitude"] is not None
    return [
        ("Taken", date_text(photo["taken_at"][:19]) + (f" {photo['taken_offset'] or ''}") if photo["taken_at"] else ""),
        ("Place", place_text(photo["latitude"], photo["longitude"]) if placed else ""),
        ("Camera", photo["camera"] or ""),
        ("Lens", photo["lens"] or ""),
        ("Photographer", photo["photographer"] or ""),
        ("Rating", f"{photo['rating']} of 5" if photo["rating"] else ""),
        ("Notes", photo["notes"] or ""),
        ("Keywords", ", ".join(photo["keywords"] or ())),
        ("Size", size),
        ("File", photo["path"]),
        ("Format", kept),
        ("With it", ", ".join(os.path.basename(path) for path in photo["companions"])),
        ("Damage", photo["damaged"] or ""),
    ]
