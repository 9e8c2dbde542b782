"""What becomes of each photo of a group: the one place where plans, pages and tables learn it."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from birdsearch.files import PathSet
from birdsearch.records import SAME_PICTURE, DuplicateGroup, DuplicateReport, Member, Pair, Photo


class Protected:
    """The paths that must not be touched: those under a protected folder, by their name or by where links lead."""

    def __init__(self, folders: Sequence[str]) -> None:
        named = [os.fsencode(folder) for folder in folders]
        self._under = PathSet([*map(os.path.abspath, named), *map(os.path.realpath, named)])

    def __contains__(self, path: str) -> bool:
        name = os.fsencode(path)
        return name in self._under or os.path.realpath(name) in self._under


def members(
    report: DuplicateReport,
    photos: Mapping[int, Photo],
    *,
    relations: Collection[str] = SAME_PICTURE,
    protect: Sequence[str] = (),
) -> list[list[Member]]:
    """The photos of each group, the kept one first; `photos` holds every photo of the index by its id.

    Removed are photos of these relations to the kept photo. Nothing that is protected, by the report or by `protect`,
    is removed, nor what another group keeps or removes, nor a photo outside the index (`report.against`).
    """
    known = {**photos, **{photo.id: photo for photo in report.against if photo.id is not None}}
    pairs = {(pair.a, pair.b): pair for pair in report.pairs}
    safe = Protected(protect)
    groups = [
        _members(number, group, known, pairs, relations, safe) for number, group in enumerate(report.groups, start=1)
    ]
    kept = {
        member.photo.id: member.group
        for group in groups
        if is_applied(group, relations)
        for member in group
        if member.do == "keep" or member.protected
    }
    removed: dict[int | None, int] = {}
    for group in groups:
        for n, member in enumerate(group):
            if member.do != "remove":
                continue
            if member.photo.id in kept:
                group[n] = replace(member, do="skip", stays=f"kept in group {kept[member.photo.id]}")
            elif removed.setdefault(member.photo.id, member.group) != member.group:
                group[n] = replace(member, do="skip", stays=f"removed in group {removed[member.photo.id]}")
    return groups


def is_applied(group: Sequence[Member], relations: Collection[str]) -> bool:
    """Whether the relations say anything of a group; a group of other relations is only listed."""
    return bool(group[0].photo.sha256) and any(member.relation in relations for member in group[1:])


def _members(
    number: int,
    group: DuplicateGroup,
    photos: Mapping[int, Photo],
    pairs: Mapping[tuple[int, int], Pair],
    relations: Collection[str],
    safe: Protected,
) -> list[Member]:
    """The members of one group, without regard to the other groups."""
    keep = photos[group.keep]
    ties = group.relations or (group.relation,) * len(group.others)
    reasons = group.reasons or ("",) * len(group.others)
    made = [Member(number, keep, group.relation, "keep", group.reason)]
    for other, tie, reason in zip(group.others, ties, reasons, strict=True):
        photo = photos[other]
        protected = other in group.protected or photo.path in safe
        stays = ""
        if protected:
            stays = "protected"
        elif other < 0:
            stays = "not in the index"
        elif tie not in relations:
            stays = f"{tie}: choose by hand"
        elif not photo.sha256 or not keep.sha256:
            stays = "the index does not know its bytes: index it again"
        pair = pairs.get((min(group.keep, other), max(group.keep, other)))
        made.append(Member(number, photo, tie, "skip" if stays else "remove", reason, stays, protected, pair))
    return made
