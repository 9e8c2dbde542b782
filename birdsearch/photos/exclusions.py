"""What a person leaves out of an index: patterns in the syntax of .gitignore, given by option or in a file."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsearch.errors import InputFileError, os_error_text
from birdsearch.files import above, is_url, open_regular, with_trailing_slash
from birdsearch.records import shown

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".birdsearchignore"
MAX_BYTES = 2**20  # of such a file: larger ones are no list that a person wrote


@dataclass(frozen=True, slots=True)
class _Rules:
    """The patterns of one folder; they speak of what lies below it."""

    folder: bytes
    spec: "GitIgnoreSpec"
    reason: str  # why a file is left out, in words

    def excludes(self, path: bytes, is_folder: bool) -> bool | None:
        """Whether a path below the folder is left out (True), brought back by a ! (False), or not spoken of (None)."""
        below = os.fsdecode(path[len(with_trailing_slash(self.folder)) :])
        return self.spec.check_file(f"{below}/" if is_folder else below).include


@dataclass(frozen=True, slots=True)
class Exclusions:
    """The patterns that count in one folder: the first that speak of a file decide."""

    given: Mapping[bytes, Sequence[str]]  # folder -> patterns that count in it, above what its files say
    options: tuple[_Rules, ...] = ()  # of the folder and those above it, the deepest first
    files: tuple[_Rules, ...] = ()

    @classmethod
    def above(cls, folder: bytes, given: Mapping[bytes, Sequence[str]]) -> "Exclusions":
        """Those of all folders above a named one, but for the patterns that leave out the named folder itself."""
        parents = [folder]
        while (parent := above(parents[-1])) != parents[-1]:
            parents.append(parent)
        rules = cls(given)
        for parent in reversed(parents[1:]):
            has_file = not is_url(parent) and os.path.lexists(os.path.join(parent, os.fsencode(IGNORE_FILE)))
            rules = rules.within(parent, has_file)
        kept = ([r for r in rs if not r.excludes(folder, True)] for rs in (rules.options, rules.files))
        return cls(given, *map(tuple, kept))

    def within(self, folder: bytes, has_file: bool) -> "Exclusions":
        """These and those of a folder below. Raises InputFileError for patterns that cannot be read."""
        options, files = self.options, self.files
        if patterns := self.given.get(folder):
            options = (_Rules(folder, compiled(patterns), "excluded by --exclude"), *options)
        if has_file:
            spec = _read(os.path.join(folder, os.fsencode(IGNORE_FILE)))
            files = (_Rules(folder, spec, f"excluded by {IGNORE_FILE}"), *files)
        return Exclusions(self.given, options, files)

    def reason(self, path: bytes, is_folder: bool) -> str | None:
        """Why a path is left out; "" where a pattern with ! brings it back, None where no pattern speaks of it."""
        for rules in (*self.options, *self.files):
            if (excluded := rules.excludes(path, is_folder)) is not None:
                return rules.reason if excluded else ""
        return None


def compiled(patterns: Sequence[str]) -> "GitIgnoreSpec":
    """Patterns, ready to be compared. Raises InputFileError, with the pattern, for one that means nothing."""
    from pathspec import GitIgnoreSpec  # takes 15 ms, which a query need not wait for

    for pattern in patterns:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except (ValueError, re.error) as error:
            what = "is no pattern of a .gitignore file: correct it, or leave it out"
            raise InputFileError(f'"{shown(pattern)}" {what}.') from error
    return GitIgnoreSpec.from_lines(patterns)


def _read(path: bytes) -> "GitIgnoreSpec":
    name = shown(os.fsdecode(path))
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputFileError("not a list of patterns of at most 1 MiB")
        return compiled(data.decode("utf-8-sig", "surrogateescape").splitlines())
    except OSError as error:
        raise InputFileError(f"{name} cannot be read: {os_error_text(error)}.") from error
    except InputFileError as error:
        raise InputFileError(f"{name}: {error}") from error
