"""What a list of the birds of a place says about predictions, and what is sure where no single species is."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdsearch.errors import InputFileError
from birdsearch.records import bytes_text
from birdsearch.sheets import columns_of, read_csv, read_text, whole_rows
from birdsearch.taxonomy import fuzzy
from birdsearch.taxonomy.avilist import key, words, world
from birdsearch.taxonomy.meaning import of_match
from birdsearch.taxonomy.resolve import Resolution, is_bird, recognised, resolve, same

LONGEST = 10_000  # characters of a line with all its columns
MOST_LINES = 100_000  # a line that names no bird takes 0.2 ms
Probabilities = npt.NDArray[np.floating]
_OWN_EBIRD = ("submission id", "common name", "scientific name")
_COMMENT = re.compile(r"(?:^|\s)#(?![,;\t]).*")  # but not the heading "Row #"
# Headings, as keys, of columns that name a species: those of eBird, Darwin Core and people.
_HEADINGS = {
    "species", "commonname", "scientificname", "englishname", "latinname", "vernacularname", "primarycomname",
    "comname", "sciname", "speciescode", "taxon", "taxonname", "english", "scientific", "latin", "name", "bird",
    "birds", "german", "french", "spanish", "dutch", "art", "artname", "vogelart", "espece", "especie", "soort",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checklist:
    """The species that are to be expected, and the lines of the file that could not be read as a species."""

    species: frozenset[str]  # scientific names; of a name that AviList split, all its parts; of a group, its species
    unresolved: tuple[str, ...] = ()  # "birds.txt, line 3: Gull sp."
    guesses: tuple[Resolution, ...] = ()  # lines that are not spelled as AviList or an older list spells them
    names: frozenset[str] = frozenset()  # what stands on the lines, whatever it means, as `resolve.same` has it

    def lacks(self, meaning: Resolution) -> bool:
        """Whether a name means a bird, and neither it nor what was split from it is on the list."""
        if same(meaning.name) in self.names or not meaning.candidates:
            return False
        return is_bird(meaning) and self.species.isdisjoint(meaning.candidates)


def read_checklist(paths: str | Path | Iterable[str | Path]) -> Checklist:
    """Reads one species a line, scientific or English, from one file or several; what follows # is a comment.

    In a table only the columns of names count where its first line says which these are ("Common Name", "species");
    all names of a line must agree. A genus, a family, and a noun alone ("Ostrich", "Kookaburra") stand for all their
    species, "Greater/Lesser Scaup" for both; "Gull sp." stands for none but itself. Of all that one has reported to
    eBird (MyEBirdData.csv) each name counts once.
    """
    species: set[str] = set()
    unresolved: list[str] = []
    guesses: list[Resolution] = []
    names: set[str] = set()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        text = read_text(path, "Give a list of species, one a line.")
        for number, cells in _own_ebird(path, text) or _rows(_lines(path, text), str(path)):
            names.update(same(cell) for cell in (",".join(cells), *cells) if cell)
            meaning = _of_cells(cells)
            if meaning is None:
                unresolved.append(f"{path}, line {number}: {','.join(cells)}")
                continue
            species.update(meaning.candidates)
            if meaning.guessed:
                guesses.append(meaning)
    return Checklist(frozenset(species), tuple(unresolved), tuple(guesses), frozenset(names))


def _own_ebird(path: str | Path, text: str) -> list[tuple[int, list[str]]]:
    """The first line of each name in what eBird calls My eBird Data, with its names; nothing in any other file.

    It has a line for each sighting, with comments on several lines, and may have a hundred times those of a checklist.
    """
    if not columns_of(text, ()) >= set(_OWN_EBIRD):
        return []
    found: dict[tuple[str, ...], int] = {}
    for line, row in read_csv(path, _OWN_EBIRD, text=text):
        found.setdefault(tuple(name for column in _OWN_EBIRD[1:] if (name := row[column].strip())), line)
    return [(line, list(names)) for names, line in found.items() if names]


def _lines(path: str | Path, text: str) -> list[str]:
    """The lines of a checklist. Raises InputFileError for what is not a list of species."""
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        raise InputFileError(
            f"{path} has {len(lines):,} lines, but the world has {len(world().species):,} species: is it a checklist? "
            f"Give one of at most {MOST_LINES:,} lines."
        )
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST:
            long = bytes_text(len(line.encode()))
            raise InputFileError(f"{path}, line {number}: it is {long} long, which no species is. Is it a checklist?")
    return lines


def _rows(lines: list[str], name: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line that may name a species; of a table with headings its columns of names."""
    lines = [_COMMENT.sub("", line).strip() for line in lines]
    first = next((number for number, line in enumerate(lines) if line), len(lines))
    separator = max("\t;,", key=(lines[first] if first < len(lines) else "").count)
    headings = next(csv.reader(lines[first : first + 1], delimiter=separator), [])
    columns = [at for at, heading in enumerate(headings) if key(heading) in _HEADINGS]
    if columns and not any(_sure(cell) for cell in headings):
        for number, row in whole_rows(lines[first + 1 :], headings, name, first + 1, delimiter=separator):
            cells = [row[at].strip() for at in columns if at < len(row) and row[at].strip()]
            if cells:
                yield number, cells
        return
    for number, line in enumerate(lines, start=1):
        cells = next(csv.reader([line], delimiter=max("\t;,", key=line.count)), [])
        if any(cell.strip() for cell in cells):
            yield number, [cell.strip() for cell in cells]


def _of_cells(cells: list[str]) -> Resolution | None:
    """The species, the parts of a split one or the group that all names of a line mean; None where that is no bird."""
    sure = [meaning for cell in cells if (meaning := _sure(cell)) is not None]
    if sure:
        both = [one for one in sure[0].candidates if all(one in meaning.candidates for meaning in sure)]
        return replace(min(sure, key=lambda meaning: len(meaning.candidates)), candidates=tuple(both)) if both else None
    for cell in dict.fromkeys([", ".join(cells), *cells]):
        meaning = resolve(cell)
        # A guessed group is too wide: one misread line would let in a whole family.
        if meaning.rank == "species" or (meaning.rank and meaning.candidates and not meaning.guessed):
            return meaning
    return _of_group(cells[0])


def _of_group(cell: str) -> Resolution | None:
    """A family, an order or a noun with its species: "Laridae", "Ostrich". No letter differs, so nothing is misread."""
    meaning = recognised(cell)
    if meaning is not None and meaning.method == "exact" and meaning.rank and meaning.taxon is not None:
        group = getattr(meaning.taxon, meaning.rank)
        within = (name for name, one in world().species.items() if getattr(one, meaning.rank) == group)
        return replace(meaning, candidates=tuple(within)) if is_bird(meaning) else None
    birds = fuzzy.kind(words(cell))
    return None if birds is None else replace(of_match(cell, birds), candidates=birds.species)


def _sure(cell: str) -> Resolution | None:
    """The meaning of a cell that is spelled as some list spells a bird: no number, date or place is."""
    meaning = recognised(cell.strip())
    listed = meaning is not None and meaning.method in ("exact", "synonym") and meaning.candidates
    return meaning if meaning is not None and listed and is_bird(meaning) else None
