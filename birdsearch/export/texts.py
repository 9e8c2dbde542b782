"""Texts in the files of other programs: on one line, in characters that all of them read."""

import csv
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from birdsearch.records import shown
from birdsearch.sheets import guarded

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]+")  # line breaks too


def one_line(text: str) -> str:
    """A text without line breaks, tabs and what no XML can hold."""
    return _UNPRINTABLE.sub(" ", shown(text))


def is_address(text: str) -> bool:
    """Whether a text is the address of something on the web."""
    return text.startswith(("https://", "http://"))


class Table:
    """A CSV with these columns, written row by row; what a row does not have stays empty."""

    def __init__(self, file: "SupportsWrite[str]", columns: Sequence[str]) -> None:
        self._rows = csv.DictWriter(file, columns, lineterminator="\n")
        self._rows.writeheader()

    def write(self, row: dict[str, Any], *, as_they_are: Sequence[str] = ()) -> None:
        """Write a row. A text that a spreadsheet would run is guarded, but for columns that name files."""
        self._rows.writerow(
            {
                name: guarded(one_line(value)) if isinstance(value, str) and name not in as_they_are else value
                for name, value in row.items()
            }
        )
