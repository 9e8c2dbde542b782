"""Commands that look photos up: those that look like an image, those of a filter, the maps inside the backbone."""

import io
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.errors import PhotoError, PhotoUnknownError
from birdsearch.records import SMALL, as_json, counted, percent

from . import options, output
from .classify import load_network
from .options import OUTPUT, BackboneName, ImagesOrWords, InBox, Region, Shared, TopK
from .progress import MAKING_PAGE, working

if TYPE_CHECKING:
    from birdsearch import Box, Index
    from birdsearch.export.html.explanations import Why
    from birdsearch.records import Match, Photo, Provenance

EXPLAINED = 3  # matches of an image that --explain draws
EXPLAINED_IMAGES = 10
LISTED = 100  # photos in a table or on a page, unless --limit is given

MinScore = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE",
        help="Leave out photos below this score; 1 is the same picture.",
        callback=options.number_within("--min-score", -1, 1),
    ),
]
Text = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="WORDS", help="Words, whatever file is called so (repeatable): of a folder called Wren."
    ),
]
Combine = Annotated[bool, typer.Option("--combine", help="Combine all images and words into one query.")]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help=f"Draw on the page why the best {EXPLAINED} matches of each image match (of {EXPLAINED_IMAGES} images at "
        "most).",
        rich_help_panel=OUTPUT,
    ),
]
Diffuse = Annotated[
    bool,
    typer.Option(
        "--diffuse",
        help="Photos that others join to the image come first (diffusion over the graph that `optimize` makes).",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help=f"List only the first N photos (a table or page: {LISTED} by default).",
        rich_help_panel=OUTPUT,
    ),
]


