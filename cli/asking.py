"""Commands that ask: which photos look like this one, what does it show."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.errors import IndexMissingError
from birdsearch.export.tables import PHOTO_COLUMNS, photo_row

from . import options, show
from .options import OUTPUT, BackboneName, Csv, Html, IndexName, Json

if TYPE_CHECKING:
    from birdsearch.records import Filter, Match

Images = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Photos to ask about.")]
VOTERS = 3  # photos that are named as reasons
LISTED = 100  # photos that are enough to look at, where no other number was named
TopK = Annotated[int, typer.Option("-k", metavar="K", min=1, help="How many answers.")]


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
        show.write_page(html, pages.search_page(sections, title))
    if json:
        show.print_json([{"query": image, "matches": matches} for image, matches in results])
    elif csv:
        columns = ("query", "position", "score", *PHOTO_COLUMNS)
        show.print_csv(columns, (row for image, matches in results for row in _rows(image, matches)))
    else:
        _tables(results, "no photo fits the filter" if where is not None and min_score is None else "nothing similar")
    if holds is not None:
        _explain(holds, k, index)


def _rows(image: str, matches: "Sequence[Match]") -> list[list[Any]]:
    return [[image, rank, m.score, *photo_row(m.photo)] for rank, m in enumerate(matches, start=1)]


def _tables(results: "Sequence[tuple[str, Sequence[Match]]]", nothing: str) -> None:
    for position, (image, matches) in enumerate(results):
        _heading(image, position, len(results))
        if matches:
            show.print_matches(matches)
        else:
            show.say(nothing)


def _heading(image: str, position: int, count: int) -> None:
    """Which image the next table is about, where there are several."""
    if position:
        show.say("")
    if count > 1:
        show.say(image)


def _explain(holds: int, k: int, index: str | None) -> None:
    """Why there are fewer answers than somebody may expect."""
    if holds == 0:
        show.note(f"The index is empty. Next: birdsearch index DIR{options.index_option(index)}")
    elif holds < k:
        show.note(f"The index holds {holds:,} photo{'' if holds == 1 else 's'}, {k:,} were asked for.")


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

        show.write_page(html, pages.photos_page(shown))
    if json:
        show.print_json(shown)
    elif csv:
        show.print_csv(PHOTO_COLUMNS, map(photo_row, shown))
    elif shown:
        show.print_photos(shown)
    else:
        show.say("no photos" if empty else "no photo fits the filter")
    if empty:
        _explain(0, 1, index)
    elif len(shown) < len(found):
        show.note(f"Only the first {limit:,} are shown: --limit N shows more.")


def classify(
    images: Images,
    k: TopK = 5,
    source: Annotated[
        Literal["backbone", "neighbours"],
        typer.Option(help="Who answers: the network's classes, or the labelled photos of the index."),
    ] = "backbone",
    checklist: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Species to be expected, one a line; others are noted as possible vagrants (repeatable).",
        ),
    ] = None,
    roll_up: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            callback=options.number_within("--roll-up", 0, 1),
            help="Where no species is so probable, first name the genus, family or order that is.",
        ),
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="The images are of one moment: answer together.")] = False,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Calibrate the probabilities on your labelled photos."),
    ] = False,
    index: IndexName = None,
    backbone: BackboneName = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Say what each image shows, as the backbone sees it or as the labelled photos of the index do."""
    options.only_one(json, csv)
    weighed = source != "backbone" or bool(checklist) or roll_up is not None or burst or calibrate
    _check_classify(source, checklist, roll_up, calibrate, backbone if weighed else None)
    if weighed:
        with options.open_index(index) as opened:
            weights: dict[str, Any] = {"checklist": checklist or None, "roll_up": roll_up, "calibrate": calibrate}
            answers = opened.classify_many(images, k, source=source, burst=burst, **weights)
            voters = {n: opened.photo(n).path for found in answers for p in found for n in p.evidence[:VOTERS]}
    else:
        network, voters = _network(index, backbone), {}
        answers = [network.classify(image, k) for image in images]
    columns = ("position", "probability", "name", "species", "rank", "class_name", "source", "note")
    if json:
        pairs = zip(images, answers, strict=True)
        show.print_json([{"query": image, "predictions": predictions} for image, predictions in pairs])
    elif csv:
        rows = [
            [image, p.position, p.probability, p.name, p.species, p.rank, p.class_name, p.source, p.note]
            for image, predictions in zip(images, answers, strict=True)
            for p in predictions
        ]
        show.print_csv(("query", *columns), rows)
    else:
        for position, (image, predictions) in enumerate(zip(images, answers, strict=True)):
            _heading(image, position, len(images))
            if not predictions:
                show.say("no photo of the index has a label")
                continue
            show.print_predictions(predictions)
            for p in predictions:
                if p.note:
                    less = "checklist and calibration" if calibrate else "checklist"
                    before = "" if p.raw is None else f" ({100 * p.raw:.1f} % without the {less})"
                    show.say(f"{p.name}: {p.note}{before}")
            for number in next((p.evidence for p in predictions if p.evidence), ())[:VOTERS]:
                show.note(f"like {voters[number]}")


def _check_classify(
    source: str, checklist: list[Path] | None, roll_up: float | None, calibrate: bool, backbone: str | None
) -> None:
    """The labelled photos answer with species that are there, calibrated; other backbones have no photos."""
    if backbone is not None:
        others = "--source neighbours, --checklist, --roll-up, --burst and --calibrate"
        message = f"cannot be combined with {others}: they ask the index"
        raise typer.BadParameter(message, param_hint="'--backbone'")
    if source == "neighbours" and (checklist or roll_up is not None):
        raise typer.BadParameter("needs --source backbone", param_hint="'--checklist' / '--roll-up'")
    if source == "neighbours" and calibrate:
        message = "needs --source backbone: the neighbours' probabilities are calibrated already"
        raise typer.BadParameter(message, param_hint="'--calibrate'")


def _network(index: str | None, backbone: str | None) -> Any:
    """The backbone that was named, or the index's, or where there is no index at all the built-in one."""
    import birdsearch

    if backbone is not None:
        return birdsearch.load_backbone(backbone)
    try:
        with options.open_index(index) as opened:
            return opened.backbone
    except IndexMissingError:
        if index is not None or os.environ.get("BIRDSEARCH_INDEX"):
            raise
    from birdsearch import backbones

    chosen = os.environ.get("BIRDSEARCH_BACKBONE") or backbones.DEFAULT
    show.note(f"There is no index yet, so the backbone {chosen} answers.")
    return birdsearch.load_backbone(chosen)


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
    maps = _network(index, backbone).feature_map(image)
    rows = [(name, *(str(side) for side in values.shape)) for name, values in maps.items()]
    show.print_table(("stage", "channels", "height", "width"), rows, numbers=("channels", "height", "width"))
    if out is not None:
        import io

        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, **maps)
        show.write_file(out, buffer.getvalue())
        show.note(f"feature maps written to {out}")
    if picture is not None:
        from birdsearch.export.html import heatmap
        from birdsearch.photos import decode

        last = list(maps.values())[-1]
        form = "JPEG" if picture.suffix.lower() in (".jpg", ".jpeg") else "PNG"
        show.write_file(picture, decode.encode(heatmap.activation_heatmap(decode.picture(image), last), form))
        show.note(f"picture written to {picture}")
