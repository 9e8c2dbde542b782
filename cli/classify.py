"""The command classify: what an image shows."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.errors import IndexMissingError, PhotoError, PhotoUnreadableError
from birdsearch.records import IF_KNOWN, percent

from . import options, output
from .options import BackboneName, Checklist, ImagesOrFolders, InBox, Region, Shared, TopK
from .progress import collect_often, working

if TYPE_CHECKING:
    from birdsearch import Index
    from birdsearch.records import Box, Photo, Prediction

EVIDENCE = 3  # photos that are named as reasons

Source = Annotated[
    Literal["auto", "backbone", "neighbours", "names"],
    typer.Option(
        help="Classify by the network's classes, by the labelled photos of the index (auto: by these where the network "
        "knows no species), or by the names of species alone, which needs a network that knows words."
    ),
]
RollUp = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        callback=options.number_within("--roll-up", 0, 1),
        help="Where no species reaches this probability, first name the genus, family or order that does.",
    ),
]
Burst = Annotated[bool, typer.Option("--burst", help="The images show one moment: classify them together.")]
Calibrate = Annotated[bool, typer.Option("--calibrate", help="Calibrate probabilities on your labelled photos.")]

COLUMNS = ("query", "position", "probability", "name", "species", "rank", "class_name", "source", "note", "path")


@dataclass(frozen=True)
class Choices:
    """How the images are classified: what `Index.classify_many` takes."""

    source: str
    checklist: list[Path] | None
    roll_up: float | None
    burst: bool
    calibrate: bool
    box: "Box | None" = None
    region: str = "frame"

    @property
    def need_index(self) -> bool:
        """Whether a network alone cannot answer."""
        alone = Choices(
            "backbone" if self.source == "backbone" else "auto", None, None, False, False, self.box, self.region
        )
        return self != alone

    def check(self, backbone: str | None) -> None:
        """Raise BadParameter for options that cannot be combined."""
        if backbone is not None and self.need_index:
            others = "--source neighbours, --checklist, --roll-up, --burst and --calibrate"
            message = f"cannot be combined with {others}: they need the index"
            raise typer.BadParameter(message, param_hint="'--backbone'")
        if self.calibrate and self.source == "neighbours":
            message = "needs --source backbone: the neighbours' probabilities are calibrated already"
            raise typer.BadParameter(message, param_hint="'--calibrate'")


@options.command(formats=("json", "csv", "html"))
def classify(
    images: ImagesOrFolders,
    k: TopK = 5,
    box: InBox = None,
    region: Region = "frame",
    source: Source = "auto",
    checklist: Checklist = None,
    roll_up: RollUp = None,
    burst: Burst = False,
    calibrate: Calibrate = False,
    backbone: BackboneName = None,
    *,
    shared: Shared,
) -> None:
    choices = Choices(source, checklist or None, roll_up, burst, calibrate, box, region)
    options.check_part(box, region)
    choices.check(backbone)
    images, unreadable = options.in_folders(images)
    failed: dict[int, PhotoError] = {}
    with working("Identifying"):
        answers, evidence = _answers(images, k, choices, backbone, shared, failed)
    results = list(zip(images, answers, strict=True))
    # One answer for all, with the reasons of each.
    read = [result for number, result in enumerate(results) if number not in failed]
    common: list[tuple[tuple[str, ...], list[Prediction]]] = [((image,), answer) for image, answer in read]
    if burst and read:
        common = [(tuple(image for image, _ in read), _common([answer for _, answer in read]))]
    if shared.html is not None:
        from birdsearch.export.html import pages

        origin = shared.origin if backbone is None else replace(shared.origin, index=None)
        output.write_page(shared.html, pages.classify_page(common, evidence, origin=origin), shared.force)
    if shared.json:
        output.print_json(output.answers(results, "predictions", failed))
    elif shared.csv:
        output.print_csv(COLUMNS, (row for image, predictions in results for row in _rows(image, predictions)))
    else:
        for position, (shown, predictions) in enumerate(common):
            output.print_heading(" + ".join(shown), position, len(images))
            _print_predictions(predictions, evidence, calibrate)
    note_source(source, answers, shared)
    broken = [PhotoUnreadableError(f"{one.path}: {one.reason}") for one in unreadable]
    output.end_failed(failed | {len(images) + number: error for number, error in enumerate(broken)})


def _answers(
    images: list[str],
    k: int,
    choices: Choices,
    backbone: str | None,
    shared: Shared,
    failed: dict[int, PhotoError],
) -> "tuple[list[list[Prediction]], dict[int, Photo]]":
    """What each image shows, and by id the photos that are the reasons; `failed` gets what cannot be read."""
    asked = options.given(images)
    if backbone is None and (index := _index(shared, choices.need_index)) is not None:
        with index:
            collect_often()
            answers = index.classify_many(asked, k, **vars(choices), errors=failed.__setitem__)
            ids = {number for predictions in answers for p in predictions for number in p.evidence[:EVIDENCE]}
            return answers, {photo.id or 0: photo for photo in index.photos(ids=sorted(ids))}
    network = load_network(shared, backbone)
    alone = partial(_classify, network, k, choices)
    return [_answer(alone, image, number, failed) for number, image in enumerate(asked)], {}


def _index(shared: Shared, needed: bool) -> "Index | None":
    """The index of the options; None where it does not exist and nobody asked for it."""
    try:
        return shared.open()
    except IndexMissingError:
        if needed or shared.names_index:
            raise
        return None


def _common(answers: "Sequence[Sequence[Prediction]]") -> "list[Prediction]":
    """The one answer of all images, with the reasons of each."""
    return [
        replace(one, evidence=tuple(dict.fromkeys(number for p in same for number in p.evidence[:EVIDENCE])))
        for same in zip(*answers, strict=True)
        for one in same[:1]
    ]


def note_source(source: str, answers: "Sequence[Sequence[Prediction]]", shared: Shared) -> None:
    """Who has answered, where the user left it open and the network knows no species."""
    said = [prediction for predictions in answers for prediction in predictions]
    if source != "auto" or not said:
        return
    if any(prediction.source == "neighbours" for prediction in said):
        output.note("The network knows no species, so your labelled photos answer; --source backbone asks the network.")
    elif not any(prediction.species for prediction in said):
        output.note(
            "The network knows no species. Your own photos can answer once they are labelled: "
            f"birdsearch index DIR --labels folder{shared.index_option}"
        )


def _classify(network: Any, k: int, choices: Choices, image: str | bytes) -> "list[Prediction]":
    """What a network alone says of the part of an image that is asked."""
    found = network.find(image) if choices.region == "bird" else ()
    answer: list[Prediction] = network.classify(image, k, box=found[0].box if found else choices.box)
    return answer


def _answer(
    classify: "Callable[[str | bytes], list[Prediction]]",
    image: str | bytes,
    number: int,
    failed: dict[int, PhotoError],
) -> "list[Prediction]":
    """What a network alone says of an image; one that cannot be read is noted among those that failed."""
    try:
        return classify(image)
    except PhotoError as error:
        failed[number] = error
        return []


def _rows(image: str, predictions: "Sequence[Prediction]") -> Iterator[list[Any]]:
    path = "" if image == "-" else options.full_path(image)  # by which `label --from` knows the photo
    for p in predictions:
        yield [image, *(getattr(p, column) for column in COLUMNS[1:-1]), path]


def _print_predictions(predictions: "Sequence[Prediction]", evidence: "Mapping[int, Photo]", calibrated: bool) -> None:
    """What one image shows, then what a person should know; `evidence` are photos by id."""
    if not predictions:
        output.say("no labelled photos in the index to compare it with")
        return
    output.print_predictions(predictions)
    for p in predictions:
        note = p.note.removesuffix(IF_KNOWN).removesuffix("; ")  # which the sentence above the table says
        if note:
            changed_by = "checklist and calibration" if calibrated else "checklist"
            before = "" if p.raw is None else f" ({percent(p.raw, 1)} without the {changed_by})"
            output.say(f"{p.name}: {note}{before}")
    for number in next((p.evidence for p in predictions if p.evidence), ())[:EVIDENCE]:
        output.note(f"like {evidence[number].path}")


def load_network(shared: Shared, backbone: str | None) -> Any:
    """The named backbone, else the one of the index, else (where there is no index yet) the built-in one."""
    import birdsearch

    if backbone is not None:
        return birdsearch.load_backbone(backbone)
    if (index := _index(shared, needed=False)) is not None:
        with index:
            return index.backbone
    chosen = os.environ.get("BIRDSEARCH_BACKBONE") or birdsearch.DEFAULT_BACKBONE
    output.note(f"There is no index named default, so the backbone {chosen} answers alone.")
    return birdsearch.load_backbone(chosen)