@options.command(where=True, formats=("json", "csv", "html"))
def query(
    images: ImagesOrWords = None,
    text: Text = None,
    k: TopK = 10,
    box: InBox = None,
    region: Region = "frame",
    min_score: MinScore = None,
    combine: Combine = False,
    diffuse: Diffuse = False,
    explain: Explain = False,
    *,
    shared: Shared,
) -> None:
    options.check_part(box, region)
    asked = _asked(images or [], text or [])
    if not asked.images and (box is not None or region != "frame"):
        raise typer.BadParameter("is a part of an image, and none is given", param_hint="'--box' or '--region'")
    if explain:
        _check_explain(asked, region, combine=combine, has_page=shared.html is not None)
    if diffuse and asked.words:
        raise typer.BadParameter("cannot be combined with words: the graph joins photos", param_hint="'--diffuse'")
    failed: dict[int, PhotoError] = {}  # by its place among all that was asked

    def skip(number: int, error: PhotoError) -> None:
        failed[asked.places[number]] = error

    with shared.working("Searching") as index:
        limits: dict[str, Any] = {"where": shared.where, "min_score": min_score}
        part: dict[str, Any] = {"box": box, "region": region, "errors": skip}
        if not asked.words:
            limits["diffuse"] = diffuse
        if combine:
            answers = [_together(index, asked, k, limits, part, failed)]
        else:
            answers = _each(index, asked, k, limits, part)
        indexed = len(index) if any(len(matches) < k for matches in answers) else k
        provenance = index.provenance
        why = _explained(index, asked.images, answers, box) if explain else []
        if box is None and region == "frame":
            _note_small(index, [asked.shown[number] for number in asked.places], shared)
    read = {number: shown for number, shown in enumerate(asked.shown) if number not in failed}
    results = [(" + ".join(read.values()), answers[0])] if combine else list(zip(asked.shown, answers, strict=True))
    answered = results if combine else [result for n, result in enumerate(results) if n not in failed]
    if shared.html is not None and answered:
        from birdsearch.export.html import pages

        sections = [(None if combine or shown == "-" else shown, matches) for shown, matches in answered]
        title = f"Together: {results[0][0]}" if combine else "Photos that look alike"
        words = () if combine else [n for n, number in enumerate(read) if number in asked.words]
        with working(MAKING_PAGE):
            drawn = [drawings for n, drawings in enumerate(why) if n not in failed]
            page = pages.search_page(sections, title, box=box, origin=shared.origin, why=drawn, words=words)
        output.write_page(shared.html, page, shared.force)
    if shared.json:
        output.print_json(output.answers(results, "matches", {} if combine else failed))
    elif shared.csv:
        from birdsearch.export.tables import PHOTO_COLUMNS

        columns = ("query", "position", "score", *PHOTO_COLUMNS, "region", "box", "score_kind")
        output.print_csv(columns, (row for image, matches in answered for row in _rows(image, matches, provenance)))
    else:
        only_filter = shared.where is not None and min_score is None
        nothing = "no photo fits the filter" if only_filter else "nothing similar"
        _print_results(answered, nothing, named=len(results) > 1)
    if answered:
        _note_few(indexed, k, shared)
    output.end_failed(failed)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked: images and words, in the order in which they were given."""

    shown: list[str]
    images: list[str | bytes]
    places: list[int]  # of the images among all
    words: dict[int, str]  # place -> words


def _asked(arguments: Sequence[str], texts: Sequence[str]) -> _Asked:
    """Arguments that are no files and do not look like one are words, which is said; `texts` are words anyway."""
    if not arguments and not texts:
        message = "Missing argument: give photo files, or words of what is to be seen"
        raise typer.BadParameter(message, param_hint="'IMAGE|WORDS...'")
    shown = [*arguments, *texts]
    words = {number: value for number, value in enumerate(arguments) if options.are_words(value)}
    for value in words.values():
        output.note(f"{output.printable(value)} is no file, so it is asked as words.")
    words |= dict(enumerate(texts, start=len(arguments)))
    places = [number for number in range(len(shown)) if number not in words]
    return _Asked(shown, options.given([shown[number] for number in places]), places, words)


def _each(index: "Index", asked: _Asked, k: int, limits: dict[str, Any], part: dict[str, Any]) -> "list[list[Match]]":
    """The matches of each image and of each words alone."""
    found = index.search_many(asked.images, k, **part, **limits) if asked.images else []
    answers = dict(zip(asked.places, found, strict=True))
    answers |= {number: index.search_text(words, k, **limits) for number, words in asked.words.items()}
    return [answers[number] for number in range(len(asked.shown))]


def _together(
    index: "Index",
    asked: _Asked,
    k: int,
    limits: dict[str, Any],
    part: dict[str, Any],
    failed: dict[int, PhotoError],
) -> "list[Match]":
    """The matches of all images and words as one question; ends the program where no image can be read."""
    if asked.words:
        return index.search_text(list(asked.words.values()), k, images=asked.images, **part, **limits)
    vectors = index.embed(asked.images, **part)
    if len(failed) == len(asked.images):
        output.end_failed(failed)
    # The mean direction: close to what all images share.
    mean = vectors[[n for n, place in enumerate(asked.places) if place not in failed]].mean(axis=0, keepdims=True)
    return index.search_vectors(mean, k, **limits)[0]


def _check_explain(asked: _Asked, region: str, *, combine: bool, has_page: bool) -> None:
    """Raise BadParameter where there is nothing to explain."""
    wrong = (
        "cannot be combined with --combine" if combine
        else "draws on a page: give --html FILE too" if not has_page
        else "cannot be combined with --region bird: give the box (--box)" if region == "bird"
        else "explains why photos look alike, not why they fit words" if asked.words
        else ""
    )  # fmt: skip
    if wrong:
        raise typer.BadParameter(wrong, param_hint="'--explain'")


def _explained(
    index: "Index", images: Sequence[str | bytes], answers: "Sequence[Sequence[Match]]", box: "Box | None"
) -> "list[list[Why]]":
    """Drawings of why the best matches of each image match; says how long they took."""
    from birdsearch.export.html import explanations

    start = time.monotonic()
    why: list[list[Why]] = [[] for _ in images]
    for number in [number for number, matches in enumerate(answers) if matches][:EXPLAINED_IMAGES]:
        for match in answers[number][:EXPLAINED]:
            try:
                explanation = index.explain(images[number], match, box=box)
                why[number].append(explanations.drawn(images[number], match, explanation, box))
            except PhotoError as error:
                output.note(f"not explained: {error}")
    made = counted(sum(map(len, why)), "drawing")
    output.note(f"{made} of why photos match, made in {time.monotonic() - start:.1f} s")
    return why


def _note_small(index: "Index", images: Sequence[str], shared: Shared) -> None:
    """What else could be asked, where the index knows a small bird in an image that was asked as a whole."""
    for image in images:
        try:
            regions = index.regions(ids=[index.find(image).id or 0])
        except (PhotoUnknownError, ValueError):
            continue  # standard input, or a picture that is not in the index
        largest = max((one.box.area for one in regions if one.embedded), default=1.0)
        if largest < SMALL:
            output.note(
                f"The bird in {output.printable(image)} fills {percent(largest, 1)} of the picture: "
                f"birdsearch query {shlex.quote(image)} --region bird{shared.index_option} asks with it alone."
            )


def _rows(image: str, matches: "Sequence[Match]", provenance: "Provenance") -> Iterator[list[Any]]:
    from birdsearch.export.tables import PHOTO_COLUMNS, photo_row

    for position, match in enumerate(matches, start=1):
        region = match.region
        where = (None, None) if region is None else (region.kind, str(region.box))
        row = photo_row(match.photo, PHOTO_COLUMNS, provenance)
        yield [image, position, match.score, *row, *where, match.score_kind]


def _print_results(results: "Sequence[tuple[str, Sequence[Match]]]", nothing: str, *, named: bool) -> None:
    for position, (image, matches) in enumerate(results):
        output.print_heading(image, position, 2 if named else 1)
        if matches:
            output.print_matches(matches)
        else:
            output.say(nothing)


def _note_few(indexed: int, k: int, shared: Shared) -> None:
    """Why there are fewer answers than k, where the index has too few photos."""
    if indexed == 0:
        output.note(f"The index is empty. Next: birdsearch index DIR{shared.index_option}")
    elif indexed < k:
        output.note(f"The index holds {counted(indexed, 'photo')}, fewer than the {k:,} you asked for.")


Order = Annotated[
    Literal["id", "newest", "oldest", "path", "species"],
    typer.Option(help="In which order; photos without a time or a species come last there.", rich_help_panel=OUTPUT),
]


@options.command(where=True, formats=("json", "csv", "html"))
def photos(limit: Limit = None, order: Order = "id", *, shared: Shared) -> None:
    if limit is None and not (shared.json or shared.csv):
        limit = LISTED
    with shared.open() as index:
        total, provenance = index.count(shared.where), index.provenance
        shown = total if limit is None else min(limit, total)
        listed = partial(index.each_photo, shared.where, limit=limit, order=order)
        if shared.html is not None:
            from birdsearch.export.html import pages

            with working(MAKING_PAGE):
                page = pages.photos_page(list(listed()), total=total, origin=shared.origin)
            output.write_page(shared.html, page, shared.force)
        if shared.json:
            output.print_json(listed())
        elif shared.csv:
            from birdsearch.export.tables import PHOTO_COLUMNS, photo_row

            output.print_csv(PHOTO_COLUMNS, (photo_row(photo, PHOTO_COLUMNS, provenance) for photo in listed()))
        elif shown:
            output.print_photos(list(listed()))
        empty = not shown and len(index) == 0
    if not shown and not (shared.json or shared.csv):
        output.say("no photos" if empty else "no photo fits the filter")
    if empty:
        _note_few(0, 1, shared)
    elif not shown and (shared.json or shared.csv):
        output.note("No photo fits the filter.")
    elif shown < total:
        output.note(f"Only the first {shown:,} of {total:,} are shown: --limit N shows more.")


@options.command(formats=("json", "html"))
def explain(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A photo file, or the id of one; - reads standard input.")
    ],
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A photo of the index, by id or path, or any file.")],
    *,
    shared: Shared,
) -> None:
    with shared.working("Comparing") as index:
        first, second = (_by_id(index, value) for value in options.given([image, photo]))
        explanation = index.explain(first, second)
    if shared.html is not None:
        from birdsearch.export.html import explanations

        drawn = explanations.drawn(first, second, explanation)
        output.write_page(shared.html, explanations.explain_page(drawn, origin=shared.origin), shared.force)
    if shared.json:
        output.print_json({"query": image, "photo": photo} | as_json(explanation))
    else:
        output.print_explanation(explanation)


def _by_id(index: "Index", value: str | bytes) -> "Photo | str | bytes":
    """The photo of the index that a number names, unless a file is called so; any other value as it is."""
    if isinstance(value, str) and value.isdecimal() and not Path(value).exists():
        return index.photo(int(value))
    return value


@options.command(formats=("force",))
def features(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A photo file; - reads it from standard input.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write the feature maps to this file.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write the photo with an activation heatmap over it.")
    ] = None,
    backbone: BackboneName = None,
    *,
    shared: Shared,
) -> None:
    from birdsearch.export.target import check_target, write_file

    for target in filter(None, (out, picture)):
        check_target(target, force=shared.force)
    asked = options.given([image])[0]
    maps = load_network(shared, backbone).feature_map(asked)
    rows = [(name, *(str(side) for side in values.shape)) for name, values in maps.items()]
    output.print_table(("stage", "channels", "height", "width"), rows, numbers=("channels", "height", "width"))
    if out is not None:
        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, **maps)
        write_file(out, buffer.getvalue(), force=shared.force)
        output.note(f"feature maps written to {out}")
    if picture is not None:
        from birdsearch.export.html.heatmap import heatmap_file

        format = "JPEG" if picture.suffix.lower() in (".jpg", ".jpeg") else "PNG"
        write_file(picture, heatmap_file(asked, list(maps.values())[-1], format), force=shared.force)
        output.note(f"picture written to {picture}")
