"""A classifier made of an index's own labelled photos: calibrated, and able to say that a photo is like none of them.

`features` compares a photo with the photos of every species, `fusion` makes one probability of that. The weights of
`fusion` are fitted on photos that the models behind the features were not fitted on.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from birdsearch.backbones.classes import softmax
from birdsearch.records import Ids, Progress, Vectors, blocks
from birdsearch.search import whitening
from birdsearch.species.features import COUNT, TYPICAL_WEIGHTS, ClassGallery, FeatureSpace
from birdsearch.species.fusion import Fusion

Labels = Sequence[str | None]  # one a photo, None where it has none
Flags = npt.NDArray[np.bool_]

FOLDS = 5
LEAVE_ONE_OUT_UP_TO = 100  # labelled photos: a fold of more would hold too many of the few of a species (10 ms a fit)
FEW = 10_000  # photos up to which one thread is as fast as all, and takes a fraction of their time (a guess)
TWO_FOLDS_FROM = 20_000  # photos: each half is plenty to fit on
_SPACE_FITTED_ON = 50_000  # photos, at most
_WEIGHTS_FITTED_ON = 3_000  # photos, at most
_ALTERNATIVES = 128  # of the likeliest species, while weights are fitted


@dataclass(frozen=True, slots=True)
class ClassifierOutput:
    """What q photos show."""

    probabilities: Vectors  # (q, species), rows sum to 1; all zero where no photo could be compared
    novelty: Vectors  # (q,) probability that it shows none of these species, had that been even odds; NaN: unknown
    evidence: Ids  # (q, k) positions in the fit of photos of the likeliest species, nearest first; -1 where fewer


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """Every labelled photo classified by the others: no space, model or weight was fitted on the photo itself."""

    species: tuple[str, ...]
    codes: Ids  # (n,) the species of its label, -1 for none
    answerable: Flags  # (n,) whether a photo of another group has the same label, so that an answer can be right
    top: Ids  # (n, k) the likeliest species, best first; -1 where it was not classified
    probabilities: Vectors  # (n, k) of them; those of all species sum to 1
    label_probability: Vectors  # (n,) of its own label; NaN where it was not classified
    novelty: Vectors  # (n,) probability that it shows none of these species; NaN: unknown


@dataclass(frozen=True, slots=True)
class GalleryClassifier:
    """Labelled photos that classify other photos.

    >>> classifier = GalleryClassifier.fit(vectors, labels)
    >>> classifier.predict(vectors[:1], leave_out=np.array([0])).probabilities
    """

    species: tuple[str, ...]
    groups: Ids  # (n,) of all photos of the fit
    gallery: ClassGallery
    fusion: Fusion

    @classmethod
    def fit(cls, vectors: Vectors, labels: Labels, groups: Ids | None = None, *, seed: int = 0) -> Self | None:
        """From the labelled ones among unit vectors (n, dim); None where no photo has a label.

        Photos of one leakage group (a burst, copies of one picture; `groups` (n,)) are never compared.
        """
        species, codes, groups = _coded(vectors, labels, groups)
        if not species:
            return None
        with blas_threads(len(codes)):
            fusion = FoldModels.fit(vectors, codes, groups, seed).fusion(None)
            space = _feature_space(vectors, codes, np.arange(len(codes)), seed)
            return cls(species, groups, ClassGallery.of(space, vectors, codes, groups), fusion)

    def predict(self, vectors: Vectors, k: int = 5, leave_out: Ids | None = None) -> ClassifierOutput:
        """What photos (q, dim) show; `leave_out` (q,) is the position of each in the fit, -1 for none.

        Such a photo is not compared with itself, nor with the photos of its group.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        rows, projected = self.gallery.space.views(vectors)
        positions = np.full(len(rows), -1) if leave_out is None else np.asarray(leave_out)
        groups = np.where(positions < 0, -1, self.groups[positions])
        output = ClassifierOutput(
            np.zeros((len(rows), len(self.species)), dtype=np.float32),
            np.full(len(rows), np.nan, dtype=np.float32),
            np.full((len(rows), k), -1, dtype=np.int64),
        )
        for block in blocks(len(rows), self.gallery.block_size):
            features = self.gallery.features(rows[block], projected[block], groups[block])
            output.probabilities[block], output.novelty[block] = self.fusion.predict(features)
        for row in np.flatnonzero(output.probabilities.any(axis=1)):
            best = int(output.probabilities[row].argmax())
            near = self.gallery.nearest(rows[row], int(groups[row]), best, k)
            output.evidence[row, : len(near)] = near
        return output


