"""Large JSON files item by item: as Python objects all at once they would take many times their size."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from birdsearch.errors import InputFileError
from birdsearch.records import shown
from birdsearch.sheets import read_text

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class JsonLists:
    """One JSON object: its plain values, and its lists, whose items are decoded each time they are asked for.

    Raises InputFileError, with the line, for a file that is not whole; `advice` says what to give instead.
    """

    def __init__(self, path: str | os.PathLike[str], advice: str) -> None:
        self.name = shown(os.fspath(path))
        self._advice = advice
        self._text = read_text(path, advice)
        self._lists: dict[str, int] = {}  # key -> place of its first item
        self.values: Mapping[str, Any] = {}
        start = self._after_blank(0)
        if self._at("{", start):
            self.values = self._read(start)
        else:
            self._decoded(start)  # raises for what is no JSON; a list or a number has nothing that could be asked for

    def _read(self, start: int) -> dict[str, Any]:
        """The plain values; notes where the lists begin."""
        values: dict[str, Any] = {}
        end = self._after_blank(start + 1)
        while not self._at("}", end):
            key, end = self._decoded(end)
            if not isinstance(key, str):
                raise self._broken("a name in quotation marks is missing", end)
            start = self._after_blank(self._expect(":", end))
            if self._at("[", start):
                self._lists[key] = start + 1
                ends = (end for _, end in self._items(start + 1))
                end = self._expect("]", max(ends, default=start + 1))
            else:
                values[key], end = self._decoded(start)
            end = self._after_blank(end)
            if self._at(",", end):
                end = self._after_blank(end + 1)
                if self._at("}", end):
                    raise self._broken("a name in quotation marks is missing", end)
            elif not self._at("}", end):
                raise self._broken("a comma is missing", end)
        if self._after_blank(end + 1) != len(self._text):
            raise self._broken("there is more behind its end", end + 1)
        return values

    def __contains__(self, key: str) -> bool:
        return key in self._lists

    def objects(self, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """The items of a list, each with its number from 1 on; none where the object has no such list.

        Raises InputFileError for an item that is no object, and for something else in place of the list.
        """
        if self.values.get(key) is not None:
            raise InputFileError(f"{self.name}: {key} is not a list of objects. {self._advice}")
        start = self._lists.get(key)
        for number, (item, _) in enumerate(() if start is None else self._items(start), start=1):
            if not isinstance(item, dict):
                raise InputFileError(f"{self.name}: {key} is not a list of objects (item {number}). {self._advice}")
            yield number, item

    def _items(self, start: int) -> Iterator[tuple[Any, int]]:
        """The items of the list whose first one lies at a place, each with the place of what follows it."""
        end = self._after_blank(start)
        while not self._at("]", end):
            item, end = self._decoded(end)
            end = self._after_blank(end)
            if self._at(",", end):
                end = self._after_blank(end + 1)
                if self._at("]", end):
                    raise self._broken("a value is missing", end)
            elif not self._at("]", end):
                raise self._broken("a comma is missing", end)
            yield item, end

    def _decoded(self, start: int) -> tuple[Any, int]:
        try:
            return _DECODER.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            raise self._broken(error.msg, error.pos) from error
        except (ValueError, RecursionError) as error:
            raise self._broken(str(error), start) from error

    def _after_blank(self, start: int) -> int:
        found = _BLANK.match(self._text, start)
        return start if found is None else found.end()

    def _at(self, sign: str, place: int) -> bool:
        return self._text.startswith(sign, place)

    def _expect(self, sign: str, place: int) -> int:
        """The place behind a sign that must stand at a place, or after blanks."""
        place = self._after_blank(place)
        if not self._at(sign, place):
            raise self._broken(f"{sign} is missing", place)
        return place + 1

    def _broken(self, why: str, place: int) -> InputFileError:
        line = self._text.count("\n", 0, place) + 1
        return InputFileError(f"{self.name}, line {line}: this is not JSON ({why}). {self._advice}")


def path_in(value: Any, place: str, of: str) -> str:
    """A text that may be the path of a photo. Raises InputFileError, which names the place, for anything else."""
    try:
        if isinstance(value, str) and value and os.fsencode(value):
            return value
    except UnicodeEncodeError:  # half a character
        pass
    raise InputFileError(f"{place}: {of} is {value!r:.80}. Write the path of a photo.")
