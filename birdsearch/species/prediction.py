"""What photos show: by the classes of the backbone, the labelled photos of the index, or the names of species."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.backbones.classes import Classes
from birdsearch.errors import BackboneUnavailableError, InputFileError
from birdsearch.photos.decode import ImageLike
from birdsearch.records import IF_KNOWN, Ids, Prediction, Vectors, counted, shown
from birdsearch.species import calibration, classifier, names
from birdsearch.species.classifier import ClassifierOutput, GalleryClassifier
from birdsearch.species.gallery import Gallery, GalleryCache
from birdsearch.species.zero_shot import NamedSpecies
from birdsearch.storage import query
from birdsearch.storage.store import Store
from birdsearch.taxonomy.checklist import Checklist, Probabilities, read_checklist
from birdsearch.taxonomy.resolve import RANKS, Resolution, lineage, resolve_many

logger = logging.getLogger("birdsearch")

UNKNOWN = "probably none of your species"
VAGRANT = "possible vagrant: not on the checklist"
ITSELF = 0.9995  # score from which on an image counts as a photo of the index
MOST_NAMED = 50  # lines of a checklist that are left out
NEW = 0.5  # novelty from which on UNKNOWN is the first answer
SOURCES = ("auto", "backbone", "neighbours", "names")


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How to classify; `Index.classify_many` describes each. Raises ValueError for options that do not fit."""

    k: int = 5  # answers
    source: str = "auto"  # of SOURCES
    checklist: Iterable[str | Path] | None = None  # files
    roll_up: float | None = None  # 0 to 1
    burst: bool = False
    calibrate: bool = False
    asked: query.Asked = None  # the part of each image that is classified

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if self.source not in SOURCES:
            raise ValueError(f"source must be {', '.join(SOURCES[:-1])} or {SOURCES[-1]}, got {self.source!r}")
        if self.roll_up is not None and not 0 <= self.roll_up <= 1:
            raise ValueError(f"roll_up must be from 0 to 1, got {self.roll_up}")
        if self.source == "neighbours" and self.calibrate:
            raise ValueError("neighbours are calibrated already: leave calibrate out with them")


def classify(
    store: Store,
    gallery: GalleryCache,
    images: Sequence[ImageLike],
    options: ClassifyOptions,
    errors: query.Errors = "raise",
) -> list[list[Prediction]]:
    """What images show, best first; at position 0 what is not a class: a higher rank, or UNKNOWN.

    Raises BackboneUnavailableError where the backbone has no classes, or is to be weighed by a checklist and knows no
    species; InputFileError for a bad checklist.

    >>> classify(store, GalleryCache(store), ["a.jpg"], ClassifyOptions(k=3, source="neighbours"))
    """
    own = query.own_photos(store, images)
    knows_species = store.stored_classes is not None and any(store.stored_classes.species)
    source = options.source
    if source == "auto":
        source = "backbone" if knows_species or not store.catalog.counts()["labelled"] else "neighbours"
    if options.checklist is not None and not knows_species and source == "backbone":
        raise BackboneUnavailableError(
            f"{store.identity.backbone.name} knows no species, so a checklist cannot weigh its answers. Label your "
            "photos (`birdsearch index DIR --labels folder`) and they answer instead, or make an index with a network "
            "for birds: `birdsearch backbones` lists them."
        )
    by_labels = source == "neighbours"
    named = None
    if source == "names":
        named = gallery.named_species(None if options.checklist is None else listed(options.checklist).species)
        given = _name_probabilities(store, named, images, own, errors, options.asked)
    else:
        of_images = query.embed if by_labels else _class_probabilities
        given = of_images(store, images, own, errors, options.asked)
    read = np.flatnonzero(np.isfinite(given).all(axis=1)).tolist()
    given, ids = given[read], [query.own_id(own[row]) for row in read]
    if by_labels:
        found = by_neighbours(gallery(None), given, ids, options, names.overrides(store.catalog))
    else:
        if options.burst and len(given) > 1:
            given = classifier.pool_log_probabilities(given)
        classes = named or store.classes
        temperature = gallery.temperature(classes) if options.calibrate else None
        # The names are those of the checklist: none is off it.
        found = by_classes(classes, given, replace(options, checklist=None) if named else options, temperature)
        if named:
            found = [[_by_name(one) for one in answer] for answer in found]
    answers: list[list[Prediction]] = [[] for _ in images]
    for row, answer in zip(read, found, strict=True):
        answers[row] = answer
    return answers


