"""Duplicates as rows and as a page: what of each group is kept, why, and what shows that the others are the same."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdsearch.duplicates.keeper import PROTECTED
from birdsearch.export.html.pictures import Picture, date, picture, place, shape, template, text, thumbnails
from birdsearch.records import RELATIONS, DuplicateGroup, DuplicateReport, Pair, Photo, bytes_text, percent

_GROUPS = 300  # on one page; more than anybody looks through
_MEMBERS = 12  # with a picture, of one group
_NAMES = 200  # of members without a picture, of one group
_THUMBNAIL = 320  # pixels, the longest side
_BYTES = 12_000_000  # of one page: browsers stay quick, and it can be sent by mail
_TEXTS = 1_500  # bytes of one card beside its picture
_AT_ONCE = 20  # groups whose thumbnails are made together

MEANING = {
    "identical": "the same bytes",
    "pixels": "other bytes, the same pixels",
    "variant": "the same picture, edited",
    "burst": "one moment, several exposures",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One photo of one group."""

    group: int  # from 1
    relation: str  # to the kept photo; of the kept photo itself the group's
    do: str  # "keep", "remove" or "skip", as in a plan
    photo: Photo
    reason: str
    pair: Pair | None  # with the kept photo, where they were compared with each other


@dataclass(frozen=True, slots=True)
class _Fact:
    """What is known of a photo, and whether its kept photo has it otherwise."""

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class _Card:
    picture: Picture
    number: int  # the photo's id
    badge: str
    do: str
    relation: str
    reason: str
    facts: tuple[_Fact, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    number: int
    relation: str
    reason: str
    cards: tuple[_Card, ...]
    names: tuple[str, ...]  # of members for which there was no room
    hidden: int  # members that are not even named


def members(report: DuplicateReport, photos: Mapping[int, Photo]) -> list[list[Member]]:
    """The photos of each group, the kept one first; with `report.against` a photo of the index, then the new one.

    A burst is to choose from, a protected photo stays, and photos that are not in the index are nobody's to remove:
    these say "skip".
    """
    pairs = {(pair.a, pair.b): pair for pair in report.pairs}
    known = {**photos, **{photo.id: photo for photo in report.against if photo.id is not None}}
    return [list(_members(number, group, pairs, known)) for number, group in enumerate(report.groups, start=1)]


def _members(
    number: int, group: DuplicateGroup, pairs: Mapping[tuple[int, int], Pair], photos: Mapping[int, Photo]
) -> Iterator[Member]:
    yield Member(number, group.relation, "keep", photos[group.keep], group.reason, None)
    for place_in_group, other in enumerate(group.others):
        relation = group.relations[place_in_group] if group.relations else group.relation
        reason = group.reasons[place_in_group] if group.reasons else ""
        stays = relation == "burst" or reason.startswith(PROTECTED) or other < 0
        pair = pairs.get((min(group.keep, other), max(group.keep, other)))
        yield Member(number, relation, "skip" if stays else "remove", photos[other], reason, pair)


def evidence(pair: Pair | None) -> list[str]:
    """What shows that two photos are the same, in words."""
    if pair is None:
        return []
    known: dict[str, Any] = pair.evidence
    words = [] if pair.score is None else [f"score {pair.score:.3f}"]
    if isinstance(known.get("hash_distance"), int):
        words.append(f"hashes {known['hash_distance']} of 64 bits apart")
    words += [
        f"{name} {percent(known[name])}" for name in ("overlap", "agreement") if isinstance(known.get(name), float)
    ]
    words += [str(known["transform"])] if known.get("transform") else []
    words += [f"through photo {known['through']}"] if known.get("through") is not None else []
    return words


# The page ------------------------------------------------------------------------------------------------------------


def duplicates_page(report: DuplicateReport, photos: Mapping[int, Photo], title: str = "Duplicates") -> str:
    """A page of groups side by side, with what is kept and why; `photos` holds every photo of a group by its id.

    It shows at most 300 groups, 12 pictures of each, and 12 MB in all, and says what it leaves out.
    """
    groups = members(report, photos)
    found = {member.photo.id for group in groups for member in group}
    new = [text(photo.path) for photo in report.against if photo.id not in found]
    sections: list[_Section] = []
    room = _BYTES
    for first in range(0, min(len(groups), _GROUPS), _AT_ONCE):
        for section, weight in _sections(groups[first : min(first + _AT_ONCE, _GROUPS)]):
            room -= weight
            if room >= 0 or not sections:
                sections.append(section)
        if room < 0:
            break
    count = Counter(group[0].relation for group in groups)
    return template("duplicates.html").render(
        title=text(title),
        sections=sections,
        groups=len(groups),
        counts=[(name, count[name], MEANING[name]) for name in RELATIONS],
        meaning=MEANING,
        removable=_weight(member for group in groups for member in group if member.do == "remove"),
        against=len(report.against),
        new=new[:_NAMES],
        more_new=max(len(new) - _NAMES, 0),
        known=len(report.against) - len(new),
        shape=shape(member.photo for group in groups[: len(sections)] for member in group[:_MEMBERS]),
    )


def _sections(groups: Sequence[Sequence[Member]]) -> Iterator[tuple[_Section, int]]:
    """Groups as the template draws them, each with the bytes of its pictures."""
    uris = thumbnails((member.photo.path for group in groups for member in group[:_MEMBERS]), _THUMBNAIL)
    for group in groups:
        kept = group[0]
        against = any((member.photo.id or 0) < 0 for member in group)
        cards = tuple(_card(member, kept.photo, uris, against) for member in group[:_MEMBERS])
        rest = group[_MEMBERS:]
        names = tuple(text(member.photo.path) for member in rest[:_NAMES])
        section = _Section(kept.group, kept.relation, text(kept.reason), cards, names, len(rest) - len(names))
        yield section, sum(len(card.picture.uri or "") + _TEXTS for card in cards) + sum(map(len, names))


def _card(member: Member, kept: Photo, uris: dict[str, str | None], against: bool) -> _Card:
    photo = member.photo
    reference = _facts(kept)
    facts = tuple(_Fact(text(value), value != reference.get(name)) for name, value in _facts(photo).items())
    # Of the kept photo the reason stands over the whole group; of a new one the relation says all.
    reason = "" if photo is kept or against else text(member.reason)
    shows = tuple(text(words) for words in evidence(member.pair))
    return _Card(
        picture(photo.path, uris),
        photo.id or 0,
        _badge(member, against),
        member.do,
        member.relation,
        reason,
        facts,
        shows,
    )


def _badge(member: Member, against: bool) -> str:
    if member.photo.id is not None and member.photo.id < 0:
        return "new"
    if member.do == "keep" and against:
        return "in the index"
    if member.do == "keep":
        return "proposed" if member.relation == "burst" else "keep"
    if member.do == "remove":
        return "can go"
    return "protected" if member.reason.startswith(PROTECTED) else "to choose from"


def _facts(photo: Photo) -> dict[str, str]:
    """What helps to choose between two copies."""
    known = {
        "pixels": f"{photo.width:,} x {photo.height:,}" if photo.width and photo.height else None,
        "file": f"{photo.format or 'file'}, {bytes_text(photo.size)}",
        "date": date(photo),
        "camera": photo.camera,
        "place": place(photo),
        "rating": "★" * photo.rating if photo.rating else None,
        "label": photo.label,
    }
    return {name: value for name, value in known.items() if value}


def _weight(removable: Iterable[Member]) -> tuple[int, str]:
    """How many photos could go, and how much that is."""
    sizes = [member.photo.size for member in removable]
    return len(sizes), bytes_text(sum(sizes))
