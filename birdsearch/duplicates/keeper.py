"""Which photo of a group to keep, and why: an ordered policy whose every decision is explained in words. Pure.

Each criterion picks the best photos of a group; the first one that tells two photos apart decides between them.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from birdsearch.records import POLICY, RELATIONS, Photo, Pixels, bytes_text, percent

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


def policy_order(policy: Sequence[str], relation: str | None = None) -> tuple[str, ...]:
    """All criteria in the order in which they count: those named first, the rest after them in the usual order.

    "preferred" follows "protected" unless it is named itself; for a burst that names nothing else, sharpness comes
    before everything but these two. Raises ValueError, with the names there are, for one that is unknown.
    """
    usual = ["protected", "preferred", *POLICY[1:]]
    unknown = [name for name in policy if name not in usual]
    if unknown:
        raise ValueError(f"no criterion {', '.join(map(repr, unknown))}: there are {', '.join(POLICY)}")
    named = [] if tuple(policy) == POLICY else list(dict.fromkeys(policy))
    if _is_burst(relation):
        usual = [*usual[:2], "sharpness", *(name for name in usual[2:] if name != "sharpness")]
    if "protected" in named and "preferred" not in named:
        named.insert(named.index("protected") + 1, "preferred")
    return (*named, *(name for name in usual if name not in named))


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


@dataclass(frozen=True, slots=True)
class Context:
    """What the criteria know besides the photos themselves."""

    options: KeeperOptions
    measure: Callable[[Photo], float] | None  # sharpness; None where it decides nothing
    relation: str | None  # of the photos, where there is one


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one photo is better than another by one criterion."""

    why: str  # of the better one
    one: str  # goes on after "the other"
    many: str  # goes on after "3 others"
    reason: str  # of the worse one


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing by which photos are compared."""

    best: Callable[[Sequence[Photo], Context], list[Photo]]  # those that no other one beats
    explain: Callable[[Photo, Photo, Context], Explanation]  # (kept, other): the other was not among the best


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
    the sharpest is proposed. The same photos in any order give the same choice.
    """
    if not photos:
        raise ValueError("there is no photo to choose from")
    equal = relation is not None and RELATIONS[relation].same_pixels
    context = Context(options, None if sharpness is None or equal else _once(sharpness), relation)
    left, decided = sorted(photos, key=id_of), dict[int, str]()
    for name in (*policy_order(options.policy, relation), "path"):
        winners = CRITERIA[name].best(left, context) if len(left) > 1 else left
        staying = {photo.id for photo in winners}
        decided |= {id_of(photo): name for photo in left if photo.id not in staying}
        left = winners
    kept = left[0]
    others = [photo for photo in photos if photo.id != kept.id]
    explained = {id_of(other): CRITERIA[decided[id_of(other)]].explain(kept, other, context) for other in others}
    protected = tuple(id_of(other) for other in others if lies_under(other.path, options.protect))
    reasons = tuple(
        f"{'protected: it stays too; ' if id_of(other) in protected else ''}{explained[id_of(other)].reason}"
        for other in others
    )
    # In the order of the policy, so that what weighs most comes first.
    return Choice(id_of(kept), _reason([explained[each] for each in decided]), reasons, protected)


def _reason(explained: Sequence[Explanation]) -> str:
    """Why the kept photo is kept: what decided, and against how many."""
    if not explained:
        return "the only photo"
    alike: dict[str, list[Explanation]] = {}
    for one in explained:
        alike.setdefault(one.many, []).append(one)
    clauses = []
    for many, group in alike.items():
        # The shortest holds for all: "knows position, rating" is not true against a photo that has one of the two.
        why = min((one.why for one in group), key=len)
        which = f"{len(group):,} others {many}"
        if len(group) == 1:
            which = f"{'the' if len(explained) == 1 else 'one'} other {group[0].one}"
        clauses.append(f"{why}; {which}")
    return "; ".join(clauses)


def _once(sharpness: Callable[[int], float]) -> Callable[[Photo], float]:
    """The sharpness of a photo, measured once for each content."""
    known: dict[object, float] = {}

    def measure(photo: Photo) -> float:
        key = photo.sha256 or id_of(photo)
        if key not in known:
            value = float(sharpness(id_of(photo)))
            known[key] = -1.0 if math.isnan(value) else value
        return known[key]

    return measure


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


def id_of(photo: Photo) -> int:
    """The id of a photo that has one."""
    if photo.id is None:
        raise ValueError(f"{photo.path} has no id: only photos of an index, or of a report, can be chosen from")
    return photo.id


def lies_under(path: str, folders: Sequence[str]) -> bool:
    """Whether a photo lies in one of these folders or below, by its path or, through links, in truth."""
    if not folders:
        return False
    parent, name = os.path.split(os.path.abspath(path))
    places = {os.path.join(parent, name), os.path.join(os.path.realpath(parent), name)}
    roots = {form for folder in folders for form in (os.path.abspath(folder), os.path.realpath(folder))}
    return any(_within(place, root) for place in places for root in roots)


