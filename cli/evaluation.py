"""The command evaluate: how accurate retrieval and classification are, and whether that is good enough."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.errors import InputFileError
from birdsearch.export.target import check_target
from birdsearch.records import counted

from . import options, output
from .options import Shared
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import Evaluation

FIGURES = {  # field of an Evaluation -> what a person calls it
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "mean_average_precision": "mean avg. precision",
    "knn_accuracy": "accuracy",
    "knn_accuracy_top5": "top-5 accuracy",
    "calibration_error": "calibration error",
}
BACKBONE_FIGURES = {
    "backbone_accuracy": "accuracy",
    "backbone_calibration_error": "calibration error",
    "backbone_calibration_error_scaled": "with --calibrate",
    "temperature": "temperature",
}
COLUMNS = ("photos", "classified", "precision", "recall", "recall_at_1", "taken_for", "taken_for_photos")

MinAccuracy = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Exit with 1 if accuracy is lower, for automatic checks.",
        callback=options.number_within("--min-accuracy", 0, 1),
    ),
]
Compare = Annotated[
    Path | None,
    options.file_option(
        "What evaluate --json printed before: show what changed, and exit with 1 if accuracy is lower now."
    ),
]
Confusions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the confusion matrix as a CSV: a row for each label, a column for each species it was classified "
        "as, the number of photos in the cells.",
    ),
]
Split = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Let the photos of train.csv in this folder, which birdsearch split writes, answer for those of test.csv.",
    ),
]
Predictions = Annotated[
    Path | None,
    options.file_option(
        "Measure the predictions of another program instead: a CSV with the columns species and path (or sha256 or "
        "id), perhaps probability."
    ),
]


@options.command(where=True, formats=("json", "csv", "force"))
def evaluate(
    split: Split = None,
    predictions: Predictions = None,
    min_accuracy: MinAccuracy = None,
    compare: Compare = None,
    confusions: Confusions = None,
    *,
    shared: Shared,
) -> None:
    if split is not None and predictions is not None:
        raise typer.BadParameter("cannot be combined with --predictions", param_hint="'--split'")
    before = {} if compare is None else _earlier(compare)
    if confusions is not None:
        check_target(confusions, force=shared.force)  # before the work
    with shared.open() as index, progress() as callback:
        if split is not None:
            result = index.evaluate_split(split, shared.where, progress=callback)
        elif predictions is not None:
            result = index.evaluate_predictions(predictions, shared.where)
        else:
            result = index.evaluate(shared.where, progress=callback)
        labelled = 0 if result.photos else index.info()["labelled"]
    if confusions is not None:
        _write_confusions(result.answers, confusions, shared.force)
    if shared.json:
        output.print_json(result)
    elif shared.csv:
        rows = ([name, *(getattr(each, column) for column in COLUMNS)] for name, each in result.per_species.items())
        output.print_csv(("species", *COLUMNS), rows)
    else:
        _print_evaluation(result, before, labelled, shared)
        if split is None and predictions is None:
            _note_left_out(result)
    _check(result.knn_accuracy, min_accuracy, before, compare)


def _earlier(path: Path) -> dict[str, float]:
    """The figures of an earlier evaluation, those that it could measure."""
    try:
        if not path.is_file():
            raise OSError("not a regular file")  # a pipe would be waited for
        known = json.loads(path.read_text(encoding="utf-8-sig"), parse_int=float)
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"cannot read {path}: {error}. Give a file that evaluate --json wrote.") from error
    if not isinstance(known, dict) or "knn_accuracy" not in known:
        raise InputFileError(f"{path} is not what evaluate --json prints: it has no knn_accuracy.")
    figures = {name: known[name] for name in (*FIGURES, *BACKBONE_FIGURES) if known.get(name) is not None}
    for name, value in figures.items():
        if not (isinstance(value, float) and math.isfinite(value)):
            raise InputFileError(f"{path} is not what evaluate --json prints: {name} is {value!r}, which is no number.")
    return figures


def _write_confusions(answers: Mapping[str, Mapping[str, int]], path: Path, force: bool) -> None:
    names = sorted({*answers, *(name for given in answers.values() for name in given)})
    rows = ([name, *(answers.get(name, {}).get(n, 0) for n in names)] for name in names)
    output.write_csv(path, ("label", *names), rows, force)
    output.note(f"confusion matrix written to {path}")


def _print_evaluation(result: "Evaluation", before: Mapping[str, float], labelled: int, shared: Shared) -> None:
    output.say(f"{'queries':<21} {result.photos:,}")
    if not result.photos:
        output.note("Evaluation needs at least two labelled photos of one species.")
        output.note_unlabelled(labelled, shared.index_option)
    else:
        _print_figures(result, FIGURES, before)
    if result.backbone_photos:
        output.say(
            f"the backbone alone, on {counted(result.backbone_photos, 'photo')} whose label is one of its classes:"
        )
        _print_figures(result, BACKBONE_FIGURES, before)
    worst = sorted(result.per_species.items(), key=lambda one: (-one[1].taken_for_photos, one[0]))
    confused = [f"{name} for {each.taken_for} ({each.taken_for_photos})" for name, each in worst if each.taken_for]
    if confused:
        output.say(f"{'most confused':<21} {', '.join(confused[:3])}")
    if result.photos:
        output.say(f"in {result.seconds:.1f} s")


def _note_left_out(result: "Evaluation") -> None:
    """The photos that have a label and could not be asked, and why."""
    out = {name: each.photos for name, each in result.per_species.items() if not each.classified}
    if out:
        output.note(
            f"{counted(sum(out.values()), 'photo')} of {counted(len(out), 'label')} left out, for no photo of another "
            f"moment has the same label to be compared with: {output.some(sorted(out))}"
        )


def _print_figures(result: "Evaluation", figures: Mapping[str, str], before: Mapping[str, float]) -> None:
    """The figures that were measured, each with its change."""
    for name, words in figures.items():
        value, earlier = getattr(result, name), before.get(name)
        if value is not None:
            changed = "" if earlier is None else f"  {value - earlier:+.3f}, before {earlier:.3f}"
            output.say(f"{words:<21} {value:.3f}{changed}")


def _check(accuracy: float | None, least: float | None, before: Mapping[str, float], compare: Path | None) -> None:
    """End with 1 where accuracy is lower than demanded, as far as three digits show."""
    earlier = before.get("knn_accuracy")
    for floor, words in ((least, "--min-accuracy demands"), (earlier, f"in {compare}")):
        if floor is None:
            continue
        if accuracy is None:
            output.fail(f"accuracy cannot be measured, so it is not known whether it reaches the {floor:g} {words}")
        if round(accuracy, 3) < round(floor, 3):
            output.fail(f"accuracy {accuracy:.3f} is lower than the {floor:.3f} {words}")
