"""The lines of a CSV of labels, as birdsearch prints them and people edit or write them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from birdsearch.errors import InputFileError
from birdsearch.files import absolute, whole_number
from birdsearch.records import shown
from birdsearch.sheets import is_yes, read_csv


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One line: which photo, what it shows, and what the line said before somebody edited it."""

    file: str  # as it is shown
    line: int
    values: Mapping[str, str]  # by column
    path: bytes | None  # absolute

    @property
    def place(self) -> str:
        """Where the line stands, for messages."""
        return f"{self.file}, line {self.line}"

    @property
    def photo(self) -> str:
        """The photo, for messages."""
        return self._of("path") or self._of("relative_path") or self._of("id") or self._of("sha256")

    @property
    def sha256(self) -> str:
        """Of the photo's bytes; empty where the line does not give it."""
        return self._of("sha256").lower()

    @property
    def number(self) -> int | None:
        """The photo's id, which means nothing in another index."""
        return whole_number(self._of("id"))

    @property
    def index_id(self) -> str:
        """The index that the line is from; empty where it does not say."""
        return self._of("index_id")

    @property
    def was(self) -> str | None:
        """What the photo was said to show when birdsearch wrote the line; None in a file that does not say."""
        if "label" not in self.values:
            return None
        return self._of("label") or (self._of("prediction") if self._of("species_source") == "prediction" else "")

    @property
    def species(self) -> str:
        """What the line says that the photo shows; empty where it says nothing."""
        return self._of("species") or (self.was or "" if self.confirmed else "")

    @property
    def confirmed(self) -> bool:
        """Whether the line says that the species is right, be it new or not."""
        return is_yes(self._of("confirmed"), f"{self.place}: confirmed")

    @property
    def probability(self) -> float | None:
        """How sure a program was of the species; None where the line does not say."""
        stated = self._of("probability")
        try:
            value = float(stated) if stated else None
        except ValueError:
            value = -1.0
        if value is not None and not 0 <= value <= 1:
            raise InputFileError(f"{self.place}: the probability is {shown(stated)!r}. Write a number from 0 to 1.")
        return value

    @property
    def is_first(self) -> bool:
        """Whether the line is the first answer of a program for its photo, or no answer of one."""
        return whole_number(self._of("position")) in (None, 1)

    @property
    def abstains(self) -> bool:
        """Whether the line says that a program takes the photo for none of the species it knows."""
        return self._of("position") == "0" and self._of("rank") == "abstain"

    @property
    def edited(self) -> bool:
        """Whether somebody has written another species into the line than birdsearch had."""
        return self.was is not None and self.species != self.was

    @property
    def is_guess(self) -> bool:
        """Whether the species is still what a network predicted."""
        return self._of("species_source") == "prediction" and not self._of("label") and not self.edited

    @property
    def by_hand(self) -> bool:
        """Whether a person has said so, also where the photo has that label already: it is confirmed then."""
        return self.edited or self.confirmed or self.is_correction or bool(self.author)

    @property
    def says_something(self) -> bool:
        """Whether the line has a species that is not merely what birdsearch wrote into it."""
        return bool(self.species) and (self.was is None or self.by_hand)

    @property
    def is_correction(self) -> bool:
        """Whether the line is of a list of labels, and a person has given this one."""
        return self._of("source") == "correction"

    @property
    def author(self) -> str:
        """Who gave the label; empty where the line does not say."""
        return self._of("author")

    @property
    def created_at(self) -> str:
        """When the label was given; empty where the line does not say."""
        return self._of("created_at")

    def _of(self, column: str) -> str:
        return self.values.get(column, "").strip()


def read_rows(
    path: Path, named_by: Sequence[str], says: str = "species", *, text: str | None = None
) -> Iterator[LabelRow]:
    """The lines of a CSV with a column of species and one of those that name a photo. Raises InputFileError.

    `says` "prediction" takes the species that a program predicted before those that a photo is said to show.
    `text` is that of the file where it was read already.
    """
    file, folder = shown(str(path)), os.fsencode(path.parent)
    for line, values in read_csv(path, [says], any_of=named_by, text=text):
        photo = values.get("path", "")
        at = absolute(photo, folder) if photo else None
        yield LabelRow(file, line, values | {"species": values[says]}, at)


def moment(text: str | None) -> datetime | None:
    """A time of ISO 8601, in UTC where it does not say otherwise; None for what is none."""
    try:
        found = datetime.fromisoformat((text or "").strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def contradiction(row: LabelRow, line: int, species: str) -> InputFileError:
    """What to raise where an earlier line gives the photo of a line another species."""
    return InputFileError(
        f"{row.file}, lines {line} and {row.line}: {shown(row.photo)} is {shown(species)} and {shown(row.species)}. "
        "Leave one of the two lines out."
    )
