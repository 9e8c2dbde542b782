"""The command classify: what an image shows."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from birdsearch.errors import IndexMissingError

from . import options, output
from .options import BackboneName, Csv, Images, IndexName, Json, TopK

VOTERS = 3  # photos that are named as reasons


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
        named, voters = network(index, backbone), {}
        answers = [named.classify(image, k) for image in images]
    columns = ("position", "probability", "name", "species", "rank", "class_name", "source", "note")
    if json:
        pairs = zip(images, answers, strict=True)
        output.print_json([{"query": image, "predictions": predictions} for image, predictions in pairs])
    elif csv:
        rows = [
            [image, p.position, p.probability, p.name, p.species, p.rank, p.class_name, p.source, p.note]
            for image, predictions in zip(images, answers, strict=True)
            for p in predictions
        ]
        output.print_csv(("query", *columns), rows)
    else:
        for position, (image, predictions) in enumerate(zip(images, answers, strict=True)):
            output.print_heading(image, position, len(images))
            if not predictions:
                output.say("no photo of the index has a label")
                continue
            output.print_predictions(predictions)
            for p in predictions:
                if p.note:
                    less = "checklist and calibration" if calibrate else "checklist"
                    before = "" if p.raw is None else f" ({100 * p.raw:.1f} % without the {less})"
                    output.say(f"{p.name}: {p.note}{before}")
            for number in next((p.evidence for p in predictions if p.evidence), ())[:VOTERS]:
                output.note(f"like {voters[number]}")


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


def network(index: str | None, backbone: str | None) -> Any:
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
    output.note(f"There is no index yet, so the backbone {chosen} answers.")
    return birdsearch.load_backbone(chosen)
