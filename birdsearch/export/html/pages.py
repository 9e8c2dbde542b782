"""HTML pages of photos: one file each, pictures inside, nothing loaded from anywhere."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from birdsearch.errors import PhotoError
from birdsearch.export.html.duplicates import duplicates_page, members
from birdsearch.export.html.explanations import Why, explain_page
from birdsearch.export.html.heatmap import activation_heatmap
from birdsearch.export.html.pictures import (
    Origin,
    Outline,
    Picture,
    date,
    outline,
    picture,
    place,
    render,
    shape,
    text,
    thumbnails,
)
from birdsearch.photos import decode
from birdsearch.records import IF_KNOWN, Box, Match, Photo, Prediction, Region

__all__ = [
    "activation_heatmap", "classify_page", "duplicates_page", "explain_page", "members", "photos_page", "search_page",
]  # fmt: skip

_PREDICTIONS = 3


@dataclass(frozen=True, slots=True)
class _Card:
    """A photo of the index with what is known of it."""

    picture: Picture
    score: float | None
    title: str
    title_kind: str  # "label", "prediction", "class" or "none"
    predictions: tuple[Prediction, ...]
    facts: tuple[str, ...]
    by_words: bool = False  # whether the score is that of words


@dataclass(frozen=True, slots=True)
class _Section:
    """One query with its matches."""

    query: Picture | None
    words: str | None
    cards: tuple[_Card, ...]
    why: tuple[Why, ...]  # of the first cards


@dataclass(frozen=True, slots=True)
class _Answered:
    """Photos of one answer, with what they show and the photos that are the reason."""

    queries: tuple[Picture, ...]
    none: float | None  # probability that it is none of the species
    predictions: tuple[Prediction, ...]
    alike: tuple[_Card, ...]


def search_page(
    results: Sequence[tuple[str | None, Sequence[Match]]],
    title: str,
    *,
    box: Box | None = None,
    origin: Origin | None = None,
    why: Sequence[Sequence[Why]] = (),
    words: Container[int] = (),
) -> str:
    """A page of queries with their matches; a query is the path of a photo, or None where it was not a single photo.

    The queries at the positions `words` are words. The regions that match are drawn, and the `box` that asked. `why`
    are drawings of the best matches of each query, where there are any.
    """
    paths = [path for n, (path, _) in enumerate(results) if path is not None and n not in words]
    uris = thumbnails([*paths, *(match.photo.path for _, matches in results for match in matches)])
    sections = [
        _Section(
            None if path is None or n in words else picture(path, uris, _asked(path, box)),
            path if n in words else None,
            tuple(_match_card(match, uris) for match in matches),
            tuple(drawings),
        )
        for n, ((path, matches), drawings) in enumerate(zip(results, why or [()] * len(results), strict=True))
    ]
    frame = shape([match.photo for _, matches in results for match in matches])
    return render("search.html", title, origin, sections=sections, shape=frame)


def _asked(path: str, box: Box | None) -> Outline | None:
    """The box that asked, in its picture."""
    if box is None:
        return None
    try:
        width, height = decode.shown_size(path)
        return Outline(width, height, ((box.in_shares(width, height), "asked"),))
    except (PhotoError, ValueError):
        return None  # the picture is gone or another one by now


def classify_page(
    results: Sequence[tuple[Sequence[str], Sequence[Prediction]]],
    evidence: Mapping[int, Photo],
    title: str = "Species",
    *,
    origin: Origin | None = None,
) -> str:
    """A page of photos (paths; several of one burst together) with what they show; `evidence` are photos by id."""
    answers = [
        (paths, said, [evidence[number] for one in said for number in one.evidence if number in evidence])
        for paths, said in results
    ]
    uris = thumbnails([path for paths, _, alike in answers for path in (*paths, *(photo.path for photo in alike))])
    sections = [
        _Answered(
            tuple(picture(path, uris) for path in paths),
            next((one.probability for one in said if one.rank == "abstain"), None),
            tuple(
                replace(
                    one,
                    species=one.species and text(one.species),
                    class_name=text(one.class_name),
                    note=one.note.removesuffix(IF_KNOWN).removesuffix("; "),
                )
                for one in said
                if one.rank != "abstain"
            ),
            tuple(_card(photo, uris) for photo in alike),
        )
        for paths, said, alike in answers
    ]
    frame = shape([photo for _, _, alike in answers for photo in alike])
    return render("classify.html", title, origin, sections=sections, shape=frame)


def photos_page(
    photos: Sequence[Photo],
    title: str = "Photos",
    *,
    total: int | None = None,
    regions: Mapping[int, Sequence[Region]] | None = None,
    origin: Origin | None = None,
) -> str:
    """A page of photos, the first of `total`, with the boxes of their `regions` by id."""
    uris = thumbnails([photo.path for photo in photos])
    cards = [_card(photo, uris, regions=(regions or {}).get(photo.id or 0, ())) for photo in photos]
    count = len(photos) if total is None else total
    return render("photos.html", title, origin, cards=cards, total=count, shape=shape(photos))


def _match_card(match: Match, uris: dict[str, str | None]) -> _Card:
    card = _card(match.photo, uris, match.score, [match.region] if match.region else ())
    return replace(card, by_words=match.score_kind == "text")


def _card(
    photo: Photo, uris: dict[str, str | None], score: float | None = None, regions: Sequence[Region] = ()
) -> _Card:
    first = photo.predictions[0] if photo.predictions else None
    if photo.species is not None:
        title, kind = photo.species, photo.species_source or "prediction"
    elif first is not None:
        title, kind = first.name, "class"
    else:
        title, kind = "Species not known", "none"
    facts = tuple(text(fact) for fact in (date(photo), photo.camera, place(photo)) if fact)
    shown = picture(photo.path, uris, outline(photo, regions))
    return _Card(shown, score, text(title), kind, photo.predictions[:_PREDICTIONS], facts)
