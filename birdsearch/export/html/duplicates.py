"""Duplicates as rows and as a page: what of each group is kept, why, and what shows that the others are the same."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from birdsearch.duplicates.members import members
from birdsearch.export.html.pictures import (
    MAX_BYTES,
    Origin,
    Picture,
    date,
    picture,
    place,
    render,
    shape,
    text,
    thumbnails,
)
from birdsearch.records import AS_IT_IS, RELATIONS, Decision, DuplicateReport, Member, Pair, Photo, bytes_text, percent

__all__ = ["duplicates_page", "evidence", "measured", "members"]

MAX_GROUPS = 300  # on one page; a guess of what a person reads
_MEMBERS = 12  # with a picture, of one group
_NAMES = 200  # of members without a picture, of one group
_THUMBNAIL = 320  # pixels, the longest side
_TEXTS = 1_500  # bytes of one card beside its picture
_AT_ONCE = 20  # groups whose thumbnails are made together


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
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    number: int
    relation: str
    reason: str
    cards: tuple[_Card, ...]
    names: tuple[str, ...]  # of members for which there was no room
    hidden: int  # members that are not even named


def measured(pair: Pair | None) -> list[str]:
    """The figures that show that two photos are the same, for those who want to know."""
    if pair is None:
        return []
    known = pair.evidence
    figures = [] if pair.score is None else [f"score {pair.score:.3f}"]
    if isinstance(known.get("hash_distance"), int):
        figures.append(f"hashes {known['hash_distance']} of 64 bits apart")
    return figures + [
        f"{name} {percent(known[name])}" for name in ("overlap", "agreement") if isinstance(known.get(name), float)
    ]


def evidence(pair: Pair | None) -> list[str]:
    """How two photos of one picture differ, in words."""
    if pair is None:
        return []
    known = pair.evidence
    words = [str(known["transform"])] if known.get("transform") and known["transform"] != AS_IT_IS else []
    if more := [*known.get("more_in_a", ()), *known.get("more_in_b", ())]:
        words.append(f"the same pixels, but not both files hold {', '.join(more)}")
    words += [f"through photo {known['through']}"] if known.get("through") is not None else []
    return words


# The page ------------------------------------------------------------------------------------------------------------


def duplicates_page(
    report: DuplicateReport,
    photos: Mapping[int, Photo],
    title: str = "Duplicates",
    *,
    decisions: Iterable[Decision] = (),
    origin: Origin | None = None,
) -> str:
    """A page of groups side by side, with what is kept and why; `photos` holds every photo of a group by its id.

    Groups of which a person has decided (`decisions`) show that.

    It shows at most 300 groups, 12 pictures of each, and 12 MB in all, and says what it leaves out.
    """
    groups = members(report, photos, decisions=decisions)
    sections: list[_Section] = []
    room = MAX_BYTES
    for first in range(0, min(len(groups), MAX_GROUPS), _AT_ONCE):
        for section, weight in _sections(groups[first : min(first + _AT_ONCE, MAX_GROUPS)]):
            room -= weight
            if room >= 0 or not sections:
                sections.append(section)
        if room < 0:
            break
    count = Counter(group[0].relation for group in groups)
    sizes = [member.photo.size for group in groups for member in group if member.do == "remove"]
    return render(
        "duplicates.html",
        title,
        origin,
        sections=sections,
        groups=len(groups),
        counts=[(name, count[name], relation.meaning) for name, relation in RELATIONS.items()],
        relations=RELATIONS,
        removable=(len(sizes), bytes_text(sum(sizes))),
        shape=shape(member.photo for group in groups[: len(sections)] for member in group[:_MEMBERS]),
    )


def _sections(groups: Sequence[Sequence[Member]]) -> Iterator[tuple[_Section, int]]:
    """Groups as the template draws them, each with the bytes of its pictures."""
    uris = thumbnails((member.photo.path for group in groups for member in group[:_MEMBERS]), _THUMBNAIL)
    for group in groups:
        kept = group[0]
        cards = tuple(_card(member, kept.photo, uris) for member in group[:_MEMBERS])
        rest = group[_MEMBERS:]
        names = tuple(text(member.photo.path) for member in rest[:_NAMES])
        section = _Section(kept.group, kept.relation, text(kept.reason), cards, names, len(rest) - len(names))
        yield section, sum(len(card.picture.uri or "") + _TEXTS for card in cards) + sum(map(len, names))


def _card(member: Member, kept: Photo, uris: dict[str, str | None]) -> _Card:
    photo = member.photo
    reference = _facts(kept)
    facts = tuple(_Fact(text(value), value != reference.get(name)) for name, value in _facts(photo).items())
    # Of the kept photo the reason stands over the whole group.
    reason = "" if photo is kept else text(member.reason)
    shows, figures = (tuple(text(words) for words in say(member.pair)) for say in (evidence, measured))
    badge, path = _badge(member), picture(photo.path, uris)
    return _Card(path, photo.id or 0, badge, member.do, member.relation, reason, facts, shows, figures)


def _badge(member: Member) -> str:
    if member.do == "keep":
        return "keep" if RELATIONS[member.relation].same_picture else "proposed"
    if member.do == "remove":
        return "can be removed"
    return "protected" if member.protected else "your choice"


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
