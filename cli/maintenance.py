"""Commands that look after an index: what it holds, whether it is whole, how fast it answers."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import options, output
from .options import Csv, IndexName, Json
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import Filter


def info(index: IndexName = None, json: Json = False) -> None:
    """What an index holds and which backbone made it."""
    with options.open_index(index) as opened:
        facts = opened.info()
    if json:
        output.print_json(facts)
        return
    lines = _flat(facts)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        output.say(f"{name:<{width}}  {value}")


def _flat(facts: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines: `backbone name`, `backbone dim`."""
    lines: list[tuple[str, str]] = []
    for name, value in facts.items():
        words = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            lines += _flat(value, f"{words} ")
        elif isinstance(value, list | tuple):
            lines.append((words, ", ".join(str(item) for item in value)))
        else:
            lines.append((words, f"{value:,}" if type(value) is int else "" if value is None else str(value)))
    return lines


def failures(index: IndexName = None, json: Json = False, csv: Csv = False) -> None:
    """List the files that could not be indexed, and why."""
    options.only_one(json, csv)
    with options.open_index(index) as opened:
        failed = opened.failures()
    columns, rows = ("stage", "reason", "path"), [(f.stage, f.reason, f.path) for f in failed]
    if json:
        output.print_json(failed)
    elif csv:
        output.print_csv(columns, rows)
    elif rows:
        output.print_table(columns, rows)
    else:
        output.say("no failures")


@options.takes_filter
def remove(
    index: IndexName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    where: "Filter | None" = None,
) -> None:
    """Take photos out of an index. Their files stay where they are."""
    if where is None:
        raise typer.BadParameter("say which photos: give at least one of the options under “Which photos”")
    with options.open_index(index) as opened:
        count = len(opened.photos(where))
        if count == 0:
            output.say("no photo fits: nothing removed")
            return
        question = f"Take {count:,} of {len(opened):,} photos out of the index? (The files stay.)"
        if not yes and not typer.confirm(question, err=True):
            output.note("nothing removed")
            return
        output.say(f"removed {opened.remove(where):,}")


def optimize(
    index: IndexName = None,
    recall: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of the true ten nearest to be found.")] = 0.95,
    engine: Annotated[
        Literal["auto", "flat", "flat-fp16", "ivf", "hnsw"], typer.Option(help="Which engine; auto measures them.")
    ] = "auto",
    whiten: Annotated[
        bool | None,
        typer.Option("--whiten/--no-whiten", help="Whiten the vectors (fitted on this index's photos), or stop it."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure which engine answers fastest on your photos, and improve ranking with --whiten."""
    with options.open_index(index) as opened, progress() as tell:
        report = opened.optimize(recall=recall, engine=engine, whiten=whiten, progress=tell)
    if json:
        output.print_json(report)
        return
    columns = ("engine", "recall@10", "questions/s", "build", "size", "tried on")
    output.print_table(
        columns,
        [
            (
                trial.engine,
                f"{trial.recall:.4f}",
                f"{trial.queries_per_second:,.0f}",
                f"{trial.build_seconds:.1f} s",
                f"{trial.bytes / 1e6:,.0f} MB",
                f"{trial.rows:,}",
            )
            for trial in report.trials
        ],
    )
    output.say(f"engine: {report.engine}")
    if report.whitening:
        output.say(f"whitening: {report.whitening}")
    if report.recall_at_1_before is not None and report.recall_at_1_after is not None:
        before, after = report.recall_at_1_before, report.recall_at_1_after
        output.say(f"the nearest photo has the same label: {before:.1%} before, {after:.1%} now")


def verify(index: IndexName = None, json: Json = False) -> None:
    """Check every promise of an index; exit with 1 if one is broken."""
    with options.open_index(index) as opened:
        report = opened.verify()
    if json:
        output.print_json(report)
    else:
        for problem in report.problems:
            output.say(problem)
        if report.ok:
            output.say("ok")
    if not report.ok:
        output.note(f"Next: birdsearch repair{options.index_option(index)}")
        raise typer.Exit(1)


def repair(index: IndexName = None, json: Json = False) -> None:
    """Put right what verify finds; only what cannot be rebuilt is embedded again."""
    import birdsearch

    done = birdsearch.restore(options.index_path(index))
    with options.open_index(index) as opened, progress() as tell:
        done += opened.repair(tell)
    if json:
        output.print_json(done)
        return
    for line in done or ["nothing to repair"]:
        output.say(line)
