"""Whether two pictures are the same one, edited: local features propose how they lie on each other, pixels decide.

Features are SIFT (Lowe 2004) with root-normalised descriptors (Arandjelovic and Zisserman 2012), their geometry a
similarity found by RANSAC, refined by ECC (Evangelidis and Psarakis 2008). What fools features (a printed mark on two
photos, a texture that repeats) does not fool pixels: over most of what both pictures show, local correlation is high.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
import numpy.typing as npt

from birdsearch.records import AS_IT_IS, Pixels

LONGEST = 320  # pixels of the longest side at which features are extracted
KEPT_LONGEST = 224  # pixels of the longest side of the grey picture that is kept
MAX_FEATURES = 350  # of one picture
RATIO = 0.85  # of the distances to the best and the second best feature (Lowe's test)
REPROJECTION_ERROR = 2.8  # pixels of the kept picture by which a feature may miss its place
MIN_INLIERS = 8  # features that agree on a transform before pixels are compared
ENOUGH_INLIERS = 40  # with so many a mirrored picture is not tried
COMPARED_LONGEST = 160  # pixels of the longest side at which pixels are compared
WINDOW = 15  # pixels of the square over which they are correlated
MIN_CORRELATION = 0.6  # from here on a place agrees
# Share of what both show that must agree: the fewer features agree on the transform, the more. Of 6,300 pairs of edited
# copies the lowest share was 0.55, with 138 features, and the fewest features 15, with a share of 0.98.
MIN_AGREEMENT, MIN_AGREEMENT_FEW_INLIERS = 0.5, 0.9
MANY_INLIERS = 60  # features with which the least is enough
NOISE_VARIANCE = 3.0  # grey levels (variance): flatter places say nothing
SCALES = (0.2, 5.0)  # of one kept picture against the other
MIN_OVERLAP = 0.3  # of the smaller picture that must lie in the other
MAX_CHANGED = 0.08  # share of the overlap that a mark or a caption may replace; a bird that moved replaces more

Features = npt.NDArray[np.float32]
Grey = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]  # (3, 3), pixels of one picture to pixels of another
Scaled = tuple[Grey, Matrix]  # a picture at another scale, and where its pixels went


@dataclass(frozen=True, slots=True)
class LocalFeatures:
    """What of one picture is compared."""

    points: npt.NDArray[np.float32]  # (n, 2), x and y in pixels of `grey`
    features: npt.NDArray[np.uint8]  # (n, 128)
    grey: npt.NDArray[np.uint8]  # (h, w), the longest side is KEPT_LONGEST


@dataclass(frozen=True, slots=True)
class Alignment:
    """How one picture lies on another."""

    overlap: float  # share of the smaller picture that lies in the other
    agreement: float  # share of the textured overlap whose pixels agree
    inliers: int  # features that agree on the transform
    transform: str  # in words, from the first picture to the second
    matrix: tuple[float, ...]  # (2, 3) row by row: where the first's unit square lies in the second's


def extract_features(pixels: Pixels) -> LocalFeatures:
    """What is compared of a picture (h, w, 3); `photos.picture(path, LONGEST)` gives as many pixels as are needed."""
    grey = _resized(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8), LONGEST)
    kept = _resized(grey, KEPT_LONGEST)
    if min(grey.shape) < 16:
        return LocalFeatures(np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8), kept)
    # Contrast is evened out first, so that a dark or faded copy shows the same features.
    even = cv2.createCLAHE(2.0, (8, 8)).apply(grey)
    sift = cv2.SIFT_create(MAX_FEATURES, contrastThreshold=0.02, edgeThreshold=12)  # type: ignore[attr-defined]
    keypoints, features = sift.detectAndCompute(even, None)
    points = np.array([point.pt for point in keypoints[:MAX_FEATURES]], dtype=np.float32).reshape(-1, 2)
    points = (points + 0.5) * np.float32(kept.shape[1] / grey.shape[1]) - np.float32(0.5)
    features = np.zeros((0, 128), np.float32) if features is None else features[:MAX_FEATURES]
    root = np.sqrt(features / np.maximum(features.sum(axis=1, keepdims=True), 1e-6))
    return LocalFeatures(points, np.rint(root * 255).astype(np.uint8), kept)


def register(a: LocalFeatures, b: LocalFeatures) -> Alignment | None:
    """How two pictures lie on each other; None where they are not the same one."""
    few = min(len(a.features), len(b.features)) < MIN_INLIERS
    proposals = [(matrix, 0) for matrix in _whole_on_whole(a, b)] if few else _estimate_transform(a, b)
    found = [(*_matching_fraction(a, b, matrix), inliers) for matrix, inliers in proposals]
    nothing = 0.0, 0.0, np.eye(3), 0
    agreement, overlap, matrix, inliers = max([nothing, *found], key=lambda each: each[0])
    missing = max(0.0, (MANY_INLIERS - max(inliers, MIN_INLIERS)) / (MANY_INLIERS - MIN_INLIERS))
    if agreement < MIN_AGREEMENT + missing * (MIN_AGREEMENT_FEW_INLIERS - MIN_AGREEMENT) or overlap < MIN_OVERLAP:
        return None
    if _changed_fraction(a, b, matrix) > MAX_CHANGED:
        return None
    unit = np.linalg.inv(_to_pixels(b)) @ matrix @ _to_pixels(a)
    words, numbers = _describe_transform(matrix, unit), tuple(unit[:2].ravel().tolist())
    return Alignment(round(overlap, 3), round(agreement, 3), inliers, words, numbers)


def _resized(grey: npt.NDArray[np.uint8], longest: int) -> npt.NDArray[np.uint8]:
    scale = longest / max(grey.shape)
    if scale == 1:
        return grey
    width, height = (max(1, round(side * scale)) for side in grey.shape[::-1])
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, (width, height), interpolation=smooth), dtype=np.uint8)


def _to_pixels(picture: LocalFeatures) -> Matrix:
    """From the unit square to pixels, whose first one has its centre at 0."""
    height, width = picture.grey.shape
    return np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]], dtype=np.float64)


def _whole_on_whole(a: LocalFeatures, b: LocalFeatures) -> list[Matrix]:
    """The whole of a on the whole of b, in eight orientations."""
    places = []
    for corner, across, down in product(((0, 0), (1, 0), (0, 1), (1, 1)), ((1, 0), (0, 1)), ((1, 0), (0, 1))):
        if across != down:
            signs = np.where(np.array(corner) > 0, -1, 1)
            unit = np.eye(3)
            unit[:2] = np.stack([signs * across, signs * down, corner], axis=1)
            places.append(_to_pixels(b) @ unit @ np.linalg.inv(_to_pixels(a)))
    return places


def _estimate_transform(a: LocalFeatures, b: LocalFeatures) -> list[tuple[Matrix, int]]:
    """The transform on which most features agree, and how many; none where too few do."""
    theirs = _unit_rows(b.features)
    found = _ransac_affine(a.points, b.points, _matches(_unit_rows(a.features), theirs))
    if not found or found[0][1] < ENOUGH_INLIERS:
        # A mirrored patch has the same histograms of gradients in mirrored order.
        turned = a.features.reshape(-1, 4, 4, 8)[:, ::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]].reshape(-1, 128)
        flip = np.array([[-1, 0, a.grey.shape[1] - 1], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
        points = a.points * np.array([-1, 1], np.float32) + flip[:2, 2].astype(np.float32)
        mirrored = _ransac_affine(points, b.points, _matches(_unit_rows(turned), theirs))
        found += [(matrix @ flip, inliers) for matrix, inliers in mirrored]
    return sorted(found, key=lambda each: -each[1])[:1]


def _unit_rows(features: npt.NDArray[np.uint8]) -> Features:
    rows = features.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows


def _matches(ours: Features, theirs: Features) -> npt.NDArray[np.int64]:
    """Pairs of rows (m, 2) that are each other's best, and clearly better than the second best."""
    alike = ours @ theirs.T
    row = np.arange(len(ours))
    first = alike.argmax(axis=1)
    best = alike[row, first]
    mutual = alike.argmax(axis=0)[first] == row
    alike[row, first] = -1
    second = alike.max(axis=1)
    good = mutual & (1 - best < RATIO**2 * (1 - second))
    return np.stack([row[good], first[good]], axis=1)


