"""Commands that ask: which photos look like this one, what does it show."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsearch.export.tables import PHOTO_COLUMNS, photo_row

from . import options, output
from .classify import network
from .options import OUTPUT, BackboneName, Csv, Html, Images, IndexName, Json, TopK

if TYPE_CHECKING:
    from birdsearch.records import Filter, Match

LISTED = 100  # photos that are enough to look at, where no other number was named


@options.takes_filter
def query(
    images: Images,
    k: TopK = 10,
    index: IndexName = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="Leave out what is less similar; 1 is the same picture.",
            callback=options.number_within("--min-score", -1, 1),
        ),
    ] = None,
    combine: Annotated[bool, typer.Option("--combine", help="Ask one question with all images together.")] = False,
    json: Json = False,
    csv: Csv = False,
    html: Html = None,
    where: "Filter | None" = None,
) -> None:
    """Find the photos that look most like each image."""
    options.only_one(json, csv)
    with options.open_index(index) as opened:
        if combine:
            # The mean direction: close to what all images share.
            mean = opened.embed(images).mean(axis=0, keepdims=True)
            answers = opened.search_vectors(mean, k, where=where, min_score=min_score)
            asked = [" + ".join(images)]
        else:
            answers = opened.search_many(images, k, where=where, min_score=min_score)
            asked = images
        holds = len(opened) if any(len(answer) < k for answer in answers) else None
    results = list(zip(asked, answers, strict=True))
    if html is not None:
        from birdsearch.export.html import pages

        sections = [(None if combine else image, matches) for image, matches in results]
        title = "Together: " + asked[0] if combine else "Photos that look alike"
        output.write_page(html, pages.search_page(sections, title))
    if json:
        output.print_json([{"query": image, "matches": matches} for image, matches in results])
    elif csv:
        columns = ("query", "position", "score", *PHOTO_COLUMNS)
        output.print_csv(columns, (row for image, matches in results for row in _rows(image, matches)))
    else:
        _tables(results, "no photo fits the filter" if where is not None and min_score is None else "nothing similar")
    if holds is not None:
        _explain(holds, k, index)


def _rows(image: str, matches: "Sequence[Match]") -> list[list[Any]]:
    return [[image, rank, m.score, *photo_row(m.photo)] for rank, m in enumerate(matches, start=1)]


def _tables(results: "Sequence[tuple[str, Sequence[Match]]]", nothing: str) -> None:
    for position, (image, matches) in enumerate(results):
        output.print_heading(image, position, len(results))
        if matches:
            output.print_matches(matches)
        else:
            output.say(nothing)


def _explain(holds: int, k: int, index: str | None) -> None:
    """Why there are fewer answers than somebody may expect."""
    if holds == 0:
        output.note(f"The index is empty. Next: birdsearch index DIR{options.index_option(index)}")
    elif holds < k:
        output.note(f"The index holds {holds:,} photo{'' if holds == 1 else 's'}, {k:,} were asked for.")


@options.takes_filter
def photos(
    index: IndexName = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help=f"Only the first N; {LISTED} in a table or page.", rich_help_panel=OUTPUT
        ),
    ] = None,
    json: Json = False,
    csv: Csv = False,
    html: Html = None,
    where: "Filter | None" = None,
) -> None:
    """List the photos of an index."""
    options.only_one(json, csv)
    if limit is None and not (json or csv):
        limit = LISTED
    with options.open_index(index) as opened:
        empty = len(opened) == 0
        # One more than asked for tells whether there are more.
        found = opened.photos(where, limit=None if limit is None else limit + 1)
    shown = found[:limit]
    if html is not None:
        from birdsearch.export.html import pages

        output.write_page(html, pages.photos_page(shown))
    if json:
        output.print_json(shown)
    elif csv:
        output.print_csv(PHOTO_COLUMNS, map(photo_row, shown))
    elif shown:
        output.print_photos(shown)
    else:
        output.say("no photos" if empty else "no photo fits the filter")
    if empty:
        _explain(0, 1, index)
    elif len(shown) < len(found):
        output.note(f"Only the first {limit:,} are shown: --limit N shows more.")


def features(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A photo.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write the feature maps.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write the photo with the map's energy over it.")
    ] = None,
    index: IndexName = None,
    backbone: BackboneName = None,
) -> None:
    """Look inside the backbone: its feature maps of an image, as numbers and as a picture."""
    maps = network(index, backbone).feature_map(image)
    rows = [(name, *(str(side) for side in values.shape)) for name, values in maps.items()]
    output.print_table(("stage", "channels", "height", "width"), rows, numbers=("channels", "height", "width"))
    if out is not None:
        import io

        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, **maps)
        output.write_file(out, buffer.getvalue())
        output.note(f"feature maps written to {out}")
    if picture is not None:
        from birdsearch.export.html import heatmap
        from birdsearch.photos import decode

        last = list(maps.values())[-1]
        form = "JPEG" if picture.suffix.lower() in (".jpg", ".jpeg") else "PNG"
        output.write_file(picture, decode.encode(heatmap.activation_heatmap(decode.picture(image), last), form))
        output.note(f"picture written to {picture}")
