"""Which photo of a group to keep, and why: an ordered policy whose every decision is explained in words. Pure.

Each criterion picks the best photos of a group; the first one that tells two photos apart decides between them.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from birdsearch.duplicates import originality
from birdsearch.duplicates.members import FolderSet
from birdsearch.photos.places import is_passing, system_place
from birdsearch.records import POLICY, RELATIONS, Photo, Pixels, bytes_text, date_text, percent

if TYPE_CHECKING:  # what only ranks photos without reading them must not load it
    from birdsearch.photos.provenance import Provenance

SHARPNESS_LONGEST = 2048  # pixels of the longest side at which `sharpness` compares
_ENLARGED = 2.5**2  # times the pixels: no edited copy is larger than that, so a "copy" that is must be the original
_SAME_PIXELS = 0.98  # of the most: a border that was trimmed decides nothing
_SAME_SHARPNESS = 0.9  # of the sharpest: another compression changes the measure by a few per cent
_SAME_SIZE = 0.9  # of the largest: a field of metadata more, or another program's way of packing, decides nothing
_COMPARED_WITH_EACH_OTHER = 8  # pictures of one group that are compared pixel by pixel
_NOTES = ("position", "notes", "rating")  # of the metadata what people add
_METADATA: dict[str, tuple[str, ...]] = {  # what metadata is made of -> fields of a Photo
    "time": ("taken_at",),
    "camera": ("camera",),
    "serial number": ("camera_serial",),
    "lens": ("lens",),
    "position": ("latitude", "longitude"),
    "photographer": ("photographer",),
    "notes": ("notes",),
    "rating": ("rating",),
    "label": ("label",),
}


# What decided -> why the photo is kept; what goes on after "the other" and after "3 others"; why not the other photo.
_SENTENCES = {
    "damaged": ("safe: a whole picture", "is damaged ({its})", "are damaged", "damaged: {its}"),
    "thrown away": ("safe: in a folder where photos stay", "is {its}", "are not", "{its}"),
    "protected": ("protected: it lies in {mine}", "does not", "do not",
                  "not in a protected folder, unlike the kept photo"),
    "preferred": ("preferred: it lies in {mine}", "does not", "do not",
                  "not in the preferred folder of the kept photo"),
    "copy": ("original: has camera EXIF{camera}, {mine}", "is a {its} copy without camera EXIF",
             "are copies without camera EXIF", "a {its} copy without camera EXIF"),
    "reduced": ("original: has camera EXIF{camera}, {mine}", "is a reduced copy, {its}",
                "are reduced copies", "a reduced copy, {its}"),
    "edited": ("original: nothing tells of an edit{camera}", "was {its}", "were made from it", "no original: {its}"),
    "format": ("original: {mine} with camera EXIF{camera}", "is a {its}", "are other formats",
               "a {its}, the kept photo is the {mine}"),
    "resolution": ("resolution: {mine}", "has {its}", "have less", "lower resolution: {its}, not {mine}"),
    "contents": ("contents: keeps {mine}", "does not", "keep less", "holds less: lacks {mine}"),
    "unreadable": ("sharpness: the sharpest", "cannot be read", "cannot be read", "its picture cannot be read"),
    "sharpness": ("sharpness: the sharpest", "is {its} as sharp", "are less sharp",
                  "less sharp: {its} as sharp as the kept photo"),
    "notes": ("notes: knows {mine}", "does not", "know less", "poorer notes: lacks {mine}"),
    "labelled": ("place: in a labelled folder ({mine})", "has no label", "have no label", "not in a labelled folder"),
    "passing": ("place: in a folder where photos stay", "lies on a memory card or among downloads",
                "lie on memory cards or among downloads", "on a memory card or among downloads"),
    "first": ("first: in the folder that was indexed first", "lies in one that came later",
              "lie in others that came later", "in a folder that was indexed later"),
    "companions": ("companions: has {mine} beside it", "does not", "have fewer", "without {mine} beside it"),
    "metadata": ("metadata: knows {mine}", "does not", "know less", "poorer metadata: lacks {mine}"),
    "size": ("size: {mine}", "has {its}", "are smaller", "smaller file: {its}, not {mine}"),
    "taken": ("oldest: taken {mine}", "was taken {its}", "were taken later", "taken later: {its}, not {mine}"),
    "oldest": ("oldest: file of {mine}", "is of {its}", "are newer", "newer file: of {its}, not of {mine}"),
    "moment": ("oldest: file written a moment earlier", "is newer", "are newer", "newer file: written a moment later"),
    "path": ("path: {mine}, nothing else differs", "is as good", "are as good", "{its}, nothing else differs"),
}  # fmt: skip


class Evidence:
    """What can be found out about a photo besides its record; this one finds out nothing.

    Each question is asked only where its answer decides.
    """

    def said(self, photo: Photo) -> "Provenance | None":
        """What its file says of where it comes from."""
        return None

    def made_from(self, photo: Photo, other: Photo) -> str | None:
        """How a photo was made from the other one, in words, where its pixels show that; None where they do not."""
        return None

    def beyond(self, photo: Photo, other: Photo) -> tuple[str, ...]:
        """What its file holds besides its first picture that the other one lacks, in words."""
        return ()

    def sharpness(self, photo: Photo) -> float:
        """A measure of `sharpness`; nan where its picture cannot be read."""
        return 0.0

    def companions(self, photo: Photo) -> tuple[str, ...]:
        """The paths of the files that lie beside it and belong to it."""
        return ()

    def root(self, photo: Photo) -> int:
        """The place of its root folder among those of the index, by when they were indexed first."""
        return 0


NOTHING_KNOWN = Evidence()


def policy_order(policy: Sequence[str], relation: str | None = None) -> tuple[str, ...]:
    """All criteria in the order in which they count: those named first, the rest after them in the usual order.

    "safe" comes before everything: no policy keeps a damaged photo and lets the whole one go. "preferred" follows
    "protected" unless it is named itself; for a burst that names nothing else, sharpness comes before everything but
    these three. Raises ValueError, with the names there are, for one that is unknown.
    """
    usual = ["safe", "protected", "preferred", *POLICY[2:]]
    if unknown := [name for name in policy if name not in usual]:
        raise ValueError(f"no criterion {', '.join(map(repr, unknown))}: there are {', '.join(POLICY)}")
    named = [] if tuple(policy) == POLICY else list(dict.fromkeys(policy))
    if _is_burst(relation):
        usual.insert(3, "sharpness")
    if "protected" in named and "preferred" not in named:
        named.insert(named.index("protected") + 1, "preferred")
    return tuple(dict.fromkeys(["safe", *named, *usual]))


def _is_burst(relation: str | None) -> bool:
    """Whether the photos are several exposures, of which the sharpest is worth most."""
    return relation is not None and not RELATIONS[relation].same_picture


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """What a person prefers. Raises ValueError, with the names there are, for a criterion that does not exist."""

    prefer: tuple[str, ...] = ()  # folders, the first one first
    protect: tuple[str, ...] = ()  # folders in which nothing is ever touched
    policy: tuple[str, ...] = POLICY  # a few criteria, which then come first (`policy_order`)

    def __post_init__(self) -> None:
        policy_order(self.policy)


@dataclass(frozen=True, slots=True)
class Choice:
    """The photo to keep, and what speaks against each of the others."""

    keep: int  # a photo id
    reason: str  # why this one, in words
    reasons: tuple[str, ...]  # of the others, in the order in which the photos were given
    protected: tuple[int, ...] = ()  # ids of those of the others that must stay


def best(
    photos: Sequence[Photo],
    options: KeeperOptions = KeeperOptions(),
    *,
    evidence: Evidence = NOTHING_KNOWN,
    relation: str | None = None,
    pictures: Sequence[int] | None = None,
) -> Choice:
    """The photo of a group to keep: the first criterion of the policy that tells two photos apart decides.

    Photos under a folder of `prefer` come before others, earlier folders first, right after those under one of
    `protect`. `pictures` says of each photo which picture it shows, the same number for equal pixels: of these none is
    an edit of the other. Of a burst the sharpest is proposed. The same photos in any order give the same choice. Raises
    ValueError for no photos, and for one without an id.
    """
    if not photos:
        raise ValueError("there is no photo to choose from")
    comparison = _Comparison(options, evidence, relation, _pictures(photos, relation, pictures))
    left, decided = sorted(photos, key=id_of), dict[int, str]()
    for name in (*policy_order(options.policy, relation), "path"):
        winners = comparison.best(name, left) if len(left) > 1 else left
        staying = {photo.id for photo in winners}
        decided |= {id_of(photo): name for photo in left if photo.id not in staying}
        left = winners
    kept = left[0]
    others = {id_of(photo): photo for photo in photos if photo.id != kept.id}
    explained = {other: comparison.explain(decided[other], kept, photo) for other, photo in others.items()}
    protected = tuple(other for other, photo in others.items() if photo.path in comparison.protected)
    reasons = (
        f"{'protected: it stays too; ' if other in protected else _warning(others[other], kept)}{reason}"
        for other, (*_, reason) in explained.items()
    )
    # In the order of the policy, so that what weighs most comes first.
    return Choice(id_of(kept), _reason([explained[each] for each in decided]), tuple(reasons), protected)


def _pictures(photos: Sequence[Photo], relation: str | None, pictures: Sequence[int] | None) -> dict[int, int]:
    """Photo -> the picture it shows; without `pictures` those of the same bytes, or of a relation that says so."""
    if pictures is not None:
        return dict(zip(map(id_of, photos), pictures, strict=True))
    one = relation is not None and RELATIONS[relation].same_pixels
    first: dict[str, int] = {}
    return {
        id_of(photo): 0 if one else first.setdefault(photo.sha256, id_of(photo)) if photo.sha256 else id_of(photo)
        for photo in photos
    }


def _warning(other: Photo, kept: Photo) -> str:
    """What a person should see before a labelled photo goes in favour of one without a label."""
    return f"LABELLED {other.label}, the kept photo is not; " if other.label and not kept.label else ""


def _reason(explained: Sequence[Sequence[str]]) -> str:
    """Why the kept photo is kept: what decided, and against how many."""
    alike: dict[str, list[Sequence[str]]] = {}
    for each in explained:
        alike.setdefault(each[2], []).append(each)
    clauses = []
    for many, group in alike.items():
        # The shortest holds for all: "knows position, rating" is not true against a photo that has one of the two.
        why = min((why for why, *_ in group), key=len)
        which = f"{len(group):,} others {many}"
        if len(group) == 1:
            which = f"{'the' if len(explained) == 1 else 'one'} other {group[0][1]}"
        clauses.append(f"{why}; {which}")
    return "; ".join(clauses) or "the only photo"


def sharpness(pixels: Pixels) -> float:
    """How fine the finest parts of a picture (h, w, 3) are, against its contrast; only good to compare two pictures.

    Scale-fair: take pictures as `photos.picture(path, SHARPNESS_LONGEST)` gives them; a smaller one is enlarged to that
    size first, so that a reduced copy does not seem sharper. The sharpest tenth of the picture counts: a bird
    in focus before a soft background is a sharp photo. A picture of one colour has 0.
    """
    if pixels.ndim != 3 or max(pixels.shape[:2]) > SHARPNESS_LONGEST:
        raise ValueError(f"pixels must be (h, w, 3) with no side over {SHARPNESS_LONGEST}, got {pixels.shape}")
    import cv2  # here: what only ranks photos without measuring them must not load it

    grey = pixels.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)  # (h, w)
    contrast = float(grey.std())
    scale = SHARPNESS_LONGEST / max(grey.shape)
    if scale > 1:
        width, height = (max(1, round(side * scale)) for side in grey.shape[::-1])
        grey = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    if contrast < 1e-3 or min(grey.shape) < 3:
        return 0.0
    edges = np.asarray(cv2.Laplacian(grey, cv2.CV_32F), dtype=np.float32)[1:-1, 1:-1]
    side = min(32, *edges.shape)
    down, across = (length // side for length in edges.shape)
    blocks = np.square(edges[: down * side, : across * side]).reshape(down, side, across, side).mean(axis=(1, 3))
    finest = np.sort(blocks, axis=None)[-max(1, blocks.size // 10) :]
    return math.sqrt(float(finest.mean())) / contrast


class _Comparison:
    """The criteria, and what they know besides the photos themselves."""

    def __init__(
        self, options: KeeperOptions, evidence: Evidence, relation: str | None, pictures: dict[int, int]
    ) -> None:
        self._options, self._evidence, self._pictures = options, evidence, pictures
        self._least_sharp = 1.0 if _is_burst(relation) else _SAME_SHARPNESS
        self._burst = _is_burst(relation)
        self._measured: dict[int, float] = {}
        self._no_original: dict[int, str] = {}  # photo -> what shows that it is none
        self.protected = FolderSet(options.protect)
        self._preferred = [FolderSet((folder,)) for folder in options.prefer]

    def best(self, name: str, photos: Sequence[Photo]) -> list[Photo]:
        """The photos that no other one beats by this criterion."""
        match name:
            case "safe":
                return _highest(photos, lambda photo: 2 * (not photo.damaged) + (system_place(photo.path) is None))
            case "protected":
                return _highest(photos, lambda photo: photo.path in self.protected)
            case "preferred":
                return _highest(photos, lambda photo: -self._preference(photo))
            case "original":
                return self._originals(photos)
            case "resolution":
                return _highest(photos, _pixels, _SAME_PIXELS)
            case "contents":  # fuller is what holds more than another file and lacks nothing of it
                return [photo for photo in photos if not any(self._is_fuller(other, photo) for other in photos)]
            case "sharpness" if len({self._pictures[id_of(photo)] for photo in photos}) > 1:
                return _highest(photos, self._measure, self._least_sharp)
            case "notes":
                return _highest(photos, lambda photo: len(_known_metadata(photo, _NOTES)))
            case "place":
                return _highest(_highest(photos, lambda photo: photo.label is not None), _lies_to_stay)
            case "companions":
                return _highest(photos, lambda photo: len(self._evidence.companions(photo)) > 0)
            case "first":
                return _highest(photos, lambda photo: -self._evidence.root(photo))
            case "metadata":
                return _highest(photos, lambda photo: len(_known_metadata(photo)))
            # Of one format the larger file is the less compressed one; of two formats sizes say nothing.
            case "size" if photos[0].format and len({photo.format for photo in photos}) == 1:
                return _highest(photos, lambda photo: photo.size, _SAME_SIZE)
            case "oldest":  # taken first, as far as all of them say when; then written first
                timed = all(photo.taken_at for photo in photos) and len({p.taken_offset for p in photos}) == 1
                ages = {id_of(photo): (photo.taken_at if timed else None, photo.mtime_ns) for photo in photos}
                first = min(ages.values())
                return [photo for photo in photos if ages[id_of(photo)] == first]
            case "path":  # nothing tells them apart: "wren.jpg" before "wren (1).jpg"
                return [min(photos, key=lambda p: (len(os.fsencode(p.path)), os.fsencode(p.path), id_of(p)))]
        return list(photos)

    def explain(self, name: str, kept: Photo, other: Photo) -> tuple[str, ...]:
        """The sentences of `_SENTENCES` about two photos, of which this criterion keeps the first."""
        mine = camera = ""
        its: str | None = ""
        match name:
            case "safe":
                name = "damaged" if other.damaged and not kept.damaged else "thrown away"
                its = other.damaged if name == "damaged" else system_place(other.path)
            case "protected":
                mine = next(folder for folder in self._options.protect if kept.path in FolderSet((folder,)))
            case "preferred":
                mine = self._options.prefer[self._preference(kept)]
            case "original":
                camera = f" ({kept.camera})" if kept.camera else ""
                name, mine, its = self._explain_original(kept, other)
            case "resolution":
                mine, its = _sizes(kept, other)
            case "contents":
                mine = " and ".join(self._evidence.beyond(kept, other)) or "more"
            case "sharpness":
                one, another = self._measure(kept), self._measure(other)
                name = "unreadable" if another < 0 else name
                its = percent(another / one) if 0 <= another < 0.995 * one else "almost"
            case "notes" | "metadata":
                mine = ", ".join(each for each in _known_metadata(kept) if each not in _known_metadata(other))
            case "place":
                mine = kept.label or ""
                name = "labelled" if kept.label and not other.label else "passing"
            case "companions":
                mine = ", ".join(map(os.path.basename, self._evidence.companions(kept)))
            case "size":
                mine, its = _first_apart(kept.size, other.size, (_bytes, "{:,.0f} bytes".format))
            case "oldest":
                mine, its = _first_apart(kept.mtime_ns, other.mtime_ns, [partial(_moment, u) for u in ("D", "m", "s")])
                name = "moment" if mine == its else name
                earlier, later = kept.taken_at or "", other.taken_at or ""
                if kept.taken_offset == other.taken_offset and "" < earlier < later:
                    name, mine, its = "taken", date_text(earlier), date_text(later)
            case "path":
                shorter = len(os.fsencode(kept.path)) < len(os.fsencode(other.path))
                mine, its = ("the shorter one", "longer path") if shorter else ("first in order", "later path in order")
        return tuple(sentence.format(mine=mine, its=its, camera=camera) for sentence in _SENTENCES[name])

    def _originals(self, photos: Sequence[Photo]) -> list[Photo]:
        """Those nearest to what a camera wrote: each step leaves out what the one before could not tell."""
        left = _highest(photos, lambda photo: self._is_camera_file(photo, photos))
        left = self._without(left, self._signs(left))
        left = _highest(left, lambda photo: photo.format in originality.CAMERA_FORMATS or not _has_camera(photo))
        left = self._without(left, self._made_from_another(left))
        left = self._without(left, self._traces(left))
        formats = {photo.format for photo in left if _has_camera(photo)}
        if not self._burst and {"JPEG", "HEIF"} <= formats:
            left = _highest(left, lambda photo: self._is_native(photo, left))
        return left

    def _without(self, photos: list[Photo], shown: dict[int, str]) -> list[Photo]:
        """The photos but those of which something shows that they are no originals; all where it is shown of all."""
        left = [photo for photo in photos if id_of(photo) not in shown]
        if not left:
            return photos
        self._no_original |= shown
        return left

    def _is_camera_file(self, photo: Photo, photos: Sequence[Photo]) -> bool:
        """Whether a camera is named in a photo that is no thumbnail of another one."""
        if not _has_camera(photo):
            return False
        much_larger = (other for other in photos if _pixels(photo) * _ENLARGED < _pixels(other))
        return all(self._evidence.made_from(other, photo) for other in much_larger)

    def _signs(self, photos: list[Photo]) -> dict[int, str]:
        """What tells of an edit; where the same pixels lie in a file without a sign, they were not edited."""
        if self._burst:
            return {}
        found = {}
        for photo in photos:
            if (said := self._evidence.said(photo)) is not None:
                found[id_of(photo)] = originality.signs_of_edit(photo, said)
        clean = {self._pictures[number] for number, signs in found.items() if not signs}
        return {n: " and ".join(signs[:2]) for n, signs in found.items() if self._pictures[n] not in clean}

    def _made_from_another(self, photos: list[Photo]) -> dict[int, str]:
        """What pixels and names show to be made from another of these photos."""
        first = {self._pictures[id_of(photo)]: photo for photo in reversed(photos)}
        if self._burst or not 1 < len(first) <= _COMPARED_WITH_EACH_OTHER:
            return {}
        made: dict[int, str] = {}
        for photo, other in permutations(first.values(), 2):
            if self._pictures[id_of(other)] in made:
                continue
            if how := self._evidence.made_from(photo, other):
                made[self._pictures[id_of(photo)]] = how
            elif originality.is_named_after(photo.path, other.path):
                made[self._pictures[id_of(photo)]] = f"named after it ({os.path.basename(photo.path)})"
        return {id_of(photo): made[n] for photo in photos if (n := self._pictures[id_of(photo)]) in made}

    def _traces(self, photos: list[Photo]) -> dict[int, str]:
        """What programs left in some files, where another file of the format has less of it."""
        if self._burst or not any(map(_has_camera, photos)):
            return {}
        said = {id_of(photo): self._evidence.said(photo) for photo in photos}
        left = {n: originality.traces(facts) for n, facts in said.items() if facts is not None}
        found = {}
        for photo, other in permutations(photos, 2):
            ours, theirs = (left.get(id_of(each), ()) for each in (photo, other))
            one_picture = self._pictures[id_of(photo)] == self._pictures[id_of(other)]
            if photo.format == other.format and not one_picture and len(theirs) < len(ours):
                found[id_of(photo)] = ", ".join(each for each in ours if each not in theirs) or ", ".join(ours)
        return found

    def _is_native(self, photo: Photo, photos: Sequence[Photo]) -> bool:
        """Whether a camera wrote this format rather than the other one, of JPEG and HEIC."""
        jpegs = [each for each in photos if each.format == "JPEG"]
        facts = [self._evidence.said(each) for each in jpegs]
        whole = all(
            _pixels(each) >= max(map(_pixels, photos)) * _SAME_PIXELS for each in photos if each.format == "HEIF"
        )
        untouched = any(said is not None and said.tables and not originality.traces(said) for said in facts)
        heic = whole and not untouched and any(map(originality.writes_heic, photos))
        return photo.format == ("HEIF" if heic else "JPEG")

    def _is_fuller(self, photo: Photo, other: Photo) -> bool:
        same = photo.sha256 is not None and photo.sha256 == other.sha256
        beyond = self._evidence.beyond
        return photo is not other and not same and bool(beyond(photo, other)) and not beyond(other, photo)

    def _explain_original(self, kept: Photo, other: Photo) -> tuple[str, str, str]:
        """Which sentence, and what of the kept and the other photo stands in it."""
        if shown := self._no_original.get(id_of(other)):
            return "edited", "", shown
        if not _has_camera(other) or (kept.format == other.format):
            return "copy" if not _has_camera(other) else "reduced", *_sizes(kept, other)
        return "format", _format_name(kept), _format_name(other)

    def _preference(self, photo: Photo) -> int:
        """0 in the first preferred folder, 1 in the next..."""
        found = (place for place, folder in enumerate(self._preferred) if photo.path in folder)
        return next(found, len(self._preferred))

    def _measure(self, photo: Photo) -> float:
        """The sharpness of a photo, measured once for each picture; -1 where it cannot be read."""
        key = self._pictures[id_of(photo)]
        if key not in self._measured:
            value = float(self._evidence.sharpness(photo))
            self._measured[key] = -1.0 if math.isnan(value) else value
        return self._measured[key]


def id_of(photo: Photo) -> int:
    """The id of a photo that has one; else ValueError."""
    if photo.id is None:
        raise ValueError(f"{photo.path} has no id: only photos of an index, or of a report, can be chosen from")
    return photo.id


def _highest(photos: Sequence[Photo], value: Callable[[Photo], float], share: float = 1.0) -> list[Photo]:
    """The photos whose value is at least this share of the highest."""
    values = [value(photo) for photo in photos]
    least = max(values) * (share if max(values) > 0 else 1)
    return [photo for photo, own in zip(photos, values, strict=True) if own >= least]


def _pixels(photo: Photo) -> int:
    return (photo.width or 0) * (photo.height or 0)


def _lies_to_stay(photo: Photo) -> bool:
    return not is_passing(photo.path)


def _has_camera(photo: Photo) -> bool:
    return bool(photo.camera or photo.lens or photo.camera_serial)


def _known_metadata(photo: Photo, among: Sequence[str] = tuple(_METADATA)) -> list[str]:
    """What of this is known of a photo; a rating of no stars is none."""
    missing = (None, 0, "")
    return [name for name in among if all(getattr(photo, field) not in missing for field in _METADATA[name])]


def _first_apart(a: float, b: float, forms: Sequence[Callable[[float], str]]) -> tuple[str, str]:
    """Two values in the shortest form in which they differ."""
    return next((form(a), form(b)) for form in forms if form(a) != form(b) or form is forms[-1])


def _sizes(kept: Photo, other: Photo) -> tuple[str, str]:
    """24 MP and 2.1 MP; width and height where that says too little."""
    sizes = [_pixels(photo) / 1e6 for photo in (kept, other)]
    size, other_size = (f"{each:.0f} MP" if each >= 9.95 else f"{each:.1f} MP" for each in sizes)
    if min(sizes) < 0.1 or size == other_size:
        return f"{kept.width} x {kept.height}", f"{other.width} x {other.height}"
    return size, other_size


def _bytes(size: float) -> str:
    return bytes_text(size).replace(",", "")


def _format_name(photo: Photo) -> str:
    return "HEIC" if photo.format == "HEIF" else photo.format or "photo"


def _moment(unit: str, nanoseconds: float) -> str:
    text = str(np.datetime64(int(nanoseconds), "ns").astype(f"datetime64[{unit}]"))
    return text if unit == "D" else f"{date_text(text)} UTC"
