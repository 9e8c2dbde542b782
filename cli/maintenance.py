"""Commands that look after an index: what it holds, whether it is whole, how fast it answers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from birdsearch.records import bytes_text, counted, date_text, percent

from . import options, output
from .options import Shared
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import OptimizeReport


@options.command(formats=("json",))
def info(*, shared: Shared) -> None:
    with shared.working("Counting") as index:
        facts = index.info()
    if shared.json:
        output.print_json(facts)
        return
    lines = _flat(facts)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        output.say(f"{name:<{width}}  {value}")


def indexes(
    database: Annotated[
        str | None,
        typer.Option(
            "--index",
            metavar="URL",
            show_default=False,
            help="List those that have their catalogs in this database: birds+postgresql://HOST/DATABASE.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    import birdsearch

    listed = birdsearch.list_indexes(database)
    if json:
        output.print_json(listed)
        return
    if not listed:
        output.say("no index yet")
        output.note("Next: birdsearch index DIR")
        return
    rows = [
        (one.name, "" if one.photos is None else f"{one.photos:,}", one.backbone or "", bytes_text(one.bytes),
         date_text((one.changed or "")[:16]), one.path)
        for one in listed
    ]  # fmt: skip
    columns = ("name", "photos", "backbone", "size", "changed", "path")
    output.print_table(columns, rows, numbers=("photos", "size"))
    names = [one.name for one in listed]  # in a database each is there once
    for name in sorted({name for name in names if names.count(name) > 1}):
        first = next(one.path for one in listed if one.name == name)
        output.note(f"The name {name} opens {first}; the other one needs its path.")
    for one in listed:
        if one.problem:
            output.note(f"{one.name}: {one.problem}")
    if database is not None:
        output.note("Sizes are those of the catalogs. To open one add &parts=, the place of its vectors, to its path.")


def _flat(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """Facts as lines; of those that are nested, such as the labels of each folder, one line each."""
    lines: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = key.replace("_", " ")
        if key == "bytes" and isinstance(value, int):
            lines.append(("size", bytes_text(value)))
        elif isinstance(value, dict):
            lines += [(name, f"{inner}: {each}") for inner, each in value.items()]
        elif isinstance(value, list | tuple):
            lines.append((name, ", ".join(str(item) for item in value)))
        else:
            lines.append((name, f"{value:,}" if type(value) is int else "" if value is None else str(value)))
    return lines


@options.command(formats=("json", "csv"))
def failures(*, shared: Shared) -> None:
    with shared.open() as index:
        failed = index.failures()
    columns, rows = ("stage", "reason", "path"), [(f.stage, f.reason, f.path) for f in failed]
    if shared.json:
        output.print_json(failed)
    elif shared.csv:
        output.print_csv(columns, rows)
    elif rows:
        output.print_table(columns, rows)
    else:
        output.say("no failures")


@options.command(where=True)
def remove(
    everything: Annotated[bool, typer.Option("--everything", help="All photos, instead of a filter.")] = False,
    yes: options.Yes = False,
    *,
    shared: Shared,
) -> None:
    if everything is (shared.where is not None):
        raise typer.BadParameter(
            f"which photos? Give --everything, or at least one of the options under “{options.WHICH}”"
        )
    with shared.open() as index:
        count = index.count(shared.where)
        if count == 0:
            output.say("no photo fits the filter: nothing removed")
            return
        question = f"Remove {count:,} of {counted(len(index), 'photo')} from the index? (The files stay.)"
        if not yes and not output.confirmed(question):
            output.note("nothing removed")
            return
        output.say(f"removed {counted(index.remove(shared.where, everything=everything), 'photo')}")


@options.command(formats=("json",))
def optimize(
    recall: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of the ten nearest photos that a search has to find.")
    ] = 0.95,
    engine: Annotated[
        Literal["auto", "flat", "flat-fp16", "ivf", "hnsw", "pq"],
        typer.Option(help="Search engine; auto measures them all."),
    ] = "auto",
    whiten: Annotated[
        bool | None,
        typer.Option(
            "--whiten/--no-whiten",
            help="Learn from the photos of this index which differences matter (whitening), so that matches get "
            "better; or stop that.",
        ),
    ] = None,
    *,
    shared: Shared,
) -> None:
    with shared.open() as index, progress() as callback:
        report = index.optimize(recall=recall, engine=engine, whiten=whiten, progress=callback)
    if shared.json:
        output.print_json(report)
    else:
        _print_optimized(report)


def _print_optimized(report: "OptimizeReport") -> None:
    columns = ("engine", "recall@10", "queries/s", "build", "size", "tried on")
    rows = (
        (
            trial.engine,
            f"{trial.recall:.4f}",
            f"{trial.queries_per_second:,.0f}",
            f"{trial.build_seconds:.1f} s",
            bytes_text(trial.bytes),
            counted(trial.rows, "vector"),
        )
        for trial in report.trials
    )
    output.print_table(columns, rows)
    output.say(f"engine: {report.engine}")
    if report.whitening:
        output.say(f"whitening: {report.whitening}")
    if report.recall_at_1_before is not None and report.recall_at_1_after is not None:
        before, after = (percent(value, 1) for value in (report.recall_at_1_before, report.recall_at_1_after))
        output.say(f"the nearest photo has the same label: {before} before, {after} now")


@options.command(formats=("json",))
def verify(*, shared: Shared) -> None:
    with shared.open() as index, progress() as callback:
        report = index.verify(progress=callback)
    if shared.json:
        output.print_json(report)
    else:
        for line in report.problems or ["ok"]:
            output.say(line)
    if not report.ok:
        output.note(f"Next: birdsearch repair{shared.index_option}")
        raise typer.Exit(1)


@options.command(formats=("json",))
def repair(*, shared: Shared) -> None:
    import birdsearch

    done = birdsearch.restore(options.index_path(shared.index))
    with shared.open() as index, progress() as callback:
        done += index.repair(callback)
    if shared.json:
        output.print_json(done)
        return
    for line in done or ["nothing to repair"]:
        output.say(line)
