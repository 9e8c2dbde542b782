"""What a list of the birds of a place says about predictions, and what is sure where no single species is."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.errors import InputFileError
from birdsearch.taxonomy.resolve import Resolution, is_bird, resolve

Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Checklist:
    """The species that are to be expected, and the lines of the file that could not be read as a species."""

    species: frozenset[str]  # scientific names; of a name that AviList split, all its parts
    unresolved: tuple[str, ...] = ()  # "birds.txt, line 3: Gull sp."
    guesses: tuple[Resolution, ...] = ()  # lines that are not spelled as AviList or an older list spells them

    def lacks(self, meaning: Resolution) -> bool:
        """Whether a name means a bird, and neither it nor what was split from it is on the list."""
        return bool(meaning.candidates) and is_bird(meaning) and self.species.isdisjoint(meaning.candidates)


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
            meaning = _of_line(text)
            if meaning is None:
                unresolved.append(f"{path}, line {number}: {text}")
                continue
            species.update(meaning.candidates)
            if meaning.guessed:
                guesses.append(meaning)
    return Checklist(frozenset(species), tuple(unresolved), tuple(guesses))


def _of_line(text: str) -> Resolution | None:
    """The species, the parts of a split one or the genus that a line names; None for wider or unknown names."""
    cells = [cell.strip() for cell in text.replace("\t", ";").replace(",", ";").split(";")]
    for cell in dict.fromkeys([text, *cells]):
        meaning = resolve(cell)
        # A guessed group is too wide: one misread line would let in a whole family.
        if meaning.rank == "species" or (meaning.rank and meaning.candidates and not meaning.guessed):
            return meaning
    return None
