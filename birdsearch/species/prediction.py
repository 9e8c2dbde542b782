"""What photos show: by the classes of the backbone, or by the labelled photos of the index."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.backbones import classes as classes_module
from birdsearch.errors import InputFileError
from birdsearch.records import (
    Prediction,
    Vectors,
    shown,
)
from birdsearch.species import calibration, classifier
from birdsearch.species.gallery import Gathered, logger
from birdsearch.taxonomy.checklist import Checklist, Probabilities, read_checklist
from birdsearch.taxonomy.resolve import RANKS, Resolution, is_bird, lineage, resolve_many


@dataclass(frozen=True, slots=True)
class Reweighted:
    """Probabilities before and after a checklist; nothing is hidden."""

    raw: Probabilities  # (n, classes)
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
    no birds are not judged by a list of birds: they keep the prior 1. A genus is listed if one of its species is.
    """
    if not 0 < outside <= 1:
        raise ValueError(f"outside must be above 0 and at most 1, got {outside}")
    raw = np.asarray(probabilities)
    if raw.ndim != 2 or raw.shape[1] != len(classes):
        raise ValueError(f"probabilities must have the shape (n, {len(classes)}), got {raw.shape}")
    vagrant = np.array([_is_vagrant(one, checklist) for one in classes], dtype=bool)
    exact = raw.astype(np.float64)
    sums = exact.sum(axis=1, keepdims=True)
    weighted = exact * np.where(vagrant, outside, 1.0)
    total = weighted.sum(axis=1, keepdims=True)
    weighted *= np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    _restore_sums(weighted, sums[:, 0])
    return Reweighted(raw, weighted, vagrant)


def _restore_sums(rows: npt.NDArray[np.float64], sums: npt.NDArray[np.float64]) -> None:
    """Adds what rounding took from each row to its largest value, in place."""
    if rows.size:
        largest = rows.argmax(axis=1)
        rows[np.arange(len(rows)), largest] += sums - rows.sum(axis=1)


def _is_vagrant(meant: Resolution, checklist: Checklist) -> bool:
    """Whether a class is a bird, and neither it nor what was split from it is on the list."""
    if meant.taxon is None or not meant.candidates or not is_bird(meant):
        return False
    return checklist.species.isdisjoint(meant.candidates)


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


UNKNOWN = "not like anything in this index"
ITSELF = 0.9995  # score from which on a picture is taken for a photo of the index
NEW = 0.5  # chance of showing none of the known species from which on that is the first answer


def by_neighbours(
    gathered: Gathered, asked: Vectors, own: Sequence[int | None], k: int, *, burst: bool = False
) -> list[list[Prediction]]:
    """What the labelled photos say of vectors (q, dim); `own` are the ids of those that are photos of the index.

    With `burst` all that are asked are photos of one moment, and answer together.
    """
    row_of = {photo.photo_id: row for row, photo in enumerate(gathered.photos)}
    without = np.array([-1 if photo_id is None else row_of.get(photo_id, -1) for photo_id in own], dtype=np.int64)
    for number in np.flatnonzero(without < 0).tolist():
        # A photo of the index that is asked by its path would only hear itself.
        scores = gathered.raw @ asked[number]
        without[number] = int(scores.argmax()) if scores.max(initial=-1) >= ITSELF else -1
    burst = burst and len(asked) > 1
    if burst and (without >= 0).any():
        groups = gathered.groups
        # Exposures of one moment, by the word of who asks: they are not asked about each other.
        groups = np.where(np.isin(groups, groups[without[without >= 0]]), -1 - groups[without].max(), groups)
        voter = classifier.fit(gathered.raw, gathered.labels, np.unique(groups, return_inverse=True)[1])
    else:
        voter = gathered.voter
    if voter is None:
        return [[] for _ in asked]
    votes = voter.predict(asked, without=without)
    probabilities, novelties, speaking = votes.probabilities, votes.novelty, votes.evidence
    if burst:
        alone = probabilities.argmax(axis=1)
        probabilities = classifier.together(probabilities, np.zeros(len(asked), dtype=np.int64))
        novelties = np.full(len(asked), votes.novelty.mean())
        speaking = np.where((alone == probabilities.argmax(axis=1))[:, None], speaking, -1)
    ids, answers = gathered.ids, []
    for row, novelty, evidence in zip(probabilities, novelties.tolist(), speaking, strict=True):
        best = np.argsort(-row, kind="stable")[:k]
        voters = tuple(ids[evidence[evidence >= 0]].tolist())
        answer = [
            Prediction(
                voter.species[code],
                float(row[code]),
                rank,
                "species",
                voter.species[code],
                "neighbours",
                voters if rank == 1 else (),
            )
            for rank, code in enumerate(best.tolist(), 1)
            if row[code] > 0
        ]
        if novelty >= NEW:
            answer.insert(0, Prediction(None, novelty, 0, "abstain", UNKNOWN, "neighbours"))
        answers.append(answer)
    return answers