def _class_probabilities(
    store: Store,
    images: Sequence[ImageLike],
    own: Sequence[query.OwnPhoto | None],
    errors: query.Errors,
    asked: query.Asked,
) -> Vectors:
    """All class probabilities (n, classes); of photos of the index from stored vectors, if classes allow.

    The row of an image that cannot be read is NaN where `errors` lets it pass.
    """
    classes = store.classes
    probabilities = np.full((len(images), len(classes.names)), np.nan, dtype=np.float32)
    stored = query.stored_ids(own) if classes.from_vectors and asked is None else {}
    if stored:
        probabilities[list(stored)] = classes.probabilities(*store.vectors.fetch(list(stored.values())))
    others = [row for row in range(len(images)) if row not in stored]
    if not others:
        return probabilities
    backbone = store.backbone
    for row, pixels in query.readable(store, images, others, own, errors, asked):
        given = backbone.embed_pixels(pixels[None]).probabilities
        if given is None:
            raise BackboneUnavailableError(f"{backbone.name} gives no probabilities: it knows no classes.")
        probabilities[row] = given[0]
    return probabilities


def _name_probabilities(
    store: Store,
    named: NamedSpecies,
    images: Sequence[ImageLike],
    own: Sequence[query.OwnPhoto | None],
    errors: query.Errors,
    asked: query.Asked,
) -> Vectors:
    """The same for species by their names; of photos of the index no network is needed."""
    vectors, norms = query.embed_with_norms(store, images, own, errors, asked)
    probabilities = np.full((len(images), len(named.names)), np.nan, dtype=np.float32)
    read = np.flatnonzero(np.isfinite(norms))
    probabilities[read] = named.probabilities(vectors[read], norms[read])
    return probabilities


def _by_name(prediction: Prediction) -> Prediction:
    """A prediction of species by their names, which says so, unless it is of a rank above."""
    return replace(prediction, source="names") if prediction.position else prediction


# By the labelled photos ----------------------------------------------------------------------------------------------


def by_neighbours(
    gallery: Gallery,
    vectors: Vectors,
    own: Sequence[int | None],
    options: ClassifyOptions,
    overrides: Mapping[str, str] | None = None,
) -> list[list[Prediction]]:
    """Predictions of the labelled photos for vectors (q, dim); `own` are the ids of those that are photos of the index.

    `overrides` are the meanings that a user gave to labels, which a checklist looks at. Without a label in the index
    there are no predictions.
    """
    burst = options.burst and len(vectors) > 1
    positions = _own_positions(gallery, vectors, own)
    made = _without_group_of(gallery, positions) if burst and (positions >= 0).any() else gallery.classifier
    if made is None:
        return [[] for _ in vectors]
    output = made.predict(vectors, leave_out=positions)
    if burst:
        output = _pooled(output)
    labels = Classes(made.species, made.species, ("species",) * len(made.species), None)
    answers = by_classes(labels, output.probabilities, options, overrides=overrides)
    for row, answer in enumerate(answers):
        likeliest = made.species[int(output.probabilities[row].argmax())]
        ids = tuple(gallery.ids[output.evidence[row][output.evidence[row] >= 0]].tolist())
        answer[:] = [
            replace(one, source="neighbours", evidence=ids if one.species == likeliest else ())
            for one in answer
            if one.probability > 0
        ]
        if output.novelty[row] >= NEW:
            answer[:] = [replace(one, note="; ".join(filter(None, (one.note, IF_KNOWN)))) for one in answer]
            answer.insert(0, Prediction(None, float(output.novelty[row]), 0, "abstain", UNKNOWN, "neighbours"))
    return answers


def _own_positions(gallery: Gallery, vectors: Vectors, own: Sequence[int | None]) -> Ids:
    """The positions (q,) in the gallery of images that are its photos, by id or by an equal vector; -1 for others."""
    known = [-1 if photo_id is None else gallery.position_of.get(photo_id, -1) for photo_id in own]
    positions = np.array(known, dtype=np.int64)
    for number in np.flatnonzero(positions < 0).tolist():
        # A photo of the index that is given by its path must not be compared with itself.
        scores = gallery.raw @ vectors[number]
        positions[number] = int(scores.argmax()) if scores.max(initial=-1) >= ITSELF else -1
    return positions


def _without_group_of(gallery: Gallery, positions: Ids) -> GalleryClassifier | None:
    """The classifier in which the groups of these photos, -1 for none, are one group: the user says it is a burst."""
    groups, inside = gallery.groups, positions[positions >= 0]
    groups = np.where(np.isin(groups, groups[inside]), -1 - groups[positions].max(), groups)
    return GalleryClassifier.fit(gallery.raw, gallery.labels, np.unique(groups, return_inverse=True)[1])


