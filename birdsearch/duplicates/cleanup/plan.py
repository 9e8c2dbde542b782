"""A plan: which file of each group of duplicates stays and which goes, as a CSV that people read and edit."""

import csv
import io
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from birdsearch.arguments import checked
from birdsearch.duplicates.members import is_applied, members
from birdsearch.errors import InputFileError
from birdsearch.files import absolute, is_url, new_file, whole_number
from birdsearch.records import RELATIONS, SAME_PICTURE, Decision, DuplicateReport, Member, Photo, Plan, Step, shown
from birdsearch.sheets import csv_bytes, guarded, read_csv

WORDS = ("keep", "remove", "skip")
_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONG = {short[1]: sign for sign, short in _SHORT.items()}
_ESCAPE = re.compile(r"\\(?:([\\nrt])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))", re.DOTALL)
COLUMNS = tuple(field.name for field in fields(Step))


def make_plan(
    report: DuplicateReport,
    photos: Mapping[int, Photo],
    *,
    relations: Sequence[str] = SAME_PICTURE,
    protect: Sequence[str] = (),
    decisions: Iterable[Decision] = (),
    apart: Collection[tuple[int, int]] = (),
) -> Plan:
    """The plan that follows from a report: keep one of each group, remove the others; or what a person has decided.

    A photo whose relation is not among `relations` is proposed to be skipped: so are bursts, unless they are named.
    Nothing under `protect` is ever removed, nor a photo that another group keeps.
    """
    groups = members(report, photos, relations=relations, protect=protect, decisions=decisions, apart=apart)
    return Plan(tuple(step for group in groups for step in _steps(group, is_applied(group, relations))))


def _steps(group: Sequence[Member], applied: bool) -> Iterator[Step]:
    """The lines of one group, the kept photo first; in a group that is only listed every photo is skipped."""
    for member in group:
        photo = member.photo
        do = "keep" if member.protected and photo.sha256 else member.do
        do = do if applied or do == "remove" else "skip"
        reason = "" if member.protected else member.reason or group[0].reason
        relation = "" if member is group[0] else member.relation
        words = "; ".join(filter(None, (member.stays, reason)))
        yield Step(member.group, do, relation, photo.path, photo.sha256 or "", photo.size, words)


def problems(plan: Plan) -> Iterator[tuple[int, str]]:
    """What makes a plan dangerous or unclear: (number of the step, why, and what to do)."""
    groups: dict[int, list[int]] = {}
    kept: dict[str, int] = {}
    for n, step in enumerate(plan.steps):
        groups.setdefault(step.group, []).append(n)
        if step.do not in WORDS:
            yield n, f'do is "{shown(step.do)}": write keep, remove or skip'
        if step.relation and step.relation not in RELATIONS:
            yield n, f'relation is "{shown(step.relation)}": write one of {", ".join(RELATIONS)}'
        if (
            not (is_url(step.path) or os.path.isabs(step.path))
            or os.fsencode(step.path) != absolute(step.path)
            or "\0" in step.path
        ):
            yield n, f'"{shown(step.path)}" is not an absolute path: write it as the plan had it'
        if step.do == "keep":
            kept.setdefault(step.path, n)
    for numbers in groups.values():
        yield from _problems_of_group([(n, plan.steps[n]) for n in numbers])
    for n, step in enumerate(plan.steps):
        if step.do == "remove" and step.path in kept:
            other = plan.steps[kept[step.path]].group
            yield n, f"{shown(step.path)} is kept in group {other} and removed in group {step.group}: write skip here"


def _problems_of_group(steps: list[tuple[int, Step]]) -> Iterator[tuple[int, str]]:
    removed = [n for n, step in steps if step.do == "remove"]
    if removed and not any(step.do == "keep" for _, step in steps):
        yield removed[0], f"nothing of group {steps[0][1].group} would be kept: write keep in one of its lines"
    for n, _ in [(n, step) for n, step in steps if not step.relation][1:]:
        yield n, "a second photo of the group without a relation: write how it is related to the first"
    seen: set[str] = set()
    for n, step in steps:
        if step.path in seen:
            yield n, f"{shown(step.path)} comes twice in group {step.group}: take one line out"
        seen.add(step.path)


def escaped(text: str) -> str:
    """A text in one printable line, from which `unescaped` gives exactly the same text again."""
    return "".join(_SHORT.get(sign) or (sign if sign.isprintable() else _code(sign)) for sign in text)


def _code(sign: str) -> str:
    number = ord(sign)
    if number < 0x80 or 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode gives it
        return f"\\x{number & 0xFF:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def unescaped(text: str) -> str:
    """The text behind its escaped form; ValueError where a backslash stands for nothing."""

    def sign(match: re.Match[str]) -> str:
        short, byte, four, eight, other = match.groups()
        if other is not None:
            raise ValueError(f"\\{other} means nothing: a backslash in a name is written \\\\")
        if short:
            return _LONG[short]
        number = int(byte or four or eight, 16)
        if number > sys.maxunicode or (not byte and chr(number).encode("utf-8", "ignore") == b""):
            raise ValueError(f"{match[0]} is no character: a backslash in a name is written \\\\")
        return chr(number + 0xDC00 if byte and number >= 0x80 else number)

    return _ESCAPE.sub(sign, text)


@checked
def write_plan(plan: Plan, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a plan as CSV (UTF-8), whole or not at all; signs that cannot be seen are backslash escapes.

    A plan that was edited, or another file, is only replaced with `force`: raises OutputFileError.

    >>> birdsearch.write_plan(index.plan(index.duplicates()), "plan.csv")
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for step in plan.steps:
        rows.writerow([guarded(escaped(value)) if isinstance(value, str) else value for value in astuple(step)])
    with new_file(Path(path), force=force) as file:
        file.write(csv_bytes(text.getvalue()))


@checked
def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan that people may have edited. Raises InputFileError, with the line, for what cannot be used.

    >>> plan = birdsearch.read_plan("plan.csv")  # doctest: +SKIP
    """
    name = shown(os.fspath(path))
    steps: dict[int, Step] = {}  # by line
    for line, values in read_csv(path, COLUMNS):
        try:
            steps[line] = _step(values)
        except ValueError as error:
            raise InputFileError(f"{name}, line {line}: {error}.") from error
    plan = Plan(tuple(steps.values()))
    for n, why in problems(plan):
        raise InputFileError(f"{name}, line {[*steps][n]}: {why}.")
    return plan


def _step(values: Mapping[str, str]) -> Step:
    """One line of the file; ValueError says in words what is wrong with it."""
    group, size = (_number(name, values[name]) for name in ("group", "size"))
    sha256 = values["sha256"].strip().lower()
    do = values["do"].strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", sha256) and (sha256 or do != "skip"):
        raise ValueError("sha256 is not 64 hex digits: make the plan anew, or write skip")
    path = os.fsdecode(os.fsencode(unescaped(values["path"])))
    relation = values["relation"].strip().lower()
    return Step(group, do, relation, path, sha256, size, unescaped(values["reason"]))


def _number(name: str, text: str) -> int:
    if (number := whole_number(text)) is None:
        raise ValueError(f'{name} is "{shown(text.strip())}": write a whole number')
    return number