def _ransac_affine(ours: Features, theirs: Features, pairs: npt.NDArray[np.int64]) -> list[tuple[Matrix, int]]:
    """The similarity on which most of these pairs of points agree, refined to an affine one, and how many do."""
    if len(pairs) < MIN_INLIERS:
        return []
    one, other = ours[pairs[:, 0]], theirs[pairs[:, 1]]
    affine, inside = cv2.estimateAffinePartial2D(one, other, ransacReprojThreshold=REPROJECTION_ERROR, maxIters=2000)
    if affine is None or inside.sum() < MIN_INLIERS:
        return []
    kept = inside.ravel() > 0
    scale = math.sqrt(abs(np.linalg.det(affine[:, :2])))
    if not SCALES[0] < scale < SCALES[1]:
        return []
    if kept.sum() >= 3 * MIN_INLIERS:  # enough to distinguish a stretch from noise
        finer = cv2.estimateAffine2D(one[kept], other[kept], ransacReprojThreshold=REPROJECTION_ERROR)[0]
        stretch = None if finer is None else np.linalg.svd(finer[:, :2], compute_uv=False)
        if stretch is not None and stretch[0] < 1.3 * stretch[1]:
            affine = finer
    return [(np.vstack([affine, [0, 0, 1]]).astype(np.float64), int(kept.sum()))]