def cross_validate(
    vectors: Vectors,
    labels: Labels,
    groups: Ids | None = None,
    *,
    k: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> CrossValidated | None:
    """Classify every labelled photo by the others, leave-one-group-out; None where no photo has a label.

    Space, model and weights are fitted without the photos of its fold; then every labelled photo of another group
    stands for its species. Groups are never split between folds; of few photos each group is a fold.
    """
    species, codes, groups = _coded(vectors, labels, groups)
    if not species:
        return None
    n, k = len(codes), min(k, len(species))
    result = CrossValidated(
        *(species, codes, _answerable(codes, groups)),
        *(np.full((n, k), -1, dtype=np.int64), np.zeros((n, k), dtype=np.float32)),
        *(np.full(n, np.nan, dtype=np.float32), np.full(n, np.nan, dtype=np.float32)),
    )
    with blas_threads(n):
        _classify_folds(vectors, groups, result, seed, progress)
    return result


def _classify_folds(
    vectors: Vectors, groups: Ids, result: CrossValidated, seed: int, progress: Progress | None
) -> None:
    """Write what the photos of each fold show into the arrays of a result."""
    codes, k = result.codes, result.top.shape[1]
    labelled = int((codes >= 0).sum())
    few = labelled <= LEAVE_ONE_OUT_UP_TO and not _is_whitened(len(codes))
    count = labelled if few else FOLDS
    folds, done = FoldModels.fit(vectors, codes, groups, seed, count, progress), 0
    for fold, space in enumerate(folds.spaces):
        gallery, fusion = ClassGallery.of(space, vectors, codes, groups), folds.fusion(fold)
        inside = np.flatnonzero(folds.fold[gallery.positions] == fold)
        for block in blocks(len(inside), gallery.block_size):
            members = inside[block]
            photos = gallery.positions[members]
            features = gallery.features(gallery.vectors[members], gallery.projected[members], gallery.groups[members])
            probabilities, result.novelty[photos] = fusion.predict(features)
            answered = np.asarray(probabilities.any(axis=1))
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
            result.top[photos] = np.where(answered[:, None], best, -1)
            result.probabilities[photos] = np.take_along_axis(probabilities, best, 1)
            own = probabilities[np.arange(len(photos)), codes[photos]]
            result.label_probability[photos] = np.where(answered, own, np.nan)
            done += len(photos)
            if progress is not None:
                progress("classify", done, int((codes >= 0).sum()), "")


def blas_threads(photos: int) -> AbstractContextManager[object]:
    """Numerics on one thread where there are few photos: their steps are so short that other threads only wait."""
    import scipy.linalg  # noqa: F401 -- brings a BLAS of its own, which is limited only once it is loaded

    return threadpool_limits(1, "blas") if photos <= FEW else nullcontext()


def pool_log_probabilities(probabilities: Vectors) -> Vectors:
    """One answer for all photos: the mean of their log probabilities (q, species), as a softmax in each row.

    A photo without an answer (all zero) does not count; where no photo has one, they stay zero.
    """
    answered = probabilities[probabilities.any(axis=1)]
    if not len(answered):
        return probabilities
    logs = np.log(np.maximum(answered, np.finfo(np.float32).tiny)).mean(axis=0, dtype=np.float64, keepdims=True)
    return np.repeat(softmax(logs).astype(np.float32), len(probabilities), axis=0)


@dataclass(frozen=True, slots=True)
class FoldModels:
    """Feature spaces, each fitted without a fold of the photos, and the features of some photos of that fold."""

    fold: Ids  # (n,) -1 for photos of groups without a label
    spaces: tuple[FeatureSpace, ...]
    positions: Ids  # (a,) photos with an answerable label, or any where none has, at most _WEIGHTS_FITTED_ON of them
    features: Vectors  # (a, alternatives + 1, 3): first of its own species, then of the likeliest others

    @classmethod
    def fit(
        cls,
        vectors: Vectors,
        codes: Ids,
        groups: Ids,
        seed: int,
        folds: int = FOLDS,
        progress: Progress | None = None,
    ) -> Self:
        """Spaces for photos (n, dim) of species (n,; -1: no label) and groups (n,); of many photos two folds do."""
        draw = np.random.default_rng(seed)
        names, which = np.unique(groups, return_inverse=True)
        judged = np.unique(which[codes >= 0])  # photos without a label are in every fit
        count = min(folds if len(codes) <= TWO_FOLDS_FROM else 2, len(judged))
        fold_of = np.full(len(names), -1)
        fold_of[judged] = draw.permutation(np.arange(len(judged)) % count)
        fold = fold_of[which]
        able = np.flatnonzero(_answerable(codes, groups))
        able = able if len(able) else np.flatnonzero(codes >= 0)  # whose own species nothing tells
        drawn = np.zeros(len(codes), dtype=bool)
        drawn[draw.permutation(able)[:_WEIGHTS_FITTED_ON]] = True
        # The zero rows first keep the shapes where no photo is answerable.
        spaces, positions, features = [], [able[:0]], [np.zeros((0, 1, COUNT), dtype=np.float32)]
        for number in range(count):
            # With one group there is no other fold to fit on: the photos are compared as they are.
            spaces.append(_feature_space(vectors, codes, np.flatnonzero(fold != number), seed))
            gallery = ClassGallery.of(spaces[-1], vectors, codes, groups)
            inside = np.flatnonzero(drawn[gallery.positions] & (fold[gallery.positions] == number))
            for block in blocks(len(inside), gallery.block_size):
                members = inside[block]
                scored = gallery.features(gallery.vectors[members], gallery.projected[members], gallery.groups[members])
                positions.append(gallery.positions[members])
                features.append(_own_first(scored, gallery.codes[members]))
            if progress is not None:
                progress("fit", number + 1, count, "")
        return cls(fold, tuple(spaces), np.concatenate(positions), np.concatenate(features[1:] or features))

    def fusion(self, without: int | None) -> Fusion:
        """Weights fitted on all these photos, or on those outside one fold."""
        return Fusion.fit(self.features if without is None else self.features[self.fold[self.positions] != without])


def _coded(vectors: Vectors, labels: Labels, groups: Ids | None) -> tuple[tuple[str, ...], Ids, Ids]:
    """The species by name, each photo's number among them (-1: no label), each photo's group."""
    if vectors.ndim != 2 or len(labels) != len(vectors) or (groups is not None and len(groups) != len(vectors)):
        raise ValueError(f"{len(labels)} labels for vectors of shape {vectors.shape}: one label and group a vector")
    species = tuple(sorted({str(label) for label in labels if label is not None}))
    numbers = {name: number for number, name in enumerate(species)}
    codes = np.array([-1 if label is None else numbers[str(label)] for label in labels], dtype=np.int64)
    return species, codes, np.arange(len(codes)) if groups is None else np.unique(groups, return_inverse=True)[1]


def _answerable(codes: Ids, groups: Ids) -> Flags:
    """Photos (n,) with a label that photos of another group have too."""
    named = codes >= 0
    pairs = np.unique(np.stack([codes[named], groups[named]], axis=1), axis=0)
    able = np.bincount(pairs[:, 0], minlength=1) > 1
    return named & able[np.maximum(codes, 0)]


def _feature_space(vectors: Vectors, codes: Ids, fitted_on: Ids, seed: int) -> FeatureSpace:
    """The space fitted on some of the photos."""
    if len(fitted_on) > _SPACE_FITTED_ON:
        fitted_on = np.sort(np.random.default_rng(seed).permutation(fitted_on)[:_SPACE_FITTED_ON])
    return FeatureSpace.fit(vectors[fitted_on], codes[fitted_on], whitened=_is_whitened(len(vectors)))


def _is_whitened(photos: int) -> bool:
    """Whether spaces of so many photos are; all folds alike: weights of one kind of space mean nothing in another."""
    return photos * (FOLDS - 1) // FOLDS >= whitening.LEAST


def _own_first(features: Vectors, codes: Ids) -> Vectors:
    """For each photo the features (q, 1 + others, 3) of its own species (q,), then of the likeliest others."""
    rough = features @ TYPICAL_WEIGHTS.astype(np.float32)
    rough[np.arange(len(codes)), codes] = np.inf
    best = np.argsort(-rough, axis=1, kind="stable")[:, : _ALTERNATIVES + 1]
    return np.take_along_axis(features, best[:, :, None], 1)
