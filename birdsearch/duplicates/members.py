"""What becomes of each photo of a group: the one place where plans, pages and tables learn it."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from birdsearch.files import PathSet
from birdsearch.records import SAME_PICTURE, Decision, DuplicateGroup, DuplicateReport, Member, Photo

BY_HAND = "chosen by hand"
_NO_BYTES = "the index does not know its bytes: index it again"


class FolderSet:
    """Folders, and what lies in them or below: by its name, or by where links lead."""

    def __init__(self, folders: Sequence[str]) -> None:
        named = [os.fsencode(folder) for folder in folders]
        self._under = PathSet([*map(os.path.abspath, named), *map(os.path.realpath, named)])
        self._empty = not named

    def __contains__(self, path: str) -> bool:
        if self._empty:
            return False
        parent, name = os.path.split(os.path.abspath(os.fsencode(path)))
        folder = os.path.realpath(parent)
        places = (os.path.join(parent, name), os.path.join(folder, name), os.path.realpath(os.path.join(folder, name)))
        return any(place in self._under for place in places)


def members(
    report: DuplicateReport,
    photos: Mapping[int, Photo],
    *,
    relations: Collection[str] = SAME_PICTURE,
    protect: Sequence[str] = (),
    decisions: Iterable[Decision] = (),
    apart: Collection[tuple[int, int]] = (),
) -> list[list[Member]]:
    """The photos of each group, the kept one first; `photos` holds those that the index knows by their ids.

    Removed are photos of these relations to the kept photo, but in a group of which a person has decided, where that
    counts alone. Nothing that is protected, by the report or by `protect`, is removed, nor one of the pairs that are
    to be kept `apart`, nor what another group keeps or removes. A photo that left the index since is left out; where
    the kept one did, the others stay.
    """
    decided = {frozenset(decision.photos): decision for decision in decisions}
    safe = FolderSet(protect)

    def stays(group: DuplicateGroup, other: int, relation: str) -> str:
        """Why a photo stays, without regard to other groups; empty where it does not."""
        if group.keep not in photos:
            return "the photo to keep has left the index: find duplicates again"
        if other in group.protected or photos[other].path in safe:
            return "protected"
        if relation not in relations:
            return f"{relation}: choose by hand"
        if (min(group.keep, other), max(group.keep, other)) in apart:
            return "not a duplicate, as somebody said"
        hashed = photos[other].sha256 and photos[group.keep].sha256
        return "" if hashed else _NO_BYTES

    groups = []
    for proposed in _proposed(report, photos, stays):
        group = report.groups[proposed[0].group - 1]
        decision = decided.get(frozenset((group.keep, *group.others))) if group.keep in photos else None
        groups.append([_decided(member, decision, safe) for member in proposed] if decision else proposed)
    _settle([group for group in groups if is_applied(group, relations)])
    return groups


def _proposed(
    report: DuplicateReport, photos: Mapping[int, Photo], stays: Callable[[DuplicateGroup, int, str], str]
) -> Iterator[list[Member]]:
    """The photos of each group as the report alone has it; groups of which none is left are passed over."""
    pairs = {(pair.a, pair.b): pair for pair in report.pairs}
    for number, group in enumerate(report.groups, start=1):
        ids = [group.keep] if group.keep in photos else []
        made = [Member(number, photos[photo_id], group.relation, "keep", group.reason) for photo_id in ids]
        ties = group.relations or (group.relation,) * len(group.others)
        reasons = group.reasons or ("",) * len(group.others)
        for other, tie, reason in zip(group.others, ties, reasons, strict=True):
            if other in photos:
                why = stays(group, other, tie)
                pair = pairs.get((min(group.keep, other), max(group.keep, other)))
                do, protected = "skip" if why else "remove", why == "protected"
                made.append(Member(number, photos[other], tie, do, reason, why, protected, pair))
        if made:
            yield made


def _decided(member: Member, decision: Decision, safe: FolderSet) -> Member:
    """A photo of a group of which a person has decided."""
    photo = member.photo
    protected = member.protected or photo.path in safe
    if photo.id in decision.keep:
        return replace(member, do="keep", reason=BY_HAND, stays="", protected=protected)
    if photo.id not in decision.remove:
        why = "not decided yet"
    elif protected:
        why = "protected"
    elif not photo.sha256:
        why = _NO_BYTES
    else:
        why = "" if decision.keep else "nothing of its group would be kept: choose a photo to keep"
    return replace(member, do="skip" if why else "remove", reason=BY_HAND, stays=why, protected=protected)


def _settle(groups: Sequence[list[Member]]) -> None:
    """Skip what another group keeps, or removes already."""
    kept = {
        member.photo.id: member.group for group in groups for member in group if member.do == "keep" or member.protected
    }
    removed: dict[int | None, int] = {}
    for group in groups:
        for n, member in enumerate(group):
            if member.do == "remove" and member.photo.id in kept:
                group[n] = replace(member, do="skip", stays=f"kept in group {kept[member.photo.id]}")
            elif member.do == "remove" and removed.setdefault(member.photo.id, member.group) != member.group:
                group[n] = replace(member, do="skip", stays=f"removed in group {removed[member.photo.id]}")


def is_applied(group: Sequence[Member], relations: Collection[str]) -> bool:
    """Whether a person or the relations say anything of a group; a group of other relations is only listed."""
    by_hand = any(member.reason == BY_HAND for member in group)
    return by_hand or (bool(group[0].photo.sha256) and any(member.relation in relations for member in group[1:]))