def _matching_fraction(a: LocalFeatures, b: LocalFeatures, matrix: Matrix) -> tuple[float, float, Matrix]:
    """The share of the textured overlap that agrees, the overlap, and the transform made more exact."""
    (one, to_one), (other, to_other) = _at_one_scale(a, b, matrix)
    start = to_other @ matrix @ np.linalg.inv(to_one)
    found = [(*_correlation(one, other, each), each) for each in (start, *_refined_by_ecc(one, other, start))]
    agreement, overlap, small = max(found, key=lambda each: each[0])
    return agreement, overlap, np.linalg.inv(to_other) @ small @ to_one


def _at_one_scale(a: LocalFeatures, b: LocalFeatures, matrix: Matrix) -> tuple[Scaled, Scaled]:
    """Both pictures at the scale of the coarser one, no larger than COMPARED_LONGEST."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    ours = min(1.0, COMPARED_LONGEST / max(a.grey.shape), scale)
    return _at_scale(a.grey, ours), _at_scale(b.grey, min(1.0, ours / scale))


def _at_scale(grey: npt.NDArray[np.uint8], scale: float) -> Scaled:
    width, height = (max(8, round(side * scale)) for side in grey.shape[::-1])
    across, down = width / grey.shape[1], height / grey.shape[0]
    matrix = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32), matrix


def _refined_by_ecc(one: Grey, other: Grey, start: Matrix) -> list[Matrix]:
    """The transform that raises the correlation of the whole overlap; none where the search runs away."""
    end = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)
    with suppress(cv2.error):
        begin = np.ascontiguousarray(start[:2], dtype=np.float32)
        transform = cv2.findTransformECC(one, other, begin, cv2.MOTION_AFFINE, end, None, 3)[1]  # type: ignore[call-overload]
        return [np.vstack([transform, [0, 0, 1]]).astype(np.float64)]
    return []


def _correlation(one: Grey, other: Grey, matrix: Matrix) -> tuple[float, float]:
    """The share of the textured overlap in which the pictures correlate, and the share of the smaller that overlaps."""
    size, inverse = one.shape[::-1], cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(other, matrix[:2], size, flags=cv2.INTER_LINEAR | inverse)
    covered = cv2.warpAffine(np.ones_like(other), matrix[:2], size, flags=cv2.INTER_NEAREST | inverse)
    inside: Grey = np.asarray(cv2.erode(covered, np.ones((3, 3))), dtype=np.float32)
    one, moved = _smoothed(one), _smoothed(moved)
    correlation, variance, share = _local_statistics(one, moved, inside, WINDOW)
    # What is flat in both says nothing; what is flat in one of them only speaks against it.
    weight = np.minimum(np.sqrt(variance), 20.0) * (inside > 0) * (share > 0.3)
    weight[variance < 2 * NOISE_VARIANCE] = 0
    smaller = min(one.size, other.size / max(1e-6, abs(np.linalg.det(matrix[:2, :2]))))
    total, agreed = float(weight.sum()), float((weight * (correlation > MIN_CORRELATION)).sum())
    return (agreed / total if total > 0 else 0.0), float(min(1.0, float(inside.sum()) / smaller))


def _smoothed(grey: "cv2.typing.MatLike") -> Grey:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), dtype=np.float32)


def _local_statistics(one: Grey, other: Grey, inside: Grey, window: int) -> tuple[Grey, Grey, Grey]:
    """What a square window around each pixel (h, w) shows of two pictures where `inside` is 1, not 0.

    Their correlation, the larger of their variances, and the share of the window that is inside.
    """

    def mean(values: Grey) -> Grey:
        total = cv2.boxFilter(values, -1, (window, window), borderType=cv2.BORDER_CONSTANT)
        return np.asarray(total / share, dtype=np.float32)

    share = np.maximum(cv2.boxFilter(inside, -1, (window, window), borderType=cv2.BORDER_CONSTANT), 1e-3)
    one, other = one * inside, other * inside
    means = mean(one), mean(other)
    spread = [np.maximum(mean(grey * grey) - m * m, 0) for grey, m in zip((one, other), means, strict=True)]
    together = mean(one * other) - means[0] * means[1]
    alone = np.sqrt((spread[0] + NOISE_VARIANCE) * (spread[1] + NOISE_VARIANCE))
    return np.asarray(together / alone, dtype=np.float32), np.maximum(*spread), np.asarray(share, dtype=np.float32)


# Two exposures of one moment share their background: most of it agrees, the bird does not -----------------------------


def _changed_fraction(a: LocalFeatures, b: LocalFeatures, matrix: Matrix) -> float:
    """The share of the overlap that shows something else: other grey levels and another structure, in one piece."""
    (one, to_one), (other, to_other) = _at_one_scale(a, b, matrix)
    place, size = (to_other @ matrix @ np.linalg.inv(to_one))[:2], one.shape[::-1]
    nearest, linear = (how | cv2.WARP_INVERSE_MAP for how in (cv2.INTER_NEAREST, cv2.INTER_LINEAR))
    laid = cv2.warpAffine(other, place, size, flags=linear, borderMode=cv2.BORDER_REPLICATE)
    common = cv2.warpAffine(_mask_borders(other), place, size, flags=nearest) * _mask_borders(one)
    inside: Grey = np.asarray(cv2.erode(common, np.ones((3, 3))), dtype=np.float32)
    if inside.sum() < 60:
        return 0.0
    one, moved = _smoothed(one), _smoothed(laid)
    gain, offset = _match_exposure(one, moved, inside > 0)
    # Both as far as both could show it: what was brightened has lost its brightest parts.
    one, moved = np.clip(one, offset, 255 * gain + offset), np.clip(gain * moved + offset, 0, 255)
    correlation, variance, _ = _local_statistics(one, moved, inside, 7)
    other_structure = (correlation < 0.5) | (variance < 2 * NOISE_VARIANCE)
    contrast = max(6.0, float(one[inside > 0].std()))
    wrong = other_structure & (np.abs(one - moved) > max(12.0, 0.35 * contrast)) & (inside > 0)
    # Opened, so that thin things do not count: letters, and edges that lie half a pixel beside each other.
    solid = cv2.morphologyEx(wrong.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return float(solid.sum() / inside.sum())


def _mask_borders(grey: Grey) -> Grey:
    """1 where a picture is no border, no strip of a caption and no corner of one colour, else 0."""
    soft = cv2.blur(grey.astype(np.uint8), (3, 3))
    flooded = np.zeros((grey.shape[0] + 2, grey.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
    for _ in range(2):  # The second time from the corners of what is left: a caption may lie inside a border.
        left = cv2.dilate(flooded, np.ones((5, 5)))[1:-1, 1:-1] == 0
        rows, columns = np.flatnonzero(left.any(axis=1)), np.flatnonzero(left.any(axis=0))
        if not len(rows):
            break
        for x, y in product((int(columns[0]), int(columns[-1])), (int(rows[0]), int(rows[-1]))):
            if not flooded[y + 1, x + 1]:
                cv2.floodFill(soft, flooded, (x, y), (0.0,), (8.0,), (8.0,), flags)
    return np.asarray(cv2.dilate(flooded, np.ones((3, 3)))[1:-1, 1:-1] == 0, dtype=np.float32)


def _match_exposure(one: Grey, other: Grey, inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Gain and offset that bring the second picture to the light of the first, whatever minority of pixels differs."""
    clear = inside & (np.minimum(one, other) > 6) & (np.maximum(one, other) < 249)
    fits, gain, offset = clear if clear.sum() >= 60 else inside, 1.0, 0.0
    for _ in range(4):
        gain = float(np.clip((one[fits].std() + 1) / (other[fits].std() + 1), 0.25, 4))
        offset = float(np.median(one[fits] - gain * other[fits]))
        gaps = np.abs(one - gain * other - offset)
        closer = clear & (gaps < 2.5 * np.median(gaps[fits]) + 3)
        if closer.sum() < 60:
            break
        fits = closer
    return gain, offset


def _describe_transform(matrix: Matrix, unit: Matrix) -> str:
    """A transform in words."""
    across = matrix[:2, 0]
    words = []
    if np.linalg.det(matrix[:2, :2]) < 0:
        words.append("mirrored")
        across = -across
    angle = math.degrees(math.atan2(across[1], across[0]))
    if quarter := round(angle / 90) % 4:
        words.append(f"turned {90 * quarter}°")
    tilt = angle - 90 * round(angle / 90)
    if abs(tilt) >= 0.3:
        words.append(f"tilted {abs(tilt):.1f}°")
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ unit[:2, :2].T + unit[:2, 2]
    low, high = corners.min(axis=0), corners.max(axis=0)
    covered = float(np.prod(np.clip(np.minimum(high, 1) - np.maximum(low, 0), 0, None)))
    area = float(np.prod(high - low))
    if area > 0 and covered / area < 0.97:
        words.append(f"cropped to {100 * covered / area:.0f} %")
    if covered < 0.97:
        words.append(f"filling {100 * covered:.0f} % of the other")
    return ", ".join(words) or AS_IT_IS
