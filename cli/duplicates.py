"""The commands dedupe, undo and trash: report duplicates, carry out a plan, undo it, or end it."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdsearch.export.target import check_target
from birdsearch.records import APPLIED_BY_DEFAULT, POLICY, RELATIONS, counted

from . import duplicates_output, options, output
from .duplicates_output import Findings
from .options import Shared
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import ActionReport

KEEPING = "Which photo is kept"
CHANGING = "Apply"


def _folders(option: str, help: str) -> Any:
    def check(folders: list[str] | None) -> list[str] | None:
        for folder in folders or ():
            if not (options.is_url(folder) or os.path.isdir(folder)):
                raise typer.BadParameter(f"the folder {folder} does not exist", param_hint=f"'{option}'")
        return folders

    return typer.Option(option, metavar="DIR", help=help, callback=check, rich_help_panel=KEEPING)


Relation = Annotated[
    list[str] | None,
    typer.Option(
        metavar="|".join(RELATIONS),
        help="Kinds of duplicate, separated by commas or repeated; all unless you name some. "
        f"--apply removes {' and '.join(name for name in RELATIONS if name not in APPLIED_BY_DEFAULT)} photos only if "
        "you name them here.",
    ),
]
Gap = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Longest pause between two exposures of a burst.",
        callback=options.number_within("--burst-gap", 0, 86_400),
    ),
]
Against = Annotated[Path | None, typer.Option(hidden=True, help="Now the command new.")]
Prefer = Annotated[
    list[str] | None,
    _folders("--prefer", "Prefer keeping files in this folder (repeatable; the first one counts most)."),
]
Protect = Annotated[list[str] | None, _folders("--protect", "Never touch files in this folder (repeatable).")]
Policy = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="The criteria that decide first, such as resolution,oldest; the others follow in the usual order: "
        f"{', '.join(POLICY)}.",
        rich_help_panel=KEEPING,
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Write the photos that can be removed to a CSV that you can edit.",
        rich_help_panel=CHANGING,
    ),
]
ApplyFile = Annotated[
    Path | None,
    options.file_option(
        "Carry out such a plan. birdsearch undo restores the files.", "--apply", rich_help_panel=CHANGING
    ),
]
Action = Annotated[
    str | None,
    typer.Option(
        metavar="trash|move:DIR|hardlink",
        help="How to remove photos: move them to a hidden folder beside the photos (trash, the default), move them to "
        "a folder, or replace identical ones by hard links.",
        rich_help_panel=CHANGING,
    ),
]
Not = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--not", metavar="ID ID", help="Remember that these two photos are not duplicates.", rich_help_panel=CHANGING
    ),
]

Again = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--again", metavar="ID ID", help="Take --not back: these two may be duplicates.", rich_help_panel=CHANGING
    ),
]


@options.command(where=True, formats=("json", "csv", "html"))
def dedupe(
    context: typer.Context,
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
    again: Again = None,
    *,
    shared: Shared,
) -> None:
    if against is not None:
        why = f"is a command of its own now: birdsearch new {shlex.quote(str(against))}{shared.index_option}"
        raise typer.BadParameter(why, param_hint="'--against'")
    _check_usage(context, {"--apply": apply, "--not": not_, "--again": again}, action)
    protected = tuple(map(options.full_path, protect or ()))
    relations = _relations(relation)
    if apply is not None:
        _apply(apply, _action(action), _applied(relations), protected, shared)
    elif not_ is not None:
        _not_duplicates(not_, shared)
    elif again is not None:
        _duplicates_again(again, shared)
    else:
        kinds = relations or tuple(RELATIONS)
        question = Question(kinds, burst_gap, tuple(map(options.full_path, prefer or ())), protected, _policy(policy))
        _report(context, question, plan, shared)


# Usage


def _check_usage(context: typer.Context, jobs: Mapping[str, object], action: str | None) -> None:
    """Reporting, --apply, --not and --again are four jobs: an option of another job is a mistake."""
    own: dict[str, tuple[str, ...]] = {
        "--apply": ("apply", "action", "relation", "protect", "index", "json"),
        "--not": ("not_", "index"),
        "--again": ("again", "index"),
    }
    job = next((name for name, value in jobs.items() if value is not None), None)
    if job is not None:
        for parameter in _given(context):
            if parameter.name not in own[job]:
                raise typer.BadParameter(f"cannot be combined with {job}", param_hint=f"'{parameter.opts[0]}'")
    elif action is not None:
        raise typer.BadParameter("needs --apply FILE, the plan to carry out", param_hint="'--action'")


def _given(context: typer.Context) -> list[Any]:
    """The options that were typed."""
    sources = {p.name: context.get_parameter_source(p.name or "") for p in context.command.params}
    return [p for p in context.command.params if getattr(sources[p.name], "name", "") == "COMMANDLINE"]


def _relations(values: Sequence[str] | None) -> tuple[str, ...]:
    """The relations that were named, strongest first."""
    named = [name.strip() for value in values or () for name in value.split(",")]
    for name in named:
        if name not in RELATIONS:
            message = f"{name!r} is not one of {', '.join(RELATIONS)}"
            raise typer.BadParameter(message, param_hint="'--relation'")
    return tuple(name for name in RELATIONS if name in named)


def _applied(named: tuple[str, ...]) -> tuple[str, ...]:
    """What a plan may do: the default relations and those named; where only defaults are named, just those."""
    if named and set(named) <= set(APPLIED_BY_DEFAULT):
        return named
    return tuple(name for name in RELATIONS if name in APPLIED_BY_DEFAULT or name in named)


def _policy(value: str | None) -> tuple[str, ...]:
    """The criteria that decide first which photo is kept."""
    if value is None:
        return POLICY
    named = tuple(name.strip() for name in value.split(","))
    for name in named:
        if name not in (*POLICY, "preferred"):
            message = f"{name!r} is not one of {', '.join(POLICY)}"
            raise typer.BadParameter(message, param_hint="'--policy'")
    return named


def _action(value: str | None) -> str:
    if value is None or value in ("trash", "hardlink"):
        return value or "trash"
    kind, _, folder = value.partition(":")
    if kind == "move" and folder.strip():
        return f"move:{os.path.abspath(os.path.expanduser(folder))}"
    raise typer.BadParameter(f"{value!r} is none of trash, hardlink, move:DIR", param_hint="'--action'")


# Report


@dataclass(frozen=True, slots=True)
class Question:
    """What `Index.duplicates` takes."""

    relations: tuple[str, ...]
    burst_gap: float  # seconds
    prefer: tuple[str, ...]  # absolute paths
    protect: tuple[str, ...]
    policy: tuple[str, ...]


def _report(context: typer.Context, question: Question, plan: Path | None, shared: Shared) -> None:
    """Find duplicates, write the plan and the page, print the rest."""
    if plan is not None:
        check_target(plan, force=shared.force)
    from birdsearch import write_plan

    with shared.open() as index:
        with progress() as callback:
            report = index.duplicates(where=shared.where, **asdict(question), progress=callback)
        if plan is not None:
            write_plan(index.plan(report, protect=question.protect), plan, force=shared.force)
        if shared.json and shared.html is None:
            findings = Findings(report, {})
        else:
            from birdsearch.export.html import album

            findings = Findings(report, album.of_duplicates(index, report), index.decisions())
    duplicates_output.print_report(findings, shared)
    if plan is not None:
        output.note(f"plan written to {plan}")
    if not (shared.json or shared.csv):
        _note_next(context, findings, plan)


def _note_next(context: typer.Context, findings: Findings, plan: Path | None) -> None:
    """The command to type next."""
    going = [member for group in findings.groups for member in group if member.do == "remove"]
    if not going:
        return
    removable = {member.relation for member in going}
    if plan is not None and all(options.is_url(member.photo.path) for member in going):
        output.note(f"Next: read {plan}, and remove in their store what it names: birdsearch changes nothing there.")
        return
    if plan is None:
        output.note(f"Next: {_command_without(context, ('plan', 'html'))} --plan plan.csv")
        return
    named = [name for name in RELATIONS if name in removable and name not in APPLIED_BY_DEFAULT]
    which = f" --relation {','.join(named)}" if named else ""
    also = f" (without --relation only {' and '.join(APPLIED_BY_DEFAULT)} ones are removed)" if named else ""
    command = _command_without(context, _REPORTING) + f" --apply {shlex.quote(str(plan))} --action trash{which}"
    output.note(f"Next: read {plan}, change what you like, then: {command}{also}")


_REPORTING = ("relation", "burst_gap", "prefer", "policy", "plan", "html", *options.FILTERS)


def _command_without(context: typer.Context, left_out: Sequence[str]) -> str:
    """This command once more, without some of its options."""
    words = ["birdsearch", "dedupe"]
    for parameter in sorted(_given(context), key=lambda parameter: parameter.name != "index"):
        if parameter.name in left_out:
            continue
        value = context.params[parameter.name]
        if value is True:
            words.append(parameter.opts[0])
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [parameter.opts[0], shlex.quote(str(each))]
    return " ".join(words)


# Apply and undo


def _apply(plan: Path, action: str, relations: tuple[str, ...], protect: tuple[str, ...], shared: Shared) -> None:
    from birdsearch import read_plan

    steps = read_plan(plan)
    known = {"trash": ("moved", "to the trash"), "hardlink": ("replaced", "by hard links")}
    verb, where = known.get(action) or ("moved", f"to {action.removeprefix('move:')}")
    with shared.open() as index:
        before = {run.run for run in index.runs()}
        try:
            with progress() as callback:
                report = index.apply(steps, action=action, relations=relations, protect=protect, progress=callback)
        except KeyboardInterrupt:
            for run in (run for run in index.runs() if run.run not in before and run.photos):
                output.note(f"{verb} {counted(run.photos, 'photo')} {where} before the stop")
                output.note(f"To restore the files: birdsearch undo {run.run}{shared.index_option}")
            raise
    duplicates_output.print_action(report, verb, where, shared)
    if report.done:
        output.note(f"To restore the files: birdsearch undo {report.run}{shared.index_option}")
    _exit_if_failed(report)


def _exit_if_failed(report: "ActionReport") -> None:
    """Scripts must see that something which was named was not done."""
    if report.failed:
        raise typer.Exit(1)


def _not_duplicates(ids: tuple[int, int], shared: Shared) -> None:
    first, second = ids
    if first == second:
        raise typer.BadParameter("names one photo twice: give the ids of two", param_hint="'--not'")
    with shared.open() as index:
        a, b = index.photos(ids=ids)
        index.not_duplicates(first, second)
    output.say(f"remembered: {first} ({a.path}) and {second} ({b.path}) are not duplicates")
    output.note(f"To take that back: birdsearch dedupe --again {first} {second}{shared.index_option}")


def _duplicates_again(ids: tuple[int, int], shared: Shared) -> None:
    with shared.open() as index:
        a, b = index.photos(ids=ids)
        known = (min(ids), max(ids)) in index.pairs_kept_apart()
        if known:
            index.duplicates_again(*ids)
    which = f"{a.id} ({a.path}) and {b.id} ({b.path})"
    output.say(f"forgotten: {which} may be duplicates" if known else f"{which} were not kept apart: nothing changed")


@options.command(formats=("json",))
def undo(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run to undo; the last one by default.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only list the runs.")] = False,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Trust a run that was recorded on another computer, or by another user.")
    ] = False,
    *,
    shared: Shared,
) -> None:
    if list_ and run is not None:
        raise typer.BadParameter("cannot be combined with the name of a run", param_hint="'--list'")
    with shared.open() as index:
        if list_:
            duplicates_output.print_runs(index.runs(), shared)
            return
        with progress() as callback:
            report = index.undo(run, foreign=foreign, progress=callback)
    places = "to its place" if report.done == 1 else "to their places"
    duplicates_output.print_action(report, f"run {report.run}: restored", places, shared)
    _exit_if_failed(report)


@options.command(formats=("json",))
def trash(
    empty: Annotated[
        bool, typer.Option("--empty", help="Delete it for good, after a question: those runs cannot be undone.")
    ] = False,
    yes: options.Yes = False,
    *,
    shared: Shared,
) -> None:
    if yes and not empty:
        raise typer.BadParameter("needs --empty", param_hint="'--yes'")
    with shared.open() as index:
        runs = index.trash()
        if not empty:
            duplicates_output.print_trash(runs, shared)
            return
        if runs and not yes and not output.confirmed(duplicates_output.emptying(runs)):
            output.note("nothing deleted")
            return
        report = index.empty_trash()
    duplicates_output.print_action(report, "deleted", "from the trash", shared)
    _exit_if_failed(report)