def _pooled(output: ClassifierOutput) -> ClassifierOutput:
    """One answer for all photos; evidence is kept where a photo alone shows the same species."""
    alone = output.probabilities.argmax(axis=1)
    pooled = classifier.pool_log_probabilities(output.probabilities)
    evidence = np.where((alone == pooled.argmax(axis=1))[:, None], output.evidence, -1)
    return ClassifierOutput(pooled, np.full(len(alone), output.novelty.mean(), dtype=np.float32), evidence)


# By the classes of the backbone --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reweighted:
    """Probabilities after a checklist; no class is hidden."""

    weighted: npt.NDArray[np.float64]  # (n, classes), each row with the sum that it had
    vagrant: npt.NDArray[np.bool_]  # (classes,) True: a bird that is not on the list, a possible vagrant


@dataclass(frozen=True, slots=True)
class RolledUp:
    """The lowest rank that is sure enough."""

    rank: str  # of RANKS
    name: str  # scientific
    probability: float  # the sum over its classes
    classes: npt.NDArray[np.int64]  # (m,) which classes those are

    @property
    def shown(self) -> str:
        """As birders write it: "Accipiter sp. 0.93"."""
        return f"{self.name}{'' if self.rank == 'species' else ' sp.'} {self.probability:.2f}"


@dataclass(frozen=True, slots=True)
class Lineages:
    """The ranks of the classes of a network, as numbers that are quick to sum over."""

    codes: npt.NDArray[np.int64]  # (ranks, classes) position in names, -1 where the class has no such rank
    names: tuple[tuple[str, ...], ...]  # (ranks, …) scientific names at each of RANKS


def reweighted(
    probabilities: Probabilities,  # (n, classes)
    classes: Sequence[Resolution],
    checklist: Checklist,
    *,
    outside: float = 0.01,
) -> Reweighted:
    """Multiplies each class by a prior, 1 on the list and `outside` off it, and keeps the sum of each row.

    Bayes' rule with new priors: Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a classifier to new
    a priori probabilities", equation 2.4, with the two-valued prior in place of the ratio of priors. Classes that are
    not birds keep the prior 1, which a list of birds cannot exclude. A genus is listed if one of its species is.
    """
    if not 0 < outside <= 1:
        raise ValueError(f"outside must be above 0 and at most 1, got {outside}")
    raw = np.asarray(probabilities)
    if raw.ndim != 2 or raw.shape[1] != len(classes):
        raise ValueError(f"probabilities must have the shape (n, {len(classes)}), got {raw.shape}")
    vagrant = np.array([checklist.lacks(meaning) for meaning in classes], dtype=bool)
    exact = raw.astype(np.float64)
    sums = exact.sum(axis=1, keepdims=True)
    weighted = exact * np.where(vagrant, outside, 1.0)
    total = weighted.sum(axis=1, keepdims=True)
    weighted *= np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    if weighted.size:  # what rounding took from each row is added to its largest value
        weighted[np.arange(len(weighted)), weighted.argmax(axis=1)] += sums[:, 0] - weighted.sum(axis=1)
    return Reweighted(weighted, vagrant)


def lineages(rows: Iterable[Sequence[str | None]]) -> Lineages:
    """Prepares the lineages of the classes (`taxonomy.lineage` of each) for `rolled_up`: once for a network."""
    table = [tuple(row) for row in rows]
    codes = np.full((len(RANKS), len(table)), -1, dtype=np.int64)
    names: list[tuple[str, ...]] = []
    for rank in range(len(RANKS)):
        seen: dict[tuple[str | None, ...], int] = {}
        for position, row in enumerate(table):
            if row[rank] is not None:
                # The whole path: Prunella is a bird and a plant.
                codes[rank, position] = seen.setdefault(row[: rank + 1], len(seen))
        names.append(tuple(str(path[-1]) for path in seen))
    return Lineages(codes, tuple(names))


