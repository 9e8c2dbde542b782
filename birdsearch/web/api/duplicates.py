"""Duplicates: kept reports, their groups and what was decided of them, the plan, pairs kept apart, runs of apply."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from birdsearch.export.html.duplicates import evidence, measured
from birdsearch.records import (
    RELATIONS,
    DuplicateGroup,
    DuplicateReport,
    KeptReport,
    Member,
    Pair,
    Photo,
    Plan,
    Relation,
    RunSummary,
    as_json,
)
from birdsearch.web.api.asked import LARGEST_ID
from birdsearch.web.api.work import check_relations
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["duplicates"])

_LISTED = 500  # paths of a plan

ReportId = Annotated[str, Path(max_length=100, description="Of a report: `report` of the job's result.")]
Number = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Of the group, from 1.")]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class Pick(BaseModel):
    """What is to become of the photos of a group; those in neither list are undecided."""

    keep: list[Id] = Field(default_factory=list, max_length=10_000)
    remove: list[Id] = Field(default_factory=list, max_length=10_000)


class PhotoOfGroup(BaseModel):
    """One photo of a group."""

    photo: Photo
    relation: str | None = Field(description="To the proposed photo; null for that one itself.")
    reason: str = Field(description="Why it is proposed to be kept, or is not.")
    protected: bool
    apart: bool = Field(description="Whether somebody said that it is no duplicate of the proposed photo.")
    shows: list[str] = Field(description="How it differs from the proposed photo, in words.")
    figures: list[str] = Field(description="What shows that they are the same.")
    matrix: list[float] | None = Field(
        description="Where the unit square of the proposed photo lies in that of this one, row by row."
    )


class Group(BaseModel):
    """Photos of which one is enough."""

    number: int
    relation: str
    keep: int = Field(description="The photo that is proposed to be kept.")
    reason: str
    photos: list[PhotoOfGroup] = Field(description="The proposed one first, without those that left the index since.")
    gone: int = Field(description="How many left the index.")
    decision: Pick


class GroupsPage(BaseModel):
    """Some groups, and where to go on."""

    groups: list[Group]
    next: int | None = Field(description="`after` of the next page; null on the last one.")
    total: int


class Overview(BaseModel):
    """A report without its photos."""

    id: str
    relations: list[Relation]
    numbers: dict[str, list[int]] = Field(
        description="Relation -> numbers of its groups, without those of which at most one photo is left."
    )
    decided: list[int] = Field(description="Groups of which every photo is decided.")
    begun: list[int] = Field(description="Groups of which some are.")
    counts: dict[str, int]


class Sum(BaseModel):
    """So many photos."""

    photos: int = 0
    bytes: int = 0


class Planned(BaseModel):
    """What would be done."""

    remove: Sum
    keep: Sum
    by_relation: dict[str, Sum] = Field(description="What goes, by how it is related to the proposed photo.")
    stays: dict[str, int] = Field(description="Why photos stay that are neither kept nor removed -> how many.")
    paths: list[str] = Field(description=f"The first {_LISTED} files that go. Only with the role edit.")


class PairApart(BaseModel):
    """Two photos that are no duplicates."""

    a: Photo
    b: Photo


class PairOfIds(BaseModel):
    """Two photos."""

    a: Id
    b: Id


@router.get("/duplicates", response_model=list[KeptReport])
def reports(held: Held) -> Response:
    """The reports that are kept, the newest first."""
    return JSONResponse(as_json(held.index.duplicate_reports()))


@router.get("/duplicates/{report_id}", response_model=Overview)
def overview(held: Held, report_id: ReportId) -> Response:
    """Which groups a report has, and of which somebody has decided."""
    report = held.index.duplicate_report(report_id)
    decisions, there = _decisions(held), {*held.index.photo_ids().tolist()}
    numbers: dict[str, list[int]] = {}
    decided, begun = list[int](), list[int]()
    for number, group in enumerate(report.groups, start=1):
        if sum(photo in there for photo in _ids(group)) < 2:
            continue
        numbers.setdefault(group.relation, []).append(number)
        pick = decisions.get(_ids(group), Pick())
        if count := len(pick.keep) + len(pick.remove):
            (decided if count == len(_ids(group)) else begun).append(number)
    relations = as_json([*RELATIONS.values()])
    answer = {"id": report_id, "relations": relations, "numbers": numbers, "decided": decided, "begun": begun}
    return JSONResponse({**answer, "counts": as_json(report.counts)})


@router.get("/duplicates/{report_id}/groups", response_model=GroupsPage)
def groups(
    held: Held,
    report_id: ReportId,
    relation: Annotated[str | None, Query(max_length=100, description=f"One of {', '.join(RELATIONS)}.")] = None,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="The last group of the page before: its `next`.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """The groups of a report with their photos, page by page."""
    found = held.index.duplicate_groups(report_id, relation, after, limit)
    report, seen = held.index.duplicate_report(report_id), _Seen.by(held)
    made = [seen.group(report, members[0].group, members) for members in found.groups]
    return JSONResponse({"groups": made, "next": found.next, "total": found.total})


@router.get("/duplicates/{report_id}/groups/{number}", response_model=Group)
def group(held: Held, report_id: ReportId, number: Number) -> Response:
    """One group of a report."""
    report = held.index.duplicate_report(report_id)
    _group(report, number)
    found = held.index.duplicate_groups(report_id, after=number - 1, limit=1).groups
    return JSONResponse(_Seen.by(held).group(report, number, found[0] if found else ()))


@router.put("/duplicates/{report_id}/groups/{number}", response_model=Pick)
def decide(held: Held, report_id: ReportId, number: Number, pick: Pick) -> Response:
    """Decide of a group, or with two empty lists no longer. It holds for every report in which its photos are one."""
    one = _group(held.index.duplicate_report(report_id), number)
    held.index.decide(_ids(one), keep=pick.keep, remove=pick.remove)
    return JSONResponse(pick.model_dump())


@router.get("/duplicates/{report_id}/plan", response_model=Planned)
def plan(
    held: Held,
    report_id: ReportId,
    relations: Annotated[list[str] | None, Query(description="Undecided groups of these follow the proposal.")] = None,
) -> Response:
    """What would be done with the files, by what was decided."""
    check_relations(relations or [])
    report = held.index.duplicate_report(report_id)
    made = held.index.plan(report, relations=relations or ())
    sums, by_relation = {"remove": Sum(), "keep": Sum()}, dict[str, Sum]()
    for step in made.steps:
        tie = step.relation or report.groups[step.group - 1].relation
        related = [by_relation.setdefault(tie, Sum())] if step.do == "remove" else []
        for each in (*([sums[step.do]] if step.do in sums else []), *related):
            each.photos += 1
            each.bytes += step.size
    stays = Counter(step.reason.partition(";")[0] for step in made.steps if step.do == "skip")
    answer = {name: each.model_dump() for name, each in sums.items()}
    related_sums = {name: each.model_dump() for name, each in by_relation.items()}
    paths = as_json(_removed(made)) if held.sees_all else []
    return JSONResponse({**answer, "by_relation": related_sums, "stays": held.seen(dict(stays)), "paths": paths})


@router.get("/not-duplicates", response_model=list[PairApart])
def pairs_kept_apart(held: Held) -> Response:
    """The pairs of photos that somebody said are no duplicates."""
    pairs = held.index.pairs_kept_apart()
    photos = held.photos(photo_id for pair in pairs for photo_id in pair)
    return JSONResponse([{"a": photos[a], "b": photos[b]} for a, b in pairs if a in photos and b in photos])


@router.post("/not-duplicates", status_code=204)
def keep_apart(held: Held, pair: PairOfIds) -> Response:
    """Remember that two photos are no duplicates."""
    held.jobs.write(lambda: held.index.not_duplicates(pair.a, pair.b))
    return Response(status_code=204)


@router.delete("/not-duplicates", status_code=204)
def take_back(held: Held, pair: PairOfIds) -> Response:
    """Forget that two photos are no duplicates."""
    held.jobs.write(lambda: held.index.duplicates_again(pair.a, pair.b))
    return Response(status_code=204)


@router.get("/runs", response_model=list[RunSummary])
def runs(held: Held) -> Response:
    """Every run of apply, oldest first."""
    return JSONResponse(held.seen(held.index.runs()))


def _removed(made: Plan) -> list[str]:
    return [step.path for step in made.steps if step.do == "remove"][:_LISTED]


def _group(report: DuplicateReport, number: int) -> DuplicateGroup:
    if number > len(report.groups):
        raise HTTPException(404, f"The report has {len(report.groups):,} groups, and no group {number}.")
    return report.groups[number - 1]


def _ids(group: DuplicateGroup) -> tuple[int, ...]:
    return tuple(sorted((group.keep, *group.others)))


def _decisions(held: Serving) -> dict[tuple[int, ...], Pick]:
    return {one.photos: Pick(keep=[*one.keep], remove=[*one.remove]) for one in held.index.decisions()}


@dataclass(frozen=True, slots=True)
class _Seen:
    """Groups as JSON, with what was decided by now."""

    held: Serving
    decisions: Mapping[tuple[int, ...], Pick]
    apart: Collection[tuple[int, int]]

    @classmethod
    def by(cls, held: Serving) -> "_Seen":
        """As the asker of a request may see them."""
        return cls(held, _decisions(held), {*held.index.pairs_kept_apart()})

    def group(self, report: DuplicateReport, number: int, members: Sequence[Member]) -> dict[str, Any]:
        """One group, of which these photos are left."""
        proposed = _group(report, number)
        return {
            "number": number,
            "relation": proposed.relation,
            "keep": proposed.keep,
            "reason": self.held.seen(proposed.reason),
            "photos": [self._photo(proposed, member) for member in members],
            "gone": len(_ids(proposed)) - len(members),
            "decision": self.decisions.get(_ids(proposed), Pick()).model_dump(),
        }

    def _photo(self, proposed: DuplicateGroup, member: Member) -> dict[str, Any]:
        photo_id = member.photo.id or 0
        reason, is_kept = member.reason, photo_id == proposed.keep
        if not is_kept and proposed.reasons:  # also where the member says that somebody chose
            reason = proposed.reasons[proposed.others.index(photo_id)]
        return {
            "photo": self.held.seen(member.photo),
            "relation": None if is_kept else member.relation,
            "reason": self.held.seen(proposed.reason if is_kept else reason),
            "protected": member.protected,
            "apart": (min(proposed.keep, photo_id), max(proposed.keep, photo_id)) in self.apart,
            "shows": as_json(evidence(member.pair)),
            "figures": as_json(measured(member.pair)),
            "matrix": _matrix(member.pair, proposed.keep),
        }


def _matrix(pair: Pair | None, kept: int) -> list[float] | None:
    """Where the unit square of the kept photo lies in that of the other one; None where that is not known."""
    known = pair.evidence.get("matrix") if pair is not None else None
    if pair is None or known is None:
        return None
    a, b, x, c, d, y = map(float, known)
    if pair.a == kept:
        return [a, b, x, c, d, y]
    size = a * d - b * c
    inverse = [d, -b, b * y - d * x, -c, a, c * x - a * y]
    return [one / size for one in inverse] if size else None