def _within(path: str, folder: str) -> bool:
    """By components: /birds is not in /bird."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _highest(photos: Sequence[Photo], value: Callable[[Photo], float], share: float = 1.0) -> list[Photo]:
    """The photos whose value is at least this share of the highest."""
    values = [value(photo) for photo in photos]
    top = max(values)
    return [photo for photo, own in zip(photos, values, strict=True) if own >= (top * share if top > 0 else top)]


def _first_apart(a: float, b: float, forms: Sequence[Callable[[float], str]]) -> tuple[str, str]:
    """Two values in the shortest form in which they differ."""
    for form in forms:
        if form(a) != form(b):
            break
    return form(a), form(b)


# The criteria --------------------------------------------------------------------------------------------------------


def _best_protected(photos: Sequence[Photo], context: Context) -> list[Photo]:
    return _highest(photos, lambda photo: lies_under(photo.path, context.options.protect))


def _explain_protected(kept: Photo, _other: Photo, context: Context) -> Explanation:
    folder = next(folder for folder in context.options.protect if lies_under(kept.path, (folder,)))
    not_in = "not in a protected folder, unlike the kept photo"
    return Explanation(f"protected: it lies in {folder}", "does not", "do not", not_in)


def _preference(photo: Photo, prefer: Sequence[str]) -> int:
    """0 for the first preferred folder, -1 for the next..."""
    return -next((place for place, folder in enumerate(prefer) if lies_under(photo.path, (folder,))), len(prefer))


def _best_preferred(photos: Sequence[Photo], context: Context) -> list[Photo]:
    return (
        _highest(photos, lambda photo: _preference(photo, context.options.prefer))
        if context.options.prefer
        else list(photos)
    )


def _explain_preferred(kept: Photo, _other: Photo, context: Context) -> Explanation:
    folder = context.options.prefer[-_preference(kept, context.options.prefer)]
    not_in = "not in the preferred folder of the kept photo"
    return Explanation(f"preferred: it lies in {folder}", "does not", "do not", not_in)


def _pixels(photo: Photo) -> int:
    return (photo.width or 0) * (photo.height or 0)


def _has_camera(photo: Photo) -> bool:
    return bool(photo.camera or photo.lens or photo.camera_serial)


def _best_original(photos: Sequence[Photo], _context: Context) -> list[Photo]:
    """What a camera wrote, before what was made from it."""
    most = max(map(_pixels, photos))

    def rank(photo: Photo) -> int:
        if not _has_camera(photo) or _pixels(photo) * _ENLARGED < most:
            return 0
        if photo.format not in _CAMERA_FORMATS:
            return 1
        # A JPEG is made from a HEIC and never the other way round, but nothing grows on the way.
        return 3 if photo.format == "HEIF" and _pixels(photo) >= most * _SAME_PIXELS else 2

    return _highest(photos, rank)


def _explain_original(kept: Photo, other: Photo, _context: Context) -> Explanation:
    kind = {"HEIF": "HEIC"}.get(kept.format or "", kept.format or "photo")
    other_kind = {"HEIF": "HEIC"}.get(other.format or "", other.format or "photo")
    camera = f" ({kept.camera})" if kept.camera else ""
    size, other_size = _sizes(kept, other)
    why = f"original: has camera EXIF{camera}, {size}"
    if not _has_camera(other):
        copy = f"{other_size} copy without camera EXIF"
        return Explanation(why, f"is a {copy}", "are copies without camera EXIF", f"a {copy}")
    if kept.format == other.format:
        return Explanation(
            why, f"is a reduced copy, {other_size}", "are reduced copies", f"a reduced copy, {other_size}"
        )
    why = f"original: {kind} with camera EXIF{camera}"
    return Explanation(why, f"is a {other_kind}", "are other formats", f"a {other_kind}, the kept photo is the {kind}")


def _sizes(kept: Photo, other: Photo) -> tuple[str, str]:
    """24 MP and 2.1 MP; width and height where that says too little."""
    size, other_size = _first_apart(_pixels(kept), _pixels(other), (_megapixels, "{:,.0f} pixels".format))
    if "pixels" in size + other_size:
        return f"{kept.width} x {kept.height}", f"{other.width} x {other.height}"
    return size, other_size


def _megapixels(count: float) -> str:
    millions = count / 1e6
    if millions < 0.1:
        return f"{count:,.0f} pixels"
    return f"{millions:.0f} MP" if millions >= 9.95 else f"{millions:.1f} MP"


def _best_resolution(photos: Sequence[Photo], _context: Context) -> list[Photo]:
    return _highest(photos, _pixels, _SAME_PIXELS)


def _explain_resolution(kept: Photo, other: Photo, _context: Context) -> Explanation:
    size, other_size = _sizes(kept, other)
    return Explanation(
        f"resolution: {size}", f"has {other_size}", "have less", f"lower resolution: {other_size}, not {size}"
    )


def _best_sharpness(photos: Sequence[Photo], context: Context) -> list[Photo]:
    if context.measure is None or (photos[0].sha256 and len({photo.sha256 for photo in photos}) == 1):
        return list(photos)
    return _highest(photos, context.measure, 1.0 if _is_burst(context.relation) else _SAME_SHARPNESS)


def _explain_sharpness(kept: Photo, other: Photo, context: Context) -> Explanation:
    assert context.measure is not None  # it has decided
    mine, its = context.measure(kept), context.measure(other)
    why = "sharpness: the sharpest"
    if its < 0:
        return Explanation(why, "cannot be read", "cannot be read", "its picture cannot be read")
    ratio = percent(its / mine) if its < 0.995 * mine else "almost"
    return Explanation(why, f"is {ratio} as sharp", "are less sharp", f"less sharp: {ratio} as sharp as the kept photo")


def _known_metadata(photo: Photo) -> list[str]:
    """What is known of a photo; a rating of no stars is none."""
    return [
        name
        for name, fields in _METADATA.items()
        if all(getattr(photo, field) not in (None, 0, "") for field in fields)
    ]


def _best_metadata(photos: Sequence[Photo], _context: Context) -> list[Photo]:
    return _highest(photos, lambda photo: len(_known_metadata(photo)))


def _explain_metadata(kept: Photo, other: Photo, _context: Context) -> Explanation:
    lacks = [name for name in _known_metadata(kept) if name not in _known_metadata(other)]
    listed = ", ".join(lacks)
    return Explanation(f"metadata: knows {listed}", "does not", "know less", f"poorer metadata: lacks {listed}")


def _best_size(photos: Sequence[Photo], _context: Context) -> list[Photo]:
    """Of one format the larger file is the less compressed one; of two formats sizes say nothing."""
    comparable = photos[0].format is not None and len({photo.format for photo in photos}) == 1
    return _highest(photos, lambda photo: photo.size) if comparable else list(photos)


def _explain_size(kept: Photo, other: Photo, _context: Context) -> Explanation:
    mine, its = _first_apart(kept.size, other.size, (bytes_text, "{:,.0f} bytes".format))
    return Explanation(f"size: {mine}", f"has {its}", "are smaller", f"smaller file: {its}, not {mine}")


def _best_oldest(photos: Sequence[Photo], _context: Context) -> list[Photo]:
    """Taken first, as far as all of them say when; then written first."""
    left = list(photos)
    if all(photo.taken_at for photo in left) and len({photo.taken_offset for photo in left}) == 1:
        earliest = min(photo.taken_at or "" for photo in left)
        left = [photo for photo in left if photo.taken_at == earliest]
    written = min(photo.mtime_ns for photo in left)
    return [photo for photo in left if photo.mtime_ns == written]


def _explain_oldest(kept: Photo, other: Photo, _context: Context) -> Explanation:
    same_clock = kept.taken_offset == other.taken_offset
    if kept.taken_at and other.taken_at and same_clock and kept.taken_at < other.taken_at:
        mine, its = kept.taken_at.replace("T", " "), other.taken_at.replace("T", " ")
        return Explanation(
            f"oldest: taken {mine}", f"was taken {its}", "were taken later", f"taken later: {its}, not {mine}"
        )
    mine, its = _first_apart(kept.mtime_ns, other.mtime_ns, (_day, _second, _nanosecond))
    return Explanation(f"oldest: file of {mine}", f"is of {its}", "are newer", f"newer file: of {its}, not of {mine}")


def _day(nanoseconds: float) -> str:
    return str(np.datetime64(int(nanoseconds), "ns").astype("datetime64[D]"))


def _second(nanoseconds: float) -> str:
    return str(np.datetime64(int(nanoseconds), "ns").astype("datetime64[s]")).replace("T", " ") + " UTC"


def _nanosecond(nanoseconds: float) -> str:
    return str(np.datetime64(int(nanoseconds), "ns")).replace("T", " ") + " UTC"


def _best_path(photos: Sequence[Photo], _context: Context) -> list[Photo]:
    """Nothing tells them apart: "wren.jpg" before "wren (1).jpg", whatever the order they come in."""
    return [min(photos, key=lambda photo: (len(os.fsencode(photo.path)), os.fsencode(photo.path), id_of(photo)))]


def _explain_path(kept: Photo, other: Photo, _context: Context) -> Explanation:
    if len(os.fsencode(kept.path)) < len(os.fsencode(other.path)):
        why, reason = "path: the shorter one, nothing else differs", "longer path, nothing else differs"
    else:
        why, reason = "path: first in order, nothing else differs", "later path in order, nothing else differs"
    return Explanation(why, "is as good", "are as good", reason)


CRITERIA: Mapping[str, Criterion] = {
    "protected": Criterion(_best_protected, _explain_protected),
    "preferred": Criterion(_best_preferred, _explain_preferred),
    "original": Criterion(_best_original, _explain_original),
    "resolution": Criterion(_best_resolution, _explain_resolution),
    "sharpness": Criterion(_best_sharpness, _explain_sharpness),
    "metadata": Criterion(_best_metadata, _explain_metadata),
    "size": Criterion(_best_size, _explain_size),
    "oldest": Criterion(_best_oldest, _explain_oldest),
    "path": Criterion(_best_path, _explain_path),
}