def rolled_up(
    probabilities: Probabilities,  # (classes,)
    known: Lineages,
    threshold: float,
) -> RolledUp | None:
    """The lowest rank at which one name reaches the threshold; None where not even a kingdom does.

    The probability of a group is the sum of its classes, as in the conditional label trees of Redmon and Farhadi 2017
    ("YOLO9000", section 4) and the hedging of Deng et al. 2012, summed without rounding (`math.fsum`).
    """
    if probabilities.shape != (known.codes.shape[1],):
        raise ValueError(f"probabilities must have the shape ({known.codes.shape[1]},), got {probabilities.shape}")
    exact = probabilities.astype(np.float64)
    for rank in reversed(range(len(RANKS))):
        codes = known.codes[rank]
        has = codes >= 0
        if not has.any():
            continue
        best = int(np.bincount(codes[has], weights=exact[has]).argmax())
        members = np.flatnonzero(codes == best)
        total = math.fsum(exact[members])
        if total >= threshold:
            return RolledUp(RANKS[rank], known.names[rank][best], total, members)
    return None


def listed(paths: Iterable[str | Path]) -> Checklist:
    """The checklist of these files; lines that name no bird, and guesses, are logged.

    Raises InputFileError where no line names a species.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    checklist = read_checklist(paths)
    if not checklist.species:
        names = ", ".join(shown(str(path)) for path in paths)
        raise InputFileError(f"no line of the checklist names a species: {names}. Is it the right file?")
    if checklist.unresolved:
        dropped = [shown(line) for line in checklist.unresolved[:MOST_NAMED]]
        dropped += [f"and {more:,} more"] if (more := len(checklist.unresolved) - MOST_NAMED) > 0 else []
        logger.warning(
            "%s of the checklist left out, for no bird of AviList is called so; what they mean counts as not on the "
            "list, unless a name is spelled just so: %s",
            counted(len(checklist.unresolved), "line"),
            "; ".join(dropped),
        )
    if checklist.guesses:
        examples = ", ".join(f"{shown(one.name)} as {', '.join(one.candidates[:2])}" for one in checklist.guesses[:3])
        logger.warning("lines of the checklist that were guessed: %d (%s)", len(checklist.guesses), examples)
    return checklist


def by_classes(
    classes: Classes,
    probabilities: Vectors,
    options: ClassifyOptions = ClassifyOptions(),
    temperature: float | None = None,
    overrides: Mapping[str, str] | None = None,
) -> list[list[Prediction]]:
    """Predictions of classes (n, classes), weighed by a checklist, rolled up where no species is likely.

    The classes are those of the backbone, or labels, to which a user may have given meanings (`overrides`). With a
    temperature probabilities are scaled first. Species outside a checklist are noted as possible vagrants with their
    raw probability, never hidden. The lowest rank that reaches `roll_up` comes at position 0 if it is not a species.
    """
    weights = (
        probabilities.astype(np.float64) if temperature is None else calibration.scaled(probabilities, temperature)
    )
    vagrant = np.zeros(len(classes.names), dtype=bool)
    if options.checklist is not None:
        weighed = reweighted(weights, resolve_many(classes.names, overrides=overrides), listed(options.checklist))
        weights, vagrant = weighed.weighted, weighed.vagrant
    untouched = options.checklist is None and temperature is None
    place = {name: code for code, name in enumerate(classes.names)}
    meant = names.species_of(classes.names, overrides) if overrides else {}
    known = None if options.roll_up is None else lineages(lineage(meant.get(name, name)) for name in classes.names)
    answers = []
    for row, raw, best in zip(weights, probabilities, classes.top(weights.astype(np.float32), options.k), strict=True):
        codes = [place[one.class_name] for one in best]
        # What was likely before the checklist is kept, however improbable it is now.
        likely = np.argsort(-raw, kind="stable")[: options.k].tolist() if vagrant.any() else []
        unlikely = [code for code in likely if vagrant[code]]
        more = [_prediction(classes, row, code) for code in unlikely if code not in codes]
        answer = [
            replace(
                one,
                probability=float(row[code]),
                source=one.source if options.checklist is None else "checklist",
                note=VAGRANT if vagrant[code] else "",
                raw=None if untouched else float(raw[code]),
            )
            for one in (*best, *more)
            for code in (place[one.class_name],)
        ]
        up = None if known is None or options.roll_up is None else rolled_up(row, known, options.roll_up)
        if up is not None and up.rank != "species":
            answer.insert(0, Prediction(None, up.probability, 0, up.rank, up.shown, "rolled up"))
        answers.append(answer)
    return answers


def _prediction(classes: Classes, row: npt.NDArray[np.float64], code: int) -> Prediction:
    """A class with its position among all of a row (classes,)."""
    position = 1 + int((row > row[code]).sum())
    return Prediction(classes.species[code], float(row[code]), position, classes.ranks[code], classes.names[code])
