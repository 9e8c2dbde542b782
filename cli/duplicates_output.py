"""How duplicates, plans that were carried out, and runs are printed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from birdsearch.records import (
    RELATIONS,
    ActionReport,
    Decision,
    DuplicateReport,
    Member,
    Photo,
    RunSummary,
    TrashedRun,
    as_json,
    bytes_text,
    counted,
)

from . import output
from .options import Shared
from .progress import MAKING_PAGE, working

LISTED = 50  # groups in a table
SKIPPED_LISTED = 20
COLUMNS = (
    "group", "relation", "do", "id", "path", "score", "reason", "hash_distance", "overlap", "agreement", "transform",
    "width", "height", "format", "size", "taken_at", "camera", "sha256",
)  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """A report of duplicates, and the photos in it by their ids."""

    report: DuplicateReport
    photos: Mapping[int, Photo]
    decisions: tuple[Decision, ...] = ()

    @cached_property
    def groups(self) -> list[list[Member]]:
        """The members of each group, the kept photo first."""
        from birdsearch.export.html.duplicates import members

        return members(self.report, self.photos, decisions=self.decisions)


def print_report(findings: Findings, shared: Shared) -> None:
    """Write the page, and print the report as JSON, CSV or a table."""
    report = findings.report
    if shared.html is not None:
        from birdsearch.export.html import duplicates

        with working(MAKING_PAGE):
            page = duplicates.duplicates_page(
                report, findings.photos, decisions=findings.decisions, origin=shared.origin
            )
        output.write_page(shared.html, page, shared.force)
    if shared.json:
        output.print_json(report)
        return
    groups = findings.groups
    if shared.csv:
        output.print_csv(COLUMNS, (_row(member) for group in groups for member in group))
    else:
        _print_groups(groups)
        _print_summary(report, groups)


def _row(member: Member) -> list[Any]:  # in the order of COLUMNS
    pair, photo = member.pair, member.photo
    shown: dict[str, Any] = {
        "group": member.group,
        "relation": member.relation,
        "do": member.do,
        "score": pair.score if pair else None,
        "reason": member.reason,
        **{name: pair.evidence.get(name) if pair else None for name in COLUMNS[7:11]},
    }
    return [shown[column] if column in shown else getattr(photo, column) for column in COLUMNS]


def _print_groups(groups: Sequence[Sequence[Member]]) -> None:
    """The table of the first groups."""
    if not groups:
        return
    columns = ("group", "id", "do", "relation", "path", "reason")
    rows = (
        [str(m.group), str(m.photo.id), m.do, m.relation, m.photo.path, m.reason] for g in groups[:LISTED] for m in g
    )
    output.print_table(columns, rows, numbers=("group", "id"))
    output.say("")
    if len(groups) > LISTED:
        output.note(f"Only the first {LISTED} groups are shown: --csv lists all, --html shows them side by side.")


def _print_summary(report: DuplicateReport, groups: Sequence[Sequence[Member]]) -> None:
    """How many groups of each relation there are, and what can be removed."""
    if not groups:
        output.say(f"no duplicates among {counted(report.counts.get('photos', 0), 'photo')}")
        return
    for relation, count in _counted(group[0].relation for group in groups):
        of_relation = [member for group in groups if group[0].relation == relation for member in group]
        removable = [member.photo.size for member in of_relation if member.do == "remove"]
        what = f"{counted(len(removable), 'photo')} ({bytes_text(sum(removable))}) can be removed"
        if not RELATIONS[relation].same_picture:
            what = f"{counted(len(of_relation), 'photo')} to choose from"
        output.say(f"{relation:<9}  {counted(count, 'group'):<12}  {what}; {RELATIONS[relation].meaning}")
    if labelled := _labelled_and_removed(groups):
        photos = f"{counted(labelled, 'labelled photo')} would go in favour of one without a label"
        output.note(
            f"{photos}: look for LABELLED in the table or the plan. --prefer or --protect a folder to keep its."
        )
    among = f" among {counted(report.counts['photos'], 'photo')}" if "photos" in report.counts else ""
    output.say(f"{'all':<9}  {counted(len(groups), 'group')}{among}, in {report.seconds:.1f} s; nothing was moved")


def _labelled_and_removed(groups: Sequence[Sequence[Member]]) -> int:
    """How many photos would go that have a label while the kept one has none."""
    unlabelled = (group for group in groups if not group[0].photo.label)
    return sum(member.do == "remove" and member.photo.label is not None for group in unlabelled for member in group)


def _counted(relations: Iterable[str]) -> list[tuple[str, int]]:
    """How often each relation occurs, strongest first."""
    listed = list(relations)
    return [(name, listed.count(name)) for name in RELATIONS if name in listed]


def print_action(report: ActionReport, verb: str, where: str, shared: Shared) -> None:
    """What became of the files of a plan: what was done to the photos, and where they are now."""
    if shared.json:
        output.print_json(report)
        return
    photos = f"{counted(report.done, 'photo')} ({bytes_text(report.bytes)})"
    output.say(f"{verb} {photos} {where} in {report.seconds:.1f} s")
    if report.skipped:
        output.say(f"skipped {counted(len(report.skipped), 'photo')}")
    for reason in report.as_told:
        files = sum(why == reason for _, why in report.skipped)
        output.note(f"skipped: {counted(files, 'photo')}: {reason}")
    named = [(path, reason) for path, reason in report.skipped if reason not in report.as_told]
    for path, reason in named[:SKIPPED_LISTED]:
        output.note(f"skipped: {output.printable(path)}: {reason}")
    if len(named) > SKIPPED_LISTED:
        output.note(f"and {len(named) - SKIPPED_LISTED:,} more: --json lists them all")


def print_trash(runs: Sequence[TrashedRun], shared: Shared) -> None:
    """What lies in the trash of each run, and where."""
    if shared.json:
        output.print_json(list(runs))
    elif not runs:
        output.say("the trash is empty")
    else:
        for run in runs:
            output.say(f"run {run.run}: {_in_trash([run])} in {', '.join(run.places)}")
        output.note(f"To delete it for good: birdsearch trash --empty{shared.index_option}")


def emptying(runs: Sequence[TrashedRun]) -> str:
    """What a person is asked before the trash is emptied."""
    return f"Delete {_in_trash(runs)} for good? They cannot be restored."


def _in_trash(runs: Sequence[TrashedRun]) -> str:
    """What lies in the trash of some runs: "2 photos, 1 companion (3.4 MB)"."""
    photos, companions = sum(run.photos for run in runs), sum(run.companions for run in runs)
    files = f"{counted(photos, 'photo')}, {counted(companions, 'companion')} ({bytes_text(sum(r.bytes for r in runs))})"
    only_here = sum(run.only_here for run in runs)
    return f"{files}, {only_here:,} of them nowhere else with the same bytes" if only_here else files


def print_runs(runs: Sequence[RunSummary], shared: Shared) -> None:
    """The table of runs that can be undone."""
    records = as_json(list(runs))
    if shared.json:
        output.print_json(records)
    elif not records:
        output.say("no runs: nothing to undo")
    else:
        rows = [["" if value is None else str(value) for value in record.values()] for record in records]
        output.print_table(list(records[0]), rows)
