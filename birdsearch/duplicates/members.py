"""What becomes of each photo of a group: the one place where plans, pages and tables learn it."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from birdsearch.files import PathSet
from birdsearch.records import SAME_PICTURE, DuplicateGroup, DuplicateReport, Member, Photo


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
) -> list[list[Member]]:
    """The photos of each group, the kept one first; `photos` holds every photo of the index by its id.

    Removed are photos of these relations to the kept photo. Nothing that is protected, by the report or by `protect`,
    is removed, nor what another group keeps or removes.
    """
    pairs = {(pair.a, pair.b): pair for pair in report.pairs}
    safe = FolderSet(protect)

    def stays(group: DuplicateGroup, other: int, relation: str) -> str:
        """Why a photo stays, without regard to other groups; empty where it does not."""
        if other in group.protected or photos[other].path in safe:
            return "protected"
        if relation not in relations:
            return f"{relation}: choose by hand"
        hashed = photos[other].sha256 and photos[group.keep].sha256
        return "" if hashed else "the index does not know its bytes: index it again"

    groups = []
    for number, group in enumerate(report.groups, start=1):
        groups.append([Member(number, photos[group.keep], group.relation, "keep", group.reason)])
        ties = group.relations or (group.relation,) * len(group.others)
        reasons = group.reasons or ("",) * len(group.others)
        for other, tie, reason in zip(group.others, ties, reasons, strict=True):
            why = stays(group, other, tie)
            pair = pairs.get((min(group.keep, other), max(group.keep, other)))
            do, protected = "skip" if why else "remove", why == "protected"
            groups[-1].append(Member(number, photos[other], tie, do, reason, why, protected, pair))
    _settle(groups, relations)
    return groups


def _settle(groups: Sequence[list[Member]], relations: Collection[str]) -> None:
    """Skip what another group keeps, or removes already."""
    applied = [member for group in groups if is_applied(group, relations) for member in group]
    kept = {member.photo.id: member.group for member in applied if member.do == "keep" or member.protected}
    removed: dict[int | None, int] = {}
    for group in groups:
        for n, member in enumerate(group):
            if member.do == "remove" and member.photo.id in kept:
                group[n] = replace(member, do="skip", stays=f"kept in group {kept[member.photo.id]}")
            elif member.do == "remove" and removed.setdefault(member.photo.id, member.group) != member.group:
                group[n] = replace(member, do="skip", stays=f"removed in group {removed[member.photo.id]}")


def is_applied(group: Sequence[Member], relations: Collection[str]) -> bool:
    """Whether the relations say anything of a group; a group of other relations is only listed."""
    return bool(group[0].photo.sha256) and any(member.relation in relations for member in group[1:])
