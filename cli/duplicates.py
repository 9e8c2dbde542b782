"""Commands about duplicates: report them, carry out a plan, take it back."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsearch.records import APPLIED_BY_DEFAULT, RELATIONS

from . import duplicates_output, options, output
from .options import OUTPUT, Csv, Html, IndexName, Json
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import DuplicateReport, Filter, Photo

KEEPING = "What is kept"
CHANGING = "Doing it"


def _folders(option: str, help: str) -> Any:
    return typer.Option(
        option, metavar="DIR", help=help, exists=True, file_okay=False, resolve_path=False, rich_help_panel=KEEPING
    )


Relation = Annotated[
    list[str] | None,
    typer.Option(
        metavar="|".join(RELATIONS),
        help="In which way photos are the same; several with commas or repeated. Without it: all. "
        f"With --apply: {' and '.join(name for name in RELATIONS if name not in APPLIED_BY_DEFAULT)} are carried out "
        "only where they are named here.",
    ),
]
Gap = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Between two exposures of a burst.",
        callback=options.number_within("--burst-gap", 0, 86_400),
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Which photos of this folder the index has already; they are not added.",
        exists=True,
    ),
]
Prefer = Annotated[list[Path] | None, _folders("--prefer", "Rather keep what lies here (repeatable, first one first).")]
Protect = Annotated[list[Path] | None, _folders("--protect", "Never touch anything that lies here (repeatable).")]
Policy = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="What counts first when choosing, such as resolution,oldest; the rest follows in the usual order: "
        "protected, original, resolution, sharpness, metadata, size, oldest.",
        rich_help_panel=KEEPING,
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="Write what could go as a CSV to edit.", rich_help_panel=CHANGING),
]
ApplyFile = Annotated[
    Path | None,
    typer.Option(
        "--apply",
        metavar="FILE",
        help="Carry out such a plan. birdsearch undo takes it back.",
        exists=True,
        dir_okay=False,
        rich_help_panel=CHANGING,
    ),
]
Action = Annotated[
    str | None,
    typer.Option(
        metavar="trash|move:DIR|hardlink",
        help="What to do with photos that go: into a hidden folder beside the photos (the default), into a folder of "
        "yours, or (identical ones) one file under both names.",
        rich_help_panel=CHANGING,
    ),
]
Not = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--not", metavar="ID ID", help="Remember that these two photos are not the same.", rich_help_panel=CHANGING
    ),
]


@options.takes_filter
def dedupe(
    context: typer.Context,
    index: IndexName = None,
    relation: Relation = None,
    burst_gap: Gap = 3.0,
    against: Against = None,
    prefer: Prefer = None,
    protect: Protect = None,
    policy: Policy = None,
    plan: PlanFile = None,
    apply: ApplyFile = None,
    action: Action = None,
    not_: Not = None,
    json: Json = False,
    csv: Csv = False,
    html: Html = None,
    where: "Filter | None" = None,
) -> None:
    """Find photos that are the same picture, and say which to keep and why. Moves nothing unless told to --apply."""
    options.only_one(json, csv)
    _check_usage(context, apply, not_, action, plan, against)
    relations = _relations(relation)
    if apply is not None:
        _apply(index, apply, _action(action), _applied(relations), _absolute(protect), json)
        return
    if not_ is not None:
        _not_same(index, not_)
        return
    with options.open_index(index) as opened:
        with progress() as tell:
            report = opened.duplicates(
                relations=relations or tuple(RELATIONS),
                where=where,
                against=None if against is None else os.path.abspath(against),
                burst_gap=burst_gap,
                prefer=_absolute(prefer),
                protect=_absolute(protect),
                policy=_policy(policy),
                progress=tell,
            )
        if plan is not None:
            from birdsearch.duplicates.cleanup.plan import write_plan

            write_plan(opened.plan(report, protect=_absolute(protect)), plan)
        from birdsearch.export.html import album

        photos = album.of_duplicates(opened, report) if csv or html is not None or not json else {}
    duplicates_output.print_report(report, photos, against, json=json, csv=csv, html=html)
    if plan is not None:
        output.note(f"plan written to {plan}")
    if not (json or csv):
        _next(context, report, photos, plan)


# What was asked for


def _check_usage(
    context: typer.Context,
    apply: Path | None,
    not_: tuple[int, int] | None,
    action: str | None,
    plan: Path | None,
    against: Path | None,
) -> None:
    """Reporting, --apply and --not are three jobs: an option of another job is a mistake."""
    own: dict[str, tuple[str, ...]] = {
        "--apply": ("apply", "action", "relation", "protect", "index", "json"),
        "--not": ("not_", "index"),
    }
    job = "--apply" if apply is not None else "--not" if not_ is not None else None
    if job is not None:
        for parameter in _given(context):
            if parameter.name not in own[job]:
                raise typer.BadParameter(f"cannot be combined with {job}", param_hint=f"'{parameter.opts[0]}'")
    elif action is not None:
        raise typer.BadParameter("needs --apply FILE, the plan to carry out", param_hint="'--action'")
    elif plan is not None and against is not None:
        why = "cannot be combined with --against: its photos are not in the index, so no plan can name them"
        raise typer.BadParameter(why, param_hint="'--plan'")


def _given(context: typer.Context) -> list[Any]:
    """The options that were typed."""
    sources = {p.name: context.get_parameter_source(p.name or "") for p in context.command.params}
    return [p for p in context.command.params if getattr(sources[p.name], "name", "") == "COMMANDLINE"]


def _relations(values: Sequence[str] | None) -> tuple[str, ...]:
    """The relations that were named, strongest first; none where none was."""
    named = [name.strip() for value in values or () for name in value.split(",")]
    for name in named:
        if name not in RELATIONS:
            message = f"{name!r} is no relation: there are {', '.join(RELATIONS)}"
            raise typer.BadParameter(message, param_hint="'--relation'")
    return tuple(name for name in RELATIONS if name in named)


def _applied(named: tuple[str, ...]) -> tuple[str, ...]:
    """What a plan may do: the default relations, and what else was named; where only defaults are named, just those."""
    if named and set(named) <= set(APPLIED_BY_DEFAULT):
        return named
    return tuple(name for name in RELATIONS if name in APPLIED_BY_DEFAULT or name in named)


def _policy(value: str | None) -> tuple[str, ...]:
    """What counts first when choosing."""
    from birdsearch.duplicates.keeper import POLICY, policy_order

    if value is None:
        return POLICY
    named = tuple(name.strip() for name in value.split(","))
    try:
        policy_order(named)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--policy'") from error
    return named


def _action(value: str | None) -> str:
    if value is None or value in ("trash", "hardlink"):
        return value or "trash"
    kind, _, folder = value.partition(":")
    if kind == "move" and folder.strip():
        return f"move:{os.path.abspath(os.path.expanduser(folder))}"
    raise typer.BadParameter(f"{value!r} is none of trash, hardlink, move:DIR", param_hint="'--action'")


def _absolute(folders: Sequence[Path] | None) -> tuple[str, ...]:
    return tuple(os.path.abspath(folder) for folder in folders or ())


# Reporting


def _next(context: typer.Context, report: "DuplicateReport", photos: "Mapping[int, Photo]", plan: Path | None) -> None:
    """The command to type now."""
    from birdsearch.export.html.duplicates import members

    if report.against:
        return
    going = {member.relation for group in members(report, photos) for member in group if member.do == "remove"}
    if plan is None and going:
        output.note(f"Next: {_again(context, ('plan', 'html'))} --plan plan.csv")
    elif plan is not None and going:
        named = [name for name in RELATIONS if name in going and name not in APPLIED_BY_DEFAULT]
        which = f" --relation {','.join(named)}" if named else ""
        also = f" (leave --relation out to touch only {' and '.join(APPLIED_BY_DEFAULT)})" if named else ""
        command = _again(context, tuple(_REPORTING)) + f" --apply {shlex.quote(str(plan))} --action trash{which}"
        output.note(f"Next: read {plan}, change what you like, then: {command}{also}")


_REPORTING = (
    "relation", "burst_gap", "prefer", "policy", "plan", "html", "species", "label", "predicted", "min_probability",
    "after", "before", "under", "near", "camera", "min_width",
)  # fmt: skip


def _again(context: typer.Context, without: Sequence[str]) -> str:
    """This command once more, without some of its options."""
    words = ["birdsearch", "dedupe"]
    for parameter in _given(context):
        if parameter.name in without:
            continue
        value = context.params[parameter.name]
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [parameter.opts[0], shlex.quote(str(each))]
    return " ".join(words)


# Changing


def _apply(
    index: str | None, plan: Path, action: str, relations: tuple[str, ...], protect: tuple[str, ...], json: bool
) -> None:
    from birdsearch.duplicates.cleanup.plan import read_plan

    steps = read_plan(plan)
    with options.open_index(index) as opened, progress() as tell:
        report = opened.apply(steps, action=action, relations=relations, protect=protect, progress=tell)
    duplicates_output.print_done(report, "put away" if action != "hardlink" else "linked", json)
    if report.done:
        output.note(f"To take it back: birdsearch undo {report.run}{options.index_option(index)}")


def _not_same(index: str | None, ids: tuple[int, int]) -> None:
    first, second = ids
    if first == second:
        raise typer.BadParameter("names one photo twice: give the ids of two", param_hint="'--not'")
    with options.open_index(index) as opened:
        paths = [opened.photo(number).path for number in ids]
        opened.not_duplicates(first, second)
    output.say(f"remembered: {first} ({paths[0]}) and {second} ({paths[1]}) are not the same")


def undo(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Which run; without it the last one.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only list the runs.")] = False,
    index: IndexName = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Take back what dedupe --apply did: every file where it was, bit by bit."""
    if list_ and run is not None:
        raise typer.BadParameter("cannot be combined with the name of a run", param_hint="'--list'")
    with options.open_index(index) as opened:
        if list_:
            duplicates_output.print_runs(opened.runs(), json)
            return
        with progress() as tell:
            report = opened.undo(run, progress=tell)
    duplicates_output.print_done(report, f"run {report.run}: put back", json)
