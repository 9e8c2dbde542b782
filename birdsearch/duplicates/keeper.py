"""Which photo of a group to keep, and why: an ordered policy whose every decision is explained in words. Pure.

Each criterion picks the best photos of a group; the first one that tells two photos apart decides between them.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from birdsearch.duplicates.members import FolderSet
from birdsearch.records import POLICY, RELATIONS, Photo, Pixels, bytes_text, date_text, percent

SHARPNESS_LONGEST = 2048  # pixels of the longest side at which `sharpness` compares
_CAMERA_FORMATS = frozenset(("JPEG", "TIFF", "HEIF"))  # what cameras write
_ENLARGED = 2.5**2  # times the pixels: no edited copy is larger than that, so a "copy" that is must be the original
_SAME_PIXELS = 0.98  # of the most: a border that was trimmed decides nothing
_SAME_SHARPNESS = 0.9  # of the sharpest: another compression changes the measure by a few per cent
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
    "protected": ("protected: it lies in {mine}", "does not", "do not",
                  "not in a protected folder, unlike the kept photo"),
    "preferred": ("preferred: it lies in {mine}", "does not", "do not",
                  "not in the preferred folder of the kept photo"),
    "copy": ("original: has camera EXIF{camera}, {mine}", "is a {its} copy without camera EXIF",
             "are copies without camera EXIF", "a {its} copy without camera EXIF"),
    "reduced": ("original: has camera EXIF{camera}, {mine}", "is a reduced copy, {its}",
                "are reduced copies", "a reduced copy, {its}"),
    "format": ("original: {mine} with camera EXIF{camera}", "is a {its}", "are other formats",
               "a {its}, the kept photo is the {mine}"),
    "resolution": ("resolution: {mine}", "has {its}", "have less", "lower resolution: {its}, not {mine}"),
    "unreadable": ("sharpness: the sharpest", "cannot be read", "cannot be read", "its picture cannot be read"),
    "sharpness": ("sharpness: the sharpest", "is {its} as sharp", "are less sharp",
                  "less sharp: {its} as sharp as the kept photo"),
    "metadata": ("metadata: knows {mine}", "does not", "know less", "poorer metadata: lacks {mine}"),
    "size": ("size: {mine}", "has {its}", "are smaller", "smaller file: {its}, not {mine}"),
    "taken": ("oldest: taken {mine}", "was taken {its}", "were taken later", "taken later: {its}, not {mine}"),
    "oldest": ("oldest: file of {mine}", "is of {its}", "are newer", "newer file: of {its}, not of {mine}"),
    "path": ("path: {mine}, nothing else differs", "is as good", "are as good", "{its}, nothing else differs"),
}  # fmt: skip


def policy_order(policy: Sequence[str], relation: str | None = None) -> tuple[str, ...]:
    """All criteria in the order in which they count: those named first, the rest after them in the usual order.

    "preferred" follows "protected" unless it is named itself; for a burst that names nothing else, sharpness comes
    before everything but these two. Raises ValueError, with the names there are, for one that is unknown.
    """
    usual = ["protected", "preferred", *POLICY[1:]]
    if unknown := [name for name in policy if name not in usual]:
        raise ValueError(f"no criterion {', '.join(map(repr, unknown))}: there are {', '.join(POLICY)}")
    named = [] if tuple(policy) == POLICY else list(dict.fromkeys(policy))
    if _is_burst(relation):
        usual.insert(2, "sharpness")
    if "protected" in named and "preferred" not in named:
        named.insert(named.index("protected") + 1, "preferred")
    return tuple(dict.fromkeys([*named, *usual]))


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
    sharpness: Callable[[int], float] | None = None,
    relation: str | None = None,
) -> Choice:
    """The photo of a group to keep: the first criterion of the policy that tells two photos apart decides.

    Photos under a folder of `prefer` come before others, earlier folders first, right after those under one of
    `protect`. `sharpness(id)` is called only where it decides; nan means that the picture cannot be read. Of a burst
    the sharpest is proposed. The same photos in any order give the same choice. Raises ValueError for no photos, and
    for one without an id.
    """
    if not photos:
        raise ValueError("there is no photo to choose from")
    comparison = _Comparison(options, sharpness, relation)
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
        f"{'protected: it stays too; ' if other in protected else ''}{reason}"
        for other, (*_, reason) in explained.items()
    )
    # In the order of the policy, so that what weighs most comes first.
    return Choice(id_of(kept), _reason([explained[each] for each in decided]), tuple(reasons), protected)


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

    def __init__(self, options: KeeperOptions, sharpness: Callable[[int], float] | None, relation: str | None) -> None:
        self._options, self._sharpness = options, sharpness
        self._equal = sharpness is None or (relation is not None and RELATIONS[relation].same_pixels)
        self._least_sharp = 1.0 if _is_burst(relation) else _SAME_SHARPNESS
        self._measured: dict[str | int, float] = {}
        self.protected = FolderSet(options.protect)
        self._preferred = [FolderSet((folder,)) for folder in options.prefer]

    def best(self, name: str, photos: Sequence[Photo]) -> list[Photo]:
        """The photos that no other one beats by this criterion."""
        match name:
            case "protected":
                return _highest(photos, lambda photo: photo.path in self.protected)
            case "preferred":
                return _highest(photos, lambda photo: -self._preference(photo))
            case "original":
                most = max(map(_pixels, photos))
                return _highest(photos, lambda photo: _originality(photo, most))
            case "resolution":
                return _highest(photos, _pixels, _SAME_PIXELS)
            case "sharpness" if not (self._equal or (photos[0].sha256 and len({p.sha256 for p in photos}) == 1)):
                return _highest(photos, self._measure, self._least_sharp)
            case "metadata":
                return _highest(photos, lambda photo: len(_known_metadata(photo)))
            # Of one format the larger file is the less compressed one; of two formats sizes say nothing.
            case "size" if photos[0].format and len({photo.format for photo in photos}) == 1:
                return _highest(photos, lambda photo: photo.size)
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
        mine = its = camera = ""
        match name:
            case "protected":
                mine = next(folder for folder in self._options.protect if kept.path in FolderSet((folder,)))
            case "preferred":
                mine = self._options.prefer[self._preference(kept)]
            case "original":
                name = "copy" if not _has_camera(other) else "reduced" if kept.format == other.format else "format"
                camera = f" ({kept.camera})" if kept.camera else ""
                mine, its = (_format_name(kept), _format_name(other)) if name == "format" else _sizes(kept, other)
            case "resolution":
                mine, its = _sizes(kept, other)
            case "sharpness":
                one, another = self._measure(kept), self._measure(other)
                name = "unreadable" if another < 0 else name
                its = percent(another / one) if 0 <= another < 0.995 * one else "almost"
            case "metadata":
                mine = ", ".join(each for each in _known_metadata(kept) if each not in _known_metadata(other))
            case "size":
                mine, its = _first_apart(kept.size, other.size, (_bytes, "{:,.0f} bytes".format))
            case "oldest":
                mine, its = _first_apart(kept.mtime_ns, other.mtime_ns, [partial(_moment, u) for u in ("D", "s", "ns")])
                earlier, later = kept.taken_at or "", other.taken_at or ""
                if kept.taken_offset == other.taken_offset and "" < earlier < later:
                    name, mine, its = "taken", date_text(earlier), date_text(later)
            case "path":
                shorter = len(os.fsencode(kept.path)) < len(os.fsencode(other.path))
                mine, its = ("the shorter one", "longer path") if shorter else ("first in order", "later path in order")
        return tuple(sentence.format(mine=mine, its=its, camera=camera) for sentence in _SENTENCES[name])

    def _preference(self, photo: Photo) -> int:
        """0 in the first preferred folder, 1 in the next..."""
        places = (place for place, folder in enumerate(self._preferred) if photo.path in folder)
        return next(places, len(self._preferred))

    def _measure(self, photo: Photo) -> float:
        """The sharpness of a photo, measured once for each content; -1 where it cannot be read."""
        assert self._sharpness is not None  # else it decides nothing
        key = photo.sha256 or id_of(photo)
        if key not in self._measured:
            value = float(self._sharpness(id_of(photo)))
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


def _has_camera(photo: Photo) -> bool:
    return bool(photo.camera or photo.lens or photo.camera_serial)


def _originality(photo: Photo, most: int) -> int:
    """How near a photo is to what a camera wrote, among photos of so many pixels at most."""
    if not _has_camera(photo) or _pixels(photo) * _ENLARGED < most:
        return 0
    if photo.format not in _CAMERA_FORMATS:
        return 1
    # A JPEG is made from a HEIC and never the other way round, but nothing grows on the way.
    return 3 if photo.format == "HEIF" and _pixels(photo) >= most * _SAME_PIXELS else 2


def _known_metadata(photo: Photo) -> list[str]:
    """What is known of a photo; a rating of no stars is none."""
    missing = (None, 0, "")
    return [name for name, fields in _METADATA.items() if all(getattr(photo, f) not in missing for f in fields)]


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