def listed(paths: Iterable[str | Path]) -> Checklist:
    """The checklist of these files, with a word about lines that name no species."""
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    found = read_checklist(paths)
    if not found.species:
        names = ", ".join(shown(str(path)) for path in paths)
        raise InputFileError(f"no line of the checklist names a species: {names}. Is it the right file?")
    if found.unresolved:
        some = "; ".join(shown(line) for line in found.unresolved[:3])
        logger.warning("lines of the checklist that name no species: %d (%s)", len(found.unresolved), some)
    if found.guesses:
        some = ", ".join(f"{shown(one.name)} as {', '.join(one.candidates[:2])}" for one in found.guesses[:3])
        logger.warning("lines of the checklist that were guessed: %d (%s)", len(found.guesses), some)
    return found


def _ranked(classes: classes_module.Classes, row: npt.NDArray[np.float64], code: int) -> Prediction:
    """A class with its place among all of a row (classes,)."""
    rank = 1 + int((row > row[code]).sum())
    return Prediction(classes.species[code], float(row[code]), rank, classes.ranks[code], classes.names[code])


def by_classes(
    classes: classes_module.Classes,
    probabilities: Vectors,
    k: int,
    *,
    checklist: Iterable[str | Path] | None = None,
    roll_up: float | None = None,
    temperature: float | None = None,
) -> list[list[Prediction]]:
    """What the backbone's classes (n, classes) say, weighed by a checklist, rolled up where no species is sure enough.

    With a temperature they are tempered first. With a checklist species outside it are noted as possible vagrants with
    their raw probability, and never hidden. With `roll_up` (0 to 1) the lowest rank that reaches it comes
    first, at position 0, where that is not a species.
    """
    weights, notes = probabilities.astype(np.float64), [""] * len(classes.names)
    if temperature is not None:
        weights = calibration.tempered(probabilities, temperature)
    untouched = checklist is None and temperature is None
    if checklist is not None:
        meant = resolve_many(classes.names)
        weighed = reweighted(weights, meant, listed(checklist))
        weights = weighed.weighted
        notes = ["possible vagrant: not on the checklist" if flag else "" for flag in weighed.vagrant.tolist()]
    place = {name: n for n, name in enumerate(classes.names)}
    known = None if roll_up is None else lineages(lineage(name) for name in classes.names)
    answers = []
    for row, raw, found in zip(weights, probabilities, classes.top(weights.astype(np.float32), k), strict=True):
        answer = []
        if checklist is not None:
            # Whoever was likely before the checklist weighed it is told, however little is left of it.
            raw_best = np.argsort(-raw, kind="stable")[:k].tolist()
            told = {one.class_name for one in found}
            found = (*found, *(_ranked(classes, row, c) for c in raw_best if notes[c] and classes.names[c] not in told))
        for one in found:
            code = place[one.class_name]
            source = one.source if checklist is None else "checklist"
            before = None if untouched else float(raw[code])
            answer.append(replace(one, probability=float(row[code]), source=source, note=notes[code], raw=before))
        if known is not None and roll_up is not None:
            up = rolled_up(row, known, roll_up)
            if up is not None and up.rank != "species":
                answer.insert(0, Prediction(None, up.probability, 0, up.rank, up.shown, "rolled up"))
        answers.append(answer)
    return answers
