"""The command classify: what an image shows."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.errors import IndexMissingError
from birdsearch.records import percent

from . import options, output
from .options import BackboneName, Checklist, Images, Shared, TopK

if TYPE_CHECKING:
    from birdsearch.records import Prediction

EVIDENCE = 3  # photos that are named as reasons

Source = Annotated[
    Literal["backbone", "neighbours"],
    typer.Option(help="Classify by the network's classes, or by the labelled photos of the index."),
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

COLUMNS = ("query", "position", "probability", "name", "species", "rank", "class_name", "source", "note")


@dataclass(frozen=True)
class Choices:
    """How the images are classified: what `Index.classify_many` takes."""

    source: str
    checklist: list[Path] | None
    roll_up: float | None
    burst: bool
    calibrate: bool

    @property
    def need_index(self) -> bool:
        """Whether a network alone cannot answer."""
        return self != Choices("backbone", None, None, False, False)

    def check(self, backbone: str | None) -> None:
        """Raise BadParameter for options that cannot be combined."""
        if backbone is not None and self.need_index:
            others = "--source neighbours, --checklist, --roll-up, --burst and --calibrate"
            message = f"cannot be combined with {others}: they need the index"
            raise typer.BadParameter(message, param_hint="'--backbone'")
        if self.source != "neighbours":
            return
        if self.checklist is not None or self.roll_up is not None:
            raise typer.BadParameter("needs --source backbone", param_hint="'--checklist' / '--roll-up'")
        if self.calibrate:
            message = "needs --source backbone: the neighbours' probabilities are calibrated already"
            raise typer.BadParameter(message, param_hint="'--calibrate'")


@options.command(formats=("json", "csv"))
def classify(
    images: Images,
    k: TopK = 5,
    source: Source = "backbone",
    checklist: Checklist = None,
    roll_up: RollUp = None,
    burst: Burst = False,
    calibrate: Calibrate = False,
    backbone: BackboneName = None,
    *,
    shared: Shared,
) -> None:
    """Identify what each image shows, by the backbone's classes or by the labelled photos of the index."""
    choices = Choices(source, checklist or None, roll_up, burst, calibrate)
    choices.check(backbone)
    evidence: dict[int, str] = {}
    if choices.need_index:
        with shared.open() as index:
            answers = index.classify_many(images, k, **asdict(choices))
            ids = {number for predictions in answers for p in predictions for number in p.evidence[:EVIDENCE]}
            evidence = {photo.id or 0: photo.path for photo in index.photos(ids=sorted(ids))}
    else:
        network = load_network(shared, backbone)
        answers = [network.classify(image, k) for image in images]
    results = list(zip(images, answers, strict=True))
    if shared.json:
        output.print_json([{"query": image, "predictions": predictions} for image, predictions in results])
    elif shared.csv:
        output.print_csv(COLUMNS, (row for image, predictions in results for row in _rows(image, predictions)))
    else:
        for position, (image, predictions) in enumerate(results):
            output.print_heading(image, position, len(results))
            _print_predictions(predictions, evidence, calibrate)


def _rows(image: str, predictions: "Sequence[Prediction]") -> Iterator[list[Any]]:
    for p in predictions:
        yield [image, *(getattr(p, column) for column in COLUMNS[1:])]


def _print_predictions(predictions: "Sequence[Prediction]", evidence: Mapping[int, str], calibrated: bool) -> None:
    """The table of one image, then what a person should know; `evidence` names the paths of photos."""
    if not predictions:
        output.say("no labelled photos in the index")
        return
    output.print_predictions(predictions)
    for p in predictions:
        if p.note:
            changed_by = "checklist and calibration" if calibrated else "checklist"
            before = "" if p.raw is None else f" ({percent(p.raw, 1)} without the {changed_by})"
            output.say(f"{p.name}: {p.note}{before}")
    for number in next((p.evidence for p in predictions if p.evidence), ())[:EVIDENCE]:
        output.note(f"like {evidence[number]}")


def load_network(shared: Shared, backbone: str | None) -> Any:
    """The named backbone, else the one of the index, else (where there is no index yet) the built-in one."""
    import birdsearch

    if backbone is not None:
        return birdsearch.load_backbone(backbone)
    try:
        with shared.open() as index:
            return index.backbone
    except IndexMissingError:
        if shared.index is not None or os.environ.get("BIRDSEARCH_INDEX"):
            raise
    chosen = os.environ.get("BIRDSEARCH_BACKBONE") or birdsearch.DEFAULT_BACKBONE
    output.note(f"There is no index named default, so the backbone {chosen} answers alone.")
    return birdsearch.load_backbone(chosen)
