"""Which photo of a group to keep, and why: an ordered policy whose every decision is told in words. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from birdsearch.duplicates.criteria import CRITERIA, Given, Words, id_of, lies_under
from birdsearch.records import Photo, Pixels

__all__ = ["POLICY", "PROTECTED", "SHARPNESS_LONGEST", "Choice", "best", "policy_order", "sharpness"]

POLICY = ("protected", "original", "resolution", "sharpness", "metadata", "size", "oldest")
PROTECTED = "protected: "  # how the reason of a photo begins that is not kept for its merits, but must stay
SHARPNESS_LONGEST = 2048  # pixels of the longest side at which `sharpness` compares


@dataclass(frozen=True, slots=True)
class Choice:
    """The photo to keep, and what speaks against each of the others."""

    keep: int  # a photo id
    reason: str  # why this one, in words
    reasons: tuple[str, ...]  # of the others, in the order in which the photos were given


def best(
    photos: Sequence[Photo],
    *,
    policy: Sequence[str] = POLICY,
    prefer: Sequence[str] = (),
    protect: Sequence[str] = (),
    sharpness: Callable[[int], float] | None = None,
    relation: str | None = None,
) -> Choice:
    """The photo of a group to keep: the first criterion of the policy that tells two photos apart decides.

    `policy` may name a few criteria, which then come first (`policy_order`). Photos under a folder of `prefer` come
    before others, earlier folders first, right after those under one of `protect`. `sharpness(id)` is asked only where
    it decides; nan means that the picture cannot be read. Of a burst the sharpest is proposed. The same photos in any
    order give the same choice.
    """
    if not photos:
        raise ValueError("there is no photo to choose from")
    measure = None if sharpness is None or relation in ("identical", "pixels") else _once(sharpness)
    given = Given(tuple(prefer), tuple(protect), measure, relation)
    left, decided = sorted(photos, key=id_of), dict[int, str]()
    for name in (*policy_order(policy, relation), "path"):
        winners = CRITERIA[name].best(left, given) if len(left) > 1 else left
        staying = {photo.id for photo in winners}
        decided |= {id_of(photo): name for photo in left if photo.id not in staying}
        left = winners
    kept = left[0]
    others = [photo for photo in photos if photo.id != kept.id]
    told = {id_of(other): CRITERIA[decided[id_of(other)]].words(kept, other, given) for other in others}
    reasons = [
        f"{PROTECTED}it stays too; {told[id_of(other)].reason}"
        if lies_under(other.path, given.protect)
        else told[id_of(other)].reason
        for other in others
    ]
    # In the order of the policy, so that what weighs most is said first.
    told_in_order = [told[each] for each in decided]
    return Choice(id_of(kept), _reason(told_in_order), tuple(reasons))


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
    if relation == "burst":
        usual = [*usual[:2], "sharpness", *(name for name in usual[2:] if name != "sharpness")]
    if "protected" in named and "preferred" not in named:
        named.insert(named.index("protected") + 1, "preferred")
    return (*named, *(name for name in usual if name not in named))


def _reason(told: Sequence[Words]) -> str:
    """Why the kept photo is kept: what decided, and against how many."""
    if not told:
        return "the only photo"
    alike: dict[str, list[Words]] = {}
    for words in told:
        alike.setdefault(words.many, []).append(words)
    clauses = []
    for many, group in alike.items():
        # The shortest holds for all of them: "knows position, rating" is not true against who lacks one of the two.
        why = min((words.why for words in group), key=len)
        which = f"{len(group):,} others {many}"
        if len(group) == 1:
            which = f"{'the' if len(told) == 1 else 'one'} other {group[0].one}"
        clauses.append(f"{why}; {which}")
    return "; ".join(clauses)


def _once(sharpness: Callable[[int], float]) -> Callable[[Photo], float]:
    """The measure of a photo, asked for once for each content."""
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
    size first, so that a reduced copy is not taken for a sharper one. The sharpest tenth of the picture counts: a bird
    in focus before a soft background is a sharp photo. A picture of one colour has 0.
    """
    if pixels.ndim != 3 or max(pixels.shape[:2]) > SHARPNESS_LONGEST:
        raise ValueError(f"pixels must be (h, w, 3) with no side over {SHARPNESS_LONGEST}, got {pixels.shape}")
    grey = pixels.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)  # (h, w)
    contrast = float(grey.std())
    scale = SHARPNESS_LONGEST / max(grey.shape)
    grey = _stretched(_stretched(grey, scale).T, scale).T
    if contrast < 1e-3 or min(grey.shape) < 3:
        return 0.0
    edges = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    side = min(32, *edges.shape)
    rows, columns = (length // side for length in edges.shape)
    blocks = np.square(edges[: rows * side, : columns * side]).reshape(rows, side, columns, side).mean(axis=(1, 3))
    finest = np.sort(blocks, axis=None)[-max(1, blocks.size // 10) :]
    return math.sqrt(float(finest.mean())) / contrast


def _stretched(grey: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
    """Rows (n, w) enlarged to (n * scale, w) by linear interpolation."""
    count = max(1, round(len(grey) * scale))
    position = np.clip((np.arange(count) + 0.5) / scale - 0.5, 0, len(grey) - 1)
    lower = position.astype(np.int64)
    upper = np.minimum(lower + 1, len(grey) - 1)
    share = (position - lower).astype(np.float32)[:, None]
    stretched: npt.NDArray[np.float32] = grey[lower] * (1 - share) + grey[upper] * share
    return stretched
