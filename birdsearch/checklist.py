"""What a list of the birds of a place says about predictions, and what is sure where no single species is."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.errors import InputFileError
from birdsearch.taxonomy import RANKS, Resolution, is_bird, resolve

Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Checklist:
    """The species that are to be expected, and the lines of the file that could not be read as a species."""

    species: frozenset[str]  # scientific names; of a name that AviList split, all its parts
    unresolved: tuple[str, ...] = ()  # "birds.txt, line 3: Gull sp."
    guesses: tuple[Resolution, ...] = ()  # lines that are not spelled as AviList or an older list spells them


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


def read_checklist(paths: str | Path | Iterable[str | Path]) -> Checklist:
    """Reads one species a line, scientific or English, from one file or several; what follows # is a comment.

    In a line with several columns the first that names a bird counts. A genus stands for all its species.
    """
    species: set[str] = set()
    unresolved: list[str] = []
    guesses: list[Resolution] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputFileError(f"{path} cannot be read as a checklist in UTF-8: {error}") from error
        for number, line in enumerate(lines, start=1):
            text = line.split("#")[0].strip()
            if not text:
                continue
            found = _of_line(text)
            if found is None:
                unresolved.append(f"{path}, line {number}: {text}")
                continue
            species.update(found.candidates)
            if found.guessed:
                guesses.append(found)
    return Checklist(frozenset(species), tuple(unresolved), tuple(guesses))


def _of_line(text: str) -> Resolution | None:
    """The species, the parts of a split one or the genus that a line names; None for wider or unknown names."""
    cells = [cell.strip() for cell in text.replace("\t", ";").replace(",", ";").split(";")]
    for cell in dict.fromkeys([text, *cells]):
        found = resolve(cell)
        single = found.rank == "species"
        # A guessed group is too wide: one misread line would let in a whole family.
        if single or (found.rank is not None and found.candidates and not found.guessed):
            return found
    return None


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
