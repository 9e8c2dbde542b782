"""How duplicates, plans carried out and runs are printed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from birdsearch.records import RELATIONS, DuplicateReport, Member, Photo, as_json, counted

from . import output

LISTED = 50  # groups that are enough to look at in a table
SKIPPED_LISTED = 20
COLUMNS = (
    "group", "relation", "do", "id", "path", "score", "reason", "hash_distance", "overlap", "agreement", "transform",
    "width", "height", "format", "size", "taken_at", "camera", "sha256",
)  # fmt: skip


def print_report(
    report: DuplicateReport,
    photos: Mapping[int, Photo],
    against: Path | None,
    *,
    json: bool,
    csv: bool,
    html: Path | None,
) -> None:
    """The page, and on standard output what was asked for."""
    if html is not None:
        from birdsearch.export.html import duplicates

        title = "New photos and the index" if against is not None else "Duplicates"
        output.write_page(html, duplicates.duplicates_page(report, photos, title))
    if json:
        output.print_json(report)
        return
    from birdsearch.export.html.duplicates import members

    groups = members(report, photos)
    if csv:
        output.print_csv(COLUMNS, (_row(member) for group in groups for member in group))
    elif against is not None:
        _print_against(report, groups, against)
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
    """The table of groups, as many as one looks at."""
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


def _print_against(report: DuplicateReport, groups: Sequence[Sequence[Member]], folder: Path) -> None:
    """Which new photos the index has, and as which photo."""
    found = [(group[0].photo, member) for group in groups for member in group[1:]]
    if found:
        columns = ("relation", "score", "path", "id", "in the index as")
        output.print_table(columns, (_known(kept, member) for kept, member in found), numbers=("score", "id"))
        output.say("")
    kinds = ", ".join(f"{count:,} {name}" for name, count in _counted(member.relation for _, member in found))
    if report.against:
        new = counted(len(report.against), "new photo")
        output.say(f"{len(found):,} of {new} in the index already{kinds and ': '}{kinds}")
        output.say(f"{len(report.against) - len(found):,} not in the index")
    else:
        output.say(f"no photos in {folder}")
    if failed := report.counts.get("failed", 0):
        output.note(f"{counted(failed, 'file')} could not be read")


def _known(kept: Photo, member: Member) -> list[str]:
    score = None if member.pair is None else member.pair.score
    return [member.relation, "" if score is None else f"{score:.3f}", member.photo.path, str(kept.id), kept.path]


def _print_summary(report: DuplicateReport, groups: Sequence[Sequence[Member]]) -> None:
    """How many groups of each relation, and what could go."""
    if not groups:
        output.say(f"no duplicates among {counted(report.counts.get('photos', 0), 'photo')}")
        return
    for relation, count in _counted(group[0].relation for group in groups):
        of_relation = [member for group in groups if group[0].relation == relation for member in group]
        going = [member.photo.size for member in of_relation if member.do == "remove"]
        could = f"{counted(len(going), 'photo')} ({size(sum(going))}) could go"
        if not RELATIONS[relation].same_picture:
            could = f"{counted(len(of_relation), 'photo')} to choose from"
        output.say(f"{relation:<9}  {counted(count, 'group'):<12}  {could}; {RELATIONS[relation].meaning}")
    among = f" among {counted(report.counts['photos'], 'photo')}" if "photos" in report.counts else ""
    output.say(f"{'all':<9}  {counted(len(groups), 'group')}{among}, in {report.seconds:.1f} s; nothing was moved")


def _counted(relations: Iterable[str]) -> list[tuple[str, int]]:
    """How often each relation occurs, strongest first."""
    listed = list(relations)
    return [(name, listed.count(name)) for name in RELATIONS if name in listed]


def size(count: int) -> str:
    """Bytes in a few letters."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def print_done(report: Any, word: str, json: bool) -> None:
    """What was done, and what was not and why."""
    if json:
        output.print_json(report)
        return
    output.say(f"{word} {counted(report.done, 'photo')} ({size(report.bytes)}) in {report.seconds:.1f} s")
    if report.skipped:
        output.say(f"skipped {counted(len(report.skipped), 'photo')}")
    for path, reason in report.skipped[:SKIPPED_LISTED]:
        output.note(f"skipped: {output.printable(path)}: {reason}")
    if len(report.skipped) > SKIPPED_LISTED:
        output.note(f"and {len(report.skipped) - SKIPPED_LISTED:,} more: --json lists them all")


def print_runs(runs: Sequence[Any], json: bool) -> None:
    """The table of what was done and can be taken back."""
    records = as_json(list(runs))
    if json:
        output.print_json(records)
    elif not records:
        output.say("no runs: nothing to take back")
    else:
        rows = [["" if value is None else str(value) for value in record.values()] for record in records]
        output.print_table(list(records[0]), rows)
